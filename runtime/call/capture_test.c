#include "capture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* after the above: it needs their types */
#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "pack.h"

static struct loop *loop;
static struct mailbox *mb;
static struct captures *cs;

static int
setup(void **state)
{
    struct err err;

    loop = loop_create(&err);
    assert_non_null(loop);
    assert_int_equal(loop_start(loop, &err), 0);
    mb = mailbox_create(NULL);
    cs = captures_create(loop);
    return 0;
}

static int
teardown(void **state)
{
    if (cs)
        captures_destroy(cs);
    cs = NULL;
    loop_stop(loop);
    mailbox_destroy(mb);
    loop_destroy(loop);
    return 0;
}

static uint32_t
run(const char *program, const char *script)
{
    const char *argv[] = {program, "-c", script, NULL};

    return capture_run(cs, argv, mb);
}

struct outcome {
    uint32_t seq, status;
    char text[256];
};

static struct outcome
take(void)
{
    struct msg *m = mailbox_take(mb, clock_ms() + 20000);
    struct outcome o = {0};
    struct unpack u;
    size_t n;

    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_RUN);
    o.seq = m->h.seq;
    unpack_init(&u, msg_payload(m), m->h.length);
    o.status = unpack_u32(&u);
    n = unpack_left(&u);
    assert_true(n < sizeof o.text);
    memcpy(o.text, u.p, n);
    msg_unref(m);
    return o;
}

static void
test_output_and_status(void **state)
{
    uint32_t seq = run("sh", "echo out; echo err >&2; read x || echo no input; exit 7");
    struct outcome o = take();

    assert_int_equal(o.seq, seq);
    assert_int_equal(o.status, 7);
    assert_string_equal(o.text, "out\nerr\nno input\n");
}

static void
test_a_signal(void **state)
{
    run("sh", "kill -TERM $$");
    assert_int_equal(take().status, 128 + 15);
}

static void
test_no_such_program(void **state)
{
    struct outcome o;

    run("no-such-program", "");
    o = take();
    assert_int_equal(o.status, 127);
    assert_non_null(strstr(o.text, "no-such-program: No such file"));
    run("/", "");
    assert_int_equal(take().status, 126);
}

/* What it leaves behind has its pipe still, and holds nobody up. */
static void
test_who_stays_behind_is_not_waited_for(void **state)
{
    struct outcome o;

    run("sh", "echo $$; sleep 1000 & echo $!");
    o = take();
    assert_int_equal(o.status, 0);
    assert_int_equal(kill((pid_t)atoi(strchr(o.text, '\n') + 1), SIGKILL), 0);
}

static void
test_many(void **state)
{
    enum { MANY = 40 };
    bool seen[MANY] = {false};
    uint32_t first = 0;

    for (int i = 0; i < MANY; i++) {
        uint32_t seq = run("sh", "echo $PPID");

        first = first ? first : seq;
    }
    for (int i = 0; i < MANY; i++) {
        struct outcome o = take();

        assert_int_equal(o.status, 0);
        assert_int_equal(atoi(o.text), getpid());
        assert_true(o.seq - first < MANY && !seen[o.seq - first]);
        seen[o.seq - first] = true;
    }
}

static void
test_much_is_cut(void **state)
{
    struct msg *m;

    run("sh", "head -c 3000000 /dev/zero");
    m = mailbox_take(mb, clock_ms() + 20000);
    assert_non_null(m);
    assert_true(m->h.length <= CAPTURE_MAX + 4);
    assert_true(m->h.length > CAPTURE_MAX / 2);
    msg_unref(m);
}

/* Those that run, and those that wait for their turn. */
static void
test_the_end_kills(void **state)
{
    char dir[] = "/tmp/capture-test-XXXXXX", fifo[64], script[128], byte;
    int fd;

    assert_non_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(script, sizeof script, "exec 3<>%s; echo >&3; exec sleep 1000", fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (int i = 0; i < 20; i++)
        run("sh", i ? "exec sleep 1000" : script);
    fd = open(fifo, O_RDONLY); /* waits for the other end */
    assert_int_equal(read(fd, &byte, 1), 1);
    captures_destroy(cs);
    cs = NULL;
    assert_int_equal(read(fd, &byte, 1), 0); /* whoever had it open is gone */
    close(fd);
    unlink(fifo);
    rmdir(dir);
    assert_false(mailbox_has(mb));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output_and_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_program, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_stays_behind_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_much_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_kills, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
