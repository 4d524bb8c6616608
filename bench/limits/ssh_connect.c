/*
 * ssh_connect COUNT ADDRESS PORT USER KEYFILE: what connecting costs at least: one thread that dials,
 * exchanges keys, logs in and has `echo` run, until the first byte of that is there; COUNT times, one
 * after the other. Prints *.p50 and *.p99 of the whole and of its steps, and cpu for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "limit.h"
#include "ssh.h"

enum { DIAL, KEYS, AUTH, EXEC, ANSWER, WHOLE, STEPS };

static const char *const names[STEPS] = {"connect", "kex", "auth", "exec", "answer", "call"};

static double
cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
        (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void
connect_once(struct samples *times, char **where)
{
    double start = now_us(), end;
    struct ssh s;
    char byte;

    ssh_open(&s, where, "echo");
    if (ssh_read(&s, &byte, 1, false) == 0) {
        fprintf(stderr, "ssh_connect: the command said nothing\n");
        exit(1);
    }
    end = now_us();
    samples_add(&times[DIAL], s.at.dialled - start);
    samples_add(&times[KEYS], s.at.keys - s.at.dialled);
    samples_add(&times[AUTH], s.at.let_in - s.at.keys);
    samples_add(&times[EXEC], s.at.started - s.at.let_in);
    samples_add(&times[ANSWER], end - s.at.started);
    samples_add(&times[WHOLE], end - start);
    ssh_close(&s);
}

int
main(int argc, char **argv)
{
    struct samples times[STEPS] = {{0}}, first[STEPS] = {{0}};
    double before;
    int count;

    if (argc != 6 || (count = atoi(argv[1])) < 1) {
        fprintf(stderr, "usage: ssh_connect COUNT ADDRESS PORT USER KEYFILE\n");
        return 2;
    }
    connect_once(first, argv + 2); /* loads and warms what a process has once */
    before = cpu_us();
    for (int i = 0; i < count; i++)
        connect_once(times, argv + 2);
    printf("cpu %.3f\n", (cpu_us() - before) / count);
    for (int i = 0; i < STEPS; i++) {
        samples_print(&times[i], names[i]);
        free(first[i].value);
    }
    return 0;
}
