/* The built-in Lua library, as modules.lua sees it: what children may ask for. */
#include <lauxlib.h>
#include <string.h>

#include "vm_private.h"

/* library(name) -> bytecode, names of what it requires by spaces, whether agents have it; nothing where it is none */
int
vm_core_library(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    for (const struct vm_module *m = vm_library; m->name; m++)
        if (strcmp(m->name, name) == 0) {
            lua_pushlstring(L, (const char *)m->code, m->size);
            lua_pushstring(L, m->requires);
            lua_pushboolean(L, m->in_agent);
            return 3;
        }
    return 0;
}
