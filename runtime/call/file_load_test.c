/* Transfers that are many, big, or cut short. */
#include "file_test.h"

static void
test_cancel_and_loss(void **state)
{
    char *dir = scratch();
    struct pair p;
    struct err err;
    pair_start(&p);
    int fd = open(in(dir, "a/f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 8ll << 30), 0);
    close(fd);
    uint32_t seq = file_put(p.near.files, p.far, in(dir, "a/f"), in(dir, "b/f"), NULL, p.mb, &err);
    file_cancel(p.near.files, seq);
    assert_refused(take_answer(p.mb), ERR_CANCELLED, "cancelled");
    seq = file_get(p.near.files, p.far, in(dir, "a/f"), in(dir, "b/f"), NULL, p.mb, &err);
    file_cancel(p.near.files, seq);
    assert_refused(take_answer(p.mb), ERR_CANCELLED, "cancelled");
    file_cancel(p.near.files, seq);
    file_cancel(p.near.files, 12345);

    /* web1 is killed while data flows both ways. */
    struct stat st;
    assert_true(
        file_put(p.near.files, p.far, in(dir, "a/f"), in(dir, "b/f"), NULL, p.mb, &err) > 0);
    assert_true(
        file_get(p.near.files, p.far, in(dir, "a/f"), in(dir, "b/g"), NULL, p.mb, &err) > 0);
    char fds[64];
    snprintf(fds, sizeof(fds), "ls -L -s /proc/%d/fd/ >/dev/null 2>&1", (int)p.pid);
    assert_true(system(fds) >= 0);
    pair_kill(&p);
    assert_int_equal(take_answer(p.mb).code, ERR_DEAD);
    assert_refused(take_answer(p.mb), ERR_DEAD, "(on web1)");
    assert_int_equal(stat(in(dir, "b/f"), &st), -1);
    assert_int_equal(entries(in(dir, "b")), 0);
    assert_true(
        file_put(p.near.files, p.far, in(dir, "a/f"), in(dir, "b/f"), NULL, p.mb, &err) > 0);
    assert_refused(take_answer(p.mb), ERR_DEAD, "put ");
    pair_end(&p);
    scratch_remove(dir);
}

/* The end of the service answers everybody. */
static void
test_destroy(void **state)
{
    char *dir = scratch();
    struct pair p;
    struct err err;
    pair_start(&p);
    int fd = open(in(dir, "a/f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 8ll << 30), 0);
    close(fd);
    for (int i = 0; i < 5; i++) {
        char name[20];
        snprintf(name, sizeof(name), "b/%d", i);
        assert_true(
            file_put(p.near.files, p.far, in(dir, "a/f"), in(dir, name), NULL, p.mb, &err) > 0);
    }
    file_service_destroy(p.near.files);
    p.near.files = NULL;
    for (int i = 0; i < 5; i++)
        assert_int_equal(take_answer(p.mb).code, ERR_CLOSED);
    pair_stop(&p);
    assert_int_equal(entries(in(dir, "b")), 0);
    scratch_remove(dir);
}

/* Some hundred both ways, and a big one that must neither starve nor starve them. */
static void
test_many(void **state)
{
    enum { FILES = 300, SIZE = 200000, BIG = 48 << 20 };
    char *dir = scratch();
    struct pair p;
    struct err err;
    pair_start(&p);
    write_file(in(dir, "a/big"), BIG, 99, 0644);
    write_file(in(dir, "a/f"), SIZE, 1, 0644);
    int64_t from = clock_ms();
    uint32_t big = file_put(p.near.files, p.far, in(dir, "a/big"), in(dir, "b/"), NULL, p.mb, &err);
    for (int i = 0; i < 2 * FILES; i++) {
        char name[20];
        snprintf(name, sizeof(name), "b/%d", i);
        assert_true((i % 2 ? file_put : file_get)(
                        p.near.files, p.far, in(dir, "a/f"), in(dir, name), NULL, p.mb, &err) > 0);
    }
    int place = 0;
    for (int i = 0; i < 2 * FILES + 1; i++) {
        struct answer a = take_answer(p.mb);
        assert_changed(a, true, a.seq == big ? BIG : SIZE);
        if (a.seq == big)
            place = i;
    }
    print_message("%d files of %d KB and one of %d MB: %d ms; the big one was number %d to end\n",
        2 * FILES, SIZE / 1000, BIG >> 20, (int)(clock_ms() - from), place);
    for (int i = 0; i < 2 * FILES; i++) {
        char name[20];
        snprintf(name, sizeof(name), "b/%d", i);
        assert_file(in(dir, name), SIZE, 1);
    }
    assert_file(in(dir, "b/big"), BIG, 99);
    assert_int_equal(entries(in(dir, "b")), 2 * FILES + 1);
    pair_stop(&p);
    scratch_remove(dir);
}

static long
high_water_kb(pid_t pid)
{
    char path[64], line[200];
    long kb = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    fclose(f);
    return kb;
}

/* By hand (BIG=1 in the environment), since it needs 1 GiB in /tmp and a minute under a sanitizer. */
static void
test_big(void **state)
{
    if (!getenv("BIG"))
        skip();
    char *dir = scratch();
    struct pair p;
    pair_start(&p);
    char *command = xasprintf("head -c 1073741824 /dev/urandom > %s/a/f", dir);
    assert_int_equal(system(command), 0);
    free(command);
    for (int round = 0; round < 4; round++) {
        int64_t from = clock_ms();
        struct answer a =
            round < 2 ? PUT(in(dir, "a/f"), in(dir, "b/f")) : GET(in(dir, "a/f"), in(dir, "b/g"));
        assert_changed(a, round % 2 == 0, round % 2 == 0 ? 1 << 30 : 0);
        print_message("1 GiB, %s%s: %.0f MB/s; memory at most %ld KB here, %ld KB there\n",
            round < 2 ? "put" : "get", round % 2 ? ", unchanged" : "",
            (double)(1 << 30) / 1000.0 / (double)(clock_ms() - from), high_water_kb(getpid()),
            high_water_kb(p.pid));
    }
    assert_in_range(high_water_kb(p.pid), 0, 48 << 10);
    pair_stop(&p);
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big), /* first, for its memory to mean something */
        cmocka_unit_test(test_cancel_and_loss),
        cmocka_unit_test(test_destroy),
        cmocka_unit_test(test_many),
    };
    cmocka_set_test_filter(getenv("TEST")); /* a pattern, to run some of them by hand */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
