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
#include "scan.h"
#include "values.h"
#include "vm_private.h"

#define CONTEXT_TYPE "orrery.context"
#define ANCESTORS_MAX 64

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

/* self() -> id, handle where services answer, handle where calls are answered, route; "" in the controller */
static int
core_self(lua_State *L)
{
    lua_pushnumber(L, router_self(self(L)->router));
    lua_pushnumber(L, self(L)->handle);
    lua_pushnumber(L, self(L)->answers);
    lua_pushstring(L, router_route(self(L)->router));
    return 4;
}

/* below(id) -> is there such a context, opened by this one or by one below it? */
static int
core_below(lua_State *L)
{
    struct context *c = router_context(self(L)->router, (uint32_t)luaL_checknumber(L, 1));

    lua_pushboolean(L, c && c->via);
    context_unref(c);
    return 1;
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

/* ancestors() -> ids, nearest first */
static int
core_ancestors(lua_State *L)
{
    uint32_t ids[ANCESTORS_MAX];
    uint32_t n = router_ancestors(self(L)->router, ids, ANCESTORS_MAX);

    luaL_checkstack(L, (int)n, "ancestors");
    for (uint32_t i = 0; i < n; i++)
        lua_pushnumber(L, ids[i]);
    return (int)n;
}

/* may_know(id, id) -> bool: may the first have got a sender of the second? See router_may_know */
static int
core_may_know(lua_State *L)
{
    lua_pushboolean(L,
        router_may_know(
            self(L)->router, (uint32_t)luaL_checknumber(L, 1), (uint32_t)luaL_checknumber(L, 2)));
    return 1;
}

/* allow(id, id) -> true: the two children may send to each other's receivers */
static int
core_allow(lua_State *L)
{
    struct err err;

    if (router_allow(self(L)->router, (uint32_t)luaL_checknumber(L, 1),
            (uint32_t)luaL_checknumber(L, 2), &err) < 0)
        return vm_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- messages ---- */

/* A message to a receiver or a call: its payload is values. */
static bool
has_values(const struct vm *vm, const struct msg *m)
{
    if (m->h.flags & FRAME_DEAD)
        return false;
    return m->h.handle == HANDLE_CALL ||
        (m->h.handle >= HANDLE_DYNAMIC && m->h.handle != vm->handle);
}

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
too_large(lua_State *L, size_t size)
{
    struct err err;

    err_set(&err, ERR_LIMIT, "a message of %zu bytes, the limit is %u: send it as a file", size,
        FRAME_MAX_PAYLOAD);
    return vm_push_err(L, &err);
}

/* The values from index `first` on, where all are plain. Otherwise NULL, and pushes what the binding
 * returns: false, or an error. Takes nothing. */
static struct msg *
message_of_values(lua_State *L, int first, uint32_t handle, int *results)
{
    int64_t size = values_size(L, first);
    struct msg *m;

    if (size < 0 || size > FRAME_MAX_PAYLOAD) {
        if (size < 0)
            lua_pushboolean(L, 0);
        *results = size < 0 ? 1 : too_large(L, (size_t)size);
        return NULL;
    }
    m = msg_new((uint32_t)size);
    m->h.handle = handle;
    values_write(L, first, msg_payload(m));
    return m;
}

/* Pushes why a message may not go; returns how many. */
static int
not_admitted(lua_State *L, int why)
{
    struct err err;

    if (why != CREDIT_FULL) {
        err_set(&err, why,
            why == ERR_CLOSED
                ? "the receiver was closed"
                : "what was sent there before was refused on its way: see orrery.allow");
        return vm_push_err(L, &err);
    }
    lua_pushnil(L);
    lua_pushliteral(L, "full");
    return 2;
}

/* Takes m. */
static int
send_message(lua_State *L, struct context *c, struct msg *m, uint32_t seq, bool wants_reply)
{
    struct vm *vm = self(L);
    bool values = has_values(vm, m);
    struct err err;
    int why;

    m->h.seq = seq;
    if (wants_reply)
        m->h.reply = values || handle_ends_call(m->h.handle) ? vm->answers : vm->handle;
    else
        m->lazy = values;
    why = credit_admit(vm, c, m);
    if (why != CREDIT_FINE) {
        msg_unref(m);
        return not_admitted(L, why);
    }
    if (router_send(c, m, &err) < 0)
        return vm_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* send(context, handle, seq, payload, wants_reply, is_error) -> true; nil, "full": wait for CREDIT from there,
 * with the handle as seq, and try again */
static int
core_send(lua_State *L)
{
    struct context *c = vm_check_context(L, 1);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 2);
    uint32_t seq = (uint32_t)luaL_checknumber(L, 3);
    struct msg *m = message_from(L, 4, handle);

    if (!m)
        return too_large(L, lua_objlen(L, 4));
    if (lua_toboolean(L, 6))
        m->h.flags = FRAME_ERROR;
    return send_message(L, c, m, seq, lua_toboolean(L, 5));
}

/* send_values(context, handle, seq, wants_reply, value...) -> as send; or false, and nothing is sent, where
 * the values need the codec */
static int
core_send_values(lua_State *L)
{
    struct context *c = vm_check_context(L, 1);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 2);
    uint32_t seq = (uint32_t)luaL_checknumber(L, 3);
    int results;
    struct msg *m = message_of_values(L, 5, handle, &results);

    return m ? send_message(L, c, m, seq, lua_toboolean(L, 4)) : results;
}

/* Takes m. */
static int
send_reply(lua_State *L, const struct frame_header *to, struct msg *m)
{
    router_reply(self(L)->router, to, m);
    lua_pushboolean(L, 1);
    return 1;
}

static struct frame_header
reply_address(lua_State *L)
{
    return (struct frame_header){.src = (uint32_t)luaL_checknumber(L, 1),
        .reply = (uint32_t)luaL_checknumber(L, 2),
        .seq = (uint32_t)luaL_checknumber(L, 3)};
}

/* reply(src, reply, seq, payload, is_error) -> true; a peer that is gone wants no reply */
static int
core_reply(lua_State *L)
{
    struct frame_header to = reply_address(L);
    struct msg *m = message_from(L, 4, to.reply);

    if (!m)
        return too_large(L, lua_objlen(L, 4));
    if (lua_toboolean(L, 5))
        m->h.flags = FRAME_ERROR;
    return send_reply(L, &to, m);
}

/* reply_values(src, reply, seq, value...) -> true; false as send_values */
static int
core_reply_values(lua_State *L)
{
    struct frame_header to = reply_address(L);
    int results;
    struct msg *m = message_of_values(L, 4, to.reply, &results);

    return m ? send_reply(L, &to, m) : results;
}

/* Takes m. */
static int
push_message(lua_State *L, struct msg *m)
{
    int pushed = -1;

    credit_owe(self(L), m);
    lua_pushnumber(L, m->h.handle);
    lua_pushnumber(L, m->h.seq);
    lua_pushnumber(L, m->h.src);
    lua_pushnumber(L, m->h.reply);
    lua_pushnumber(L, m->h.flags);
    if (has_values(self(L), m))
        pushed = values_push(L, m);
    if (pushed < 0) {
        lua_pushlstring(L, (const char *)msg_payload(m), m->h.length);
        pushed = 1;
    }
    msg_unref(m);
    return 5 + pushed;
}

/* So much may wait for a parent that does not read: then an agent starts nothing new, whose answers would
 * have to wait, too. */
#define BACKLOG_MAX (8u << 20)
#define BACKLOG_NAP_MS 5

static bool
is_choked(const struct vm *vm)
{
    return router_backlog(vm->router) > BACKLOG_MAX;
}

/* The next message; NULL when the time is over. */
static struct msg *
take(struct vm *vm, int64_t deadline)
{
    while (is_choked(vm)) {
        int64_t nap = clock_ms() + BACKLOG_NAP_MS;

        if (deadline >= 0 && clock_left(deadline) == 0)
            return NULL;
        mailbox_nap(vm->mailbox, deadline >= 0 && deadline < nap ? deadline : nap);
    }
    return mailbox_take(vm->mailbox, deadline);
}

/* answer(context id, seq) -> true, result...: waits, and that was the answer to the call, and plain. Else as
 * wait: another message, or nothing. */
static int
core_answer(lua_State *L)
{
    struct vm *vm = self(L);
    uint32_t src = (uint32_t)luaL_checknumber(L, 1), seq = (uint32_t)luaL_checknumber(L, 2);
    struct msg *m;
    int pushed = -1;

    lua_settop(L, 2);
    m = take(vm, -1);
    if (!m)
        return 0;
    if (m->h.handle == vm->answers && m->h.seq == seq && m->h.src == src && m->h.flags == 0)
        pushed = values_push(L, m);
    if (pushed < 0)
        return push_message(L, m);
    msg_unref(m);
    lua_pushboolean(L, 1);
    lua_replace(L, 3); /* where their number is */
    return pushed;
}

/* wait(seconds or nil) -> handle, seq, src, reply, flags, payload; or, where plain values came to a
 * handle for values: ..., flags, n, the n values. Nothing when the time is over. */
static int
core_wait(lua_State *L)
{
    struct vm *vm = self(L);
    struct msg *m;
    int64_t deadline = -1;

    if (!lua_isnoneornil(L, 1)) {
        lua_Number s = luaL_checknumber(L, 1);

        /* Rounded up: a timer that is due in 0.2 ms must not spin until then. */
        deadline = clock_ms() + (s <= 0 ? 0 : s > 1e9 ? (int64_t)1e12 : (int64_t)ceil(s * 1e3));
    }
    m = take(vm, deadline);
    return m ? push_message(L, m) : 0;
}

/* next() -> as wait, for what came together with the message before; nothing: all of that was taken */
static int
core_next(lua_State *L)
{
    struct mailbox *mb = self(L)->mailbox;

    return mailbox_has(mb) && !is_choked(self(L)) ? push_message(L, mailbox_take(mb, 0)) : 0;
}

/* scan(payload) -> number of values, or nil, text: see scan.h */
static int
core_scan(lua_State *L)
{
    size_t n;
    const char *p = luaL_checklstring(L, 1, &n);
    struct err err;
    int64_t count = scan_values(p, n, &err);

    if (count >= 0) {
        lua_pushnumber(L, (lua_Number)count);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err.msg);
    return 2;
}

/* listen(handle or 0, from_parent) -> handle; nothing where another thread of this process has it */
static int
core_listen(lua_State *L)
{
    struct vm *vm = self(L);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 1);
    int policy = lua_toboolean(L, 2) ? HANDLE_FROM_PARENT : HANDLE_FROM_ANYONE;

    if (handle == HANDLE_NONE || handle == HANDLE_CALL)
        policy |= HANDLE_WINDOW;
    handle = vm_listen(vm, handle, (enum handle_policy)policy);
    if (!handle)
        return 0;
    vm_note_handle(vm, handle);
    lua_pushnumber(L, handle);
    return 1;
}

/* unlisten(handle) */
static int
core_unlisten(lua_State *L)
{
    struct vm *vm = self(L);
    uint32_t handle = (uint32_t)luaL_checknumber(L, 1);

    if (vm_forget_handle(vm, handle)) {
        credit_pay(vm, handle, true);
        router_unlisten(vm->router, handle);
    }
    return 0;
}

/* credit(handle): what came for this receiver was taken; its senders may go on */
static int
core_credit(lua_State *L)
{
    credit_pay(self(L), (uint32_t)luaL_checknumber(L, 1), false);
    return 0;
}

/* hold(handle, id): that context may send there, and is to hear when nobody listens any more */
static int
core_hold(lua_State *L)
{
    (void)flows_receive(router_flows(self(L)->router), (uint32_t)luaL_checknumber(L, 2),
        (uint32_t)luaL_checknumber(L, 1), 0);
    return 0;
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
    {"below", core_below},
    {"parent", core_parent},
    {"ancestors", core_ancestors},
    {"allow", core_allow},
    {"may_know", core_may_know},
    {"send", core_send},
    {"send_values", core_send_values},
    {"reply", core_reply},
    {"reply_values", core_reply_values},
    {"wait", core_wait},
    {"answer", core_answer},
    {"next", core_next},
    {"scan", core_scan},
    {"listen", core_listen},
    {"unlisten", core_unlisten},
    {"credit", core_credit},
    {"hold", core_hold},
    {"pack", vm_core_pack},
    {"unpack", vm_core_unpack},
    {"library", vm_core_library},
    {"expand", vm_core_expand},
    {"stats", vm_core_stats},
    {"counters", vm_core_counters},
    {"trace", vm_core_trace},
    {"now", core_now},
    {"error_name", core_error_name},
    {"backlog", vm_core_backlog},
    {"refused", vm_core_refused},
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
    {"CREDIT", HANDLE_CREDIT},
    {"THREAD", HANDLE_THREAD},
    {"ASK", HANDLE_ASK},
    {"CALL", HANDLE_CALL},
    {"RUN", HANDLE_RUN},
    {"CANCEL", HANDLE_CANCEL},
    {"MODULE", HANDLE_MODULE},
    {"FILE", HANDLE_FILE},
    {"SERVICE", HANDLE_SERVICE},
    {"TEXT", HANDLE_TEXT},
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
