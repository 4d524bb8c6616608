#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "limit.h"

double
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

void
die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void
samples_add(struct samples *s, double value)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 4096;
        s->value = realloc(s->value, s->capacity * sizeof *s->value);
        if (!s->value)
            die("realloc");
    }
    s->value[s->count++] = value;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void
samples_print(struct samples *s, const char *name)
{
    if (s->count == 0) {
        fprintf(stderr, "%s: no samples\n", name);
        exit(1);
    }
    qsort(s->value, s->count, sizeof *s->value, compare);
    printf("%s.p50 %.3f\n%s.p99 %.3f\n", name, s->value[s->count / 2], name,
        s->value[s->count * 99 / 100]);
    free(s->value);
    *s = (struct samples){0};
}

void
wait_readable(int fd, bool spin)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double until = spin ? now_us() + SPIN_US : 0;

    while (spin && now_us() < until)
        if (poll(&p, 1, 0) > 0)
            return;
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            die("poll");
}

bool
read_all(int fd, void *p, size_t n, bool spin)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got;

        if (spin)
            wait_readable(fd, true);
        got = read(fd, (char *)p + have, n - have);
        if (got == 0 && have == 0)
            return false;
        if (got == 0)
            errno = EPIPE;
        if (got <= 0)
            die("read");
        have += (size_t)got;
    }
    return true;
}

void
write_all(int fd, const void *p, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t wrote = write(fd, (const char *)p + done, n - done);

        if (wrote >= 0)
            done += (size_t)wrote;
        else if (errno == EAGAIN)
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else
            die("write");
    }
}
