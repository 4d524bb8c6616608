/*
 * The guardian: a process that outlives ours by a second, to end the commands we leave behind.
 *
 * It holds one end of a socket pair. Every command's child names its process group to it before it
 * execs, so there is no moment in which a command runs unguarded; the command service takes the group
 * off the list when the command was reaped. Programs that lead to a child context (ssh) are put on a
 * list of the same kind by children.c, as soon as they run. When the other end closes, because this
 * process ended in whatever way, the guardian sends TERM to all groups on the list, KILL a second later,
 * and exits.
 *
 * A group may be kept instead: then it is let go on. Since nobody reads its output any more, the guardian
 * has copies of the descriptors from which that is read, and leaves them to a process of its own, the
 * finisher (finisher.h), which ends with the last of those that it keeps.
 *
 * Threading: loop role, but for guardian_enlist.
 */
#ifndef ORRERY_GUARDIAN_H
#define ORRERY_GUARDIAN_H

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

struct guardian;

/* Forks it. Returns owned; NULL with err where no process can be made. */
struct guardian *guardian_start(struct err *err);
/* Ends and reaps it, and with it whatever is still enlisted. Any thread, when nobody else uses it; may
 * take GUARDIAN_GRACE_MS. NULL is fine. */
void guardian_stop(struct guardian *g);
/* Frees the object of a guardian that has died and was reaped. */
void guardian_forget(struct guardian *g);

/* Between TERM and KILL. */
#define GUARDIAN_GRACE_MS 1000

pid_t guardian_pid(const struct guardian *g);
/* What a command's child passes to guardian_enlist; stays the guardian's. */
int guardian_fd(const struct guardian *g);
/* Puts a process group on the list. Async-signal-safe. 0 or an errno. */
int guardian_enlist(int fd, pid_t group);
/* It is to be kept, on the list or not yet: what comes out of `out` and `err` (borrowed; -1: none) is dropped then.
 * When clock_ms is `until` (0: never) its time is over, as it would be here: TERM, and KILL. 0 or an errno:
 * then it is not kept. */
int guardian_keep(struct guardian *g, pid_t group, int out, int err, int64_t until);
/* It is not to be kept any more. */
void guardian_keep_not(struct guardian *g, pid_t group);
/* Takes it off. */
void guardian_dismiss(struct guardian *g, pid_t group);

/* A guardian for those that come and go: it is there while there are any. Zeroed. */
struct guards {
    struct guardian *guardian;
    int count;
};
/* 0, or a code with err. */
int guards_add(struct guards *gs, pid_t group, struct err *err) must_check;
/* One that was added. */
void guards_remove(struct guards *gs, pid_t group);

/*
 * For a child between fork and exec: closes every descriptor from `low` on. Async-signal-safe, works on
 * kernels without close_range(2).
 */
void guardian_close_from(int low);
/* The same place: all signals to their default and none blocked. */
void guardian_default_signals(void);

#endif
