/* What the files of orrery.line share. */
#ifndef ORRERY_LINE_INTERNAL_H
#define ORRERY_LINE_INTERNAL_H

#include <stdbool.h>

#include <lua.h>

/* ---- line.c ---- */

/* Readline may be called between these, and only there. */
void line_lock(void);
void line_unlock(void);
/* Locked: is the line on the screen, so that readline may draw? */
bool line_is_shown(void);

/* ---- line_complete.c; its functions are called locked ---- */

/* Before readline is used for the first time. */
void line_complete_prepare(void);
/* Which Lua state runs from now on, with the function for completion at this index of its stack; NULL: none. */
void line_complete_use(lua_State *L, int index);

/* ---- line_keys.c ---- */

/* Before readline is used for the first time. */
void line_keys_prepare(void);

/* ---- line_history.c ---- */

void line_history_push_functions(lua_State *L);

/* ---- line_signals.c: main thread ---- */

/* A descriptor that can be read once a signal has something to say, or line_signals_ring was called; -1 and errno. */
int line_signals_open(void);
/* Between the two, the terminal has the modes that readline has given it: it had `found` before. */
struct termios;
void line_signals_begin(const struct termios *found);
void line_signals_end(void);
/* Forgets what came. */
void line_signals_take(bool *resized, bool *continued);
/* Any thread. */
void line_signals_ring(void);
/* Gives the terminal back. Async-signal-safe. */
void line_signals_restore(void);

#endif
