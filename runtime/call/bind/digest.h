/*
 * Digests that people compare files by: SHA-256, SHA-512, SHA-1, MD5. The agent has no OpenSSL inside, and these are
 * small. Not for secrets: nothing here runs in constant time. Threading: none of its own.
 */
#ifndef ORRERY_DIGEST_H
#define ORRERY_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_MAX 64 /* bytes of the longest */

struct digest {
    const struct digest_kind *kind;
    uint64_t total; /* bytes so far */
    uint8_t block[128];
    union {
        uint32_t words[8];
        uint64_t longs[8];
    } state;
};

/* -1 where there is no such kind: "sha256", "sha512", "sha1", "md5". */
int digest_init(struct digest *d, const char *name);
void digest_update(struct digest *d, const void *p, size_t n);
/* Returns how many bytes it has. d is used up. */
size_t digest_final(struct digest *d, uint8_t out[DIGEST_MAX]);

#endif
