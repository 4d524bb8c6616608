/*
 * A message in memory: header fields, and one contiguous block that is the frame as it goes on the
 * wire, so that sending is one write of one buffer and forwarding copies nothing. A payload of more
 * than FRAME_PIECE is cut into frames while it is written.
 *
 * Ownership: counted. msg_new gives one reference; msg_ref takes another; msg_unref drops one.
 * Functions that take a message say whether they take the reference ("takes") or not ("borrows").
 * Threading: the count is atomic. The content is written by its creator before it is handed over,
 * and not after. A message sits in at most one queue at a time.
 */
#ifndef ORRERY_MSG_H
#define ORRERY_MSG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "frame.h"

struct msg {
    TAILQ_ENTRY(msg) link; /* whoever holds the queue */
    atomic_uint refs;
    bool lazy;  /* may share a write with what is sent soon after it; nobody waits for an answer */
    bool owed;  /* an answer: never refused for want of room, since somebody waits for it */
    bool quiet; /* keeps a link or a transfer going: nobody sees if it takes a little longer */
    struct frame_header h;
    uint8_t wire[]; /* FRAME_HEADER bytes (filled by msg_seal), then h.length bytes of payload */
};

TAILQ_HEAD(msg_queue, msg);

/* A message with room for `length` bytes of payload, header zeroed but for the length. */
struct msg *msg_new(uint32_t length);
/* The same with a copy of the payload. */
struct msg *msg_with(uint32_t handle, const void *payload, uint32_t length);
/* A FRAME_DEAD message that answers `to` (borrowed): err.code, err.msg, the name of what was lost. */
struct msg *msg_dead(const struct frame_header *to, const struct err *err, const char *name);
struct msg *msg_ref(struct msg *m);
void msg_unref(struct msg *m);
void msg_queue_clear(struct msg_queue *q);

static inline uint8_t *
msg_payload(struct msg *m)
{
    return m->wire + FRAME_HEADER;
}

/* Writes h into the wire block. Called by whoever sends, once the header is final. */
void msg_seal(struct msg *m);

#endif
