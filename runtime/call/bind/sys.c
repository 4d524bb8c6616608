/* orrery.sys, the part that is one system call each. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "sys_private.h"

const char *
sys_error_name(int error, char *buffer, size_t size)
{
    const char *name = strerrorname_np(error);

    if (name)
        return name;
    snprintf(buffer, size, "E%d", error);
    return buffer;
}

int
sys_fail(lua_State *L, int error, const char *what)
{
    char buffer[16];

    lua_pushnil(L);
    lua_pushfstring(
        L, "%s: %s", what, strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error");
    lua_pushstring(L, sys_error_name(error, buffer, sizeof buffer));
    return 3;
}

int
sys_done(lua_State *L, int rc, const char *what)
{
    if (rc < 0)
        return sys_fail(L, errno, what);
    lua_pushboolean(L, 1);
    return 1;
}

double
sys_field(lua_State *L, int t, const char *key, double otherwise)
{
    double n = otherwise;

    lua_getfield(L, t, key);
    if (!lua_isnil(L, -1))
        n = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return n;
}

/* ---- what there is ---- */

static const char *
type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "link";
    case S_IFBLK: return "block";
    case S_IFCHR: return "char";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    default: return "unknown";
    }
}

static void
set_number(lua_State *L, const char *key, double n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, key);
}

static void
set_name(lua_State *L, const char *key, int user, unsigned id)
{
    sys_push_name(L, user, id);
    lua_setfield(L, -2, key);
}

static double
seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static void
push_target(lua_State *L, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target);

    if (n < 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, target, (size_t)n);
}

static int
push_stat(lua_State *L, const char *path, const struct stat *st)
{
    lua_createtable(L, 0, 16);
    lua_pushstring(L, type_name(st->st_mode));
    lua_setfield(L, -2, "type");
    set_number(L, "mode", st->st_mode & 07777);
    set_number(L, "uid", st->st_uid);
    set_number(L, "gid", st->st_gid);
    set_name(L, "owner", 1, st->st_uid);
    set_name(L, "group", 0, st->st_gid);
    set_number(L, "size", (double)st->st_size);
    set_number(L, "mtime", seconds(&st->st_mtim));
    set_number(L, "atime", seconds(&st->st_atim));
    set_number(L, "ctime", seconds(&st->st_ctim));
    set_number(L, "ino", (double)st->st_ino);
    set_number(L, "dev", (double)st->st_dev);
    set_number(L, "nlink", (double)st->st_nlink);
    if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode)) {
        set_number(L, "major", major(st->st_rdev));
        set_number(L, "minor", minor(st->st_rdev));
    }
    if (S_ISLNK(st->st_mode)) {
        push_target(L, path);
        lua_setfield(L, -2, "target");
    }
    return 1;
}

/* stat(path) -> { type, mode, uid, gid, owner, group, size, mtime, atime, ctime, ino, dev, nlink [, major, minor] } */
static int
sys_stat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    return stat(path, &st) < 0 ? sys_fail(L, errno, path) : push_stat(L, path, &st);
}

/* lstat(path): the same of a link itself, with its `target` */
static int
sys_lstat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    return lstat(path, &st) < 0 ? sys_fail(L, errno, path) : push_stat(L, path, &st);
}

/* readlink(path) -> target */
static int
sys_readlink(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    push_target(L, path);
    return lua_isnil(L, -1) ? sys_fail(L, errno, path) : 1;
}

/* realpath(path) -> path without links and dots */
static int
sys_realpath(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char *real = realpath(path, NULL);

    if (!real)
        return sys_fail(L, errno, path);
    lua_pushstring(L, real);
    free(real);
    return 1;
}

/* access(path, "r" | "w" | "x" or several, with the effective ids) -> true */
static int
sys_access(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *how = luaL_optstring(L, 2, "");
    int mode = (strchr(how, 'r') ? R_OK : 0) | (strchr(how, 'w') ? W_OK : 0) |
        (strchr(how, 'x') ? X_OK : 0);

    return sys_done(L, faccessat(AT_FDCWD, path, mode, AT_EACCESS), path);
}

/* ---- changes ---- */

/* symlink(target, path) */
static int
sys_symlink(lua_State *L)
{
    const char *path = luaL_checkstring(L, 2);

    return sys_done(L, symlink(luaL_checkstring(L, 1), path), path);
}

/* link(existing, path) */
static int
sys_link(lua_State *L)
{
    const char *path = luaL_checkstring(L, 2);

    return sys_done(L, link(luaL_checkstring(L, 1), path), path);
}

/* mkdir(path, mode = 0777, less the umask) */
static int
sys_mkdir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return sys_done(L, mkdir(path, (mode_t)luaL_optinteger(L, 2, 0777)), path);
}

static int
sys_rmdir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return sys_done(L, rmdir(path), path);
}

static int
sys_unlink(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return sys_done(L, unlink(path), path);
}

/* rename(from, to): also over what is there */
static int
sys_rename(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1);

    return sys_done(L, rename(from, luaL_checkstring(L, 2)), from);
}

static int
sys_chmod(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return sys_done(L, chmod(path, (mode_t)luaL_checkinteger(L, 2)), path);
}

static int
change_owner(lua_State *L, int flags)
{
    const char *path = luaL_checkstring(L, 1);
    uid_t uid = (uid_t)(int64_t)luaL_optnumber(L, 2, -1);
    gid_t gid = (gid_t)(int64_t)luaL_optnumber(L, 3, -1);

    return sys_done(L, fchownat(AT_FDCWD, path, uid, gid, flags), path);
}

/* chown(path, uid or nil, gid or nil) */
static int
sys_chown(lua_State *L)
{
    return change_owner(L, 0);
}

/* lchown: the same of a link itself */
static int
sys_lchown(lua_State *L)
{
    return change_owner(L, AT_SYMLINK_NOFOLLOW);
}

static struct timespec
time_argument(lua_State *L, int i)
{
    struct timespec t = {0, UTIME_OMIT};

    if (!lua_isnoneornil(L, i)) {
        double s = luaL_checknumber(L, i);

        t.tv_sec = (time_t)s;
        t.tv_nsec = (long)((s - (double)t.tv_sec) * 1e9);
        if (t.tv_nsec < 0) {
            t.tv_sec--;
            t.tv_nsec += 1000000000L;
        }
    }
    return t;
}

/* utimes(path, mtime, atime): seconds since the epoch; nil leaves one; both nil: now */
static int
sys_utimes(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct timespec times[2] = {time_argument(L, 3), time_argument(L, 2)};
    int now = lua_isnoneornil(L, 2) && lua_isnoneornil(L, 3);

    return sys_done(L, utimensat(AT_FDCWD, path, now ? NULL : times, 0), path);
}

/* ---- the process and its host ---- */

/* As the kernel says it; a kernel of before 4.7 does not. */
mode_t
sys_current_umask(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    unsigned mask = 01000;

    while (file && mask == 01000 && fgets(line, sizeof line, file))
        if (strncmp(line, "Umask:", 6) == 0)
            mask = (unsigned)strtoul(line + 6, NULL, 8);
    if (file)
        fclose(file);
    if (mask == 01000) {
        mask = umask(077);
        umask(mask);
    }
    return mask;
}

/* umask([mask]) -> the one before; without an argument it stays */
static int
sys_umask(lua_State *L)
{
    mode_t before =
        lua_isnoneornil(L, 1) ? sys_current_umask() : umask((mode_t)luaL_checkinteger(L, 1));

    lua_pushinteger(L, before);
    return 1;
}

static int
sys_getuid(lua_State *L)
{
    lua_pushnumber(L, geteuid());
    return 1;
}

static int
sys_getgid(lua_State *L)
{
    lua_pushnumber(L, getegid());
    return 1;
}

static int
sys_getpid(lua_State *L)
{
    lua_pushnumber(L, getpid());
    return 1;
}

static int
sys_hostname(lua_State *L)
{
    char name[HOST_NAME_MAX + 1];

    if (gethostname(name, sizeof name) < 0)
        return sys_fail(L, errno, "hostname");
    lua_pushstring(L, name);
    return 1;
}

/* uname() -> { sysname, nodename, release, version, machine } */
static int
sys_uname(lua_State *L)
{
    struct utsname u;

    if (uname(&u) < 0)
        return sys_fail(L, errno, "uname");
    lua_createtable(L, 0, 5);
    lua_pushstring(L, u.sysname);
    lua_setfield(L, -2, "sysname");
    lua_pushstring(L, u.nodename);
    lua_setfield(L, -2, "nodename");
    lua_pushstring(L, u.release);
    lua_setfield(L, -2, "release");
    lua_pushstring(L, u.version);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, u.machine);
    lua_setfield(L, -2, "machine");
    return 1;
}

/* clock() -> seconds since the epoch, a float */
static int
sys_time(lua_State *L)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    lua_pushnumber(L, seconds(&t));
    return 1;
}

void
sys_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"stat", sys_stat},
        {"lstat", sys_lstat},
        {"readlink", sys_readlink},
        {"realpath", sys_realpath},
        {"access", sys_access},
        {"symlink", sys_symlink},
        {"link", sys_link},
        {"mkdir", sys_mkdir},
        {"rmdir", sys_rmdir},
        {"unlink", sys_unlink},
        {"rename", sys_rename},
        {"chmod", sys_chmod},
        {"chown", sys_chown},
        {"lchown", sys_lchown},
        {"utimes", sys_utimes},
        {"umask", sys_umask},
        {"getuid", sys_getuid},
        {"getgid", sys_getgid},
        {"getpid", sys_getpid},
        {"hostname", sys_hostname},
        {"uname", sys_uname},
        {"time", sys_time},
        {NULL, NULL},
    };

    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_newtable(L);
    luaL_openlib(L, NULL, functions, 0);
    sys_push_files(L);
    sys_push_names(L);
    sys_push_digests(L);
    sys_push_sockets(L);
    sys_push_machine(L);
    sys_push_as(L);
    lua_setfield(L, -2, "orrery.sys");
    lua_pop(L, 2);
}
