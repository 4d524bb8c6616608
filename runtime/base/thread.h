/*
 * Threads of the runtime. All signals are blocked in them: those are for the host program's own threads.
 */
#ifndef ORRERY_THREAD_H
#define ORRERY_THREAD_H

#include <pthread.h>
#include <stddef.h>

#include "err.h"

/* Starts fn(arg). `thread` is to be joined; NULL: it is detached. stack: its size in bytes, 0: the C
 * library's. 0, or an errno. Any thread. */
int thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *arg), void *arg) must_check;

#endif
