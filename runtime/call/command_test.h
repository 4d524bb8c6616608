/* For the tests of the command service: requests, and what comes back. */
#ifndef ORRERY_COMMAND_TEST_H
#define ORRERY_COMMAND_TEST_H

#include "pair_test.h"

struct run {
    const char *const *argv;
    const char *cwd;
    const char *const *env;
    uint32_t timeout, grace;
    uint8_t flags;
};

struct outcome {
    uint32_t pid, code, signal, credit;
    bool started, timed_out, failed, returned;
    int error;
    char *text;
    struct buf out, err;
};

#define RUN(...)                      \
    (struct run)                      \
    {                                 \
        .argv = (const char *const[]) \
        {                             \
            __VA_ARGS__, NULL         \
        }                             \
    }
#define SH(script) RUN("sh", "-c", script)

static inline void
pack_list(struct buf *b, const char *const *list)
{
    uint32_t n = 0;
    while (list && list[n])
        n++;
    pack_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        pack_str(b, list[i]);
}

static inline void
request(struct pair *p, uint32_t seq, const struct run *r)
{
    struct buf b = {0};
    pack_u8(&b, 'R');
    pack_list(&b, r->argv);
    pack_str(&b, r->cwd);
    pack_list(&b, r->env);
    pack_u32(&b, r->timeout);
    pack_u32(&b, r->grace);
    pack_u8(&b, r->flags);
    pair_send(p, HANDLE_RUN, seq, &b);
}

static inline void
send_input(struct pair *p, uint32_t seq, const void *data, size_t n)
{
    struct buf b = {0};
    pack_u8(&b, 'I');
    pack_bytes(&b, data, n);
    pair_send(p, HANDLE_RUN, seq, &b);
}

static inline void
send_credit(struct pair *p, uint32_t seq, size_t n)
{
    struct buf b = {0};
    pack_u8(&b, 'C');
    pack_u32(&b, (uint32_t)n);
    pair_send(p, HANDLE_RUN, seq, &b);
}

static inline void
send_kill(struct pair *p, uint32_t seq)
{
    struct buf b = {0};
    pack_u8(&b, 'K');
    pair_send(p, HANDLE_RUN, seq, &b);
}

static inline void
outcome_fini(struct outcome *o)
{
    free(o->text);
    buf_fini(&o->out);
    buf_fini(&o->err);
    *o = (struct outcome){0};
}

/* Takes one message into the outcome and returns its kind. */
static inline char
absorb(struct pair *p, uint32_t seq, struct outcome *o)
{
    struct msg *m = pair_take(p);
    struct unpack u;
    size_t n;
    assert_int_equal(m->h.seq, seq);
    unpack_init(&u, msg_payload(m), m->h.length);
    if (m->h.flags & FRAME_DEAD) {
        o->error = -(int)unpack_u8(&u);
        o->text = unpack_str(&u);
        o->returned = true;
        msg_unref(m);
        return 'd';
    }
    char kind = (char)unpack_u8(&u);
    switch (kind) {
    case 'S':
        o->pid = unpack_u32(&u);
        o->started = true;
        break;
    case 'O':
    case 'E': {
        const void *data = unpack_bytes(&u, &n);
        assert_true(o->started);
        buf_append(kind == 'O' ? &o->out : &o->err, data, n);
        break;
    }
    case 'X':
        assert_true(o->started);
        o->code = unpack_u32(&u);
        o->signal = unpack_u32(&u);
        o->timed_out = unpack_u8(&u);
        break;
    case 'F':
        o->failed = true;
        o->error = -(int)unpack_u8(&u);
        o->text = unpack_str(&u);
        break;
    case 'W': o->credit += unpack_u32(&u); break;
    default: fail_msg("unknown message '%c'", kind);
    }
    assert_int_equal(unpack_done(&u, "message", NULL), 0);
    msg_unref(m);
    return kind;
}

static inline void
wait_for(struct pair *p, uint32_t seq, struct outcome *o, char kind)
{
    while (absorb(p, seq, o) != kind)
        ;
}

/* Until the end, with credit for what comes. */
static inline void
finish(struct pair *p, uint32_t seq, struct outcome *o)
{
    size_t before = buf_len(&o->out) + buf_len(&o->err);
    for (;;) {
        char kind = absorb(p, seq, o);
        if (kind == 'X' || kind == 'F' || kind == 'd')
            return;
        size_t now = buf_len(&o->out) + buf_len(&o->err);
        if (now > before)
            send_credit(p, seq, now - before);
        before = now;
    }
}

static inline struct outcome
run(struct pair *p, struct run r)
{
    static uint32_t seq = 1000;
    struct outcome o = {0};
    request(p, ++seq, &r);
    finish(p, seq, &o);
    return o;
}

static inline void
assert_out(const struct buf *b, const char *text)
{
    assert_int_equal(b->end - b->start, strlen(text));
    assert_memory_equal(b->data + b->start, text, strlen(text));
}

/* The first line of stdout as a number. */
static inline pid_t
printed_pid(struct outcome *o)
{
    buf_append(&o->out, "", 1);
    char *text = (char *)buf_head(&o->out); /* what runs in the background may speak first */
    return atoi(text + strcspn(text, "0123456789"));
}

static inline bool
gone(pid_t pid)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) /* orphans that came to us */
        ;
    return kill(pid, 0) < 0 && errno == ESRCH;
}

#endif
