#include "loop_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "log.h"
#include "mem.h"

#define CHILD_POLL_MS 50
#define LAZY_MS 1

/* The end of a turn. Takes what is there by now and no more: work that goes on deferring itself (a
 * stream whose input never ends) must leave descriptors and timers their turn. What is reaped while
 * work runs waits for the next turn, so that work deferred before a loop_reap always runs before it. */
void
loop_finish_turn(struct loop *loop)
{
    struct work_list works = STAILQ_HEAD_INITIALIZER(works);
    struct reap_list reaps = STAILQ_HEAD_INITIALIZER(reaps);
    struct loop_work *w;
    struct reaped *r;

    pthread_mutex_lock(&loop->work_lock);
    STAILQ_CONCAT(&works, &loop->work);
    pthread_mutex_unlock(&loop->work_lock);
    STAILQ_CONCAT(&reaps, &loop->reap);
    while ((w = STAILQ_FIRST(&works))) {
        STAILQ_REMOVE_HEAD(&works, link);
        w->fn(w);
    }
    while ((r = STAILQ_FIRST(&reaps))) {
        STAILQ_REMOVE_HEAD(&reaps, link);
        r->destroy(r->object);
        free(r);
    }
}

/* Loop role, or any thread where `reap` is known to be empty. */
bool
loop_pending(struct loop *loop)
{
    bool work;

    pthread_mutex_lock(&loop->work_lock);
    work = !STAILQ_EMPTY(&loop->work);
    pthread_mutex_unlock(&loop->work_lock);
    return work || !STAILQ_EMPTY(&loop->reap);
}

static void
run_callback(struct loop_fd *f, int events)
{
    struct loop *loop = f->loop;

    loop->current = f;
    f->fn(f, events); /* which may finish f */
    loop->current = NULL;
}

void
loop_turn(struct loop *loop, bool may_wait)
{
    bool wait = may_wait && !loop_pending(loop);

    loop->eventful = false;
    count(sys_poll);
    /* Without EVLOOP_ONCE it would go on for as long as a descriptor stays ready. */
    event_base_loop(loop->base, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (wait || loop->eventful) /* looking around while spinning is no turn */
        count(loop_turns);
    loop_finish_turn(loop);
}

bool
loop_peek(struct loop *loop)
{
    struct loop_fd *f = loop->hot;

    if (!f || !(f->watched & LOOP_READ))
        return false;
    run_callback(f, LOOP_READ);
    loop_finish_turn(loop);
    return true;
}

static void
on_wake(struct loop_fd *f, int events)
{
    uint64_t n;

    if (read(f->fd, &n, sizeof n) < 0 && errno != EAGAIN)
        log_error("loop", "eventfd: %s", strerror(errno));
}

void
loop_interrupt(struct loop *loop)
{
    uint64_t one = 1;

    count(loop_wakeups);
    /* Cannot fail: the counter has room. */
    if (write(loop->wake_fd, &one, sizeof one) < 0)
        log_error("loop", "eventfd: %s", strerror(errno));
}

static void
on_till(struct loop_timer *t)
{
}

static void
on_lazy_timer(struct loop_timer *t)
{
    loop_hurry(owner_of(t, struct loop, lazy_timer));
}

static void
arm_lazy_timer(struct loop_work *w)
{
    struct loop *loop = owner_of(w, struct loop, arm);

    loop_timer_set(&loop->lazy_timer, LAZY_MS);
}

struct loop *
loop_create(struct err *err)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    struct event_config *config = event_config_new();

    must(config);
    /* Other threads never touch the base: no locks, and no wake-up descriptor of libevent's own. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!loop->base || loop->wake_fd < 0) {
        err_errno(err, ERR_SYSTEM, errno, "cannot create an event loop");
        if (loop->base)
            event_base_free(loop->base);
        if (loop->wake_fd >= 0)
            close(loop->wake_fd);
        free(loop);
        return NULL;
    }
    pthread_mutex_init(&loop->work_lock, NULL);
    STAILQ_INIT(&loop->work);
    STAILQ_INIT(&loop->lazy);
    STAILQ_INIT(&loop->reap);
    loop->arm.fn = arm_lazy_timer;
    role_init(loop);
    loop_fd_init(&loop->wake, loop, loop->wake_fd, on_wake);
    loop_fd_watch(&loop->wake, LOOP_READ);
    loop_timer_init(&loop->till, loop, on_till);
    loop_timer_init(&loop->lazy_timer, loop, on_lazy_timer);
    return loop;
}

void
loop_destroy(struct loop *loop)
{
    loop_stop(loop);
    loop_hurry(loop);
    while (loop_pending(loop))
        loop_finish_turn(loop);
    loop_timer_fini(&loop->till);
    loop_timer_fini(&loop->lazy_timer);
    loop_fd_fini(&loop->wake);
    close(loop->wake_fd);
    event_base_free(loop->base);
    pthread_mutex_destroy(&loop->work_lock);
    role_fini(loop);
    free(loop);
}

void
loop_defer(struct loop *loop, struct loop_work *work)
{
    bool first;

    pthread_mutex_lock(&loop->work_lock);
    first = STAILQ_EMPTY(&loop->work);
    STAILQ_INSERT_TAIL(&loop->work, work, link);
    pthread_mutex_unlock(&loop->work_lock);
    /* For work that was waiting already somebody has rung, and who runs the loop looks before it
     * sleeps. */
    if (first)
        role_ring(loop);
}

void
loop_defer_lazily(struct loop *loop, struct loop_work *work)
{
    bool arm;

    pthread_mutex_lock(&loop->work_lock);
    STAILQ_INSERT_TAIL(&loop->lazy, work, link);
    arm = !loop->lazy_armed;
    loop->lazy_armed = true;
    pthread_mutex_unlock(&loop->work_lock);
    /* Whoever takes a free role runs what is lazy first, and the broker does so before long. */
    if (arm && !role_is_free(loop))
        loop_defer(loop, &loop->arm);
}

bool
loop_hurry(struct loop *loop)
{
    bool some;

    pthread_mutex_lock(&loop->work_lock);
    some = !STAILQ_EMPTY(&loop->lazy);
    STAILQ_CONCAT(&loop->work, &loop->lazy);
    loop->lazy_armed = false;
    pthread_mutex_unlock(&loop->work_lock);
    return some;
}

void
loop_reap(struct loop *loop, void (*destroy)(void *), void *object)
{
    struct reaped *r = xmalloc(sizeof *r);

    *r = (struct reaped){.destroy = destroy, .object = object};
    STAILQ_INSERT_TAIL(&loop->reap, r, link);
}

/* ---- descriptors ---- */

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
    struct loop_fd *f = arg;

    f->loop->eventful = true;
    run_callback(f, what & EV_WRITE ? LOOP_WRITE : LOOP_READ);
}

void
loop_fd_init(struct loop_fd *f, struct loop *loop, int fd, void (*fn)(struct loop_fd *, int))
{
    *f = (struct loop_fd){.loop = loop, .fn = fn, .fd = fd};
    event_assign(&f->read, loop->base, fd, EV_READ | EV_PERSIST, on_fd, f);
    event_assign(&f->write, loop->base, fd, EV_WRITE | EV_PERSIST, on_fd, f);
}

static void
watch(struct event *ev, bool on)
{
    count(poller_changes);
    if (on ? event_add(ev, NULL) < 0 : event_del(ev) < 0)
        log_error("loop", "cannot %s fd %d: %s", on ? "watch" : "stop watching", event_get_fd(ev),
            strerror(errno));
}

void
loop_fd_watch(struct loop_fd *f, int events)
{
    int changed = f->watched ^ events;

    if (changed & LOOP_READ)
        watch(&f->read, events & LOOP_READ);
    if (changed & LOOP_WRITE)
        watch(&f->write, events & LOOP_WRITE);
    f->watched = events;
}

void
loop_fd_fini(struct loop_fd *f)
{
    if (!f->loop)
        return;
    loop_fd_watch(f, 0);
    if (f->loop->current == f)
        f->loop->current = NULL;
    if (f->loop->hot == f)
        f->loop->hot = NULL;
    f->loop = NULL;
}

/* ---- timers ---- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *t = arg;

    t->loop->eventful = true;
    t->fn(t);
}

void
loop_timer_init(struct loop_timer *t, struct loop *loop, void (*fn)(struct loop_timer *))
{
    *t = (struct loop_timer){.loop = loop, .fn = fn};
    evtimer_assign(&t->ev, loop->base, on_timer, t);
}

void
loop_timer_set(struct loop_timer *t, int64_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    evtimer_add(&t->ev, &tv);
}

void
loop_timer_stop(struct loop_timer *t)
{
    if (t->loop)
        evtimer_del(&t->ev);
}

void
loop_timer_fini(struct loop_timer *t)
{
    loop_timer_stop(t);
    t->loop = NULL;
}

/* ---- children ---- */

static void
child_check(struct loop_child *c)
{
    int status = 0;
    pid_t got = waitpid(c->pid, &status, WNOHANG);

    if (got == 0) {
        if (c->pidfd < 0)
            loop_timer_set(&c->poll, CHILD_POLL_MS);
        return;
    }
    if (got < 0) { /* somebody else's waitpid took it: what is unknown must not look like success */
        log_warn("loop", "child %d was reaped elsewhere: %s", (int)c->pid, strerror(errno));
        status = W_EXITCODE(255, 0);
    }
    loop_child_fini(c);
    c->fn(c, status);
}

static void
on_child_fd(struct loop_fd *f, int events)
{
    child_check(owner_of(f, struct loop_child, fd));
}

static void
on_child_timer(struct loop_timer *t)
{
    child_check(owner_of(t, struct loop_child, poll));
}

void
loop_child_init(
    struct loop_child *c, struct loop *loop, pid_t pid, void (*fn)(struct loop_child *, int))
{
    *c = (struct loop_child){.loop = loop, .fn = fn, .pid = pid};
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->pidfd >= 0) { /* close-on-exec by definition */
        loop_fd_init(&c->fd, loop, c->pidfd, on_child_fd);
        loop_fd_watch(&c->fd, LOOP_READ);
    } else {
        loop_timer_init(&c->poll, loop, on_child_timer);
        loop_timer_set(&c->poll, CHILD_POLL_MS);
    }
}

void
loop_child_fini(struct loop_child *c)
{
    if (!c->loop)
        return;
    if (c->pidfd >= 0) {
        loop_fd_fini(&c->fd);
        close(c->pidfd);
        c->pidfd = -1;
    } else {
        loop_timer_fini(&c->poll);
    }
    c->loop = NULL;
}
