#include "shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "mem.h"

struct member {
    LIST_ENTRY(member) link;
    struct mailbox *mb;
};

/* [I] immutable, [s] lock, under which only that of a mailbox is taken */
struct shared {
    struct router *router; /* [I] */
    uint32_t handle;       /* [I] */
    pthread_mutex_t lock;
    LIST_HEAD(, member) members; /* [s] */
    struct msg_queue queue;      /* [s] */
    unsigned count;              /* [s] */
};

/* Takes m. */
static void
refuse(struct shared *s, struct msg *m, int code, const char *why)
{
    struct err err;

    err_set(&err, code, "%s: %s", frame_handle_name(s->handle), why);
    router_reply_error(s->router, &m->h, &err);
    msg_unref(m);
}

static void
tell(struct shared *s, struct mailbox *mb)
{
    mailbox_post(mb, msg_with(s->handle, NULL, 0));
}

static void
on_message(struct router *r, struct msg *m, void *arg)
{
    struct shared *s = arg;
    struct member *member;
    bool alone, full;

    pthread_mutex_lock(&s->lock);
    alone = LIST_EMPTY(&s->members);
    full = s->count >= SHARED_MAX || m->h.length > SHARED_BYTES;
    if (!alone && !full) {
        s->count++;
        TAILQ_INSERT_TAIL(&s->queue, m, link);
        LIST_FOREACH(member, &s->members, link)
            tell(s, member->mb);
    }
    pthread_mutex_unlock(&s->lock);
    if (alone)
        refuse(s, m, ERR_NO_HANDLE, "nobody listens");
    else if (full)
        refuse(s, m, ERR_LIMIT, "too large, or too many wait");
}

struct shared *
shared_create(struct router *r, uint32_t handle, enum handle_policy policy)
{
    static const struct handle_ops ops = {.message = on_message};
    struct shared *s = xcalloc(1, sizeof *s);

    s->router = r;
    s->handle = handle;
    pthread_mutex_init(&s->lock, NULL);
    LIST_INIT(&s->members);
    TAILQ_INIT(&s->queue);
    must(router_listen(r, handle, policy, &ops, s));
    return s;
}

void
shared_destroy(struct shared *s)
{
    router_unlisten(s->router, s->handle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void
shared_join(struct shared *s, struct mailbox *mb)
{
    struct member *member = xcalloc(1, sizeof *member);

    member->mb = mb;
    pthread_mutex_lock(&s->lock);
    LIST_INSERT_HEAD(&s->members, member, link);
    if (!TAILQ_EMPTY(&s->queue))
        tell(s, mb);
    pthread_mutex_unlock(&s->lock);
}

void
shared_leave(struct shared *s, struct mailbox *mb)
{
    struct msg_queue left = TAILQ_HEAD_INITIALIZER(left);
    struct member *member;
    struct msg *m;

    pthread_mutex_lock(&s->lock);
    LIST_FOREACH(member, &s->members, link)
        if (member->mb == mb)
            break;
    if (member)
        LIST_REMOVE(member, link);
    if (LIST_EMPTY(&s->members)) {
        TAILQ_CONCAT(&left, &s->queue, link);
        s->count = 0;
    }
    pthread_mutex_unlock(&s->lock);
    free(member);
    while ((m = TAILQ_FIRST(&left))) {
        TAILQ_REMOVE(&left, m, link);
        refuse(s, m, ERR_NO_HANDLE, "nobody listens any more");
    }
}

struct msg *
shared_take(struct shared *s)
{
    struct msg *m;

    pthread_mutex_lock(&s->lock);
    m = TAILQ_FIRST(&s->queue);
    if (m) {
        TAILQ_REMOVE(&s->queue, m, link);
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return m;
}
