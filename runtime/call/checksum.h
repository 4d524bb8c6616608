/*
 * Checksums: XXH3 with 128 bits, as `xxhsum -H2` prints it. Tells content from content that a fault
 * has changed, at the speed of memory; says nothing where somebody may have crafted the content
 * (BLAKE2b does, see file.h). Threading: none of its own.
 */
#ifndef ORRERY_CHECKSUM_H
#define ORRERY_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_SIZE 16

struct checksum;

/* A running checksum over nothing yet. Returns owned. */
struct checksum *checksum_create(void);
void checksum_destroy(struct checksum *c); /* NULL is fine */
void checksum_reset(struct checksum *c);
void checksum_update(struct checksum *c, const void *p, size_t n);
/* The sum so far. */
void checksum_read(const struct checksum *c, uint8_t out[CHECKSUM_SIZE]);

#endif
