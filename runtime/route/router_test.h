/*
 * For the tests of the router: one router on a loop, with up to three links to contexts that the test
 * plays itself, frame by frame.
 *
 * As a controller it is context 1, with the children 2 and 3. As an agent it is context 5 with the
 * parent 4, whose parent is the controller 1; its child is 6. What it says of that one to the parent has been
 * heard.
 */
#ifndef ORRERY_ROUTER_TEST_H
#define ORRERY_ROUTER_TEST_H

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "framer.h"
#include "mem.h"
#include "pack.h"
#include "process.h"
#include "router_internal.h"

#define LINK_GUEST 9 /* the id of one that is a guest */

struct hub;

struct link {
    struct hub *hub;
    struct stream *s;
    struct context *context; /* children */
    uint32_t id;
    int far;
    struct framer framer;
    sem_t closed;
};

struct hub {
    struct loop *loop;
    struct router *router;
    struct link links[3];
    int count, fds;
    bool agent;
    struct mailbox *mb;
    uint32_t reply; /* of mb */
};

static inline void
link_up(struct stream *s, void *arg)
{
}

static inline void
link_frame(struct stream *s, struct msg *m, void *arg)
{
    router_frame(((struct link *)arg)->hub->router, s, m);
}

static inline void
link_closed(struct stream *s, const struct err *why, void *arg)
{
    struct link *l = arg;

    router_lost(l->hub->router, s, why);
    sem_post(&l->closed);
}

static inline void
link_connect(void *arg)
{
    static const struct stream_events events = {
        .up = link_up, .frame = link_frame, .closed = link_closed};
    static const uint32_t above[] = {4, 1};
    static const struct router_place place = {
        .self = 5, .name = "web1", .route = "test:web1", .ancestors = above, .count = 2};
    struct link *l = arg;
    struct hub *x = l->hub;
    struct stream_options o = {.name = l->id < 5 && x->agent ? "parent" : "child"};
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    l->far = fds[1];
    l->s = stream_create(x->loop, process_adopt(fds[0], fds[0]), &o, &events, l);
    if (l->id == 4)
        router_set_parent(x->router, l->s, &place);
    else if (l->id == LINK_GUEST)
        l->context = router_add_guest(x->router, l->s, l->id, "guest", "test:guest");
    else
        l->context = router_add_child(x->router, l->s, l->id, "child", "test:child");
}

static inline struct link *
hub_link(struct hub *x, uint32_t id)
{
    struct link *l = &x->links[x->count++];

    *l = (struct link){.hub = x, .id = id, .far = -1};
    sem_init(&l->closed, 0, 0);
    framer_init(&l->framer);
    loop_sync(x->loop, link_connect, l);
    return l;
}

static inline void
link_end(void *arg)
{
    struct link *l = arg;
    struct err why;

    err_set(&why, ERR_CLOSED, "the link was cut");
    stream_close(l->s, &why, 0);
}

static inline void
link_cut(struct link *l)
{
    loop_sync(l->hub->loop, link_end, l);
    await(&l->closed);
    sem_post(&l->closed);
}

static inline struct msg *link_hear(struct link *l);

static inline int
hub_setup(struct hub **out, bool agent)
{
    struct hub *x = xcalloc(1, sizeof *x);
    struct err err;

    x->fds = await_count_fds();
    x->agent = agent;
    x->loop = loop_create(&err);
    if (!x->loop || loop_start(x->loop, &err) < 0)
        return -1;
    x->router = router_create(x->loop, agent ? 0 : 1, agent ? "agent" : "controller");
    x->router->next_id = 10; /* those before are the test's own */
    x->mb = mailbox_create(NULL);
    hub_link(x, agent ? 4 : 2);
    hub_link(x, agent ? 6 : 3);
    if (agent)
        msg_unref(link_hear(&x->links[0]));
    x->reply = router_listen_mailbox(x->router, 0, HANDLE_FROM_ANYONE, x->mb);
    *out = x;
    return 0;
}

static inline int
setup_controller(void **state)
{
    return hub_setup((struct hub **)state, false);
}

static inline int
setup_agent(void **state)
{
    return hub_setup((struct hub **)state, true);
}

static inline int
hub_teardown(void **state)
{
    struct hub *x = *state;
    int fds = x->fds;

    for (int i = 0; i < x->count; i++) {
        struct link *l = &x->links[i];

        link_cut(l);
        close(l->far);
        framer_fini(&l->framer);
        context_unref(l->context);
        stream_unref(l->s);
        sem_destroy(&l->closed);
    }
    router_unlisten(x->router, x->reply);
    loop_stop(x->loop);
    mailbox_destroy(x->mb);
    router_destroy(x->router);
    loop_destroy(x->loop);
    free(x);
    return await_count_fds() == fds ? 0 : -1;
}

/* ---- what the far ends say and hear ---- */

static inline void
link_say(struct link *l, struct frame_header h)
{
    struct msg *m = msg_with(h.handle, "load", 4);

    h.length = 4;
    m->h = h;
    msg_seal(m);
    assert_int_equal(send(l->far, m->wire, FRAME_HEADER + 4, MSG_NOSIGNAL), FRAME_HEADER + 4);
    msg_unref(m);
}

static inline struct msg *
link_hear(struct link *l)
{
    struct msg *m;
    struct err err;

    while (!(m = framer_next(&l->framer))) {
        struct pollfd fd = {.fd = l->far, .events = POLLIN};
        size_t room;
        ssize_t n;
        void *to;

        framer_space(&l->framer, &to, &room);
        assert_int_equal(poll(&fd, 1, AWAIT_MS), 1);
        n = read(l->far, to, room);
        assert_true(n > 0);
        assert_int_equal(framer_push(&l->framer, (size_t)n, &err), 0);
    }
    return m;
}

/* The next that is not about flows. */
static inline struct msg *
link_answer(struct link *l)
{
    struct msg *m = link_hear(l);

    while (m->h.handle == HANDLE_CREDIT || m->h.handle == HANDLE_CLOSED) {
        msg_unref(m);
        m = link_hear(l);
    }
    return m;
}

/* The code that a DEAD message carries. */
static inline int
dead_code(struct msg *m)
{
    assert_int_equal(m->h.flags, FRAME_DEAD);
    return -msg_payload(m)[0];
}

/* Asks for what nobody listens on, and takes the answer: what was said before has been routed, and
 * nothing came of it. */
static inline void
link_silent(struct link *l)
{
    uint32_t self = router_self(l->hub->router);
    struct msg *m;

    link_say(l, (struct frame_header){.dst = self, .src = l->id, .handle = 999, .reply = 4242});
    m = link_answer(l);
    assert_int_equal(m->h.handle, 4242);
    assert_int_equal(dead_code(m), ERR_NO_HANDLE);
    msg_unref(m);
}

static inline struct msg *
hub_take(struct hub *x)
{
    struct msg *m = mailbox_take(x->mb, clock_ms() + AWAIT_MS);

    assert_non_null(m);
    return m;
}

#define as_controller(f) cmocka_unit_test_setup_teardown(f, setup_controller, hub_teardown)
#define as_agent(f) cmocka_unit_test_setup_teardown(f, setup_agent, hub_teardown)

#endif
