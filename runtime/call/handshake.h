/*
 * The first frame in each direction of a new stream: HELLO from the agent, CONFIG from its parent.
 *
 *   HELLO   u32 frame version, str hostname, str kernel, str machine, u32 pid, u32 uid
 *   CONFIG  u32 id, u32 n, n x u32 ancestors (nearest first), str name, str route,
 *           u32 keepalive ms, u32 log level, u64 spin ns, u8 attend (loop.h: loop_set_spin and
 *           loop_set_attend), str agent (the content hash by which the child names the agent that it is
 *           itself, when it opens children)
 */
#ifndef ORRERY_HANDSHAKE_H
#define ORRERY_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "msg.h"

#define HANDSHAKE_DEPTH 16 /* ancestors, at most */

struct hello {
    char *hostname, *kernel, *machine;
    uint32_t pid, uid;
};

struct config {
    uint32_t id;
    uint32_t ancestors[HANDSHAKE_DEPTH];
    uint32_t ancestor_count;
    char *name, *route;
    uint32_t keepalive_ms;
    uint32_t log_level;
    int64_t spin_ns;
    bool attend;
    char *agent;
};

/* HELLO about this process. Returns owned. */
struct msg *hello_make(void);
/* Writes `line` ("" for none) and HELLO about this process to a descriptor that blocks, in one call. */
int hello_say(int fd, const char *line, struct err *err) must_check;
int hello_parse(struct hello *h, struct msg *m, struct err *err) must_check; /* borrows m */
void hello_fini(struct hello *h);

struct msg *config_make(const struct config *c);
int config_parse(struct config *c, struct msg *m, struct err *err) must_check;
void config_fini(struct config *c);

#endif
