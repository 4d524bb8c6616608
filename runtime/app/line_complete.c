/*
 * Completion: a function of the script's says what may stand at the cursor, from where on.
 *
 * To readline the word is all that stands before the cursor, and a candidate is that with its end replaced: so no
 * character divides words, none needs quotes, and it is the script alone who knows where a name begins.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <readline/readline.h>

#include "line_internal.h"
#include "mem.h"

#define MOST 10000
#define MOST_ROWS 3 /* of the screen's lines, one in so many stays free of the list */

struct candidate {
    char *text, *shown;
    bool final;
};

/* The thread of the Lua functions. */
static struct {
    lua_State *L; /* NULL: not while it runs */
    int index;
    struct candidate *list; /* of the last time; sorted */
    size_t n;
} complete;

void
line_complete_use(lua_State *L, int index)
{
    complete.L = L;
    complete.index = index;
}

static void
forget(void)
{
    for (size_t i = 0; i < complete.n; i++) {
        free(complete.list[i].text);
        free(complete.list[i].shown);
    }
    free(complete.list);
    complete.list = NULL;
    complete.n = 0;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct candidate *)a)->text, ((const struct candidate *)b)->text);
}

/* ---- out of Lua ---- */

/* The field of the table on top as text behind `prefix`, or NULL. */
static char *
field(lua_State *L, const char *name, const char *prefix, size_t prefix_size)
{
    struct buf b = {0};
    const char *text;
    size_t n;

    lua_getfield(L, -1, name);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    if (text && strlen(text) == n) {
        buf_append(&b, prefix, prefix_size);
        buf_append(&b, text, n);
        buf_append(&b, "", 1);
    }
    lua_pop(L, 1);
    return (char *)b.data;
}

/* Runs inside of lua_pcall: complete's function is at 1, then a light userdata with the line before the cursor, then what
 * the function returned: from, candidates. */
static void
read_candidates(lua_State *L, const char *before)
{
    size_t size = strlen(before), from = (size_t)lua_tonumber(L, -2), n;

    if (!lua_istable(L, -1) || from < 1 || from > size + 1)
        return;
    n = lua_objlen(L, -1);
    n = n < MOST ? n : MOST;
    complete.list = xcalloc(n + 1, sizeof *complete.list);
    for (size_t i = 1; i <= n; i++) {
        struct candidate c = {0};

        lua_rawgeti(L, -1, (int)i);
        if (lua_istable(L, -1)) {
            c.text = field(L, "text", before, from - 1);
            c.shown = c.text ? field(L, "shown", "", 0) : NULL;
            lua_getfield(L, -1, "final");
            c.final = lua_toboolean(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        if (c.text)
            complete.list[complete.n++] = c;
    }
    qsort(complete.list, complete.n, sizeof *complete.list, compare);
}

static void
drop_equal(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < complete.n; i++)
        if (kept > 0 && strcmp(complete.list[kept - 1].text, complete.list[i].text) == 0) {
            free(complete.list[i].text);
            free(complete.list[i].shown);
        } else {
            complete.list[kept++] = complete.list[i];
        }
    complete.n = kept;
}

/* Not locked: the function may wait, and so run whatever else there is, which may write above the line. */
static void
ask_script(const char *before)
{
    lua_State *L = complete.L;
    int top = lua_gettop(L);
    char *all = xstrdup(rl_line_buffer);

    luaL_checkstack(L, 8, NULL);
    lua_pushvalue(L, complete.index);
    lua_pushstring(L, all);
    lua_pushinteger(L, (lua_Integer)strlen(before));
    free(all);
    line_unlock();
    if (lua_pcall(L, 2, 2, 0) != 0)
        lua_pushnil(L);
    line_lock();
    if (lua_gettop(L) == top + 2)
        read_candidates(L, before);
    lua_settop(L, top);
}

/* ---- for readline ---- */

/* What all begin with, at least `typed`; not a part of a character. */
static char *
common(const char *typed)
{
    const char *first = complete.list[0].text, *last = complete.list[complete.n - 1].text;
    size_t n = 0;

    while (first[n] && first[n] == last[n])
        n++;
    while (n > 0 && ((unsigned char)first[n] & 0xc0) == 0x80)
        n--;
    if (complete.n > 1 && strncmp(first, typed, strlen(typed)) != 0)
        return xstrdup(typed);
    return n < strlen(typed) && complete.n > 1 ? xstrdup(typed) : xstrndup(first, n);
}

static char **
attempt(const char *text, int start, int end)
{
    char *before = xstrndup(text, (size_t)(end - start)), **matches = NULL;

    rl_attempted_completion_over = 1; /* file names are the script's business, too */
    forget();
    if (complete.L)
        ask_script(before);
    drop_equal();
    if (complete.n > 0 && line_is_shown()) {
        matches = xcalloc(complete.n + 2, sizeof *matches);
        matches[0] = common(before);
        for (size_t i = 0; complete.n > 1 && i < complete.n; i++)
            matches[i + 1] = xstrdup(complete.list[i].text);
        rl_completion_append_character = complete.n == 1 && complete.list[0].final ? ' ' : '\0';
        rl_completion_suppress_append = rl_completion_append_character == '\0';
        rl_filename_completion_desired = 0;
        rl_filename_quoting_desired = 0;
    }
    free(before);
    return matches;
}

static int
width(const char *text)
{
    mbstate_t state = {0};
    int columns = 0;

    while (*text) {
        wchar_t c;
        size_t n = mbrtowc(&c, text, MB_CUR_MAX, &state);
        int w;

        if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
            state = (mbstate_t){0};
            n = w = 1;
        } else {
            w = wcwidth(c);
        }
        columns += w > 0 ? w : 0;
        text += n;
    }
    return columns;
}

static const char *
shown_of(const char *text)
{
    struct candidate key = {.text = (char *)text};
    const struct candidate *c = bsearch(&key, complete.list, complete.n, sizeof key, compare);

    return c && c->shown ? c->shown : text;
}

/* So many as there is room for, so that nobody has to be asked and nothing scrolls away. */
static void
display(char **matches, int n, int longest)
{
    char **list = xcalloc((size_t)n + 2, sizeof *list);
    int lines, columns, widest = 1, room;

    rl_get_screen_size(&lines, &columns);
    list[0] = matches[0];
    for (int i = 1; i <= n; i++) {
        int w;

        list[i] = (char *)shown_of(matches[i]);
        w = width(list[i]);
        widest = w > widest ? w : widest;
    }
    room = columns / (widest + 2);
    room = (room > 0 ? room : 1) * (lines > MOST_ROWS + 1 ? lines - MOST_ROWS : 1);
    rl_display_match_list(list, n < room ? n : room, widest);
    if (n > room)
        fprintf(rl_outstream, "and %d more\n", n - room);
    rl_forced_update_display();
    free(list);
}

void
line_complete_prepare(void)
{
    rl_attempted_completion_function = attempt;
    rl_completion_display_matches_hook = display;
    rl_basic_word_break_characters = "";
    rl_completer_word_break_characters = "";
    rl_completer_quote_characters = "";
    rl_basic_quote_characters = "";
    rl_ignore_completion_duplicates = 0;
}
