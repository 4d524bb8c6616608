#include "pack.h"

#include <string.h>

#include "check.h"

void
pack_u8(struct buf *b, uint8_t v)
{
    buf_append(b, &v, 1);
}

void
pack_u32(struct buf *b, uint32_t v)
{
    uint8_t p[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    buf_append(b, p, sizeof p);
}

void
pack_u64(struct buf *b, uint64_t v)
{
    pack_u32(b, (uint32_t)(v >> 32));
    pack_u32(b, (uint32_t)v);
}

void
pack_bytes(struct buf *b, const void *p, size_t n)
{
    must(n <= UINT32_MAX);
    pack_u32(b, (uint32_t)n);
    buf_append(b, p, n);
}

void
pack_str(struct buf *b, const char *s)
{
    pack_bytes(b, s ? s : "", s ? strlen(s) : 0);
}

struct msg *
pack_msg(uint32_t handle, struct buf *b)
{
    struct msg *m = msg_with(handle, buf_len(b) ? buf_head(b) : NULL, (uint32_t)buf_len(b));

    b->start = b->end = 0;
    return m;
}

void
unpack_init(struct unpack *u, const void *p, size_t n)
{
    u->p = p;
    u->end = u->p + n;
    u->bad = false;
}

size_t
unpack_left(const struct unpack *u)
{
    return (size_t)(u->end - u->p);
}

static const uint8_t *
take(struct unpack *u, size_t n)
{
    const uint8_t *p = u->p;

    if (u->bad || unpack_left(u) < n) {
        u->bad = true;
        return NULL;
    }
    u->p += n;
    return p;
}

uint8_t
unpack_u8(struct unpack *u)
{
    const uint8_t *p = take(u, 1);

    return p ? *p : 0;
}

uint32_t
unpack_u32(struct unpack *u)
{
    const uint8_t *p = take(u, 4);

    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t
unpack_u64(struct unpack *u)
{
    uint64_t high = unpack_u32(u);

    return high << 32 | unpack_u32(u);
}

const void *
unpack_bytes(struct unpack *u, size_t *n)
{
    uint32_t len = unpack_u32(u);
    const uint8_t *p = take(u, len);

    *n = p ? len : 0;
    return p ? (const void *)p : "";
}

char *
unpack_str(struct unpack *u)
{
    size_t n;
    const char *p = unpack_bytes(u, &n);

    if (memchr(p, '\0', n)) {
        u->bad = true;
        n = 0;
    }
    return xstrndup(p, n);
}

int
unpack_done(struct unpack *u, const char *what, struct err *err)
{
    if (u->bad)
        return err_set(err, ERR_PROTOCOL, "%s: malformed or cut short", what);
    if (u->p != u->end)
        return err_set(err, ERR_PROTOCOL, "%s: %zu bytes too many", what, unpack_left(u));
    return 0;
}
