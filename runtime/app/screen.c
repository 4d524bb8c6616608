#include "screen.h"

#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ask.h"
#include "log.h"
#include "mem.h"

#define SHOW_CURSOR "\033[?25h"
/* Of one change of the screen; ignored by a terminal that does not know it. */
#define BEGIN "\033[?2026h"
#define END "\033[?25l\033[?2026l"

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* [l] lock, [a] atomic: signal handlers use these */
static struct {
    pthread_mutex_t lock;
    struct buf undo;    /* [l] */
    unsigned questions; /* [l] open at the terminal */
    bool prepared;      /* [l] */
    atomic_bool drawn;  /* [a] it is there, right above the cursor */
    atomic_bool hidden; /* [a] the cursor */
} screen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
put(const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t sent = write(STDOUT_FILENO, p, n);

        if (sent < 0 && errno == EAGAIN) /* the terminal is shared with somebody who wants it so */
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        else if (sent < 0 && errno != EINTR)
            return;
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
    }
}

static void
show_cursor(void)
{
    if (atomic_exchange(&screen.hidden, false) &&
        write(STDOUT_FILENO, SHOW_CURSOR, sizeof SHOW_CURSOR - 1) < 0)
        return;
}

/* ---- signals ---- */

static void
on_deadly(int sig)
{
    int error = errno;

    show_cursor();
    raise(sig); /* the handler is gone by now */
    errno = error;
}

/* What the shell writes while this process is stopped stays: it is drawn anew, below that. */
static void
on_stop(int sig)
{
    struct sigaction again = {
        .sa_handler = on_stop, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_RESTART)};
    int error = errno;

    show_cursor();
    atomic_store(&screen.drawn, false);
    raise(sig);
    sigaction(SIGTSTP, &again, NULL);
    errno = error;
}

static void
catch_signal(int sig, void (*handler)(int))
{
    struct sigaction sa = {
        .sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_RESTART)};
    struct sigaction now;

    if (sigaction(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
        sigaction(sig, &sa, NULL);
}

/* Each time: after the first Ctrl-C its handler is gone (bind/interrupt.c). */
static void
catch_signals(void)
{
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        catch_signal(deadly[i], on_deadly);
    catch_signal(SIGTSTP, on_stop);
}

/* ---- others who write to the terminal ---- */

/* Locked. */
static void
undo(void)
{
    if (atomic_exchange(&screen.drawn, false))
        put(buf_head(&screen.undo), buf_len(&screen.undo));
    show_cursor();
}

static const struct screen_guest *_Atomic guest;

static void
on_question(bool begins)
{
    const struct screen_guest *g = atomic_load(&guest);

    if (g)
        (begins ? g->away : g->back)();
    pthread_mutex_lock(&screen.lock);
    if (begins)
        undo();
    screen.questions += begins ? 1 : -1U;
    pthread_mutex_unlock(&screen.lock);
}

/* Under any lock, by whoever logs. What logs while it draws has the terminal to itself anyway. */
static bool
on_log(int level, const char *line, size_t n)
{
    const struct screen_guest *g = atomic_load(&guest);

    if (level != LOG_NONE && log_is_file())
        return false;
    if (g && g->above(line, n))
        return true;
    if (isatty(STDERR_FILENO) && pthread_mutex_trylock(&screen.lock) == 0) {
        undo();
        pthread_mutex_unlock(&screen.lock);
    }
    return false;
}

/* ---- for Lua ---- */

static bool
in_background(void)
{
    pid_t group = tcgetpgrp(STDOUT_FILENO);

    return group > 0 && group != getpgrp();
}

/* screen_draw(up, above, frame, undo) -> true: `above` stays, and `frame` is below it until the next time. `up` goes
 * before them where the last frame still is right above the cursor; the frame's last line has its newline. `undo`
 * takes the frame away. false: a question is open, and nothing was written */
static int
core_screen_draw(lua_State *L)
{
    size_t n[4];
    const char *text[4];
    struct buf out = {0};

    for (int i = 0; i < 4; i++)
        text[i] = luaL_checklstring(L, i + 1, &n[i]);
    pthread_mutex_lock(&screen.lock);
    if (screen.questions > 0) {
        pthread_mutex_unlock(&screen.lock);
        lua_pushboolean(L, false);
        return 1;
    }
    if (!screen.prepared) {
        screen.prepared = true;
        log_divert(on_log);
        atexit(show_cursor);
    }
    catch_signals();
    if (in_background())
        n[2] = 0;
    if (n[2] > 0)
        buf_append(&out, BEGIN, sizeof BEGIN - 1);
    if (atomic_load(&screen.drawn))
        buf_append(&out, text[0], n[0]);
    buf_append(&out, text[1], n[1]);
    if (n[2] > 0) {
        buf_append(&out, text[2], n[2]);
        buf_append(&out, END, sizeof END - 1);
        atomic_store(&screen.hidden, true);
    }
    put(buf_head(&out), buf_len(&out));
    if (n[2] == 0)
        show_cursor();
    atomic_store(&screen.drawn, n[2] > 0);
    buf_consume(&screen.undo, buf_len(&screen.undo));
    buf_append(&screen.undo, text[3], n[3]);
    pthread_mutex_unlock(&screen.lock);
    buf_fini(&out);
    lua_pushboolean(L, true);
    return 1;
}

/* screen_size() -> columns, lines; or nothing where fd 1 is no terminal, or does not know */
static int
core_screen_size(lua_State *L)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return 0;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
}

/* screen_guest(guest): a light userdata, struct screen_guest, that stays for good; nil: there is none any more. Before
 * the process has threads of its script's */
static int
core_screen_guest(lua_State *L)
{
    atomic_store(&guest, lua_touserdata(L, 1));
    log_divert(on_log);
    return 0;
}

void
screen_push_functions(lua_State *L)
{
    ask_terminal_watch(on_question);
    lua_pushcfunction(L, core_screen_guest);
    lua_setfield(L, -2, "screen_guest");
    lua_pushcfunction(L, core_screen_draw);
    lua_setfield(L, -2, "screen_draw");
    lua_pushcfunction(L, core_screen_size);
    lua_setfield(L, -2, "screen_size");
}
