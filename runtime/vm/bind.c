/*
 * orrery.core, the part that is about messages. For each function: what Lua passes, what it gets.
 * Failures are nil, code, text. Not for users: lua/orrery/ is.
 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "vm_private.h"

#define CONTEXT_TYPE "orrery.context"

static struct vm *
self(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* ---- contexts ---- */

void
vm_push_context(lua_State *L, struct context *c)
{
    struct context **ud = lua_newuserdata(L, sizeof(struct context *));

    *ud = c;
    luaL_getmetatable(L, CONTEXT_TYPE);
    lua_setmetatable(L, -2);
}

struct context *
vm_check_context(lua_State *L, int i)
{
    struct context **ud = luaL_checkudata(L, i, CONTEXT_TYPE);

    return *ud;
}

static int
context_gc(lua_State *L)
{
    struct context **ud = luaL_checkudata(L, 1, CONTEXT_TYPE);

    context_unref(*ud);
    *ud = NULL;
    return 0;
}

/* context(id) -> userdata, name, route; nil where no way leads there */
static int
core_context(lua_State *L)
{
    struct context *c = router_context(self(L)->router, (uint32_t)luaL_checknumber(L, 1));

    if (!c)
        return 0;
    vm_push_context(L, c);
    lua_pushstring(L, c->name);
    lua_pushstring(L, c->route);
    return 3;
}

/* self() -> id of this context, handle for replies to this VM */
static int
core_self(lua_State *L)
{
    lua_pushnumber(L, router_self(self(L)->router));
    lua_pushnumber(L, self(L)->handle);
    return 2;
}

/* parent() -> id of the parent, or nil in the controller */
static int
core_parent(lua_State *L)
{
    uint32_t id;

    if (router_ancestors(self(L)->router, &id, 1) == 0)
        return 0;
    lua_pushnumber(L, id);
    return 1;
}

/* ---- messages ---- */

static struct msg *
message_from(lua_State *L, int i, uint32_t handle)
{
    size_t n;
    const char *p = luaL_checklstring(L, i, &n);

    if (n > FRAME_MAX_PAYLOAD)
        return NULL;
    return msg_with(handle, p, (uint32_t)n);
}

static int
too_large(lua_State *L, int i)
{
    struct err err;

    err_set(&err, ERR_LIMIT, "a message of %zu bytes, the limit is %u: send it as a file",
        lua_objlen(L, i), FRAME_MAX_PAYLOAD);
    return vm_push_err(L, &err);
}

/* send(context, handle, seq, payload, wants_reply) -> true */
static int
core_send(lua_State *L)
{
    struct context *c = vm_check_context(L, 1);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 2);
    uint32_t seq = (uint32_t)luaL_checknumber(L, 3);
    struct msg *m = message_from(L, 4, handle);
    struct err err;

    if (!m)
        return too_large(L, 4);
    m->h.seq = seq;
    if (lua_toboolean(L, 5))
        m->h.reply = self(L)->handle;
    if (router_send(c, m, &err) < 0)
        return vm_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* reply(src, reply, seq, payload, is_error) -> true; a peer that is gone wants no reply */
static int
core_reply(lua_State *L)
{
    struct frame_header to = {.src = (uint32_t)luaL_checknumber(L, 1),
        .reply = (uint32_t)luaL_checknumber(L, 2),
        .seq = (uint32_t)luaL_checknumber(L, 3)};
    struct msg *m = message_from(L, 4, to.reply);

    if (!m)
        return too_large(L, 4);
    if (lua_toboolean(L, 5))
        m->h.flags = FRAME_ERROR;
    router_reply(self(L)->router, &to, m);
    lua_pushboolean(L, 1);
    return 1;
}

/* wait(seconds or nil) -> handle, seq, src, reply, flags, payload; nothing when the time is over */
static int
core_wait(lua_State *L)
{
    struct msg *m;
    int64_t deadline = -1;

    if (!lua_isnoneornil(L, 1)) {
        lua_Number s = luaL_checknumber(L, 1);

        /* Rounded up: a timer that is due in 0.2 ms must not spin until then. */
        deadline = clock_ms() + (s <= 0 ? 0 : s > 1e9 ? (int64_t)1e12 : (int64_t)ceil(s * 1e3));
    }
    m = mailbox_take(self(L)->mailbox, deadline);
    if (!m)
        return 0;
    lua_pushnumber(L, m->h.handle);
    lua_pushnumber(L, m->h.seq);
    lua_pushnumber(L, m->h.src);
    lua_pushnumber(L, m->h.reply);
    lua_pushnumber(L, m->h.flags);
    lua_pushlstring(L, (const char *)msg_payload(m), m->h.length);
    msg_unref(m);
    return 6;
}

static void
post(struct router *r, struct msg *m, void *arg)
{
    mailbox_post(arg, m);
}

/* listen(handle or 0, from_parent) -> handle. Lost contexts are announced on the VM's own handle; once
 * is enough. */
static int
core_listen(lua_State *L)
{
    static const struct handle_ops ops = {.message = post};
    struct vm *vm = self(L);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 1);

    handle = router_listen(vm->router, handle,
        lua_toboolean(L, 2) ? HANDLE_FROM_PARENT : HANDLE_FROM_ANYONE, &ops, vm->mailbox);
    vm->listening = xrealloc(vm->listening, (vm->listening_count + 1) * sizeof *vm->listening);
    vm->listening[vm->listening_count++] = handle;
    lua_pushnumber(L, handle);
    return 1;
}

/* unlisten(handle) */
static int
core_unlisten(lua_State *L)
{
    struct vm *vm = self(L);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 1);

    for (size_t i = 0; i < vm->listening_count; i++)
        if (vm->listening[i] == handle) {
            vm->listening[i] = vm->listening[--vm->listening_count];
            router_unlisten(vm->router, handle);
            break;
        }
    return 0;
}

/* ---- fields of C's payloads ---- */

/* pack(format, ...) -> string; format: 1 u8, 4 u32, 8 u64, s string */
static int
core_pack(lua_State *L)
{
    const char *f = luaL_checkstring(L, 1);
    struct buf b = {0};
    size_t n;

    /* Everything is checked before anything is allocated, since a check may jump. */
    for (int i = 0; f[i]; i++)
        if (f[i] == 's')
            luaL_checkstring(L, i + 2);
        else
            luaL_checknumber(L, i + 2);
    for (int i = 0; f[i]; i++) {
        if (f[i] == 's') {
            const char *s = lua_tolstring(L, i + 2, &n);

            pack_bytes(&b, s, n);
        } else if (f[i] == '8') {
            pack_u64(&b, (uint64_t)lua_tonumber(L, i + 2));
        } else if (f[i] == '4') {
            pack_u32(&b, (uint32_t)lua_tonumber(L, i + 2));
        } else {
            pack_u8(&b, (uint8_t)lua_tonumber(L, i + 2));
        }
    }
    lua_pushlstring(L, b.data ? (const char *)buf_head(&b) : "", buf_len(&b));
    buf_fini(&b);
    return 1;
}

/* unpack(format, string) -> values, or nothing where the string is not of that form. * is the rest. */
static int
core_unpack(lua_State *L)
{
    const char *f = luaL_checkstring(L, 1);
    size_t n;
    const char *s = luaL_checklstring(L, 2, &n);
    struct unpack u;
    int top = lua_gettop(L);

    luaL_checkstack(L, (int)strlen(f), "unpack");
    unpack_init(&u, s, n);
    for (; *f; f++) {
        if (*f == 's') {
            const char *p = unpack_bytes(&u, &n);

            lua_pushlstring(L, p, n);
        } else if (*f == '*') {
            lua_pushlstring(L, (const char *)u.p, unpack_left(&u));
            u.p = u.end;
        } else {
            lua_pushnumber(L,
                *f == '8'       ? (lua_Number)unpack_u64(&u)
                    : *f == '4' ? (lua_Number)unpack_u32(&u)
                                : (lua_Number)unpack_u8(&u));
        }
    }
    if (unpack_done(&u, "unpack", NULL) < 0)
        return 0;
    return lua_gettop(L) - top;
}

/* ---- the rest ---- */

/* now() -> monotonic seconds */
static int
core_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_ns() / 1e9);
    return 1;
}

/* error_name(n) -> "dead" for the u8 that C puts in payloads */
static int
core_error_name(lua_State *L)
{
    lua_pushstring(L, err_code_name(-(int)luaL_checknumber(L, 1)));
    return 1;
}

/* log(level, area, text); log_level([n]) -> n; log_open(path) -> true */
static int
core_log(lua_State *L)
{
    log_write((int)luaL_checknumber(L, 1), luaL_checkstring(L, 2), "%s", luaL_checkstring(L, 3));
    return 0;
}

static int
core_log_level(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        log_set_level((int)luaL_checknumber(L, 1));
    lua_pushnumber(L, log_level());
    return 1;
}

static int
core_log_open(lua_State *L)
{
    struct err err;

    if (log_open(luaL_checkstring(L, 1), &err) < 0)
        return vm_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static const luaL_Reg functions[] = {
    {"context", core_context},
    {"self", core_self},
    {"parent", core_parent},
    {"send", core_send},
    {"reply", core_reply},
    {"wait", core_wait},
    {"listen", core_listen},
    {"unlisten", core_unlisten},
    {"pack", core_pack},
    {"unpack", core_unpack},
    {"now", core_now},
    {"error_name", core_error_name},
    {"log", core_log},
    {"log_level", core_log_level},
    {"log_open", core_log_open},
    {NULL, NULL},
};

static const struct {
    const char *name;
    uint32_t number;
} handles[] = {
    {"HELLO", HANDLE_HELLO},
    {"DEAD", HANDLE_DEAD},
    {"CALL", HANDLE_CALL},
    {"RUN", HANDLE_RUN},
    {"CANCEL", HANDLE_CANCEL},
    {"MODULE", HANDLE_MODULE},
    {"FILE", HANDLE_FILE},
};

void
vm_push_core(struct vm *vm)
{
    lua_State *L = vm->L;

    if (luaL_newmetatable(L, CONTEXT_TYPE)) {
        lua_pushcfunction(L, context_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushlightuserdata(L, vm);
    luaL_openlib(L, NULL, functions, 1);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
        lua_pushnumber(L, handles[i].number);
        lua_setfield(L, -2, handles[i].name);
    }
    lua_setfield(L, -2, "handle");
    lua_pushnumber(L, FRAME_ERROR);
    lua_setfield(L, -2, "ERROR");
    lua_pushnumber(L, FRAME_DEAD);
    lua_setfield(L, -2, "DEAD");
}
