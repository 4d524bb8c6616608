/*
 * The frame header, the numbers in it, and the limits. No I/O, no Lua. The byte table in
 * docs/protocol.md is the reference for other implementations; this file is the one for ours.
 *
 * A frame is a header of FRAME_HEADER bytes in network byte order, then `length` bytes of payload:
 *
 *    0  u16  magic 0x4f72 ("Or")      12  u32  src      who sent it
 *    2  u8   version                  16  u32  auth     in whose name (see route/router.h)
 *    3  u8   flags                    20  u32  handle   which receiver inside dst
 *    4  u32  length of the payload    24  u32  reply    handle in src for the answer; 0: none
 *    8  u32  dst  a context id        28  u32  seq      ties an answer to its question
 */
#ifndef ORRERY_FRAME_H
#define ORRERY_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define FRAME_MAGIC 0x4f72
#define FRAME_VERSION 4
#define FRAME_HEADER 32

/* The largest payload of a message. A bigger value must travel as a file or as a stream. */
#define FRAME_MAX_PAYLOAD (64u << 20)

/* The largest payload of a frame. A message with a longer one travels in pieces of this size, so that
 * nobody on its way holds all of it, and what is urgent can pass it. */
#define FRAME_PIECE (128u << 10)

enum frame_flags {
    FRAME_ERROR = 1, /* the payload is an error value instead of results */
    FRAME_DEAD = 2,  /* written by a router, not by src: the message or the context is lost.
                        payload: pack: u8 -code, str text, str name of the context */
    FRAME_MORE = 4,  /* a piece of a message, and not the last */
    FRAME_BULK = 8,  /* file data, command output: what is not waits for none of it */
    FRAME_CONT = 16  /* a piece of a message, and not the first */
};

/* What only the way of a message is concerned with: receivers never see these. */
#define FRAME_TRANSIT (FRAME_MORE | FRAME_CONT | FRAME_BULK)

/* Context ids. 0 is nobody; the controller is 1; parents give ids to their children. */
#define CONTEXT_NONE 0u
#define CONTEXT_CONTROLLER 1u

/* Reserved handles. Retired numbers are never used again. */
enum frame_handle {
    HANDLE_NONE = 0,

    /* link: between the two ends of one stream */
    HANDLE_HELLO = 1,  /* child -> parent, its first frame (call/agent handshake) */
    HANDLE_CONFIG = 2, /* parent -> child, its first frame: id, names, limits */
    HANDLE_PING = 3,   /* answered by PONG; sent when a stream was silent for the keepalive time */
    HANDLE_PONG = 4,

    /* tree: between the routers at the two ends of a stream; see route/tree.c */
    HANDLE_IDS = 6,    /* child -> parent: gives me context ids; parent -> child: these */
    HANDLE_ROUTE = 7,  /* child -> parent: a context is behind me from now on */
    HANDLE_GONE = 12,  /* child -> parent: and is no more */
    HANDLE_ALLOW = 13, /* parent -> child: two contexts behind you may talk to each other */

    HANDLE_DEAD = 8,    /* to a context: the context that is named is gone */
    HANDLE_CREDIT = 9,  /* to a sender: what it sent to a handle was taken; see route/flow.h */
    HANDLE_CLOSED = 15, /* to a sender: what it sends to a handle is not taken; see route/flow.h */

    /* inside a process only */
    HANDLE_THREAD = 10, /* a thread has ended, or is to end */
    HANDLE_ASK = 11,    /* a question for the script; see call/ask.h */
    HANDLE_KEEP = 14,   /* what a keeper offers; see call/keeper.h */
    HANDLE_INPUT = 23,  /* there is something to read; see call/bind/input.c */

    /* services that every context has */
    HANDLE_CALL = 16,     /* run a function; payload: codec */
    HANDLE_CANCEL = 17,   /* give up the call with the same src, reply and seq */
    HANDLE_MODULE = 18,   /* child -> parent: source of a Lua module */
    HANDLE_CLOSE = 19,    /* a context behind it is to be closed: call/children.h */
    HANDLE_RUN = 20,      /* a command: call/command.h */
    HANDLE_FILE = 21,     /* a file: call/file.h */
    HANDLE_CONTEXTS = 22, /* from guests: which contexts are there; see call/listener.h */
    HANDLE_SERVICE = 24,  /* from below: runs a function of a service; payload: codec */
    HANDLE_TEXT = 25,  /* to the controller: what a context printed and logged; see call/text.h */
    HANDLE_BREAK = 26, /* ends a call that computes, as CANCEL names it; see call/bind/breaker.h */

    /* given out at run time: receivers, and each VM's own handle for replies */
    HANDLE_DYNAMIC = 1024
};

struct frame_header {
    uint8_t flags;
    uint32_t length;
    uint32_t dst;
    uint32_t src;
    uint32_t auth;
    uint32_t handle;
    uint32_t reply;
    uint32_t seq;
};

void frame_encode(const struct frame_header *h, uint8_t out[FRAME_HEADER]);
/* ERR_PROTOCOL for a wrong magic or version, ERR_LIMIT for a length over FRAME_PIECE. */
int frame_decode(
    struct frame_header *h, const uint8_t in[FRAME_HEADER], struct err *err) must_check;

/* What keeps a link or a flow going, or must be known before what follows: it overtakes everything else,
 * and is never in pieces. */
bool frame_is_urgent(const struct frame_header *h);
/* What one router tells the next, whatever its addresses say. */
static inline bool
frame_is_for_router(const struct frame_header *h)
{
    return h->handle == HANDLE_IDS || h->handle == HANDLE_ROUTE || h->handle == HANDLE_GONE ||
        h->handle == HANDLE_ALLOW;
}

/* What ends a call names it as the call did. */
static inline bool
handle_ends_call(uint32_t handle)
{
    return handle == HANDLE_CANCEL || handle == HANDLE_BREAK;
}

/* "CALL" for HANDLE_CALL, for logs; "#1024" style for dynamic ones (in a buffer of the thread's). */
const char *frame_handle_name(uint32_t handle);

#endif
