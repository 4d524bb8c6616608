#include "file_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void
broken(struct transfer *t, const char *what)
{
    struct err err;
    err_set(&err, ERR_PROTOCOL, "%s", what);
    transfer_fail(t, &err);
}

static void
ask(struct transfer *t)
{
    struct buf *b = &t->service->scratch;
    pack_u8(b, 'A');
    pack_u32(b, t->window);
    pack_bytes(b, t->old, t->have_old ? FILE_DIGEST : 0);
    t->state = SINK_RECEIVE;
    t->done = 0;
    transfer_say(t);
}

void
sink_offered(struct transfer *t, const struct sink_offer *o)
{
    struct err err;
    t->size = o->size;
    transfer_take_window(t, o->window < FILE_WINDOW ? o->window : FILE_WINDOW);
    t->sum = checksum_create();
    if (o->size > INT64_MAX || o->window < 2) {
        broken(t, "an impossible size or window");
        return;
    }
    if (target_resolve(&t->target, t->path, o->size, &err) < 0 ||
        target_attributes(&t->target, o, &err) < 0) {
        transfer_fail(t, &err);
        return;
    }
    if (t->target.old >= 0) {
        blake2b_init(&t->proof, FILE_DIGEST);
        t->state = SINK_COMPARE;
        transfer_set_ready(t, true);
    } else if (target_create(&t->target, &err) < 0) {
        transfer_fail(t, &err);
    } else {
        ask(t);
    }
}

/* Hashes what is there. If it is not what was looked at (shorter now, unreadable), it is simply not
 * offered for comparison. */
void
sink_step(struct transfer *t)
{
    struct file_service *s = t->service;
    ssize_t n = pread(t->target.old, s->block, sizeof(s->block), (off_t)t->done);
    if (n < 0 && errno == EINTR)
        return;
    if (n > 0) {
        checksum_update(t->sum, s->block, (size_t)n);
        blake2b_update(&t->proof, s->block, (size_t)n);
        t->done += (uint64_t)n;
        if (t->done <= t->size)
            return;
    }
    transfer_set_ready(t, false);
    t->have_old = n == 0 && t->done == t->size;
    if (t->have_old)
        blake2b_final(&t->proof, t->old, FILE_DIGEST);
    checksum_read(t->sum, t->content);
    checksum_reset(t->sum);
    ask(t);
}

static void
credit(struct transfer *t)
{
    struct buf *b = &t->service->scratch;
    pack_u8(b, 'C');
    pack_u32(b, t->in_flight);
    t->in_flight = 0;
    transfer_say(t);
}

void
sink_data(struct transfer *t, const void *p, size_t n, bool asks)
{
    struct err err;
    if (n == 0 || n > t->size - t->done) {
        broken(t, n ? "more data than was offered" : "data without data");
        return;
    }
    if (n > t->window - t->in_flight) {
        broken(t, "more data than there is credit for");
        return;
    }
    if ((t->target.fd < 0 && target_create(&t->target, &err) < 0) ||
        target_write(&t->target, p, n, t->done, &err) < 0) {
        transfer_fail(t, &err);
        return;
    }
    checksum_update(t->sum, p, n);
    t->done += n;
    transfer_show(t);
    t->in_flight += (uint32_t)n;
    if (asks)
        credit(t);
}

static void
result(struct transfer *t, bool changed)
{
    struct buf *b = &t->service->scratch;
    /* Ended first: the file has its name, whether or not the source is still there to hear it. */
    transfer_end(t, NULL, changed, t->done);
    pack_u8(b, 'R');
    pack_u8(b, changed);
    pack_u64(b, t->done);
    transfer_say(t);
}

static void
end_unchanged(struct transfer *t, const uint8_t *content)
{
    struct err err;
    if (!t->have_old || t->done > 0 || memcmp(content, t->content, CHECKSUM_SIZE) != 0) {
        broken(t, "\"unchanged\" about a file that was not compared");
        return;
    }
    int changed = target_adjust(&t->target, &err);
    if (changed < 0)
        transfer_fail(t, &err);
    else
        result(t, changed);
}

void
sink_end(struct transfer *t, bool unchanged, const uint8_t content[CHECKSUM_SIZE])
{
    struct err err;
    if (unchanged) {
        end_unchanged(t, content);
        return;
    }
    if (t->done != t->size) {
        broken(t, "the end before the end of the file");
        return;
    }
    checksum_read(t->sum, t->content);
    if (memcmp(content, t->content, CHECKSUM_SIZE) != 0) {
        err_set(&err, ERR_FILE, "cannot write %s: the content changed on its way (checksum)",
            file_show(t->target.path));
        transfer_fail(t, &err);
        return;
    }
    if ((t->target.fd < 0 && target_create(&t->target, &err) < 0) ||
        target_commit(&t->target, &err) < 0) {
        transfer_fail(t, &err);
        return;
    }
    result(t, true);
}
