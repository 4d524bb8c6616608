#include "file_pace.h"

/* Queues are long from here on, in ns, or from half of the path's own time on: that of a long path
 * varies as well. */
#define LONG 250000u
#define LONG_ALONE 2000000u /* the same, where nobody else waits */
#define COMPANY_NS 1000000000 /* for how long others are expected to come again */
#define NEVER UINT64_MAX

void
pace_init(struct file_pace *p, uint32_t least, uint32_t window)
{
    *p = (struct file_pace){.most = window, .starting = true, .alone_from = NEVER};
    p->least = least < window ? least : window;
    p->limit = p->least;
}

void
pace_company(struct file_pace *p, uint32_t messages, uint64_t now)
{
    if (p->alone_from == NEVER)
        p->alone_from = now;
    else if (messages != p->messages)
        p->alone_from = now + COMPANY_NS;
    p->messages = messages;
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
    uint32_t step = p->starting ? p->limit : p->least / 4;

    p->limit = p->most - p->limit > step ? p->limit + step : p->most;
}

static void
shrink(struct file_pace *p)
{
    p->limit -= p->limit / 4;
    if (p->limit < p->least)
        p->limit = p->least;
    p->starting = false;
}

void
pace_credited(struct file_pace *p, uint64_t end, uint64_t now)
{
    uint64_t took, queued, most = now < p->alone_from ? LONG : LONG_ALONE;

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
