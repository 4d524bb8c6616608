#include "outq.h"

#include <errno.h>
#include <string.h>

#define BATCH 16                /* messages in one write */
#define IMAGE_STEP (256u << 10) /* lets the far side's answers in between */

void
outq_init(struct outq *q)
{
    memset(q, 0, sizeof *q);
    TAILQ_INIT(&q->messages);
}

void
outq_fini(struct outq *q)
{
    msg_queue_clear(&q->messages);
    buf_fini(&q->image_size);
    q->bytes = q->sent = 0;
    q->image = NULL;
}

static size_t
frame_size(const struct msg *m)
{
    return FRAME_HEADER + (size_t)m->h.length;
}

void
outq_add(struct outq *q, struct msg *m, size_t sent)
{
    if (outq_empty(q))
        q->sent = sent;
    TAILQ_INSERT_TAIL(&q->messages, m, link);
    q->bytes += frame_size(m) - sent;
}

/* The first n bytes are gone. */
static void
consume(struct outq *q, size_t n)
{
    struct msg *m;

    q->bytes -= n;
    n += q->sent;
    while ((m = TAILQ_FIRST(&q->messages)) && n >= frame_size(m)) {
        n -= frame_size(m);
        TAILQ_REMOVE(&q->messages, m, link);
        msg_unref(m);
    }
    q->sent = n;
}

int
outq_write(struct outq *q, struct transport *t)
{
    while (!outq_empty(q)) {
        struct iovec iov[BATCH];
        struct msg *m;
        size_t total = 0;
        ssize_t n;
        int count = 0;

        TAILQ_FOREACH(m, &q->messages, link) {
            iov[count] = (struct iovec){m->wire, frame_size(m)};
            total += iov[count].iov_len;
            if (++count == BATCH)
                break;
        }
        iov[0].iov_base = (uint8_t *)iov[0].iov_base + q->sent;
        iov[0].iov_len -= q->sent;
        total -= q->sent;
        n = t->ops->write(t, iov, count);
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        consume(q, (size_t)n);
        if ((size_t)n < total)
            return 0;
    }
    return 0;
}

void
outq_add_image(struct outq *q, const struct bootstrap_image *image)
{
    q->image = image;
    q->image_sent = 0;
    buf_printf(&q->image_size, "%zu\n", image->size);
}

int
outq_write_image(struct outq *q, struct transport *t)
{
    while (q->image) {
        bool head = buf_len(&q->image_size) > 0;
        struct iovec iov;
        ssize_t n;

        if (head)
            iov = (struct iovec){buf_head(&q->image_size), buf_len(&q->image_size)};
        else
            iov = (struct iovec){(uint8_t *)(uintptr_t)q->image->data + q->image_sent,
                q->image->size - q->image_sent};
        if (iov.iov_len > IMAGE_STEP)
            iov.iov_len = IMAGE_STEP;
        n = t->ops->write(t, &iov, 1);
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        q->image_total += (uint64_t)n;
        if (head)
            buf_consume(&q->image_size, (size_t)n);
        else
            q->image_sent += (size_t)n;
        if (!head && q->image_sent == q->image->size)
            q->image = NULL;
        if ((size_t)n < iov.iov_len)
            return 0;
    }
    return 0;
}
