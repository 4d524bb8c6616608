/*
 * Text: what children print, say on stderr, and log, on its way to the controller, and there.
 *
 *   print in a child ---> its text_out ---TEXT message---> (forwarded) ---> the controller's texts
 *   raw stderr of a child's process ---> its parent's texts ---TEXT in the child's name---> the same
 *
 * A message holds one line or more, each with the stream that it was written to. What a child prints and logs
 * is one queue and one flow, so it comes in the order in which it was written, before the answer of the call
 * that wrote it. What goes past it, straight to descriptor 2 (C code that calls write, commands that inherit
 * it, a crash), is a stream of its own: ordered in itself, and not beside the other.
 *
 * Nothing of it can fill a memory. A text_out that is TEXT_QUEUE behind, after its writers have waited for
 * TEXT_WAIT_MS, drops lines and says how many. A window (route/flow.h) bounds what is on its way. Raw lines
 * have no window, since who writes them knows of none: they are dropped where TEXT_QUEUE of them wait.
 *
 * Payload of a message: for each line u8 stream, str line. Between the controller's texts and a VM: str name of
 * the context, then the same.
 */
#ifndef ORRERY_TEXT_H
#define ORRERY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox.h"
#include "router.h"

/* Longer lines come in parts. */
#define TEXT_LINE 8192
/* Bytes that may wait in a process for their window; so much of stderr may wait for a parent. */
#define TEXT_QUEUE (256u << 10)
/* So long a writer waits until what is too much is dropped. */
#define TEXT_WAIT_MS 1000

/* From TEXT_LOG on: lines of the log, with their level added. */
enum text_stream { TEXT_STDOUT = 1, TEXT_STDERR = 2, TEXT_LOG = 16 };

/* ---- where text arrives: in each node, for its children ---- */

struct texts;

/* Of a router that has no parent: listens on HANDLE_TEXT. Of one that has: passes on what texts_raw gets. */
struct texts *texts_create(struct router *r, bool controller);
/* While the loop runs. */
void texts_destroy(struct texts *t);
/* A line of a direct child's stderr (borrowed). False: it was dropped, there is too much. Loop role. */
bool texts_raw(struct texts *t, struct context *child, const char *line, size_t n);
/* Text goes to this mailbox from now on (a reference is taken), as HANDLE_TEXT; back to this process's stderr
 * with NULL, or where `mb` is not who has it (`only`). Any thread. */
void texts_watch(struct texts *t, struct mailbox *mb);
void texts_unwatch(struct texts *t, struct mailbox *mb);
/* The watcher has taken a message with FRAME_ERROR, which holds raw lines; its seq is `bytes`. For others it pays
 * as for any flow. */
void texts_raw_taken(struct texts *t, uint32_t child, uint32_t bytes);

/* ---- where it is written: in an agent ---- */

struct text_out;

/* From now on stdout and stderr (the C streams, which Lua's print and io use), and the log, are lines that wait
 * for text_out_start. One a process, before any Lua state is made. Never fails: where it cannot, they stay. */
struct text_out *text_out_create(struct router *r);
/* The parent is there. */
void text_out_start(struct text_out *t);
/* Says what is left, and gives the streams back. The Lua states are gone; the loop runs. */
void text_out_destroy(struct text_out *t);

#endif
