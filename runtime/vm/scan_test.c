/* The walk over payloads of values: what it takes, what it refuses, and that it stays inside of them. */
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "scan.h"

#define S(text) text, sizeof(text) - 1

/* A copy of exactly the size, so that a sanitizer sees a read beyond it. */
static int64_t
scan(const char *payload, size_t size, struct err *err, int64_t *plain)
{
    uint8_t *copy = malloc(size ? size : 1);
    int64_t count;

    assert_non_null(copy);
    memcpy(copy, payload, size);
    count = scan_values(copy, size, err);
    *plain = scan_plain(copy, size);
    free(copy);
    return count;
}

static void
expect_values(int64_t count, bool plain, const char *payload, size_t size)
{
    struct err err;
    int64_t p;

    assert_int_equal(scan(payload, size, &err, &p), count);
    assert_int_equal(p, plain ? count : -1);
}

static void
expect_refused(const char *why, const char *payload, size_t size)
{
    struct err err;
    int64_t p;

    assert_int_equal(scan(payload, size, &err, &p), ERR_PROTOCOL);
    assert_string_equal(err.msg, why);
    assert_int_equal(p, -1);
}

static void
takes_plain_values(void **state)
{
    expect_values(0, true, "", 0);
    expect_values(4, true, S("\0\1\2\3"));
    expect_values(1, true, S("\6\1\2\3\4"));
    expect_values(1, true, S("\7\1\2\3\4\5\6\7\10"));
    expect_values(2, true, S("\40\43abc"));
    expect_values(2, true, S("\0\41a"));
}

static void
takes_other_values(void **state)
{
    expect_values(1, false, S("\10"));                  /* an empty table */
    expect_values(1, false, S("\11\1\41a\1"));          /* { a = false } */
    expect_values(2, false, S("\12\3\0\1\2\0"));        /* slot 0 is sent, and a nil behind */
    expect_values(1, false, S("\14\2\1"));              /* slot 0 is not */
    expect_values(1, false, S("\15\2\1\1\1\1"));        /* both parts */
    expect_values(1, false, S("\16\1\10"));             /* of a kind */
    expect_values(1, false, S("\11\1\17\3\1"));         /* a key by its number */
    expect_values(1, false, S("\20\1\2\3\4\5\6\7\10")); /* int64 */
    expect_values(1, false, S("\22\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10")); /* complex */
}

static void
refuses_what_ends_early(void **state)
{
    expect_refused("it ends early at byte 1", S("\7"));
    expect_refused("it ends early at byte 2", S("\0\6\0\0\0"));
    expect_refused("it ends early at byte 1", S("\41"));
    expect_refused("it ends early at byte 1", S("\340"));
    expect_refused("it ends early at byte 1", S("\377\1\0\0"));
    expect_refused("it ends early at byte 1", S("\377\377\377\377\377"));
    expect_refused("it ends early at byte 5", S("\11\1\41a"));
    expect_refused("it ends early at byte 2", S("\14"));
    expect_refused("it ends early at byte 2", S("\16"));
    expect_refused("it ends early at byte 3", S("\16\0"));
    expect_refused("it ends early at byte 2", S("\17"));
    expect_refused("it ends early at byte 1", S("\22\0\0\0\0\0\0\0\0"));
}

static void
refuses_what_does_not_travel(void **state)
{
    expect_refused("a value of an unknown type at byte 1", S("\4\1\2\3\4"));
    expect_refused("a value of an unknown type at byte 2", S("\0\5\1\2\3\4\5\6\7\10"));
    expect_refused("a value of an unknown type at byte 1", S("\23"));
    expect_refused("a value of an unknown type at byte 1", S("\37"));
    expect_refused("a kind without a table at byte 1", S("\16\0\41a"));
}

static void
refuses_impossible_tables(void **state)
{
    expect_refused("a table of impossible size at byte 1", S("\12\2\0"));
    expect_refused("a table of impossible size at byte 1", S("\11\1\1"));
    expect_refused("a table of impossible size at byte 1", S("\14\0"));
    expect_refused("a table of impossible size at byte 1", S("\12\377\377\377\377\377\1"));
    expect_refused(
        "a table of impossible size at byte 1", S("\15\377\377\377\377\377\377\377\377\377\377"));
}

static void
bounds_the_depth(void **state)
{
    char deep[2 * SCAN_MAX_DEPTH + 2];
    char *last = deep + sizeof deep - 4; /* at the greatest depth */
    struct err err;
    int64_t plain;

    for (size_t i = 0; i < sizeof deep; i += 2)
        memcpy(deep + i, "\12\1", 2);
    memcpy(last, "\10", 1);
    assert_int_equal(scan(deep, 2 * SCAN_MAX_DEPTH - 1, &err, &plain), 1);
    memcpy(last, "\12\1\10", 3);
    assert_int_equal(scan(deep, 2 * SCAN_MAX_DEPTH + 1, &err, &plain), ERR_PROTOCOL);
    assert_string_equal(err.msg, "nested too deep at byte 201");
    /* Siblings are not nesting. */
    memset(deep, 8, sizeof deep);
    assert_int_equal(scan(deep, sizeof deep, &err, &plain), sizeof deep);
}

static void
bounds_the_number_of_tables(void **state)
{
    size_t size = SCAN_MAX_TABLES + 1;
    char *many = malloc(size);
    struct err err;
    int64_t plain;

    assert_non_null(many);
    memset(many, 8, size);
    assert_int_equal(scan(many, size - 1, &err, &plain), size - 1);
    assert_int_equal(scan(many, size, &err, &plain), ERR_PROTOCOL);
    assert_string_equal(err.msg, "too many tables at byte 4194305");
    free(many);
}

static void
reads_numbers_of_every_length(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        uint32_t value;
    } cases[] = {
        {S("\0"), 0},
        {S("\337"), 0xdf},
        {S("\340\0"), 0xe0},
        {S("\340\377"), 0x1df},
        {S("\376\377"), 0x1fdf},
        {S("\377\340\37\0\0"), 0x1fe0},
        {S("\377\377\377\377\377"), UINT32_MAX},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t *start = (const uint8_t *)cases[i].bytes, *p = start;
        uint32_t value;

        assert_true(scan_number(&p, start + cases[i].size, &value));
        assert_int_equal(value, cases[i].value);
        assert_ptr_equal(p, start + cases[i].size);
        p = start;
        assert_false(scan_number(&p, start + cases[i].size - 1, &value));
        assert_ptr_equal(p, start);
    }
}

static void
survives_noise(void **state)
{
    unsigned seed = 5;
    struct err err;

    for (int i = 0; i < 200000; i++) {
        char noise[24];
        size_t size = (size_t)i % (sizeof noise + 1);
        int64_t count, plain;

        for (size_t k = 0; k < size; k++) {
            seed = seed * 1664525 + 1013904223;
            noise[k] = (char)(i % 5 ? (seed >> 24) % 36 : seed >> 24);
        }
        count = scan(noise, size, &err, &plain);
        assert_true(count <= (int64_t)size);
        assert_true(plain < 0 || plain == count);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_plain_values),
        cmocka_unit_test(takes_other_values),
        cmocka_unit_test(refuses_what_ends_early),
        cmocka_unit_test(refuses_what_does_not_travel),
        cmocka_unit_test(refuses_impossible_tables),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(bounds_the_number_of_tables),
        cmocka_unit_test(reads_numbers_of_every_length),
        cmocka_unit_test(survives_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
