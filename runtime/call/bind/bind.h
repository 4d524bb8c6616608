/*
 * orrery.core, the part that is about this node: opening and closing children, moving files, threads.
 *
 * A binding is a VM with all that its Lua state holds of the node. It belongs to the thread that runs the
 * state, and ends in three steps: binding_end_threads while the state is whole, lua_close, whose finalizers
 * still use it, and binding_destroy.
 */
#ifndef ORRERY_BIND_H
#define ORRERY_BIND_H

#include "node.h"
#include "vm.h"

struct binding;

/* Attaches a VM of this node to L and sets package.loaded["orrery.core"]. L stays the caller's. */
struct binding *binding_create(lua_State *L, struct node *n);
struct vm *binding_vm(struct binding *b);
/* Tells the threads that L has started to end, and waits until each has. What blocks in them raises
 * "closed" in a thread; one that is busy ends when it blocks for the next time. */
void binding_end_threads(struct binding *b);
/* Ends threads that are left, too. Before the node goes. NULL is fine. */
void binding_destroy(struct binding *b);

/* Adds what this one pushes to each orrery.core that is made from now on, also in threads. Before the first of them. */
void binding_extend(void (*push)(lua_State *L));
/* vault.c: encrypted files. Adds its functions to the table on top of the stack. */
void vault_push_functions(lua_State *L);
/* input.c: waiting for a descriptor. The same. */
void input_push_functions(lua_State *L);

#endif
