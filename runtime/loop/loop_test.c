/* The loop: deferred work, reaping, timers, the end. */
#include <pthread.h>
#include <stdlib.h>

#include "clock.h"
#include "loop_test.h"

/* ---- deferred work ---- */

struct numbered {
    struct loop_work work;
    int number, *next, *wrong;
};

static void
check_number(struct loop_work *w)
{
    struct numbered *n = (struct numbered *)w;

    if (n->number != (*n->next)++)
        ++*n->wrong;
}

static void
test_defer_in_order(void **state)
{
    struct numbered works[1000];
    int next = 0, wrong = 0;

    for (int i = 0; i < 1000; i++) {
        works[i] =
            (struct numbered){.work.fn = check_number, .number = i, .next = &next, .wrong = &wrong};
        loop_defer(loop_of(state), &works[i].work);
    }
    loop_sync(loop_of(state), nothing, NULL);
    assert_int_equal(next, 1000);
    assert_int_equal(wrong, 0);
}

#define THREADS 8
#define EACH 2000

struct sender {
    struct loop *loop;
    struct numbered *works;
    pthread_t thread;
    int next, wrong;
};

static void *
defer_many(void *arg)
{
    struct sender *s = arg;

    for (int i = 0; i < EACH; i++) {
        s->works[i] = (struct numbered){
            .work.fn = check_number, .number = i, .next = &s->next, .wrong = &s->wrong};
        loop_defer(s->loop, &s->works[i].work);
    }
    loop_sync(s->loop, nothing, NULL); /* behind all of its own */
    return NULL;
}

static void
test_defer_from_threads(void **state)
{
    struct sender s[THREADS];

    for (int i = 0; i < THREADS; i++) {
        s[i] = (struct sender){.loop = loop_of(state), .works = xcalloc(EACH, sizeof *s[i].works)};
        assert_int_equal(pthread_create(&s[i].thread, NULL, defer_many, &s[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(s[i].thread, NULL);
        assert_int_equal(s[i].next, EACH);
        assert_int_equal(s[i].wrong, 0);
        free(s[i].works);
    }
}

static void
ask_role(void *arg)
{
    void **pair = arg;

    *(bool *)pair[1] = loop_holds(pair[0]);
    loop_sync(pair[0], nothing, NULL); /* from the role itself: at once */
}

static void
test_sync(void **state)
{
    bool held = false;
    void *pair[] = {loop_of(state), &held};

    assert_false(loop_holds(loop_of(state)));
    loop_sync(loop_of(state), ask_role, pair);
    assert_true(held);
}

/* ---- fairness ---- */

struct hog {
    struct loop_work work;
    struct loop_timer timer;
    struct loop *loop;
    sem_t fired;
    bool stop;
};

static void
hog_again(struct loop_work *w)
{
    struct hog *h = (struct hog *)w;

    if (!h->stop)
        loop_defer(h->loop, w);
}

static void
hog_fired(struct loop_timer *t)
{
    struct hog *h = owner_of(t, struct hog, timer);

    h->stop = true;
    loop_timer_fini(t);
    sem_post(&h->fired);
}

static void
hog_begin(void *arg)
{
    struct hog *h = arg;

    loop_timer_init(&h->timer, h->loop, hog_fired);
    loop_timer_set(&h->timer, 5);
    loop_defer(h->loop, &h->work);
}

/* Work that goes on deferring itself leaves timers and descriptors their turn. */
static void
test_work_does_not_starve(void **state)
{
    struct hog h = {.work.fn = hog_again, .loop = loop_of(state)};

    sem_init(&h.fired, 0, 0);
    loop_sync(h.loop, hog_begin, &h);
    await(&h.fired);
    loop_sync(h.loop, nothing, NULL);
    sem_destroy(&h.fired);
}

/* ---- reaping ---- */

struct mortal {
    struct loop_work work;
    struct loop *loop;
    int used, destroyed, used_after;
};

static void
mortal_use(struct loop_work *w)
{
    struct mortal *m = (struct mortal *)w;

    m->used++;
    m->used_after += m->destroyed;
}

static void
mortal_destroy(void *arg)
{
    ((struct mortal *)arg)->destroyed++;
}

static void
mortal_end(void *arg)
{
    struct mortal *m = arg;

    loop_defer(m->loop, &m->work);
    loop_reap(m->loop, mortal_destroy, m);
    m->used_after += m->destroyed; /* not inside the callback */
}

static void
test_reap_comes_after_work(void **state)
{
    struct mortal m = {.work.fn = mortal_use, .loop = loop_of(state)};

    loop_sync(m.loop, mortal_end, &m);
    loop_stop(m.loop);
    assert_int_equal(m.used, 1);
    assert_int_equal(m.destroyed, 1);
    assert_int_equal(m.used_after, 0);
}

/* What is pending when the loop stops is done, and what that defers in its turn. */
struct chain {
    struct loop_work work;
    struct loop *loop;
    int left;
};

static void
chain_next(struct loop_work *w)
{
    struct chain *c = (struct chain *)w;

    if (--c->left > 0)
        loop_defer(c->loop, w);
}

static void
test_stop_with_pending_work(void **state)
{
    struct chain c = {.work.fn = chain_next, .loop = loop_of(state), .left = 100};

    loop_defer(c.loop, &c.work);
    loop_stop(c.loop);
    assert_int_equal(c.left, 0);
    loop_stop(c.loop);
}

static void
test_never_started(void **state)
{
    struct err err;
    struct loop *loop = loop_create(&err);
    struct chain c = {.work.fn = chain_next, .loop = loop, .left = 3};

    assert_non_null(loop);
    loop_defer(loop, &c.work);
    loop_sync(loop, nothing, NULL);
    loop_destroy(loop);
    assert_int_equal(c.left, 0);
}

/* ---- timers ---- */

struct alarm {
    struct loop_timer timer;
    struct loop *loop;
    int64_t ms;
    sem_t fired;
};

static void
alarm_fired(struct loop_timer *t)
{
    sem_post(&((struct alarm *)t)->fired);
}

static void
alarm_set(void *arg)
{
    struct alarm *a = arg;

    if (!a->timer.loop)
        loop_timer_init(&a->timer, a->loop, alarm_fired);
    loop_timer_set(&a->timer, a->ms);
}

/* In one callback, so that nothing fires between. */
static void
alarm_move_away(void *arg)
{
    struct alarm *a = arg;

    loop_timer_set(&a->timer, 0);
    loop_timer_set(&a->timer, 100000);
}

static void
alarm_stop(void *arg)
{
    struct alarm *a = arg;

    loop_timer_set(&a->timer, 0);
    loop_timer_stop(&a->timer);
}

static void
alarm_end(void *arg)
{
    loop_timer_fini(&((struct alarm *)arg)->timer);
    loop_timer_stop(&((struct alarm *)arg)->timer);
}

static void
alarm_at(struct alarm *a, int64_t ms)
{
    a->ms = ms;
    loop_sync(a->loop, alarm_set, a);
}

static void
test_timers(void **state)
{
    struct alarm a = {.loop = loop_of(state)}, other = {.loop = loop_of(state)};
    int64_t begin = clock_ms();

    sem_init(&a.fired, 0, 0);
    sem_init(&other.fired, 0, 0);
    alarm_at(&a, 20);
    await(&a.fired);
    assert_true(clock_ms() - begin >= 15);
    alarm_at(&a, 0);
    await(&a.fired);
    alarm_at(&a, 100000);
    alarm_at(&a, 1);
    await(&a.fired);
    loop_sync(a.loop, alarm_move_away, &a);
    alarm_at(&other, 10); /* comes later, and so shows that the first does not come */
    await(&other.fired);
    assert_int_equal(await_value(&a.fired), 0);
    loop_sync(a.loop, alarm_stop, &a);
    alarm_at(&other, 10);
    await(&other.fired);
    assert_int_equal(await_value(&a.fired), 0);
    loop_sync(a.loop, alarm_end, &a);
    loop_sync(a.loop, alarm_end, &other);
    sem_destroy(&a.fired);
    sem_destroy(&other.fired);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_loop(test_defer_in_order),
        with_loop(test_defer_from_threads),
        with_loop(test_sync),
        with_loop(test_work_does_not_starve),
        with_loop(test_reap_comes_after_work),
        with_loop(test_stop_with_pending_work),
        with_loop(test_never_started),
        with_loop(test_timers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
