/*
 * The router of a process: which contexts there are, which stream leads to them, who listens on which
 * handle here, and who may.
 *
 *   stream --frame--> router --(dst is another)--> stream of dst
 *                       |----(dst is us)--> handle: its function, on the loop role
 *
 * Trust. A message that comes from a child stream is stamped: auth becomes the child's id, and its src
 * must be that child or something behind it, else it is dropped, counted and logged with its true
 * origin. What comes from the parent is believed. A handle with HANDLE_FROM_PARENT takes only messages
 * whose auth is this context or an ancestor; one with HANDLE_FROM_ANYONE takes all (replies, receivers
 * that were handed out). From one child to another goes only what router_allow lets go.
 *
 * A guest is a child that has proven to be whoever runs this process (call/listener.h). What it sends to
 * the contexts below this one gets this context's authority; here, and above, it is a child like others.
 *
 * The tree. Ids come from the root, in blocks: a router gives blocks to its children out of its own, so it
 * knows which stream an id may be behind. A new context is announced from parent to parent up to the root,
 * ahead of its first message, and so is its end, behind its last (tree.c). What a router does not know is
 * its parent's to route; whether two may talk is decided by their nearest common ancestor.
 *
 * What passes through goes on as the frames it came in; only at its destination a message that travels in
 * pieces is put together (pieces.h). A child that sends faster than another context takes it is not read
 * until that has caught up.
 *
 * Threading: router_send and the handle functions from any thread; the rest says. Locks: the router's
 * own lock (table of contexts, table of handles) is taken before no other; router_send to a context
 * that has a stream takes none of it.
 */
#ifndef ORRERY_ROUTER_H
#define ORRERY_ROUTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "err.h"
#include "flow.h"
#include "loop.h"
#include "mailbox.h"
#include "msg.h"
#include "stream.h"

struct router;

/*
 * A context as this process sees it. Counted; stays valid after the context died. Fields are constant
 * after creation, but for `dead`.
 */
struct context {
    atomic_uint refs;
    uint32_t id;
    char *name;            /* "web1" */
    char *route;           /* "ssh:web1", for errors: how one gets there from the controller */
    struct stream *stream; /* the stream towards it; NULL: this process itself */
    struct router *router;
    uint32_t via; /* the direct child it is or is behind; 0 for what is not below us */
    bool guest;   /* a child that acts in our name, below us */
    atomic_bool dead;
    struct err *why;          /* set before `dead`, where it was known by then */
    unsigned behind;          /* loop role: contexts behind it, of a direct child */
    size_t behind_text;       /* loop role: bytes of their names and routes */
    LIST_ENTRY(context) link; /* the router's table, under its lock */
};

struct router *router_create(struct loop *loop, uint32_t self, const char *name);
/* After every stream has closed and every handle was removed. */
void router_destroy(struct router *r);
struct loop *router_loop(const struct router *r);
uint32_t router_self(const struct router *r);
/* How one gets here from the controller, "" in the controller. */
const char *router_route(const struct router *r);
/* Copies up to `max` ancestors, nearest first; returns how many. */
uint32_t router_ancestors(const struct router *r, uint32_t *out, uint32_t max);

/* ---- contexts ---- */

/* Somebody who wants `count` ids in a row. */
struct id_wait {
    TAILQ_ENTRY(id_wait) link;
    uint32_t count;
    /* The first of them; or 0, and why there are none. On the loop role, perhaps before router_want_ids
     * returns. */
    void (*fn)(struct id_wait *w, uint32_t first, const struct err *why);
    bool waiting;
};
/* Ids that no other context in the tree has or had: at once, or when the parent has given some. Loop role. */
void router_want_ids(struct router *r, struct id_wait *w);
/* No-op for one that does not wait. Loop role. */
void router_unwant_ids(struct router *r, struct id_wait *w);

/* Names and routes of contexts are shorter than this, since those who are told of them keep them. */
#define CONTEXT_TEXT_MAX 4096

/* A direct child reached by `s` (a reference is taken), with an id of router_want_ids. It is announced to
 * the parent. Loop role. Returns one reference. */
struct context *router_add_child(
    struct router *r, struct stream *s, uint32_t id, const char *name, const char *route);
/* The same for a guest. It may send what a parent may to whatever is below us, but for guests; who hears
 * from it may answer, as with router_allow, and the end of each is told to the other. Nothing of it goes
 * up. Loop role. Returns one reference. */
struct context *router_add_guest(
    struct router *r, struct stream *s, uint32_t id, const char *name, const char *route);
/* What is below us, but for guests. Sets *list (owned by the caller, with a reference to each), in the order
 * of ids; returns how many. Any thread. */
uint32_t router_below(struct router *r, struct context ***list);
/* What an agent's parent has said of it. */
struct router_place {
    uint32_t self;
    const char *name, *route;  /* of this process */
    const uint32_t *ancestors; /* ids, nearest first */
    size_t count;
};
/* The parent's stream: the way to everything that is not below us. Agents call it once, before any
 * message. Loop role. */
void router_set_parent(struct router *r, struct stream *s, const struct router_place *place);
/* A reference to the context with that id: one below, our own, or (in an agent) anything that may be
 * elsewhere in the tree. NULL if the way to it is unknown. Any thread. */
struct context *router_context(struct router *r, uint32_t id);
/* Is there no other context between it and this one? Any thread. */
bool router_is_next(const struct context *c);
struct context *context_ref(struct context *c);
void context_unref(struct context *c);

/* What a stream's upcalls hand to the router. Loop role. */
void router_frame(struct router *r, struct stream *s, struct msg *m); /* takes m */
void router_lost(struct router *r, struct stream *s, const struct err *why);

/* ---- messages ---- */

/* Sends m (taken) to c: fills dst, src (self) and auth (self); the rest is the caller's. A message
 * to this process itself goes to its handle on the loop role. Any thread. */
int router_send(struct context *c, struct msg *m, struct err *err) must_check;
/* The same in the name of `src`, a context below this one, to one that is not below. Any thread. */
int router_send_for(struct router *r, const struct context *src, uint32_t dst, struct msg *m,
    struct err *err) must_check;
/* Answers the message `to`: handle = to.reply, seq = to.seq, dst = to.src. Takes m. Silently dropped
 * where to.reply is 0; a lost peer is no error here, since it wants no answer. Any thread. */
void router_reply(struct router *r, const struct frame_header *to, struct msg *m);
/* The same with an error. */
void router_reply_error(struct router *r, const struct frame_header *to, const struct err *err);

/* Counts, and logs, that something was refused that `src` has sent: `what` it has done, "answers what nobody asked".
 * The line names it. Not more than one line in a second for each child. Any thread. */
void router_refused(struct router *r, uint32_t src, const char *what);

/* Bytes that wait to be sent to the parent. Any thread. */
size_t router_backlog(const struct router *r);

/* Windows of what this process sends: see flow.h. */
struct flows *router_flows(struct router *r);
/* Of what `peer` sent to a handle with HANDLE_WINDOW so many bytes (flow_cost) were taken. Any thread. */
void router_credit(struct router *r, uint32_t peer, uint32_t handle, uint32_t bytes);

/* The same for all that was sent to a handle by anyone, and not taken. */
void router_credit_all(struct router *r, uint32_t handle);

/* Posts m (taken), which came in for this process, to a mailbox that has a loop. A child that has filled
 * it is not read until there is room again. Loop role. */
void router_post(struct router *r, struct mailbox *mb, struct msg *m);

/* Lets context `a` send to `b`, and `b` answer, by way of their nearest common ancestor, until one of them
 * is lost; the other hears of that. Only to dynamic handles: since nobody guesses these, `b` reaches of `a`
 * what `a` has given it. What `b` does with a message is its own policy: the authority is that of the
 * ancestor's child by way of which `a` is reached. ERR_DEAD if one of them is not below this context. Any
 * thread. */
int router_allow(struct router *r, uint32_t a, uint32_t b, struct err *err) must_check;

/* May `a` have come by what only `b` gives away? Not where they are below different children of this context,
 * and were never allowed to talk. Any thread. */
bool router_may_know(struct router *r, uint32_t a, uint32_t b);

/* ---- handles ---- */

enum handle_policy {
    HANDLE_FROM_PARENT = 0,
    HANDLE_FROM_ANYONE = 1,
    HANDLE_WINDOW = 2 /* or'ed: its senders wait for credit (flow.h), by router_credit */
};

struct handle_ops {
    /* A message for this handle, on the loop role. Takes m. Must not block. */
    void (*message)(struct router *r, struct msg *m, void *arg);
    /* A context is lost (borrowed; with everything behind it, one call each). May be NULL. */
    void (*dead)(struct router *r, struct context *c, const struct err *why, void *arg);
};

/* Listens on handle `number`, or on a new dynamic one if it is 0; returns the number, 0 where somebody listens
 * on it already. Dynamic numbers are random, so that a context knows only those that it was given. ops and arg outlive the handle. Any
 * thread. */
uint32_t router_listen(struct router *r, uint32_t number, enum handle_policy policy,
    const struct handle_ops *ops, void *arg);
/* Messages for the handle go to another function from now on. Loop role, so that none is under way. */
void router_retarget(struct router *r, uint32_t number, const struct handle_ops *ops, void *arg);
/* Afterwards no function of the handle runs any more (waits for one that does, unless called from
 * inside it). Any thread. */
void router_unlisten(struct router *r, uint32_t number);
/* A dynamic handle whose messages are posted to a mailbox, as is (FRAME_DEAD with handle HANDLE_DEAD,
 * src = the context, for each lost context). The mailbox outlives the handle. Any thread. */
uint32_t router_listen_mailbox(
    struct router *r, uint32_t handle, enum handle_policy policy, struct mailbox *mb);

#endif
