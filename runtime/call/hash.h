/*
 * Content hashes: BLAKE2b with 256 bits, through libsodium. Threading: none of its own.
 */
#ifndef ORRERY_HASH_H
#define ORRERY_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE 32

struct hash;

/* A running hash over nothing yet. Returns owned. */
struct hash *hash_create(void);
void hash_destroy(struct hash *h); /* NULL is fine */
void hash_reset(struct hash *h);
void hash_update(struct hash *h, const void *p, size_t n);
/* The result; afterwards only reset or destroy. */
void hash_final(struct hash *h, uint8_t out[HASH_SIZE]);

#endif
