#include "orrery.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "compress.h"
#include "err.h"
#include "mem.h"
#include "node.h"
#include "paths.h"
#include "screen.h"
#include "ssh.h"
#include "vm.h"

/*
 * What the Lua states of a program share: the node, made when the first of them needs it, and ended with
 * the last.
 */
struct runtime {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct node *node; /* [lock] NULL until then */
    char *agents;      /* [lock] the same */
};

struct orrery {
    lua_State *L;
    struct runtime *runtime; /* counted */
    struct session *session; /* NULL before orrery.core was required */
};

/*
 * What opening orrery.core in a Lua state made. The module's table holds it, so it lives as long as
 * anybody has that table; a Lua state that forgets and requires the module again has another one beside
 * it.
 */
struct session {
    struct orrery *owner; /* NULL in somebody else's Lua state */
    struct binding *binding;
    struct runtime *runtime; /* counted */
};

static struct runtime *
runtime_create(void)
{
    struct runtime *r = xcalloc(1, sizeof *r);

    atomic_init(&r->refs, 1);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static struct runtime *
runtime_ref(struct runtime *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

static void
runtime_unref(struct runtime *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    node_destroy(r->node);
    pthread_mutex_destroy(&r->lock);
    free(r->agents);
    free(r);
}

/* What agents do without. */
static void
push_more(lua_State *L)
{
    vault_push_functions(L);
    input_push_functions(L);
}

static struct node *
runtime_node(struct runtime *r, struct err *err)
{
    pthread_mutex_lock(&r->lock);
    if (!r->agents)
        r->agents = paths_agents();
    if (!r->node) {
        r->node = node_create(r->agents, err);
        if (r->node) {
            node_use_ssh(r->node, &ssh_library);
            binding_extend(push_more);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return r->node;
}

static int
session_gc(lua_State *L)
{
    struct session *s = lua_touserdata(L, 1);

    if (s->owner && s->owner->session == s)
        s->owner->session = NULL;
    binding_destroy(s->binding);
    runtime_unref(s->runtime);
    *s = (struct session){0};
    return 0;
}

/* Takes the runtime. Leaves orrery.core on the stack. */
static int
open_core(lua_State *L, struct runtime *r, struct orrery *owner)
{
    struct session *s = lua_newuserdata(L, sizeof *s);
    struct node *node;
    struct err err;

    *s = (struct session){.runtime = r};
    lua_newtable(L);
    lua_pushcfunction(L, session_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    node = runtime_node(r, &err);
    if (!node)
        return luaL_error(L, "orrery: %s", err.msg);
    s->binding = binding_create(L, node);
    vm_add_compress(L);
    if (owner) {
        s->owner = owner;
        owner->session = s;
    }
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_getfield(L, -1, "orrery.core");
    lua_pushstring(L, ssh_library_version());
    lua_setfield(L, -2, "ssh_version");
    lua_pushstring(L, orrery_version());
    lua_setfield(L, -2, "version");
    lua_pushstring(L, r->agents);
    lua_setfield(L, -2, "agent_dir");
    screen_push_functions(L);
    lua_pushvalue(L, -4);
    lua_setfield(L, -2, "session");
    return 1;
}

int
luaopen_orrery_core(lua_State *L)
{
    return open_core(L, runtime_create(), NULL);
}

static int
open_own_core(lua_State *L)
{
    struct orrery *o = lua_touserdata(L, lua_upvalueindex(1));

    return open_core(L, runtime_ref(o->runtime), o);
}

/* ---- errors ---- */

static void
set_error(struct orrery_error *e, const char *code, const char *text)
{
    if (!e)
        return;
    snprintf(e->code, sizeof e->code, "%s", code);
    snprintf(e->text, sizeof e->text, "%s", text);
}

/* error.format does the work; the error value is on top and is popped. */
static void
take_error(lua_State *L, struct orrery_error *e)
{
    const char *code = "lua", *text;

    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.error");
    if (lua_pcall(L, 1, 1, 0) == 0) {
        lua_getfield(L, -1, "format");
        lua_pushvalue(L, -3);
        lua_pcall(L, 1, 1, 0);
    }
    text = lua_tostring(L, -1);
    if (lua_istable(L, -3)) {
        lua_getfield(L, -3, "code");
        code = lua_isstring(L, -1) ? lua_tostring(L, -1) : code;
    }
    set_error(e, code, text ? text : "an error without a text");
    lua_settop(L, 0);
}

/* ---- the public functions ---- */

const char *
orrery_version(void)
{
    return ORRERY_VERSION;
}

const char *
orrery_ssh_version(void)
{
    return ssh_library_version();
}

/* Takes the runtime. */
static struct orrery *
create(struct runtime *r, struct orrery_error *e)
{
    struct orrery *o = xcalloc(1, sizeof *o);

    o->runtime = r;
    o->L = vm_new_state();
    if (!o->L) {
        set_error(e, "system", "cannot create a Lua state");
        runtime_unref(r);
        free(o);
        return NULL;
    }
    lua_getglobal(o->L, "package");
    lua_getfield(o->L, -1, "preload");
    lua_pushlightuserdata(o->L, o);
    lua_pushcclosure(o->L, open_own_core, 1);
    lua_setfield(o->L, -2, "orrery.core");
    lua_settop(o->L, 0);
    return o;
}

struct orrery *
orrery_create(struct orrery_error *e)
{
    return create(runtime_create(), e);
}

static void
copy_package_field(lua_State *from, lua_State *to, const char *name)
{
    lua_getglobal(from, "package");
    lua_getglobal(to, "package");
    lua_getfield(from, -1, name);
    lua_pushstring(to, lua_tostring(from, -1));
    lua_setfield(to, -2, name);
    lua_pop(from, 2);
    lua_pop(to, 1);
}

struct orrery *
orrery_fork(struct orrery *o, struct orrery_error *e)
{
    struct orrery *new = create(runtime_ref(o->runtime), e);

    if (new) {
        copy_package_field(o->L, new->L, "path");
        copy_package_field(o->L, new->L, "cpath");
    }
    return new;
}

void
orrery_destroy(struct orrery *o)
{
    if (!o)
        return;
    if (o->session)
        binding_end_threads(o->session->binding);
    lua_close(o->L);
    runtime_unref(o->runtime);
    free(o);
}

struct lua_State *
orrery_lua(struct orrery *o)
{
    return o->L;
}

static int
finish(struct orrery *o, int rc, struct orrery_error *e)
{
    if (rc == 0) {
        lua_settop(o->L, 0);
        return 0;
    }
    take_error(o->L, e);
    return -1;
}

int
orrery_run_string(struct orrery *o, const char *text, const char *name, struct orrery_error *e)
{
    int rc = luaL_loadbuffer(o->L, text, strlen(text), name);

    return finish(o, rc ? rc : vm_pcall(o->L, 0, 0), e);
}

int
orrery_run_file(
    struct orrery *o, const char *path, int argc, const char *const *argv, struct orrery_error *e)
{
    lua_State *L = o->L;

    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.script");
    if (vm_pcall(L, 1, 1) < 0)
        return finish(o, -1, e);
    lua_getfield(L, -1, "run");
    lua_pushstring(L, path);
    lua_createtable(L, argc, 0);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return finish(o, vm_pcall(L, 2, 0), e);
}
