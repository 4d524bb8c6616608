/*
 * The log: one line an event, with its time, level and area, to stderr or a file.
 *
 * An agent's fds 0 and 1 belong to the protocol, so nothing here ever writes to them. No secret is
 * ever passed to the log, at any level. Threading: any thread; a line is written with one write().
 */
#ifndef ORRERY_LOG_H
#define ORRERY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum log_level { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 2, LOG_DEBUG = 3, LOG_TRACE = 4 };
#define LOG_NONE (-1)

/* Level starts at LOG_WARN. log_open appends to a file (mode 0600), instead of stderr. */
void log_set_level(int level);
int log_level(void);
/* Puts question marks in place of what a terminal would obey, byte by byte. */
void log_harmless(uint8_t *p, size_t n);
int log_open(const char *path, struct err *err) must_check;

/* Lines go to fn from now on (NULL: not any more), without a newline; those for which it returns false go where
 * they went. It is called on any thread, under any lock. Set before there are other threads, or for good. */
void log_divert(bool (*fn)(int level, const char *line, size_t n));
/* Whether the log goes to a file. Any thread. */
bool log_is_file(void);
/* Offers a line to fn: one that is about to be written to stderr and is none of the log has LOG_NONE as its level.
 * True: it has been taken. */
bool log_offer(int level, const char *line, size_t n);
/* A line of another process's log, if it is of a level that this one shows. */
void log_pass(int level, const char *from, const char *line, size_t n);

/* For `area` use the layer or module: "stream", "ssh", "route". */
void log_write(int level, const char *area, const char *fmt, ...) printf_like(3, 4);

#define log_error(area, ...) log_write(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...) log_write(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...) \
    (log_level() >= LOG_INFO ? log_write(LOG_INFO, area, __VA_ARGS__) : (void)0)
#define log_debug(area, ...) \
    (log_level() >= LOG_DEBUG ? log_write(LOG_DEBUG, area, __VA_ARGS__) : (void)0)
#define log_trace(area, ...) \
    (log_level() >= LOG_TRACE ? log_write(LOG_TRACE, area, __VA_ARGS__) : (void)0)

#endif
