#include "private_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bcrypt.h"

enum { SECRET_MAX = 64 + 16, ROUNDS_MAX = 1 << 16 };

/* ---- OpenSSH's format ---- */

/* What an OpenSSH key file holds, borrowed from its decoded text. */
struct container {
    char cipher[32], kdf[32];
    const uint8_t *salt;
    size_t salt_len;
    uint32_t rounds;
    const uint8_t *body; /* encrypted, perhaps */
    size_t body_len;
};

static bool
get_name(const uint8_t **p, const uint8_t *end, char *to, size_t cap)
{
    const uint8_t *s;
    size_t n;

    if (!wire_string(p, end, &s, &n) || n >= cap)
        return false;
    copy_printable(to, cap, s, n);
    return true;
}

static bool
get_u32(const uint8_t **p, const uint8_t *end, uint32_t *v)
{
    const uint8_t *b = *p;

    if (end - b < 4)
        return false;
    *v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    *p = b + 4;
    return true;
}

static bool
open_container(struct container *c, const uint8_t *raw, size_t n)
{
    static const char magic[] = "openssh-key-v1";
    const uint8_t *p = raw + sizeof magic, *end = raw + n, *options, *s;
    size_t options_len, len;
    uint32_t count;

    if (n < sizeof magic || memcmp(raw, magic, sizeof magic) != 0 ||
        !get_name(&p, end, c->cipher, sizeof c->cipher) ||
        !get_name(&p, end, c->kdf, sizeof c->kdf) ||
        !wire_string(&p, end, &options, &options_len) || !get_u32(&p, end, &count) || count != 1 ||
        !wire_string(&p, end, &s, &len) || !wire_string(&p, end, &c->body, &c->body_len))
        return false;
    if (strcmp(c->kdf, "bcrypt") != 0)
        return strcmp(c->kdf, "none") == 0;
    p = options;
    end = options + options_len;
    return wire_string(&p, end, &c->salt, &c->salt_len) && get_u32(&p, end, &c->rounds) &&
        c->rounds > 0 && c->rounds <= ROUNDS_MAX;
}

static const EVP_CIPHER *
cipher_named(const char *name)
{
    static const struct {
        const char *name;
        const EVP_CIPHER *(*cipher)(void);
    } ciphers[] = {
        {"aes256-ctr", EVP_aes_256_ctr},
        {"aes192-ctr", EVP_aes_192_ctr},
        {"aes128-ctr", EVP_aes_128_ctr},
        {"aes256-cbc", EVP_aes_256_cbc},
        {"aes192-cbc", EVP_aes_192_cbc},
        {"aes128-cbc", EVP_aes_128_cbc},
    };

    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++)
        if (strcmp(ciphers[i].name, name) == 0)
            return ciphers[i].cipher();
    return NULL;
}

/* To `out`, which has room for as much. */
static bool
decrypt(const struct container *c, const char *passphrase, uint8_t *out)
{
    const EVP_CIPHER *cipher = cipher_named(c->cipher);
    EVP_CIPHER_CTX *ctx;
    uint8_t secret[SECRET_MAX];
    int key_len, n = 0, ok;

    if (strcmp(c->cipher, "none") == 0) {
        memcpy(out, c->body, c->body_len);
        return true;
    }
    if (!cipher || strcmp(c->kdf, "bcrypt") != 0)
        return false;
    key_len = EVP_CIPHER_get_key_length(cipher);
    bcrypt_pbkdf(passphrase, c->salt, c->salt_len, c->rounds, secret,
        (size_t)key_len + (size_t)EVP_CIPHER_get_iv_length(cipher));
    ctx = EVP_CIPHER_CTX_new();
    ok = EVP_DecryptInit_ex(ctx, cipher, NULL, secret, secret + key_len) &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) &&
        EVP_DecryptUpdate(ctx, out, &n, c->body, (int)c->body_len) && (size_t)n == c->body_len;
    EVP_CIPHER_CTX_free(ctx);
    explicit_bzero(secret, sizeof secret);
    return ok == 1;
}

static BIGNUM *
get_number(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *s;
    size_t n;

    return wire_string(p, end, &s, &n) ? BN_bin2bn(s, (int)n, NULL) : NULL;
}

/* Takes the builder. */
static EVP_PKEY *
build(const char *kind, OSSL_PARAM_BLD *builder, bool complete)
{
    OSSL_PARAM *params = complete ? OSSL_PARAM_BLD_to_param(builder) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *
read_rsa(const uint8_t *p, const uint8_t *end)
{
    enum { N, E, D, INVERSE, P, Q, STORED, DP = STORED, DQ, COUNT };
    static const char *const names[COUNT] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *numbers[COUNT] = {NULL}, *less = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    bool ok = true;
    EVP_PKEY *key;

    for (int i = 0; i < STORED; i++)
        ok &= (numbers[i] = get_number(&p, end)) != NULL;
    for (int i = DP; ok && i < COUNT; i++) { /* d mod (p - 1) */
        numbers[i] = BN_new();
        ok = BN_sub(less, numbers[i - DP + P], BN_value_one()) &&
            BN_mod(numbers[i], numbers[D], less, ctx);
    }
    for (int i = 0; ok && i < COUNT; i++)
        ok = OSSL_PARAM_BLD_push_BN(builder, names[i], numbers[i]) == 1;
    key = build("RSA", builder, ok);
    for (int i = 0; i < COUNT; i++)
        BN_clear_free(numbers[i]);
    BN_clear_free(less);
    BN_CTX_free(ctx);
    return key;
}

static EVP_PKEY *
read_ecdsa(const uint8_t *p, const uint8_t *end)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *secret = NULL;
    const uint8_t *point;
    char curve[32], group[16];
    size_t n;
    EVP_PKEY *key;
    bool ok = get_name(&p, end, curve, sizeof curve) && strncmp(curve, "nistp", 5) == 0 &&
        wire_string(&p, end, &point, &n) && (secret = get_number(&p, end)) != NULL;

    if (ok) {
        snprintf(group, sizeof group, "P-%.8s", curve + 5);
        ok = OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, n) &&
            OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret);
    }
    key = build("EC", builder, ok);
    BN_clear_free(secret);
    return key;
}

static EVP_PKEY *
read_ed25519(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *public, *s;
    size_t public_len, n;

    if (!wire_string(&p, end, &public, &public_len) || !wire_string(&p, end, &s, &n) || n != 64)
        return NULL;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, s, 32);
}

/* The decrypted part: twice the same number, the kind of key, and what makes it up. */
static EVP_PKEY *
read_body(const uint8_t *p, size_t n, bool *wrong)
{
    const uint8_t *end = p + n;
    uint32_t a, b;
    char type[64];

    if (!get_u32(&p, end, &a) || !get_u32(&p, end, &b) || a != b) {
        *wrong = true;
        return NULL;
    }
    if (!get_name(&p, end, type, sizeof type))
        return NULL;
    if (strcmp(type, "ssh-rsa") == 0)
        return read_rsa(p, end);
    if (strncmp(type, "ecdsa-sha2-", 11) == 0)
        return read_ecdsa(p, end);
    return strcmp(type, "ssh-ed25519") == 0 ? read_ed25519(p, end) : NULL;
}

static EVP_PKEY *
load_openssh(const char *text, size_t text_len, const char *passphrase, bool *wrong)
{
    uint8_t *raw = xmalloc(text_len + 1), *body = xmalloc(text_len + 1);
    ssize_t n = base64_decode(raw, text_len, text, text_len);
    struct container c = {.cipher = ""};
    EVP_PKEY *key = NULL;

    if (n > 0 && open_container(&c, raw, (size_t)n) && decrypt(&c, passphrase, body))
        key = read_body(body, c.body_len, wrong);
    explicit_bzero(raw, text_len + 1);
    explicit_bzero(body, text_len + 1);
    free(raw);
    free(body);
    return key;
}

/* ---- PEM ---- */

struct given {
    const char *passphrase;
    bool asked;
};

static int
give_passphrase(char *to, int cap, int writing, void *arg)
{
    struct given *g = arg;
    size_t n = strlen(g->passphrase);

    g->asked = true;
    if (n > (size_t)cap)
        return -1;
    memcpy(to, g->passphrase, n);
    return (int)n;
}

static EVP_PKEY *
load_pem(const struct keyfile *k, const char *passphrase, bool *wrong)
{
    struct given given = {.passphrase = passphrase};
    BIO *in = BIO_new_mem_buf(k->text, (int)k->text_len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, give_passphrase, &given);

    BIO_free(in);
    *wrong = !key && given.asked;
    return key;
}

EVP_PKEY *
private_key_load(const struct keyfile *k, const char *passphrase, bool *wrong)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    const char *start = k->text ? strstr(k->text, begin) : NULL, *stop;

    *wrong = false;
    if (!k->text)
        return NULL;
    if (!start)
        return load_pem(k, passphrase, wrong);
    start += sizeof begin - 1;
    stop = strstr(start, "-----END");
    return stop ? load_openssh(start, (size_t)(stop - start), passphrase, wrong) : NULL;
}

void
private_key_free(EVP_PKEY *key)
{
    EVP_PKEY_free(key);
}

/* ---- signing ---- */

static void
put_number(struct buf *b, const BIGNUM *v)
{
    uint8_t bytes[1 + 128] = {0};
    int n = BN_bn2bin(v, bytes + 1);

    /* It has a sign: what begins with a 1 needs a 0 in front. */
    if (n > 0 && bytes[1] & 0x80)
        wire_put_string(b, bytes, (size_t)n + 1);
    else
        wire_put_string(b, bytes + 1, (size_t)n);
}

/* OpenSSL's DER to two numbers as SSH has them; replaces *sig. */
static bool
rewrite_ecdsa(uint8_t **sig, size_t *sig_len)
{
    const uint8_t *p = *sig;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &p, (long)*sig_len);
    struct buf b = {0};

    if (!pair)
        return false;
    put_number(&b, ECDSA_SIG_get0_r(pair));
    put_number(&b, ECDSA_SIG_get0_s(pair));
    ECDSA_SIG_free(pair);
    free(*sig);
    *sig_len = buf_len(&b);
    *sig = b.data;
    return true;
}

static const struct algorithm {
    const char *name;
    int key;
    const EVP_MD *(*digest)(void);
} algorithms[] = {
    {"ssh-ed25519", EVP_PKEY_ED25519, NULL},
    {"rsa-sha2-256", EVP_PKEY_RSA, EVP_sha256},
    {"rsa-sha2-512", EVP_PKEY_RSA, EVP_sha512},
    {"ecdsa-sha2-nistp256", EVP_PKEY_EC, EVP_sha256},
    {"ecdsa-sha2-nistp384", EVP_PKEY_EC, EVP_sha384},
    {"ecdsa-sha2-nistp521", EVP_PKEY_EC, EVP_sha512},
};

static const struct algorithm *
algorithm_named(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

bool
private_key_sign(EVP_PKEY *key, const char *name, const uint8_t *data, size_t data_len,
    uint8_t **sig, size_t *sig_len)
{
    const struct algorithm *algorithm = algorithm_named(name);
    EVP_MD_CTX *ctx;
    size_t n = 0;
    bool ok;

    *sig = NULL;
    if (!algorithm || EVP_PKEY_get_base_id(key) != algorithm->key)
        return false;
    ctx = EVP_MD_CTX_new();
    ok = EVP_DigestSignInit(ctx, NULL, algorithm->digest ? algorithm->digest() : NULL, NULL, key) ==
            1 &&
        EVP_DigestSign(ctx, NULL, &n, data, data_len) == 1;
    if (ok) {
        *sig = xmalloc(n);
        ok = EVP_DigestSign(ctx, *sig, &n, data, data_len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    *sig_len = n;
    if (ok && algorithm->key == EVP_PKEY_EC)
        ok = rewrite_ecdsa(sig, sig_len);
    if (!ok) {
        free(*sig);
        *sig = NULL;
    }
    return ok;
}
