/*
 * What loop.c (libevent), role.c (who runs it) and spin.c (how one waits) share. See loop.h.
 */
#ifndef ORRERY_LOOP_INTERNAL_H
#define ORRERY_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop.h"

struct reaped {
    STAILQ_ENTRY(reaped) link;
    void (*destroy)(void *);
    void *object;
};

STAILQ_HEAD(work_list, loop_work);
STAILQ_HEAD(reap_list, reaped);
LIST_HEAD(waiter_list, loop_waiter);

/* [I] immutable, [L] loop role only, [w] work_lock, [r] role_lock, [a] atomic. Under role_lock
 * work_lock may be taken, and under that none. */
struct loop {
    struct event_base *base;    /* [L] */
    int wake_fd;                /* [I] eventfd */
    struct loop_fd wake;        /* [L] */
    struct reap_list reap;      /* [L] */
    bool stopping;              /* [L] */
    struct loop_waiter *served; /* [L] the thread that slept and was woken last, to compare with */
    bool eventful;              /* [L] a callback of libevent's ran in this turn */
    struct loop_fd *current;    /* [L] the descriptor whose callback runs */
    struct loop_fd *hot;    /* [L] the one that brought its news to a thread that ran the loop */
    uint64_t looked;        /* [L] clock_ns of the last look at all of them while spinning */
    struct loop_timer till; /* [L] the deadline of a waiter that runs the loop */
    struct loop_timer lazy_timer; /* [L] for what is in `lazy` */

    pthread_mutex_t work_lock;
    struct work_list work; /* [w] */
    struct work_list lazy; /* [w] */
    bool lazy_armed;       /* [w] lazy_timer runs, or work that sets it is on its way */
    struct loop_work arm;  /* [w] that work */

    atomic_ulong holder; /* [a] pthread_t of who has the role, 0: nobody. Changes under role_lock */
    pthread_mutex_t role_lock;
    bool open;                  /* [r] the broker thread is there */
    uint64_t taken;             /* [r] how often the role was taken */
    struct waiter_list waiters; /* [r] threads that sleep, the latest first */
    uint64_t crowded_until;     /* [r] clock_ns: more than one thread waits these days */
    uint64_t asked;   /* [r] clock_ns: when a thread last began to wait, background ones apart */
    bool wanted;      /* [r] the broker is to take the role as soon as it is free */
    bool resting;     /* [r] the broker sleeps until somebody rings */
    atomic_uint bell; /* [a] the broker's futex while it does not run the loop */
    atomic_bool stay; /* [a] waiting threads leave the role to the broker */
    atomic_llong spin_ns; /* [a] */
    atomic_int cpus;      /* [a] that this process may run on */
    pthread_t broker;     /* [I] after loop_start */
    bool started;         /* [I] between loop_start and loop_stop */
};

/* ---- loop.c; all on the loop role, but loop_pending ---- */

/* One turn: waits for events unless there is something to do, handles them, runs what is deferred. */
void loop_turn(struct loop *loop, bool may_wait);
/* Asks the hot descriptor alone, and not the poller: false if there is none. */
bool loop_peek(struct loop *loop);
/* Runs the deferred work that is there by now. */
void loop_finish_turn(struct loop *loop);
/* Is there deferred work? The lazy kind apart. */
bool loop_pending(struct loop *loop);
/* Makes lazy work due. Any thread. True if there was some. */
bool loop_hurry(struct loop *loop);
/* Interrupts the wait of whoever runs the loop. Any thread. */
void loop_interrupt(struct loop *loop);

/* ---- role.c ---- */

void role_init(struct loop *loop);
void role_fini(struct loop *loop);
bool role_is_free(const struct loop *loop);
/* Takes the role if it is free. */
bool role_take(struct loop *loop);
/* Gives it back. Work that is left makes the broker take it at once. */
void role_give(struct loop *loop);
/* Somebody should attend the loop now: interrupts who does, or rings for the broker. */
void role_ring(struct loop *loop);

static inline bool
loop_has_news(const struct loop_waiter *w, unsigned seen)
{
    return atomic_load(&w->news) != seen;
}

/* ---- spin.c ---- */

void spin_init(struct loop *loop);
/* Polls for a bounded time until there are news, if that has helped lately. The caller has the role. */
void spin_for_news(struct loop *loop, struct loop_waiter *w, unsigned seen);

#endif
