#include "file_internal.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "log.h"

/* ---- what this process asks for ---- */

static void
start_put(struct transfer *t)
{
    struct err err;
    if (source_open(t, &err) < 0)
        transfer_end(t, &err, false, 0); /* the other side knows nothing of it yet */
    else
        source_offer(t, t->remote);
}

static void
start_get(struct transfer *t)
{
    struct buf *b = &t->service->scratch;
    pack_u8(b, 'G');
    pack_str(b, t->remote);
    t->state = SINK_ASKED;
    transfer_say(t);
}

static void
cancel(struct file_service *s, const struct file_job *job)
{
    struct transfer *t;
    struct err err;
    LIST_FOREACH(t, &s->table[job->seq % FILE_BUCKETS], link)
        if (t->seq == job->seq && t->asker)
            break;
    if (!t)
        return;
    err_set(&err, ERR_CANCELLED, "cancelled");
    msg_queue_clear(&t->queue);
    transfer_end(t, &err, false, 0);
    pack_u8(&s->scratch, 'K');
    transfer_say(t);
}

void
file_start(struct file_service *s, struct file_job *job)
{
    if (job->kind == 'K') {
        cancel(s, job);
        return;
    }
    struct transfer *t = transfer_create(s, job->peer, job->seq);
    t->asker = true;
    t->source = job->kind == 'p';
    t->to = HANDLE_FILE;
    t->path = job->local;
    t->remote = job->remote;
    t->mode = job->mode;
    t->owner = job->owner;
    t->group = job->group;
    t->mb = job->mb;
    t->progress = job->progress;
    job->progress = NULL;
    job->local = job->remote = job->owner = job->group = NULL;
    job->mb = NULL;
    struct err err;
    if (s->count > FILE_MAX) {
        err_set(&err, ERR_LIMIT, "%d transfers are under way, which is the limit", FILE_MAX);
        transfer_end(t, &err, false, 0);
    } else if (t->source) {
        start_put(t);
    } else {
        start_get(t);
    }
}

/* ---- requests of others ---- */

static int
admit(struct file_service *s, const struct frame_header *h, struct err *err)
{
    uint32_t self = router_self(s->router);
    if (!s->may_serve && !(h->src == self && h->auth == self))
        return err_set(err, ERR_DENIED, "files are not served here");
    if (s->count >= FILE_MAX)
        return err_set(err, ERR_LIMIT, "%d transfers are under way, which is the limit", FILE_MAX);
    return 0;
}

/* A transfer that a request starts; NULL: it was refused. Takes `path`. */
static struct transfer *
serve(
    struct file_service *s, const struct frame_header *h, char *path, bool source, struct unpack *u)
{
    struct err err;
    struct context *peer = router_context(s->router, h->src);
    int rc = admit(s, h, &err);
    if (rc == 0)
        rc = unpack_done(u, "file request", &err);
    if (rc < 0 || !peer || !h->reply) {
        if (rc < 0)
            transfer_refuse(s, h, &err);
        context_unref(peer);
        free(path);
        return NULL;
    }
    struct transfer *t = transfer_create(s, peer, h->seq);
    context_unref(peer);
    t->source = source;
    t->to = h->reply;
    t->path = path;
    return t;
}

static void
on_get(struct file_service *s, const struct frame_header *h, struct unpack *u)
{
    struct err err;
    char *path = unpack_str(u);
    struct transfer *t = serve(s, h, path, true, u);
    if (!t)
        return;
    if (source_open(t, &err) < 0)
        transfer_fail(t, &err);
    else
        source_offer(t, "");
}

struct offer {
    struct sink_offer o;
    char *path, *owner, *group;
};

static void
unpack_offer(struct offer *f, struct unpack *u)
{
    f->path = unpack_str(u);
    f->o.size = unpack_u64(u);
    f->o.mode = unpack_u32(u) & 07777;
    f->o.owner = f->owner = unpack_str(u);
    f->o.group = f->group = unpack_str(u);
    f->o.window = unpack_u32(u);
}

static void
on_put(struct file_service *s, const struct frame_header *h, struct unpack *u)
{
    struct offer f;
    unpack_offer(&f, u);
    struct transfer *t = serve(s, h, f.path, false, u);
    if (t)
        sink_offered(t, &f.o);
    free(f.owner);
    free(f.group);
}

/* ---- messages of a transfer ---- */

static void
broken(struct transfer *t, char kind, const char *what)
{
    struct err err;
    err_set(&err, ERR_PROTOCOL, "%s message '%c'", what, kind >= ' ' && kind <= '~' ? kind : '?');
    transfer_fail(t, &err);
}

/* An answer to our 'G'. Attributes are ours to wish; of the source's mode, no more than permissions. */
static void
on_offer(struct transfer *t, struct unpack *u)
{
    struct offer f;
    unpack_offer(&f, u);
    f.o.mode = t->mode >= 0 ? t->mode : f.o.mode & 0777;
    f.o.owner = t->owner;
    f.o.group = t->group;
    if (unpack_done(u, "offer", NULL) < 0)
        broken(t, 'O', "malformed");
    else
        sink_offered(t, &f.o);
    free(f.path);
    free(f.owner);
    free(f.group);
}

static void
on_ask(struct transfer *t, struct unpack *u)
{
    size_t n;
    uint32_t window = unpack_u32(u);
    const uint8_t *old = unpack_bytes(u, &n);
    if (unpack_done(u, "ask", NULL) < 0 || (n != 0 && n != FILE_DIGEST) || window < 2)
        broken(t, 'A', "malformed");
    else
        source_asked(t, window, n ? old : NULL);
}

static void
on_data(struct transfer *t, char kind, struct unpack *u)
{
    size_t n;
    const void *p = unpack_bytes(u, &n);
    if (unpack_done(u, "data", NULL) < 0)
        broken(t, kind, "malformed");
    else
        sink_data(t, p, n, kind == 'D');
}

static void
on_credit(struct transfer *t, struct unpack *u)
{
    uint32_t n = unpack_u32(u);
    if (unpack_done(u, "credit", NULL) < 0)
        broken(t, 'C', "malformed");
    else
        source_credit(t, n);
}

static void
on_end(struct transfer *t, struct unpack *u)
{
    size_t n;
    uint8_t unchanged = unpack_u8(u);
    const uint8_t *content = unpack_bytes(u, &n);
    if (unpack_done(u, "end", NULL) < 0 || n != CHECKSUM_SIZE || unchanged > 1)
        broken(t, 'Z', "malformed");
    else
        sink_end(t, unchanged, content);
}

static void
on_result(struct transfer *t, struct unpack *u)
{
    uint8_t changed = unpack_u8(u);
    uint64_t sent = unpack_u64(u);
    if (unpack_done(u, "result", NULL) < 0)
        broken(t, 'R', "malformed");
    else
        transfer_end(t, NULL, changed, sent);
}

static void
on_fail(struct transfer *t, struct unpack *u)
{
    struct err err;
    uint8_t code = unpack_u8(u);
    char *text = unpack_str(u);
    if (code == 0 || code > -ERR_NO_HANDLE)
        code = -ERR_FILE;
    err_set(&err, -(int)code, "%s", u->bad ? "failed, and could not say why" : text);
    free(text);
    transfer_end(t, &err, false, 0);
}

static void
on_cancel(struct transfer *t)
{
    struct err err;
    err_set(&err, ERR_CANCELLED, "cancelled by context %u", t->peer->id);
    transfer_end(t, &err, false, 0);
}

/* Which kinds a state takes. 'F', and 'K' where the other side asked, are taken always. */
static bool
expected(const struct transfer *t, char kind)
{
    switch (t->state) {
    case SOURCE_OFFERED: return kind == 'A';
    case SOURCE_COMPARE: return false;
    case SOURCE_SEND: return kind == 'C';
    case SOURCE_SENT: return kind == 'C' || kind == 'R';
    case SINK_ASKED: return kind == 'O';
    case SINK_COMPARE: return false;
    case SINK_RECEIVE: return kind == 'D' || kind == 'd' || kind == 'Z';
    case TRANSFER_ENDED: return false;
    }
    return false;
}

static void
dispatch(struct transfer *t, char kind, struct unpack *u)
{
    if (kind == 'F') {
        on_fail(t, u);
    } else if (kind == 'K' && !t->asker) {
        on_cancel(t);
    } else if (!expected(t, kind)) {
        broken(t, kind, "unexpected");
    } else {
        switch (kind) {
        case 'O': on_offer(t, u); break;
        case 'A': on_ask(t, u); break;
        case 'D':
        case 'd': on_data(t, kind, u); break;
        case 'C': on_credit(t, u); break;
        case 'Z': on_end(t, u); break;
        default: on_result(t, u); break;
        }
    }
}

/* ---- losses ---- */

static void
unpack_dead(struct err *err, struct unpack *u)
{
    uint8_t code = unpack_u8(u);
    char *text = unpack_str(u);
    err_set(err, code && !u->bad ? -(int)code : ERR_DEAD, "%s", u->bad ? "lost" : text);
    free(text);
}

/* A context is lost. */
static void
on_dead(struct file_service *s, struct msg *m)
{
    struct transfer *t, *next;
    struct unpack u;
    struct err err;
    unpack_init(&u, msg_payload(m), m->h.length);
    unpack_dead(&err, &u);
    for (size_t i = 0; i < FILE_BUCKETS; i++)
        for (t = LIST_FIRST(&s->table[i]); t; t = next) {
            next = LIST_NEXT(t, link);
            if (t->peer->id != m->h.src)
                continue;
            msg_queue_clear(&t->queue);
            transfer_end(t, &err, false, 0);
        }
}

/* A message of ours did not arrive. It comes back from whichever router noticed: the other side itself,
 * or one on the way there, in whose name anything from behind it comes too. */
static void
on_returned(struct file_service *s, struct msg *m, bool asker)
{
    struct transfer *t;
    struct unpack u;
    struct err err;
    LIST_FOREACH(t, &s->table[m->h.seq % FILE_BUCKETS], link)
        if (t->seq == m->h.seq && t->asker == asker &&
            (t->peer->id == m->h.src || t->peer->via == 0 || t->peer->via == m->h.auth))
            break;
    if (!t)
        return;
    unpack_init(&u, msg_payload(m), m->h.length);
    unpack_dead(&err, &u);
    transfer_fail(
        t, &err); /* the other side may be there all the same: a queue on the way was full */
}

void
file_message(struct file_service *s, struct msg *m)
{
    struct unpack u;
    bool asker = m->h.handle == s->reply;
    if (m->h.handle == HANDLE_DEAD) {
        on_dead(s, m);
        return;
    }
    if (m->h.flags & FRAME_DEAD) {
        on_returned(s, m, asker);
        return;
    }
    unpack_init(&u, msg_payload(m), m->h.length);
    char kind = (char)unpack_u8(&u);
    struct transfer *t = transfer_find(s, m->h.src, m->h.seq, asker);
    if (t)
        dispatch(t, kind, &u);
    else if (!asker && kind == 'G')
        on_get(s, &m->h, &u);
    else if (!asker && kind == 'O')
        on_put(s, &m->h, &u);
    /* Else it belongs to a transfer that has ended: data was under way. */
}
