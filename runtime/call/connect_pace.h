/*
 * How many connections are made at the same time, by a thread each.
 *
 * A handshake is some milliseconds of CPU time, and mostly waiting for the far side. So there may be many
 * where hosts are far, and few where the CPUs are what is scarce: a hundred threads that want them at once
 * are no faster, and in the way of calls that go on meanwhile: those to another host were late by 13 ms (p99)
 * with two at a time, by 43 ms with five, while 200 hosts were opened on two CPUs (bench/run hosts). Each
 * thread tells how long it ran and how long it waited for a CPU, which the kernel counts. There are few at
 * first, so that a thousand hosts do not come all at once.
 *
 * Threading: none of its own.
 */
#ifndef ORRERY_CONNECT_PACE_H
#define ORRERY_CONNECT_PACE_H

#include <stdint.h>

#define CONNECT_LEAST 2
#define CONNECT_MOST 256
/* After so long without an end of one, say connect_pace_waited, and again, while others wait for their turn. */
#define CONNECT_STEP_MS 100

/* Nanoseconds: on a CPU, in the queue for one, and all in all. */
struct connect_time {
    uint64_t ran, delayed, took;
};

struct connect_pace {
    int limit;
};

void connect_pace_init(struct connect_pace *p);
/* A thread is done. */
void connect_pace_done(struct connect_pace *p, const struct connect_time *t);
/* Hosts that do not answer must not hold up the others. */
void connect_pace_waited(struct connect_pace *p);

/* For connect_pace_done, of the calling thread at its end, which set out at start (clock_ns); ran and delayed
 * are 0 where the kernel does not tell. */
void connect_pace_measure(struct connect_time *t, uint64_t start);

#endif
