/* For the start of main(): the C library keeps memory that bulk uses over and over. */
#ifndef ORRERY_KEEP_H
#define ORRERY_KEEP_H

#include <malloc.h>

/*
 * A frame of bulk is a block of about 128 KiB, allocated by who reads it and freed by who is done with it.
 * glibc gives blocks of that size, and the free end of a heap from that size on, back to the kernel at
 * once, and the next frame pays for its pages anew: a third of what moving a file costs. This much may
 * stay. A library leaves that to its host program.
 */
static inline void
keep_memory(void)
{
    enum { LARGEST_BLOCK = 1 << 20, FREE_END = 4 << 20 };

    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK);
    mallopt(M_TRIM_THRESHOLD, FREE_END);
}

#endif
