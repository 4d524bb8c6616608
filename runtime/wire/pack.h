/*
 * Fields of the payloads that C reads and writes (commands, files, handshakes): unsigned integers in
 * network byte order, strings as u32 length + bytes. A reader never reads past its end: on the first
 * malformed field it turns bad and gives zeros and empty strings from then on, so a parser reads all
 * its fields and asks once, with unpack_done.
 */
#ifndef ORRERY_PACK_H
#define ORRERY_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "msg.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_bytes(struct buf *b, const void *p, size_t n);
void pack_str(struct buf *b, const char *s); /* NULL packs as "" */

struct unpack {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

void unpack_init(struct unpack *u, const void *p, size_t n);
uint8_t unpack_u8(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
/* Borrowed from the input; *n is its length. Never NULL. */
const void *unpack_bytes(struct unpack *u, size_t *n);
/* Owned by the caller (free); a NUL inside makes the reader bad. Never NULL. */
char *unpack_str(struct unpack *u);
/* What has not been read yet. */
size_t unpack_left(const struct unpack *u);
/* 0 when every field was there and nothing is left over, else ERR_PROTOCOL naming `what`. */
int unpack_done(struct unpack *u, const char *what, struct err *err) must_check;

/* A message for `handle` with the content of b, which is emptied (its memory stays). */
struct msg *pack_msg(uint32_t handle, struct buf *b);

#endif
