/* The router: delivery, forwarding, who may talk to whom, and what happens when a link is lost. */
#include "router_test.h"

/* ---- delivery and authority ---- */

/* Authority is stamped with the child that it came from, whatever the wire says. */
static void
test_delivery(void **state)
{
    struct hub *x = *state;
    struct msg *m;

    link_say(&x->links[0],
        (struct frame_header){
            .dst = 1, .src = 2, .auth = 1, .handle = x->reply, .reply = 7, .seq = 0xffffffff});
    m = hub_take(x);
    assert_int_equal(m->h.src, 2);
    assert_int_equal(m->h.auth, 2);
    assert_int_equal(m->h.reply, 7);
    assert_int_equal(m->h.seq, 0xffffffff);
    assert_memory_equal(msg_payload(m), "load", 4);
    msg_unref(m);
}

static void
test_policy(void **state)
{
    struct hub *x = *state;
    uint32_t handle = router_listen_mailbox(x->router, 0, HANDLE_FROM_PARENT, x->mb);
    struct frame_header h = {
        .dst = 5, .src = 6, .auth = 1, .handle = handle, .reply = 99, .seq = 3};
    struct msg *m;

    link_say(&x->links[1], h); /* its child claims the controller's authority */
    m = link_answer(&x->links[1]);
    assert_int_equal(m->h.handle, 99);
    assert_int_equal(m->h.seq, 3);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
    h.src = 1;
    h.auth = 33;
    link_say(&x->links[0], h); /* the parent passes on what a sibling wants */
    m = link_answer(&x->links[0]);
    assert_int_equal(m->h.dst, 1);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
    for (h.auth = 1; h.auth <= 5; h.auth++) {
        if (h.auth == 2 || h.auth == 3)
            continue;
        link_say(&x->links[0], h);
        m = hub_take(x);
        assert_int_equal(m->h.auth, h.auth);
        msg_unref(m);
    }
    router_unlisten(x->router, handle);
}

static void
test_forged_source(void **state)
{
    struct hub *x = *state;
    const uint32_t forged[] = {3, 1, 0, 77};

    for (int i = 0; i < 4; i++)
        link_say(&x->links[0],
            (struct frame_header){
                .dst = 1, .src = forged[i], .auth = 1, .handle = x->reply, .reply = 9});
    link_silent(&x->links[0]);
    link_silent(&x->links[1]);
    assert_null(mailbox_take(x->mb, 0));
}

static void
test_no_handle(void **state)
{
    struct hub *x = *state;
    struct msg *m;

    link_say(&x->links[0], (struct frame_header){.dst = 1, .src = 2, .handle = 999});
    link_say(&x->links[0],
        (struct frame_header){.dst = 1, .src = 2, .handle = 999, .reply = 50, .seq = 60});
    m = link_hear(&x->links[0]); /* of the second: the first wanted no answer */
    assert_int_equal(m->h.handle, 50);
    assert_int_equal(m->h.seq, 60);
    assert_int_equal(m->h.src, 1);
    assert_int_equal(m->h.dst, 2);
    assert_int_equal(m->h.reply, 0);
    assert_int_equal(dead_code(m), ERR_NO_HANDLE);
    msg_unref(m);
}

static void
test_sibling_denied(void **state)
{
    struct hub *x = *state;
    struct msg *m;

    link_say(&x->links[0], (struct frame_header){.dst = 3, .src = 2, .handle = 16, .reply = 50});
    m = link_hear(&x->links[0]); /* it went nowhere, so it counts for nothing */
    assert_int_equal(m->h.handle, HANDLE_CREDIT);
    assert_int_equal(m->h.src, 3);
    msg_unref(m);
    m = link_hear(&x->links[0]);
    assert_int_equal(dead_code(m), ERR_DENIED);
    msg_unref(m);
    link_silent(&x->links[1]);
}

/* ---- forwarding ---- */

static void
test_upwards(void **state)
{
    struct hub *x = *state;
    struct msg *m;

    for (uint32_t dst = 1; dst <= 4; dst += 3) {
        link_say(&x->links[1],
            (struct frame_header){.dst = dst, .src = 6, .auth = 1, .handle = 2000, .seq = 8});
        m = link_hear(&x->links[0]);
        assert_int_equal(m->h.dst, dst);
        assert_int_equal(m->h.src, 6);
        assert_int_equal(m->h.auth, 6);
        assert_int_equal(m->h.handle, 2000);
        assert_int_equal(m->h.seq, 8);
        assert_memory_equal(msg_payload(m), "load", 4);
        msg_unref(m);
    }
}

static void
test_downwards(void **state)
{
    struct hub *x = *state;
    struct msg *m;

    link_say(&x->links[0],
        (struct frame_header){.dst = 6, .src = 1, .auth = 1, .handle = 16, .reply = 5, .seq = 8});
    m = link_hear(&x->links[1]);
    assert_int_equal(m->h.dst, 6);
    assert_int_equal(m->h.src, 1);
    assert_int_equal(m->h.auth, 1);
    assert_int_equal(m->h.reply, 5);
    msg_unref(m);
}

/* From above to a context that is gone: an answer, and never the message itself sent back up. */
static void
test_downwards_to_nobody(void **state)
{
    struct hub *x = *state;
    const uint32_t nowhere[] = {77, 1};
    struct msg *m;

    for (int i = 0; i < 2; i++) {
        link_say(&x->links[0],
            (struct frame_header){
                .dst = nowhere[i], .src = 1, .auth = 1, .handle = 16, .reply = 5, .seq = 8});
        m = link_hear(&x->links[0]);
        assert_int_equal(m->h.dst, 1);
        assert_int_equal(m->h.src, nowhere[i]);
        assert_int_equal(m->h.handle, 5);
        assert_int_equal(m->h.seq, 8);
        assert_int_equal(dead_code(m), ERR_DEAD);
        msg_unref(m);
    }
}

/* ---- this process's own messages ---- */

static void
test_contexts(void **state)
{
    struct hub *x = *state;
    struct context *c = router_context(x->router, 6);
    uint32_t above[8];

    assert_ptr_equal(c, x->links[1].context);
    context_unref(c);
    c = router_context(x->router, 1);
    assert_ptr_equal(c->stream, x->links[0].s);
    assert_string_equal(c->name, "controller");
    context_unref(c);
    c = router_context(x->router, 5);
    assert_null(c->stream);
    context_unref(c);
    c = router_context(x->router, 99); /* not below, so it is the parent who may know */
    assert_ptr_equal(c->stream, x->links[0].s);
    context_unref(c);
    assert_int_equal(router_ancestors(x->router, above, 8), 2);
    assert_int_equal(above[0], 4);
    assert_int_equal(above[1], 1);
    assert_int_equal(router_ancestors(x->router, above, 1), 1);
}

static void
test_unknown_context(void **state)
{
    struct hub *x = *state;
    struct frame_header to = {.src = 99, .reply = 5};

    assert_null(router_context(x->router, 99));
    router_reply(x->router, &to, msg_new(0)); /* dropped */
    to = (struct frame_header){.src = 2};
    router_reply(x->router, &to, msg_new(0));
    link_silent(&x->links[0]);
}

static void
test_reply(void **state)
{
    struct hub *x = *state;
    struct frame_header to = {.src = 2, .dst = 1, .reply = 5, .seq = 6};
    struct msg *m;

    router_reply(x->router, &to, msg_with(0, "yes", 3));
    m = link_hear(&x->links[0]);
    assert_int_equal(m->h.src, 1);
    assert_int_equal(m->h.auth, 1);
    assert_int_equal(m->h.handle, 5);
    assert_int_equal(m->h.seq, 6);
    assert_memory_equal(msg_payload(m), "yes", 3);
    msg_unref(m);
}

struct echo {
    struct context *self;
    uint32_t other;
    int left;
};

static void
echo_message(struct router *r, struct msg *m, void *arg)
{
    struct echo *e = arg;
    struct msg *next = msg_new(0);
    bool held = loop_holds(router_loop(r));

    next->h.handle = --e->left > 0 ? m->h.handle : e->other;
    next->h.seq = m->h.seq + (held && m->h.auth == 1);
    msg_unref(m);
    if (router_send(e->self, next, NULL) < 0)
        abort();
}

/* To itself: on the loop role, with its own authority; a receiver may send again. */
static void
test_local(void **state)
{
    static const struct handle_ops ops = {.message = echo_message};
    struct hub *x = *state;
    struct context *self = router_context(x->router, 1);
    struct echo e = {.self = self, .other = x->reply, .left = 100};
    uint32_t handle = router_listen(x->router, 0, HANDLE_FROM_PARENT, &ops, &e);
    struct msg *m;

    m = msg_new(0);
    m->h.handle = handle;
    assert_int_equal(router_send(self, m, NULL), 0);
    m = hub_take(x);
    assert_int_equal(m->h.seq, 100);
    assert_int_equal(m->h.src, 1);
    msg_unref(m);
    router_unlisten(x->router, handle);
    context_unref(self);
}

#define THREADS 8
#define EACH 2000

struct sender {
    struct context *c;
    uint32_t id;
    int failed;
    pthread_t thread;
};

static void *
send_many(void *arg)
{
    struct sender *s = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        struct msg *m = msg_new(i % 50);

        m->h.handle = 1024 + s->id;
        m->h.seq = i;
        s->failed += router_send(s->c, m, NULL) < 0;
    }
    return NULL;
}

static void
test_many_senders(void **state)
{
    struct hub *x = *state;
    struct sender senders[THREADS];
    uint32_t next[THREADS] = {0};

    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){.c = x->links[0].context, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < THREADS * EACH; i++) {
        struct msg *m = link_hear(&x->links[0]);

        assert_int_equal(m->h.seq, next[m->h.handle - 1024]++);
        assert_int_equal(m->h.src, 1);
        assert_int_equal(m->h.auth, 1);
        msg_unref(m);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].failed, 0);
    }
}

/* ---- handles ---- */

static void
test_dynamic_handles(void **state)
{
    struct hub *x = *state;
    uint32_t handles[64];

    for (int i = 0; i < 64; i++) {
        handles[i] = router_listen_mailbox(x->router, 0, HANDLE_FROM_ANYONE, x->mb);
        assert_true(handles[i] >= HANDLE_DYNAMIC);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(handles[i], handles[j]);
    }
    for (int i = 0; i < 64; i++)
        router_unlisten(x->router, handles[i]);
    router_unlisten(x->router, handles[0]);
}

struct receiver {
    int messages, deads;
    struct err why;
    struct receiver *removes; /* another, when it hears of a death */
    uint32_t handle;
    sem_t got;
};

static void
receiver_message(struct router *r, struct msg *m, void *arg)
{
    struct receiver *v = arg;

    v->messages++;
    msg_unref(m);
    sem_post(&v->got);
}

static void
receiver_dead(struct router *r, struct context *c, const struct err *why, void *arg)
{
    struct receiver *v = arg;

    v->deads++;
    v->why = *why;
    if (v->removes && v->removes->handle) {
        router_unlisten(r, v->removes->handle);
        v->removes->handle = 0;
    }
}

static const struct handle_ops receiver_ops = {.message = receiver_message, .dead = receiver_dead};

static struct receiver *
receiver_create(struct hub *x, uint32_t handle)
{
    struct receiver *v = xcalloc(1, sizeof *v);

    sem_init(&v->got, 0, 0);
    v->handle = router_listen(x->router, handle, HANDLE_FROM_ANYONE, &receiver_ops, v);
    return v;
}

static void
receiver_destroy(struct hub *x, struct receiver *v)
{
    if (v->handle)
        router_unlisten(x->router, v->handle);
    sem_destroy(&v->got);
    free(v);
}

struct flood {
    struct link *l;
    uint32_t handle;
    atomic_bool stop;
    pthread_t thread;
};

static void *
flood_handle(void *arg)
{
    struct flood *f = arg;
    struct msg *m = msg_new(0);

    m->h = (struct frame_header){.dst = 1, .src = 2, .handle = f->handle};
    msg_seal(m);
    while (!f->stop)
        if (send(f->l->far, m->wire, FRAME_HEADER, MSG_NOSIGNAL) != FRAME_HEADER)
            break;
    msg_unref(m);
    return NULL;
}

/* A handle is removed while its messages come; afterwards nothing touches its receiver. */
static void
test_unlisten_in_a_flood(void **state)
{
    struct hub *x = *state;
    struct flood f = {.l = &x->links[0], .handle = 5000};

    assert_int_equal(pthread_create(&f.thread, NULL, flood_handle, &f), 0);
    for (int i = 0; i < 50; i++) {
        struct receiver *v = receiver_create(x, f.handle);

        await(&v->got);
        receiver_destroy(x, v);
    }
    f.stop = true;
    pthread_join(f.thread, NULL);
}

/* ---- loss ---- */

static void
test_lost_stream(void **state)
{
    struct hub *x = *state;
    struct receiver *a = receiver_create(x, 0), *b = receiver_create(x, 0);
    struct link *l = &x->links[0];
    struct err err;
    struct msg *m;

    close(l->far);
    l->far = dup(0);
    await(&l->closed);
    sem_post(&l->closed);
    loop_sync(x->loop, link_end, l); /* behind the upcalls */
    assert_int_equal(a->deads + b->deads, 2);
    assert_int_equal(a->why.code, ERR_DEAD);
    m = hub_take(x);
    assert_int_equal(m->h.handle, HANDLE_DEAD);
    assert_int_equal(m->h.src, 2);
    assert_int_equal(dead_code(m), ERR_DEAD);
    msg_unref(m);
    assert_null(mailbox_take(x->mb, 0));
    assert_true(l->context->dead);
    assert_false(x->links[1].context->dead);
    assert_null(router_context(x->router, 2));
    assert_int_equal(router_send(l->context, msg_new(0), &err), ERR_DEAD);
    assert_string_equal(err.msg, "the other end closed the connection");
    link_silent(&x->links[1]);
    receiver_destroy(x, a);
    receiver_destroy(x, b);
}

/* All that is above is lost with the parent; what wants to go there is answered. */
static void
test_lost_parent(void **state)
{
    struct hub *x = *state;
    struct msg *m;
    uint32_t gone = 0;

    link_cut(&x->links[0]);
    for (int i = 0; i < 2; i++) {
        m = hub_take(x);
        assert_int_equal(dead_code(m), ERR_CLOSED);
        gone += m->h.src;
        msg_unref(m);
    }
    assert_int_equal(gone, 4 + 1);
    link_say(&x->links[1], (struct frame_header){.dst = 1, .src = 6, .handle = 16, .reply = 5});
    m = link_answer(&x->links[1]);
    assert_int_equal(dead_code(m), ERR_CLOSED);
    msg_unref(m);
}

/* Whoever hears of a death first removes the other, which then hears nothing. */
static void
test_dead_upcall_unlistens(void **state)
{
    struct hub *x = *state;
    struct receiver *a = receiver_create(x, 0), *b = receiver_create(x, 0);

    a->removes = b;
    b->removes = a;
    link_cut(&x->links[0]);
    assert_int_equal(a->deads + b->deads, 1);
    receiver_destroy(x, a);
    receiver_destroy(x, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_controller(test_delivery),
        as_agent(test_policy),
        as_controller(test_forged_source),
        as_controller(test_no_handle),
        as_controller(test_sibling_denied),
        as_agent(test_upwards),
        as_agent(test_downwards),
        as_agent(test_downwards_to_nobody),
        as_agent(test_contexts),
        as_controller(test_unknown_context),
        as_controller(test_reply),
        as_controller(test_local),
        as_controller(test_many_senders),
        as_controller(test_dynamic_handles),
        as_controller(test_unlisten_in_a_flood),
        as_controller(test_lost_stream),
        as_agent(test_lost_parent),
        as_controller(test_dead_upcall_unlistens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
