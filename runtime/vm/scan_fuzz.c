/* Fuzz target: the two walks over a payload agree, and stay inside of it. */
#include "check.h"
#include "scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    int64_t plain = scan_plain(data, size);
    int64_t values = scan_values(data, size, &err);

    must(plain < 0 || plain == values);
    must(values <= (int64_t)size);
    must(values >= 0 || err.code == ERR_PROTOCOL);
    return 0;
}
