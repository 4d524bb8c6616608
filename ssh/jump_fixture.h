/*
 * For the tests: a private sshd to jump over, another one behind it, and a loop with a pool. Functions are
 * static: each test includes this once.
 */
#ifndef ORRERY_JUMP_FIXTURE_H
#define ORRERY_JUMP_FIXTURE_H

#include "sshd_fixture.h"

#include <dirent.h>

#include "loop.h"

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
__attribute__((unused)) static void
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

#endif
