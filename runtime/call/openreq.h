/*
 * A request to open a child, with its own copy of everything that it needs, so that a thread can work
 * on it; and the step from the request to a transport.
 */
#ifndef ORRERY_OPENREQ_H
#define ORRERY_OPENREQ_H

#include <stdatomic.h>

#include "bootstrap.h"
#include "images.h"
#include "node.h"
#include "stream.h"

struct openreq {
    char *name, *route;
    char marker[BOOTSTRAP_MARKER + 1];
    int64_t bootstrap_ms, keepalive_ms;
    bool deferred;
    struct openreq_private *p;
};

/* Returns owned; NULL with err where the options cannot be (no agents installed, no SSH here). */
struct openreq *openreq_create(const struct open_options *o, const struct images *im, bool has_ssh,
    struct err *err) must_check;
/* One that nothing is opened with: it has SSH options, and who is asked. Returns owned. */
struct openreq *openreq_create_kept(const struct open_options *o) must_check;
const struct ssh_options *openreq_ssh(const struct openreq *q);
/* Wipes secrets. */
void openreq_free(struct openreq *q);
/* Who opens it, and under which number: whom the script's questions go to. */
void openreq_bind(struct openreq *q, struct mailbox *mb, uint32_t seq);
/* Does connecting block, so that it wants a thread? */
bool openreq_blocks(const struct openreq *q);
/* Is it a command of somebody else's, which might not see by itself that we are gone? */
bool openreq_needs_guard(const struct openreq *q);
/* Does it start a command, on the thread that connects? */
bool openreq_spawns(const struct openreq *q);
/* Before that, on the loop role: makes ready for a command that asks by way of us. 0 or a code. */
int openreq_prepare(struct openreq *q, struct loop *loop, struct err *err) must_check;
/* What takes its questions, or NULL. */
struct askpass *openreq_askpass(const struct openreq *q);
/* The stream is there: answers the command's prompts on it, if it has any. Loop role. */
void openreq_listen(struct openreq *q, struct loop *loop, struct stream *s);
/* The code for an opening that ended for this reason: of a command that was given a password, and ended
 * without a word of the stub's, ERR_AUTH. */
int openreq_judge(const struct openreq *q, const struct err *why);
/* It asks no more: it is in, so what it was given was right; or it is gone. Wipes what was for it. */
void openreq_end_asking(struct openreq *q, bool right);
/* Connects or spawns, once: whatever comes of it, secrets are wiped then. `cancel` ends it early. Returns
 * owned, or NULL with err. `ssh` is NULL where there is none. */
struct transport *openreq_connect(struct openreq *q, const struct ssh_library *ssh,
    struct ssh_pool *pool, const atomic_bool *cancel, struct err *err);
/* After a failure: ssh(1) may be able to do what SSH in this process cannot. */
bool openreq_openssh_could(const struct openreq *q);
/* Appends what node.h calls a report; all empty where it is not SSH in this process. */
void openreq_pack_report(const struct openreq *q, struct buf *b);
/* How it was reached, for logs: "ssh 10.0.0.7, publickey, SHA256:..., connect 4 ms ...". */
const char *openreq_how(const struct openreq *q);

#endif
