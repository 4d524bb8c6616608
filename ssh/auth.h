/*
 * What the files of logging in share: auth.c goes through the methods, auth_keys.c has keys of an agent
 * and of files, auth_words.c has passwords and keyboard-interactive.
 */
#ifndef ORRERY_SSH_AUTH_H
#define ORRERY_SSH_AUTH_H

#include "internal.h"

/* On the connecting thread's stack. */
struct auth {
    struct ssh_attempt *a;
    char *allowed;    /* by the server, as far as is known; NULL: it was not asked yet */
    struct buf tried; /* "agent key "x" (refused), ..." */
    bool done;        /* we are in */
    bool progress;    /* the server has accepted one step, and wants more */
    bool refused;     /* the server said no to something that it was shown */
    bool ended;       /* the server has had enough, and closed the connection */
    bool declined;    /* who was asked gave no answer: no more questions */

    bool loaded;  /* the keys */
    bool unasked; /* in auth_first_key */
    bool shown;   /* a key, to the server */
    struct agent agent;
    bool *offered; /* per key of the agent */
    struct keyfile *files;
    size_t file_count;
    bool *spent;           /* per file */
    struct kept_key *kept; /* that a keeper has */
    size_t kept_count;

    char *given; /* the password that the keeper has; a secret */
    bool given_asked;
    const char *password; /* not tried yet in this method, or NULL */
    int attempt;          /* of keyboard-interactive */
    int prompts;          /* that the conversation has had */
    bool unanswered;      /* one of them nobody could be asked about */
    char wanted[80];      /* the first of these; "" if there is none */
};

/* Adds to what was tried. A kind ("agent key") puts the name in quotes. */
void auth_note(struct auth *u, const char *result, const char *kind, const char *name);
void auth_succeed(struct auth *u, const char *how, const char *name);
/*
 * The server said no, which is also what it says when that was right and another step is to follow:
 * asks it what it allows now. Sets progress, or refused; ended if the connection did not survive that.
 */
int auth_look_again(struct auth *u) must_check;

/* After a failure of libssh2's: has the server ended the connection? That is a refusal, too. */
bool auth_ended(struct auth *u, int rc);

/*
 * Shows the first key, before the server is asked what it allows, if that key has let the same user in lately,
 * at whatever host: with a hundred of them it mostly is the right one. It saves a round trip, and the time that
 * the server takes to look the user up, which it otherwise does while it keeps us waiting for its answer about
 * the key (OpenSSH: 5 ms and more). Where the guess is wrong, asking later counts as a failed attempt, so it
 * is made with few keys only.
 */
int auth_first_key(struct auth *u) must_check;
int auth_keys(struct auth *u) must_check;
void auth_keys_fini(struct auth *u);

/* How far a key got. */
enum key_progress {
    KEY_DONE,     /* it was shown, with a signature or without; the outcome is noted */
    KEY_UNSIGNED, /* the server wants it, but there was no signature */
    KEY_BROKEN    /* the attempt is over, see a->code */
};

/* What auth_keys.c and auth_kept.c share: is another key to be shown? Is this one, before the server was asked?
 * What came of it (rc of libssh2's)? It has let us in. */
bool auth_go_on(const struct auth *u, int rc);
bool auth_may_show(struct auth *u, const uint8_t *blob, size_t n);
enum key_progress auth_key_result(
    struct auth *u, int rc, const char *type, const char *kind, const char *name);
void auth_remember(struct auth *u, const uint8_t *blob, size_t n);

/* auth_kept.c */
void auth_kept_load(struct auth *u);
int auth_kept_keys(struct auth *u) must_check;
void auth_kept_fini(struct auth *u);

int auth_password(struct auth *u) must_check;
int auth_keyboard(struct auth *u) must_check;

#endif
