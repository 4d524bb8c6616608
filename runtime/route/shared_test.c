/* Handles that several mailboxes share, and handles that move from one to another. */
#include "router_test.h"
#include "shared.h"

#define MESSAGES 2000
#define TAKERS 4

static void
ask(struct hub *x, uint32_t handle, uint32_t seq)
{
    struct context *self = router_context(x->router, 1);
    struct msg *m = msg_with(handle, "load", 4);

    m->h.seq = seq;
    m->h.reply = x->reply;
    assert_int_equal(router_send(self, m, NULL), 0);
    context_unref(self);
}

static struct msg *
take(struct mailbox *mb)
{
    struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);

    assert_non_null(m);
    return m;
}

static void
test_nobody(void **state)
{
    struct hub *x = *state;
    struct shared *s = shared_create(x->router, HANDLE_MODULE, HANDLE_FROM_ANYONE);
    struct msg *m;

    ask(x, HANDLE_MODULE, 5);
    m = hub_take(x);
    assert_int_equal(m->h.seq, 5);
    assert_int_equal(dead_code(m), ERR_NO_HANDLE);
    msg_unref(m);
    assert_null(shared_take(s));
    shared_destroy(s);
}

/* All are told, one gets it; what nobody has taken is answered when the last one goes. */
static void
test_one_takes(void **state)
{
    struct hub *x = *state;
    struct shared *s = shared_create(x->router, HANDLE_MODULE, HANDLE_FROM_ANYONE);
    struct mailbox *mb[2] = {mailbox_create(NULL), mailbox_create(NULL)};
    struct msg *m;

    shared_join(s, mb[0]);
    shared_join(s, mb[1]);
    for (uint32_t seq = 1; seq <= 2; seq++)
        ask(x, HANDLE_MODULE, seq);
    for (int i = 0; i < 4; i++) {
        m = take(mb[i % 2]);
        assert_int_equal(m->h.handle, HANDLE_MODULE);
        assert_int_equal(m->h.length, 0);
        msg_unref(m);
    }
    m = shared_take(s);
    assert_int_equal(m->h.seq, 1);
    msg_unref(m);
    shared_leave(s, mb[1]);
    shared_leave(s, mb[1]);
    shared_leave(s, mb[0]);
    m = hub_take(x);
    assert_int_equal(m->h.seq, 2);
    assert_int_equal(dead_code(m), ERR_NO_HANDLE);
    msg_unref(m);
    mailbox_destroy(mb[0]);
    mailbox_destroy(mb[1]);
    shared_destroy(s);
}

static void
test_limit(void **state)
{
    struct hub *x = *state;
    struct shared *s = shared_create(x->router, HANDLE_MODULE, HANDLE_FROM_ANYONE);
    struct mailbox *mb = mailbox_create(NULL);
    struct msg *m;

    shared_join(s, mb);
    for (uint32_t seq = 0; seq <= SHARED_MAX; seq++)
        ask(x, HANDLE_MODULE, seq);
    m = hub_take(x);
    assert_int_equal(m->h.seq, SHARED_MAX);
    assert_int_equal(dead_code(m), ERR_LIMIT);
    msg_unref(m);
    for (int i = 0; i < SHARED_MAX; i++)
        msg_unref(shared_take(s));
    assert_null(shared_take(s));
    shared_leave(s, mb);
    mailbox_destroy(mb);
    shared_destroy(s);
}

struct taker {
    pthread_t thread;
    struct shared *s;
    struct mailbox *mb;
    atomic_uint *taken;
};

static void *
take_all(void *arg)
{
    struct taker *t = arg;
    struct msg *m;

    while (atomic_load(t->taken) < MESSAGES) {
        msg_unref(mailbox_take(t->mb, clock_ms() + 20));
        while ((m = shared_take(t->s))) {
            atomic_fetch_add(t->taken, 1);
            msg_unref(m);
        }
    }
    return NULL;
}

static void
test_many_takers(void **state)
{
    struct hub *x = *state;
    struct shared *s = shared_create(x->router, HANDLE_MODULE, HANDLE_FROM_ANYONE);
    struct taker takers[TAKERS];
    atomic_uint taken = 0;

    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.s = s, .mb = mailbox_create(NULL), .taken = &taken};
        shared_join(s, takers[i].mb);
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_all, &takers[i]), 0);
    }
    for (uint32_t seq = 0; seq < MESSAGES; seq++)
        ask(x, HANDLE_MODULE, seq);
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(takers[i].thread, NULL);
        shared_leave(s, takers[i].mb);
        mailbox_destroy(takers[i].mb);
    }
    assert_int_equal(taken, MESSAGES);
    shared_destroy(s);
}

/* ---- moving ---- */

struct move {
    struct router *r;
    uint32_t handle;
    struct mailbox *from, *to;
};

static void
post(struct router *r, struct msg *m, void *arg)
{
    mailbox_post(arg, m);
}

static const struct handle_ops posting = {.message = post};

static void
move(void *arg)
{
    struct move *v = arg;

    router_retarget(v->r, v->handle, &posting, v->to);
    mailbox_move(v->from, v->handle, v->to);
}

struct asker {
    struct hub *x;
    uint32_t handle;
};

static void *
ask_many(void *arg)
{
    struct asker *a = arg;

    for (uint32_t seq = 0; seq < MESSAGES; seq++)
        ask(a->x, a->handle, seq);
    return NULL;
}

/* While it is sent to all the time, a handle goes to and fro: nothing is lost or overtaken. */
static void
test_move(void **state)
{
    struct hub *x = *state;
    struct mailbox *mb[2] = {mailbox_create(NULL), mailbox_create(NULL)};
    struct asker a = {x, router_listen(x->router, 0, HANDLE_FROM_ANYONE, &posting, mb[0])};
    pthread_t thread;
    uint32_t next = 0;
    struct msg *m;

    assert_int_equal(pthread_create(&thread, NULL, ask_many, &a), 0);
    for (int at = 0; next < MESSAGES; at = !at) {
        struct move v = {x->router, a.handle, mb[at], mb[!at]};

        for (int i = 0; i < 7 && next < MESSAGES; i++) {
            m = take(mb[at]);
            assert_int_equal(m->h.seq, next++);
            msg_unref(m);
        }
        loop_sync(x->loop, move, &v);
        assert_null(mailbox_take(mb[at], 0));
    }
    pthread_join(thread, NULL);
    router_unlisten(x->router, a.handle);
    mailbox_destroy(mb[0]);
    mailbox_destroy(mb[1]);
}

static void
test_move_leaves_others(void **state)
{
    struct mailbox *from = mailbox_create(NULL), *to = mailbox_create(NULL);
    struct msg *m;

    for (uint32_t i = 0; i < 6; i++) {
        m = msg_with(2000 + i % 2, NULL, 0);
        m->h.seq = i;
        mailbox_post(from, m);
        if (i == 2) /* takes the first, and finds the others with it */
            msg_unref(mailbox_take(from, 0));
    }
    mailbox_move(from, 2001, to);
    for (uint32_t i = 1; i < 6; i++) {
        m = take(i % 2 ? to : from);
        assert_int_equal(m->h.seq, i);
        msg_unref(m);
    }
    mailbox_destroy(from);
    mailbox_destroy(to);
}

/* A mailbox that its owner has left takes what a service still owes it. */
static void
test_reference(void **state)
{
    struct mailbox *mb = mailbox_ref(mailbox_create(NULL));

    mailbox_destroy(mb);
    mailbox_post(mb, msg_new(0));
    mailbox_unref(mb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_nobody),
        as_controller(test_one_takes),
        as_controller(test_limit),
        as_controller(test_many_takers),
        as_controller(test_move),
        cmocka_unit_test(test_move_leaves_others),
        cmocka_unit_test(test_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
