/*
 * Assertions in two severities; never bare assert(). Both are for faults in this program, never for
 * what a peer sent.
 *
 *   must(x)    going on would corrupt memory or break a promise: says where, aborts.
 *   expect(x)  wrong, but survivable: says where, and gives x, so `if (!expect(x)) return ...` works.
 */
#ifndef ORRERY_CHECK_H
#define ORRERY_CHECK_H

#include <stdbool.h>

_Noreturn void check_fail(const char *what, const char *file, int line);
bool check_warn(const char *what, const char *file, int line);

#define must(x) (__builtin_expect(!!(x), 1) ? (void)0 : check_fail(#x, __FILE__, __LINE__))
#define expect(x) (__builtin_expect(!!(x), 1) ? true : check_warn(#x, __FILE__, __LINE__))

#endif
