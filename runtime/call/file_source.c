#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static const char *
kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a named pipe";
    case S_IFSOCK: return "a socket";
    default: return "a device";
    }
}

static int
check_kind(const struct transfer *t, const struct stat *st, struct err *err)
{
    if (S_ISREG(st->st_mode))
        return 0;
    return err_set(err, ERR_FILE, "cannot read %s: it is %s and not a regular file",
        file_show(t->path), kind_of(st->st_mode));
}

static int
fail(const struct transfer *t, struct err *err)
{
    return err_errno(err, ERR_FILE, errno, "cannot read %s", file_show(t->path));
}

int
source_open(struct transfer *t, struct err *err)
{
    struct stat st;
    /* Looked at first, since opening a device may do something; nonblocking, since what was a file may
     * have become a pipe. */
    if (stat(t->path, &st) < 0)
        return fail(t, err);
    if (check_kind(t, &st, err) < 0)
        return err->code;
    t->fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (t->fd < 0 || fstat(t->fd, &st) < 0)
        return fail(t, err);
    if (check_kind(t, &st, err) < 0)
        return err->code;
    posix_fadvise(t->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    t->size = (uint64_t)st.st_size;
    t->file_mode = st.st_mode & 0777;
    return 0;
}

void
source_offer(struct transfer *t, const char *path)
{
    struct buf *b = &t->service->scratch;
    pack_u8(b, 'O');
    pack_str(b, path);
    pack_u64(b, t->size);
    pack_u32(b, t->mode >= 0 ? (uint32_t)t->mode : t->file_mode);
    pack_str(b, t->owner);
    pack_str(b, t->group);
    transfer_take_window(t, FILE_WINDOW);
    pack_u32(b, t->window);
    t->state = SOURCE_OFFERED;
    transfer_say(t);
}

/* Exactly n bytes at t->done. */
static int
read_exactly(struct transfer *t, uint8_t *p, size_t n, struct err *err)
{
    for (size_t did = 0; did < n;) {
        ssize_t got = pread(t->fd, p + did, n - did, (off_t)(t->done + did));
        if (got < 0 && errno != EINTR)
            return fail(t, err);
        if (got == 0)
            return err_set(err, ERR_FILE,
                "%s became shorter while it was read: it had %" PRIu64 " bytes, and has %" PRIu64,
                file_show(t->path), t->size, t->done + did);
        if (got > 0)
            did += (size_t)got;
    }
    return 0;
}

/* By a read and not by fstat: files of /proc have content and no size. */
static int
check_end(struct transfer *t, struct err *err)
{
    uint8_t more;
    ssize_t got;
    while ((got = pread(t->fd, &more, 1, (off_t)t->size)) < 0)
        if (errno != EINTR)
            return fail(t, err);
    if (got == 0)
        return 0;
    return err_set(err, ERR_FILE, "%s became longer while it was read: it had %" PRIu64 " bytes",
        file_show(t->path), t->size);
}

static void
finish(struct transfer *t, bool unchanged)
{
    struct buf *b = &t->service->scratch;
    struct msg *m;
    struct err err;
    transfer_set_ready(t, false);
    if (check_end(t, &err) < 0) {
        transfer_fail(t, &err);
        return;
    }
    checksum_read(t->sum, t->content);
    pack_u8(b, 'Z');
    pack_u8(b, unchanged);
    pack_bytes(b, t->content, CHECKSUM_SIZE);
    t->state = SOURCE_SENT;
    m = pack_msg(0, b);
    m->h.flags = FRAME_BULK; /* behind the data */
    transfer_send(t, m);
}

/* Does anybody else use the stream? On a longer way there may be some that are not seen from here. */
static void
look_around(struct transfer *t, uint64_t now)
{
    if (router_is_next(t->peer))
        pace_company(&t->pace, stream_company(t->peer->stream), now);
}

static void
start_sending(struct transfer *t)
{
    t->state = SOURCE_SEND;
    t->done = 0;
    checksum_reset(t->sum);
    t->asked = 0;
    pace_init(&t->pace, FILE_CHUNK, FILE_CHUNK_SHARED, t->window);
    look_around(t, clock_ns());
    transfer_set_ready(t, true);
}

void
source_asked(struct transfer *t, uint32_t window, const uint8_t *old)
{
    if (window < t->window)
        t->window = window;
    t->sum = checksum_create();
    if (!old) {
        start_sending(t);
        return;
    }
    memcpy(t->old, old, FILE_DIGEST);
    blake2b_init(&t->proof, FILE_DIGEST);
    t->state = SOURCE_COMPARE;
    transfer_set_ready(t, true);
}

static void
compare_step(struct transfer *t)
{
    struct file_service *s = t->service;
    uint64_t left = t->size - t->done;
    size_t n = left < sizeof(s->block) ? (size_t)left : sizeof(s->block);
    struct err err;
    if (read_exactly(t, s->block, n, &err) < 0) {
        transfer_fail(t, &err);
        return;
    }
    checksum_update(t->sum, s->block, n);
    blake2b_update(&t->proof, s->block, n);
    t->done += n;
    if (t->done < t->size)
        return;
    uint8_t ours[FILE_DIGEST];
    blake2b_final(&t->proof, ours, FILE_DIGEST);
    if (memcmp(ours, t->old, FILE_DIGEST) == 0)
        finish(t, true);
    else
        start_sending(t);
}

static bool
has_room(const struct transfer *t, uint64_t n)
{
    return t->in_flight + n <= t->pace.limit;
}

/* Will there be credit without more data? */
static bool
has_asked(const struct transfer *t)
{
    return t->asked > t->done - t->in_flight;
}

static size_t
next_chunk(const struct transfer *t)
{
    uint64_t n = t->size - t->done;
    if (n > pace_chunk(&t->pace))
        n = pace_chunk(&t->pace);
    /* Not in splinters: the credit for a whole chunk is on its way. Where it is not, since the limit has become lower
     * than it was, one chunk more asks for it; the one before has left room for it in the window. */
    return has_room(t, n) || !has_asked(t) ? (size_t)n : 0;
}

/* Each credit costs both ends a message: about four of them for what is under way, and one before it stops. */
static bool
should_ask(const struct transfer *t, size_t n)
{
    return t->done + n - t->asked >= t->pace.limit / 4 || !has_room(t, n + pace_chunk(&t->pace));
}

static bool
may_send(const struct transfer *t)
{
    return TAILQ_EMPTY(&t->queue) && (t->done == t->size || next_chunk(t) > 0);
}

static void
send_step(struct transfer *t)
{
    size_t n = next_chunk(t);
    struct err err;
    if (n > 0) {
        /* Read into the message, where the bytes stay until they are on the wire. */
        struct msg *m = msg_new((uint32_t)(1 + 4 + n));
        uint8_t *p = msg_payload(m);
        m->h.flags = FRAME_BULK;
        bool asks = should_ask(t, n);
        p[0] = asks ? 'D' : 'd';
        for (int i = 0; i < 4; i++)
            p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
        if (read_exactly(t, p + 5, n, &err) < 0) {
            msg_unref(m);
            transfer_fail(t, &err);
            return;
        }
        checksum_update(t->sum, p + 5, n);
        t->done += n;
        t->in_flight += (uint32_t)n;
        if (asks) {
            t->asked = t->done;
            pace_sent(&t->pace, t->done, clock_ns());
        }
        transfer_send(t, m);
    }
    if (t->state != SOURCE_SEND)
        return;
    if (t->done == t->size)
        finish(t, false);
    else
        transfer_set_ready(t, may_send(t));
}

void
source_credit(struct transfer *t, uint32_t n)
{
    struct err err;
    if (n > t->in_flight) {
        err_set(&err, ERR_PROTOCOL, "credit for more than was sent");
        transfer_fail(t, &err);
        return;
    }
    uint64_t now = clock_ns();
    t->in_flight -= n;
    look_around(t, now);
    pace_credited(&t->pace, t->done - t->in_flight, now);
    if (t->state == SOURCE_SEND)
        transfer_set_ready(t, may_send(t));
}

void
source_step(struct transfer *t)
{
    if (t->state == SOURCE_COMPARE)
        compare_step(t);
    else if (t->state == SOURCE_SEND && may_send(t))
        send_step(t);
    else
        transfer_set_ready(t, false);
}
