/*
 * What stream.c (life), output.c, input.c and pause.c share. See stream.h for what a stream is.
 *
 * Data flows one way: input.c and output.c call into stream.c to fail and close; stream.c and output.c
 * call input.c when a descriptor is readable.
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

LIST_HEAD(stream_list, stream);

/* [I] immutable, [L] loop role only, [s] lock, [a] atomic. No other lock is taken under `lock`. */
struct stream {
    atomic_uint refs;            /* [a] */
    struct loop *loop;           /* [I] */
    struct transport *transport; /* [s], freed by the loop role when the stream has closed */
    const struct stream_events *events;
    void *arg;              /* [I] */
    char *name;             /* [I] */
    bool deferred;          /* [I] */
    size_t owed_max;        /* [I] */
    _Atomic int64_t warned; /* clock_ms of the last line about what it sent, or 0 */
    int64_t keepalive_ms;   /* [L] */

    pthread_mutex_t lock;
    atomic_int others;       /* [a] threads that wait for the lock */
    enum stream_state state; /* [s] written by the loop role only, which reads it without */
    bool flooded;            /* [s] more than owed_max waits: it is `broken`, too */
    bool broken;             /* [s] a write failed: only the loop says so to anyone */
    bool blocked;        /* [s] the transport took less than all: the loop goes on, and only it */
    bool flush_pending;  /* [s] `flush` is deferred */
    bool share_pending;  /* [s] `share` is */
    uint64_t shared;     /* [s] clock_ns of the last write of lazy messages */
    atomic_uint company; /* [s] read without it */
    struct outq out;     /* [s] */

    struct loop_work flush;         /* [s] flush_pending says whether it is in the loop's list */
    struct loop_work share;         /* [s] the same, for lazy messages */
    struct loop_work again;         /* [L] goes on reading where READ_BATCH stopped */
    bool again_pending;             /* [L] */
    struct loop_fd fd, wfd, err_fd; /* [L] the last two only where the transport has them */
    struct loop_timer deadline;     /* [L] of the bootstrap, then of the lingering close */
    int64_t boot_until;             /* [L] clock_ms of the bootstrap's deadline */
    int64_t boot_left;              /* [L] of it, while its clock stands still */
    struct loop_timer keepalive;    /* [L] */
    int64_t heard;                  /* [L] clock_ms of the last input */
    size_t queued;                  /* [L] what waited when the keepalive looked last */
    struct framer framer;           /* [L] */
    struct bootstrap *bootstrap;    /* [L] */
    stream_listener listener;       /* [L] or NULL */
    void *listener_arg;             /* [L] */
    struct err why;                 /* [s] set on closing */
    char words[LAST_WORDS + 1];     /* [L] end of the far side's stderr */

    bool paused;                /* [L] by stream_pause */
    bool refused;               /* [L] as of the last look: a write waits for input */
    bool held;                  /* [L] its input is left where it is */
    struct stream *waits_for;   /* [L] whose queue must drain before it goes on */
    LIST_ENTRY(stream) waiting; /* [L] in that stream's list */
    struct stream_list waiters; /* [L] */
};

/* What the loop has to know after it worked on a stream. */
struct outcome {
    bool broken;
    bool wants; /* to be told when the descriptor is writable */
    bool
        refused; /* the descriptor is writable, and yet the transport takes nothing before it has read */
    bool more; /* others wanted the lock: write the rest in the next turn */
};

/* Takes the lock; who holds it for long sees that somebody waits. */
void stream_lock(struct stream *s);

/* ---- stream.c; all on the loop role ---- */

/* Closes it because the transport has ended, or says so itself. No lock. */
void stream_fail(struct stream *s);
/* Closes it at once, for the reason in s->why. No lock. */
void stream_finish(struct stream *s);

/* ---- output.c; the same ---- */

void output_init(struct stream *s);
/* Writes everything that waits, as far as it goes. Lock held. */
void stream_flush(struct stream *s);
/* The same from an upcall, as far as `deferred` lets it. Lock held. */
void stream_flush_after_input(struct stream *s);
/* Lock held. */
struct outcome stream_look(struct stream *s);
/* Makes the loop wait for what the stream waits for. No lock. */
void stream_watch(struct stream *s, const struct outcome *o);
/* What every piece of work on the loop ends with: errors, the end of a close, the poller. No lock. */
void stream_settle(struct stream *s);
/* Sends a message without payload to the other end of the stream. */
void stream_send_link(struct stream *s, uint32_t handle);
/* The descriptor is writable. */
void stream_output(struct stream *s);

/* ---- input.c; the same ---- */

/* One pass of reads, and what comes of it. */
void stream_input(struct stream *s);
/* Makes a pass soon, whether the descriptor is readable or not. */
void stream_input_soon(struct stream *s);
/* One read of the far side's stderr. Returns whether there may be more. */
bool stream_read_text(struct stream *s);
/* For stream_input where a pass has to leave something for the next. */
void stream_again(struct loop_work *w);

/* ---- pause.c; the same ---- */

/* Is its input left alone? Not where a write waits for some. */
bool pause_holds(const struct stream *s);
/* The queue may have drained: who waited for that goes on. */
void pause_drained(struct stream *s);
/* s has closed: neither waits nor is waited for. */
void pause_end(struct stream *s);

#endif
