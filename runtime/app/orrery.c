#include "orrery.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "err.h"
#include "mem.h"
#include "node.h"
#include "paths.h"
#include "ssh.h"
#include "vm.h"

struct orrery {
    lua_State *L;
};

/*
 * What luaopen_orrery_core made. The module's table holds it, so it lives as long as anybody has that
 * table; a Lua state that forgets and requires the module again has another one beside it.
 */
struct session {
    struct vm *vm;
    struct node *node;
};

static int
session_gc(lua_State *L)
{
    struct session *s = lua_touserdata(L, 1);

    if (s->vm)
        vm_detach(s->vm);
    node_destroy(s->node);
    *s = (struct session){0};
    return 0;
}

int
luaopen_orrery_core(lua_State *L)
{
    struct session *s = lua_newuserdata(L, sizeof *s);
    struct err err;
    char *dir;

    *s = (struct session){0};
    lua_newtable(L);
    lua_pushcfunction(L, session_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    dir = paths_agents();
    s->node = node_create(dir, &err);
    if (!s->node) {
        free(dir);
        return luaL_error(L, "orrery: %s", err.msg);
    }
    node_use_ssh(s->node, ssh_connect);
    s->vm = bind_core(L, s->node);
    lua_pushstring(L, dir);
    free(dir);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_getfield(L, -1, "orrery.core");
    lua_pushstring(L, ssh_library_version());
    lua_setfield(L, -2, "ssh_version");
    lua_pushstring(L, orrery_version());
    lua_setfield(L, -2, "version");
    lua_pushvalue(L, -4);
    lua_setfield(L, -2, "agent_dir");
    lua_pushvalue(L, -5);
    lua_setfield(L, -2, "session");
    return 1;
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

struct orrery *
orrery_create(struct orrery_error *e)
{
    struct orrery *o = xcalloc(1, sizeof *o);

    o->L = vm_new_state();
    if (!o->L) {
        set_error(e, "system", "cannot create a Lua state");
        free(o);
        return NULL;
    }
    lua_getglobal(o->L, "package");
    lua_getfield(o->L, -1, "preload");
    lua_pushcfunction(o->L, luaopen_orrery_core);
    lua_setfield(o->L, -2, "orrery.core");
    lua_settop(o->L, 0);
    return o;
}

void
orrery_destroy(struct orrery *o)
{
    if (!o)
        return;
    lua_close(o->L);
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
