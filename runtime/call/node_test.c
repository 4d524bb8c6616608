/*
 * A node and its children, as far as that goes without a real agent: here "agents" are shell scripts,
 * and SSH connects as the test says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "fake_ssh_test.h"
#include "framer.h"
#include "handshake.h"
#include "mem.h"
#include "node.h"
#include "pack.h"
#include "process.h"

#define CONNECTING_MAX 64 /* many more than there are at first */

struct fixture {
    struct node *node;
    struct mailbox *mb;
    char dir[32];
    int fds;
};

/* What an opening came to. */
struct outcome {
    uint32_t id;
    int code;
    char *text; /* of the error, or the hostname */
};

/* ---- agents ---- */

static char *
native_name(const char *dir)
{
    struct utsname u;

    uname(&u);
    return xasprintf("%s/agent-%s-%s", dir, u.sysname, u.machine);
}

static void
put(const char *path, const void *bytes, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    chmod(path, mode);
}

/* An agent that says HELLO with this frame version, and then listens. */
static void
put_agent(const char *dir, uint8_t version)
{
    static const char script[] = "#!/bin/sh\nprintf '%s agent\\n' \"$1\"\ncat \"${0%/*}/hello\"\n"
                                 "echo is up >&2\nexec cat >/dev/null\n";
    struct msg *m = hello_make();
    char *path = native_name(dir);

    put(path, script, sizeof script - 1, 0700);
    free(path);
    msg_payload(m)[3] = version;
    msg_seal(m);
    path = xasprintf("%s/hello", dir);
    put(path, m->wire, FRAME_HEADER + m->h.length, 0600);
    free(path);
    path = xasprintf("%s/agent.id", dir);
    put(path, "00ff\n", 5, 0600);
    free(path);
    msg_unref(m);
}

static void
drop_agent(const char *dir)
{
    char *paths[] = {native_name(dir), xasprintf("%s/hello", dir), xasprintf("%s/agent.id", dir)};

    for (int i = 0; i < 3; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    rmdir(dir);
}

/* ---- fixture ---- */

static void
say_nothing(const char *name, const char *line, void *arg)
{
}

static int
setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    struct err err;

    x->fds = await_count_fds();
    strcpy(x->dir, "/tmp/orrery-node-XXXXXX");
    if (!mkdtemp(x->dir))
        return -1;
    put_agent(x->dir, FRAME_VERSION);
    x->mb = mailbox_create(NULL);
    x->node = node_create(x->dir, &err);
    if (x->node)
        node_on_text(x->node, say_nothing, NULL);
    *state = x;
    return x->node ? 0 : -1;
}

/* Whatever was opened is gone: descriptors, processes; and no opening was reported twice. */
static int
teardown(void **state)
{
    struct fixture *x = *state;
    int fds = x->fds;
    bool silent;

    node_destroy(x->node);
    silent = !mailbox_take(x->mb, 0);
    mailbox_destroy(x->mb);
    drop_agent(x->dir);
    free(x);
    return silent && await_no_children() && await_count_fds() == fds ? 0 : -1;
}

static uint32_t
open_child(struct fixture *x, const char *const *argv, const struct ssh_options *ssh, int64_t ms)
{
    struct open_options o = {.name = "web1",
        .route = "test:web1",
        .argv = argv,
        .ssh = ssh,
        .bootstrap_ms = ms,
        .keepalive_ms = -1};
    struct err err;
    uint32_t seq = node_open(x->node, &o, x->mb, &err);

    if (!seq)
        fail_msg("%s", err.msg);
    return seq;
}

/* The outcome of opening `seq`, or of any if that is 0. */
static struct outcome
take_outcome(struct fixture *x, uint32_t seq)
{
    struct msg *m = mailbox_take(x->mb, clock_ms() + AWAIT_MS);
    struct outcome out;
    struct unpack u;

    assert_non_null(m);
    assert_int_equal(m->h.handle, HANDLE_HELLO);
    assert_true(!seq || m->h.seq == seq);
    out.id = m->h.src;
    unpack_init(&u, msg_payload(m), m->h.length);
    out.code = 0;
    if (m->h.flags & FRAME_ERROR) {
        out.code = -unpack_u8(&u);
        (void)unpack_u8(&u);
    }
    out.text = unpack_str(&u);
    msg_unref(m);
    return out;
}

static void
expect_failure(struct fixture *x, uint32_t seq, int code, const char *text)
{
    struct outcome out = take_outcome(x, seq);

    assert_int_equal(out.code, code);
    if (!strstr(out.text, text))
        fail_msg("%s", out.text);
    free(out.text);
}

/* ---- nodes ---- */

static void
test_create_and_destroy(void **state)
{
    struct err err;
    struct node *agent = node_create_agent(&err);

    assert_non_null(agent);
    assert_int_equal(router_self(node_router(((struct fixture *)*state)->node)), 1);
    assert_non_null(node_files(agent));
    node_destroy(agent);
    node_destroy(NULL);
}

static void
test_refused_openings(void **state)
{
    static const char *const nothing[] = {NULL};
    struct fixture *x = *state;
    struct ssh_options ssh = {.name = "web1"};
    struct open_options o = {.name = "web1", .route = "r", .argv = nothing};
    struct err err;
    struct node *bare = node_create("/nonexistent", &err), *agent = node_create_agent(&err);

    assert_int_equal(node_open(x->node, &o, x->mb, &err), 0);
    assert_int_equal(err.code, ERR_ARGUMENT);
    o.argv = NULL;
    o.ssh = &ssh;
    assert_int_equal(node_open(x->node, &o, x->mb, &err), 0);
    assert_int_equal(err.code, ERR_CONNECT);
    assert_int_equal(node_open(bare, &o, x->mb, &err), 0);
    assert_int_equal(err.code, ERR_FILE);
    assert_int_equal(node_open(agent, &o, x->mb, &err), 0);
    assert_int_equal(err.code, ERR_BOOTSTRAP);
    node_destroy(bare);
    node_destroy(agent);
}

/* ---- children on this machine ---- */

static void
test_local_child(void **state)
{
    struct fixture *x = *state;
    struct router *r = node_router(x->node);
    struct mailbox *mb = mailbox_create(NULL);
    uint32_t handle = router_listen_mailbox(r, 0, HANDLE_FROM_ANYONE, mb);
    uint32_t seq = open_child(x, NULL, NULL, 0);
    struct outcome out = take_outcome(x, seq);
    struct context *c = router_context(r, out.id);
    struct utsname u;
    struct msg *m;

    uname(&u);
    assert_int_equal(out.code, 0);
    assert_string_equal(out.text, u.nodename);
    free(out.text);
    assert_non_null(c);
    assert_string_equal(c->name, "web1");
    node_cancel_open(x->node, seq); /* too late, and no harm */
    node_close(x->node, 4711, 0);
    node_close(x->node, out.id, 600000);
    m = mailbox_take(mb, clock_ms() + AWAIT_MS);
    assert_non_null(m);
    assert_int_equal(m->h.src, out.id);
    assert_int_equal(-msg_payload(m)[0], ERR_CLOSED);
    msg_unref(m);
    assert_true(c->dead);
    context_unref(c);
    router_unlisten(r, handle);
    mailbox_destroy(mb);
}

/* The node ends while children are up: each is closed, and none stays behind. */
static void
test_destroy_with_children(void **state)
{
    struct fixture *x = *state;

    for (int i = 0; i < 5; i++)
        open_child(x, NULL, NULL, 0);
    for (int i = 0; i < 5; i++) {
        struct outcome out = take_outcome(x, 0);

        assert_int_equal(out.code, 0);
        free(out.text);
    }
}

static void
test_wrong_version(void **state)
{
    struct fixture *x = *state;

    put_agent(x->dir, 77);
    expect_failure(x, open_child(x, NULL, NULL, 0), ERR_PROTOCOL, "speaks version 77");
}

static void
test_never_an_agent(void **state)
{
    static const char *const argv[] = {"sh", "-c", "echo hm >&2; sleep 100", NULL};
    struct fixture *x = *state;

    expect_failure(x, open_child(x, argv, NULL, 100), ERR_TIMEOUT, "no agent came up in time");
}

static void
test_fails_to_start(void **state)
{
    static const char *const missing[] = {"/nonexistent/sudo", "{}", NULL};
    static const char *const refuses[] = {"sh", "-c", "echo no >&2; exit 5", NULL};
    static const char *const repeats[] = {"sh", "-c", "exec 1>&2; echo '{}'; exit 5", NULL};
    struct fixture *x = *state;

    expect_failure(x, open_child(x, missing, NULL, 0), ERR_COMMAND, "/nonexistent/sudo");
    expect_failure(x, open_child(x, refuses, NULL, 0), ERR_BOOTSTRAP, "sh: exited with status 5");
    expect_failure(
        x, open_child(x, repeats, NULL, 0), ERR_BOOTSTRAP, "can hold the agent\";exit 1");
}

static void
test_cancel_while_booting(void **state)
{
    static const char *const argv[] = {"sh", "-c", "sleep 100", NULL};
    struct fixture *x = *state;
    uint32_t seq = open_child(x, argv, NULL, 0);

    node_cancel_open(x->node, seq);
    expect_failure(x, seq, ERR_CANCELLED, "cancelled");
}

/* ---- SSH that connects as the test says ---- */

static const struct ssh_options refuses = {.name = "web1", .host = "refuses"};
static const struct ssh_options late = {.name = "web1", .host = "late"};

static int
setup_ssh(void **state)
{
    int rc = setup(state);

    fake_reset();
    if (rc == 0)
        node_use_ssh(((struct fixture *)*state)->node, &fake_ssh);
    return rc;
}

static void
test_ssh_fails(void **state)
{
    struct fixture *x = *state;

    fake.released = true;
    expect_failure(x, open_child(x, NULL, &refuses, 0), ERR_AUTH, "web1: no key");
    assert_true(fake.nice > getpriority(PRIO_PROCESS, 0) || fake.nice == 19);
}

static void
test_cancel_while_connecting(void **state)
{
    struct fixture *x = *state;
    uint32_t seq = open_child(x, NULL, &refuses, 0), other = open_child(x, NULL, &late, 0);

    await(&fake.entered);
    await(&fake.entered);
    node_cancel_open(x->node, seq);
    expect_failure(x, seq, ERR_CANCELLED, "cancelled");
    node_cancel_open(x->node, other);
    node_cancel_open(x->node, other);
    expect_failure(x, other, ERR_CANCELLED, "cancelled");
}

/* More than may connect at a time: the rest waits, and each has its turn. */
static void
test_many_at_once(void **state)
{
    struct fixture *x = *state;
    uint32_t last = 0;

    for (int i = 0; i < 70; i++)
        last = open_child(x, NULL, &refuses, 0);
    for (int i = 0; i < CONNECTING_MAX; i++)
        await(&fake.entered);
    node_cancel_open(x->node, last); /* it waits still */
    expect_failure(x, last, ERR_CANCELLED, "cancelled");
    fake.released = true;
    for (int i = 0; i < 69; i++)
        expect_failure(x, 0, ERR_AUTH, "web1: no key");
    assert_in_range(fake.most, CONNECTING_MAX, 69);
}

/* The node ends while 64 connect and 6 wait; each opening has its outcome. */
static void
test_destroy_while_connecting(void **state)
{
    struct fixture *x = *state;
    struct err err;

    for (int i = 0; i < 70; i++)
        open_child(x, NULL, i % 2 ? &refuses : &late, 0);
    for (int i = 0; i < CONNECTING_MAX; i++)
        await(&fake.entered);
    node_destroy(x->node);
    for (int i = 0; i < 70; i++) {
        struct outcome out = take_outcome(x, 0);

        assert_true(out.code == ERR_CANCELLED || out.code == ERR_CLOSED);
        free(out.text);
    }
    assert_int_equal(fake.running, 0);
    x->node = node_create(x->dir, &err);
    assert_non_null(x->node);
}

/* ---- an agent's node ---- */

struct joined {
    struct node *node;
    int far, lost;
    sem_t gone;
};

static void
on_lost(void *arg)
{
    struct joined *j = arg;

    j->lost++;
    sem_post(&j->gone);
}

/* Joins a parent that has said `first` already. */
static int
join(struct joined *j, struct msg *first, struct err *err)
{
    int fds[2];

    *j = (struct joined){.node = node_create_agent(err)};
    assert_non_null(j->node);
    sem_init(&j->gone, 0, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    j->far = fds[1];
    msg_seal(first);
    assert_int_equal(
        write(j->far, first->wire, FRAME_HEADER + first->h.length), FRAME_HEADER + first->h.length);
    msg_unref(first);
    assert_int_equal(hello_say(fds[0], "", err), 0);
    return node_join(j->node, process_adopt(fds[0], fds[0]), on_lost, j, err);
}

static struct msg *
config_for(uint32_t id, uint32_t depth)
{
    struct config c = {.id = id,
        .ancestors = {1},
        .ancestor_count = depth,
        .log_level = 1,
        .name = (char *)(uintptr_t) "web1",
        .route = (char *)(uintptr_t) "test:web1"};

    return config_make(&c);
}

static void
leave(struct joined *j)
{
    node_destroy(j->node);
    if (j->far >= 0)
        close(j->far);
    sem_destroy(&j->gone);
}

/* HELLO is the first that the parent gets; its end is told once. */
static void
test_join(void **state)
{
    struct framer f;
    struct joined j;
    struct hello h;
    struct err err;
    struct msg *m;
    size_t room;
    ssize_t n;
    void *to;

    assert_int_equal(join(&j, config_for(9, 1), &err), 0);
    assert_int_equal(router_self(node_router(j.node)), 9);
    framer_init(&f);
    framer_space(&f, &to, &room);
    n = read(j.far, to, room);
    assert_true(n > FRAME_HEADER);
    assert_int_equal(framer_push(&f, (size_t)n, &err), 0);
    m = framer_next(&f);
    assert_non_null(m);
    assert_int_equal(hello_parse(&h, m, &err), 0);
    assert_int_equal(h.pid, getpid());
    hello_fini(&h);
    msg_unref(m);
    framer_fini(&f);
    close(j.far);
    j.far = -1;
    await(&j.gone);
    leave(&j);
    assert_int_equal(j.lost, 1);
}

/* Who ends the node itself needs not be told. */
static void
test_leave(void **state)
{
    struct joined j;
    struct err err;

    assert_int_equal(join(&j, config_for(9, 1), &err), 0);
    leave(&j);
    assert_int_equal(j.lost, 0);
}

/* A context at the greatest depth opens no child, whose CONFIG would not hold all that is above it. */
static void
test_depth_limit(void **state)
{
    struct open_options o = {.name = "web2", .route = "r"};
    struct joined j;
    struct err err;

    assert_int_equal(join(&j, config_for(9, HANDSHAKE_DEPTH), &err), 0);
    assert_int_equal(node_open(j.node, &o, NULL, &err), 0);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "r: contexts nest at most 16 deep");
    leave(&j);
}

static void
test_join_fails(void **state)
{
    struct joined j;
    struct err err;

    assert_int_equal(join(&j, msg_with(HANDLE_CONFIG, "xyz", 3), &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "CONFIG: malformed or cut short");
    leave(&j);
    assert_int_equal(j.lost, 0);
    assert_int_equal(join(&j, msg_with(HANDLE_CALL, "", 0), &err), ERR_PROTOCOL);
    leave(&j);
    assert_int_equal(j.lost, 0);
}

#define with_node(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define with_ssh(f) cmocka_unit_test_setup_teardown(f, setup_ssh, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_node(test_create_and_destroy),
        with_node(test_refused_openings),
        with_node(test_local_child),
        with_node(test_destroy_with_children),
        with_node(test_wrong_version),
        with_node(test_never_an_agent),
        with_node(test_fails_to_start),
        with_node(test_cancel_while_booting),
        with_ssh(test_ssh_fails),
        with_ssh(test_cancel_while_connecting),
        with_ssh(test_many_at_once),
        with_ssh(test_destroy_while_connecting),
        with_node(test_join),
        with_node(test_leave),
        with_node(test_depth_limit),
        with_node(test_join_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
