/* Questions of a script's own: each on a thread, which posts the answer. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "ask_internal.h"
#include "frame.h"
#include "mem.h"
#include "pack.h"
#include "thread.h"

enum { ASK_STACK = 256 << 10 };

/* [I] immutable, [l] lock */
struct inquiry {
    LIST_ENTRY(inquiry) link; /* [l] */
    uint32_t seq;             /* [I] */
    struct asker *asker;      /* [I] */
    struct mailbox *mb;       /* [I] counted until the thread is done with it */
    struct ssh_question q;    /* [I] its strings are ours */
    atomic_bool cancel;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static LIST_HEAD(, inquiry) inquiries = LIST_HEAD_INITIALIZER(inquiries);
static uint32_t last_seq;

static void
post(const struct inquiry *i, const char *answer, const struct err *why)
{
    struct buf b = {0};
    struct msg *m;

    if (answer) {
        buf_append(&b, answer, strlen(answer));
    } else {
        pack_u8(&b, (uint8_t)-why->code);
        pack_str(&b, why->msg);
    }
    m = pack_msg(HANDLE_ASK, &b);
    m->h.seq = i->seq;
    m->h.flags = answer ? 0 : FRAME_ERROR;
    if (b.data)
        explicit_bzero(b.data, b.cap);
    buf_fini(&b);
    mailbox_post(i->mb, m);
}

static void
end(struct inquiry *i)
{
    asker_destroy(i->asker);
    mailbox_unref(i->mb);
    free((char *)(uintptr_t)i->q.host);
    free((char *)(uintptr_t)i->q.subject);
    free((char *)(uintptr_t)i->q.text);
    free((char *)(uintptr_t)i->q.detail);
    pthread_mutex_lock(&lock);
    LIST_REMOVE(i, link);
    pthread_cond_broadcast(&fewer);
    pthread_mutex_unlock(&lock);
    free(i);
}

static void *
inquiry_thread(void *arg)
{
    struct inquiry *i = arg;
    struct err err = {0};
    char *answer = NULL;

    pthread_setname_np(pthread_self(), "orrery-inquiry");
    if (asker_ask(i->asker, &i->q, &i->cancel, &answer, &err) == 0)
        post(i, answer, NULL);
    else
        post(i, NULL, &err);
    secret_free(answer);
    end(i);
    return NULL;
}

uint32_t
ask_inquire(const struct ask_options *o, const struct ssh_question *q, struct mailbox *mb)
{
    struct inquiry *i = xcalloc(1, sizeof *i);
    uint32_t seq;
    struct err err;
    int rc;

    i->asker = asker_create(o);
    i->mb = mailbox_ref(mb);
    i->q = *q;
    i->q.host = xstrdup(q->host);
    i->q.subject = xstrdup(q->subject);
    i->q.text = xstrdup(q->text);
    i->q.detail = xstrdup(q->detail);
    pthread_mutex_lock(&lock);
    i->seq = seq = ++last_seq;
    LIST_INSERT_HEAD(&inquiries, i, link);
    pthread_mutex_unlock(&lock);
    rc = thread_start(NULL, ASK_STACK, inquiry_thread, i);
    if (rc) {
        err_errno(&err, ERR_SYSTEM, rc, "cannot start a thread to ask with");
        post(i, NULL, &err);
        end(i);
    }
    return seq;
}

/* Lock held. Is there one of this mailbox? Tells those that there are to end, and the one called seq. */
static bool
cancel(const struct mailbox *mb, uint32_t seq)
{
    struct inquiry *i;
    bool found = false;

    LIST_FOREACH(i, &inquiries, link) {
        if (i->mb != mb && i->seq != seq)
            continue;
        found = found || i->mb == mb;
        atomic_store(&i->cancel, true);
    }
    return found;
}

void
ask_retract(uint32_t seq)
{
    pthread_mutex_lock(&lock);
    cancel(NULL, seq);
    pthread_mutex_unlock(&lock);
    ask_hurry();
}

void
ask_forget_inquiries(const struct mailbox *mb)
{
    pthread_mutex_lock(&lock);
    while (cancel(mb, 0)) {
        ask_hurry();
        pthread_cond_wait(&fewer, &lock);
    }
    pthread_mutex_unlock(&lock);
}
