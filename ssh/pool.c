/* Who shares which jump host, and what a connecting thread does to get through one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "jump.h"
#include "log.h"

enum { CHANNEL_MS = 15000 };

struct ssh_pool *
ssh_pool_create(struct loop *loop)
{
    struct ssh_pool *pool = xcalloc(1, sizeof *pool);
    pthread_condattr_t clock;

    pool->loop = loop;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &clock);
    pthread_condattr_destroy(&clock);
    TAILQ_INIT(&pool->shared);
    TAILQ_INIT(&pool->up);
    return pool;
}

void
ssh_pool_destroy(struct ssh_pool *pool)
{
    if (!pool)
        return;
    loop_sync(pool->loop, tunnels_end_all, pool);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->scratch);
    free(pool);
}

const struct ssh_library ssh_library = {.create = ssh_pool_create,
    .destroy = ssh_pool_destroy,
    .connect = ssh_connect,
    .keep = ssh_keep,
    .offers = ssh_offers,
    .host_key_algorithms = ssh_host_key_algorithms};

/* ---- jumps ---- */

/* Lock held. With one user. */
static struct jump *
jump_create(struct ssh_pool *pool, const struct ssh_options *o)
{
    struct jump *j = xcalloc(1, sizeof *j);

    j->pool = pool;
    j->way = way_create(o->name ? o->name : o->host);
    j->users = 1;
    j->end.fn = tunnels_end;
    TAILQ_INIT(&j->queue);
    TAILQ_INIT(&j->tunnels);
    TAILQ_INIT(&j->closing);
    if (o->share_key) {
        j->key = xstrdup(o->share_key);
        j->shared = true;
        TAILQ_INSERT_TAIL(&pool->shared, j, link);
    }
    return j;
}

void
jump_free(void *jump)
{
    struct jump *j = jump;

    if (j->s)
        session_destroy(j->s);
    way_unref(j->way);
    free(j->key);
    free(j);
}

/* Lock held. */
static void
hide(struct jump *j)
{
    if (j->shared)
        TAILQ_REMOVE(&j->pool->shared, j, link);
    j->shared = false;
}

void
jump_hide(struct jump *j)
{
    pthread_mutex_lock(&j->pool->lock);
    hide(j);
    pthread_mutex_unlock(&j->pool->lock);
}

void
jump_leave(struct jump *j)
{
    struct ssh_pool *pool = j->pool;
    bool last, up;

    pthread_mutex_lock(&pool->lock);
    last = --j->users == 0;
    up = j->state == JUMP_UP;
    if (last)
        hide(j);
    pthread_mutex_unlock(&pool->lock);
    if (last && up)
        loop_defer(pool->loop, &j->end);
    else if (last)
        jump_free(j);
}

/* With the lock held: until something changes, or a moment has passed. */
static void
wait_for_change(struct ssh_pool *pool)
{
    enum { SLICE_NS = 50 * 1000 * 1000 }; /* `cancel` is looked at this often */
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
}

static bool
is_cancelled(const struct ssh_attempt *a)
{
    return a->wait.cancel && atomic_load(a->wait.cancel);
}

/* Logs in to it; then it is up, or has failed. */
static void
jump_connect(struct jump *j, struct ssh_attempt *a)
{
    struct ssh_report report = {0};
    struct err err = {0};
    struct ssh_attempt own = {.pool = j->pool,
        .o = a->o->via,
        .report = &report,
        .err = &err,
        .wait.cancel = a->wait.cancel};
    int rc = attempt_login(&own);

    if (rc && own.s) {
        session_destroy(own.s);
        own.s = NULL;
    }
    if (rc == 0) {
        own.s->mode = SSH_QUIET;
        own.s->drained = false;
        log_info("ssh", "%s: the jump host %s is up (%s)", a->o->name ? a->o->name : a->o->host,
            j->way->host, report.auth);
    }
    pthread_mutex_lock(&j->pool->lock);
    j->s = own.s;
    j->state = rc ? JUMP_FAILED : JUMP_UP;
    j->why = err;
    j->openssh_could = report.openssh_could;
    if (rc)
        hide(j);
    pthread_cond_broadcast(&j->pool->changed);
    pthread_mutex_unlock(&j->pool->lock);
}

/* Lock held. Those that may be joined. */
static struct jump *
jump_find(struct ssh_pool *pool, const char *key)
{
    struct jump *j;

    TAILQ_FOREACH(j, &pool->shared, link)
        if (key && strcmp(j->key, key) == 0)
            return j;
    return NULL;
}

/* Waits until somebody else has connected it. */
static void
jump_await(struct jump *j, const struct ssh_attempt *a)
{
    pthread_mutex_lock(&j->pool->lock);
    while (j->state == JUMP_CONNECTING && !is_cancelled(a))
        wait_for_change(j->pool);
    pthread_mutex_unlock(&j->pool->lock);
}

static int
cancelled(struct ssh_attempt *a)
{
    return err_set(a->err, ERR_CANCELLED, "cancelled on the way to %s by the jump host %s",
        a->o->host, a->o->via->name ? a->o->via->name : a->o->via->host);
}

/* One that is up, as one of its users; or a code with its text. *mine: this thread has connected it. */
static int
jump_acquire(struct ssh_attempt *a, struct jump **found, bool *mine)
{
    const struct ssh_options *via = a->o->via;
    struct ssh_pool *pool = a->pool;

    for (;;) {
        struct jump *j;
        enum jump_state state;
        struct err why;

        pthread_mutex_lock(&pool->lock);
        j = jump_find(pool, via->share_key);
        *mine = !j;
        if (j)
            j->users++;
        else
            j = jump_create(pool, via);
        pthread_mutex_unlock(&pool->lock);
        if (*mine)
            jump_connect(j, a);
        else
            jump_await(j, a);
        pthread_mutex_lock(&pool->lock);
        state = j->state;
        why = j->why;
        if (state == JUMP_FAILED && j->openssh_could)
            a->report->openssh_could = true;
        pthread_mutex_unlock(&pool->lock);
        *found = j;
        if (state == JUMP_UP && !is_cancelled(a))
            return 0;
        jump_leave(j);
        if (is_cancelled(a))
            return cancelled(a);
        if (why.code == ERR_CANCELLED) /* the one who connected gave up, and we do not */
            continue;
        *a->err = why;
        return err_prefix(a->err, "%.100s cannot be reached by way of %.100s", a->o->host,
            via->name ? via->name : via->host);
    }
}

/* ---- channels ---- */

/* Frees what the thread owns of it. */
static void
opening_free(struct opening *q)
{
    free(q->host);
    free(q);
}

const char *
opening_refusal(LIBSSH2_SESSION *session)
{
    char *text = NULL;

    libssh2_session_last_error(session, &text, NULL, 0);
    if (!text)
        text = "";
    if (strstr(text, "prohibited"))
        return "administratively prohibited (AllowTcpForwarding or PermitOpen in its sshd_config, "
               "say)";
    if (strstr(text, "connect failed"))
        return "connect failed (nobody listens there, there is no route, or it knows no such host)";
    if (strstr(text, "resource shortage"))
        return "resource shortage there";
    if (strstr(text, "unknown channel type"))
        return "its SSH server forwards no connections";
    if (libssh2_session_last_errno(session) == LIBSSH2_ERROR_TIMEOUT)
        return "it does not answer the request for a connection";
    return "it opens no channel";
}

bool
opening_done(struct opening *q, int fd, bool again, const char *why)
{
    struct ssh_pool *pool = q->jump->pool;
    bool abandoned;

    pthread_mutex_lock(&pool->lock);
    abandoned = q->abandoned;
    q->done = true;
    q->fd = fd;
    q->again = again;
    snprintf(q->why, sizeof q->why, "%s", why);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    if (abandoned)
        opening_free(q);
    return abandoned;
}

/* Waits until it is done, and frees it. 0 with the descriptor, 1: another jump may do it, or a code. What
 * was up before may have been lost for long; what this thread has connected just now (`mine`) was not. */
static int
opening_await(struct opening *q, struct ssh_attempt *a, bool mine, int *fd)
{
    struct ssh_pool *pool = a->pool;
    int64_t ms = a->o->connect_ms ? a->o->connect_ms : CHANNEL_MS;
    const char *jump = a->o->via->name ? a->o->via->name : a->o->via->host;
    bool late = false, done;
    int rc = 0;

    pthread_mutex_lock(&pool->lock);
    while (!q->done && !is_cancelled(a) && !(late = q->since && clock_left(q->since + ms) == 0))
        wait_for_change(pool);
    done = q->done;
    q->abandoned = !done;
    pthread_mutex_unlock(&pool->lock);
    if (!done) /* the loop may have freed it by now */
        return late ? err_set(a->err, ERR_TIMEOUT,
                          "%.100s has no connection to %.100s port %.8s after %g s", jump,
                          a->o->host, a->o->port, (double)ms / 1000)
                    : cancelled(a);
    if (q->again && !(mine && q->why[0]))
        rc = 1;
    else if (q->fd < 0)
        rc = err_set(a->err, ERR_CONNECT, "%.100s cannot reach %.100s port %.8s: %s", jump,
            a->o->host, a->o->port, q->why);
    *fd = q->fd;
    opening_free(q);
    return rc;
}

/* The same results. Takes the user of `j` that the caller is. */
static int
open_through(struct jump *j, struct ssh_attempt *a, bool mine, int *fd)
{
    struct opening *q = xcalloc(1, sizeof *q);

    q->work.fn = tunnels_open;
    q->jump = j;
    q->host = xstrdup(a->o->host);
    q->port = (int)strtol(a->o->port, NULL, 10);
    q->fd = -1;
    loop_defer(a->pool->loop, &q->work);
    return opening_await(q, a, mine, fd);
}

int
jump_reach(struct ssh_attempt *a, struct ssh_link *link)
{
    const char *jump = a->o->via->name ? a->o->via->name : a->o->via->host;
    uint64_t start = clock_ns();
    int rc;

    must(a->pool);
    do {
        struct ssh_way *way;
        struct jump *j;
        bool mine;

        rc = jump_acquire(a, &j, &mine);
        if (rc)
            return rc;
        way = way_ref(j->way);
        *link = (struct ssh_link){.fd = -1, .way = way};
        rc = open_through(j, a, mine, &link->fd);
        if (rc)
            way_unref(way);
    } while (rc == 1);
    if (rc)
        return rc;
    a->report->connect_us = (int64_t)(clock_ns() - start) / 1000;
    snprintf(
        a->peer, sizeof a->peer, "%.90s port %.8s by way of %.80s", a->o->host, a->o->port, jump);
    snprintf(a->report->address, sizeof a->report->address, "%s by way of %s", a->o->host, jump);
    return 0;
}
