/*
 * Answers that only the process that has asked can read. They pass through others, which keep no secrets, but do
 * not overwrite what they have passed on.
 */
#ifndef ORRERY_SSH_SEAL_H
#define ORRERY_SSH_SEAL_H

#include "err.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/* A key for one answer (seal_key_free); *public is its public half as text, owned. */
struct evp_pkey_st *seal_key_create(char **public) must_check;
void seal_key_free(struct evp_pkey_st *key);
/* Owned; NULL: that is no such key. */
char *seal(const char *public, const char *text) must_check;
/* Owned (secret_free); NULL: it was not sealed for this key. */
char *seal_open(struct evp_pkey_st *key, const char *sealed) must_check;

#endif
