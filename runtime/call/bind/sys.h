/*
 * orrery.sys: what a resource needs of the operating system, for Lua. No part of it knows a node: it may be used in
 * any Lua state of the process, and blocks as the system calls below it do.
 *
 * Every function returns what it is asked for (true where there is nothing to tell), or nil, message, code, where the
 * code is the error's name: "ENOENT". A wrong type of an argument is the only thing that raises.
 *
 * Threading: none of its own.
 */
#ifndef ORRERY_SYS_H
#define ORRERY_SYS_H

#include <lua.h>

/* Sets package.loaded["orrery.sys"]. */
void sys_open(lua_State *L);

#endif
