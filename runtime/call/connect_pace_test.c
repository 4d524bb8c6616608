/* How many connections at a time: few, more, fewer again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "connect_pace.h"

static void
test_grows_where_threads_find_a_cpu(void **state)
{
    struct connect_pace p;

    connect_pace_init(&p);
    assert_int_equal(p.limit, CONNECT_LEAST);
    for (int i = 0; i < CONNECT_MOST; i++) {
        int before = p.limit;

        connect_pace_done(
            &p, &(struct connect_time){.ran = 1000000, .delayed = 100000, .took = 5000000});
        assert_true(p.limit > before || p.limit == CONNECT_MOST);
    }
    assert_int_equal(p.limit, CONNECT_MOST);
}

static void
test_shrinks_where_they_queue_for_one(void **state)
{
    const struct connect_time crowded = {.ran = 1000000, .delayed = 1500000, .took = 5000000};
    struct connect_pace p = {.limit = 100};

    for (int i = 0; i < CONNECT_MOST; i++)
        connect_pace_done(&p, &crowded);
    assert_int_equal(p.limit, CONNECT_LEAST);
}

static void
test_grows_where_hosts_are_far(void **state)
{
    const struct connect_time far = {.ran = 1000000, .delayed = 1500000, .took = 400000000};
    struct connect_pace p;

    connect_pace_init(&p);
    connect_pace_done(&p, &far);
    assert_true(p.limit > CONNECT_LEAST);
}

static void
test_grows_where_nobody_answers(void **state)
{
    struct connect_pace p;

    connect_pace_init(&p);
    for (int i = 0; i < 4; i++)
        connect_pace_waited(&p);
    assert_true(p.limit > CONNECT_LEAST);
}

static void
test_measures_this_thread(void **state)
{
    uint64_t start = clock_ns();
    struct connect_time before, t;

    connect_pace_measure(&before, start);
    if (!before.ran)
        skip(); /* the kernel does not tell */
    for (volatile int i = 0; i < 50000000; i++)
        ;
    connect_pace_measure(&t, start);
    assert_true(t.ran > before.ran);
    assert_true(t.took > before.took);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_where_threads_find_a_cpu),
        cmocka_unit_test(test_shrinks_where_they_queue_for_one),
        cmocka_unit_test(test_grows_where_hosts_are_far),
        cmocka_unit_test(test_grows_where_nobody_answers),
        cmocka_unit_test(test_measures_this_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
