#include "command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

/* ---- the request ---- */

static void
strings_free(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

void
command_request_fini(struct command_request *q)
{
    strings_free(q->argv);
    strings_free(q->env);
    free(q->cwd);
}

static char **
unpack_strings(struct unpack *u)
{
    uint32_t n = unpack_u32(u);
    if (n > unpack_left(u) / 4) { /* each has a length of four bytes: bounds what is allocated */
        u->bad = true;
        n = 0;
    }
    char **list = xcalloc((size_t)n + 1, sizeof(*list));
    for (uint32_t i = 0; i < n; i++)
        list[i] = unpack_str(u);
    return list;
}

static size_t
name_length(const char *entry)
{
    return strcspn(entry, "=");
}

/* Takes `entry`. */
static size_t
environment_put(char **env, size_t count, char *entry)
{
    size_t n = name_length(entry);
    size_t at = 0;
    while (at < count && !(name_length(env[at]) == n && memcmp(env[at], entry, n) == 0))
        at++;
    if (at < count)
        free(env[at]);
    if (entry[n] == '=') {
        env[at] = entry;
        return at < count ? count : count + 1;
    }
    free(entry);
    if (at == count)
        return count;
    env[at] = env[count - 1];
    return count - 1;
}

/* Ours with the changes (taken, list and all) applied. */
static char **
environment_merge(char **changes)
{
    size_t have = 0, extra = 0;
    while (environ && environ[have])
        have++;
    while (changes[extra])
        extra++;
    char **env = xcalloc(have + extra + 1, sizeof(*env));
    size_t count = 0;
    for (size_t i = 0; i < have; i++)
        env[count++] = xstrdup(environ[i]);
    for (size_t i = 0; i < extra; i++)
        count = environment_put(env, count, changes[i]);
    env[count] = NULL;
    free(changes);
    return env;
}

int
command_request_parse(struct command_request *q, struct unpack *u, struct err *err)
{
    *q = (struct command_request){0};
    q->argv = unpack_strings(u);
    q->cwd = unpack_str(u);
    q->env = unpack_strings(u);
    q->timeout_ms = unpack_u32(u);
    q->grace_ms = unpack_u32(u);
    q->flags = unpack_u8(u);
    if (unpack_done(u, "command request", err) < 0)
        return err->code;
    if (!q->argv[0] || !*q->argv[0])
        return err_set(err, ERR_ARGUMENT, "a command needs a name");
    for (char **e = q->env; *e; e++)
        if (name_length(*e) == 0)
            return err_set(err, ERR_ARGUMENT, "\"%.100s\" is no NAME=VALUE", *e);
    if (q->flags & ~(COMMAND_STDIN | COMMAND_MERGE | COMMAND_FINISH))
        return err_set(err, ERR_PROTOCOL, "command request: unknown flags %u", q->flags);
    if (q->grace_ms == 0)
        q->grace_ms = COMMAND_GRACE_MS;
    q->env = environment_merge(q->env);
    return 0;
}

/* ---- the child, between fork and exec: async-signal-safe functions only ---- */

enum stage { STAGE_CHDIR, STAGE_EXEC };

struct failure {
    int32_t stage;
    int32_t errnum;
};

struct spawn {
    const struct command_request *request;
    int in, out, err; /* the child's ends */
    int status;
    int guardian;
};

static _Noreturn void
child_fail(int fd, enum stage stage)
{
    struct failure f = {.stage = stage, .errnum = errno};
    if (write(fd, &f, sizeof(f)) < 0)
        _exit(126);
    _exit(127);
}

static _Noreturn void
child_main(const struct spawn *s)
{
    guardian_default_signals();
    setpgid(0, 0);
    /* Before exec, so that there is no moment without a guard. If the guardian has just died, the
     * service notices, starts another and enlists everybody again. */
    guardian_enlist(s->guardian, getpid());

    int status = s->status;
    dup2(s->in, 0);
    dup2(s->out, 1);
    dup2(s->err, 2);
    if (status != 3)
        dup2(status, 3);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    guardian_close_from(4);
    if (*s->request->cwd && chdir(s->request->cwd) < 0)
        child_fail(3, STAGE_CHDIR);
    environ = s->request->env;
    execvp(s->request->argv[0], s->request->argv);
    child_fail(3, STAGE_EXEC);
}

/* ---- fork ---- */

/* Moves a descriptor out of the range that the child's dup2 calls write to; a host program may run
 * without an fd 0, 1 or 2. */
static int
high_fd(int fd)
{
    if (fd < 0 || fd > 3)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 4);
    int errnum = errno;
    close(fd);
    errno = errnum;
    return moved;
}

static int
high_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0) {
        fds[0] = fds[1] = -1;
        return -1;
    }
    fds[0] = high_fd(fds[0]);
    fds[1] = high_fd(fds[1]);
    return fds[0] < 0 || fds[1] < 0 ? -1 : 0;
}

enum { PIPE_STATUS, PIPE_IN, PIPE_OUT, PIPE_ERR, PIPES };

static int
pipes_open(int pipes[PIPES][2], uint8_t flags)
{
    for (int i = 0; i < PIPES; i++)
        pipes[i][0] = pipes[i][1] = -1;
    if (high_pipe(pipes[PIPE_STATUS]) < 0 || high_pipe(pipes[PIPE_OUT]) < 0)
        return -1;
    if (!(flags & COMMAND_MERGE) && high_pipe(pipes[PIPE_ERR]) < 0)
        return -1;
    if (flags & COMMAND_STDIN)
        return high_pipe(pipes[PIPE_IN]);
    pipes[PIPE_IN][0] = high_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return pipes[PIPE_IN][0] < 0 ? -1 : 0;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void
pipes_close(int pipes[PIPES][2])
{
    for (int i = 0; i < PIPES; i++) {
        close_fd(&pipes[i][0]);
        close_fd(&pipes[i][1]);
    }
}

static pid_t
fork_child(const struct spawn *s)
{
    sigset_t all, old;
    sigfillset(&all);
    /* No handler of the host program may run in the child; nor may its atfork handlers: _Fork. */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = _Fork();
    if (pid == 0)
        child_main(s);
    int errnum = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = errnum;
    return pid;
}

/* ---- what the child says about exec ---- */

static void
exec_failed(struct command *c, const struct failure *f)
{
    c->failed = true;
    if (f->stage == STAGE_CHDIR)
        err_errno(&c->why, ERR_COMMAND, f->errnum, "cannot run %s in %s", c->name, c->cwd);
    else if (f->errnum == ENOENT && !strchr(c->name, '/'))
        err_set(&c->why, ERR_COMMAND, "cannot run %s: not found in PATH", c->name);
    else
        err_errno(&c->why, ERR_COMMAND, f->errnum, "cannot run %s", c->name);
}

static void
status_read(struct command *c, bool wait)
{
    struct failure f;
    ssize_t n = read(c->status.fd, &f, sizeof(f));
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && wait)))
        return;
    loop_fd_fini(&c->status);
    close(c->status.fd);
    c->status_open = false;
    if (n == (ssize_t)sizeof(f))
        exec_failed(c, &f);
    else
        command_running(c);
}

static void
on_status(struct loop_fd *fd, int events)
{
    struct command *c = owner_of(fd, struct command, status);
    status_read(c, true);
    command_settle(c);
}

static void
on_end(struct loop_child *child, int status)
{
    struct command *c = owner_of(child, struct command, end);
    /* A copy of the pipe may sit in a process that another thread is just forking: what the child
     * has to say, it said before it ended. */
    if (c->status_open)
        status_read(c, false);
    command_exited(c, status);
    command_settle(c);
}

static void
adopt(struct command *c, pid_t pid, int pipes[PIPES][2])
{
    struct loop *loop = c->service->loop;
    c->pid = pid;
    loop_fd_init(&c->status, loop, pipes[PIPE_STATUS][0], on_status);
    fcntl(c->status.fd, F_SETFL, O_NONBLOCK);
    loop_fd_watch(&c->status, LOOP_READ);
    c->status_open = true;
    command_outputs_start(c, pipes[PIPE_OUT][0], pipes[PIPE_ERR][0]);
    if (pipes[PIPE_IN][1] >= 0)
        command_input_start(c, pipes[PIPE_IN][1]);
    pipes[PIPE_STATUS][0] = pipes[PIPE_OUT][0] = pipes[PIPE_ERR][0] = pipes[PIPE_IN][1] = -1;
    loop_child_init(&c->end, loop, pid, on_end);
}

int
command_spawn(struct command *c, const struct command_request *q, struct err *err)
{
    int pipes[PIPES][2];
    if (pipes_open(pipes, q->flags) < 0) {
        err_errno(err, ERR_COMMAND, errno, "cannot run %s: pipe", c->name);
        pipes_close(pipes);
        return err->code;
    }
    struct spawn s = {
        .request = q,
        .in = pipes[PIPE_IN][0],
        .out = pipes[PIPE_OUT][1],
        .err = pipes[q->flags & COMMAND_MERGE ? PIPE_OUT : PIPE_ERR][1],
        .status = pipes[PIPE_STATUS][1],
        .guardian = guardian_fd(c->service->guardian),
    };
    pid_t pid = fork_child(&s);
    if (pid < 0) {
        err_errno(err, ERR_COMMAND, errno, "cannot run %s: fork", c->name);
        pipes_close(pipes);
        return err->code;
    }
    setpgid(pid, pid); /* here too, so that the group exists before either side uses it */
    adopt(c, pid, pipes);
    c->finish = q->flags & COMMAND_FINISH;
    if (!c->in_wanted)
        command_keep(c);
    pipes_close(pipes);
    return 0;
}
