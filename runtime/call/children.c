#include "children_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "askpass.h"
#include "check.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "process.h"
#include "thread.h"

#define KEEPALIVE_MS 15000
#define CONNECTING_NICE 10
#define CONNECT_STACK (512u << 10)

static void child_start(struct child *c);

/* ---- outcomes ---- */

static void
report(struct child *c, struct msg *m)
{
    m->h.handle = HANDLE_HELLO;
    m->h.seq = c->seq;
    m->h.src = c->id;
    c->reported = true;
    mailbox_post(c->mb, m);
}

static void
report_failure(struct child *c, const struct err *why)
{
    struct buf b = {0};
    struct msg *m;

    if (c->reported)
        return;
    pack_u8(&b, (uint8_t)-openreq_judge(c->request, why));
    pack_u8(&b, openreq_openssh_could(c->request));
    pack_str(&b, why->msg);
    openreq_pack_report(c->request, &b);
    if (c->stream)
        buf_append(&b, stream_last_words(c->stream), strlen(stream_last_words(c->stream)));
    m = pack_msg(HANDLE_HELLO, &b);
    m->h.flags = FRAME_ERROR;
    buf_fini(&b);
    report(c, m);
}

static void
report_success(struct child *c, const struct hello *h)
{
    struct buf b = {0};

    pack_str(&b, h->hostname);
    pack_str(&b, h->kernel);
    pack_str(&b, h->machine);
    pack_u32(&b, h->pid);
    pack_u32(&b, h->uid);
    pack_u64(&b, stream_uploaded(c->stream));
    pack_str(&b, openreq_how(c->request));
    openreq_pack_report(c->request, &b);
    report(c, pack_msg(HANDLE_HELLO, &b));
    buf_fini(&b);
}

/* A command such as ssh, while it connects or while the network is silent, would outlive us. */
static void
guard(struct child *c)
{
    pid_t group = process_pid(c->transport);
    struct err err;

    if (guards_add(&c->owner->guards, group, &err) == 0)
        c->guarded = group;
    else
        log_warn("children", "%s: without a guard: %s", c->request->name, err.msg);
}

static void
child_free(void *arg)
{
    struct child *c = arg;

    hello_fini(&c->hello);
    context_unref(c->context);
    stream_unref(c->stream);
    openreq_free(c->request);
    mailbox_unref(c->mb);
    free(c);
}

static void
start_queued(struct children *cs)
{
    struct child *c, *next;

    if (cs->closing)
        return;
    for (c = TAILQ_FIRST(&cs->list); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->connecting || c->stream || c->cancelled || !openreq_blocks(c->request))
            continue;
        if (cs->connecting + cs->booting >= cs->pace.limit) {
            loop_timer_set(&cs->more, CONNECT_STEP_MS);
            return;
        }
        child_start(c);
    }
}

static void
on_more(struct loop_timer *t)
{
    struct children *cs = owner_of(t, struct children, more);

    connect_pace_waited(&cs->pace);
    start_queued(cs);
}

/* The far side is busy with its part until here, which may be this machine, too. */
static void
booted(struct child *c)
{
    if (!c->booting)
        return;
    c->booting = false;
    c->owner->booting--;
    start_queued(c->owner);
}

/* The end of every child. */
void
child_gone(struct child *c, const struct err *why)
{
    struct children *cs = c->owner;

    openreq_end_asking(c->request, false);
    router_unwant_ids(cs->router, &c->id_wait);
    report_failure(c, why);
    if (c->guarded)
        guards_remove(&cs->guards, c->guarded);
    TAILQ_REMOVE(&cs->list, c, link);
    booted(c);
    loop_reap(cs->loop, child_free, c);
    if (cs->closing && TAILQ_EMPTY(&cs->list))
        sem_post(&cs->empty);
}

/* ---- the stream's upcalls ---- */

static void
on_up(struct stream *s, void *arg)
{
    log_debug("children", "%s: the agent runs", stream_name(s));
}

static int
send_config(struct child *c, struct err *err)
{
    struct children *cs = c->owner;
    struct config config = {.id = c->id,
        .ancestor_count = 1,
        .name = c->request->name,
        .route = c->request->route,
        .keepalive_ms = (uint32_t)c->request->keepalive_ms,
        .log_level = (uint32_t)log_level(),
        .spin_ns = loop_spin(cs->loop),
        .attend = loop_attend(cs->loop),
        .agent = (char *)(uintptr_t)images_id(cs->images)};

    config.ancestors[0] = router_self(cs->router);
    config.ancestor_count +=
        router_ancestors(cs->router, config.ancestors + 1, HANDSHAKE_DEPTH - 1);
    return stream_send(c->stream, config_make(&config), err);
}

/* It has said HELLO, and there is an id for it. */
static void
on_id(struct id_wait *w, uint32_t first, const struct err *why)
{
    struct child *c = owner_of(w, struct child, id_wait);
    struct err err;

    c->id = first;
    if (!first || send_config(c, &err) < 0) {
        stream_close(c->stream, first ? &err : why, 0);
        return;
    }
    c->context =
        router_add_child(c->owner->router, c->stream, c->id, c->request->name, c->request->route);
    log_info("children", "%s is up: %s on %s, pid %u, %llu bytes sent before", c->request->name,
        openreq_how(c->request), c->hello.hostname, c->hello.pid,
        (unsigned long long)stream_uploaded(c->stream));
    openreq_end_asking(c->request, true);
    report_success(c, &c->hello);
    booted(c);
}

/* The first frame; there is no second one until it was answered. Takes m. */
static void
greet(struct child *c, struct msg *m)
{
    struct err err;
    int rc;

    if (c->greeted) {
        rc = err_set(&err, ERR_PROTOCOL, "the agent sent %s before it had its CONFIG",
            frame_handle_name(m->h.handle));
    } else {
        c->greeted = true;
        rc = hello_parse(&c->hello, m, &err);
    }
    msg_unref(m);
    if (rc < 0) {
        stream_close(c->stream, &err, 0);
        return;
    }
    c->id_wait.count = 1;
    c->id_wait.fn = on_id;
    router_want_ids(c->owner->router, &c->id_wait);
}

static void
on_frame(struct stream *s, struct msg *m, void *arg)
{
    struct child *c = arg;

    if (c->context)
        router_frame(c->owner->router, s, m);
    else
        greet(c, m);
}

static void
say(struct child *c)
{
    struct texts *texts = c->owner->texts;
    char note[64];
    int n;

    if (c->text_len && c->text[c->text_len - 1] == '\r') /* ssh(1) ends its lines as a terminal's */
        c->text_len--;
    if (c->text_dropped) {
        n = snprintf(note, sizeof note, "(%u lines of stderr were dropped here)", c->text_dropped);
        if (texts_raw(texts, c->context, note, (size_t)n))
            c->text_dropped = 0;
    }
    if (c->text_dropped || !texts_raw(texts, c->context, c->text, c->text_len))
        c->text_dropped++;
    c->text_len = 0;
}

/* stderr, in lines. What it says before the agent runs goes into the error, if there is one. */
static void
on_text(struct stream *s, const char *p, size_t n, void *arg)
{
    struct child *c = arg;

    if (!c->context) {
        log_debug("children", "%s: %.*s", c->request->name, (int)n, p);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || c->text_len == sizeof c->text)
            say(c);
        if (p[i] != '\n')
            c->text[c->text_len++] = p[i];
    }
}

static void
on_closed(struct stream *s, const struct err *why, void *arg)
{
    struct child *c = arg;

    if (c->text_len)
        say(c);
    if (c->context)
        router_lost(c->owner->router, s, why);
    child_gone(c, why);
}

static const struct stream_events events = {
    .up = on_up, .frame = on_frame, .text = on_text, .closed = on_closed};

/* ---- opening ---- */

/* The transport is there: from here on the stream has it. */
static void
child_boot(struct child *c)
{
    struct children *cs = c->owner;
    struct openreq *q = c->request;
    struct stream_options o = {.name = q->name,
        .bootstrap = bootstrap_create(q->marker, images_find, cs->images),
        .bootstrap_ms = q->bootstrap_ms,
        .keepalive_ms = q->keepalive_ms,
        .owed_max = STREAM_OWED_MAX,
        .deferred = q->deferred};

    c->stream = stream_create(cs->loop, c->transport, &o, &events, c);
    openreq_listen(q, cs->loop, c->stream);
    c->transport = NULL;
}

static void
child_connected(struct loop_work *w)
{
    struct child *c = owner_of(w, struct child, work);
    struct children *cs = c->owner;

    pthread_join(c->thread, NULL); /* it ends right behind its loop_defer */
    cs->connecting--;
    cs->booting++;
    c->booting = true;
    connect_pace_done(&cs->pace, &c->time);
    start_queued(cs); /* before the end of this one, which may be the last and the end of cs */
    c->connecting = false;
    if (c->cancelled) {
        if (c->transport)
            c->transport->ops->destroy(c->transport);
        c->transport = NULL;
        err_set(&c->why, ERR_CANCELLED, "opening %s was cancelled", c->request->name);
    }
    if (c->transport)
        child_boot(c);
    else
        child_gone(c, &c->why);
}

static struct transport *
open_transport(struct child *c)
{
    return openreq_connect(c->request, c->owner->ssh, c->owner->pool, &c->cancel, &c->why);
}

/* Key exchanges are a matter of CPU time, which calls that are running have more need of. A command that
 * is started on this thread would remain so for good. */
static void
step_aside(const struct openreq *q)
{
    if (!openreq_spawns(q))
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), CONNECTING_NICE);
}

static void *
connect_thread(void *arg)
{
    struct child *c = arg;
    uint64_t start = clock_ns();

    pthread_setname_np(pthread_self(), "orrery-connect");
    step_aside(c->request);
    c->transport = open_transport(c);
    connect_pace_measure(&c->time, start);
    loop_defer(c->owner->loop, &c->work);
    return NULL;
}

static void
child_start(struct child *c)
{
    int rc;

    c->work.fn = child_connected;
    rc = thread_start(&c->thread, CONNECT_STACK, connect_thread, c);
    if (rc != 0) {
        err_errno(&c->why, ERR_SYSTEM, rc, "cannot start a thread to connect with");
        child_gone(c, &c->why);
        return;
    }
    c->connecting = true;
    c->owner->connecting++;
}

/* A person is being asked: that counts for no deadline. */
static void
on_asking(void *arg, bool yes)
{
    struct child *c = arg;

    if (c->stream)
        stream_hold_deadline(c->stream, yes);
}

/* A command of this machine, or a local child. */
static void
child_spawn(struct child *c)
{
    struct children *cs = c->owner;

    if (openreq_prepare(c->request, cs->loop, &c->why) == 0)
        c->transport = open_transport(c);
    if (!c->transport) {
        child_gone(c, &c->why);
        return;
    }
    if (openreq_needs_guard(c->request))
        guard(c);
    if (openreq_askpass(c->request))
        askpass_watch(openreq_askpass(c->request), process_pid(c->transport), on_asking, c);
    child_boot(c);
}

static void
child_opened(struct loop_work *w)
{
    struct child *c = owner_of(w, struct child, work);
    struct children *cs = c->owner;

    TAILQ_INSERT_TAIL(&cs->list, c, link);
    if (cs->closing) {
        err_set(&c->why, ERR_CLOSED, "the runtime is shutting down");
        child_gone(c, &c->why);
    } else if (!openreq_blocks(c->request)) {
        child_spawn(c);
    } else {
        start_queued(cs);
    }
}

uint32_t
children_open(
    struct children *cs, const struct open_options *o, struct mailbox *mb, struct err *err)
{
    uint32_t above[HANDSHAKE_DEPTH], seq = ask_number();
    struct openreq *q;
    struct child *c;

    if (router_ancestors(cs->router, above, HANDSHAKE_DEPTH) == HANDSHAKE_DEPTH) {
        err_set(err, ERR_LIMIT, "%s: contexts nest at most %d deep", o->route, HANDSHAKE_DEPTH);
        return 0;
    }
    q = openreq_create(o, cs->images, cs->ssh != NULL, err);
    if (!q)
        return 0;
    if (o->keepalive_ms < 0)
        q->keepalive_ms = KEEPALIVE_MS;
    c = xcalloc(1, sizeof *c);
    c->owner = cs;
    c->request = q;
    c->mb = mailbox_ref(mb);
    c->seq = seq;
    openreq_bind(q, mb, seq);
    c->work.fn = child_opened;
    loop_defer(cs->loop, &c->work);
    return seq;
}

struct children *
children_create(struct router *r, struct texts *texts)
{
    struct children *cs = xcalloc(1, sizeof *cs);

    cs->router = r;
    cs->texts = texts;
    cs->loop = router_loop(r);
    connect_pace_init(&cs->pace);
    loop_timer_init(&cs->more, cs->loop, on_more);
    TAILQ_INIT(&cs->list);
    sem_init(&cs->empty, 0, 0);
    children_listen(cs);
    return cs;
}

bool
children_empty(const struct children *cs)
{
    return TAILQ_EMPTY(&cs->list);
}

void
children_set_images(struct children *cs, struct images *im)
{
    cs->images = im;
}

void
children_use_ssh(struct children *cs, const struct ssh_library *ssh)
{
    cs->ssh = ssh;
    cs->pool = ssh->create(cs->loop);
}

void
children_destroy(struct children *cs)
{
    if (cs->ssh)
        cs->ssh->destroy(cs->pool);
    sem_destroy(&cs->empty);
    free(cs);
}
