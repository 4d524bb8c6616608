/* A stream's life: bootstrap, input, keepalive, and all the ways to end. */
#include <stdio.h>

#include "stream_test.h"

#define MARKER "0123456789abcdef01234567"

/* ---- closing ---- */

/* What is queued goes out first, then the end of input; the reason is the one that was given. */
static void
test_close_lingers(void **state)
{
    struct probe *p = *state;
    struct err err;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    assert_int_equal(stream_send(p->s, message(1, 0, 100), &err), 0);
    probe_close(p, "done", 600000);
    probe_close(p, "a later reason", 0);
    probe_sync(p);
    assert_int_equal(await_value(&p->closed), 0);
    assert_int_equal(p->fake->shutdowns, 0);
    assert_int_equal(stream_send(p->s, message(1, 1, 0), &err), ERR_CLOSED);
    assert_string_equal(err.msg, "done");
    fake_input(p);
    probe_sync(p);
    assert_int_equal(buf_len(&p->fake->out), FRAME_HEADER + 100);
    assert_true(p->fake->shutdowns >= 1);
    assert_int_equal(await_value(&p->closed), 0);
    p->fake->input_ends = true;
    fake_input(p);
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_CLOSED);
    assert_string_equal(p->why.msg, "done");
}

static void
test_close_lingers_no_longer(void **state)
{
    struct probe *p = *state;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    assert_int_equal(stream_send(p->s, message(1, 0, 100), NULL), 0);
    probe_close(p, "done", 10);
    await(&p->closed);
    assert_string_equal(p->why.msg, "done");
}

static void
test_close_over_socket(void **state)
{
    struct probe *p = *state;
    struct msg *m;

    probe_start_socket(p);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(stream_send(p->s, message(1, i, 50000), NULL), 0);
    probe_close(p, "done", 600000);
    for (uint32_t i = 0; i < 100; i++) {
        m = far_read(p);
        assert_non_null(m);
        assert_int_equal(m->h.seq, i);
        msg_unref(m);
    }
    assert_null(far_read(p)); /* the end of input */
    far_hang_up(p);
    await(&p->closed);
    assert_string_equal(p->why.msg, "done");
}

static void
test_close_at_once(void **state)
{
    struct probe *p = *state;
    struct err err;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    assert_int_equal(stream_send(p->s, message(1, 0, 100), &err), 0);
    probe_close(p, "now", 0);
    assert_int_equal(await_value(&p->closed), 1);
    probe_close(p, "again", 0);
    probe_sync(p);
    assert_int_equal(p->destroyed, 1);
    /* A reference is still good for a name and a refusal. */
    assert_string_equal(stream_name(p->s), "probe");
    assert_int_equal(stream_send(stream_ref(p->s), message(1, 1, 0), &err), ERR_CLOSED);
    stream_unref(p->s);
    assert_string_equal(err.msg, "now");
    await(&p->closed);
}

static void
test_far_end_closes(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    far_frame(p, HANDLE_DYNAMIC, 7);
    far_hang_up(p);
    await(&p->closed);
    assert_int_equal(await_value(&p->frame), 1);
    assert_int_equal(p->why.code, ERR_DEAD);
    assert_string_equal(p->why.msg, "the other end closed the connection");
}

static void
close_in_upcall(struct probe *p, struct msg *m)
{
    if (m->h.seq == 2)
        probe_close(p, "inside", 0);
}

/* Closed in the middle of a dispatch: the frames behind are never seen. */
static void
test_close_in_upcall(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};

    p->on_frame = close_in_upcall;
    probe_start_socket(p);
    for (uint32_t i = 1; i <= 5; i++)
        frame_append(&b, HANDLE_DYNAMIC, i, 10);
    far_write(p, buf_head(&b), buf_len(&b));
    buf_fini(&b);
    await(&p->closed);
    probe_sync(p);
    assert_int_equal(await_value(&p->frame), 2);
    assert_int_equal(p->last_seq, 2);
}

/* ---- input ---- */

static void
test_input(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};

    probe_start_socket(p);
    for (uint32_t i = 0; i < 3000; i++)
        frame_append(&b, HANDLE_DYNAMIC, i, i % 900 ? i % 50 : 120000);
    far_write(p, buf_head(&b), buf_len(&b));
    buf_fini(&b);
    for (uint32_t i = 0; i < 3000; i++)
        await(&p->frame);
    assert_int_equal(p->last_seq, 2999);
}

static void
test_malformed(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};

    probe_start_socket(p);
    frame_append(&b, HANDLE_DYNAMIC, 1, 10);
    buf_printf(&b, "Segmentation fault (core dumped) and so on\n");
    far_write(p, buf_head(&b), buf_len(&b));
    buf_fini(&b);
    await(&p->closed);
    assert_int_equal(await_value(&p->frame), 1); /* what came before it counts */
    assert_int_equal(p->why.code, ERR_PROTOCOL);
    assert_string_equal(p->why.msg,
        "malformed input from the far side: not a frame: it begins with 5365, not 4f72");
}

static void
test_last_words(void **state)
{
    static const char *const argv[] = {
        "sh", "-c", "printf 'no\\033[2J such\\nfile\\n' >&2; exit 3", NULL};
    struct process_options o = {.argv = argv};
    struct probe *p = *state;
    struct err err;

    probe_start(p, process_spawn(&o, &err));
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_DEAD);
    assert_string_equal(p->why.msg, "exited with status 3; its last words: no [2J such file ");
    assert_int_equal(buf_len(&p->words), 17);
    assert_memory_equal(buf_head(&p->words), "no\033[2J such\nfile\n", 17);
    assert_string_equal(stream_last_words(p->s), "no [2J such file ");
}

/* Text sits inside the transport while its descriptor is silent: all of it is fetched. */
static void
test_text_inside(void **state)
{
    struct probe *p = *state;

    probe_start_fake(p);
    p->fake->text = 100;
    fake_input(p);
    for (int i = 0; i < 100; i++)
        await(&p->text);
    probe_sync(p);
    assert_int_equal(buf_len(&p->words), 100);
}

/* It ended, and yet it goes on talking: the loop does not listen for ever. */
static void
test_endless_last_words(void **state)
{
    static const char *const argv[] = {
        "sh", "-c", "exec <&- >&-; while :; do echo y; done >&2", NULL};
    struct process_options o = {.argv = argv};
    struct probe *p = *state;
    struct err err;

    probe_start(p, process_spawn(&o, &err));
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_DEAD);
}

/* ---- keepalive ---- */

static void
test_ping_is_answered(void **state)
{
    struct probe *p = *state;
    struct msg *m;

    probe_start_socket(p);
    far_frame(p, HANDLE_PING, 0);
    m = far_read(p);
    assert_int_equal(m->h.handle, HANDLE_PONG);
    msg_unref(m);
    assert_int_equal(await_value(&p->frame), 0);
}

static void
test_silent_peer(void **state)
{
    struct probe *p = *state;
    struct msg *m;

    p->options.keepalive_ms = 20;
    probe_start_socket(p);
    m = far_read(p);
    assert_int_equal(m->h.handle, HANDLE_PING);
    msg_unref(m);
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_DEAD);
    assert_memory_equal(p->why.msg, "no sign of life for ", 20);
}

static void
test_answering_peer(void **state)
{
    struct probe *p = *state;

    p->options.keepalive_ms = 200;
    probe_start_socket(p);
    for (int i = 0; i < 5; i++) { /* longer than three times the keepalive */
        msg_unref(far_read(p));
        far_frame(p, HANDLE_PONG, 0);
    }
    probe_sync(p);
    assert_int_equal(await_value(&p->closed), 0);
}

/* ---- bootstrap ---- */

static void
with_bootstrap(struct probe *p, int64_t ms)
{
    p->options.bootstrap = bootstrap_create(MARKER, NULL, NULL);
    p->options.bootstrap_ms = ms;
}

/* Noise, the marker and the first frames in one read; what was sent meanwhile follows. */
static void
test_boots(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};
    struct msg *m;

    with_bootstrap(p, 600000);
    probe_start_socket(p);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(stream_send(p->s, message(1, i, 100), NULL), 0);
    probe_sync(p);
    buf_printf(&b, "Welcome to web1!\n%s agent\n", MARKER);
    for (uint32_t i = 1; i <= 3; i++)
        frame_append(&b, HANDLE_DYNAMIC, i, i * 1000);
    far_write(p, buf_head(&b), buf_len(&b) - 10);
    await(&p->up);
    await(&p->frame);
    await(&p->frame);
    far_write(p, buf_head(&b) + buf_len(&b) - 10, 10);
    await(&p->frame);
    assert_int_equal(p->last_seq, 3);
    buf_fini(&b);
    for (uint32_t i = 0; i < 3; i++) {
        m = far_read(p);
        assert_int_equal(m->h.seq, i);
        msg_unref(m);
    }
}

static void
test_boots_into_garbage(void **state)
{
    struct probe *p = *state;
    struct buf b = {0};

    with_bootstrap(p, 600000);
    probe_start_socket(p);
    buf_printf(&b, "%s agent\n", MARKER);
    frame_append(&b, HANDLE_DYNAMIC, 1, 10);
    buf_printf(&b, "not a frame, but long enough to be one");
    far_write(p, buf_head(&b), buf_len(&b));
    buf_fini(&b);
    await(&p->closed);
    assert_int_equal(await_value(&p->up), 1);
    assert_int_equal(await_value(&p->frame), 1);
    assert_int_equal(p->why.code, ERR_PROTOCOL);
}

/* The shorter keepalive has no say while booting. */
static void
test_boot_deadline(void **state)
{
    struct probe *p = *state;

    p->options.keepalive_ms = 5;
    with_bootstrap(p, 100);
    probe_start_socket(p);
    far_write(p, "password: ", 10);
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_TIMEOUT);
    assert_non_null(strstr(p->why.msg, "no agent came up in time"));
    assert_non_null(strstr(p->why.msg, "password:"));
    assert_int_equal(await_value(&p->up), 0);
}

/* Endless noise keeps neither the deadline nor other work from the loop. */
static void
test_boot_flood(void **state)
{
    static const char *const argv[] = {"yes", NULL};
    struct process_options o = {.argv = argv};
    struct probe *p = *state;
    struct err err;

    with_bootstrap(p, 50);
    probe_start(p, process_spawn(&o, &err));
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_TIMEOUT);
}

static void
test_boot_ends(void **state)
{
    static const char *const argv[] = {"sh", "-c", "echo hello; echo oops >&2; exit 9", NULL};
    struct process_options o = {.argv = argv};
    struct probe *p = *state;
    struct err err;

    with_bootstrap(p, 600000);
    probe_start(p, process_spawn(&o, &err));
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_BOOTSTRAP);
    assert_non_null(strstr(p->why.msg, "exited with status 9"));
    assert_non_null(strstr(p->why.msg, "oops"));
    assert_non_null(strstr(p->why.msg, "hello"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_probe(test_close_lingers),
        with_probe(test_close_lingers_no_longer),
        with_probe(test_close_over_socket),
        with_probe(test_close_at_once),
        with_probe(test_far_end_closes),
        with_probe(test_close_in_upcall),
        with_probe(test_input),
        with_probe(test_malformed),
        with_probe(test_last_words),
        with_probe(test_text_inside),
        with_probe(test_endless_last_words),
        with_probe(test_ping_is_answered),
        with_probe(test_silent_peer),
        with_probe(test_answering_peer),
        with_probe(test_boots),
        with_probe(test_boots_into_garbage),
        with_probe(test_boot_deadline),
        with_probe(test_boot_flood),
        with_probe(test_boot_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
