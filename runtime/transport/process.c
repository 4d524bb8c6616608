#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

/* How long end() and destroy() wait for a child that is about to exit by itself. */
#define EXIT_WAIT_MS 5

/* One direction that we read. A short read means that the descriptor is drained: the next call says
 * so without a system call, and the one after it asks again. */
struct input {
    int fd;
    bool sock;
    bool drained;
};

struct process {
    struct transport t;
    struct input in, err; /* [s] */
    int wfd;              /* [I] */
    bool wsock;           /* [I] send() instead of writev() */
    bool guard;           /* [I] a write may raise SIGPIPE in a program that does not ignore it */
    bool full;            /* [s] the last write met a full descriptor */
    int error;            /* [s] errno of the read or write that failed, 0: none */
    int rflags,
        wflags;     /* [I] file status flags that adopted descriptors came with, -1: unchanged */
    char name[32];  /* [I] */
    pid_t pid;      /* [I] 0: adopted */
    bool terminate; /* [I] */
    bool reaped;    /* [s] pid is not ours any more */
    int status;     /* [s] waitpid's, once reaped; -1: somebody else reaped it */
};

static struct process *
process_of(const struct transport *t)
{
    return (struct process *)(uintptr_t)t;
}

static bool
is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* ---- output ---- */

/*
 * writev() on a pipe, without a SIGPIPE for a program that does not expect one: the signal is sent to
 * the thread that writes, so blocking it here and taking it off again is enough. Costs two system
 * calls more, hence only where SIGPIPE is not ignored; the agent ignores it.
 */
static ssize_t
write_guarded(int fd, const struct iovec *iov, int count)
{
    static const struct timespec now = {0, 0};
    sigset_t pipe_set, old, pending;
    ssize_t n;
    int error;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    n = writev(fd, iov, count);
    error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return n;
}

static ssize_t
process_write(struct transport *t, const struct iovec *iov, int count)
{
    struct process *p = process_of(t);
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    size_t want = 0;
    ssize_t n;

    for (int i = 0; i < count; i++)
        want += iov[i].iov_len;
    do {
        count(sys_write);
        if (p->wsock && count == 1)
            n = send(p->wfd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (p->wsock)
            n = sendmsg(p->wfd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        else
            n = p->guard ? write_guarded(p->wfd, iov, count) : writev(p->wfd, iov, count);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        count_n(COUNT_bytes_sent, (uint64_t)n);
    p->full = n < 0 ? errno == EAGAIN : (size_t)n < want;
    if (n < 0 && errno != EAGAIN)
        p->error = errno;
    return n < 0 ? -errno : n;
}

/* Nothing is ever kept back; the descriptor is writable again, or the next write finds that it is not. */
static int
process_flush(struct transport *t)
{
    process_of(t)->full = false;
    return 0;
}

static bool
process_wants_write(const struct transport *t)
{
    return process_of(t)->full;
}

/* Only a socket can be closed for one direction while the loop may still watch it. */
static void
process_shutdown(struct transport *t)
{
    struct process *p = process_of(t);

    if (p->wsock)
        shutdown(p->wfd, SHUT_WR);
}

/* ---- input ---- */

static ssize_t
input_read(struct input *in, void *buf, size_t n)
{
    ssize_t got;

    if (in->fd < 0 || in->drained) {
        in->drained = false;
        return -EAGAIN;
    }
    do {
        count(sys_read);
        got = in->sock ? recv(in->fd, buf, n, MSG_DONTWAIT) : read(in->fd, buf, n);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    count_n(COUNT_bytes_received, (uint64_t)got);
    in->drained = got > 0 && (size_t)got < n;
    return got;
}

static ssize_t
process_read(struct transport *t, void *buf, size_t n)
{
    struct process *p = process_of(t);
    ssize_t got = input_read(&p->in, buf, n);

    if (got < 0 && got != -EAGAIN)
        p->error = (int)-got;
    return got;
}

static ssize_t
process_read_err(struct transport *t, void *buf, size_t n)
{
    return input_read(&process_of(t)->err, buf, n);
}

/* ---- the end ---- */

/* Is it gone? Waits for at most wait_ms. */
static bool
child_gone(struct process *p, int wait_ms)
{
    static const struct timespec nap = {0, 250000}; /* 1/4 ms */

    for (int naps = 0; !p->reaped; naps++) {
        pid_t pid = waitpid(p->pid, &p->status, WNOHANG);

        if (pid < 0 && errno != EINTR)
            p->status = -1; /* the host program reaps everybody, or ignores SIGCHLD */
        p->reaped = pid == p->pid || (pid < 0 && errno != EINTR);
        if (p->reaped || naps >= wait_ms * 4)
            break;
        nanosleep(&nap, NULL);
    }
    return p->reaped;
}

static void
process_end(struct transport *t, struct err *err)
{
    struct process *p = process_of(t);

    if (p->pid && child_gone(p, EXIT_WAIT_MS) && p->status >= 0) {
        if (WIFSIGNALED(p->status))
            err_set(err, ERR_DEAD, "was killed by signal %d (%s)", WTERMSIG(p->status),
                strsignal(WTERMSIG(p->status)));
        else
            err_set(err, ERR_DEAD, "exited with status %d", WEXITSTATUS(p->status));
    } else if (p->error && p->error != EPIPE) {
        err_errno(err, ERR_DEAD, p->error, "the connection broke");
    } else if (p->pid && !p->reaped) {
        err_set(err, ERR_DEAD, "closed its output, though it still runs");
    } else {
        err_set(err, ERR_DEAD, "the other end closed the connection");
    }
    if (p->name[0])
        err_prefix(err, "%s", p->name);
}

/* For a child that outlives SIGKILL, or may not be sent one: sudo runs as root, and ends when what it
 * runs ends. Nobody waits for this thread. */
static void *
reap_later(void *arg)
{
    pid_t pid = (pid_t)(intptr_t)arg;

    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return NULL;
}

static void
reap_in_background(pid_t pid)
{
    int rc = thread_start(NULL, 0, reap_later, (void *)(intptr_t)pid);

    if (rc != 0)
        log_warn("transport", "process %d will not be reaped: %s", (int)pid, strerror(rc));
}

static void
process_destroy(struct transport *t)
{
    struct process *p = process_of(t);

    /* An adopted descriptor may be shared with a shell, which would not expect it nonblocking. */
    if (p->rflags >= 0)
        fcntl(t->fd, F_SETFL, p->rflags);
    if (p->wflags >= 0)
        fcntl(p->wfd, F_SETFL, p->wflags);
    close(t->fd);
    if (p->wfd != t->fd)
        close(p->wfd);
    if (t->err_fd >= 0)
        close(t->err_fd);
    /* It has its end of input now, and may still end by itself. */
    if (p->pid && p->terminate && !child_gone(p, EXIT_WAIT_MS))
        kill(-p->pid, SIGTERM);
    if (p->pid && !child_gone(p, EXIT_WAIT_MS)) {
        kill(-p->pid, SIGKILL);
        if (!child_gone(p, EXIT_WAIT_MS))
            reap_in_background(p->pid);
    }
    free(p);
}

static const struct transport_ops ops = {
    .name = "process",
    .write = process_write,
    .flush = process_flush,
    .wants_write = process_wants_write,
    .read = process_read,
    .read_err = process_read_err,
    .end = process_end,
    .shutdown = process_shutdown,
    .destroy = process_destroy,
};

/* ---- birth ---- */

static struct process *
process_new(int rfd, int wfd, int err_fd)
{
    struct process *p = xcalloc(1, sizeof *p);

    p->t.ops = &ops;
    p->t.fd = rfd;
    p->t.wfd = wfd == rfd ? -1 : wfd;
    p->t.err_fd = err_fd;
    p->wfd = wfd;
    p->in = (struct input){rfd, is_socket(rfd), false};
    p->err = (struct input){err_fd, false, false};
    p->wsock = is_socket(wfd);
    p->rflags = p->wflags = -1;
    return p;
}

/* A pipe of the usual 64 KiB is full or empty in less time than it takes to wake up who is at its other
 * end. Not for what is no pipe, nor where the user has too many large ones already. */
static void
widen_pipe(int fd)
{
    enum { PIPE = 256 << 10 };

    if (fcntl(fd, F_GETPIPE_SZ) < PIPE)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE);
}

/* Makes a descriptor nonblocking and returns the flags it had, or -1 if it was so already. */
static int
set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_NONBLOCK))
        return -1;
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

struct transport *
process_adopt(int rfd, int wfd)
{
    struct process *p = process_new(rfd, wfd, -1);
    struct sigaction sa;

    fcntl(rfd, F_SETFD, FD_CLOEXEC);
    fcntl(wfd, F_SETFD, FD_CLOEXEC);
    /* Sockets get MSG_DONTWAIT with each call instead: O_NONBLOCK would hold for whoever else has
     * the same socket. */
    if (!p->in.sock)
        p->rflags = set_nonblocking(rfd);
    widen_pipe(rfd);
    widen_pipe(wfd);
    if (!p->wsock && wfd != rfd)
        p->wflags = set_nonblocking(wfd);
    p->guard = !p->wsock && sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler != SIG_IGN;
    return &p->t;
}

pid_t
process_pid(const struct transport *t)
{
    return process_of(t)->pid;
}

/* What a child has to say about a start that failed. */
struct complaint {
    int errnum;
    bool cwd; /* it was chdir, not exec */
};

static void
close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    struct rlimit limit;
    int end = 65536;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)end)
        end = (int)limit.rlim_cur;
    for (int fd = first; fd < end; fd++)
        close(fd);
}

static void
default_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &sa, NULL); /* refuses KILL, STOP and libc's own */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Between fork and exec: the host may have threads, so nothing here allocates or takes a lock. All
 * three descriptors are 4 or more. */
static _Noreturn void
child_main(const struct process_options *o, int sock, int err_fd, int report)
{
    struct complaint c = {0, false};

    setpgid(0, 0);
    if (dup2(sock, 0) < 0 || dup2(sock, 1) < 0 || dup2(err_fd, 2) < 0 ||
        dup3(report, 3, O_CLOEXEC) < 0)
        _exit(126);
    close_from(4);
    default_signals();
    if (o->cwd && chdir(o->cwd) < 0)
        c.cwd = true;
    else
        execvpe(o->argv[0], (char *const *)(uintptr_t)o->argv, (char *const *)(uintptr_t)o->env);
    c.errnum = errno;
    while (write(3, &c, sizeof c) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* The descriptors of one start: [0] ours, [1] the child's. */
struct wires {
    int sock[2], err[2], report[2];
};

static void
close_pair(int fd[2])
{
    for (int i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            close(fd[i]);
        fd[i] = -1;
    }
}

/* Above the numbers that child_main dups onto, whatever the host had closed. */
static int
raise_fds(int fd[2])
{
    for (int i = 0; i < 2; i++) {
        int high = fcntl(fd[i], F_DUPFD_CLOEXEC, 4);

        if (high < 0)
            return -1;
        close(fd[i]);
        fd[i] = high;
    }
    return 0;
}

static int
wires_open(struct wires *w, struct err *err)
{
    *w = (struct wires){{-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->sock) < 0 || raise_fds(w->sock) < 0 ||
        pipe2(w->err, O_CLOEXEC) < 0 || raise_fds(w->err) < 0 || pipe2(w->report, O_CLOEXEC) < 0 ||
        raise_fds(w->report) < 0) {
        err_errno(err, ERR_SYSTEM, errno, "no socket pair and pipes for a child process");
        close_pair(w->sock);
        close_pair(w->err);
        close_pair(w->report);
        return ERR_SYSTEM;
    }
    return 0;
}

/* Forks with all signals blocked, so that no handler of the host's runs in the child. */
static pid_t
fork_quietly(const struct process_options *o, const struct wires *w)
{
    sigset_t all, old;
    pid_t pid;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0)
        child_main(o, w->sock[1], w->err[1], w->report[1]);
    error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return pid;
}

/* Did the program start? Waits until the exec, which closes the report pipe. */
static int
await_exec(const struct process_options *o, int report, struct err *err)
{
    struct complaint c;
    ssize_t n;

    do
        n = read(report, &c, sizeof c);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof c)
        return 0;
    if (c.cwd)
        return err_errno(err, ERR_COMMAND, c.errnum, "%s: cannot start in %s", o->argv[0], o->cwd);
    return err_errno(err, ERR_COMMAND, c.errnum, "%s: cannot be executed", o->argv[0]);
}

static bool
same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* The environment of the child, made here since nothing may be allocated there; the strings are borrowed. */
static const char **
environment(const struct process_options *o)
{
    const char *const *base = o->env ? o->env : (const char *const *)environ;
    size_t n = 0, more = 0, kept = 0;
    const char **all;

    while (base[n])
        n++;
    while (o->also && o->also[more])
        more++;
    all = xcalloc(n + more + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;

        for (size_t j = 0; j < more; j++)
            replaced |= same_name(o->also[j], base[i]);
        if (!replaced)
            all[kept++] = base[i];
    }
    for (size_t j = 0; j < more; j++)
        all[kept++] = o->also[j];
    return all;
}

struct transport *
process_spawn(const struct process_options *options, struct err *err)
{
    struct process_options own = *options;
    const struct process_options *o = &own;
    struct wires w;
    struct process *p;
    pid_t pid;

    if (wires_open(&w, err) < 0)
        return NULL;
    own.env = environment(options);
    pid = fork_quietly(o, &w);
    free((void *)(uintptr_t)own.env);
    if (pid < 0)
        err_errno(err, ERR_SYSTEM, errno, "%s: fork", o->argv[0]);
    close(w.sock[1]);
    close(w.err[1]);
    close(w.report[1]);
    w.sock[1] = w.err[1] = w.report[1] = -1;
    if (pid < 0)
        goto fail;
    if (await_exec(o, w.report[0], err) < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        goto fail;
    }
    close(w.report[0]);
    fcntl(w.err[0], F_SETFL, O_NONBLOCK);
    p = process_new(w.sock[0], w.sock[0], w.err[0]);
    p->pid = pid;
    p->terminate = o->terminate;
    if (o->name)
        snprintf(p->name, sizeof p->name, "%s", o->name);
    return &p->t;

fail:
    close_pair(w.sock);
    close_pair(w.err);
    close_pair(w.report);
    return NULL;
}
