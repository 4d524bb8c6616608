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

static void
post(struct router *r, struct msg *m, void *arg)
{
    router_post(r, arg, m);
}

static const struct handle_ops posting = {.message = post};

uint32_t
vm_listen(struct vm *vm, uint32_t handle, enum handle_policy policy)
{
    return router_listen(vm->router, handle, policy, &posting, vm->mailbox);
}

void
vm_note_handle(struct vm *vm, uint32_t handle)
{
    vm->listening = xrealloc(vm->listening, (vm->listening_count + 1) * sizeof *vm->listening);
    vm->listening[vm->listening_count++] = handle;
}

bool
vm_forget_handle(struct vm *vm, uint32_t handle)
{
    for (size_t i = 0; i < vm->listening_count; i++)
        if (vm->listening[i] == handle) {
            vm->listening[i] = vm->listening[--vm->listening_count];
            return true;
        }
    return false;
}

struct move {
    struct vm *from, *to;
    uint32_t handle;
};

/* On the loop role, so no message for the handle is under way to the old mailbox. */
static void
move(void *arg)
{
    struct move *m = arg;

    router_retarget(m->from->router, m->handle, &posting, m->to->mailbox);
    mailbox_move(m->from->mailbox, m->handle, m->to->mailbox);
}

bool
vm_move_handle(struct vm *from, uint32_t handle, struct vm *to)
{
    struct move m = {from, to, handle};

    if (!vm_forget_handle(from, handle))
        return false;
    vm_note_handle(to, handle);
    loop_sync(router_loop(from->router), move, &m);
    credit_pay(from, handle, true); /* what is in its inbox moves with it */
    return true;
}

struct vm *
vm_attach(lua_State *L, struct router *r)
{
    struct vm *vm = xcalloc(1, sizeof *vm);

    vm->L = L;
    vm->router = r;
    vm->mailbox = mailbox_create(router_loop(r));
    vm->credit = credit_create();
    vm->handle = router_listen_mailbox(r, 0, HANDLE_FROM_ANYONE, vm->mailbox);
    vm->answers = vm_listen(vm, 0, HANDLE_FROM_ANYONE);
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
vm_stop_listening(struct vm *vm)
{
    while (vm->listening_count > 0)
        router_unlisten(vm->router, vm->listening[--vm->listening_count]);
    if (!vm->handle)
        return;
    router_unlisten(vm->router, vm->answers);
    router_unlisten(vm->router, vm->handle);
    vm->handle = vm->answers = 0;
}

void
vm_detach(struct vm *vm)
{
    vm_stop_listening(vm);
    credit_destroy(vm);
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
