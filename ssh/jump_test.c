/* Jump hosts: private sshds that forward to each other, and to themselves. */
#include "sshd_fixture.h"

#include <dirent.h>

#include "loop.h"
#include "pump_test.h"

enum { PATIENCE_MS = 30000 };

static struct loop *loop;

struct server {
    char port[8];
    pid_t pid;
};

static struct server gate, home; /* jump host, target */

static struct server
start_server(const char *lines)
{
    struct server s;

    lab.sshd = 0;
    sshd_start(lines);
    s.pid = lab.sshd;
    memcpy(s.port, lab.port, sizeof s.port);
    lab.sshd = 0;
    return s;
}

static void
stop_server(struct server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static void
know_both(void)
{
    char key[1024];

    snprintf(key, sizeof key, "%s", first_line(path("host_ed25519.pub")));
    write_file(path("known_hosts"), "[127.0.0.1]:%s %s\n[127.0.0.1]:%s %s\n", gate.port, key,
        home.port, key);
}

/* With these lines in the configuration of the jump host. */
static void
restart_gate(const char *lines)
{
    stop_server(&gate);
    gate = start_server(lines);
    know_both();
}

static int
entries(const char *directory)
{
    DIR *d = opendir(directory);
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Connections to a port that are in this state, as their client sees them. */
static int
in_state(const char *port, unsigned wanted)
{
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[512];
    unsigned remote, state;
    int n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, " %*d: %*8x:%*4x %*8x:%4x %2x", &remote, &state) == 2 &&
            remote == (unsigned)atoi(port) && state == wanted)
            n++;
    fclose(f);
    return n;
}

static int
connections(const char *port)
{
    return in_state(port, 1);
}

static void
await_connections(const char *port, int n)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;

    while (connections(port) != n) {
        if (clock_ms() > deadline)
            fail_msg("%d connections to port %s, not %d", connections(port), port, n);
        poll(NULL, 0, 2);
    }
}

/* Until the jump host's server asks for a connection to the silent port, as more do than the test itself. */
static void
await_asking(const struct silence *s, int before)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;

    while (in_state(s->port, 2) <= before) {
        assert_true(clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
}

static int fds_before, threads_before;

static int
each(void **state)
{
    struct err err;

    loop = loop_create(&err);
    assert_non_null(loop);
    assert_int_equal(loop_start(loop, &err), 0);
    pool = ssh_pool_create(loop);
    know_both();
    fds_before = entries("/proc/self/fd");
    threads_before = entries("/proc/self/task");
    return 0;
}

/* Nothing is left: no connection to the jump host, no descriptor, no thread. */
static int
each_end(void **state)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;

    await_connections(gate.port, 0);
    await_connections(home.port, 0);
    while (entries("/proc/self/fd") != fds_before || entries("/proc/self/task") != threads_before) {
        assert_true(clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
    ssh_pool_destroy(pool);
    loop_destroy(loop);
    return 0;
}

static int
all(void **state)
{
    int rc = lab_setup(state);

    sshd_stop();
    gate = start_server("");
    home = start_server("");
    return rc;
}

static int
all_end(void **state)
{
    stop_server(&gate);
    stop_server(&home);
    return lab_teardown(state);
}

static struct ssh_options
jump_options(void)
{
    struct ssh_options o = usual_options();

    o.name = "jump1";
    o.port = gate.port;
    o.share_key = "one";
    o.command = NULL;
    return o;
}

static struct ssh_options
target_options(const struct ssh_options *via)
{
    struct ssh_options o = usual_options();

    o.name = "web1";
    o.port = home.port;
    o.via = via;
    return o;
}

static struct transport *
must_connect(const struct ssh_options *o)
{
    struct err err;
    struct transport *t = ssh_connect(pool, o, NULL, NULL, &err);

    if (!t)
        fail_msg("%s", err.msg);
    return t;
}

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

/* ---- bytes ---- */

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
    struct worker w[3];

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
        cmocka_unit_test_setup_teardown(test_echo, each, each_end),
        cmocka_unit_test_setup_teardown(test_echo_with_rekeys, each, each_end),
        cmocka_unit_test_setup_teardown(test_stopped, each, each_end),
    };

    return cmocka_run_group_tests(tests, all, all_end);
}
