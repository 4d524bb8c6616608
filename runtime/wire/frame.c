#include "frame.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void
put32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, 4);
}

static uint32_t
get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return ntohl(v);
}

void
frame_encode(const struct frame_header *h, uint8_t out[FRAME_HEADER])
{
    out[0] = FRAME_MAGIC >> 8;
    out[1] = FRAME_MAGIC & 0xff;
    out[2] = FRAME_VERSION;
    out[3] = h->flags;
    put32(out + 4, h->length);
    put32(out + 8, h->dst);
    put32(out + 12, h->src);
    put32(out + 16, h->auth);
    put32(out + 20, h->handle);
    put32(out + 24, h->reply);
    put32(out + 28, h->seq);
}

int
frame_decode(struct frame_header *h, const uint8_t in[FRAME_HEADER], struct err *err)
{
    if (in[0] != FRAME_MAGIC >> 8 || in[1] != (FRAME_MAGIC & 0xff))
        return err_set(err, ERR_PROTOCOL, "not a frame: it begins with %02x%02x, not %04x", in[0],
            in[1], FRAME_MAGIC);
    if (in[2] != FRAME_VERSION)
        return err_set(err, ERR_PROTOCOL, "frame of version %u, this side speaks version %u", in[2],
            FRAME_VERSION);
    h->flags = in[3];
    h->length = get32(in + 4);
    h->dst = get32(in + 8);
    h->src = get32(in + 12);
    h->auth = get32(in + 16);
    h->handle = get32(in + 20);
    h->reply = get32(in + 24);
    h->seq = get32(in + 28);
    if (h->length > FRAME_PIECE)
        return err_set(err, ERR_LIMIT, "frame of %u bytes for %s, the limit is %u", h->length,
            frame_handle_name(h->handle), FRAME_PIECE);
    return 0;
}

bool
frame_is_urgent(const struct frame_header *h)
{
    switch (h->handle) {
    case HANDLE_PING:
    case HANDLE_PONG:
    case HANDLE_CREDIT:
    case HANDLE_IDS:
    case HANDLE_ROUTE:
    case HANDLE_ALLOW: return true;
    default: return false;
    }
}

const char *
frame_handle_name(uint32_t handle)
{
    static _Thread_local char text[16];

    switch (handle) {
    case HANDLE_NONE: return "NONE";
    case HANDLE_HELLO: return "HELLO";
    case HANDLE_CONFIG: return "CONFIG";
    case HANDLE_PING: return "PING";
    case HANDLE_PONG: return "PONG";
    case HANDLE_IDS: return "IDS";
    case HANDLE_ROUTE: return "ROUTE";
    case HANDLE_GONE: return "GONE";
    case HANDLE_ALLOW: return "ALLOW";
    case HANDLE_CLOSE: return "CLOSE";
    case HANDLE_DEAD: return "DEAD";
    case HANDLE_CREDIT: return "CREDIT";
    case HANDLE_THREAD: return "THREAD";
    case HANDLE_ASK: return "ASK";
    case HANDLE_KEEP: return "KEEP";
    case HANDLE_INPUT: return "INPUT";
    case HANDLE_CLOSED: return "CLOSED";
    case HANDLE_CONTEXTS: return "CONTEXTS";
    case HANDLE_CALL: return "CALL";
    case HANDLE_CANCEL: return "CANCEL";
    case HANDLE_MODULE: return "MODULE";
    case HANDLE_RUN: return "RUN";
    case HANDLE_FILE: return "FILE";
    case HANDLE_SERVICE: return "SERVICE";
    case HANDLE_TEXT: return "TEXT";
    case HANDLE_BREAK: return "BREAK";
    default: snprintf(text, sizeof text, "#%u", handle); return text;
    }
}
