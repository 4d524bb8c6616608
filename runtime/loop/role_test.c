/* Who runs the loop: one thread that waits, and the broker. Several are in role_crowd_test.c. */
#include "caller_test.h"
#include "counters.h"

static uint64_t
counted(enum counter c)
{
    struct counters all;

    counters_read(&all);
    return all.value[c];
}

/* At first the broker has the loop; it steps back, and from then on the caller reads for itself. Not each
 * time: on a machine that is busy the broker comes back meanwhile. */
static void
test_waiter_reads_itself(void **state)
{
    struct caller c;
    int own = 0;

    caller_init(&c, loop_of(state));
    for (int64_t end = clock_ms() + AWAIT_MS; own < 100 && clock_ms() < end;)
        own += caller_call_far(&c);
    assert_int_equal(own, 100);
    caller_fini(&c);
}

static void
test_broker_comes_back(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    for (int i = 0; i < 20; i++) {
        unsigned total;

        caller_call(&c);
        total = atomic_load(&c.got) + 1;
        caller_send(&c);
        for (int64_t end = clock_ms() + AWAIT_MS; atomic_load(&c.got) < total && clock_ms() < end;)
            nap(100);
        assert_int_equal(atomic_load(&c.got), total);
        assert_false(pthread_equal(c.reader, pthread_self()));
    }
    caller_fini(&c);
}

static void
test_attend_off(void **state)
{
    struct caller c;
    uint64_t taken;

    loop_set_attend(loop_of(state), false);
    caller_init(&c, loop_of(state));
    taken = counted(COUNT_role_taken);
    for (int i = 0; i < 100; i++) {
        caller_call(&c);
        assert_false(pthread_equal(c.reader, pthread_self()));
    }
    assert_int_equal(counted(COUNT_role_taken), taken);
    caller_fini(&c);
}

static void
test_spin_off(void **state)
{
    struct caller c;
    uint64_t won, lost;

    loop_set_spin(loop_of(state), 0);
    caller_init(&c, loop_of(state));
    won = counted(COUNT_spins_won);
    lost = counted(COUNT_spins_lost);
    for (int i = 0; i < 100; i++)
        caller_call(&c);
    assert_int_equal(counted(COUNT_spins_won), won);
    assert_int_equal(counted(COUNT_spins_lost), lost);
    caller_fini(&c);
}

/* Where nothing ever comes in time, spinning is tried less and less often. */
static void
test_spin_adapts(void **state)
{
    struct caller c;
    uint64_t lost;

    caller_init(&c, loop_of(state));
    loop_set_spin(loop_of(state), 1000);
    for (int i = 0; i < 20; i++)
        caller_call(&c);
    lost = counted(COUNT_spins_lost);
    for (int i = 0; i < 100; i++)
        assert_false(caller_await(&c, UINT32_MAX, clock_ms() + 2));
    assert_true(counted(COUNT_spins_lost) - lost < 40);
    lost = counted(COUNT_spins_lost);
    for (int i = 0; i < 100; i++)
        assert_false(caller_await(&c, UINT32_MAX, clock_ms() + 2));
    assert_true(counted(COUNT_spins_lost) - lost < 10);
    caller_fini(&c);
}

/* Who spins looks at the descriptor that brought the last news. That may go, and others must not starve. */
static void
test_hot_descriptor_goes(void **state)
{
    struct caller first, other;

    caller_init(&first, loop_of(state));
    caller_init(&other, loop_of(state));
    for (int i = 0; i < 50; i++)
        caller_call(&first);
    caller_fini(&first);
    for (int i = 0; i < 50; i++)
        caller_call(&other);
    caller_fini(&other);
}

static void
test_hot_descriptor_is_not_all(void **state)
{
    struct caller busy, other;

    caller_init(&busy, loop_of(state));
    caller_init(&other, loop_of(state));
    for (unsigned i = 1; i <= 20; i++) {
        for (int k = 0; k < 50; k++)
            caller_call(&busy);
        caller_send(&other);
        for (int64_t end = clock_ms() + AWAIT_MS; atomic_load(&other.got) < i && clock_ms() < end;)
            caller_call(&busy);
        assert_int_equal(atomic_load(&other.got), i);
    }
    caller_fini(&busy);
    caller_fini(&other);
}

static void
test_deadlines(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    for (int i = 0; i < 50; i++) {
        int64_t start = clock_ms();

        assert_false(caller_await(&c, UINT32_MAX, start + i % 4));
        assert_true(clock_ms() - start >= i % 4);
        caller_call(&c);
    }
    caller_fini(&c);
}

/* A deadline that has passed: one look at what is there. */
static void
test_look(void **state)
{
    struct caller c;
    int seen_by_us = 0;

    caller_init(&c, loop_of(state));
    for (int64_t end = clock_ms() + AWAIT_MS; seen_by_us < 10 && clock_ms() < end;) {
        unsigned total, seen;

        caller_call_far(&c);
        total = atomic_load(&c.got) + 1;
        caller_send(&c);
        seen = atomic_load(&c.waiter.news);
        loop_wait(c.loop, &c.waiter, seen, 0);
        seen_by_us += atomic_load(&c.got) == total && pthread_equal(c.reader, pthread_self());
        assert_true(caller_await(&c, total, clock_ms() + AWAIT_MS));
    }
    assert_int_equal(seen_by_us, 10);
    caller_fini(&c);
}

static void
leave_bytes(struct loop_fd *f, int events)
{
}

static void
leave_unread(void *arg)
{
    struct caller *c = arg;

    loop_fd_init(&c->fd, c->loop, c->pair[0], leave_bytes);
    loop_fd_watch(&c->fd, LOOP_READ);
}

/* A descriptor that stays ready keeps nobody in the loop, nor work from its turn. */
static void
test_never_read(void **state)
{
    struct caller c = {.loop = loop_of(state)};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c.pair), 0);
    assert_int_equal(write(c.pair[1], "x", 1), 1);
    loop_sync(c.loop, leave_unread, &c);
    for (int i = 0; i < 100; i++) {
        loop_wait(c.loop, &c.waiter, atomic_load(&c.waiter.news), 0);
        loop_sync(c.loop, nothing, NULL);
    }
    caller_fini(&c);
}

/* ---- news from other threads ---- */

static void *
notify_many(void *arg)
{
    struct caller *c = arg;

    for (unsigned i = 1; i <= c->number; i++) {
        atomic_store(&c->got, i);
        loop_notify(c->loop, &c->waiter);
        if (i % 16 == 0)
            nap(200); /* so that the waiter sleeps now and then */
    }
    return NULL;
}

static void
test_notified_by_a_thread(void **state)
{
    struct caller c;
    pthread_t thread;

    caller_init(&c, loop_of(state));
    caller_call(&c);
    atomic_store(&c.got, 0);
    c.number = 2000;
    assert_int_equal(pthread_create(&thread, NULL, notify_many, &c), 0);
    for (unsigned i = 1; i <= c.number; i += 7)
        assert_true(caller_await(&c, i, clock_ms() + AWAIT_MS));
    pthread_join(thread, NULL);
    caller_fini(&c);
}

static void
bring(struct loop_work *w)
{
    struct caller *c = owner_of(w, struct caller, work);

    atomic_fetch_add(&c->got, 1);
    loop_notify(c->loop, &c->waiter);
}

/* Deferred work, hurried and lazy, whoever has the loop at that moment. */
static void
test_work_reaches_a_waiter(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    c.work.fn = bring;
    for (int i = 0; i < 200; i++) {
        unsigned total = atomic_load(&c.got) + 1;

        if (i % 50 == 0)
            nap(3000); /* the broker has it again */
        if (i & 1)
            loop_defer(c.loop, &c.work);
        else
            loop_defer_lazily(c.loop, &c.work);
        assert_true(caller_await(&c, total, clock_ms() + AWAIT_MS));
    }
    caller_fini(&c);
}

/* Nobody waits for anything. */
static void
test_lazy_work_alone(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    c.work.fn = bring;
    for (int i = 0; i < 20; i++) {
        unsigned total = atomic_load(&c.got) + 1;

        if (i & 1)
            caller_call(&c), total++;
        loop_defer_lazily(c.loop, &c.work);
        for (int64_t end = clock_ms() + AWAIT_MS; atomic_load(&c.got) < total && clock_ms() < end;)
            nap(100);
        assert_int_equal(atomic_load(&c.got), total);
    }
    caller_fini(&c);
}

/* ---- timers, whoever runs them ---- */

struct ticker {
    struct loop_timer timer;
    struct loop *loop;
    atomic_int ticks;
};

static void
on_tick(struct loop_timer *t)
{
    atomic_fetch_add(&owner_of(t, struct ticker, timer)->ticks, 1);
    loop_timer_set(t, 1);
}

static void
ticker_start(void *arg)
{
    struct ticker *t = arg;

    loop_timer_init(&t->timer, t->loop, on_tick);
    loop_timer_set(&t->timer, 1);
}

static void
ticker_stop(void *arg)
{
    loop_timer_fini(&((struct ticker *)arg)->timer);
}

static void
test_timers(void **state)
{
    struct ticker t = {.loop = loop_of(state)};
    struct caller c;
    int before;

    caller_init(&c, t.loop);
    loop_sync(t.loop, ticker_start, &t);
    for (int64_t end = clock_ms() + 50; clock_ms() < end;)
        caller_call(&c); /* a sequence without a gap */
    assert_true(atomic_load(&t.ticks) > 0);
    before = atomic_load(&t.ticks);
    assert_false(caller_await(&c, UINT32_MAX, clock_ms() + 50));
    assert_true(atomic_load(&t.ticks) > before);
    before = atomic_load(&t.ticks);
    for (int i = 0; i < AWAIT_MS && atomic_load(&t.ticks) == before; i++)
        nap(1000); /* user code */
    assert_true(atomic_load(&t.ticks) > before);
    loop_sync(t.loop, ticker_stop, &t);
    caller_fini(&c);
}

/* libevent's clock is coarse, so that the timer of a deadline may be early: it is armed again. */
static void
test_short_deadlines(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    for (int i = 0; i < 300; i++) {
        int64_t deadline = clock_ms() + 1 + i % 5;

        assert_false(caller_await(&c, 1, deadline));
        assert_true(clock_ms() >= deadline);
    }
    caller_fini(&c);
}

/* Nobody does anything: no turns, no wake-ups. */
static void
test_idle(void **state)
{
    struct caller c;
    uint64_t turns, sleeps;

    caller_init(&c, loop_of(state));
    caller_call(&c);
    nap(20000); /* the broker settles down */
    turns = counted(COUNT_sys_poll);
    sleeps = counted(COUNT_sys_sleep);
    nap(100000);
    assert_in_range(counted(COUNT_sys_poll) - turns, 0, 2);
    assert_in_range(counted(COUNT_sys_sleep) - sleeps, 0, 2);
    turns = counted(COUNT_sys_poll);
    sleeps = counted(COUNT_sys_sleep);
    assert_false(caller_await(&c, UINT32_MAX, clock_ms() + 200)); /* a waiter that has the loop */
    assert_in_range(counted(COUNT_sys_sleep) - sleeps, 0, 10);
    assert_in_range(counted(COUNT_sys_poll) - turns, 0, 500); /* it may have spun, once */
    caller_fini(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_loop(test_waiter_reads_itself),
        with_loop(test_broker_comes_back),
        with_loop(test_attend_off),
        with_loop(test_spin_off),
        with_loop(test_spin_adapts),
        with_loop(test_hot_descriptor_goes),
        with_loop(test_hot_descriptor_is_not_all),
        with_loop(test_deadlines),
        with_loop(test_look),
        with_loop(test_notified_by_a_thread),
        with_loop(test_work_reaches_a_waiter),
        with_loop(test_lazy_work_alone),
        with_loop(test_timers),
        with_loop(test_never_read),
        with_loop(test_short_deadlines),
        with_loop(test_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
