/*
 * For tests of any layer: cmocka with what it needs, and waiting for an event with a deadline that only
 * a broken program meets.
 */
#ifndef ORRERY_AWAIT_TEST_H
#define ORRERY_AWAIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

#define AWAIT_MS 30000

/* Returns whether it was posted within the deadline. */
static inline bool
await_try(sem_t *s)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AWAIT_MS / 1000;
    while (sem_timedwait(s, &until) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

static inline int
await_value(sem_t *s)
{
    int n;

    sem_getvalue(s, &n);
    return n;
}

#define await(s) assert_true(await_try(s))

/* Returns whether this process has no children any more, soon. A killed one may be left to a thread of
 * the process transport, whose end nobody reports; this does not reap it in its place. */
static inline bool
await_no_children(void)
{
    static const struct timespec nap = {0, 1000000};
    siginfo_t info;

    for (int naps = 0; waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; naps++) {
        if (naps > 10000)
            return false;
        nanosleep(&nap, NULL);
    }
    return errno == ECHILD;
}

static inline int
await_count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
