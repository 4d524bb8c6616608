/*
 * Orrery in a C program: registers a function, runs a playbook that uses it, then lets several threads
 * work with the context that the playbook has opened.
 *
 *     cc embed.c $(pkg-config --cflags --libs orrery luajit) -pthread -o embed && ./embed
 */
#include <lauxlib.h>
#include <lua.h>
#include <orrery.h>
#include <pthread.h>
#include <stdio.h>

#define THREADS 4

static const char playbook[] = /**/
    "local orrery = require 'orrery'\n"
    "here = orrery.localhost { name = 'worker' }\n"
    "local answer = here:call(function(a, b) return a * b end, 6, 7)\n"
    "report(here.name, answer)\n"
    "assert(not pcall(here.call, here, 'no.such.function'))\n";

static const char job[] = /**/
    "local here = require 'orrery'.context(id)\n"
    "for i = 1, 100 do\n"
    "    assert(here:call(function(a, b) return a + b end, number, i) == number + i)\n"
    "end\n";

struct worker {
    pthread_t thread;
    struct orrery *o;
    struct orrery_error e;
    int result;
};

static int
report(lua_State *L)
{
    printf("%s says %d\n", luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2));
    return 0;
}

static void *
work(void *arg)
{
    struct worker *w = arg;

    w->result = orrery_run_string(w->o, job, "=job", &w->e);
    return NULL;
}

/* A struct orrery for each thread; they share the context, which they know by its id. */
static int
work_in_threads(struct orrery *o, int id)
{
    struct worker workers[THREADS];
    int started = 0, status = 0;

    for (; started < THREADS; started++) {
        struct worker *w = &workers[started];

        w->o = orrery_fork(o, &w->e);
        if (!w->o) {
            fprintf(stderr, "%s: %s\n", w->e.code, w->e.text);
            status = 1;
            break;
        }
        lua_pushinteger(orrery_lua(w->o), id);
        lua_setglobal(orrery_lua(w->o), "id");
        lua_pushinteger(orrery_lua(w->o), started);
        lua_setglobal(orrery_lua(w->o), "number");
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            orrery_destroy(w->o);
            status = 1;
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        orrery_destroy(workers[i].o);
        if (workers[i].result < 0) {
            fprintf(stderr, "thread %d: %s: %s\n", i, workers[i].e.code, workers[i].e.text);
            status = 1;
        }
    }
    return status;
}

/* The id of the context in the global variable `here`. */
static int
context_id(lua_State *L)
{
    int id;

    lua_getglobal(L, "here");
    lua_getfield(L, -1, "id");
    id = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    return id;
}

int
main(void)
{
    struct orrery_error e;
    struct orrery *o = orrery_create(&e);
    int status = 1;

    if (!o) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return 1;
    }
    lua_register(orrery_lua(o), "report", report);
    if (orrery_run_string(o, playbook, "=playbook", &e) < 0)
        fprintf(stderr, "%s: %s\n", e.code, e.text);
    else
        status = work_in_threads(o, context_id(orrery_lua(o)));
    if (orrery_run_string(o, "error { 'not a string' }", "=bad", &e) == 0) {
        fprintf(stderr, "an error was lost\n");
        status = 1;
    }
    orrery_destroy(o);
    return status;
}
