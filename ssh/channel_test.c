/* The transport: bytes both ways, rekeying, how it ends. */
#include "sshd_fixture.h"

#include "pump_test.h"

static struct transport *
connect_for(const char *command)
{
    struct ssh_options o = usual_options();
    struct err err;
    struct transport *t;

    o.command = command;
    o.strict = SSH_STRICT_ACCEPT_NEW;
    t = ssh_connect(NULL, &o, NULL, NULL, &err);
    if (!t)
        fail_msg("%s", err.msg);
    return t;
}

static void
expect_end(const char *command, bool shut, const char *out, const char *error, const char *end)
{
    struct transport *t = connect_for(command);
    struct buf o = {0}, e = {0};
    struct err err;

    if (shut)
        t->ops->shutdown(t);
    read_all(t, &o, &e);
    assert_string_equal((char *)buf_head(&o), out);
    assert_string_equal((char *)buf_head(&e), error);
    t->ops->end(t, &err);
    assert_int_equal(err.code, ERR_DEAD);
    assert_has(err.msg, end);
    t->ops->destroy(t);
    buf_fini(&o);
    buf_fini(&e);
}

static void
test_ends(void **state)
{
    expect_end("exit 0", false, "", "", "the remote command ended with status 0");
    expect_end("exit 127", false, "", "", "the remote command ended with status 127");
    expect_end("echo out; echo oops >&2; exit 3", false, "out\n", "oops\n", "status 3");
    expect_end("kill -KILL $$", false, "", "", "the remote command was ended by signal KILL");
    expect_end("cat; echo done", true, "done\n", "", "status 0");
}

static void
test_connection_dies(void **state)
{
    struct transport *t = connect_for("echo words; read -r line; kill -KILL $PPID");
    struct buf o = {0}, e = {0};
    char word[6];
    struct err err;

    while (t->ops->read(t, word, sizeof word) != sizeof word) /* the line comes in one piece */
        assert_int_equal(poll(&(struct pollfd){.fd = t->fd, .events = POLLIN}, 1, 20000), 1);
    assert_int_equal(t->ops->write(t, &(struct iovec){"\n", 1}, 1), 1);
    read_all(t, &o, &e);
    t->ops->end(t, &err);
    assert_int_equal(err.code, ERR_DEAD);
    assert_has(err.msg, "SSH connection");
    assert_true(t->ops->write(t, &(struct iovec){"x", 1}, 1) < 0);
    t->ops->destroy(t);
    buf_fini(&o);
    buf_fini(&e);
}

static void
run_echo(const char *command, uint64_t total)
{
    pump_echo(connect_for(command), total);
}

static void
test_echo(void **state)
{
    run_echo("cat", megabytes());
}

static void
test_echo_with_rekeys(void **state)
{
    sshd_start("RekeyLimit 1M\n");
    run_echo("cat", megabytes());
    sshd_start("");
}

static void
test_echo_slow_reader(void **state)
{
    /* Input piles up at a far side that does not read: the window closes, and opens again. */
    run_echo("head -c 1 && exec cat", 8 << 20);
}

static void
test_write_is_bounded(void **state)
{
    struct transport *t = connect_for("echo ready; read -r line; sleep 60");
    static uint8_t data[1 << 20];
    uint64_t taken = 0;
    ssize_t n;

    for (int i = 0; i < 64; i++) {
        n = t->ops->write(t, &(struct iovec){data, sizeof data}, 1);
        if (n < 0)
            break;
        taken += (uint64_t)n;
    }
    assert_int_equal(n, -EAGAIN);
    assert_true(taken < 16 << 20);
    n = (ssize_t)clock_ms();
    t->ops->destroy(t);
    assert_true(clock_ms() - n < 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_connection_dies),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_echo_with_rekeys),
        cmocka_unit_test(test_echo_slow_reader),
        cmocka_unit_test(test_write_is_bounded),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
