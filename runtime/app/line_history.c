/*
 * The history of lines: the list that readline searches, and a file that several prompts share.
 *
 * Each entry is added with one write, so that no two are mixed, under a lock, since the file is made shorter from time
 * to time: a new one takes its place. What an entry looks like in there is the script's business.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <readline/history.h>

#include "line_internal.h"
#include "mem.h"

#define MOST_BYTES (64 << 20) /* more is no history */

/* ---- the file ---- */

/* Makes the directory that this path is in, and those above. errno says why it is not there then. */
static void
make_directories(const char *path)
{
    char *copy = xstrdup(path);

    for (char *p = copy + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(copy, 0700);
            *p = '/';
        }
    free(copy);
}

/* One that has been replaced while the lock was waited for is not the one that is meant. */
static bool
is_still(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino;
}

/* Locked; or -1 and errno. */
static int
open_file(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

        if (fd < 0)
            return -1;
        while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
            ;
        if (is_still(fd, path))
            return fd;
        close(fd);
    }
}

static int
write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, text, n);

        if (put < 0 && errno != EINTR)
            return -1;
        if (put > 0) {
            text += put;
            n -= (size_t)put;
        }
    }
    return 0;
}

/* A new file beside it takes its place. */
static int
replace(const char *path, const char *text, size_t n)
{
    struct buf name = {0};
    int fd, rc = -1;

    buf_printf(&name, "%s.XXXXXX", path);
    buf_append(&name, "", 1);
    fd = mkostemp((char *)buf_head(&name), O_CLOEXEC);
    if (fd >= 0) {
        rc = write_all(fd, text, n);
        rc = close(fd) == 0 ? rc : -1;
        if (rc == 0)
            rc = rename((char *)buf_head(&name), path);
        if (rc < 0)
            (void)unlink((char *)buf_head(&name));
    }
    buf_fini(&name);
    return rc;
}

static int
push_errno(lua_State *L, int error)
{
    lua_pushnil(L);
    lua_pushstring(L, strerror(error));
    return 2;
}

/* Where the last `most` lines begin, if there are more than `limit`; else 0. */
static size_t
cut(const char *text, size_t n, size_t most, size_t limit)
{
    size_t lines = 0, at = n;

    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    if (lines <= limit)
        return 0;
    for (lines = 0; at > 0; at--)
        if (text[at - 1] == '\n' && lines++ == most)
            break;
    return at;
}

static int
read_all(int fd, struct buf *b)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(b, 65536), 65536);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0 || buf_len(b) > MOST_BYTES)
            return 0;
        if (n > 0)
            buf_commit(b, (size_t)n);
    }
}

/* history_read(path, most) -> text: the last lines of the file, which is made if need be; one that has grown to many
 * more is made shorter. nil, why */
static int
history_read(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    size_t most = (size_t)luaL_checkinteger(L, 2), at;
    struct buf b = {0};
    int fd, error;

    make_directories(path);
    fd = open_file(path);
    if (fd < 0)
        return push_errno(L, errno);
    if (read_all(fd, &b) < 0) {
        error = errno;
        close(fd);
        buf_fini(&b);
        return push_errno(L, error);
    }
    at = cut((char *)buf_head(&b), buf_len(&b), most, most + most / 4);
    if (at > 0)
        (void)replace(path, (char *)buf_head(&b) + at, buf_len(&b) - at); /* else next time */
    close(fd);
    lua_pushlstring(L, (char *)buf_head(&b) + at, buf_len(&b) - at);
    buf_fini(&b);
    return 1;
}

/* history_append(path, text) -> true; nil, why */
static int
history_append(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    int fd = open_file(path), error = 0;

    if (fd < 0)
        return push_errno(L, errno);
    if (write_all(fd, text, n) < 0)
        error = errno;
    close(fd);
    if (error)
        return push_errno(L, error);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the list ---- */

/* history_add(text): the newest */
static int
history_add(lua_State *L)
{
    const char *text = luaL_checkstring(L, 1);

    line_lock();
    add_history(text);
    line_unlock();
    return 0;
}

/* history_bound(most) */
static int
history_bound(lua_State *L)
{
    line_lock();
    using_history();
    stifle_history(luaL_checkint(L, 1));
    line_unlock();
    return 0;
}

void
line_history_push_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"history_read", history_read},
        {"history_append", history_append},
        {"history_add", history_add},
        {"history_bound", history_bound},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
}
