/*
 * Breaks Lua code that computes, and so does not come to the loop where it would be told to end.
 *
 * Any thread asks for it (breaker_request); the thread that runs the Lua state gets a signal (BREAKER_SIGNAL), whose
 * handler sets a hook; the hook asks Lua (lua/orrery/breaking.lua), between two instructions, what is to end. So an
 * error is raised where any error can be, and only in code that Lua has chosen.
 *
 * What does not look at hooks cannot be broken: a C function that computes or blocks, a finalizer, a handler of
 * xpcall, and a loop that LuaJIT has compiled.
 *
 * One Lua state of a process has it: an agent's main one, or that of the command that shows a prompt.
 */
#ifndef ORRERY_BREAKER_H
#define ORRERY_BREAKER_H

#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"
#include "node.h"

/* Ignored by who has no handler, so no program dies of it that was started in between. */
#define BREAKER_SIGNAL SIGURG

/* What is to end: a call; or all 0: what runs. */
struct breaker_request {
    uint32_t src, reply, seq;
};

/* Lua gets it in the hook, if it computes; nothing happens where no Lua state has the breaker. False: the same is
 * waiting for Lua already. Any thread. */
bool breaker_request(const struct breaker_request *what);
/* The VM of this mailbox goes. Its own thread. */
void breaker_forget(struct mailbox *mb);
/* Adds its functions to the table on top of the stack. */
void breaker_push_functions(lua_State *L, struct node *n);

#endif
