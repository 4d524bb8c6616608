/*
 * Questions of ssh(1), which runs as a subprocess and asks by way of SSH_ASKPASS: the agent's program, as
 * which it connects to a socket of ours and passes the question on. What it answers comes from the same
 * places as everywhere else (ask.h); no secret is on a command line, in an environment, or in a file.
 *
 * The socket is in the abstract namespace, with a random name. Only processes of this user that descend
 * from that ssh are answered.
 *
 * Threading: loop role only. A question is asked on a thread of its own.
 */
#ifndef ORRERY_ASKPASS_H
#define ORRERY_ASKPASS_H

#include "ask.h"
#include "loop.h"

struct askpass;

struct askpass_options {
    struct loop *loop;
    struct asker *asker;    /* borrowed, as long as this lives */
    const char *host;       /* what the user calls it; copied */
    const char *program;    /* the agent's; copied */
    const char *password;   /* tried once, for the host itself; borrowed, or NULL */
    const char *passphrase; /* tried once for each key; borrowed, or NULL */
};

/* Listens. Returns owned, or NULL with err. */
struct askpass *askpass_create(const struct askpass_options *o, struct err *err) must_check;
/* What the command needs in its environment: NULL-terminated NAME=VALUE, borrowed. */
const char *const *askpass_environment(const struct askpass *a);
/* It runs. `busy` is called when a question is there, and when it has been dealt with. */
void askpass_watch(struct askpass *a, pid_t pid, void (*busy)(void *arg, bool yes), void *arg);
/* What it said was right: it is in. A passphrase is known from now on. */
void askpass_right(struct askpass *a);
/* Answers nothing any more. Waits for the thread, which takes up to 50 ms where a person is being asked.
 * Idempotent; NULL is fine. */
void askpass_stop(struct askpass *a);
/* After loop_reap: work of the thread's may still wait in the loop. NULL is fine. */
void askpass_destroy(struct askpass *a);

#endif
