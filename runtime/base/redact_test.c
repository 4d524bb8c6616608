/* What is not to be shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "redact.h"

static void
add(const char *text)
{
    assert_int_equal(redact_add(text, strlen(text), NULL), 0);
}

static void
assert_redacted(const char *text, const char *expected)
{
    size_t n = 0;
    char *out = redact_text(text, strlen(text), &n);

    if (!expected) {
        assert_null(out);
        return;
    }
    assert_non_null(out);
    assert_int_equal(n, strlen(expected));
    assert_string_equal(out, expected);
    free(out);
}

static void
test_nothing_known(void **state)
{
    assert_redacted("a text with hunter22 in it", NULL);
    assert_int_equal(redact_held("hunter", 6), 0);
}

static void
test_replaces(void **state)
{
    add("hunter22");
    assert_redacted("a text with hunter22 in it", "a text with ******** in it");
    assert_redacted("hunter22", "********");
    assert_redacted("hunter22hunter22", "****************");
    assert_redacted("hunter2", NULL);
    assert_redacted("", NULL);
    assert_redacted("abc", NULL);
}

static void
test_overlapping(void **state)
{
    add("hunter22-and-more");
    add("more-of-it");
    assert_redacted("<hunter22-and-more>", "<********>");
    assert_redacted("<hunter22-and-more-of-it>", "<********>");
    assert_redacted("<hunter22-and-mor>", "<********-and-mor>");
}

static void
test_short_ones_are_not_kept(void **state)
{
    add("abc");
    assert_redacted("abcabc", NULL);
}

static void
test_held(void **state)
{
    assert_int_equal(redact_held("xxhunter2", 9), 7);
    assert_int_equal(redact_held("xxhunter22", 10), 8); /* there is a longer one */
    assert_int_equal(redact_held("xxhu", 4), 2);
    assert_int_equal(redact_held("xxhux", 5), 0);
    assert_int_equal(redact_held("", 0), 0);
}

/* The last letter of one that is whole begins another. */
static void
test_held_is_not_cut_through(void **state)
{
    add("door-key");
    add("yesterday");
    assert_int_equal(redact_held("<door-key", 9), 8);
    assert_int_equal(redact_held("<door-key>", 10), 0);
    assert_int_equal(redact_held("<door-keyes", 11), 10);
}

static void
test_binary(void **state)
{
    size_t n = 0;
    char *out;

    assert_int_equal(redact_add("a\0b\0c", 5, NULL), 0);
    out = redact_text("<a\0b\0c>", 7, &n);
    assert_non_null(out);
    assert_string_equal(out, "<********>");
    assert_int_equal(n, 10);
    free(out);
}

static void
test_limit(void **state)
{
    struct err err = {0};
    char text[32];
    int rc = 0;

    for (int i = 0; i < 60000 && rc == 0; i++) {
        snprintf(text, sizeof text, "%05d, a secret", i);
        rc = redact_add(text, strlen(text), &err);
    }
    assert_int_equal(rc, ERR_LIMIT);
    add("hunter22"); /* is known */
    assert_redacted("<41000, a secret>", "<********>");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_replaces),
        cmocka_unit_test(test_overlapping),
        cmocka_unit_test(test_short_ones_are_not_kept),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_held_is_not_cut_through),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
