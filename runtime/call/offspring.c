#include "offspring.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST = 256 };

/* Adds the children of a thread that are in the group; returns how many there are then. */
static int
add_children(pid_t pid, pid_t tid, pid_t group, pid_t *found, int count)
{
    char path[64];
    FILE *f;
    int child;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)tid);
    f = fopen(path, "re");
    if (!f)
        return count;
    while (count < MOST && fscanf(f, "%d", &child) == 1)
        if (getpgid(child) == group)
            found[count++] = child;
    fclose(f);
    return count;
}

int
offspring_interrupt(pid_t tid)
{
    pid_t found[MOST], group = getpgrp();
    int count = add_children(getpid(), tid, group, found, 0);

    /* All are known before the first is gone, and its children are nobody's. */
    for (int i = 0; i < count; i++)
        count = add_children(found[i], found[i], group, found, count);
    for (int i = 0; i < count; i++)
        if (getpgid(found[i]) == group)
            kill(found[i], SIGINT);
    return count;
}
