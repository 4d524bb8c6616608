/* The ways to a server but jump hosts: addresses that race, proxy commands, and servers that are busy. */
#include "sshd_fixture.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/wait.h>

#include "internal.h"
#include "pump_test.h"

static int
each(void **state)
{
    know_host("host_ed25519.pub");
    return 0;
}

/* The only child that is left is the server. */
static int
each_end(void **state)
{
    pid_t pid = waitpid(-1, NULL, WNOHANG);

    if (pid != 0)
        return -1;
    shell("test \"$(ps -o pid= --ppid %d | wc -l)\" -le 3", (int)getpid()); /* sshd, sh, ps */
    return 0;
}

static void
assert_connects(const struct ssh_options *o)
{
    struct err err;

    if (try_connect(o, NULL, &err))
        fail_msg("%s", err.msg);
}

/* ---- addresses ---- */

/* "ADDRESS PORT" ... that the host is said to have; NULL: as it is. */
static const char *const *addresses;

/* In the place of resolve.c's: the linker takes the first. */
int
resolve(struct ssh_attempt *a, const struct ssh_wait *w, int64_t ms, struct addrinfo **list)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    const char *usual[] = {NULL, NULL};
    char text[80];

    snprintf(text, sizeof text, "%s %s", a->o->host, a->o->port);
    usual[0] = text;
    for (const char *const *p = addresses ? addresses : usual; *p; p++) {
        char address[80], *port;

        snprintf(address, sizeof address, "%s", *p);
        port = strchr(address, ' ');
        *port++ = '\0';
        assert_int_equal(getaddrinfo(address, port, &hints, list), 0);
        while (*list)
            list = &(*list)->ai_next;
    }
    return 0;
}

static void
test_addresses_race(void **state)
{
    struct ssh_options o = usual_options();
    struct silence s;
    char dead[32], live[32], closed_port[8], closed[32];
    const char *const list[] = {dead, closed, live, NULL};
    int fd = listen_somewhere(closed_port, -1);

    silence_start(&s);
    snprintf(dead, sizeof dead, "127.0.0.1 %s", s.port);
    snprintf(closed, sizeof closed, "::1 %s", closed_port);
    snprintf(live, sizeof live, "127.0.0.1 %s", lab.port);
    addresses = list;
    o.connect_ms = 3600000; /* nobody waits for the first to fail */
    assert_connects(&o);
    silence_end(&s);
    close(fd);
}

static void
test_addresses_all_fail(void **state)
{
    struct ssh_options o = usual_options();
    char port[8], list[3][32];
    const char *const all[] = {list[0], list[1], list[2], NULL};
    int fd = listen_somewhere(port, -1);
    const char *first, *second, *third;
    struct err err;

    snprintf(list[0], sizeof list[0], "127.0.0.1 %s", port);
    snprintf(list[1], sizeof list[1], "127.0.0.2 %s", port);
    snprintf(list[2], sizeof list[2], "::1 %s", port);
    addresses = all;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    /* The families take turns. */
    first = strstr(err.msg, "127.0.0.1 port");
    second = strstr(err.msg, "::1 port");
    third = strstr(err.msg, "127.0.0.2 port");
    if (!first || !second || !third || second < first || third < second)
        fail_msg("%s", err.msg);
    close(fd);
}

static void
test_addresses_too_late(void **state)
{
    struct ssh_options o = usual_options();
    struct silence s;
    char dead[32];
    const char *const list[] = {dead, dead, NULL};
    atomic_bool cancel = true;
    struct err err;

    silence_start(&s);
    snprintf(dead, sizeof dead, "127.0.0.1 %s", s.port);
    addresses = list;
    o.connect_ms = 400;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_TIMEOUT);
    assert_has(err.msg, "within 0.4 s; then: no answer from 127.0.0.1");
    o.connect_ms = 3600000;
    assert_null(ssh_connect(NULL, &o, &cancel, NULL, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    silence_end(&s);
}

static void
test_connection_attempts(void **state)
{
    struct ssh_options o = usual_options();
    char port[8];
    int fd = listen_somewhere(port, -1);
    struct err err;

    addresses = NULL;
    o.port = port;
    o.connection_attempts = 2;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    assert_has(err.msg, "refused the connection (2 attempts)");
    close(fd);
}

/* ---- proxy commands ---- */

static const char *
bridge(const char *before, const char *after)
{
    static char command[512];

    snprintf(command, sizeof command,
        "bash -c '%s exec 3<>/dev/tcp/127.0.0.1/%s; cat <&3 & cat >&3; kill $!; %s'", before,
        lab.port, after);
    return command;
}

static void
test_proxy(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;
    struct transport *t;

    o.port = "1"; /* it is the command's business where that is */
    o.host_key_alias = "by-proxy";
    shell("sed -i 's/^\\[127.*\\]:[0-9]*/by-proxy/' %s", path("known_hosts"));
    o.proxy_command = bridge("", "");
    t = ssh_connect(NULL, &o, NULL, &report, &err);
    if (!t)
        fail_msg("%s", err.msg);
    assert_string_equal(report.address, "127.0.0.1 by its proxy command");
    pump_echo(t, megabytes() / 4);
}

static void
test_proxy_words(void **state)
{
    struct ssh_options o = usual_options();
    struct buf out = {0}, error = {0};
    struct transport *t;
    struct err err;

    o.proxy_command = bridge("echo hello from the proxy >&2;", "");
    o.command = "echo and from the host >&2";
    t = ssh_connect(NULL, &o, NULL, NULL, &err);
    if (!t)
        fail_msg("%s", err.msg);
    read_all(t, &out, &error);
    assert_has((char *)buf_head(&error), "hello from the proxy\n");
    assert_has((char *)buf_head(&error), "and from the host\n");
    t->ops->end(t, &err);
    assert_has(err.msg, "the remote command ended with status 0");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

static void
test_proxy_is_ssh(void **state)
{
    struct ssh_options o = usual_options();
    char command[512];

    snprintf(command, sizeof command,
        "ssh -F none -i %s -o UserKnownHostsFile=%s -p %s -W 127.0.0.1:%s %s@127.0.0.1",
        path("id_ed25519"), path("known_hosts"), lab.port, lab.port, lab.user);
    o.proxy_command = command;
    assert_connects(&o);
}

static void
expect_proxy_failure(const char *command, const char *text)
{
    struct ssh_options o = usual_options();
    struct err err;

    o.proxy_command = command;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    assert_has(err.msg, text);
}

static void
test_proxy_fails(void **state)
{
    struct ssh_options o = usual_options();
    atomic_bool cancel = true;
    struct err err;

    expect_proxy_failure("sh -c 'echo one >&2; echo oh no >&2; exit 3'",
        "exited with status 3 before the server said anything: oh no");
    expect_proxy_failure("no-such-program-here x", "exited with status 127");
    expect_proxy_failure("no-such-program-here x", "not found");
    expect_proxy_failure("echo nonsense", "is not an SSH server: it said \"nonsense\"");
    o.proxy_command = "sleep 1000";
    o.handshake_ms = 300;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_TIMEOUT);
    assert_has(err.msg, "by its proxy command");
    o.handshake_ms = 0;
    assert_null(ssh_connect(NULL, &o, &cancel, NULL, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
}

/* The whole group ends with the connection, whatever it thinks of that. */
static void
test_proxy_stays(void **state)
{
    struct ssh_options o = usual_options();

    o.proxy_command = bridge("trap \"\" TERM HUP;", "sleep 1234");
    assert_connects(&o);
    shell("! pgrep -f 'sleep 123[4]'");
}

static void
test_proxy_dies(void **state)
{
    struct ssh_options o = usual_options();
    struct buf out = {0}, error = {0};
    struct transport *t;
    struct err err;

    o.proxy_command = bridge("echo $$ >proxy_pid;", "");
    assert_int_equal(chdir(lab.dir), 0);
    t = ssh_connect(NULL, &o, NULL, NULL, &err);
    if (!t)
        fail_msg("%s", err.msg);
    assert_int_equal(chdir("/"), 0);
    shell("kill -KILL -$(cat %s)", path("proxy_pid"));
    read_all(t, &out, &error);
    t->ops->end(t, &err);
    assert_int_equal(err.code, ERR_DEAD);
    assert_has(err.msg, "the proxy command closed the SSH connection");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
}

/* Even if there is no time to end it: it sees the end of its input. */
static void
test_proxy_ends_with_us(void **state)
{
    struct ssh_options o = usual_options();
    int64_t deadline = clock_ms() + 20000;
    int ready[2];
    pid_t us, proxy;
    char c;

    o.proxy_command = bridge("echo $$ >proxy_pid;", "");
    assert_int_equal(pipe(ready), 0);
    us = fork();
    if (us == 0) {
        if (chdir(lab.dir) == 0 && ssh_connect(NULL, &o, NULL, NULL, NULL))
            (void)!write(ready[1], "", 1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    proxy = (pid_t)strtol(first_line(path("proxy_pid")), NULL, 10);
    assert_int_equal(kill(proxy, 0), 0);
    kill(us, SIGKILL);
    waitpid(us, NULL, 0);
    while (kill(proxy, 0) == 0) {
        assert_true(clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
}

/* ---- servers ---- */

/* One who could log in, and does not. The fixture's own connection may be in its way for a while. */
static int
connect_idly(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t deadline = clock_ms() + 10000;

    in.sin_port = htons((uint16_t)atoi(lab.port));
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char c = 0;

        assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
        if (recv(fd, &c, 1, 0) == 1 && c == 'S')
            return fd;
        close(fd);
        assert_true(clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
}

static void
test_busy_server(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;
    int fd;

    sshd_start("MaxStartups 1:100:1\n");
    know_host("host_ed25519.pub");
    fd = connect_idly();
    o.handshake_ms = 600;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_CONNECT);
    assert_has(err.msg, "MaxStartups");
    assert_has(err.msg, "(tried ");
    close(fd);
    sshd_start("");
}

static void
test_busy_server_recovers(void **state)
{
    struct ssh_options o = usual_options();
    int fd;

    sshd_start("MaxStartups 1:100:1\nLoginGraceTime 1\n");
    know_host("host_ed25519.pub");
    fd = connect_idly(); /* the server itself ends it after a second */
    assert_connects(&o);
    close(fd);
    sshd_start("");
}

static void
test_environment(void **state)
{
    static const char *const set[] = {"LC_ORRERY=a b'c", "REFUSED=x", "LC_EMPTY=", NULL};
    struct ssh_options o = usual_options();
    struct buf out = {0}, error = {0};
    struct transport *t;
    struct err err;

    sshd_start("AcceptEnv LC_*\n");
    know_host("host_ed25519.pub");
    o.set_env = set;
    o.command = "echo \"$LC_ORRERY|${REFUSED-none}|${LC_EMPTY-none}\"";
    t = ssh_connect(NULL, &o, NULL, NULL, &err);
    if (!t)
        fail_msg("%s", err.msg);
    read_all(t, &out, &error);
    assert_string_equal((char *)buf_head(&out), "a b'c|none|\n");
    t->ops->destroy(t);
    buf_fini(&out);
    buf_fini(&error);
    sshd_start("");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses_race, each, each_end),
        cmocka_unit_test_setup_teardown(test_addresses_all_fail, each, each_end),
        cmocka_unit_test_setup_teardown(test_addresses_too_late, each, each_end),
        cmocka_unit_test_setup_teardown(test_connection_attempts, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_words, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_is_ssh, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_fails, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_stays, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_dies, each, each_end),
        cmocka_unit_test_setup_teardown(test_proxy_ends_with_us, each, each_end),
        cmocka_unit_test_setup_teardown(test_busy_server, each, each_end),
        cmocka_unit_test_setup_teardown(test_busy_server_recovers, each, each_end),
        cmocka_unit_test_setup_teardown(test_environment, each, each_end),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
