/*
 * orrery.core, the part that is about Ctrl-C: for the command, which asks for it.
 *
 * The first SIGINT becomes a message to the VM: HANDLE_THREAD with seq 0, which is how any thread is told to
 * end. A script may compute for long, sit in a C function, or catch what it is told; so the thread that
 * passes it on stays awake, and ends the process when the time is over. The handler is used once: from then
 * on SIGINT does what it does to any program.
 */
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bind_private.h"
#include "mem.h"
#include "thread.h"

enum { NOTE_MS = 2000, STACK = 256 << 10 };

/* It lasts as long as the process, whose end must be bounded, too. [I] once the handler is there */
static struct {
    int event;    /* [I] */
    int bound_ms; /* [I] */
    pthread_mutex_t lock;
    struct mailbox *mb; /* [lock] NULL once the VM is gone */
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

static void *
pass_on(void *arg)
{
    static const char note[] =
        "orrery: interrupted, what runs is being ended; Ctrl-C again exits now\n";
    static const char over[] = "orrery: interrupted, and it does not end: exit\n";
    uint64_t n;

    while (read(interrupt.event, &n, sizeof n) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&interrupt.lock);
    if (interrupt.mb)
        mailbox_post(interrupt.mb, msg_with(HANDLE_THREAD, NULL, 0));
    pthread_mutex_unlock(&interrupt.lock);
    poll(NULL, 0, NOTE_MS);
    say(note, sizeof note - 1);
    poll(NULL, 0, interrupt.bound_ms - NOTE_MS);
    say(over, sizeof over - 1);
    kill(getpid(), SIGINT);
    poll(NULL, 0, NOTE_MS);
    _exit(128 + SIGINT); /* somebody blocks it */
}

/* interrupts(seconds) -> true: SIGINT ends this VM's waits, and after so many seconds the process. false where
 * it is ignored, or is somebody else's. Once in a process, by its main thread */
static int
core_interrupts(lua_State *L)
{
    struct sigaction sa = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, now;
    int ms = (int)(luaL_checknumber(L, 1) * 1e3);

    if (interrupt.event >= 0 || sigaction(SIGINT, NULL, &now) < 0 || now.sa_handler != SIG_DFL)
        return 0;
    interrupt.event = eventfd(0, EFD_CLOEXEC);
    interrupt.mb = mailbox_ref(vm_mailbox(vm_of(L)));
    interrupt.bound_ms = ms > NOTE_MS ? ms : NOTE_MS;
    if (interrupt.event < 0 || thread_start(NULL, STACK, pass_on, NULL) != 0)
        return luaL_error(L, "no thread to wait for Ctrl-C");
    sigaction(SIGINT, &sa, NULL);
    lua_pushboolean(L, 1);
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
    lua_pushcfunction(L, core_interrupts);
    lua_setfield(L, -2, "interrupts");
}
