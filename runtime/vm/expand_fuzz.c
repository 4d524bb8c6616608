/* Whatever is compressed, nothing is read or written out of bounds. The first two bytes are the size to expect. */
#include <stdint.h>
#include <stdlib.h>

#include "expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t size = n >= 2 ? (size_t)data[0] << 8 | data[1] : 0;
    unsigned char *out = malloc(size + 1);

    if (n >= 2 && out)
        (void)expand(data + 2, n - 2, out, size);
    free(out);
    return 0;
}
