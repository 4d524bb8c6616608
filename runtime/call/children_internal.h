/*
 * What children.c (opening, shaking hands, what the stream says) and children_end.c (closing) share. See
 * children.h.
 */
#ifndef ORRERY_CHILDREN_INTERNAL_H
#define ORRERY_CHILDREN_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <sys/queue.h>

#include "children.h"
#include "connect_pace.h"
#include "guardian.h"
#include "handshake.h"
#include "openreq.h"

#define RAW_LINE 1024

/*
 *      queued -> connecting -> booting -> greeting -> up
 *   (no thread)    (thread)    (stream: stub, HELLO)
 *
 * Every child ends in child_gone, on the loop role, exactly once.
 */
struct child {
    TAILQ_ENTRY(child) link;
    struct children *owner;  /* [I] */
    struct openreq *request; /* [I] freed when it is up or gone */
    struct mailbox *mb;      /* [I] counted: where the outcome goes */
    uint32_t seq;            /* [I] names the opening */
    uint32_t id;             /* [L] of the context, once it is up */
    bool reported;           /* [L] the outcome was posted */
    bool cancelled;          /* [L] */

    pthread_t thread;            /* [L] while connecting */
    bool connecting;             /* [L] */
    bool booting;                /* [L] it has connected, and is not up yet */
    atomic_bool cancel;          /* tells the thread */
    struct loop_work work;       /* enters the loop: first when opened, then when connected */
    struct transport *transport; /* of the thread until it defers `work`, then [L] */
    struct err why;              /* the same */
    struct connect_time time;    /* the same */

    struct stream *stream;   /* [L] */
    struct hello hello;      /* [L] once it was said */
    bool greeted;            /* [L] it was */
    struct id_wait id_wait;  /* [L] then */
    struct context *context; /* [L] once it is up */
    pid_t guarded;           /* [L] its process group, where the guardian knows it, else 0 */
    char text[RAW_LINE];     /* [L] an unfinished line of stderr */
    size_t text_len;
    unsigned text_dropped; /* [L] lines, since the last that was taken */
};

TAILQ_HEAD(child_list, child);

/* [I] immutable, [L] loop role only, [a] atomic */
struct children {
    struct router *router;         /* [I] */
    struct loop *loop;             /* [I] */
    struct images *images;         /* [I] before the first is opened */
    const struct ssh_library *ssh; /* [I] before the first is opened; or NULL */
    struct ssh_pool *pool;         /* [I] the same: its jump hosts */
    struct child_list list;        /* [L] all */
    int connecting;                /* [L] threads */
    int booting;                   /* [L] those that have done their part */
    struct connect_pace pace;      /* [L] how many of both there may be */
    struct loop_timer more;        /* [L] while some wait for their turn */
    struct guards guards;          /* [L] of commands that lead to children */
    bool closing;                  /* [L] */
    sem_t empty;                   /* posted when closing and the list is empty */
    struct texts *texts;           /* [I] */
};

/* ---- children.c ---- */

/* The end of every child. Loop role. */
void child_gone(struct child *c, const struct err *why);

/* ---- children_end.c ---- */

/* Listens on HANDLE_CLOSE. */
void children_listen(struct children *cs);

#endif
