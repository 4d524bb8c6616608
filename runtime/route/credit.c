/*
 * Where flows (flow.h) meet messages: what is counted, who is cut off, and how credit travels.
 */
#include <stdlib.h>

#include "counters.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "router_internal.h"

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

struct msg *
credit_refusal(uint32_t handle, int code)
{
    struct buf b = {0};
    struct msg *m;

    pack_u32(&b, handle);
    pack_u8(&b, (uint8_t)-code);
    m = pack_msg(HANDLE_CLOSED, &b);
    buf_fini(&b);
    return m;
}

void
credit_refuse(struct router *r, uint32_t peer, uint32_t handle, int code)
{
    struct context *c;

    if (peer == r->self) {
        flows_refused(r->flows, peer, handle, code);
        return;
    }
    c = router_context(r, peer);
    if (!c)
        return;
    if (router_send(c, credit_refusal(handle, code), NULL) < 0)
        log_debug(
            "route", "context %u does not hear that %s is closed", peer, frame_handle_name(handle));
    context_unref(c);
}

/* Reserved handles close with their process, which is noticed otherwise. */
static void
part(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    if (handle >= HANDLE_DYNAMIC)
        credit_refuse(arg, peer, handle, ERR_CLOSED);
    else if (bytes > 0)
        credit_give(arg, peer, handle, bytes);
}

void
credit_close(struct router *r, uint32_t handle)
{
    flows_close(r->flows, handle, part, r);
}

void
router_credit(struct router *r, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    bytes = flows_take(r->flows, peer, handle, bytes);
    if (bytes > 0)
        credit_give(r, peer, handle, bytes);
}

void
router_credit_all(struct router *r, uint32_t handle)
{
    credit_close(r, handle);
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

void
credit_refusal_arrived(struct router *r, struct msg *m)
{
    struct unpack u;
    uint32_t handle;
    int code;

    unpack_init(&u, msg_payload(m), m->h.length);
    handle = unpack_u32(&u);
    code = -unpack_u8(&u);
    if (unpack_done(&u, "CLOSED", NULL) < 0 || (code != ERR_CLOSED && code != ERR_DENIED))
        count(messages_dropped);
    else
        flows_refused(r->flows, m->h.src, handle, code);
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
    err_set(&why, ERR_LIMIT, "floods handle %s: more than %llu MiB wait, and it goes on",
        frame_handle_name(m->h.handle), FLOW_FLOOD >> 20);
    if (s) {
        log_warn("route", "%s (context %u) %s: cut off", stream_name(s), m->h.src, why.msg);
        count(messages_dropped);
        stream_close(s, &why, 0);
    } else {
        router_refused(r, m->h.src, why.msg);
    }
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
