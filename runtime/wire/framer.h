/*
 * The frame decoder: bytes in, messages out. It owns the buffer that bytes are read into, so that the
 * payload of a large frame is read straight to where it stays. A frame is one message here; pieces are
 * put together where they arrive (route/pieces.h).
 *
 *     framer_space(f, &p, &n);  got = read(fd, p, n);
 *     if (framer_push(f, got, &err) < 0) ... the peer is broken, err says how ...
 *     while ((m = framer_next(f))) ... owned by the caller ...
 *
 * Threading: none of its own; the stream's lock guards it.
 */
#ifndef ORRERY_FRAMER_H
#define ORRERY_FRAMER_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "msg.h"

struct framer {
    struct msg_queue ready; /* complete messages, in order */
    struct msg *partial;    /* a large frame being read in place, or NULL */
    size_t filled;          /* wire bytes of partial that are there */
    struct buf in;          /* bytes that no message has yet */
};

void framer_init(struct framer *f);
void framer_fini(struct framer *f);
/* Where the next bytes go. Valid until the next call; n is at least 1. */
void framer_space(struct framer *f, void **p, size_t *n);
/* `n` bytes were put at framer_space's place. Negative: the input is not frames; f stays safe. */
int framer_push(struct framer *f, size_t n, struct err *err) must_check;
/* The same for bytes that are elsewhere (what followed a bootstrap). */
int framer_feed(struct framer *f, const void *p, size_t n, struct err *err) must_check;
/* The next complete message (owned by the caller), or NULL. */
struct msg *framer_next(struct framer *f);

#endif
