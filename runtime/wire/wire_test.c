/* Frame headers, messages, packed fields. */
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "frame.h"
#include "msg.h"
#include "pack.h"

static const struct frame_header sample = {.flags = FRAME_DEAD,
    .length = 0x00010203,
    .dst = 0x11223344,
    .src = 0xfffefdfc,
    .auth = 5,
    .handle = HANDLE_CALL,
    .reply = 0x7fffffff,
    .seq = 0xffffffff};

static void
test_frame_bytes(void **state)
{
    static const uint8_t expected[FRAME_HEADER] = {0x4f, 0x72, 4, 2, 0, 1, 2, 3, 0x11, 0x22, 0x33,
        0x44, 0xff, 0xfe, 0xfd, 0xfc, 0, 0, 0, 5, 0, 0, 0, 16, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff};
    uint8_t wire[FRAME_HEADER];

    frame_encode(&sample, wire);
    assert_memory_equal(wire, expected, sizeof expected);
}

static void
test_frame_round_trip(void **state)
{
    uint8_t wire[FRAME_HEADER];
    struct frame_header h;
    struct err err;

    frame_encode(&sample, wire);
    assert_int_equal(frame_decode(&h, wire, &err), 0);
    assert_int_equal(h.flags, sample.flags);
    assert_int_equal(h.length, sample.length);
    assert_int_equal(h.dst, sample.dst);
    assert_int_equal(h.src, sample.src);
    assert_int_equal(h.auth, sample.auth);
    assert_int_equal(h.handle, sample.handle);
    assert_int_equal(h.reply, sample.reply);
    assert_int_equal(h.seq, sample.seq);
}

static void
test_frame_refused(void **state)
{
    struct frame_header h = {.handle = HANDLE_FILE, .length = FRAME_PIECE};
    uint8_t wire[FRAME_HEADER];
    struct err err;

    frame_encode(&h, wire);
    assert_int_equal(frame_decode(&h, wire, &err), 0);
    wire[2] = 9;
    assert_int_equal(frame_decode(&h, wire, &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "frame of version 9, this side speaks version 4");
    wire[1] = 'x';
    assert_int_equal(frame_decode(&h, wire, &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "not a frame: it begins with 4f78, not 4f72");
    wire[0] = 0;
    assert_int_equal(frame_decode(&h, wire, &err), ERR_PROTOCOL);
    h = (struct frame_header){.handle = HANDLE_FILE, .length = FRAME_PIECE + 1};
    frame_encode(&h, wire);
    assert_int_equal(frame_decode(&h, wire, &err), ERR_LIMIT);
    assert_string_equal(err.msg, "frame of 131073 bytes for FILE, the limit is 131072");
}

static void
test_handle_names(void **state)
{
    assert_string_equal(frame_handle_name(HANDLE_NONE), "NONE");
    assert_string_equal(frame_handle_name(HANDLE_RUN), "RUN");
    assert_string_equal(frame_handle_name(0xffffffff), "#4294967295");
}

static void
test_msg(void **state)
{
    struct msg *m = msg_with(HANDLE_CALL, "abc", 3);
    struct frame_header h;
    struct err err;

    m->h.dst = 7;
    msg_seal(m);
    assert_int_equal(frame_decode(&h, m->wire, &err), 0);
    assert_int_equal(h.length, 3);
    assert_int_equal(h.dst, 7);
    assert_memory_equal(msg_payload(m), "abc", 3);
    assert_ptr_equal(msg_ref(m), m);
    msg_unref(m);
    assert_int_equal(m->h.dst, 7);
    msg_unref(m);
    msg_unref(NULL);
}

static void
test_msg_dead(void **state)
{
    struct frame_header to = {.src = 3, .dst = 4, .reply = 5, .seq = 6};
    struct err err = {ERR_DEAD, "cut off"};
    struct msg *m = msg_dead(&to, &err, "web1");
    struct unpack u;
    char *text, *name;

    assert_int_equal(m->h.flags, FRAME_DEAD);
    assert_int_equal(m->h.dst, 3);
    assert_int_equal(m->h.src, 4);
    assert_int_equal(m->h.handle, 5);
    assert_int_equal(m->h.reply, 0); /* or two routers could answer each other for ever */
    assert_int_equal(m->h.seq, 6);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_int_equal(-unpack_u8(&u), ERR_DEAD);
    text = unpack_str(&u);
    name = unpack_str(&u);
    assert_string_equal(text, "cut off");
    assert_string_equal(name, "web1");
    assert_int_equal(unpack_done(&u, "DEAD", &err), 0);
    free(text);
    free(name);
    msg_unref(m);
}

static void
test_queue_clear(void **state)
{
    struct msg_queue q;

    TAILQ_INIT(&q);
    for (int i = 0; i < 3; i++) {
        struct msg *m = msg_new(0);

        TAILQ_INSERT_TAIL(&q, m, link);
    }
    msg_queue_clear(&q);
    assert_true(TAILQ_EMPTY(&q));
}

static void
test_pack_round_trip(void **state)
{
    struct buf b = {0};
    struct unpack u;
    struct err err;
    size_t n;
    char *s;

    pack_u8(&b, 0xfe);
    pack_u32(&b, 0xfedcba98);
    pack_u64(&b, 0xfedcba9876543210);
    pack_bytes(&b, "a\0b", 3);
    pack_str(&b, "text");
    pack_str(&b, NULL);
    unpack_init(&u, buf_head(&b), buf_len(&b));
    assert_int_equal(unpack_u8(&u), 0xfe);
    assert_int_equal(unpack_u32(&u), 0xfedcba98);
    assert_true(unpack_u64(&u) == 0xfedcba9876543210);
    assert_memory_equal(unpack_bytes(&u, &n), "a\0b", 3);
    assert_int_equal(n, 3);
    s = unpack_str(&u);
    assert_string_equal(s, "text");
    free(s);
    assert_int_equal(unpack_done(&u, "sample", &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "sample: 4 bytes too many");
    s = unpack_str(&u);
    assert_string_equal(s, "");
    free(s);
    assert_int_equal(unpack_done(&u, "sample", &err), 0);
    buf_fini(&b);
}

/* Cut anywhere, it turns bad, stays so, and never gives what is not there. The heap copy lets a
 * sanitizer see any step over the end. */
static void
test_unpack_cut(void **state)
{
    struct buf b = {0};
    struct err err;

    pack_u8(&b, 1);
    pack_u32(&b, 2);
    pack_u64(&b, 3);
    pack_str(&b, "four");
    for (size_t len = 0; len < buf_len(&b); len++) {
        uint8_t *copy = xmalloc(len);
        struct unpack u;
        char *s;

        memcpy(copy, buf_head(&b), len);
        unpack_init(&u, copy, len);
        unpack_u8(&u);
        unpack_u32(&u);
        unpack_u64(&u);
        s = unpack_str(&u);
        assert_string_equal(s, "");
        free(s);
        assert_int_equal(unpack_u8(&u), 0);
        assert_int_equal(unpack_done(&u, "cut", &err), ERR_PROTOCOL);
        assert_string_equal(err.msg, "cut: malformed or cut short");
        free(copy);
    }
    buf_fini(&b);
}

static void
test_unpack_hostile(void **state)
{
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 'a'};
    static const uint8_t nul[] = {0, 0, 0, 3, 'a', 0, 'b'};
    struct unpack u;
    size_t n = 99;
    char *s;

    unpack_init(&u, huge, sizeof huge);
    assert_non_null(unpack_bytes(&u, &n));
    assert_int_equal(n, 0);
    assert_true(u.bad);
    unpack_init(&u, nul, sizeof nul);
    s = unpack_str(&u);
    assert_string_equal(s, "");
    assert_true(u.bad);
    free(s);
    unpack_init(&u, nul, 0);
    assert_int_equal(unpack_left(&u), 0);
    assert_int_equal(unpack_u8(&u), 0);
}

static void
test_pack_msg(void **state)
{
    struct buf b = {0};
    struct msg *m = pack_msg(HANDLE_RUN, &b);

    assert_int_equal(m->h.length, 0);
    msg_unref(m);
    pack_str(&b, "x");
    m = pack_msg(HANDLE_RUN, &b);
    assert_int_equal(m->h.handle, HANDLE_RUN);
    assert_memory_equal(msg_payload(m), "\0\0\0\1x", 5);
    assert_int_equal(buf_len(&b), 0);
    msg_unref(m);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_bytes),
        cmocka_unit_test(test_frame_round_trip),
        cmocka_unit_test(test_frame_refused),
        cmocka_unit_test(test_handle_names),
        cmocka_unit_test(test_msg),
        cmocka_unit_test(test_msg_dead),
        cmocka_unit_test(test_queue_clear),
        cmocka_unit_test(test_pack_round_trip),
        cmocka_unit_test(test_unpack_cut),
        cmocka_unit_test(test_unpack_hostile),
        cmocka_unit_test(test_pack_msg),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
