/*
 * Puts the pieces of large messages together (FRAME_MORE, FRAME_CONT) where they arrive.
 *
 * The pieces of one message come from one source in order, with nothing of the same class from there
 * between them: so there are at most two unfinished messages a source, a normal one and a bulk one. What
 * is urgent, and what routers write in the name of others (FRAME_DEAD), may come between and is never in
 * pieces.
 *
 * A piece whose beginning is not here belongs to a message that was refused on its way; or here, where too much is
 * unfinished already.
 *
 * Ownership: keeps what is unfinished. Threading: loop role only.
 */
#ifndef ORRERY_PIECES_H
#define ORRERY_PIECES_H

#include <stdint.h>
#include <sys/queue.h>

#include "err.h"
#include "msg.h"
#include "stream.h"

/* So much may be unfinished of what comes in on one stream, from however many sources. */
#define PIECES_MAX ((size_t)1 << 30)

LIST_HEAD(unfinished_list, unfinished);

struct pieces {
    struct unfinished_list list; /* the one that grew last is first */
};

enum pieces_result {
    PIECES_WHOLE, /* *m is a whole message, owned by the caller */
    PIECES_TAKEN, /* more is to come */
    PIECES_STRAY  /* *m has no beginning, and is the caller's still */
};

void pieces_init(struct pieces *p);
void pieces_fini(struct pieces *p);
/*
 * A frame for this process came in on `from` (borrowed, to know it again). Negative: it does not belong
 * where it came, or the message grows over FRAME_MAX_PAYLOAD; *m is the caller's still, and what was there
 * of the message is dropped.
 */
int pieces_add(
    struct pieces *p, const struct stream *from, struct msg **m, struct err *err) must_check;
/* Drops what has begun to come from a source, or on a stream. Returns how many messages that was. */
unsigned pieces_drop_source(struct pieces *p, uint32_t src);
unsigned pieces_drop_stream(struct pieces *p, const struct stream *from);

#endif
