/* For the tests of a node: SSH that connects, or does not, as the test says. */
#ifndef ORRERY_FAKE_SSH_TEST_H
#define ORRERY_FAKE_SSH_TEST_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "await_test.h"
#include "process.h"
#include "ssh.h"

static struct {
    sem_t entered;
    atomic_bool released;
    atomic_int running, most, nice;
} fake;

static inline void
fake_reset(void)
{
    sem_init(&fake.entered, 0, 0);
    fake.released = false;
    fake.running = fake.most = 0;
}

/* Host "refuses": blocks until released or cancelled, then fails. Host "late": blocks until cancelled,
 * and connects all the same. */
static struct transport *
fake_connect(struct ssh_pool *pool, const struct ssh_options *o, const atomic_bool *cancel,
    struct ssh_report *report, struct err *err)
{
    static const struct timespec nap = {0, 1000000};
    int now = ++fake.running, fds[2];

    for (int most = fake.most; now > most;)
        if (atomic_compare_exchange_weak(&fake.most, &most, now))
            break;
    fake.nice = getpriority(PRIO_PROCESS, 0); /* of this thread */
    sem_post(&fake.entered);
    while (!*cancel && !fake.released)
        nanosleep(&nap, NULL);
    fake.running--;
    if (strcmp(o->host, "late") == 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
            abort();
        close(fds[1]);
        return process_adopt(fds[0], fds[0]);
    }
    if (*cancel)
        err_set(err, ERR_CANCELLED, "cancelled");
    else
        err_set(err, ERR_AUTH, "%s: %s", o->name, strstr(o->command, "00ff") ? "no key" : "?");
    return NULL;
}

static struct ssh_pool *
fake_create(struct loop *loop)
{
    return (struct ssh_pool *)&fake;
}

static void
fake_destroy(struct ssh_pool *pool)
{
    assert_ptr_equal(pool, &fake);
}

static const struct ssh_library fake_ssh = {
    .create = fake_create, .destroy = fake_destroy, .connect = fake_connect};

#endif
