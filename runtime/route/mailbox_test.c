/* The mailbox: one thread waits, any may post. */
#include <pthread.h>
#include <stdlib.h>

#include "await_test.h"
#include "clock.h"
#include "mailbox.h"

static struct msg *
numbered(uint32_t src, uint32_t seq)
{
    struct msg *m = msg_new(0);

    m->h.src = src;
    m->h.seq = seq;
    return m;
}

static uint32_t
take_seq(struct mailbox *mb)
{
    struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);
    uint32_t seq;

    assert_non_null(m);
    seq = m->h.seq;
    msg_unref(m);
    return seq;
}

static void
test_order(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);

    for (uint32_t i = 0; i < 100; i++)
        mailbox_post(mb, numbered(0, i));
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(take_seq(mb), i);
    mailbox_destroy(mb);
    mailbox_destroy(NULL);
}

static void
test_deadline(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);
    int64_t begin = clock_ms();
    struct msg *m;

    assert_null(mailbox_take(mb, 0));
    assert_null(mailbox_take(mb, begin + 30));
    assert_true(clock_ms() - begin >= 29);
    mailbox_post(mb, numbered(0, 5));
    assert_int_equal(take_seq(mb), 5);
    mailbox_post(mb, numbered(0, 6)); /* what is there comes, though the deadline has passed */
    m = mailbox_take(mb, 0);
    assert_non_null(m);
    msg_unref(m);
    mailbox_destroy(mb);
}

static void
test_wake_the_next(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);

    mailbox_wake(mb);
    assert_null(mailbox_take(mb, -1));
    mailbox_wake(mb);
    mailbox_wake(mb);
    mailbox_post(mb, numbered(0, 1));
    assert_int_equal(take_seq(mb), 1); /* messages first */
    assert_null(mailbox_take(mb, -1)); /* then one NULL */
    assert_null(mailbox_take(mb, 0));
    mailbox_destroy(mb);
}

static void *
take_forever(void *arg)
{
    return mailbox_take(arg, -1);
}

static void
test_wake_the_current(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);
    void *taken = mb;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, take_forever, mb), 0);
    mailbox_wake(mb);
    pthread_join(thread, &taken);
    assert_null(taken);
    mailbox_destroy(mb);
}

#define THREADS 8
#define EACH 5000

struct poster {
    struct mailbox *mb;
    uint32_t id;
    pthread_t thread;
};

static void *
post_many(void *arg)
{
    struct poster *p = arg;

    for (uint32_t i = 0; i < EACH; i++)
        mailbox_post(p->mb, numbered(p->id, i));
    return NULL;
}

static void
test_many_posters(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);
    struct poster posters[THREADS];
    uint32_t next[THREADS] = {0};

    for (uint32_t i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){.mb = mb, .id = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    for (int i = 0; i < THREADS * EACH; i++) {
        struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);

        assert_non_null(m);
        assert_int_equal(m->h.seq, next[m->h.src]++);
        msg_unref(m);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(posters[i].thread, NULL);
    mailbox_destroy(mb);
}

/* Messages without a payload take room, too. */
static void
test_full_of_nothing(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);
    uint32_t n = 0;

    for (; !mailbox_is_full(mb); n++) {
        assert_true(n < MAILBOX_HIGH / FRAME_HEADER);
        mailbox_post(mb, numbered(0, n));
    }
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(take_seq(mb), i);
    assert_false(mailbox_is_full(mb));
    mailbox_destroy(mb);
}

static void
test_destroy_full(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);

    mailbox_post(mb, numbered(0, 1));
    mailbox_post(mb, numbered(0, 2));
    mailbox_destroy(mb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_wake_the_next),
        cmocka_unit_test(test_wake_the_current),
        cmocka_unit_test(test_many_posters),
        cmocka_unit_test(test_full_of_nothing),
        cmocka_unit_test(test_destroy_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
