/*
 * Who runs the loop.
 *
 * A thread that waits has nothing else to do, so it takes the role if it is free, and polls for what
 * it waits for itself: a round trip then costs it one write, one poll and one read, and no switch to
 * another thread. When it has what it waited for it lets go, and tells nobody: a script that calls in
 * a tight sequence is back within microseconds. The broker thread looks about once in ATTEND_NS
 * whether anybody was there meanwhile, and takes the role where nobody was, so that the rest of the
 * process is served while a script computes.
 *
 * The broker, in turn, steps back after it woke the only thread that was waiting: that thread will
 * probably wait again soon. Where several wait at the same time it stays: handing the role around
 * among them would cost a wake-up each time, which is what the broker costs too.
 *
 *   free --a waiter takes it--> attended by a waiter --it has its message--> free
 *   free --nobody took it for ATTEND_NS--> attended by the broker --it served the only waiter--> free
 */
#include <errno.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "counters.h"
#include "log.h"
#include "loop_internal.h"
#include "thread.h"

#define ATTEND_NS 1000000 /* how long the loop may be without anybody */
#define CROWD_NS \
    10000000 /* for how long waiters are remembered: several at once, or in the foreground */
#define STACK_SIZE (256u << 10)

enum { AWAY, POLLING, SLEEPING };

static void
futex_wait(atomic_uint *word, unsigned seen, const struct timespec *until)
{
    count(sys_sleep);
    /* The bitset variant takes an absolute time of CLOCK_MONOTONIC. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void
futex_wake(atomic_uint *word)
{
    count(sys_wake);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
role_init(struct loop *loop)
{
    pthread_mutex_init(&loop->role_lock, NULL);
    LIST_INIT(&loop->waiters);
    spin_init(loop);
}

void
role_fini(struct loop *loop)
{
    pthread_mutex_destroy(&loop->role_lock);
}

void
loop_set_attend(struct loop *loop, bool attend)
{
    atomic_store(&loop->stay, !attend);
}

bool
loop_attend(const struct loop *loop)
{
    return !atomic_load(&loop->stay);
}

bool
loop_holds(const struct loop *loop)
{
    return atomic_load(&loop->holder) == (unsigned long)pthread_self();
}

/* ---- the role ---- */

/* Lock held. */
static void
enter(struct loop *loop)
{
    loop->taken++;
    loop->wanted = false;
    atomic_store(&loop->holder, (unsigned long)pthread_self());
}

bool
role_is_free(const struct loop *loop)
{
    return atomic_load(&loop->holder) == 0;
}

bool
role_take(struct loop *loop)
{
    bool got;

    pthread_mutex_lock(&loop->role_lock);
    got = loop->open && role_is_free(loop);
    if (got)
        enter(loop);
    pthread_mutex_unlock(&loop->role_lock);
    return got;
}

/* Lock held. */
static bool
may_attend(const struct loop *loop, const struct loop_waiter *w)
{
    return !w->background || loop->asked + CROWD_NS <= clock_ns();
}

/* Lock held. Several threads wait at the same time, or did a moment ago; `but` is not counted. */
static bool
is_crowded(struct loop *loop, const struct loop_waiter *but)
{
    const struct loop_waiter *latest = LIST_FIRST(&loop->waiters);
    uint64_t now;

    if (latest && latest == but)
        latest = LIST_NEXT(latest, link);

    if (!latest && loop->crowded_until == 0)
        return false;
    now = clock_ns();
    if (latest && latest->since + CROWD_NS > now)
        loop->crowded_until = now + CROWD_NS;
    else if (loop->crowded_until <= now)
        loop->crowded_until = 0;
    return loop->crowded_until != 0;
}

static void
ring(struct loop *loop)
{
    atomic_fetch_add(&loop->bell, 1);
    futex_wake(&loop->bell);
}

void
role_give(struct loop *loop)
{
    bool rings;

    pthread_mutex_lock(&loop->role_lock);
    atomic_store(&loop->holder, 0);
    /* After the store: whoever defers work looks at the holder after adding it. */
    if (loop_pending(loop) || (!LIST_EMPTY(&loop->waiters) && is_crowded(loop, NULL)))
        loop->wanted = true;
    rings = loop->wanted || loop->resting;
    loop->resting = false;
    pthread_mutex_unlock(&loop->role_lock);
    if (rings)
        ring(loop);
}

void
role_ring(struct loop *loop)
{
    bool rings = false;

    if (role_is_free(loop)) {
        pthread_mutex_lock(&loop->role_lock);
        rings = role_is_free(loop) && loop->open;
        if (rings)
            loop->wanted = true;
        pthread_mutex_unlock(&loop->role_lock);
    }
    if (rings)
        ring(loop);
    else if (!loop_holds(loop))
        loop_interrupt(loop);
}

/* ---- the broker ---- */

/* Sleeps until it takes the role. */
static void
rest(struct loop *loop)
{
    uint64_t taken;
    bool alone = false; /* nobody took the role during the last sleep, which was a short one */

    pthread_mutex_lock(&loop->role_lock);
    while (!role_is_free(loop) || !(loop->wanted || alone)) {
        unsigned seen = atomic_load(&loop->bell);
        uint64_t till = clock_ns() + ATTEND_NS;
        struct timespec until = {
            .tv_sec = (time_t)(till / 1000000000), .tv_nsec = (long)(till % 1000000000)};
        /* The same thread runs the loop all the time: it will ring when it goes. */
        bool resting = alone;

        taken = loop->taken;
        loop->resting = resting;
        pthread_mutex_unlock(&loop->role_lock);
        futex_wait(&loop->bell, seen, resting ? NULL : &until);
        pthread_mutex_lock(&loop->role_lock);
        loop->resting = false;
        alone = !resting && loop->taken == taken;
    }
    enter(loop);
    pthread_mutex_unlock(&loop->role_lock);
    loop_hurry(loop);
    count(role_taken_back);
}

/* Lock held. Idempotent. */
static void
leave(struct loop_waiter *w)
{
    if (w->listed)
        LIST_REMOVE(w, link);
    w->listed = false;
}

/* A thread was woken. If that is the only one that is busy here, it gets the loop: true then, and the role
 * is free. */
static bool
step_back(struct loop *loop)
{
    struct loop_waiter *heir = NULL;
    bool crowded;

    if (atomic_load(&loop->stay))
        return false;
    pthread_mutex_lock(&loop->role_lock);
    /* On one CPU it may have run at once, called again, and wait already. */
    if (LIST_FIRST(&loop->waiters) == loop->served)
        heir = loop->served;
    crowded = is_crowded(loop, heir);
    if (!crowded && heir) {
        leave(heir);
        atomic_fetch_add(&heir->news, 1);
        atomic_store(&heir->state, AWAY);
    }
    pthread_mutex_unlock(&loop->role_lock);
    if (crowded)
        return false;
    role_give(loop);
    /* It may be gone by now: then this wakes nobody. */
    if (heir)
        futex_wake(&heir->news);
    return true;
}

static void *
broker(void *arg)
{
    struct loop *loop = arg;

    pthread_setname_np(pthread_self(), "orrery-broker");
    do {
        rest(loop);
        do {
            loop->served = NULL;
            loop_turn(loop, true);
        } while (!loop->stopping && !(loop->served && step_back(loop)));
    } while (!loop->stopping);
    while (loop_pending(loop))
        loop_finish_turn(loop);
    pthread_mutex_lock(&loop->role_lock);
    loop->open = false;
    atomic_store(&loop->holder, 0);
    pthread_mutex_unlock(&loop->role_lock);
    return NULL;
}

int
loop_start(struct loop *loop, struct err *err)
{
    int rc;

    loop->open = loop->wanted = true;
    rc = thread_start(&loop->broker, STACK_SIZE, broker, loop);
    loop->open = loop->started = rc == 0;
    if (rc != 0)
        return err_errno(err, ERR_SYSTEM, rc, "cannot start the broker thread");
    return 0;
}

struct stop_work {
    struct loop_work work;
    struct loop *loop;
};

static void
stop(struct loop_work *w)
{
    struct stop_work *s = (struct stop_work *)w;

    s->loop->stopping = true;
}

void
loop_stop(struct loop *loop)
{
    struct stop_work s = {.work.fn = stop, .loop = loop};

    if (!loop->started)
        return;
    loop_defer(loop, &s.work);
    pthread_join(loop->broker, NULL);
    loop->started = false;
}

/* ---- waiting ---- */

/* Blocks in the poller until there are news or the deadline has passed, and gives the role back. False:
 * neither is so, but another thread was served, and has the loop, since it waits more often. */
static bool
block(struct loop *loop, struct loop_waiter *w, unsigned seen, int64_t deadline_ms)
{
    bool passed = false;

    do {
        /* Each time: libevent's clock is coarse, so that a timer may be early. */
        if (deadline_ms >= 0)
            loop_timer_set(&loop->till, clock_left(deadline_ms));
        loop->served = NULL;
        loop_turn(loop, true);
        if (loop->served && !loop_has_news(w, seen)) {
            loop_timer_stop(&loop->till);
            passed = step_back(loop);
        }
    } while (
        !passed && !loop_has_news(w, seen) && (deadline_ms < 0 || clock_left(deadline_ms) > 0));
    if (passed)
        return false;
    if (deadline_ms >= 0)
        loop_timer_stop(&loop->till);
    role_give(loop);
    return true;
}

/* Runs the loop until there are news or the deadline has passed. The caller has the role, and has it no
 * more afterwards. False as for block. */
static bool
attend(struct loop *loop, struct loop_waiter *w, unsigned seen, int64_t deadline_ms)
{
    bool done = true, mine = true;

    count(role_taken);
    loop_hurry(loop);
    atomic_store(&w->state, POLLING);
    if (deadline_ms >= 0 && clock_left(deadline_ms) == 0) {
        loop_turn(loop, false); /* just look */
    } else if (!loop_has_news(w, seen)) {
        spin_for_news(loop, w, seen);
        if (!loop_has_news(w, seen)) {
            done = block(loop, w, seen, deadline_ms);
            mine = false;
        }
    }
    atomic_store(&w->state, AWAY);
    if (mine)
        role_give(loop);
    return done;
}

static void
sleep_on(struct loop_waiter *w, unsigned seen, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};

    atomic_store(&w->state, SLEEPING);
    if (!loop_has_news(w, seen))
        futex_wait(&w->news, seen, deadline_ms < 0 ? NULL : &until);
    atomic_store(&w->state, AWAY);
}

/* Lock held. */
static void
join(struct loop *loop, struct loop_waiter *w, uint64_t since)
{
    w->since = since;
    w->listed = true;
    LIST_INSERT_HEAD(&loop->waiters, w, link);
}

void
loop_wait(struct loop *loop, struct loop_waiter *w, unsigned seen, int64_t deadline_ms)
{
    bool mine, look = deadline_ms >= 0 && clock_left(deadline_ms) == 0;
    uint64_t now;

    if (!loop) {
        sleep_on(w, seen, deadline_ms);
        return;
    }
    now = clock_ns();
    pthread_mutex_lock(&loop->role_lock);
    if (!w->background)
        loop->asked = now;
    mine = loop->open && role_is_free(loop) && !atomic_load(&loop->stay) && may_attend(loop, w);
    if (mine)
        enter(loop);
    else if (!look)
        join(loop, w, w->background ? 0 : now);
    pthread_mutex_unlock(&loop->role_lock);
    if (mine) {
        if (attend(loop, w, seen, deadline_ms))
            return;
        count(role_passed);
        pthread_mutex_lock(&loop->role_lock);
        join(loop, w, 0); /* one that can wait makes no crowd */
        pthread_mutex_unlock(&loop->role_lock);
    }
    if (look)
        return;
    if (loop_hurry(loop))
        role_ring(loop);
    sleep_on(w, seen, deadline_ms);
    pthread_mutex_lock(&loop->role_lock);
    leave(w);
    pthread_mutex_unlock(&loop->role_lock);
}

/* A thread that sleeps, and that nobody has woken yet: the caller does. */
static void
wake(struct loop *loop, struct loop_waiter *w)
{
    if (loop) {
        pthread_mutex_lock(&loop->role_lock);
        leave(w);
        if (loop_holds(loop) && may_attend(loop, w))
            loop->served = w;
        pthread_mutex_unlock(&loop->role_lock);
    }
    futex_wake(&w->news);
}

void
loop_notify(struct loop *loop, struct loop_waiter *w)
{
    int state;

    atomic_fetch_add(&w->news, 1);
    state = atomic_load(&w->state);
    if (state == POLLING && loop_holds(loop) && loop->current)
        loop->hot = loop->current;
    if (state == AWAY || !atomic_compare_exchange_strong(&w->state, &state, AWAY))
        return; /* it looks before it sleeps, or was told already */
    if (state == SLEEPING)
        wake(loop, w);
    else if (!loop_holds(loop))
        loop_interrupt(loop);
}

/* ---- work for the role ---- */

struct sync_work {
    struct loop_work work;
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void
run_sync(struct loop_work *w)
{
    struct sync_work *s = (struct sync_work *)w;

    s->fn(s->arg);
    sem_post(&s->done);
}

void
loop_sync(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct sync_work s = {.work.fn = run_sync, .fn = fn, .arg = arg};

    if (loop_holds(loop) || !loop->started) {
        fn(arg);
        return;
    }
    if (role_take(loop)) {
        loop_turn(loop, false); /* what was deferred before comes first */
        fn(arg);
        role_give(loop);
        return;
    }
    sem_init(&s.done, 0, 0);
    loop_defer(loop, &s.work);
    while (sem_wait(&s.done) < 0)
        ;
    sem_destroy(&s.done);
}
