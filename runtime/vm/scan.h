/*
 * The check of a payload of values (docs/protocol.md, "Values") before anybody decodes it.
 *
 * string.buffer allocates tables of the size that a payload claims before it looks for what is in them,
 * and some releases neither bound the depth nor notice a payload that ends inside a key. So nothing is
 * decoded that has not been walked here. No Lua, no allocation, any thread.
 */
#ifndef ORRERY_SCAN_H
#define ORRERY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Tables in tables; string.buffer encodes no more. */
#define SCAN_MAX_DEPTH 100

/* And in all: an empty one is a byte here, and 64 of them in Lua. */
#define SCAN_MAX_TABLES (4u << 20)

/* Tags of the format. What is from SCAN_STRING on is a string, and its length. */
enum scan_tag {
    SCAN_NIL = 0x00,
    SCAN_FALSE = 0x01,
    SCAN_TRUE = 0x02,
    SCAN_NULL = 0x03,
    SCAN_INT = 0x06, /* 4 bytes, little endian, as all numbers are */
    SCAN_NUMBER = 0x07,
    SCAN_TABLE = 0x08, /* to 0x0d: which counts follow */
    SCAN_TABLE_LAST = 0x0d,
    SCAN_KIND = 0x0e, /* an index into the kinds, then the table */
    SCAN_KEY = 0x0f,  /* an index into the keys */
    SCAN_INT64 = 0x10,
    SCAN_UINT64 = 0x11,
    SCAN_COMPLEX = 0x12,
    SCAN_STRING = 0x20
};

/* How many values the payload holds; negative, and err says what is wrong at which byte (the first is
 * 1): structure, nesting, numbers of tables, sizes that the payload cannot hold, types that do not travel. */
int64_t scan_values(const void *payload, size_t size, struct err *err) must_check;

/* The same for a payload of nothing but nil, booleans, numbers, strings and NULL: how many; -1 for all
 * others, malformed ones among them. */
int64_t scan_plain(const void *payload, size_t size);

/* Reads a number of variable length (a tag, a length) from *p, which it moves. False: it ends early. */
bool scan_number(const uint8_t **p, const uint8_t *end, uint32_t *out);

#endif
