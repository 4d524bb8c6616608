#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "finisher.h"
#include "log.h"
#include "mem.h"

enum { GUARDIAN_GROUPS = 4096 };

struct guardian {
    pid_t pid;
    int fd;
    struct buf late; /* records that found the socket full */
};

/* One record on the socket, with up to FINISHER_FDS descriptors where it is GUARD_KEEP. The socket keeps
 * records apart, and delivers those of a writer that has died since. */
enum guardian_what { GUARD_ENLIST, GUARD_KEEP, GUARD_KEEP_NOT, GUARD_DISMISS };
struct guardian_record {
    int32_t what; /* enum guardian_what */
    int32_t group;
    int64_t until;
};

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

/* What is on the list. What is kept moves to the front when it comes to it. */
static struct kept guarded[GUARDIAN_GROUPS];
static size_t guarded_count;

static struct kept *
guarded_find(pid_t group)
{
    for (size_t i = 0; i < guarded_count; i++)
        if (guarded[i].group == group)
            return &guarded[i];
    return NULL;
}

/* On the list, put there if need be; NULL where that is full. */
static struct kept *
guarded_enlist(pid_t group)
{
    struct kept *k = guarded_find(group);
    if (!k && group > 1 && guarded_count < GUARDIAN_GROUPS) {
        k = &guarded[guarded_count++];
        kept_init(k, group);
    }
    return k;
}

static void
guarded_dismiss(pid_t group)
{
    struct kept *k = guarded_find(group);
    if (!k)
        return;
    kept_close(k);
    *k = guarded[--guarded_count];
}

/* A command's child enlists itself, perhaps after we were told to keep it: that changes nothing. */
static void
guarded_apply(const struct guardian_record *r, const int *fds)
{
    struct kept *k = r->what == GUARD_DISMISS ? NULL : guarded_enlist(r->group);
    if (r->what == GUARD_DISMISS)
        guarded_dismiss(r->group);
    if (k && r->what != GUARD_ENLIST) {
        kept_close(k);
        kept_init(k, r->group);
    }
    if (k && r->what == GUARD_KEEP)
        kept_keep(k, fds, r->until);
    for (int i = 0; !k && i < FINISHER_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* The next record; false at the end of whom it works for. */
static bool
guardian_receive(int fd, struct guardian_record *r, int *fds)
{
    char control[CMSG_SPACE(FINISHER_FDS * sizeof(int))];
    struct iovec iov = {r, sizeof(*r)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    do {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    for (int i = 0; i < FINISHER_FDS; i++)
        fds[i] = -1;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return n == (ssize_t)sizeof(*r);
}

static void
guardian_signal(int sig)
{
    for (size_t i = 0; i < guarded_count; i++)
        kept_signal(&guarded[i], sig);
}

static size_t
guardian_prune(void)
{
    size_t left = 0;
    for (size_t i = 0; i < guarded_count; i++)
        if (kill(-guarded[i].group, 0) == 0 || errno != ESRCH)
            guarded[left++] = guarded[i];
    return guarded_count = left;
}

/* Those that are kept go to a process of their own: this one is waited for. */
static void
guardian_hand_over(void)
{
    size_t kept = 0, rest = 0;
    static struct kept keep[GUARDIAN_GROUPS];
    for (size_t i = 0; i < guarded_count; i++)
        if (guarded[i].keep)
            keep[kept++] = guarded[i];
        else
            guarded[rest++] = guarded[i];
    guarded_count = rest;
    if (kept > 0 && _Fork() == 0)
        finisher_main(keep, kept);
}

/* As many descriptors as there may be: two or three for each that is kept. */
static void
guardian_widen(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
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

    guardian_widen();
    struct guardian_record r;
    int fds[FINISHER_FDS];
    while (guardian_receive(fd, &r, fds))
        guarded_apply(&r, fds);
    guardian_hand_over();
    guardian_signal(SIGTERM);
    enum { TICK_MS = 20 };
    for (int t = 0; guardian_prune() > 0 && t < GUARDIAN_GRACE_MS; t += TICK_MS)
        poll(NULL, 0, TICK_MS);
    guardian_signal(SIGKILL);
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

/* 0 or an errno. */
static int
guardian_tell(int fd, const struct guardian_record *r, const int *fds, size_t n, int flags)
{
    char control[CMSG_SPACE(FINISHER_FDS * sizeof(int))] = {0};
    struct iovec iov = {(void *)(uintptr_t)r, sizeof(*r)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    while (sendmsg(fd, &m, MSG_NOSIGNAL | flags) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

int
guardian_enlist(int fd, pid_t group)
{
    struct guardian_record r = {.what = GUARD_ENLIST, .group = group};
    return guardian_tell(fd, &r, NULL, 0, 0);
}

int
guardian_keep(struct guardian *g, pid_t group, int out, int err, int64_t until)
{
    struct guardian_record r = {.what = GUARD_KEEP, .group = group, .until = until};
    int fds[FINISHER_FDS];
    size_t n = 0;
    if (out >= 0)
        fds[n++] = out;
    if (err >= 0)
        fds[n++] = err;
    return guardian_tell(g->fd, &r, fds, n, 0);
}

/* Whether it gets through now or later. */
static void
guardian_mention(struct guardian *g, enum guardian_what what, pid_t group)
{
    struct guardian_record r = {.what = what, .group = group};
    buf_append(&g->late, &r, sizeof(r));
    while (buf_len(&g->late) > 0) {
        memcpy(&r, buf_head(&g->late), sizeof(r));
        if (guardian_tell(g->fd, &r, NULL, 0, MSG_DONTWAIT) != 0)
            return; /* full: with the next one. Dead: the list is gone with it */
        buf_consume(&g->late, sizeof(r));
    }
}

void
guardian_dismiss(struct guardian *g, pid_t group)
{
    guardian_mention(g, GUARD_DISMISS, group);
}

void
guardian_keep_not(struct guardian *g, pid_t group)
{
    guardian_mention(g, GUARD_KEEP_NOT, group);
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
