#include "file_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "log.h"

const char *
file_show(const char *path)
{
    enum { SHOWN = 120, SLOTS = 4 };
    static _Thread_local char slots[SLOTS][SHOWN + 4];
    static _Thread_local unsigned next;
    size_t n = path ? strlen(path) : 0;
    if (n <= SHOWN)
        return path ? path : "";
    char *slot = slots[next++ % SLOTS];
    memcpy(slot, "...", 3);
    memcpy(slot + 3, path + n - SHOWN, SHOWN + 1);
    return slot;
}

/* ---- the table ---- */

static struct transfer_list *
bucket(struct file_service *s, uint32_t seq)
{
    return &s->table[seq % FILE_BUCKETS];
}

struct transfer *
transfer_create(struct file_service *s, struct context *peer, uint32_t seq)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    t->service = s;
    t->peer = context_ref(peer);
    t->seq = seq;
    t->fd = -1;
    t->mode = -1;
    target_init(&t->target);
    TAILQ_INIT(&t->queue);
    LIST_INSERT_HEAD(bucket(s, seq), t, link);
    s->count++;
    return t;
}

struct transfer *
transfer_find(struct file_service *s, uint32_t src, uint32_t seq, bool asker)
{
    struct transfer *t;
    LIST_FOREACH(t, bucket(s, seq), link)
        if (t->seq == seq && t->asker == asker && t->peer->id == src)
            return t;
    return NULL;
}

static void
transfer_free(struct transfer *t)
{
    LIST_REMOVE(t, link);
    context_unref(t->peer);
    mailbox_unref(t->mb);
    msg_queue_clear(&t->queue);
    free(t->path);
    free(t->remote);
    free(t->owner);
    free(t->group);
    file_progress_unref(t->progress);
    free(t);
}

void
transfer_show(const struct transfer *t)
{
    bool moving = t->state == SOURCE_SEND || t->state == SOURCE_SENT || t->state == SINK_RECEIVE;

    if (!t->progress || !moving)
        return;
    atomic_store_explicit(&t->progress->done, t->done, memory_order_relaxed);
    atomic_store_explicit(&t->progress->size, t->size, memory_order_relaxed);
}

void
transfer_free_ended(struct file_service *s)
{
    struct transfer *t, *next;
    for (t = LIST_FIRST(&s->ended); t; t = next) {
        next = LIST_NEXT(t, link);
        if (!t->is_retried) /* its last words are still to be sent */
            transfer_free(t);
    }
}

/* ---- messages out ---- */

static void
lost(struct transfer *t, const struct err *why)
{
    if (t->state != TRANSFER_ENDED)
        transfer_end(t, why, false, 0);
}

/* False: the stream's queue is full. */
static bool
flush(struct transfer *t)
{
    struct msg *m;
    while ((m = TAILQ_FIRST(&t->queue))) {
        struct err err;
        TAILQ_REMOVE(&t->queue, m, link);
        int rc = router_send(t->peer, msg_ref(m), &err);
        if (rc == ERR_LIMIT) {
            TAILQ_INSERT_HEAD(&t->queue, m, link);
            return false;
        }
        msg_unref(m);
        if (rc < 0) {
            msg_queue_clear(&t->queue);
            lost(t, &err);
        }
    }
    return true;
}

void
transfer_send(struct transfer *t, struct msg *m)
{
    struct file_service *s = t->service;
    m->h.handle = t->to;
    m->h.reply = t->asker ? s->reply : HANDLE_FILE;
    m->h.seq = t->seq;
    m->quiet = true;
    TAILQ_INSERT_TAIL(&t->queue, m, link);
    if (t->is_retried || flush(t))
        return;
    if (TAILQ_EMPTY(&s->retry))
        s->retry_at = clock_ms() + FILE_RETRY_MS;
    TAILQ_INSERT_TAIL(&s->retry, t, retry_link);
    t->is_retried = true;
}

void
transfer_say(struct transfer *t)
{
    transfer_send(t, pack_msg(0, &t->service->scratch));
}

void
transfer_retry(struct file_service *s)
{
    struct transfer_queue again = TAILQ_HEAD_INITIALIZER(again);
    struct transfer *t;
    TAILQ_CONCAT(&again, &s->retry, retry_link);
    while ((t = TAILQ_FIRST(&again))) {
        TAILQ_REMOVE(&again, t, retry_link);
        if (flush(t)) {
            t->is_retried = false;
            if (t->state == SOURCE_SEND)
                transfer_set_ready(t, true);
        } else {
            TAILQ_INSERT_TAIL(&s->retry, t, retry_link);
        }
    }
    s->retry_at = clock_ms() + FILE_RETRY_MS;
}

void
transfer_refuse(struct file_service *s, const struct frame_header *to, const struct err *why)
{
    struct buf *b = &s->scratch;
    log_debug("file", "a request from context %u is refused: %s", to->src, why->msg);
    pack_u8(b, 'F');
    pack_u8(b, (uint8_t)-why->code);
    pack_str(b, why->msg);
    router_reply(s->router, to, pack_msg(0, b));
}

/* ---- work ---- */

void
transfer_set_ready(struct transfer *t, bool ready)
{
    if (t->is_ready == ready)
        return;
    if (ready)
        TAILQ_INSERT_TAIL(&t->service->ready, t, ready_link);
    else
        TAILQ_REMOVE(&t->service->ready, t, ready_link);
    t->is_ready = ready;
}

void
transfer_step(struct transfer *t)
{
    if (t->source)
        source_step(t);
    else
        sink_step(t);
}

/* A quarter of what is left, so that a few transfers get the largest window and the many after them
 * share; never nothing, or they would stand still. */
void
transfer_take_window(struct transfer *t, uint32_t most)
{
    uint64_t *granted = &t->service->granted[t->source];
    uint64_t share = *granted < FILE_BUDGET ? (FILE_BUDGET - *granted) / 4 : 0;
    if (share < FILE_WINDOW_MIN)
        share = FILE_WINDOW_MIN;
    t->window = share < most ? (uint32_t)share : most;
    t->granted = t->window;
    *granted += t->granted;
}

/* ---- the end ---- */

static struct msg *
answer_failed(const struct transfer *t, const struct err *why)
{
    struct err err = *why;
    struct buf b = {0};
    if (t->source)
        err_prefix(&err, "put %s to %s (on %.64s)", file_show(t->path), file_show(t->remote),
            t->peer->name);
    else
        err_prefix(&err, "get %s (on %.64s) to %s", file_show(t->remote), t->peer->name,
            file_show(t->path));
    pack_u8(&b, (uint8_t)-err.code);
    pack_str(&b, err.msg);
    struct msg *m = pack_msg(HANDLE_FILE, &b);
    buf_fini(&b);
    m->h.flags = FRAME_ERROR;
    return m;
}

static struct msg *
answer_done(const struct transfer *t, bool changed, uint64_t sent)
{
    struct buf b = {0};
    pack_u8(&b, 'R');
    pack_u8(&b, changed);
    pack_u64(&b, sent);
    pack_u64(&b, t->size);
    pack_bytes(&b, t->content, CHECKSUM_SIZE);
    struct msg *m = pack_msg(HANDLE_FILE, &b);
    buf_fini(&b);
    return m;
}

static void
answer(struct transfer *t, const struct err *why, bool changed, uint64_t sent)
{
    struct msg *m = why ? answer_failed(t, why) : answer_done(t, changed, sent);
    m->h.src = t->peer->id;
    m->h.seq = t->seq;
    mailbox_post(t->mb, m);
}

void
transfer_end(struct transfer *t, const struct err *why, bool changed, uint64_t sent)
{
    struct file_service *s = t->service;
    if (!expect(t->state != TRANSFER_ENDED))
        return;
    t->state = TRANSFER_ENDED;
    if (why)
        log_debug("file", "transfer %u with context %u: %s", t->seq, t->peer->id, why->msg);
    /* Before the answer: who has it may count on nothing being left. */
    target_fini(&t->target);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    checksum_destroy(t->sum);
    t->sum = NULL;
    s->granted[t->source] -= t->granted;
    t->granted = 0;
    transfer_set_ready(t, false);
    if (t->asker)
        answer(t, why, changed, sent);
    LIST_REMOVE(t, link);
    LIST_INSERT_HEAD(&s->ended, t, link);
    s->count--;
}

void
transfer_fail(struct transfer *t, const struct err *why)
{
    struct buf *b = &t->service->scratch;
    struct err copy = *why;
    msg_queue_clear(&t->queue); /* data that nobody wants any more */
    transfer_end(t, &copy, false, 0);
    pack_u8(b, 'F');
    pack_u8(b, (uint8_t)-copy.code);
    pack_str(b, copy.msg);
    transfer_say(t);
}
