/*
 * What is drawn at the bottom of the terminal again and again, and has to go before anybody else writes there.
 *
 * orrery.core's screen functions, for the view of plays (lua/orrery/play/views/live.lua). With what is drawn they
 * leave here how it is undone; a question at the terminal (ask.h) and a line of the log undo it first, and nothing
 * is drawn while a question is open. The cursor, which is hidden while something is drawn, is shown again at every
 * end of the process but SIGKILL, and while it is stopped.
 *
 * Who else has the bottom of the terminal, the line of a prompt (line.h), is its guest, and is told the same.
 *
 * It is fd 1. Threading: the Lua functions by one thread; questions and the log on any.
 */
#ifndef ORRERY_SCREEN_H
#define ORRERY_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

/* Any thread, and `above` under any lock. */
struct screen_guest {
    /* A line, without a newline, to be shown above what the guest has there; false: the caller writes it. */
    bool (*above)(const char *line, size_t n);
    /* Somebody asks at the terminal, and reads from it; several may. */
    void (*away)(void);
    void (*back)(void);
};

/* Adds the functions to the table on top of the stack. */
void screen_push_functions(struct lua_State *L);

#endif
