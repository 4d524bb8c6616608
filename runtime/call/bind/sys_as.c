/*
 * orrery.sys, as somebody else: what root does in a directory that belongs to a user is done with that user's rights,
 * so that no link, whenever it is put there, leads to what the user may not touch.
 *
 * The kernel keeps these ids for each thread, and so nothing changes for the others. The C library has no call for a
 * thread's own groups (setgroups changes those of all), hence the system call.
 */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys_private.h"

#ifdef SYS_setgroups32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_GROUPS SYS_setgroups
#endif

#define MOST_GROUPS 256

struct identity {
    uid_t uid;
    gid_t gid;
    int count;
    gid_t groups[MOST_GROUPS];
};

/* Both calls return what was before, and never that they have failed: a second one tells. */
static int
set_ids(uid_t uid, gid_t gid)
{
    setfsgid(gid);
    setfsuid(uid);
    return (uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid ? 0 : -1;
}

/* A thread that could not become itself again must not go on. */
static void
restore(const struct identity *self)
{
    if (set_ids(self->uid, self->gid) < 0 || syscall(SET_GROUPS, self->count, self->groups) < 0)
        abort();
}

static int
become(const struct identity *self, uid_t uid, gid_t gid)
{
    if (syscall(SET_GROUPS, 1, &gid) < 0)
        return -1;
    if (set_ids(uid, gid) == 0)
        return 0;
    restore(self);
    errno = EPERM;
    return -1;
}

/*
 * as(uid, gid, fn, ...) -> what fn returns. fn sees the file system with that user's rights, and only with these; what
 * it makes is theirs. It must not wait for anything, since other tasks share its thread: a yield in it is an error.
 */
static int
sys_as(lua_State *L)
{
    uid_t uid = (uid_t)(int64_t)luaL_checknumber(L, 1);
    gid_t gid = (gid_t)(int64_t)luaL_checknumber(L, 2);
    struct identity self = {.uid = (uid_t)setfsuid((uid_t)-1), .gid = (gid_t)setfsgid((gid_t)-1)};
    int failed;

    luaL_checktype(L, 3, LUA_TFUNCTION);
    if (self.uid == uid && uid != 0) {
        lua_call(L, lua_gettop(L) - 3, LUA_MULTRET);
        return lua_gettop(L) - 2;
    }
    self.count = getgroups(MOST_GROUPS, self.groups);
    if (self.count < 0 || become(&self, uid, gid) < 0)
        return sys_fail(L, errno, "another user's rights");
    failed = lua_pcall(L, lua_gettop(L) - 3, LUA_MULTRET, 0);
    restore(&self);
    return failed ? lua_error(L) : lua_gettop(L) - 2;
}

void
sys_push_as(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"as", sys_as},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
