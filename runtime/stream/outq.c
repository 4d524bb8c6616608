#include "outq.h"

#include <errno.h>
#include <string.h>

#define FRAME_FULL (FRAME_HEADER + (size_t)FRAME_PIECE) /* a piece on the wire */
#define BATCH 64                                        /* parts of one write */
#define WRITE_MAX (256u << 10)
#define SMALL 512 /* bytes of a frame that is rather copied */
/* The first block of a row is small, since most rows are short. */
#define FIRST_BLOCK (2u << 10)
#define BLOCK (32u << 10)
#define FIRST_ROW 16
#define IMAGE_STEP (256u << 10) /* lets the far side's answers in between */

enum outq_class
outq_class(const struct frame_header *h)
{
    if (frame_is_urgent(h))
        return OUTQ_URGENT;
    return h->flags & FRAME_BULK ? OUTQ_BULK : OUTQ_NORMAL;
}

size_t
outq_wire_size(const struct frame_header *h)
{
    size_t pieces = ((size_t)h->length + FRAME_PIECE - 1) / FRAME_PIECE;

    return h->length + FRAME_HEADER * (pieces ? pieces : 1);
}

void
outq_init(struct outq *q)
{
    memset(q, 0, sizeof *q);
    for (int i = 0; i < OUTQ_CLASSES; i++)
        TAILQ_INIT(&q->lanes[i].messages);
}

/* Loads and stores: only who holds the lock changes it. */
static void
set_bytes(struct outq *q, size_t bytes)
{
    atomic_store_explicit(&q->bytes, bytes, memory_order_relaxed);
}

/* There may have been a secret in it. */
static void
wipe_head(struct outq *q)
{
    if (q->head.data)
        explicit_bzero(q->head.data, q->head.cap);
}

void
outq_fini(struct outq *q)
{
    for (int i = 0; i < OUTQ_CLASSES; i++)
        msg_queue_clear(&q->lanes[i].messages);
    wipe_head(q);
    buf_fini(&q->head);
    outq_init(q);
}

/* A block counts as one frame, whose "header" is the header of its first message. */
static struct msg *
block_create(struct outq_lane *lane)
{
    size_t size = lane->small < FIRST_ROW ? FIRST_BLOCK : BLOCK;
    struct msg *m = msg_new((uint32_t)(size - FRAME_HEADER));

    lane->block = m;
    lane->room = size;
    return m;
}

/* Takes m. */
static void
add_small(struct outq_lane *lane, struct msg *m, size_t size)
{
    if (size > lane->room) {
        struct msg *block = block_create(lane);

        TAILQ_INSERT_TAIL(&lane->messages, block, link);
        memcpy(block->wire, m->wire, size);
        block->h.length = m->h.length;
    } else {
        memcpy(lane->block->wire + FRAME_HEADER + lane->block->h.length, m->wire, size);
        lane->block->h.length += (uint32_t)size;
    }
    lane->room -= size;
    msg_unref(m);
}

void
outq_add(struct outq *q, struct msg *m, size_t sent)
{
    enum outq_class class = outq_class(&m->h);
    struct outq_lane *lane = &q->lanes[class];
    size_t size = outq_wire_size(&m->h);

    set_bytes(q, outq_bytes(q) + size - sent);
    if (class == OUTQ_URGENT)
        q->urgent += size - sent;
    if (size <= SMALL && lane->small++ > 0) {
        add_small(lane, m, size);
        return;
    }
    if (size > SMALL)
        lane->small = 0;
    lane->block = NULL;
    lane->room = 0;
    if (sent > 0) {
        lane->sent = sent;
        q->begun = lane;
    }
    TAILQ_INSERT_TAIL(&lane->messages, m, link);
}

/* ---- which bytes go next ---- */

/* A place in the queue: how far each lane has been written, or will have been. */
struct place {
    struct outq_lane *begun;
    struct msg *first[OUTQ_CLASSES];
    size_t sent[OUTQ_CLASSES];
};

/* The rest of the frame that goes next. */
struct rest {
    int class;
    struct msg *m;
    uint32_t index; /* which piece of m it is */
    size_t from;    /* so many of its bytes are gone */
    size_t size;    /* of the whole frame */
};

static void
place_init(struct place *p, const struct outq *q)
{
    p->begun = q->begun;
    for (int i = 0; i < OUTQ_CLASSES; i++) {
        p->first[i] = TAILQ_FIRST(&q->lanes[i].messages);
        p->sent[i] = q->lanes[i].sent;
    }
}

static bool
place_next(const struct place *p, const struct outq *q, struct rest *r)
{
    int class = 0;
    size_t left;

    if (p->begun)
        class = (int)(p->begun - q->lanes);
    else
        while (class < OUTQ_CLASSES && !p->first[class])
            class ++;
    if (class == OUTQ_CLASSES)
        return false;
    r->class = class;
    r->m = p->first[class];
    r->index = (uint32_t)(p->sent[class] / FRAME_FULL);
    r->from = p->sent[class] % FRAME_FULL;
    left = r->m->h.length - (size_t)r->index * FRAME_PIECE;
    r->size = FRAME_HEADER + (left < FRAME_PIECE ? left : FRAME_PIECE);
    return true;
}

/* n more bytes of r, which is what place_next said. True if that was the end of its message. */
static bool
place_advance(struct place *p, struct outq *q, const struct rest *r, size_t n)
{
    p->sent[r->class] += n;
    p->begun = r->from + n < r->size ? &q->lanes[r->class] : NULL;
    if (p->sent[r->class] < outq_wire_size(&r->m->h))
        return false;
    p->first[r->class] = TAILQ_NEXT(r->m, link);
    p->sent[r->class] = 0;
    return true;
}

/* The first n bytes are gone. */
static void
consume(struct outq *q, size_t n)
{
    struct place p;
    struct rest r;

    set_bytes(q, outq_bytes(q) - n);
    place_init(&p, q);
    while (n > 0 && place_next(&p, q, &r)) {
        struct outq_lane *lane = &q->lanes[r.class];
        size_t part = r.size - r.from < n ? r.size - r.from : n;

        n -= part;
        if (r.class == OUTQ_URGENT)
            q->urgent -= part;
        if (place_advance(&p, q, &r, part)) {
            TAILQ_REMOVE(&lane->messages, r.m, link);
            if (lane->block == r.m) {
                lane->block = NULL;
                lane->room = 0;
            }
            if (TAILQ_EMPTY(&lane->messages))
                lane->small = 0;
            msg_unref(r.m);
        }
        lane->sent = p.sent[r.class];
    }
    q->begun = p.begun;
}

/* ---- writing ---- */

/* One write: its parts, and the headers of pieces among them. */
struct batch {
    struct iovec iov[BATCH];
    uint8_t headers[BATCH][FRAME_HEADER];
    int count;
    size_t bytes, bulk;
};

static void
batch_part(struct batch *b, const void *p, size_t n)
{
    b->iov[b->count++] = (struct iovec){(void *)(uintptr_t)p, n};
    b->bytes += n;
}

/* The next n bytes of a frame, whose last byte they may be or not. */
static void
batch_frame(struct batch *b, const struct rest *r, size_t n)
{
    struct frame_header h = r->m->h;
    size_t from = r->from, head;

    if (h.length <= FRAME_PIECE) {
        batch_part(b, r->m->wire + from, n);
        return;
    }
    head = from < FRAME_HEADER ? FRAME_HEADER - from : 0;
    if (head > n)
        head = n;
    if (head > 0) {
        h.flags |= (r->index > 0 ? FRAME_CONT : 0) |
            ((r->index + 1) * (uint64_t)FRAME_PIECE < h.length ? FRAME_MORE : 0);
        h.length = (uint32_t)(r->size - FRAME_HEADER);
        frame_encode(&h, b->headers[b->count]);
        batch_part(b, b->headers[b->count] + from, head);
        from += head;
    }
    if (n > head)
        batch_part(
            b, msg_payload(r->m) + (size_t)r->index * FRAME_PIECE + from - FRAME_HEADER, n - head);
}

/* Gathers what goes next. False: only bulk is left, and that must wait. */
static bool
gather(struct batch *b, struct outq *q, struct transport *t)
{
    struct place p;
    struct rest r;

    b->count = 0;
    b->bytes = b->bulk = 0;
    place_init(&p, q);
    while (b->count + 2 <= BATCH && b->bytes < WRITE_MAX && place_next(&p, q, &r)) {
        size_t n = r.size - r.from;

        if (r.class == OUTQ_BULK) {
            size_t room = OUTQ_SLICE - b->bulk;

            if (room == 0 || (b->bulk == 0 && t->ops->wants_write(t)))
                break;
            n = n < room ? n : room;
            b->bulk += n;
        }
        batch_frame(b, &r, n);
        place_advance(&p, q, &r, n);
    }
    return b->count > 0;
}

int
outq_write(struct outq *q, struct transport *t, const atomic_int *others)
{
    struct batch b;

    while (!outq_empty(q)) {
        ssize_t n;

        if (!gather(&b, q, t))
            return OUTQ_FULL;
        n = t->ops->write(t, b.iov, b.count);
        if (n < 0)
            return n == -EAGAIN ? OUTQ_FULL : (int)n;
        consume(q, (size_t)n);
        if ((size_t)n < b.bytes)
            return OUTQ_FULL;
        if (b.bulk > 0 && !outq_empty(q) && atomic_load(others) > 0)
            return OUTQ_OTHERS;
    }
    return OUTQ_DONE;
}

void
outq_add_answer(struct outq *q, const char *text, size_t n)
{
    buf_append(&q->head, text, n);
}

void
outq_add_image(struct outq *q, const struct bootstrap_image *image)
{
    q->image = image;
    q->image_sent = 0;
    buf_printf(&q->head, "%zu\n", image->size);
}

int
outq_write_boot(struct outq *q, struct transport *t)
{
    while (q->image || buf_len(&q->head)) {
        bool head = buf_len(&q->head) > 0;
        struct iovec iov;
        ssize_t n;

        if (head)
            iov = (struct iovec){buf_head(&q->head), buf_len(&q->head)};
        else
            iov = (struct iovec){(uint8_t *)(uintptr_t)q->image->data + q->image_sent,
                q->image->size - q->image_sent};
        if (iov.iov_len > IMAGE_STEP)
            iov.iov_len = IMAGE_STEP;
        n = t->ops->write(t, &iov, 1);
        if (n < 0)
            return n == -EAGAIN ? OUTQ_FULL : (int)n;
        if (q->image)
            q->image_total += (uint64_t)n;
        if (head)
            buf_consume(&q->head, (size_t)n);
        else
            q->image_sent += (size_t)n;
        if (head && !buf_len(&q->head))
            wipe_head(q);
        if (!head && q->image_sent == q->image->size)
            q->image = NULL;
        if ((size_t)n < iov.iov_len)
            return OUTQ_FULL;
    }
    return OUTQ_DONE;
}
