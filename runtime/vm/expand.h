/*
 * What core.compress has made (compress.h) becomes text again. Agents can do this, and not that.
 * Threading: none of its own.
 */
#ifndef ORRERY_EXPAND_H
#define ORRERY_EXPAND_H

#include <stddef.h>

/* 0; -1 where it is no such data, or of another size: then `out` holds anything. */
int expand(const unsigned char *in, size_t n, unsigned char *out, size_t size);

#endif
