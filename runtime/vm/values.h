/*
 * Plain values (nil, booleans, numbers, strings, NULL) between a Lua stack and a message, in the format
 * that lua/orrery/codec.lua has for all of them. Most messages hold nothing else, and then the string
 * that string.buffer would make, the walk over it, and a copy of each string are saved.
 *
 * Threading: as the lua_State's.
 */
#ifndef ORRERY_VALUES_H
#define ORRERY_VALUES_H

#include <lua.h>
#include <stddef.h>

#include "msg.h"

/* More values than this are the codec's business, which refuses them. */
#define VALUES_MAX 250

/* The size of what stands from stack index `first` to the top; -1 where not all of it is plain. */
int64_t values_size(lua_State *L, int first);
/* Writes it: exactly so many bytes. */
void values_write(lua_State *L, int first, uint8_t *p);
/* Pushes the number of values in a message, then these; returns how many it pushed. -1, and pushes
 * nothing, where they are not all plain, or are malformed. */
int values_push(lua_State *L, struct msg *m);

#endif
