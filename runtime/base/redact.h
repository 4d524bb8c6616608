/*
 * Texts that are not to be shown: what is logged, printed and raised goes through here on its way out.
 *
 * What a text may look like elsewhere (quoted, in base64 ...) is for those who add it: lua/orrery/secret.lua. Texts
 * are known to the process, and are never forgotten: what has been seen somewhere may come back from there.
 *
 * Threading: any thread, under any lock; nothing is logged from here.
 */
#ifndef ORRERY_REDACT_H
#define ORRERY_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Shorter ones are found in words that have nothing to do with them. */
#define REDACT_MIN 4
/* What stands in their place. */
#define REDACT_MARK "********"

/* A copy is kept. One that is too short is not, and that is no error. ERR_LIMIT: there are too many. */
int redact_add(const char *text, size_t n, struct err *err) must_check;

/* Is anything known? */
bool redact_any(void);

/* The text with marks in the place of whatever is known, owned (free); NULL where nothing of it is known. Those that
 * overlap share a mark. */
char *redact_text(const char *text, size_t n, size_t *out);

/* How many bytes at the end of the text may be the beginning of a known one, with the known ones that these are a part
 * of. Who cuts a text keeps them together with what comes behind. */
size_t redact_held(const char *text, size_t n);

#endif
