#include "await_test.h"
#include "file_pace.h"

enum { CHUNK = 200000, LEAST = 2 * CHUNK, WINDOW = 2000000 };
#define MS UINT64_C(1000000)

/* A path that takes `own` there and back, and `rate` bytes per ms, for so many round trips. Returns how
 * long the last byte stood in its queue. */
static uint64_t
run(struct file_pace *p, uint64_t own, uint64_t rate, int rounds)
{
    static uint64_t at, now;
    uint64_t waits = 0;

    for (int i = 0; i < rounds; i++) {
        uint64_t carried = rate * own / MS; /* what is under way without standing in a queue */

        waits = p->limit > carried ? (p->limit - carried) * MS / rate : 0;
        at += p->limit;
        pace_sent(p, at, now);
        pace_sent(p, at + 1, now + 1); /* not watched */
        pace_credited(p, at - 1, now + 2);
        now += own + waits;
        pace_credited(p, at, now);
        assert_in_range(p->limit, 2 * pace_chunk(p), WINDOW);
    }
    return waits;
}

/* What a short path needs is less than the least. */
static void
test_short(void **state)
{
    struct file_pace p;

    pace_init(&p, CHUNK, CHUNK, WINDOW);
    assert_int_equal(p.limit, LEAST);
    assert_true(run(&p, MS / 10, 400000, 1000) < 3 * MS);
    run(&p, MS / 10, 50000, 100); /* somebody else is busy there, too */
    assert_int_equal(p.limit, LEAST);
}

/* A long one is full after a few round trips, and stays so. */
static void
test_long(void **state)
{
    struct file_pace p;

    pace_init(&p, CHUNK, CHUNK, WINDOW);
    run(&p, 50 * MS, 100000, 4);
    assert_int_equal(p.limit, WINDOW);
    run(&p, 50 * MS, 100000, 100);
    assert_int_equal(p.limit, WINDOW);
    run(&p, 70 * MS, 100000, 100); /* a detour is no queue */
    assert_int_equal(p.limit, WINDOW);
}

/* A long path whose rate is low: busy, with a bounded queue. */
static void
test_slow(void **state)
{
    struct file_pace p;

    pace_init(&p, CHUNK, CHUNK, WINDOW);
    uint64_t waits = run(&p, 50 * MS, 15000, 200);
    assert_true(p.limit >= 15000 * 50);
    assert_true(waits < 40 * MS);
}

/* What stands in a queue delays whoever else sends: for a moment where there was nobody, and less where there was
 * somebody within a second. */
static void
test_company(void **state)
{
    enum { RATE = 400000, ALONE = 60000, SHARED = 30000 };
    struct file_pace p;
    uint64_t now = 1000 * MS;

    pace_init(&p, ALONE, SHARED, WINDOW);
    assert_int_equal(pace_chunk(&p), ALONE);
    /* Not told, so there may be somebody. */
    assert_in_range(run(&p, MS / 10, RATE, 200), 1, MS / 2);
    pace_company(&p, 7, now);
    assert_int_equal(pace_chunk(&p), ALONE);
    assert_in_range(run(&p, MS / 10, RATE, 200), MS, 3 * MS);
    pace_company(&p, 8, now);
    assert_int_equal(pace_chunk(&p), SHARED);
    assert_in_range(run(&p, MS / 10, RATE, 20), 1, MS / 2);
    pace_company(&p, 8, now + 999 * MS);
    assert_int_equal(pace_chunk(&p), SHARED);
    pace_company(&p, 8, now + 1001 * MS);
    assert_int_equal(pace_chunk(&p), ALONE);
    assert_in_range(run(&p, MS / 10, RATE, 200), MS, 3 * MS);
}

/* A window that is below the least holds. */
static void
test_small_window(void **state)
{
    struct file_pace p;

    pace_init(&p, CHUNK, CHUNK, 1000);
    for (uint64_t i = 1; i < 50; i++) {
        pace_sent(&p, i, i * MS);
        pace_credited(&p, i, i * MS + i % 7 * MS);
        assert_int_equal(p.limit, 1000);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_small_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
