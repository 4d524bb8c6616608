/* The built-in Lua library, as modules.lua sees it: what children may ask for. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "mem.h"
#include "vm_private.h"

#define MOST (64u << 20) /* of a message */

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

/* expand(data, size) -> text; nil where it is no such data, or of another size */
int
vm_core_expand(lua_State *L)
{
    size_t n;
    const char *data = luaL_checklstring(L, 1, &n);
    double size = luaL_checknumber(L, 2);
    unsigned char *text;
    int rc;

    if (!(size >= 0 && size <= MOST))
        return 0;
    text = xmalloc((size_t)size + 1);
    rc = expand((const unsigned char *)data, n, text, (size_t)size);
    if (rc == 0)
        lua_pushlstring(L, (const char *)text, (size_t)size);
    free(text);
    return rc == 0 ? 1 : 0;
}
