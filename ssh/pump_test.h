/*
 * For the tests: pumps bytes through a transport whose far side sends them back, and looks at each that
 * comes. Several threads may do so at once.
 */
#ifndef ORRERY_PUMP_TEST_H
#define ORRERY_PUMP_TEST_H

#include <unistd.h>

#include "sshd_fixture.h"

enum { STATUS_US = 100000 };

/* The byte at a position of the stream, such that neither loss nor repetition nor exchange of any
 * piece can go unnoticed. */
static uint8_t
byte_at(uint64_t i)
{
    uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15;

    x ^= x >> 29;
    return (uint8_t)(x >> (i % 8 * 8));
}

static void
fill(uint8_t *p, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(at + i);
}

struct pump {
    struct transport *t;
    uint64_t total, sent, got;
    bool eof, error;
    unsigned seed;
    uint8_t data[200000], want[100000];
};

/* Several pieces of odd sizes; what is refused is offered again later, as a stream does. */
static void
pump_out(struct pump *p)
{
    while (p->sent < p->total) {
        size_t n = (size_t)rand_r(&p->seed) % (rand_r(&p->seed) % 8 ? 3000 : sizeof p->data) + 1;
        size_t first = (size_t)rand_r(&p->seed) % n;
        ssize_t k;

        if (n > p->total - p->sent)
            n = p->total - p->sent, first = n / 3;
        fill(p->data, p->sent, n);
        k = p->t->ops->write(p->t,
            (struct iovec[]){{p->data, first}, {p->data + first, 0}, {p->data + first, n - first}},
            3);
        if (k == -EAGAIN)
            return;
        assert_true(k > 0);
        p->sent += (uint64_t)k;
        if ((size_t)k < n)
            return;
    }
    if (!p->eof)
        p->t->ops->shutdown(p->t);
    p->eof = true;
}

static void
pump_in(struct pump *p, bool *ended)
{
    uint8_t *data = p->data, *want = p->want;
    ssize_t n;

    while ((n = p->t->ops->read(p->t, data, (size_t)rand_r(&p->seed) % sizeof p->want + 1)) > 0) {
        fill(want, p->got, (size_t)n);
        if (memcmp(data, want, (size_t)n) != 0)
            fail_msg("wrong bytes somewhere from %llu on", (unsigned long long)p->got);
        p->got += (uint64_t)n;
    }
    *ended = n == 0;
    if (n != 0)
        assert_int_equal(n, -EAGAIN);
    n = p->t->ops->read_err(p->t, data, sizeof p->data);
    if (n > 0)
        fail_msg("on stderr: %.*s", (int)n, (char *)data);
    assert_int_equal(n, *ended ? 0 : -EAGAIN);
}

/* Takes the transport, whose command is `cat` or does as much. */
__attribute__((unused)) static void
pump_echo(struct transport *t, uint64_t total)
{
    struct pump *p = xcalloc(1, sizeof *p);
    bool ended = false;
    struct err err;

    p->t = t;
    p->total = total;
    p->seed = 7;
    while (!ended) {
        struct pollfd poll_for = {.fd = p->t->fd, .events = POLLIN};

        pump_in(p, &ended);
        if (ended)
            break;
        pump_out(p);
        if (p->t->ops->wants_write(p->t))
            poll_for.events |= POLLOUT;
        if (poll(&poll_for, 1, 30000) != 1)
            fail_msg("stalled after %llu bytes out and %llu in", (unsigned long long)p->sent,
                (unsigned long long)p->got);
        if (poll_for.revents & POLLOUT)
            assert_int_equal(p->t->ops->flush(p->t), 0);
    }
    assert_int_equal(p->got, total);
    /* The status comes behind the end of the output, on a busy machine later than end() waits for it. */
    usleep(STATUS_US);
    p->t->ops->end(p->t, &err);
    assert_has(err.msg, "status 0");
    p->t->ops->destroy(p->t);
    free(p);
}

__attribute__((unused)) static uint64_t
megabytes(void)
{
    const char *more = getenv("ORRERY_TEST_MB"); /* 200 by hand; less where each byte costs more */

    return (uint64_t)(more ? atoi(more) : 40) << 20;
}

#endif
