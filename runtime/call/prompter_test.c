/* Prompts of a command: what is one, who answers, and that nothing is written before or after. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "once.h"
#include "process.h"
#include "prompter.h"

#define STUB "0123456789abcdef01234567"
#define PROMPT "[sudo] password for deploy@web1 (feed): "

struct fixture {
    struct loop *loop;
    struct mailbox *mb;
    struct asker *asker;
    struct stream *s;
    struct prompter *p;
    struct transport *transport;
    int far; /* the command's end */
    sem_t up, closed;
    struct err why;
    bool nobody;
    struct prompter_options options;
};

static void
on_up(struct stream *s, void *arg)
{
    struct fixture *f = arg;

    prompter_stop(f->p, true);
    sem_post(&f->up);
}

static void
on_frame(struct stream *s, struct msg *m, void *arg)
{
    msg_unref(m);
}

static void
on_closed(struct stream *s, const struct err *why, void *arg)
{
    struct fixture *f = arg;

    f->why = *why;
    prompter_stop(f->p, false);
    sem_post(&f->closed);
}

static void
begin(void *arg)
{
    static const struct stream_events events = {
        .up = on_up, .frame = on_frame, .closed = on_closed};
    struct fixture *f = arg;
    struct stream_options o = {
        .name = "web1", .bootstrap = bootstrap_create(STUB, NULL, NULL), .bootstrap_ms = 600000};

    f->s = stream_create(f->loop, f->transport, &o, &events, f);
    f->options.loop = f->loop;
    f->options.asker = f->asker;
    f->options.host = "web1";
    f->options.program = "sudo";
    f->options.subject = "root";
    f->p = prompter_create(&f->options);
    prompter_listen(f->p, f->s);
}

static void
open_fixture(struct fixture *f)
{
    struct ask_options o = {.script = !f->nobody, .nobody = f->nobody};
    struct err err;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    f->far = fds[1];
    f->transport = process_adopt(fds[0], fds[0]);
    f->loop = loop_create(&err);
    assert_int_equal(loop_start(f->loop, &err), 0);
    f->mb = mailbox_create(NULL);
    f->asker = asker_create(&o);
    asker_bind(f->asker, f->mb, 7);
    sem_init(&f->up, 0, 0);
    sem_init(&f->closed, 0, 0);
    loop_sync(f->loop, begin, f);
}

static void
reap(void *arg)
{
    prompter_destroy(arg);
}

static void
end(void *arg)
{
    struct fixture *f = arg;
    struct err why;

    err_set(&why, ERR_CLOSED, "the test ends");
    stream_close(f->s, &why, 0);
    loop_reap(f->loop, reap, f->p);
}

static void
close_fixture(struct fixture *f)
{
    loop_sync(f->loop, end, f);
    stream_unref(f->s);
    loop_stop(f->loop);
    loop_destroy(f->loop);
    asker_destroy(f->asker);
    mailbox_destroy(f->mb);
    close(f->far);
    sem_destroy(&f->up);
    sem_destroy(&f->closed);
    once_wipe();
}

static void
say(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->far, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the command reads next; "" where nothing was written yet. */
static const char *
heard(struct fixture *f, int wait_ms)
{
    static char text[256];
    struct pollfd fd = {.fd = f->far, .events = POLLIN};
    ssize_t n = poll(&fd, 1, wait_ms) == 1 ? read(f->far, text, sizeof text - 1) : 0;

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void
nothing(void *arg)
{
}

/* Behind it, what was said has been read. */
static void
settle(struct fixture *f)
{
    struct pollfd fd = {.fd = f->transport->fd, .events = POLLIN};

    while (poll(&fd, 1, 0) == 1)
        loop_sync(f->loop, nothing, NULL);
    loop_sync(f->loop, nothing, NULL);
}

static struct msg *
question(struct fixture *f)
{
    struct msg *m = mailbox_take(f->mb, clock_ms() + AWAIT_MS);

    assert_non_null(m);
    return m;
}

static bool
payload_has(struct msg *m, const char *text)
{
    return memmem(msg_payload(m), m->h.length, text, strlen(text)) != NULL;
}

/* Takes m. */
static void
answer(struct msg *m, const char *text)
{
    ask_answer(m->h.seq, text, NULL);
    msg_unref(m);
}

static void
come_up(struct fixture *f)
{
    say(f, STUB " agent\n");
    await(&f->up);
}

static void
test_marked(void **state)
{
    struct fixture f = {.options = {.mark = "feed", .password = "given"}};
    struct msg *m;

    open_fixture(&f);
    say(&f, "A lecture.\nPassword:\n[sudo] password for deploy@web1 (fee");
    settle(&f);
    assert_string_equal(heard(&f, 0), "");
    say(&f, "d): ");
    assert_string_equal(heard(&f, AWAIT_MS), "given\n");
    say(&f, "Sorry, try again.\n" PROMPT);
    m = question(&f);
    assert_true(payload_has(m, "deploy@web1"));
    assert_true(payload_has(m, "[sudo] password for deploy@web1: "));
    assert_false(payload_has(m, "feed"));
    answer(m, "typed\nand more");
    assert_string_equal(heard(&f, AWAIT_MS), "typed\n");
    assert_true(prompter_answered(f.p));
    say(&f, "\n" PROMPT); /* no complaint: so it was right */
    m = question(&f);
    assert_true(payload_has(m, "web1: one more answer for deploy@web1 (a code?): "));
    answer(m, "123456");
    assert_string_equal(heard(&f, AWAIT_MS), "123456\n");
    come_up(&f);
    assert_false(prompter_answered(f.p));
    close_fixture(&f);
}

static void
test_other(void **state)
{
    struct fixture f = {.options = {.mark = "feed", .password = "given"}};
    struct msg *m;

    open_fixture(&f);
    say(&f, "Kennwort f\303\274r LDAP: ");
    m = question(&f); /* it does not say "passw" */
    assert_true(payload_has(m, "web1: Kennwort f\303\274r LDAP: "));
    answer(m, "typed");
    assert_string_equal(heard(&f, AWAIT_MS), "typed\n");
    say(&f, "\nLDAP Password: ");
    assert_string_equal(heard(&f, AWAIT_MS), "given\n");
    come_up(&f);
    close_fixture(&f);
}

static void
test_unmarked(void **state)
{
    struct fixture f = {.options = {.password = "given"}};
    struct msg *m;

    open_fixture(&f);
    say(&f, "Verification code: ");
    m = question(&f);
    answer(m, "123456");
    assert_string_equal(heard(&f, AWAIT_MS), "123456\n");
    say(&f, "\nsudo:"); /* begins a message */
    say(&f, " hello\n\343\203\221\343\202\271\357\274\232");
    assert_string_equal(heard(&f, AWAIT_MS), "given\n");
    come_up(&f);
    close_fixture(&f);
}

/* What was right once is not asked again; nor is it, before it proved right, known. */
static void
test_shared(void **state)
{
    struct fixture f = {.options = {.mark = "feed", .share = true}}, g = f;

    open_fixture(&f);
    say(&f, PROMPT);
    answer(question(&f), "typed");
    assert_string_equal(heard(&f, AWAIT_MS), "typed\n");
    assert_null(once_peek("sudo password of deploy"));
    come_up(&f);
    open_fixture(&g);
    say(&g, "[sudo] password for deploy@web2 (feed): ");
    assert_string_equal(heard(&g, AWAIT_MS), "typed\n");
    come_up(&g);
    close_fixture(&g);
    close_fixture(&f);
}

static void
test_wrong(void **state)
{
    struct fixture f = {.nobody = true, .options = {.mark = "feed", .password = "given"}};

    open_fixture(&f);
    say(&f, PROMPT);
    assert_string_equal(heard(&f, AWAIT_MS), "given\n");
    say(&f, "Sorry.\n" PROMPT);
    await(&f.closed);
    assert_int_equal(f.why.code, ERR_AUTH);
    assert_string_equal(f.why.msg, "sudo: the password for deploy@web1 is wrong");
    close_fixture(&f);
}

static void
test_nobody(void **state)
{
    struct fixture f = {.nobody = true, .options = {.mark = "feed"}};

    open_fixture(&f);
    say(&f, PROMPT);
    await(&f.closed);
    assert_int_equal(f.why.code, ERR_CREDENTIALS);
    assert_string_equal(f.why.msg,
        "sudo: deploy@web1 needs a password, and nobody is to be asked for it (ask = false)");
    close_fixture(&f);
}

/* The stub has spoken: whatever looks like a prompt now is none, and an answer that is late is dropped. */
static void
test_too_late(void **state)
{
    struct fixture f = {.options = {.mark = "feed"}};
    struct msg *m;

    open_fixture(&f);
    say(&f, PROMPT);
    m = question(&f);
    say(&f, STUB " skip /x: full\n" PROMPT);
    settle(&f);
    answer(m, "typed");
    come_up(&f);
    assert_string_equal(heard(&f, 0), "");
    close_fixture(&f);
}

/* Stopped while somebody is being asked. */
static void
test_stopped(void **state)
{
    struct fixture f = {.options = {.mark = "feed", .share = true}};
    struct msg *m;

    open_fixture(&f);
    say(&f, PROMPT);
    m = question(&f);
    close_fixture(&f);
    answer(m, "too late");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marked),
        cmocka_unit_test(test_other),
        cmocka_unit_test(test_unmarked),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
