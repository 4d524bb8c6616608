/* orrery/core.so for a stock LuaJIT: the runtime is in liborrery. */
#include "orrery.h"

ORRERY_API int luaopen_core(struct lua_State *L);

int
luaopen_core(struct lua_State *L)
{
    return luaopen_orrery_core(L);
}
