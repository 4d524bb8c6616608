/*
 * Windows (route/flow.h), as a VM sees them: may a message go, and who is owed credit for what was taken.
 *
 * Calls are paid for when they are taken out of the mailbox. What came for a receiver is paid for when
 * the script has taken it, which lua/orrery/receiver.lua knows.
 */
#include <stdlib.h>

#include "mem.h"
#include "vm_private.h"

#define SLOTS 64 /* flows a VM sends on, that it need not look up */

/* What one sender is owed for one handle. */
struct debt {
    LIST_ENTRY(debt) link;
    uint32_t handle, peer;
    uint64_t bytes;
};

LIST_HEAD(debt_list, debt);

struct credit {
    struct {
        uint32_t peer, handle;
        struct flow *flow; /* a reference, or NULL */
    } slots[SLOTS];
    struct debt_list debts[SLOTS];
};

struct credit *
credit_create(void)
{
    return xcalloc(1, sizeof(struct credit));
}

void
credit_destroy(struct vm *vm)
{
    struct credit *c = vm->credit;
    struct debt *d;

    flows_forget_mailbox(router_flows(vm->router), vm->mailbox);
    for (int i = 0; i < SLOTS; i++) {
        if (c->slots[i].flow)
            flow_unref(c->slots[i].flow);
        while ((d = LIST_FIRST(&c->debts[i]))) {
            LIST_REMOVE(d, link);
            free(d);
        }
    }
    free(c);
}

static struct flow *
flow_of(struct vm *vm, uint32_t peer, uint32_t handle)
{
    unsigned i = (peer * 31 + handle) % SLOTS;

    if (vm->credit->slots[i].flow) {
        if (vm->credit->slots[i].peer == peer && vm->credit->slots[i].handle == handle)
            return vm->credit->slots[i].flow;
        flow_unref(vm->credit->slots[i].flow);
    }
    vm->credit->slots[i].flow = flow_open(router_flows(vm->router), peer, handle);
    vm->credit->slots[i].peer = peer;
    vm->credit->slots[i].handle = handle;
    return vm->credit->slots[i].flow;
}

int
credit_admit(struct vm *vm, const struct context *to, const struct msg *m)
{
    struct flow *f;
    int why;

    if (!flow_counts(&m->h))
        return CREDIT_FINE;
    f = flow_of(vm, to->id, m->h.handle);
    why = flow_refusal(f);
    if (why)
        return why;
    return flow_admit(f, flow_cost(m->h.length), vm->mailbox) ? CREDIT_FINE : CREDIT_FULL;
}

static struct debt *
debt_of(struct vm *vm, uint32_t handle, uint32_t peer)
{
    struct debt_list *list = &vm->credit->debts[handle % SLOTS];
    struct debt *d;

    LIST_FOREACH(d, list, link)
        if (d->handle == handle && d->peer == peer)
            break;
    if (d && d == LIST_FIRST(list))
        return d;
    if (d) { /* who sends, sends more */
        LIST_REMOVE(d, link);
    } else {
        d = xcalloc(1, sizeof *d);
        d->handle = handle;
        d->peer = peer;
    }
    LIST_INSERT_HEAD(list, d, link);
    return d;
}

static void
pay(struct vm *vm, struct debt *d)
{
    router_credit(
        vm->router, d->peer, d->handle, d->bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)d->bytes);
    d->bytes = 0;
}

void
credit_owe(struct vm *vm, const struct msg *m)
{
    struct debt *d;

    if (!flow_counts(&m->h) || m->h.handle == vm->handle || m->h.handle == vm->answers)
        return;
    d = debt_of(vm, m->h.handle, m->h.src);
    d->bytes += flow_cost(m->h.length);
    if (m->h.handle == HANDLE_CALL && d->bytes >= FLOW_CREDIT)
        pay(vm, d);
}

void
credit_pay(struct vm *vm, uint32_t handle, bool all)
{
    struct debt *d, *next;

    for (d = LIST_FIRST(&vm->credit->debts[handle % SLOTS]); d; d = next) {
        next = LIST_NEXT(d, link);
        if (d->handle != handle)
            continue;
        if (d->bytes >= FLOW_CREDIT || (all && d->bytes > 0))
            pay(vm, d);
        if (!all)
            continue;
        LIST_REMOVE(d, link);
        free(d);
    }
}
