/*
 * What is asked once. Several threads may have the same question at the same time: the passphrase of a
 * key that a hundred hosts want, whether a new host is to be trusted. One of them claims it and asks,
 * the others wait for what comes of it.
 *
 * An answer that has proved right is kept for the process, by the question's name, until once_wipe.
 *
 * Threading: any thread, several at once.
 */
#ifndef ORRERY_ONCE_H
#define ORRERY_ONCE_H

#include <stdatomic.h>

enum once {
    ONCE_MINE,     /* the caller is the one to ask; it must settle the question afterwards */
    ONCE_KNOWN,    /* here is the answer */
    ONCE_REFUSED,  /* somebody else has asked meanwhile, and got none */
    ONCE_CANCELLED /* *cancel became true */
};

/* Waits while another thread has the question. ONCE_KNOWN: *answer is owned (secret_free). */
enum once once_claim(const char *name, const atomic_bool *cancel, char **answer);

/* The answer, if it is known already (owned), or NULL. Waits for nobody. */
char *once_peek(const char *name);

/* Three ways to settle what one has claimed: it is answered, and a copy is kept; nobody has an answer,
 * which is what those who wait get, while who comes later may ask again; or it is left to the next. */
void once_known(const char *name, const char *answer);
void once_refused(const char *name);
void once_release(const char *name);

/* The answer that was given as known has turned out to be wrong: forgets it, if it is still that one. */
void once_forget(const char *name, const char *answer);

/* Forgets all answers, overwriting them. */
void once_wipe(void);

#endif
