/* Who is asked: the script's function, a program, a person at a terminal, nobody. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "ask.h"
#include "await_test.h"
#include "clock.h"
#include "frame.h"
#include "mem.h"
#include "pack.h"

static const struct ssh_question password = {.kind = SSH_ASK_PASSWORD,
    .host = "web1",
    .subject = "root@web1",
    .text = "root@web1's password: ",
    .detail = "",
    .attempt = 1};

static char dir[] = "/tmp/orrery-ask-XXXXXX";

static int
setup(void **state)
{
    int tty;

    unsetenv("SSH_ASKPASS");
    unsetenv("SSH_ASKPASS_REQUIRE");
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    assert_non_null(mkdtemp(dir));
    tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty >= 0) { /* whoever runs the tests is not to be asked */
        ioctl(tty, TIOCNOTTY);
        close(tty);
    }
    return 0;
}

static int
teardown(void **state)
{
    char command[80];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* A thread that asks. */
struct thread {
    pthread_t id;
    struct asker *asker;
    atomic_bool cancel;
    char *answer;
    struct err err;
    int rc;
};

static void *
ask(void *arg)
{
    struct thread *t = arg;

    t->rc = asker_ask(t->asker, &password, &t->cancel, &t->answer, &t->err);
    return NULL;
}

static void
start(struct thread *t, struct asker *a)
{
    *t = (struct thread){.asker = a};
    assert_int_equal(pthread_create(&t->id, NULL, ask, t), 0);
}

static void
finish(struct thread *t, int rc, const char *text)
{
    pthread_join(t->id, NULL);
    assert_int_equal(t->rc, rc);
    if (rc == 0)
        assert_string_equal(t->answer, text);
    else
        assert_non_null(strstr(t->err.msg, text));
    secret_free(t->answer);
}

/* ---- the script's function ---- */

static uint32_t
take(struct mailbox *mb, uint32_t opening)
{
    struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);
    struct unpack u;
    uint32_t seq;

    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_ASK);
    assert_int_equal(m->h.src, opening);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_int_equal(unpack_u8(&u), SSH_ASK_PASSWORD);
    assert_int_equal(unpack_u8(&u), false);
    assert_int_equal(unpack_u32(&u), 1);
    seq = m->h.seq;
    msg_unref(m);
    return seq;
}

static void
test_script(void **state)
{
    enum { THREADS = 5 };
    struct ask_options o = {.script = true};
    struct mailbox *mb = mailbox_create(NULL);
    struct asker *a = asker_create(&o);
    struct thread threads[THREADS];

    asker_bind(a, mb, 7);
    assert_int_equal(asker_ask(a, &password, NULL, NULL, NULL), 0); /* somebody could be asked */
    for (int i = 0; i < THREADS; i++)
        start(&threads[i], a);
    for (int i = 0; i < THREADS; i++) {
        uint32_t seq = take(mb, 7);

        assert_null(mailbox_take(mb, clock_ms())); /* one at a time */
        ask_answer(seq + 1000, "nobody asked that", NULL);
        ask_answer(seq, "sesame", NULL);
    }
    for (int i = 0; i < THREADS; i++)
        finish(&threads[i], 0, "sesame");
    start(&threads[0], a);
    ask_answer(take(mb, 7), NULL, "no vault");
    finish(&threads[0], ERR_CANCELLED, "the `ask` function failed: no vault");
    start(&threads[0], a);
    ask_answer(take(mb, 7), NULL, NULL);
    finish(&threads[0], ERR_CANCELLED, "gave no answer");
    asker_destroy(a);
    mailbox_destroy(mb);
}

static void
test_script_goes(void **state)
{
    struct ask_options o = {.script = true};
    struct mailbox *mb = mailbox_create(NULL);
    struct asker *a = asker_create(&o);
    struct thread one, two;

    asker_bind(a, mb, 7);
    start(&one, a);
    (void)take(mb, 7);
    atomic_store(&one.cancel, true);
    ask_hurry();
    finish(&one, ERR_CANCELLED, "cancelled");
    start(&one, a);
    (void)take(mb, 7);
    start(&two, a);
    ask_forget(mb);
    mailbox_destroy(mb);
    finish(&one, ERR_CANCELLED, "has ended");
    finish(&two, ERR_CANCELLED, "has ended");
    asker_destroy(a);
}

/* A question that an answer depends on does not wait for that answer. */
static void
test_depth(void **state)
{
    struct ask_options outer = {.script = true}, inner = {.script = true, .depth = 1};
    struct mailbox *mb = mailbox_create(NULL);
    struct asker *a = asker_create(&outer), *b = asker_create(&inner);
    struct thread one, two;
    uint32_t first;

    asker_bind(a, mb, 7);
    asker_bind(b, mb, 8);
    start(&one, a);
    first = take(mb, 7);
    start(&two, b);
    ask_answer(take(mb, 8), "inner", NULL);
    finish(&two, 0, "inner");
    ask_answer(first, "outer", NULL);
    finish(&one, 0, "outer");
    asker_destroy(a);
    asker_destroy(b);
    mailbox_destroy(mb);
}

/* ---- programs ---- */

static const char *
script(const char *name, const char *text)
{
    static char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    fclose(f);
    chmod(path, 0700);
    return path;
}

/* Asks once, by these options. */
static int
ask_by(const struct ask_options *o, char **answer, struct err *err)
{
    struct asker *a = asker_create(o);
    int rc = asker_ask(a, &password, NULL, answer, err);

    asker_destroy(a);
    return rc;
}

static void
test_program(void **state)
{
    struct ask_options o = {.program = script("echo",
                                "[ -z \"$SSH_ASKPASS_PROMPT\" ] && read x || echo \"$#$1\"; echo")};
    struct asker *a;
    struct thread t;
    struct err err;
    char *answer;

    setenv("SSH_ASKPASS_PROMPT", "confirm", 1);
    assert_int_equal(ask_by(&o, &answer, &err), 0);
    unsetenv("SSH_ASKPASS_PROMPT");
    assert_string_equal(answer, "1root@web1's password: ");
    secret_free(answer);
    o.program = script("refuse", "echo sesame; exit 1");
    assert_int_equal(ask_by(&o, &answer, &err), ERR_CANCELLED);
    assert_null(strstr(err.msg, "sesame"));
    o.program = "/nosuch/program";
    assert_int_equal(ask_by(&o, &answer, &err), ERR_CREDENTIALS);
    assert_non_null(strstr(err.msg, "/nosuch/program does not run: No such file"));
    o.program = script("slow", "echo $$ >$0.pid; exec sleep 1000");
    a = asker_create(&o);
    start(&t, a);
    atomic_store(&t.cancel, true);
    finish(&t, ERR_CANCELLED, "cancelled");
    asker_destroy(a);
    assert_true(await_no_children());
}

/* As ssh(1) reads these variables. */
static void
test_environment(void **state)
{
    struct ask_options o = {0};
    struct err err;
    char *answer;

    setenv("SSH_ASKPASS", script("said", "echo sesame"), 1);
    assert_int_equal(ask_by(&o, &answer, &err), ERR_CREDENTIALS); /* without a display */
    setenv("SSH_ASKPASS_REQUIRE", "prefer", 1);
    assert_int_equal(ask_by(&o, NULL, &err), ERR_CREDENTIALS);
    setenv("SSH_ASKPASS_REQUIRE", "force", 1);
    assert_int_equal(ask_by(&o, NULL, &err), 0);
    assert_int_equal(ask_by(&o, &answer, &err), 0);
    assert_string_equal(answer, "sesame");
    secret_free(answer);
    setenv("SSH_ASKPASS_REQUIRE", "never", 1);
    setenv("DISPLAY", ":0", 1);
    assert_int_equal(ask_by(&o, NULL, &err), ERR_CREDENTIALS);
    unsetenv("SSH_ASKPASS_REQUIRE");
    assert_int_equal(ask_by(&o, NULL, &err), 0);
    unsetenv("DISPLAY");
    unsetenv("SSH_ASKPASS");
}

static void
test_nobody(void **state)
{
    struct ask_options o = {0};
    struct err err;
    char *answer;

    assert_int_equal(ask_by(&o, &answer, &err), ERR_CREDENTIALS);
    assert_string_equal(err.msg,
        "root@web1 needs a password, and there is no terminal, askpass program or `ask` function "
        "to "
        "ask for it");
    o.nobody = true;
    assert_int_equal(ask_by(&o, NULL, &err), ERR_CREDENTIALS);
    assert_non_null(strstr(err.msg, "(ask = false)"));
}

/* ---- the terminal ---- */

/* In a process of its own, at a terminal whose other end is *fd: exits with 0 if the answer is right. */
static pid_t
at_terminal(int *fd)
{
    struct ask_options o = {0};
    pid_t pid = forkpty(fd, NULL, NULL, NULL);
    struct err err;
    char *answer;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (ask_by(&o, &answer, &err))
            _exit(err.code == ERR_CANCELLED ? 2 : 3);
        _exit(strcmp(answer, "open sesame") != 0);
    }
    return pid;
}

static bool
echoes(int fd)
{
    struct termios t;

    return tcgetattr(fd, &t) == 0 && (t.c_lflag & ECHO);
}

/* Reads until this text is there; all that was read is in `seen`. */
static void
await_text(int fd, const char *text, char *seen, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t n = strlen(seen);

    while (!strstr(seen, text)) {
        ssize_t got;

        assert_int_equal(poll(&p, 1, AWAIT_MS), 1);
        got = read(fd, seen + n, cap - n - 1);
        assert_true(got > 0);
        n += (size_t)got;
        seen[n] = '\0';
    }
}

static int
status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
test_terminal(void **state)
{
    char seen[512] = "";
    int fd;
    pid_t pid = at_terminal(&fd);

    await_text(fd, "root@web1's password: ", seen, sizeof seen);
    assert_false(echoes(fd));
    assert_int_equal(write(fd, "open sesame\n", 12), 12);
    await_text(fd, "\n", seen, sizeof seen);
    assert_int_equal(status_of(pid), 0);
    assert_true(echoes(fd));
    assert_null(strstr(seen, "sesame"));
    close(fd);
}

static void
test_terminal_is_put_back(void **state)
{
    static const struct {
        char typed;
        int signal, status;
    } ends[] = {{3, SIGINT, 0}, {4, 0, 2 << 8}, {0, SIGTERM, 0}, {0, SIGKILL, 0}};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char seen[512] = "";
        int fd, status, tries = 0;
        pid_t pid = at_terminal(&fd);

        await_text(fd, "password: ", seen, sizeof seen);
        if (ends[i].typed)
            assert_int_equal(write(fd, &ends[i].typed, 1), 1);
        else
            kill(pid, ends[i].signal);
        status = status_of(pid);
        if (ends[i].signal)
            assert_int_equal(WTERMSIG(status), ends[i].signal);
        else
            assert_int_equal(status, ends[i].status);
        /* Another process does it after SIGKILL. */
        while (!echoes(fd) && ends[i].signal == SIGKILL && tries++ < AWAIT_MS)
            poll(NULL, 0, 1);
        assert_true(echoes(fd));
        close(fd);
    }
}

/* ---- questions of a script's own ---- */

static uint32_t
inquire(struct mailbox *mb, const char *program, const char *text)
{
    struct ask_options o = {.program = program};
    struct ssh_question q = {.kind = SSH_ASK_PASSWORD,
        .host = "web1",
        .subject = "deploy@web1",
        .text = text,
        .detail = "",
        .attempt = 1};

    return ask_inquire(&o, &q, mb);
}

static void
assert_outcome(struct mailbox *mb, uint32_t seq, uint8_t flags, const char *text)
{
    struct msg *m = mailbox_take(mb, clock_ms() + AWAIT_MS);

    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_ASK);
    assert_int_equal(m->h.src, 0);
    assert_int_equal(m->h.seq, seq);
    assert_int_equal(m->h.flags, flags);
    assert_non_null(memmem(msg_payload(m), m->h.length, text, strlen(text)));
    msg_unref(m);
}

static void
test_inquiry(void **state)
{
    struct mailbox *mb = mailbox_create(NULL);
    uint32_t seq = inquire(mb, "/bin/echo", "42");

    assert_outcome(mb, seq, 0, "42");
    seq = inquire(mb, "/bin/false", "x");
    assert_outcome(mb, seq, FRAME_ERROR, "the askpass program /bin/false gave no answer");
    seq = inquire(mb, "/bin/sleep", "1000000");
    ask_retract(seq);
    assert_outcome(mb, seq, FRAME_ERROR, "cancelled");
    inquire(mb, "/bin/sleep", "1000000");
    inquire(mb, "/bin/sleep", "1000000");
    ask_forget(mb);
    mailbox_destroy(mb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_script_goes),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_terminal_is_put_back),
        cmocka_unit_test(test_inquiry),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
