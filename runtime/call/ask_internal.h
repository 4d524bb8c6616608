/* What the files of asking share: ask.c decides who is asked, ask_program.c and ask_terminal.c do it. */
#ifndef ORRERY_ASK_INTERNAL_H
#define ORRERY_ASK_INTERNAL_H

#include "ask.h"

enum { ASK_SLICE_MS = 50, ASK_ANSWER_MAX = 4095 };

/* Without an answer wanted: could somebody be asked? Codes are those of ssh_keep, and
 * ERR_CANCELLED where it is not there any more. */
int ask_keeper(const struct ask_keeper *k, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err) must_check;

/* The program that the environment names, or NULL; *first: it goes before the terminal. */
const char *ask_program_named(bool *first);
/* Runs it; its answer is the first line of its output. ERR_CANCELLED: it gave none; ERR_CREDENTIALS: it
 * does not run. */
int ask_program(const char *program, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err) must_check;

/* The part of ask_forget that is about inquiries: waits until their threads are done with the mailbox. */
void ask_forget_inquiries(const struct mailbox *mb);

/* A descriptor of the controlling terminal, if this process may read from it; or -1, and why not. */
int ask_terminal_open(const char **why) must_check;
/* Takes fd. ERR_CANCELLED: end of input instead of an answer. */
int ask_terminal(int fd, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err) must_check;

#endif
