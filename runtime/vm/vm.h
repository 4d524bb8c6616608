/*
 * A VM: a lua_State that sends and receives messages. It owns a mailbox and one handle for replies; the
 * scheduler on top (lua/orrery/sched.lua) waits in that mailbox and nowhere else.
 *
 * With runtime/call/bind.h this is the only code that includes lua.h. What a binding cannot do it
 * returns as nil, code, text, and the Lua library raises it: no lua_error jumps over C that holds
 * something.
 *
 * Threading: a VM belongs to the thread that runs its lua_State.
 */
#ifndef ORRERY_VM_H
#define ORRERY_VM_H

#include <lua.h>

#include "err.h"
#include "mailbox.h"
#include "router.h"

/* A lua_State with the standard libraries and Orrery's own Lua library built in (package.preload).
 * Returns owned (lua_close). */
lua_State *vm_new_state(void);

/* Makes L a VM of the router's process: creates the mailbox, listens. Kept in L's registry and freed by
 * vm_detach. L stays the caller's. */
struct vm *vm_attach(lua_State *L, struct router *r);
/* The VM of L, or NULL. */
struct vm *vm_of(lua_State *L);
/* Nothing is posted to its mailbox any more but what services owe it. Any thread, once the VM is not used
 * any more. */
void vm_stop_listening(struct vm *vm);
/* Does that too. After the last use of the bindings, before the router goes. */
void vm_detach(struct vm *vm);

/* Makes a handle that `from` listens on one of `to`, with what has come for it: nothing is lost, nothing
 * overtaken. By from's thread, before that of `to` runs. False: `from` does not listen on it. */
bool vm_move_handle(struct vm *from, uint32_t handle, struct vm *to);

struct mailbox *vm_mailbox(struct vm *vm);
struct router *vm_router(struct vm *vm);

/* Pushes a new table with the bindings of this layer: see bind.c for each. */
void vm_push_core(struct vm *vm);
/* Pushes the userdata for a context (takes the reference). */
void vm_push_context(lua_State *L, struct context *c);
/* The context at stack index i, or an argument error. Borrowed. */
struct context *vm_check_context(lua_State *L, int i);
/* Pushes nil, code name, text; returns 3. */
int vm_push_err(lua_State *L, const struct err *err);

/* Calls the function below its n arguments with a traceback handler; 0, or ERR_ARGUMENT with the
 * error value left on the stack (an error object, see lua/orrery/error.lua). */
int vm_pcall(lua_State *L, int args, int results);

/* A module of the built-in library: bytecode, made by the build. */
struct vm_module {
    const char *name;
    const unsigned char *code;
    size_t size;
    const char *requires; /* names of others, by spaces */
    bool in_agent;        /* agents have it built in, too */
};
/* The program's own; ends with a NULL name. */
extern const struct vm_module vm_library[];

#endif
