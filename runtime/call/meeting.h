/*
 * A meeting point: a unix socket at a path, by which processes of one user find each other.
 *
 * Whoever may create files in its directory could put a socket of his own there. So the directory, and all
 * above it, must belong to this user or root, and nobody else may write to it; above it, a sticky directory
 * such as /tmp will do. The socket's mode is 0600 from the first moment. And each side asks the kernel who
 * the other one is: it must be the same user, or root. Root connects to whomever it likes.
 *
 * Threading: none of its own.
 */
#ifndef ORRERY_MEETING_H
#define ORRERY_MEETING_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "err.h"

struct meeting {
    char *path; /* absolute */
    int fd;     /* listens, nonblocking */
    dev_t dev;  /* the file that was made */
    ino_t ino;
};

/* Makes the socket, in the place of one that a dead process has left. A live one is an error that names
 * its process. 0, or a code with err and nothing made. */
int meeting_open(struct meeting *m, const char *path, struct err *err) must_check;
/* Removes the file, if it still is the one that was made, and closes. */
void meeting_close(struct meeting *m);

/* Connects to one. Returns a descriptor that blocks (owned), or -1 with err. */
int meeting_connect(const char *path, struct err *err) must_check;

/* Who is at the other end, and whether he may be there. */
bool meeting_trusts(int fd, struct ucred *peer);

#endif
