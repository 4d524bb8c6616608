#include "keystream.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 16, IV = 16, BLOCK = 16, AHEAD = 4096 };

struct keystream {
    EVP_CIPHER_CTX *aes;
    size_t used; /* of `bytes` */
    uint8_t bytes[AHEAD];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *openssl_aes;

static void
find_aes(void)
{
    openssl_aes = EVP_CIPHER_fetch(NULL, "AES-128-CTR", "provider=default");
}

static void *
create(void *provider)
{
    struct keystream *k = calloc(1, sizeof *k);

    pthread_once(&once, find_aes); /* costs what the first SSH session costs without us */
    if (k && openssl_aes)
        k->aes = EVP_CIPHER_CTX_new();
    if (k && k->aes)
        return k;
    free(k);
    return NULL;
}

static void
destroy(void *p)
{
    struct keystream *k = p;

    EVP_CIPHER_CTX_free(k->aes);
    OPENSSL_cleanse(k, sizeof *k);
    free(k);
}

/* Of the key and the counter either may be kept. */
static int
start(void *p, const unsigned char *key, size_t key_len, const unsigned char *iv, size_t iv_len,
    const OSSL_PARAM params[])
{
    struct keystream *k = p;

    if ((key && key_len != KEY) || (iv && iv_len != IV))
        return 0;
    k->used = AHEAD;
    return EVP_EncryptInit_ex2(k->aes, key ? openssl_aes : NULL, key, iv, NULL);
}

static int
refill(struct keystream *k)
{
    static const uint8_t zeros[AHEAD];
    int n;

    k->used = 0;
    return EVP_EncryptUpdate(k->aes, k->bytes, &n, zeros, AHEAD);
}

/* What the keystream turns plain into encrypted, it turns back. out may be in. */
static int
convert(
    void *p, unsigned char *out, size_t *out_len, size_t room, const unsigned char *in, size_t n)
{
    struct keystream *k = p;

    if (room < n)
        return 0;
    *out_len = n;
    if (n == BLOCK && AHEAD - k->used >= BLOCK) {
        uint64_t data[2], stream[2];

        memcpy(data, in, BLOCK);
        memcpy(stream, k->bytes + k->used, BLOCK);
        data[0] ^= stream[0];
        data[1] ^= stream[1];
        memcpy(out, data, BLOCK);
        k->used += BLOCK;
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        if (k->used == AHEAD && refill(k) != 1)
            return 0;
        out[i] = in[i] ^ k->bytes[k->used++];
    }
    return 1;
}

static int
finish(void *p, unsigned char *out, size_t *out_len, size_t room)
{
    *out_len = 0;
    return 1;
}

static int
get_params(OSSL_PARAM params[])
{
    OSSL_PARAM *mode = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);
    OSSL_PARAM *key = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_KEYLEN);
    OSSL_PARAM *iv = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_IVLEN);
    OSSL_PARAM *block = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_BLOCK_SIZE);

    return (!mode || OSSL_PARAM_set_uint(mode, EVP_CIPH_CTR_MODE)) &&
        (!key || OSSL_PARAM_set_size_t(key, KEY)) && (!iv || OSSL_PARAM_set_size_t(iv, IV)) &&
        (!block || OSSL_PARAM_set_size_t(block, 1)); /* as for any stream cipher */
}

static int
get_context_params(void *p, OSSL_PARAM params[])
{
    return get_params(params);
}

#define ENTRY(number, function)            \
    {                                      \
        number, (void (*)(void))(function) \
    }

static const OSSL_DISPATCH functions[] = {
    ENTRY(OSSL_FUNC_CIPHER_NEWCTX, create),
    ENTRY(OSSL_FUNC_CIPHER_FREECTX, destroy),
    ENTRY(OSSL_FUNC_CIPHER_ENCRYPT_INIT, start),
    ENTRY(OSSL_FUNC_CIPHER_DECRYPT_INIT, start),
    ENTRY(OSSL_FUNC_CIPHER_UPDATE, convert),
    ENTRY(OSSL_FUNC_CIPHER_FINAL, finish),
    ENTRY(OSSL_FUNC_CIPHER_CIPHER, convert),
    ENTRY(OSSL_FUNC_CIPHER_GET_PARAMS, get_params),
    ENTRY(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, get_context_params),
    {0, NULL},
};

/* Not the longer keys: OpenSSL's random numbers come from AES-256-CTR, and are none of our business. */
static const OSSL_ALGORITHM ciphers[] = {
    {"AES-128-CTR", "provider=orrery", functions, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_store)
{
    *no_store = 0;
    return operation == OSSL_OP_CIPHER ? ciphers : NULL;
}

static int
provide(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
    void **provider)
{
    static const OSSL_DISPATCH ours[] = {
        ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
        {0, NULL},
    };

    *out = ours;
    *provider = &openssl_aes; /* anything but NULL */
    return 1;
}

void
keystream_ahead(void)
{
    /* By name, because nothing is loaded by itself any more once something was loaded by name. */
    if (!EVP_default_properties_is_fips_enabled(NULL) && OSSL_PROVIDER_load(NULL, "default") &&
        OSSL_PROVIDER_add_builtin(NULL, "orrery", provide) && OSSL_PROVIDER_load(NULL, "orrery"))
        EVP_set_default_properties(NULL, "?provider=orrery");
}
