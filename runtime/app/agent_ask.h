/*
 * The agent's program as ssh(1)'s SSH_ASKPASS: passes a question on to the process that started that ssh
 * (runtime/call/askpass.h), and prints the answer.
 */
#ifndef ORRERY_AGENT_ASK_H
#define ORRERY_AGENT_ASK_H

#include <stdbool.h>

/* Is this such a call? `argument` is the only one; a marker of the bootstrap has no space in it. */
bool agent_is_asked(const char *argument);
/* The exit status: 0, or 1 where there is no answer; then stderr says why. */
int agent_ask(const char *question);

#endif
