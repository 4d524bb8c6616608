#include "command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "log.h"

/* ---- to the asker ---- */

/* Nobody hears what we say any more. */
static bool
deaf(const struct command *c)
{
    return c->lost || c->done;
}

void
command_say(struct command *c, struct msg *m)
{
    if (deaf(c)) {
        msg_unref(m);
        return;
    }
    m->h.handle = c->reply;
    m->h.seq = c->seq;
    m->h.reply = HANDLE_RUN; /* so that we are told if nobody listens there any more */
    /* All of them: output is bulk, and none of the others may overtake it. */
    m->h.flags |= FRAME_BULK;
    TAILQ_INSERT_TAIL(&c->queue, m, link);
    command_flush(c);
}

void
command_flush(struct command *c)
{
    struct msg *m;
    while ((m = TAILQ_FIRST(&c->queue))) {
        struct err err;
        TAILQ_REMOVE(&c->queue, m, link);
        msg_ref(m);
        int rc = c->lost ? 0 : router_send(c->asker, m, &err);
        if (rc == ERR_LIMIT) {
            enum { RETRY_MS = 5 };
            TAILQ_INSERT_HEAD(&c->queue, m, link);
            loop_timer_set(&c->retry, RETRY_MS);
            return;
        }
        if (c->lost)
            msg_unref(m);
        msg_unref(m);
        if (rc < 0)
            command_lost(c);
    }
}

static void
say_bytes(struct command *c, char kind, const void *p, size_t n)
{
    struct buf *b = &c->service->scratch;
    pack_u8(b, (uint8_t)kind);
    pack_bytes(b, p, n);
    command_say(c, pack_msg(0, b));
}

void
command_say_failed(struct command *c)
{
    struct buf *b = &c->service->scratch;
    pack_u8(b, 'F');
    pack_u8(b, (uint8_t)-c->why.code);
    pack_str(b, c->why.msg);
    command_say(c, pack_msg(0, b));
}

/* ---- output ---- */

static size_t
output_room(const struct command *c)
{
    if (deaf(c))
        return COMMAND_READ; /* read and dropped: a closed pipe would kill it before its TERM does */
    return TAILQ_EMPTY(&c->queue) ? COMMAND_WINDOW - c->unacked : 0;
}

void
command_output_close(struct command_output *o)
{
    if (!o->open)
        return;
    loop_fd_fini(&o->fd);
    close(o->fd.fd);
    o->open = false;
}

static void
output_took(struct command_output *o, size_t n)
{
    struct command *c = o->command;
    if (!deaf(c)) {
        c->unacked += n;
        say_bytes(c, o->kind, c->service->block, n);
    }
    if (!o->last)
        return;
    o->left -= n;
    if (o->left == 0)
        command_output_close(o);
}

/* One read a wake-up, so that no command holds the loop. */
static void
output_read(struct command_output *o)
{
    struct command *c = o->command;
    size_t n = output_room(c);
    if (n > COMMAND_READ)
        n = COMMAND_READ;
    if (o->last && n > o->left)
        n = o->left;
    if (n == 0)
        return;
    ssize_t got = read(o->fd.fd, c->service->block, n);
    if (got > 0)
        output_took(o, (size_t)got);
    else if (got == 0 || o->last || (errno != EAGAIN && errno != EINTR))
        command_output_close(o);
}

static void
on_output(struct loop_fd *fd, int events)
{
    struct command_output *o = owner_of(fd, struct command_output, fd);
    struct command *c = o->command;
    output_read(o);
    command_outputs_resume(c);
    command_settle(c);
}

static void
output_start(struct command *c, struct command_output *o, char kind, int fd)
{
    o->command = c;
    o->kind = kind;
    if (fd < 0)
        return;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    loop_fd_init(&o->fd, c->service->loop, fd, on_output);
    o->open = true;
}

void
command_outputs_start(struct command *c, int out, int err)
{
    output_start(c, &c->out, 'O', out);
    output_start(c, &c->err, 'E', err);
}

void
command_outputs_resume(struct command *c)
{
    /* Not before 'S' has gone out. */
    int events = c->started && output_room(c) > 0 ? LOOP_READ : 0;
    if (c->out.open)
        loop_fd_watch(&c->out.fd, events);
    if (c->err.open)
        loop_fd_watch(&c->err.fd, events);
}

static void
output_finish(struct command_output *o)
{
    int left = 0;
    if (!o->open || o->last)
        return;
    ioctl(o->fd.fd, FIONREAD, &left);
    o->last = true;
    o->left = left > 0 ? (size_t)left : 0;
    if (o->left == 0)
        command_output_close(o);
}

void
command_outputs_finish(struct command *c)
{
    output_finish(&c->out);
    output_finish(&c->err);
}

void
command_credit(struct command *c, uint32_t n)
{
    if (n > c->unacked) {
        command_broken(c, ERR_PROTOCOL, "credit for more than was sent");
        return;
    }
    c->unacked -= n;
    command_outputs_resume(c);
}

/* ---- input ---- */

/* write() to a pipe without readers, in a program whose SIGPIPE is not ours to change. */
static ssize_t
write_quietly(int fd, const void *p, size_t n)
{
    sigset_t pipe_only, old, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    if (sigismember(&old, SIGPIPE)) /* the broker thread: nothing to undo */
        return write(fd, p, n);
    sigpending(&pending);
    ssize_t did = write(fd, p, n);
    int errnum = errno;
    if (did < 0 && errnum == EPIPE && !sigismember(&pending, SIGPIPE)) {
        struct timespec now = {0};
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = errnum;
    return did;
}

/* Tells the asker in pieces that are worth a message. */
static void
input_credit(struct command *c)
{
    if (c->in_done == 0 || (buf_len(&c->in_queue) > 0 && c->in_done < COMMAND_WINDOW / 4))
        return;
    struct buf *b = &c->service->scratch;
    pack_u8(b, 'W');
    pack_u32(b, (uint32_t)c->in_done);
    c->in_held -= c->in_done;
    c->in_done = 0;
    command_say(c, pack_msg(0, b));
}

static void
input_drop(struct command *c)
{
    c->in_done += buf_len(&c->in_queue);
    buf_consume(&c->in_queue, buf_len(&c->in_queue));
}

void
command_input_close(struct command *c)
{
    if (c->in_open) {
        loop_fd_fini(&c->in);
        close(c->in.fd);
        c->in_open = false;
    }
    input_drop(c);
}

static void
input_write(struct command *c)
{
    while (buf_len(&c->in_queue) > 0) {
        ssize_t n = write_quietly(c->in.fd, buf_head(&c->in_queue), buf_len(&c->in_queue));
        if (n > 0) {
            buf_consume(&c->in_queue, (size_t)n);
            c->in_done += (size_t)n;
        } else if (errno == EAGAIN) {
            loop_fd_watch(&c->in, LOOP_WRITE);
            return;
        } else if (errno != EINTR) {
            command_input_close(c); /* EPIPE: it does not want to know the rest */
            return;
        }
    }
    loop_fd_watch(&c->in, 0);
    if (c->in_last) {
        command_input_close(c);
        command_keep(c);
    }
}

static void
on_input(struct loop_fd *fd, int events)
{
    struct command *c = owner_of(fd, struct command, in);
    input_write(c);
    input_credit(c);
    command_settle(c);
}

void
command_input_start(struct command *c, int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    loop_fd_init(&c->in, c->service->loop, fd, on_input);
    c->in_open = true;
    c->in_wanted = true;
}

void
command_input(struct command *c, const void *p, size_t n)
{
    if (deaf(c))
        return;
    if (!c->in_wanted || c->in_last) {
        command_broken(
            c, ERR_PROTOCOL, c->in_last ? "stdin after its end" : "stdin that was not announced");
        return;
    }
    if (n > COMMAND_WINDOW - c->in_held) {
        command_broken(c, ERR_PROTOCOL, "more stdin than there is credit for");
        return;
    }
    c->in_last = n == 0;
    c->in_held += n;
    buf_append(&c->in_queue, p, n);
    if (c->in_open)
        input_write(c);
    else
        input_drop(c);
    input_credit(c);
}
