/*
 * OpenSSH's known_hosts files: reading them line by line, and adding a line.
 *
 * libssh2 has a reader of its own, but it knows neither markers nor patterns nor line numbers, and
 * stops at the first line that it cannot read. Only the comparison of hashed names is left to it.
 */
#ifndef ORRERY_KNOWN_HOSTS_H
#define ORRERY_KNOWN_HOSTS_H

#include <libssh2.h>
#include <stdbool.h>

#include "err.h"

enum known_marker { KNOWN_PLAIN, KNOWN_REVOKED, KNOWN_AUTHORITY };

/* Borrowed for the time of the visit. */
struct known_line {
    const char *file;
    int number;
    enum known_marker marker;
    const char *hosts; /* the field as it stands: patterns, or one hashed name */
    const char *type;
    const char *key; /* base64 */
};

typedef void known_visit(void *context, const struct known_line *line);

/* A file that does not exist has no lines; one that cannot be read gives a warning in the log. */
void known_hosts_read(const char *file, known_visit *visit, void *context);

/* `name` is "host" or "[host]:port", in lower case. */
bool known_hosts_match(LIBSSH2_SESSION *session, const char *hosts, const char *name);

/*
 * Adds "name type key" unless, now that the file is locked, `present` says that it is not needed any
 * more. Creates the file (0600) and its directory (0700). Several processes may do so at once.
 */
int known_hosts_add(const char *file, const char *line, bool (*present)(void *context),
    void *context, struct err *err) must_check;

#endif
