/*
 * Flow control between a sender and a receiver, whatever lies between them.
 *
 * What a context sends to one handle of another is a flow. At most FLOW_WINDOW bytes of it may be on
 * their way, or wait to be taken; who wants to send more waits for HANDLE_CREDIT, by which the receiver
 * says how much its owner has taken. So a slow reader slows down its own writers and nobody else, and
 * what waits anywhere is bounded by the number of flows.
 *
 * A message is admitted whole while the window is not used up, so a flow may exceed it by one message.
 * Credits are urgent messages: nothing that is queued holds them up. A sender that ignores them is
 * found by the receiver (FLOW_FLOOD). Answers to calls are no flow: who calls has asked for them.
 *
 * The window is counted per sending context and not per thread: threads of it share one.
 *
 * A handle on which nobody listens any more says so to those who have sent there, and to those who do so
 * later (HANDLE_CLOSED). Senders then know it without asking, and those that wait for room are woken.
 *
 * Threading: any thread; a lock of its own, under which no other is taken but those of the mailboxes.
 */
#ifndef ORRERY_FLOW_H
#define ORRERY_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"

#define FLOW_WINDOW (1u << 20)
/* What more than this waits of, besides the largest message, was sent without credit: threads of one sender may
 * overtake each other between being admitted and sending, but no more than that. */
#define FLOW_FLOOD (2ull * FLOW_WINDOW)
/* A receiver gives credit when it owes this much. */
#define FLOW_CREDIT (FLOW_WINDOW / 4)

/* What a message counts for: an empty one takes room, too. */
static inline uint32_t
flow_cost(uint32_t payload)
{
    return FRAME_HEADER + payload;
}

/* Are messages to this handle a flow: calls, text, and what is sent to receivers? Answers, which go to dynamic
 * handles as well, are none. */
static inline bool
flow_leads_to(uint32_t handle)
{
    return handle == HANDLE_CALL || handle == HANDLE_TEXT || handle >= HANDLE_DYNAMIC;
}

/* Is a message with this header part of a flow, by what its sender knows? Those that tell a receiver of its
 * senders (FRAME_ERROR) are not: they hold no data, and who gives up must not have to wait. */
static inline bool
flow_counts(const struct frame_header *h)
{
    return flow_leads_to(h->handle) && !(h->flags & (FRAME_DEAD | FRAME_ERROR));
}

struct flows;
struct flow;

struct flows *flows_create(void);
/* After the last flow_unref. */
void flows_destroy(struct flows *fs);
/* A context is gone: senders that wait for it are told to look again. */
void flows_lost(struct flows *fs, uint32_t peer);

/* ---- sending ---- */

/* The flow to a handle of another context. Returns one reference. */
struct flow *flow_open(struct flows *fs, uint32_t peer, uint32_t handle);
void flow_unref(struct flow *f);
/* May a message of this cost go? If so it is counted. If not, a message is posted to mb
 * (unless it is NULL) when it is worth to try again: handle HANDLE_CREDIT, src the peer, seq the handle. */
bool flow_admit(struct flow *f, uint32_t bytes, struct mailbox *mb);
/* Why the peer takes nothing of it: ERR_CLOSED, which stays so; any other code is told once; or 0. */
int flow_refusal(struct flow *f);
/* Takes back what was admitted, for a message that could not be sent. */
void flow_return(struct flow *f, uint32_t bytes);
/* mb is about to go. */
void flows_forget_mailbox(struct flows *fs, struct mailbox *mb);
/* The peer has given credit. */
void flows_credit(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes);
/* Nothing of what is sent there is taken, for this reason. Nothing is on its way any more; who waits for room
 * is told to look again. No-op for flows that are not known. */
void flows_refused(struct flows *fs, uint32_t peer, uint32_t handle, int code);

/* ---- receiving ---- */

/* A message came in for a handle; or none, with 0 bytes, from a peer that may send and is to hear of its
 * close. False: the sender ignores its window. */
bool flows_receive(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes);
/* Bytes that came in and were not taken. */
uint64_t flows_waiting(struct flows *fs, uint32_t peer, uint32_t handle);
/* So much of it was taken. Returns for how much credit is to be given: never for more than came in. */
uint32_t flows_take(struct flows *fs, uint32_t peer, uint32_t handle, uint32_t bytes);
/* Nobody listens on the handle any more. Calls fn with each sender, and what it is owed. */
void flows_close(struct flows *fs, uint32_t handle,
    void (*fn)(void *arg, uint32_t peer, uint32_t handle, uint32_t bytes), void *arg);

#endif
