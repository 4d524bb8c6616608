/* The transport: bytes both ways, rekeying, how it ends. */
#include "sshd_fixture.h"

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

/* The byte at a position of the stream, such that neither loss nor repetition nor exchange of any
 * piece can go unnoticed. */
static uint8_t
byte_at(uint64_t i)
{
    uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15;

    x ^= x >> 29;
    return (uint8_t)(x >> (i % 8 * 8));
}

static void
fill(uint8_t *p, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(at + i);
}

struct pump {
    struct transport *t;
    uint64_t total, sent, got;
    bool eof, error;
    unsigned seed;
};

/* Several pieces of odd sizes; what is refused is offered again later, as a stream does. */
static void
pump_out(struct pump *p)
{
    static uint8_t data[200000];

    while (p->sent < p->total) {
        size_t n = (size_t)rand_r(&p->seed) % (rand_r(&p->seed) % 8 ? 3000 : sizeof data) + 1;
        size_t first = (size_t)rand_r(&p->seed) % n;
        ssize_t k;

        if (n > p->total - p->sent)
            n = p->total - p->sent, first = n / 3;
        fill(data, p->sent, n);
        k = p->t->ops->write(
            p->t, (struct iovec[]){{data, first}, {data + first, 0}, {data + first, n - first}}, 3);
        if (k == -EAGAIN)
            return;
        assert_true(k > 0);
        p->sent += (uint64_t)k;
        if ((size_t)k < n)
            return;
    }
    if (!p->eof)
        p->t->ops->shutdown(p->t);
    p->eof = true;
}

static void
pump_in(struct pump *p, bool *ended)
{
    static uint8_t data[100000], want[100000];
    ssize_t n;

    while ((n = p->t->ops->read(p->t, data, (size_t)rand_r(&p->seed) % sizeof data + 1)) > 0) {
        fill(want, p->got, (size_t)n);
        if (memcmp(data, want, (size_t)n) != 0)
            fail_msg("wrong bytes somewhere from %llu on", (unsigned long long)p->got);
        p->got += (uint64_t)n;
    }
    *ended = n == 0;
    if (n != 0)
        assert_int_equal(n, -EAGAIN);
    assert_int_equal(p->t->ops->read_err(p->t, data, sizeof data), *ended ? 0 : -EAGAIN);
}

static void
run_echo(const char *command, uint64_t total)
{
    struct pump p = {.t = connect_for(command), .total = total, .seed = 7};
    bool ended = false;
    struct err err;

    while (!ended) {
        struct pollfd poll_for = {.fd = p.t->fd, .events = POLLIN};

        pump_in(&p, &ended);
        if (ended)
            break;
        pump_out(&p);
        if (p.t->ops->wants_write(p.t))
            poll_for.events |= POLLOUT;
        if (poll(&poll_for, 1, 30000) != 1)
            fail_msg("stalled after %llu bytes out and %llu in", (unsigned long long)p.sent,
                (unsigned long long)p.got);
        if (poll_for.revents & POLLOUT)
            assert_int_equal(p.t->ops->flush(p.t), 0);
    }
    assert_int_equal(p.got, total);
    p.t->ops->end(p.t, &err);
    assert_has(err.msg, "status 0");
    p.t->ops->destroy(p.t);
}

static uint64_t
megabytes(void)
{
    const char *more = getenv("ORRERY_TEST_MB"); /* 200 by hand; less where each byte costs more */

    return (uint64_t)(more ? atoi(more) : 40) << 20;
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
