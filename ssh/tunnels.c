/*
 * A jump host on the loop: bytes between its channels and socket pairs.
 *
 * Both directions are bounded. What goes up (from a socket pair to its channel) is not read while the
 * channel's window is closed or much ciphertext waits for the jump host's socket. What comes down is left
 * inside libssh2 while the socket pair is full; the window is not widened then, and closes.
 *
 * The rules of channel.c hold for each channel here: a write that a rekey refused is repeated with the
 * same bytes, windows are widened before libssh2 would, and whatever was refused is tried again after
 * each read pass.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "jump.h"
#include "log.h"

enum {
    PIECE = 64 << 10, /* moved at once */
    ROUNDS = 32,      /* pieces received before others have their turn on the loop */
    PATIENCE_MS =
        3000, /* for one channel, before those behind it go by a connection of their own */
    LOOK_MS = 1000
};

/* [L] all of it */
struct tunnel {
    TAILQ_ENTRY(tunnel) link;
    struct jump *jump;
    LIBSSH2_CHANNEL *channel;
    struct loop_fd local;
    struct buf up;    /* read from the socket pair, not yet taken by libssh2 */
    struct buf down;  /* read from the channel, not yet taken by the socket pair */
    size_t adjusting; /* see channel_widen */
    bool local_eof, sent_eof;
    bool remote_eof, shut;
    bool gone; /* the other end of the socket pair is closed */
};

static bool
is_broken(const struct jump *j)
{
    return session_lost(j->s) || j->s->failure;
}

static bool
is_refused(const struct jump *j, ssize_t rc)
{
    if (rc < 0 && rc != LIBSSH2_ERROR_EAGAIN)
        session_fail(j->s, (int)rc);
    return rc < 0;
}

/* ---- down: from the channel to the socket pair ---- */

static void
push_down(struct tunnel *t)
{
    ssize_t n = buf_len(&t->down)
        ? send(t->local.fd, buf_head(&t->down), buf_len(&t->down), MSG_DONTWAIT | MSG_NOSIGNAL)
        : 0;

    if (n > 0)
        buf_consume(&t->down, (size_t)n);
    if (buf_len(&t->down) == 0)
        buf_fini(&t->down);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        t->gone = true;
}

/* What libssh2 has for it already. Nothing may be left there without something in `down`, for which the
 * poller is asked: no other event would tell. So `down` is pushed before more is read, and not after. */
static void
deliver(struct tunnel *t)
{
    uint8_t *data = t->jump->pool->scratch + SSH_STAGE;

    push_down(t);
    while (buf_len(&t->down) == 0 && !t->remote_eof && !t->gone) {
        ssize_t sent, n = channel_widen(t->channel, &t->adjusting);

        if (n == 0)
            n = libssh2_channel_read_ex(t->channel, 0, (char *)data, PIECE);
        else if (n > 0)
            n = LIBSSH2_ERROR_EAGAIN;
        if (is_refused(t->jump, n))
            return;
        t->remote_eof = n == 0;
        sent = n > 0 ? send(t->local.fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            t->gone = true;
        else if (sent < n)
            buf_append(&t->down, data + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
    }
    if (t->remote_eof && !t->shut && buf_len(&t->down) == 0) {
        shutdown(t->local.fd, SHUT_WR);
        t->shut = true;
    }
}

/* ---- up: from the socket pair to the channel ---- */

static bool
may_take(const struct tunnel *t)
{
    return !t->local_eof && !t->gone && buf_len(&t->up) == 0 &&
        buf_len(&t->jump->s->out) <= SSH_QUEUE_LIMIT &&
        libssh2_channel_window_write(t->channel) > 0;
}

static void
look_after(struct tunnel *t)
{
    struct pollfd p = {.fd = t->local.fd};

    if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)))
        t->gone = true;
}

/* How much came, into `data`; 0 if nothing did. */
static size_t
take(struct tunnel *t, uint8_t *data)
{
    ssize_t n = recv(t->local.fd, data, PIECE, MSG_DONTWAIT);

    if (n == 0) {
        t->local_eof = true;
        look_after(t);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        t->gone = true;
    }
    return n > 0 ? (size_t)n : 0;
}

/* How much the channel takes now. What is refused must be repeated as it is. */
static size_t
write_up(struct tunnel *t, const uint8_t *data, size_t n)
{
    struct ssh_session *s = t->jump->s;
    size_t done = 0;

    while (done < n && !s->failure && libssh2_channel_window_write(t->channel) > 0) {
        ssize_t rc = libssh2_channel_write(t->channel, (const char *)data + done, n - done);

        if (is_refused(t->jump, rc))
            break;
        done += (size_t)rc;
        if (!s->full && buf_len(&s->out) > SSH_QUEUE_LIMIT)
            (void)session_flush(s);
    }
    return done;
}

static void
send_up(struct tunnel *t)
{
    uint8_t *data = t->jump->pool->scratch + SSH_STAGE;
    size_t n = buf_len(&t->up);

    if (n > 0)
        buf_consume(&t->up, write_up(t, buf_head(&t->up), n));
    if (buf_len(&t->up) == 0)
        buf_fini(&t->up);
    while (!t->jump->s->failure && may_take(t) && (n = take(t, data)) > 0) {
        size_t done = write_up(t, data, n);

        if (done < n)
            buf_append(&t->up, data + done, n - done);
    }
    if (t->local_eof && !t->sent_eof && !t->gone && buf_len(&t->up) == 0)
        t->sent_eof = libssh2_channel_send_eof(t->channel) != LIBSSH2_ERROR_EAGAIN;
}

/* ---- the life of a tunnel ---- */

static void
tunnel_free(void *tunnel)
{
    free(tunnel);
}

/* Its channel remains, to be closed when that goes. */
static void
tunnel_close(struct tunnel *t)
{
    struct jump *j = t->jump;
    int fd = t->local.fd;

    loop_fd_fini(&t->local);
    close(fd);
    buf_fini(&t->up);
    buf_fini(&t->down);
    TAILQ_REMOVE(&j->tunnels, t, link);
    TAILQ_INSERT_TAIL(&j->closing, t, link);
}

/* While a rekey goes on, and until the server has answered, libssh2 wants to be asked again. */
static void
free_closed(struct jump *j)
{
    struct tunnel *t, *next;

    for (t = TAILQ_FIRST(&j->closing); t; t = next) {
        next = TAILQ_NEXT(t, link);
        if (libssh2_channel_free(t->channel) == LIBSSH2_ERROR_EAGAIN)
            continue;
        TAILQ_REMOVE(&j->closing, t, link);
        loop_reap(j->pool->loop, tunnel_free, t);
    }
}

static void
tunnel_watch(struct tunnel *t)
{
    int events = may_take(t) ? LOOP_READ : 0;

    if (buf_len(&t->down) > 0)
        events |= LOOP_WRITE;
    loop_fd_watch(&t->local, events);
    /* Without a watch nobody would notice that it is closed. */
    if (!(events & LOOP_READ) && !t->jump->looking) {
        t->jump->looking = true;
        loop_timer_set(&t->jump->look, LOOK_MS);
    }
}

/* After something happened to it: ends it if it is over. */
static void
tunnel_settle(struct tunnel *t)
{
    struct jump *j = t->jump;

    if (t->gone || (t->shut && t->sent_eof)) {
        tunnel_close(t);
        free_closed(j);
        jump_leave(j);
    } else {
        tunnel_watch(t);
    }
}

/* ---- the end ---- */

static void
give_up(struct jump *j, struct opening *q, bool again, const char *why)
{
    (void)opening_done(q, -1, again, why);
    jump_leave(j);
}

/* The connection to the jump host is gone, and with it everything that goes through. */
static void
tunnels_lost(struct jump *j)
{
    struct opening *q;
    struct tunnel *t;
    char why[sizeof j->way->why];

    j->lost = true;
    session_why(j->s, why, sizeof why);
    log_info("ssh", "the jump host %s was lost: %s", j->way->host, why);
    jump_hide(j);
    pthread_mutex_lock(&j->way->lock);
    memcpy(j->way->why, why, sizeof why);
    pthread_mutex_unlock(&j->way->lock);
    loop_fd_fini(&j->fd);
    loop_timer_stop(&j->patience);
    loop_timer_stop(&j->look);
    if (j->opening)
        give_up(j, j->opening, true, why);
    j->opening = NULL;
    while ((q = TAILQ_FIRST(&j->queue))) {
        TAILQ_REMOVE(&j->queue, q, link);
        give_up(j, q, true, why);
    }
    while ((t = TAILQ_FIRST(&j->tunnels))) {
        tunnel_close(t);
        jump_leave(j);
    }
}

void
tunnels_end(struct loop_work *w)
{
    struct jump *j = owner_of(w, struct jump, end);
    struct tunnel *t;

    if (j->started) {
        TAILQ_REMOVE(&j->pool->up, j, up);
        loop_fd_fini(&j->fd);
        loop_timer_fini(&j->patience);
        loop_timer_fini(&j->look);
        while ((t = TAILQ_FIRST(&j->tunnels)))
            tunnel_close(t);
        while ((t = TAILQ_FIRST(&j->closing))) { /* the session frees their channels */
            TAILQ_REMOVE(&j->closing, t, link);
            loop_reap(j->pool->loop, tunnel_free, t);
        }
        log_debug("ssh", "the connection to the jump host %s ends", j->way->host);
    }
    loop_reap(j->pool->loop, jump_free, j);
}

void
tunnels_end_all(void *pool)
{
    struct ssh_pool *p = pool;
    struct jump *j;

    while ((j = TAILQ_FIRST(&p->up)))
        tunnels_end(&j->end);
}

/* ---- openings ---- */

static void on_local(struct loop_fd *f, int events);

/* The channel is there: gives the thread its end, unless it has gone. */
static void
opened(struct jump *j, LIBSSH2_CHANNEL *channel)
{
    struct opening *q = j->opening;
    struct tunnel *t = xcalloc(1, sizeof *t);
    int fds[2] = {-1, -1};

    j->opening = NULL;
    t->jump = j;
    t->channel = channel;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        char why[100];

        snprintf(why, sizeof why, "no socket pair for it: %s", strerror(errno));
        TAILQ_INSERT_TAIL(&j->closing, t, link);
        free_closed(j);
        give_up(j, q, false, why);
        return;
    }
    TAILQ_INSERT_TAIL(&j->tunnels, t, link);
    loop_fd_init(&t->local, j->pool->loop, fds[1], on_local);
    loop_fd_watch(&t->local, LOOP_READ);
    if (opening_done(q, fds[0], false, ""))
        close(fds[0]);
}

static void
refused(struct jump *j)
{
    struct opening *q = j->opening;

    j->opening = NULL;
    give_up(j, q, false, opening_refusal(j->s->session));
}

/* True if one is under way. */
static bool
next_opening(struct jump *j)
{
    struct opening *q = TAILQ_FIRST(&j->queue);
    bool abandoned;

    if (j->opening || !q)
        return j->opening != NULL;
    TAILQ_REMOVE(&j->queue, q, link);
    pthread_mutex_lock(&j->pool->lock);
    abandoned = q->abandoned;
    q->since = clock_ms();
    pthread_mutex_unlock(&j->pool->lock);
    if (abandoned) {
        give_up(j, q, false, "");
        return next_opening(j);
    }
    j->opening = q;
    loop_timer_set(&j->patience, PATIENCE_MS);
    return true;
}

/* libssh2 opens one channel at a time in a session. */
static void
open_next(struct jump *j)
{
    while (!j->s->failure && next_opening(j)) {
        LIBSSH2_CHANNEL *channel = libssh2_channel_direct_tcpip_ex(
            j->s->session, j->opening->host, j->opening->port, "127.0.0.1", 0);
        int rc = channel ? 0 : libssh2_session_last_errno(j->s->session);

        if (rc == LIBSSH2_ERROR_EAGAIN)
            return;
        loop_timer_stop(&j->patience);
        if (channel)
            opened(j, channel);
        else if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE || rc == LIBSSH2_ERROR_TIMEOUT)
            refused(j);
        else
            (void)is_refused(j, rc);
    }
}

/*
 * A host that does not answer must not keep others from theirs, nor the connection once nobody waits for
 * anything any more: libssh2 cannot take the request back.
 */
static void
on_patience(struct loop_timer *timer)
{
    struct jump *j = owner_of(timer, struct jump, patience);
    struct opening *q;
    bool alone;

    log_debug("ssh", "the jump host %s waits for %s port %d: others use another connection to it",
        j->way->host, j->opening->host, j->opening->port);
    jump_hide(j);
    while ((q = TAILQ_FIRST(&j->queue))) {
        TAILQ_REMOVE(&j->queue, q, link);
        give_up(j, q, true, "");
    }
    pthread_mutex_lock(&j->pool->lock);
    alone = j->opening->abandoned && j->users == 1;
    pthread_mutex_unlock(&j->pool->lock);
    if (alone) {
        q = j->opening;
        j->opening = NULL;
        give_up(j, q, false, "");
    } else {
        loop_timer_set(&j->patience, LOOK_MS);
    }
}

/* ---- the session ---- */

/* Reads by way of a channel whose far side has ended: there is no data for it any more to widen the window for. */
static ssize_t
read_by_ended(struct tunnel *t)
{
    ssize_t rc = channel_widen(t->channel, &t->adjusting);
    char unused;

    if (rc == 0)
        rc = libssh2_channel_read_ex(t->channel, SSH_EXTENDED_DATA_STDERR, &unused, 1);
    return rc;
}

/*
 * Lets libssh2 take what one recv gives. Not by reading a channel: that widens its window, so that one that
 * nobody reads from would fill the memory, and beside our own widening, which a rekey may have interrupted.
 */
static void
take_in(struct jump *j)
{
    struct tunnel *t;
    ssize_t rc = 0;

    session_read_begin(j->s, j->pool->scratch, false);
    TAILQ_FOREACH(t, &j->tunnels, link) {
        rc = libssh2_channel_wait_eof(t->channel);
        if (rc != 0)
            break;
    }
    if (TAILQ_EMPTY(&j->tunnels))
        open_next(j);
    else if (!t)
        rc = read_by_ended(TAILQ_FIRST(&j->tunnels));
    (void)is_refused(j, rc);
    session_read_end(j->s);
}

/* Sends what there is, and watches for what can happen next. */
static void
session_settle(struct jump *j)
{
    struct ssh_session *s = j->s;
    int events = 0;

    if (!s->full)
        (void)session_flush(s);
    if (is_broken(j)) {
        tunnels_lost(j);
        return;
    }
    if (!TAILQ_EMPTY(&j->tunnels) || j->opening) /* else take_in would take nothing */
        events |= LOOP_READ;
    if (buf_len(&s->out) > 0)
        events |= LOOP_WRITE;
    loop_fd_watch(&j->fd, events);
}

static void
settle_all(struct jump *j)
{
    struct tunnel *t, *next;

    for (t = TAILQ_FIRST(&j->tunnels); t; t = next) {
        next = TAILQ_NEXT(t, link);
        if (!(t->local.watched & LOOP_READ)) /* it was kept from sending */
            send_up(t);
        tunnel_settle(t);
    }
    session_settle(j);
}

/* One pass: all that the socket has, or much of it. */
static void
tunnels_run(struct jump *j)
{
    struct ssh_session *s = j->s;
    struct tunnel *t;

    s->drained = false;
    for (int i = 0; i < ROUNDS && !s->failure; i++) {
        take_in(j);
        open_next(j);
        TAILQ_FOREACH(t, &j->tunnels, link)
            deliver(t);
        if (s->drained || session_lost(s))
            break;
    }
    free_closed(j);
    settle_all(j);
}

static void
on_session(struct loop_fd *f, int events)
{
    struct jump *j = owner_of(f, struct jump, fd);

    if (events & LOOP_WRITE) {
        j->s->full = false;
        (void)session_flush(j->s);
        settle_all(j);
    } else {
        tunnels_run(j);
    }
}

static void
on_local(struct loop_fd *f, int events)
{
    struct tunnel *t = owner_of(f, struct tunnel, local);
    struct jump *j = t->jump;

    if (events & LOOP_WRITE)
        deliver(t);
    else
        send_up(t);
    tunnel_settle(t);
    session_settle(j);
}

static void
on_look(struct loop_timer *timer)
{
    struct jump *j = owner_of(timer, struct jump, look);
    struct tunnel *t;

    j->looking = false;
    TAILQ_FOREACH(t, &j->tunnels, link)
        if (!(t->local.watched & LOOP_READ))
            look_after(t);
    settle_all(j);
}

static void
start(struct jump *j)
{
    struct ssh_pool *pool = j->pool;

    if (!pool->scratch)
        pool->scratch = xmalloc(SSH_STAGE + PIECE);
    loop_fd_init(&j->fd, pool->loop, j->s->base.fd, on_session);
    loop_timer_init(&j->patience, pool->loop, on_patience);
    loop_timer_init(&j->look, pool->loop, on_look);
    TAILQ_INSERT_TAIL(&pool->up, j, up);
    j->started = true;
}

void
tunnels_open(struct loop_work *w)
{
    struct opening *q = owner_of(w, struct opening, work);
    struct jump *j = q->jump;

    if (!j->started)
        start(j);
    if (j->lost) {
        give_up(j, q, true, j->way->why);
        return;
    }
    TAILQ_INSERT_TAIL(&j->queue, q, link);
    tunnels_run(j);
}
