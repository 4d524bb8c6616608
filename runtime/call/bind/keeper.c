/*
 * orrery.core, the part that is about keepers (call/keeper.h).
 */
#include <lauxlib.h>

#include "bind_private.h"
#include "keeper.h"

static struct node *
node(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* keep{name, ssh, asking} -> number; what it offers comes as a message on KEEP */
static int
core_keep(lua_State *L)
{
    struct ssh_options ssh = {0};
    struct open_options o = {.route = "", .ssh = &ssh};
    struct err err;
    uint32_t number;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "name");
    o.name = luaL_checkstring(L, -1);
    lua_getfield(L, 1, "ssh");
    luaL_checktype(L, -1, LUA_TTABLE);
    bind_get_ssh(L, lua_gettop(L), &ssh);
    o.ask = bind_get_asking(L, 1);
    number = keeper_open(node_keepers(node(L)), node_ssh(node(L)), &o, vm_mailbox(vm_of(L)), &err);
    if (!number)
        return vm_push_err(L, &err);
    lua_pushnumber(L, number);
    return 1;
}

/* keep_for(number, id): that context may ask */
static int
core_keep_for(lua_State *L)
{
    keeper_serve(
        node_keepers(node(L)), (uint32_t)luaL_checknumber(L, 1), (uint32_t)luaL_checknumber(L, 2));
    return 0;
}

/* keep_end(number) */
static int
core_keep_end(lua_State *L)
{
    keeper_close(node_keepers(node(L)), (uint32_t)luaL_checknumber(L, 1));
    return 0;
}

void
keeper_push_functions(lua_State *L, struct node *n)
{
    static const luaL_Reg functions[] = {
        {"keep", core_keep},
        {"keep_for", core_keep_for},
        {"keep_end", core_keep_end},
        {NULL, NULL},
    };

    bind_add(L, functions, n, "KEEP", HANDLE_KEEP);
}
