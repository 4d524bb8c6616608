/*
 * An agent's stdout, stderr and log: lines in one queue, which are sent as they come.
 *
 * stdout and stderr become streams of the C library whose writes end here. So Lua's own print and io are left
 * as they are, and C code that uses stdio is in order with them. Only descriptors 1 and 2 themselves lead
 * elsewhere: to the raw stderr, which needs nothing of this to work when something has gone wrong.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "pack.h"
#include "redact.h"
#include "text.h"

#define MESSAGE_MAX (64u << 10) /* bytes of lines in one */
#define EXIT_MS 1000            /* at most, for what is on its way */
#define RETRY_MS 100            /* while there is no room, and nobody writes */

struct capture {
    FILE *file, *before;
};

/* The lines that one thread has begun, on stdout and stderr. */
struct begun {
    char line[2][TEXT_LINE];
    size_t len[2];
};

/* [I] immutable, [L] loop role only, [a] atomic, [q] queue's lock, [s] lock for sending, which is taken first */
struct text_out {
    struct router *router;   /* [I] */
    struct capture out, err; /* [I] */
    pthread_key_t key;       /* [I] a thread's struct begun */

    pthread_mutex_t queue_lock;
    struct buf queue; /* [q] as in a payload */
    uint64_t dropped; /* [q] lines, since the last one that was kept */
    bool open;        /* [q] */

    pthread_mutex_t sending;
    struct context *to;      /* [s] NULL until there is a parent */
    struct flow *flow;       /* [s] the same */
    struct mailbox *mailbox; /* [s] where CREDIT wakes who waits for room */
    size_t full;             /* [s] size of the next message, once no line is added to it; or 0 */
    bool stalled;            /* [s] waiting was in vain: nobody waits until there was room again */

    atomic_bool called;      /* `work` is deferred */
    struct loop_work work;   /* sends what the log left, which may be called under any lock */
    struct loop_timer retry; /* [L] */
};

/* There is one in a process, and it is never freed: any thread may log while it ends. */
static struct text_out the_one = {
    .queue_lock = PTHREAD_MUTEX_INITIALIZER, .sending = PTHREAD_MUTEX_INITIALIZER};
/* What is logged by sending itself would never end. */
static _Thread_local bool busy;

/* ---- the queue ---- */

static void
append(struct buf *queue, int stream, const char *p, size_t n)
{
    pack_u8(queue, (uint8_t)stream);
    pack_bytes(queue, p, n);
}

/* Queue locked. */
static void
append_dropped(struct text_out *t)
{
    char text[128];
    int n;

    if (!t->dropped)
        return;
    n = snprintf(text, sizeof text,
        "(%llu lines were dropped here: they came faster than they were taken)",
        (unsigned long long)t->dropped);
    append(&t->queue, TEXT_STDERR, text, (size_t)n);
    t->dropped = 0;
}

/* Returns how many bytes wait now, 0: it has ended. */
static size_t
enqueue(struct text_out *t, int stream, const char *p, size_t n)
{
    size_t len;

    pthread_mutex_lock(&t->queue_lock);
    if (t->open && buf_len(&t->queue) + n > TEXT_QUEUE) {
        t->dropped++;
    } else if (t->open) {
        append_dropped(t);
        append(&t->queue, stream, p, n);
    }
    len = t->open ? buf_len(&t->queue) : 0;
    pthread_mutex_unlock(&t->queue_lock);
    return len;
}

/* How many bytes of whole lines the next message takes; 0: there is nothing. Locked for sending, as below. */
static size_t
next_size(struct text_out *t)
{
    struct unpack u;
    size_t size = 0;

    if (t->full) /* who writes what is dropped asks again and again */
        return t->full;
    pthread_mutex_lock(&t->queue_lock);
    if (buf_len(&t->queue) == 0)
        append_dropped(t);
    unpack_init(&u, t->queue.data ? buf_head(&t->queue) : NULL, buf_len(&t->queue));
    while (unpack_left(&u) > 0 && size < MESSAGE_MAX) {
        size_t n;

        (void)unpack_u8(&u);
        (void)unpack_bytes(&u, &n);
        size = buf_len(&t->queue) - unpack_left(&u);
    }
    pthread_mutex_unlock(&t->queue_lock);
    t->full = size >= MESSAGE_MAX ? size : 0;
    return size;
}

static struct msg *
dequeue(struct text_out *t, size_t size)
{
    struct msg *m;

    pthread_mutex_lock(&t->queue_lock);
    m = msg_with(HANDLE_TEXT, buf_head(&t->queue), (uint32_t)size);
    buf_consume(&t->queue, size);
    pthread_mutex_unlock(&t->queue_lock);
    t->full = 0;
    m->lazy = true; /* it is on its way before any answer, and together with it */
    return m;
}

/* ---- sending; all with its lock ---- */

static bool
has_room(struct text_out *t, uint32_t cost, bool wait)
{
    int64_t deadline = clock_ms() + TEXT_WAIT_MS;

    while (!flow_admit(t->flow, cost, t->mailbox)) {
        struct msg *m = wait && !t->stalled ? mailbox_take(t->mailbox, deadline) : NULL;

        if (!m) {
            t->stalled = t->stalled || wait;
            return false;
        }
        msg_unref(m);
    }
    t->stalled = false;
    return true;
}

/* What cannot be sent (any more) may still be read where this process was started: a parent that ends does. */
static void
say_raw(const void *lines, size_t size)
{
    struct unpack u;

    unpack_init(&u, lines, size);
    while (unpack_left(&u) > 0) {
        const char *line;
        size_t n;

        (void)unpack_u8(&u);
        line = unpack_bytes(&u, &n);
        dprintf(STDERR_FILENO, "%.*s\n", (int)n, line);
    }
}

/* Returns whether all of it went. */
static bool
send_all(struct text_out *t, bool wait)
{
    struct msg *m;
    size_t size;

    if (!t->to)
        return true;
    while ((size = next_size(t)) > 0) {
        if (!has_room(t, flow_cost((uint32_t)size), wait))
            return false;
        m = dequeue(t, size);
        if (router_send(t->to, msg_ref(m), NULL) < 0)
            say_raw(msg_payload(m), m->h.length);
        msg_unref(m);
    }
    return true;
}

static void
call(struct text_out *t)
{
    if (!atomic_exchange(&t->called, true))
        loop_defer(router_loop(t->router), &t->work);
}

/* By a thread that writes. */
static void
send_now(struct text_out *t)
{
    bool all;

    busy = true;
    pthread_mutex_lock(&t->sending);
    all = send_all(t, !loop_holds(router_loop(t->router)));
    pthread_mutex_unlock(&t->sending);
    busy = false;
    if (!all)
        call(t);
}

/* On the loop role, which must not wait for a writer that waits for the loop. */
static void
send_later(struct text_out *t)
{
    bool all = false;

    if (pthread_mutex_trylock(&t->sending) == 0) {
        busy = true;
        all = send_all(t, false);
        busy = false;
        pthread_mutex_unlock(&t->sending);
    }
    if (!all)
        loop_timer_set(&t->retry, RETRY_MS);
}

static void
on_called(struct loop_work *w)
{
    struct text_out *t = owner_of(w, struct text_out, work);

    atomic_store(&t->called, false);
    send_later(t);
}

static void
on_retry(struct loop_timer *timer)
{
    send_later(owner_of(timer, struct text_out, retry));
}

/* ---- what is written ---- */

static struct begun *
begun(void)
{
    struct begun *b = pthread_getspecific(the_one.key);

    if (!b) {
        b = xcalloc(1, sizeof *b);
        (void)pthread_setspecific(the_one.key, b);
    }
    return b;
}

/* Returns whether much is waiting. Where a line is cut, what may be the beginning of a secret waits for the rest of
 * it; a longer one than half a line is not looked for there. */
static bool
finish_line(struct begun *b, int which, bool cut)
{
    char *line = b->line[which], *redacted;
    size_t held = cut ? redact_held(line, b->len[which]) : 0;
    size_t n, size, waiting;

    if (held > TEXT_LINE / 2)
        held = 0;
    n = size = b->len[which] - held;
    redacted = redact_text(line, n, &size);
    waiting = enqueue(&the_one, TEXT_STDOUT + which, redacted ? redacted : line, size);
    free(redacted);
    memmove(line, line + n, held);
    b->len[which] = held;
    return waiting > MESSAGE_MAX;
}

/* What has no end of line, where a thread or the process ends. */
static void
end_lines(void *arg)
{
    struct begun *b = arg;

    for (int which = 0; which < 2; which++)
        if (b->len[which] > 0)
            (void)finish_line(b, which, false);
    send_now(&the_one);
    free(b);
}

static void
end_own_lines(void)
{
    end_lines(begun());
    (void)pthread_setspecific(the_one.key, NULL);
}

static ssize_t
on_write(void *cookie, const char *p, size_t n)
{
    int which = cookie == &the_one.err;
    struct begun *b = begun();
    bool some = false;

    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\n')
            b->line[which][b->len[which]++] = p[i];
        if (p[i] != '\n' && b->len[which] < TEXT_LINE)
            continue;
        some = true;
        if (finish_line(b, which, p[i] != '\n'))
            send_now(&the_one);
    }
    if (some)
        send_now(&the_one);
    return (ssize_t)n;
}

static bool
on_log(int level, const char *line, size_t n)
{
    struct text_out *t = &the_one;

    if (busy || level > LOG_DEBUG) /* a trace of each message would trace its own */
        return false;
    if (enqueue(t, TEXT_LOG + level, line, n) == 0)
        return false;
    call(t);
    return true;
}

/* os.exit ends the process behind the back of what still waits to be written. */
static void
at_exit(void)
{
    struct timespec nap = {.tv_nsec = 1000000};

    (void)fflush(NULL);
    if (the_one.open)
        end_own_lines();
    for (int i = 0; i < EXIT_MS && the_one.open && router_backlog(the_one.router) > 0; i++)
        nanosleep(&nap, NULL);
}

/* Unbuffered: lines are put together here, for each thread its own. */
static void
capture(struct capture *c, FILE **file)
{
    cookie_io_functions_t functions = {.write = on_write};

    c->before = *file;
    c->file = fopencookie(c, "w", functions);
    if (!c->file)
        return;
    setvbuf(c->file, NULL, _IONBF, 0);
    *file = c->file;
}

static void
release(struct capture *c, FILE **file)
{
    if (!c->file)
        return;
    *file = c->before;
    (void)fclose(c->file);
}

struct text_out *
text_out_create(struct router *r)
{
    struct text_out *t = &the_one;

    t->router = r;
    t->open = true;
    t->mailbox = mailbox_create(NULL);
    t->work.fn = on_called;
    loop_timer_init(&t->retry, router_loop(r), on_retry);
    (void)pthread_key_create(&t->key, end_lines);
    capture(&t->out, &stdout);
    capture(&t->err, &stderr);
    log_divert(on_log);
    (void)atexit(at_exit);
    return t;
}

void
text_out_start(struct text_out *t)
{
    pthread_mutex_lock(&t->sending);
    t->to = router_context(t->router, CONTEXT_CONTROLLER);
    t->flow = flow_open(router_flows(t->router), CONTEXT_CONTROLLER, HANDLE_TEXT);
    pthread_mutex_unlock(&t->sending);
    send_now(t);
}

static void
stop(void *arg)
{
    struct text_out *t = arg;

    pthread_mutex_lock(&t->sending);
    loop_timer_fini(&t->retry);
    if (t->flow) {
        flows_forget_mailbox(router_flows(t->router), t->mailbox);
        flow_unref(t->flow);
    }
    context_unref(t->to);
    t->to = NULL;
    t->flow = NULL;
    t->full = 0;
    pthread_mutex_unlock(&t->sending);
}

static void
close_queue(struct text_out *t)
{
    pthread_mutex_lock(&t->queue_lock);
    t->open = false;
    if (t->queue.data)
        say_raw(buf_head(&t->queue), buf_len(&t->queue));
    buf_fini(&t->queue);
    pthread_mutex_unlock(&t->queue_lock);
}

void
text_out_destroy(struct text_out *t)
{
    if (!t)
        return;
    release(&t->out, &stdout);
    release(&t->err, &stderr);
    log_divert(NULL);
    end_own_lines();
    (void)pthread_key_delete(t->key);
    loop_sync(router_loop(t->router), stop, t); /* what was deferred has run by then */
    close_queue(t);
    mailbox_destroy(t->mailbox);
}
