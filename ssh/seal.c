/*
 * X25519 with a key pair for each answer, and AES-256-GCM with the hash of what the two have in common. As no
 * key is used twice, the nonce can be 0.
 *
 * A sealed text is base64 of: the sealer's public key, the tag, the ciphertext.
 */
#include "seal.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"

enum { POINT = 32, TAG = 16, HEAD = POINT + TAG };

static void
get_public(EVP_PKEY *key, uint8_t point[POINT])
{
    size_t n = POINT;

    must(EVP_PKEY_get_raw_public_key(key, point, &n) == 1 && n == POINT);
}

EVP_PKEY *
seal_key_create(char **public)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    uint8_t point[POINT];

    must(key);
    get_public(key, point);
    *public = base64_encode(point, POINT, true);
    return key;
}

void
seal_key_free(EVP_PKEY *key)
{
    EVP_PKEY_free(key);
}

/* What only the owners of the two keys know. */
static bool
agree(EVP_PKEY *mine, const uint8_t theirs[POINT], const uint8_t sealer[POINT], uint8_t secret[32])
{
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, theirs, POINT);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    uint8_t shared[POINT + POINT];
    size_t n = POINT;
    bool ok = other && ctx && EVP_PKEY_derive_init(ctx) == 1 &&
        EVP_PKEY_derive_set_peer(ctx, other) == 1 && EVP_PKEY_derive(ctx, shared, &n) == 1;

    if (ok) {
        memcpy(shared + POINT, sealer, POINT);
        SHA256(shared, sizeof shared, secret);
    }
    explicit_bzero(shared, sizeof shared);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
    return ok;
}

/* Writes n bytes to `out`; the tag is made, or must be right. */
static bool
cipher(bool sealing, const uint8_t secret[32], uint8_t tag[TAG], const uint8_t *in, size_t n,
    uint8_t *out)
{
    static const uint8_t nonce[12];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int len = 0;
    bool ok = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, secret, nonce, sealing) == 1 &&
        EVP_CipherUpdate(ctx, out, &len, in, (int)n) == 1;

    if (ok && !sealing)
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1;
    ok = ok && EVP_CipherFinal_ex(ctx, rest, &len) == 1;
    if (ok && sealing)
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

char *
seal(const char *public, const char *text)
{
    size_t n = strlen(text);
    uint8_t theirs[POINT], secret[32], *out = xmalloc(HEAD + n);
    char *mine, *sealed = NULL;
    EVP_PKEY *key;

    if (base64_decode(theirs, POINT, public, strlen(public)) == POINT) {
        key = seal_key_create(&mine);
        get_public(key, out);
        if (agree(key, theirs, out, secret) &&
            cipher(true, secret, out + POINT, (const uint8_t *)text, n, out + HEAD))
            sealed = base64_encode(out, HEAD + n, true);
        explicit_bzero(secret, sizeof secret);
        seal_key_free(key);
        free(mine);
    }
    free(out);
    return sealed;
}

char *
seal_open(EVP_PKEY *key, const char *sealed)
{
    size_t cap = strlen(sealed);
    uint8_t *in = xmalloc(cap + 1), secret[32];
    ssize_t n = base64_decode(in, cap, sealed, cap);
    char *text = NULL;

    if (n >= HEAD && agree(key, in, in, secret)) {
        text = xcalloc(1, (size_t)n - HEAD + 1);
        if (!cipher(false, secret, in + POINT, in + HEAD, (size_t)n - HEAD, (uint8_t *)text)) {
            free(text);
            text = NULL;
        }
        explicit_bzero(secret, sizeof secret);
    }
    free(in);
    return text;
}
