/*
 * orrery.sys, whether somebody listens: sockets that connect and read, and never block.
 *
 * socket(address, port) -> socket; nil, message, code. The address is numeric, or a path for a Unix socket.
 * socket:connected() -> true; false while it is under way; nil, message, code
 * socket:read() -> what has come, "" if nothing has; nil at the end; nil, message, code
 * socket:close()
 */
#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys_private.h"

#define SOCKET_TYPE "orrery.sys.socket"
#define READ_MAX 65536

struct probe {
    int fd; /* -1: closed */
    char name[80];
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
};

/* Its length, or 0 if it is no address. */
static socklen_t
parse_address(const char *text, int port, union address *a)
{
    memset(a, 0, sizeof *a);
    if (text[0] == '/') {
        size_t length = strlen(text);

        if (length >= sizeof a->path.sun_path)
            return 0;
        a->path.sun_family = AF_UNIX;
        memcpy(a->path.sun_path, text, length + 1);
        return sizeof a->path;
    }
    if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)port);
        return sizeof a->v4;
    }
    if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)port);
        return sizeof a->v6;
    }
    return 0;
}

static int
socket_open(lua_State *L)
{
    const char *text = luaL_checkstring(L, 1);
    int port = (int)luaL_optinteger(L, 2, 0);
    union address address;
    socklen_t length = parse_address(text, port, &address);
    struct probe *p;

    if (length == 0)
        return sys_fail(L, EINVAL, text);
    p = lua_newuserdata(L, sizeof *p);
    p->fd = -1;
    snprintf(p->name, sizeof p->name, text[0] == '/' ? "%s" : "%s port %d", text, port);
    luaL_getmetatable(L, SOCKET_TYPE);
    lua_setmetatable(L, -2);
    p->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return sys_fail(L, errno, p->name);
    /* A Unix socket whose queue is full says EAGAIN and stays unconnected: as good as refused for now. */
    if (connect(p->fd, &address.any, length) < 0 && errno != EINPROGRESS) {
        int error = errno;

        close(p->fd);
        p->fd = -1;
        return sys_fail(L, error, p->name);
    }
    return 1;
}

static struct probe *
check_open(lua_State *L)
{
    struct probe *p = luaL_checkudata(L, 1, SOCKET_TYPE);

    if (p->fd < 0)
        luaL_error(L, "the socket is closed");
    return p;
}

static int
socket_connected(lua_State *L)
{
    struct probe *p = check_open(L);
    struct pollfd poller = {.fd = p->fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;

    if (poll(&poller, 1, 0) > 0) {
        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
            error = errno;
        if (error)
            return sys_fail(L, error, p->name);
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    return 1;
}

static int
socket_read(lua_State *L)
{
    struct probe *p = check_open(L);
    char buffer[READ_MAX];
    ssize_t n = recv(p->fd, buffer, sizeof buffer, MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return sys_fail(L, errno, p->name);
    if (n == 0)
        return 0;
    lua_pushlstring(L, buffer, n < 0 ? 0 : (size_t)n);
    return 1;
}

static int
socket_close(lua_State *L)
{
    struct probe *p = luaL_checkudata(L, 1, SOCKET_TYPE);

    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    return 0;
}

void
sys_push_sockets(lua_State *L)
{
    static const luaL_Reg methods[] = {{"connected", socket_connected}, {"read", socket_read},
        {"close", socket_close}, {NULL, NULL}};

    if (luaL_newmetatable(L, SOCKET_TYPE)) {
        lua_newtable(L);
        luaL_openlib(L, NULL, methods, 0);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, socket_close);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, socket_open);
    lua_setfield(L, -2, "socket");
}
