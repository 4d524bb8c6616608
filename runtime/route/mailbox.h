/*
 * A mailbox: messages on their way from the loop to one thread that waits for them (a VM, the file
 * worker, a C program). The wait is the one place where a thread of the runtime sleeps. One that is
 * given the loop runs it meanwhile, if nobody else does, and so reads its messages itself.
 *
 * Ownership: the taker's. A service that will post an outcome later holds a reference until it has, so
 * that the taker can go before.
 *
 * Threading: any thread posts; one thread at a time takes.
 */
#ifndef ORRERY_MAILBOX_H
#define ORRERY_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "msg.h"

struct mailbox;

/* `loop`: whoever waits may run it; NULL: it just sleeps. */
struct mailbox *mailbox_create(struct loop *loop);
/* One whose thread works behind the scenes (loop_waiter). */
struct mailbox *mailbox_create_background(struct loop *loop);
/* Nobody waits in it any more. It is freed, with what is in it, when no poster holds a reference. */
void mailbox_destroy(struct mailbox *mb);
struct mailbox *mailbox_ref(struct mailbox *mb);
/* NULL is fine. */
void mailbox_unref(struct mailbox *mb);
/* Takes m. */
void mailbox_post(struct mailbox *mb, struct msg *m);

/* Where a mailbox holds this much, who fills it is to be stopped until it holds less than LOW. */
#define MAILBOX_HIGH (16u << 20)
#define MAILBOX_LOW (4u << 20)
/* Somebody who waits for that. */
struct mailbox_hold {
    struct loop *loop;
    struct loop_work work; /* deferred there when the mailbox is low, or destroyed */
    struct mailbox_hold *next;
};
/* Is it above MAILBOX_HIGH? Any thread. */
bool mailbox_is_full(const struct mailbox *mb);
/* Adds one. Loop role only. */
void mailbox_hold(struct mailbox *mb, struct mailbox_hold *h);
/* The oldest message (owned by the caller), or NULL when the deadline (clock_ms; -1: none) passed or
 * mailbox_wake was called. */
struct msg *mailbox_take(struct mailbox *mb, int64_t deadline_ms);
/* Whether the next mailbox_take has a message at hand, without a lock or a look elsewhere. For the taker. */
bool mailbox_has(const struct mailbox *mb);
/* Moves what is there for one handle to another mailbox, in order. For the taker of `from`, while nothing
 * posts to the handle. */
void mailbox_move(struct mailbox *from, uint32_t handle, struct mailbox *to);
/* Runs the loop, or sleeps, for a while: until the deadline, or until something new is there. */
void mailbox_nap(struct mailbox *mb, int64_t deadline_ms);
/* Makes one mailbox_take, the current or the next, return NULL. Async-signal-safe: no. */
void mailbox_wake(struct mailbox *mb);

#endif
