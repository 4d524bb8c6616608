/* Random numbers of OpenSSL without a system call for each. */
#ifndef ORRERY_RANDOM_H
#define ORRERY_RANDOM_H

/*
 * OpenSSL asks getpid() each time it is asked for random bytes, so that a forked process does not repeat
 * them, and libssh2 asks for a few bytes with each packet, for its padding: one system call in four of a
 * call over SSH. From now on small requests are served out of bytes that OpenSSL made in larger pieces,
 * for each thread; a fork empties what the child inherited.
 *
 * It changes OpenSSL for the whole process, so it is for the command and not for the library. Before
 * any other use of OpenSSL, while there is one thread. Where it is not possible nothing changes.
 */
void random_in_pieces(void);

#endif
