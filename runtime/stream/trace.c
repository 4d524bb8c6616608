#include "trace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "mem.h"

#define FIRST_ROOM 64

atomic_bool trace_on;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trace_entry *entries; /* [lock] */
static size_t kept, room;           /* [lock] */
static uint64_t dropped;            /* [lock] */

/* Lock held. */
static void
clear(void)
{
    entries = NULL;
    kept = room = 0;
    dropped = 0;
}

void
trace_start(void)
{
    pthread_mutex_lock(&lock);
    free(entries);
    clear();
    atomic_store(&trace_on, true);
    pthread_mutex_unlock(&lock);
}

void
trace_stop(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&trace_on, false);
    pthread_mutex_unlock(&lock);
}

/* Lock held. */
static struct trace_entry *
next_entry(void)
{
    if (kept == TRACE_MOST) {
        dropped++;
        return NULL;
    }
    if (kept == room) {
        room = room ? 2 * room : FIRST_ROOM;
        entries = xrealloc(entries, room * sizeof *entries);
    }
    return &entries[kept++];
}

void
trace_keep(bool sent, const char *stream, const struct frame_header *h)
{
    struct trace_entry *e;

    if (h->handle == HANDLE_PING || h->handle == HANDLE_PONG)
        return;
    pthread_mutex_lock(&lock);
    /* It may have ended since the caller has looked. */
    e = atomic_load(&trace_on) ? next_entry() : NULL;
    if (e) {
        e->at = clock_ns(); /* under the lock, so that they are in order */
        e->h = *h;
        e->sent = sent;
        snprintf(e->stream, sizeof e->stream, "%s", stream);
    }
    pthread_mutex_unlock(&lock);
}

size_t
trace_take(struct trace_entry **list, uint64_t *more)
{
    size_t n;

    pthread_mutex_lock(&lock);
    n = kept;
    *list = entries;
    *more = dropped;
    clear();
    pthread_mutex_unlock(&lock);
    return n;
}
