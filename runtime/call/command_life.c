#include "command_internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "clock.h"
#include "log.h"

/* How often one looks whether a group that got its TERM is gone: there is no event for it. */
#define GROUP_POLL_MS 20

/* False: we may not. A command can have become somebody else (sudo). */
static bool
group_signal(const struct command *c, int sig)
{
    if (kill(-c->pid, sig) < 0 && errno != ESRCH) {
        log_warn("command", "%s (group %d): signal %d: errno %d", c->name, (int)c->pid, sig, errno);
        return false;
    }
    if (sig == SIGTERM)
        kill(-c->pid, SIGCONT); /* a stopped process takes no TERM */
    return true;
}

static bool
group_alive(const struct command *c)
{
    return kill(-c->pid, 0) == 0 || errno != ESRCH;
}

void
command_running(struct command *c)
{
    struct buf *b = &c->service->scratch;
    pack_u8(b, 'S');
    pack_u32(b, (uint32_t)c->pid);
    c->started = true;
    command_say(c, pack_msg(0, b));
    command_outputs_resume(c);
}

void
command_exited(struct command *c, int status)
{
    c->exited = true;
    c->exit_status = status;
    command_input_close(c);
    if (c->failed) { /* it never ran */
        command_output_close(&c->out);
        command_output_close(&c->err);
    }
    /* What it left behind without being told to end may stay; and the group's number may soon be
     * somebody else's. */
    if (!c->ending && c->service->guardian)
        guardian_dismiss(c->service->guardian, c->pid);
}

void
command_terminate(struct command *c)
{
    if (c->ending)
        return;
    if (c->exited) { /* no group of ours any more; only output that is waited for */
        command_output_close(&c->out);
        command_output_close(&c->err);
        return;
    }
    c->ending = true;
    if (c->kept && c->service->guardian)
        guardian_keep_not(c->service->guardian, c->pid);
    log_debug("command", "%s (group %d): TERM", c->name, (int)c->pid);
    group_signal(c, SIGTERM);
    loop_timer_set(&c->deadline, c->grace_ms);
}

void
command_kill(struct command *c)
{
    if (c->killed || (c->exited && !c->ending))
        return;
    c->ending = c->killed = true;
    log_debug("command", "%s (group %d): KILL", c->name, (int)c->pid);
    if (group_signal(c, SIGKILL) || c->exited)
        return;
    /* Nobody may wait for what we cannot bring about. Without its pipes it may yet end by itself. */
    command_broken(
        c, c->timed_out ? ERR_TIMEOUT : ERR_COMMAND, "it belongs to another user and goes on");
    command_input_close(c);
    command_output_close(&c->out);
    command_output_close(&c->err);
}

void
command_keep(struct command *c)
{
    struct command_service *s = c->service;
    if (!c->finish || c->ending || c->exited || !s->guardian)
        return;
    int out = c->out.open ? c->out.fd.fd : -1;
    int err = c->err.open ? c->err.fd.fd : -1;
    c->kept = guardian_keep(s->guardian, c->pid, out, err, c->timeout_at) == 0;
}

void
command_lost(struct command *c)
{
    if (c->lost)
        return;
    c->lost = true;
    log_debug("command", "%s (group %d): its asker is gone", c->name, (int)c->pid);
    if (c->kept && !c->ending) { /* what it says is read and dropped */
        command_outputs_resume(c);
        return;
    }
    if (c->grace_ms > COMMAND_LOST_MS) {
        c->grace_ms = COMMAND_LOST_MS;
        if (c->ending && !c->killed)
            loop_timer_set(&c->deadline, COMMAND_LOST_MS);
    }
    command_terminate(c);
    command_outputs_resume(c);
}

void
command_broken(struct command *c, int code, const char *what)
{
    if (c->done)
        return;
    err_set(&c->why, code, "%s: %s", c->name, what);
    command_say_failed(c);
    c->done = true;
    command_terminate(c);
    command_outputs_resume(c);
}

/* ---- timers ---- */

static void
on_deadline(struct loop_timer *t)
{
    struct command *c = owner_of(t, struct command, deadline);
    if (c->ending) {
        command_kill(c);
    } else if (!c->exited) {
        c->timed_out = true;
        command_terminate(c);
    }
    command_settle(c);
}

static void
on_watch(struct loop_timer *t)
{
    command_settle(owner_of(t, struct command, watch));
}

static void
on_retry(struct loop_timer *t)
{
    struct command *c = owner_of(t, struct command, retry);
    command_flush(c);
    command_outputs_resume(c);
    command_settle(c);
}

void
command_timers_init(struct command *c)
{
    loop_timer_init(&c->deadline, c->service->loop, on_deadline);
    loop_timer_init(&c->watch, c->service->loop, on_watch);
    loop_timer_init(&c->retry, c->service->loop, on_retry);
    if (c->timeout_ms > 0)
        loop_timer_set(&c->deadline, c->timeout_ms);
}

/* ---- the end ---- */

static bool
outputs_open(const struct command *c)
{
    return c->out.open || c->err.open;
}

/* Somebody else may hold a pipe open: after a while, what is in it now is all that is taken. */
static void
linger(struct command *c)
{
    int64_t now = clock_ms();
    if (c->linger_at == 0)
        c->linger_at = now + COMMAND_LINGER_MS;
    if (now >= c->linger_at)
        command_outputs_finish(c);
    else
        loop_timer_set(&c->watch, c->linger_at - now);
}

static void
say_end(struct command *c)
{
    int status = c->exit_status;
    if (c->failed) {
        command_say_failed(c);
    } else {
        struct buf *b = &c->service->scratch;
        pack_u8(b, 'X');
        pack_u32(b, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
        pack_u32(b, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
        pack_u8(b, c->timed_out);
        command_say(c, pack_msg(0, b));
    }
    c->done = true;
}

void
command_settle(struct command *c)
{
    if (c->freed || !c->exited || c->status_open)
        return;
    if (c->ending && !c->killed && group_alive(c)) {
        loop_timer_set(&c->watch, GROUP_POLL_MS);
        return;
    }
    if (!c->done && !c->lost && outputs_open(c)) {
        linger(c);
        if (outputs_open(c))
            return;
    }
    if (!c->done)
        say_end(c);
    if (c->lost || TAILQ_EMPTY(&c->queue))
        command_remove(c);
}
