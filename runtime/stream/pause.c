#include "stream_internal.h"

bool
pause_holds(const struct stream *s)
{
    return (s->paused || s->waits_for) && !s->refused;
}

/* Makes the poller agree. Nothing is reported from here, since upcalls are on the stack. */
static void
update(struct stream *s)
{
    struct outcome o;

    pthread_mutex_lock(&s->lock);
    o = stream_look(s);
    pthread_mutex_unlock(&s->lock);
    stream_watch(s, &o);
}

void
stream_pause(struct stream *s, bool pause)
{
    if (s->state == CLOSED || s->paused == pause)
        return;
    s->paused = pause;
    update(s);
}

void
stream_wait_for(struct stream *s, struct stream *target)
{
    if (s->waits_for || s->state == CLOSED || target->state == CLOSED ||
        stream_queued(target) <= STREAM_QUEUE_LOW)
        return;
    s->waits_for = target;
    LIST_INSERT_HEAD(&target->waiters, s, waiting);
    update(s);
}

static void
stop_waiting(struct stream *s)
{
    LIST_REMOVE(s, waiting);
    s->waits_for = NULL;
}

static void
release(struct stream *target)
{
    struct stream *s;

    while ((s = LIST_FIRST(&target->waiters))) {
        stop_waiting(s);
        update(s);
    }
}

void
pause_drained(struct stream *s)
{
    if (stream_queued(s) <= STREAM_QUEUE_LOW)
        release(s);
}

void
pause_end(struct stream *s)
{
    if (s->waits_for)
        stop_waiting(s);
    release(s);
}
