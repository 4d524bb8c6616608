/* Who runs the loop where several threads wait: each in its turn, some in the background. */
#include "caller_test.h"

#define CROWD 8
#define CALLS 2000

static void *
call_many(void *arg)
{
    struct caller *c = arg;

    for (unsigned i = 0; i < CALLS; i++) {
        unsigned total = atomic_load(&c->got) + 1;

        caller_send(c);
        switch ((i * 7 + c->number) % 50) {
        case 0: nap(1500); break; /* user code, longer than the broker waits */
        case 1: loop_sync(c->loop, nothing, NULL); break;
        case 2: /* one that gives up early, and takes what comes later */
            caller_await(c, total, clock_ms());
            break;
        default: break;
        }
        assert_true(caller_await(c, total, clock_ms() + AWAIT_MS));
    }
    return NULL;
}

static void
test_crowd(void **state)
{
    struct caller c[CROWD];

    for (unsigned i = 0; i < CROWD; i++) {
        caller_init(&c[i], loop_of(state));
        c[i].number = i;
    }
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&c[i].thread, NULL, call_many, &c[i]), 0);
    for (int i = 0; i < CROWD; i++) {
        pthread_join(c[i].thread, NULL);
        assert_int_equal(atomic_load(&c[i].got), CALLS);
        caller_fini(&c[i]);
    }
}

/* Somebody sleeps all the time, for something that does not come: the other is served as ever. */
static void *
wait_long(void *arg)
{
    struct caller *c = arg;

    caller_await(c, 1, -1);
    return NULL;
}

static void
test_sleeper_and_caller(void **state)
{
    struct caller sleeper, c;

    caller_init(&sleeper, loop_of(state));
    caller_init(&c, loop_of(state));
    assert_int_equal(pthread_create(&sleeper.thread, NULL, wait_long, &sleeper), 0);
    for (int i = 0; i < 500; i++)
        caller_call(&c);
    caller_send(&sleeper);
    pthread_join(sleeper.thread, NULL);
    caller_fini(&c);
    caller_fini(&sleeper);
}

/* Calls until it has read 100 answers itself, or `enough` is set; counts its calls. */
static void *
call_behind_the_scenes(void *arg)
{
    struct caller *c = arg;
    unsigned own = 0;

    for (int64_t end = clock_ms() + AWAIT_MS; own < 100 && clock_ms() < end;) {
        if (atomic_load(&c->enough))
            break;
        own += caller_call_far(c);
        c->number++;
    }
    return (void *)(uintptr_t)own;
}

static unsigned
own_of(struct caller *c)
{
    void *own;

    pthread_join(c->thread, &own);
    return (unsigned)(uintptr_t)own;
}

static void
test_background(void **state)
{
    struct caller c;

    caller_init(&c, loop_of(state));
    c.waiter.background = true;
    assert_int_equal(pthread_create(&c.thread, NULL, call_behind_the_scenes, &c), 0);
    assert_int_equal(own_of(&c), 100);
    caller_fini(&c);
}

/* Others that ask have the loop, and are as fast as without the one in the background. Not each time: who
 * asks may itself be kept from running for a while. */
static void
test_background_keeps_back(void **state)
{
    struct caller background, c;
    unsigned own = 0;

    caller_init(&background, loop_of(state));
    caller_init(&c, loop_of(state));
    background.waiter.background = true;
    caller_call(&c);
    assert_int_equal(
        pthread_create(&background.thread, NULL, call_behind_the_scenes, &background), 0);
    for (int64_t end = clock_ms() + AWAIT_MS; own < 100 && clock_ms() < end;) {
        unsigned total = atomic_load(&c.got) + 1;

        caller_send(&c);
        assert_true(caller_await(&c, total, clock_ms() + AWAIT_MS));
        own += pthread_equal(c.reader, pthread_self()) != 0;
    }
    atomic_store(&background.enough, true);
    assert_int_equal(own, 100);
    assert_true(own_of(&background) * 2 <= background.number + 1);
    caller_fini(&c);
    caller_fini(&background);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_loop(test_crowd),
        with_loop(test_sleeper_and_caller),
        with_loop(test_background),
        with_loop(test_background_keeps_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
