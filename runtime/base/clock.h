/* Time and chance. Monotonic milliseconds and nanoseconds, and random bytes from the kernel. */
#ifndef ORRERY_CLOCK_H
#define ORRERY_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. Deadlines are in milliseconds of it; -1 means none. */
uint64_t clock_ns(void);
int64_t clock_ms(void);

/* Milliseconds until a deadline, for poll(): -1 when there is none, 0 when it has passed. */
int clock_left(int64_t deadline_ms);

/* Fills with getrandom(2); aborts if the kernel has none. */
void random_bytes(void *p, size_t n);
/* 2n hexadecimal digits and a NUL. */
void random_hex(char *out, size_t n);

#endif
