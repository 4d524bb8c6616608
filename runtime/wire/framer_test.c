/* The frame decoder, with its input cut in every way. */
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "framer.h"

#define BIG 120000u

/* Appends a frame whose payload can be checked by its seq. */
static void
add_frame(struct buf *b, uint32_t seq, uint32_t length)
{
    struct msg *m = msg_new(length);

    m->h.handle = HANDLE_DYNAMIC;
    m->h.seq = seq;
    for (uint32_t i = 0; i < length; i++)
        msg_payload(m)[i] = (uint8_t)(seq + i * 7);
    msg_seal(m);
    buf_append(b, m->wire, FRAME_HEADER + length);
    msg_unref(m);
}

static void
expect_frame(struct framer *f, uint32_t seq, uint32_t length)
{
    struct msg *m = framer_next(f);
    uint32_t wrong = 0;

    assert_non_null(m);
    assert_int_equal(m->h.seq, seq);
    assert_int_equal(m->h.length, length);
    for (uint32_t i = 0; i < length; i++)
        wrong += msg_payload(m)[i] != (uint8_t)(seq + i * 7);
    assert_int_equal(wrong, 0);
    msg_unref(m);
}

/* Puts bytes where the framer wants them, `step` at a time, as read() would. */
static int
push(struct framer *f, const uint8_t *p, size_t n, size_t step, struct err *err)
{
    while (n > 0) {
        size_t room, now;
        void *to;
        int rc;

        framer_space(f, &to, &room);
        assert_true(room >= 1);
        now = step < n ? step : n;
        now = now < room ? now : room;
        memcpy(to, p, now);
        if ((rc = framer_push(f, now, err)) < 0)
            return rc;
        p += now;
        n -= now;
    }
    return 0;
}

static void
test_every_split(void **state)
{
    struct buf b = {0};
    struct err err;

    add_frame(&b, 1, 0);
    add_frame(&b, 2, 1);
    add_frame(&b, 3, 90);
    for (size_t cut = 0; cut <= buf_len(&b); cut++) {
        struct framer f;

        framer_init(&f);
        assert_int_equal(push(&f, buf_head(&b), cut, cut, &err), 0);
        assert_int_equal(push(&f, buf_head(&b) + cut, buf_len(&b) - cut, buf_len(&b), &err), 0);
        expect_frame(&f, 1, 0);
        expect_frame(&f, 2, 1);
        expect_frame(&f, 3, 90);
        assert_null(framer_next(&f));
        framer_fini(&f);
    }
    buf_fini(&b);
}

static void
test_every_step(void **state)
{
    struct buf b = {0};
    struct err err;

    for (uint32_t i = 0; i < 40; i++)
        add_frame(&b, i, i * 13);
    for (size_t step = 1; step < 200; step++) {
        struct framer f;

        framer_init(&f);
        assert_int_equal(push(&f, buf_head(&b), buf_len(&b), step, &err), 0);
        for (uint32_t i = 0; i < 40; i++)
            expect_frame(&f, i, i * 13);
        assert_null(framer_next(&f));
        framer_fini(&f);
    }
    buf_fini(&b);
}

static void
test_many_small(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;

    for (uint32_t i = 0; i < 10000; i++)
        add_frame(&b, i, i % 5);
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), buf_len(&b), SIZE_MAX, &err), 0);
    for (uint32_t i = 0; i < 10000; i++)
        expect_frame(&f, i, i % 5);
    assert_null(framer_next(&f));
    framer_fini(&f);
    buf_fini(&b);
}

/* A large frame is read to where it stays: once its header is there, the space lies in it. */
static void
test_large_in_place(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;
    size_t room;
    void *p;

    add_frame(&b, 1, BIG);
    add_frame(&b, 2, 3);
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), FRAME_HEADER, SIZE_MAX, &err), 0);
    assert_non_null(f.partial);
    framer_space(&f, &p, &room);
    assert_ptr_equal(p, msg_payload(f.partial));
    assert_int_equal(room, BIG + FRAME_HEADER); /* and the next header, no more */
    assert_int_equal(push(&f, buf_head(&b) + FRAME_HEADER, BIG - 1, 4096, &err), 0);
    assert_null(framer_next(&f));
    framer_space(&f, &p, &room);
    assert_int_equal(room, 1 + FRAME_HEADER);
    assert_int_equal(
        push(&f, buf_head(&b) + FRAME_HEADER + BIG - 1, 1 + FRAME_HEADER + 3, 64, &err), 0);
    expect_frame(&f, 1, BIG);
    expect_frame(&f, 2, 3);
    framer_fini(&f);
    buf_fini(&b);
}

/* One large frame after another: each is read in place from its first byte of payload on, and each read
 * may bring the whole of it. */
static void
test_large_in_a_row(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;
    size_t at = FRAME_HEADER;

    for (uint32_t i = 0; i < 5; i++)
        add_frame(&b, i, i == 3 ? 7 : FRAME_PIECE);
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), FRAME_HEADER, SIZE_MAX, &err), 0);
    for (uint32_t i = 0; i < 3; i++) {
        void *p;
        size_t room;

        framer_space(&f, &p, &room);
        assert_ptr_equal(p, msg_payload(f.partial));
        assert_int_equal(room, FRAME_PIECE + FRAME_HEADER);
        assert_int_equal(push(&f, buf_head(&b) + at, room, SIZE_MAX, &err), 0);
        at += room;
        expect_frame(&f, i, FRAME_PIECE);
    }
    assert_null(f.partial);
    assert_int_equal(push(&f, buf_head(&b) + at, buf_len(&b) - at, SIZE_MAX, &err), 0);
    expect_frame(&f, 3, 7);
    expect_frame(&f, 4, FRAME_PIECE);
    framer_fini(&f);
    buf_fini(&b);
}

/* Around the size where reading in place begins, split just before and behind every edge. */
static void
test_sizes_at_the_edge(void **state)
{
    const uint32_t edge = (64u << 10) - FRAME_HEADER;
    struct err err;

    for (uint32_t length = edge - 2; length <= edge + 2; length++)
        for (size_t first = FRAME_HEADER - 1; first <= FRAME_HEADER + 1; first++) {
            struct framer f;
            struct buf b = {0};

            framer_init(&f);
            add_frame(&b, 1, 5);
            add_frame(&b, 2, length);
            add_frame(&b, 3, length);
            assert_int_equal(push(&f, buf_head(&b), first, first, &err), 0);
            assert_int_equal(
                push(&f, buf_head(&b) + first, buf_len(&b) - first, SIZE_MAX, &err), 0);
            expect_frame(&f, 1, 5);
            expect_frame(&f, 2, length);
            expect_frame(&f, 3, length);
            framer_fini(&f);
            buf_fini(&b);
        }
}

static void
test_feed(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;

    add_frame(&b, 1, 10);
    add_frame(&b, 2, BIG);
    add_frame(&b, 3, 20);
    framer_init(&f);
    assert_int_equal(framer_feed(&f, buf_head(&b), 0, &err), 0);
    assert_int_equal(framer_feed(&f, buf_head(&b), buf_len(&b), &err), 0);
    expect_frame(&f, 1, 10);
    expect_frame(&f, 2, BIG);
    expect_frame(&f, 3, 20);
    framer_fini(&f);
    buf_fini(&b);
}

/* What came before the garbage is there; the decoder goes on refusing, and is safe to end. */
static void
test_garbage(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;

    add_frame(&b, 1, 10);
    for (int i = 0; i < 10; i++)
        buf_printf(&b, "bash: no such job\n");
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), buf_len(&b), SIZE_MAX, &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "not a frame: it begins with 6261, not 4f72");
    assert_int_equal(push(&f, (const uint8_t *)"more", 4, 4, &err), ERR_PROTOCOL);
    expect_frame(&f, 1, 10);
    assert_null(framer_next(&f));
    framer_fini(&f);
    buf_fini(&b);
}

static void
test_oversize(void **state)
{
    struct frame_header h = {.length = 0xffffffff};
    uint8_t wire[FRAME_HEADER];
    struct framer f;
    struct err err;

    frame_encode(&h, wire);
    framer_init(&f);
    assert_int_equal(push(&f, wire, sizeof wire, 1, &err), ERR_LIMIT);
    assert_null(f.partial);
    framer_fini(&f);
}

/* Ended in the middle of everything, it frees everything. */
static void
test_fini_with_leftovers(void **state)
{
    struct framer f;
    struct buf b = {0};
    struct err err;

    add_frame(&b, 1, 10);
    add_frame(&b, 2, BIG);
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), 5000, SIZE_MAX, &err), 0);
    framer_fini(&f);
    framer_init(&f);
    assert_int_equal(push(&f, buf_head(&b), 50, SIZE_MAX, &err), 0);
    framer_fini(&f);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_every_step),
        cmocka_unit_test(test_many_small),
        cmocka_unit_test(test_large_in_place),
        cmocka_unit_test(test_large_in_a_row),
        cmocka_unit_test(test_sizes_at_the_edge),
        cmocka_unit_test(test_feed),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_oversize),
        cmocka_unit_test(test_fini_with_leftovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
