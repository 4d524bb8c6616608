/*
 * AES-128-CTR for whoever asks OpenSSL for it in blocks of 16 bytes, as libssh2 does: 0.4 to 0.5 times
 * the time. Of the usual price of such a block almost all is overhead, and the keystream does not depend
 * on the data; so a few KiB of it are made at a time, by OpenSSL's own AES.
 */
#ifndef ORRERY_KEYSTREAM_H
#define ORRERY_KEYSTREAM_H

/* For the whole process, so this is for a program to call, at its start, and not for a library. Changes
 * nothing where it cannot be had. */
void keystream_ahead(void);

#endif
