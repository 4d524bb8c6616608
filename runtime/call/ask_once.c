#include "ask_once.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "once.h"

/* Asks for what is this opening's to settle. */
static int
ask_mine(struct ask_once *o, struct asker *a, const struct ssh_question *q,
    const atomic_bool *cancel, char **answer, struct err *err)
{
    int rc = asker_ask(a, q, cancel, answer, err);

    secret_free(o->said);
    o->said = rc == 0 ? xstrdup(*answer) : NULL;
    if (rc && !atomic_load(cancel)) {
        once_refused(o->name);
        free(o->name);
        o->name = NULL;
    }
    return rc;
}

static void
forget_known(struct ask_once *o, const char *name)
{
    if (!o->known)
        return;
    if (name)
        once_forget(name, o->known);
    secret_free(o->known);
    o->known = NULL;
}

int
ask_once(struct ask_once *o, struct asker *a, const char *name, const struct ssh_question *q,
    const atomic_bool *cancel, char **answer, struct err *err)
{
    forget_known(o, name);
    if (o->name && strcmp(o->name, name) == 0)
        return ask_mine(o, a, q, cancel, answer, err);
    switch (once_claim(name, cancel, answer)) {
    case ONCE_MINE: o->name = xstrdup(name); return ask_mine(o, a, q, cancel, answer, err);
    case ONCE_KNOWN: o->known = xstrdup(*answer); return 0;
    case ONCE_REFUSED:
        return err_set(err, ERR_CANCELLED, "no %s was given for %s",
            q->kind == SSH_ASK_PASSPHRASE ? "passphrase" : "password", q->subject);
    case ONCE_CANCELLED: break;
    }
    return err_set(err, ERR_CANCELLED, "cancelled");
}

void
ask_once_settle(struct ask_once *o, bool right)
{
    forget_known(o, NULL);
    if (!o->name)
        return;
    if (right && o->said)
        once_known(o->name, o->said);
    else
        once_release(o->name);
    free(o->name);
    secret_free(o->said);
    o->name = o->said = NULL;
}
