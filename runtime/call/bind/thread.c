/*
 * orrery.core, the part that is about threads. A thread has a Lua state and a VM of its own; what runs in
 * it is lua/orrery/thread_main.lua.
 *
 * Threads form a tree: a binding joins those that it has started before it goes itself. So the mailbox
 * to which a thread posts its outcome is always there, and so is its own while the starter has not joined
 * it. The two share nothing else.
 *
 * HANDLE_THREAD, which no stream can reach: to the starter, the outcome of the thread whose number is
 * seq, in values, or FRAME_ERROR and an error, or FRAME_DEAD where not even that could be said. To the
 * thread, the error with which it is to end, in values; or nothing: its starter is closing.
 */
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "bind_private.h"
#include "mem.h"
#include "thread.h"

#define STACK_SIZE \
    (1u << 20) /* Lua's own stacks are on the heap; user code may call any C library */

struct thread {
    LIST_ENTRY(thread) link; /* the starter's */
    uint32_t id;
    struct router *router;
    struct mailbox *starter;
    struct binding *binding; /* its own; the starter's again when it was joined */
    lua_State *L;            /* with the two arguments of thread_main.run on its stack */
    pthread_t pthread;
    sem_t go;
};

static struct binding *
self(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* ---- in the thread ---- */

/* What Lua could not report itself: it is out of memory, or the library is broken. */
static struct msg *
failure(struct thread *t)
{
    struct frame_header to = {.reply = HANDLE_THREAD};
    struct err err;

    err_set(&err, ERR_SYSTEM, "a thread failed: %s",
        lua_isstring(t->L, -1) ? lua_tostring(t->L, -1) : "no message");
    return msg_dead(&to, &err, "");
}

static struct msg *
outcome(struct thread *t)
{
    lua_State *L = t->L;
    struct msg *m;
    const char *p;
    size_t n;

    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.thread_main");
    if (lua_pcall(L, 1, 1, 0) != 0)
        return failure(t);
    lua_getfield(L, -1, "run");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 2, 2, 0) != 0)
        return failure(t);
    p = lua_tolstring(L, -1, &n);
    m = msg_with(HANDLE_THREAD, p, (uint32_t)n);
    if (!lua_toboolean(L, -2))
        m->h.flags = FRAME_ERROR;
    return m;
}

static void *
run(void *arg)
{
    struct thread *t = arg;
    struct msg *m;

    while (sem_wait(&t->go) < 0)
        ;
    pthread_setname_np(pthread_self(), "orrery-thread");
    m = outcome(t);
    m->h.src = router_self(t->router);
    m->h.seq = t->id;
    binding_end_threads(t->binding);
    lua_close(t->L);
    shared_leave(node_modules(t->binding->node), vm_mailbox(t->binding->vm));
    vm_stop_listening(t->binding->vm);
    mailbox_post(t->starter, m);
    return NULL;
}

/* ---- in the starter ---- */

static struct thread *
find(struct binding *b, uint32_t id)
{
    struct thread *t;

    LIST_FOREACH(t, &b->threads, link)
        if (t->id == id)
            return t;
    return NULL;
}

static void
tell(struct thread *t, const char *payload, size_t n)
{
    mailbox_post(vm_mailbox(t->binding->vm), msg_with(HANDLE_THREAD, payload, (uint32_t)n));
}

static void
thread_free(struct thread *t)
{
    binding_destroy(t->binding);
    sem_destroy(&t->go);
    free(t);
}

static void
join(struct thread *t)
{
    LIST_REMOVE(t, link);
    pthread_join(t->pthread, NULL);
    thread_free(t);
}

void
binding_end_threads(struct binding *b)
{
    struct thread *t;

    LIST_FOREACH(t, &b->threads, link)
        tell(t, NULL, 0);
    while ((t = LIST_FIRST(&b->threads)))
        join(t);
}

static struct thread *
thread_create(struct binding *starter, lua_State *L)
{
    struct thread *t = xcalloc(1, sizeof *t);

    do
        t->id = ++starter->last_thread;
    while (t->id == 0 || find(starter, t->id));
    t->router = node_router(starter->node);
    t->starter = vm_mailbox(starter->vm);
    t->L = L;
    t->binding = binding_create(L, starter->node);
    sem_init(&t->go, 0, 0);
    return t;
}

/* thread_start(setup, call, handles) -> id; the two strings are for thread_main.run, the handles (a list
 * of numbers) become the thread's own */
static int
core_thread_start(lua_State *L)
{
    struct binding *b = self(L);
    size_t setup_size, call_size, count;
    const char *setup = luaL_checklstring(L, 1, &setup_size);
    const char *call = luaL_checklstring(L, 2, &call_size);
    struct thread *t;
    lua_State *new;
    struct err err;
    int rc;

    luaL_checktype(L, 3, LUA_TTABLE);
    count = lua_objlen(L, 3);
    new = vm_new_state();
    if (!new) {
        err_set(&err, ERR_SYSTEM, "cannot create a Lua state for a thread");
        return vm_push_err(L, &err);
    }
    t = thread_create(b, new);
    lua_settop(new, 0);
    lua_pushlstring(new, setup, setup_size);
    lua_pushlstring(new, call, call_size);
    rc = thread_start(&t->pthread, STACK_SIZE, run, t);
    if (rc != 0) {
        lua_close(new);
        thread_free(t);
        err_errno(&err, ERR_SYSTEM, rc, "cannot start a thread");
        return vm_push_err(L, &err);
    }
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, 3, (int)i);
        vm_move_handle(b->vm, (uint32_t)lua_tonumber(L, -1), t->binding->vm);
        lua_pop(L, 1);
    }
    LIST_INSERT_HEAD(&b->threads, t, link);
    sem_post(&t->go);
    lua_pushnumber(L, t->id);
    return 1;
}

/* thread_tell(id, payload): ends it with the error in the payload */
static int
core_thread_tell(lua_State *L)
{
    struct thread *t = find(self(L), (uint32_t)luaL_checknumber(L, 1));
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);

    if (t)
        tell(t, p, n);
    return 0;
}

/* thread_join(id): after its outcome */
static int
core_thread_join(lua_State *L)
{
    struct thread *t = find(self(L), (uint32_t)luaL_checknumber(L, 1));

    if (t)
        join(t);
    return 0;
}

void
thread_push_functions(lua_State *L, struct binding *b)
{
    static const luaL_Reg functions[] = {
        {"thread_start", core_thread_start},
        {"thread_tell", core_thread_tell},
        {"thread_join", core_thread_join},
        {NULL, NULL},
    };

    lua_pushlightuserdata(L, b);
    luaL_openlib(L, NULL, functions, 1);
}
