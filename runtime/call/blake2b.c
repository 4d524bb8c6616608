#include "blake2b.h"

#include <endian.h>
#include <string.h>

enum { ROUNDS = 12, WORDS = 16 };

static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179};

/* Which words of the block a round mixes in, and in which order. */
static const uint8_t sigma[10][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t
rotate(uint64_t x, int n)
{
    return x >> n | x << (64 - n);
}

static inline void
mix(uint64_t v[WORDS], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

static void
compress(struct blake2b *b, const uint8_t *block, size_t n, uint64_t last)
{
    uint64_t m[WORDS], v[WORDS];

    memcpy(m, block, sizeof m);
    for (int i = 0; i < WORDS; i++)
        m[i] = le64toh(m[i]);
    b->count += n;
    memcpy(v, b->h, sizeof b->h);
    memcpy(v + 8, iv, sizeof iv);
    v[12] ^= b->count;
    v[14] ^= last;
#pragma GCC unroll 12 /* with the indexes known, all words stay in registers: twice as fast */
    for (int r = 0; r < ROUNDS; r++) {
        const uint8_t *s = sigma[r % 10];

        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

void
blake2b_init(struct blake2b *b)
{
    memset(b, 0, sizeof *b);
    memcpy(b->h, iv, sizeof iv);
    b->h[0] ^= 0x01010000 ^ BLAKE2B_SIZE; /* one leaf, no key, so many bytes of result */
}

void
blake2b_update(struct blake2b *b, const void *p, size_t n)
{
    const uint8_t *bytes = p;

    while (n > 0) {
        size_t part = BLAKE2B_BLOCK - b->used < n ? BLAKE2B_BLOCK - b->used : n;

        if (b->used == 0 && n > BLAKE2B_BLOCK) {
            compress(b, bytes, BLAKE2B_BLOCK, 0);
            part = BLAKE2B_BLOCK;
        } else if (part == 0) {
            compress(b, b->block, BLAKE2B_BLOCK, 0);
            b->used = 0;
        } else {
            memcpy(b->block + b->used, bytes, part);
            b->used += part;
        }
        bytes += part;
        n -= part;
    }
}

void
blake2b_final(struct blake2b *b, uint8_t out[BLAKE2B_SIZE])
{
    memset(b->block + b->used, 0, BLAKE2B_BLOCK - b->used);
    compress(b, b->block, b->used, UINT64_MAX);
    for (int i = 0; i < BLAKE2B_SIZE / 8; i++) {
        uint64_t word = htole64(b->h[i]);

        memcpy(out + 8 * i, &word, 8);
    }
}
