/*
 * A mailbox: messages on their way from the loop to one thread that waits for them (a VM, the file
 * worker, a C program). The wait is the one place where a thread of the runtime sleeps. One that is
 * given the loop runs it meanwhile, if nobody else does, and so reads its messages itself.
 *
 * Threading: any thread posts; one thread at a time takes.
 */
#ifndef ORRERY_MAILBOX_H
#define ORRERY_MAILBOX_H

#include <stdint.h>

#include "loop.h"
#include "msg.h"

struct mailbox;

/* `loop`: whoever waits may run it; NULL: it just sleeps. */
struct mailbox *mailbox_create(struct loop *loop);
/* Drops what is in it. Nobody may wait in it or post to it any more. */
void mailbox_destroy(struct mailbox *mb);
/* Takes m. */
void mailbox_post(struct mailbox *mb, struct msg *m);
/* The oldest message (owned by the caller), or NULL when the deadline (clock_ms; -1: none) passed or
 * mailbox_wake was called. */
struct msg *mailbox_take(struct mailbox *mb, int64_t deadline_ms);
/* Makes one mailbox_take, the current or the next, return NULL. Async-signal-safe: no. */
void mailbox_wake(struct mailbox *mb);

#endif
