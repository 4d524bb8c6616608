/*
 * What stream.c (life, output) and input.c share. See stream.h for what a stream is.
 *
 * Data flows one way: input.c calls into stream.c to fail, close and watch; stream.c calls input.c when
 * a descriptor is readable.
 */
#ifndef ORRERY_STREAM_INTERNAL_H
#define ORRERY_STREAM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "framer.h"
#include "mem.h"
#include "outq.h"
#include "stream.h"

#define LAST_WORDS 1024

enum stream_state { BOOTING, UP, CLOSING, CLOSED };

/* [I] immutable, [L] loop role only, [s] lock, [a] atomic. No other lock is taken under `lock`. */
struct stream {
    atomic_uint refs;            /* [a] */
    struct loop *loop;           /* [I] */
    struct transport *transport; /* [s], freed by the loop role when the stream has closed */
    const struct stream_events *events;
    void *arg;            /* [I] */
    char *name;           /* [I] */
    bool deferred;        /* [I] */
    int64_t keepalive_ms; /* [L] */

    pthread_mutex_t lock;
    enum stream_state state; /* [s] written by the loop role only, which reads it without */
    bool broken;             /* [s] a write failed: only the loop says so to anyone */
    bool flush_pending;      /* [s] `flush` is deferred */
    struct outq out;         /* [s] */

    struct loop_work flush;         /* [s] flush_pending says whether it is in the loop's list */
    struct loop_work again;         /* [L] goes on reading where READ_BATCH stopped */
    bool again_pending;             /* [L] */
    struct loop_fd fd, wfd, err_fd; /* [L] the last two only where the transport has them */
    struct loop_timer deadline;     /* [L] of the bootstrap, then of the lingering close */
    struct loop_timer keepalive;    /* [L] */
    int64_t heard;                  /* [L] clock_ms of the last input */
    struct framer framer;           /* [L] */
    struct bootstrap *bootstrap;    /* [L] */
    struct err why;                 /* [s] set on closing */
    char words[LAST_WORDS + 1];     /* [L] end of the far side's stderr */
};

/* What the loop has to know after it worked on a stream. */
struct outcome {
    bool broken;
    bool wants; /* the transport waits for writability */
};

/* ---- stream.c; all on the loop role ---- */

/* Writes everything that waits, as far as it goes. Lock held. */
void stream_flush(struct stream *s);
/* Lock held. */
struct outcome stream_look(struct stream *s);
/* Makes the loop wait for what the transport waits for. No lock. */
void stream_watch(struct stream *s, bool wants);
/* Sends a message without payload to the other end of the stream. */
void stream_send_link(struct stream *s, uint32_t handle);
/* Closes it because the transport has ended, or says so itself. No lock. */
void stream_fail(struct stream *s);
/* Closes it at once, for the reason in s->why. No lock. */
void stream_finish(struct stream *s);

/* ---- input.c; the same ---- */

/* One pass of reads, and what comes of it. */
void stream_input(struct stream *s);
/* One read of the far side's stderr. Returns whether there may be more. */
bool stream_read_text(struct stream *s);
/* For stream_input where a pass has to leave something for the next. */
void stream_again(struct loop_work *w);

#endif
