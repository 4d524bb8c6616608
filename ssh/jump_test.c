/* Jump hosts: private sshds that forward to each other, and to themselves. */
#include "jump_fixture.h"

#include "pump_test.h"

static void
test_one(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct ssh_report report;
    struct buf out = {0}, error = {0};
    struct transport *t;
    struct err err;

    o.command = "echo words; echo more >&2; exit 7";
    t = ssh_connect(pool, &o, NULL, &report, &err);
    if (!t)
        fail_msg("%s", err.msg);
    assert_string_equal(report.address, "127.0.0.1 by way of jump1");
    assert_int_equal(connections(gate.port), 1);
    read_all(t, &out, &error);
    assert_string_equal((char *)buf_head(&out), "words\n");
    assert_string_equal((char *)buf_head(&error), "more\n");
    t->ops->end(t, &err);
    assert_has(err.msg, "status 7");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

static void
test_three_deep(void **state)
{
    struct ssh_options first = jump_options(), second = jump_options(), third = jump_options(),
                       o = target_options(&third);

    second.via = &first;
    second.name = "jump2";
    second.share_key = "two";
    third.via = &second;
    third.share_key = "three";
    pump_echo(must_connect(&o), megabytes() / 4);
}

/* ---- several at once ---- */

enum { THREADS = 8 };

struct worker {
    pthread_t thread;
    struct ssh_options o;
    atomic_bool cancel;
    struct transport *t;
    struct err err;
};

static void *
worker_main(void *arg)
{
    struct worker *w = arg;

    w->t = ssh_connect(pool, &w->o, &w->cancel, NULL, &w->err);
    return NULL;
}

static void
worker_start(struct worker *w, const struct ssh_options *o)
{
    *w = (struct worker){.o = *o};
    assert_int_equal(pthread_create(&w->thread, NULL, worker_main, w), 0);
}

static void *
echo_main(void *arg)
{
    struct worker *w = arg;

    pump_echo(w->t, megabytes() / 8);
    return NULL;
}

static void
test_shared(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct worker w[THREADS];

    for (int i = 0; i < THREADS; i++)
        worker_start(&w[i], &o);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        if (!w[i].t)
            fail_msg("%s", w[i].err.msg);
    }
    assert_int_equal(connections(gate.port), 1);
    assert_int_equal(connections(home.port), THREADS); /* of the jump host's sshd */
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, echo_main, &w[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    await_connections(gate.port, 0);
    /* And another one afterwards. */
    w[0].t = must_connect(&o);
    w[0].t->ops->destroy(w[0].t);
}

static void
test_not_shared(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump), other = o;
    struct transport *t[2];

    jump.share_key = NULL;
    t[0] = must_connect(&o);
    t[1] = must_connect(&other);
    assert_int_equal(connections(gate.port), 2);
    t[0]->ops->destroy(t[0]);
    await_connections(gate.port, 1);
    t[1]->ops->destroy(t[1]);
}

/* ---- failures ---- */

static void
test_refused(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct transport *t = must_connect(&o);
    char port[8], text[64];
    int fd = listen_somewhere(port, -1);
    struct err err;

    o.port = port;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    snprintf(text, sizeof text, "jump1 cannot reach 127.0.0.1 port %s: connect failed", port);
    assert_has(err.msg, text);
    /* The others are as they were. */
    pump_echo(t, 100000);
    close(fd);

    restart_gate("AllowTcpForwarding no\n");
    o.port = home.port;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    assert_has(err.msg, "jump1 cannot reach 127.0.0.1 port");
    assert_has(err.msg, "administratively prohibited");
    restart_gate("");
}

static void
test_target_is_checked(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    char key[1024];
    struct err err;

    snprintf(key, sizeof key, "%s", first_line(path("host_ed25519.pub")));
    write_file(path("known_hosts"), "[127.0.0.1]:%s %s\n", gate.port, key);
    assert_int_equal(try_connect(&o, NULL, &err), ERR_HOSTKEY);
    know_both();
    o.user = "nobody-here";
    assert_int_equal(try_connect(&o, NULL, &err), ERR_AUTH);
    assert_has(err.msg, "by way of jump1");
}

static void
test_jump_refuses(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct worker w[THREADS];

    jump.user = "nobody-here";
    for (int i = 0; i < THREADS; i++) {
        o.host = i % 2 ? "web1.example" : "web2.example";
        worker_start(&w[i], &o);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_null(w[i].t);
        assert_int_equal(w[i].err.code, ERR_AUTH);
        assert_has(w[i].err.msg,
            i % 2 ? "web1.example cannot be reached by way of jump1: "
                  : "web2.example cannot be reached by way of jump1: ");
        assert_has(w[i].err.msg, "does not let user nobody-here in");
    }
}

static void
expect_lost(struct transport *t)
{
    struct buf out = {0}, error = {0};
    struct err err;

    read_all(t, &out, &error);
    t->ops->end(t, &err);
    assert_int_equal(err.code, ERR_DEAD);
    assert_has(err.msg, "the jump host jump1 was lost: ");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

static void
test_jump_dies(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct transport *t[3];

    for (int i = 0; i < 3; i++)
        t[i] = must_connect(&o);
    shell("pkill -KILL -P %d", (int)gate.pid);
    for (int i = 0; i < 3; i++)
        expect_lost(t[i]);
    /* The next one has a new connection. */
    t[0] = must_connect(&o);
    t[0]->ops->destroy(t[0]);
}

static void
test_first_of_two_jumps_dies(void **state)
{
    struct ssh_options first = jump_options(), second = jump_options(), o = target_options(&second);
    struct buf out = {0}, error = {0};
    struct transport *t;
    struct err err;

    second.port = home.port;
    second.name = "jump2";
    second.share_key = "two";
    second.via = &first;
    t = must_connect(&o);
    shell("pkill -KILL -P %d", (int)gate.pid);
    read_all(t, &out, &error);
    t->ops->end(t, &err);
    assert_has(err.msg, "the jump host jump2 was lost: the jump host jump1 was lost: ");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

/* A jump host that accepts connections and says nothing. */
static void
test_cancelled(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    char port[8];
    int fd = listen_somewhere(port, 8), first, second;
    struct worker a, b;

    jump.port = port;
    worker_start(&a, &o);
    first = accept(fd, NULL, NULL);
    worker_start(&b, &o);
    /* Who waits ends at once as well; then, who connects. */
    atomic_store(&b.cancel, true);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.err.code, ERR_CANCELLED);
    worker_start(&b, &o);
    atomic_store(&a.cancel, true);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.err.code, ERR_CANCELLED);
    /* The other one does not end with the first, but connects itself. */
    second = accept(fd, NULL, NULL);
    atomic_store(&b.cancel, true);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.err.code, ERR_CANCELLED);
    assert_has(b.err.msg, "jump1");
    close(first);
    close(second);
    close(fd);
}

/* A target that does not answer the jump host keeps nobody else from theirs; its own deadline holds. */
static void
test_silent_target(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump), dead = o;
    struct transport *t = must_connect(&o);
    struct silence s;
    struct worker a, b;

    silence_start(&s);
    dead.port = s.port;
    worker_start(&a, &dead);
    worker_start(&b, &o);
    pthread_join(b.thread, NULL);
    if (!b.t)
        fail_msg("%s", b.err.msg);
    b.t->ops->destroy(b.t);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.err.code, ERR_TIMEOUT);
    assert_has(a.err.msg, "jump1 has no connection to 127.0.0.1 port");
    pump_echo(t, 100000);
    silence_end(&s);
}

/* Nor does it keep the connection once nobody waits for it any more, though it cannot be taken back. */
static void
test_silent_target_is_given_up(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct silence s;
    struct worker a;
    int asking;

    silence_start(&s);
    asking = in_state(s.port, 2);
    o.port = s.port;
    worker_start(&a, &o);
    await_connections(gate.port, 1);
    await_asking(&s, asking);
    atomic_store(&a.cancel, true);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.err.code, ERR_CANCELLED);
    await_connections(gate.port, 0);
    silence_end(&s);
}

static void
test_pool_ends_first(void **state)
{
    struct ssh_options jump = jump_options(), o = target_options(&jump);
    struct buf out = {0}, error = {0};
    struct transport *t = must_connect(&o);

    ssh_pool_destroy(pool);
    pool = NULL;
    read_all(t, &out, &error);
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one, each, each_end),
        cmocka_unit_test_setup_teardown(test_three_deep, each, each_end),
        cmocka_unit_test_setup_teardown(test_shared, each, each_end),
        cmocka_unit_test_setup_teardown(test_not_shared, each, each_end),
        cmocka_unit_test_setup_teardown(test_refused, each, each_end),
        cmocka_unit_test_setup_teardown(test_target_is_checked, each, each_end),
        cmocka_unit_test_setup_teardown(test_jump_refuses, each, each_end),
        cmocka_unit_test_setup_teardown(test_jump_dies, each, each_end),
        cmocka_unit_test_setup_teardown(test_first_of_two_jumps_dies, each, each_end),
        cmocka_unit_test_setup_teardown(test_cancelled, each, each_end),
        cmocka_unit_test_setup_teardown(test_silent_target, each, each_end),
        cmocka_unit_test_setup_teardown(test_silent_target_is_given_up, each, each_end),
        cmocka_unit_test_setup_teardown(test_pool_ends_first, each, each_end),
    };

    return cmocka_run_group_tests(tests, all, all_end);
}
