#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"

static void
assert_sum(const struct checksum *c, const char *want)
{
    uint8_t out[CHECKSUM_SIZE];
    char hex[2 * CHECKSUM_SIZE + 1];

    checksum_read(c, out);
    for (size_t i = 0; i < CHECKSUM_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(hex, want);
}

/* As `xxhsum -H2` prints them. */
static void
test_known(void **state)
{
    struct checksum *c = checksum_create();
    uint8_t bytes[1000];

    assert_sum(c, "99aa06d3014798d86001c324468d497f");
    checksum_update(c, "a", 1);
    checksum_update(c, "bc", 2);
    assert_sum(c, "06b05ab6733a618578af5f94892f3950");
    assert_sum(c, "06b05ab6733a618578af5f94892f3950");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 251);
    for (size_t step = 1; step <= sizeof bytes; step += 111) {
        checksum_reset(c);
        for (size_t did = 0; did < sizeof bytes; did += step)
            checksum_update(c, bytes + did, sizeof bytes - did < step ? sizeof bytes - did : step);
        assert_sum(c, "18bf41bc8229e27733ef703fb2b20ed1");
    }
    checksum_destroy(c);
    checksum_destroy(NULL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
