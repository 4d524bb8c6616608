/* What routers tell each other: routes, ends, who may talk; and what is forged of it. */
#include "tree_test.h"

/* ---- routes ---- */

static void
test_route(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    uint32_t id = grow(l);
    struct context *c = router_context(x->router, id);
    struct msg *m;

    assert_string_equal(c->name, "inner");
    assert_string_equal(c->route, "test:child/local:inner");
    assert_int_equal(c->via, 2);
    assert_ptr_equal(c->stream, l->s);
    link_say(l, (struct frame_header){.dst = 1, .src = id, .auth = 1, .handle = x->reply});
    m = hub_take(x);
    assert_int_equal(m->h.src, id);
    assert_int_equal(m->h.auth, 2); /* the child answers for all behind it */
    msg_unref(m);
    m = msg_new(0);
    m->h.handle = 16;
    assert_int_equal(router_send(c, m, NULL), 0);
    m = link_answer(l);
    assert_int_equal(m->h.dst, id);
    assert_int_equal(m->h.src, 1);
    msg_unref(m);
    context_unref(c);
}

/* What may go to a terminal is made fit for it. */
static void
test_route_is_clean(void **state)
{
    struct hub *x = *state;
    uint32_t id = take_block(&x->links[0]);
    struct context *c;

    announce(&x->links[0], 2, id, "a\033[2Jb", "test:child/\n");
    link_silent(&x->links[0]);
    c = router_context(x->router, id);
    assert_string_equal(c->name, "a?[2Jb");
    assert_string_equal(c->route, "test:child/?");
    context_unref(c);
}

static void
test_forged_routes(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    uint32_t inner = grow(l), other = take_block(&x->links[1]);
    const uint32_t forged[] = {0, 1, 2, 3, inner, inner + BLOCK, other, other + 1, 0xffffffff};
    char *longest = xcalloc(1, CONTEXT_TEXT_MAX + 1);
    uint64_t before = dropped();

    for (int i = 0; i < 9; i++)
        announce(l, 2, forged[i], "forged", "test:child/x");
    announce(l, 2, inner + 1, "forged", "test:child");
    announce(l, 2, inner + 1, "forged", "test:childish/x");
    announce(l, 2, inner + 1, "forged", "ssh:db1");
    announce(l, inner, inner + 1, "forged", "test:child/x"); /* only who is at the other end */
    announce(l, 3, inner + 1, "forged", "test:child/x");
    memset(longest, 'n', CONTEXT_TEXT_MAX);
    announce(l, 2, inner + 1, longest, "test:child/x");
    link_silent(l);
    assert_int_equal(dropped(), before + 15 + 1); /* and what asks for silence */
    assert_false(is_known(x, inner + 1));
    assert_false(is_known(x, inner + BLOCK));
    assert_false(is_known(x, other));
    announce(&x->links[1], 3, other, "right", "test:child/x");
    link_silent(&x->links[1]);
    assert_true(is_known(x, other));
    free(longest);
}

static void
test_forged_ends(void **state)
{
    struct hub *x = *state;
    uint32_t inner = grow(&x->links[0]), other = grow(&x->links[1]);
    const uint32_t forged[] = {0, 1, 2, 3, inner + 1, other, 77};
    uint64_t before = dropped();

    for (int i = 0; i < 7; i++)
        withdraw(&x->links[0], forged[i], "forged");
    say_allow(&x->links[0], 2, 3);
    link_silent(&x->links[0]);
    assert_int_equal(dropped(), before + 8 + 1);
    assert_true(is_known(x, 2) && is_known(x, 3) && is_known(x, inner) && is_known(x, other));
    assert_null(mailbox_take(x->mb, 0));
    /* Allowed it is not: */
    link_say(&x->links[0], (struct frame_header){.dst = 3, .src = 2, .handle = 5000, .reply = 50});
    {
        struct msg *m = link_answer(&x->links[0]);

        assert_int_equal(m->h.src, 3);
        assert_int_equal(dead_code(m), ERR_DENIED);
        msg_unref(m);
    }
    link_silent(&x->links[1]);
}

static void
test_malformed(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];

    link_say(l, (struct frame_header){.dst = 1, .src = 2, .handle = HANDLE_ROUTE});
    await(&l->closed);
    sem_post(&l->closed);
    assert_false(is_known(x, 2));
    msg_unref(hub_take(x));
    link_silent(&x->links[1]);
}

/* An agent passes all of it on, and what it does not know is its parent's to find. */
static void
test_passed_on(void **state)
{
    struct hub *x = *state;
    struct link *up = &x->links[0], *l = &x->links[1];
    struct unpack u;
    uint32_t count;
    struct msg *m;
    char *route;

    ask_ids(l, 1);
    hear_number(up, HANDLE_IDS);
    grant_ids(up, 100, 2 * BLOCK, "");
    assert_int_equal(hear_block(l, &count, NULL), 100);
    announce(l, 6, 100, "inner", "test:child/local:inner");
    m = hear(up, HANDLE_ROUTE, &u);
    assert_int_equal(m->h.src, 5);
    assert_int_equal(unpack_u32(&u), 100);
    free(unpack_str(&u));
    route = unpack_str(&u);
    assert_string_equal(route, "test:child/local:inner");
    free(route);
    msg_unref(m);
    link_say(l, (struct frame_header){.dst = 77, .src = 100, .auth = 1, .handle = 5000, .seq = 3});
    m = link_answer(up);
    assert_int_equal(m->h.dst, 77);
    assert_int_equal(m->h.src, 100);
    assert_int_equal(m->h.auth, 6);
    msg_unref(m);
    withdraw(l, 100, "was killed");
    m = hear(up, HANDLE_GONE, &u);
    assert_int_equal(unpack_u32(&u), 100);
    assert_int_equal(unpack_u8(&u), -ERR_DEAD);
    route = unpack_str(&u);
    assert_string_equal(route, "was killed");
    free(route);
    msg_unref(m);
    msg_unref(hub_take(x)); /* its handles are told */
    /* Who sends there from above hears of it behind what has gone up already, and of nothing before. */
    link_say(up, (struct frame_header){.dst = 100, .src = 1, .auth = 1, .handle = 16, .reply = 5});
    link_say(up, (struct frame_header){.dst = 6, .src = 1, .auth = 1, .handle = 16, .seq = 4});
    m = link_answer(l);
    assert_int_equal(m->h.seq, 4);
    msg_unref(m);
    assert_false(is_known(x, 100));
    assert_true(is_known(x, 99)); /* it may be elsewhere */
}

/* ---- ends ---- */

static void
test_end_behind(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    uint32_t id = grow(l);
    struct context *c = router_context(x->router, id);
    struct err err;
    struct msg *m;

    assert_int_equal(router_allow(x->router, id, 3, &err), 0);
    withdraw(l, id, "was killed\a");
    m = hub_take(x);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, id);
    assert_int_equal(dead_code(m), ERR_DEAD);
    msg_unref(m);
    m = link_answer(&x->links[1]);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, id);
    msg_unref(m);
    assert_true(c->dead);
    assert_int_equal(router_send(c, msg_new(0), &err), ERR_DEAD);
    assert_string_equal(err.msg, "was killed?");
    assert_false(is_known(x, id));
    withdraw(l, id, "again");
    link_silent(l);
    assert_null(mailbox_take(x->mb, 0));
    context_unref(c);
}

/* A stream takes all behind it along, and they say which it was. */
static void
test_end_of_link(void **state)
{
    struct hub *x = *state;
    uint32_t id = grow(&x->links[0]);
    struct context *c = router_context(x->router, id);
    struct err err;

    link_cut(&x->links[0]);
    for (int i = 0; i < 2; i++) {
        struct msg *m = hub_take(x);

        assert_true(m->h.src == 2 || m->h.src == id);
        msg_unref(m);
    }
    assert_int_equal(router_send(x->links[0].context, msg_new(0), &err), ERR_CLOSED);
    assert_string_equal(err.msg, "the link was cut");
    assert_int_equal(router_send(c, msg_new(0), &err), ERR_CLOSED);
    assert_string_equal(err.msg, "lost with test:child: the link was cut");
    context_unref(c);
}

/* ---- who may talk ---- */

/* Whose nearest common ancestor is further down is for that to see to. */
static void
test_allow_below(void **state)
{
    struct hub *x = *state;
    struct link *l = &x->links[0];
    uint32_t a = grow(l), b = a + 1;
    struct unpack u;
    struct msg *m;
    struct err err;

    announce(l, 2, b, "other", "test:child/local:other");
    link_silent(l);
    assert_int_equal(router_allow(x->router, a, b, &err), 0);
    m = hear(l, HANDLE_ALLOW, &u);
    assert_int_equal(unpack_u32(&u), a);
    assert_int_equal(unpack_u32(&u), b);
    msg_unref(m);
    assert_int_equal(router_allow(x->router, a, 2, &err), 0); /* they may */
    assert_int_equal(router_allow(x->router, a, 3, &err), 0);
    link_silent(l);
    link_say(l, (struct frame_header){.dst = 3, .src = a, .auth = 1, .handle = 5000, .seq = 8});
    m = link_answer(&x->links[1]);
    assert_int_equal(m->h.src, a);
    assert_int_equal(m->h.auth, 2);
    msg_unref(m);
    link_say(&x->links[1], (struct frame_header){.dst = a, .src = 3, .handle = 5000, .seq = 9});
    m = link_answer(l);
    assert_int_equal(m->h.dst, a);
    assert_int_equal(m->h.seq, 9);
    msg_unref(m);
    /* Its neighbour may not. */
    link_say(l, (struct frame_header){.dst = 3, .src = b, .handle = 5000, .reply = 50});
    m = link_answer(l);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
}

static void
test_allowed_from_above(void **state)
{
    struct hub *x = *state;
    struct link *up = &x->links[0], *l = &x->links[1], *other = hub_link(x, 7);
    struct msg *m;

    assert_int_equal(hear_number(up, HANDLE_ROUTE), 7);
    say_allow(up, 6, 7);
    link_say(up, (struct frame_header){.dst = 6, .src = 1, .auth = 1, .handle = 16});
    msg_unref(link_answer(l)); /* so that was seen */
    link_say(l, (struct frame_header){.dst = 7, .src = 6, .handle = 5000, .seq = 8});
    m = link_answer(other);
    assert_int_equal(m->h.seq, 8);
    msg_unref(m);
    say_allow(up, 99, 7); /* one of them was lost meanwhile */
    m = link_answer(other);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, 99);
    assert_int_equal(dead_code(m), ERR_DEAD);
    msg_unref(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_route),
        as_controller(test_route_is_clean),
        as_controller(test_forged_routes),
        as_controller(test_forged_ends),
        as_controller(test_malformed),
        as_agent(test_passed_on),
        as_controller(test_end_behind),
        as_controller(test_end_of_link),
        as_controller(test_allow_below),
        as_agent(test_allowed_from_above),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
