/* What the files of this layer share. */
#ifndef ORRERY_VM_PRIVATE_H
#define ORRERY_VM_PRIVATE_H

#include "vm.h"

struct vm {
    lua_State *L;
    struct router *router;
    struct mailbox *mailbox;
    uint32_t handle;     /* where replies come in */
    uint32_t *listening; /* other handles, for vm_detach */
    size_t listening_count;
};

#endif
