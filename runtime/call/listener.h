/*
 * The listener: lets other processes of this user become contexts in this tree, by a unix socket.
 *
 * An accepted connection is a stream whose bootstrap is over: HELLO, CONFIG, frames (handshake.h). The new
 * context, a guest, is below this one, and yet acts in its name: it has proven to be the same user, who
 * could do all that by other means. What it may reach are the contexts below this one, but not this one
 * itself (see router_add_guest), which answers it one question: HANDLE_CONTEXTS, without a payload, is
 * answered by pack u32 n, n x (u32 id, str name, str route): the contexts that are here now.
 *
 * Guests come and go, and nobody else is touched by that.
 */
#ifndef ORRERY_LISTENER_H
#define ORRERY_LISTENER_H

#include <stdint.h>

#include "err.h"
#include "router.h"

#define LISTENER_GUESTS 64      /* at a time */
#define LISTENER_HELLO_MS 10000 /* for a guest to say who it is */

struct listener;

/* Makes the socket (meeting.h). hello_ms 0: LISTENER_HELLO_MS. Returns owned, or NULL with err. Not on the
 * loop role. */
struct listener *listener_create(
    struct router *r, const char *path, int64_t hello_ms, struct err *err) must_check;
/* Removes the socket and parts from the guests. Not on the loop role. NULL is fine. */
void listener_destroy(struct listener *l);

#endif
