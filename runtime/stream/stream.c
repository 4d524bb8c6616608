#include "stream_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "log.h"

#define BOOTSTRAP_MS 60000
#define LAST_READS 64 /* of LAST_WORDS each */

struct stream *
stream_ref(struct stream *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void
stream_unref(struct stream *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    must(s->state == CLOSED && !s->transport);
    pthread_mutex_destroy(&s->lock);
    framer_fini(&s->framer);
    bootstrap_destroy(s->bootstrap);
    outq_fini(&s->out);
    free(s->name);
    free(s);
}

const char *
stream_name(const struct stream *s)
{
    return s->name;
}

uint64_t
stream_uploaded(const struct stream *s)
{
    return s->out.image_total;
}

const char *
stream_last_words(const struct stream *s)
{
    return s->words;
}

/* ---- the poller ---- */

static void
on_in(struct loop_fd *f, int events)
{
    struct stream *s = owner_of(f, struct stream, fd);

    if (events & LOOP_WRITE)
        stream_output(s);
    else
        stream_input(s);
}

static void
on_out(struct loop_fd *f, int events)
{
    stream_output(owner_of(f, struct stream, wfd));
}

static void
on_err(struct loop_fd *f, int events)
{
    stream_read_text(owner_of(f, struct stream, err_fd));
}

/* ---- life ---- */

void
stream_fail(struct stream *s)
{
    struct err why = {0};
    bool flooded;

    /* As much as a pipe holds: a far side that goes on talking must not keep the loop here. */
    for (int i = 0; i < LAST_READS && s->state != CLOSED && stream_read_text(s); i++)
        ;
    if (s->state == CLOSED)
        return;
    pthread_mutex_lock(&s->lock);
    flooded = s->flooded;
    if (flooded)
        err_set(&why, ERR_LIMIT, "it reads no answers: more than %zu MiB wait", s->owed_max >> 20);
    else
        s->transport->ops->end(s->transport, &why);
    pthread_mutex_unlock(&s->lock);
    if (flooded)
        log_warn("stream", "%s: cut off: %s", s->name, why.msg);
    if (s->state == BOOTING && s->bootstrap) {
        char text[sizeof why.msg];

        memcpy(text, why.msg, sizeof text);
        bootstrap_explain(s->bootstrap, text, s->words, &why);
    } else if (s->words[0]) {
        size_t n = strlen(why.msg);

        snprintf(why.msg + n, sizeof why.msg - n, "; its last words: %.300s", s->words);
    }
    pthread_mutex_lock(&s->lock);
    if (s->state != CLOSING)
        s->why = why;
    pthread_mutex_unlock(&s->lock);
    stream_finish(s);
}

static void
on_deadline(struct loop_timer *t)
{
    struct stream *s = owner_of(t, struct stream, deadline);
    struct err why;

    if (s->state == CLOSING) {
        stream_finish(s);
        return;
    }
    bootstrap_explain(s->bootstrap, "no agent came up in time", s->words, &why);
    why.code = ERR_TIMEOUT;
    stream_close(s, &why, 0);
}

/* Does it read what it has made us say? */
static bool
reads(struct stream *s)
{
    size_t before = s->queued;

    s->queued = stream_queued(s);
    return s->waits_for != s || s->queued < before;
}

static void
on_keepalive(struct loop_timer *t)
{
    struct stream *s = owner_of(t, struct stream, keepalive);
    int64_t silent;
    struct err why;

    if (s->held && reads(s)) /* it may well have spoken */
        s->heard = clock_ms();
    silent = clock_ms() - s->heard;
    if (s->held &&
        silent < 3 * s->keepalive_ms) { /* it must hear that we live, though we answer nothing */
        stream_send_link(s, HANDLE_PONG);
        loop_timer_set(&s->keepalive, s->keepalive_ms);
        return;
    }
    /* The stub is silent while it takes the agent; `deadline` sees to that. */
    if (s->state == BOOTING) {
        loop_timer_set(&s->keepalive, s->keepalive_ms);
        return;
    }
    if (silent >= 3 * s->keepalive_ms) {
        err_set(&why, ERR_DEAD, "no sign of life for %lld s", (long long)silent / 1000);
        stream_close(s, &why, 0);
        return;
    }
    if (s->state == UP && silent >= s->keepalive_ms)
        stream_send_link(s, HANDLE_PING);
    loop_timer_set(&s->keepalive, s->keepalive_ms);
}

void
stream_keepalive(struct stream *s, int64_t ms)
{
    if (s->state == CLOSED)
        return;
    s->keepalive_ms = ms;
    if (ms)
        loop_timer_set(&s->keepalive, ms);
    else
        loop_timer_stop(&s->keepalive);
}

static void
free_transport(void *arg)
{
    struct stream *s = arg;

    s->transport->ops->destroy(s->transport);
    s->transport = NULL;
    stream_unref(s);
}

void
stream_finish(struct stream *s)
{
    struct err why;

    if (s->state == CLOSED)
        return;
    pthread_mutex_lock(&s->lock);
    s->state = CLOSED;
    outq_fini(&s->out);
    why = s->why;
    pthread_mutex_unlock(&s->lock);
    loop_fd_fini(&s->fd);
    loop_fd_fini(&s->wfd);
    loop_fd_fini(&s->err_fd);
    loop_timer_fini(&s->deadline);
    loop_timer_fini(&s->keepalive);
    pause_end(s);
    log_debug("stream", "%s: closed: %s", s->name, why.msg);
    s->events->closed(s, &why, s->arg);
    loop_reap(s->loop, free_transport, s); /* with the reference that the stream had on itself */
}

void
stream_close(struct stream *s, const struct err *why, int64_t linger_ms)
{
    if (s->state >= CLOSING)
        return;
    pthread_mutex_lock(&s->lock);
    s->why = *why;
    if (s->state == UP && linger_ms > 0) {
        s->state = CLOSING;
        if (!s->deferred)
            stream_flush(s);
    }
    pthread_mutex_unlock(&s->lock);
    if (s->state != CLOSING) {
        stream_finish(s);
        return;
    }
    loop_timer_set(&s->deadline, linger_ms);
    stream_settle(s);
}

#define WARN_MS 1000

bool
stream_warns(struct stream *s)
{
    int64_t now = clock_ms(), before = atomic_load(&s->warned);

    return (!before || now - before >= WARN_MS) &&
        atomic_compare_exchange_strong(&s->warned, &before, now);
}

void
stream_hold_deadline(struct stream *s, bool hold)
{
    if (s->state != BOOTING)
        return;
    if (hold) {
        s->boot_left = clock_left(s->boot_until);
        loop_timer_stop(&s->deadline);
    } else {
        s->boot_until = clock_ms() + s->boot_left;
        loop_timer_set(&s->deadline, s->boot_left);
    }
}

void
stream_listen(struct stream *s, stream_listener fn, void *arg)
{
    s->listener = fn;
    s->listener_arg = arg;
}

void
stream_answer(struct stream *s, const char *text, size_t n)
{
    if (s->state != BOOTING || bootstrap_spoke(s->bootstrap))
        return;
    pthread_mutex_lock(&s->lock);
    outq_add_answer(&s->out, text, n);
    stream_flush(s);
    pthread_mutex_unlock(&s->lock);
    stream_settle(s);
}

struct stream *
stream_create(struct loop *loop, struct transport *t, const struct stream_options *o,
    const struct stream_events *events, void *arg)
{
    struct stream *s = xcalloc(1, sizeof *s);

    atomic_init(&s->refs, 2);
    s->loop = loop;
    s->transport = t;
    s->events = events;
    s->arg = arg;
    s->name = xstrdup(o->name);
    s->deferred = o->deferred;
    s->owed_max = o->owed_max;
    s->bootstrap = o->bootstrap;
    s->state = o->bootstrap ? BOOTING : UP;
    output_init(s);
    framer_init(&s->framer);
    LIST_INIT(&s->waiters);
    s->again.fn = stream_again;
    s->heard = clock_ms();
    loop_fd_init(&s->fd, loop, t->fd, on_in);
    if (t->wfd >= 0)
        loop_fd_init(&s->wfd, loop, t->wfd, on_out);
    if (t->err_fd >= 0) {
        loop_fd_init(&s->err_fd, loop, t->err_fd, on_err);
        loop_fd_watch(&s->err_fd, LOOP_READ);
    }
    loop_timer_init(&s->deadline, loop, on_deadline);
    loop_timer_init(&s->keepalive, loop, on_keepalive);
    s->boot_left = o->bootstrap_ms ? o->bootstrap_ms : BOOTSTRAP_MS;
    stream_hold_deadline(s, false);
    stream_keepalive(s, o->keepalive_ms);
    stream_watch(s, &(struct outcome){0});
    /* The transport may hold bytes that came with the connection. */
    stream_input_soon(s);
    return s;
}
