/*
 * bcrypt_pbkdf: from a passphrase to the key that OpenSSH has encrypted a private key file with. OpenSSL has
 * no such thing, and libssh2 keeps its own to itself.
 */
#ifndef ORRERY_SSH_BCRYPT_H
#define ORRERY_SSH_BCRYPT_H

#include <stddef.h>
#include <stdint.h>

/* Fills `key`. Slow on purpose: about 8 ms for each round and 32 bytes. Any thread. */
void bcrypt_pbkdf(const char *passphrase, const uint8_t *salt, size_t salt_len, uint32_t rounds,
    uint8_t *key, size_t key_len);

#endif
