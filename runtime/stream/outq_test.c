/* The output queue: which bytes go next, whatever a write leaves behind. */
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "framer.h"
#include "outq.h"

/* Takes `room` bytes and then nothing more; notes what each write was. */
struct sink {
    struct transport t;
    size_t room;
    bool wants;
    int writes, parts;
    size_t largest;
    struct buf out;
};

static ssize_t
sink_write(struct transport *t, const struct iovec *iov, int count)
{
    struct sink *k = (struct sink *)t;
    size_t before = buf_len(&k->out);

    if (k->room == 0)
        return -EAGAIN;
    k->writes++;
    k->parts += count;
    for (int i = 0; i < count; i++) {
        size_t n = iov[i].iov_len < k->room ? iov[i].iov_len : k->room;

        buf_append(&k->out, iov[i].iov_base, n);
        k->room -= n;
    }
    if (buf_len(&k->out) - before > k->largest)
        k->largest = buf_len(&k->out) - before;
    return (ssize_t)(buf_len(&k->out) - before);
}

static bool
sink_wants(const struct transport *t)
{
    return ((const struct sink *)t)->wants;
}

static void
sink_init(struct sink *k)
{
    static const struct transport_ops ops = {.write = sink_write, .wants_write = sink_wants};

    *k = (struct sink){.t.ops = &ops, .room = SIZE_MAX};
}

static const atomic_int nobody = 0, somebody = 1;

enum { BULK = 1, URGENT = 2 };

static void
add(struct outq *q, int kind, uint32_t seq, uint32_t length)
{
    struct msg *m = msg_new(length);

    m->h.handle = kind == URGENT ? HANDLE_CREDIT : HANDLE_DYNAMIC;
    m->h.flags = kind == BULK ? FRAME_BULK : 0;
    m->h.seq = seq;
    for (uint32_t i = 0; i < length; i++)
        msg_payload(m)[i] = (uint8_t)(i + i / 251 + seq);
    msg_seal(m);
    outq_add(q, m, 0);
}

/* Reads what the sink took, message by message, pieces put together. */
struct reader {
    struct framer f;
    struct buf payload[2]; /* of the one that has begun: normal, bulk */
};

static void
reader_init(struct reader *r, struct sink *k)
{
    struct err err;

    memset(r, 0, sizeof *r);
    framer_init(&r->f);
    assert_int_equal(framer_feed(&r->f, buf_head(&k->out), buf_len(&k->out), &err), 0);
}

/* The next frame is (a piece of) the message seq; returns whether that is whole now, and right. */
static bool
reader_frame(struct reader *r, uint32_t seq, uint32_t length)
{
    struct msg *m = framer_next(&r->f);
    struct buf *b;
    bool whole;

    assert_non_null(m);
    assert_int_equal(m->h.seq, seq);
    b = &r->payload[m->h.flags & FRAME_BULK ? 1 : 0];
    assert_int_equal(!(m->h.flags & FRAME_CONT), buf_len(b) == 0);
    if (m->h.handle == HANDLE_CREDIT) { /* between the pieces of another */
        msg_unref(m);
        return true;
    }
    buf_append(b, msg_payload(m), m->h.length);
    whole = !(m->h.flags & FRAME_MORE);
    assert_int_equal(whole, buf_len(b) == length);
    assert_true(whole || m->h.length == FRAME_PIECE);
    msg_unref(m);
    if (whole) {
        uint32_t wrong = 0;

        for (uint32_t i = 0; i < length; i++)
            wrong += buf_head(b)[i] != (uint8_t)(i + i / 251 + seq);
        assert_int_equal(wrong, 0);
        buf_consume(b, length);
    }
    return whole;
}

static void
reader_message(struct reader *r, uint32_t seq, uint32_t length)
{
    while (!reader_frame(r, seq, length)) {}
}

static void
reader_end(struct reader *r, struct sink *k, struct outq *q)
{
    assert_null(framer_next(&r->f));
    assert_int_equal(buf_len(&r->payload[0]) + buf_len(&r->payload[1]), 0);
    assert_true(outq_empty(q));
    assert_int_equal(q->urgent, 0);
    framer_fini(&r->f);
    buf_fini(&r->payload[0]);
    buf_fini(&r->payload[1]);
    buf_fini(&k->out);
    outq_fini(q);
}

/* ---- order ---- */

static void
test_classes(void **state)
{
    struct reader r;
    struct sink k;
    struct outq q;

    outq_init(&q);
    sink_init(&k);
    for (uint32_t i = 0; i < 30; i++)
        add(&q, (int)(i % 3), i, i % 2 ? 20 : 900);
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    assert_int_equal(k.writes, 1);
    reader_init(&r, &k);
    for (uint32_t i = 2; i < 30; i += 3)
        reader_message(&r, i, i % 2 ? 20 : 900);
    for (uint32_t i = 0; i < 30; i += 3)
        reader_message(&r, i, i % 2 ? 20 : 900);
    for (uint32_t i = 1; i < 30; i += 3)
        reader_message(&r, i, i % 2 ? 20 : 900);
    reader_end(&r, &k, &q);
}

/* A write ends anywhere; then urgent and normal messages come. Only the frame that had begun goes first. */
static void
overtake_at(size_t cut, uint32_t length)
{
    size_t frame = FRAME_HEADER + (size_t)FRAME_PIECE;
    size_t begun = (cut + frame - 1) / frame; /* frames of the bulk message that go first */
    struct reader r;
    struct sink k;
    struct outq q;

    outq_init(&q);
    sink_init(&k);
    add(&q, BULK, 1, length);
    k.room = cut;
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_FULL);
    add(&q, 0, 2, 600);
    add(&q, URGENT, 3, 0);
    add(&q, BULK, 4, 7);
    k.room = SIZE_MAX;
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    reader_init(&r, &k);
    for (size_t i = 0; i < begun; i++)
        reader_frame(&r, 1, length);
    reader_message(&r, 3, 0);
    reader_message(&r, 2, 600);
    if (cut < outq_wire_size(&(struct frame_header){.length = length}) &&
        begun * FRAME_PIECE < length)
        reader_message(&r, 1, length);
    reader_message(&r, 4, 7);
    reader_end(&r, &k, &q);
}

static void
test_overtaking_at_every_edge(void **state)
{
    const uint32_t length = 2 * FRAME_PIECE + 1000;
    const size_t frame = FRAME_HEADER + (size_t)FRAME_PIECE;

    for (size_t i = 0; i < 3; i++)
        for (size_t cut = i * frame + (i == 0); cut < i * frame + FRAME_HEADER + 3; cut++)
            overtake_at(cut, length);
    for (size_t cut = frame - 3; cut < frame; cut++)
        overtake_at(cut, length);
    for (size_t cut = 1; cut < (size_t)3 * FRAME_HEADER + (size_t)length; cut += 4099)
        overtake_at(cut, length);
}

/* ---- pieces ---- */

/* Short writes of one length, with every kind of message in the queue. */
static void
test_every_step(void **state)
{
    static const uint32_t lengths[] = {0, 1, 479, 480, 481, 2000, FRAME_PIECE - 1, FRAME_PIECE,
        FRAME_PIECE + 1, 3 * FRAME_PIECE, 3 * FRAME_PIECE + 5};
    static const size_t steps[] = {1021, 4096, 65537, 131071, 131104, 131105, 300000};
    const uint32_t count = sizeof lengths / sizeof *lengths;

    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        struct reader r;
        struct sink k;
        struct outq q;
        int rc;

        outq_init(&q);
        sink_init(&k);
        for (uint32_t i = 0; i < 2 * count; i++)
            add(&q, 0, i, lengths[i % count]);
        do {
            k.room = steps[s];
            rc = outq_write(&q, &k.t, &nobody);
        } while (rc == OUTQ_FULL);
        assert_int_equal(rc, OUTQ_DONE);
        reader_init(&r, &k);
        for (uint32_t i = 0; i < 2 * count; i++)
            reader_message(&r, i, lengths[i % count]);
        reader_end(&r, &k, &q);
    }
}

/* What came in as a piece goes on as it is. */
static void
test_foreign_pieces(void **state)
{
    struct msg *m = msg_new(FRAME_PIECE);
    struct sink k;
    struct outq q;

    outq_init(&q);
    sink_init(&k);
    m->h.flags = FRAME_MORE | FRAME_CONT;
    memset(msg_payload(m), 1, FRAME_PIECE);
    msg_seal(m);
    outq_add(&q, msg_ref(m), 0);
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    assert_int_equal(buf_len(&k.out), FRAME_HEADER + FRAME_PIECE);
    assert_memory_equal(buf_head(&k.out), m->wire, FRAME_HEADER + FRAME_PIECE);
    msg_unref(m);
    buf_fini(&k.out);
    outq_fini(&q);
}

/* ---- bulk ---- */

static void
test_bulk_in_slices(void **state)
{
    const uint32_t length = 5 * FRAME_PIECE;
    struct reader r;
    struct sink k;
    struct outq q;

    outq_init(&q);
    sink_init(&k);
    add(&q, BULK, 1, length);
    add(&q, BULK, 2, 100);
    assert_int_equal(outq_write(&q, &k.t, &somebody), OUTQ_OTHERS);
    assert_int_equal(buf_len(&k.out), OUTQ_SLICE);
    k.wants = true; /* it keeps some back: no more bulk, also not the rest of the frame */
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_FULL);
    assert_int_equal(buf_len(&k.out), OUTQ_SLICE);
    k.wants = false;
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    assert_true(k.largest <= OUTQ_SLICE);
    k.wants = true; /* between frames, what is not bulk still goes */
    add(&q, BULK, 3, 100);
    add(&q, 0, 4, 100);
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_FULL);
    k.wants = false;
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    reader_init(&r, &k);
    reader_message(&r, 1, length);
    reader_message(&r, 2, 100);
    reader_message(&r, 4, 100);
    reader_message(&r, 3, 100);
    reader_end(&r, &k, &q);
}

/* ---- small messages ---- */

/* They become few parts of few writes, also where a write ended in the middle of a block. */
static void
test_blocks(void **state)
{
    const uint32_t count = 5000;
    struct reader r;
    struct sink k;
    struct outq q;

    outq_init(&q);
    sink_init(&k);
    k.room = 10007;
    for (uint32_t i = 0; i < count; i++) {
        add(&q, 0, i, i % 97);
        if (i == count / 2)
            assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_FULL);
    }
    add(&q, URGENT, count, 0);
    k.room = SIZE_MAX;
    assert_int_equal(outq_write(&q, &k.t, &nobody), OUTQ_DONE);
    assert_true(k.writes <= 4);
    assert_true(k.parts <= 32);
    reader_init(&r, &k);
    for (uint32_t i = 0, urgent = 0; i < count; i++) {
        struct msg *m = TAILQ_FIRST(&r.f.ready);

        if (m->h.handle == HANDLE_CREDIT) {
            assert_true(reader_frame(&r, count, 0));
            assert_int_equal(urgent++, 0);
        }
        reader_message(&r, i, i % 97);
    }
    reader_end(&r, &k, &q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_overtaking_at_every_edge),
        cmocka_unit_test(test_every_step),
        cmocka_unit_test(test_foreign_pieces),
        cmocka_unit_test(test_bulk_in_slices),
        cmocka_unit_test(test_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
