/*
 * Blowfish starts from 1042 words that are digits of pi. They are computed, which takes a tenth of a
 * second, once, and only where a passphrase is used: nobody would read through a table of them.
 */
#include "bcrypt.h"

#include <openssl/bn.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { SUBKEYS = 18, BOX = 256, WORDS = SUBKEYS + 4 * BOX, GUARD_BITS = 64, HASH = 32 };

/* p, then the four s-boxes; in this order the digits fill them. */
struct blowfish {
    uint32_t p[SUBKEYS];
    uint32_t s[4][BOX];
};

static struct blowfish digits;

/* sum += sign * factor * unity * arctan(1/x), by its series */
static void
add_arctan(BIGNUM *sum, const BIGNUM *unity, BN_ULONG x, BN_ULONG factor, int sign)
{
    BIGNUM *power = BN_dup(unity), *term = BN_new();

    must(power && term && BN_mul_word(power, factor));
    BN_div_word(power, x);
    for (BN_ULONG k = 1; !BN_is_zero(power); k += 2, sign = -sign) {
        must(BN_copy(term, power));
        BN_div_word(term, k);
        must(sign > 0 ? BN_add(sum, sum, term) : BN_sub(sum, sum, term));
        BN_div_word(power, x * x);
    }
    BN_free(power);
    BN_free(term);
}

static uint32_t
big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Machin: pi = 16 arctan(1/5) - 4 arctan(1/239) */
static void
compute_digits(void)
{
    BIGNUM *unity = BN_new(), *pi = BN_new();
    uint8_t bytes[WORDS * 4];

    must(unity && pi && BN_set_bit(unity, WORDS * 32 + GUARD_BITS));
    BN_zero(pi);
    add_arctan(pi, unity, 5, 16, 1);
    add_arctan(pi, unity, 239, 4, -1);
    BN_rshift(pi, pi, GUARD_BITS);
    BN_mask_bits(pi, WORDS * 32); /* without the 3 */
    must(BN_bn2binpad(pi, bytes, sizeof bytes) == sizeof bytes);
    for (int i = 0; i < WORDS; i++) {
        uint32_t word = big_endian(bytes + (size_t)i * 4);

        if (i < SUBKEYS)
            digits.p[i] = word;
        else
            digits.s[(i - SUBKEYS) / BOX][(i - SUBKEYS) % BOX] = word;
    }
    BN_free(unity);
    BN_free(pi);
}

static uint32_t
mix(const struct blowfish *b, uint32_t x)
{
    return ((b->s[0][x >> 24] + b->s[1][x >> 16 & 255]) ^ b->s[2][x >> 8 & 255]) + b->s[3][x & 255];
}

static void
encipher(const struct blowfish *b, uint32_t block[2])
{
    uint32_t l = block[0] ^ b->p[0], r = block[1];

    for (int i = 1; i < 17; i += 2) {
        r ^= mix(b, l) ^ b->p[i];
        l ^= mix(b, r) ^ b->p[i + 1];
    }
    block[0] = r ^ b->p[17];
    block[1] = l;
}

/* The next four bytes of text that goes round and round. */
static uint32_t
next_word(const uint8_t text[SHA512_DIGEST_LENGTH], unsigned *at)
{
    uint32_t word = 0;

    for (int i = 0; i < 4; i++, *at = (*at + 1) % SHA512_DIGEST_LENGTH)
        word = word << 8 | text[*at];
    return word;
}

/* Makes all words new, from what they were, a key, and a salt where there is one. */
static void
expand(struct blowfish *b, const uint8_t *salt, const uint8_t *key)
{
    uint32_t block[2] = {0, 0};
    unsigned at = 0, from = 0;

    for (int i = 0; i < SUBKEYS; i++)
        b->p[i] ^= next_word(key, &at);
    for (int i = 0; i < WORDS; i += 2) {
        uint32_t *to = i < SUBKEYS ? b->p + i : b->s[(i - SUBKEYS) / BOX] + (i - SUBKEYS) % BOX;

        if (salt) {
            block[0] ^= next_word(salt, &from);
            block[1] ^= next_word(salt, &from);
        }
        encipher(b, block);
        to[0] = block[0];
        to[1] = block[1];
    }
}

static void
hash(const uint8_t *pass, const uint8_t *salt, uint8_t out[HASH])
{
    static const uint8_t text[HASH + 1] = "OxychromaticBlowfishSwatDynamite";
    struct blowfish b = digits;
    uint32_t words[HASH / 4];

    expand(&b, salt, pass);
    for (int i = 0; i < 64; i++) {
        expand(&b, NULL, salt);
        expand(&b, NULL, pass);
    }
    for (int i = 0; i < HASH / 4; i++)
        words[i] = big_endian(text + (size_t)i * 4);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < HASH / 4; j += 2)
            encipher(&b, words + j);
    for (int i = 0; i < HASH; i++)
        out[i] = (uint8_t)(words[i / 4] >> i % 4 * 8);
    explicit_bzero(&b, sizeof b);
    explicit_bzero(words, sizeof words);
}

/* One block of the key: `rounds` hashes of hashes, the first one of the salt. */
static void
derive(const uint8_t *pass, const uint8_t *salt, size_t salt_len, uint32_t count, uint32_t rounds,
    uint8_t out[HASH])
{
    uint8_t digest[SHA512_DIGEST_LENGTH], *numbered = xmalloc(salt_len + 4), last[HASH];

    memcpy(numbered, salt, salt_len);
    for (int i = 0; i < 4; i++)
        numbered[salt_len + (size_t)i] = (uint8_t)(count >> (24 - 8 * i));
    SHA512(numbered, salt_len + 4, digest);
    free(numbered);
    hash(pass, digest, last);
    memcpy(out, last, HASH);
    for (uint32_t i = 1; i < rounds; i++) {
        SHA512(last, HASH, digest);
        hash(pass, digest, last);
        for (int j = 0; j < HASH; j++)
            out[j] ^= last[j];
    }
    explicit_bzero(last, sizeof last);
}

void
bcrypt_pbkdf(const char *passphrase, const uint8_t *salt, size_t salt_len, uint32_t rounds,
    uint8_t *key, size_t key_len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t pass[SHA512_DIGEST_LENGTH], block[HASH];
    size_t stride = (key_len + HASH - 1) / HASH, amount = (key_len + stride - 1) / stride;

    pthread_once(&once, compute_digits);
    SHA512((const uint8_t *)passphrase, strlen(passphrase), pass);
    /* Blocks are spread over the key, not put one behind the other. */
    for (size_t n = 0; n < stride; n++) {
        derive(pass, salt, salt_len, (uint32_t)n + 1, rounds, block);
        for (size_t i = 0; i < amount && i * stride + n < key_len; i++)
            key[i * stride + n] = block[i];
    }
    explicit_bzero(pass, sizeof pass);
    explicit_bzero(block, sizeof block);
}
