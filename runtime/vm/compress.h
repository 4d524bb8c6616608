/*
 * core.compress, for those that send modules: the command and the library. An agent is spared the code.
 * Threading: none of its own.
 */
#ifndef ORRERY_COMPRESS_H
#define ORRERY_COMPRESS_H

#include <lua.h>

/* Adds it to orrery.core, which is loaded. */
void vm_add_compress(lua_State *L);

#endif
