#include "command_internal.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "log.h"

/* At the end of the service, in seconds: for commands to act on TERM, and for KILL to work. */
enum { FAREWELL_S = 2, PATIENCE_S = 5 };

/* ---- the table ---- */

static struct command_list *
bucket(struct command_service *s, uint32_t src, uint32_t seq)
{
    return &s->table[(src * 31 + seq) % COMMAND_BUCKETS];
}

static struct command *
find(struct command_service *s, const struct frame_header *h)
{
    struct command *c;
    LIST_FOREACH(c, bucket(s, h->src, h->seq), link)
        if (c->asker->id == h->src && c->seq == h->seq && c->reply == h->reply)
            return c;
    return NULL;
}

static void
count_changed(struct command_service *s, int by)
{
    s->count += (unsigned)by;
    pthread_mutex_lock(&s->lock);
    s->alive = s->count;
    pthread_cond_signal(&s->ended);
    pthread_mutex_unlock(&s->lock);
}

static void
command_free(void *object)
{
    struct command *c = object;
    context_unref(c->asker);
    msg_queue_clear(&c->queue);
    buf_fini(&c->in_queue);
    free(c->name);
    free(c->cwd);
    free(c);
}

void
command_remove(struct command *c)
{
    struct command_service *s = c->service;
    c->freed = true;
    LIST_REMOVE(c, link);
    if (c->ending && s->guardian)
        guardian_dismiss(s->guardian, c->pid);
    loop_child_fini(&c->end);
    if (c->status_open) {
        loop_fd_fini(&c->status);
        close(c->status.fd);
        c->status_open = false;
    }
    command_output_close(&c->out);
    command_output_close(&c->err);
    command_input_close(c);
    loop_timer_fini(&c->deadline);
    loop_timer_fini(&c->watch);
    loop_timer_fini(&c->retry);
    loop_reap(s->loop, command_free, c);
    count_changed(s, -1);
}

/* ---- the guardian ---- */

static void on_guardian_end(struct loop_child *child, int status);

static int
guardian_ensure(struct command_service *s, struct err *err)
{
    if (s->guardian)
        return 0;
    s->guardian = guardian_start(err);
    if (!s->guardian)
        return err->code;
    loop_child_init(&s->guardian_end, s->loop, guardian_pid(s->guardian), on_guardian_end);
    return 0;
}

/* Somebody killed it. Commands that run must not be left without one. */
static void
on_guardian_end(struct loop_child *child, int status)
{
    struct command_service *s = owner_of(child, struct command_service, guardian_end);
    struct command *c;
    struct err err;

    log_warn("command", "the guardian process was lost (status %d)", status);
    guardian_forget(s->guardian);
    s->guardian = NULL;
    if (s->count == 0 || s->closing)
        return;
    if (guardian_ensure(s, &err) < 0) {
        log_error("command", "%s", err.msg);
        return;
    }
    for (size_t i = 0; i < COMMAND_BUCKETS; i++)
        LIST_FOREACH(c, &s->table[i], link)
            if (!c->exited || c->ending) {
                guardian_enlist(guardian_fd(s->guardian), c->pid);
                if (c->kept)
                    command_keep(c); /* does nothing for what is ending */
            }
}

/* ---- messages ---- */

static void
refuse(struct command_service *s, const struct frame_header *to, const struct err *why)
{
    struct buf *b = &s->scratch;
    log_debug("command", "RUN from context %u: %s", to->src, why->msg);
    pack_u8(b, 'F');
    pack_u8(b, (uint8_t)-why->code);
    pack_str(b, why->msg);
    router_reply(s->router, to, pack_msg(0, b));
}

static int
start(struct command_service *s, const struct frame_header *h, const struct command_request *q,
    struct err *err)
{
    struct context *asker = router_context(s->router, h->src);
    if (!asker)
        return err_set(err, ERR_DEAD, "context %u is gone", h->src);
    struct command *c = xcalloc(1, sizeof(*c));
    c->service = s;
    c->asker = asker;
    c->seq = h->seq;
    c->reply = h->reply;
    c->name = xstrdup(q->argv[0]);
    c->cwd = xstrdup(q->cwd);
    c->timeout_ms = q->timeout_ms;
    c->timeout_at = q->timeout_ms ? clock_ms() + q->timeout_ms : 0;
    c->grace_ms = q->grace_ms;
    TAILQ_INIT(&c->queue);
    if (guardian_ensure(s, err) < 0 || command_spawn(c, q, err) < 0) {
        command_free(c);
        return err->code;
    }
    log_debug("command", "%s is process %d, for context %u", c->name, (int)c->pid, h->src);
    command_timers_init(c);
    LIST_INSERT_HEAD(bucket(s, h->src, h->seq), c, link);
    count_changed(s, +1);
    return 0;
}

static int
on_request(
    struct command_service *s, const struct frame_header *h, struct unpack *u, struct err *err)
{
    struct command_request q;
    int rc = command_request_parse(&q, u, err);
    if (rc == 0 && s->closing)
        rc = err_set(err, ERR_CLOSED, "the context is closing");
    if (rc == 0 && find(s, h))
        rc = err_set(err, ERR_PROTOCOL, "command %u of context %u runs already", h->seq, h->src);
    if (rc == 0 && s->count >= COMMAND_MAX)
        rc = err_set(err, ERR_LIMIT, "%u commands run already, which is the limit", s->count);
    if (rc == 0)
        rc = start(s, h, &q, err);
    command_request_fini(&q);
    return rc;
}

static void
on_input(struct command *c, struct unpack *u)
{
    size_t n;
    const void *p = unpack_bytes(u, &n);
    if (unpack_done(u, "stdin", NULL) < 0)
        command_broken(c, ERR_PROTOCOL, "malformed stdin message");
    else
        command_input(c, p, n);
}

static void
on_credit(struct command *c, struct unpack *u)
{
    uint32_t n = unpack_u32(u);
    if (unpack_done(u, "credit", NULL) < 0)
        command_broken(c, ERR_PROTOCOL, "malformed credit message");
    else
        command_credit(c, n);
}

static void
on_kill(struct command *c, struct unpack *u)
{
    uint32_t ms = unpack_left(u) > 0 ? unpack_u32(u) : c->grace_ms;
    if (unpack_done(u, "kill", NULL) < 0)
        command_broken(c, ERR_PROTOCOL, "malformed kill message");
    if (ms < c->grace_ms)
        c->grace_ms = ms;
    command_terminate(c);
}

static void
on_more(struct command *c, uint8_t kind, struct unpack *u)
{
    switch (kind) {
    case 'I': on_input(c, u); break;
    case 'C': on_credit(c, u); break;
    case 'K': on_kill(c, u); break;
    default: command_broken(c, ERR_PROTOCOL, "unknown kind of message"); break;
    }
    command_settle(c);
}

/* A message of ours came back. It is written by whichever router noticed, so its src need not be the
 * asker's, and it does not say to which handle it went: where its number is ambiguous, nobody is meant. */
static struct command *
find_returned(struct command_service *s, const struct frame_header *h)
{
    for (int by_anyone = 0; by_anyone < 2; by_anyone++) {
        struct command *c, *found = NULL;
        unsigned matches = 0;
        for (size_t i = 0; i < COMMAND_BUCKETS; i++)
            LIST_FOREACH(c, &s->table[i], link)
                if (c->seq == h->seq && (by_anyone || c->asker->id == h->src)) {
                    found = c;
                    matches++;
                }
        if (matches > 0)
            return matches == 1 ? found : NULL;
    }
    return NULL;
}

static void
on_returned(struct command_service *s, const struct frame_header *h, uint8_t code)
{
    struct command *c = find_returned(s, h);
    if (!c)
        return;
    /* A full queue on the way lost a piece, and the asker still waits; else there is none any more. */
    if (code == -ERR_LIMIT)
        command_broken(c, ERR_LIMIT, "output was lost: too much was under way");
    else
        command_lost(c);
    command_settle(c);
}

static void
on_message(struct router *r, struct msg *m, void *arg)
{
    struct command_service *s = arg;
    struct unpack u;
    struct err err;

    unpack_init(&u, msg_payload(m), m->h.length);
    uint8_t kind = unpack_u8(&u);
    struct command *c;
    if (m->h.flags & FRAME_DEAD) {
        on_returned(s, &m->h, kind);
    } else if (kind == 'R') {
        if (on_request(s, &m->h, &u, &err) < 0)
            refuse(s, &m->h, &err);
    } else if ((c = find(s, &m->h))) {
        on_more(c, kind, &u);
    }
    msg_unref(m);
}

static void
on_dead(struct router *r, struct context *context, const struct err *why, void *arg)
{
    struct command_service *s = arg;
    struct command *c, *next;
    for (size_t i = 0; i < COMMAND_BUCKETS; i++)
        for (c = LIST_FIRST(&s->table[i]); c; c = next) {
            next = LIST_NEXT(c, link);
            if (c->asker->id != context->id)
                continue;
            command_lost(c);
            command_settle(c);
        }
}

/* ---- the service ---- */

struct command_service *
command_service_create(struct router *r)
{
    static const struct handle_ops ops = {.message = on_message, .dead = on_dead};
    struct command_service *s = xcalloc(1, sizeof(*s));
    s->router = r;
    s->loop = router_loop(r);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->ended, &attr);
    pthread_condattr_destroy(&attr);
    must(router_listen(r, HANDLE_RUN, HANDLE_FROM_PARENT, &ops, s));
    return s;
}

static void
each(struct command_service *s, void (*fn)(struct command *))
{
    struct command *c, *next;
    for (size_t i = 0; i < COMMAND_BUCKETS; i++)
        for (c = LIST_FIRST(&s->table[i]); c; c = next) {
            next = LIST_NEXT(c, link);
            fn(c);
        }
}

static void
end_now(struct command *c)
{
    c->lost = true;
    command_kill(c);
    command_settle(c);
}

/* What may run on is the guardian's now. */
static void
end_soon(struct command *c)
{
    command_lost(c);
    if (c->kept && !c->ending && !c->exited)
        command_remove(c);
    else
        command_settle(c);
}

static void
close_all(void *arg)
{
    struct command_service *s = arg;
    s->closing = true;
    each(s, end_soon);
}

static void
kill_all(void *arg)
{
    each(arg, end_now);
}

/* Waits until every command is gone, but not for ever: a process in uninterruptible sleep must not
 * keep us here. */
static void
wait_for_ends(struct command_service *s, time_t seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&s->lock);
    while (s->alive > 0)
        if (pthread_cond_timedwait(&s->ended, &s->lock, &until) != 0)
            break;
    pthread_mutex_unlock(&s->lock);
}

static void
abandon(struct command *c)
{
    log_error("command", "%s (process %d) does not die of KILL: left behind", c->name, (int)c->pid);
    command_remove(c);
}

static void
close_rest(void *arg)
{
    struct command_service *s = arg;
    each(s, abandon);
    if (s->guardian)
        loop_child_fini(&s->guardian_end);
}

void
command_service_destroy(struct command_service *s)
{
    if (!s)
        return;
    must(!loop_holds(s->loop));
    router_unlisten(s->router, HANDLE_RUN);
    loop_sync(s->loop, close_all, s);
    wait_for_ends(s, FAREWELL_S);
    loop_sync(s->loop, kill_all, s);
    wait_for_ends(s, PATIENCE_S);
    loop_sync(s->loop, close_rest, s);
    guardian_stop(s->guardian);
    pthread_cond_destroy(&s->ended);
    pthread_mutex_destroy(&s->lock);
    buf_fini(&s->scratch);
    free(s);
}
