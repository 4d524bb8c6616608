/*
 * orrery.core, the part that waits for input of this process: for the command's prompt.
 *
 * A descriptor is watched on the loop, once each time that is asked for; that it can be read becomes a message to the
 * VM, so that a prompt waits as any other wait does: beside tasks, timers and messages. Who is told reads.
 */
#include <errno.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bind_private.h"
#include "mem.h"

#define INPUT_TYPE "orrery.input"

struct input {
    struct loop_fd fd;     /* [L] */
    struct loop_work work; /* arms it */
    struct loop *loop;     /* [I] */
    struct mailbox *mb;    /* [I] counted */
    uint32_t number;       /* [I] */
    atomic_bool pending;   /* the work has been deferred, and has not run */
};

/* What Lua has. */
struct box {
    struct input *in; /* NULL: closed */
};

/* A file cannot be waited for, and needs not be. */
static bool
can_wait(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int set = epoll_create1(EPOLL_CLOEXEC);
    bool can = set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) == 0;

    if (set >= 0)
        close(set);
    return can;
}

static void
on_readable(struct loop_fd *f, int events)
{
    struct input *in = (struct input *)f; /* its first member */
    struct msg *m = msg_with(HANDLE_INPUT, NULL, 0);

    loop_fd_watch(f, 0);
    m->h.seq = in->number;
    mailbox_post(in->mb, m);
}

static void
arm(struct loop_work *work)
{
    struct input *in = (struct input *)((char *)work - offsetof(struct input, work));

    atomic_store(&in->pending, false);
    if (in->fd.loop)
        loop_fd_watch(&in->fd, LOOP_READ);
}

static void
destroy(void *arg)
{
    struct input *in = arg;

    mailbox_unref(in->mb);
    free(in);
}

static void
finish(void *arg)
{
    struct input *in = arg;

    loop_fd_fini(&in->fd);
    loop_reap(in->loop, destroy, in);
}

/* input:arm(): a message with handle INPUT and this one's number as its seq comes when there is something to read, or
 * its end; once */
static int
input_arm(lua_State *L)
{
    struct input *in = ((struct box *)luaL_checkudata(L, 1, INPUT_TYPE))->in;

    if (in && !atomic_exchange(&in->pending, true))
        loop_defer(in->loop, &in->work);
    return 0;
}

/* input:close(): no message is posted from now on. Idempotent */
static int
input_close(lua_State *L)
{
    struct box *box = luaL_checkudata(L, 1, INPUT_TYPE);

    if (box->in)
        loop_sync(box->in->loop, finish, box->in);
    box->in = NULL;
    return 0;
}

/* input(fd, number) -> input; nothing where this is a file, or what else cannot be waited for */
static int
core_input(lua_State *L)
{
    int fd = luaL_checkint(L, 1);
    uint32_t number = (uint32_t)luaL_checkint(L, 2);
    struct input *in;
    struct box *box;

    if (!can_wait(fd))
        return 0;
    box = lua_newuserdata(L, sizeof *box);
    box->in = NULL;
    luaL_getmetatable(L, INPUT_TYPE);
    lua_setmetatable(L, -2);
    in = xcalloc(1, sizeof *in);
    in->loop = router_loop(vm_router(vm_of(L)));
    in->mb = mailbox_ref(vm_mailbox(vm_of(L)));
    in->number = number;
    in->work.fn = arm;
    loop_fd_init(&in->fd, in->loop, fd, on_readable);
    box->in = in;
    return 1;
}

void
input_push_functions(lua_State *L)
{
    static const luaL_Reg methods[] = {{"arm", input_arm}, {"close", input_close}, {NULL, NULL}};

    luaL_newmetatable(L, INPUT_TYPE);
    luaL_register(L, NULL, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, input_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_input);
    lua_setfield(L, -2, "input");
    lua_getfield(L, -1, "handle");
    lua_pushnumber(L, HANDLE_INPUT);
    lua_setfield(L, -2, "INPUT");
    lua_pop(L, 1);
}
