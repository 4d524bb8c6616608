#include "line.h"

#include <errno.h>
#include <langinfo.h>
#include <lauxlib.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "line_internal.h"
#include "screen.h"

#define PROMPT_ROOM 512 /* more of a prompt is nobody's wish */

enum outcome { GOING, LINE, END };

/* [l] lock, [m] the thread of the Lua functions */
static struct {
    pthread_mutex_t lock;
    bool open;            /* [m] */
    bool shown;           /* [l] readline has the terminal */
    unsigned away;        /* [l] questions that are open: they have it instead */
    bool redraw;          /* [l] it is to be shown again, as nobody else has it now */
    bool taking;          /* [m] inside of readline */
    bool stopping;        /* [m] and it is to end then, with this: */
    char mark[16];        /* [m] */
    bool err_too;         /* [I] once open: stderr is the same terminal */
    enum outcome outcome; /* [m] */
    char *text;           /* [m] of LINE; malloc'd by readline */
    struct termios found; /* [m] */
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
line_lock(void)
{
    pthread_mutex_lock(&line.lock);
}

void
line_unlock(void)
{
    pthread_mutex_unlock(&line.lock);
}

bool
line_is_shown(void)
{
    return line.shown && line.away == 0;
}

/* ---- what is on the screen: locked ---- */

/* In place of rl_redisplay: somebody else has the terminal. */
static void
draw_nothing(void)
{
}

static void
draw_anew(void)
{
    rl_on_new_line();
    rl_redisplay();
}

/* `text` ends in a newline from now on. */
static void
write_above(const char *text, size_t n)
{
    rl_clear_visible_line();
    fwrite(text, 1, n, rl_outstream);
    if (n > 0 && text[n - 1] != '\n')
        putc('\n', rl_outstream);
    fflush(rl_outstream);
    draw_anew();
}

/* Where the last line on the screen has no newline, the prompt is on the next one all the same: the mark and so many
 * spaces fill the rest of a line, and only one that is empty is then written over. */
static void
begin_line(void)
{
    const char *term = getenv("TERM");
    int lines, columns;

    rl_reset_screen_size();
    rl_get_screen_size(&lines, &columns);
    if (!term || strcmp(term, "dumb") == 0 || columns < 2)
        return;
    fprintf(rl_outstream, "\033[7m%%\033[0m%*s\r \r", columns - 1, "");
}

/* ---- others, on any thread ---- */

static bool
guest_above(const char *text, size_t n)
{
    bool shown;

    line_lock();
    shown = line.err_too && line_is_shown();
    if (shown)
        write_above(text, n);
    line_unlock();
    return shown;
}

static void
guest_away(void)
{
    line_lock();
    if (line.away++ == 0 && line.shown) {
        rl_clear_visible_line();
        rl_redisplay_function = draw_nothing;
        rl_deprep_terminal();
    }
    line_unlock();
}

static void
guest_back(void)
{
    line_lock();
    if (line.away > 0 && --line.away == 0) {
        rl_redisplay_function = rl_redisplay;
        line.redraw = true;
    }
    line_unlock();
    line_signals_ring();
}

static const struct screen_guest guest = {guest_above, guest_away, guest_back};

/* ---- a line ---- */

/* Locked. What the terminal had before is there again. */
static void
leave(void)
{
    line_signals_end();
    rl_callback_handler_remove();
    line.shown = false;
}

static void
on_line(char *text)
{
    leave();
    line.text = text;
    line.outcome = text ? LINE : END;
    if (!text)
        putc('\n', rl_outstream);
    fflush(rl_outstream);
}

/* Locked. A mark is put behind what was typed; without one the line is taken away. */
static void
stop(void)
{
    line.stopping = false;
    if (!line.shown)
        return;
    rl_callback_sigcleanup();
    rl_free_line_state(); /* draws the line */
    if (line_is_shown() && *line.mark) {
        rl_point = rl_end;
        rl_redisplay();
        fprintf(rl_outstream, "%s\n", line.mark);
    } else if (line_is_shown()) {
        rl_clear_visible_line();
    }
    leave();
    fflush(rl_outstream);
}

static void
restore_at_exit(void)
{
    line_signals_restore();
}

/* Locked. What signals and those who were asked have left to be done. */
static void
catch_up(void)
{
    bool resized, continued;

    line_signals_take(&resized, &continued);
    if (!line_is_shown())
        return;
    if (line.redraw)
        rl_prep_terminal(1);
    if (line.redraw || continued) {
        rl_reset_screen_size();
        draw_anew();
    } else if (resized) {
        rl_resize_terminal();
    }
    line.redraw = false;
}

static bool
readable(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* start(prompt, text) -> true: the prompt is shown, with this text behind it to be edited. false: somebody is asked
 * something; take, once the signals' descriptor can be read, and start again */
static int
line_start(lua_State *L)
{
    const char *prompt = luaL_checkstring(L, 1), *text = luaL_optstring(L, 2, "");
    bool free;

    luaL_argcheck(L, line.open, 1, "it is not open");
    line_lock();
    free = !line.shown && line.away == 0;
    if (free) {
        fflush(stdout);
        tcgetattr(STDIN_FILENO, &line.found);
        begin_line();
        line.outcome = GOING;
        line.redraw = false;
        line.shown = true;
        rl_callback_handler_install(prompt, on_line);
        line_signals_begin(&line.found);
        if (*text) {
            rl_insert_text(text);
            rl_redisplay();
        }
    }
    line_unlock();
    lua_pushboolean(L, free);
    return 1;
}

static int
push_outcome(lua_State *L)
{
    enum outcome outcome = line.outcome;

    line.outcome = GOING;
    if (outcome == LINE) {
        lua_pushliteral(L, "line");
        lua_pushstring(L, line.text);
        free(line.text);
        line.text = NULL;
        return 2;
    }
    lua_pushstring(L, outcome == END ? "eof" : NULL);
    return 1;
}

/* take(complete) -> "line", text; "eof"; nil while it is being typed, or stop was called meanwhile. complete(line,
 * cursor) -> from, candidates */
static int
line_take(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    line_lock();
    catch_up();
    line.taking = true;
    line_complete_use(L, 1);
    while (line_is_shown() && !line.stopping && readable())
        rl_callback_read_char();
    line_complete_use(NULL, 0);
    line.taking = false;
    if (line.stopping)
        stop();
    line_unlock();
    return push_outcome(L);
}

/* stop(mark): nothing is typed any more. The line stays, with the mark behind it; without one it goes */
static int
line_stop(lua_State *L)
{
    const char *mark = luaL_optstring(L, 1, "");

    line_lock();
    snprintf(line.mark, sizeof line.mark, "%s", mark);
    if (line.taking)
        line.stopping = true;
    else
        stop();
    line_unlock();
    return 0;
}

/* above(text) -> true: it is above the line, and ends in a newline there; false: there is no line */
static int
line_above(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    bool shown;

    line_lock();
    shown = line_is_shown();
    if (shown)
        write_above(text, n);
    line_unlock();
    lua_pushboolean(L, shown);
    return 1;
}

/* size() -> columns, lines */
static int
line_size(lua_State *L)
{
    int lines, columns;

    line_lock();
    if (!line.shown)
        rl_reset_screen_size();
    rl_get_screen_size(&lines, &columns);
    line_unlock();
    lua_pushinteger(L, columns);
    lua_pushinteger(L, lines);
    return 2;
}

/* ---- opening ---- */

static bool
same_terminal(int fd)
{
    struct stat in, other;

    return isatty(fd) && fstat(STDIN_FILENO, &in) == 0 && fstat(fd, &other) == 0 &&
        in.st_rdev == other.st_rdev;
}

/* A machine without a locale set has terminals that know UTF-8 all the same. */
static void
set_locale(void)
{
    const char *set = setlocale(LC_CTYPE, "");

    if (!set ||
        (strcmp(set, "C") == 0 && !getenv("LC_ALL") && !getenv("LC_CTYPE") && !getenv("LANG")))
        (void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* What ~/.inputrc may change is set before it is read. Readline's own questions would hold up everything else. */
static void
prepare(void)
{
    set_locale();
    rl_readline_name = "orrery";
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    rl_variable_bind("show-all-if-ambiguous", "on");
    line_complete_prepare();
    line_keys_prepare();
    rl_instream = stdin;
    rl_outstream = stdout;
    rl_initialize();
    rl_variable_bind("page-completions", "off");
    (void)atexit(restore_at_exit);
}

/* open() -> guest, fd: a guest of the screen, and a descriptor that can be read when take is to be called for other
 * reasons than what was typed. nil, why where this is no terminal */
static int
line_open(lua_State *L)
{
    static bool prepared;
    int fd;

    if (!isatty(STDIN_FILENO) || !same_terminal(STDOUT_FILENO)) {
        lua_pushnil(L);
        lua_pushliteral(L, "stdin and stdout are not one terminal");
        return 2;
    }
    fd = line_signals_open();
    if (fd < 0)
        return luaL_error(L, "no descriptor for signals: %s", strerror(errno));
    line_lock();
    line.err_too = same_terminal(STDERR_FILENO);
    line.open = true;
    if (!prepared)
        prepare();
    prepared = true;
    line_unlock();
    lua_pushlightuserdata(L, (void *)&guest);
    lua_pushinteger(L, fd);
    return 2;
}

/* close(): takes the line away, and forgets the history */
static int
line_close(lua_State *L)
{
    line_lock();
    *line.mark = '\0';
    stop();
    line.open = false;
    rl_clear_history();
    line_unlock();
    return 0;
}

/* terminals() -> boolean, boolean: whether stdout and stderr are the terminal that stdin is */
static int
line_terminals(lua_State *L)
{
    lua_pushboolean(L, same_terminal(STDOUT_FILENO));
    lua_pushboolean(L, same_terminal(STDERR_FILENO));
    return 2;
}

/* read(fd) -> text; "" at the end; nil, why. Without a prompt: some of what is there */
static int
line_read(lua_State *L)
{
    char text[4096];
    ssize_t n;

    do
        n = read(luaL_checkint(L, 1), text, sizeof text);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        lua_pushnil(L);
        lua_pushstring(L, strerror(errno));
        return 2;
    }
    lua_pushlstring(L, text, (size_t)n);
    return 1;
}

static int
open_module(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", line_open},
        {"close", line_close},
        {"start", line_start},
        {"take", line_take},
        {"stop", line_stop},
        {"above", line_above},
        {"size", line_size},
        {"terminals", line_terminals},
        {"read", line_read},
        {NULL, NULL},
    };

    lua_newtable(L);
    luaL_register(L, NULL, functions);
    line_history_push_functions(L);
    return 1;
}

void
line_preload(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, open_module);
    lua_setfield(L, -2, "orrery.line");
    lua_pop(L, 2);
}
