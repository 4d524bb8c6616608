#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

enum { GUARDIAN_GROUPS = 4096 };

struct guardian {
    pid_t pid;
    int fd;
    struct buf late; /* dismissals (pid_t) that found the socket full */
};

/* One record on the socket: a group to enlist, or its negative to dismiss. The socket keeps records
 * apart, and delivers those of a writer that has died since. */
typedef int32_t guardian_record;

/* ---- the guardian's own process: async-signal-safe functions only, no malloc ---- */

void
guardian_default_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The kernel's struct linux_dirent64; readdir would call malloc. */
struct guardian_dirent {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

static int
close_listed(const char *name, int low, int keep)
{
    int fd = 0;
    if (*name < '0' || *name > '9')
        return 0;
    for (; *name >= '0' && *name <= '9'; name++)
        fd = fd * 10 + (*name - '0');
    if (fd < low || fd == keep)
        return 0;
    return close(fd) == 0;
}

static bool
close_from_proc(int low)
{
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    _Alignas(struct guardian_dirent) char block[4096];
    int closed;
    do {
        closed = 0;
        lseek(dir, 0, SEEK_SET);
        long n;
        while ((n = syscall(SYS_getdents64, dir, block, sizeof(block))) > 0) {
            for (long at = 0; at < n;) {
                struct guardian_dirent *d = (struct guardian_dirent *)(block + at);
                closed += close_listed(d->name, low, dir);
                at += d->reclen;
            }
        }
    } while (closed > 0);
    close(dir);
    return true;
}

void
guardian_close_from(int low)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)low, ~0u, 0) == 0)
        return;
#endif
    if (close_from_proc(low))
        return;
    long max = sysconf(_SC_OPEN_MAX);
    if (max < 0 || max > 65536)
        max = 65536;
    for (int fd = low; fd < max; fd++)
        close(fd);
}

/* Nothing of the parent's may stay open here: an agent's fds 0 and 1 are its connection. */
static int
guardian_detach(int fd)
{
    int null = open("/dev/null", O_RDWR);
    if (fd < 4) { /* out of the way of what is put at 0 to 3 */
        int moved = fcntl(fd, F_DUPFD, 4);
        if (moved >= 0)
            fd = moved;
    }
    for (int std = 0; std < 3; std++)
        if (null >= 0)
            dup2(null, std);
        else
            close(std);
    dup2(fd, 3);
    guardian_close_from(4);
    return 3;
}

static void
guardian_signal(const pid_t *groups, size_t count, int sig)
{
    for (size_t i = 0; i < count; i++) {
        kill(-groups[i], sig);
        kill(-groups[i], SIGCONT); /* a stopped process takes no TERM */
    }
}

static size_t
guardian_prune(pid_t *groups, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (kill(-groups[i], 0) == 0 || errno != ESRCH)
            groups[left++] = groups[i];
    return left;
}

static size_t
guardian_apply(pid_t *groups, size_t count, guardian_record r)
{
    if (r > 1 && count < GUARDIAN_GROUPS)
        groups[count++] = r;
    for (size_t i = 0; r < -1 && i < count; i++)
        if (groups[i] == -r)
            groups[i--] = groups[--count];
    return count;
}

static _Noreturn void
guardian_main(int fd)
{
    setsid();
    prctl(PR_SET_NAME, "orrery-guardian");
    guardian_default_signals();
    static const int deaf[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU,
        SIGUSR1, SIGUSR2, SIGALRM};
    for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++)
        signal(deaf[i], SIG_IGN);
    fd = guardian_detach(fd);
    if (chdir("/") < 0)
        errno = 0; /* it only keeps a file system busy */

    static pid_t groups[GUARDIAN_GROUPS];
    size_t count = 0;
    for (;;) {
        guardian_record r;
        ssize_t n = recv(fd, &r, sizeof(r), 0);
        if (n == (ssize_t)sizeof(r))
            count = guardian_apply(groups, count, r);
        else if (n >= 0 || errno != EINTR)
            break;
    }
    guardian_signal(groups, count, SIGTERM);
    enum { TICK_MS = 20 };
    for (int t = 0; (count = guardian_prune(groups, count)) > 0 && t < GUARDIAN_GRACE_MS;
         t += TICK_MS)
        poll(NULL, 0, TICK_MS);
    guardian_signal(groups, count, SIGKILL);
    _exit(0);
}

/* ---- our side ---- */

struct guardian *
guardian_start(struct err *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        err_errno(err, ERR_SYSTEM, errno, "guardian: socketpair");
        return NULL;
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of the host may run in the child */
    pid_t pid = _Fork();
    if (pid == 0)
        guardian_main(fds[1]);
    int errnum = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        err_errno(err, ERR_SYSTEM, errnum, "guardian: fork");
        return NULL;
    }
    struct guardian *g = xcalloc(1, sizeof(*g));
    g->pid = pid;
    g->fd = fds[0];
    log_debug("command", "guardian is process %d", (int)pid);
    return g;
}

void
guardian_forget(struct guardian *g)
{
    close(g->fd);
    buf_fini(&g->late);
    free(g);
}

void
guardian_stop(struct guardian *g)
{
    if (!g)
        return;
    pid_t pid = g->pid;
    guardian_forget(g);
    int64_t until = clock_ms() + GUARDIAN_GRACE_MS + 500;
    pid_t got;
    while ((got = waitpid(pid, NULL, WNOHANG)) == 0 && clock_ms() < until)
        poll(NULL, 0, 1);
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

pid_t
guardian_pid(const struct guardian *g)
{
    return g->pid;
}

int
guardian_fd(const struct guardian *g)
{
    return g->fd;
}

int
guardian_enlist(int fd, pid_t group)
{
    guardian_record r = group;
    while (send(fd, &r, sizeof(r), MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

void
guardian_dismiss(struct guardian *g, pid_t group)
{
    guardian_record r = -group;
    buf_append(&g->late, &r, sizeof(r));
    while (buf_len(&g->late) > 0) {
        if (send(g->fd, buf_head(&g->late), sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return; /* full: with the next one. Dead: the list is gone with it */
        buf_consume(&g->late, sizeof(r));
    }
}

int
guards_add(struct guards *gs, pid_t group, struct err *err)
{
    int rc = 0;

    for (int tries = 0; tries < 2; tries++) { /* the guardian itself may have been killed */
        if (!gs->guardian && !(gs->guardian = guardian_start(err)))
            return err->code;
        rc = guardian_enlist(guardian_fd(gs->guardian), group);
        if (rc == 0) {
            gs->count++;
            return 0;
        }
        guardian_stop(gs->guardian);
        gs->guardian = NULL;
    }
    return err_errno(err, ERR_SYSTEM, rc, "the guardian does not answer");
}

void
guards_remove(struct guards *gs, pid_t group)
{
    if (gs->guardian)
        guardian_dismiss(gs->guardian, group);
    if (--gs->count == 0) {
        guardian_stop(gs->guardian);
        gs->guardian = NULL;
    }
}
