/*
 * Where flows (flow.h) meet messages: what is counted, who is cut off, and how credit travels.
 */
#include <stdlib.h>

#include "counters.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "router_internal.h"

/* Takes what a sender counted: values for a call, or for a receiver. Answers are no flow. */
bool
credit_counts(const struct frame_header *h)
{
    return flow_leads_to(h->handle) && !(h->flags & (FRAME_DEAD | FRAME_ERROR));
}

struct msg *
credit_message(uint32_t handle, uint32_t bytes)
{
    struct buf b = {0};
    struct msg *m;

    pack_u32(&b, handle);
    pack_u32(&b, bytes);
    m = pack_msg(HANDLE_CREDIT, &b);
    buf_fini(&b);
    return m;
}

void
credit_give(struct router *r, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    struct context *c;

    if (peer == r->self) {
        flows_credit(r->flows, peer, handle, bytes);
        return;
    }
    c = router_context(r, peer);
    if (!c)
        return;
    if (router_send(c, credit_message(handle, bytes), NULL) < 0)
        log_debug("route", "credit for context %u is lost with it", peer);
    context_unref(c);
}

static void
give_back(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    credit_give(arg, peer, handle, bytes);
}

void
credit_close(struct router *r, uint32_t handle)
{
    flows_close(r->flows, handle, give_back, r);
}

void
router_credit(struct router *r, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    bytes = flows_take(r->flows, peer, handle, bytes);
    if (bytes > 0)
        credit_give(r, peer, handle, bytes);
}

void
credit_arrived(struct router *r, struct msg *m)
{
    struct unpack u;
    uint32_t handle, bytes;

    unpack_init(&u, msg_payload(m), m->h.length);
    handle = unpack_u32(&u);
    bytes = unpack_u32(&u);
    if (unpack_done(&u, "CREDIT", NULL) < 0)
        count(messages_dropped);
    else
        flows_credit(r->flows, m->h.src, handle, bytes);
    msg_unref(m);
}

/* The stream to a direct child, or NULL. Returns one reference. */
static struct stream *
stream_of_child(struct router *r, uint32_t id)
{
    struct stream *s = NULL;
    struct context *c;

    pthread_mutex_lock(&r->lock);
    c = router_find(r, id);
    if (c && c->via == id)
        s = stream_ref(c->stream);
    pthread_mutex_unlock(&r->lock);
    return s;
}

bool
credit_admits(struct router *r, const struct msg *m)
{
    struct stream *s;
    struct err why;

    if (flows_receive(r->flows, m->h.src, m->h.handle, flow_cost(m->h.length)))
        return true;
    s = stream_of_child(r, m->h.src);
    err_set(&why, ERR_LIMIT, "context %u floods handle %s: more than %llu MiB wait, and it goes on",
        m->h.src, frame_handle_name(m->h.handle), FLOW_FLOOD >> 20);
    log_warn("route", "%s: %s", s ? "cut off" : "dropped", why.msg);
    count(messages_dropped);
    if (s)
        stream_close(s, &why, 0);
    stream_unref(s);
    return false;
}

/* ---- mailboxes that fill up: with answers, or because a sender ignores windows ---- */

/* A child that is not read until a mailbox has room again. */
struct hold {
    struct mailbox_hold base;
    struct stream *stream; /* a reference */
};

static void
on_room(struct loop_work *w)
{
    struct hold *h = owner_of(w, struct hold, base.work);

    stream_pause(h->stream, false);
    stream_unref(h->stream);
    free(h);
}

void
router_post(struct router *r, struct mailbox *mb, struct msg *m)
{
    uint32_t from = m->h.auth; /* the child it came from; nobody ever stops reading from a parent */
    struct stream *s;
    struct hold *h;

    mailbox_post(mb, m);
    if (!mailbox_is_full(mb) || !(s = stream_of_child(r, from)))
        return;
    h = xcalloc(1, sizeof *h);
    h->base.loop = r->loop;
    h->base.work.fn = on_room;
    h->stream = s;
    stream_pause(s, true);
    mailbox_hold(mb, &h->base);
}
