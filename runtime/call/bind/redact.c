/*
 * orrery.core, the part that is about secrets: see runtime/base/redact.h, and lua/orrery/secret.lua above it.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind_private.h"
#include "redact.h"
#include "vm.h"

/* redact_add(text) -> true; nil, code, text */
static int
core_redact_add(lua_State *L)
{
    struct err err;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);

    if (redact_add(text, n, &err) < 0)
        return vm_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* redact(text) -> text */
static int
core_redact(lua_State *L)
{
    size_t n, out;
    const char *text = luaL_checklstring(L, 1, &n);
    char *redacted = redact_text(text, n, &out);

    lua_settop(L, 1);
    if (redacted) {
        lua_pushlstring(L, redacted, out);
        free(redacted);
    }
    return 1;
}

/* redact_any() -> is there anything to redact? */
static int
core_redact_any(lua_State *L)
{
    lua_pushboolean(L, redact_any());
    return 1;
}

/* redact_held(text) -> how many bytes at its end may be the beginning of what is to be redacted */
static int
core_redact_held(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);

    lua_pushnumber(L, (lua_Number)redact_held(text, n));
    return 1;
}

/* take_env(name) -> value or nil. It is gone from the environment afterwards, and from where ps(1) and /proc show what
 * a process was started with. Others that read the environment at the same moment are not to be: glibc guards
 * writers against one another, and readers not at all; the runtime reads it while something is opened. */
static int
core_take_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    char *value = getenv(name);

    lua_pushstring(L, value);
    if (value) {
        explicit_bzero(value, strlen(value));
        (void)unsetenv(name);
    }
    return 1;
}

void
redact_push_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"redact_add", core_redact_add},
        {"redact", core_redact},
        {"redact_any", core_redact_any},
        {"redact_held", core_redact_held},
        {"take_env", core_take_env},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
