/*
 * libssh2 never sees the socket. Its output goes to a queue that takes all of it, so that libssh2
 * never meets a short write and keeps no packet half sent. Its input comes from recv(), but only when
 * somebody reads: libssh2 drains input before it writes, and a sender must neither take what the loop
 * waits for nor pay for a system call that gives nothing.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "counters.h"
#include "internal.h"
#include "log.h"

enum { CONNECT_READ = 4096, GOODBYE_MS = 3 };

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_rc;

static void
library_init(void)
{
    library_rc = libssh2_init(0);
}

const char *
ssh_library_version(void)
{
    return libssh2_version(0);
}

bool
session_lost(const struct ssh_session *s)
{
    return s->closed || s->sock_errno != 0;
}

void
session_fail(struct ssh_session *s, int rc)
{
    char *text = NULL;

    s->failure = rc;
    libssh2_session_last_error(s->session, &text, NULL, 0);
    copy_printable(
        s->failure_text, sizeof s->failure_text, text ? text : "", text ? strlen(text) : 0);
}

/* The jump host's own fate comes first: what the session noticed follows from it. */
bool
session_why(const struct ssh_session *s, char *text, size_t n)
{
    text[0] = '\0';
    if (s->link.way) {
        pthread_mutex_lock(&s->link.way->lock);
        if (s->link.way->why[0])
            snprintf(text, n, "the jump host %s was lost: %s", s->link.way->host, s->link.way->why);
        pthread_mutex_unlock(&s->link.way->lock);
    }
    if (text[0])
        return true;
    if (s->goodbye[0])
        snprintf(text, n, "the server disconnected: %s", s->goodbye);
    else if (s->sock_errno)
        snprintf(text, n, "the SSH connection broke: %s", strerror(s->sock_errno));
    else if (s->closed && s->link.proxy)
        snprintf(text, n, "the proxy command closed the SSH connection");
    else if (s->closed)
        snprintf(text, n, "the server closed the SSH connection");
    else if (s->failure)
        snprintf(
            text, n, "the SSH session failed: %s (libssh2 error %d)", s->failure_text, s->failure);
    return false;
}

void
link_close(struct ssh_link *link)
{
    if (link->proxy)
        link->proxy->ops->destroy(link->proxy);
    else if (link->fd >= 0)
        close(link->fd);
    way_unref(link->way);
    *link = (struct ssh_link){.fd = -1};
}

struct ssh_way *
way_create(const char *host)
{
    struct ssh_way *w = xcalloc(1, sizeof *w);

    atomic_init(&w->refs, 1);
    w->host = xstrdup(host);
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

struct ssh_way *
way_ref(struct ssh_way *w)
{
    atomic_fetch_add(&w->refs, 1);
    return w;
}

void
way_unref(struct ssh_way *w)
{
    if (!w || atomic_fetch_sub(&w->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&w->lock);
    free(w->host);
    free(w);
}

void
session_read_begin(struct ssh_session *s, uint8_t *stage, bool enough)
{
    s->stage = stage;
    s->enough = enough;
    s->mode = SSH_READING;
}

void
session_read_end(struct ssh_session *s)
{
    s->mode = SSH_QUIET;
    s->stage = NULL;
    if (s->staged.iov_len > 0) /* an error, or the end: libssh2 reads on with the next call */
        buf_append(&s->in, s->staged.iov_base, s->staged.iov_len);
    s->staged.iov_len = 0;
}

/*
 * A lost connection is -EAGAIN for libssh2 as well: it throws away packets that it has read but not
 * delivered once recv fails. Whoever called libssh2 looks at session_lost after EAGAIN.
 */
static ssize_t
receive(struct ssh_session *s, void *p, size_t n)
{
    ssize_t got;

    if (s->drained || session_lost(s))
        return -EAGAIN;
    do {
        count(sys_read);
        got = recv(s->base.fd, p, n, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        s->closed = true;
        return -EAGAIN;
    }
    if (got < 0) {
        if (errno != EAGAIN)
            s->sock_errno = errno;
        s->drained = true;
        return -EAGAIN;
    }
    count_n(COUNT_bytes_received, (uint64_t)got);
    if ((size_t)got < n)
        s->drained = true;
    return got;
}

/* One recv for several packets. Negative: nothing came, or this call had its recv. */
static ssize_t
receive_ahead(struct ssh_session *s)
{
    ssize_t got;

    if (s->enough)
        return -EAGAIN;
    s->enough = true;
    got = receive(s, s->stage, SSH_STAGE);
    s->staged = (struct iovec){s->stage, got > 0 ? (size_t)got : 0};
    return got;
}

static ssize_t
take_staged(struct ssh_session *s, void *p, size_t n)
{
    if (n > s->staged.iov_len)
        n = s->staged.iov_len;
    memcpy(p, s->staged.iov_base, n);
    s->staged.iov_base = (uint8_t *)s->staged.iov_base + n;
    s->staged.iov_len -= n;
    return (ssize_t)n;
}

static ssize_t
on_recv(libssh2_socket_t fd, void *p, size_t n, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;
    size_t have;

    if (s->mode == SSH_GONE)
        return -ECONNRESET;
    if (s->mode == SSH_QUIET)
        return -EAGAIN;
    if (s->mode == SSH_CONNECTING && buf_len(&s->in) == 0) {
        ssize_t got = receive(s, buf_reserve(&s->in, CONNECT_READ), CONNECT_READ);

        if (got < 0)
            return got;
        if (s->greeting[0] == '\0')
            copy_printable(s->greeting, sizeof s->greeting, buf_head(&s->in), (size_t)got);
        buf_commit(&s->in, (size_t)got);
    }
    have = buf_len(&s->in);
    if (have == 0 && !s->stage)
        return receive(s, p, n);
    if (have == 0) {
        ssize_t got = s->staged.iov_len > 0 ? 1 : receive_ahead(s);

        return got < 0 ? got : take_staged(s, p, n);
    }
    if (n > have)
        n = have;
    memcpy(p, buf_head(&s->in), n);
    buf_consume(&s->in, n);
    if (buf_len(&s->in) == 0 && s->mode == SSH_READING)
        buf_fini(&s->in);
    return (ssize_t)n;
}

static ssize_t
on_send(libssh2_socket_t fd, const void *p, size_t n, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;

    if (s->mode != SSH_GONE)
        buf_append(&s->out, p, n);
    return (ssize_t)n;
}

/* libssh2 builds packets with passwords in its own memory, and frees copies of keys and answers. */
static void *
on_alloc(size_t n, void **abstract)
{
    return malloc(n);
}

static void
on_free(void *p, void **abstract)
{
    const struct ssh_session *s = *abstract;

    if (p && s->wipes)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void *
on_realloc(void *p, size_t n, void **abstract)
{
    const struct ssh_session *s = *abstract;
    size_t had = p ? malloc_usable_size(p) : 0;
    void *moved;

    if (!s->wipes || !p)
        return realloc(p, n);
    moved = malloc(n);
    if (moved) {
        memcpy(moved, p, had < n ? had : n);
        on_free(p, abstract);
    }
    return moved;
}

static void
on_disconnect(LIBSSH2_SESSION *session, int reason, const char *text, int text_len,
    const char *language, int language_len, void **abstract)
{
    struct ssh_session *s = *abstract;

    if (text && text_len > 0)
        copy_printable(s->goodbye, sizeof s->goodbye, text, (size_t)text_len);
}

int
session_flush(struct ssh_session *s)
{
    size_t n = buf_len(&s->out);
    ssize_t sent;

    if (n == 0)
        return 0;
    if (s->sock_errno) {
        buf_consume(&s->out, n);
        return -s->sock_errno;
    }
    do {
        count(sys_write);
        sent = send(s->base.fd, buf_head(&s->out), n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) {
        /* What the server sent before it went can still be read, so sock_errno stays as it is. */
        int saved = errno;

        buf_consume(&s->out, n);
        return -saved;
    }
    s->full = sent < (ssize_t)n;
    if (sent > 0) {
        count_n(COUNT_bytes_sent, (uint64_t)sent);
        buf_consume(&s->out, (size_t)sent);
    }
    return 0;
}

static void
set_callback(LIBSSH2_SESSION *session, int type, void (*function)(void))
{
#if LIBSSH2_VERSION_NUM >= 0x010b01
    libssh2_session_callback_set2(session, type, function);
#else
    libssh2_session_callback_set(session, type, (void *)function);
#endif
}

struct ssh_session *
session_create(const struct ssh_link *link, struct err *err)
{
    struct ssh_session *s;

    pthread_once(&library_once, library_init);
    if (library_rc) {
        struct ssh_link unused = *link;

        err_set(err, ERR_CONNECT, "libssh2 does not start: error %d", library_rc);
        link_close(&unused);
        return NULL;
    }
    s = xcalloc(1, sizeof *s);
    s->base = (struct transport){.ops = &ssh_channel_ops, .fd = link->fd, .wfd = -1, .err_fd = -1};
    s->link = *link;
    s->mode = SSH_CONNECTING;
    s->session = libssh2_session_init_ex(on_alloc, on_free, on_realloc, s);
    must(s->session); /* it fails for want of memory only */
    libssh2_session_set_blocking(s->session, 0);
    set_callback(s->session, LIBSSH2_CALLBACK_RECV, (void (*)(void))on_recv);
    set_callback(s->session, LIBSSH2_CALLBACK_SEND, (void (*)(void))on_send);
    set_callback(s->session, LIBSSH2_CALLBACK_DISCONNECT, (void (*)(void))on_disconnect);
    return s;
}

/* A full socket gets a few milliseconds, so that the far side learns of the end from us. */
static void
say_goodbye(struct ssh_session *s)
{
    struct pollfd p = {.fd = s->base.fd, .events = POLLOUT};

    s->mode = SSH_QUIET;
    if (s->channel)
        (void)libssh2_channel_close(s->channel);
    (void)libssh2_session_disconnect(s->session, "bye");
    if (session_flush(s) == 0 && buf_len(&s->out) > 0 && poll(&p, 1, GOODBYE_MS) == 1)
        (void)session_flush(s);
}

void
session_destroy(struct ssh_session *s)
{
    if (!session_lost(s) && !s->failure)
        say_goodbye(s);
    /* From here on recv fails at once: libssh2 would wait for the server's reply to the close, and
     * refuse to free what it waits for. */
    s->mode = SSH_GONE;
    if (s->channel)
        expect(libssh2_channel_free(s->channel) != LIBSSH2_ERROR_EAGAIN);
    expect(libssh2_session_free(s->session) != LIBSSH2_ERROR_EAGAIN);
    link_close(&s->link);
    buf_fini(&s->in);
    buf_fini(&s->out);
    buf_fini(&s->held);
    free(s);
}

int
ssh_wait_fd(const struct ssh_wait *w, int fd, short events)
{
    enum { SLICE_MS = 50 }; /* `cancel` is looked at this often */
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        int left = clock_left(w->deadline);
        int n;

        if (w->cancel && atomic_load(w->cancel))
            return ERR_CANCELLED;
        if (left == 0)
            return ERR_TIMEOUT;
        n = poll(&p, 1, left < 0 || left > SLICE_MS ? SLICE_MS : left);
        if (n > 0)
            return 0;
    }
}

void
copy_printable(char *out, size_t cap, const void *data, size_t n)
{
    const unsigned char *p = data;
    size_t i;

    for (i = 0; i < n && i + 1 < cap && p[i] != '\n' && p[i] != '\r'; i++)
        out[i] = p[i] >= ' ' && p[i] < 127 ? (char)p[i] : '?';
    out[i] = '\0';
}
