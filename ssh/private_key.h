/*
 * Private keys that this process signs with itself. libssh2 loads and signs too, but only while it logs in
 * over a session of its own; a keeper (ssh_keep) signs for another process's.
 */
#ifndef ORRERY_SSH_PRIVATE_KEY_H
#define ORRERY_SSH_PRIVATE_KEY_H

#include "internal.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/* OpenSSH's own format and PEM: RSA, ECDSA, Ed25519. Returns owned (private_key_free), or NULL: with *wrong
 * the passphrase is not the right one, else the file is nothing that can be used. */
struct evp_pkey_st *private_key_load(
    const struct keyfile *k, const char *passphrase, bool *wrong) must_check;
void private_key_free(struct evp_pkey_st *key);

/* Signs as `algorithm` ("ssh-ed25519", "rsa-sha2-512" ...) has it. *sig (free) is what stands behind the
 * algorithm's name in the protocol. False: it is none of this key. */
bool private_key_sign(struct evp_pkey_st *key, const char *algorithm, const uint8_t *data,
    size_t data_len, uint8_t **sig, size_t *sig_len) must_check;

#endif
