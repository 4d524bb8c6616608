/*
 * The messages of this process, one by one, for somebody who looks on: what its streams are given to send, and what
 * comes in on them. Off, it costs a load and a branch for each message.
 *
 * Those that only keep a link up (PING, PONG) are left out. At most TRACE_MOST are kept until they are taken, the first
 * ones; the others are counted.
 *
 * Ownership: an entry is a copy. Threading: any thread; the entries are in the order of their times.
 */
#ifndef ORRERY_TRACE_H
#define ORRERY_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define TRACE_MOST 10000
#define TRACE_NAME 48

struct trace_entry {
    uint64_t at;             /* clock_ns */
    struct frame_header h;   /* of a message in pieces that comes in: of each piece */
    bool sent;               /* or received */
    char stream[TRACE_NAME]; /* which it went by; cut to fit */
};

/* Read by trace_note alone. */
extern atomic_bool trace_on;

/* Begins anew, with nothing kept; or ends: what is kept can still be taken. */
void trace_start(void);
void trace_stop(void);

/* What was kept since the start, or since it was last taken: sets *list (owned by the caller, NULL where there is none),
 * and how many more there were. Returns how many. */
size_t trace_take(struct trace_entry **list, uint64_t *more);

/* Use trace_note. */
void trace_keep(bool sent, const char *stream, const struct frame_header *h);

static inline void
trace_note(bool sent, const char *stream, const struct frame_header *h)
{
    if (__builtin_expect(atomic_load_explicit(&trace_on, memory_order_relaxed), 0))
        trace_keep(sent, stream, h);
}

#endif
