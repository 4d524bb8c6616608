/* For the tests of the loop: one that runs, and a check that nothing is left of it. */
#ifndef ORRERY_LOOP_TEST_H
#define ORRERY_LOOP_TEST_H

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await_test.h"
#include "loop.h"
#include "mem.h"

struct fixture {
    struct loop *loop;
    int fds;
};

static inline int
setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    struct err err;

    x->fds = await_count_fds();
    x->loop = loop_create(&err);
    *state = x;
    return x->loop ? loop_start(x->loop, &err) : -1;
}

static inline int
teardown(void **state)
{
    struct fixture *x = *state;
    int fds = x->fds;

    loop_destroy(x->loop);
    free(x);
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
        return -1;
    return await_count_fds() == fds ? 0 : -1;
}

static inline struct loop *
loop_of(void **state)
{
    return ((struct fixture *)*state)->loop;
}

static inline void
nothing(void *arg)
{
}

#define with_loop(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
