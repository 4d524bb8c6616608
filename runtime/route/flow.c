#include "flow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "mem.h"

#define BUCKETS 256

/* A sender's mailbox that wants to know when there is room. */
struct waiting {
    LIST_ENTRY(waiting) link;
    struct mailbox *mb;
};

LIST_HEAD(waiting_list, waiting);

/* One direction of a conversation: [I] immutable, [a] atomic, [f] the lock of flows. */
struct flow {
    LIST_ENTRY(flow) link; /* [f] */
    struct flows *flows;   /* [I] */
    uint32_t peer, handle; /* [I] */
    unsigned refs;         /* [f] one for being in the table */
    bool listed;           /* [f] */
    uint32_t largest;      /* [f] received: of the messages that may wait */
    atomic_llong bytes; /* [a] sent, or received, and not credited; changes upwards under no lock */
    atomic_int refused; /* [a] a code, or 0 */
    struct waiting_list waiting; /* [f] */
};

LIST_HEAD(flow_list, flow);

struct flows {
    pthread_mutex_t lock;
    struct flow_list out[BUCKETS]; /* [f] */
    struct flow_list in[BUCKETS];  /* [f] */
};

struct flows *
flows_create(void)
{
    struct flows *fs = xcalloc(1, sizeof *fs);

    pthread_mutex_init(&fs->lock, NULL);
    return fs;
}

static struct flow_list *
bucket(struct flow_list *table, uint32_t peer, uint32_t handle)
{
    return &table[(peer * 31 + handle) % BUCKETS];
}

/* Lock held, as below. */
static struct flow *
find(struct flow_list *table, uint32_t peer, uint32_t handle)
{
    struct flow *f;

    LIST_FOREACH(f, bucket(table, peer, handle), link)
        if (f->peer == peer && f->handle == handle)
            return f;
    return NULL;
}

static struct flow *
find_or_add(struct flows *fs, struct flow_list *table, uint32_t peer, uint32_t handle)
{
    struct flow *f = find(table, peer, handle);

    if (f)
        return f;
    f = xcalloc(1, sizeof *f);
    f->flows = fs;
    f->peer = peer;
    f->handle = handle;
    f->refs = 1;
    f->listed = true;
    LIST_INSERT_HEAD(bucket(table, peer, handle), f, link);
    return f;
}

static void
drop(struct flow *f)
{
    if (--f->refs > 0)
        return;
    expect(LIST_EMPTY(&f->waiting));
    free(f);
}

static void
unlist(struct flow *f)
{
    if (!f->listed)
        return;
    LIST_REMOVE(f, link);
    f->listed = false;
    drop(f);
}

/* Those that wait for room look again. */
static void
tell(struct flow *f)
{
    struct waiting *w;

    while ((w = LIST_FIRST(&f->waiting))) {
        struct msg *m = msg_new(0);

        m->h.handle = HANDLE_CREDIT;
        m->h.src = f->peer;
        m->h.seq = f->handle;
        LIST_REMOVE(w, link);
        mailbox_post(w->mb, m);
        free(w);
    }
}

void
flows_destroy(struct flows *fs)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (!LIST_EMPTY(&fs->out[i]))
            unlist(LIST_FIRST(&fs->out[i]));
        while (!LIST_EMPTY(&fs->in[i]))
            unlist(LIST_FIRST(&fs->in[i]));
    }
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

void
flows_lost(struct flows *fs, uint32_t peer)
{
    struct flow *f, *next;

    pthread_mutex_lock(&fs->lock);
    for (int i = 0; i < BUCKETS; i++) {
        for (f = LIST_FIRST(&fs->out[i]); f; f = next) {
            next = LIST_NEXT(f, link);
            if (f->peer != peer)
                continue;
            tell(f);
            unlist(f);
        }
        for (f = LIST_FIRST(&fs->in[i]); f; f = next) {
            next = LIST_NEXT(f, link);
            if (f->peer == peer)
                unlist(f);
        }
    }
    pthread_mutex_unlock(&fs->lock);
}

/* ---- sending ---- */

struct flow *
flow_open(struct flows *fs, uint32_t peer, uint32_t handle)
{
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    f = find_or_add(fs, fs->out, peer, handle);
    f->refs++;
    pthread_mutex_unlock(&fs->lock);
    return f;
}

/* Lock held. Nothing is on its way, and nobody knows it: a table of handles that are long gone would
 * grow for ever. */
static void
forget_if_idle(struct flow *f)
{
    if (f->refs == 1 && f->listed && atomic_load(&f->bytes) == 0)
        unlist(f);
}

void
flow_unref(struct flow *f)
{
    struct flows *fs = f->flows;

    pthread_mutex_lock(&fs->lock);
    if (f->listed)
        f->refs--, forget_if_idle(f);
    else
        drop(f);
    pthread_mutex_unlock(&fs->lock);
}

static bool
admit(struct flow *f, uint32_t bytes)
{
    long long now = atomic_load_explicit(&f->bytes, memory_order_relaxed);

    do
        if (now >= FLOW_WINDOW)
            return false;
    while (!atomic_compare_exchange_weak(&f->bytes, &now, now + bytes));
    return true;
}

bool
flow_admit(struct flow *f, uint32_t bytes, struct mailbox *mb)
{
    struct waiting *w;
    bool fits;

    if (admit(f, bytes))
        return true;
    pthread_mutex_lock(&f->flows->lock);
    /* One that is not listed has lost its peer: sending says so. */
    fits = !f->listed || admit(f, bytes);
    LIST_FOREACH(w, &f->waiting, link)
        if (w->mb == mb)
            break;
    if (!fits && mb && !w) {
        w = xcalloc(1, sizeof *w);
        w->mb = mb;
        LIST_INSERT_HEAD(&f->waiting, w, link);
    }
    pthread_mutex_unlock(&f->flows->lock);
    return fits;
}

int
flow_refusal(struct flow *f)
{
    int code = atomic_load_explicit(&f->refused, memory_order_relaxed);

    if (code && code != ERR_CLOSED)
        atomic_compare_exchange_strong(&f->refused, &code, 0);
    return code;
}

/* Lock held. Never below 0: a peer may say what it likes. */
static uint32_t
reduce(struct flow *f, uint32_t bytes)
{
    long long now = atomic_load(&f->bytes);
    long long less;

    do
        less = now < bytes ? now : bytes;
    while (!atomic_compare_exchange_weak(&f->bytes, &now, now - less));
    return (uint32_t)less;
}

void
flow_return(struct flow *f, uint32_t bytes)
{
    pthread_mutex_lock(&f->flows->lock);
    reduce(f, bytes);
    tell(f);
    pthread_mutex_unlock(&f->flows->lock);
}

void
flows_forget_mailbox(struct flows *fs, struct mailbox *mb)
{
    struct waiting *w, *next;
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    for (int i = 0; i < BUCKETS; i++)
        LIST_FOREACH(f, &fs->out[i], link)
            for (w = LIST_FIRST(&f->waiting); w; w = next) {
                next = LIST_NEXT(w, link);
                if (w->mb != mb)
                    continue;
                LIST_REMOVE(w, link);
                free(w);
            }
    pthread_mutex_unlock(&fs->lock);
}

void
flows_credit(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    f = find(fs->out, peer, handle);
    if (f) {
        reduce(f, bytes);
        if (atomic_load(&f->bytes) < FLOW_WINDOW)
            tell(f);
        forget_if_idle(f);
    }
    pthread_mutex_unlock(&fs->lock);
}

void
flows_refused(struct flows *fs, uint32_t peer, uint32_t handle, int code)
{
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    f = find(fs->out, peer, handle);
    if (f) {
        atomic_store(&f->refused, code);
        atomic_store(&f->bytes, 0);
        tell(f);
        forget_if_idle(f);
    }
    pthread_mutex_unlock(&fs->lock);
}

/* ---- receiving ---- */

bool
flows_receive(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    struct flow *f;
    bool fine;

    pthread_mutex_lock(&fs->lock);
    f = find_or_add(fs, fs->in, peer, handle);
    f->largest = bytes > f->largest ? bytes : f->largest;
    fine = atomic_fetch_add(&f->bytes, bytes) < (long long)(FLOW_FLOOD + f->largest);
    pthread_mutex_unlock(&fs->lock);
    return fine;
}

uint64_t
flows_waiting(struct flows *fs, uint32_t peer, uint32_t handle)
{
    uint64_t bytes;
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    f = find(fs->in, peer, handle);
    bytes = f ? (uint64_t)atomic_load(&f->bytes) : 0;
    pthread_mutex_unlock(&fs->lock);
    return bytes;
}

uint32_t
flows_take(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes)
{
    struct flow *f;
    uint32_t owed;

    pthread_mutex_lock(&fs->lock);
    f = find(fs->in, peer, handle);
    owed = f ? reduce(f, bytes) : 0;
    if (f && atomic_load(&f->bytes) == 0)
        f->largest = 0;
    pthread_mutex_unlock(&fs->lock);
    return owed;
}

/* Takes one flow to a handle out of its bucket. */
static bool
take_out(struct flows *fs, struct flow_list *list, uint32_t handle, uint32_t *peer, uint32_t *bytes)
{
    struct flow *f;

    pthread_mutex_lock(&fs->lock);
    LIST_FOREACH(f, list, link)
        if (f->handle == handle)
            break;
    if (f) {
        long long left = atomic_load(&f->bytes);

        *peer = f->peer;
        *bytes = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
        unlist(f);
    }
    pthread_mutex_unlock(&fs->lock);
    return f != NULL;
}

void
flows_close(struct flows *fs, uint32_t handle,
    void (*fn)(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes), void *arg)
{
    uint32_t peer, bytes;

    for (int i = 0; i < BUCKETS; i++)
        while (take_out(fs, &fs->in[i], handle, &peer, &bytes))
            fn(arg, peer, handle, bytes);
}
