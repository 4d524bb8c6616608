/*
 * For the tests of this layer: two contexts, "controller" (1) and "web1" (2), connected by a socket
 * pair. The controller lives in the test's own process, web1 in a forked one, so that it can be killed.
 * When it ends in peace it checks that it leaves no descriptor and no child behind; pair_stop fails
 * where it does, and checks the same here.
 */
#ifndef ORRERY_PAIR_TEST_H
#define ORRERY_PAIR_TEST_H

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "command.h"
#include "file.h"
#include "mailbox.h"
#include "pack.h"
#include "process.h"
#include "router.h"

#define PATIENCE_MS 60000 /* a thousand processes under a sanitizer on a busy machine take 30 s */

struct side {
    struct loop *loop;
    struct router *router;
    struct stream *stream;
    struct context *peer;
    struct command_service *commands;
    struct file_service *files;
    int fd;
    bool child;
    sem_t closed;
};

struct pair {
    struct side near;
    struct context *far;
    struct mailbox *mb;
    uint32_t reply;
    pid_t pid; /* of web1 */
    int fds;   /* open before */
};

struct pair_options {
    bool deny;  /* web1 serves no files */
    uid_t uid;  /* that web1 runs as, if not 0 */
    bool *flag; /* set in web1 */
};

/* How many files are in a directory. */
static inline int
entries(const char *dir)
{
    int n = -2;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline void
side_up(struct stream *s, void *arg)
{
}

static inline void
side_frame(struct stream *s, struct msg *m, void *arg)
{
    router_frame(((struct side *)arg)->router, s, m);
}

static inline void
side_closed(struct stream *s, const struct err *why, void *arg)
{
    struct side *side = arg;
    router_lost(side->router, s, why);
    sem_post(&side->closed);
}

static inline void
side_connect(void *arg)
{
    static const struct stream_events events = {
        .up = side_up, .frame = side_frame, .closed = side_closed};
    struct side *side = arg;
    struct stream_options o = {.name = side->child ? "controller" : "web1"};
    uint32_t above = CONTEXT_CONTROLLER;
    struct router_place place = {
        .self = 2, .name = "web1", .route = "test:web1", .ancestors = &above, .count = 1};
    side->stream = stream_create(side->loop, process_adopt(side->fd, side->fd), &o, &events, side);
    if (side->child)
        router_set_parent(side->router, side->stream, &place);
    else
        side->peer = router_add_child(side->router, side->stream, 2, "web1", "test:web1");
}

static inline void
side_create(struct side *side, int fd, bool child, bool serve)
{
    struct err err;
    *side = (struct side){.fd = fd, .child = child};
    sem_init(&side->closed, 0, 0);
    side->loop = loop_create(&err);
    assert_non_null(side->loop);
    side->router = router_create(side->loop, child ? 2 : 1, child ? "web1" : "controller");
    side->commands = command_service_create(side->router);
    side->files = file_service_create(side->router, serve);
    assert_int_equal(loop_start(side->loop, &err), 0);
    loop_sync(side->loop, side_connect, side);
}

static inline void
side_hang_up(void *arg)
{
    struct side *side = arg;
    struct err why;
    err_set(&why, ERR_CLOSED, "closed");
    stream_close(side->stream, &why, 1000);
}

static inline void
side_wait_closed(struct side *side)
{
    while (sem_wait(&side->closed) < 0)
        ;
}

static inline void
side_destroy(struct side *side)
{
    command_service_destroy(side->commands);
    file_service_destroy(side->files);
    stream_unref(side->stream);
    context_unref(side->peer);
    router_destroy(side->router);
    loop_destroy(side->loop);
    sem_destroy(&side->closed);
}

static inline _Noreturn void
far_main(int fd, const struct pair_options *o)
{
    struct side side;
    int fds = await_count_fds();
    if (o->flag)
        *o->flag = true;
    if (o->uid && (setgid(o->uid) < 0 || setuid(o->uid) < 0))
        _exit(80);
    side_create(&side, fd, true, !o->deny);
    side_wait_closed(&side);
    side_destroy(&side);
    if (await_count_fds() != fds - 1) {
        fprintf(stderr, "web1: %d descriptors became %d\n", fds - 1, await_count_fds());
        exit(81);
    }
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        fprintf(stderr, "web1: leaves a child behind\n");
        exit(82);
    }
    exit(0);
}

static inline void
pair_start_with(struct pair *p, const struct pair_options *o)
{
    int fds[2];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that orphans of web1 can be waited for here */
    p->fds = await_count_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        close(fds[0]);
        far_main(fds[1], o);
    }
    close(fds[1]);
    side_create(&p->near, fds[0], false, false);
    p->far = p->near.peer;
    p->mb = mailbox_create(NULL);
    p->reply = router_listen_mailbox(p->near.router, 0, HANDLE_FROM_ANYONE, p->mb);
}

static inline void
pair_start(struct pair *p)
{
    struct pair_options o = {0};
    pair_start_with(p, &o);
}

static inline void
pair_unlisten(struct pair *p)
{
    if (p->reply)
        router_unlisten(p->near.router, p->reply);
    p->reply = 0;
}

/* Ends both; web1's exit status, or -signal. */
static inline int
pair_end(struct pair *p)
{
    int status;
    loop_sync(p->near.loop, side_hang_up, &p->near);
    side_wait_closed(&p->near);
    pair_unlisten(p);
    side_destroy(&p->near);
    mailbox_destroy(p->mb);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    assert_int_equal(await_count_fds(), p->fds);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Kills web1 and waits until the controller knows; pair_end then ends the rest. */
static inline void
pair_kill(struct pair *p)
{
    kill(p->pid, SIGKILL);
    side_wait_closed(&p->near);
    sem_post(&p->near.closed);
}

/* Sends the content of b (emptied and freed) to a handle of web1. */
static inline void
pair_send(struct pair *p, uint32_t handle, uint32_t seq, struct buf *b)
{
    struct err err;
    struct msg *m = pack_msg(handle, b);
    m->h.reply = p->reply;
    m->h.seq = seq;
    assert_int_equal(router_send(p->far, m, &err), 0);
    buf_fini(b);
}

/* Pretends that a message of web1's did not arrive. */
static inline void
pair_return(struct pair *p, uint32_t handle, uint32_t seq, int code)
{
    struct frame_header to = {.seq = seq, .reply = handle};
    struct err err;
    err_set(&err, code, "returned");
    assert_int_equal(router_send(p->far, msg_dead(&to, &err, "web1"), &err), 0);
}

static inline struct msg *
pair_take(struct pair *p)
{
    struct msg *m = mailbox_take(p->mb, clock_ms() + PATIENCE_MS);
    assert_non_null(m);
    return m;
}

/* Waits for a condition that nobody reports. */
#define wait_until(condition)                                  \
    do {                                                       \
        int64_t wait_end = clock_ms() + PATIENCE_MS;           \
        while (!(condition)) {                                 \
            if (clock_ms() > wait_end)                         \
                fail_msg("waited in vain for %s", #condition); \
            usleep(2000);                                      \
        }                                                      \
    } while (0)

/* Also waits for orphans, which come to this process. */
static inline void
pair_stop(struct pair *p)
{
    assert_int_equal(pair_end(p), 0);
    wait_until(waitpid(-1, NULL, WNOHANG) < 0);
}

/* Keeps the controller's loop busy until sem_post(go): nothing is read from web1. */
struct pause {
    struct loop_work work;
    sem_t go;
};

static inline void
pause_loop(struct loop_work *w)
{
    struct pause *p = (struct pause *)w;
    while (sem_wait(&p->go) < 0)
        ;
}

static inline uint64_t
cpu_ticks(pid_t pid)
{
    char path[64];
    unsigned long user = 0, sys = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
        fail();
    fclose(f);
    return user + sys;
}

static inline void
pause_start(struct pause *pause, struct pair *p)
{
    *pause = (struct pause){.work.fn = pause_loop};
    sem_init(&pause->go, 0, 0);
    loop_defer(p->near.loop, &pause->work);
}

/* Until a process has done all that it can, and at most tries again from time to time. */
static inline void
wait_idle(pid_t pid)
{
    uint64_t ticks = cpu_ticks(pid), before;
    for (int idle = 0; idle < 3;) {
        before = ticks;
        usleep(50000);
        ticks = cpu_ticks(pid);
        idle = ticks - before <= 1 ? idle + 1 : 0;
    }
}

#endif
