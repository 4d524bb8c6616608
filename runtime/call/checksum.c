#include "checksum.h"

#include <stdlib.h>
#include <string.h>

/* All of it from the header: the agent gets the one function that it uses, and nobody needs a library. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check.h"

/* On the heap and not embedded, because the state is aligned to 64 bytes, which no object from malloc
 * promises. */
struct checksum {
    XXH3_state_t state;
};

struct checksum *
checksum_create(void)
{
    struct checksum *c = aligned_alloc(_Alignof(struct checksum), sizeof *c);

    must(c);
    checksum_reset(c);
    return c;
}

void
checksum_destroy(struct checksum *c)
{
    free(c);
}

void
checksum_reset(struct checksum *c)
{
    XXH3_128bits_reset(&c->state);
}

void
checksum_update(struct checksum *c, const void *p, size_t n)
{
    XXH3_128bits_update(&c->state, p, n);
}

void
checksum_read(const struct checksum *c, uint8_t out[CHECKSUM_SIZE])
{
    XXH128_canonical_t sum;

    XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(&c->state));
    memcpy(out, sum.digest, CHECKSUM_SIZE);
}
