/*
 * What routers tell each other, from parent to child and back, never further: each looks at it, keeps what it
 * needs, and says the same to the next.
 *
 *   IDS    up    u32 count                                    give me so many ids
 *          down  u32 first, u32 count, str why                these; none, and why
 *   ROUTE  up    u32 id, str name, str route                  a context is behind me
 *   GONE   up    u32 id, u8 -code, str text, str name         and is no more
 *   ALLOW  down  u32 id, u32 id                               two behind you may talk
 *
 * Trust: what comes from above is believed. A child can announce contexts whose ids it was given, by a
 * route that begins with its own, and withdraw what it has announced; all else is dropped, counted and
 * logged with the stream that it came in on.
 *
 * Order: ROUTE is urgent, so that it comes ahead of what its context sends. GONE is bulk, so that it comes
 * behind all of that: what was said is heard, as it is where a stream ends.
 */
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "router_internal.h"

/* A block has room for a usual number of children, and is as large as all before for who asks again, so that there are
 * few of them. */
#define BLOCK_MIN 64u
#define BLOCK_MAX 65536u
/* What a child may ask for at once, and have in all: it must not use up everybody's. */
#define REQUEST_MAX (1u << 20)
#define GIVEN_MAX (1u << 24) /* by the controller; half as many at each level further down */
/* Contexts that may be behind one child at a time. */
#define BEHIND_MAX 65536u
/* And what their names and routes may take in all. */
#define BEHIND_TEXT_MAX ((size_t)64 << 20)

/* A child's, that cannot be granted yet. */
struct request {
    struct id_wait wait;
    struct router *router;
    struct stream *from; /* a reference */
};

/* ---- sending ---- */

/* Never refused for want of room: what is lost here is wrong for good. */
static void
tell(struct router *r, struct stream *s, uint32_t handle, uint8_t flags, struct buf *b)
{
    struct msg *m = pack_msg(handle, b);

    m->h.src = m->h.auth = r->self;
    m->h.flags = flags;
    m->owed = true;
    if (stream_send(s, m, NULL) < 0)
        log_debug(
            "route", "%s: no %s on a closed stream", stream_name(s), frame_handle_name(handle));
    buf_fini(b);
}

static void
ask_parent(struct router *r, uint32_t count)
{
    struct buf b = {0};

    r->ids_asked = true;
    pack_u32(&b, count);
    tell(r, r->parent, HANDLE_IDS, 0, &b);
}

void
tree_announce(struct router *r, const struct context *c)
{
    struct buf b = {0};

    if (!r->parent)
        return;
    pack_u32(&b, c->id);
    pack_str(&b, c->name);
    pack_str(&b, c->route);
    tell(r, r->parent, HANDLE_ROUTE, 0, &b);
}

void
tree_withdraw(struct router *r, const struct context *c, const struct err *why)
{
    struct buf b = {0};

    if (!r->parent)
        return;
    pack_u32(&b, c->id);
    pack_u8(&b, (uint8_t)-why->code);
    pack_str(&b, why->msg);
    pack_str(&b, c->name);
    tell(r, r->parent, HANDLE_GONE, FRAME_BULK, &b);
}

/* ---- ids: our own ---- */

/* 0: there are not so many in a row. */
static uint32_t
take_own(struct router *r, uint32_t count)
{
    struct id_block *b;
    uint32_t first = 0;

    pthread_mutex_lock(&r->lock);
    LIST_FOREACH(b, &r->own, link)
        if (b->count - b->used >= count) {
            first = b->first + b->used;
            b->used += count;
            break;
        }
    pthread_mutex_unlock(&r->lock);
    return first;
}

/* In the controller all ids are there from the start. */
static uint32_t
take_any(struct router *r, uint32_t count)
{
    uint32_t first = r->next_id;

    if (r->next_id > UINT32_MAX - count)
        return 0;
    r->next_id += count;
    return first;
}

static void
end_wait(struct router *r, struct id_wait *w, uint32_t first, const struct err *why)
{
    TAILQ_REMOVE(&r->id_waits, w, link);
    w->waiting = false;
    w->fn(w, first, why);
}

static void
serve_waits(struct router *r)
{
    struct id_wait *w;
    uint32_t first;

    while ((w = TAILQ_FIRST(&r->id_waits)) && (first = take_own(r, w->count)))
        end_wait(r, w, first, NULL);
    /* More than it wants: the next child will want one, too. */
    if (w && !r->ids_asked)
        ask_parent(r, w->count + BLOCK_MIN);
}

void
router_want_ids(struct router *r, struct id_wait *w)
{
    struct err why;
    uint32_t first;

    if (!r->parent) {
        first = take_any(r, w->count);
        if (!first)
            err_set(&why, ERR_LIMIT, "all ids that contexts can have are used up");
        w->fn(w, first, &why);
        return;
    }
    w->waiting = true;
    TAILQ_INSERT_TAIL(&r->id_waits, w, link);
    serve_waits(r);
}

void
router_unwant_ids(struct router *r, struct id_wait *w)
{
    if (!w->waiting)
        return;
    TAILQ_REMOVE(&r->id_waits, w, link);
    w->waiting = false;
}

static void
fail_waits(struct router *r, const struct err *why)
{
    struct id_wait *w;

    while ((w = TAILQ_FIRST(&r->id_waits)))
        end_wait(r, w, 0, why);
}

bool
tree_is_ours(struct router *r, uint32_t id)
{
    struct id_block *b;

    pthread_mutex_lock(&r->lock);
    LIST_FOREACH(b, &r->own, link)
        if (id - b->first < b->count)
            break;
    pthread_mutex_unlock(&r->lock);
    return b != NULL;
}

/* The parent's answer. */
static void
on_grant(struct router *r, struct unpack *u)
{
    struct id_block *b = xcalloc(1, sizeof *b);
    struct err why;
    char *text;

    b->first = unpack_u32(u);
    b->count = unpack_u32(u);
    text = unpack_str(u);
    r->ids_asked = false;
    if (unpack_done(u, "IDS", &why) == 0 && b->count > 0) {
        pthread_mutex_lock(&r->lock);
        LIST_INSERT_HEAD(&r->own, b, link);
        pthread_mutex_unlock(&r->lock);
        serve_waits(r);
    } else {
        free(b);
        err_set(&why, ERR_LIMIT, "%s", text);
        fail_waits(r, &why);
    }
    free(text);
}

/* ---- ids: those of children ---- */

static uint32_t
given_to(struct router *r, const struct stream *s)
{
    struct id_block *b;
    uint32_t count = 0;

    LIST_FOREACH(b, &r->given, link)
        if (b->to == s)
            count += b->count;
    return count;
}

static bool
was_given(struct router *r, const struct stream *s, uint32_t id)
{
    struct id_block *b;

    LIST_FOREACH(b, &r->given, link)
        if (b->to == s && id - b->first < b->count)
            return true;
    return false;
}

/* Answers a request, or refuses it. */
static void
grant(struct router *r, struct stream *s, uint32_t first, uint32_t count, const struct err *why)
{
    struct buf b = {0};
    struct id_block *block;

    if (first) {
        block = xcalloc(1, sizeof *block);
        *block = (struct id_block){.first = first, .count = count, .to = stream_ref(s)};
        LIST_INSERT_HEAD(&r->given, block, link);
    }
    pack_u32(&b, first);
    pack_u32(&b, first ? count : 0);
    pack_str(&b, first ? "" : why->msg);
    tell(r, s, HANDLE_IDS, 0, &b);
}

static void
request_free(struct request *q)
{
    stream_unref(q->from);
    free(q);
}

static void
on_granted(struct id_wait *w, uint32_t first, const struct err *why)
{
    struct request *q = owner_of(w, struct request, wait);

    grant(q->router, q->from, first, w->count, why);
    request_free(q);
}

static struct request *
find_request(struct router *r, const struct stream *s)
{
    struct id_wait *w;

    TAILQ_FOREACH(w, &r->id_waits, link)
        if (w->fn == on_granted && owner_of(w, struct request, wait)->from == s)
            return owner_of(w, struct request, wait);
    return NULL;
}

static void
on_request(struct router *r, struct stream *s, uint32_t count)
{
    uint32_t given = given_to(r, s), size = given, most = GIVEN_MAX >> r->ancestor_count;
    struct request *q;
    struct err why;

    if (count == 0 || count > REQUEST_MAX || count > most || given > most - count ||
        find_request(r, s)) {
        err_set(&why, ERR_LIMIT, "%s has got %u ids for contexts, and gets no more", stream_name(s),
            given);
        if (stream_warns(s))
            log_warn("route", "%s", why.msg);
        grant(r, s, 0, 0, &why);
        return;
    }
    size = size < BLOCK_MIN ? BLOCK_MIN : size > BLOCK_MAX ? BLOCK_MAX : size;
    q = xcalloc(1, sizeof *q);
    *q = (struct request){.router = r, .from = stream_ref(s)};
    q->wait.count = count > size ? count : size;
    q->wait.fn = on_granted;
    router_want_ids(r, &q->wait);
}

/* ---- routes ---- */

static void
malformed(struct stream *s, const struct err *what)
{
    struct err why = *what;

    log_warn("route", "%s: closed for malformed input: %s", stream_name(s), why.msg);
    count(messages_dropped);
    err_prefix(&why, "malformed input from the far side");
    stream_close(s, &why, 0);
}

static void
forged(struct router *r, struct stream *s, const char *what, uint32_t id)
{
    count(messages_dropped);
    if (stream_warns(s))
        log_warn("route", "%s %s context %u, which it may not: dropped", stream_name(s), what, id);
}

/* What others say may go to a terminal. Returns text. */
static char *
clean(char *text)
{
    log_harmless((uint8_t *)text, strlen(text));
    return text;
}

/* The direct child at the other end of a stream. Borrowed, on the loop role. */
static struct context *
child_at(struct router *r, const struct stream *s, uint32_t id)
{
    struct context *c;

    pthread_mutex_lock(&r->lock);
    c = router_find(r, id);
    if (c && (c->stream != s || c->via != id))
        c = NULL;
    pthread_mutex_unlock(&r->lock);
    return c;
}

static bool
is_known(struct router *r, uint32_t id)
{
    bool known;

    pthread_mutex_lock(&r->lock);
    known = router_find(r, id) != NULL;
    pthread_mutex_unlock(&r->lock);
    return known;
}

/* A helper of that context's, such as a relay, is no step on the way: then they are the same. */
static bool
is_beyond(const char *route, const char *of)
{
    size_t n = strlen(of);

    return strncmp(route, of, n) == 0 && (route[n] == '/' || !route[n]);
}

static void
add_behind(
    struct router *r, struct context *child, uint32_t id, const char *name, const char *route)
{
    struct context *c;
    struct err why;

    size_t text = strlen(name) + strlen(route);

    if (child->behind == BEHIND_MAX || child->behind_text + text > BEHIND_TEXT_MAX) {
        err_set(&why, ERR_LIMIT, "more than %u contexts behind %s, or too long names", BEHIND_MAX,
            child->name);
        log_warn("route", "cut off: %s", why.msg);
        stream_close(child->stream, &why, 0);
        return;
    }
    c = context_create(r, child->stream, id, name, route);
    c->via = child->id;
    child->behind++;
    child->behind_text += text;
    router_enter(r, c);
    tree_announce(r, c);
    log_debug("route", "context %u is %s, behind %s", id, route, child->name);
    context_unref(c);
}

static void
on_route(struct router *r, struct context *child, struct unpack *u)
{
    uint32_t id = unpack_u32(u);
    char *name = clean(unpack_str(u)), *route = clean(unpack_str(u));
    struct err err;

    if (unpack_done(u, "ROUTE", &err) < 0)
        malformed(child->stream, &err);
    else if (!was_given(r, child->stream, id) || is_known(r, id) ||
        !is_beyond(route, child->route) || strlen(name) >= CONTEXT_TEXT_MAX ||
        strlen(route) >= CONTEXT_TEXT_MAX)
        forged(r, child->stream, "announces", id);
    else
        add_behind(r, child, id, name, route);
    free(name);
    free(route);
}

static void
on_gone(struct router *r, struct context *child, struct unpack *u)
{
    uint32_t id = unpack_u32(u);
    struct err why = {.code = -unpack_u8(u)};
    char *text = clean(unpack_str(u)), *name = unpack_str(u);
    struct context *c;

    if (unpack_done(u, "GONE", &why) < 0) {
        malformed(child->stream, &why);
    } else {
        pthread_mutex_lock(&r->lock);
        c = router_find(r, id);
        pthread_mutex_unlock(&r->lock);
        if (c && c != child && c->via == child->id) {
            err_set(&why, why.code, "%s", text);
            child->behind--;
            child->behind_text -= strlen(c->name) + strlen(c->route);
            router_lose(r, c, &why);
        } else {
            forged(r, child->stream, "withdraws", id);
        }
    }
    free(text);
    free(name);
}

/* ---- from above ---- */

static void
on_allow(struct router *r, struct unpack *u)
{
    uint32_t id[2];
    struct err why;

    id[0] = unpack_u32(u);
    id[1] = unpack_u32(u);
    if (unpack_done(u, "ALLOW", &why) == 0 && router_allow(r, id[0], id[1], &why) < 0)
        for (int i = 0; i < 2; i++) /* the one that is left waits for nothing */
            if (!is_known(r, id[i]))
                router_tell_dead(r, id[!i], id[i], "", &why);
}

static void
from_above(struct router *r, struct msg *m, struct unpack *u)
{
    if (m->h.handle == HANDLE_IDS)
        on_grant(r, u);
    else if (m->h.handle == HANDLE_ALLOW)
        on_allow(r, u);
    else
        log_warn(
            "route", "the parent sent %s, which is for parents", frame_handle_name(m->h.handle));
}

static void
from_below(struct router *r, struct stream *s, struct msg *m, struct unpack *u)
{
    struct context *child = child_at(r, s, m->h.src);
    struct err err;
    uint32_t count;

    if (!child || m->h.handle == HANDLE_ALLOW) {
        count(messages_dropped);
        if (stream_warns(s))
            log_warn("route", "%s sent %s as context %u, which may not: dropped", stream_name(s),
                frame_handle_name(m->h.handle), m->h.src);
    } else if (m->h.handle == HANDLE_ROUTE) {
        on_route(r, child, u);
    } else if (m->h.handle == HANDLE_GONE) {
        on_gone(r, child, u);
    } else {
        count = unpack_u32(u);
        if (unpack_done(u, "IDS", &err) < 0)
            malformed(s, &err);
        else
            on_request(r, s, count);
    }
}

void
tree_frame(struct router *r, struct stream *s, struct msg *m)
{
    struct unpack u;

    unpack_init(&u, msg_payload(m), m->h.length);
    if (s == r->parent)
        from_above(r, m, &u);
    else
        from_below(r, s, m, &u);
    msg_unref(m);
}

/* ---- the end ---- */

static void
drop_blocks(struct id_block_list *list, const struct stream *s)
{
    struct id_block *b, *next;

    for (b = LIST_FIRST(list); b; b = next) {
        next = LIST_NEXT(b, link);
        if (s && b->to != s)
            continue;
        LIST_REMOVE(b, link);
        stream_unref(b->to);
        free(b);
    }
}

void
tree_lost(struct router *r, struct stream *s, const struct err *why)
{
    struct request *q = find_request(r, s);

    if (q) {
        router_unwant_ids(r, &q->wait);
        request_free(q);
    }
    drop_blocks(&r->given, s);
    if (s == r->parent)
        fail_waits(r, why);
}

void
tree_fini(struct router *r)
{
    drop_blocks(&r->given, NULL);
    drop_blocks(&r->own, NULL);
}
