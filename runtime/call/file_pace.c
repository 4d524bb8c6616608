#include "file_pace.h"

/* Queues are long from here on, in ns, or from half of the path's own time on: that of a long path
 * varies as well. */
#define LONG 250000u
#define LONG_ALONE 2000000u   /* the same, where nobody else waits */
#define COMPANY_NS 1000000000 /* for how long others are expected to come again */

static uint32_t
smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t
pace_chunk(const struct file_pace *p)
{
    return p->chunks[p->shared];
}

static uint32_t
least(const struct file_pace *p)
{
    return 2 * pace_chunk(p);
}

void
pace_init(struct file_pace *p, uint32_t alone, uint32_t shared, uint32_t window)
{
    *p = (struct file_pace){
        .most = window,
        .chunks = {smaller(alone, window / 2), smaller(shared, window / 2)},
        .starting = true,
    };
    p->limit = least(p);
}

void
pace_company(struct file_pace *p, uint32_t messages, uint64_t now)
{
    if (p->told && messages != p->messages)
        p->expected = now + COMPANY_NS;
    p->told = true;
    p->messages = messages;
    p->shared = now < p->expected;
    if (p->limit < least(p))
        p->limit = least(p);
}

void
pace_sent(struct file_pace *p, uint64_t end, uint64_t now)
{
    if (p->watched)
        return;
    p->watched = end;
    p->since = now;
}

static void
grow(struct file_pace *p)
{
    uint32_t step = p->starting ? p->limit : least(p) / 4;

    p->limit = p->most - p->limit > step ? p->limit + step : p->most;
}

static void
shrink(struct file_pace *p)
{
    p->limit -= p->limit / 4;
    if (p->limit < least(p))
        p->limit = least(p);
    p->starting = false;
}

void
pace_credited(struct file_pace *p, uint64_t end, uint64_t now)
{
    uint64_t took, queued, most = p->told && !p->shared ? LONG_ALONE : LONG;

    if (!p->watched || end < p->watched)
        return;
    took = now - p->since;
    p->watched = 0;
    if (!p->shortest || took < p->shortest)
        p->shortest = took;
    queued = took - p->shortest;
    if (queued > most && queued > p->shortest / 2)
        shrink(p);
    else
        grow(p);
}
