/*
 * ssh_pingpong SECONDS ADDRESS PORT USER KEYFILE ECHO: what a round trip over SSH costs at least: one
 * libssh2 session, one thread, and a C program behind sshd. Both ends block, then both look for a while
 * first. Prints block.* and spin.*.
 */
#include <stdio.h>
#include <stdlib.h>

#include "limit.h"
#include "ssh.h"

static void
round_trip(struct ssh *s, bool spin)
{
    char frame[FRAME] = {0};
    size_t have = 0;

    ssh_write(s, frame, sizeof frame);
    while (have < sizeof frame) {
        size_t got = ssh_read(s, frame + have, sizeof frame - have, spin);

        if (got == 0) {
            fprintf(stderr, "ssh_pingpong: the far end is gone\n");
            exit(1);
        }
        have += got;
    }
}

static void
pingpong(const char *name, double seconds, char **where, const char *echo, bool spin)
{
    enum { WARM_UP = 100 };
    struct samples times = {0};
    struct ssh s;
    char command[256];
    double until;

    (void)snprintf(command, sizeof command, "exec %s%s", echo, spin ? " spin" : "");
    ssh_open(&s, where, command);
    for (int i = 0; i < WARM_UP; i++)
        round_trip(&s, spin);
    until = now_us() + seconds * 1e6;
    for (double start = now_us(); start < until;) {
        double end;

        round_trip(&s, spin);
        end = now_us();
        samples_add(&times, end - start);
        start = end;
    }
    ssh_close(&s);
    samples_print(&times, name);
}

int
main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: ssh_pingpong SECONDS ADDRESS PORT USER KEYFILE ECHO\n");
        return 2;
    }
    pingpong("block", atof(argv[1]), argv + 2, argv[6], false);
    fflush(stdout);
    pingpong("spin", atof(argv[1]), argv + 2, argv[6], true);
    return 0;
}
