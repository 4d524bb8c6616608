/*
 * How much of a file may be under way: what the path needs to be busy, and not much more, since the rest
 * only stands in queues, where it delays whatever else goes this way.
 *
 * The time from sending a byte to the credit for it is the path's own, which is the shortest seen, plus
 * the time in queues. One byte at a time is watched, so there is one such measure per round trip; by it
 * the limit grows while queues are short and shrinks while they are long, between `least` and the window.
 *
 * What is long depends on who waits. Where nobody else sends anything, a longer queue lets each end do more before it
 * has to wait for the other, which on few CPUs means being switched away: 1.2 times as fast over SSH. The first message
 * that comes then waits up to 2 ms, those after it 0.25 ms.
 *
 * Times are in ns, positions in bytes of the file. Threading: none of its own.
 */
#ifndef ORRERY_FILE_PACE_H
#define ORRERY_FILE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct file_pace {
    uint32_t limit; /* at most this much may be under way */
    uint32_t least, most;
    bool starting;       /* nothing was in a queue so far: the limit doubles */
    uint64_t watched;    /* a position that was sent, or 0 */
    uint64_t since;      /* when */
    uint64_t shortest;   /* 0: not known */
    uint32_t messages;   /* of others, as of the last look */
    uint64_t alone_from; /* when others will have sent nothing for a while */
};

void pace_init(struct file_pace *p, uint32_t least, uint32_t window);
/* Others have sent so many messages by the same path until now. As long as nobody has said it, they may at any time. */
void pace_company(struct file_pace *p, uint32_t messages, uint64_t now);
/* Everything up to `end` was sent. */
void pace_sent(struct file_pace *p, uint64_t end, uint64_t now);
/* There is credit for everything up to `end`. */
void pace_credited(struct file_pace *p, uint64_t end, uint64_t now);

#endif
