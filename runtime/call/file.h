/*
 * The file service (HANDLE_FILE): moves files between two contexts, in bounded memory, verified by a
 * checksum, and leaves either the old file or the new one under the final name.
 *
 * One worker thread a process, started with the first transfer, does all the file I/O: neither the
 * loop nor the script waits for a disk. The same code is the source in one process and the sink in
 * the other.
 *
 * A transfer is named by (id of the context that asked for it, seq chosen by it). Messages to the
 * other context go to HANDLE_FILE, which takes them from a parent only; messages to the asker go to
 * the reply handle of its messages. All have that seq; payload is pack, its first byte says what it
 * is ("bytes" are u32 length and that many bytes):
 *
 *   'G' get    asker -> source  str path
 *   'O' offer  source -> sink   str path ("" in a get), u64 size, u32 mode, str owner, str group,
 *                               u32 the largest window it can do
 *   'A' ask    sink -> source   u32 window, bytes: the digest of the sink's own file of the same size,
 *                               or none. The source compares, and sends data if its file is another
 *   'D' data   source -> sink   bytes. Credit is wanted for all so far
 *   'd' data   source -> sink   bytes. No credit is wanted yet
 *   'C' credit sink -> source   u32 bytes written
 *   'Z' end    source -> sink   u8 unchanged, bytes: checksum
 *   'R' result sink -> source   u8 changed, u64 bytes that were sent: the file has its name
 *   'F' fail   either way       u8 -code, str text: it is over, what was written is removed
 *   'K' cancel asker -> other   as 'F'
 *
 * Of two hashes each does what it is good for:
 *   - The checksum (XXH3-128, checksum.h) says that what was written is what was read. It guards against
 *     faults of our own, of memory and of disks; on the way SSH and the kernel guard the data, and who
 *     could change it there could change the checksum as well. It costs less than a copy of the content. It
 *     is also what the asker is told.
 *   - The digest (BLAKE2b-256, of libb2) says that nothing needs to be sent. Here a collision would leave
 *     an old file in place, and who wrote that may have crafted it for this, with a look at the new one: so
 *     it must be a cryptographic hash. It costs fifteen times as much, but only where there is a file
 *     of the same size.
 *
 * 'D' and 'Z' are bulk (FRAME_BULK) and keep their order among themselves; the others overtake them. So a
 * failure may arrive ahead of data, which then belongs to no transfer and is dropped.
 *
 * Data that was sent and not credited is at most the window. Each side takes it from a budget for all its
 * transfers, so that many at once share FILE_BUDGET; the sink's is what holds, and is no larger than what
 * was offered. The source uses as much of it as the path needs (file_pace.h).
 *
 * The source must be a regular file, of the same size from its offer to its end. Its permission bits
 * (0777) travel; setuid, setgid and sticky only where they are asked for by number.
 *
 * The sink resolves a symbolic link at the target's own name, and replaces the file it leads to; a link
 * to nothing is refused. So is a directory, unless the path that the asker gave ends with "/": then
 * the source's base name is appended. A sink writes to an unnamed file (O_TMPFILE) in the target's
 * directory, or where that does not exist to a hidden name next to it (".<name>.orrery-<random>"),
 * checks the checksum, fsyncs, renames over the final name, and fsyncs the directory. The replaced file's
 * owner and group are kept where this process may do so; its ACLs and other extended attributes are not.
 * Mode, owner and group are applied also when the content is the same.
 */
#ifndef ORRERY_FILE_H
#define ORRERY_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "router.h"

#define FILE_CHUNK (60u << 10) /* whole pages, less than outq's slice */
#define FILE_CHUNK_SHARED \
    (28u << 10) /* where calls may have to wait for one to be written: less than a packet of SSH */
#define FILE_WINDOW (2u << 20)      /* the largest window of a transfer */
#define FILE_WINDOW_MIN (64u << 10) /* and the smallest */
#define FILE_BUDGET \
    (16u << 20)       /* what the windows of a process share, on each side, above the minimum */
#define FILE_MAX 4096 /* transfers at once; more are refused with ERR_LIMIT */

struct file_service;

/* Listens on HANDLE_FILE. `may_serve`: take requests ('G' and a put's 'O') from the parent; without
 * it (the controller) only transfers that this process asked for are taken part in, because a child
 * must not read or write its parent's files. */
struct file_service *file_service_create(struct router *r, bool may_serve);
/* Aborts what runs (answers say ERR_CLOSED), removes temporary files, joins the worker. Not on the loop
 * role. NULL is fine. */
void file_service_destroy(struct file_service *s);

/* How far a transfer is: bytes of its content, and of how many (0: not known yet). Counted; any thread reads it. */
struct file_progress {
    atomic_uint refs;
    _Atomic uint64_t done, size;
};
struct file_progress *file_progress_create(void);  /* returns owned */
void file_progress_unref(struct file_progress *p); /* NULL is fine */

struct file_attributes {
    int64_t mode; /* permission bits, or -1: the source's */
    const char
        *owner; /* name or decimal id, NULL or "": unchanged. Resolved at the sink, where names
                        * are those of /etc/passwd and /etc/group */
    const char *group;
    struct file_progress
        *progress; /* of the transfer, which holds a reference of its own; NULL is fine */
};

/*
 * Start a transfer with a context that this process may ask. The answer is posted to mb as a message
 * with handle HANDLE_FILE, src = the context, seq = the number returned: payload pack u8 'R', u8
 * changed, u64 bytes sent, u64 size, bytes checksum (16 of them); or with FRAME_ERROR pack u8 -code, str
 * text that names the file, the side and the cause. Exactly one answer comes, also when the context is
 * lost. a may be NULL; it and the paths are copied. Returns 0 if nothing was started (err). Any thread.
 */
uint32_t file_put(struct file_service *s, struct context *to, const char *local, const char *remote,
    const struct file_attributes *a, struct mailbox *mb, struct err *err);
uint32_t file_get(struct file_service *s, struct context *from, const char *remote,
    const char *local, const struct file_attributes *a, struct mailbox *mb, struct err *err);
/* Gives it up; the answer says ERR_CANCELLED, if it is not on its way already. Any thread. */
void file_cancel(struct file_service *s, uint32_t seq);

#endif
