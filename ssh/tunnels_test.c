/* What goes through a jump host: all of it, in order, whatever else goes through at the same time. */
#include "jump_fixture.h"

#include "pump_test.h"

struct echo {
    pthread_t thread;
    struct transport *t;
};

static void *
echo_main(void *arg)
{
    struct echo *e = arg;

    pump_echo(e->t, megabytes() / 8);
    return NULL;
}

static void
test_echo(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);

    pump_echo(must_connect(&o), megabytes());
}

static void
test_echo_with_rekeys(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct echo w[3];

    restart_gate("RekeyLimit 1M\n");
    for (int i = 0; i < 3; i++)
        w[i].t = must_connect(&o);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, echo_main, &w[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(w[i].thread, NULL);
    /* Channels come and go during rekeys, too. */
    w[0].t = must_connect(&o);
    pthread_create(&w[0].thread, NULL, echo_main, &w[0]);
    for (int i = 0; i < 10; i++) {
        struct transport *t = must_connect(&o);

        t->ops->destroy(t);
    }
    pthread_join(w[0].thread, NULL);
    await_connections(gate.port, 0);
    restart_gate("");
}

/* One that is not read from, or whose far side does not read, is bounded, and stops nobody else. */
static void
test_stopped(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    static uint8_t data[1 << 20];
    struct transport *mute, *deaf;
    uint64_t taken = 0;
    ssize_t n;

    o.command = "exec cat /dev/zero";
    mute = must_connect(&o);
    o.command = "exec sleep 1000";
    deaf = must_connect(&o);
    /* Until its window, its jump host's and all buffers are full. */
    for (int quiet = 0; quiet < 50;) {
        n = deaf->ops->write(deaf, &(struct iovec){data, sizeof data}, 1);
        if (n > 0)
            taken += (uint64_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
        while (deaf->ops->read(deaf, data, sizeof data) > 0) {}
        deaf->ops->flush(deaf);
        poll(NULL, 0, 2);
    }
    assert_true(taken < 32 << 20);
    o.command = "cat";
    pump_echo(must_connect(&o), 8 << 20);
    mute->ops->destroy(mute);
    deaf->ops->destroy(deaf);
}

/* A reader that takes all there is, as fast as it comes: the way is full and empty in turn, and whoever has
 * filled it must see that it is empty again. */
static void
test_hasty_reader(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    static uint8_t data[256 << 10];
    uint64_t got = 0, total = (uint64_t)megabytes();
    int64_t deadline = clock_ms() + PATIENCE_MS;
    struct transport *t;
    char command[64];

    snprintf(command, sizeof command, "exec head -c %llu /dev/zero", (unsigned long long)total);
    o.command = command;
    t = must_connect(&o);
    while (got < total && clock_ms() < deadline) {
        ssize_t n = t->ops->read(t, data, sizeof data);

        if (n > 0)
            got += (uint64_t)n;
        t->ops->flush(t);
    }
    assert_int_equal(got, total);
    t->ops->destroy(t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, each, each_end),
        cmocka_unit_test_setup_teardown(test_echo_with_rekeys, each, each_end),
        cmocka_unit_test_setup_teardown(test_stopped, each, each_end),
        cmocka_unit_test_setup_teardown(test_hasty_reader, each, each_end),
    };

    return cmocka_run_group_tests(tests, all, all_end);
}
