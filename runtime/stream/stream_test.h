/*
 * For the tests of the stream: a loop, a stream on it whose upcalls are recorded, and two kinds of far
 * end: a socket that the test reads and writes itself, and a transport that does what the test says and
 * counts what it is asked.
 */
#ifndef ORRERY_STREAM_TEST_H
#define ORRERY_STREAM_TEST_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await_test.h"
#include "clock.h"
#include "framer.h"
#include "mem.h"
#include "process.h"
#include "stream.h"

/* ---- a transport that obeys ---- */

enum fake_mode {
    FAKE_TAKE,   /* all of it */
    FAKE_SHORT,  /* ten bytes, then FAKE_FULL */
    FAKE_FULL,   /* -EAGAIN, and wants to be told when there is room: flush() is that */
    FAKE_REFUSE, /* -EAGAIN, until input was read: then FAKE_TAKE */
    FAKE_BROKEN
};

struct fake {
    struct transport t;
    struct loop *loop;
    atomic_int mode, writes, loop_writes, flushes, ends, shutdowns;
    atomic_int *destroyed;
    atomic_bool wants, input_ends;
    atomic_int text; /* reads of stderr that give something, a byte each */
    struct buf out;  /* under the stream's lock */
};

static inline ssize_t
fake_write(struct transport *t, const struct iovec *iov, int count)
{
    struct fake *f = (struct fake *)t;
    size_t taken = 0;

    f->writes++;
    f->loop_writes += loop_holds(f->loop);
    if (f->mode == FAKE_BROKEN)
        return -EPIPE;
    f->wants = f->mode == FAKE_FULL || f->mode == FAKE_SHORT;
    if (f->mode == FAKE_FULL || f->mode == FAKE_REFUSE)
        return -EAGAIN;
    for (int i = 0; i < count; i++) {
        size_t n = f->mode == FAKE_SHORT && iov[i].iov_len > 10 ? 10 : iov[i].iov_len;

        buf_append(&f->out, iov[i].iov_base, n);
        taken += n;
        if (n < iov[i].iov_len) {
            f->mode = FAKE_FULL;
            break;
        }
    }
    return (ssize_t)taken;
}

static inline int
fake_flush(struct transport *t)
{
    struct fake *f = (struct fake *)t;

    f->flushes++;
    if (f->mode == FAKE_FULL) {
        f->mode = FAKE_TAKE;
        f->wants = false;
    }
    return 0;
}

static inline bool
fake_wants_write(const struct transport *t)
{
    return ((const struct fake *)t)->wants;
}

static inline ssize_t
fake_read(struct transport *t, void *p, size_t n)
{
    struct fake *f = (struct fake *)t;
    uint64_t count;

    if (f->input_ends)
        return 0;
    if (read(t->fd, &count, sizeof count) == sizeof count && f->mode == FAKE_REFUSE)
        f->mode = FAKE_TAKE;
    return -EAGAIN;
}

static inline ssize_t
fake_read_err(struct transport *t, void *p, size_t n)
{
    struct fake *f = (struct fake *)t;

    if (f->text == 0)
        return -EAGAIN;
    f->text--;
    memset(p, 'e', 1);
    return 1;
}

static inline void
fake_end(struct transport *t, struct err *err)
{
    ((struct fake *)t)->ends++;
    err_set(err, ERR_DEAD, "the fake ended");
}

static inline void
fake_shutdown(struct transport *t)
{
    ((struct fake *)t)->shutdowns++;
}

static inline void
fake_destroy(struct transport *t)
{
    struct fake *f = (struct fake *)t;

    ++*f->destroyed;
    close(t->fd);
    buf_fini(&f->out);
    free(f);
}

static inline struct fake *
fake_create(struct loop *loop, atomic_int *destroyed)
{
    static const struct transport_ops ops = {.name = "fake",
        .write = fake_write,
        .flush = fake_flush,
        .wants_write = fake_wants_write,
        .read = fake_read,
        .read_err = fake_read_err,
        .end = fake_end,
        .shutdown = fake_shutdown,
        .destroy = fake_destroy};
    struct fake *f = xcalloc(1, sizeof *f);

    f->t = (struct transport){&ops, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), -1, -1};
    f->loop = loop;
    f->destroyed = destroyed;
    return f;
}

/* ---- the stream and what it told ---- */

struct probe {
    struct loop *loop;
    struct transport *transport;
    struct fake *fake; /* the same, where it is one */
    struct stream *s;
    struct stream_options options;
    atomic_int destroyed; /* fakes */
    int far;              /* the socket's other end, or -1 */
    int fds;              /* before */
    struct framer framer; /* of what comes from there */

    sem_t up, frame, text, closed;
    struct err why;
    struct buf words;
    uint32_t last_seq;
    void (*on_frame)(struct probe *p, struct msg *m);
};

static inline void
probe_up(struct stream *s, void *arg)
{
    sem_post(&((struct probe *)arg)->up);
}

static inline void
probe_frame(struct stream *s, struct msg *m, void *arg)
{
    struct probe *p = arg;

    p->last_seq = m->h.seq;
    if (p->on_frame)
        p->on_frame(p, m);
    msg_unref(m);
    sem_post(&p->frame);
}

static inline void
probe_text(struct stream *s, const char *text, size_t n, void *arg)
{
    struct probe *p = arg;

    buf_append(&p->words, text, n);
    sem_post(&p->text);
}

static inline void
probe_closed(struct stream *s, const struct err *why, void *arg)
{
    struct probe *p = arg;

    p->why = *why;
    sem_post(&p->closed);
}

static inline void
probe_create(void *arg)
{
    static const struct stream_events events = {
        .up = probe_up, .frame = probe_frame, .text = probe_text, .closed = probe_closed};
    struct probe *p = arg;

    p->options.name = "probe";
    p->s = stream_create(p->loop, p->transport, &p->options, &events, p);
}

static inline void
nothing(void *arg)
{
}

/* Behind it, what was deferred before has been done, and the first read pass too. */
static inline void
probe_sync(struct probe *p)
{
    for (int i = 0; i < 3; i++)
        loop_sync(p->loop, nothing, NULL);
}

static inline void
probe_start(struct probe *p, struct transport *t)
{
    p->transport = t;
    loop_sync(p->loop, probe_create, p);
    probe_sync(p);
}

static inline void
probe_start_fake(struct probe *p)
{
    p->fake = fake_create(p->loop, &p->destroyed);
    probe_start(p, &p->fake->t);
}

static inline void
probe_start_socket(struct probe *p)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    p->far = fds[1];
    probe_start(p, process_adopt(fds[0], fds[0]));
}

static inline void
fake_wake(void *arg)
{
    uint64_t one = 1;

    if (write(((struct probe *)arg)->fake->t.fd, &one, sizeof one) != sizeof one)
        abort();
}

/* Something for the fake to read: the loop makes a pass. */
static inline void
fake_input(struct probe *p)
{
    loop_sync(p->loop, fake_wake, p);
}

struct probe_close {
    struct probe *p;
    int64_t linger_ms;
    const char *text;
};

static inline void
probe_close_now(void *arg)
{
    struct probe_close *c = arg;
    struct err why;

    err_set(&why, ERR_CLOSED, "%s", c->text);
    stream_close(c->p->s, &why, c->linger_ms);
}

static inline void
probe_close(struct probe *p, const char *text, int64_t linger_ms)
{
    struct probe_close c = {p, linger_ms, text};

    loop_sync(p->loop, probe_close_now, &c);
}

static inline struct msg *
message(uint32_t src, uint32_t seq, uint32_t length)
{
    struct msg *m = msg_new(length);

    m->h.handle = HANDLE_DYNAMIC;
    m->h.src = src;
    m->h.seq = seq;
    memset(msg_payload(m), (int)(seq & 0xff), length);
    return m;
}

/* ---- the far end of the socket ---- */

static inline void
far_write(struct probe *p, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n > 0) {
        ssize_t sent = send(p->far, at, n, MSG_NOSIGNAL);

        assert_true(sent > 0);
        at += sent;
        n -= (size_t)sent;
    }
}

static inline void
frame_append(struct buf *b, uint32_t handle, uint32_t seq, uint32_t length)
{
    struct msg *m = message(2, seq, length);

    m->h.handle = handle;
    msg_seal(m);
    buf_append(b, m->wire, FRAME_HEADER + length);
    msg_unref(m);
}

static inline void
far_frame(struct probe *p, uint32_t handle, uint32_t seq)
{
    struct buf b = {0};

    frame_append(&b, handle, seq, 5);
    far_write(p, buf_head(&b), buf_len(&b));
    buf_fini(&b);
}

/* The next frame that arrives there; NULL at the end of input. */
static inline struct msg *
far_read(struct probe *p)
{
    struct msg *m;
    struct err err;

    while (!(m = framer_next(&p->framer))) {
        struct pollfd fd = {.fd = p->far, .events = POLLIN};
        size_t room;
        ssize_t n;
        void *to;

        framer_space(&p->framer, &to, &room);
        assert_int_equal(poll(&fd, 1, AWAIT_MS), 1);
        n = read(p->far, to, room);
        if (n <= 0)
            return NULL;
        assert_int_equal(framer_push(&p->framer, (size_t)n, &err), 0);
    }
    return m;
}

static inline void
far_hang_up(struct probe *p)
{
    close(p->far);
    p->far = -1;
}

/* ---- fixture ---- */

static inline int
probe_setup(void **state)
{
    struct probe *p = xcalloc(1, sizeof *p);
    struct err err;

    p->fds = await_count_fds();
    p->far = -1;
    framer_init(&p->framer);
    sem_init(&p->up, 0, 0);
    sem_init(&p->frame, 0, 0);
    sem_init(&p->text, 0, 0);
    sem_init(&p->closed, 0, 0);
    p->loop = loop_create(&err);
    *state = p;
    return p->loop ? loop_start(p->loop, &err) : -1;
}

/* Closes what is left, and checks that everything is gone and that `closed` came once. */
static inline int
probe_teardown(void **state)
{
    struct probe *p = *state;
    bool waiting = await_value(&p->closed) == 0 && !p->why.code;
    int fds = p->fds;
    bool good;

    probe_close(p, "the test ends", 0);
    good = !waiting || await_try(&p->closed);
    stream_unref(p->s);
    loop_destroy(p->loop);
    good = good && await_value(&p->closed) == 0 && (!p->fake || p->destroyed == 1);
    framer_fini(&p->framer);
    buf_fini(&p->words);
    if (p->far >= 0)
        close(p->far);
    free(p);
    return good && await_no_children() && await_count_fds() == fds ? 0 : -1;
}

#define with_probe(f) cmocka_unit_test_setup_teardown(f, probe_setup, probe_teardown)

#endif
