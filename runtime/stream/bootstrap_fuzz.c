/*
 * Fuzz target: what a far side may say before the agent is up. The input is cut into chunks, each with
 * its length in front; a byte of 0xff in that place writes the marker, so that lines are reached.
 */
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char marker[] = "0123456789abcdef01234567";

static const struct bootstrap_image *
find(void *arg, const char *kernel, const char *machine, const char *form, struct err *err)
{
    static const struct bootstrap_image image = {"agent", 5};

    if (strcmp(kernel, "Linux") == 0)
        return &image;
    err_set(err, ERR_BOOTSTRAP, "no agent for %s on %s", kernel, machine);
    return NULL;
}

static enum bootstrap_state
feed(struct bootstrap *b, const void *p, size_t n, struct err *err)
{
    void *copy = n ? memcpy(malloc(n), p, n) : NULL; /* so that ASan sees a read behind it */
    enum bootstrap_state state = bootstrap_feed(b, copy, n, err);

    free(copy);
    if (state == BOOTSTRAP_SEND && !(n & 1))
        if (!bootstrap_take_image(b))
            abort();
    if (state == BOOTSTRAP_FAILED && (!err->code || !*err->msg || strpbrk(err->msg, "\r\n\033")))
        abort();
    return state;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bootstrap *b = bootstrap_create(marker, find, NULL);
    struct err err = {0};
    size_t n;

    while (size) {
        size_t want = *data++;

        size--;
        if (want == 0xff) {
            feed(b, marker, BOOTSTRAP_MARKER, &err);
            continue;
        }
        want = want > size ? size : want;
        feed(b, data, want, &err);
        data += want;
        size -= want;
    }
    if (!bootstrap_rest(b, &n))
        abort();
    bootstrap_explain(b, "exited with status 127", "sh: not found\n", &err);
    if (strpbrk(err.msg, "\r\n\033"))
        abort();
    bootstrap_destroy(b);
    return 0;
}
