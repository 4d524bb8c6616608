#include "compress.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <zlib.h>

#include "mem.h"

#define MOST (64u << 20) /* of a message */

/* DEFLATE without a header: what expand.c reads. */
static int
deflate_all(z_stream *z, const char *text, size_t n, unsigned char *data, size_t room)
{
    int rc;

    if (deflateInit2(z, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
            Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    z->next_in = (unsigned char *)(uintptr_t)text;
    z->avail_in = (unsigned)n;
    z->next_out = data;
    z->avail_out = (unsigned)room;
    rc = deflate(z, Z_FINISH);
    deflateEnd(z);
    return rc == Z_STREAM_END ? 0 : -1;
}

/* compress(text) -> data for expand; nothing where it cannot */
static int
core_compress(lua_State *L)
{
    size_t n, room;
    const char *text = luaL_checklstring(L, 1, &n);
    unsigned char *data;
    z_stream z = {0};
    int rc;

    if (n > MOST)
        return 0;
    room = compressBound(n);
    data = xmalloc(room);
    rc = deflate_all(&z, text, n, data, room);
    if (rc == 0)
        lua_pushlstring(L, (const char *)data, z.total_out);
    free(data);
    return rc == 0 ? 1 : 0;
}

void
vm_add_compress(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_getfield(L, -1, "orrery.core");
    lua_pushcfunction(L, core_compress);
    lua_setfield(L, -2, "compress");
    lua_pop(L, 3);
}
