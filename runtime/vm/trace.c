/* orrery.core, the part that is about the messages of this process (stream/trace.h). */
#include "trace.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "vm_private.h"

static void
set_number(lua_State *L, const char *key, double n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, key);
}

static void
set_bool(lua_State *L, const char *key, bool b)
{
    lua_pushboolean(L, b);
    lua_setfield(L, -2, key);
}

static void
push_entry(lua_State *L, const struct trace_entry *e)
{
    lua_createtable(L, 0, 14);
    set_number(L, "at", (double)e->at / 1e9);
    set_bool(L, "sent", e->sent);
    lua_pushstring(L, frame_handle_name(e->h.handle));
    lua_setfield(L, -2, "name");
    set_number(L, "handle", e->h.handle);
    set_number(L, "src", e->h.src);
    set_number(L, "dst", e->h.dst);
    set_number(L, "seq", e->h.seq);
    set_number(L, "reply", e->h.reply);
    set_number(L, "bytes", (double)FRAME_HEADER + e->h.length);
    set_bool(L, "error", e->h.flags & FRAME_ERROR);
    set_bool(L, "dead", e->h.flags & FRAME_DEAD);
    set_bool(L, "more", e->h.flags & FRAME_MORE);
    lua_pushstring(L, e->stream);
    lua_setfield(L, -2, "stream");
}

static int
push_entries(lua_State *L)
{
    const struct trace_entry *list = lua_touserdata(L, 1);
    size_t n = (size_t)lua_tonumber(L, 2);

    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push_entry(L, &list[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int
end_trace(lua_State *L)
{
    struct trace_entry *list;
    uint64_t more;
    size_t n;
    int rc;

    lua_settop(L, 0);
    lua_pushcfunction(L, push_entries);
    trace_stop();
    n = trace_take(&list, &more);
    lua_pushlightuserdata(L, list);
    lua_pushnumber(L, (lua_Number)n);
    rc = vm_pcall(L, 2, 1); /* memory may run out, and the list is ours */
    free(list);
    if (rc != 0)
        return lua_error(L);
    lua_pushnumber(L, (lua_Number)more);
    return 2;
}

/*
 * trace(true): keeps what is sent and received from now on. trace(false) -> list, more: ends that. `more` were too many
 * to be kept; the list has, in order, { at (as now()), sent, name (of the handle), handle, src, dst, seq, reply, bytes,
 * error, dead, more (pieces of it follow), stream }
 */
int
vm_core_trace(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    if (!lua_toboolean(L, 1))
        return end_trace(L);
    trace_start();
    return 0;
}
