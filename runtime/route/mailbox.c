#include "mailbox.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

/*
 * A futex and not a condition variable: glibc's takes the mutex again in a way that makes the next
 * unlock a system call, which would stand in front of each send of a script that calls in a loop.
 */
struct mailbox {
    pthread_mutex_t lock;
    struct msg_queue queue; /* [lock] */
    bool waiting;           /* [lock] somebody sleeps, or is about to, and was not told yet */
    bool woken;             /* [lock] */
    atomic_uint events;     /* changes under the lock; the sleeper's futex */
};

struct mailbox *
mailbox_create(void)
{
    struct mailbox *mb = xcalloc(1, sizeof *mb);

    pthread_mutex_init(&mb->lock, NULL);
    TAILQ_INIT(&mb->queue);
    return mb;
}

void
mailbox_destroy(struct mailbox *mb)
{
    if (!mb)
        return;
    msg_queue_clear(&mb->queue);
    pthread_mutex_destroy(&mb->lock);
    free(mb);
}

static void
notify(struct mailbox *mb, struct msg *m)
{
    bool waiting;

    pthread_mutex_lock(&mb->lock);
    if (m)
        TAILQ_INSERT_TAIL(&mb->queue, m, link);
    else
        mb->woken = true;
    waiting = mb->waiting;
    mb->waiting = false;
    atomic_fetch_add_explicit(&mb->events, 1, memory_order_relaxed);
    pthread_mutex_unlock(&mb->lock);
    /* After the unlock: who wakes up must not meet a lock that is taken. */
    if (waiting)
        syscall(SYS_futex, &mb->events, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
mailbox_post(struct mailbox *mb, struct msg *m)
{
    notify(mb, m);
}

void
mailbox_wake(struct mailbox *mb)
{
    notify(mb, NULL);
}

/* Returns when `events` is not `seen` any more, or the deadline has passed, or for no reason. */
static void
sleep_until(struct mailbox *mb, unsigned seen, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};

    /* The bitset variant takes an absolute time of CLOCK_MONOTONIC. */
    syscall(SYS_futex, &mb->events, FUTEX_WAIT_BITSET_PRIVATE, seen,
        deadline_ms < 0 ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

struct msg *
mailbox_take(struct mailbox *mb, int64_t deadline_ms)
{
    struct msg *m;
    unsigned seen;

    for (;;) {
        pthread_mutex_lock(&mb->lock);
        m = TAILQ_FIRST(&mb->queue);
        if (m || mb->woken || (deadline_ms >= 0 && clock_left(deadline_ms) == 0))
            break;
        mb->waiting = true;
        seen = atomic_load_explicit(&mb->events, memory_order_relaxed);
        pthread_mutex_unlock(&mb->lock);
        sleep_until(mb, seen, deadline_ms);
    }
    mb->waiting = false;
    if (m)
        TAILQ_REMOVE(&mb->queue, m, link);
    else
        mb->woken = false;
    pthread_mutex_unlock(&mb->lock);
    return m;
}
