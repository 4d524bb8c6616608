/* Flows: windows, credit, floods, ends. */
#include <pthread.h>

#include "await_test.h"
#include "clock.h"
#include "flow.h"

#define PEER 7u
#define HANDLE 5000u

struct fixture {
    struct flows *flows;
    struct mailbox *mb;
};

static int
setup(void **state)
{
    static struct fixture x;

    x.flows = flows_create();
    x.mb = mailbox_create(NULL);
    *state = &x;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *x = *state;

    flows_destroy(x->flows);
    mailbox_destroy(x->mb);
    return 0;
}

static void
assert_told(struct fixture *x, uint32_t peer, uint32_t handle)
{
    struct msg *m = mailbox_take(x->mb, 0);

    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_CREDIT);
    assert_int_equal(m->h.src, peer);
    assert_int_equal(m->h.seq, handle);
    msg_unref(m);
    assert_null(mailbox_take(x->mb, 0)); /* once */
}

static void
test_window(void **state)
{
    struct fixture *x = *state;
    struct flow *f = flow_open(x->flows, PEER, HANDLE);
    struct flow *other = flow_open(x->flows, PEER, HANDLE + 1);

    for (int i = 0; i < 4; i++)
        assert_true(flow_admit(f, FLOW_WINDOW / 4, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    assert_true(flow_admit(other, FLOW_WINDOW * 3, x->mb)); /* one message of any size */
    assert_false(flow_admit(other, 0, NULL));
    assert_null(mailbox_take(x->mb, 0));
    flows_credit(x->flows, PEER, HANDLE, 100);
    assert_told(x, PEER, HANDLE);
    assert_true(flow_admit(f, 1000, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    flow_return(f, 1000);
    assert_told(x, PEER, HANDLE);
    assert_true(flow_admit(f, 100, x->mb));
    flow_unref(f);
    flow_unref(other);
}

/* What a peer says of a flow that is not there, or more than was sent, changes nothing. */
static void
test_wrong_credit(void **state)
{
    struct fixture *x = *state;
    struct flow *f = flow_open(x->flows, PEER, HANDLE);

    flows_credit(x->flows, PEER, HANDLE + 1, 1000);
    flows_credit(x->flows, PEER + 1, HANDLE, 1000);
    assert_true(flow_admit(f, 10, NULL));
    flows_credit(x->flows, PEER, HANDLE, UINT32_MAX);
    assert_true(flow_admit(f, FLOW_WINDOW, NULL));
    assert_false(flow_admit(f, 1, NULL));
    flow_unref(f);
}

static void
test_lost_peer(void **state)
{
    struct fixture *x = *state;
    struct flow *f = flow_open(x->flows, PEER, HANDLE);

    assert_true(flow_admit(f, FLOW_WINDOW, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    flows_lost(x->flows, PEER + 1);
    assert_null(mailbox_take(x->mb, 0));
    flows_lost(x->flows, PEER);
    assert_told(x, PEER, HANDLE);
    assert_true(flow_admit(f, 1, x->mb)); /* the send has the better error */
    flow_unref(f);
}

static void
test_forgotten_mailbox(void **state)
{
    struct fixture *x = *state;
    struct flow *f = flow_open(x->flows, PEER, HANDLE);

    assert_true(flow_admit(f, FLOW_WINDOW, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    flows_forget_mailbox(x->flows, x->mb);
    flows_credit(x->flows, PEER, HANDLE, FLOW_WINDOW);
    assert_null(mailbox_take(x->mb, 0));
    flow_unref(f);
}

static void
test_receive(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(flows_waiting(x->flows, PEER, HANDLE), 0);
    assert_true(flows_receive(x->flows, PEER, HANDLE, 1000));
    assert_int_equal(flows_waiting(x->flows, PEER, HANDLE), 1000);
    assert_int_equal(flows_take(x->flows, PEER, HANDLE, 600), 600);
    assert_int_equal(flows_take(x->flows, PEER, HANDLE, 600), 400); /* no more than came in */
    assert_int_equal(flows_take(x->flows, PEER, HANDLE, 600), 0);
    assert_int_equal(flows_take(x->flows, PEER + 1, HANDLE, 600), 0);
}

static void
test_flood(void **state)
{
    struct fixture *x = *state;
    uint64_t sent = 0;

    while (flows_receive(x->flows, PEER, HANDLE, FLOW_WINDOW))
        sent += FLOW_WINDOW;
    assert_in_range(sent, FLOW_FLOOD + FLOW_WINDOW, FLOW_FLOOD + 2ull * FLOW_WINDOW);
    assert_true(flows_receive(x->flows, PEER + 1, HANDLE, FLOW_WINDOW));
}

/* A window is used up to the last byte by messages of any size, so what is over it is bounded by the largest. */
static void
test_flood_of_small_ones(void **state)
{
    struct fixture *x = *state;
    uint64_t sent = 0;

    assert_true(flows_receive(x->flows, PEER, HANDLE, FRAME_MAX_PAYLOAD));
    while (flows_receive(x->flows, PEER, HANDLE, 1000))
        sent += 1000;
    assert_in_range(sent, FLOW_FLOOD, FLOW_FLOOD + 2000);
    assert_int_not_equal(flows_take(x->flows, PEER, HANDLE, UINT32_MAX), 0);
    for (sent = 0; flows_receive(x->flows, PEER, HANDLE, 1000);)
        sent += 1000;
    assert_in_range(sent, FLOW_FLOOD, FLOW_FLOOD + 2000);
}

struct owed {
    uint32_t calls, peers, bytes;
};

static void
on_owed(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    struct owed *o = arg;

    assert_int_equal(handle, HANDLE);
    o->calls++;
    o->peers += peer;
    o->bytes += bytes;
}

static void
test_close(void **state)
{
    struct fixture *x = *state;
    struct owed o = {0};

    assert_true(flows_receive(x->flows, PEER, HANDLE, 10));
    assert_true(flows_receive(x->flows, PEER + 1, HANDLE, 20));
    assert_true(flows_receive(x->flows, PEER + 2, HANDLE, 0));
    assert_true(flows_receive(x->flows, PEER, HANDLE + 1, 40));
    flows_close(x->flows, HANDLE, on_owed, &o);
    assert_int_equal(o.calls, 3);
    assert_int_equal(o.peers, 3 * PEER + 3);
    assert_int_equal(o.bytes, 30);
    assert_int_equal(flows_take(x->flows, PEER, HANDLE, 10), 0);
    assert_int_equal(flows_take(x->flows, PEER, HANDLE + 1, 40), 40);
}

/* Who waits for room looks again, and learns why there is none. */
static void
test_refused(void **state)
{
    struct fixture *x = *state;
    struct flow *f = flow_open(x->flows, PEER, HANDLE);

    flows_refused(x->flows, PEER, HANDLE + 1, ERR_CLOSED);
    assert_int_equal(flow_refusal(f), 0);
    assert_true(flow_admit(f, FLOW_WINDOW, x->mb));
    assert_false(flow_admit(f, 1, x->mb));
    flows_refused(x->flows, PEER, HANDLE, ERR_DENIED);
    assert_told(x, PEER, HANDLE);
    assert_int_equal(flow_refusal(f), ERR_DENIED);
    assert_int_equal(flow_refusal(f), 0); /* it may be allowed by now */
    assert_true(flow_admit(f, 1, x->mb));
    flows_refused(x->flows, PEER, HANDLE, ERR_CLOSED);
    assert_int_equal(flow_refusal(f), ERR_CLOSED);
    assert_int_equal(flow_refusal(f), ERR_CLOSED);
    flow_unref(f);
}

/* ---- threads that share a flow ---- */

#define THREADS 4
#define EACH 20000
#define SIZE 1000u

static atomic_uint on_its_way, most;

static void *
send_many(void *arg)
{
    struct flows *fs = arg;
    struct mailbox *mb = mailbox_create(NULL);

    for (int i = 0; i < EACH; i++) {
        struct flow *f = flow_open(fs, PEER, HANDLE);
        unsigned now;

        while (!flow_admit(f, SIZE, mb)) {
            struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);

            assert_non_null(m);
            msg_unref(m);
        }
        now = atomic_fetch_add(&on_its_way, SIZE) + SIZE;
        if (now > atomic_load(&most))
            atomic_store(&most, now);
        flow_unref(f);
    }
    flows_forget_mailbox(fs, mb);
    mailbox_destroy(mb);
    return NULL;
}

static void
test_threads(void **state)
{
    struct fixture *x = *state;
    pthread_t threads[THREADS];
    uint64_t taken = 0;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, x->flows), 0);
    while (taken < (uint64_t)THREADS * EACH * SIZE) {
        unsigned now = atomic_exchange(&on_its_way, 0);

        taken += now;
        if (now > 0)
            flows_credit(x->flows, PEER, HANDLE, now);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&most), 1, FLOW_WINDOW + SIZE);
}

#define with_flows(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_flows(test_window),
        with_flows(test_wrong_credit),
        with_flows(test_lost_peer),
        with_flows(test_forgotten_mailbox),
        with_flows(test_receive),
        with_flows(test_flood),
        with_flows(test_flood_of_small_ones),
        with_flows(test_close),
        with_flows(test_refused),
        with_flows(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
