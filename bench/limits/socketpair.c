/*
 * socketpair SECONDS: what a round trip between two processes costs at least, both ends blocking in
 * read(), and both looking for a while first. Prints block.* and spin.*.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"

static void
pingpong(const char *name, double seconds, bool spin)
{
    struct samples times = {0};
    char frame[FRAME] = {0};
    double until;
    int pair[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(pair[0]);
        while (read_all(pair[1], frame, sizeof frame, spin))
            write_all(pair[1], frame, sizeof frame);
        _exit(0);
    }
    close(pair[1]);
    until = now_us() + seconds * 1e6;
    for (double start = now_us(); start < until;) {
        double end;

        write_all(pair[0], frame, sizeof frame);
        (void)read_all(pair[0], frame, sizeof frame, spin);
        end = now_us();
        samples_add(&times, end - start);
        start = end;
    }
    close(pair[0]);
    (void)waitpid(child, NULL, 0);
    samples_print(&times, name);
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: socketpair SECONDS\n");
        return 2;
    }
    pingpong("block", atof(argv[1]), false);
    fflush(stdout);
    pingpong("spin", atof(argv[1]), true);
    return 0;
}
