/*
 * Orrery in a C program: registers a function, then runs a playbook that uses it.
 *
 *     cc embed.c $(pkg-config --cflags --libs orrery luajit) -o embed && ./embed
 */
#include <lauxlib.h>
#include <lua.h>
#include <orrery.h>
#include <stdio.h>

static const char playbook[] = /**/
    "local orrery = require 'orrery'\n"
    "local here = orrery.localhost { name = 'worker' }\n"
    "local answer = here:call(function(a, b) return a * b end, 6, 7)\n"
    "report(here.name, answer)\n"
    "assert(not pcall(here.call, here, 'no.such.function'))\n"
    "here:close()\n";

static int
report(lua_State *L)
{
    printf("%s says %d\n", luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2));
    return 0;
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
        status = 0;
    if (orrery_run_string(o, "error { 'not a string' }", "=bad", &e) == 0) {
        fprintf(stderr, "an error was lost\n");
        status = 1;
    }
    orrery_destroy(o);
    return status;
}
