/*
 * What the limit programs share: a clock, samples, waiting for a descriptor. They print lines
 * "name value"; a time is in microseconds, a rate in MB/s (10^6 bytes). Any failure ends the program.
 *
 * Threading: none.
 */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    FRAME = 64,         /* bytes of a message that goes to and fro */
    CHUNK = 128 * 1024, /* bytes of a write of bulk */
    SPIN_US = 50,       /* how long a spinning reader looks before it sleeps */
};

/* Microseconds on a monotonic clock. */
double now_us(void);

/* Ends the program with what failed and errno's text. */
_Noreturn void die(const char *what);

struct samples {
    double *value;
    size_t count, capacity;
};
void samples_add(struct samples *s, double value);
/* Prints NAME.p50 and NAME.p99, and frees the samples. */
void samples_print(struct samples *s, const char *name);

/* Returns once `fd` can be read; with `spin` it looks for SPIN_US without sleeping first. */
void wait_readable(int fd, bool spin);
/* Moves exactly n bytes. read_all returns false at the end of the file, where nothing came at all. */
bool read_all(int fd, void *p, size_t n, bool spin);
void write_all(int fd, const void *p, size_t n);

#endif
