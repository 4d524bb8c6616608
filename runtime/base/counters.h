/*
 * Counters: what the runtime does, counted where it does it. Always on.
 *
 * Each thread counts in a block of its own, so that counting costs a load and a store; counters_read
 * adds up the blocks of all threads, those that have ended included. The figures are exact once the
 * threads are quiet.
 *
 * Threading: any thread.
 */
#ifndef ORRERY_COUNTERS_H
#define ORRERY_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Name in Lua and in --stats, and what it counts. */
#define COUNTERS(X)                                                              \
    X(messages_sent, "messages given to a stream here")                          \
    X(messages_received, "messages that came in on a stream")                    \
    X(messages_forwarded, "of them sent on to another context")                  \
    X(messages_dropped, "of them refused by policy or for want of a receiver")   \
    X(sent_inline, "messages written whole on the sender's own stack")           \
    X(sent_shared, "messages of a burst that shared a later write")              \
    X(sent_deferred, "messages, or ends of them, that were left to the loop")    \
    X(send_locks, "acquisitions of a stream's lock by senders")                  \
    X(bytes_sent, "bytes given to the kernel, encryption included")              \
    X(bytes_received, "bytes taken from the kernel")                             \
    X(loop_turns, "turns of the loop")                                           \
    X(loop_wakeups, "writes that woke the loop for other threads")               \
    X(poller_changes, "changes to what the kernel watches")                      \
    X(role_taken, "times that a waiting thread took the loop")                   \
    X(role_taken_back, "times that the broker thread took it back")              \
    X(role_passed, "times that it left the loop to a thread that it had served") \
    X(spins_won, "waits that ended while spinning")                              \
    X(spins_lost, "spins that ended without an answer")                          \
    X(sys_write, "system calls that write to a stream")                          \
    X(sys_read, "system calls that read from one")                               \
    X(sys_poll, "system calls that wait for, or look at, descriptors")           \
    X(sys_yield, "system calls that let another process run while spinning")     \
    X(sys_sleep, "system calls that wait for another thread")                    \
    X(sys_wake, "system calls that wake another thread")

enum counter {
#define X(name, text) COUNT_##name,
    COUNTERS(X)
#undef X
        COUNTER_COUNT
};

struct counter_block {
    _Atomic uint64_t value[COUNTER_COUNT]; /* written by its own thread only */
};

/* initial-exec: no function call in a shared library; loaders keep room for a few such words. */
extern _Thread_local struct counter_block *counters_mine __attribute__((tls_model("initial-exec")));
/* The block of this thread, made at its first use. */
struct counter_block *counters_attach(void);

static inline void
count_n(enum counter c, uint64_t n)
{
    struct counter_block *b = counters_mine;
    uint64_t v;

    if (__builtin_expect(!b, 0))
        b = counters_attach();
    v = atomic_load_explicit(&b->value[c], memory_order_relaxed);
    atomic_store_explicit(&b->value[c], v + n, memory_order_relaxed);
}

/* count(sent_inline) */
#define count(name) count_n(COUNT_##name, 1)

struct counters {
    uint64_t value[COUNTER_COUNT];
};
/* Of the whole process since it started. */
void counters_read(struct counters *out);
/* Of the calling thread. */
void counters_read_mine(struct counters *out);
/* "sent_inline", and what it counts. */
const char *counter_name(enum counter c);
const char *counter_text(enum counter c);

#endif
