#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "blake2b.h"

/* The digest of n bytes 0, 1 .. 250, 0, 1 .., given in pieces of at most `step`. */
static const char *
digest(size_t n, size_t step)
{
    static char hex[2 * BLAKE2B_SIZE + 1];
    uint8_t bytes[1024], out[BLAKE2B_SIZE];
    struct blake2b b;
    size_t did = 0;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 251);
    blake2b_init(&b);
    while (did < n) {
        size_t part = n - did < step ? n - did : step;

        blake2b_update(&b, bytes + did, part);
        did += part;
    }
    blake2b_final(&b, out);
    for (int i = 0; i < BLAKE2B_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", out[i]);
    return hex;
}

/* As `b2sum -l 256` prints them: around the edges of blocks, where the last one is told apart. */
static void
test_known(void **state)
{
    static const struct {
        size_t n;
        const char *digest;
    } known[] = {
        {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {1, "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"},
        {127, "f2fe67ff342e21b8f45e8f2e0bcd1d9243245d50ee6c78042e9c491388791c72"},
        {128, "c3582f71ebb2be66fa5dd750f80baae97554f3b015663c8be377cfcb2488c1d1"},
        {129, "f7f3c46ba2564ff4c4c162da1f5b605f9f1c4aa6a20652a9f9a337c1a2f5b9c9"},
        {255, "d9ef0fc521b4266d16df662bec231bc2ec3989e7adeaf63169c295dc239dbbea"},
        {256, "582f782226018ec33076bd8d1c42413530ac7e1126260ffc0f306ba3befc3f24"},
        {257, "227e15ed64ee8e93eb7bc53828f76eed974f2c4ab1408c3d08f212b7f8d69904"},
        {1000, "b372d0608f720c8c3dd41e9c8eecb10143b41abe520b616607e754bf79c08331"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (size_t step = 1; step <= 1024; step += step < 140 ? 1 : 97)
            assert_string_equal(digest(known[i].n, step), known[i].digest);
}

static void
test_abc(void **state)
{
    static const uint8_t start[] = {0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72};
    uint8_t out[BLAKE2B_SIZE];
    struct blake2b b;

    for (int again = 0; again < 2; again++) {
        blake2b_init(&b);
        blake2b_update(&b, "abc", 3);
        blake2b_update(&b, "", 0);
        blake2b_final(&b, out);
        assert_memory_equal(out, start, sizeof start);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_abc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
