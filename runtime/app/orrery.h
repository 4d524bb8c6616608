/*
 * Orrery for C programs: a runtime with a Lua state in it, to run playbooks from.
 *
 *     struct orrery_error e;
 *     struct orrery *o = orrery_create(&e);
 *     if (!o || orrery_run_file(o, "deploy.lua", 2, (const char *[]){"web1", "web2"}, &e) < 0)
 *         fprintf(stderr, "%s: %s\n", e.code, e.text);
 *     orrery_destroy(o);
 *
 * Threading: a struct orrery and its Lua state belong to one thread at a time; pass it on as you like. A
 * program with several threads gives each a struct orrery of its own, made by orrery_fork: they share
 * contexts, connections and the rest of the runtime, need no locks of yours, and do not wait for each
 * other:
 *
 *     struct orrery *mine = orrery_fork(o, &e);   // in o's thread
 *     orrery_run_string(mine, "local web1 = require 'orrery'.context(2) ...", "=job", &e);   // in another
 *
 * The runtime starts threads of its own, in which all signals are blocked; it installs no signal handlers
 * and leaves SIGCHLD and SIGPIPE alone.
 */
#ifndef ORRERY_H
#define ORRERY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORRERY_API __attribute__((visibility("default")))

struct orrery;
struct lua_State;

struct orrery_error {
    char code[32];   /* "connect", "auth", "lua" ...; see docs/errors.md */
    char text[2000]; /* for a person: several lines, with the traceback */
};

/* Returns owned, or NULL with *e filled (e may be NULL everywhere). */
ORRERY_API struct orrery *orrery_create(struct orrery_error *e);

/* Another one on the same runtime, with o's package.path and package.cpath. It knows the contexts of o by
 * their ids: orrery.context(ctx.id) in Lua. Called by o's thread; neither outlives the other by necessity.
 * Modules that a child needs are found by whichever of them is waiting, with its own package.path. */
ORRERY_API struct orrery *orrery_fork(struct orrery *o, struct orrery_error *e);

/* Closes every context that it has opened. The last of a runtime ends that, too, and waits for the ends of
 * the children (a few seconds at most). Threads that the script started are told to end, and waited for. */
ORRERY_API void orrery_destroy(struct orrery *o);

/* Runs a playbook with argv[0..argc-1] in `arg`; modules next to the file are found by require.
 * 0, or -1 with *e filled. Blocks until the script has ended. */
ORRERY_API int orrery_run_file(
    struct orrery *o, const char *path, int argc, const char *const *argv, struct orrery_error *e);

/* Runs Lua text; `name` is what errors call it. */
ORRERY_API int orrery_run_string(
    struct orrery *o, const char *text, const char *name, struct orrery_error *e);

/* The Lua state, to register functions in or to call others. Stays the runtime's. */
ORRERY_API struct lua_State *orrery_lua(struct orrery *o);

/* `require "orrery.core"` of any LuaJIT. */
ORRERY_API int luaopen_orrery_core(struct lua_State *L);

/* "0.1.0", and the version text of the libssh2 that is in use. */
ORRERY_API const char *orrery_version(void);
ORRERY_API const char *orrery_ssh_version(void);

#ifdef __cplusplus
}
#endif

#endif
