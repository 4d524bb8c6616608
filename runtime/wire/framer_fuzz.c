/* Fuzz target: arbitrary bytes in arbitrary pieces must give messages or an error, and nothing else. */
#include "framer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct framer f;
    struct msg *m;
    struct err err;
    size_t at = 1;

    if (size < 1)
        return 0;
    framer_init(&f);
    while (at < size) {
        void *to;
        size_t room, step = 1 + data[0];

        framer_space(&f, &to, &room);
        if (step > size - at)
            step = size - at;
        if (step > room)
            step = room;
        memcpy(to, data + at, step);
        at += step;
        if (framer_push(&f, step, &err) < 0)
            break;
        while ((m = framer_next(&f)))
            msg_unref(m);
    }
    framer_fini(&f);
    return 0;
}
