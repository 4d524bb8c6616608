#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void
check_fail(const char *what, const char *file, int line)
{
    dprintf(STDERR_FILENO, "orrery: %s:%d: must hold, but does not: %s\n", file, line, what);
    abort();
}

bool
check_warn(const char *what, const char *file, int line)
{
    dprintf(STDERR_FILENO, "orrery: %s:%d: expected: %s\n", file, line, what);
    return false;
}
