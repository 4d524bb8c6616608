/*
 * A stream: the connection between a parent and a direct child. Frames over a transport, an output
 * queue, and the switch from bootstrap to frames.
 *
 * Sending is optimistic: stream_send takes the lock and writes on the caller's stack, together with what
 * is queued ahead. What does not go is queued, and only then the loop is told. Errors are handled on
 * the loop role alone: a sender that meets one queues, and lets the loop find it.
 *
 * What is queued goes by class: messages that keep a link or a flow going before all others, those with
 * FRAME_BULK behind all others. Messages of one class keep their order. A message with `lazy` set may
 * stay queued for a millisecond, so that a burst of them shares a write.
 *
 * Lifetime: counted. Contexts keep a reference, so a send never looks anything up. A stream that has
 * closed stays a valid object on which sends fail with the reason until the last reference goes.
 *
 * Threading: stream_send, stream_ref, stream_unref from any thread; everything else on the loop role.
 */
#ifndef ORRERY_STREAM_H
#define ORRERY_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "bootstrap.h"
#include "err.h"
#include "loop.h"
#include "msg.h"
#include "transport.h"

struct stream;

/* The upcalls, set once at creation. All on the loop role, without the stream's lock. */
struct stream_events {
    /* The agent is there; frames flow from now on. */
    void (*up)(struct stream *s, void *arg);
    /* One message. Takes it. */
    void (*frame)(struct stream *s, struct msg *m, void *arg);
    /* A piece of the far side's stderr. May be NULL. */
    void (*text)(struct stream *s, const char *p, size_t n, void *arg);
    /* The stream is closed, for this reason; nothing comes after it. Called exactly once. */
    void (*closed)(struct stream *s, const struct err *why, void *arg);
};

struct stream_options {
    const char *name;            /* for errors and logs; copied */
    struct bootstrap *bootstrap; /* taken; NULL: frames from the first byte (the agent's own end) */
    int64_t bootstrap_ms;        /* deadline for the bootstrap; 0: 60 s */
    int64_t keepalive_ms;        /* a peer silent for 3 times this is dead; 0: no keepalive */
    size_t
        owed_max; /* it is closed when more waits, and more is owed; 0: no matter how much. For peers that
                      * can make us answer, and read nothing */
    bool deferred; /* leave every write to the loop, when the poller has said that there is
                                  * room, to measure what that costs */
};

/* Takes the transport. Starts reading at once. Loop role only. Returns one reference; the stream
 * itself holds another until it has closed. */
struct stream *stream_create(struct loop *loop, struct transport *t, const struct stream_options *o,
    const struct stream_events *events, void *arg);
struct stream *stream_ref(struct stream *s);
void stream_unref(struct stream *s);

/* The most that may wait in a stream's queue before a sender is refused. */
#define STREAM_QUEUE_MAX (32u << 20)
/* A queue below this has drained. */
#define STREAM_QUEUE_LOW (1u << 20)
/* For owed_max: some of the largest messages. */
#define STREAM_OWED_MAX (256u << 20)

/* Takes m, also when it fails. The caller has filled the header; stream_send seals it. 0, ERR_LIMIT (the
 * queue is full), or, where it has closed, the code and text of the reason: ERR_DEAD, ERR_CLOSED ... */
int stream_send(struct stream *s, struct msg *m, struct err *err) must_check;

/* Closes it: what is queued is written for at most `linger_ms`, then `closed` comes with `why`.
 * Idempotent: the first reason wins. */
void stream_close(struct stream *s, const struct err *why, int64_t linger_ms);

/* Bytes that wait to be written. Any thread. */
size_t stream_queued(const struct stream *s);
/* How many messages were sent that somebody may be waiting for: all but bulk and what is `quiet`. For who fills
 * the stream with bulk: while this number stays the same, it delays nobody. Any thread. */
uint32_t stream_company(const struct stream *s);

/*
 * Leaves the stream's input where it is, so that its writer is slowed down. What has been read of it is
 * delivered afterwards; its keepalive goes on. Nothing is lost by it, but nothing is noticed either: not
 * even its end. Loop role only.
 *
 * A stream whose writes are refused until something was read (an SSH window, a key exchange) is read all
 * the same as long as that lasts, since two of those that wait for one another would wait for ever.
 */
void stream_pause(struct stream *s, bool pause);
/*
 * The same until the queue of `target` is below STREAM_QUEUE_LOW, or `target` has closed; nothing if that
 * is so already. For who forwards from s to target; and to s itself, for one that asks faster than it reads the
 * answers. One that waits for its own queue and gets nothing out of that is dead after three times the keepalive
 * time. Loop role only.
 *
 * Only the streams of children may be paused in this way, never the one to the parent. Then no cycle of
 * full queues can form: every process reads always from its parent, so the queue of a stream to a child
 * drains; the queue of the stream to the parent drains unless the parent has paused us, which it does for
 * the queue of another child's stream, which drains, or that of the stream to its own parent, and so on up
 * to the root, which has none.
 */
void stream_wait_for(struct stream *s, struct stream *target);

/* Stops the clock of the bootstrap's deadline, because a person is being asked, and lets it go on. Does
 * nothing once the agent is there. Loop role only. */
void stream_hold_deadline(struct stream *s, bool hold);

/*
 * What a command says that stands in front of the stub, sudo for example: has each piece told to fn, on the
 * loop role, until the stub speaks (then it gets NULL, once) or fn is changed to NULL. fn may not close the
 * stream. Loop role only.
 */
typedef void (*stream_listener)(void *arg, bool on_stderr, const char *p, size_t n);
void stream_listen(struct stream *s, stream_listener fn, void *arg);
/* Writes to that command. Nothing where the stub has spoken. The copy here is overwritten when it is gone.
 * Loop role only. */
void stream_answer(struct stream *s, const char *text, size_t n);

/* May a line be logged about what has come in on it? One in a second: its far side must not be able to fill the log,
 * nor to keep others out of it. Any thread. */
bool stream_warns(struct stream *s);

/* Changes keepalive_ms. Loop role only. */
void stream_keepalive(struct stream *s, int64_t ms);

const char *stream_name(const struct stream *s);
/* Bytes of agent images that were sent: 0 where the target had it. Loop role only. */
uint64_t stream_uploaded(const struct stream *s);
/* The last words of the far side's stderr, borrowed, at most 1 KiB. Loop role only. */
const char *stream_last_words(const struct stream *s);

#endif
