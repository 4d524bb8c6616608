/*
 * How many connections are made at the same time, by a thread each.
 *
 * A handshake is some milliseconds of CPU time, and mostly waiting for the far side. So there may be many
 * where hosts are far, and few where the CPUs are what is scarce: a hundred threads that want them at once
 * are no faster, and in the way of calls that go on meanwhile. Each thread tells how long it ran and how
 * long it waited for a CPU, which the kernel counts. There are few at first, so that a thousand hosts do not
 * come all at once.
 *
 * Threading: none of its own.
 */
#ifndef ORRERY_CONNECT_PACE_H
#define ORRERY_CONNECT_PACE_H

#include <stdint.h>

#define CONNECT_LEAST 5
#define CONNECT_MOST 256
/* After so long without an end of one, say connect_pace_waited, and again, while others wait for their turn. */
#define CONNECT_STEP_MS 100

struct connect_pace {
    int limit;
};

void connect_pace_init(struct connect_pace *p);
/* A thread is done: so long it ran, and so long it was ready to run and did not. */
void connect_pace_done(struct connect_pace *p, uint64_t ran_ns, uint64_t delayed_ns);
/* Hosts that do not answer must not hold up the others. */
void connect_pace_waited(struct connect_pace *p);

/* For connect_pace_done, of the calling thread; 0 and 0 where the kernel does not tell. */
void connect_pace_measure(uint64_t *ran_ns, uint64_t *delayed_ns);

#endif
