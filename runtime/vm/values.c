#include "values.h"

#include <endian.h>
#include <string.h>

#include "scan.h"

/* How long a string's tag is, which is its length, too. */
static size_t
head_size(size_t n)
{
    n += SCAN_STRING;
    return n < 0xe0 ? 1 : n < 0x1fe0 ? 2 : 5;
}

static uint8_t *
write_head(uint8_t *p, size_t n)
{
    uint32_t tag = (uint32_t)n + SCAN_STRING, little = htole32(tag);

    if (tag < 0xe0) {
        *p++ = (uint8_t)tag;
    } else if (tag < 0x1fe0) {
        *p++ = (uint8_t)(0xe0 + ((tag - 0xe0) >> 8));
        *p++ = (uint8_t)(tag - 0xe0);
    } else {
        *p++ = 0xff;
        memcpy(p, &little, sizeof little);
        p += sizeof little;
    }
    return p;
}

static uint8_t *
write_double(uint8_t *p, lua_Number number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    bits = htole64(bits);
    *p++ = SCAN_NUMBER;
    memcpy(p, &bits, sizeof bits);
    return p + sizeof bits;
}

static lua_Number
read_double(const uint8_t *p)
{
    uint64_t bits;
    lua_Number number;

    memcpy(&bits, p, sizeof bits);
    bits = le64toh(bits);
    memcpy(&number, &bits, sizeof number);
    return number;
}

static int32_t
read_int(const uint8_t *p)
{
    uint32_t bits;

    memcpy(&bits, p, sizeof bits);
    return (int32_t)le32toh(bits);
}

int64_t
values_size(lua_State *L, int first)
{
    int top = lua_gettop(L);
    int64_t size = 0;

    if (top - first >= VALUES_MAX)
        return -1;
    for (int i = first; i <= top; i++)
        switch (lua_type(L, i)) {
        case LUA_TNIL:
        case LUA_TBOOLEAN: size += 1; break;
        case LUA_TNUMBER: size += 1 + (int64_t)sizeof(lua_Number); break;
        case LUA_TSTRING: {
            size_t n = lua_objlen(L, i);

            size += (int64_t)(head_size(n) + n);
            break;
        }
        case LUA_TLIGHTUSERDATA: /* an address means nothing elsewhere */
            if (lua_touserdata(L, i))
                return -1;
            size += 1;
            break;
        default: return -1;
        }
    return size;
}

void
values_write(lua_State *L, int first, uint8_t *p)
{
    int top = lua_gettop(L);

    for (int i = first; i <= top; i++)
        switch (lua_type(L, i)) {
        case LUA_TNUMBER: p = write_double(p, lua_tonumber(L, i)); break;
        case LUA_TSTRING: {
            size_t n;
            const char *s = lua_tolstring(L, i, &n);

            p = write_head(p, n);
            memcpy(p, s, n);
            p += n;
            break;
        }
        case LUA_TBOOLEAN: *p++ = lua_toboolean(L, i) ? SCAN_TRUE : SCAN_FALSE; break;
        case LUA_TLIGHTUSERDATA: *p++ = SCAN_NULL; break;
        default: *p++ = SCAN_NIL;
        }
}

int
values_push(lua_State *L, struct msg *m)
{
    const uint8_t *p = msg_payload(m), *end = p + m->h.length;
    int64_t count = scan_plain(p, m->h.length);
    uint32_t tag;

    if (count < 0 || count > VALUES_MAX || !lua_checkstack(L, (int)count + 1))
        return -1;
    lua_pushnumber(L, (lua_Number)count);
    while (scan_number(&p, end, &tag))
        switch (tag) {
        case SCAN_NIL: lua_pushnil(L); break;
        case SCAN_FALSE:
        case SCAN_TRUE: lua_pushboolean(L, tag == SCAN_TRUE); break;
        case SCAN_NULL: lua_pushlightuserdata(L, NULL); break;
        case SCAN_INT:
            lua_pushnumber(L, read_int(p));
            p += sizeof(int32_t);
            break;
        case SCAN_NUMBER:
            lua_pushnumber(L, read_double(p));
            p += sizeof(lua_Number);
            break;
        default: lua_pushlstring(L, (const char *)p, tag - SCAN_STRING); p += tag - SCAN_STRING;
        }
    return (int)count + 1;
}
