#include "breaker.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bind_private.h"
#include "log.h"
#include "offspring.h"

/* Who asks for more than this at once is heard later, or not: who has asked sees that nothing ended. */
enum { REQUESTS = 256 };

static struct {
    pthread_mutex_t lock;
    struct mailbox *mb;                     /* [lock] of the VM that has it, or NULL */
    struct router *router;                  /* [lock] where BREAK is listened for, or NULL */
    pthread_t thread;                       /* [lock] that runs it */
    pid_t tid;                              /* [I] the same, for the kernel */
    struct breaker_request queue[REQUESTS]; /* [lock] */
    unsigned count;                         /* [lock] */
    /* Its own thread's, and its signal handler's. */
    lua_State *L;
    int decide; /* reference to the function that is asked */
} breaker = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hook(lua_State *L, lua_Debug *ar);

static void
set_hook(lua_State *L, int count)
{
    lua_sethook(L, hook, LUA_MASKCOUNT, count);
}

/* As LuaJIT's own command does it. Another thread may get the signal, from outside. */
static void
on_signal(int sig)
{
    lua_State *L = breaker.L;

    (void)sig;
    if (L && pthread_equal(pthread_self(), breaker.thread))
        set_hook(L, 1);
}

static bool
is_waiting(void)
{
    bool waiting;

    pthread_mutex_lock(&breaker.lock);
    waiting = breaker.count > 0;
    pthread_mutex_unlock(&breaker.lock);
    return waiting;
}

/* decide(source of what runs, whether there are requests) -> instructions to the next look; nil: no more of them; or
 * an error to be raised here */
static void
hook(lua_State *L, lua_Debug *ar)
{
    int count;

    if (!breaker.L || !lua_checkstack(L, LUA_MINSTACK)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    lua_getinfo(L, "S", ar);
    lua_rawgeti(L, LUA_REGISTRYINDEX, breaker.decide);
    lua_pushstring(L, ar->source);
    lua_pushboolean(L, is_waiting());
    if (lua_pcall(L, 2, 1, 0) != 0 || lua_isnil(L, -1)) {
        lua_sethook(L, NULL, 0, 0);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        count = (int)lua_tointeger(L, -1);
        if (count != lua_gethookcount(L))
            set_hook(L, count);
    } else {
        set_hook(L, 1); /* who catches it meets the next */
        lua_error(L);
    }
    lua_pop(L, 1);
}

/* Lock held. */
static bool
is_queued(const struct breaker_request *what)
{
    for (unsigned i = 0; i < breaker.count; i++)
        if (memcmp(&breaker.queue[i], what, sizeof *what) == 0)
            return true;
    return false;
}

bool
breaker_request(const struct breaker_request *what)
{
    bool again;

    pthread_mutex_lock(&breaker.lock);
    again = breaker.mb && is_queued(what);
    if (breaker.mb && !again && breaker.count < REQUESTS)
        breaker.queue[breaker.count++] = *what;
    if (breaker.mb)
        pthread_kill(breaker.thread, BREAKER_SIGNAL);
    pthread_mutex_unlock(&breaker.lock);
    return !again;
}

/* ---- BREAK ---- */

/* The message goes on to Lua, for the case that it waits. One that comes again while Lua has not seen the first finds it
 * in a C function, which may wait for a program. Loop role; takes m. */
static void
on_break(struct router *r, struct msg *m, void *arg)
{
    struct breaker_request what = {m->h.src, m->h.reply, m->h.seq};

    (void)arg;
    if (!breaker_request(&what)) {
        int n = offspring_interrupt(breaker.tid);

        log_debug("break", "a call does not react: %d programs get SIGINT", n);
    }
    pthread_mutex_lock(&breaker.lock);
    if (breaker.mb)
        router_post(r, breaker.mb, m);
    else
        msg_unref(m);
    pthread_mutex_unlock(&breaker.lock);
}

void
breaker_forget(struct mailbox *mb)
{
    struct router *router = NULL;

    pthread_mutex_lock(&breaker.lock);
    if (breaker.mb == mb) {
        router = breaker.router;
        breaker.L = NULL;
        breaker.mb = NULL;
        breaker.router = NULL;
        breaker.count = 0;
    }
    pthread_mutex_unlock(&breaker.lock);
    if (router)
        router_unlisten(router, HANDLE_BREAK);
}

/* ---- for Lua ---- */

static void
unblock(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, BREAKER_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* breaker(decide, serve) -> true: code of this Lua state can be broken from now on; serve: by BREAK, too. false where
 * another one of this process has that, or the signal is somebody else's */
static int
core_breaker(lua_State *L)
{
    static const struct handle_ops ops = {.message = on_break};
    /* What user code sits in is to go on. */
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, now;
    struct vm *vm = vm_of(L);
    bool taken;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (sigaction(BREAKER_SIGNAL, NULL, &now) < 0 || (now.sa_flags & SA_SIGINFO) ||
        (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN && now.sa_handler != on_signal))
        return 0;
    lua_pushvalue(L, 1);
    pthread_mutex_lock(&breaker.lock);
    taken = breaker.mb != NULL;
    if (!taken) {
        breaker.mb = vm_mailbox(vm);
        breaker.thread = pthread_self();
        breaker.tid = gettid();
        breaker.router = lua_toboolean(L, 2) ? vm_router(vm) : NULL;
    }
    pthread_mutex_unlock(&breaker.lock);
    if (taken)
        return 0;
    breaker.decide = luaL_ref(L, LUA_REGISTRYINDEX);
    breaker.L = L;
    sigaction(BREAKER_SIGNAL, &sa, NULL);
    unblock();
    if (lua_toboolean(L, 2))
        router_listen(vm_router(vm), HANDLE_BREAK, HANDLE_FROM_PARENT, &ops, NULL);
    lua_pushboolean(L, 1);
    return 1;
}

/* next_break() -> src, reply, seq of the next request; nothing where there is none */
static int
core_next_break(lua_State *L)
{
    struct breaker_request what = {0};
    bool any;

    pthread_mutex_lock(&breaker.lock);
    any = breaker.L && breaker.count > 0;
    if (any) {
        what = breaker.queue[0];
        memmove(breaker.queue, breaker.queue + 1, --breaker.count * sizeof *breaker.queue);
    }
    pthread_mutex_unlock(&breaker.lock);
    if (!any)
        return 0;
    lua_pushnumber(L, what.src);
    lua_pushnumber(L, what.reply);
    lua_pushnumber(L, what.seq);
    return 3;
}

/* watch_code(count): asks `decide` after so many instructions, for what Lua itself wants to end */
static int
core_watch_code(lua_State *L)
{
    if (breaker.L)
        set_hook(L, luaL_checkint(L, 1));
    return 0;
}

void
breaker_push_functions(lua_State *L, struct node *n)
{
    static const luaL_Reg functions[] = {
        {"breaker", core_breaker},
        {"next_break", core_next_break},
        {"watch_code", core_watch_code},
        {NULL, NULL},
    };

    bind_add(L, functions, n, "BREAK", HANDLE_BREAK);
}
