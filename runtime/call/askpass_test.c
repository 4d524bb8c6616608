/* Questions of ssh(1): what its words mean, and who is answered. The clients are forks of this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "askpass.h"
#include "askpass_text.h"
#include "await_test.h"
#include "clock.h"
#include "frame.h"
#include "mem.h"
#include "once.h"

/* ---- words ---- */

static void
assert_question(const char *prompt, const char *name, struct ssh_question want)
{
    struct ssh_question q = {.host = "web1"};
    struct askpass_text t;

    askpass_text_init(&t, prompt, name, &q);
    assert_int_equal(q.kind, want.kind);
    assert_string_equal(q.subject, want.subject);
    assert_string_equal(q.text, want.text);
    assert_string_equal(q.detail, want.detail);
    assert_int_equal(q.echo, want.echo);
    askpass_text_fini(&t);
}

static void
test_words(void **state)
{
    assert_question("Enter passphrase for key '/it's/a key': ", "web1",
        (struct ssh_question){.kind = SSH_ASK_PASSPHRASE,
            .subject = "/it's/a key",
            .text = "Enter passphrase for key '/it's/a key' (for web1): ",
            .detail = ""});
    assert_question("root@10.0.0.1's password: ", "web1",
        (struct ssh_question){.kind = SSH_ASK_PASSWORD,
            .subject = "root@web1",
            .text = "root@web1's password: ",
            .detail = ""});
    assert_question("root@jump's password: ", NULL,
        (struct ssh_question){.kind = SSH_ASK_PASSWORD,
            .subject = "root@jump",
            .text = "root@jump's password: ",
            .detail = ""});
    assert_question("The authenticity of host 'h (10.0.0.1)' can't be established.\n"
                    "ED25519 key fingerprint is SHA256:abc+/1.\nNot known by any other names.\n"
                    "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
        "web1",
        (struct ssh_question){.kind = SSH_ASK_HOSTKEY,
            .subject = "SHA256:abc+/1",
            .text = "web1: Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
            .detail = "The authenticity of host 'h (10.0.0.1)' can't be established.\n"
                      "ED25519 key fingerprint is SHA256:abc+/1.\nNot known by any other names.",
            .echo = true});
    assert_question("(root@h) C\x1b[31mode: ", "web1",
        (struct ssh_question){
            .kind = SSH_ASK_PROMPT, .subject = "", .text = "(root@h) C?[31mode: ", .detail = ""});
    assert_question(
        "", "web1", (struct ssh_question){.subject = "", .text = "", .detail = "", .kind = 2});
}

/* ---- questions ---- */

struct fixture {
    struct loop *loop;
    struct mailbox *mb;
    struct asker *asker;
    struct askpass *askpass;
    sem_t done; /* a question was dealt with */
    pid_t pid;
    const char *password, *passphrase;
};

static void
on_busy(void *arg, bool yes)
{
    struct fixture *f = arg;

    if (!yes)
        sem_post(&f->done);
}

static void
begin(void *arg)
{
    struct fixture *f = arg;
    struct askpass_options o = {.loop = f->loop,
        .asker = f->asker,
        .host = "web1",
        .program = "/the/agent",
        .password = f->password,
        .passphrase = f->passphrase};

    f->askpass = askpass_create(&o, NULL);
    assert_non_null(f->askpass);
    askpass_watch(f->askpass, f->pid, on_busy, f);
}

static void
reap(void *arg)
{
    askpass_destroy(arg);
}

static void
end(void *arg)
{
    struct fixture *f = arg;

    askpass_stop(f->askpass);
    askpass_stop(f->askpass);
    loop_reap(f->loop, reap, f->askpass);
}

static void
right(void *arg)
{
    askpass_right(((struct fixture *)arg)->askpass);
}

static void
open_fixture(struct fixture *f, pid_t pid)
{
    struct ask_options o = {.script = true};
    struct err err;

    f->pid = pid;
    f->loop = loop_create(&err);
    assert_int_equal(loop_start(f->loop, &err), 0);
    f->mb = mailbox_create(NULL);
    f->asker = asker_create(&o);
    asker_bind(f->asker, f->mb, 7);
    sem_init(&f->done, 0, 0);
    loop_sync(f->loop, begin, f);
}

static void
close_fixture(struct fixture *f)
{
    loop_sync(f->loop, end, f);
    loop_stop(f->loop);
    loop_destroy(f->loop);
    asker_destroy(f->asker);
    mailbox_destroy(f->mb);
    sem_destroy(&f->done);
    once_wipe();
}

static const char *
socket_name(const struct fixture *f)
{
    const char *const *env = askpass_environment(f->askpass);

    assert_string_equal(env[0], "SSH_ASKPASS=/the/agent");
    assert_string_equal(env[1], "SSH_ASKPASS_REQUIRE=force");
    return strchr(env[2], '=') + 1;
}

/* In a child: 0 if this is the answer; 1 where there is another, 2 for none with a reason, 3 for nothing. */
static int
client(const char *name, const char *prompt, const char *want)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    char answer[512] = "";
    ssize_t n;

    memcpy(un.sun_path + 1, name, strlen(name));
    if (connect(fd, (struct sockaddr *)&un,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0)
        return 4;
    (void)send(fd, prompt, strlen(prompt), MSG_NOSIGNAL);
    n = recv(fd, answer, sizeof answer - 1, 0);
    if (n <= 0)
        return 3;
    return !answer[0] ? 2 : strcmp(answer + 1, want) != 0;
}

static pid_t
start_client(const struct fixture *f, const char *prompt, const char *want)
{
    const char *name = socket_name(f);
    pid_t pid = fork();

    if (pid == 0)
        _exit(client(name, prompt, want));
    return pid;
}

static int
status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

/* Answers the question that is there. */
static void
answer(struct fixture *f, const char *text)
{
    struct msg *m = mailbox_take(f->mb, clock_ms() + AWAIT_MS);

    assert_non_null(m);
    ask_answer(m->h.seq, text, NULL);
    msg_unref(m);
}

static void
test_password(void **state)
{
    static const char prompt[] = "root@10.0.0.1's password: ";
    struct fixture f = {.password = "given"};
    pid_t pid;

    open_fixture(&f, getpid());
    assert_int_equal(status_of(start_client(&f, prompt, "given")), 0);
    await(&f.done);
    pid = start_client(&f, prompt, "typed"); /* the given one was wrong */
    answer(&f, "typed");
    assert_int_equal(status_of(pid), 0);
    await(&f.done);
    pid = start_client(&f, prompt, "");
    answer(&f, NULL);
    assert_int_equal(status_of(pid), 2);
    await(&f.done);
    close_fixture(&f);
}

static void
test_passphrase(void **state)
{
    static const char prompt[] = "Enter passphrase for key '/k': ";
    struct fixture f = {.passphrase = "given"};
    char *known;
    pid_t pid;

    open_fixture(&f, getpid());
    assert_int_equal(status_of(start_client(&f, prompt, "given")), 0);
    await(&f.done);
    for (int i = 0; i < 2; i++) {
        pid = start_client(&f, prompt, i ? "right" : "wrong");
        answer(&f, i ? "right" : "wrong");
        assert_int_equal(status_of(pid), 0);
        await(&f.done);
    }
    assert_null(once_peek("passphrase of /k")); /* nobody knows yet */
    loop_sync(f.loop, right, &f);
    known = once_peek("passphrase of /k");
    assert_string_equal(known, "right");
    secret_free(known);
    close_fixture(&f);
}

/* One that goes on to another key had the right passphrase; one that ends may not have had. */
static void
test_known_passphrase(void **state)
{
    struct fixture f = {0};
    pid_t pid;

    open_fixture(&f, getpid());
    pid = start_client(&f, "Enter passphrase for key '/a': ", "first");
    answer(&f, "first");
    assert_int_equal(status_of(pid), 0);
    await(&f.done);
    pid = start_client(&f, "root@h's password: ", "word");
    answer(&f, "word");
    assert_int_equal(status_of(pid), 0);
    await(&f.done);
    assert_int_equal(status_of(start_client(&f, "Enter passphrase for key '/a': ", "first")), 0);
    await(&f.done);
    pid = start_client(&f, "Enter passphrase for key '/a': ", "second"); /* not any more */
    answer(&f, "second");
    assert_int_equal(status_of(pid), 0);
    await(&f.done);
    loop_sync(f.loop, end, &f);
    assert_null(once_peek("passphrase of /a"));
    f.askpass = NULL;
    loop_stop(f.loop);
    loop_destroy(f.loop);
    asker_destroy(f.asker);
    mailbox_destroy(f.mb);
    sem_destroy(&f.done);
}

static void
test_strangers(void **state)
{
    struct fixture f = {.password = "given"};
    pid_t other = fork();

    if (other == 0) {
        pause();
        _exit(0);
    }
    open_fixture(&f, other); /* as whose descendant nobody comes */
    assert_int_equal(status_of(start_client(&f, "root@h's password: ", "given")), 3);
    await(&f.done);
    close_fixture(&f);
    kill(other, SIGKILL);
    (void)status_of(other);
}

/* The ssh of a jump host is a child of the one that we started: its questions are not about our host. */
static void
test_jump(void **state)
{
    struct fixture f = {.password = "given"};
    const char *name;
    pid_t pid;

    open_fixture(&f, getpid());
    name = socket_name(&f);
    pid = fork();
    if (pid == 0) {
        pid_t inner = fork();

        if (inner == 0)
            _exit(client(name, "root@jump's password: ", "for the jump host"));
        _exit(status_of(inner));
    }
    answer(&f, "for the jump host");
    assert_int_equal(status_of(pid), 0);
    await(&f.done);
    close_fixture(&f);
}

/* Stopped while somebody is being asked. */
static void
test_stopped(void **state)
{
    struct fixture f = {0};
    pid_t pid;
    struct msg *m;

    open_fixture(&f, getpid());
    pid = start_client(&f, "root@h's password: ", "");
    m = mailbox_take(f.mb, clock_ms() + AWAIT_MS);
    assert_non_null(m);
    close_fixture(&f);
    ask_answer(m->h.seq, "too late", NULL);
    msg_unref(m);
    assert_int_equal(status_of(pid), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_passphrase),
        cmocka_unit_test(test_known_passphrase),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
