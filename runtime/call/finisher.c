#include "finisher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "guardian.h"

enum {
    KEPT_AT_ONCE = 1024, /* as many commands as run in a context */
    BLIND_MS = 1000      /* how often one looks whether a process is there, without pidfd */
};

void
kept_init(struct kept *k, pid_t group)
{
    *k = (struct kept){.group = group, .pidfd = -1};
    for (int i = 0; i < FINISHER_FDS; i++)
        k->fds[i] = -1;
}

void
kept_keep(struct kept *k, const int fds[FINISHER_FDS], int64_t until)
{
    k->keep = true;
    k->until = until;
    memcpy(k->fds, fds, sizeof(k->fds));
    if (until)
        k->pidfd = (int)syscall(SYS_pidfd_open, k->group, 0);
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void
kept_close(struct kept *k)
{
    for (int i = 0; i < FINISHER_FDS; i++)
        close_fd(&k->fds[i]);
    close_fd(&k->pidfd);
}

void
kept_signal(const struct kept *k, int sig)
{
    kill(-k->group, sig);
    kill(-k->group, SIGCONT); /* a stopped process takes no TERM */
}

/* ---- the finisher ---- */

/* The command has ended: what it has left behind has all the time that it wants, and its number is not
 * ours any more. */
static void
kept_forget(struct kept *k)
{
    close_fd(&k->pidfd);
    k->until = 0;
}

static void
kept_hurry(struct kept *k, int64_t now)
{
    if (!k->until)
        return;
    if (k->pidfd < 0 && kill(k->group, 0) < 0 && errno == ESRCH) {
        kept_forget(k);
    } else if (now >= k->until) {
        kept_signal(k, k->told ? SIGKILL : SIGTERM);
        if (k->told)
            kept_forget(k);
        else
            k->until = now + GUARDIAN_GRACE_MS;
        k->told = true;
    }
}

static bool
kept_is_over(const struct kept *k)
{
    for (int i = 0; i < FINISHER_FDS; i++)
        if (k->fds[i] >= 0)
            return false;
    return !k->until;
}

static void
drop(int *fd)
{
    static char block[64 << 10];
    ssize_t n = read(*fd, block, sizeof(block));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(fd);
}

/* How long to sleep, for poll(). */
static int
finisher_patience(const struct kept *list, size_t count)
{
    int least = -1;
    for (size_t i = 0; i < count; i++) {
        int left = list[i].until ? clock_left(list[i].until) : -1;
        if (list[i].until && list[i].pidfd < 0 && left > BLIND_MS)
            left = BLIND_MS;
        if (left >= 0 && (least < 0 || left < least))
            least = left;
    }
    return least;
}

static void
finisher_turn(struct kept *list, size_t count)
{
    static struct pollfd polled[KEPT_AT_ONCE][FINISHER_FDS + 1]; /* negative ones are skipped */
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < FINISHER_FDS; j++)
            polled[i][j] = (struct pollfd){.fd = list[i].fds[j], .events = POLLIN};
        polled[i][FINISHER_FDS] = (struct pollfd){.fd = list[i].pidfd, .events = POLLIN};
    }
    if (poll(polled[0], count * (FINISHER_FDS + 1), finisher_patience(list, count)) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < FINISHER_FDS; j++)
            if (polled[i][j].revents)
                drop(&list[i].fds[j]);
        if (polled[i][FINISHER_FDS].revents)
            kept_forget(&list[i]);
    }
}

static size_t
finisher_prune(struct kept *list, size_t count)
{
    size_t left = 0;
    int64_t now = clock_ms();
    for (size_t i = 0; i < count; i++) {
        kept_hurry(&list[i], now);
        if (!kept_is_over(&list[i]))
            list[left++] = list[i];
    }
    return left;
}

_Noreturn void
finisher_main(struct kept *list, size_t count)
{
    prctl(PR_SET_NAME, "orrery-finisher"); /* 15 letters, the most there is room for */
    if (count > KEPT_AT_ONCE)
        count = KEPT_AT_ONCE;
    while ((count = finisher_prune(list, count)) > 0)
        finisher_turn(list, count);
    _exit(0);
}
