/* orrery.core, the part that is about this node: opening and closing children, moving files. */
#ifndef ORRERY_BIND_H
#define ORRERY_BIND_H

#include "node.h"
#include "vm.h"

/* Attaches a VM of this node to L and sets package.loaded["orrery.core"]. L stays the caller's, who
 * ends the VM with vm_detach before the node. */
struct vm *bind_core(lua_State *L, struct node *n);

#endif
