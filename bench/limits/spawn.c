/*
 * spawn COUNT PROGRAM [ARGUMENT...]: how long a command takes as a process of its own, from the fork to
 * its end; COUNT times, one after the other, its output thrown away. Prints wall.p50, wall.p99, and cpu
 * for each, with that of the processes that it waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "limit.h"

extern char **environ;

static double
cpu_of(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e6 +
        (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* Returns its CPU time. */
static double
run_once(char **argv, const posix_spawn_file_actions_t *actions)
{
    struct rusage usage;
    int status;
    pid_t pid;

    errno = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);
    if (errno)
        die(argv[0]);
    if (wait4(pid, &status, 0, &usage) != pid)
        die("wait4");
    if (status != 0) {
        fprintf(stderr, "spawn: %s ended with status %d\n", argv[0],
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        exit(1);
    }
    return cpu_of(&usage);
}

int
main(int argc, char **argv)
{
    posix_spawn_file_actions_t actions;
    struct samples times = {0};
    double cpu = 0;
    int count;

    if (argc < 3 || (count = atoi(argv[1])) < 1) {
        fprintf(stderr, "usage: spawn COUNT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < count; i++) {
        double start = now_us();

        cpu += run_once(argv + 2, &actions);
        samples_add(&times, now_us() - start);
    }
    posix_spawn_file_actions_destroy(&actions);
    samples_print(&times, "wall");
    printf("cpu %.3f\n", cpu / count);
    return 0;
}
