/* orrery.core, the part that is about counters (base/counters.h). */
#include <lauxlib.h>

#include "counters.h"
#include "vm_private.h"

/* stats(mine) -> { name = number }: of the process, or of the calling thread where `mine` is true */
int
vm_core_stats(lua_State *L)
{
    struct counters c;

    if (lua_toboolean(L, 1))
        counters_read_mine(&c);
    else
        counters_read(&c);
    lua_createtable(L, 0, COUNTER_COUNT);
    for (int i = 0; i < COUNTER_COUNT; i++) {
        lua_pushnumber(L, (lua_Number)c.value[i]);
        lua_setfield(L, -2, counter_name(i));
    }
    return 1;
}

/* counters() -> { { name, what it counts }, ... } in the order in which they are shown */
int
vm_core_counters(lua_State *L)
{
    lua_createtable(L, COUNTER_COUNT, 0);
    for (int i = 0; i < COUNTER_COUNT; i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, counter_name(i));
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, counter_text(i));
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* backlog(id) -> bytes that wait on the way to a context; 0 where there is none */
int
vm_core_backlog(lua_State *L)
{
    struct vm *vm = lua_touserdata(L, lua_upvalueindex(1));
    struct context *c = router_context(vm->router, (uint32_t)luaL_checknumber(L, 1));

    lua_pushnumber(L, c && c->stream ? (lua_Number)stream_queued(c->stream) : 0);
    context_unref(c);
    return 1;
}

/* refused(id, what): counts, and logs, what the context with that id has done and was not let do */
int
vm_core_refused(lua_State *L)
{
    struct vm *vm = lua_touserdata(L, lua_upvalueindex(1));

    router_refused(vm->router, (uint32_t)luaL_checknumber(L, 1), luaL_checkstring(L, 2));
    return 0;
}
