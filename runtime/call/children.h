/*
 * The children of a node: opening them (by a thread of their own where that blocks), shaking hands,
 * handing their frames to the router, closing them. See node.h for what open and close promise.
 *
 * A context that is not a direct child is closed by whoever has opened it, which is told so from parent to
 * child: HANDLE_CLOSE {u32 id, u64 linger ms}, with FRAME_BULK, so that it comes behind what was sent to the
 * context before.
 */
#ifndef ORRERY_CHILDREN_H
#define ORRERY_CHILDREN_H

#include "images.h"
#include "node.h"

struct children;

/* `im` is borrowed and may be NULL as long as nothing is opened (children_set_images). */
struct children *children_create(struct router *r);
void children_set_images(struct children *cs, struct images *im);
void children_use_ssh(struct children *cs, const struct ssh_library *ssh);
/* Is there none, not even one that is being opened or is ending? Loop role. */
bool children_empty(const struct children *cs);
/* Closes all and waits for their ends; none is opened any more. Not on the loop role. */
void children_end(struct children *cs);
/* After that, while the loop runs. */
void children_destroy(struct children *cs);

/* As node_open and so on. `self` describes this node to the child: its own id and ancestors. */
uint32_t children_open(
    struct children *cs, const struct open_options *o, struct mailbox *mb, struct err *err);
void children_cancel(struct children *cs, uint32_t seq);
void children_close(struct children *cs, uint32_t id, int64_t linger_ms);
void children_on_text(
    struct children *cs, void (*fn)(const char *name, const char *line, void *arg), void *arg);

#endif
