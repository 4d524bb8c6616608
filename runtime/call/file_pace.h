/*
 * How much of a file may be under way: what the path needs to be busy, and not much more, since the rest
 * only stands in queues, where it delays whatever else goes this way.
 *
 * The time from sending a byte to the credit for it is the path's own, which is the shortest seen, plus
 * the time in queues. One byte at a time is watched, so there is one such measure per round trip; by it
 * the limit grows while queues are short and shrinks while they are long, between two chunks and the window.
 *
 * What is long, and how large a chunk is, depends on who waits. Where nobody else sends anything, a longer queue lets
 * each end do more before it has to wait for the other, which on few CPUs means being switched away: 1.15 to 1.2 times as fast
 * over SSH. The first message that comes then waits up to 2 ms, those after it 0.25 ms, or what two of the smaller
 * chunks take.
 *
 * Times are in ns, positions in bytes of the file. Threading: none of its own.
 */
#ifndef ORRERY_FILE_PACE_H
#define ORRERY_FILE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct file_pace {
    uint32_t limit;           /* at most this much may be under way */
    uint32_t most;            /* the window */
    uint32_t chunks[2];       /* alone, shared */
    bool starting;            /* nothing was in a queue so far: the limit doubles */
    bool told;                /* whether others use the path */
    bool shared;              /* they do */
    uint32_t messages;        /* of theirs, as of the last look */
    uint64_t expected;        /* until when there may be more of them */
    uint64_t watched;         /* a position that was sent, or 0 */
    uint64_t since, shortest; /* when; how long it took, 0: not known */
};

/* Chunks of at most `alone` and `shared` bytes, and of half the window. */
void pace_init(struct file_pace *p, uint32_t alone, uint32_t shared, uint32_t window);
/* How much to send at a time. */
uint32_t pace_chunk(const struct file_pace *p);
/* Others have sent so many messages by the same path until now. As long as nobody has said it, they may at any time:
 * queues are short, and chunks are not, which costs less. */
void pace_company(struct file_pace *p, uint32_t messages, uint64_t now);
/* Everything up to `end` was sent. */
void pace_sent(struct file_pace *p, uint64_t end, uint64_t now);
/* There is credit for everything up to `end`. */
void pace_credited(struct file_pace *p, uint64_t end, uint64_t now);

#endif
