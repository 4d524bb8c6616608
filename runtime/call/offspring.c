#include "offspring.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 256 };

/* Adds the children of a thread that are in the group; returns how many there are then. */
static int
add_children(pid_t pid, pid_t tid, pid_t group, pid_t *found, int count)
{
    char path[64];
    char *word = NULL;
    size_t room = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)tid);
    f = fopen(path, "re");
    if (!f)
        return count;
    while (count < MOST && getdelim(&word, &room, ' ', f) > 0) {
        pid_t child = (pid_t)strtol(word, NULL, 10);

        if (child > 0 && getpgid(child) == group)
            found[count++] = child;
    }
    free(word);
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
