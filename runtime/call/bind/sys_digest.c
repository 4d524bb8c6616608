/* orrery.sys, digests of files and texts: those of digest.h, and BLAKE2b, by which files are known to be the same. */
#include <blake2.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "sys_private.h"

#define PIECE 32768
#define BLAKE2B_SIZE 32 /* as the file service has it */

struct any_digest {
    int is_blake;
    struct digest d;
    blake2b_state blake;
};

static int
any_init(struct any_digest *a, const char *name)
{
    a->is_blake = strcmp(name, "blake2b") == 0;
    return a->is_blake ? blake2b_init(&a->blake, BLAKE2B_SIZE) : digest_init(&a->d, name);
}

static void
any_update(struct any_digest *a, const void *p, size_t n)
{
    if (a->is_blake)
        blake2b_update(&a->blake, p, n);
    else
        digest_update(&a->d, p, n);
}

static int
push_hex(lua_State *L, struct any_digest *a)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[DIGEST_MAX];
    char hex[2 * DIGEST_MAX];
    size_t n = BLAKE2B_SIZE;

    if (a->is_blake)
        blake2b_final(&a->blake, raw, BLAKE2B_SIZE);
    else
        n = digest_final(&a->d, raw);
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    lua_pushlstring(L, hex, 2 * n);
    return 1;
}

static int
no_kind(lua_State *L, const char *name)
{
    lua_pushnil(L);
    lua_pushfstring(
        L, "no digest is called '%s': there are sha256, sha512, sha1, md5, blake2b", name);
    lua_pushliteral(L, "EINVAL");
    return 3;
}

/* digest(content, kind = "sha256") -> hex */
static int
sys_digest(lua_State *L)
{
    size_t n;
    const char *content = luaL_checklstring(L, 1, &n), *kind = luaL_optstring(L, 2, "sha256");
    struct any_digest a;

    if (any_init(&a, kind) < 0)
        return no_kind(L, kind);
    any_update(&a, content, n);
    return push_hex(L, &a);
}

/* hash(path, kind = "sha256") -> hex, of the file's content */
static int
sys_hash(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *kind = luaL_optstring(L, 2, "sha256");
    struct any_digest a;
    char piece[PIECE];
    ssize_t n;
    int fd, error;

    if (any_init(&a, kind) < 0)
        return no_kind(L, kind);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return sys_fail(L, errno, path);
    while ((n = read(fd, piece, sizeof piece)) > 0)
        any_update(&a, piece, (size_t)n);
    error = errno;
    close(fd);
    return n < 0 ? sys_fail(L, error, path) : push_hex(L, &a);
}

void
sys_push_digests(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"digest", sys_digest},
        {"hash", sys_hash},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
