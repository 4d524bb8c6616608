/* Questions that are asked once: one asks, the others wait for what comes of it. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "await_test.h"
#include "mem.h"
#include "once.h"

enum { THREADS = 8 };

struct asker {
    pthread_t thread;
    atomic_bool cancel;
    enum once got;
    char *answer;
};

static atomic_int asked;
static const char *result; /* of the one that asks, or NULL: refused */

static void *
ask(void *arg)
{
    struct asker *a = arg;

    a->got = once_claim("key", &a->cancel, &a->answer);
    if (a->got != ONCE_MINE)
        return NULL;
    atomic_fetch_add(&asked, 1);
    if (result)
        once_known("key", result);
    else
        once_refused("key");
    return NULL;
}

/* All of them wait, or are about to, while the question is this thread's. */
static void
start(struct asker *askers)
{
    memset(askers, 0, THREADS * sizeof *askers);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
}

static void
finish(struct asker *askers, enum once want)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        if (want == ONCE_KNOWN && askers[i].got == ONCE_KNOWN)
            assert_string_equal(askers[i].answer, result);
        else if (askers[i].got != ONCE_MINE)
            assert_int_equal(askers[i].got, want);
        secret_free(askers[i].answer);
    }
}

static void
test_known(void **state)
{
    struct asker askers[THREADS];
    char *answer;

    result = "sesame";
    atomic_store(&asked, 0);
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    start(askers);
    once_release("key"); /* the next one asks */
    finish(askers, ONCE_KNOWN);
    assert_int_equal(atomic_load(&asked), 1);
    assert_int_equal(once_claim("other", NULL, &answer), ONCE_MINE);
    once_release("other");
    once_forget("key", "not that one");
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_KNOWN);
    once_forget("key", answer);
    secret_free(answer);
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    once_known("key", "x");
    once_wipe();
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    once_release("key");
}

static void
test_cancelled(void **state)
{
    struct asker askers[THREADS];
    char *answer;

    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    start(askers);
    for (int i = 0; i < THREADS; i++)
        atomic_store(&askers[i].cancel, true);
    finish(askers, ONCE_CANCELLED);
    once_release("key");
}

/* Who waits gets the refusal, who comes later may ask again. */
static void
test_refused(void **state)
{
    struct asker askers[THREADS];
    char *answer;

    result = NULL;
    start(askers);
    finish(askers, ONCE_REFUSED);
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    once_refused("key");
    assert_int_equal(once_claim("key", NULL, &answer), ONCE_MINE);
    once_release("key");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
