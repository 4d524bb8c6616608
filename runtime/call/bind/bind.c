/*
 * Bindings for children and files, on top of those of vm/bind.c. What is started here answers with a
 * message to the VM's mailbox, named by the number that is returned; see node.h and file.h for what it says.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bind_private.h"
#include "breaker.h"
#include "mem.h"
#include "sys.h"

static struct node *
node(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static struct mailbox *
mailbox(lua_State *L)
{
    return vm_mailbox(vm_of(L));
}

/* ---- options: tables in, borrowed C out. Strings live as long as the table does. ---- */

static const char *
get_string(lua_State *L, int t, const char *key)
{
    const char *s;

    lua_getfield(L, t, key);
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "field '%s': a string was expected, this is a %s", key, luaL_typename(L, -1));
    s = lua_tostring(L, -1);
    lua_pop(L, 1);
    return s;
}

static bool
get_bool(lua_State *L, int t, const char *key)
{
    bool b;

    lua_getfield(L, t, key);
    b = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

/* Seconds in Lua, milliseconds here. */
static int64_t
get_ms(lua_State *L, int t, const char *key, int64_t otherwise)
{
    int64_t ms = otherwise;

    lua_getfield(L, t, key);
    if (!lua_isnil(L, -1))
        ms = (int64_t)(luaL_checknumber(L, -1) * 1e3);
    lua_pop(L, 1);
    return ms;
}

/* The array is a userdata left on the stack, so that it lives until the binding returns. */
static const char *const *
get_list(lua_State *L, int t, const char *key)
{
    const char **list;
    size_t n;

    lua_getfield(L, t, key);
    if (lua_isnil(L, -1))
        return NULL;
    luaL_checktype(L, -1, LUA_TTABLE);
    n = lua_objlen(L, -1);
    list = lua_newuserdata(L, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "field '%s[%d]': a string was expected, this is a %s", key, (int)i + 1,
                luaL_typename(L, -1));
        list[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    list[n] = NULL;
    return list;
}

static enum ssh_strict
strictness(const char *s)
{
    if (s && strcmp(s, "no") == 0)
        return SSH_STRICT_NO;
    if (s && strcmp(s, "accept-new") == 0)
        return SSH_STRICT_ACCEPT_NEW;
    return s && strcmp(s, "ask") == 0 ? SSH_STRICT_ASK : SSH_STRICT_YES;
}

static int
family(const char *s)
{
    if (s && strcmp(s, "inet") == 0)
        return AF_INET;
    return s && strcmp(s, "inet6") == 0 ? AF_INET6 : AF_UNSPEC;
}

static uint32_t
get_number(lua_State *L, int t, const char *key)
{
    uint32_t n;

    lua_getfield(L, t, key);
    n = (uint32_t)luaL_optnumber(L, -1, 0);
    lua_pop(L, 1);
    return n;
}

static int
get_int(lua_State *L, int t, const char *key)
{
    return (int)get_number(L, t, key);
}

/* The options of a jump host: another table like this, in a userdata that is left on the stack. */
static const struct ssh_options *
get_via(lua_State *L, int t)
{
    struct ssh_options *via = NULL;

    luaL_checkstack(L, 32, "jump hosts");
    lua_getfield(L, t, "via");
    if (lua_istable(L, -1)) {
        via = lua_newuserdata(L, sizeof *via);
        memset(via, 0, sizeof *via);
        bind_get_ssh(L, lua_gettop(L) - 1, via);
    }
    return via;
}

void
bind_get_ssh(lua_State *L, int t, struct ssh_options *o)
{
    o->name = get_string(L, t, "name");
    o->host = get_string(L, t, "host");
    o->port = get_string(L, t, "port");
    o->user = get_string(L, t, "user");
    o->host_key_alias = get_string(L, t, "host_key_alias");
    o->known_hosts = get_list(L, t, "known_hosts");
    o->strict = strictness(get_string(L, t, "strict"));
    o->identities = get_list(L, t, "identities");
    o->identities_only = get_bool(L, t, "identities_only");
    o->agent_socket = get_string(L, t, "agent_socket");
    o->password = get_string(L, t, "password");
    o->passphrase = get_string(L, t, "passphrase");
    o->auth_order = get_list(L, t, "auth_order");
    o->kex = get_string(L, t, "kex");
    o->ciphers = get_string(L, t, "ciphers");
    o->macs = get_string(L, t, "macs");
    o->host_key_algorithms = get_string(L, t, "host_key_algorithms");
    o->bind_address = get_string(L, t, "bind_address");
    o->family = family(get_string(L, t, "family"));
    o->compression = get_bool(L, t, "compression");
    o->via = get_via(L, t);
    o->proxy_command = get_string(L, t, "proxy_command");
    o->share_key = get_string(L, t, "share_key");
    o->openssh_next = get_bool(L, t, "openssh_next");
    o->set_env = get_list(L, t, "set_env");
    o->connection_attempts = get_int(L, t, "connection_attempts");
    o->password_prompts = get_int(L, t, "password_prompts");
    o->connect_ms = get_ms(L, t, "connect_timeout", 0);
    o->handshake_ms = get_ms(L, t, "handshake_timeout", 0);
    o->kept = get_int(L, t, "kept");
    o->offers = get_list(L, t, "offers");
    o->kept_password = get_bool(L, t, "kept_password");
}

/* asking = {nobody, script, depth, program, askpass, prompts, share, subject, password, passphrase, keeper,
 * keeper_handle}: see call/ask.h */
struct ask_options
bind_get_asking(lua_State *L, int t)
{
    struct ask_options ask = {0};

    lua_getfield(L, t, "asking"); /* left on the stack, for its strings */
    if (lua_istable(L, -1)) {
        int asking = lua_gettop(L);

        ask.nobody = get_bool(L, asking, "nobody");
        ask.script = get_bool(L, asking, "script");
        ask.depth = get_int(L, asking, "depth");
        ask.program = get_string(L, asking, "program");
        ask.askpass = get_bool(L, asking, "askpass");
        ask.prompts = get_bool(L, asking, "prompts");
        ask.share = get_bool(L, asking, "share");
        ask.subject = get_string(L, asking, "subject");
        ask.password = get_string(L, asking, "password");
        ask.passphrase = get_string(L, asking, "passphrase");
        ask.keeper = (struct ask_keeper){.router = node_router(node(L)),
            .context = get_number(L, asking, "keeper"),
            .handle = get_number(L, asking, "keeper_handle")};
    }
    return ask;
}

/* ---- children ---- */

/* open{name, route, argv | ssh | program, no_cache, cache, deferred, bootstrap_timeout, keepalive, asking} -> seq */
static int
core_open(lua_State *L)
{
    struct open_options o = {0};
    struct ssh_options ssh = {0};
    struct err err;
    uint32_t seq;

    luaL_checktype(L, 1, LUA_TTABLE);
    o.name = get_string(L, 1, "name");
    o.route = get_string(L, 1, "route");
    luaL_argcheck(L, o.name && o.route, 1, "name and route are missing");
    o.argv = get_list(L, 1, "argv");
    o.program = get_list(L, 1, "program");
    o.no_cache = get_bool(L, 1, "no_cache");
    o.cache = get_string(L, 1, "cache");
    o.deferred = get_bool(L, 1, "deferred");
    o.bootstrap_ms = get_ms(L, 1, "bootstrap_timeout", 0);
    o.keepalive_ms = get_ms(L, 1, "keepalive", -1);
    o.ask = bind_get_asking(L, 1);
    lua_getfield(L, 1, "ssh");
    if (lua_istable(L, -1)) {
        bind_get_ssh(L, lua_gettop(L), &ssh);
        luaL_argcheck(L, ssh.host && ssh.port && ssh.user, 1, "ssh: host, port or user is missing");
        o.ssh = &ssh;
    }
    seq = node_open(node(L), &o, mailbox(L), &err);
    if (!seq)
        return vm_push_err(L, &err);
    lua_pushnumber(L, seq);
    return 1;
}

/* cancel_open(seq) */
static int
core_cancel_open(lua_State *L)
{
    node_cancel_open(node(L), (uint32_t)luaL_checknumber(L, 1));
    return 0;
}

/* answer_question(seq, text or nil, why there is none or nil): what the script's function said */
static int
core_answer_question(lua_State *L)
{
    ask_answer(
        (uint32_t)luaL_checknumber(L, 1), luaL_optstring(L, 2, NULL), luaL_optstring(L, 3, NULL));
    return 0;
}

/* inquire(kind, echo, attempt, host, subject, text, detail, {program, depth} or nil) -> seq */
static int
core_inquire(lua_State *L)
{
    struct ssh_question q = {.kind = (enum ssh_question_kind)luaL_checkint(L, 1),
        .echo = lua_toboolean(L, 2),
        .attempt = luaL_checkint(L, 3),
        .host = luaL_checkstring(L, 4),
        .subject = luaL_checkstring(L, 5),
        .text = luaL_checkstring(L, 6),
        .detail = luaL_checkstring(L, 7)};
    struct ask_options o = {0};

    if (lua_istable(L, 8)) {
        o.program = get_string(L, 8, "program");
        o.depth = get_int(L, 8, "depth");
    }
    lua_pushnumber(L, ask_inquire(&o, &q, mailbox(L)));
    return 1;
}

/* retract(seq) */
static int
core_retract(lua_State *L)
{
    ask_retract((uint32_t)luaL_checknumber(L, 1));
    return 0;
}

/* close(id, linger seconds): a context below; the end comes as a DEAD message */
static int
core_close(lua_State *L)
{
    node_close(node(L), (uint32_t)luaL_checknumber(L, 1), (int64_t)(luaL_checknumber(L, 2) * 1e3));
    return 0;
}

/* ---- programs ---- */

/* capture{argv} -> seq */
static int
core_capture(lua_State *L)
{
    const char *const *argv;

    luaL_checktype(L, 1, LUA_TTABLE);
    argv = get_list(L, 1, "argv");
    luaL_argcheck(L, argv && argv[0], 1, "argv is missing");
    lua_pushnumber(L, capture_run(node_captures(node(L)), argv, mailbox(L)));
    return 1;
}

/* ---- modules ---- */

/* serve_modules(): the VM gets an empty message on MODULE when there is a question */
static int
core_serve_modules(lua_State *L)
{
    shared_join(node_modules(node(L)), mailbox(L));
    return 0;
}

/* take_question() -> seq, src, reply, payload; nothing where another VM was faster */
static int
core_take_question(lua_State *L)
{
    struct msg *m = shared_take(node_modules(node(L)));

    if (!m)
        return 0;
    lua_pushnumber(L, m->h.seq);
    lua_pushnumber(L, m->h.src);
    lua_pushnumber(L, m->h.reply);
    lua_pushlstring(L, (const char *)msg_payload(m), m->h.length);
    msg_unref(m);
    return 4;
}

/* ---- text ---- */

/* watch_text(yes): what children print comes as TEXT messages, str name, then for each line u8 stream, str line;
 * credit(TEXT) says that it was taken */
static int
core_watch_text(lua_State *L)
{
    if (lua_toboolean(L, 1))
        texts_watch(node_texts(node(L)), mailbox(L));
    else
        texts_unwatch(node_texts(node(L)), mailbox(L));
    return 0;
}

/* raw_text_taken(src, seq): of such a message with the flag ERROR, instead of that */
static int
core_raw_text_taken(lua_State *L)
{
    texts_raw_taken(
        node_texts(node(L)), (uint32_t)luaL_checknumber(L, 1), (uint32_t)luaL_checknumber(L, 2));
    return 0;
}

/* ---- settings ---- */

/* configure(spin seconds or nil, attend or nil); nil leaves it as it is */
static int
core_configure(lua_State *L)
{
    struct loop *loop = router_loop(node_router(node(L)));

    if (!lua_isnoneornil(L, 1))
        loop_set_spin(loop, (int64_t)(luaL_checknumber(L, 1) * 1e9));
    if (!lua_isnoneornil(L, 2))
        loop_set_attend(loop, lua_toboolean(L, 2));
    return 0;
}

/* ---- files ---- */

#define PROGRESS_TYPE "orrery.progress"

struct progress {
    struct file_progress *p;
};

static int
progress_gc(lua_State *L)
{
    struct progress *progress = luaL_checkudata(L, 1, PROGRESS_TYPE);

    file_progress_unref(progress->p);
    progress->p = NULL;
    return 0;
}

/* progress() -> for put and get, to be looked at while they run */
static int
core_progress(lua_State *L)
{
    struct progress *progress = lua_newuserdata(L, sizeof *progress);

    progress->p = NULL;
    if (luaL_newmetatable(L, PROGRESS_TYPE)) {
        lua_pushcfunction(L, progress_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    progress->p = file_progress_create();
    return 1;
}

/* look_at(progress) -> bytes done, bytes in all (0 where that is not known yet) */
static int
core_look_at(lua_State *L)
{
    struct file_progress *p = ((struct progress *)luaL_checkudata(L, 1, PROGRESS_TYPE))->p;

    lua_pushnumber(L, (double)atomic_load_explicit(&p->done, memory_order_relaxed));
    lua_pushnumber(L, (double)atomic_load_explicit(&p->size, memory_order_relaxed));
    return 2;
}

static int
transfer(lua_State *L,
    uint32_t (*start)(struct file_service *, struct context *, const char *, const char *,
        const struct file_attributes *, struct mailbox *, struct err *))
{
    struct context *c = vm_check_context(L, 1);
    const char *from = luaL_checkstring(L, 2), *to = luaL_checkstring(L, 3);
    struct file_attributes a = {.mode = (int64_t)luaL_optnumber(L, 4, -1),
        .owner = luaL_optstring(L, 5, NULL),
        .group = luaL_optstring(L, 6, NULL),
        .progress = lua_isnoneornil(L, 7)
            ? NULL
            : ((struct progress *)luaL_checkudata(L, 7, PROGRESS_TYPE))->p};
    struct err err;
    uint32_t seq = start(node_files(node(L)), c, from, to, &a, mailbox(L), &err);

    if (!seq)
        return vm_push_err(L, &err);
    lua_pushnumber(L, seq);
    return 1;
}

/* put(context, local, remote, mode, owner, group, progress) -> seq; the last four may be nil */
static int
core_put(lua_State *L)
{
    return transfer(L, file_put);
}

/* get(context, remote, local, mode, owner, group, progress) -> seq */
static int
core_get(lua_State *L)
{
    return transfer(L, file_get);
}

/* cancel_file(seq) */
static int
core_cancel_file(lua_State *L)
{
    file_cancel(node_files(node(L)), (uint32_t)luaL_checknumber(L, 1));
    return 0;
}

static void (*extension)(lua_State *L);

void
binding_extend(void (*push)(lua_State *L))
{
    extension = push;
}

struct binding *
binding_create(lua_State *L, struct node *n)
{
    static const luaL_Reg functions[] = {
        {"open", core_open},
        {"cancel_open", core_cancel_open},
        {"answer_question", core_answer_question},
        {"inquire", core_inquire},
        {"retract", core_retract},
        {"close", core_close},
        {"capture", core_capture},
        {"serve_modules", core_serve_modules},
        {"take_question", core_take_question},
        {"watch_text", core_watch_text},
        {"raw_text_taken", core_raw_text_taken},
        {"configure", core_configure},
        {"put", core_put},
        {"get", core_get},
        {"cancel_file", core_cancel_file},
        {"progress", core_progress},
        {"look_at", core_look_at},
        {NULL, NULL},
    };

    struct binding *b = xcalloc(1, sizeof *b);

    b->node = n;
    b->vm = vm_attach(L, node_router(n));
    LIST_INIT(&b->threads);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    vm_push_core(b->vm);
    lua_pushlightuserdata(L, n);
    luaL_openlib(L, NULL, functions, 1);
    thread_push_functions(L, b);
    keeper_push_functions(L, n);
    attach_push_functions(L, n);
    interrupt_push_functions(L);
    breaker_push_functions(L, n);
    redact_push_functions(L);
    if (extension)
        extension(L);
    lua_setfield(L, -2, "orrery.core");
    lua_pop(L, 2);
    sys_open(L);
    return b;
}

void
bind_add(lua_State *L, const luaL_Reg *functions, struct node *n, const char *name, uint32_t handle)
{
    lua_pushlightuserdata(L, n);
    luaL_openlib(L, NULL, functions, 1);
    lua_getfield(L, -1, "handle");
    lua_pushnumber(L, handle);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

struct vm *
binding_vm(struct binding *b)
{
    return b->vm;
}

void
binding_destroy(struct binding *b)
{
    if (!b)
        return;
    binding_end_threads(b);
    shared_leave(node_modules(b->node), vm_mailbox(b->vm));
    ask_forget(vm_mailbox(b->vm));
    texts_unwatch(node_texts(b->node), vm_mailbox(b->vm));
    interrupt_forget(vm_mailbox(b->vm));
    breaker_forget(vm_mailbox(b->vm));
    vm_detach(b->vm);
    free(b);
}
