/* What the files of orrery.core share. */
#ifndef ORRERY_BIND_PRIVATE_H
#define ORRERY_BIND_PRIVATE_H

#include <lauxlib.h>
#include <sys/queue.h>

#include "ask.h"
#include "bind.h"
#include "ssh.h"

LIST_HEAD(thread_list, thread);

/* Its own thread's. */
struct binding {
    struct node *node;
    struct vm *vm;
    struct thread_list threads; /* that this one has started, until they are joined */
    uint32_t last_thread;
};

/* From the table at index t. What the results borrow is the table's, or left on the stack. */
void bind_get_ssh(lua_State *L, int t, struct ssh_options *o);
struct ask_options bind_get_asking(lua_State *L, int t);

/* Adds functions, which get n as their upvalue, to the table on top of the stack, and the number of a handle to its
 * `handle`. */
void bind_add(
    lua_State *L, const luaL_Reg *functions, struct node *n, const char *name, uint32_t handle);

/* keeper.c. Adds its functions to the table on top of the stack. */
void keeper_push_functions(lua_State *L, struct node *n);

/* thread.c. Adds its functions to the table on top of the stack. */
void thread_push_functions(lua_State *L, struct binding *b);
/* attach.c. The same. */
void attach_push_functions(lua_State *L, struct node *n);
/* interrupt.c. The same. */
void interrupt_push_functions(lua_State *L);
/* redact.c. The same. */
void redact_push_functions(lua_State *L);
/* The VM of this mailbox goes. */
void interrupt_forget(struct mailbox *mb);

#endif
