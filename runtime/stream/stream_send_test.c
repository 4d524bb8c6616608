/* Sending: who writes, how often, in which order, and what happens to what does not go. */
#include "counters.h"
#include "stream_test.h"

static int
send_one(struct probe *p, uint32_t src, uint32_t seq, uint32_t length)
{
    struct err err;

    return stream_send(p->s, message(src, seq, length), &err);
}

/* Checks `count` frames with seq 0.. of one length in what the fake took. */
static void
assert_taken(struct probe *p, uint32_t count, uint32_t length)
{
    struct framer f;
    struct err err;

    framer_init(&f);
    assert_int_equal(framer_feed(&f, buf_head(&p->fake->out), buf_len(&p->fake->out), &err), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct msg *m = framer_next(&f);

        assert_non_null(m);
        assert_int_equal(m->h.seq, i);
        assert_int_equal(m->h.length, length);
        msg_unref(m);
    }
    assert_null(framer_next(&f));
    framer_fini(&f);
}

/* One write on the sender's stack: no flush, nothing for the loop to do. */
static void
test_optimistic_write(void **state)
{
    struct probe *p = *state;
    int flushes;

    probe_start_fake(p);
    flushes = p->fake->flushes;
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(send_one(p, 1, 0, 100), 0);
        assert_int_equal(p->fake->writes, i);
    }
    probe_sync(p);
    assert_int_equal(p->fake->writes, 5);
    assert_int_equal(p->fake->loop_writes, 0);
    assert_int_equal(p->fake->flushes, flushes);
}

static void
test_deferred_write(void **state)
{
    struct probe *p = *state;

    p->options.deferred = true;
    probe_start_fake(p);
    assert_int_equal(send_one(p, 1, 0, 100), 0);
    probe_sync(p);
    assert_int_equal(p->fake->writes, 1);
    assert_int_equal(p->fake->loop_writes, 1);
}

struct costs {
    struct counters before, after;
};

static uint64_t
cost(const struct costs *c, enum counter which)
{
    return c->after.value[which] - c->before.value[which];
}

/* What a message costs in each mode, counted. The loop is asked last: it has done all that came before. */
static void
send_and_count(struct probe *p, struct costs *c)
{
    probe_sync(p);
    counters_read(&c->before);
    assert_int_equal(send_one(p, 1, 7, 100), 0);
    msg_unref(far_read(p));
    counters_read(&c->after); /* the sender's own, and the loop's turns so far */
    probe_sync(p);
}

static void
test_costs_optimistic(void **state)
{
    struct probe *p = *state;
    struct costs c;

    probe_start_socket(p);
    send_and_count(p, &c);
    assert_int_equal(cost(&c, COUNT_messages_sent), 1);
    assert_int_equal(cost(&c, COUNT_send_locks), 1);
    assert_int_equal(cost(&c, COUNT_sent_inline), 1);
    assert_int_equal(cost(&c, COUNT_sent_deferred), 0);
    assert_int_equal(cost(&c, COUNT_sent_shared), 0);
    assert_int_equal(cost(&c, COUNT_sys_write), 1);
    assert_int_equal(cost(&c, COUNT_bytes_sent), FRAME_HEADER + 100);
    assert_int_equal(cost(&c, COUNT_loop_wakeups), 0);
    assert_int_equal(cost(&c, COUNT_poller_changes), 0);
}

static void
test_costs_deferred(void **state)
{
    struct probe *p = *state;
    struct costs c;

    p->options.deferred = true;
    probe_start_socket(p);
    probe_sync(p);
    counters_read(&c.before);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(send_one(p, 1, i, 100), 0);
        msg_unref(far_read(p));
        probe_sync(p); /* not watched any more */
    }
    counters_read(&c.after);
    assert_int_equal(cost(&c, COUNT_sent_deferred), 10);
    assert_int_equal(cost(&c, COUNT_sent_inline), 0);
    assert_int_equal(cost(&c, COUNT_sys_write), 10);
    assert_int_equal(cost(&c, COUNT_poller_changes), 2 * 10);
    assert_true(cost(&c, COUNT_loop_wakeups) >= 10);
    /* One turn to ask the poller and one to write; each probe_sync makes three at most. */
    assert_in_range(cost(&c, COUNT_loop_turns), 2 * 10, (2 + 3) * 10 + 5);
}

/* ---- lazy messages ---- */

static int
send_lazy(struct probe *p, uint32_t seq, uint32_t length)
{
    struct msg *m = message(1, seq, length);

    m->lazy = true;
    return stream_send(p->s, m, NULL);
}

static void
expect_run(struct probe *p, uint32_t first, uint32_t count, uint32_t length)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct msg *m = far_read(p);

        assert_non_null(m);
        assert_int_equal(m->h.seq, i);
        assert_int_equal(m->h.length, length);
        msg_unref(m);
    }
}

static void *
read_run(void *arg)
{
    expect_run(arg, 0, 200000, 64);
    return NULL;
}

/* Nothing is lost, the order is kept, and few writes take many messages. */
static void
test_lazy_burst(void **state)
{
    struct probe *p = *state;
    struct costs c;
    pthread_t reader;

    probe_start_socket(p);
    counters_read(&c.before);
    assert_int_equal(pthread_create(&reader, NULL, read_run, p), 0);
    for (uint32_t i = 0; i < 200000; i++)
        while (send_lazy(p, i, 64) == ERR_LIMIT)
            sched_yield();
    pthread_join(reader, NULL);
    counters_read(&c.after);
    assert_true(cost(&c, COUNT_sys_write) < 200000 / 20);
    assert_true(cost(&c, COUNT_messages_sent) >= 200000);
}

/* One that was left behind goes by itself, without another message or a word from anybody. */
static void
test_lazy_alone(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < i; j++)
            assert_int_equal(send_lazy(p, j, 10), 0);
        expect_run(p, 0, i, 10);
    }
}

/* A message that is not lazy takes along what waits, in one write and in order. */
static void
test_lazy_taken_along(void **state)
{
    struct probe *p = *state;
    int before;

    probe_start_fake(p);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(send_lazy(p, i, 100), 0);
    before = p->fake->writes;
    assert_int_equal(send_one(p, 1, 50, 100), 0);
    assert_true(p->fake->writes <= before + 1);
    assert_taken(p, 51, 100);
    probe_sync(p);
    assert_taken(p, 51, 100);
}

/* What waits is written when the stream closes. */
static void
test_lazy_before_close(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(send_lazy(p, i, 100), 0);
    probe_close(p, "done", 600000);
    expect_run(p, 0, 50, 100);
    assert_null(far_read(p));
    far_hang_up(p);
    await(&p->closed);
}

/* While the transport takes nothing, lazy messages wait as others do; then all go, in order. */
static void
test_lazy_while_blocked(void **state)
{
    struct probe *p = *state;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(i % 3 ? send_lazy(p, i, 100) : send_one(p, 1, i, 100), 0);
    probe_sync(p);
    assert_int_equal(buf_len(&p->fake->out), 0);
    fake_input(p);
    probe_sync(p);
    assert_taken(p, 2000, 100);
}

static void
test_short_write(void **state)
{
    struct probe *p = *state;

    probe_start_fake(p);
    p->fake->mode = FAKE_SHORT;
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(send_one(p, 1, i, 100), 0);
    probe_sync(p);
    assert_true(p->fake->loop_writes >= 1);
    assert_taken(p, 40, 100);
}

/* Refused although the descriptor is writable (a key exchange): tried again after a read pass, and not
 * before; meanwhile the loop is told once, not with each message. */
static void
test_refused_write(void **state)
{
    struct probe *p = *state;
    int flushes;

    probe_start_fake(p);
    flushes = p->fake->flushes;
    p->fake->mode = FAKE_REFUSE;
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(send_one(p, 1, i, 100), 0);
        probe_sync(p);
    }
    assert_int_equal(p->fake->flushes, flushes + 1);
    assert_int_equal(buf_len(&p->fake->out), 0);
    fake_input(p);
    probe_sync(p);
    assert_taken(p, 20, 100);
}

/* The sender hears nothing of it; the loop finds it, asks why, and closes. */
static void
test_broken_pipe(void **state)
{
    struct probe *p = *state;
    struct err err;

    probe_start_fake(p);
    p->fake->mode = FAKE_BROKEN;
    assert_int_equal(send_one(p, 1, 0, 100), 0);
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_DEAD);
    assert_string_equal(p->why.msg, "the fake ended");
    assert_int_equal(stream_send(p->s, message(1, 1, 0), &err), ERR_DEAD);
    assert_string_equal(err.msg, "the fake ended");
    assert_int_equal(stream_send(p->s, message(1, 1, 0), NULL), ERR_DEAD);
}

static void
test_queue_limit(void **state)
{
    const uint32_t size = 100 << 10;
    struct probe *p = *state;
    struct err err;
    uint32_t sent = 0;
    int rc;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    while ((rc = stream_send(p->s, message(1, sent, size), &err)) == 0)
        assert_true(++sent < 1000);
    assert_int_equal(rc, ERR_LIMIT);
    assert_string_equal(err.msg, "probe: more than 32 MiB wait to be sent");
    assert_int_equal(sent, STREAM_QUEUE_MAX / (FRAME_HEADER + size) + 1);
    fake_input(p);
    probe_sync(p);
    assert_int_equal(send_one(p, 1, sent, size), 0); /* there is room again */
    probe_sync(p);
    assert_taken(p, sent + 1, size);
}

/* Urgent messages are not refused for the sake of others; but there is a limit for them, too. */
static void
test_queue_limit_urgent(void **state)
{
    struct probe *p = *state;
    uint32_t sent = 0;
    int rc;

    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    while (send_one(p, 1, sent, 100 << 10) == 0)
        assert_true(++sent < 1000);
    sent = 0;
    do {
        struct msg *m = msg_new(0);

        m->h.handle = HANDLE_CREDIT;
        rc = stream_send(p->s, m, NULL);
    } while (rc == 0 && ++sent < 100000);
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(sent > 1000);
}

/* What is owed is not refused; but whoever makes us owe more than that, and reads nothing, is cut off. */
static void
test_owed_limit(void **state)
{
    const uint32_t size = 100 << 10;
    struct probe *p = *state;
    struct err err;
    uint32_t sent = 0;

    p->options.owed_max = (size_t)STREAM_QUEUE_MAX + (1 << 20);
    probe_start_fake(p);
    p->fake->mode = FAKE_REFUSE;
    for (;; sent++) {
        struct msg *m = message(1, sent, size);

        m->owed = true;
        if (stream_send(p->s, m, &err) < 0)
            break;
        assert_true(sent < 1000);
    }
    assert_true(sent > STREAM_QUEUE_MAX / (FRAME_HEADER + size) + 1);
    await(&p->closed);
    assert_int_equal(p->why.code, ERR_LIMIT);
    assert_string_equal(p->why.msg, "it reads no answers: more than 33 MiB wait");
}

/* A real socket that nobody reads for a while. */
static void
test_backlog(void **state)
{
    struct probe *p = *state;

    probe_start_socket(p);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(send_one(p, 1, i, i % 7 ? 50000 : 3), 0);
    for (uint32_t i = 0; i < 300; i++) {
        struct msg *m = far_read(p);

        assert_non_null(m);
        assert_int_equal(m->h.seq, i);
        assert_int_equal(m->h.length, i % 7 ? 50000 : 3);
        assert_int_equal(msg_payload(m)[m->h.length - 1], i & 0xff);
        msg_unref(m);
    }
}

#define THREADS 8
#define EACH 2000

struct sender {
    struct probe *p;
    uint32_t id;
    int failed;
    pthread_t thread;
};

/* Now and then one that goes in pieces. */
static uint32_t
length_of(uint32_t seq)
{
    return seq % 500 == 499 ? FRAME_PIECE + FRAME_PIECE / 2 : seq % 200;
}

static void *
send_many(void *arg)
{
    struct sender *s = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        struct msg *m = message(s->id, i, length_of(i));

        m->lazy = s->id % 2;
        m->h.flags = s->id % 4 < 2 ? FRAME_BULK : 0;
        s->failed += stream_send(s->p->s, m, NULL) != 0;
    }
    return NULL;
}

/* Of every kind: lazy or not, normal or bulk, whole or in pieces. */
static void
test_senders_keep_their_order(void **state)
{
    struct probe *p = *state;
    struct sender senders[THREADS];
    uint32_t next[THREADS] = {0};

    probe_start_socket(p);
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){.p = p, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < THREADS * EACH;) {
        struct msg *m = far_read(p);

        assert_non_null(m);
        assert_int_equal(m->h.seq, next[m->h.src]);
        if (!(m->h.flags & (FRAME_MORE | FRAME_CONT)))
            assert_int_equal(m->h.length, length_of(m->h.seq));
        if (!(m->h.flags & FRAME_MORE)) {
            next[m->h.src]++;
            i++;
        }
        msg_unref(m);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].failed, 0);
    }
}

static void *
send_until_closed(void *arg)
{
    struct sender *s = arg;
    struct err err;
    int rc;

    do
        rc = stream_send(s->p->s, message(s->id, 0, 100), &err);
    while (rc == 0 || rc == ERR_LIMIT);
    s->failed = rc;
    return NULL;
}

/* The stream closes under the hands of its senders: each gets the reason, none touches what is gone. */
static void
test_close_among_senders(void **state)
{
    struct probe *p = *state;
    struct sender senders[THREADS];

    probe_start_socket(p);
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){.p = p, .id = i};
        assert_int_equal(
            pthread_create(&senders[i].thread, NULL, send_until_closed, &senders[i]), 0);
    }
    for (int i = 0; i < 100; i++)
        msg_unref(far_read(p));
    probe_close(p, "enough", 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].failed, ERR_CLOSED);
    }
    await(&p->closed);
    assert_string_equal(p->why.msg, "enough");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_probe(test_optimistic_write),
        with_probe(test_deferred_write),
        with_probe(test_costs_optimistic),
        with_probe(test_costs_deferred),
        with_probe(test_lazy_burst),
        with_probe(test_lazy_alone),
        with_probe(test_lazy_taken_along),
        with_probe(test_lazy_before_close),
        with_probe(test_lazy_while_blocked),
        with_probe(test_short_write),
        with_probe(test_refused_write),
        with_probe(test_broken_pipe),
        with_probe(test_queue_limit),
        with_probe(test_queue_limit_urgent),
        with_probe(test_owed_limit),
        with_probe(test_backlog),
        with_probe(test_senders_keep_their_order),
        with_probe(test_close_among_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
