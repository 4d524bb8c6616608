/*
 * For the tests: a private sshd on loopback, run as the current user, with keys and configuration of
 * its own in a directory that goes away at the end. Functions are static: each test includes this once.
 */
#ifndef ORRERY_SSHD_FIXTURE_H
#define ORRERY_SSHD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "ssh.h"

static struct {
    char dir[64];
    char user[64];
    char port[8];
    pid_t sshd;
} lab;

/* A path in the test's directory. Four of them can be in use at a time. */
__attribute__((unused)) static const char *
path(const char *name)
{
    static char ring[4][128];
    static int next;

    next = (next + 1) % 4;
    snprintf(ring[next], sizeof ring[next], "%s/%s", lab.dir, name);
    return ring[next];
}

__attribute__((unused, format(printf, 1, 2))) static void
shell(const char *fmt, ...)
{
    char command[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    if (system(command) != 0)
        fail_msg("this failed: %s", command);
}

/* First line of a file, without the newline. */
__attribute__((unused)) static const char *
first_line(const char *file)
{
    static char line[2048];
    FILE *f = fopen(file, "r");

    line[0] = '\0';
    if (f) {
        if (fgets(line, sizeof line, f))
            line[strcspn(line, "\n")] = '\0';
        fclose(f);
    }
    return line;
}

__attribute__((unused, format(printf, 2, 3))) static void
write_file(const char *file, const char *fmt, ...)
{
    FILE *f = fopen(file, "w");
    va_list ap;

    assert_non_null(f);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fclose(f);
    chmod(file, 0600);
}

/* A socket that listens on a port of the kernel's choice. */
__attribute__((unused)) static int
listen_somewhere(char port[8], int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    snprintf(port, 8, "%d", ntohs(in.sin_port));
    return fd;
}

/* A port that the kernel answers nothing on: its backlog is full. */
struct silence {
    char port[8];
    int fd, full[64];
};

__attribute__((unused)) static void
silence_start(struct silence *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    s->fd = listen_somewhere(s->port, -1);
    listen(s->fd, 0);
    in.sin_port = htons((uint16_t)atoi(s->port));
    for (int i = 0; i < 64; i++) {
        s->full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(s->full[i], (struct sockaddr *)&in, sizeof in);
    }
}

__attribute__((unused)) static void
silence_end(struct silence *s)
{
    for (int i = 0; i < 64; i++)
        close(s->full[i]);
    close(s->fd);
}

__attribute__((unused)) static void
sshd_stop(void)
{
    if (lab.sshd > 0) {
        kill(lab.sshd, SIGTERM);
        waitpid(lab.sshd, NULL, 0);
    }
    lab.sshd = 0;
}

/* Starts it with these lines at the head of its configuration, and waits until it accepts connections. */
__attribute__((unused)) static void
sshd_start(const char *lines)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t deadline = clock_ms() + 10000;
    int fd;

    sshd_stop();
    fd = listen_somewhere(lab.port, -1);
    close(fd);
    write_file(path("config"),
        "%s\nPort %s\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n"
        "AuthorizedKeysFile %s/authorized\nPermitRootLogin yes\nMaxAuthTries 20\n"
        "SetEnv HOME=%s\n" /* no .bashrc of whoever runs the tests */
        "%s%s\n",
        lines, lab.port, lab.dir, lab.dir, strstr(lines, "MaxStartups") ? "" : "MaxStartups 100\n",
        strstr(lines, "HostKey") ? "" : first_line(path("hostkey_line")));
    lab.sshd = fork();
    if (lab.sshd == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that crashes leaves none behind */
        /* Its log would go on being written to while the directory is removed. */
        (void)dup2(open(getenv("ORRERY_TEST_LOG") ? "/dev/stderr" : "/dev/null", O_WRONLY), 2);
        execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", path("config"), NULL);
        _exit(127);
    }
    in.sin_port = htons((uint16_t)atoi(lab.port));
    for (;;) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&in, sizeof in) == 0)
            break;
        close(fd);
        assert_true(clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
    close(fd);
}

__attribute__((unused)) static int
lab_setup(void **state)
{
    const struct passwd *pw = getpwuid(getuid());

    if (access("/usr/sbin/sshd", X_OK) || !pw) {
        fprintf(stderr, "SKIPPED: these tests need /usr/sbin/sshd\n");
        exit(0);
    }
    if (getuid() == 0)
        (void)mkdir("/run/sshd", 0755); /* sshd's own place, which its boot script makes */
    strcpy(lab.dir, "/tmp/orrery-ssh-XXXXXX");
    assert_non_null(mkdtemp(lab.dir));
    snprintf(lab.user, sizeof lab.user, "%s", pw->pw_name);
    shell("cd %s && for t in ed25519 ecdsa rsa; do ssh-keygen -q -t $t -N '' -f host_$t && "
          "ssh-keygen -q -t $t -N '' -C \"key $t\" -f id_$t && "
          "ssh-keygen -q -t $t -N secret -a 1 -f enc_$t || exit 1; done; "
          "cat id_*.pub enc_*.pub > authorized; echo HostKey %s/host_ed25519 > hostkey_line",
        lab.dir, lab.dir);
    sshd_start("");
    return 0;
}

__attribute__((unused)) static int
lab_teardown(void **state)
{
    sshd_stop();
    shell("rm -rf '%s'", lab.dir);
    return 0;
}

/* "127.0.0.1" keys of the private sshd, in the file known_hosts. */
__attribute__((unused)) static void
know_host(const char *type)
{
    char key[1024];

    snprintf(key, sizeof key, "%s", first_line(path(type)));
    write_file(path("known_hosts"), "# a comment\n[127.0.0.1]:%s %s\n", lab.port, key);
}

static const char *known_list[2], *identity_list[8];

/* What connects with id_ed25519. Change what the test is about. */
__attribute__((unused)) static struct ssh_options
usual_options(void)
{
    static char known[128], identity[128];

    snprintf(known, sizeof known, "%s/known_hosts", lab.dir);
    snprintf(identity, sizeof identity, "%s/id_ed25519", lab.dir);
    known_list[0] = known;
    memset(identity_list, 0, sizeof identity_list);
    identity_list[0] = identity;
    return (struct ssh_options){.name = "test",
        .host = "127.0.0.1",
        .port = lab.port,
        .user = lab.user,
        .known_hosts = known_list,
        .identities = identity_list,
        .command = "cat",
        .connect_ms = 10000,
        .handshake_ms = 20000};
}

/* What jump hosts need; or NULL. */
static struct ssh_pool *pool;

/* Connects, ends at once. 0 or the code; the error's text is in `err`. */
__attribute__((unused)) static int
try_connect(const struct ssh_options *o, struct ssh_report *report, struct err *err)
{
    struct transport *t = ssh_connect(pool, o, NULL, report, err);

    if (!t)
        return err->code;
    t->ops->destroy(t);
    return 0;
}

__attribute__((unused)) static void
assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* Reads until the end, as a stream does; gives what came on stdout. */
__attribute__((unused)) static void
read_all(struct transport *t, struct buf *out, struct buf *error)
{
    for (;;) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        ssize_t n;

        while ((n = t->ops->read(t, buf_reserve(out, 4096), 4096)) > 0)
            buf_commit(out, (size_t)n);
        if (n != -EAGAIN)
            break;
        while ((n = t->ops->read_err(t, buf_reserve(error, 4096), 4096)) > 0)
            buf_commit(error, (size_t)n);
        if (t->ops->wants_write(t))
            p.events |= POLLOUT;
        if (poll(&p, 1, 20000) != 1)
            fail_msg("stalled after %zu bytes, the last: %.*s", buf_len(out), (int)buf_len(out),
                (char *)buf_head(out));
        if (p.revents & POLLOUT)
            t->ops->flush(t);
    }
    for (ssize_t n; (n = t->ops->read_err(t, buf_reserve(error, 4096), 4096)) > 0;)
        buf_commit(error, (size_t)n);
    buf_append(out, "", 1);
    buf_append(error, "", 1);
}

#endif
