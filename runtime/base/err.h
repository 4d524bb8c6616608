/*
 * Errors, as C carries them.
 *
 * A function that can fail returns 0 or a negative enum err_code, and fills the struct err that its
 * caller supplies. Each layer that passes an error on may put its own context in front of it once
 * (err_prefix), so that the text reads from the outside in: "web1: bootstrap: no writable directory".
 * Out of memory is not an error: xmalloc and friends abort. Malformed input from a peer always is
 * one, and never aborts.
 *
 * Threading: a struct err belongs to whoever declared it.
 */
#ifndef ORRERY_ERR_H
#define ORRERY_ERR_H

#include <stddef.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* The names of these codes are what Lua sees as err.code (see err_code_name and docs/errors.md). */
enum err_code {
    ERR_NONE = 0,
    ERR_SYSTEM = -1,           /* a system call failed; the text names it and its errno */
    ERR_TIMEOUT = -2,          /* a deadline passed */
    ERR_CANCELLED = -3,        /* somebody gave up waiting */
    ERR_DEAD = -4,             /* the context, or a link on the way to it, was lost */
    ERR_CLOSED = -5,           /* the object was closed by its own user */
    ERR_CONNECT = -6,          /* no connection: resolve, connect, key exchange */
    ERR_AUTH = -7,             /* the far side did not let us in */
    ERR_HOSTKEY = -8,          /* nobody knows whether the far side is who it should be */
    ERR_BOOTSTRAP = -9,        /* the far side let us in, but no agent came up */
    ERR_PROTOCOL = -10,        /* a peer sent what it may not send */
    ERR_LIMIT = -11,           /* a size, depth or count is over its limit */
    ERR_DENIED = -12,          /* policy refused the message */
    ERR_FILE = -13,            /* a file could not be read, written or verified */
    ERR_COMMAND = -14,         /* a command could not be started */
    ERR_ARGUMENT = -15,        /* the caller passed something unusable */
    ERR_NO_HANDLE = -16,       /* nobody listens on that handle */
    ERR_HOSTKEY_CHANGED = -17, /* the far side shows another key than it is known by */
    ERR_HOSTKEY_REVOKED = -18, /* the far side shows a key that must not be trusted any more */
    ERR_CREDENTIALS = -19      /* nobody refused us, but here was nothing to log in with */
};

struct err {
    int code;      /* an enum err_code */
    char msg[700]; /* one line, no trailing dot, no newline */
};

/* The stable name of a code: ERR_DEAD -> "dead". Unknown codes give "error". */
const char *err_code_name(int code);

/* Sets code and text; returns code, so that `return err_set(...)` works. err may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) printf_like(3, 4);

/* As err_set, with ": " and the text of errno value `errnum` behind it. */
int err_errno(struct err *err, int code, int errnum, const char *fmt, ...) printf_like(4, 5);

/* Puts "text: " in front of what is there already, cutting at the end if it must; returns the code. */
int err_prefix(struct err *err, const char *fmt, ...) printf_like(2, 3);

#endif
