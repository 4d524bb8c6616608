/* orrery.sys, contents: whole files in and out, directories, temporary names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"
#include "sys_private.h"

#define PIECE 65536

/* Closes, and keeps errno. */
static void
drop(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
}

/* ---- reading ---- */

/* All of it, or -1. More than the limit is too much. */
static ssize_t
read_all(int fd, size_t limit, char **content)
{
    size_t size = 0, room = 0;
    ssize_t n = 1;

    *content = NULL;
    while (n > 0 && size <= limit) {
        if (size == room) {
            room = room ? 2 * room : PIECE;
            *content = xrealloc(*content, room);
        }
        n = read(fd, *content + size, room - size);
        if (n > 0)
            size += (size_t)n;
    }
    if (size > limit)
        errno = EFBIG;
    return n < 0 || size > limit ? -1 : (ssize_t)size;
}

/*
 * read(path, limit = none) -> content. Of a longer one: nil, message, "EFBIG". Nothing is waited for: of a pipe that
 * somebody has put there, there is what is in it.
 */
static int
sys_read(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    double limit = luaL_optnumber(L, 2, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), error;
    char *content;
    ssize_t n;

    if (fd < 0)
        return sys_fail(L, errno, path);
    n = read_all(fd, limit > 0 ? (size_t)limit : SIZE_MAX / 4, &content);
    error = errno;
    close(fd);
    if (n >= 0)
        lua_pushlstring(L, content, (size_t)n);
    free(content);
    return n < 0 ? sys_fail(L, error, path) : 1;
}

/* list(directory) -> names, sorted by nothing, without "." and ".." */
static int
sys_list(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    DIR *dir = opendir(path);
    const struct dirent *e;
    int n = 0;

    if (!dir)
        return sys_fail(L, errno, path);
    lua_newtable(L);
    while ((errno = 0, e = readdir(dir))) { // NOLINT(concurrency-mt-unsafe): a directory of our own
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        lua_pushstring(L, e->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(dir);
    return 1;
}

/* ---- writing ---- */

static int
write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t wrote = write(fd, p, n);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        p += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

/* The directory of `path`, with the slash: how much of it that is. 0: none is named. */
static int
directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path + 1) : 0;
}

/* A name beside `path` for its new content: in the same directory, so that it can be renamed, and hidden. */
static int
name_beside(char *name, size_t size, const char *path)
{
    if (snprintf(name, size, "%.*s.orrery-XXXXXX", directory_length(path), path) < (int)size)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

/* A file without a name, of which nothing is left if this process is killed; -1 where that cannot be had. */
static int
open_unnamed(const char *path)
{
    char dir[PATH_MAX], proc[64];
    int n = directory_length(path), fd;

    if (snprintf(dir, sizeof dir, "%.*s", n > 0 ? n : 1, n > 0 ? path : ".") >= (int)sizeof dir)
        return -1;
    fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    if (access(proc, F_OK) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The name must be one that nobody has: it is made of a new one each time. */
static int
give_name(int fd, char *name)
{
    char proc[64], *x = name + strlen(name) - 6;

    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    for (int i = 0; i < 100; i++) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        snprintf(x, 7, "%06llx",
            ((unsigned long long)t.tv_nsec * 2654435761u ^ (unsigned long long)getpid() << 4) &
                0xffffff);
        if (linkat(AT_FDCWD, proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

struct attributes {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int sync;
};

/* The owner first: changing it takes set-user-id bits away. */
static int
set_attributes(int fd, const struct attributes *a)
{
    if ((a->uid != (uid_t)-1 || a->gid != (gid_t)-1) && fchown(fd, a->uid, a->gid) < 0)
        return -1;
    if (fchmod(fd, a->mode) < 0)
        return -1;
    return a->sync ? fsync(fd) : 0;
}

/* What was written must also be there: a quota, a network file system. */
static int
fill(int fd, const char *content, size_t n, const struct attributes *a)
{
    struct stat st;

    if (write_all(fd, content, n) < 0 || set_attributes(fd, a) < 0 || fstat(fd, &st) < 0)
        return -1;
    if ((size_t)st.st_size == n)
        return 0;
    errno = EIO;
    return -1;
}

/* Makes the file, and says in `name` what it is called. */
static int
make_beside(const char *path, const char *content, size_t n, const struct attributes *a, char *name,
    size_t size)
{
    int unnamed, fd, rc;

    if (name_beside(name, size, path) < 0)
        return -1;
    unnamed = fd = open_unnamed(path);
    if (fd < 0)
        fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = fill(fd, content, n, a);
    if (rc == 0 && unnamed >= 0)
        rc = give_name(fd, name);
    if (rc < 0) {
        drop(fd);
    } else {
        rc = close(fd);
    }
    if (rc < 0 && unnamed < 0) {
        int error = errno;

        unlink(name);
        errno = error;
    }
    return rc;
}

/*
 * write_atomic(path, content, { mode, uid, gid, sync }): under its name whole or not at all. The new file is written
 * beside it and takes its place, also where a link stands there. mode: 0666 less the umask; sync: it is on the disk.
 */
static int
sys_write_atomic(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    size_t n;
    const char *content = luaL_checklstring(L, 2, &n);
    struct attributes a = {0666 & ~sys_current_umask(), (uid_t)-1, (gid_t)-1, 0};
    char name[PATH_MAX];

    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        a.mode = (mode_t)sys_field(L, 3, "mode", a.mode);
        a.uid = (uid_t)(int64_t)sys_field(L, 3, "uid", -1);
        a.gid = (gid_t)(int64_t)sys_field(L, 3, "gid", -1);
        lua_getfield(L, 3, "sync");
        a.sync = lua_toboolean(L, -1);
    }
    if (make_beside(path, content, n, &a, name, sizeof name) < 0)
        return sys_fail(L, errno, path);
    if (rename(name, path) < 0) {
        int error = errno;

        unlink(name);
        return sys_fail(L, error, path);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Where a temporary thing is to be: the prefix of its path is an argument, or the directory of such. */
static int
push_template(lua_State *L, char *name, size_t size)
{
    const char *prefix = luaL_optstring(L, 1, NULL), *dir = getenv("TMPDIR");

    if (!prefix)
        snprintf(name, size, "%s/orrery-XXXXXX", dir && dir[0] == '/' ? dir : "/tmp");
    else if (snprintf(name, size, "%sXXXXXX", prefix) >= (int)size)
        return sys_fail(L, ENAMETOOLONG, prefix);
    return 0;
}

/* mkstemp(prefix = "/tmp/orrery-") -> path of a new empty file, mode 0600 */
static int
sys_mkstemp(lua_State *L)
{
    char name[PATH_MAX];
    int failed = push_template(L, name, sizeof name), fd;

    if (failed)
        return failed;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return sys_fail(L, errno, name);
    close(fd);
    lua_pushstring(L, name);
    return 1;
}

/* mkdtemp(prefix = "/tmp/orrery-") -> path of a new directory, mode 0700 */
static int
sys_mkdtemp(lua_State *L)
{
    char name[PATH_MAX];
    int failed = push_template(L, name, sizeof name);

    if (failed)
        return failed;
    if (!mkdtemp(name))
        return sys_fail(L, errno, name);
    lua_pushstring(L, name);
    return 1;
}

/* fsync(path): a file or a directory is on the disk */
static int
sys_fsync(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return sys_fail(L, errno, path);
    rc = fsync(fd);
    drop(fd);
    return sys_done(L, rc, path);
}

static int
copy_all(int from, int to)
{
    char *piece = malloc(PIECE);
    ssize_t n = -1;

    while (piece && (n = read(from, piece, PIECE)) > 0)
        if (write_all(to, piece, (size_t)n) < 0) {
            n = -1;
            break;
        }
    free(piece);
    return n < 0 ? -1 : 0;
}

/* copy(from, to): the content of a file into one that is there already (a temporary one) */
static int
sys_copy(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY), out;

    if (in < 0)
        return sys_fail(L, errno, from);
    out = open(to, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    if (out < 0) {
        drop(in);
        return sys_fail(L, errno, to);
    }
    if (copy_all(in, out) < 0) {
        int error = errno;

        close(in);
        close(out);
        return sys_fail(L, error, to);
    }
    close(in);
    return sys_done(L, close(out), to);
}

void
sys_push_files(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", sys_read},
        {"list", sys_list},
        {"write_atomic", sys_write_atomic},
        {"mkstemp", sys_mkstemp},
        {"mkdtemp", sys_mkdtemp},
        {"fsync", sys_fsync},
        {"copy", sys_copy},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
