/* Signals that come while a line is being typed. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "line_internal.h"

#define PASTE_OFF "\033[?2004l\r\n" /* readline has switched bracketed paste on */
#define PASTE_ON "\033[?2004h"

static void on_deadly(int sig);
static void on_stop(int sig);
static void on_continue(int sig);
static void on_resize(int sig);

/* SIGINT is for who takes Ctrl-C, if there is somebody. */
static struct watched {
    int sig;
    void (*handler)(int);
    bool always;          /* also where there is another handler */
    struct sigaction old; /* while it is ours */
    bool ours;
} watched[] = {
    {.sig = SIGTERM, .handler = on_deadly, .always = true},
    {.sig = SIGHUP, .handler = on_deadly, .always = true},
    {.sig = SIGQUIT, .handler = on_deadly, .always = true},
    {.sig = SIGINT, .handler = on_deadly},
    {.sig = SIGTSTP, .handler = on_stop},
    {.sig = SIGCONT, .handler = on_continue},
    {.sig = SIGWINCH, .handler = on_resize, .always = true},
};

/* Written before `raw` is set. */
static struct {
    int event;
    struct termios found, editing;
    atomic_bool raw, resized, continued;
} state = {.event = -1};

int
line_signals_open(void)
{
    if (state.event < 0)
        state.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return state.event;
}

void
line_signals_ring(void)
{
    uint64_t one = 1;

    if (write(state.event, &one, sizeof one) < 0)
        return; /* it is rung for already */
}

/* Another job's terminal is left alone; to change it would stop this one. */
static bool
foreground(void)
{
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void
line_signals_restore(void)
{
    if (!atomic_exchange(&state.raw, false) || !foreground())
        return;
    tcsetattr(STDIN_FILENO, TCSANOW, &state.found);
    if (write(STDOUT_FILENO, PASTE_OFF, sizeof PASTE_OFF - 1) < 0)
        return;
}

static struct watched *
find(int sig)
{
    struct watched *w = watched;

    while (w->sig != sig)
        w++;
    return w;
}

static void
give_back(struct watched *w)
{
    if (w->ours)
        sigaction(w->sig, &w->old, NULL);
    w->ours = false;
}

static void
on_deadly(int sig)
{
    int error = errno;

    line_signals_restore();
    give_back(find(sig));
    raise(sig);
    errno = error;
}

static void
install(struct watched *w)
{
    struct sigaction sa = {.sa_handler = w->handler, .sa_flags = (int)(SA_NODEFER | SA_RESTART)};
    struct sigaction now;

    if (sigaction(w->sig, NULL, &now) < 0)
        return;
    if (w->always || (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)) {
        w->old = now;
        w->ours = sigaction(w->sig, &sa, NULL) == 0;
    }
}

static void
on_stop(int sig)
{
    int error = errno;
    struct watched *w = find(sig);
    bool raw = atomic_load(&state.raw);

    line_signals_restore();
    atomic_store(&state.raw, raw); /* on_continue goes on from there */
    give_back(w);
    raise(sig);
    install(w);
    errno = error;
}

/* Where it goes on in the background, it is stopped here until it is brought to the foreground. */
static void
on_continue(int sig)
{
    int error = errno;

    if (atomic_load(&state.raw)) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &state.editing);
        if (write(STDOUT_FILENO, PASTE_ON, sizeof PASTE_ON - 1) < 0)
            errno = 0; /* it is of no use then, anyway */
        atomic_store(&state.continued, true);
        line_signals_ring();
    }
    errno = error;
}

static void
on_resize(int sig)
{
    int error = errno;
    const struct watched *w = find(sig);

    atomic_store(&state.resized, true);
    line_signals_ring();
    if (w->ours && !(w->old.sa_flags & SA_SIGINFO) && w->old.sa_handler != SIG_DFL &&
        w->old.sa_handler != SIG_IGN)
        w->old.sa_handler(sig);
    errno = error;
}

void
line_signals_begin(const struct termios *found)
{
    state.found = *found;
    tcgetattr(STDIN_FILENO, &state.editing);
    atomic_store(&state.raw, true);
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
        install(&watched[i]);
}

void
line_signals_end(void)
{
    atomic_store(&state.raw, false);
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
        give_back(&watched[i]);
}

void
line_signals_take(bool *resized, bool *continued)
{
    uint64_t n;

    if (read(state.event, &n, sizeof n) < 0 && errno != EAGAIN)
        errno = 0;
    *resized = atomic_exchange(&state.resized, false);
    *continued = atomic_exchange(&state.continued, false);
}
