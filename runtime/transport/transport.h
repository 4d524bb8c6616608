/*
 * A transport moves the bytes of one stream: a socket pair to a process (process.h), an SSH channel in
 * this process (ssh/ssh.h). To add one: embed struct transport first in your struct, fill in the ops,
 * hand it to stream_create (stream/stream.h). Nothing above knows which it is.
 *
 * Rules for all of the ops but destroy:
 *   - called with the stream's lock held, by any thread (write) or by the loop role (the others);
 *     they never block, never call back, never take another lock;
 *   - results are a count, or -EAGAIN, or another negative errno, which means that the transport is
 *     finished: then end() says why.
 * A transport gets no pointer to its stream.
 */
#ifndef ORRERY_TRANSPORT_H
#define ORRERY_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "err.h"

struct transport;

struct transport_ops {
    const char *name; /* "process", "ssh" */

    /*
     * Takes as many bytes as it can now and returns how many; what it takes, it delivers in order.
     * It may keep bytes in a queue of its own as long as that queue is bounded. For small messages
     * it makes exactly one system call, and reads nothing.
     */
    ssize_t (*write)(struct transport *t, const struct iovec *iov, int count);

    /*
     * Pushes out what write() kept back, when the descriptor is writable again.
     * 0 (nothing left, or not now) or a negative errno.
     */
    int (*flush)(struct transport *t);

    /* Should the loop wait for writability? True after a write() or flush() that met a full socket. */
    bool (*wants_write)(const struct transport *t);

    /* Bytes for the stream; 0 at the end of input; -EAGAIN when drained. Call until it is drained:
     * data may sit inside although the descriptor is silent. */
    ssize_t (*read)(struct transport *t, void *p, size_t n);

    /* The same for what the far side says on its stderr. */
    ssize_t (*read_err)(struct transport *t, void *p, size_t n);

    /* Why it ended, as far as known: an exit status, a signal, a reset connection. Fills err with
     * ERR_DEAD and a text; called once after read gave 0 or an errno, or write did. */
    void (*end)(struct transport *t, struct err *err);

    /* Sends the end of input to the far side, as far as it goes without blocking. */
    void (*shutdown)(struct transport *t);

    /*
     * Frees everything. Called once by the loop role, with no lock, when no event can come any more.
     * A child process that is still there is killed and reaped; an SSH session is disconnected; never
     * blocks longer than a few milliseconds.
     */
    void (*destroy)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    int fd;     /* polled for input, and for writability where wfd is -1. Owned, nonblocking */
    int wfd;    /* polled for writability if it is another descriptor, else -1 */
    int err_fd; /* polled for read_err if it is another descriptor, else -1 */
};

#endif
