/* orrery.sys, what only the kernel says about the machine: space in file systems, addresses of interfaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <lauxlib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/statvfs.h>

#include "sys_private.h"

static void
set_number(lua_State *L, const char *key, double n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, key);
}

/*
 * space(path) -> { size, free, available, files, files_free } of the file system that it is in, in bytes; "available" is
 * what others than root can have. Waits for as long as a server of files that is not there makes it.
 */
static int
sys_space(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct statvfs v;

    if (statvfs(path, &v) < 0)
        return sys_fail(L, errno, path);
    lua_createtable(L, 0, 5);
    set_number(L, "size", (double)v.f_blocks * (double)v.f_frsize);
    set_number(L, "free", (double)v.f_bfree * (double)v.f_frsize);
    set_number(L, "available", (double)v.f_bavail * (double)v.f_frsize);
    set_number(L, "files", (double)v.f_files);
    set_number(L, "files_free", (double)v.f_ffree);
    return 1;
}

/* Bits that are set in front of the first that is not. */
static int
prefix_of(const unsigned char *mask, size_t n)
{
    int bits = 0;

    for (size_t i = 0; i < n * 8 && mask[i / 8] & (0x80 >> i % 8); i++)
        bits++;
    return bits;
}

/* The bytes of an address and how many; NULL of a family that is none of IP's. */
static const void *
bytes_of(const struct sockaddr *a, size_t *n)
{
    if (!a)
        return NULL;
    if (a->sa_family == AF_INET) {
        *n = 4;
        return &((const struct sockaddr_in *)(const void *)a)->sin_addr;
    }
    if (a->sa_family == AF_INET6) {
        *n = 16;
        return &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    }
    return NULL;
}

static void
push_address(lua_State *L, const struct ifaddrs *i, const void *bytes)
{
    char text[INET6_ADDRSTRLEN] = "";
    const void *mask;
    size_t n = 0;

    inet_ntop(i->ifa_addr->sa_family, bytes, text, sizeof text);
    mask = bytes_of(i->ifa_netmask, &n);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, i->ifa_name);
    lua_setfield(L, -2, "interface");
    lua_pushstring(L, i->ifa_addr->sa_family == AF_INET ? "ipv4" : "ipv6");
    lua_setfield(L, -2, "family");
    lua_pushstring(L, text);
    lua_setfield(L, -2, "address");
    if (mask)
        set_number(L, "prefix", prefix_of(mask, n));
}

/* addresses() -> { { interface, family = "ipv4" | "ipv6", address, prefix } ... } */
static int
sys_addresses(lua_State *L)
{
    struct ifaddrs *all, *i;
    const void *bytes;
    size_t n;
    int count = 0;

    luaL_checkstack(L, 8, "addresses");
    if (getifaddrs(&all) < 0)
        return sys_fail(L, errno, "getifaddrs");
    lua_newtable(L);
    for (i = all; i; i = i->ifa_next) {
        bytes = bytes_of(i->ifa_addr, &n);
        if (!bytes)
            continue;
        push_address(L, i, bytes);
        lua_rawseti(L, -2, ++count);
    }
    freeifaddrs(all);
    return 1;
}

void
sys_push_machine(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"space", sys_space},
        {"addresses", sys_addresses},
        {NULL, NULL},
    };

    luaL_openlib(L, NULL, functions, 0);
}
