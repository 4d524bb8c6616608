/*
 * The transport: one channel of one session, once it is up.
 *
 * A rekey, which the server may start at any time, makes libssh2 answer EAGAIN to writes until it has
 * read the server's part. A write that was refused so is half done inside libssh2: it must be repeated
 * with the same bytes. So those bytes are taken and kept in `held`, and repeated after each read pass.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "internal.h"
#include "log.h"

enum {
    CHUNK = 32700, /* libssh2's own limit for one packet */
    /*
     * libssh2 widens the receive window inside of channel_read once less than 3/4 of the first size are
     * left, and counts wrongly if a rekey interrupts that and the next read asks for another size; data
     * is lost then. So it is done here, before libssh2 would, and repeated as it was.
     */
    WINDOW_LOW = LIBSSH2_CHANNEL_WINDOW_DEFAULT / 4 * 3 + SSH_READ_MAX + 1,
    WINDOW_HIGH = LIBSSH2_CHANNEL_WINDOW_DEFAULT + SSH_READ_MAX,
    SETTLE_MS = 10
};

/* The unsent part of the caller's bytes. */
struct cursor {
    const struct iovec *iov;
    int count;
    size_t skip; /* of iov[0] */
};

static int
errno_of(const struct ssh_session *s)
{
    return s->sock_errno ? s->sock_errno : ECONNRESET;
}

static int
fail(struct ssh_session *s, int rc)
{
    session_fail(s, rc);
    return -errno_of(s);
}

static void
cursor_advance(struct cursor *c, size_t n)
{
    c->skip += n;
    while (c->count > 0 && c->skip >= c->iov->iov_len) {
        c->skip -= c->iov->iov_len;
        c->iov++;
        c->count--;
    }
}

/* The next bytes as one piece: where they are, or gathered in `stage`. */
static const char *
cursor_peek(const struct cursor *c, char *stage, size_t *n)
{
    size_t len = 0, skip = c->skip;

    if (c->count == 1 || c->iov->iov_len - skip >= CHUNK) {
        len = c->iov->iov_len - skip;
        *n = len < CHUNK ? len : CHUNK;
        return (const char *)c->iov->iov_base + skip;
    }
    for (int i = 0; i < c->count && len < CHUNK; i++, skip = 0) {
        size_t part = c->iov[i].iov_len - skip;

        if (part > CHUNK - len)
            part = CHUNK - len;
        memcpy(stage + len, (const char *)c->iov[i].iov_base + skip, part);
        len += part;
    }
    *n = len;
    return stage;
}

/* Encrypts one piece. How much was taken, 0 if none can be now, or a negative errno. */
static ssize_t
encrypt(struct ssh_session *s, const char *p, size_t n)
{
    ssize_t rc;

    if (libssh2_channel_window_write(s->channel) == 0)
        return 0;
    rc = libssh2_channel_write(s->channel, p, n);
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        buf_append(&s->held, p, n);
        return (ssize_t)n;
    }
    return rc < 0 ? fail(s, (int)rc) : rc;
}

static bool
may_write(const struct ssh_session *s)
{
    return buf_len(&s->held) == 0 && buf_len(&s->out) <= SSH_QUEUE_LIMIT;
}

static ssize_t
op_write(struct transport *t, const struct iovec *iov, int count)
{
    struct ssh_session *s = (struct ssh_session *)t;
    struct cursor c = {.iov = iov, .count = count};
    char stage[CHUNK];
    ssize_t taken = 0, rc = 0;

    if (s->want_eof || s->sent_eof || s->failure || session_lost(s))
        return -EPIPE;
    s->mode = SSH_QUIET;
    cursor_advance(&c, 0);
    while (c.count > 0 && may_write(s)) {
        size_t n;
        const char *p = cursor_peek(&c, stage, &n);

        rc = encrypt(s, p, n);
        if (rc <= 0)
            break;
        taken += rc;
        cursor_advance(&c, (size_t)rc);
        /* Everything that is written at once leaves in one send; a long write goes on after it. */
        if (!s->full && buf_len(&s->out) > SSH_QUEUE_LIMIT) {
            rc = session_flush(s);
            if (rc < 0)
                return rc;
        }
    }
    if (rc < 0)
        return rc;
    if (!s->full && session_flush(s) < 0)
        return -EPIPE;
    return taken > 0 || c.count == 0 ? taken : -EAGAIN;
}

/* Repeats what a rekey kept back. 0, or a negative errno. */
static int
release_held(struct ssh_session *s)
{
    s->mode = SSH_QUIET;
    while (buf_len(&s->held) > 0 && libssh2_channel_window_write(s->channel) > 0) {
        ssize_t rc =
            libssh2_channel_write(s->channel, (char *)buf_head(&s->held), buf_len(&s->held));

        if (rc == LIBSSH2_ERROR_EAGAIN)
            return 0;
        if (rc < 0)
            return fail(s, (int)rc);
        buf_consume(&s->held, (size_t)rc);
    }
    if (s->want_eof && !s->sent_eof && buf_len(&s->held) == 0) {
        int rc = libssh2_channel_send_eof(s->channel);

        s->sent_eof = rc != LIBSSH2_ERROR_EAGAIN;
    }
    return 0;
}

static int
op_flush(struct transport *t)
{
    struct ssh_session *s = (struct ssh_session *)t;

    s->full = false;
    return session_flush(s);
}

static bool
op_wants_write(const struct transport *t)
{
    return buf_len(&((const struct ssh_session *)t)->out) > 0;
}

int
channel_widen(LIBSSH2_CHANNEL *channel, size_t *adjusting)
{
    unsigned long left = libssh2_channel_window_read(channel);
    int rc;

    if (*adjusting == 0) {
        if (left >= WINDOW_LOW)
            return 0;
        *adjusting = WINDOW_HIGH - left;
    }
    rc = libssh2_channel_receive_window_adjust2(channel, *adjusting, 1, NULL);
    if (rc != LIBSSH2_ERROR_EAGAIN)
        *adjusting = 0;
    return rc;
}

static ssize_t
read_stream(struct ssh_session *s, int id, void *p, size_t n)
{
    ssize_t rc;

    if (s->failure)
        return LIBSSH2_ERROR_SOCKET_RECV;
    rc = channel_widen(s->channel, &s->adjusting);
    if (rc == 0)
        rc = libssh2_channel_read_ex(s->channel, id, p, n < SSH_READ_MAX ? n : SSH_READ_MAX);
    /* Window adjustments and a rekey's answers. A send that fails shows when reading does. */
    if (!s->full)
        (void)session_flush(s);
    return rc;
}

/* The end of a read pass: the socket was empty, and what waited for incoming packets goes now. */
static ssize_t
end_of_pass(struct ssh_session *s)
{
    s->drained = false;
    if (session_lost(s))
        return -errno_of(s);
    if (buf_len(&s->held) > 0 || (s->want_eof && !s->sent_eof)) {
        int rc = release_held(s);

        if (rc < 0)
            return rc;
        if (!s->full)
            (void)session_flush(s);
    }
    return -EAGAIN;
}

/*
 * Left to itself, libssh2 reads and decrypts all that there is, as much as the window allows, before it
 * gives any of it: the caches are cold by then, and nobody else worked in the meantime. So each call gets
 * the bytes of one recv, and none while what it wants is there already.
 */
static ssize_t
op_read(struct transport *t, void *p, size_t n)
{
    struct ssh_session *s = (struct ssh_session *)t;
    uint8_t stage[SSH_STAGE];
    unsigned long ready = 0;
    ssize_t rc;

    libssh2_channel_window_read_ex(s->channel, &ready, NULL);
    session_read_begin(s, stage, ready >= n);
    rc = read_stream(s, 0, p, n);
    session_read_end(s);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return end_of_pass(s);
    if (rc < 0)
        return s->failure ? -errno_of(s) : fail(s, (int)rc);
    return rc;
}

static ssize_t
op_read_err(struct transport *t, void *p, size_t n)
{
    struct ssh_session *s = (struct ssh_session *)t;
    ssize_t rc;

    /* A proxy command's words go with the host's. It seldom speaks: with each pass is often enough. */
    if (s->link.proxy && !s->proxy_mute) {
        rc = s->link.proxy->ops->read_err(s->link.proxy, p, n);
        if (rc > 0)
            return rc;
        s->proxy_mute = rc != -EAGAIN;
    }
    s->mode = SSH_QUIET;
    rc = read_stream(s, SSH_EXTENDED_DATA_STDERR, p, n);
    if (rc < 0 && rc != LIBSSH2_ERROR_EAGAIN)
        return s->failure ? -errno_of(s) : fail(s, (int)rc);
    return rc < 0 ? -EAGAIN : rc;
}

/*
 * The end of output and the exit status are messages of their own, sent back to back: waits a moment
 * for the latter. True if the channel is closed, so that what is known is all there is to know.
 */
static bool
settle(struct ssh_session *s)
{
    struct ssh_wait w = {.deadline = clock_ms() + SETTLE_MS};
    char late[256]; /* what comes on stderr now is too late for anyone */
    ssize_t rc;

    do {
        s->mode = SSH_READING;
        s->drained = false;
        do
            rc = read_stream(s, SSH_EXTENDED_DATA_STDERR, late, sizeof late);
        while (rc > 0);
        s->mode = SSH_QUIET;
        if (!libssh2_channel_eof(s->channel))
            return false;
        rc = libssh2_channel_wait_closed(s->channel);
        if (rc == 0)
            return true;
    } while (
        rc == LIBSSH2_ERROR_EAGAIN && !session_lost(s) && ssh_wait_fd(&w, s->base.fd, POLLIN) == 0);
    return false;
}

static void
op_end(struct transport *t, struct err *err)
{
    struct ssh_session *s = (struct ssh_session *)t;
    bool closed = settle(s);
    int status = libssh2_channel_get_exit_status(s->channel);
    char *signal = NULL;
    char name[32], why[sizeof err->msg];

    session_why(s, why, sizeof why);
    libssh2_channel_get_exit_signal(s->channel, &signal, NULL, NULL, NULL, NULL, NULL);
    if (signal) {
        copy_printable(name, sizeof name, signal, strlen(signal));
        libssh2_free(s->session, signal);
        err_set(err, ERR_DEAD, "the remote command was ended by signal %s", name);
    } else if (closed || status != 0) {
        err_set(err, ERR_DEAD, "the remote command ended with status %d", status);
    } else {
        err_set(err, ERR_DEAD, "%s", why[0] ? why : "the remote command closed its output");
    }
}

static void
op_shutdown(struct transport *t)
{
    struct ssh_session *s = (struct ssh_session *)t;

    s->want_eof = true;
    if (s->failure || release_held(s) < 0)
        return;
    if (!s->full)
        (void)session_flush(s);
}

static void
op_destroy(struct transport *t)
{
    session_destroy((struct ssh_session *)t);
}

const struct transport_ops ssh_channel_ops = {
    .name = "ssh",
    .write = op_write,
    .flush = op_flush,
    .wants_write = op_wants_write,
    .read = op_read,
    .read_err = op_read_err,
    .end = op_end,
    .shutdown = op_shutdown,
    .destroy = op_destroy,
};
