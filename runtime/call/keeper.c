#include "keeper.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "openreq.h"
#include "pack.h"
#include "thread.h"

/* More than any login takes: who wants more signatures has something else in mind. */
enum { SIGNATURES_MAX = 64, AT_ONCE_MAX = 16 };

#define KEEPER_STACK (512u << 10)

LIST_HEAD(keeper_list, keeper);

/* [I] immutable, [L] loop role only, [a] atomic */
struct keeper {
    LIST_ENTRY(keeper) link;       /* [L] */
    struct keepers *owner;         /* [I] */
    const struct ssh_library *ssh; /* [I] */
    struct openreq *request;       /* [I] */
    struct mailbox *mb;            /* [I] counted; where the offers go */
    uint32_t number, handle;       /* [I] */
    uint32_t context;              /* [L] who is answered; 0: nobody yet */
    int signatures;                /* [L] that were asked for */
    int jobs;                      /* [L] threads */
    bool closed;                   /* [L] */
    atomic_bool cancel;            /* [a] tells the threads */
    struct loop_work work;         /* enters the loop */
};

struct keepers {
    struct router *router;   /* [I] */
    struct loop *loop;       /* [I] */
    struct keeper_list list; /* [L] */
    bool closing;            /* [L] */
    sem_t empty;             /* posted when closing and the list is empty */
};

/* What a thread does: answers a question; or, without one, makes the offers. */
struct job {
    struct keeper *keeper; /* [I] */
    struct msg *question;  /* [I] or NULL */
    struct msg *result;    /* of the thread, then [L] */
    pthread_t thread;      /* [L] */
    struct loop_work work;
};

static void
keeper_free(void *arg)
{
    struct keeper *k = arg;

    openreq_free(k->request);
    mailbox_unref(k->mb);
    free(k);
}

/* Its handle is gone, and no thread of it is left. */
static void
forget_idle(struct keeper *k)
{
    struct keepers *ks = k->owner;

    if (!k->closed || k->jobs)
        return;
    LIST_REMOVE(k, link);
    loop_reap(ks->loop, keeper_free, k);
    if (ks->closing && LIST_EMPTY(&ks->list))
        sem_post(&ks->empty);
}

static void
close_keeper(struct keeper *k)
{
    if (k->closed)
        return;
    k->closed = true;
    atomic_store(&k->cancel, true);
    ask_hurry();
    router_unlisten(k->owner->router, k->handle);
    forget_idle(k);
}

/* ---- threads ---- */

static const struct ssh_options *
options_of(const struct keeper *k, uint8_t kept)
{
    const struct ssh_options *o = openreq_ssh(k->request);

    while (o && o->kept != kept)
        o = o->via;
    return o;
}

static struct msg *
answer_with(int code, const char *text)
{
    struct buf b = {0};
    struct msg *m;

    pack_u8(&b, (uint8_t)-code);
    pack_str(&b, text);
    m = pack_msg(HANDLE_NONE, &b);
    buf_fini(&b);
    return m;
}

static struct msg *
answer_question(const struct keeper *k, struct msg *m)
{
    struct ssh_question q = {.host = ""};
    const struct ssh_options *o;
    char *subject, *text, *detail, *seal, *answer = NULL;
    struct unpack u;
    struct msg *result;
    struct err err = {0};
    bool wanted;
    int rc;

    unpack_init(&u, msg_payload(m), m->h.length);
    q.kind = unpack_u8(&u);
    o = options_of(k, unpack_u8(&u));
    wanted = unpack_u8(&u);
    q.echo = unpack_u8(&u);
    q.attempt = (int)unpack_u32(&u);
    q.subject = subject = unpack_str(&u);
    q.text = text = unpack_str(&u);
    q.detail = detail = unpack_str(&u);
    q.seal = seal = unpack_str(&u);
    rc = unpack_done(&u, "a question", &err);
    if (rc == 0)
        rc = o ? k->ssh->keep(o, &q, &k->cancel, wanted ? &answer : NULL, &err)
               : err_set(&err, ERR_DENIED, "there is no such host on the way");
    result = answer_with(rc, rc ? err.msg : answer ? answer : "");
    secret_free(answer);
    free(subject);
    free(text);
    free(detail);
    free(seal);
    return result;
}

static struct msg *
make_offers(struct keeper *k)
{
    struct buf b = {0};
    struct msg *m;

    pack_u32(&b, k->handle);
    for (const struct ssh_options *o = openreq_ssh(k->request); o; o = o->via) {
        char *algorithms = k->ssh->host_key_algorithms(o), **offers = k->ssh->offers(o, &k->cancel);
        uint32_t n = 0;

        while (offers[n])
            n++;
        pack_str(&b, algorithms);
        pack_u32(&b, n);
        for (uint32_t i = 0; i < n; i++) {
            pack_str(&b, offers[i]);
            free(offers[i]);
        }
        free(offers);
        free(algorithms);
    }
    m = pack_msg(HANDLE_KEEP, &b);
    m->h.seq = k->number;
    buf_fini(&b);
    return m;
}

static void *
job_main(void *arg)
{
    struct job *j = arg;

    pthread_setname_np(pthread_self(), "orrery-keeper");
    j->result = j->question ? answer_question(j->keeper, j->question) : make_offers(j->keeper);
    loop_defer(j->keeper->owner->loop, &j->work);
    return NULL;
}

static void
deliver(struct job *j)
{
    if (j->question)
        router_reply(j->keeper->owner->router, &j->question->h, j->result);
    else
        mailbox_post(j->keeper->mb, j->result);
    msg_unref(j->question);
}

static void
job_done(struct loop_work *w)
{
    struct job *j = owner_of(w, struct job, work);
    struct keeper *k = j->keeper;

    pthread_join(j->thread, NULL); /* it ends right behind its loop_defer */
    deliver(j);
    free(j);
    k->jobs--;
    forget_idle(k);
}

/* Takes the question. */
static void
start_job(struct keeper *k, struct msg *question)
{
    struct job *j = xcalloc(1, sizeof *j);
    int rc;

    j->keeper = k;
    j->question = question;
    j->work.fn = job_done;
    k->jobs++;
    rc = thread_start(&j->thread, KEEPER_STACK, job_main, j);
    if (rc == 0)
        return;
    k->jobs--;
    log_warn("keeper", "no thread to answer with: %s", strerror(rc));
    if (question) {
        j->result = answer_with(ERR_SYSTEM, "no thread to answer with");
    } else {
        struct err err;
        struct frame_header to = {.reply = HANDLE_KEEP, .seq = k->number};

        err_errno(&err, ERR_SYSTEM, rc, "no thread to look at keys with");
        j->result = msg_dead(&to, &err, "");
        j->result->h.flags = FRAME_ERROR;
    }
    deliver(j);
    free(j);
}

/* ---- questions ---- */

static void
refuse(struct keeper *k, struct msg *m, const char *why)
{
    log_warn("keeper", "context %u asks %s: %s", m->h.src, k->request->name, why);
    router_reply(k->owner->router, &m->h, answer_with(ERR_DENIED, why));
    msg_unref(m);
}

static void
on_question(struct router *r, struct msg *m, void *arg)
{
    struct keeper *k = arg;

    if (m->h.src != k->context) {
        refuse(k, m, "this is not asked of it");
    } else if (m->h.length && msg_payload(m)[0] == SSH_ASK_SIGN &&
        ++k->signatures > SIGNATURES_MAX) {
        refuse(k, m, "too many signatures for one connection");
    } else if (k->jobs >= AT_ONCE_MAX) {
        refuse(k, m, "too many questions at a time");
    } else {
        start_job(k, m);
    }
}

static void
on_lost(struct router *r, struct context *c, const struct err *why, void *arg)
{
    struct keeper *k = arg;

    if (c->id == k->context) {
        atomic_store(&k->cancel, true);
        ask_hurry();
    }
}

static void
keeper_opened(struct loop_work *w)
{
    struct keeper *k = owner_of(w, struct keeper, work);

    LIST_INSERT_HEAD(&k->owner->list, k, link);
    if (k->owner->closing)
        close_keeper(k);
    else
        start_job(k, NULL);
}

uint32_t
keeper_open(struct keepers *ks, const struct ssh_library *ssh, const struct open_options *o,
    struct mailbox *mb, struct err *err)
{
    static const struct handle_ops ops = {.message = on_question, .dead = on_lost};
    struct keeper *k;
    uint32_t number;

    if (!ssh) {
        err_set(err, ERR_CONNECT, "this context has no keys to log in with");
        return 0;
    }
    k = xcalloc(1, sizeof *k);
    k->owner = ks;
    k->ssh = ssh;
    k->mb = mailbox_ref(mb);
    k->number = number = ask_number();
    k->request = openreq_create_kept(o);
    openreq_bind(k->request, mb, number);
    k->handle = router_listen(ks->router, 0, HANDLE_FROM_ANYONE, &ops, k);
    k->work.fn = keeper_opened;
    loop_defer(ks->loop, &k->work);
    return number;
}

/* ---- from other threads ---- */

struct order {
    struct loop_work work;
    struct keepers *ks;
    uint32_t number, context; /* context 0: close */
};

static void
obey(struct loop_work *w)
{
    struct order *order = owner_of(w, struct order, work);
    struct keeper *k, *next;

    for (k = LIST_FIRST(&order->ks->list); k; k = next) {
        next = LIST_NEXT(k, link);
        if (k->number != order->number)
            continue;
        if (order->context)
            k->context = order->context;
        else
            close_keeper(k);
    }
    free(order);
}

static void
give_order(struct keepers *ks, uint32_t number, uint32_t context)
{
    struct order *order = xcalloc(1, sizeof *order);

    *order = (struct order){.work.fn = obey, .ks = ks, .number = number, .context = context};
    loop_defer(ks->loop, &order->work);
}

void
keeper_serve(struct keepers *ks, uint32_t number, uint32_t context)
{
    give_order(ks, number, context);
}

void
keeper_close(struct keepers *ks, uint32_t number)
{
    give_order(ks, number, 0);
}

struct keepers *
keepers_create(struct router *r)
{
    struct keepers *ks = xcalloc(1, sizeof *ks);

    ks->router = r;
    ks->loop = router_loop(r);
    LIST_INIT(&ks->list);
    sem_init(&ks->empty, 0, 0);
    return ks;
}

static void
close_all(void *arg)
{
    struct keepers *ks = arg;
    struct keeper *k, *next;

    ks->closing = true;
    if (LIST_EMPTY(&ks->list))
        sem_post(&ks->empty);
    for (k = LIST_FIRST(&ks->list); k; k = next) {
        next = LIST_NEXT(k, link);
        close_keeper(k);
    }
}

void
keepers_destroy(struct keepers *ks)
{
    loop_sync(ks->loop, close_all, ks);
    while (sem_wait(&ks->empty) < 0)
        ;
    sem_destroy(&ks->empty);
    free(ks);
}

struct msg *
keeper_question(const struct ssh_question *q, bool wanted)
{
    struct buf b = {0};
    struct msg *m;

    pack_u8(&b, (uint8_t)q->kind);
    pack_u8(&b, (uint8_t)q->kept);
    pack_u8(&b, wanted);
    pack_u8(&b, q->echo);
    pack_u32(&b, (uint32_t)q->attempt);
    pack_str(&b, q->subject);
    pack_str(&b, q->text);
    pack_str(&b, q->detail);
    pack_str(&b, q->seal);
    m = pack_msg(HANDLE_NONE, &b);
    buf_fini(&b);
    return m;
}
