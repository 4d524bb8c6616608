/*
 * A question that several openings have (the passphrase of a key, a user's password for sudo), asked once
 * for all of them: what one opening knows of it. See base/once.h.
 *
 * Threading: one thread at a time.
 */
#ifndef ORRERY_ASK_ONCE_H
#define ORRERY_ASK_ONCE_H

#include "ask.h"

/* Zeroed is a valid one. */
struct ask_once {
    char *name;  /* what this opening has to settle, or NULL */
    char *said;  /* a secret; what was said for it */
    char *known; /* a secret; what was known already, and given */
};

/* As asker_ask, for an answer that goes by `name`. The same name again: the last answer was wrong. */
int ask_once(struct ask_once *o, struct asker *a, const char *name, const struct ssh_question *q,
    const atomic_bool *cancel, char **answer, struct err *err) must_check;
/* The answer was right, and is known from now on; or it is left to others. Wipes; idempotent. */
void ask_once_settle(struct ask_once *o, bool right);

#endif
