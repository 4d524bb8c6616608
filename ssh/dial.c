/*
 * TCP, by "happy eyeballs" (RFC 8305): addresses of both families in turn, each a moment after the one
 * before or as soon as that failed; the first to answer wins.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "internal.h"
#include "log.h"

enum {
    CONNECT_MS = 15000,
    STAGGER_MS = 250, /* from one address to the next */
    SLICE_MS = 50,    /* `cancel` is looked at this often */
    AGAIN_MS = 1000   /* from one attempt to the next */
};

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

/* One address. */
struct racer {
    const struct addrinfo *ai;
    int fd;           /* -1: it has not started, or failed */
    int64_t deadline; /* its own */
};

struct race {
    struct ssh_attempt *a;
    int64_t ms; /* for each */
    struct racer *racers;
    struct pollfd *polls; /* of those that are under way; fd -1: not so */
    size_t count, started, running;
    int64_t next;                             /* when the next one starts at the latest */
    int code;                                 /* of the last failure */
    char texts[sizeof((struct err *)0)->msg]; /* of all failures so far */
};

static void
name_peer(struct ssh_attempt *a, const struct addrinfo *ai)
{
    char *host = a->report->address;

    if (getnameinfo(
            ai->ai_addr, ai->ai_addrlen, host, sizeof a->report->address, NULL, 0, NI_NUMERICHOST))
        copy_printable(host, sizeof a->report->address, a->o->host, strlen(a->o->host));
    snprintf(a->peer, sizeof a->peer, "%s port %.8s", host, a->o->port);
}

static int
connect_failed(const struct race *r, int e)
{
    struct ssh_attempt *a = r->a;

    switch (e) {
    case ECONNREFUSED: return err_set(a->err, ERR_CONNECT, "%s refused the connection", a->peer);
    case EHOSTUNREACH:
    case ENETUNREACH: return err_errno(a->err, ERR_CONNECT, e, "%s cannot be reached", a->peer);
    case ETIMEDOUT: return err_set(a->err, ERR_TIMEOUT, "no answer from %s", a->peer);
    default: return err_errno(a->err, ERR_CONNECT, e, "%s: connect", a->peer);
    }
}

/* A descriptor that is being connected, or a code with its text. */
static int
begin(struct race *r, const struct addrinfo *ai)
{
    struct ssh_attempt *a = r->a;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    int one = 1, rc = 0;

    if (fd < 0)
        return err_errno(a->err, ERR_CONNECT, errno, "%s: socket", a->peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (a->o->bind_address)
        rc = bind_source(a, fd, ai->ai_family);
    if (rc == 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS)
        rc = connect_failed(r, errno);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* The error of a racer is in the attempt's. The next one need not wait any longer. */
static void
note_failure(struct race *r, int code)
{
    r->code = code;
    if (r->texts[0])
        err_prefix(r->a->err, "%.200s; then", r->texts);
    memcpy(r->texts, r->a->err->msg, sizeof r->texts);
    r->next = 0;
}

static void
drop(struct race *r, size_t i)
{
    if (r->racers[i].fd < 0)
        return;
    close(r->racers[i].fd);
    r->racers[i].fd = r->polls[i].fd = -1;
    r->running--;
}

static void
start_next(struct race *r)
{
    size_t i = r->started++;
    struct racer *one = &r->racers[i];
    int fd;

    name_peer(r->a, one->ai);
    one->deadline = clock_ms() + r->ms;
    r->next = clock_ms() + STAGGER_MS;
    fd = begin(r, one->ai);
    if (fd < 0) {
        note_failure(r, fd);
        return;
    }
    one->fd = fd;
    r->polls[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
    r->running++;
}

/* Did this one win? Notes a failure. */
static bool
has_won(struct race *r, size_t i)
{
    struct racer *one = &r->racers[i];
    socklen_t len = sizeof(int);
    int e = 0;

    if (one->fd < 0)
        return false;
    if (r->polls[i].revents) {
        name_peer(r->a, one->ai);
        if (getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && e == 0)
            return true;
        note_failure(r, connect_failed(r, e));
        drop(r, i);
    } else if (clock_left(one->deadline) == 0) {
        name_peer(r->a, one->ai);
        note_failure(r,
            err_set(r->a->err, ERR_TIMEOUT, "no answer from %s within %g s", r->a->peer,
                (double)r->ms / 1000));
        drop(r, i);
    }
    return false;
}

/* How long nothing can happen but an answer. */
static int
quiet_ms(const struct race *r)
{
    int wait = SLICE_MS;

    if (r->started < r->count && clock_left(r->next) < wait)
        wait = clock_left(r->next);
    for (size_t i = 0; i < r->started; i++)
        if (r->racers[i].fd >= 0 && clock_left(r->racers[i].deadline) < wait)
            wait = clock_left(r->racers[i].deadline);
    return wait;
}

/* The winner's descriptor, which the race has no more, or a code with its text. */
static int
run(struct race *r)
{
    while (r->running > 0 || r->started < r->count) {
        if (r->started < r->count && (r->running == 0 || clock_left(r->next) == 0)) {
            start_next(r);
            continue;
        }
        (void)poll(r->polls, r->started, quiet_ms(r));
        if (r->a->wait.cancel && atomic_load(r->a->wait.cancel))
            return err_set(
                r->a->err, ERR_CANCELLED, "cancelled while connecting to %s", r->a->peer);
        for (size_t i = 0; i < r->started; i++)
            if (has_won(r, i)) {
                int fd = r->racers[i].fd;

                r->racers[i].fd = -1;
                return fd;
            }
    }
    return r->code;
}

/* In the order of the resolver, but the two families take turns. */
static void
line_up(struct race *r, const struct addrinfo *list)
{
    const struct addrinfo *same = list, *other = list;

    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        r->count++;
    r->racers = xcalloc(r->count, sizeof *r->racers);
    r->polls = xcalloc(r->count, sizeof *r->polls);
    for (size_t i = 0; i < r->count; i++) {
        const struct addrinfo **turn;

        while (same && same->ai_family != list->ai_family)
            same = same->ai_next;
        while (other && other->ai_family == list->ai_family)
            other = other->ai_next;
        turn = (i % 2 == 0 && same) || !other ? &same : &other;
        r->racers[i] = (struct racer){.ai = *turn, .fd = -1};
        r->polls[i].fd = -1;
        *turn = (*turn)->ai_next;
    }
}

static int
connect_any(struct ssh_attempt *a, const struct addrinfo *list, int64_t ms)
{
    struct race r = {.a = a, .ms = ms, .code = ERR_CONNECT};
    int fd;

    line_up(&r, list);
    fd = run(&r);
    for (size_t i = 0; i < r.started; i++)
        drop(&r, i);
    free(r.racers);
    free(r.polls);
    return fd;
}

static int
dial_once(struct ssh_attempt *a)
{
    int64_t ms = a->o->connect_ms ? a->o->connect_ms : CONNECT_MS;
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

int
dial(struct ssh_attempt *a, struct ssh_link *link)
{
    int most = a->o->connection_attempts > 1 ? a->o->connection_attempts : 1, rc;

    for (int i = 1; (rc = dial_once(a)) < 0 && rc != ERR_CANCELLED; i++) {
        char text[sizeof a->err->msg];

        if (i == most) {
            memcpy(text, a->err->msg, sizeof text);
            return i == 1 ? rc : err_set(a->err, rc, "%.400s (%d attempts)", text, i);
        }
        log_info("ssh", "%s; attempt %d of %d follows", a->err->msg, i + 1, most);
        if (attempt_pause(a, AGAIN_MS))
            return err_set(a->err, ERR_CANCELLED, "cancelled before attempt %d to connect to %s",
                i + 1, a->o->host);
    }
    if (rc < 0)
        return rc;
    *link = (struct ssh_link){.fd = rc, .tcp = true};
    return 0;
}
