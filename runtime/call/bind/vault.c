/*
 * orrery.core, the part that is about encrypted files, by libsodium: for the controller, and not for agents. What a
 * file looks like is said in lua/orrery/vault.lua.
 *
 * A key is made of a passphrase by argon2id and never leaves its userdata. What is encrypted is encrypted with one that
 * is made of it and of the file's header, so that a header belongs to what follows it.
 */
#include <lauxlib.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bind.h"
#include "mem.h"

#define KEY "orrery.vault.key"
#define KEY_SIZE crypto_secretbox_KEYBYTES
#define CHECK_SIZE 16
#define MOST_RANDOM 1024

static uint8_t **
check_key(lua_State *L, int i)
{
    return luaL_checkudata(L, i, KEY);
}

static int
key_gc(lua_State *L)
{
    uint8_t **key = check_key(L, 1);

    if (*key)
        sodium_free(*key); /* overwrites it */
    *key = NULL;
    return 0;
}

/* vault_key(passphrase, salt, operations, bytes of memory) -> key; nil where there is not so much memory */
static int
core_vault_key(lua_State *L)
{
    size_t size, salt_size;
    const char *passphrase = luaL_checklstring(L, 1, &size);
    const char *salt = luaL_checklstring(L, 2, &salt_size);
    lua_Number operations = luaL_checknumber(L, 3), memory = luaL_checknumber(L, 4);
    uint8_t **key;

    luaL_argcheck(L, salt_size == crypto_pwhash_SALTBYTES, 2, "a salt has 16 bytes");
    luaL_argcheck(L, operations >= 1 && operations <= UINT32_MAX, 3, "out of range");
    luaL_argcheck(L, memory >= 8192 && memory <= UINT32_MAX, 4, "out of range");
    key = lua_newuserdata(L, sizeof *key);
    *key = NULL;
    luaL_getmetatable(L, KEY);
    lua_setmetatable(L, -2);
    *key = sodium_malloc(KEY_SIZE);
    if (!*key ||
        crypto_pwhash(*key, KEY_SIZE, passphrase, size, (const uint8_t *)salt,
            (unsigned long long)operations, (size_t)memory, crypto_pwhash_ALG_ARGON2ID13) != 0)
        lua_pushnil(L);
    return 1;
}

/* vault_check(key) -> 16 bytes that tell whether a passphrase is the right one, and nothing else */
static int
core_vault_check(lua_State *L)
{
    static const char what[] = "orrery vault: check";
    uint8_t **key = check_key(L, 1), check[CHECK_SIZE];

    crypto_generichash(check, sizeof check, (const uint8_t *)what, sizeof what - 1, *key, KEY_SIZE);
    lua_pushlstring(L, (const char *)check, sizeof check);
    return 1;
}

/* The key for what follows this header; owned (sodium_free). */
static uint8_t *
derive(const uint8_t *key, const char *header, size_t n)
{
    uint8_t *own = sodium_malloc(KEY_SIZE);

    if (own)
        crypto_generichash(own, KEY_SIZE, (const uint8_t *)header, n, key, KEY_SIZE);
    return own;
}

/* vault_seal(key, header, text) -> nonce and box; nil where there is no memory */
static int
core_vault_seal(lua_State *L)
{
    size_t header_size, n;
    uint8_t **key = check_key(L, 1), *own, *out;
    const char *header = luaL_checklstring(L, 2, &header_size), *text = luaL_checklstring(L, 3, &n);
    const size_t size = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + n;

    own = derive(*key, header, header_size);
    if (!own)
        return 0;
    out = xmalloc(size);
    randombytes_buf(out, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(out + crypto_secretbox_NONCEBYTES, (const uint8_t *)text, n, out, own);
    sodium_free(own);
    lua_pushlstring(L, (const char *)out, size);
    free(out);
    return 1;
}

/* vault_open(key, header, nonce and box) -> text; nil where it is not what was sealed */
static int
core_vault_open(lua_State *L)
{
    const size_t more = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
    size_t header_size, n;
    uint8_t **key = check_key(L, 1), *own, *out;
    const char *header = luaL_checklstring(L, 2, &header_size),
               *sealed = luaL_checklstring(L, 3, &n);
    const uint8_t *nonce = (const uint8_t *)sealed;

    if (n < more)
        return 0;
    own = derive(*key, header, header_size);
    if (!own)
        return 0;
    out = xmalloc(n - more + 1);
    if (crypto_secretbox_open_easy(out, nonce + crypto_secretbox_NONCEBYTES,
            n - crypto_secretbox_NONCEBYTES, nonce, own) == 0)
        lua_pushlstring(L, (const char *)out, n - more);
    else
        lua_pushnil(L);
    sodium_free(own);
    sodium_memzero(out, n - more);
    free(out);
    return 1;
}

/* vault_random(n) -> n bytes */
static int
core_vault_random(lua_State *L)
{
    uint8_t bytes[MOST_RANDOM];
    int n = luaL_checkint(L, 1);

    luaL_argcheck(L, n >= 0 && n <= MOST_RANDOM, 1, "out of range");
    randombytes_buf(bytes, (size_t)n);
    lua_pushlstring(L, (const char *)bytes, (size_t)n);
    return 1;
}

/* vault_equal(a, b) -> are they, found out in a time that says nothing of where they differ */
static int
core_vault_equal(lua_State *L)
{
    size_t n, m;
    const char *a = luaL_checklstring(L, 1, &n), *b = luaL_checklstring(L, 2, &m);

    lua_pushboolean(L, n == m && sodium_memcmp(a, b, n) == 0);
    return 1;
}

/* vault_encode(bytes) -> base64 */
static int
core_vault_encode(lua_State *L)
{
    size_t n, size;
    const char *bytes = luaL_checklstring(L, 1, &n);
    char *out;

    size = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
    out = xmalloc(size);
    sodium_bin2base64(out, size, (const uint8_t *)bytes, n, sodium_base64_VARIANT_ORIGINAL);
    lua_pushstring(L, out);
    free(out);
    return 1;
}

/* vault_decode(base64, with blanks and newlines in it) -> bytes; nil where it is none */
static int
core_vault_decode(lua_State *L)
{
    size_t n, size;
    const char *text = luaL_checklstring(L, 1, &n);
    uint8_t *out = xmalloc(n + 1);

    if (sodium_base642bin(
            out, n + 1, text, n, "\r\n ", &size, NULL, sodium_base64_VARIANT_ORIGINAL) == 0)
        lua_pushlstring(L, (const char *)out, size);
    else
        lua_pushnil(L);
    free(out);
    return 1;
}

/* vault_digest(text) -> 8 bytes by which accidents are seen */
static int
core_vault_digest(lua_State *L)
{
    uint8_t digest[crypto_generichash_BYTES];
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);

    crypto_generichash(digest, sizeof digest, (const uint8_t *)text, n, NULL, 0);
    lua_pushlstring(L, (const char *)digest, 8);
    return 1;
}

/* no_core_dump(): what this process knows is in no file when it crashes, and no other process looks into it */
static int
core_no_core_dump(lua_State *L)
{
    (void)prctl(PR_SET_DUMPABLE, 0);
    return 0;
}

void
vault_push_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"vault_key", core_vault_key},
        {"vault_check", core_vault_check},
        {"vault_seal", core_vault_seal},
        {"vault_open", core_vault_open},
        {"vault_random", core_vault_random},
        {"vault_equal", core_vault_equal},
        {"vault_encode", core_vault_encode},
        {"vault_decode", core_vault_decode},
        {"vault_digest", core_vault_digest},
        {"no_core_dump", core_no_core_dump},
        {NULL, NULL},
    };

    if (sodium_init() < 0)
        return; /* lua/orrery/vault.lua says that there is none */
    if (luaL_newmetatable(L, KEY)) {
        lua_pushcfunction(L, key_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_openlib(L, NULL, functions, 0);
}
