#include "hash.h"

#include <sodium.h>
#include <stdlib.h>

#include "check.h"

/* On the heap and not embedded, because libsodium wants its state aligned to 64 bytes, which no
 * object from malloc promises. */
struct hash {
    crypto_generichash_state state;
};

struct hash *
hash_create(void)
{
    /* Picks the fastest implementation this CPU has; cheap and thread-safe from the second time on. */
    must(sodium_init() >= 0);
    struct hash *h = aligned_alloc(_Alignof(struct hash), sizeof(*h));
    must(h);
    hash_reset(h);
    return h;
}

void
hash_destroy(struct hash *h)
{
    free(h);
}

void
hash_reset(struct hash *h)
{
    must(crypto_generichash_init(&h->state, NULL, 0, HASH_SIZE) == 0);
}

void
hash_update(struct hash *h, const void *p, size_t n)
{
    crypto_generichash_update(&h->state, p, n);
}

void
hash_final(struct hash *h, uint8_t out[HASH_SIZE])
{
    crypto_generichash_final(&h->state, out, HASH_SIZE);
}
