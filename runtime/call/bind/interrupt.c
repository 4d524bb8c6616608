/*
 * orrery.core, the part that is about Ctrl-C: for the command, which asks for it.
 *
 * The first SIGINT becomes a message to the VM: HANDLE_THREAD with seq 0, which is how any thread is told to
 * end. A script may compute for long, sit in a C function, or catch what it is told; so the thread that
 * passes it on stays awake, and ends the process when the time is over. The handler is used once: from then
 * on SIGINT does what it does to any program.
 *
 * A program that shows a prompt lives on: each SIGINT is such a message, and what computes and does not come to take
 * it is broken (breaker.h). Only what cannot be broken, and takes none of three, ends the process: nobody is locked
 * in.
 */
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bind_private.h"
#include "breaker.h"
#include "mem.h"
#include "thread.h"

enum {
    NOTE_MS = 2000,
    STACK = 256 << 10,
    TAKEN_MS = 150, /* so long Lua may compute before it is broken */
    AGAIN_MS = 100,
    MOST = 3 /* that nobody takes */
};

/* It lasts as long as the process, whose end must be bounded, too. [I] once the handler is there */
static struct {
    int event;    /* [I] */
    int bound_ms; /* [I] */
    pthread_mutex_t lock;
    struct mailbox *mb;      /* [lock] NULL once the VM is gone */
    atomic_uint come, taken; /* of those that are watched */
} interrupt = {.event = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static void
on_interrupt(int sig)
{
    int error = errno;
    uint64_t one = 1;

    if (write(interrupt.event, &one, sizeof one) < 0)
        _exit(128 + sig);
    errno = error;
}

static void
say(const char *text, size_t n)
{
    ask_terminal_clear();
    if (write(STDERR_FILENO, text, n) < 0)
        errno = 0; /* nobody to be told */
}

static void
tell(void)
{
    pthread_mutex_lock(&interrupt.lock);
    if (interrupt.mb)
        mailbox_post(interrupt.mb, msg_with(HANDLE_THREAD, NULL, 0));
    pthread_mutex_unlock(&interrupt.lock);
}

static void *
pass_on(void *arg)
{
    static const char note[] =
        "orrery: interrupted, what runs is being ended; Ctrl-C again exits now\n";
    static const char over[] = "orrery: interrupted, and it does not end: exit\n";
    uint64_t n;

    while (read(interrupt.event, &n, sizeof n) < 0 && errno == EINTR)
        ;
    tell();
    poll(NULL, 0, NOTE_MS);
    say(note, sizeof note - 1);
    poll(NULL, 0, interrupt.bound_ms - NOTE_MS);
    say(over, sizeof over - 1);
    kill(getpid(), SIGINT);
    poll(NULL, 0, NOTE_MS);
    _exit(128 + SIGINT); /* somebody blocks it */
}

static void
end_process(void)
{
    signal(SIGINT, SIG_DFL);
    kill(getpid(), SIGINT);
    poll(NULL, 0, NOTE_MS);
    _exit(128 + SIGINT);
}

static unsigned
untaken(void)
{
    return atomic_load(&interrupt.come) - atomic_load(&interrupt.taken);
}

/* One, or several that came at once. */
static void
on_another(void)
{
    static const char note[] =
        "\norrery: what runs does not react; Ctrl-C again ends this program\n";
    static const char over[] = "\norrery: it does not react: exit\n";

    atomic_fetch_add(&interrupt.come, 1);
    tell();
    if (untaken() == MOST - 1) {
        say(note, sizeof note - 1);
    } else if (untaken() >= MOST) {
        say(over, sizeof over - 1);
        end_process();
    }
}

static void *
watch(void *arg)
{
    static const struct breaker_request whatever = {0};
    int patience = TAKEN_MS;

    for (;;) {
        struct pollfd p = {.fd = interrupt.event, .events = POLLIN};
        uint64_t n;

        if (poll(&p, 1, untaken() ? patience : -1) > 0) {
            if (read(interrupt.event, &n, sizeof n) == sizeof n)
                on_another();
            patience = TAKEN_MS;
        } else if (untaken()) {
            breaker_request(&whatever);
            patience = AGAIN_MS;
        }
    }
    return arg;
}

/* What both ways have in common. The handler is installed when the thread is there. */
static bool
take_over(lua_State *L, void *(*fn)(void *), int flags)
{
    struct sigaction sa = {.sa_handler = on_interrupt, .sa_flags = flags}, now;

    if (interrupt.event >= 0 || sigaction(SIGINT, NULL, &now) < 0 || now.sa_handler != SIG_DFL)
        return false;
    interrupt.event = eventfd(0, EFD_CLOEXEC);
    interrupt.mb = mailbox_ref(vm_mailbox(vm_of(L)));
    if (interrupt.event < 0 || thread_start(NULL, STACK, fn, NULL) != 0)
        luaL_error(L, "no thread to wait for Ctrl-C");
    sigaction(SIGINT, &sa, NULL);
    return true;
}

/* interrupts(seconds) -> true: SIGINT ends this VM's waits, and after so many seconds the process. false where
 * it is ignored, or is somebody else's. Once in a process, by its main thread */
static int
core_interrupts(lua_State *L)
{
    int ms = (int)(luaL_checknumber(L, 1) * 1e3);

    if (interrupt.event < 0)
        interrupt.bound_ms = ms > NOTE_MS ? ms : NOTE_MS;
    if (!take_over(L, pass_on, (int)SA_RESETHAND))
        return 0;
    lua_pushboolean(L, 1);
    return 1;
}

/* watch_interrupts() -> true: each SIGINT is a message from now on; false as for interrupts */
static int
core_watch_interrupts(lua_State *L)
{
    if (!take_over(L, watch, 0))
        return 0;
    lua_pushboolean(L, 1);
    return 1;
}

/* take_interrupts() -> how many have come since the last time */
static int
core_take_interrupts(lua_State *L)
{
    unsigned come = atomic_load(&interrupt.come);

    lua_pushnumber(L, come - atomic_exchange(&interrupt.taken, come));
    return 1;
}

void
interrupt_forget(struct mailbox *mb)
{
    pthread_mutex_lock(&interrupt.lock);
    if (interrupt.mb == mb) {
        interrupt.mb = NULL;
        mailbox_unref(mb);
    }
    pthread_mutex_unlock(&interrupt.lock);
}

void
interrupt_push_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"interrupts", core_interrupts},
        {"watch_interrupts", core_watch_interrupts},
        {"take_interrupts", core_take_interrupts},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
}
