#include "vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "vm_private.h"

static const char vm_key; /* its address is the registry's key */

static int
load_module(lua_State *L)
{
    const struct vm_module *m = lua_touserdata(L, lua_upvalueindex(1));

    /* The chunk's own name, with its path, is in the bytecode. */
    if (luaL_loadbuffer(L, (const char *)m->code, m->size, m->name) != 0)
        return lua_error(L);
    lua_pushstring(L, m->name);
    lua_call(L, 1, 1);
    return 1;
}

#ifdef __SANITIZE_ADDRESS__
/* LuaJIT's own allocator maps memory that the leak checker does not look into: what only Lua holds when
 * os.exit ends a script would count as lost. */
static void *
checked_alloc(void *arg, void *p, size_t old_size, size_t size)
{
    if (size > 0)
        return realloc(p, size);
    free(p);
    return NULL;
}

static lua_State *
create_state(void)
{
    return lua_newstate(checked_alloc, NULL);
}
#else
static lua_State *
create_state(void)
{
    return luaL_newstate();
}
#endif

lua_State *
vm_new_state(void)
{
    lua_State *L = create_state();

    if (!L)
        return NULL;
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (const struct vm_module *m = vm_library; m->name; m++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)m);
        lua_pushcclosure(L, load_module, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pop(L, 2);
    return L;
}

struct vm *
vm_attach(lua_State *L, struct router *r)
{
    struct vm *vm = xcalloc(1, sizeof *vm);

    vm->L = L;
    vm->router = r;
    vm->mailbox = mailbox_create(router_loop(r));
    vm->handle = router_listen_mailbox(r, 0, HANDLE_FROM_ANYONE, vm->mailbox);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
    lua_pushlightuserdata(L, vm);
    lua_settable(L, LUA_REGISTRYINDEX);
    return vm;
}

struct vm *
vm_of(lua_State *L)
{
    struct vm *vm;

    lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
    lua_gettable(L, LUA_REGISTRYINDEX);
    vm = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return vm;
}

void
vm_detach(struct vm *vm)
{
    while (vm->listening_count > 0)
        router_unlisten(vm->router, vm->listening[--vm->listening_count]);
    router_unlisten(vm->router, vm->handle);
    mailbox_destroy(vm->mailbox);
    free(vm->listening);
    free(vm);
}

struct mailbox *
vm_mailbox(struct vm *vm)
{
    return vm->mailbox;
}

struct router *
vm_router(struct vm *vm)
{
    return vm->router;
}

int
vm_push_err(lua_State *L, const struct err *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err_code_name(err->code));
    lua_pushstring(L, err->msg);
    return 3;
}

static int
on_error(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.error");
    if (lua_pcall(L, 1, 1, 0) != 0)
        return 1;
    lua_getfield(L, -1, "handler");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

int
vm_pcall(lua_State *L, int args, int results)
{
    int at = lua_gettop(L) - args;
    int rc;

    lua_pushcfunction(L, on_error);
    lua_insert(L, at);
    rc = lua_pcall(L, args, results, at);
    lua_remove(L, at);
    return rc == 0 ? 0 : ERR_ARGUMENT;
}
