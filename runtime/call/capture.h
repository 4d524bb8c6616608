/*
 * Programs of this machine whose output is wanted as a whole, and soon: `ssh -G`. A command of a context,
 * with stdin, windows and an end that can be hastened, is something else: command.h.
 *
 * They run a few at a time, since many are asked for at once and each is nothing but CPU time.
 */
#ifndef ORRERY_CAPTURE_H
#define ORRERY_CAPTURE_H

#include "err.h"
#include "loop.h"
#include "mailbox.h"

#define CAPTURE_MAX (1u << 20) /* bytes of output; to write more fails, as on a full disk */

struct captures;

/* Any thread, before it is used. */
struct captures *captures_create(struct loop *loop);
/* Kills what still runs, with its process group; nothing is posted any more. Not while somebody else uses it.
 * The loop must be running. Not on the loop role. */
void captures_destroy(struct captures *cs);

/*
 * Runs argv[0], which is looked up in PATH, with an empty stdin, in a process group of its own. When it has
 * ended, a message goes to mb: handle HANDLE_RUN, seq = the number returned, payload pack: u32 status, then
 * what it wrote on stdout and stderr. The status is as a shell has it: 128 + signal, 127 where there is no
 * such program and 126 where it cannot be run, with a text that says so. argv is copied. Any thread.
 */
uint32_t capture_run(struct captures *cs, const char *const *argv, struct mailbox *mb);

#endif
