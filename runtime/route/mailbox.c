#include "mailbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "clock.h"
#include "mem.h"

struct mailbox {
    atomic_uint refs;
    struct loop *loop; /* [I] */
    struct loop_waiter waiter;
    atomic_size_t bytes;                  /* what is in queue and taken takes */
    _Atomic(struct mailbox_hold *) holds; /* added by the loop role, taken away all at once */
    struct msg_queue taken;               /* the taker's own: what it found at once */
    pthread_mutex_t lock;
    struct msg_queue queue; /* [lock] */
    bool woken;             /* [lock] */
};

struct mailbox *
mailbox_create(struct loop *loop)
{
    struct mailbox *mb = xcalloc(1, sizeof *mb);

    atomic_init(&mb->refs, 1);
    mb->loop = loop;
    pthread_mutex_init(&mb->lock, NULL);
    TAILQ_INIT(&mb->queue);
    TAILQ_INIT(&mb->taken);
    return mb;
}

struct mailbox *
mailbox_create_background(struct loop *loop)
{
    struct mailbox *mb = mailbox_create(loop);

    mb->waiter.background = true;
    return mb;
}

struct mailbox *
mailbox_ref(struct mailbox *mb)
{
    atomic_fetch_add_explicit(&mb->refs, 1, memory_order_relaxed);
    return mb;
}

void
mailbox_unref(struct mailbox *mb)
{
    if (!mb || atomic_fetch_sub_explicit(&mb->refs, 1, memory_order_acq_rel) != 1)
        return;
    msg_queue_clear(&mb->taken);
    msg_queue_clear(&mb->queue);
    pthread_mutex_destroy(&mb->lock);
    free(mb);
}

static void
release(struct mailbox *mb)
{
    struct mailbox_hold *h = atomic_exchange(&mb->holds, NULL), *next;

    for (; h; h = next) {
        next = h->next;
        loop_defer(h->loop, &h->work);
    }
}

void
mailbox_destroy(struct mailbox *mb)
{
    if (mb)
        release(mb);
    mailbox_unref(mb);
}

/* What a message takes: one without a payload takes room, too. */
static size_t
cost(const struct msg *m)
{
    return sizeof *m + FRAME_HEADER + m->h.length;
}

void
mailbox_post(struct mailbox *mb, struct msg *m)
{
    bool first;

    atomic_fetch_add_explicit(&mb->bytes, cost(m), memory_order_relaxed);
    pthread_mutex_lock(&mb->lock);
    first = TAILQ_EMPTY(&mb->queue);
    TAILQ_INSERT_TAIL(&mb->queue, m, link);
    pthread_mutex_unlock(&mb->lock);
    /* After the unlock: who wakes up must not meet a lock that is taken. Who has not seen the first
     * message finds the others with it. */
    if (first)
        loop_notify(mb->loop, &mb->waiter);
}

void
mailbox_wake(struct mailbox *mb)
{
    pthread_mutex_lock(&mb->lock);
    mb->woken = true;
    pthread_mutex_unlock(&mb->lock);
    loop_notify(mb->loop, &mb->waiter);
}

/* Moves what is there to `taken`. True if that is something, or if mailbox_wake was called. */
static bool
look(struct mailbox *mb, unsigned *seen)
{
    bool woken;

    *seen = atomic_load(&mb->waiter.news);
    pthread_mutex_lock(&mb->lock);
    TAILQ_CONCAT(&mb->taken, &mb->queue, link);
    woken = mb->woken && TAILQ_EMPTY(&mb->taken);
    if (woken)
        mb->woken = false;
    pthread_mutex_unlock(&mb->lock);
    return woken || !TAILQ_EMPTY(&mb->taken);
}

static void
remove_bytes(struct mailbox *mb, size_t n)
{
    /* Either the loop sees that it is low, or we see that somebody waits for that. */
    if (atomic_fetch_sub(&mb->bytes, n) - n < MAILBOX_LOW && atomic_load(&mb->holds))
        release(mb);
}

bool
mailbox_is_full(const struct mailbox *mb)
{
    return atomic_load_explicit(&mb->bytes, memory_order_relaxed) > MAILBOX_HIGH;
}

void
mailbox_hold(struct mailbox *mb, struct mailbox_hold *h)
{
    h->next = atomic_load(&mb->holds);
    while (!atomic_compare_exchange_weak(&mb->holds, &h->next, h))
        ;
    if (atomic_load(&mb->bytes) < MAILBOX_LOW)
        release(mb);
}

struct msg *
mailbox_take(struct mailbox *mb, int64_t deadline_ms)
{
    bool looked = false; /* a deadline that has passed: at the descriptors, too */
    struct msg *m;
    unsigned seen;

    while (TAILQ_EMPTY(&mb->taken) && !look(mb, &seen)) {
        if (deadline_ms >= 0 && clock_left(deadline_ms) == 0) {
            if (looked)
                return NULL;
            looked = true;
        }
        loop_wait(mb->loop, &mb->waiter, seen, deadline_ms);
    }
    m = TAILQ_FIRST(&mb->taken);
    if (!m)
        return NULL;
    TAILQ_REMOVE(&mb->taken, m, link);
    remove_bytes(mb, cost(m));
    return m;
}

void
mailbox_nap(struct mailbox *mb, int64_t deadline_ms)
{
    loop_wait(mb->loop, &mb->waiter, atomic_load(&mb->waiter.news), deadline_ms);
}

bool
mailbox_has(const struct mailbox *mb)
{
    return !TAILQ_EMPTY(&mb->taken);
}

void
mailbox_move(struct mailbox *from, uint32_t handle, struct mailbox *to)
{
    struct msg_queue moved = TAILQ_HEAD_INITIALIZER(moved);
    struct msg *m, *next;

    pthread_mutex_lock(&from->lock);
    TAILQ_CONCAT(&from->taken, &from->queue, link);
    pthread_mutex_unlock(&from->lock);
    for (m = TAILQ_FIRST(&from->taken); m; m = next) {
        next = TAILQ_NEXT(m, link);
        if (m->h.handle != handle)
            continue;
        TAILQ_REMOVE(&from->taken, m, link);
        TAILQ_INSERT_TAIL(&moved, m, link);
        remove_bytes(from, cost(m));
        atomic_fetch_add(&to->bytes, cost(m));
    }
    pthread_mutex_lock(&to->lock);
    TAILQ_CONCAT(&to->queue, &moved, link);
    pthread_mutex_unlock(&to->lock);
    loop_notify(to->loop, &to->waiter);
}
