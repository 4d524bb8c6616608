/*
 * Asking the keeper: one message up, one back. Each question has a handle of its own, so that its answer
 * finds the thread that waits.
 */
#include <stdlib.h>
#include <string.h>

#include "ask_internal.h"
#include "clock.h"
#include "keeper.h"
#include "pack.h"

static int
lost(struct err *err)
{
    return err_set(err, ERR_CANCELLED, "whoever wanted this connection is gone");
}

/* The next message that is about the question, or NULL: cancelled. */
static struct msg *
await(struct mailbox *mb, uint32_t context, const atomic_bool *cancel)
{
    while (!cancel || !atomic_load(cancel)) {
        struct msg *m = mailbox_take(mb, clock_ms() + ASK_SLICE_MS);

        if (m && (m->h.handle != HANDLE_DEAD || m->h.src == context))
            return m;
        msg_unref(m);
    }
    return NULL;
}

/* Takes m. */
static int
take_answer(struct msg *m, char **answer, struct err *err)
{
    struct unpack u;
    char *text;
    int code;

    if (m->h.handle == HANDLE_DEAD || (m->h.flags & FRAME_DEAD)) {
        msg_unref(m);
        return lost(err);
    }
    unpack_init(&u, msg_payload(m), m->h.length);
    code = -(int)unpack_u8(&u);
    text = unpack_str(&u);
    if (unpack_done(&u, "the answer to a question", err) != 0)
        code = err->code;
    else if (code)
        err_set(err, code, "%s", text);
    msg_unref(m);
    if (code || !answer)
        secret_free(text);
    else
        *answer = text;
    return code;
}

int
ask_keeper(const struct ask_keeper *k, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    struct context *c = router_context(k->router, k->context);
    struct mailbox *mb;
    struct msg *m;
    uint32_t handle;
    int rc;

    if (!c)
        return lost(err);
    mb = mailbox_create(NULL);
    handle = router_listen_mailbox(k->router, 0, HANDLE_FROM_PARENT, mb);
    m = keeper_question(q, answer != NULL);
    m->h.handle = k->handle;
    m->h.reply = handle;
    rc = router_send(c, m, err);
    if (rc == 0) {
        m = await(mb, k->context, cancel);
        rc = m ? take_answer(m, answer, err) : err_set(err, ERR_CANCELLED, "cancelled");
    }
    router_unlisten(k->router, handle);
    mailbox_destroy(mb);
    context_unref(c);
    return rc;
}
