/*
 * A handle that several mailboxes of a process listen on, and any of them may serve: each message is
 * taken by one, whoever looks first. So a thread that is busy, or that waits elsewhere, keeps nobody
 * waiting whom another thread could serve.
 *
 * Threading: any thread.
 */
#ifndef ORRERY_SHARED_H
#define ORRERY_SHARED_H

#include "router.h"

/* Messages that wait to be taken; further ones are refused with ERR_LIMIT. */
#define SHARED_MAX 4096
/* The same for larger ones: they are questions, and wait whole. */
#define SHARED_BYTES 8192

struct shared;

/* Listens on the handle. */
struct shared *shared_create(struct router *r, uint32_t handle, enum handle_policy policy);
/* Stops listening. After the last shared_leave, while the loop runs. */
void shared_destroy(struct shared *s);
/* From now on mb gets an empty message on the handle when there is something to take. */
void shared_join(struct shared *s, struct mailbox *mb);
/* No-op for one that has not joined. When nobody is left, messages are refused with ERR_NO_HANDLE. */
void shared_leave(struct shared *s, struct mailbox *mb);
/* The oldest message (owned by the caller), or NULL. */
struct msg *shared_take(struct shared *s);

#endif
