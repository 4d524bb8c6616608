/*
 * A command on a host over libssh2, with the socket in our own hands, as Orrery has it: what is sent
 * gathers in a buffer that ssh_flush gives to the kernel in one call, and reading stops without a
 * system call once the socket has been found empty.
 *
 * Threading: none. The host's key is not checked: this is for the lab only.
 */
#ifndef BENCH_SSH_H
#define BENCH_SSH_H

#include <libssh2.h>
#include <stdbool.h>
#include <stddef.h>

/* When each step of opening was done, microseconds as now_us() has them. */
struct ssh_steps {
    double dialled, keys, let_in, started;
};

struct ssh {
    int fd;
    LIBSSH2_SESSION *session;
    LIBSSH2_CHANNEL *channel;
    unsigned char *out; /* ciphertext that has not been sent */
    size_t out_len, out_capacity;
    bool quiet;   /* we only write: nothing is to be read */
    bool drained; /* the last recv() took all there was */
    bool opening; /* acknowledge at once */
    struct ssh_steps at;
};

/* where: ADDRESS PORT USER KEYFILE. */
void ssh_open(struct ssh *s, char **where, const char *command);
/* Sends it as one write; waits where the window is used up. */
void ssh_write(struct ssh *s, const void *p, size_t n);
/* At least one byte, sleeping for it if need be; 0 at the end. */
size_t ssh_read(struct ssh *s, void *p, size_t n, bool spin);
/* Closes our direction and waits for the end of theirs. */
void ssh_finish(struct ssh *s);
void ssh_close(struct ssh *s);

#endif
