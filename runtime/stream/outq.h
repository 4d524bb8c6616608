/*
 * What waits to be written on a stream: answers to prompts and an image for the far stub while it boots,
 * messages after.
 *
 * Messages wait in three lanes. Urgent ones go before normal ones and these before bulk, but a frame that
 * has begun is finished first. Inside a lane they keep their order. A payload above FRAME_PIECE goes as
 * several frames, whose headers are made while they are written, so that nothing is copied; another
 * lane's frames may come between them. Small messages that wait behind one another are copied into one
 * block, which is written as if it were one frame: that costs less than to keep each, and to give each
 * to the kernel.
 *
 * Threading: none of its own; the stream's lock guards it. outq_bytes may be asked without it.
 */
#ifndef ORRERY_OUTQ_H
#define ORRERY_OUTQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bootstrap.h"
#include "mem.h"
#include "msg.h"
#include "transport.h"

enum outq_class { OUTQ_URGENT, OUTQ_NORMAL, OUTQ_BULK, OUTQ_CLASSES };

struct outq_lane {
    struct msg_queue messages; /* sealed, in order */
    size_t sent;               /* wire bytes of the first that are gone */
    struct msg *block;         /* the last, if it is a block that has room for more, else NULL */
    size_t room;               /* of block */
    unsigned small;            /* so many small messages were added in a row */
};

struct outq {
    struct outq_lane lanes[OUTQ_CLASSES];
    struct outq_lane *begun; /* its first message is in the middle of a frame; or NULL */
    atomic_size_t bytes;     /* that wait in the lanes */
    size_t urgent;           /* of them in the urgent one */
    const struct bootstrap_image *image; /* borrowed, or NULL */
    struct buf
        head; /* text in front of it: its size, or the answer to a prompt; wiped once written */
    size_t image_sent;
    uint64_t image_total; /* bytes of all images so far */
};

/* How a message travels: what keeps a link or a flow going is urgent, FRAME_BULK is bulk. */
enum outq_class outq_class(const struct frame_header *h);
/* Bytes of a message on the wire, with the headers of all its pieces. */
size_t outq_wire_size(const struct frame_header *h);

void outq_init(struct outq *q);
/* Drops what is in it. */
void outq_fini(struct outq *q);
static inline size_t
outq_bytes(const struct outq *q)
{
    return atomic_load_explicit(&q->bytes, memory_order_relaxed);
}
static inline bool
outq_empty(const struct outq *q)
{
    return outq_bytes(q) == 0;
}
/* Takes a sealed message of which `sent` bytes are gone already (0 unless the queue is empty). */
void outq_add(struct outq *q, struct msg *m, size_t sent);
/* Queues text for whoever asks before the stub runs. */
void outq_add_answer(struct outq *q, const char *text, size_t n);
/* Queues an image. One at a time. */
void outq_add_image(struct outq *q, const struct bootstrap_image *image);

enum outq_result {
    OUTQ_DONE,  /* it is empty */
    OUTQ_FULL,  /* the transport takes no more now */
    OUTQ_OTHERS /* bulk is left, but somebody else wants the lock */
};
/* Bulk goes to the transport in pieces of this size, and not at all while that keeps bytes back: what is
 * sent next must not wait behind much of it. */
#define OUTQ_SLICE (64u << 10)
/* Writes as much as goes. `others`: how many threads wait for the lock. The negative errno of a transport
 * that is finished. */
int outq_write(struct outq *q, struct transport *t, const atomic_int *others);
/* The same for what goes out while the stream boots. */
int outq_write_boot(struct outq *q, struct transport *t);

#endif
