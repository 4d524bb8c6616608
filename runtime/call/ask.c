#include "ask.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "ask_internal.h"
#include "frame.h"
#include "pack.h"

enum { DEPTH_MAX = 8 };

/* [I] immutable, [l] lock */
struct asker {
    LIST_ENTRY(asker) link;   /* [l] */
    bool nobody, script;      /* [I] */
    struct ask_keeper keeper; /* [I] */
    int depth;                /* [I] */
    char *program;            /* [I] */
    struct mailbox *mb;       /* [l] NULL: the VM is gone, or was never there */
    uint32_t opening;         /* [I] */
};

/* One that the script was asked; on the stack of the thread that waits. */
struct posted {
    LIST_ENTRY(posted) link;
    struct asker *asker;
    uint32_t seq;
    bool over;
    char *answer;
    struct err why;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static LIST_HEAD(, asker) askers = LIST_HEAD_INITIALIZER(askers);
static LIST_HEAD(, posted) questions = LIST_HEAD_INITIALIZER(questions);
static bool busy[DEPTH_MAX]; /* somebody is being asked */
static uint32_t last_seq;

uint32_t
ask_number(void)
{
    static atomic_uint last;
    uint32_t number;

    do
        number = atomic_fetch_add(&last, 1) + 1;
    while (!number);
    return number;
}

struct asker *
asker_create(const struct ask_options *o)
{
    struct asker *a = xcalloc(1, sizeof *a);

    a->nobody = o->nobody;
    a->script = o->script;
    a->keeper = o->keeper;
    a->depth = o->depth < DEPTH_MAX ? o->depth : DEPTH_MAX - 1;
    a->program = o->program ? xstrdup(o->program) : NULL;
    pthread_mutex_lock(&lock);
    LIST_INSERT_HEAD(&askers, a, link);
    pthread_mutex_unlock(&lock);
    return a;
}

void
asker_bind(struct asker *a, struct mailbox *mb, uint32_t opening)
{
    pthread_mutex_lock(&lock);
    a->mb = mailbox_ref(mb);
    a->opening = opening;
    pthread_mutex_unlock(&lock);
}

void
asker_destroy(struct asker *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&lock);
    LIST_REMOVE(a, link);
    pthread_mutex_unlock(&lock);
    mailbox_unref(a->mb);
    free(a->program);
    free(a);
}

/* With the lock held: until something is new, or for a slice, since nobody says that `cancel` is set. */
static void
nap(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ASK_SLICE_MS * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&news, &lock, &until);
}

static bool
is_cancelled(const atomic_bool *cancel)
{
    return cancel && atomic_load(cancel);
}

void
ask_hurry(void)
{
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

/* ---- the script's function ---- */

static struct msg *
question_message(const struct posted *p, const struct ssh_question *q)
{
    struct buf b = {0};
    struct msg *m;

    pack_u8(&b, (uint8_t)q->kind);
    pack_u8(&b, q->echo);
    pack_u32(&b, (uint32_t)q->attempt);
    pack_str(&b, q->host);
    pack_str(&b, q->subject);
    pack_str(&b, q->text);
    pack_str(&b, q->detail);
    m = pack_msg(HANDLE_ASK, &b);
    m->h.src = p->asker->opening;
    m->h.seq = p->seq;
    buf_fini(&b);
    return m;
}

static int
ask_script(struct asker *a, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    struct posted p = {.asker = a};

    err_set(&p.why, ERR_CANCELLED, "the `ask` function gave no answer");
    pthread_mutex_lock(&lock);
    if (a->mb) {
        p.seq = ++last_seq;
        LIST_INSERT_HEAD(&questions, &p, link);
        mailbox_post(a->mb, question_message(&p, q));
        while (!p.over && !is_cancelled(cancel))
            nap();
        LIST_REMOVE(&p, link);
    } else {
        err_set(&p.why, ERR_CANCELLED, "the script that was to be asked has ended");
    }
    pthread_mutex_unlock(&lock);
    if (is_cancelled(cancel)) {
        secret_free(p.answer);
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
    *answer = p.answer;
    if (!p.answer)
        *err = p.why;
    return p.answer ? 0 : ERR_CANCELLED;
}

void
ask_answer(uint32_t seq, const char *answer, const char *why)
{
    struct posted *p;

    pthread_mutex_lock(&lock);
    LIST_FOREACH(p, &questions, link) {
        if (p->seq != seq || p->over)
            continue;
        p->over = true;
        p->answer = answer ? xstrdup(answer) : NULL;
        if (why)
            err_set(&p->why, ERR_CANCELLED, "the `ask` function failed: %s", why);
        break;
    }
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

void
ask_forget(struct mailbox *mb)
{
    struct asker *a;
    struct posted *p;

    ask_forget_inquiries(mb);
    pthread_mutex_lock(&lock);
    LIST_FOREACH(p, &questions, link)
        if (p->asker->mb == mb && !p->over) {
            p->over = true;
            err_set(&p->why, ERR_CANCELLED, "the script that was asked has ended");
        }
    LIST_FOREACH(a, &askers, link)
        if (a->mb == mb) {
            a->mb = NULL;
            mailbox_unref(mb);
        }
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

/* ---- who is asked ---- */

/* "key /k needs a passphrase", for the error that nobody can be asked. */
static char *
needs(const struct ssh_question *q)
{
    switch (q->kind) {
    case SSH_ASK_PASSPHRASE: return xasprintf("%s needs a passphrase", q->subject);
    case SSH_ASK_PASSWORD: return xasprintf("%s needs a password", q->subject);
    case SSH_ASK_PROMPT: return xasprintf("%s wants answers", q->host);
    case SSH_ASK_HOSTKEY:
    case SSH_ASK_TRUST:
    case SSH_ASK_SIGN: break;
    }
    return xasprintf("somebody has to say whether it is the right one");
}

static int
nobody(const struct asker *a, const struct ssh_question *q, const char *why, struct err *err)
{
    char *need = needs(q);

    if (a->nobody)
        err_set(err, ERR_CREDENTIALS, "%s, and nobody is to be asked for it (ask = false)", need);
    else
        err_set(err, ERR_CREDENTIALS,
            "%s, and there is no %s, askpass program or `ask` function to ask for it", need, why);
    free(need);
    return ERR_CREDENTIALS;
}

/* One question at a time. False: cancelled. */
static bool
take_turn(const struct asker *a, const atomic_bool *cancel)
{
    bool mine;

    pthread_mutex_lock(&lock);
    while (busy[a->depth] && !is_cancelled(cancel))
        nap();
    mine = !is_cancelled(cancel);
    if (mine)
        busy[a->depth] = true;
    pthread_mutex_unlock(&lock);
    return mine;
}

static void
end_turn(const struct asker *a)
{
    pthread_mutex_lock(&lock);
    busy[a->depth] = false;
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

/* Without an answer wanted: could somebody be asked? */
static int
ask_person(struct asker *a, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    bool first = a->program != NULL;
    const char *program = first ? a->program : ask_program_named(&first), *why = "terminal";
    int fd = first ? -1 : ask_terminal_open(&why);

    if (fd >= 0) {
        if (answer)
            return ask_terminal(fd, q, cancel, answer, err);
        close(fd);
        return 0;
    }
    if (!program)
        return nobody(a, q, why, err);
    return answer ? ask_program(program, q, cancel, answer, err) : 0;
}

int
asker_ask(void *asker, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    struct asker *a = asker;
    int rc;

    if (a->keeper.context)
        return ask_keeper(&a->keeper, q, cancel, answer, err);
    if (a->nobody)
        return nobody(a, q, "", err);
    if (!answer)
        return a->script ? 0 : ask_person(a, q, cancel, NULL, err);
    if (!take_turn(a, cancel))
        return err_set(err, ERR_CANCELLED, "cancelled");
    rc = a->script ? ask_script(a, q, cancel, answer, err) : ask_person(a, q, cancel, answer, err);
    end_turn(a);
    return rc;
}
