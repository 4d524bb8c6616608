/*
 * For the tests of who runs the loop: threads that wait for what comes by way of it. Functions are static: each
 * test includes this once.
 */
#ifndef ORRERY_CALLER_TEST_H
#define ORRERY_CALLER_TEST_H

#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "loop_test.h"

/* A thread that sends a byte to itself by way of the loop, and waits for it. */
struct caller {
    struct loop *loop;
    struct loop_fd fd;
    struct loop_waiter waiter;
    struct loop_work work;
    int pair[2];      /* [0] the loop reads */
    atomic_uint got;  /* bytes so far */
    pthread_t thread; /* of the test that uses it */
    pthread_t reader; /* that ran the callback last */
    unsigned number;
    atomic_bool enough; /* of the test that uses it */
};

static void
on_byte(struct loop_fd *f, int events)
{
    struct caller *c = owner_of(f, struct caller, fd);
    char bytes[64];
    ssize_t n = recv(f->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n <= 0)
        return;
    c->reader = pthread_self();
    atomic_fetch_add(&c->got, (unsigned)n);
    loop_notify(c->loop, &c->waiter);
}

static void
caller_watch(void *arg)
{
    struct caller *c = arg;

    loop_fd_init(&c->fd, c->loop, c->pair[0], on_byte);
    loop_fd_watch(&c->fd, LOOP_READ);
}

static void
caller_unwatch(void *arg)
{
    struct caller *c = arg;

    loop_fd_fini(&c->fd);
}

static void
caller_init(struct caller *c, struct loop *loop)
{
    *c = (struct caller){.loop = loop};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->pair), 0);
    loop_sync(loop, caller_watch, c);
}

static void
caller_fini(struct caller *c)
{
    loop_sync(c->loop, caller_unwatch, c);
    close(c->pair[0]);
    close(c->pair[1]);
}

static void
caller_send(struct caller *c)
{
    assert_int_equal(send(c->pair[1], "x", 1, MSG_NOSIGNAL), 1);
}

/* False if the deadline passed first. */
static bool
caller_await(struct caller *c, unsigned total, int64_t deadline)
{
    while (atomic_load(&c->got) < total) {
        unsigned seen = atomic_load(&c->waiter.news);

        if (atomic_load(&c->got) >= total)
            break;
        if (deadline >= 0 && clock_left(deadline) == 0)
            return false;
        loop_wait(c->loop, &c->waiter, seen, deadline);
    }
    return true;
}

static void
caller_call(struct caller *c)
{
    unsigned total = atomic_load(&c->got) + 1;

    caller_send(c);
    assert_true(caller_await(c, total, clock_ms() + AWAIT_MS));
}

static void
nap(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void *
send_late(void *arg)
{
    nap(500);
    caller_send(arg);
    return NULL;
}

/* Waits for something that comes from elsewhere and takes its time. Afterwards the loop is free: the
 * broker steps back when it has woken the only one who slept. True if we had the loop ourselves. */
static bool
caller_call_far(struct caller *c)
{
    unsigned total = atomic_load(&c->got) + 1;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, send_late, c), 0);
    assert_true(caller_await(c, total, clock_ms() + AWAIT_MS));
    pthread_join(thread, NULL);
    return pthread_equal(c->reader, pthread_self());
}

#endif
