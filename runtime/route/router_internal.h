/*
 * What router.c (contexts, handles, this process's own messages), transit.c (what comes in on streams) and
 * tree.c (what routers tell each other) share. See router.h.
 */
#ifndef ORRERY_ROUTER_INTERNAL_H
#define ORRERY_ROUTER_INTERNAL_H

#include <pthread.h>

#include "flow.h"
#include "pieces.h"
#include "router.h"

#define ROUTER_BUCKETS 256

struct handle {
    LIST_ENTRY(handle) link;
    uint32_t number;
    enum handle_policy policy;
    const struct handle_ops *ops;
    void *arg;
};

LIST_HEAD(context_list, context);
LIST_HEAD(handle_list, handle);

/* Two contexts that may talk to each other by way of this one. In the bucket of a ^ b. */
struct allowed {
    LIST_ENTRY(allowed) link;
    uint32_t a, b;
};

LIST_HEAD(allowed_list, allowed);

/* Context ids in a row. */
struct id_block {
    LIST_ENTRY(id_block) link;
    uint32_t first, count;
    uint32_t used;     /* [r] of our own: how many were given out */
    struct stream *to; /* of those we gave: whom; a reference */
};

LIST_HEAD(id_block_list, id_block);
TAILQ_HEAD(id_wait_list, id_wait);

/* [I] immutable once messages flow, [L] loop role only, [r] lock, [a] atomic. Under `lock` no other
 * lock is taken. */
struct router {
    struct loop *loop;     /* [I] */
    uint32_t self;         /* [I] */
    char *name;            /* [I] */
    char *route;           /* [I] */
    struct stream *parent; /* [I] NULL in the controller */
    uint32_t *ancestors;   /* [I] nearest first */
    size_t ancestor_count; /* [I] */
    uint32_t next_id;      /* [L] in the controller */
    struct pieces pieces;  /* [L] */
    struct flows *flows;   /* [I] */

    struct id_block_list given;   /* [L] to direct children */
    struct id_wait_list id_waits; /* [L] in the order in which they came */
    bool ids_asked;               /* [L] the parent will answer */

    pthread_mutex_t lock;
    struct context_list contexts[ROUTER_BUCKETS]; /* [r] each holds a reference */
    struct handle_list handles[ROUTER_BUCKETS];   /* [r] removed by the loop role only */
    struct msg_queue local;                       /* [r] from this process to itself */
    bool local_pending;                           /* [r] */
    struct loop_work deliver_local;               /* [r] */
    struct allowed_list allowed[ROUTER_BUCKETS];  /* [r] */
    struct id_block_list own;                     /* [r] what the parent gave to us */
};

/* ---- router.c ---- */

/* Lock held. Borrowed. */
struct context *router_find(struct router *r, uint32_t id);
/* Returns one reference; s may be NULL. */
struct context *context_create(
    struct router *r, struct stream *s, uint32_t id, const char *name, const char *route);
/* Into the table, which takes a reference. */
void router_enter(struct router *r, struct context *c);
/* Is it this context or an ancestor? */
bool router_is_above(const struct router *r, uint32_t id);
/* A message for this process. Loop role; takes m. */
void router_deliver(struct router *r, struct msg *m);
/* Answers that a message does not arrive, in the name of the context that it was for. */
void router_answer_for(struct router *r, const struct frame_header *to, const struct err *why);
/* The same, and drops it. Takes m. */
void router_refuse(struct router *r, struct msg *m, const struct err *why);
/* Tells all handles that a context is lost. Loop role. */
void router_announce(struct router *r, struct context *c, const struct err *why);

/* ---- credit.c ---- */

/* Counts a message for a handle with a window. False: its sender floods; it was cut off if it is a
 * child. Loop role. */
bool credit_admits(struct router *r, const struct msg *m);
/* A CREDIT message, without its addresses. */
struct msg *credit_message(uint32_t handle, uint32_t bytes);
/* Tells a sender that so much was taken. Any thread. */
void credit_give(struct router *r, uint32_t peer, uint32_t handle, uint32_t bytes);
/* Nobody listens on the handle any more: its senders are told. */
void credit_close(struct router *r, uint32_t handle);
/* A CLOSED message, without its addresses. */
struct msg *credit_refusal(uint32_t handle, int code);
/* Tells a sender that nothing of what it sends there is taken, ERR_CLOSED or ERR_DENIED. Any thread. */
void credit_refuse(struct router *r, uint32_t peer, uint32_t handle, int code);
/* A CLOSED message for this process. Takes m. Loop role. */
void credit_refusal_arrived(struct router *r, struct msg *m);
/* A CREDIT message for this process. Takes m. Loop role. */
void credit_arrived(struct router *r, struct msg *m);

/* ---- tree.c ---- */

/* Something of frame_is_for_router came in. Takes m. Loop role. */
void tree_frame(struct router *r, struct stream *s, struct msg *m);
/* Tells the parent, if there is one, of a context that has come. */
void tree_announce(struct router *r, const struct context *c);
/* The same of one that is gone. */
void tree_withdraw(struct router *r, const struct context *c, const struct err *why);
/* The stream is closed: what was given to it, and what it waits for. */
void tree_lost(struct router *r, struct stream *s, const struct err *why);
/* Is it below us, or was it: one of the ids that the parent gave to us? Any thread. */
bool tree_is_ours(struct router *r, uint32_t id);
void tree_fini(struct router *r);

/* ---- transit.c ---- */

/* Logs a line about what a context has sent, unless there was one a moment ago about what came in from there. Any
 * thread. */
void router_warn(struct router *r, uint32_t id, const char *fmt, ...) printf_like(3, 4);
/* A context is no more: tells everyone concerned. Loop role. */
void router_lose(struct router *r, struct context *c, const struct err *why);
/* Tells context `id` that it will not hear of another one any more. */
void router_tell_dead(
    struct router *r, uint32_t id, uint32_t lost, const char *name, const struct err *why);

/* Ends what is allowed to a context (CONTEXT_NONE: to all). Returns how many might talk to it, and sets
 * *others to their ids (owned by the caller) unless that is NULL. */
size_t router_disallow(struct router *r, uint32_t id, uint32_t **others);

#endif
