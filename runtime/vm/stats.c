/* orrery.core, the part that is about counters (base/counters.h). */
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
