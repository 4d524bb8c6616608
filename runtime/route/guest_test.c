/* Guests: who acts in our name below us, and nowhere else. */
#include "router_test.h"

static void
expect_denied(struct link *l, struct frame_header h)
{
    struct msg *m;

    h.reply = 4242;
    link_say(l, h);
    m = link_answer(l);
    assert_int_equal(m->h.handle, 4242);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
}

/* It acts in our name below us; who hears from it may answer, and hears of its end. */
static void
test_guest(void **state)
{
    struct hub *x = *state;
    struct link *guest = hub_link(x, LINK_GUEST);
    struct msg *m;

    expect_denied(&x->links[0],
        (struct frame_header){.dst = LINK_GUEST, .src = 2, .handle = 5000}); /* not asked */
    link_say(guest,
        (struct frame_header){
            .dst = 2, .src = LINK_GUEST, .auth = 3, .handle = HANDLE_CALL, .reply = 6000});
    m = link_answer(&x->links[0]);
    assert_int_equal(m->h.src, LINK_GUEST);
    assert_int_equal(m->h.auth, 1);
    assert_int_equal(m->h.handle, HANDLE_CALL);
    msg_unref(m);
    link_say(&x->links[0], (struct frame_header){.dst = LINK_GUEST, .src = 2, .handle = 6000});
    m = link_answer(guest);
    assert_int_equal(m->h.handle, 6000);
    assert_int_equal(m->h.auth, 2);
    msg_unref(m);
    expect_denied(
        &x->links[0], (struct frame_header){.dst = LINK_GUEST, .src = 2, .handle = HANDLE_CALL});
    link_cut(guest);
    m = link_answer(&x->links[0]);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, LINK_GUEST);
    msg_unref(m);
    link_silent(&x->links[1]); /* it has nothing to do with that */
}

static void
not_called(struct router *r, struct msg *m, void *arg)
{
    fail_msg("a guest must not get here");
}

static void
test_guest_is_no_parent(void **state)
{
    static const struct handle_ops ops = {.message = not_called};
    struct hub *x = *state;
    struct link *guest = hub_link(x, LINK_GUEST);
    uint32_t self = router_self(x->router), below = x->agent ? 6 : 3;
    struct msg *m;

    router_listen(x->router, HANDLE_CALL, HANDLE_FROM_PARENT, &ops, NULL);
    expect_denied(guest,
        (struct frame_header){.dst = self, .src = LINK_GUEST, .auth = self, .handle = HANDLE_CALL});
    expect_denied(
        guest, (struct frame_header){.dst = below, .src = LINK_GUEST, .handle = HANDLE_MODULE});
    link_say(guest, (struct frame_header){.dst = below, .src = LINK_GUEST, .handle = HANDLE_DEAD});
    link_say(guest, (struct frame_header){.dst = below, .src = self, .handle = HANDLE_CALL});
    if (x->agent)
        expect_denied(
            guest, (struct frame_header){.dst = 4, .src = LINK_GUEST, .handle = HANDLE_CALL});
    link_say(
        guest, (struct frame_header){.dst = self, .src = LINK_GUEST, .handle = x->reply, .seq = 8});
    m = hub_take(x);
    assert_int_equal(m->h.auth, LINK_GUEST);
    msg_unref(m);
    link_silent(&x->links[1]);
    link_cut(guest);
    router_unlisten(x->router, HANDLE_CALL);
}

static void
test_below(void **state)
{
    struct hub *x = *state;
    struct context **list;

    hub_link(x, LINK_GUEST);
    assert_int_equal(router_below(x->router, &list), 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(list[i]->id, 2 + i);
        context_unref(list[i]);
    }
    free(list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_guest),
        as_controller(test_guest_is_no_parent),
        as_agent(test_guest_is_no_parent),
        as_controller(test_below),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
