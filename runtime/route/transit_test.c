/* What comes in on streams: messages in pieces, siblings, and who waits for whom. */
#include "counters.h"
#include "router_test.h"

static void
nothing_to_do(void *arg)
{
}

static void
say(struct link *l, struct frame_header h, uint32_t length)
{
    struct msg *m = msg_new(length);
    size_t sent = 0;

    m->h = h;
    m->h.length = length;
    for (uint32_t i = 0; i < length; i++)
        msg_payload(m)[i] = (uint8_t)(h.seq + i % 251);
    msg_seal(m);
    while (sent < FRAME_HEADER + (size_t)length) {
        ssize_t n = send(l->far, m->wire + sent, FRAME_HEADER + length - sent, MSG_NOSIGNAL);

        assert_true(n > 0);
        sent += (size_t)n;
    }
    msg_unref(m);
}

static struct frame_header
with_flags(struct frame_header h, int flags)
{
    h.flags |= (uint8_t)flags;
    return h;
}

/* The first, the middle and the last piece: FRAME_PIECE, FRAME_PIECE and 10 bytes. */
static void
say_piece(struct link *l, struct frame_header h, int which)
{
    static const int flags[] = {FRAME_MORE, FRAME_MORE | FRAME_CONT, FRAME_CONT};

    say(l, with_flags(h, flags[which]), which < 2 ? FRAME_PIECE : 10);
}

static void
assert_pieces(struct msg *m, uint8_t seq)
{
    uint32_t wrong = 0;

    assert_int_equal(m->h.length, 2 * FRAME_PIECE + 10);
    assert_int_equal(m->h.flags, 0);
    for (uint32_t i = 0; i < m->h.length; i++)
        wrong += msg_payload(m)[i] != (uint8_t)(seq + i % FRAME_PIECE % 251);
    assert_int_equal(wrong, 0);
    msg_unref(m);
}

static void
expect_closed(struct link *l, const char *why)
{
    struct err err;

    await(&l->closed);
    sem_post(&l->closed);
    assert_true(stream_send(l->s, msg_new(0), &err) < 0);
    assert_string_equal(err.msg, why);
}

/* ---- pieces ---- */

/* Two messages of one source at the same time, and what may come between. */
static void
test_pieces(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header h = {.dst = 1, .src = 2, .handle = x->reply, .seq = 5};
    struct frame_header bulk = {
        .dst = 1, .src = 2, .handle = x->reply, .seq = 6, .flags = FRAME_BULK};
    struct msg *m;

    say_piece(l, bulk, 0);
    say_piece(l, h, 0);
    link_say(l, (struct frame_header){.handle = HANDLE_PING});
    m = link_answer(l); /* urgent */
    assert_int_equal(m->h.handle, HANDLE_PONG);
    msg_unref(m);
    say_piece(l, bulk, 1);
    link_say(l,
        (struct frame_header){
            .dst = 1, .src = 2, .handle = x->reply, .seq = 9, .flags = FRAME_DEAD});
    m = hub_take(x); /* a router on the way */
    assert_int_equal(m->h.seq, 9);
    msg_unref(m);
    say_piece(l, h, 1);
    say_piece(l, h, 2);
    assert_pieces(hub_take(x), 5);
    link_say(l, h);
    m = hub_take(x);
    assert_int_equal(m->h.length, 4);
    msg_unref(m);
    say_piece(l, bulk, 2);
    assert_pieces(hub_take(x), 6);
    assert_null(mailbox_take(x->mb, 0));
}

/* What this process sends comes in pieces, the largest too; for itself it stays whole. */
static void
test_pieces_out(void **state)
{
    struct hub *x = *state;
    struct msg *m = msg_new(FRAME_MAX_PAYLOAD);
    uint32_t pieces = FRAME_MAX_PAYLOAD / FRAME_PIECE;
    struct err err;

    memset(msg_payload(m), 7, FRAME_MAX_PAYLOAD);
    m->h.handle = 2000;
    assert_int_equal(router_send(x->links[0].context, m, &err), 0);
    for (uint32_t i = 0; i < pieces; i++) {
        m = link_answer(&x->links[0]);
        assert_int_equal(m->h.length, FRAME_PIECE);
        assert_int_equal(m->h.flags, (i > 0 ? FRAME_CONT : 0) | (i + 1 < pieces ? FRAME_MORE : 0));
        msg_unref(m);
    }
}

/* Each piece goes on as it comes: nobody waits here for the whole. */
static void
test_cut_through(void **state)
{
    struct hub *x = *state;
    struct frame_header h = {.dst = 6, .src = 1, .auth = 1, .handle = 16, .seq = 5};

    for (int i = 0; i < 3; i++) {
        struct msg *m;

        say_piece(&x->links[0], h, i);
        m = link_answer(&x->links[1]);
        assert_int_equal(m->h.length, i < 2 ? FRAME_PIECE : 10);
        assert_int_equal(m->h.flags, (i < 2 ? FRAME_MORE : 0) | (i > 0 ? FRAME_CONT : 0));
        assert_int_equal(m->h.auth, 1);
        msg_unref(m);
    }
}

static void
test_wrong_piece(void **state)
{
    struct hub *x = *state;
    struct frame_header h = {.dst = 1, .src = 2, .handle = 5000, .seq = 5};

    say_piece(&x->links[0], h, 0);
    h.seq = 6;
    say_piece(&x->links[0], h, 1);
    expect_closed(&x->links[0],
        "malformed input from the far side: context 2: a message for #5000 in the middle of "
        "another "
        "for #5000");
    h = (struct frame_header){.dst = 1, .src = 3, .handle = HANDLE_CREDIT};
    say_piece(&x->links[1], h, 0);
    expect_closed(&x->links[1],
        "malformed input from the far side: context 3: a piece of a message for CREDIT, which has "
        "none");
}

static void
test_whole_message_among_pieces(void **state)
{
    struct hub *x = *state;
    struct frame_header h = {.dst = 1, .src = 2, .handle = 5000, .seq = 5};

    say_piece(&x->links[0], h, 0);
    link_say(&x->links[0], h);
    expect_closed(&x->links[0],
        "malformed input from the far side: context 2: a message for #5000 in the middle of "
        "another "
        "for #5000");
}

/* What the parent hands on may be somebody else's fault: dropped, and no more than that. */
static void
test_wrong_piece_from_above(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header h = {.dst = 5, .src = 99, .auth = 99, .handle = x->reply, .seq = 5};

    say_piece(l, h, 0);
    link_say(l, h);
    say_piece(l, h, 0);
    say_piece(l, h, 1);
    say_piece(l, h, 2);
    assert_pieces(hub_take(x), 5);
    assert_null(mailbox_take(x->mb, 0));
}

static void
test_too_many_pieces(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header h = {.dst = 1, .src = 2, .handle = 5000};

    say_piece(l, h, 0);
    for (uint32_t i = 1; i < FRAME_MAX_PAYLOAD / FRAME_PIECE; i++)
        say_piece(l, h, 1);
    say_piece(l, h, 2);
    expect_closed(l,
        "malformed input from the far side: context 2: a message of more than 67108864 "
        "bytes for #5000");
}

/* The beginning was refused on the way: the rest goes nowhere, and is answered for once. */
static void
test_stray_pieces(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header h = {.dst = 1, .src = 2, .handle = x->reply, .reply = 50, .seq = 5};
    struct msg *m;

    say_piece(l, h, 1);
    say_piece(l, h, 1);
    say_piece(l, h, 2);
    m = link_answer(l);
    assert_int_equal(m->h.handle, 50);
    assert_int_equal(dead_code(m), ERR_LIMIT);
    msg_unref(m);
    link_silent(l);
    say_piece(l, h, 0);
    say_piece(l, h, 1);
    say_piece(l, h, 2);
    assert_pieces(hub_take(x), 5);
}

/* One answer, though each piece was refused. */
static void
test_pieces_to_nobody(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header h = {.dst = 3, .src = 2, .handle = 16, .reply = 50, .seq = 5};
    struct msg *m;

    for (int i = 0; i < 3; i++)
        say_piece(l, h, i);
    m = link_answer(l);
    assert_int_equal(m->h.handle, 50);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
    link_silent(l);
}

static uint64_t
dropped(void)
{
    struct counters c;

    counters_read(&c);
    return c.value[COUNT_messages_dropped];
}

static void
test_lost_with_pieces(void **state)
{
    struct hub *x = *state;
    struct frame_header h = {.dst = 1, .src = 2, .handle = x->reply};
    uint64_t before;

    say_piece(&x->links[0], h, 0);
    say_piece(&x->links[0], with_flags(h, FRAME_BULK), 0);
    link_say(&x->links[0], (struct frame_header){.handle = HANDLE_PING});
    msg_unref(link_answer(&x->links[0])); /* behind them */
    before = dropped();
    link_cut(&x->links[0]);
    assert_int_equal(dropped(), before + 2);
}

/* ---- siblings ---- */

static void
allow(struct hub *x, uint32_t a, uint32_t b)
{
    struct err err;

    assert_int_equal(router_allow(x->router, a, b, &err), 0);
}

static void
test_siblings(void **state)
{
    struct hub *x = *state;
    struct frame_header h = {
        .dst = 3, .src = 2, .auth = 1, .handle = 5000, .reply = 6000, .seq = 7};
    struct err err;
    struct msg *m;

    allow(x, 2, 3);
    allow(x, 3, 2);
    link_say(&x->links[0], h);
    m = link_answer(&x->links[1]);
    assert_int_equal(m->h.src, 2);
    assert_int_equal(m->h.auth, 2); /* not what it claimed */
    assert_int_equal(m->h.handle, 5000);
    assert_int_equal(m->h.reply, 6000);
    assert_int_equal(m->h.seq, 7);
    msg_unref(m);
    link_say(&x->links[1], (struct frame_header){.dst = 2, .src = 3, .handle = 6000, .seq = 7});
    m = link_answer(&x->links[0]);
    assert_int_equal(m->h.src, 3);
    assert_int_equal(m->h.handle, 6000);
    msg_unref(m);
    link_say(&x->links[1], (struct frame_header){.dst = 2, .src = 3, .handle = HANDLE_CREDIT});
    m = link_hear(&x->links[0]);
    assert_int_equal(m->h.handle, HANDLE_CREDIT);
    msg_unref(m);
    h.handle = HANDLE_CALL; /* the services of a context are its parents' */
    link_say(&x->links[0], h);
    m = link_answer(&x->links[0]);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
    assert_int_equal(router_allow(x->router, 2, 77, &err), ERR_DEAD);
    assert_string_equal(err.msg, "context 77 is not known here (any more)");
    assert_int_equal(router_allow(x->router, 1, 2, &err), ERR_DEAD);
}

/* The end of one is told to the other, which may wait for an answer; and it ends what was allowed. */
/* Who may not send, or sends to what is closed, is told. */
static void
test_refused_sender(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    static const uint32_t dst[] = {3, 1};
    static const int codes[] = {ERR_DENIED, ERR_CLOSED};

    for (int i = 0; i < 2; i++) {
        struct unpack u;
        struct msg *m;

        link_say(l, (struct frame_header){.dst = dst[i], .src = 2, .handle = 5000});
        m = link_hear(l);
        assert_int_equal(m->h.handle, HANDLE_CLOSED);
        assert_int_equal(m->h.src, dst[i]);
        assert_int_equal(m->h.dst, 2);
        unpack_init(&u, msg_payload(m), m->h.length);
        assert_int_equal(unpack_u32(&u), 5000);
        assert_int_equal(-unpack_u8(&u), codes[i]);
        msg_unref(m);
    }
}

static void
test_may_know(void **state)
{
    struct hub *x = *state;
    struct err err;

    assert_true(router_may_know(x->router, 2, 2));
    assert_true(router_may_know(x->router, 2, 1));
    assert_true(router_may_know(x->router, 1, 2));  /* what is above is believed */
    assert_true(router_may_know(x->router, 2, 99)); /* there is no harm in what is not there */
    assert_false(router_may_know(x->router, 2, 3));
    assert_int_equal(router_allow(x->router, 3, 2, &err), 0);
    assert_true(router_may_know(x->router, 2, 3));
}

static void
test_lost_sibling(void **state)
{
    struct hub *x = *state;
    struct msg *m;
    struct err err;

    allow(x, 2, 3);
    link_cut(&x->links[0]);
    m = link_answer(&x->links[1]);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, 2);
    assert_int_equal(m->h.dst, 3);
    assert_int_equal(dead_code(m), ERR_CLOSED);
    msg_unref(m);
    assert_int_equal(router_allow(x->router, 2, 3, &err), ERR_DEAD);
    link_silent(&x->links[1]);
}

/* The other side of it: what had begun to come is dropped, and all that listen here are told. */
static void
test_hears_of_lost_sibling(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct frame_header to = {.src = 5, .dst = 99, .reply = HANDLE_DEAD};
    struct frame_header h = {.dst = 5, .src = 99, .auth = 99, .handle = x->reply};
    struct err why = {ERR_DEAD, "gone"};
    struct msg *m = msg_dead(&to, &why, "web9");

    say_piece(l, h, 0);
    msg_seal(m);
    assert_int_equal(send(l->far, m->wire, FRAME_HEADER + m->h.length, MSG_NOSIGNAL),
        FRAME_HEADER + m->h.length);
    msg_unref(m);
    m = hub_take(x);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, 99);
    assert_int_equal(dead_code(m), ERR_DEAD);
    msg_unref(m);
    say_piece(l, h, 2); /* too late */
    link_say(l, h);
    m = hub_take(x);
    assert_int_equal(m->h.length, 4);
    msg_unref(m);
    /* From below nobody is believed that. */
    link_say(&x->links[1], (struct frame_header){.dst = 5, .src = 6, .handle = HANDLE_DEAD});
    link_silent(&x->links[1]);
    assert_null(mailbox_take(x->mb, 0));
}

/* ---- what it costs ---- */

/* Read, routed and written inside one turn of the loop: one wait, one read, one write. */
static void
test_one_turn(void **state)
{
    struct hub *x = *state;
    struct counters before, after;
    const uint64_t count = 200;

    allow(x, 2, 3);
    loop_sync(x->loop, nothing_to_do, NULL);
    counters_read(&before);
    for (uint32_t i = 0; i < count; i++) {
        link_say(&x->links[0], (struct frame_header){.dst = 3, .src = 2, .handle = 5000});
        msg_unref(link_answer(&x->links[1]));
    }
    loop_sync(x->loop, nothing_to_do, NULL);
    counters_read(&after);
    assert_int_equal(
        after.value[COUNT_messages_forwarded] - before.value[COUNT_messages_forwarded], count);
    assert_in_range(
        after.value[COUNT_loop_turns] - before.value[COUNT_loop_turns], count, count + 2);
    assert_int_equal(after.value[COUNT_sys_write] - before.value[COUNT_sys_write], count);
    assert_int_equal(after.value[COUNT_sys_read] - before.value[COUNT_sys_read], count);
    assert_int_equal(after.value[COUNT_poller_changes] - before.value[COUNT_poller_changes], 0);
    assert_true(after.value[COUNT_loop_wakeups] - before.value[COUNT_loop_wakeups] <= 1);
}

/* ---- backpressure ---- */

#define FLOOD 400 /* messages of FLOOD_SIZE */
#define FLOOD_SIZE 100000u

struct flood {
    struct link *l;
    atomic_int said;
    pthread_t thread;
};

static void *
flood(void *arg)
{
    struct flood *f = arg;

    for (uint32_t i = 0; i < FLOOD; i++) {
        say(f->l, (struct frame_header){.dst = 3, .src = 2, .handle = 5000, .seq = i}, FLOOD_SIZE);
        f->said++;
    }
    return NULL;
}

/* Queues of more than 4 MiB make their source wait; a message more may come in while it is stopped. */
static void
await_backlog(struct hub *x)
{
    while (stream_queued(x->links[1].s) <= 4u << 20)
        loop_sync(x->loop, nothing_to_do, NULL);
}

/* A context that does not read stops the one that writes to it, and nobody else. */
static void
test_slow_reader(void **state)
{
    struct hub *x = *state;
    struct link *third = hub_link(x, 7);
    struct flood f = {.l = &x->links[0]};

    allow(x, 2, 3);
    assert_int_equal(pthread_create(&f.thread, NULL, flood, &f), 0);
    await_backlog(x);
    for (uint32_t i = 0; i < 100; i++) {
        struct msg *m;

        link_say(third, (struct frame_header){.dst = 1, .src = 7, .handle = x->reply, .seq = i});
        m = hub_take(x);
        assert_int_equal(m->h.seq, i);
        msg_unref(m);
    }
    assert_true(stream_queued(x->links[1].s) <= (4u << 20) + 2 * FLOOD_SIZE);
    assert_true(f.said < FLOOD);
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct msg *m = link_answer(&x->links[1]);

        assert_int_equal(m->h.seq, i);
        assert_int_equal(m->h.length, FLOOD_SIZE);
        msg_unref(m);
    }
    pthread_join(f.thread, NULL);
    link_silent(&x->links[0]);
}

/* The slow reader is lost: its writer goes on, and hears so. */
static void
test_slow_reader_lost(void **state)
{
    struct hub *x = *state;
    struct flood f = {.l = &x->links[0]};
    struct msg *m;

    allow(x, 2, 3);
    assert_int_equal(pthread_create(&f.thread, NULL, flood, &f), 0);
    await_backlog(x);
    link_cut(&x->links[1]);
    m = link_answer(&x->links[0]);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, 3);
    msg_unref(m);
    pthread_join(f.thread, NULL);
    link_silent(&x->links[0]);
}

/* The writer is lost while it is stopped: what it had written still arrives. */
static void
test_stopped_writer_lost(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    struct flood f = {.l = l};
    uint32_t i;

    allow(x, 2, 3);
    assert_int_equal(pthread_create(&f.thread, NULL, flood, &f), 0);
    await_backlog(x);
    for (i = 0; i < FLOOD; i++)
        msg_unref(link_answer(&x->links[1]));
    pthread_join(f.thread, NULL);
    say_piece(l, (struct frame_header){.dst = 3, .src = 2, .handle = 5000}, 0);
    close(l->far);
    l->far = dup(0);
    for (uint32_t handle = 5000; handle != HANDLE_DEAD;) {
        struct msg *m = link_answer(&x->links[1]);

        handle = m->h.handle;
        msg_unref(m);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_pieces),
        as_controller(test_pieces_out),
        as_agent(test_cut_through),
        as_controller(test_wrong_piece),
        as_controller(test_whole_message_among_pieces),
        as_agent(test_wrong_piece_from_above),
        as_controller(test_too_many_pieces),
        as_controller(test_stray_pieces),
        as_controller(test_pieces_to_nobody),
        as_controller(test_lost_with_pieces),
        as_controller(test_siblings),
        as_controller(test_refused_sender),
        as_controller(test_may_know),
        as_controller(test_lost_sibling),
        as_agent(test_hears_of_lost_sibling),
        as_controller(test_one_turn),
        as_controller(test_slow_reader),
        as_controller(test_slow_reader_lost),
        as_controller(test_stopped_writer_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
