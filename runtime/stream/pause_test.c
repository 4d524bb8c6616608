/* A stream whose input is left where it is. */
#include "stream_test.h"

struct pausing {
    struct probe *p;
    bool pause;
};

static void
pause_now(void *arg)
{
    struct pausing *x = arg;

    stream_pause(x->p->s, x->pause);
}

static void
pause_probe(struct probe *p, bool pause)
{
    struct pausing x = {p, pause};

    loop_sync(p->loop, pause_now, &x);
}

static void
expect_frames(struct probe *p, int count, uint32_t last_seq)
{
    for (int i = 0; i < count; i++)
        await(&p->frame);
    assert_int_equal(p->last_seq, last_seq);
    assert_int_equal(await_value(&p->frame), 0);
}

static void
test_pause(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    far_frame(p, HANDLE_DYNAMIC, 1);
    expect_frames(p, 1, 1);
    pause_probe(p, true);
    pause_probe(p, true);
    for (uint32_t i = 2; i <= 4; i++)
        far_frame(p, HANDLE_DYNAMIC, i);
    probe_sync(p);
    expect_frames(p, 0, 1);
    assert_int_equal(stream_send(p->s, message(1, 9, 100), NULL), 0); /* its output goes on */
    msg_unref(far_read(p));
    pause_probe(p, false);
    expect_frames(p, 3, 4);
    far_frame(p, HANDLE_DYNAMIC, 5);
    expect_frames(p, 1, 5);
}

static void
pause_in_upcall(struct probe *p, struct msg *m)
{
    if (m->h.seq % 2 == 0)
        stream_pause(p->s, true);
}

/* Paused in the middle of what was read: the rest is delivered afterwards, and then the end. */
static void
test_pause_in_upcall(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};

    p->on_frame = pause_in_upcall;
    probe_start_socket(p);
    for (uint32_t i = 1; i <= 7; i++)
        frame_append(&b, HANDLE_DYNAMIC, i, 10);
    far_write(p, buf_head(&b), buf_len(&b));
    far_hang_up(p);
    buf_fini(&b);
    for (uint32_t i = 2; i <= 6; i += 2) {
        await(&p->frame);
        await(&p->frame);
        probe_sync(p);
        assert_int_equal(await_value(&p->closed), 0);
        expect_frames(p, 0, i);
        pause_probe(p, false);
    }
    await(&p->closed);
    expect_frames(p, 1, 7);
    assert_string_equal(p->why.msg, "the other end closed the connection");
}

/* Neither end takes the pause for the other's death. */
static void
test_pause_and_keepalive(void **state)
{
    struct probe *p = *state;

    p->options.keepalive_ms = 20;
    probe_start_socket(p);
    pause_probe(p, true);
    for (int i = 0; i < 10; i++) { /* far longer than three times the keepalive */
        struct msg *m = far_read(p);

        assert_non_null(m);
        if (m->h.handle != HANDLE_PONG)
            i--;
        msg_unref(m);
    }
    assert_int_equal(await_value(&p->closed), 0);
    pause_probe(p, false);
    await(&p->closed); /* now it is silence */
    assert_memory_equal(p->why.msg, "no sign of life for ", 20);
}

static void
wait_for_itself(void *arg)
{
    struct probe *p = arg;

    stream_wait_for(p->s, p->s);
}

/* More than STREAM_QUEUE_LOW for a far end that does not read. */
static void
fill(struct probe *p)
{
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(stream_send(p->s, message(1, i, 100 << 10), NULL), 0);
    loop_sync(p->loop, wait_for_itself, p);
}

/* One that has to read what it has asked for before it is heard again. */
static void
test_wait_for_itself(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    fill(p);
    far_frame(p, HANDLE_DYNAMIC, 5);
    probe_sync(p);
    assert_int_equal(await_value(&p->frame), 0);
    for (int i = 0; i < 40; i++)
        msg_unref(far_read(p));
    await(&p->frame);
    assert_int_equal(p->last_seq, 5);
}

/* And is dead when it never does. */
static void
test_wait_for_itself_in_vain(void **state)
{
    struct probe *p = *state;

    p->options.keepalive_ms = 20;
    probe_start_socket(p);
    fill(p);
    await(&p->closed);
    assert_memory_equal(p->why.msg, "no sign of life for ", 20);
}

/* A writer that meets nobody who reads is stopped by what the kernel holds. */
static void
test_pause_stops_the_writer(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};
    size_t sent = 0, all;
    ssize_t n;

    probe_start_socket(p);
    pause_probe(p, true);
    for (uint32_t i = 0; i < 400; i++)
        frame_append(&b, HANDLE_DYNAMIC, i, 10000);
    all = buf_len(&b);
    while (sent < all && (n = send(p->far, buf_head(&b) + sent, all - sent, MSG_DONTWAIT)) > 0)
        sent += (size_t)n;
    assert_true(sent < all / 2);
    pause_probe(p, false);
    far_write(p, buf_head(&b) + sent, all - sent);
    expect_frames(p, 400, 399);
    buf_fini(&b);
}

/* A write that is refused until something was read: then it is read, although it is paused. */
static void
test_refused_while_paused(void **state)
{
    struct probe *p = *state;

    probe_start_fake(p);
    pause_probe(p, true);
    p->fake->mode = FAKE_REFUSE;
    assert_int_equal(stream_send(p->s, message(1, 0, 100), NULL), 0);
    probe_sync(p);
    fake_input(p);
    probe_sync(p);
    assert_int_equal(buf_len(&p->fake->out), FRAME_HEADER + 100);
    p->fake->input_ends = true; /* and no more than that */
    fake_input(p);
    probe_sync(p);
    assert_int_equal(await_value(&p->closed), 0);
    pause_probe(p, false);
    await(&p->closed);
}

static void
test_close_while_paused(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    pause_probe(p, true);
    far_frame(p, HANDLE_DYNAMIC, 1);
    probe_close(p, "enough", 0);
    await(&p->closed);
    assert_string_equal(p->why.msg, "enough");
    pause_probe(p, false);
    probe_sync(p);
    expect_frames(p, 0, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_probe(test_pause),
        with_probe(test_pause_in_upcall),
        with_probe(test_pause_and_keepalive),
        with_probe(test_wait_for_itself),
        with_probe(test_wait_for_itself_in_vain),
        with_probe(test_pause_stops_the_writer),
        with_probe(test_refused_while_paused),
        with_probe(test_close_while_paused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
