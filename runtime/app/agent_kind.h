/* What makes the two programs that agent.c is the main part of: agent_plain.c, relay.c. */
#ifndef ORRERY_AGENT_KIND_H
#define ORRERY_AGENT_KIND_H

#include "ssh.h"

struct agent_kind {
    const char *name;
    const struct ssh_library *ssh; /* or NULL */
    void (*start)(void);           /* first, if it is there */
};

extern const struct agent_kind agent_kind;

#endif
