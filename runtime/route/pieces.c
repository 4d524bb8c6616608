#include "pieces.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct unfinished {
    LIST_ENTRY(unfinished) link;
    const struct stream *from;
    struct msg *m;   /* as the first piece said, with the length of what is there */
    size_t capacity; /* of its payload */
};

void
pieces_init(struct pieces *p)
{
    LIST_INIT(&p->list);
}

static void
drop(struct unfinished *u)
{
    LIST_REMOVE(u, link);
    msg_unref(u->m);
    free(u);
}

void
pieces_fini(struct pieces *p)
{
    while (!LIST_EMPTY(&p->list))
        drop(LIST_FIRST(&p->list));
}

/* Does the message that h is a frame of go behind u's, and not beside it? */
static bool
same_sequence(const struct unfinished *u, const struct frame_header *h)
{
    return u->m->h.src == h->src && !((u->m->h.flags ^ h->flags) & FRAME_BULK);
}

static struct unfinished *
find(struct pieces *p, const struct frame_header *h)
{
    struct unfinished *u;

    LIST_FOREACH(u, &p->list, link)
        if (same_sequence(u, h))
            return u;
    return NULL;
}

static bool
same_message(const struct frame_header *a, const struct frame_header *b)
{
    const uint8_t pieces = FRAME_MORE | FRAME_CONT;

    return a->handle == b->handle && a->reply == b->reply && a->seq == b->seq &&
        a->auth == b->auth && (a->flags | pieces) == (b->flags | pieces);
}

/* Is there so much from this stream already that more would be too much? */
static bool
is_over(const struct pieces *p, const struct stream *from, uint32_t more)
{
    const struct unfinished *u;
    size_t bytes = more;

    LIST_FOREACH(u, &p->list, link)
        if (u->from == from)
            bytes += u->m->h.length;
    return bytes > PIECES_MAX;
}

static void
begin(struct pieces *p, const struct stream *from, struct msg *m)
{
    struct unfinished *u = xcalloc(1, sizeof *u);

    u->from = from;
    u->m = m;
    u->capacity = m->h.length;
    LIST_INSERT_HEAD(&p->list, u, link);
}

/* Takes m. */
static void
append(struct unfinished *u, struct msg *m)
{
    size_t length = (size_t)u->m->h.length + m->h.length;

    if (length > u->capacity) {
        u->capacity = length > 2 * u->capacity ? length : 2 * u->capacity;
        if (u->capacity > FRAME_MAX_PAYLOAD)
            u->capacity = FRAME_MAX_PAYLOAD;
        u->m = xrealloc(u->m, sizeof *u->m + FRAME_HEADER + u->capacity);
    }
    if (m->h.length > 0)
        memcpy(msg_payload(u->m) + u->m->h.length, msg_payload(m), m->h.length);
    u->m->h.length = (uint32_t)length;
    msg_unref(m);
}

static struct msg *
finish(struct unfinished *u)
{
    struct msg *m = u->m;

    LIST_REMOVE(u, link);
    free(u);
    return m;
}

static int
check(const struct unfinished *u, const struct frame_header *h, struct err *err)
{
    if (!u)
        return 0;
    if (!(h->flags & FRAME_CONT) || !same_message(&u->m->h, h))
        return err_set(err, ERR_PROTOCOL,
            "context %u: a message for %s in the middle of another for %s", h->src,
            frame_handle_name(h->handle), frame_handle_name(u->m->h.handle));
    if (h->length > FRAME_MAX_PAYLOAD - u->m->h.length)
        return err_set(err, ERR_LIMIT, "context %u: a message of more than %u bytes for %s", h->src,
            FRAME_MAX_PAYLOAD, frame_handle_name(h->handle));
    return 0;
}

int
pieces_add(struct pieces *p, const struct stream *from, struct msg **m, struct err *err)
{
    const struct frame_header h = (*m)->h;
    bool piece = h.flags & (FRAME_MORE | FRAME_CONT);
    struct unfinished *u;
    int rc;

    if (!piece && LIST_EMPTY(&p->list))
        return PIECES_WHOLE;
    if (frame_is_urgent(&h) || (h.flags & FRAME_DEAD)) {
        if (piece)
            return err_set(err, ERR_PROTOCOL,
                "context %u: a piece of a message for %s, which has none", h.src,
                frame_handle_name(h.handle));
        return PIECES_WHOLE;
    }
    u = find(p, &h);
    if ((rc = check(u, &h, err)) < 0) {
        drop(u);
        return rc;
    }
    if (!piece)
        return PIECES_WHOLE;
    if (!u && (h.flags & FRAME_CONT))
        return PIECES_STRAY;
    if (is_over(p, from, h.length)) {
        if (u)
            drop(u);
        return PIECES_STRAY;
    }
    if (!u) {
        begin(p, from, *m);
        return PIECES_TAKEN;
    }
    append(u, *m);
    if (h.flags & FRAME_MORE)
        return PIECES_TAKEN;
    *m = finish(u);
    return PIECES_WHOLE;
}

unsigned
pieces_drop_source(struct pieces *p, uint32_t src)
{
    struct unfinished *u, *next;
    unsigned n = 0;

    for (u = LIST_FIRST(&p->list); u; u = next) {
        next = LIST_NEXT(u, link);
        if (u->m->h.src != src)
            continue;
        drop(u);
        n++;
    }
    return n;
}

unsigned
pieces_drop_stream(struct pieces *p, const struct stream *from)
{
    struct unfinished *u, *next;
    unsigned n = 0;

    for (u = LIST_FIRST(&p->list); u; u = next) {
        next = LIST_NEXT(u, link);
        if (u->from != from)
            continue;
        drop(u);
        n++;
    }
    return n;
}
