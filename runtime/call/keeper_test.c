/* Questions to a keeper and their answers, in one process: who asks and who answers are threads of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "ask_internal.h"
#include "clock.h"
#include "keeper.h"
#include "mem.h"
#include "pack.h"

enum { PATIENCE_MS = 30000, ASKERS = 8 };

static struct {
    struct loop *loop;
    struct router *router;
    struct keepers *keepers;
    struct mailbox *mb;
    uint32_t number;
    struct ask_keeper way;
} x;

static sem_t entered; /* a question that blocks is being answered */

/* Signs with the subject's name; blocks, where it is to judge a host key, until it is cancelled. */
static int
keep(const struct ssh_options *o, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    if (q->kind == SSH_ASK_PASSWORD)
        return err_set(err, ERR_CREDENTIALS, "%s has none", o->host);
    if (q->kind == SSH_ASK_TRUST) {
        sem_post(&entered);
        while (!atomic_load(cancel))
            sched_yield();
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
    if (answer)
        *answer = xasprintf("%s by %s at %s", q->text, q->subject, o->host);
    return 0;
}

static char **
offers(const struct ssh_options *o, const atomic_bool *cancel)
{
    char **list = xcalloc(2, sizeof *list);

    list[0] = xasprintf("key of %s", o->host);
    return list;
}

static char *
host_key_algorithms(const struct ssh_options *o)
{
    return xstrdup("ssh-ed25519");
}

static const struct ssh_library library = {
    .keep = keep, .offers = offers, .host_key_algorithms = host_key_algorithms};

static int
begin(void **state)
{
    const struct ssh_options via = {.host = "jump", .kept = 2};
    const struct ssh_options ssh = {.host = "db1", .kept = 1, .via = &via};
    const struct open_options o = {.name = "db1", .route = "", .ssh = &ssh};
    struct err err;
    struct msg *m;
    struct unpack u;

    sem_init(&entered, 0, 0);
    x.loop = loop_create(&err);
    assert_non_null(x.loop);
    assert_int_equal(loop_start(x.loop, &err), 0);
    x.router = router_create(x.loop, CONTEXT_CONTROLLER, "controller");
    x.keepers = keepers_create(x.router);
    x.mb = mailbox_create(NULL);
    x.number = keeper_open(x.keepers, &library, &o, x.mb, &err);
    assert_int_not_equal(x.number, 0);
    m = mailbox_take(x.mb, clock_ms() + PATIENCE_MS);
    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_KEEP);
    assert_int_equal(m->h.seq, x.number);
    unpack_init(&u, msg_payload(m), m->h.length);
    x.way = (struct ask_keeper){
        .router = x.router, .context = CONTEXT_CONTROLLER, .handle = unpack_u32(&u)};
    for (int i = 0; i < 2; i++) {
        char *algorithms = unpack_str(&u), *offer;

        assert_string_equal(algorithms, "ssh-ed25519");
        assert_int_equal(unpack_u32(&u), 1);
        offer = unpack_str(&u);
        assert_string_equal(offer, i ? "key of jump" : "key of db1");
        free(algorithms);
        free(offer);
    }
    assert_int_equal(unpack_done(&u, "the offers", &err), 0);
    msg_unref(m);
    return 0;
}

static int
end(void **state)
{
    if (x.keepers)
        keepers_destroy(x.keepers);
    mailbox_destroy(x.mb);
    loop_stop(x.loop);
    router_destroy(x.router);
    loop_destroy(x.loop);
    sem_destroy(&entered);
    return 0;
}

static void
serve(void)
{
    keeper_serve(x.keepers, x.number, CONTEXT_CONTROLLER);
}

static int
ask(enum ssh_question_kind kind, int kept, char **answer, struct err *err)
{
    struct ssh_question q = {
        .kind = kind, .kept = kept, .subject = "key", .text = "login", .detail = ""};

    return ask_keeper(&x.way, &q, NULL, answer, err);
}

static void
test_answers(void **state)
{
    char *answer = NULL;
    struct err err;

    serve();
    assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), 0);
    assert_string_equal(answer, "login by key at db1");
    secret_free(answer);
    assert_int_equal(ask(SSH_ASK_SIGN, 2, &answer, &err), 0);
    assert_string_equal(answer, "login by key at jump");
    secret_free(answer);
    assert_int_equal(ask(SSH_ASK_PROMPT, 1, NULL, &err), 0);
    assert_int_equal(ask(SSH_ASK_PASSWORD, 1, &answer, &err), ERR_CREDENTIALS);
    assert_string_equal(err.msg, "db1 has none");
    assert_int_equal(ask(SSH_ASK_SIGN, 3, &answer, &err), ERR_DENIED);
}

static void
test_answers_whom_it_is_for(void **state)
{
    char *answer = NULL;
    struct err err;

    assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), ERR_DENIED);
    keeper_serve(x.keepers, x.number, 7);
    assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), ERR_DENIED);
    serve();
    assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), 0);
    secret_free(answer);
    keeper_close(x.keepers, x.number);
    assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), ERR_CANCELLED);
}

static void
test_signs_no_end_of_logins(void **state)
{
    char *answer;
    struct err err;
    int n = 0;

    serve();
    for (; n < 1000 && ask(SSH_ASK_SIGN, 1, &answer, &err) == 0; n++)
        secret_free(answer);
    assert_int_equal(n, 64);
    assert_int_equal(err.code, ERR_DENIED);
}

static void *
ask_often(void *arg)
{
    for (int i = 0; i < 8; i++) {
        char *answer;
        struct err err;

        assert_int_equal(ask(SSH_ASK_SIGN, 1, &answer, &err), 0);
        secret_free(answer);
    }
    return NULL;
}

static void
test_many_at_once(void **state)
{
    pthread_t threads[ASKERS];

    serve();
    for (int i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
}

static void *
ask_in_vain(void *arg)
{
    char *answer;
    struct err err;

    assert_int_equal(ask(SSH_ASK_TRUST, 1, &answer, &err), ERR_CANCELLED);
    return NULL;
}

static void
test_closing_ends_what_is_asked(void **state)
{
    pthread_t thread;

    serve();
    assert_int_equal(pthread_create(&thread, NULL, ask_in_vain, NULL), 0);
    sem_wait(&entered);
    keeper_close(x.keepers, x.number);
    pthread_join(thread, NULL);
}

static void
test_destroying_ends_it_too(void **state)
{
    pthread_t thread;

    serve();
    assert_int_equal(pthread_create(&thread, NULL, ask_in_vain, NULL), 0);
    sem_wait(&entered);
    keepers_destroy(x.keepers);
    x.keepers = NULL;
    pthread_join(thread, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_answers_whom_it_is_for, begin, end),
        cmocka_unit_test_setup_teardown(test_signs_no_end_of_logins, begin, end),
        cmocka_unit_test_setup_teardown(test_many_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_closing_ends_what_is_asked, begin, end),
        cmocka_unit_test_setup_teardown(test_destroying_ends_it_too, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
