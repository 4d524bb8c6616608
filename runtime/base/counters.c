#include "counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "check.h"

/* Blocks must not share a cache line: each is written all the time by a thread of its own. */
struct owned_block {
    struct counter_block block;
    LIST_ENTRY(owned_block) link;
} __attribute__((aligned(64)));

_Thread_local struct counter_block *counters_mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, owned_block) blocks; /* [lock] */
static struct counters ended;           /* [lock] of threads that are gone */

static void
add(struct counters *to, const struct counter_block *from)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        to->value[i] += atomic_load_explicit(&from->value[i], memory_order_relaxed);
}

static void
detach(void *arg)
{
    struct owned_block *o = arg;

    pthread_mutex_lock(&lock);
    add(&ended, &o->block);
    LIST_REMOVE(o, link);
    pthread_mutex_unlock(&lock);
    counters_mine = NULL; /* another destructor may still count, and starts anew */
    free(o);
}

static void
make_key(void)
{
    pthread_key_create(&key, detach);
}

struct counter_block *
counters_attach(void)
{
    struct owned_block *o = aligned_alloc(_Alignof(struct owned_block), sizeof *o);

    must(o);
    memset(o, 0, sizeof *o);
    pthread_once(&once, make_key);
    pthread_mutex_lock(&lock);
    LIST_INSERT_HEAD(&blocks, o, link);
    pthread_mutex_unlock(&lock);
    pthread_setspecific(key, o);
    counters_mine = &o->block;
    return counters_mine;
}

void
counters_read(struct counters *out)
{
    struct owned_block *o;

    pthread_mutex_lock(&lock);
    *out = ended;
    LIST_FOREACH(o, &blocks, link)
        add(out, &o->block);
    pthread_mutex_unlock(&lock);
}

void
counters_read_mine(struct counters *out)
{
    memset(out, 0, sizeof *out);
    if (counters_mine)
        add(out, counters_mine);
}

static const struct {
    const char *name, *text;
} about[] = {
#define X(name, text) {#name, text},
    COUNTERS(X)
#undef X
};

const char *
counter_name(enum counter c)
{
    return about[c].name;
}

const char *
counter_text(enum counter c)
{
    return about[c].text;
}
