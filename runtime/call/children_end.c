#include <stdlib.h>

#include "children_internal.h"
#include "log.h"
#include "mem.h"
#include "pack.h"

#define LINGER_MS 3000 /* for each child when the node ends */

/* Gives up a child in whatever state it is. */
static void
child_end(struct child *c, const struct err *why, int64_t linger_ms)
{
    if (c->stream) {
        stream_close(c->stream, why, linger_ms);
    } else if (c->connecting) {
        c->cancelled = true;
        atomic_store(&c->cancel, true);
    } else {
        child_gone(c, why);
    }
}

struct end_work {
    struct loop_work work;
    struct children *cs;
    uint32_t id;
    uint32_t seq;
    int64_t linger_ms;
};

/* Whoever has opened it is on the way to it. */
static void
close_behind(struct children *cs, uint32_t id, int64_t linger_ms)
{
    struct context *c = router_context(cs->router, id), *child = NULL;
    struct buf b = {0};
    struct msg *m;

    if (c && c->via && c->via != id)
        child = router_context(cs->router, c->via);
    if (child) {
        pack_u32(&b, id);
        pack_u64(&b, (uint64_t)linger_ms);
        m = pack_msg(HANDLE_CLOSE, &b);
        m->h.flags = FRAME_BULK;
        m->owed = true;
        buf_fini(&b);
        if (router_send(child, m, NULL) < 0)
            log_debug("children", "%s is lost with %s", c->name, child->name);
    }
    context_unref(child);
    context_unref(c);
}

static void
end_one(struct loop_work *w)
{
    struct end_work *e = (struct end_work *)w;
    struct child *c, *next;
    struct err why;

    if (e->id)
        close_behind(e->cs, e->id, e->linger_ms);
    for (c = TAILQ_FIRST(&e->cs->list); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (e->id && c->id == e->id && c->context) {
            err_set(&why, ERR_CLOSED, "%s was closed", c->request->name);
            child_end(c, &why, e->linger_ms);
        } else if (e->seq && c->seq == e->seq && !c->context) {
            err_set(&why, ERR_CANCELLED, "opening %s was cancelled", c->request->name);
            child_end(c, &why, 0);
        }
    }
    free(e);
}

static void
defer_end(struct children *cs, uint32_t id, uint32_t seq, int64_t linger_ms)
{
    struct end_work *e = xcalloc(1, sizeof *e);

    *e = (struct end_work){
        .work.fn = end_one, .cs = cs, .id = id, .seq = seq, .linger_ms = linger_ms};
    loop_defer(cs->loop, &e->work);
}

void
children_cancel(struct children *cs, uint32_t seq)
{
    defer_end(cs, 0, seq, 0);
}

void
children_close(struct children *cs, uint32_t id, int64_t linger_ms)
{
    defer_end(cs, id, 0, linger_ms);
}

static void
on_close(struct router *r, struct msg *m, void *arg)
{
    struct unpack u;
    uint32_t id;
    uint64_t linger_ms;

    unpack_init(&u, msg_payload(m), m->h.length);
    id = unpack_u32(&u);
    linger_ms = unpack_u64(&u);
    if (unpack_done(&u, "CLOSE", NULL) == 0)
        children_close(arg, id, linger_ms < INT32_MAX ? (int64_t)linger_ms : INT32_MAX);
    msg_unref(m);
}

void
children_listen(struct children *cs)
{
    static const struct handle_ops ops = {.message = on_close};

    router_listen(cs->router, HANDLE_CLOSE, HANDLE_FROM_PARENT, &ops, cs);
}

static void
close_all(void *arg)
{
    struct children *cs = arg;
    struct child *c, *next;
    struct err why;

    cs->closing = true;
    loop_timer_fini(&cs->more);
    if (TAILQ_EMPTY(&cs->list))
        sem_post(&cs->empty);
    for (c = TAILQ_FIRST(&cs->list); c; c = next) {
        next = TAILQ_NEXT(c, link);
        err_set(&why, ERR_CLOSED, "%s was closed", c->request->name);
        child_end(c, &why, c->context ? LINGER_MS : 0);
    }
}

void
children_end(struct children *cs)
{
    router_unlisten(cs->router, HANDLE_CLOSE);
    loop_sync(cs->loop, close_all, cs);
    while (sem_wait(&cs->empty) < 0)
        ;
}
