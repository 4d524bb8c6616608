/*
 * What comes in on streams: the check of who may send it, and its way on, or in.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "counters.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "router_internal.h"

/* A child whose messages pile up here waits until they are gone. */
#define FORWARD_HIGH (4u << 20)

void
router_warn(struct router *r, uint32_t id, const char *fmt, ...)
{
    struct context *c = router_context(r, id);
    struct stream *s = c && c->stream ? c->stream : r->parent;
    char text[500];
    va_list ap;

    if (!s || stream_warns(s)) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        log_warn("route", "%s (context %u) %s", c ? c->name : "one that is lost", id, text);
    }
    context_unref(c);
}

void
router_refused(struct router *r, uint32_t src, const char *what)
{
    count(messages_dropped);
    router_warn(r, src, "%s", what);
}

/* ---- siblings ---- */

/* Lock held. */
static struct allowed *
find_allowed(struct router *r, uint32_t a, uint32_t b)
{
    struct allowed *p;

    LIST_FOREACH(p, &r->allowed[(a ^ b) % ROUTER_BUCKETS], link)
        if ((p->a == a && p->b == b) || (p->a == b && p->b == a))
            return p;
    return NULL;
}

/* Lock held. Borrowed. */
static struct context *
find_below(struct router *r, uint32_t id)
{
    struct context *c = router_find(r, id);

    return c && c->via ? c : NULL;
}

/* Both are behind one child, which is for that to see to. Where one of them is the child itself, the other
 * is its descendant, and they may talk anyhow. */
static void
allow_below(struct stream *s, uint32_t a, uint32_t b)
{
    struct buf p = {0};
    struct msg *m;

    pack_u32(&p, a);
    pack_u32(&p, b);
    m = pack_msg(HANDLE_ALLOW, &p);
    buf_fini(&p);
    m->owed = true;
    if (stream_send(s, m, NULL) < 0)
        log_debug("route", "%s: no ALLOW on a closed stream", stream_name(s));
}

/* Lock held. */
static void
enter_allowed(struct router *r, uint32_t a, uint32_t b)
{
    struct allowed *p;

    if (find_allowed(r, a, b))
        return;
    p = xcalloc(1, sizeof *p);
    p->a = a;
    p->b = b;
    LIST_INSERT_HEAD(&r->allowed[(a ^ b) % ROUTER_BUCKETS], p, link);
}

int
router_allow(struct router *r, uint32_t a, uint32_t b, struct err *err)
{
    struct context *ca, *cb;
    struct stream *common = NULL;

    pthread_mutex_lock(&r->lock);
    ca = find_below(r, a);
    cb = find_below(r, b);
    if (ca && cb && ca->via != cb->via)
        enter_allowed(r, a, b);
    else if (ca && cb && a != ca->via && b != cb->via && a != b)
        common = stream_ref(ca->stream);
    pthread_mutex_unlock(&r->lock);
    if (!ca || !cb)
        return err_set(err, ERR_DEAD, "context %u is not known here (any more)", ca ? b : a);
    if (common) {
        allow_below(common, a, b);
        stream_unref(common);
    }
    return 0;
}

bool
router_may_know(struct router *r, uint32_t a, uint32_t b)
{
    struct context *from, *of;
    bool may;

    pthread_mutex_lock(&r->lock);
    from = router_find(r, a);
    of = router_find(r, b);
    may = !of || !of->via || !from || !from->via || from->via == of->via || find_allowed(r, a, b);
    pthread_mutex_unlock(&r->lock);
    return may;
}

size_t
router_disallow(struct router *r, uint32_t id, uint32_t **others)
{
    struct allowed *p, *next;
    size_t count = 0;

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < ROUTER_BUCKETS; i++)
        for (p = LIST_FIRST(&r->allowed[i]); p; p = next) {
            next = LIST_NEXT(p, link);
            if (id != CONTEXT_NONE && p->a != id && p->b != id)
                continue;
            if (others) {
                *others = xrealloc(*others, (count + 1) * sizeof **others);
                (*others)[count] = p->a == id ? p->b : p->a;
            }
            count++;
            LIST_REMOVE(p, link);
            free(p);
        }
    pthread_mutex_unlock(&r->lock);
    return count;
}

/* Is this the nearest common ancestor of the destination, and of who sends to it from below? */
static bool
is_crossing(struct router *r, uint32_t dst)
{
    bool crossing;

    pthread_mutex_lock(&r->lock);
    crossing = !r->parent || find_below(r, dst);
    pthread_mutex_unlock(&r->lock);
    return crossing || tree_is_ours(r, dst);
}

/* From one child to another: what was handed out, where the script allowed it, and nothing else. */
static bool
sibling_may(struct router *r, const struct frame_header *h)
{
    bool may;

    if (h->handle < HANDLE_DYNAMIC && h->handle != HANDLE_CREDIT && h->handle != HANDLE_CLOSED)
        return false;
    pthread_mutex_lock(&r->lock);
    may = find_allowed(r, h->src, h->dst) != NULL;
    pthread_mutex_unlock(&r->lock);
    return may;
}

/* From a guest to what is below: what a parent asks of a child, but nothing about the tree. Who hears from it
 * may answer from then on. */
static bool
guest_may(struct router *r, const struct frame_header *h)
{
    bool of_flow = h->handle == HANDLE_CREDIT || h->handle == HANDLE_CLOSED;
    struct context *to;
    bool may;

    if ((h->handle < HANDLE_CALL && !of_flow) || h->handle == HANDLE_MODULE)
        return false;
    pthread_mutex_lock(&r->lock);
    to = find_below(r, h->dst);
    may = to && !to->guest;
    if (may)
        enter_allowed(r, h->src, h->dst);
    pthread_mutex_unlock(&r->lock);
    return may;
}

/* May a message from below, which is not for us, go on? */
static bool
may_pass(struct router *r, const struct frame_header *h)
{
    if (h->auth == r->self) /* stamped so: a guest's */
        return guest_may(r, h);
    return !is_crossing(r, h->dst) || sibling_may(r, h);
}

/* ---- through ---- */

/* Where messages for a context go on: what is not known here is the parent's to find. Never back to where
 * they came from, which would drop them, and their sender would wait for ever. Returns one reference. */
static struct stream *
way_to(struct router *r, uint32_t id, const struct stream *from)
{
    struct stream *s = NULL;
    struct context *c;

    pthread_mutex_lock(&r->lock);
    c = router_find(r, id);
    s = c ? c->stream : r->parent;
    if (s)
        s = s == from ? NULL : stream_ref(s);
    pthread_mutex_unlock(&r->lock);
    return s;
}

/* A message from a child that goes no further: it may send others, wherever this one was to go. */
static void
return_credit(struct router *r, struct stream *from, const struct frame_header *h)
{
    struct msg *m;

    if (from == r->parent || !flow_counts(h))
        return;
    m = credit_message(h->handle, h->flags & FRAME_MORE ? h->length : flow_cost(h->length));
    m->h.dst = h->src;
    m->h.src = h->dst;
    if (stream_send(from, m, NULL) < 0)
        log_debug("route", "context %u gets no credit back", h->src);
}

/* The same for one that may not go where it was to go: who sent it is told, in the name of who was to get it. */
static void
return_refusal(struct router *r, struct stream *from, const struct frame_header *h)
{
    struct msg *m;

    if (!flow_counts(h) || h->handle < HANDLE_DYNAMIC || (h->flags & FRAME_MORE)) {
        return_credit(r, from, h);
        return;
    }
    m = credit_refusal(h->handle, ERR_DENIED);
    m->h.dst = h->src;
    m->h.src = h->dst;
    if (stream_send(from, m, NULL) < 0)
        log_debug("route", "context %u is not told that it may not send", h->src);
}

/* Sends on with the header as it is; what cannot go is answered or dropped. Takes m. */
static void
forward(struct router *r, struct stream *from, struct msg *m)
{
    struct stream *s = way_to(r, m->h.dst, from);
    struct frame_header h = m->h;
    struct err why;

    if (!s && from == r->parent && tree_is_ours(r, h.dst)) {
        /* All above hear of its end, and why: that is behind what has gone up before. */
        count(messages_dropped);
        msg_unref(m);
        return;
    }
    if (!s) {
        err_set(&why, ERR_DEAD, "context %u is not known here (any more)", h.dst);
        return_credit(r, from, &h);
        router_refuse(r, m, &why);
        return;
    }
    if (stream_send(s, m, &why) < 0) {
        count(messages_dropped);
        return_credit(r, from, &h);
        if ((h.flags & (FRAME_MORE | FRAME_CONT)) != (FRAME_MORE | FRAME_CONT))
            router_answer_for(r, &h, &why);
    } else {
        if (!(h.flags & FRAME_MORE))
            count(messages_forwarded);
        if (from != r->parent && stream_queued(s) > FORWARD_HIGH)
            stream_wait_for(from, s);
    }
    stream_unref(s);
}

/* ---- in ---- */

/* The parent knows that a context is lost that might talk to this one. */
static void
lost_elsewhere(struct router *r, struct msg *m)
{
    struct err why = {0};
    struct context *c;
    struct unpack u;
    char *text, *name;

    unpack_init(&u, msg_payload(m), m->h.length);
    why.code = -unpack_u8(&u);
    text = unpack_str(&u);
    name = unpack_str(&u);
    if (unpack_done(&u, "DEAD", &why) == 0) {
        err_set(&why, why.code, "%s", text);
        count_n(COUNT_messages_dropped, pieces_drop_source(&r->pieces, m->h.src));
        c = context_create(r, NULL, m->h.src, name, name);
        atomic_store(&c->dead, true);
        flows_lost(r->flows, c->id);
        router_announce(r, c, &why);
        context_unref(c);
    }
    free(text);
    free(name);
}

/* For this process. Takes m. */
static void
arrive(struct router *r, struct stream *s, struct msg *m)
{
    struct err err;
    int rc;

    if (m->h.handle == HANDLE_DEAD && s == r->parent) {
        lost_elsewhere(r, m);
        msg_unref(m);
        return;
    }
    rc = pieces_add(&r->pieces, s, &m, &err);
    if (rc == PIECES_WHOLE) {
        router_deliver(r, m);
    } else if (rc == PIECES_STRAY) {
        err_set(
            &err, ERR_LIMIT, "the beginning of a message to %s was refused on its way", r->name);
        router_refuse(r, m, &err);
    } else if (rc < 0) {
        log_warn("route", "%s: %s", stream_name(s), err.msg);
        count(messages_dropped);
        msg_unref(m);
        /* The parent may have it from somebody else, whom it cannot have seen through. */
        if (s != r->parent) {
            err_prefix(&err, "malformed input from the far side");
            stream_close(s, &err, 0);
        }
    }
}

/* Reverse-path check of a message that came from below: 0 and the stamp, or negative. */
static int
stamp(struct router *r, struct stream *s, struct msg *m)
{
    struct context *c;
    uint32_t via = 0;
    bool ours = false;

    pthread_mutex_lock(&r->lock);
    c = router_find(r, m->h.src);
    if (c && c->stream == s) {
        via = c->via;
        ours = c->guest && m->h.dst != r->self;
    }
    pthread_mutex_unlock(&r->lock);
    if (!via) {
        count(messages_dropped);
        if (stream_warns(s))
            log_warn("route", "%s sent a message as context %u, which it is not: dropped",
                stream_name(s), m->h.src);
        return ERR_DENIED;
    }
    m->h.auth = ours ? r->self : via;
    return 0;
}

/* Where a frame leads to. Takes m. */
static void
route(struct router *r, struct stream *s, struct msg *m)
{
    bool below = s != r->parent;
    struct err why;

    if (frame_is_for_router(&m->h)) {
        tree_frame(r, s, m);
        return;
    }
    if (below && stamp(r, s, m) < 0) {
        msg_unref(m);
        return;
    }
    if (m->h.dst == r->self) {
        arrive(r, s, m);
    } else if (below && !may_pass(r, &m->h)) {
        if (stream_warns(s))
            log_warn("route", "%s to context %u: it may not send %s there", stream_name(s),
                m->h.dst, frame_handle_name(m->h.handle));
        err_set(&why, ERR_DENIED, "context %u may not send to context %u", m->h.src, m->h.dst);
        return_refusal(r, s, &m->h);
        router_refuse(r, m, &why);
    } else {
        forward(r, s, m);
    }
}

void
router_frame(struct router *r, struct stream *s, struct msg *m)
{
    route(r, s, m);
    /* Who asks, and does not read what it gets, is not heard until it has. */
    if (s != r->parent && stream_queued(s) > STREAM_QUEUE_MAX)
        stream_wait_for(s, s);
}

/* ---- loss ---- */

void
router_tell_dead(
    struct router *r, uint32_t id, uint32_t lost, const char *name, const struct err *why)
{
    struct frame_header to = {.src = id, .dst = lost, .reply = HANDLE_DEAD};
    struct stream *s = NULL;
    struct context *c;

    pthread_mutex_lock(&r->lock);
    c = find_below(r, id);
    if (c)
        s = stream_ref(c->stream);
    pthread_mutex_unlock(&r->lock);
    if (s && stream_send(s, msg_dead(&to, why, name), NULL) < 0)
        log_debug("route", "context %u does not hear of the end of %s", id, name);
    stream_unref(s);
}

/* Those that might talk to it hear of its end. */
static void
tell_siblings(struct router *r, const struct context *c, const struct err *why)
{
    uint32_t *others = NULL;
    size_t count = router_disallow(r, c->id, &others);

    for (size_t i = 0; i < count; i++)
        router_tell_dead(r, others[i], c->id, c->name, why);
    free(others);
}

/* Nobody sends there from now on. */
static void
mark_lost(struct context *c, const struct err *why)
{
    c->why = xmalloc(sizeof *why);
    *c->why = *why;
    atomic_store_explicit(&c->dead, true, memory_order_release);
}

/* Takes c. */
static void
tell_lost(struct router *r, struct context *c)
{
    count_n(COUNT_messages_dropped, pieces_drop_source(&r->pieces, c->id));
    flows_lost(r->flows, c->id);
    tell_siblings(r, c, c->why);
    router_announce(r, c, c->why);
    if (c->via && !c->guest)
        tree_withdraw(r, c, c->why);
    context_unref(c);
}

void
router_lose(struct router *r, struct context *c, const struct err *why)
{
    pthread_mutex_lock(&r->lock);
    LIST_REMOVE(c, link);
    pthread_mutex_unlock(&r->lock);
    mark_lost(c, why);
    tell_lost(r, c);
}

/* Takes all that a stream leads to out of the table. Returns the direct child among them, if there is one. */
static struct context *
take_lost(struct router *r, const struct stream *s, struct context_list *lost)
{
    struct context *c, *next, *child = NULL;

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < ROUTER_BUCKETS; i++)
        for (c = LIST_FIRST(&r->contexts[i]); c; c = next) {
            next = LIST_NEXT(c, link);
            if (c->stream != s)
                continue;
            LIST_REMOVE(c, link);
            LIST_INSERT_HEAD(lost, c, link);
            if (c->id == c->via)
                child = c;
        }
    pthread_mutex_unlock(&r->lock);
    return child;
}

void
router_lost(struct router *r, struct stream *s, const struct err *why)
{
    struct context_list lost = LIST_HEAD_INITIALIZER(lost);
    struct context *c, *child = take_lost(r, s, &lost);
    struct err behind = *why;

    count_n(COUNT_messages_dropped, pieces_drop_stream(&r->pieces, s));
    if (child) /* those behind it are lost for another reason than their own */
        err_set(&behind, why->code, "lost with %s: %s", child->route, why->msg);
    LIST_FOREACH(c, &lost, link)
        mark_lost(c, c == child ? why : &behind);
    while ((c = LIST_FIRST(&lost))) {
        LIST_REMOVE(c, link);
        tell_lost(r, c);
    }
    tree_lost(r, s, why);
}
