/*
 * The prompts of a command that wants a password before it runs the shell: sudo, su. It prints them on
 * stderr or stdout, and reads the answer from stdin, where no terminal is. What it is answered comes from
 * the same places as everywhere else (ask.h); no secret is on a command line, in an environment, or in a
 * file, and nothing is written before somebody asks.
 *
 * A prompt is what the output ends in:
 *
 *   marked     our own, with a random mark in it that the command line has: "for deploy@web1 (MARK): ". It
 *              wants a password, of whoever stands in front of the mark; but for one right behind another,
 *              without a word between: that wants something else, a code for example
 *   any other  the unfinished last line, if it ends in a colon or question mark and nothing follows for a
 *              moment: PAM's own words, in whatever language. Where marked ones are expected, it gets what
 *              was meant for those only if it says "passw"; without, the first may be anything but a code
 *
 * The same prompt again says that the answer was wrong. Each is answered until the command gives up.
 *
 * Threading: loop role only. A question is asked on a thread of its own.
 */
#ifndef ORRERY_PROMPTER_H
#define ORRERY_PROMPTER_H

#include "ask.h"
#include "loop.h"
#include "stream.h"

struct prompter;

struct prompter_options {
    struct loop *loop;
    struct asker *asker;  /* borrowed, as long as this lives */
    const char *host;     /* what the user calls the context; copied */
    const char *program;  /* what errors call the command; copied */
    const char *mark;     /* copied; or NULL: no prompt is ours */
    const char *subject;  /* whose password, where the prompt does not say; copied */
    const char *password; /* tried once, before anybody is asked; borrowed, or NULL */
    bool share; /* what was right for a user is tried for those of the same name elsewhere */
};

/* Returns owned. */
struct prompter *prompter_create(const struct prompter_options *o);
/* Listens to the stream (borrowed until prompter_stop), and answers on it. Where there is no answer it
 * closes the stream: ERR_CREDENTIALS, or ERR_AUTH where an answer was wrong before. */
void prompter_listen(struct prompter *p, struct stream *s);
/* Was a password given, and no word of the stub came since? Then what the command ended with is a refusal. */
bool prompter_answered(const struct prompter *p);
/* The stream ends, or its agent is there, so that the answer was right. Waits for the thread, which takes
 * up to 50 ms where a person is being asked. Idempotent; NULL is fine. */
void prompter_stop(struct prompter *p, bool right);
/* After loop_reap: work of the thread's may still wait in the loop. NULL is fine. */
void prompter_destroy(struct prompter *p);

#endif
