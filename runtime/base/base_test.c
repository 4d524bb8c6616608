/* Errors, buffers, clocks, the log. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mem.h"

/* ---- err ---- */

static void
test_code_names(void **state)
{
    assert_string_equal(err_code_name(0), "none");
    assert_string_equal(err_code_name(ERR_DEAD), "dead");
    assert_string_equal(err_code_name(ERR_NO_HANDLE), "no_handle");
    for (int code = ERR_CREDENTIALS; code <= 0; code++)
        assert_string_not_equal(err_code_name(code), "error");
    assert_string_equal(err_code_name(ERR_CREDENTIALS - 1), "error");
    assert_string_equal(err_code_name(1), "error");
    assert_string_equal(err_code_name(INT_MAX), "error");
    assert_string_equal(err_code_name(INT_MIN), "error");
}

static void
test_err_set(void **state)
{
    struct err err;

    assert_int_equal(err_set(&err, ERR_LIMIT, "%d is over %s", 7, "five"), ERR_LIMIT);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "7 is over five");
    assert_int_equal(err_set(NULL, ERR_DEAD, "nobody listens"), ERR_DEAD);
    assert_int_equal(err_errno(&err, ERR_FILE, ENOENT, "open %s", "x"), ERR_FILE);
    assert_string_equal(err.msg, "open x: No such file or directory");
    assert_int_equal(err_errno(NULL, ERR_FILE, ENOENT, "open"), ERR_FILE);
}

static void
test_err_prefix(void **state)
{
    struct err err;

    err_set(&err, ERR_AUTH, "no key fits");
    assert_int_equal(err_prefix(&err, "%s", "web1"), ERR_AUTH);
    assert_string_equal(err.msg, "web1: no key fits");
    assert_int_equal(err_prefix(NULL, "web1"), ERR_SYSTEM);
}

/* What is too long is cut at its end: the front names the context. */
static void
test_err_is_cut(void **state)
{
    char text[2 * sizeof((struct err *)0)->msg];
    struct err err;

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_DEAD, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    err_prefix(&err, "web1");
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_memory_equal(err.msg, "web1: xxx", 9);
    err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    err_errno(&err, ERR_DEAD, ENOENT, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

/* ---- buf ---- */

static void
test_buf_grows(void **state)
{
    struct buf b = {0};

    for (int i = 0; i < 10000; i++)
        buf_append(&b, &(uint8_t){(uint8_t)i}, 1);
    assert_int_equal(buf_len(&b), 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_head(&b)[i], (uint8_t)i);
    buf_append(&b, NULL, 0);
    assert_int_equal(buf_len(&b), 10000);
    buf_fini(&b);
    assert_null(b.data);
    assert_int_equal(buf_len(&b), 0);
}

/* A queue that is filled and drained at the same rate must not grow. */
static void
test_buf_slides(void **state)
{
    struct buf b = {0};
    uint8_t in = 0, out = 0;

    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 100; i++, in++)
            buf_append(&b, &in, 1);
        for (int i = 0; i < 100; i++, out++) {
            assert_int_equal(*buf_head(&b), out);
            buf_consume(&b, 1);
        }
    }
    assert_int_equal(buf_len(&b), 0);
    assert_true(b.cap <= 512);
    buf_fini(&b);
}

static void
test_buf_reserve(void **state)
{
    struct buf b = {0};

    assert_non_null(buf_reserve(&b, 0));
    memset(buf_reserve(&b, 100), 'a', 100);
    buf_commit(&b, 10);
    buf_consume(&b, 4);
    memset(buf_reserve(&b, 600), 'b', 600);
    buf_commit(&b, 600);
    assert_int_equal(buf_len(&b), 606);
    assert_memory_equal(buf_head(&b), "aaaaaabbb", 9);
    buf_fini(&b);
}

static void
test_buf_gives_back(void **state)
{
    struct buf b = {0};

    buf_reserve(&b, 1 << 20);
    buf_commit(&b, 1 << 20);
    buf_consume(&b, (1 << 20) - 1);
    assert_non_null(b.data);
    buf_consume(&b, 1);
    assert_null(b.data);
    buf_append(&b, "x", 1);
    buf_consume(&b, 1);
    assert_non_null(b.data); /* a small one is kept */
    buf_fini(&b);
}

static void
test_buf_printf(void **state)
{
    struct buf b = {0};
    char text[3000];

    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    buf_printf(&b, "%s", "");
    assert_int_equal(buf_len(&b), 0);
    buf_printf(&b, "%d-", 42);
    buf_printf(&b, "%s", text);
    assert_int_equal(buf_len(&b), 3 + sizeof text - 1);
    assert_memory_equal(buf_head(&b), "42-yyy", 6);
    buf_fini(&b);
}

static void
test_strings(void **state)
{
    char *s = xstrndup("abcdef", 3), *t = xasprintf("%s-%d", s, 5);

    assert_string_equal(s, "abc");
    assert_string_equal(t, "abc-5");
    free(s);
    secret_free(t);
    secret_free(NULL);
}

/* ---- clock ---- */

static void
test_clock(void **state)
{
    uint64_t ns = clock_ns();

    assert_true(clock_ns() >= ns);
    assert_true(clock_ms() >= (int64_t)(ns / 1000000));
    assert_int_equal(clock_left(-1), -1);
    assert_int_equal(clock_left(0), 0);
    assert_int_equal(clock_left(clock_ms() - 1), 0);
    assert_in_range(clock_left(clock_ms() + 60000), 1, 60000);
    assert_int_equal(clock_left(INT64_MAX), INT_MAX);
}

static void
test_random(void **state)
{
    char a[33], b[33];

    random_hex(a, 16);
    random_hex(b, 16);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
    random_hex(a, 0);
    assert_string_equal(a, "");
}

/* ---- log ---- */

/* What has been logged so far, owned by the caller. */
static char *
read_log(const char *path)
{
    char *text = xcalloc(1, 8192);
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    assert_true(fread(text, 1, 8191, f) < 8191);
    fclose(f);
    return text;
}

static void
test_log(void **state)
{
    char path[] = "/tmp/orrery-log-XXXXXX", long_text[3000];
    int fd = mkstemp(path);
    struct err err;
    char *text;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(log_open(path, &err), 0);
    log_warn("test", "a%cb\n\033[2Jc\x7f", 1);
    log_info("test", "not seen");
    log_set_level(LOG_TRACE);
    log_trace("test", "seen");
    log_set_level(LOG_ERROR);
    log_warn("test", "not seen either");
    memset(long_text, 'z', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    log_error("test", "%s", long_text);
    log_set_level(LOG_WARN);
    text = read_log(path);
    assert_non_null(strstr(text, "warn  test: a?b??[2Jc?\n"));
    assert_non_null(strstr(text, "trace test: seen\n"));
    assert_null(strstr(text, "not seen"));
    assert_true(strlen(text) < 1400);               /* cut, */
    assert_int_equal(text[strlen(text) - 1], '\n'); /* and still a line */
    free(text);
    assert_int_equal(log_open("/dev/null", &err), 0);
    unlink(path);
}

static void
test_log_open_fails(void **state)
{
    struct err err;

    assert_int_equal(log_open("/nonexistent/log", &err), ERR_FILE);
    assert_string_equal(err.msg, "log file /nonexistent/log: No such file or directory");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_names),
        cmocka_unit_test(test_err_set),
        cmocka_unit_test(test_err_prefix),
        cmocka_unit_test(test_err_is_cut),
        cmocka_unit_test(test_buf_grows),
        cmocka_unit_test(test_buf_slides),
        cmocka_unit_test(test_buf_reserve),
        cmocka_unit_test(test_buf_gives_back),
        cmocka_unit_test(test_buf_printf),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_open_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
