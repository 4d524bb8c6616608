#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "internal.h"

/*
 * getaddrinfo cannot be interrupted, so it runs in a thread of its own, which outlives us if we are
 * cancelled: whoever comes last frees.
 */
struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct addrinfo hints; /* [I] */
    char *host, *port;     /* [I] */
    struct addrinfo *list; /* [lock] */
    int rc;                /* [lock] */
    int system_errno;      /* [lock] */
    bool done;             /* [lock] */
    bool abandoned;        /* [lock] */
};

static void
lookup_free(struct lookup *l)
{
    if (l->list)
        freeaddrinfo(l->list);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l->host);
    free(l->port);
    free(l);
}

static void *
lookup_main(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(l->host, l->port, &l->hints, &list);
    int saved = errno;
    bool last;

    pthread_mutex_lock(&l->lock);
    l->rc = rc;
    l->system_errno = saved;
    l->list = rc == 0 ? list : NULL;
    l->done = true;
    last = l->abandoned;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    if (last)
        lookup_free(l);
    return NULL;
}

static struct lookup *
lookup_start(struct ssh_attempt *a, const struct addrinfo *hints)
{
    struct lookup *l = xcalloc(1, sizeof *l);
    pthread_condattr_t clock;
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int rc;

    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &clock);
    pthread_condattr_destroy(&clock);
    l->hints = *hints;
    l->host = xstrdup(a->o->host);
    l->port = xstrdup(a->o->port);

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* the host program's signals are not for this thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&thread, &attr, lookup_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc) {
        err_errno(a->err, ERR_SYSTEM, rc, "no thread for resolving %s", a->o->host);
        lookup_free(l);
        return NULL;
    }
    return l;
}

/* With the lock held. 0 when done, ERR_TIMEOUT or ERR_CANCELLED. */
static int
lookup_wait(struct lookup *l, const struct ssh_wait *w)
{
    enum { SLICE_NS = 50 * 1000 * 1000 };

    while (!l->done) {
        struct timespec until;

        if (w->cancel && atomic_load(w->cancel))
            return ERR_CANCELLED;
        if (clock_left(w->deadline) == 0)
            return ERR_TIMEOUT;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SLICE_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    return 0;
}

static int
resolve_failed(struct ssh_attempt *a, int rc, int system_errno)
{
    if (rc == EAI_SYSTEM)
        return err_errno(a->err, ERR_CONNECT, system_errno, "%s does not resolve", a->o->host);
    return err_set(a->err, ERR_CONNECT, "%s does not resolve: %s", a->o->host, gai_strerror(rc));
}

static int
resolve(struct ssh_attempt *a, const struct ssh_wait *w, int64_t ms, struct addrinfo **list)
{
    struct addrinfo hints = {.ai_family = a->o->family, .ai_socktype = SOCK_STREAM};
    struct lookup *l;
    int rc;

    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    if (getaddrinfo(a->o->host, a->o->port, &hints, list) == 0)
        return 0;
    hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
    l = lookup_start(a, &hints);
    if (!l)
        return a->err->code;
    pthread_mutex_lock(&l->lock);
    rc = lookup_wait(l, w);
    if (rc) {
        l->abandoned = true;
        pthread_mutex_unlock(&l->lock);
        if (rc == ERR_CANCELLED)
            return err_set(a->err, rc, "cancelled while resolving %s", a->o->host);
        return err_set(a->err, rc, "%s did not resolve within %g s", a->o->host, (double)ms / 1000);
    }
    *list = l->list;
    l->list = NULL;
    rc = l->rc ? resolve_failed(a, l->rc, l->system_errno) : 0;
    pthread_mutex_unlock(&l->lock);
    lookup_free(l);
    return rc;
}

static int
bind_source(struct ssh_attempt *a, int fd, int family)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list;
    int rc = getaddrinfo(a->o->bind_address, NULL, &hints, &list);

    if (rc)
        return err_set(
            a->err, ERR_CONNECT, "bind address %s: %s", a->o->bind_address, gai_strerror(rc));
    if (bind(fd, list->ai_addr, list->ai_addrlen))
        rc = err_errno(a->err, ERR_CONNECT, errno, "bind address %s", a->o->bind_address);
    freeaddrinfo(list);
    return rc;
}

static int
connect_failed(struct ssh_attempt *a, int e)
{
    switch (e) {
    case ECONNREFUSED: return err_set(a->err, ERR_CONNECT, "%s refused the connection", a->peer);
    case EHOSTUNREACH:
    case ENETUNREACH: return err_errno(a->err, ERR_CONNECT, e, "%s cannot be reached", a->peer);
    case ETIMEDOUT: return err_set(a->err, ERR_TIMEOUT, "no answer from %s", a->peer);
    default: return err_errno(a->err, ERR_CONNECT, e, "%s: connect", a->peer);
    }
}

/* A connected descriptor, or a code with its text. */
static int
connect_one(struct ssh_attempt *a, const struct addrinfo *ai, const struct ssh_wait *w, int64_t ms)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    int one = 1, rc = 0, e = 0;
    socklen_t len = sizeof e;

    if (fd < 0)
        return err_errno(a->err, ERR_CONNECT, errno, "%s: socket", a->peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (a->o->bind_address)
        rc = bind_source(a, fd, ai->ai_family);
    if (rc == 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS)
        rc = connect_failed(a, errno);
    if (rc == 0) {
        rc = ssh_wait_fd(w, fd, POLLOUT);
        if (rc == ERR_TIMEOUT)
            err_set(a->err, rc, "no answer from %s within %g s", a->peer, (double)ms / 1000);
        else if (rc == ERR_CANCELLED)
            err_set(a->err, rc, "cancelled while connecting to %s", a->peer);
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e)
            rc = connect_failed(a, e);
    }
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static void
name_peer(struct ssh_attempt *a, const struct addrinfo *ai)
{
    char *host = a->report->address;

    if (getnameinfo(
            ai->ai_addr, ai->ai_addrlen, host, sizeof a->report->address, NULL, 0, NI_NUMERICHOST))
        copy_printable(host, sizeof a->report->address, a->o->host, strlen(a->o->host));
    snprintf(a->peer, sizeof a->peer, "%s port %.8s", host, a->o->port);
}

/* In the order of the resolver. If all of them fail, the error has the texts of all. */
static int
connect_any(struct ssh_attempt *a, const struct addrinfo *list, int64_t ms)
{
    char before[sizeof a->err->msg] = "";
    int rc = ERR_CONNECT;

    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        struct ssh_wait w = {.deadline = clock_ms() + ms, .cancel = a->wait.cancel};

        name_peer(a, ai);
        rc = connect_one(a, ai, &w, ms);
        if (rc >= 0 || rc == ERR_CANCELLED)
            return rc;
        if (before[0])
            err_prefix(a->err, "%.200s; then", before);
        memcpy(before, a->err->msg, sizeof before);
    }
    return rc;
}

int
dial(struct ssh_attempt *a)
{
    int64_t ms = a->o->connect_ms ? a->o->connect_ms : 15000;
    struct ssh_wait w = {.deadline = clock_ms() + ms, .cancel = a->wait.cancel};
    struct addrinfo *list = NULL;
    uint64_t start = clock_ns(), resolved;
    int rc = resolve(a, &w, ms, &list);

    if (rc)
        return rc;
    resolved = clock_ns();
    a->report->resolve_us = (int64_t)(resolved - start) / 1000;
    rc = connect_any(a, list, ms);
    a->report->connect_us = (int64_t)(clock_ns() - resolved) / 1000;
    freeaddrinfo(list);
    return rc;
}
