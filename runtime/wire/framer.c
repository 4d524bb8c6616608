#include "framer.h"

#include <string.h>

/* One read takes this much, many small frames or the beginning of a large one. */
#define READ_SIZE (64u << 10)
/* Read behind a large frame in the same go: the header of the next, which may be as large, so that it is
 * read in place, too. */
#define OVER FRAME_HEADER

void
framer_init(struct framer *f)
{
    memset(f, 0, sizeof *f);
    TAILQ_INIT(&f->ready);
}

void
framer_fini(struct framer *f)
{
    msg_queue_clear(&f->ready);
    msg_unref(f->partial);
    buf_fini(&f->in);
    f->partial = NULL;
}

void
framer_space(struct framer *f, void **p, size_t *n)
{
    if (f->partial) {
        *p = f->partial->wire + f->filled;
        *n = FRAME_HEADER + f->partial->h.length + OVER - f->filled;
    } else {
        *p = buf_reserve(&f->in, READ_SIZE);
        *n = READ_SIZE;
    }
}

/* Cuts one message off the buffer. 1: done, 0: it needs more bytes, negative: not a frame. */
static int
take_one(struct framer *f, struct err *err)
{
    struct frame_header h;
    struct msg *m;
    size_t have = buf_len(&f->in);
    size_t whole;
    int rc;

    if (have < FRAME_HEADER)
        return 0;
    if ((rc = frame_decode(&h, buf_head(&f->in), err)) < 0)
        return rc;
    whole = FRAME_HEADER + (size_t)h.length;
    if (have < whole && whole <= READ_SIZE)
        return 0;
    m = msg_new(h.length + (have < whole ? OVER : 0));
    m->h = h;
    if (have >= whole) {
        memcpy(m->wire, buf_head(&f->in), whole);
        buf_consume(&f->in, whole);
        TAILQ_INSERT_TAIL(&f->ready, m, link);
        return 1;
    }
    memcpy(m->wire, buf_head(&f->in), have);
    buf_consume(&f->in, have);
    f->partial = m;
    f->filled = have;
    return 0;
}

int
framer_push(struct framer *f, size_t n, struct err *err)
{
    int rc;

    if (f->partial) {
        size_t whole = FRAME_HEADER + (size_t)f->partial->h.length;

        f->filled += n;
        if (f->filled < whole)
            return 0;
        buf_append(&f->in, f->partial->wire + whole, f->filled - whole);
        TAILQ_INSERT_TAIL(&f->ready, f->partial, link);
        f->partial = NULL;
    } else {
        buf_commit(&f->in, n);
    }
    while ((rc = take_one(f, err)) > 0)
        ;
    return rc;
}

int
framer_feed(struct framer *f, const void *p, size_t n, struct err *err)
{
    const uint8_t *from = p;

    while (n > 0) {
        void *to;
        size_t room;
        int rc;

        framer_space(f, &to, &room);
        if (room > n)
            room = n;
        memcpy(to, from, room);
        if ((rc = framer_push(f, room, err)) < 0)
            return rc;
        from += room;
        n -= room;
    }
    return 0;
}

struct msg *
framer_next(struct framer *f)
{
    struct msg *m = TAILQ_FIRST(&f->ready);

    if (m)
        TAILQ_REMOVE(&f->ready, m, link);
    return m;
}
