/*
 * BLAKE2b with 256 bits of result and no key (RFC 7693): the same as `b2sum -l 256`. Written out here,
 * because a library of cryptography would make the agent a tenth larger for this one function. No
 * secrets go through it. Threading: none of its own.
 */
#ifndef ORRERY_BLAKE2B_H
#define ORRERY_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_SIZE 32
#define BLAKE2B_BLOCK 128

struct blake2b {
    uint64_t h[8];
    uint64_t count;               /* bytes that went into h */
    uint8_t block[BLAKE2B_BLOCK]; /* the last block is told apart: so it waits here */
    size_t used;
};

void blake2b_init(struct blake2b *b);
void blake2b_update(struct blake2b *b, const void *p, size_t n);
/* The result; afterwards only init. */
void blake2b_final(struct blake2b *b, uint8_t out[BLAKE2B_SIZE]);

#endif
