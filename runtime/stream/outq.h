/*
 * What waits to be written on a stream: an image for the far stub while it boots, messages after.
 *
 * Threading: none of its own; the stream's lock guards it.
 */
#ifndef ORRERY_OUTQ_H
#define ORRERY_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bootstrap.h"
#include "mem.h"
#include "msg.h"
#include "transport.h"

struct outq {
    struct msg_queue messages;           /* sealed, in order */
    size_t sent;                         /* bytes of the first that are gone */
    size_t bytes;                        /* that wait in messages */
    const struct bootstrap_image *image; /* borrowed, or NULL */
    struct buf image_size;               /* the line in front of it */
    size_t image_sent;
    uint64_t image_total; /* bytes of all images so far */
};

void outq_init(struct outq *q);
/* Drops what is in it. */
void outq_fini(struct outq *q);
static inline bool
outq_empty(const struct outq *q)
{
    return TAILQ_EMPTY(&q->messages);
}
/* Takes a sealed message of which `sent` bytes are gone already (0 unless the queue is empty). */
void outq_add(struct outq *q, struct msg *m, size_t sent);
/* Queues an image. One at a time. */
void outq_add_image(struct outq *q, const struct bootstrap_image *image);
/* Write as much as goes: 0, or the negative errno of a transport that is finished. */
int outq_write(struct outq *q, struct transport *t);
int outq_write_image(struct outq *q, struct transport *t);

#endif
