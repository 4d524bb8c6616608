/*
 * The process transport: a child whose stdin and stdout are one end of a socket pair, and whose stderr
 * is a pipe. Also the agent's own end: the descriptors it was born with.
 */
#ifndef ORRERY_PROCESS_H
#define ORRERY_PROCESS_H

#include "err.h"
#include "transport.h"

struct process_options {
    const char *const *argv; /* argv[0] is looked up in PATH; NULL-terminated */
    const char *const *env;  /* NULL-terminated NAME=VALUE, or NULL: ours */
    const char *const *also; /* NULL-terminated NAME=VALUE to put into that, or NULL */
    const char *cwd;         /* or NULL */
    const char *name;        /* in front of what end() says, or NULL */
    bool terminate; /* destroy() sends SIGTERM, and waits another moment, before it kills */
};

/*
 * Starts a child in a process group of its own, with no descriptor of ours but 0, 1, 2, default signal
 * dispositions and an empty mask. A program that cannot be executed is an error here (ERR_COMMAND,
 * with argv[0] and the errno), not a child that dies. Any thread. Returns owned.
 *
 * The child is in a background process group: if it has our terminal, reading from it stops it.
 * destroy() gives it some 5 ms to end by itself once its input is closed, then kills the group, and
 * leaves what cannot be killed (sudo) to a thread that reaps it when it ends.
 */
struct transport *process_spawn(const struct process_options *o, struct err *err) must_check;

/*
 * A transport over descriptors that exist (taken; rfd may equal wfd), made close-on-exec. Pipes,
 * sockets and ttys all do. Pipes and ttys are made nonblocking until destroy(), which puts their flags
 * back, since they may be shared with a shell; sockets are left as they are and asked not to block with
 * each call. Where wfd is not a socket, ignore SIGPIPE first: otherwise each write blocks and unblocks
 * it, at three system calls more. No child belongs to it.
 */
struct transport *process_adopt(int rfd, int wfd);

/* The child's pid, 0 for adopted ones. */
pid_t process_pid(const struct transport *t);

#endif
