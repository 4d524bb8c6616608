/* Sending: who writes, how often, in which order, and what happens to what does not go. */
#include "stream_test.h"

static int
send_one(struct probe *p, uint32_t src, uint32_t seq, uint32_t length)
{
    struct err err;

    return stream_send(p->s, message(src, seq, length), &err);
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

static void *
send_many(void *arg)
{
    struct sender *s = arg;

    for (uint32_t i = 0; i < EACH; i++)
        s->failed += send_one(s->p, s->id, i, i % 200) != 0;
    return NULL;
}

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
    for (int i = 0; i < THREADS * EACH; i++) {
        struct msg *m = far_read(p);

        assert_non_null(m);
        assert_int_equal(m->h.seq, next[m->h.src]++);
        assert_int_equal(m->h.length, m->h.seq % 200);
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
        with_probe(test_short_write),
        with_probe(test_refused_write),
        with_probe(test_broken_pipe),
        with_probe(test_queue_limit),
        with_probe(test_backlog),
        with_probe(test_senders_keep_their_order),
        with_probe(test_close_among_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
