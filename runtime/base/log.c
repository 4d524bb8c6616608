#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "redact.h"

static atomic_int level = LOG_WARN;
static atomic_int fd = STDERR_FILENO;
static bool (*_Atomic diverted)(int level, const char *line, size_t n);

void
log_set_level(int l)
{
    atomic_store_explicit(&level, l, memory_order_relaxed);
}

int
log_level(void)
{
    return atomic_load_explicit(&level, memory_order_relaxed);
}

int
log_open(const char *path, struct err *err)
{
    int new = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (new < 0)
        return err_errno(err, ERR_FILE, errno, "log file %s", path);
    new = atomic_exchange(&fd, new);
    if (new != STDERR_FILENO)
        close(new);
    return 0;
}

void
log_harmless(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
            p[i] = '?';
        else if (p[i] == 0xc2 && i + 1 < n && p[i + 1] >= 0x80 &&
            p[i + 1] < 0xa0) /* C1, in UTF-8 */
            p[i] = p[i + 1] = '?';
    }
}

/* Control characters would let a peer's text write on the operator's terminal. */
static void
make_printable(char *s)
{
    log_harmless((uint8_t *)s, strlen(s));
}

/* In place, in what has room for `size`. The part of a secret that ends a line which had to be cut goes, too. */
static size_t
redact(char *s, size_t n, size_t size, bool cut)
{
    char *out = redact_text(s, n, &n);

    if (out) {
        n = n < size ? n : size - 1;
        memcpy(s, out, n);
        cut = cut || n == size - 1;
        free(out);
    }
    if (cut)
        n -= redact_held(s, n);
    s[n] = '\0';
    return n;
}

void
log_divert(bool (*fn)(int level, const char *line, size_t n))
{
    atomic_store(&diverted, fn);
}

bool
log_is_file(void)
{
    return atomic_load_explicit(&fd, memory_order_relaxed) != STDERR_FILENO;
}

bool
log_offer(int l, const char *line, size_t n)
{
    bool (*fn)(int, const char *, size_t) = atomic_load_explicit(&diverted, memory_order_acquire);

    return fn && fn(l, line, n);
}

/* `line` has room for a newline. A log that cannot be written is no reason to stop. */
static void
put(char *line, size_t n)
{
    line[n++] = '\n';
    if (write(atomic_load_explicit(&fd, memory_order_relaxed), line, n) < 0)
        return;
}

void
log_pass(int l, const char *from, const char *line, size_t n)
{
    char text[1200];
    int size;

    if (l > log_level())
        return;
    size = snprintf(text, sizeof text - 1, "[%s] %.*s", from, (int)n, line);
    n = redact(text, strlen(text), sizeof text - 1, size >= (int)sizeof text - 1);
    make_printable(text);
    if (!log_offer(l, text, n))
        put(text, n);
}

void
log_write(int l, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    char line[1024];
    struct timespec now;
    struct tm tm;
    va_list ap;
    size_t n, text, room;
    int size;

    if (l > log_level())
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    n = strftime(line, sizeof line, "%H:%M:%S", &tm);
    n += (size_t)snprintf(
        line + n, sizeof line - n, ".%03ld %-5s %s: ", now.tv_nsec / 1000000, names[l], area);
    text = n;
    va_start(ap, fmt);
    room = sizeof line - n - 1;
    size = vsnprintf(line + n, room, fmt, ap);
    va_end(ap);
    n += redact(line + n, strlen(line + n), room, size >= (int)room);
    make_printable(line + text);
    if (!log_offer(l, line, n))
        put(line, n);
}
