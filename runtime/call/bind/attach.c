/* orrery.core, the part that is about attached processes; see listener.h. */
#include <lauxlib.h>
#include <stdlib.h>

#include "bind_private.h"

static struct node *
node(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int
outcome(lua_State *L, int rc, const struct err *err)
{
    if (rc < 0)
        return vm_push_err(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

/* listen_at(path, seconds for a guest to say who it is) -> true */
static int
core_listen_at(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int64_t ms = (int64_t)(luaL_checknumber(L, 2) * 1e3);
    struct err err;

    return outcome(L, node_listen(node(L), path, ms, &err), &err);
}

/* unlisten_at() */
static int
core_unlisten_at(lua_State *L)
{
    node_unlisten(node(L));
    return 0;
}

/* attach(path) -> true */
static int
core_attach(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct err err;

    return outcome(L, node_attach(node(L), path, &err), &err);
}

/* attached() -> the path of the socket, or nil */
static int
core_attached(lua_State *L)
{
    lua_pushstring(L, node_attached(node(L)));
    return 1;
}

/* contexts_below() -> {{id, name, route} ...} */
static int
core_contexts_below(lua_State *L)
{
    struct context **list;
    uint32_t n = router_below(node_router(node(L)), &list);

    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_createtable(L, 3, 0);
        lua_pushnumber(L, list[i]->id);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, list[i]->name);
        lua_rawseti(L, -2, 2);
        lua_pushstring(L, list[i]->route);
        lua_rawseti(L, -2, 3);
        lua_rawseti(L, -2, (int)i + 1);
        context_unref(list[i]);
    }
    free(list);
    return 1;
}

void
attach_push_functions(lua_State *L, struct node *n)
{
    static const luaL_Reg functions[] = {
        {"listen_at", core_listen_at},
        {"unlisten_at", core_unlisten_at},
        {"attach", core_attach},
        {"attached", core_attached},
        {"contexts_below", core_contexts_below},
        {NULL, NULL},
    };

    bind_add(L, functions, n, "CONTEXTS", HANDLE_CONTEXTS);
}
