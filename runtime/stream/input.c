#include "stream_internal.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "counters.h"
#include "log.h"
#include "trace.h"

#define READ_BATCH 16 /* reads in one pass: other streams want their turn */

/* A piece of what came before the agent. */
static void
tell_listener(struct stream *s, bool on_stderr, const char *p, size_t n)
{
    stream_listener fn = s->listener;

    if (!fn || s->state != BOOTING)
        return;
    if (bootstrap_spoke(s->bootstrap)) {
        s->listener = NULL;
        fn(s->listener_arg, false, NULL, 0);
    } else {
        fn(s->listener_arg, on_stderr, p, n);
    }
}

/* A piece of the far side's stderr. */
static void
hear(struct stream *s, const char *text, size_t n)
{
    size_t keep = strlen(s->words);

    if (keep + n > LAST_WORDS) {
        size_t drop = keep + n - LAST_WORDS;

        memmove(s->words, s->words + drop, keep - drop);
        keep -= drop;
    }
    for (size_t i = 0; i < n; i++) /* it is for one line of an error */
        s->words[keep + i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    s->words[keep + n] = '\0';
    tell_listener(s, true, text, n);
    if (s->events->text)
        s->events->text(s, text, n, s->arg);
}

/* One read of it. Returns whether there may be more. */
bool
stream_read_text(struct stream *s)
{
    char text[LAST_WORDS];
    ssize_t n;

    pthread_mutex_lock(&s->lock);
    n = s->transport->ops->read_err(s->transport, text, sizeof text);
    pthread_mutex_unlock(&s->lock);
    if (n > 0) {
        hear(s, text, (size_t)n);
    } else if (n != -EAGAIN) {
        loop_fd_fini(&s->err_fd);
    }
    return n > 0;
}

static void
dispatch(struct stream *s)
{
    struct msg *m;

    while (s->state != CLOSED && !pause_holds(s) && (m = framer_next(&s->framer))) {
        if (!(m->h.flags & FRAME_MORE))
            count(messages_received);
        trace_note(false, s->name, &m->h);
        log_trace("stream", "%s: < %s dst %u src %u seq %u, %u bytes", s->name,
            frame_handle_name(m->h.handle), m->h.dst, m->h.src, m->h.seq, m->h.length);
        if (m->h.handle == HANDLE_PING)
            stream_send_link(s, HANDLE_PONG);
        if (m->h.handle == HANDLE_PING || m->h.handle == HANDLE_PONG)
            msg_unref(m);
        else
            s->events->frame(s, m, s->arg);
    }
}

static void
malformed(struct stream *s, struct err *err)
{
    log_warn("stream", "%s: closed for malformed input: %s", s->name, err->msg);
    err_prefix(err, "malformed input from the far side");
    pthread_mutex_lock(&s->lock);
    if (s->state != CLOSING)
        s->why = *err;
    pthread_mutex_unlock(&s->lock);
    stream_finish(s);
}

static void
booted(struct stream *s)
{
    struct err err = {0};
    const void *rest;
    size_t n;
    int rc;

    pthread_mutex_lock(&s->lock);
    s->state = UP;
    pthread_mutex_unlock(&s->lock);
    loop_timer_stop(&s->deadline);
    s->events->up(s, s->arg);
    if (s->state == CLOSED)
        return;
    rest = bootstrap_rest(s->bootstrap, &n);
    rc = framer_feed(&s->framer, rest, n, &err);
    bootstrap_destroy(s->bootstrap);
    s->bootstrap = NULL;
    dispatch(s);
    if (rc < 0 && s->state != CLOSED)
        malformed(s, &err);
}

static void
boot(struct stream *s, const void *p, size_t n)
{
    struct err err = {0};
    enum bootstrap_state state = bootstrap_feed(s->bootstrap, p, n, &err);

    tell_listener(s, false, p, n);
    switch (state) {
    case BOOTSTRAP_WAIT: break;
    case BOOTSTRAP_SEND:
        pthread_mutex_lock(&s->lock);
        outq_add_image(&s->out, bootstrap_take_image(s->bootstrap));
        stream_flush(s);
        pthread_mutex_unlock(&s->lock);
        break;
    case BOOTSTRAP_DONE: booted(s); break;
    case BOOTSTRAP_FAILED: stream_close(s, &err, 0); break;
    }
}

/* What one pass of reads brought in. */
struct pass {
    ssize_t n; /* the last read's result */
    bool some; /* one of them brought something */
    int rc;    /* negative: the input is malformed, see err */
    struct err err;
    struct outcome outcome;
    ssize_t text_size;
    char text[LAST_WORDS];
    char boot[16384];
};

/* Lock held. */
static void
read_some(struct stream *s, struct pass *p)
{
    if (s->state == BOOTING) {
        p->n = s->transport->ops->read(s->transport, p->boot, sizeof p->boot);
        p->some = p->n > 0;
        return;
    }
    for (int i = 0; i < READ_BATCH && p->rc == 0; i++) {
        void *to;
        size_t room;

        framer_space(&s->framer, &to, &room);
        p->n = s->transport->ops->read(s->transport, to, room);
        if (p->n <= 0)
            return;
        p->some = true;
        p->rc = framer_push(&s->framer, (size_t)p->n, &p->err);
    }
}

/*
 * Everything that needs the lock, under one hold of it and before anything is delivered: who is woken
 * by a frame and sends the next message must not find the lock taken.
 */
static void
take_in(struct stream *s, struct pass *p)
{
    stream_lock(s);
    read_some(s, p);
    if (s->transport->err_fd < 0)
        p->text_size = s->transport->ops->read_err(s->transport, p->text, sizeof p->text);
    /* Incoming packets may be what a refused write was waiting for (a window, a key exchange). */
    stream_flush_after_input(s);
    p->outcome = stream_look(s);
    pthread_mutex_unlock(&s->lock);
    s->refused = p->outcome.refused;
    if (p->some)
        s->heard = clock_ms();
}

void
stream_input_soon(struct stream *s)
{
    if (s->again_pending)
        return;
    s->again_pending = true;
    stream_ref(s);
    loop_defer(s->loop, &s->again);
}

void
stream_again(struct loop_work *w)
{
    struct stream *s = owner_of(w, struct stream, again);

    s->again_pending = false;
    if (s->state != CLOSED && !pause_holds(s))
        stream_input(s);
    stream_unref(s);
}

void
stream_input(struct stream *s)
{
    struct pass p;
    bool more;

    p.rc = 0;
    p.some = false;
    p.text_size = 0;
    stream_ref(s); /* an upcall may close it */
    take_in(s, &p);
    if (s->state != BOOTING)
        dispatch(s);
    else if (p.n > 0)
        boot(s, p.boot, (size_t)p.n);
    if (p.text_size > 0 && s->state != CLOSED)
        hear(s, p.text, (size_t)p.text_size);
    /* What is left may sit inside the transport, where no descriptor tells of it. */
    more = p.n > 0 || p.text_size > 0;
    if (s->state == CLOSED) {
        stream_unref(s);
        return;
    }
    if (p.rc < 0) {
        malformed(s, &p.err);
    } else if (pause_holds(s)) {
        stream_settle(
            s); /* what was read and not dispatched, an end perhaps, comes when it goes on */
    } else if (p.n == 0 || (p.n < 0 && p.n != -EAGAIN) || p.outcome.broken) {
        stream_fail(s);
    } else {
        stream_watch(s, &p.outcome);
        pause_drained(s);
    }
    if (more && s->state != CLOSED)
        stream_input_soon(s);
    stream_unref(s);
}
