#include "once.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "mem.h"

enum { SLICE_NS = 50000000 }; /* `cancel` is looked at this often */

struct question {
    LIST_ENTRY(question) link;
    char *name;
    char *answer;      /* or NULL */
    bool claimed;      /* somebody asks */
    unsigned refusals; /* how often that came to nothing */
    unsigned waiting;  /* threads */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;
static LIST_HEAD(, question) questions = LIST_HEAD_INITIALIZER(questions);

static struct question *
find(const char *name)
{
    struct question *q;

    LIST_FOREACH(q, &questions, link)
        if (strcmp(q->name, name) == 0)
            break;
    return q;
}

static struct question *
find_or_add(const char *name)
{
    struct question *q = find(name);

    if (!q) {
        q = xcalloc(1, sizeof *q);
        q->name = xstrdup(name);
        LIST_INSERT_HEAD(&questions, q, link);
    }
    return q;
}

static void
drop_if_unused(struct question *q)
{
    if (q->answer || q->claimed || q->waiting)
        return;
    LIST_REMOVE(q, link);
    free(q->name);
    free(q);
}

static void
nap(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&settled, &lock, &until);
}

enum once
once_claim(const char *name, const atomic_bool *cancel, char **answer)
{
    enum once result = ONCE_MINE;
    struct question *q;
    unsigned refusals;

    pthread_mutex_lock(&lock);
    q = find_or_add(name);
    refusals = q->refusals;
    q->waiting++;
    while (q->claimed && q->refusals == refusals && !(cancel && atomic_load(cancel)))
        nap();
    q->waiting--;
    if (cancel && atomic_load(cancel)) {
        result = ONCE_CANCELLED;
    } else if (q->answer) {
        *answer = xstrdup(q->answer);
        result = ONCE_KNOWN;
    } else if (q->refusals != refusals) {
        result = ONCE_REFUSED;
    } else {
        q->claimed = true;
    }
    drop_if_unused(q);
    pthread_mutex_unlock(&lock);
    return result;
}

char *
once_peek(const char *name)
{
    char *answer = NULL;
    struct question *q;

    pthread_mutex_lock(&lock);
    q = find(name);
    if (q && q->answer)
        answer = xstrdup(q->answer);
    pthread_mutex_unlock(&lock);
    return answer;
}

static void
settle(const char *name, const char *answer, bool refused)
{
    struct question *q;

    pthread_mutex_lock(&lock);
    q = find(name);
    if (q) {
        q->claimed = false;
        q->refusals += refused;
        if (answer) {
            secret_free(q->answer);
            q->answer = xstrdup(answer);
        }
        drop_if_unused(q);
        pthread_cond_broadcast(&settled);
    }
    pthread_mutex_unlock(&lock);
}

void
once_known(const char *name, const char *answer)
{
    settle(name, answer, false);
}

void
once_refused(const char *name)
{
    settle(name, NULL, true);
}

void
once_release(const char *name)
{
    settle(name, NULL, false);
}

void
once_forget(const char *name, const char *answer)
{
    struct question *q;

    pthread_mutex_lock(&lock);
    q = find(name);
    if (q && q->answer && strcmp(q->answer, answer) == 0) {
        secret_free(q->answer);
        q->answer = NULL;
        drop_if_unused(q);
    }
    pthread_mutex_unlock(&lock);
}

void
once_wipe(void)
{
    struct question *q, *next;

    pthread_mutex_lock(&lock);
    for (q = LIST_FIRST(&questions); q; q = next) {
        next = LIST_NEXT(q, link);
        secret_free(q->answer);
        q->answer = NULL;
        drop_if_unused(q);
    }
    pthread_mutex_unlock(&lock);
}
