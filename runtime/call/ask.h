/*
 * Who is asked for what only a person can answer: passphrases, passwords, one-time codes, whether a host
 * is the right one. In this order, the first that there is:
 *
 *   the keeper                 where another process has started the opening, and answers for all below
 *   the script's function      where it has given one: a message to the VM that started the opening
 *   a program                  the script's, or $SSH_ASKPASS as ssh(1) uses it
 *   the controlling terminal   never stdin
 *
 * One question at a time in a process, whoever it is for, but for those that an answer depends on. An
 * answer is never kept here; see base/once.h.
 *
 * Threading: any thread, several at once; asking blocks. Answers are owned by who asked (secret_free).
 */
#ifndef ORRERY_ASK_H
#define ORRERY_ASK_H

#include <stdbool.h>

#include "err.h"
#include "mailbox.h"
#include "router.h"
#include "ssh.h"

/* Where questions go in place of all others: see keeper.h. */
struct ask_keeper {
    struct router *router; /* borrowed */
    uint32_t context;      /* 0: there is none */
    uint32_t handle;
};

struct ask_options {
    bool nobody; /* ask nobody at all */
    bool script; /* the script has a function */
    struct ask_keeper keeper;
    int depth; /* 1: opened by such a function, for whose end it must not wait; 2: by one of that
                  * opening's ... */
    const char *program; /* or NULL: as the environment says */
    /* For a command that is to be opened: */
    bool askpass;                      /* it asks by way of SSH_ASKPASS; see askpass.h */
    bool prompts;                      /* it asks on its output, see prompter.h: */
    bool share;                        /* what is right for one user is tried elsewhere */
    const char *subject;               /* whose password, where its words do not say; or NULL */
    const char *password, *passphrase; /* for that, before anybody is asked; or NULL */
};

/* A number for what is going to ask: no two of a process have the same. Never 0. */
uint32_t ask_number(void);

/* One for each opening. Copies what it is given. */
struct asker *asker_create(const struct ask_options *o);
/* Where the script's function is: a question is a message for HANDLE_ASK with src = opening, seq = a
 * number of its own; payload pack: u8 kind, u8 echo, u32 attempt, str host, subject, text, detail. */
void asker_bind(struct asker *a, struct mailbox *mb, uint32_t opening);
/* Nobody may be in asker_ask with it. NULL is fine. */
void asker_destroy(struct asker *a);

/* An ssh_ask (ssh.h), with a struct asker as its argument. */
int asker_ask(void *asker, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err) must_check;
/* The script's answer to question `seq`; NULL: none, and why, or NULL. No-op if nobody waits for it. */
void ask_answer(uint32_t seq, const char *answer, const char *why);
/*
 * A question of the script's own, which belongs to no opening: another context has it, for example. It is asked
 * on a thread. Then a message goes to mb: handle HANDLE_ASK with src = 0, seq = the number returned; payload the
 * answer, or FRAME_ERROR and pack: u8 -code, str why there is none. Copies what it is given.
 */
uint32_t ask_inquire(const struct ask_options *o, const struct ssh_question *q, struct mailbox *mb);
/* The answer is not wanted any more; that there is none comes all the same. */
void ask_retract(uint32_t seq);
/* The VM of this mailbox is gone: what it was asked has no answer, and what it asks is not asked. */
void ask_forget(struct mailbox *mb);
/* fn is called before a question is shown at the terminal, and after its answer; on the thread that asks. */
void ask_terminal_watch(void (*fn)(bool begins));
/* Calls it both ways, for somebody else who is about to write there. */
void ask_terminal_clear(void);
/* Lets those who wait look at their `cancel` at once. */
void ask_hurry(void);

#endif
