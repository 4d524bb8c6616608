/* What the files of this layer share. */
#ifndef ORRERY_VM_PRIVATE_H
#define ORRERY_VM_PRIVATE_H

#include "vm.h"

struct vm {
    lua_State *L;
    struct router *router;
    struct mailbox *mailbox;
    uint32_t handle;     /* where services answer, and lost contexts are announced */
    uint32_t answers;    /* where calls are answered: with values */
    uint32_t *listening; /* other handles, for vm_detach */
    size_t listening_count;
    struct credit *credit;
};

/* ---- credit.c: flow control; all for the VM's own thread ---- */

struct credit *credit_create(void);
void credit_destroy(struct vm *vm);
/* May m go? CREDIT_FINE: it is counted. CREDIT_FULL: the mailbox gets HANDLE_CREDIT when it is worth to try
 * again. Else the code of why not. */
enum { CREDIT_FINE = 0, CREDIT_FULL = 1 };
int credit_admit(struct vm *vm, const struct context *to, const struct msg *m);
/* m was taken out of the mailbox. */
void credit_owe(struct vm *vm, const struct msg *m);
/* The script has taken what came for a receiver: pays the senders, where that is worth a message. `all`:
 * everything, for a handle that goes. */
void credit_pay(struct vm *vm, uint32_t handle, bool all);

/* fields.c */
int vm_core_pack(lua_State *L);
int vm_core_unpack(lua_State *L);

/* library.c */
int vm_core_library(lua_State *L);
int vm_core_expand(lua_State *L);

/* stats.c */
int vm_core_stats(lua_State *L);
int vm_core_counters(lua_State *L);
int vm_core_backlog(lua_State *L);
int vm_core_refused(lua_State *L);

/* trace.c */
int vm_core_trace(lua_State *L);

/* A handle whose messages are posted to the VM's mailbox. Lost contexts are not: vm->handle has them. */
uint32_t vm_listen(struct vm *vm, uint32_t handle, enum handle_policy policy);
/* Handles that end with the VM. Forgetting says whether it was one. */
void vm_note_handle(struct vm *vm, uint32_t handle);
bool vm_forget_handle(struct vm *vm, uint32_t handle);

#endif
