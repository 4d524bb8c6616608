/*
 * prompt COUNT PROMPT INPUT PROGRAM [ARGUMENT...]: what a person at a terminal waits for. Starts the program at a
 * terminal of its own, waits until PROMPT is there, types INPUT and Enter, and waits until PROMPT is there again, behind
 * a newline; COUNT times. Prints start (from the fork to the first prompt) and input.p50, input.p99: from Enter on. An
 * empty INPUT: only start, the median of COUNT programs.
 */
#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"

/* What came since the last prompt, bounded: only its end matters. */
static char seen[65536];
static size_t seen_len;

static void
await_prompt(int fd, const char *prompt)
{
    size_t n = strlen(prompt);

    for (;;) {
        ssize_t got;

        if (seen_len > n && memmem(seen, seen_len, prompt, n)) {
            seen_len = 0;
            return;
        }
        if (seen_len > sizeof seen / 2) {
            memmove(seen, seen + seen_len - n, n);
            seen_len = n;
        }
        got = read(fd, seen + seen_len, sizeof seen - seen_len);
        if (got <= 0)
            die("the program has ended");
        seen_len += (size_t)got;
    }
}

static pid_t
start(int *fd, char **argv)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    pid_t pid = forkpty(fd, NULL, NULL, &size);

    if (pid < 0)
        die("forkpty");
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        setenv("NO_COLOR", "1", 1);
        execvp(argv[0], argv);
        _exit(127);
    }
    seen_len = 0;
    return pid;
}

static void
stop(pid_t pid, int fd)
{
    kill(pid, SIGHUP);
    close(fd);
    waitpid(pid, NULL, 0);
}

static void
measure_inputs(int fd, const char *prompt, const char *input, int count)
{
    enum { WARM_UP = 20 };
    struct samples times = {0};
    char begun[256];

    /* Not the prompt that the line is typed at, which may be drawn again: at the start of a line readline asks for
     * bracketed pastes. */
    snprintf(begun, sizeof begun, "\033[?2004h%s", prompt);
    for (int i = 0; i < WARM_UP + count; i++) {
        double before;

        write_all(fd, input, strlen(input));
        usleep(2000); /* the echo is over, as with a person */
        before = now_us();
        write_all(fd, "\r", 1);
        await_prompt(fd, begun);
        if (i >= WARM_UP)
            samples_add(&times, now_us() - before);
        usleep(1000);
    }
    samples_print(&times, "input");
}

int
main(int argc, char **argv)
{
    struct samples starts = {0};
    int count, fd;

    if (argc < 5 || (count = atoi(argv[1])) < 1) {
        fprintf(stderr, "usage: prompt COUNT PROMPT INPUT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    for (int i = 0; i < (*argv[3] ? 1 : count); i++) {
        double before = now_us();
        pid_t pid = start(&fd, argv + 4);

        await_prompt(fd, argv[2]);
        samples_add(&starts, now_us() - before);
        if (*argv[3])
            measure_inputs(fd, argv[2], argv[3], count);
        stop(pid, fd);
    }
    samples_print(&starts, "start");
    return 0;
}
