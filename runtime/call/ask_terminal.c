/*
 * Asking at the controlling terminal.
 *
 * Ctrl-C at a prompt does to the program what it does elsewhere. Where a signal is its end, because the
 * program has no handler for it, the echo is switched on again before that. Should it end otherwise (SIGKILL,
 * a handler that exits), a process that was forked beforehand sees it and does the same a moment later.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "ask_internal.h"
#include "guardian.h"
#include "mem.h"

static void (*_Atomic watch)(bool begins);

struct terminal {
    int fd;
    struct termios before, during;
    pid_t keeper;    /* 0: none */
    int keeper_pipe; /* it ends when this is closed */
    sigset_t signals;
};

int
ask_terminal_open(const char **why)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios t;

    *why = "terminal";
    if (fd < 0)
        return -1;
    if (tcgetpgrp(fd) != getpgrp()) {
        *why = "terminal (this process is in the background of its own)";
        close(fd);
        return -1;
    }
    if (tcgetattr(fd, &t) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* As it was, unless somebody else has changed it since: a shell whose job we were. */
static bool
restore(int fd, const struct termios *before, const struct termios *during)
{
    struct termios now;

    return tcgetattr(fd, &now) == 0 && ((now.c_lflag ^ during->c_lflag) & ~(tcflag_t)PENDIN) == 0 &&
        now.c_iflag == during->c_iflag && tcsetattr(fd, TCSANOW, before) == 0;
}

/* ---- signals that end the program ---- */

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const struct terminal *quiet; /* one is asked at a time; set while handlers may run */

static void
on_deadly(int sig)
{
    if (restore(quiet->fd, &quiet->before, &quiet->during) && write(quiet->fd, "\n", 1) < 0) {}
    raise(sig); /* the handler is gone by now */
}

/* Where there is no handler, ours; or, at the end, none where it still is ours. */
static void
watch_signals(const struct terminal *t)
{
    struct sigaction ours = {.sa_handler = t ? on_deadly : SIG_DFL,
        .sa_flags = (int)(t ? SA_RESETHAND | SA_NODEFER : 0)};
    struct sigaction now;

    if (t)
        quiet = t;
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        if (sigaction(deadly[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
            now.sa_handler == (t ? SIG_DFL : on_deadly))
            sigaction(deadly[i], &ours, NULL);
}

/* The keeper's own process: async-signal-safe functions only. All signals are blocked, so the terminal
 * takes its word although it may be in the background. */
static _Noreturn void
keep_watch(const struct terminal *t, int gone)
{
    char c;

    if (dup2(t->fd, 0) < 0 || dup2(gone, 1) < 0)
        _exit(1);
    guardian_close_from(2);
    while (read(1, &c, 1) < 0 && errno == EINTR)
        ;
    _exit(restore(0, &t->before, &t->during) && write(0, "\n", 1) < 0);
}

static void
keeper_start(struct terminal *t)
{
    int fd[2], high[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return;
    for (int i = 0; i < 2; i++) {
        high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
        close(fd[i]);
    }
    if (high[0] >= 0 && high[1] >= 0)
        t->keeper = fork();
    if (t->keeper == 0 && high[0] >= 0 && high[1] >= 0) {
        close(high[1]);
        keep_watch(t, high[0]);
    }
    if (t->keeper < 0)
        t->keeper = 0;
    close(high[0]);
    t->keeper_pipe = high[1];
}

static void
terminal_quiet(struct terminal *t)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &t->signals);
    tcgetattr(t->fd, &t->before);
    t->during = t->before;
    t->during.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    t->during.c_lflag |= ICANON | ISIG;
    keeper_start(t);
    watch_signals(t);
    tcsetattr(t->fd, TCSAFLUSH, &t->during);
    pthread_sigmask(SIG_SETMASK, &t->signals, NULL);
}

static void
terminal_restore(struct terminal *t)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &t->signals);
    (void)restore(t->fd, &t->before, &t->during);
    watch_signals(NULL);
    if (t->keeper_pipe >= 0)
        close(t->keeper_pipe);
    if (t->keeper)
        while (waitpid(t->keeper, NULL, 0) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &t->signals, NULL);
}

static void
show(int fd, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t sent = write(fd, text, n);

        if (sent < 0 && errno != EINTR)
            return;
        if (sent > 0) {
            text += sent;
            n -= (size_t)sent;
        }
    }
}

static void
show_question(int fd, const struct ssh_question *q)
{
    if (*q->detail) {
        show(fd, q->detail);
        show(fd, "\n");
    }
    if (q->attempt > 1 && q->kind != SSH_ASK_HOSTKEY)
        show(fd, "That was not right, please try again.\n");
    show(fd, q->text);
}

/* A line. 0, or ERR_CANCELLED with a text. */
static int
read_line(int fd, const atomic_bool *cancel, char *line, struct err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t have = 0;

    for (;;) {
        ssize_t n;

        line[have] = '\0';
        if (cancel && atomic_load(cancel))
            return err_set(err, ERR_CANCELLED, "cancelled");
        if (tcgetpgrp(fd) != getpgrp())
            return err_set(err, ERR_CANCELLED, "the program went into the background meanwhile");
        if (poll(&p, 1, ASK_SLICE_MS) <= 0)
            continue;
        n = read(fd, line + have, ASK_ANSWER_MAX - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_CANCELLED, "the terminal gave no answer");
        have += (size_t)n;
        if (line[have - 1] == '\n') {
            line[have - 1] = '\0';
            return 0;
        }
    }
}

void
ask_terminal_watch(void (*fn)(bool begins))
{
    atomic_store(&watch, fn);
}

void
ask_terminal_clear(void)
{
    void (*watcher)(bool) = atomic_load(&watch);

    if (watcher) {
        watcher(true);
        watcher(false);
    }
}

int
ask_terminal(
    int fd, const struct ssh_question *q, const atomic_bool *cancel, char **answer, struct err *err)
{
    struct terminal t = {.fd = fd, .keeper_pipe = -1};
    char line[ASK_ANSWER_MAX + 1];
    int rc;
    void (*watcher)(bool) = atomic_load(&watch);

    if (watcher)
        watcher(true);
    if (!q->echo)
        terminal_quiet(&t);
    show_question(fd, q);
    rc = read_line(fd, cancel, line, err);
    if (!q->echo)
        terminal_restore(&t);
    if (!q->echo || rc)
        show(fd, "\n");
    if (watcher)
        watcher(false);
    if (rc == 0)
        *answer = xstrdup(line);
    explicit_bzero(line, sizeof line);
    close(fd);
    return rc;
}
