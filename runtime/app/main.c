/* The orrery command. All it does is in lua/orrery/cli/; this is the way in. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "keep.h"
#include "keystream.h"
#include "line.h"
#include "orrery.h"
#include "random.h"

/* The exit status that `orrery.cli` returned, or 1. */
static int
run_cli(lua_State *L, int argc, char **argv)
{
    int status;

    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.cli");
    if (lua_pcall(L, 1, 1, 0) != 0)
        goto fail;
    lua_getfield(L, -1, "main");
    lua_createtable(L, argc, 0);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    if (lua_pcall(L, 1, 1, 0) != 0)
        goto fail;
    status = (int)lua_tonumber(L, -1);
    lua_settop(L, 0);
    return status;

fail:
    fprintf(stderr, "orrery: %s\n", lua_isstring(L, -1) ? lua_tostring(L, -1) : "internal error");
    return 1;
}

/* Where a standard file is closed, the next one that is opened would take its number, and output would
 * go into a socket. What is put there fails as a closed one does. */
static void
fill_standard_files(void)
{
    int fd;

    do
        fd = open("/dev/null", O_PATH);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* After Ctrl-C: a shell goes on with its script unless the signal was the end of what it ran. */
static int
interrupted(void)
{
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    return 128 + SIGINT;
}

int
main(int argc, char **argv)
{
    struct orrery_error e;
    struct orrery *o;
    int status;

    fill_standard_files();
    keep_memory();
    random_in_pieces();
    keystream_ahead();
    o = orrery_create(&e);
    if (!o) {
        fprintf(stderr, "orrery: %s\n", e.text);
        return 1;
    }
    line_preload(orrery_lua(o));
    status = run_cli(orrery_lua(o), argc, argv);
    orrery_destroy(o);
    if (fflush(stdout) == 0)
        return status == 128 + SIGINT ? interrupted() : status;
    /* A reader that has gone away had enough: no message, and what a shell shows for SIGPIPE. */
    if (errno == EPIPE)
        return 128 + SIGPIPE;
    perror("orrery: stdout");
    return EX_IOERR;
}
