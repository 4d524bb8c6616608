/* The loop: descriptors and child processes. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "loop_test.h"

/* ---- descriptors ---- */

struct duplex {
    struct loop_fd fd;
    struct loop *loop;
    int ours, theirs, watch;
    sem_t readable, writable;
};

static void
duplex_event(struct loop_fd *f, int events)
{
    struct duplex *d = (struct duplex *)f;

    loop_fd_watch(f, f->watched & ~events);
    sem_post(events & LOOP_WRITE ? &d->writable : &d->readable);
}

static void
duplex_begin(void *arg)
{
    struct duplex *d = arg;

    loop_fd_init(&d->fd, d->loop, d->ours, duplex_event);
}

static void
duplex_watch(void *arg)
{
    struct duplex *d = arg;

    loop_fd_watch(&d->fd, d->watch);
}

static void
duplex_end(void *arg)
{
    struct duplex *d = arg;

    loop_fd_fini(&d->fd);
    loop_fd_fini(&d->fd);
}

static void
duplex_open(struct duplex *d, struct loop *loop)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *d = (struct duplex){.loop = loop, .ours = fds[0], .theirs = fds[1]};
    sem_init(&d->readable, 0, 0);
    sem_init(&d->writable, 0, 0);
    loop_sync(loop, duplex_begin, d);
}

static void
duplex_close(struct duplex *d)
{
    loop_sync(d->loop, duplex_end, d);
    close(d->ours);
    if (d->theirs >= 0)
        close(d->theirs);
    sem_destroy(&d->readable);
    sem_destroy(&d->writable);
}

static void
watch_for(struct duplex *d, int events)
{
    d->watch = events;
    loop_sync(d->loop, duplex_watch, d);
}

static void
test_fd_both_directions(void **state)
{
    struct duplex d;

    duplex_open(&d, loop_of(state));
    watch_for(&d, LOOP_READ);
    assert_int_equal(write(d.theirs, "x", 1), 1);
    await(&d.readable);
    assert_int_equal(await_value(&d.writable), 0);
    watch_for(&d, LOOP_WRITE); /* input is still there, and nobody wants to know */
    await(&d.writable);
    loop_sync(d.loop, nothing, NULL);
    assert_int_equal(await_value(&d.readable), 0);
    watch_for(&d, LOOP_READ | LOOP_WRITE);
    await(&d.readable);
    await(&d.writable);
    duplex_close(&d);
}

/* The far end hangs up: whatever is watched hears of it, and with nothing watched the loop sleeps. */
static void
test_fd_hang_up(void **state)
{
    struct duplex d;

    duplex_open(&d, loop_of(state));
    close(d.theirs);
    d.theirs = -1;
    loop_sync(d.loop, nothing, NULL);
    assert_int_equal(await_value(&d.readable) + await_value(&d.writable), 0);
    watch_for(&d, LOOP_WRITE);
    await(&d.writable);
    watch_for(&d, LOOP_READ);
    await(&d.readable);
    duplex_close(&d);
}

/* EPOLLERR with only LOOP_WRITE watched: the reader of a full pipe goes away. */
static void
test_fd_error_while_writing(void **state)
{
    struct duplex d = {.loop = loop_of(state), .theirs = -1};
    char block[4096] = {0};
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    while (write(fds[1], block, sizeof block) > 0)
        ;
    d.ours = fds[1];
    sem_init(&d.readable, 0, 0);
    sem_init(&d.writable, 0, 0);
    loop_sync(d.loop, duplex_begin, &d);
    watch_for(&d, LOOP_WRITE);
    loop_sync(d.loop, nothing, NULL);
    assert_int_equal(await_value(&d.writable), 0);
    close(fds[0]);
    await(&d.writable);
    duplex_close(&d);
}

/* ---- children ---- */

struct offspring {
    struct loop_child child;
    struct loop *loop;
    pid_t pid;
    int status, calls;
    sem_t ended;
};

static void
offspring_ended(struct loop_child *c, int status)
{
    struct offspring *o = (struct offspring *)c;

    o->status = status;
    o->calls++;
    sem_post(&o->ended);
}

static void
offspring_watch(void *arg)
{
    struct offspring *o = arg;

    loop_child_init(&o->child, o->loop, o->pid, offspring_ended);
}

static void
offspring_forget(void *arg)
{
    struct offspring *o = arg;

    loop_child_fini(&o->child);
    loop_child_fini(&o->child);
}

/* A child that waits for a byte, then exits with 7. Returns the end to write it to. */
static int
offspring_start(struct offspring *o, struct loop *loop)
{
    int fds[2];
    char byte;

    *o = (struct offspring){.loop = loop, .status = -1};
    sem_init(&o->ended, 0, 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    o->pid = fork();
    assert_true(o->pid >= 0);
    if (o->pid == 0) {
        close(fds[1]);
        _exit(read(fds[0], &byte, 1) == 1 ? 7 : 8);
    }
    close(fds[0]);
    return fds[1];
}

static void
test_child_exits(void **state)
{
    struct offspring o;
    int fd = offspring_start(&o, loop_of(state));

    loop_sync(o.loop, offspring_watch, &o);
    assert_int_equal(await_value(&o.ended), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    await(&o.ended);
    close(fd);
    loop_sync(o.loop, offspring_forget, &o);
    assert_true(WIFEXITED(o.status));
    assert_int_equal(WEXITSTATUS(o.status), 7);
    assert_int_equal(o.calls, 1);
    sem_destroy(&o.ended);
}

static void
test_child_dead_already(void **state)
{
    struct offspring o;
    int fd = offspring_start(&o, loop_of(state));
    siginfo_t info;

    kill(o.pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)o.pid, &info, WEXITED | WNOWAIT), 0);
    loop_sync(o.loop, offspring_watch, &o);
    await(&o.ended);
    close(fd);
    loop_sync(o.loop, offspring_forget, &o);
    assert_true(WIFSIGNALED(o.status));
    assert_int_equal(WTERMSIG(o.status), SIGKILL);
    sem_destroy(&o.ended);
}

/* The host program reaped it: the end is told all the same. */
static void
test_child_reaped_elsewhere(void **state)
{
    struct offspring o;
    int fd = offspring_start(&o, loop_of(state));

    close(fd);
    assert_int_equal(waitpid(o.pid, NULL, 0), o.pid);
    loop_sync(o.loop, offspring_watch, &o);
    await(&o.ended);
    loop_sync(o.loop, offspring_forget, &o);
    assert_int_equal(o.calls, 1);
    assert_int_equal(WEXITSTATUS(o.status), 255);
    sem_destroy(&o.ended);
}

static void
test_child_forgotten(void **state)
{
    struct offspring o;
    int fd = offspring_start(&o, loop_of(state));

    loop_sync(o.loop, offspring_watch, &o);
    loop_sync(o.loop, offspring_forget, &o);
    close(fd);
    assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid); /* it was left to us */
    loop_sync(o.loop, nothing, NULL);
    assert_int_equal(o.calls, 0);
    assert_int_equal(WEXITSTATUS(o.status), 8);
    sem_destroy(&o.ended);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_loop(test_fd_both_directions),
        with_loop(test_fd_hang_up),
        with_loop(test_fd_error_while_writing),
        with_loop(test_child_exits),
        with_loop(test_child_dead_already),
        with_loop(test_child_reaped_elsewhere),
        with_loop(test_child_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
