#include "redact.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* A peer may hand over as many as it likes. */
enum { MOST = 50000, MOST_BYTES = 16 << 20, BUCKETS = 4096, BITS = 1 << 16 };

struct needle {
    struct needle *next;
    size_t n;
    char text[];
};

/* [l] the lock for reading and writing; [a] atomic */
static struct {
    pthread_rwlock_t lock;
    struct needle *buckets[BUCKETS]; /* [l] by the hash of the first REDACT_MIN bytes */
    uint8_t begins[BITS / 8]; /* [l] a bit for each such hash: most texts are passed by with it */
    size_t count, bytes, longest; /* [l] */
    atomic_bool some;             /* [a] */
} known = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static uint32_t
hash(const char *p)
{
    uint32_t h;

    memcpy(&h, p, sizeof h);
    h *= 2654435761u;
    return h >> 16;
}

static bool
begins(uint32_t h)
{
    return known.begins[h / 8] >> (h % 8) & 1;
}

/* Locked. */
static bool
is_known(const char *text, size_t n)
{
    for (struct needle *k = known.buckets[hash(text) % BUCKETS]; k; k = k->next)
        if (k->n == n && memcmp(k->text, text, n) == 0)
            return true;
    return false;
}

/* Locked. */
static void
insert(const char *text, size_t n)
{
    struct needle *k = xmalloc(sizeof *k + n);
    uint32_t h = hash(text);

    k->n = n;
    memcpy(k->text, text, n);
    k->next = known.buckets[h % BUCKETS];
    known.buckets[h % BUCKETS] = k;
    known.begins[h / 8] |= (uint8_t)(1u << (h % 8));
    known.count++;
    known.bytes += n;
    if (n > known.longest)
        known.longest = n;
}

int
redact_add(const char *text, size_t n, struct err *err)
{
    int rc = 0;

    if (n < REDACT_MIN)
        return 0;
    pthread_rwlock_wrlock(&known.lock);
    if (!is_known(text, n)) {
        if (known.count == MOST || known.bytes + n > MOST_BYTES)
            rc = err_set(err, ERR_LIMIT, "there are too many secrets");
        else
            insert(text, n);
    }
    pthread_rwlock_unlock(&known.lock);
    atomic_store_explicit(&known.some, true, memory_order_release);
    return rc;
}

bool
redact_any(void)
{
    return atomic_load_explicit(&known.some, memory_order_acquire);
}

/* How long the longest is that begins here; 0: none does. Locked. */
static size_t
match(const char *p, size_t left)
{
    uint32_t h = hash(p);
    size_t best = 0;

    if (!begins(h))
        return 0;
    for (struct needle *k = known.buckets[h % BUCKETS]; k; k = k->next)
        if (k->n <= left && k->n > best && memcmp(k->text, p, k->n) == 0)
            best = k->n;
    return best;
}

/* Locked. */
static bool
replace(const char *text, size_t n, struct buf *out)
{
    size_t plain = 0; /* all before it is in `out` */
    bool any = false;

    for (size_t i = 0; i + REDACT_MIN <= n; i++) {
        size_t m = match(text + i, n - i);

        if (m == 0)
            continue;
        if (i >= plain) {
            buf_append(out, text + plain, i - plain);
            buf_append(out, REDACT_MARK, sizeof REDACT_MARK - 1);
            any = true;
        }
        if (i + m > plain)
            plain = i + m;
    }
    if (any)
        buf_append(out, text + plain, n - plain);
    return any;
}

char *
redact_text(const char *text, size_t n, size_t *out)
{
    struct buf b = {0};
    bool any;

    if (!redact_any())
        return NULL;
    pthread_rwlock_rdlock(&known.lock);
    any = replace(text, n, &b);
    pthread_rwlock_unlock(&known.lock);
    if (!any) {
        buf_fini(&b);
        return NULL;
    }
    *out = buf_len(&b);
    buf_append(&b, "", 1);
    return (char *)b.data; /* nothing was consumed: it begins there */
}

/* Locked. */
static bool
may_begin(const char *p, size_t n)
{
    size_t first = 0, last = BUCKETS;

    if (n >= REDACT_MIN) {
        if (!begins(hash(p)))
            return false;
        first = hash(p) % BUCKETS;
        last = first + 1;
    }
    for (size_t i = first; i < last; i++)
        for (struct needle *k = known.buckets[i]; k; k = k->next)
            if (k->n > n && memcmp(k->text, p, n) == 0)
                return true;
    return false;
}

/* Where to cut instead, not to cut through one that is whole. Locked. */
static size_t
before_match(const char *text, size_t n, size_t cut)
{
    size_t i = cut > known.longest ? cut - known.longest : 0;

    while (i < cut && i + REDACT_MIN <= n) {
        if (i + match(text + i, n - i) <= cut) {
            i++;
            continue;
        }
        cut = i; /* there may be one that goes on behind this */
        i = cut > known.longest ? cut - known.longest : 0;
    }
    return cut;
}

size_t
redact_held(const char *text, size_t n)
{
    size_t held;

    if (!redact_any())
        return 0;
    pthread_rwlock_rdlock(&known.lock);
    for (held = n < known.longest ? n : known.longest; held > 0; held--)
        if (may_begin(text + n - held, held))
            break;
    held = n - before_match(text, n, n - held);
    pthread_rwlock_unlock(&known.lock);
    return held;
}
