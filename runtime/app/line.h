/*
 * The line of a prompt: GNU readline, as the Lua module orrery.line, for lua/orrery/repl/terminal.lua.
 *
 * Only the command is linked with it, so only there is the module; nothing of readline is touched before it is asked
 * for. Readline is driven by its callback interface: start shows the prompt, and from then on the terminal is
 * readline's; take lets it have what has been typed, and never waits. While no line is being typed the terminal is as
 * the program found it, and what is typed then waits in the kernel.
 *
 * What others write to the terminal meanwhile goes above the line (screen.h). The terminal is left as it was found at
 * every end of the process but SIGKILL, and while it is stopped. What signals have to say (the size of the terminal
 * has changed, the process goes on) makes a descriptor readable, which is to be waited for beside the input.
 *
 * Threading: the Lua functions by one thread; above, away and back of the guest on any. One lock is held wherever
 * readline runs, and not while the Lua function for completion does: under it no other lock is taken.
 */
#ifndef ORRERY_LINE_H
#define ORRERY_LINE_H

struct lua_State;

/* Puts the module into package.preload. */
void line_preload(struct lua_State *L);

#endif
