/*
 * The finisher: a process that the guardian leaves behind for commands which may go on without the one who
 * wanted them. It takes their output, which nobody reads any more, since a write to a pipe without a reader
 * would be their end; it ends those whose time is over; and it goes with the last of them.
 *
 * Everything here is async-signal-safe: the guardian was forked from a program with threads.
 */
#ifndef ORRERY_FINISHER_H
#define ORRERY_FINISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FINISHER_FDS 2 /* stdout and stderr */

/* A process group that the guardian has on its list. */
struct kept {
    pid_t group;
    bool keep;             /* the rest is about those */
    bool told;             /* TERM was sent */
    int fds[FINISHER_FDS]; /* nonblocking; -1: none, or at its end */
    int pidfd;             /* of the group's leader, where there is a `until`; -1: none */
    int64_t until;         /* clock_ms; 0: never */
};

void kept_init(struct kept *k, pid_t group);
/* Takes the descriptors. */
void kept_keep(struct kept *k, const int fds[FINISHER_FDS], int64_t until);
/* Closes what it has. */
void kept_close(struct kept *k);
void kept_signal(const struct kept *k, int sig);

/* Serves them, and exits. */
_Noreturn void finisher_main(struct kept *list, size_t count);

#endif
