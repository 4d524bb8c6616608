/*
 * Output: who writes, and when.
 *
 * A sender writes on its own stack unless the transport did not take all of the last write (`blocked`):
 * then the loop alone goes on, as it hears that there is room. Lazy messages wait for company: until a
 * message that is not lazy, a block that is worth a write, or the loop takes them along.
 *
 * With `deferred`, senders never write: they wake the loop, which asks the poller whether the descriptor
 * is writable, and writes when that says so.
 */
#include <errno.h>

#include "clock.h"
#include "counters.h"
#include "log.h"
#include "stream_internal.h"
#include "trace.h"

/* One packet of SSH takes 32,700 bytes; a small message more must still fit. */
#define SHARE_BYTES 32000
/* A lazy message goes at once if so long nothing lazy did: it is not part of a burst. */
#define SHARE_NS 20000
/* Urgent messages are not refused where a queue is full, but who makes us answer, and reads none of it,
 * must not fill the memory. */
#define URGENT_MAX (1u << 20)

void
stream_lock(struct stream *s)
{
    if (pthread_mutex_trylock(&s->lock) == 0)
        return;
    atomic_fetch_add(&s->others, 1);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->others, 1);
}

/* ---- on the loop ---- */

void
stream_flush(struct stream *s)
{
    struct transport *t = s->transport;
    int rc;

    if (s->broken || s->state == CLOSED)
        return;
    rc = t->ops->flush(t);
    if (rc == 0)
        rc = s->state == BOOTING ? outq_write_boot(&s->out, t) : outq_write(&s->out, t, &s->others);
    s->broken = rc < 0;
    s->blocked = rc == OUTQ_FULL || (rc >= 0 && t->ops->wants_write(t));
}

void
stream_flush_after_input(struct stream *s)
{
    if (!s->deferred || s->blocked || s->state == BOOTING)
        stream_flush(s);
}

struct outcome
stream_look(struct stream *s)
{
    struct outcome o = {.broken = s->broken};
    bool left = s->state != BOOTING && !outq_empty(&s->out);

    if (o.broken || s->state == CLOSED)
        return o;
    if (s->state == CLOSING && !left)
        s->transport->ops->shutdown(s->transport);
    o.wants = s->transport->ops->wants_write(s->transport);
    o.refused = left && s->blocked && !o.wants;
    if (s->deferred)
        o.wants = o.wants || (left && !s->blocked);
    else
        o.more = left && !s->blocked && !s->share_pending && !s->flush_pending;
    return o;
}

/* Lock held. True if the caller is to defer `flush`. */
static bool
tell_flush(struct stream *s)
{
    if (s->flush_pending)
        return false;
    s->flush_pending = true;
    stream_ref(s);
    return true;
}

static void
flush_soon(struct stream *s)
{
    bool tell;

    stream_lock(s);
    tell = tell_flush(s);
    pthread_mutex_unlock(&s->lock);
    if (tell)
        loop_defer(s->loop, &s->flush);
}

void
stream_watch(struct stream *s, const struct outcome *o)
{
    bool held;
    int in;

    if (o->more)
        flush_soon(s);
    s->refused = o->refused;
    held = pause_holds(s);
    in = held ? 0 : LOOP_READ;
    if (s->transport->wfd >= 0) {
        loop_fd_watch(&s->fd, in);
        loop_fd_watch(&s->wfd, o->wants ? LOOP_WRITE : 0);
    } else {
        loop_fd_watch(&s->fd, in | (o->wants ? LOOP_WRITE : 0));
    }
    if (s->held && !held) {
        s->heard = clock_ms();
        stream_input_soon(s); /* what sits inside the transport, where no descriptor tells of it */
    }
    s->held = held;
}

void
stream_settle(struct stream *s)
{
    struct outcome o;

    if (s->state == CLOSED)
        return;
    pthread_mutex_lock(&s->lock);
    o = stream_look(s);
    pthread_mutex_unlock(&s->lock);
    stream_watch(s, &o);
    if (o.broken)
        stream_fail(s);
    else
        pause_drained(s);
}

/* A sender, or somebody who wanted the lock, left something. */
static void
on_flush(struct loop_work *w)
{
    struct stream *s = owner_of(w, struct stream, flush);

    stream_lock(s);
    s->flush_pending = false;
    if (!s->deferred)
        stream_flush(s);
    pthread_mutex_unlock(&s->lock);
    stream_settle(s);
    stream_unref(s);
}

static void
on_share(struct loop_work *w)
{
    struct stream *s = owner_of(w, struct stream, share);

    stream_lock(s);
    s->share_pending = false;
    if (!s->blocked && !outq_empty(&s->out) && s->state != BOOTING) {
        stream_flush(s);
        s->shared = clock_ns();
    }
    pthread_mutex_unlock(&s->lock);
    stream_settle(s);
    stream_unref(s);
}

void
stream_output(struct stream *s)
{
    stream_lock(s);
    stream_flush(s);
    pthread_mutex_unlock(&s->lock);
    stream_settle(s);
}

/* ---- on the sender's stack ---- */

/* What a sender has to tell the loop, once the lock is free. */
enum tell { TELL_NOTHING, TELL_FLUSH, TELL_SHARE };

static enum tell
tell_share(struct stream *s)
{
    if (s->share_pending)
        return TELL_NOTHING;
    s->share_pending = true;
    stream_ref(s);
    return TELL_SHARE;
}

/* Writes m, which nothing is ahead of. Takes m. */
static enum tell
write_alone(struct stream *s, struct msg *m, size_t size)
{
    struct iovec iov = {m->wire, size};
    ssize_t n = s->transport->ops->write(s->transport, &iov, 1);

    s->broken = n < 0 && n != -EAGAIN;
    if (n < 0)
        n = 0;
    s->blocked = (size_t)n < size || s->transport->ops->wants_write(s->transport);
    if ((size_t)n < size) {
        outq_add(&s->out, m, (size_t)n);
        count(sent_deferred);
    } else {
        msg_unref(m);
        count(sent_inline);
    }
    return (s->blocked || s->broken) && tell_flush(s) ? TELL_FLUSH : TELL_NOTHING;
}

/* Writes all that waits. */
static enum tell
write_all(struct stream *s)
{
    int rc = outq_write(&s->out, s->transport, &s->others);

    s->broken = rc < 0;
    s->blocked = rc == OUTQ_FULL || (rc >= 0 && s->transport->ops->wants_write(s->transport));
    return (rc != OUTQ_DONE || s->blocked) && tell_flush(s) ? TELL_FLUSH : TELL_NOTHING;
}

/* A message that is in no hurry. Takes m. */
static enum tell
send_lazily(struct stream *s, struct msg *m, size_t size)
{
    enum tell tell;

    if (outq_empty(&s->out) && clock_ns() - s->shared > SHARE_NS) {
        tell = write_alone(s, m, size);
        s->shared = clock_ns();
        return tell;
    }
    outq_add(&s->out, m, 0);
    count(sent_shared);
    if (outq_bytes(&s->out) < SHARE_BYTES)
        return tell_share(s);
    tell = write_all(s);
    s->shared = clock_ns();
    return tell;
}

/* Takes m. Lock held. */
static enum tell
put(struct stream *s, struct msg *m)
{
    size_t size = outq_wire_size(&m->h);
    bool first = outq_empty(&s->out);
    enum tell tell;

    if (!m->quiet && !(m->h.flags & FRAME_BULK))
        atomic_store_explicit(&s->company, stream_company(s) + 1, memory_order_relaxed);
    if (s->state != UP || s->broken || s->blocked || s->deferred) {
        outq_add(&s->out, m, 0);
        count(sent_deferred);
        return s->state == UP && s->deferred && first && tell_flush(s) ? TELL_FLUSH : TELL_NOTHING;
    }
    if (m->lazy && size < SHARE_BYTES)
        return send_lazily(s, m, size);
    if (first && size <= OUTQ_SLICE)
        return write_alone(s, m, size);
    outq_add(&s->out, m, 0);
    tell = write_all(s);
    if (outq_empty(&s->out))
        count(sent_inline);
    else
        count(sent_deferred);
    return tell;
}

/* Lock held. */
static int
refuse(struct stream *s, const struct msg *m, struct err *err)
{
    const struct frame_header *h = &m->h;
    size_t queued = outq_bytes(&s->out), limit = STREAM_QUEUE_MAX;

    if (s->state >= CLOSING)
        return err_set(err, s->why.code, "%s", s->why.msg);
    if (s->owed_max && m->owed && queued > s->owed_max) {
        s->flooded = s->broken = true;
        return err_set(err, ERR_LIMIT, "%s: it reads no answers", s->name);
    }
    /* A message that has begun to be forwarded goes on: half of it is of no use to anybody. */
    if (queued <= limit || m->owed || (h->flags & FRAME_CONT))
        return 0;
    if (outq_class(h) == OUTQ_URGENT) {
        queued = s->out.urgent;
        limit = URGENT_MAX;
    }
    if (queued > limit)
        return err_set(
            err, ERR_LIMIT, "%s: more than %zu MiB wait to be sent", s->name, limit >> 20);
    return 0;
}

int
stream_send(struct stream *s, struct msg *m, struct err *err)
{
    enum tell tell = TELL_NOTHING;
    int rc;

    msg_seal(m);
    if (!(m->h.flags & FRAME_MORE))
        count(messages_sent);
    trace_note(true, s->name, &m->h);
    count(send_locks);
    stream_lock(s);
    rc = refuse(s, m, err);
    if (rc == 0)
        tell = put(s, m);
    else if (s->flooded && tell_flush(s))
        tell = TELL_FLUSH;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        msg_unref(m);
    if (tell == TELL_FLUSH)
        loop_defer(s->loop, &s->flush);
    else if (tell == TELL_SHARE)
        loop_defer_lazily(s->loop, &s->share);
    return rc;
}

void
stream_send_link(struct stream *s, uint32_t handle)
{
    struct msg *m = msg_new(0);

    m->h.handle = handle;
    m->quiet = true;
    if (stream_send(s, m, NULL) < 0)
        log_debug("stream", "%s: no %s on a closed stream", s->name, frame_handle_name(handle));
}

size_t
stream_queued(const struct stream *s)
{
    return outq_bytes(&s->out);
}

uint32_t
stream_company(const struct stream *s)
{
    return atomic_load_explicit(&s->company, memory_order_relaxed);
}

void
output_init(struct stream *s)
{
    pthread_mutex_init(&s->lock, NULL);
    outq_init(&s->out);
    s->flush.fn = on_flush;
    s->share.fn = on_share;
}
