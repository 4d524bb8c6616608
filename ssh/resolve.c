#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "internal.h"
#include "thread.h"

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
    int rc;

    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &clock);
    pthread_condattr_destroy(&clock);
    l->hints = *hints;
    l->host = xstrdup(a->o->host);
    l->port = xstrdup(a->o->port);

    rc = thread_start(NULL, 0, lookup_main, l);
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

int
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
