/*
 * Jump hosts: what pool.c (the connecting threads' part) and tunnels.c (the loop's part) share.
 *
 * A jump is logged in to by the connecting thread that wants it first. Then it belongs to the loop, where
 * it opens direct-tcpip channels, one at a time, and moves bytes between each and a socket pair: a tunnel.
 *
 *   connecting --> up --> (a tunnel, an opening or a waiting thread uses it) --> ended with its last user
 *            \-> failed
 */
#ifndef ORRERY_SSH_JUMP_H
#define ORRERY_SSH_JUMP_H

#include <sys/queue.h>

#include "internal.h"

enum jump_state { JUMP_CONNECTING, JUMP_UP, JUMP_FAILED };

/* Lists below are of these. */
TAILQ_HEAD(jump_list, jump);
TAILQ_HEAD(opening_list, opening);
TAILQ_HEAD(tunnel_list, tunnel);

/* [I] immutable, [L] loop role only, [p] the pool's lock, [T] the connecting thread until it is up */
struct jump {
    TAILQ_ENTRY(jump) link; /* [p] in pool->shared */
    bool shared;            /* [p] it is in that list: others may join */
    struct ssh_pool *pool;  /* [I] */
    char *key;              /* [I] share_key, or NULL */
    struct ssh_way *way;    /* [I] counted */
    enum jump_state state;  /* [p] */
    unsigned users; /* [p] threads that wait for it, openings, tunnels; never 0 but at its end */
    struct err why; /* [p] once it has failed */
    bool openssh_could; /* [p] the same */

    struct ssh_session *s;      /* [T], then [L] */
    struct loop_work end;       /* deferred once, when the last user has left */
    TAILQ_ENTRY(jump) up;       /* [L] in pool->up, once it has started */
    bool started;               /* [L] */
    bool lost;                  /* [L] */
    struct loop_fd fd;          /* [L] */
    struct loop_timer patience; /* [L] for the opening that is under way */
    struct loop_timer look;     /* [L] after tunnels whose descriptor nobody watches */
    bool looking;               /* [L] it is set */
    struct opening *opening;    /* [L] that is under way */
    struct opening_list queue;  /* [L] that wait for it */
    struct tunnel_list tunnels; /* [L] */
    struct tunnel_list closing; /* [L] without a descriptor: their channels are not freed yet */
};

struct ssh_pool {
    struct loop *loop;       /* [I] */
    pthread_mutex_t lock;    /* no other is taken under it but a way's */
    pthread_cond_t changed;  /* a jump is not connecting any more, or an opening is done */
    struct jump_list shared; /* [p] */
    struct jump_list up;     /* [L] */
    uint8_t *scratch;        /* [L] SSH_STAGE bytes to receive into, and as many to move */
};

/* One thread's request for a channel. It counts as a user; on success the tunnel takes that over. */
struct opening {
    TAILQ_ENTRY(opening) link; /* [L] */
    struct loop_work work;
    struct jump *jump; /* [I] */
    char *host;        /* [I] */
    int port;          /* [I] */
    int64_t since;     /* [p] clock_ms when it was sent, 0: not yet */
    bool abandoned;    /* [p] nobody waits for it: the loop frees it */
    bool done;         /* [p] the loop has forgotten it: the thread frees it */
    int fd;            /* [p] the thread's end, or -1 */
    bool again;        /* [p] not done, but another jump may do it: this one is slow, or lost */
    char why[300];     /* [p] why there is none; "" if it is slow */
};

/* loop_work.fn of an opening. */
void tunnels_open(struct loop_work *w);
/* loop_work.fn of jump.end. */
void tunnels_end(struct loop_work *w);
/* loop_sync: ends all jumps of a pool. */
void tunnels_end_all(void *pool);

/* pool.c. Any thread. One user less; the last one ends the jump. */
void jump_leave(struct jump *j);
/* Any thread. Nobody joins it any more. */
void jump_hide(struct jump *j);
/* What tunnels_end has left of it. */
void jump_free(void *jump);
/* Loop role. Gives an opening back to its thread, or frees it if that has gone: true then. */
bool opening_done(struct opening *q, int fd, bool again, const char *why);
/* Why the server has refused one, from what libssh2 makes of its number, in words that help. Static text. */
const char *opening_refusal(LIBSSH2_SESSION *session);

#endif
