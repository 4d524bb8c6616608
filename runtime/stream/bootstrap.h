/*
 * The parent's side of the bootstrap: what comes from a far `sh` before there are frames.
 *
 * The command that is run at the far end is one line of sh (the stub, bootstrap_command) which finds
 * or receives the agent and execs it. Everything it says to us is a line that starts with a random
 * marker; all else is noise from login shells, kept (its end) to be shown if no agent comes up. After
 * the line "<marker> agent" the bytes are frames. This file has no I/O: bytes in, bytes out.
 *
 *   stub -> parent   <marker> need <kernel> <machine> <form> <directory>   send me an agent
 *                    <marker> skip <directory>: <why>                        tried, does not do
 *                    <marker> fail <why>                                     given up
 *   agent -> parent  <marker> agent                                          frames follow
 *   parent -> stub   per need, and only then: a line "<image->size in decimal>", then the image in the
 *                    form asked for, exactly that many bytes; nothing more before "<marker> agent"
 *
 * The stub execs the agent in its cache directory, as
 *
 *   agent-<hash> <marker> -C <directory> [-u <path>]
 *
 * and the agent goes to <directory> (where the stub was started; it may not be there any more) before
 * it says its line. With -u it unlinks <path>, which is itself, and removes the directory that holds
 * it. As `agent -t` it tests itself: status 0 and no output, or one line on stderr that says why not.
 *
 * Threading: none of its own. The stream drives it on the loop role.
 */
#ifndef ORRERY_BOOTSTRAP_H
#define ORRERY_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

#define BOOTSTRAP_MARKER 24 /* characters, without the NUL */

/* One agent executable, as bytes to send. Borrowed memory that outlives the bootstrap. */
struct bootstrap_image {
    const void *data;
    size_t size;
};

struct bootstrap;

/* Finds the image for an upload: `kernel` and `machine` as uname says them, form
 * xz, gz or raw. NULL result
 * with err filled: there is none for this machine. Called on the loop role; must not block. */
typedef const struct bootstrap_image *(*bootstrap_find)(
    void *arg, const char *kernel, const char *machine, const char *form, struct err *err);

enum bootstrap_state {
    BOOTSTRAP_WAIT, /* more bytes, please */
    BOOTSTRAP_SEND, /* bootstrap_take_image has something to send */
    BOOTSTRAP_DONE, /* frames follow; bootstrap_rest is the first of them */
    BOOTSTRAP_FAILED
};

/* marker: BOOTSTRAP_MARKER hex digits. find may be NULL where the agent is run directly. */
struct bootstrap *bootstrap_create(const char *marker, bootstrap_find find, void *arg);
void bootstrap_destroy(struct bootstrap *b);

/* Feeds bytes. On FAILED, err has code ERR_BOOTSTRAP and a text for a tired operator. Any input is
 * safe; noise is bounded (the last 4 KiB are kept, the stream's deadline bounds the rest). */
enum bootstrap_state bootstrap_feed(struct bootstrap *b, const void *p, size_t n, struct err *err);
/* The image that has to be sent now (once per BOOTSTRAP_SEND), borrowed. Its size goes first, as a
 * line; the sender writes that. */
const struct bootstrap_image *bootstrap_take_image(struct bootstrap *b);
/* After DONE: the bytes behind the marker line, borrowed. */
const void *bootstrap_rest(struct bootstrap *b, size_t *n);
/* Fills err for a far side that ended or timed out before DONE: `why` first ("exited with status 1",
 * "no answer for 30 s"), then what was tried, then the noise, one line, cut to fit. */
void bootstrap_explain(
    struct bootstrap *b, const char *why, const char *stderr_text, struct err *err);
/* Bytes of image asked for so far (0 on a warm cache). */
size_t bootstrap_uploaded(const struct bootstrap *b);

/* What the stub needs to know. */
struct bootstrap_stub {
    const char *marker;
    const char *hash; /* content hash of the agents, hex: the name in the cache */
    bool no_cache;    /* leave nothing behind */
    const char
        *cache; /* a directory to try first: a private one is made inside it; absolute or "~/..";
                        * or NULL */
    bool raw;   /* there is no compressed agent to send */
};

/*
 * The text for `sh -c TEXT`: one line, printable ASCII, without single quote, backslash, exclamation
 * mark or newline, so that any login shell (bash, dash, zsh, ksh, csh, tcsh, fish, busybox) passes it
 * through inside single quotes. Returns owned. At most 3 KB and the length of `cache`. NULL with
 * ERR_ARGUMENT: marker or hash are not hexadecimal, or `cache` holds what cannot be quoted.
 */
char *bootstrap_script(const struct bootstrap_stub *stub, struct err *err) must_check;
/* `exec sh -c '<script>'`, for launchers that hand a command line to a login shell. Returns owned. */
char *bootstrap_command(const struct bootstrap_stub *stub, struct err *err) must_check;

#endif
