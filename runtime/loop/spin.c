/*
 * Spinning: before it sleeps, who has the loop polls for a while, because waking another CPU costs more than many an
 * answer takes.
 */
#include <sched.h>

#include "clock.h"
#include "counters.h"
#include "loop_internal.h"

#define LOOK_ALL_NS 200000 /* how long spinning threads look at one descriptor alone */
#define SPIN_NS 50000      /* what waking another CPU costs twice on a small virtual machine */
#define SPIN_AWAY 4 /* times the spin: who has the CPU for so long is busy with something else */
/* A few spins in a row may be lost, since the kernel takes some round trips to place everybody anew on its CPUs. Then
 * waits go without, 1, 2, 4 ... */
#define SPIN_TRIES 8
#define SPIN_SAVED 16
#define SPIN_LOSS 2 /* what a lost one costs */
#define SPIN_MAX_BACKOFF 256

static int
count_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void
spin_init(struct loop *loop)
{
    atomic_init(&loop->spin_ns, SPIN_NS);
    atomic_init(&loop->cpus, count_cpus());
}

void
loop_set_spin(struct loop *loop, int64_t ns)
{
    atomic_store(&loop->spin_ns, ns);
}

int64_t
loop_spin(const struct loop *loop)
{
    return atomic_load_explicit(&loop->spin_ns, memory_order_relaxed);
}

enum spun { SPUN_NEWS, SPUN_NOTHING, SPUN_AWAY };

/*
 * Polls without sleeping for a while: where the last answer came from, and now and then everything. Before each look
 * it lets others run, who may be what it waits for. On one CPU they are, and one look is enough; where there are more,
 * the kernel may have placed them on this one all the same, where they would wait for the end of the spin. What they
 * take is not counted, unless it is so much that they are busy with something else.
 */
static enum spun
look_around(struct loop *loop, struct loop_waiter *w, unsigned seen, bool alone)
{
    uint64_t limit = (uint64_t)loop_spin(loop), spun = 0, now = clock_ns(), before;

    do {
        before = now;
        count(sys_yield);
        sched_yield();
        now = clock_ns();
        if (now - before > SPIN_AWAY * limit)
            return SPUN_AWAY;
        before = now;
        if (now - loop->looked > LOOK_ALL_NS || !loop_peek(loop)) {
            loop_turn(loop, false);
            loop->looked = now;
        }
        if (loop_has_news(w, seen))
            return SPUN_NEWS;
        now = clock_ns();
        spun += now - before;
    } while (!alone && spun < limit);
    return SPUN_NOTHING;
}

/* Only while it has helped recently. Not in the background: what is moved there has all CPUs busy, and who
 * sleeps a little longer finds more at once. */
static bool
may_spin(const struct loop *loop, struct loop_waiter *w)
{
    if (w->background || loop_spin(loop) == 0)
        return false;
    if (w->spin_pause == 0)
        return true;
    w->spin_pause--;
    return false;
}

void
spin_for_news(struct loop *loop, struct loop_waiter *w, unsigned seen)
{
    if (!may_spin(loop, w))
        return;

    bool alone = atomic_load_explicit(&loop->cpus, memory_order_relaxed) < 2;
    enum spun spun = look_around(loop, w, seen, alone);

    if (spun == SPUN_NEWS) {
        count(spins_won);
        w->spin_backoff = 0;
        if (w->spin_tries < SPIN_SAVED)
            w->spin_tries++;
        return;
    }
    count(spins_lost);
    atomic_store(&loop->cpus, count_cpus()); /* somebody may have pinned us meanwhile */
    if (spun == SPUN_NOTHING && !alone && w->spin_tries > SPIN_LOSS) {
        w->spin_tries -= SPIN_LOSS;
        return;
    }
    w->spin_tries = SPIN_TRIES;
    w->spin_backoff = w->spin_backoff ? w->spin_backoff * 2 : 1;
    if (spun == SPUN_AWAY || w->spin_backoff > SPIN_MAX_BACKOFF)
        w->spin_backoff = SPIN_MAX_BACKOFF;
    w->spin_pause = w->spin_backoff;
}
