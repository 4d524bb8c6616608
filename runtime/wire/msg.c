#include "msg.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "pack.h"

struct msg *
msg_new(uint32_t length)
{
    struct msg *m = xmalloc(sizeof *m + FRAME_HEADER + length);

    memset(m, 0, sizeof *m);
    atomic_init(&m->refs, 1);
    m->h.length = length;
    return m;
}

struct msg *
msg_with(uint32_t handle, const void *payload, uint32_t length)
{
    struct msg *m = msg_new(length);

    m->h.handle = handle;
    if (length)
        memcpy(msg_payload(m), payload, length);
    return m;
}

struct msg *
msg_dead(const struct frame_header *to, const struct err *err, const char *name)
{
    struct buf b = {0};
    struct msg *m;

    pack_u8(&b, (uint8_t)-err->code);
    pack_str(&b, err->msg);
    pack_str(&b, name);
    m = pack_msg(to->reply, &b);
    buf_fini(&b);
    m->h.flags = FRAME_DEAD;
    m->h.dst = to->src;
    m->h.src = to->dst;
    m->h.seq = to->seq;
    return m;
}

struct msg *
msg_ref(struct msg *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void
msg_unref(struct msg *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        free(m);
}

void
msg_queue_clear(struct msg_queue *q)
{
    struct msg *m;

    while ((m = TAILQ_FIRST(q))) {
        TAILQ_REMOVE(q, m, link);
        msg_unref(m);
    }
}

void
msg_seal(struct msg *m)
{
    frame_encode(&m->h, m->wire);
}
