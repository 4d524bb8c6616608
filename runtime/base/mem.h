/*
 * Memory: allocation that does not fail, embedded objects, and a growing byte buffer.
 *
 * Running out of memory aborts with a line on stderr: no caller can do anything better, and a path
 * that is never tested is worse than none. Sizes that come from a peer are checked against a limit
 * before they get here.
 */
#ifndef ORRERY_MEM_H
#define ORRERY_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) printf_like(1, 2) __attribute__((returns_nonnull));

/* Overwrites memory that held a secret, in a way the compiler keeps, then frees it. NULL is fine. */
void secret_free(char *s);

/* The object that p is embedded in, as this field. */
#define owner_of(p, type, field) ((type *)((char *)(p)-offsetof(type, field)))

/* Bytes between `start` and `end` are the content; consuming moves start. Zeroed is a valid buffer. */
struct buf {
    uint8_t *data;
    size_t start;
    size_t end;
    size_t cap;
};

static inline size_t
buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline uint8_t *
buf_head(struct buf *b)
{
    return b->data + b->start;
}

/* Makes room for n more bytes behind the content and returns where they go; then buf_commit(n). */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *data, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
/* Drops n bytes from the front; an empty buffer gives memory over 64 KiB back. */
void buf_consume(struct buf *b, size_t n);
void buf_fini(struct buf *b);

#endif
