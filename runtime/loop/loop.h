/*
 * The loop: libevent, behind an interface in which "who runs it" is a role and not a thread.
 *
 * One loop a process. Objects below (loop_fd, loop_timer, loop_child) are embedded in their owners
 * and are touched by the loop role only. Everybody else reaches the loop through loop_defer, which
 * is the only thing that wakes it. Callbacks run on the loop role, never nested, on whichever thread
 * has it: the broker thread, or one that waits in loop_wait. The role is handed over under a lock, so
 * what one holder wrote the next one sees.
 *
 * An object that libevent can see is never freed inside a callback: fini it, and pass it to
 * loop_reap, which frees it when the current turn is over.
 */
#ifndef ORRERY_LOOP_H
#define ORRERY_LOOP_H

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "err.h"

struct loop;

struct loop *loop_create(struct err *err) must_check;
/* Starts the broker thread, which has the role while no waiting thread has it. Signals are blocked in
 * it: the host's own threads take them. */
int loop_start(struct loop *loop, struct err *err) must_check;
/* Runs what is deferred and reaped, then stops and joins the broker thread: nothing runs on the loop
 * afterwards. Owners must have finished their objects (defer that before), and nobody may be in
 * loop_wait. Not from a callback. */
void loop_stop(struct loop *loop);
/* Stops it if that has not been done, and frees it. */
void loop_destroy(struct loop *loop);
/* Is the calling thread the one that holds the role? */
bool loop_holds(const struct loop *loop);

/* Work for the loop role, from any thread. Embedded; owned by the caller until fn runs, once.
 * Works deferred by one thread run in order. What the loop role itself defers runs once the events that
 * are there have had their turn. Costs one eventfd write if none was waiting. */
struct loop_work {
    STAILQ_ENTRY(loop_work) link;
    void (*fn)(struct loop_work *work);
};
void loop_defer(struct loop *loop, struct loop_work *work);
/* The same for work that may wait: it runs before the next thread sleeps for want of something to do,
 * and within about a millisecond. Costs a wake-up only where no such work was waiting. */
void loop_defer_lazily(struct loop *loop, struct loop_work *work);
/* Runs fn(arg) on the loop role and waits for it; at once if the caller holds the role. */
void loop_sync(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Calls destroy(object) after the current turn, and after all work that is deferred by now. Loop
 * role only. */
void loop_reap(struct loop *loop, void (*destroy)(void *), void *object);

/*
 * A thread that waits for something that the loop, or another thread, will bring. Embedded, zeroed; used
 * by one thread at a time.
 *
 * The waiter reads `news`, looks for what it wants, and calls loop_wait with what it read; who brings
 * something makes it visible and then calls loop_notify. loop_wait returns when `news` is not `seen` any
 * more, when the deadline (clock_ms; -1: none) has passed, or for no reason. A deadline that has passed
 * already makes it look at the descriptors once, if nobody else does.
 *
 * While it waits, the thread may run the loop: callbacks run on its stack, so it must hold no lock that
 * they take. loop may be NULL: then it just sleeps. One that works behind the scenes runs the loop only
 * while no other thread has begun to wait for some time: those are asking something. It does not spin.
 */
struct loop_waiter {
    atomic_uint news;
    atomic_int state;
    bool background;              /* set before the first wait */
    LIST_ENTRY(loop_waiter) link; /* in the loop's list, under its lock, while it sleeps */
    bool listed;
    uint64_t since; /* clock_ns */
    unsigned spin_pause, spin_backoff, spin_tries;
};
void loop_wait(struct loop *loop, struct loop_waiter *w, unsigned seen, int64_t deadline_ms);
/* Any thread. */
void loop_notify(struct loop *loop, struct loop_waiter *w);

/* How long a waiting thread polls before it sleeps, where that has helped recently, without what it leaves to others
 * on its CPU meanwhile; where this process may run on one CPU only, it lets others run once, and looks. 0: not at
 * all. Default 50 us. Any thread. */
void loop_set_spin(struct loop *loop, int64_t ns);
/* false: threads that wait leave the role to the broker, to measure what that costs. Any thread. */
void loop_set_attend(struct loop *loop, bool attend);
/* What was set. Any thread. */
int64_t loop_spin(const struct loop *loop);
bool loop_attend(const struct loop *loop);

/* A descriptor. Both directions may be watched; a watch stays until it is changed. */
enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd {
    struct event read, write;
    struct loop *loop;
    void (*fn)(struct loop_fd *f, int events);
    int fd;
    int watched;
};
void loop_fd_init(
    struct loop_fd *f, struct loop *loop, int fd, void (*fn)(struct loop_fd *f, int events));
/* Watches exactly `events` from now on. No system call where nothing changes. */
void loop_fd_watch(struct loop_fd *f, int events);
/* Before the descriptor is closed. Does not close it. Idempotent on a zeroed or finished object. */
void loop_fd_fini(struct loop_fd *f);

/* One shot. Setting again moves it. */
struct loop_timer {
    struct event ev;
    struct loop *loop;
    void (*fn)(struct loop_timer *t);
};
void loop_timer_init(struct loop_timer *t, struct loop *loop, void (*fn)(struct loop_timer *t));
void loop_timer_set(struct loop_timer *t, int64_t ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_fini(struct loop_timer *t);

/* The end of a child process: reaps exactly this one, by pidfd, without a SIGCHLD handler (kernels
 * without pidfd are polled every 50 ms). status is waitpid's, or exit status 255 if the host program
 * reaped it first. fn runs once; then the object is done. */
struct loop_child {
    struct loop_fd fd;
    struct loop_timer poll;
    struct loop *loop;
    void (*fn)(struct loop_child *c, int status);
    pid_t pid;
    int pidfd;
};
void loop_child_init(struct loop_child *c, struct loop *loop, pid_t pid,
    void (*fn)(struct loop_child *c, int status));
/* Stops watching without reaping. */
void loop_child_fini(struct loop_child *c);

#endif
