/*
 * Keys for inputs of several lines, which the history gives back whole: up and down move in them first.
 *
 * They stand where readline has its own functions, so ~/.inputrc has the last word; there they are called
 * previous-line-or-history and next-line-or-history.
 */
#include <stdio.h>
#include <string.h>

#include <readline/readline.h>

#include "line_internal.h"

static int
line_start_of(int at)
{
    while (at > 0 && rl_line_buffer[at - 1] != '\n')
        at--;
    return at;
}

static int
line_end_of(int at)
{
    while (at < rl_end && rl_line_buffer[at] != '\n')
        at++;
    return at;
}

static bool
continues(int at)
{
    return ((unsigned char)rl_line_buffer[at] & 0xc0) == 0x80;
}

/* Characters between two places. */
static int
count(int from, int to)
{
    int n = 0;

    for (int i = from; i < to; i++)
        n += !continues(i);
    return n;
}

/* The place so many characters behind the start of a line, or the line's end. */
static int
place(int start, int characters)
{
    int end = line_end_of(start), at = start;

    while (at < end && characters-- > 0)
        for (at++; at < end && continues(at);)
            at++;
    return at;
}

static int
up(int times, int key)
{
    int start = line_start_of(rl_point);

    if (start == 0)
        return rl_get_previous_history(times, key);
    rl_point = place(line_start_of(start - 1), count(start, rl_point));
    return 0;
}

static int
down(int times, int key)
{
    int start = line_start_of(rl_point), end = line_end_of(rl_point);

    if (end == rl_end)
        return rl_get_next_history(times, key);
    rl_point = place(end + 1, count(start, rl_point));
    return 0;
}

void
line_keys_prepare(void)
{
    static const char *const ups[] = {"\033[A", "\033OA", "\020"},
                             *const downs[] = {"\033[B", "\033OB", "\016"};

    rl_add_defun("previous-line-or-history", up, -1);
    rl_add_defun("next-line-or-history", down, -1);
    for (size_t i = 0; i < sizeof ups / sizeof *ups; i++) {
        rl_bind_keyseq(ups[i], up);
        rl_bind_keyseq(downs[i], down);
    }
}
