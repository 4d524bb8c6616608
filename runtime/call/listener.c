#include "listener.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "handshake.h"
#include "log.h"
#include "meeting.h"
#include "mem.h"
#include "pack.h"
#include "process.h"

enum {
    KEEPALIVE_MS = 15000,
    LINGER_MS = 500, /* for what is on its way to a guest at the end */
    PAUSE_MS = 100   /* after an accept that failed, for want of descriptors */
};

/* All [L]. */
struct guest {
    TAILQ_ENTRY(guest) link;
    struct listener *owner;
    struct stream *stream;
    struct context *context;    /* NULL before CONFIG was sent */
    struct loop_timer patience; /* until HELLO */
    struct id_wait id_wait;
    char name[32];
};

TAILQ_HEAD(guest_list, guest);

/* [I] immutable, [L] loop role only */
struct listener {
    struct router *router;   /* [I] */
    struct loop *loop;       /* [I] */
    int64_t hello_ms;        /* [I] */
    struct meeting meeting;  /* [I] */
    struct loop_fd fd;       /* [L] */
    struct loop_timer again; /* [L] */
    struct guest_list list;  /* [L] */
    int count;               /* [L] */
    bool closing;            /* [L] */
    sem_t empty;             /* posted when closing and the list is empty */
};

/* ---- guests ---- */

static void
guest_free(void *arg)
{
    struct guest *g = arg;

    context_unref(g->context);
    stream_unref(g->stream);
    free(g);
}

static int
send_config(struct guest *g, uint32_t id, const char *route, struct err *err)
{
    struct router *r = g->owner->router;
    struct config config = {.id = id, .ancestor_count = 1, .name = g->name};

    config.ancestors[0] = router_self(r);
    config.ancestor_count += router_ancestors(r, config.ancestors + 1, HANDSHAKE_DEPTH - 1);
    config.route = (char *)(uintptr_t)route;
    config.agent = "";
    config.keepalive_ms = KEEPALIVE_MS;
    return stream_send(g->stream, config_make(&config), err);
}

static void
on_id(struct id_wait *w, uint32_t first, const struct err *why)
{
    struct guest *g = owner_of(w, struct guest, id_wait);
    char route[48];
    struct err err;

    snprintf(route, sizeof route, "attach:%s", g->name);
    if (!first || send_config(g, first, route, &err) < 0) {
        stream_close(g->stream, first ? &err : why, 0);
        return;
    }
    g->context = router_add_guest(g->owner->router, g->stream, first, g->name, route);
    log_info("attach", "%s is context %u", g->name, first);
}

/* The first frame; there is no second one until it was answered. Takes m. */
static void
greet(struct guest *g, struct msg *m)
{
    struct hello hello = {0};
    struct err err;
    int rc = 0;

    if (g->id_wait.fn)
        rc = err_set(&err, ERR_PROTOCOL, "a second frame ahead of CONFIG");
    else
        rc = hello_parse(&hello, m, &err);
    hello_fini(&hello);
    msg_unref(m);
    if (rc < 0) {
        stream_close(g->stream, &err, 0);
        return;
    }
    loop_timer_stop(&g->patience);
    g->id_wait.count = 1;
    g->id_wait.fn = on_id;
    router_want_ids(g->owner->router, &g->id_wait);
}

static void
on_frame(struct stream *s, struct msg *m, void *arg)
{
    struct guest *g = arg;
    struct err why;

    if (!g->context) {
        greet(g, m);
    } else if (frame_is_for_router(&m->h)) {
        err_set(&why, ERR_PROTOCOL, "a guest has nothing below it to speak of");
        msg_unref(m);
        stream_close(s, &why, 0);
    } else {
        router_frame(g->owner->router, s, m);
    }
}

static void
on_closed(struct stream *s, const struct err *why, void *arg)
{
    struct guest *g = arg;
    struct listener *l = g->owner;

    if (g->context)
        router_lost(l->router, s, why);
    if (!g->context && !l->closing)
        log_warn("attach", "%s did not come in: %s", g->name, why->msg);
    else
        log_info("attach", "%s has gone: %s", g->name, why->msg);
    loop_timer_fini(&g->patience);
    router_unwant_ids(l->router, &g->id_wait);
    TAILQ_REMOVE(&l->list, g, link);
    l->count--;
    loop_reap(l->loop, guest_free, g);
    if (l->closing && TAILQ_EMPTY(&l->list))
        sem_post(&l->empty);
}

static void
on_patience(struct loop_timer *t)
{
    struct guest *g = owner_of(t, struct guest, patience);
    struct err why;

    err_set(
        &why, ERR_TIMEOUT, "it did not say who it is for %lld ms", (long long)g->owner->hello_ms);
    stream_close(g->stream, &why, 0);
}

/* Takes fd. */
static void
receive(struct listener *l, int fd, const struct ucred *peer)
{
    static const struct stream_events events = {.frame = on_frame, .closed = on_closed};
    struct guest *g = xcalloc(1, sizeof *g);
    struct stream_options o = {
        .name = g->name, .keepalive_ms = KEEPALIVE_MS, .owed_max = STREAM_OWED_MAX};

    g->owner = l;
    snprintf(g->name, sizeof g->name, "process %d", (int)peer->pid);
    loop_timer_init(&g->patience, l->loop, on_patience);
    loop_timer_set(&g->patience, l->hello_ms);
    TAILQ_INSERT_TAIL(&l->list, g, link);
    l->count++;
    g->stream = stream_create(l->loop, process_adopt(fd, fd), &o, &events, g);
}

/* ---- at the door ---- */

static void
on_again(struct loop_timer *t)
{
    loop_fd_watch(&owner_of(t, struct listener, again)->fd, LOOP_READ);
}

static void
on_accept(struct loop_fd *f, int events)
{
    struct listener *l = owner_of(f, struct listener, fd);
    struct ucred peer;
    int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_warn("attach", "cannot accept a connection: errno %d", errno);
        loop_fd_watch(&l->fd, 0); /* it would be readable all the time */
        loop_timer_set(&l->again, PAUSE_MS);
    } else if (!meeting_trusts(fd, &peer)) {
        log_warn("attach", "refused process %d of uid %u on %s", (int)peer.pid, peer.uid,
            l->meeting.path);
        close(fd);
    } else if (l->count >= LISTENER_GUESTS) {
        log_warn("attach", "refused process %d: %d are attached, which is the limit", (int)peer.pid,
            l->count);
        close(fd);
    } else {
        receive(l, fd, &peer);
    }
}

/* ---- HANDLE_CONTEXTS ---- */

static void
on_question(struct router *r, struct msg *m, void *arg)
{
    struct context **list, *asker = router_context(r, m->h.src);
    struct buf b = {0};
    struct err err;
    uint32_t n;

    if (!asker || !asker->guest) {
        err_set(&err, ERR_DENIED, "only who is attached may ask for the contexts");
        router_reply_error(r, &m->h, &err);
    } else {
        n = router_below(r, &list);
        pack_u32(&b, n);
        for (uint32_t i = 0; i < n; i++) {
            pack_u32(&b, list[i]->id);
            pack_str(&b, list[i]->name);
            pack_str(&b, list[i]->route);
            context_unref(list[i]);
        }
        free(list);
        router_reply(r, &m->h, pack_msg(0, &b));
        buf_fini(&b);
    }
    context_unref(asker);
    msg_unref(m);
}

/* ---- life ---- */

static void
begin(void *arg)
{
    struct listener *l = arg;

    loop_fd_init(&l->fd, l->loop, l->meeting.fd, on_accept);
    loop_fd_watch(&l->fd, LOOP_READ);
    loop_timer_init(&l->again, l->loop, on_again);
}

struct listener *
listener_create(struct router *r, const char *path, int64_t hello_ms, struct err *err)
{
    static const struct handle_ops ops = {.message = on_question};
    struct listener *l = xcalloc(1, sizeof *l);

    if (meeting_open(&l->meeting, path, err) < 0) {
        free(l);
        return NULL;
    }
    l->router = r;
    l->loop = router_loop(r);
    l->hello_ms = hello_ms > 0 ? hello_ms : LISTENER_HELLO_MS;
    TAILQ_INIT(&l->list);
    sem_init(&l->empty, 0, 0);
    router_listen(r, HANDLE_CONTEXTS, HANDLE_FROM_ANYONE, &ops, l);
    loop_sync(l->loop, begin, l);
    log_info("attach", "listens on %s", l->meeting.path);
    return l;
}

static void
end(void *arg)
{
    struct listener *l = arg;
    struct guest *g, *next;
    struct err why;

    l->closing = true;
    loop_fd_fini(&l->fd);
    loop_timer_fini(&l->again);
    if (TAILQ_EMPTY(&l->list))
        sem_post(&l->empty);
    for (g = TAILQ_FIRST(&l->list); g; g = next) {
        next = TAILQ_NEXT(g, link);
        err_set(&why, ERR_CLOSED, "this process listens no more");
        stream_close(g->stream, &why, g->context ? LINGER_MS : 0);
    }
}

void
listener_destroy(struct listener *l)
{
    if (!l)
        return;
    must(!loop_holds(l->loop));
    loop_sync(l->loop, end, l);
    while (sem_wait(&l->empty) < 0)
        ;
    router_unlisten(l->router, HANDLE_CONTEXTS);
    meeting_close(&l->meeting);
    sem_destroy(&l->empty);
    free(l);
}
