/* The process transport against real children and real pipes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "process.h"

#define PATIENCE_MS 20000

static struct transport *
spawn(const char *const *argv)
{
    struct process_options o = {.argv = argv};
    struct err err = {0};
    struct transport *t = process_spawn(&o, &err);

    if (!t)
        fail_msg("%s", err.msg);
    return t;
}

static struct transport *
spawn_sh(const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};

    return spawn(argv);
}

/* Reads from one of the transport's inputs up to its end, as the stream does: drain, then poll. */
static char *
read_all(struct transport *t, ssize_t (*read_op)(struct transport *, void *, size_t), int fd)
{
    struct buf out = {0};
    char bytes[4096];
    ssize_t n;

    for (;;) {
        n = read_op(t, bytes, sizeof bytes);
        if (n > 0) {
            buf_append(&out, bytes, (size_t)n);
        } else if (n == -EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLIN};

            assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        } else {
            break;
        }
    }
    assert_true(n == 0 || n == -ECONNRESET);
    buf_append(&out, "", 1);
    return (char *)out.data;
}

static char *
output_of(struct transport *t)
{
    return read_all(t, t->ops->read, t->fd);
}

static ssize_t
write_text(struct transport *t, const char *text)
{
    struct iovec iov[2] = {
        {(void *)(uintptr_t)text, 1}, {(void *)(uintptr_t)(text + 1), strlen(text) - 1}};

    return t->ops->write(t, iov, 2);
}

static void
assert_output(const char *script, const char *expected)
{
    struct transport *t = spawn_sh(script);
    char *out = output_of(t);

    assert_string_equal(out, expected);
    free(out);
    t->ops->destroy(t);
}

static void
assert_end(struct transport *t, const char *text)
{
    struct err err = {0};

    t->ops->end(t, &err);
    assert_int_equal(err.code, ERR_DEAD);
    assert_string_equal(err.msg, text);
}

static void
assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void
test_echo(void **state)
{
    const char *const argv[] = {"cat", NULL};
    struct transport *t = spawn(argv);
    char *out;

    assert_true(process_pid(t) > 0);
    assert_int_equal(write_text(t, "hello"), 5);
    assert_false(t->ops->wants_write(t));
    t->ops->shutdown(t);
    out = output_of(t);
    assert_string_equal(out, "hello");
    free(out);
    assert_end(t, "exited with status 0");
    t->ops->destroy(t);
    assert_no_children();
}

static void
test_stderr_apart(void **state)
{
    struct transport *t = spawn_sh("echo out; echo oops >&2; exit 3");
    char *out = output_of(t), *text = read_all(t, t->ops->read_err, t->err_fd);

    assert_string_equal(out, "out\n");
    assert_string_equal(text, "oops\n");
    free(out);
    free(text);
    assert_end(t, "exited with status 3");
    t->ops->destroy(t);
    assert_no_children();
}

static void
test_killed(void **state)
{
    struct transport *t = spawn_sh("kill -9 $$");

    free(output_of(t));
    assert_end(t, "was killed by signal 9 (Killed)");
    t->ops->destroy(t);
    assert_no_children();
}

static void
test_short_read_saves_a_call(void **state)
{
    const char *const argv[] = {"cat", NULL};
    struct transport *t = spawn(argv);
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    char bytes[64];

    write_text(t, "one");
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), 3);
    write_text(t, "two");
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), -EAGAIN); /* though "two" is there */
    assert_int_equal(t->ops->read(t, bytes, 3), 3);
    assert_int_equal(
        t->ops->read(t, bytes, sizeof bytes), -EAGAIN); /* a full read: asked the kernel */
    t->ops->destroy(t);
    assert_no_children();
}

static void
test_cannot_execute(void **state)
{
    const char *const missing[] = {"/nonexistent/orrery-program", "x", NULL};
    const char *const bad[] = {"/etc/passwd", NULL};
    const char *const ok[] = {"true", NULL};
    struct process_options o = {.argv = missing};
    struct err err = {0};

    assert_null(process_spawn(&o, &err));
    assert_int_equal(err.code, ERR_COMMAND);
    assert_string_equal(
        err.msg, "/nonexistent/orrery-program: cannot be executed: No such file or directory");
    o.argv = bad;
    assert_null(process_spawn(&o, &err));
    assert_string_equal(err.msg, "/etc/passwd: cannot be executed: Permission denied");
    o.argv = ok;
    o.cwd = "/nonexistent";
    assert_null(process_spawn(&o, &err));
    assert_string_equal(err.msg, "true: cannot start in /nonexistent: No such file or directory");
    assert_no_children();
}

/* The child has no descriptor of ours, its own process group, and no signal is blocked or ignored. */
static void
test_nothing_inherited(void **state)
{
    int leak = fcntl(0, F_DUPFD, 200);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    sigset_t set, old_set;

    sigaction(SIGUSR1, &ignore, &old);
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, &old_set);
    assert_output("ls /proc/$$/fd; true", "0\n1\n2\n");
    assert_output("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'",
        "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
    assert_output("test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ && echo leader", "leader\n");
    pthread_sigmask(SIG_SETMASK, &old_set, NULL);
    sigaction(SIGUSR1, &old, NULL);
    close(leak);
}

/* A host that was started with stdin, stdout and stderr closed gives its children whole ones. */
static void
test_low_descriptors_closed(void **state)
{
    int saved[3];
    struct transport *t;
    char *out, *text;

    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    t = spawn_sh("read x; echo got $x; echo err >&2");
    write_text(t, "line\n");
    out = output_of(t);
    text = read_all(t, t->ops->read_err, t->err_fd);
    t->ops->destroy(t);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    assert_string_equal(out, "got line\n");
    assert_string_equal(text, "err\n");
    free(out);
    free(text);
}

static void
test_env_and_cwd(void **state)
{
    const char *const argv[] = {"sh", "-c", "pwd; echo $COLOUR-$HOME", NULL};
    const char *const env[] = {"COLOUR=blue", NULL};
    struct process_options o = {.argv = argv, .env = env, .cwd = "/usr"};
    struct err err = {0};
    struct transport *t = process_spawn(&o, &err);
    char *out;

    assert_non_null(t);
    out = output_of(t);
    assert_string_equal(out, "/usr\nblue-\n");
    free(out);
    t->ops->destroy(t);
}

/* destroy() leaves neither process nor zombie, also when the child and its own children ignore the end
 * of their input. */
static void
test_destroy_kills_the_group(void **state)
{
    struct transport *t =
        spawn_sh("sleep 1000 & echo $!; trap '' HUP TERM; while :; do sleep 1000; done");
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    char line[32] = "";
    pid_t grandchild;

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(t->ops->read(t, line, sizeof line - 1) > 1);
    grandchild = (pid_t)strtol(line, NULL, 10);
    t->ops->destroy(t);
    for (int64_t end = clock_ms() + PATIENCE_MS; waitpid(-1, NULL, WNOHANG) == 0;)
        assert_true(clock_ms() < end); /* the background reaper needs a moment at most */
    assert_no_children();
    for (int64_t end = clock_ms() + PATIENCE_MS; kill(grandchild, 0) == 0;) {
        char path[64], stat[128] = "";
        int fd;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
        fd = open(path, O_RDONLY);
        if (fd < 0 || read(fd, stat, sizeof stat - 1) < 0 || strstr(stat, ") Z")) {
            close(fd);
            break; /* dead; whoever is init here has yet to reap it */
        }
        close(fd);
        assert_true(clock_ms() < end);
    }
}

static void
test_end_while_running(void **state)
{
    struct transport *t = spawn_sh("exec <&- >&-; exec sleep 1000");

    free(output_of(t));
    assert_end(t, "closed its output, though it still runs");
    t->ops->destroy(t);
    for (int64_t end = clock_ms() + PATIENCE_MS; waitpid(-1, NULL, WNOHANG) == 0;)
        assert_true(clock_ms() < end);
}

/* A full socket is told, not waited for; nothing is lost. */
static void
test_backpressure(void **state)
{
    const size_t total = 4u << 20;
    struct transport *t = spawn_sh("read go <&0; exec wc -c");
    char *block = xcalloc(1, 65536), *out;
    size_t sent = 0;
    bool was_full = false;

    assert_int_equal(write_text(t, "go\n"), 3);
    while (sent < total) {
        struct iovec iov = {block, total - sent < 65536 ? total - sent : 65536};
        ssize_t n = t->ops->write(t, &iov, 1);

        assert_true(n > 0 || n == -EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        if (t->ops->wants_write(t)) {
            struct pollfd p = {.fd = t->fd, .events = POLLOUT};

            was_full = true;
            assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
            assert_int_equal(t->ops->flush(t), 0);
            assert_false(t->ops->wants_write(t));
        }
    }
    t->ops->shutdown(t);
    out = output_of(t);
    assert_true(was_full);
    assert_int_equal(strtol(out, NULL, 10), (long)total);
    free(out);
    free(block);
    t->ops->destroy(t);
}

/* Writing to a child that is gone is an errno, never a SIGPIPE: this program does not ignore it. */
static void
test_no_sigpipe(void **state)
{
    struct transport *t = spawn_sh("exec true");
    int fds[2];

    free(output_of(t));
    assert_true(write_text(t, "xy") < 0);
    t->ops->destroy(t);

    assert_int_equal(pipe(fds), 0);
    t = process_adopt(open("/dev/null", O_RDONLY), fds[1]);
    assert_int_equal(write_text(t, "xy"), 2);
    close(fds[0]);
    assert_int_equal(write_text(t, "xy"), -EPIPE);
    assert_end(t, "the other end closed the connection");
    t->ops->destroy(t);
}

static void
test_adopt_pipes(void **state)
{
    int in[2], out[2], keep;
    struct transport *t;
    char bytes[16];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    keep = dup(in[0]);
    t = process_adopt(in[0], out[1]);
    assert_int_equal(t->fd, in[0]);
    assert_int_equal(t->wfd, out[1]);
    assert_int_equal(t->err_fd, -1);
    assert_int_equal(process_pid(t), 0);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), -EAGAIN);
    assert_int_equal(t->ops->read_err(t, bytes, sizeof bytes), -EAGAIN);
    assert_true(fcntl(keep, F_GETFL) & O_NONBLOCK);
    assert_int_equal(write(in[1], "abc", 3), 3);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), 3);
    assert_int_equal(write_text(t, "de"), 2);
    assert_int_equal(read(out[0], bytes, sizeof bytes), 2);
    close(in[1]);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), -EAGAIN);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), 0);
    t->ops->destroy(t);
    assert_false(fcntl(keep, F_GETFL) & O_NONBLOCK); /* as it was */
    close(keep);
    close(out[0]);
}

static void
test_adopt_socket(void **state)
{
    struct transport *t;
    char bytes[16];
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    t = process_adopt(sv[0], sv[0]);
    assert_int_equal(t->wfd, -1);
    assert_false(fcntl(sv[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(sv[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(t->ops->read(t, bytes, sizeof bytes), -EAGAIN);
    assert_int_equal(write_text(t, "hi"), 2);
    t->ops->shutdown(t);
    assert_int_equal(read(sv[1], bytes, sizeof bytes), 2);
    assert_int_equal(read(sv[1], bytes, sizeof bytes), 0);
    t->ops->destroy(t);
    close(sv[1]);
}

static void *
spawn_many(void *arg)
{
    for (int i = 0; i < 20; i++)
        assert_output("ls /proc/$$/fd; true", "0\n1\n2\n");
    return NULL;
}

/* Children started at the same time do not inherit each other's descriptors. */
static void
test_spawn_from_threads(void **state)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, spawn_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_no_children();
}

static int
count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int fds_before;

static int
remember_fds(void **state)
{
    fds_before = count_fds();
    return 0;
}

static int
compare_fds(void **state)
{
    return count_fds() == fds_before ? 0 : -1;
}

#define test(f) cmocka_unit_test_setup_teardown(f, remember_fds, compare_fds)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_echo),
        test(test_stderr_apart),
        test(test_killed),
        test(test_short_read_saves_a_call),
        test(test_cannot_execute),
        test(test_nothing_inherited),
        test(test_low_descriptors_closed),
        test(test_env_and_cwd),
        test(test_destroy_kills_the_group),
        test(test_end_while_running),
        test(test_backpressure),
        test(test_no_sigpipe),
        test(test_adopt_pipes),
        test(test_adopt_socket),
        test(test_spawn_from_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
