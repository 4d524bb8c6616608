/*
 * orrery.sys, users and groups: of /etc/passwd and /etc/group alone, since an agent is static and loads no NSS. Who is
 * known to a directory service only is for `getent` to find.
 */
#include <errno.h>
#include <grp.h>
#include <lauxlib.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mem.h"
#include "sys_private.h"

#define MOST_ROOM (16u << 20) /* for a line of these files */

/* Whom to look for: by name, or by number where that is NULL. */
struct wanted {
    const char *name;
    unsigned id;
};

static int
is_wanted(const struct wanted *w, const char *name, unsigned id)
{
    return w->name ? strcmp(w->name, name) == 0 : w->id == id;
}

/* What is found points into the buffer. Others read these files at the same time, in other threads. */
struct search {
    FILE *file;
    struct passwd user;
    struct group group;
    char *buffer;
    size_t size;
};

static void
begin_search(struct search *s, const char *path)
{
    s->file = fopen(path, "re");
    s->size = 4096;
    s->buffer = xmalloc(s->size);
}

static void
end_search(struct search *s)
{
    if (s->file)
        fclose(s->file);
    free(s->buffer);
}

/* A group may have any number of members. The line that did not fit is read again. */
static bool
make_room(struct search *s)
{
    if (s->size >= MOST_ROOM)
        return false;
    s->size *= 2;
    s->buffer = xrealloc(s->buffer, s->size);
    return true;
}

static const struct passwd *
find_user(struct search *s, const struct wanted *w)
{
    struct passwd *p;
    int rc = 0;

    begin_search(s, "/etc/passwd");
    while (s->file && (rc == 0 || (rc == ERANGE && make_room(s)))) {
        rc = fgetpwent_r(s->file, &s->user, s->buffer, s->size, &p);
        if (rc == 0 && is_wanted(w, p->pw_name, p->pw_uid))
            return p;
    }
    return NULL;
}

static const struct group *
find_group(struct search *s, const struct wanted *w)
{
    struct group *g;
    int rc = 0;

    begin_search(s, "/etc/group");
    while (s->file && (rc == 0 || (rc == ERANGE && make_room(s)))) {
        rc = fgetgrent_r(s->file, &s->group, s->buffer, s->size, &g);
        if (rc == 0 && is_wanted(w, g->gr_name, g->gr_gid))
            return g;
    }
    return NULL;
}

static void
set_string(lua_State *L, const char *key, const char *s)
{
    lua_pushstring(L, s ? s : "");
    lua_setfield(L, -2, key);
}

static void
set_number(lua_State *L, const char *key, double n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, key);
}

static void
push_user(lua_State *L, const struct passwd *p)
{
    lua_createtable(L, 0, 7);
    set_string(L, "name", p->pw_name);
    set_number(L, "uid", p->pw_uid);
    set_number(L, "gid", p->pw_gid);
    set_string(L, "gecos", p->pw_gecos);
    set_string(L, "home", p->pw_dir);
    set_string(L, "shell", p->pw_shell);
    set_string(L, "password", p->pw_passwd);
}

static void
push_group(lua_State *L, const struct group *g)
{
    lua_createtable(L, 0, 3);
    set_string(L, "name", g->gr_name);
    set_number(L, "gid", g->gr_gid);
    lua_newtable(L);
    for (int i = 0; g->gr_mem[i]; i++) {
        lua_pushstring(L, g->gr_mem[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "members");
}

static struct wanted
wanted(lua_State *L)
{
    struct wanted w = {NULL, 0};

    if (lua_type(L, 1) == LUA_TNUMBER)
        w.id = (unsigned)lua_tonumber(L, 1);
    else
        w.name = luaL_checkstring(L, 1);
    return w;
}

static int
nobody(lua_State *L, const char *kind, const char *file)
{
    lua_pushnil(L);
    lua_pushfstring(L, "no %s %s in %s", kind, lua_tostring(L, 1), file);
    lua_pushliteral(L, "ENOENT");
    return 3;
}

/* user(name or uid) -> { name, uid, gid, gecos, home, shell, password } */
static int
sys_user(lua_State *L)
{
    struct wanted w = wanted(L);
    struct search s = {0};
    const struct passwd *p = find_user(&s, &w);

    if (p)
        push_user(L, p);
    end_search(&s);
    return p ? 1 : nobody(L, "user", "/etc/passwd");
}

/* group(name or gid) -> { name, gid, members = { name ... } } */
static int
sys_group(lua_State *L)
{
    struct wanted w = wanted(L);
    struct search s = {0};
    const struct group *g = find_group(&s, &w);

    if (g)
        push_group(L, g);
    end_search(&s);
    return g ? 1 : nobody(L, "group", "/etc/group");
}

/* What was found last. Trees of files have one owner, mostly, and each is asked about. */
struct last {
    unsigned id;
    struct stat file; /* as it was then */
    char name[64];    /* "": none */
};

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
        a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
look_up(struct last *last, int user, unsigned id)
{
    struct wanted w = {NULL, id};
    struct search s = {0};
    const struct passwd *p = user ? find_user(&s, &w) : NULL;
    const struct group *g = user ? NULL : find_group(&s, &w);

    snprintf(last->name, sizeof last->name, "%s", p ? p->pw_name : g ? g->gr_name : "");
    last->id = id;
    if (!s.file || fstat(fileno(s.file), &last->file) < 0)
        last->file.st_ino = 0;
    end_search(&s);
}

int
sys_push_name(lua_State *L, int user, unsigned id)
{
    static _Thread_local struct last users, groups;
    struct last *last = user ? &users : &groups;
    struct stat st;

    if (stat(user ? "/etc/passwd" : "/etc/group", &st) < 0 || last->id != id ||
        last->file.st_ino == 0 || !is_same_file(&st, &last->file))
        look_up(last, user, id);
    if (last->name[0] == '\0')
        lua_pushnil(L);
    else
        lua_pushstring(L, last->name);
    return last->name[0] != '\0';
}

void
sys_push_names(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"user", sys_user},
        {"group", sys_group},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
