#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "redact.h"

/* What is owed to one child for lines that were shown. */
struct debt {
    LIST_ENTRY(debt) link;
    uint32_t id;
    uint32_t bytes;
};

LIST_HEAD(debt_list, debt);

/* [I] immutable, [L] loop role only, [t] lock */
struct texts {
    struct router *router;  /* [I] */
    bool controller;        /* [I] */
    struct debt_list debts; /* [L] */

    pthread_mutex_t lock;
    struct mailbox *watcher; /* [t] a reference, or NULL */
};

/* A line of a message, as it may be shown. */
struct line {
    uint8_t stream;
    const char *text;
    size_t n;
    char *owned; /* the text, where secrets were taken out of it; the caller frees it */
};

static bool
next_line(struct unpack *u, struct line *line)
{
    if (u->bad || unpack_left(u) == 0)
        return false;
    line->stream = unpack_u8(u);
    line->text = unpack_bytes(u, &line->n);
    if (u->bad)
        return false;
    line->owned = redact_text(line->text, line->n, &line->n);
    if (line->owned)
        line->text = line->owned;
    return true;
}

/* ---- showing ---- */

/* To `out`, for stderr, unless somebody else shows it. */
static void
say(struct buf *out, const char *name, const struct line *line)
{
    size_t before = buf_len(out), n;

    buf_printf(out, "[%s] %.*s\n", name, (int)line->n, line->text);
    n = buf_len(out) - before;
    if (log_offer(LOG_NONE, (const char *)buf_head(out) + before, n - 1))
        out->end -= n;
}

static void
show(const char *name, struct msg *m)
{
    struct buf out = {0};
    struct unpack u;
    struct line line;

    unpack_init(&u, msg_payload(m), m->h.length);
    while (next_line(&u, &line)) {
        if (line.stream >= TEXT_LOG)
            log_pass(line.stream - TEXT_LOG, name, line.text, line.n);
        else
            say(&out, name, &line);
        free(line.owned);
    }
    if (buf_len(&out) > 0)
        (void)fwrite(buf_head(&out), 1, buf_len(&out), stderr);
    buf_fini(&out);
}

/* Each line's text, in place: nobody else has the message. */
static void
clean(struct msg *m)
{
    struct unpack u;

    unpack_init(&u, msg_payload(m), m->h.length);
    while (!u.bad && unpack_left(&u) > 0) {
        size_t n;
        const uint8_t *line;

        (void)unpack_u8(&u);
        line = unpack_bytes(&u, &n);
        if (!u.bad)
            log_harmless(msg_payload(m) + (line - msg_payload(m)), n);
    }
}

/* Credit in large pieces: one for each line would be as much traffic as the lines. */
static void
shown(struct texts *t, uint32_t id, uint32_t cost)
{
    struct debt *d;

    LIST_FOREACH(d, &t->debts, link)
        if (d->id == id)
            break;
    if (!d) {
        d = xcalloc(1, sizeof *d);
        d->id = id;
        LIST_INSERT_HEAD(&t->debts, d, link);
    }
    d->bytes += cost;
    if (d->bytes < FLOW_CREDIT)
        return;
    router_credit(t->router, id, HANDLE_TEXT, d->bytes);
    LIST_REMOVE(d, link); /* most say little: who has none costs nothing */
    free(d);
}

static void
append_redacted(struct buf *b, struct msg *m)
{
    struct unpack u;
    struct line line;

    unpack_init(&u, msg_payload(m), m->h.length);
    while (next_line(&u, &line)) {
        pack_u8(b, line.stream);
        pack_bytes(b, line.text, line.n);
        free(line.owned);
    }
}

static struct msg *
for_watcher(const char *name, struct msg *m)
{
    struct buf b = {0};
    struct msg *copy;

    pack_str(&b, name);
    append_redacted(&b, m);
    copy = pack_msg(HANDLE_TEXT, &b);
    copy->h.src = m->h.src;
    copy->h.flags = m->h.flags;
    copy->h.seq = m->h.length;
    buf_fini(&b);
    return copy;
}

static struct mailbox *
watcher(struct texts *t)
{
    struct mailbox *mb;

    pthread_mutex_lock(&t->lock);
    mb = t->watcher ? mailbox_ref(t->watcher) : NULL;
    pthread_mutex_unlock(&t->lock);
    return mb;
}

/* Raw lines that wait are counted as if they were a flow to this handle. */
#define RAW HANDLE_NONE

static bool
raw_fits(struct texts *t, const struct msg *m)
{
    return flows_waiting(router_flows(t->router), m->h.src, RAW) < TEXT_QUEUE &&
        flows_receive(router_flows(t->router), m->h.src, RAW, m->h.length);
}

/* Takes m. False: dropped. */
static bool
put(struct texts *t, const char *name, struct msg *m)
{
    struct mailbox *mb = watcher(t);
    bool raw = m->h.flags & FRAME_ERROR, fits = true;

    clean(m);
    if (!mb) {
        show(name, m);
        if (!raw)
            shown(t, m->h.src, flow_cost(m->h.length));
    } else {
        fits = !raw || raw_fits(t, m);
        if (fits)
            mailbox_post(mb, for_watcher(name, m)); /* who takes it pays */
    }
    msg_unref(m);
    mailbox_unref(mb);
    return fits;
}

void
texts_raw_taken(struct texts *t, uint32_t child, uint32_t bytes)
{
    (void)flows_take(router_flows(t->router), child, RAW, bytes);
}

/* ---- arriving ---- */

static void
on_message(struct router *r, struct msg *m, void *arg)
{
    struct context *c;

    if (m->h.flags) { /* nothing that this side sends, and not counted by windows */
        router_refused(r, m->h.src, "sent text that is none: dropped");
        msg_unref(m);
        return;
    }
    c = router_context(r, m->h.src);
    (void)put(arg, c ? c->name : "a lost context", m);
    context_unref(c);
}

static void
on_dead(struct router *r, struct context *c, const struct err *why, void *arg)
{
    struct texts *t = arg;
    struct debt *d;

    LIST_FOREACH(d, &t->debts, link)
        if (d->id == c->id)
            break;
    if (!d)
        return;
    LIST_REMOVE(d, link);
    free(d);
}

bool
texts_raw(struct texts *t, struct context *child, const char *line, size_t n)
{
    struct buf b = {0};
    struct msg *m;

    if (!t->controller && router_backlog(t->router) > TEXT_QUEUE)
        return false;
    pack_u8(&b, TEXT_STDERR);
    pack_bytes(&b, line, n);
    m = pack_msg(HANDLE_TEXT, &b);
    buf_fini(&b);
    m->h.src = m->h.auth = child->id;
    if (t->controller) {
        m->h.flags = FRAME_ERROR;
        return put(t, child->name, m);
    }
    m->lazy = true;
    return router_send_for(t->router, child, CONTEXT_CONTROLLER, m, NULL) == 0;
}

void
texts_watch(struct texts *t, struct mailbox *mb)
{
    struct mailbox *before;

    pthread_mutex_lock(&t->lock);
    before = t->watcher;
    t->watcher = mb ? mailbox_ref(mb) : NULL;
    pthread_mutex_unlock(&t->lock);
    mailbox_unref(before);
}

static void
forget(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes)
{
}

void
texts_unwatch(struct texts *t, struct mailbox *mb)
{
    struct mailbox *before = NULL;

    pthread_mutex_lock(&t->lock);
    if (t->watcher == mb) {
        before = mb;
        t->watcher = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    if (!before)
        return;
    mailbox_unref(before);
    /* What is in there nobody will take. */
    router_credit_all(t->router, HANDLE_TEXT);
    flows_close(router_flows(t->router), RAW, forget, NULL);
}

struct texts *
texts_create(struct router *r, bool controller)
{
    static const struct handle_ops ops = {.message = on_message, .dead = on_dead};
    struct texts *t = xcalloc(1, sizeof *t);

    t->router = r;
    t->controller = controller;
    pthread_mutex_init(&t->lock, NULL);
    LIST_INIT(&t->debts);
    if (controller)
        must(router_listen(
            r, HANDLE_TEXT, (enum handle_policy)(HANDLE_FROM_ANYONE | HANDLE_WINDOW), &ops, t));
    return t;
}

void
texts_destroy(struct texts *t)
{
    struct debt *d;

    if (t->controller)
        router_unlisten(t->router, HANDLE_TEXT);
    while ((d = LIST_FIRST(&t->debts))) {
        LIST_REMOVE(d, link);
        free(d);
    }
    mailbox_unref(t->watcher);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
