#include "clock.h"

#include <errno.h>
#include <limits.h>
#include <sys/random.h>
#include <time.h>

#include "check.h"

uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t
clock_ms(void)
{
    return (int64_t)(clock_ns() / 1000000u);
}

int
clock_left(int64_t deadline_ms)
{
    int64_t left;

    if (deadline_ms < 0)
        return -1;
    left = deadline_ms - clock_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void
random_bytes(void *p, size_t n)
{
    uint8_t *out = p;

    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);

        must(got > 0 || errno == EINTR);
        if (got > 0) {
            out += got;
            n -= (size_t)got;
        }
    }
}

void
random_hex(char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t byte;

    for (size_t i = 0; i < n; i++) {
        random_bytes(&byte, 1);
        out[2 * i] = digits[byte >> 4];
        out[2 * i + 1] = digits[byte & 15];
    }
    out[2 * n] = '\0';
}
