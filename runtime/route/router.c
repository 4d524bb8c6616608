#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "counters.h"
#include "log.h"
#include "mem.h"
#include "router_internal.h"

static void on_local(struct loop_work *w);
static void send_local(struct router *r, struct msg *m);

struct router *
router_create(struct loop *loop, uint32_t self, const char *name)
{
    struct router *r = xcalloc(1, sizeof *r);

    r->loop = loop;
    r->self = self;
    r->name = xstrdup(name);
    r->route = xstrdup("");
    r->next_id = self + 1;
    TAILQ_INIT(&r->id_waits);
    pthread_mutex_init(&r->lock, NULL);
    TAILQ_INIT(&r->local);
    pieces_init(&r->pieces);
    r->flows = flows_create();
    r->deliver_local.fn = on_local;
    return r;
}

void
router_destroy(struct router *r)
{
    for (int i = 0; i < ROUTER_BUCKETS; i++) {
        struct context *c;

        expect(LIST_EMPTY(&r->handles[i]));
        while ((c = LIST_FIRST(&r->contexts[i]))) {
            LIST_REMOVE(c, link);
            context_unref(c);
        }
    }
    msg_queue_clear(&r->local);
    pieces_fini(&r->pieces);
    flows_destroy(r->flows);
    router_disallow(r, CONTEXT_NONE, NULL);
    expect(TAILQ_EMPTY(&r->id_waits));
    tree_fini(r);
    stream_unref(r->parent);
    pthread_mutex_destroy(&r->lock);
    free(r->ancestors);
    free(r->name);
    free(r->route);
    free(r);
}

size_t
router_backlog(const struct router *r)
{
    return r->parent ? stream_queued(r->parent) : 0;
}

struct flows *
router_flows(struct router *r)
{
    return r->flows;
}

struct loop *
router_loop(const struct router *r)
{
    return r->loop;
}

uint32_t
router_self(const struct router *r)
{
    return r->self;
}

const char *
router_route(const struct router *r)
{
    return r->route;
}

uint32_t
router_ancestors(const struct router *r, uint32_t *out, uint32_t max)
{
    uint32_t n = r->ancestor_count < max ? (uint32_t)r->ancestor_count : max;

    if (n)
        memcpy(out, r->ancestors, n * sizeof *out);
    return n;
}

/* ---- contexts ---- */

struct context *
context_ref(struct context *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void
context_unref(struct context *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    stream_unref(c->stream);
    free(c->name);
    free(c->route);
    free(c->why);
    free(c);
}

struct context *
context_create(struct router *r, struct stream *s, uint32_t id, const char *name, const char *route)
{
    struct context *c = xcalloc(1, sizeof *c);

    atomic_init(&c->refs, 1);
    c->id = id;
    c->name = xstrdup(name);
    c->route = xstrdup(route);
    c->stream = s ? stream_ref(s) : NULL;
    c->router = r;
    return c;
}

/* Lock held. Borrowed. */
struct context *
router_find(struct router *r, uint32_t id)
{
    struct context *c;

    LIST_FOREACH(c, &r->contexts[id % ROUTER_BUCKETS], link)
        if (c->id == id)
            return c;
    return NULL;
}

void
router_enter(struct router *r, struct context *c)
{
    context_ref(c); /* not inside the macro, which evaluates its argument more than once */
    pthread_mutex_lock(&r->lock);
    LIST_INSERT_HEAD(&r->contexts[c->id % ROUTER_BUCKETS], c, link);
    pthread_mutex_unlock(&r->lock);
}

struct context *
router_add_child(
    struct router *r, struct stream *s, uint32_t id, const char *name, const char *route)
{
    struct context *c = context_create(r, s, id, name, route);

    c->via = id;
    router_enter(r, c);
    tree_announce(r, c);
    return c;
}

struct context *
router_add_guest(
    struct router *r, struct stream *s, uint32_t id, const char *name, const char *route)
{
    struct context *c = context_create(r, s, id, name, route);

    c->via = id;
    c->guest = true;
    router_enter(r, c);
    return c;
}

static int
by_id(const void *a, const void *b)
{
    const struct context *const *x = a, *const *y = b;

    return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

uint32_t
router_below(struct router *r, struct context ***list)
{
    uint32_t n = 0, room = 0;
    struct context *c;

    *list = NULL;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < ROUTER_BUCKETS; i++)
        LIST_FOREACH(c, &r->contexts[i], link) {
            if (!c->via || c->guest)
                continue;
            if (n == room) {
                room = room ? 2 * room : 16;
                *list = xrealloc(*list, room * sizeof(struct context *));
            }
            (*list)[n++] = context_ref(c);
        }
    pthread_mutex_unlock(&r->lock);
    if (n)
        qsort(*list, n, sizeof(struct context *), by_id);
    return n;
}

void
router_set_parent(struct router *r, struct stream *s, const struct router_place *place)
{
    r->self = place->self;
    free(r->name);
    r->name = xstrdup(place->name);
    free(r->route);
    r->route = xstrdup(place->route);
    r->parent = stream_ref(s);
    r->ancestors = xcalloc(place->count, sizeof *r->ancestors);
    memcpy(r->ancestors, place->ancestors, place->count * sizeof *r->ancestors);
    r->ancestor_count = place->count;
    for (size_t i = 0; i < place->count; i++) {
        bool root = r->ancestors[i] == CONTEXT_CONTROLLER;
        const char *what = root ? "controller" : i == 0 ? "parent" : "ancestor";
        struct context *c = context_create(r, s, r->ancestors[i], what, what);

        router_enter(r, c);
        context_unref(c);
    }
}

struct context *
router_context(struct router *r, uint32_t id)
{
    struct context *c;
    char name[32];

    pthread_mutex_lock(&r->lock);
    c = router_find(r, id);
    if (c)
        context_ref(c);
    pthread_mutex_unlock(&r->lock);
    if (c)
        return c;
    if (id == r->self)
        return context_create(r, NULL, id, r->name, r->name);
    if (!r->parent || tree_is_ours(r, id)) /* what is below is known */
        return NULL;
    snprintf(name, sizeof name, "context %u", id);
    return context_create(r, r->parent, id, name, name);
}

bool
router_is_next(const struct context *c)
{
    const struct router *r = c->router;

    return c->via ? c->via == c->id : r->ancestor_count > 0 && r->ancestors[0] == c->id;
}

/* ---- messages ---- */

bool
router_is_above(const struct router *r, uint32_t id)
{
    if (id == r->self)
        return true;
    for (size_t i = 0; i < r->ancestor_count; i++)
        if (r->ancestors[i] == id)
            return true;
    return false;
}

/* An answer from anywhere else is none to who asked. */
void
router_answer_for(struct router *r, const struct frame_header *to, const struct err *why)
{
    struct context *c;
    struct msg *m;

    if (!to->reply || to->src == CONTEXT_NONE || !(c = router_context(r, to->src)))
        return;
    m = msg_dead(to, why, r->name);
    m->h.auth = r->self;
    m->owed = true;
    if (!c->stream)
        send_local(r, m);
    else if (stream_send(c->stream, m, NULL) < 0)
        log_debug("route", "the answer to context %u is lost with it", to->src);
    context_unref(c);
}

void
router_refuse(struct router *r, struct msg *m, const struct err *why)
{
    count(messages_dropped);
    /* Of a message in pieces the last is answered for. */
    if (!(m->h.flags & FRAME_MORE))
        router_answer_for(r, &m->h, why);
    msg_unref(m);
}

/* A copy, without ops where there is none. Loop role: only that removes handles. */
static struct handle
lookup(struct router *r, uint32_t number)
{
    struct handle found = {0};
    struct handle *h;

    pthread_mutex_lock(&r->lock);
    LIST_FOREACH(h, &r->handles[number % ROUTER_BUCKETS], link)
        if (h->number == number) {
            found = *h;
            break;
        }
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* Who sent it hears of it, or may go on sending. */
static void
refuse_here(struct router *r, struct msg *m, const struct err *why)
{
    if (flow_counts(&m->h) && why->code == ERR_NO_HANDLE && m->h.handle >= HANDLE_DYNAMIC)
        credit_refuse(r, m->h.src, m->h.handle, ERR_CLOSED);
    else if (flow_counts(&m->h))
        credit_give(r, m->h.src, m->h.handle, flow_cost(m->h.length));
    router_refuse(r, m, why);
}

/* A message for this process. Loop role; takes m. */
void
router_deliver(struct router *r, struct msg *m)
{
    struct handle found;
    struct err why;

    m->h.flags &= (uint8_t)~FRAME_TRANSIT;
    if (m->h.handle == HANDLE_CREDIT) {
        credit_arrived(r, m);
        return;
    }
    if (m->h.handle == HANDLE_CLOSED) {
        credit_refusal_arrived(r, m);
        return;
    }
    found = lookup(r, m->h.handle);
    if (!found.ops) {
        log_debug("route", "nobody listens on %s (from context %u)", frame_handle_name(m->h.handle),
            m->h.src);
        err_set(&why, ERR_NO_HANDLE, "nobody listens on handle %s in %s",
            frame_handle_name(m->h.handle), r->name);
        refuse_here(r, m, &why);
        return;
    }
    if (!(found.policy & HANDLE_FROM_ANYONE) && !router_is_above(r, m->h.auth)) {
        router_warn(r, m->h.src, "sent %s, with the authority of context %u: refused",
            frame_handle_name(m->h.handle), m->h.auth);
        err_set(&why, ERR_DENIED, "%s takes %s only from its parents", r->name,
            frame_handle_name(m->h.handle));
        refuse_here(r, m, &why);
        return;
    }
    if ((found.policy & HANDLE_WINDOW) && flow_counts(&m->h) && !credit_admits(r, m))
        msg_unref(m);
    else
        found.ops->message(r, m, found.arg);
}

static void
on_local(struct loop_work *w)
{
    struct router *r = owner_of(w, struct router, deliver_local);
    struct msg_queue batch;
    struct msg *m;

    /* Those that are there: their receivers may send more, which must not keep the loop here. */
    TAILQ_INIT(&batch);
    pthread_mutex_lock(&r->lock);
    r->local_pending = false;
    TAILQ_CONCAT(&batch, &r->local, link);
    pthread_mutex_unlock(&r->lock);
    while ((m = TAILQ_FIRST(&batch))) {
        TAILQ_REMOVE(&batch, m, link);
        router_deliver(r, m);
    }
}

/* Takes m. */
static void
send_local(struct router *r, struct msg *m)
{
    bool tell;

    pthread_mutex_lock(&r->lock);
    TAILQ_INSERT_TAIL(&r->local, m, link);
    tell = !r->local_pending;
    r->local_pending = true;
    pthread_mutex_unlock(&r->lock);
    if (tell)
        loop_defer(r->loop, &r->deliver_local);
}

int
router_send(struct context *c, struct msg *m, struct err *err)
{
    struct router *r = c->router;

    m->h.dst = c->id;
    m->h.src = m->h.auth = r->self;
    if (!c->stream) {
        send_local(r, m);
        return 0;
    }
    /* The stream of a direct child knows by itself. */
    if (c->via != c->id && atomic_load_explicit(&c->dead, memory_order_acquire)) {
        msg_unref(m);
        return err_set(
            err, c->why ? c->why->code : ERR_DEAD, "%s", c->why ? c->why->msg : "it is lost");
    }
    return stream_send(c->stream, m, err);
}

int
router_send_for(
    struct router *r, const struct context *src, uint32_t dst, struct msg *m, struct err *err)
{
    m->h.dst = dst;
    m->h.src = src->id;
    m->h.auth = src->via;
    return stream_send(r->parent, m, err);
}

void
router_reply(struct router *r, const struct frame_header *to, struct msg *m)
{
    struct context *c;

    if (!to->reply || to->src == CONTEXT_NONE || !(c = router_context(r, to->src))) {
        msg_unref(m);
        return;
    }
    m->h.handle = to->reply;
    m->h.seq = to->seq;
    m->owed = true;
    if (router_send(c, m, NULL) < 0)
        log_debug("route", "the answer to context %u is lost with it", to->src);
    context_unref(c);
}

void
router_reply_error(struct router *r, const struct frame_header *to, const struct err *err)
{
    if (to->reply)
        router_reply(r, to, msg_dead(to, err, r->name));
}

/* ---- handles ---- */

uint32_t
router_listen(struct router *r, uint32_t number, enum handle_policy policy,
    const struct handle_ops *ops, void *arg)
{
    struct handle *h = xcalloc(1, sizeof *h), *other;
    bool taken;

    *h = (struct handle){.number = number, .policy = policy, .ops = ops, .arg = arg};
    pthread_mutex_lock(&r->lock);
    do {
        if (!number) {
            random_bytes(&h->number, sizeof h->number);
            h->number = (h->number | HANDLE_DYNAMIC) & 0x7fffffff;
        }
        taken = false;
        LIST_FOREACH(other, &r->handles[h->number % ROUTER_BUCKETS], link)
            taken = taken || other->number == h->number;
    } while (taken && !number);
    number = h->number;
    if (!taken)
        LIST_INSERT_HEAD(&r->handles[number % ROUTER_BUCKETS], h, link);
    pthread_mutex_unlock(&r->lock);
    if (!taken)
        return number;
    free(h);
    return 0;
}

/* Lock held. */
static struct handle *
find_handle(struct router *r, uint32_t number)
{
    struct handle *h;

    LIST_FOREACH(h, &r->handles[number % ROUTER_BUCKETS], link)
        if (h->number == number)
            return h;
    return NULL;
}

void
router_retarget(struct router *r, uint32_t number, const struct handle_ops *ops, void *arg)
{
    struct handle *h;

    pthread_mutex_lock(&r->lock);
    h = find_handle(r, number);
    if (h) {
        h->ops = ops;
        h->arg = arg;
    }
    pthread_mutex_unlock(&r->lock);
}

struct unlisten {
    struct router *r;
    uint32_t number;
};

static void
unlisten(void *arg)
{
    struct unlisten *u = arg;
    struct handle *h;

    pthread_mutex_lock(&u->r->lock);
    h = find_handle(u->r, u->number);
    if (h)
        LIST_REMOVE(h, link);
    pthread_mutex_unlock(&u->r->lock);
    free(h);
}

void
router_unlisten(struct router *r, uint32_t number)
{
    struct unlisten u = {r, number};

    loop_sync(r->loop, unlisten, &u);
    credit_close(r, number);
}

void
router_announce(struct router *r, struct context *c, const struct err *why)
{
    uint32_t *numbers = NULL;
    struct handle *h;
    size_t count = 0;

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < ROUTER_BUCKETS; i++)
        LIST_FOREACH(h, &r->handles[i], link)
            if (h->ops->dead) {
                numbers = xrealloc(numbers, (count + 1) * sizeof *numbers);
                numbers[count++] = h->number;
            }
    pthread_mutex_unlock(&r->lock);
    /* Each is looked up again: the one before may have removed it. */
    for (size_t i = 0; i < count; i++) {
        struct handle found = lookup(r, numbers[i]);

        if (found.ops && found.ops->dead)
            found.ops->dead(r, c, why, found.arg);
    }
    free(numbers);
}

/* ---- mailboxes ---- */

static void
post_message(struct router *r, struct msg *m, void *arg)
{
    router_post(r, arg, m);
}

static void
post_dead(struct router *r, struct context *c, const struct err *why, void *arg)
{
    struct frame_header to = {.src = r->self, .dst = c->id, .reply = HANDLE_DEAD};

    mailbox_post(arg, msg_dead(&to, why, c->name));
}

uint32_t
router_listen_mailbox(
    struct router *r, uint32_t handle, enum handle_policy policy, struct mailbox *mb)
{
    static const struct handle_ops ops = {.message = post_message, .dead = post_dead};

    return router_listen(r, handle, policy, &ops, mb);
}
