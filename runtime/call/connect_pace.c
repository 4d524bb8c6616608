#include "connect_pace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A thread that waits for this many times as long as it runs has a CPU's queue in front of it. */
#define CROWDED 4
#define STEP 2
#define MORE 4 /* where hosts do not answer */

void
connect_pace_init(struct connect_pace *p)
{
    p->limit = CONNECT_LEAST;
}

static void
move(struct connect_pace *p, int by)
{
    p->limit += by;
    if (p->limit < CONNECT_LEAST)
        p->limit = CONNECT_LEAST;
    if (p->limit > CONNECT_MOST)
        p->limit = CONNECT_MOST;
}

void
connect_pace_done(struct connect_pace *p, uint64_t ran_ns, uint64_t delayed_ns)
{
    move(p, delayed_ns > CROWDED * ran_ns ? -STEP : STEP);
}

void
connect_pace_waited(struct connect_pace *p)
{
    move(p, MORE);
}

/* "time on a CPU, time in its queue, how often", see Documentation/scheduler/sched-stats of the kernel. */
void
connect_pace_measure(uint64_t *ran_ns, uint64_t *delayed_ns)
{
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    char text[96], *end;
    ssize_t n;

    *ran_ns = *delayed_ns = 0;
    if (fd < 0)
        return;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    *ran_ns = strtoull(text, &end, 10);
    *delayed_ns = strtoull(end, NULL, 10);
}
