/* FIPS 180-4 and RFC 1321. All work on blocks and end with the length; what differs is the step and the byte order. */
#include "digest.h"

#include <string.h>

struct digest_kind {
    const char *name;
    size_t block, size;
    void (*step)(struct digest *d, const uint8_t *block);
    uint8_t is_long, is_little;
    union {
        uint32_t words[8];
        uint64_t longs[8];
    } start;
};

static uint32_t
left(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static uint32_t
right(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint64_t
right_long(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}

static uint64_t
get_big(const uint8_t *p, size_t n)
{
    uint64_t x = 0;

    for (size_t i = 0; i < n; i++)
        x = x << 8 | p[i];
    return x;
}

static void
put(uint8_t *p, uint64_t x, size_t n, int little)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(x >> 8 * (little ? i : n - 1 - i));
}

/* ---- SHA-2: the constants of the short one are the upper halves of those of the long one ---- */

static const uint64_t sha2_k[80] = {
    0x428a2f98d728ae22,
    0x7137449123ef65cd,
    0xb5c0fbcfec4d3b2f,
    0xe9b5dba58189dbbc,
    0x3956c25bf348b538,
    0x59f111f1b605d019,
    0x923f82a4af194f9b,
    0xab1c5ed5da6d8118,
    0xd807aa98a3030242,
    0x12835b0145706fbe,
    0x243185be4ee4b28c,
    0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f,
    0x80deb1fe3b1696b1,
    0x9bdc06a725c71235,
    0xc19bf174cf692694,
    0xe49b69c19ef14ad2,
    0xefbe4786384f25e3,
    0x0fc19dc68b8cd5b5,
    0x240ca1cc77ac9c65,
    0x2de92c6f592b0275,
    0x4a7484aa6ea6e483,
    0x5cb0a9dcbd41fbd4,
    0x76f988da831153b5,
    0x983e5152ee66dfab,
    0xa831c66d2db43210,
    0xb00327c898fb213f,
    0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2,
    0xd5a79147930aa725,
    0x06ca6351e003826f,
    0x142929670a0e6e70,
    0x27b70a8546d22ffc,
    0x2e1b21385c26c926,
    0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df,
    0x650a73548baf63de,
    0x766a0abb3c77b2a8,
    0x81c2c92e47edaee6,
    0x92722c851482353b,
    0xa2bfe8a14cf10364,
    0xa81a664bbc423001,
    0xc24b8b70d0f89791,
    0xc76c51a30654be30,
    0xd192e819d6ef5218,
    0xd69906245565a910,
    0xf40e35855771202a,
    0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8,
    0x1e376c085141ab53,
    0x2748774cdf8eeb99,
    0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63,
    0x4ed8aa4ae3418acb,
    0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc,
    0x78a5636f43172f60,
    0x84c87814a1f0ab72,
    0x8cc702081a6439ec,
    0x90befffa23631e28,
    0xa4506cebde82bde9,
    0xbef9a3f7b2c67915,
    0xc67178f2e372532b,
    0xca273eceea26619c,
    0xd186b8c721c0c207,
    0xeada7dd6cde0eb1e,
    0xf57d4f7fee6ed178,
    0x06f067aa72176fba,
    0x0a637dc5a2c898a6,
    0x113f9804bef90dae,
    0x1b710b35131c471b,
    0x28db77f523047d84,
    0x32caab7b40c72493,
    0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6,
    0x597f299cfc657e2a,
    0x5fcb6fab3ad6faec,
    0x6c44198c4a475817,
};

static void
sha256_step(struct digest *d, const uint8_t *p)
{
    uint32_t w[64], v[8], t1, t2;

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)get_big(p + (size_t)4 * i, 4);
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
            (right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3) +
            (right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, d->state.words, sizeof v);
    for (int i = 0; i < 64; i++) {
        t1 = v[7] + (right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25)) +
            ((v[4] & v[5]) ^ (~v[4] & v[6])) + (uint32_t)(sha2_k[i] >> 32) + w[i];
        t2 = (right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22)) +
            ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        d->state.words[i] += v[i];
}

static void
sha512_step(struct digest *d, const uint8_t *p)
{
    uint64_t w[80], v[8], t1, t2;

    for (int i = 0; i < 16; i++)
        w[i] = get_big(p + (size_t)8 * i, 8);
    for (int i = 16; i < 80; i++)
        w[i] = w[i - 16] + w[i - 7] +
            (right_long(w[i - 15], 1) ^ right_long(w[i - 15], 8) ^ w[i - 15] >> 7) +
            (right_long(w[i - 2], 19) ^ right_long(w[i - 2], 61) ^ w[i - 2] >> 6);
    memcpy(v, d->state.longs, sizeof v);
    for (int i = 0; i < 80; i++) {
        t1 = v[7] + (right_long(v[4], 14) ^ right_long(v[4], 18) ^ right_long(v[4], 41)) +
            ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha2_k[i] + w[i];
        t2 = (right_long(v[0], 28) ^ right_long(v[0], 34) ^ right_long(v[0], 39)) +
            ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        d->state.longs[i] += v[i];
}

/* ---- SHA-1 ---- */

static uint32_t
sha1_mix(int i, const uint32_t *v)
{
    if (i < 20)
        return ((v[1] & v[2]) | (~v[1] & v[3])) + 0x5a827999;
    if (i < 40)
        return (v[1] ^ v[2] ^ v[3]) + 0x6ed9eba1;
    if (i < 60)
        return ((v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3])) + 0x8f1bbcdc;
    return (v[1] ^ v[2] ^ v[3]) + 0xca62c1d6;
}

static void
sha1_step(struct digest *d, const uint8_t *p)
{
    uint32_t w[80], v[5], t;

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)get_big(p + (size_t)4 * i, 4);
    for (int i = 16; i < 80; i++)
        w[i] = left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(v, d->state.words, sizeof v);
    for (int i = 0; i < 80; i++) {
        t = left(v[0], 5) + sha1_mix(i, v) + v[4] + w[i];
        memmove(v + 1, v, 4 * sizeof *v);
        v[2] = left(v[2], 30);
        v[0] = t;
    }
    for (int i = 0; i < 5; i++)
        d->state.words[i] += v[i];
}

/* ---- MD5 ---- */

static const uint32_t md5_k[64] = {
    0xd76aa478,
    0xe8c7b756,
    0x242070db,
    0xc1bdceee,
    0xf57c0faf,
    0x4787c62a,
    0xa8304613,
    0xfd469501,
    0x698098d8,
    0x8b44f7af,
    0xffff5bb1,
    0x895cd7be,
    0x6b901122,
    0xfd987193,
    0xa679438e,
    0x49b40821,
    0xf61e2562,
    0xc040b340,
    0x265e5a51,
    0xe9b6c7aa,
    0xd62f105d,
    0x02441453,
    0xd8a1e681,
    0xe7d3fbc8,
    0x21e1cde6,
    0xc33707d6,
    0xf4d50d87,
    0x455a14ed,
    0xa9e3e905,
    0xfcefa3f8,
    0x676f02d9,
    0x8d2a4c8a,
    0xfffa3942,
    0x8771f681,
    0x6d9d6122,
    0xfde5380c,
    0xa4beea44,
    0x4bdecfa9,
    0xf6bb4b60,
    0xbebfbc70,
    0x289b7ec6,
    0xeaa127fa,
    0xd4ef3085,
    0x04881d05,
    0xd9d4d039,
    0xe6db99e5,
    0x1fa27cf8,
    0xc4ac5665,
    0xf4292244,
    0x432aff97,
    0xab9423a7,
    0xfc93a039,
    0x655b59c3,
    0x8f0ccc92,
    0xffeff47d,
    0x85845dd1,
    0x6fa87e4f,
    0xfe2ce6e0,
    0xa3014314,
    0x4e0811a1,
    0xf7537e82,
    0xbd3af235,
    0x2ad7d2bb,
    0xeb86d391,
};
static const uint8_t md5_shift[4][4] = {
    {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static uint32_t
md5_mix(int i, const uint32_t *v, int *word)
{
    *word = i;
    if (i < 16)
        return (v[1] & v[2]) | (~v[1] & v[3]);
    *word = (5 * i + 1) % 16;
    if (i < 32)
        return (v[3] & v[1]) | (~v[3] & v[2]);
    *word = (3 * i + 5) % 16;
    if (i < 48)
        return v[1] ^ v[2] ^ v[3];
    *word = 7 * i % 16;
    return v[2] ^ (v[1] | ~v[3]);
}

static void
md5_step(struct digest *d, const uint8_t *p)
{
    uint32_t v[4], mixed;
    int at;

    memcpy(v, d->state.words, sizeof v);
    for (int i = 0; i < 64; i++) {
        mixed = v[0] + md5_mix(i, v, &at) + md5_k[i];
        mixed += __builtin_bswap32((uint32_t)get_big(p + (size_t)4 * at, 4));
        v[0] = v[3];
        v[3] = v[2];
        v[2] = v[1];
        v[1] += left(mixed, md5_shift[i / 16][i % 4]);
    }
    for (int i = 0; i < 4; i++)
        d->state.words[i] += v[i];
}

/* ---- all of them ---- */

static const struct digest_kind kinds[] = {
    {"sha256", 64, 32, sha256_step, 0, 0,
        {.words = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
             0x1f83d9ab, 0x5be0cd19}}},
    {"sha512", 128, 64, sha512_step, 1, 0,
        {.longs = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
             0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179}}},
    {"sha1", 64, 20, sha1_step, 0, 0,
        {.words = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}}},
    {"md5", 64, 16, md5_step, 0, 1, {.words = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}}},
};

int
digest_init(struct digest *d, const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            d->kind = &kinds[i];
            d->total = 0;
            memcpy(&d->state, &kinds[i].start, sizeof d->state);
            return 0;
        }
    return -1;
}

void
digest_update(struct digest *d, const void *p, size_t n)
{
    size_t block = d->kind->block, held = d->total % block;
    const uint8_t *from = p;

    d->total += n;
    if (held > 0 && held + n >= block) {
        memcpy(d->block + held, from, block - held);
        d->kind->step(d, d->block);
        from += block - held;
        n -= block - held;
        held = 0;
    }
    for (; n >= block; n -= block, from += block)
        d->kind->step(d, from);
    memcpy(d->block + held, from, n);
}

size_t
digest_final(struct digest *d, uint8_t out[DIGEST_MAX])
{
    static const uint8_t padding[128] = {0x80};
    size_t block = d->kind->block, length = block / 8, width = d->kind->is_long ? 8 : 4;
    size_t held = d->total % block;
    uint8_t bits[16] = {0};

    put(bits + (d->kind->is_little ? 0 : length - 8), d->total * 8, 8, d->kind->is_little);
    digest_update(d, padding, (held < block - length ? block - length : 2 * block - length) - held);
    digest_update(d, bits, length);
    for (size_t i = 0; i < d->kind->size / width; i++)
        put(out + i * width, d->kind->is_long ? d->state.longs[i] : d->state.words[i], width,
            d->kind->is_little);
    return d->kind->size;
}
