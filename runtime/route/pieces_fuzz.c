/* Fuzz target: frames in any order must give whole messages, be taken, or be refused, and nothing else. */
#include "pieces.h"

#include <stdlib.h>

#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
feed(struct pieces *p, const uint8_t *four)
{
    static const uint32_t handles[] = {HANDLE_CALL, HANDLE_CREDIT, HANDLE_FILE, HANDLE_DYNAMIC};
    struct msg *m = msg_with(handles[four[1] & 3], four, four[3] % 5);
    struct err err;

    m->h.flags = four[0];
    m->h.src = four[1] >> 2 & 3;
    m->h.reply = four[1] >> 4;
    m->h.seq = four[2] & 1;
    switch (pieces_add(p, NULL, &m, &err)) {
    case PIECES_TAKEN: break;
    default: msg_unref(m);
    }
    if ((four[2] & 0xf0) == 0xf0)
        pieces_drop_source(p, four[2] & 3);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pieces p;

    pieces_init(&p);
    for (size_t at = 0; at + 4 <= size; at += 4)
        feed(&p, data + at);
    pieces_fini(&p);
    return 0;
}
