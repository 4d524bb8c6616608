/* orrery.core, the part that is about the fields of payloads that C reads and writes (wire/pack.h). */
#include <lauxlib.h>
#include <string.h>

#include "pack.h"
#include "vm_private.h"

/* pack(format, ...) -> string; format: 1 u8, 4 u32, 8 u64, s string */
int
vm_core_pack(lua_State *L)
{
    const char *f = luaL_checkstring(L, 1);
    struct buf b = {0};
    size_t n;

    /* Everything is checked before anything is allocated, since a check may jump. */
    for (int i = 0; f[i]; i++)
        if (f[i] == 's')
            luaL_checkstring(L, i + 2);
        else
            luaL_checknumber(L, i + 2);
    for (int i = 0; f[i]; i++) {
        if (f[i] == 's') {
            const char *s = lua_tolstring(L, i + 2, &n);

            pack_bytes(&b, s, n);
        } else if (f[i] == '8') {
            pack_u64(&b, (uint64_t)lua_tonumber(L, i + 2));
        } else if (f[i] == '4') {
            pack_u32(&b, (uint32_t)lua_tonumber(L, i + 2));
        } else {
            pack_u8(&b, (uint8_t)lua_tonumber(L, i + 2));
        }
    }
    lua_pushlstring(L, b.data ? (const char *)buf_head(&b) : "", buf_len(&b));
    buf_fini(&b);
    return 1;
}

/* unpack(format, string) -> values, or nothing where the string is not of that form. * is the rest. */
int
vm_core_unpack(lua_State *L)
{
    const char *f = luaL_checkstring(L, 1);
    size_t n;
    const char *s = luaL_checklstring(L, 2, &n);
    struct unpack u;
    int top = lua_gettop(L);

    luaL_checkstack(L, (int)strlen(f), "unpack");
    unpack_init(&u, s, n);
    for (; *f; f++) {
        if (*f == 's') {
            const char *p = unpack_bytes(&u, &n);

            lua_pushlstring(L, p, n);
        } else if (*f == '*') {
            lua_pushlstring(L, (const char *)u.p, unpack_left(&u));
            u.p = u.end;
        } else {
            lua_pushnumber(L,
                *f == '8'       ? (lua_Number)unpack_u64(&u)
                    : *f == '4' ? (lua_Number)unpack_u32(&u)
                                : (lua_Number)unpack_u8(&u));
        }
    }
    if (unpack_done(&u, "unpack", NULL) < 0)
        return 0;
    return lua_gettop(L) - top;
}
