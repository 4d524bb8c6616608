/* What ssh(1) asks, told by its words. */
#ifndef ORRERY_ASKPASS_TEXT_H
#define ORRERY_ASKPASS_TEXT_H

#include "ssh.h"

/* The strings of a question. */
struct askpass_text {
    char *subject, *text, *detail;
};

/* Fills q's kind, subject, text, detail and echo. name: what the user calls the host, where the question
 * is about that one; else NULL, and ssh's own name for it stays. */
void askpass_text_init(
    struct askpass_text *t, const char *prompt, const char *name, struct ssh_question *q);
void askpass_text_fini(struct askpass_text *t);

#endif
