/* Context ids: blocks from above, for this process's own children and for theirs. */
#include "tree_test.h"

/* Blocks do not overlap, and grow for who asks again. */
static void
test_blocks(void **state)
{
    struct hub *x = *state;
    uint32_t first = take_block(&x->links[0]), count, next;

    next = take_block(&x->links[1]);
    assert_int_equal(next, first + BLOCK);
    ask_ids(&x->links[0], 1000);
    assert_int_equal(hear_block(&x->links[0], &count, NULL), next + BLOCK);
    assert_int_equal(count, 1000);
    ask_ids(&x->links[0], 1);
    assert_int_equal(hear_block(&x->links[0], &count, NULL), next + BLOCK + 1000);
    assert_int_equal(count, BLOCK + 1000);
}

/* Nobody gets them all. */
static void
test_blocks_end(void **state)
{
    struct hub *x = *state;
    uint32_t count, first;
    char *why;

    for (int i = 0; i < 16; i++) {
        ask_ids(&x->links[0], 1u << 20);
        hear_block(&x->links[0], &count, NULL);
        assert_int_equal(count, 1u << 20);
    }
    for (uint32_t n = 1;; n = 0) {
        ask_ids(&x->links[0], n);
        first = hear_block(&x->links[0], &count, &why);
        assert_int_equal(first + count, 0);
        assert_string_equal(why, "child has got 16777216 ids for contexts, and gets no more");
        free(why);
        if (n == 0)
            break;
    }
    take_block(&x->links[1]);
}

struct want {
    struct id_wait w;
    struct router *router;
    uint32_t first;
    struct err why;
    sem_t done;
};

static void
on_ids(struct id_wait *w, uint32_t first, const struct err *why)
{
    struct want *v = owner_of(w, struct want, w);

    v->first = first;
    if (!first)
        v->why = *why;
    sem_post(&v->done);
}

static void
want(void *arg)
{
    struct want *v = arg;

    router_want_ids(v->router, &v->w);
}

static void
unwant(void *arg)
{
    struct want *v = arg;

    router_unwant_ids(v->router, &v->w);
}

static void
want_ids(struct hub *x, struct want *v)
{
    *v = (struct want){.w = {.count = 1, .fn = on_ids}, .router = x->router};
    sem_init(&v->done, 0, 0);
    loop_sync(x->loop, want, v);
}

/* An agent asks its parent once for all that wait, and gives out of what it gets. */
static void
test_ids_from_above(void **state)
{
    struct hub *x = *state;
    struct want a, b, c;
    uint32_t count;

    want_ids(x, &a);
    assert_int_equal(hear_number(&x->links[0], HANDLE_IDS), 1 + BLOCK);
    want_ids(x, &b);
    want_ids(x, &c);
    loop_sync(x->loop, unwant, &c);
    loop_sync(x->loop, unwant, &c);
    ask_ids(&x->links[1], 1);
    grant_ids(&x->links[0], 100, 10, "");
    await(&a.done);
    await(&b.done);
    assert_int_equal(a.first, 100);
    assert_int_equal(b.first, 101);
    assert_int_equal(hear_number(&x->links[0], HANDLE_IDS), 2 * BLOCK); /* the child's */
    want_ids(x, &a);                                                    /* in turn */
    grant_ids(&x->links[0], 200, 2 * BLOCK, "");
    assert_int_equal(hear_block(&x->links[1], &count, NULL), 200);
    assert_int_equal(count, BLOCK);
    await(&a.done);
    assert_int_equal(a.first, 200 + BLOCK);
    assert_int_equal(c.first, 0);
}

static void
test_ids_refused(void **state)
{
    struct hub *x = *state;
    struct want a;
    uint32_t count;
    char *why;

    ask_ids(&x->links[1], 1);
    assert_int_equal(hear_number(&x->links[0], HANDLE_IDS), 2 * BLOCK);
    want_ids(x, &a);
    grant_ids(&x->links[0], 0, 0, "none are left");
    assert_int_equal(hear_block(&x->links[1], &count, &why), 0);
    assert_string_equal(why, "none are left");
    free(why);
    await(&a.done);
    assert_int_equal(a.first, 0);
    assert_int_equal(a.why.code, ERR_LIMIT);
    assert_string_equal(a.why.msg, "none are left");
    want_ids(x, &a);
    assert_int_equal(hear_number(&x->links[0], HANDLE_IDS), 1 + BLOCK);
    link_cut(&x->links[0]);
    await(&a.done);
    assert_int_equal(a.why.code, ERR_CLOSED);
    while (x->mb && mailbox_has(x->mb))
        msg_unref(hub_take(x));
}

/* One that is lost waits for nothing. */
static void
test_ids_for_nobody(void **state)
{
    struct hub *x = *state;
    struct want a;

    ask_ids(&x->links[1], 1);
    assert_int_equal(hear_number(&x->links[0], HANDLE_IDS), 2 * BLOCK);
    link_cut(&x->links[1]);
    assert_int_equal(hear_number(&x->links[0], HANDLE_GONE), 6);
    want_ids(x, &a);
    grant_ids(&x->links[0], 100, 1, "");
    await(&a.done);
    assert_int_equal(a.first, 100);
    msg_unref(hub_take(x));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_blocks),
        as_controller(test_blocks_end),
        as_agent(test_ids_from_above),
        as_agent(test_ids_refused),
        as_agent(test_ids_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
