#include "askpass.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ask_once.h"
#include "askpass_text.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pack.h"
#include "thread.h"

enum {
    NAME_BYTES = 16,
    NAME_SIZE = 64,
    REQUEST_MAX = 16 << 10,
    REQUEST_MS = 5000,
    ANCESTORS = 16,
    TRIES = 3
};

/* [I] immutable, [L] loop role only, [T] of the thread while there is one, else [L] */
struct askpass {
    struct loop *loop;                 /* [I] */
    struct asker *asker;               /* [I] */
    char *host;                        /* [I] */
    const char *password, *passphrase; /* [T] NULL once they were given */
    const char *typed_password;        /* [T] the same for keyboard-interactive */
    char *environment[4];              /* [I] */
    int fd;                            /* [I] listens */
    struct loop_fd watch;              /* [L] */
    pid_t pid;                         /* [I] once it is watched */
    void (*busy)(void *, bool);        /* [I] the same */
    void *busy_arg;

    pthread_t thread;      /* [L] */
    bool asking;           /* [L] there is a thread */
    bool stopped;          /* [L] */
    atomic_bool cancel;    /* tells the thread */
    struct loop_work work; /* the thread is done */

    char *last;  /* [T] the question before this one: the same again means that it was wrong */
    int attempt; /* [T] */
    struct ask_once once; /* [T] passphrases */
};

/* ---- one question: on its thread ---- */

static char *
once_name(const char *path)
{
    return xasprintf("passphrase of %s", path);
}

static int
ask_passphrase(struct askpass *a, const struct ssh_question *q, char **answer, struct err *err)
{
    char *name = once_name(q->subject);
    int rc = ask_once(&a->once, a->asker, name, q, &a->cancel, answer, err);

    free(name);
    return rc;
}

/* What the script has given beforehand, once; for the host itself, and not for one on the way there. */
static const char *
given(struct askpass *a, const struct ssh_question *q, bool direct)
{
    const char **from = NULL, *secret;

    if (q->kind == SSH_ASK_PASSWORD && direct)
        from = &a->password;
    else if (q->kind == SSH_ASK_PROMPT && direct && strcasestr(q->text, "passw"))
        from = &a->typed_password;
    else if (q->kind == SSH_ASK_PASSPHRASE && q->attempt == 1)
        return a->passphrase;
    if (!from)
        return NULL;
    secret = *from;
    *from = NULL;
    return secret;
}

static void
count_attempt(struct askpass *a, struct ssh_question *q, const char *text)
{
    bool same = a->last && strcmp(a->last, text) == 0;
    int before = a->attempt;

    q->attempt = a->attempt = same ? before + 1 : 1;
    if (same)
        return;
    /* ssh goes on to something else once it is right, or thrice wrong */
    ask_once_settle(&a->once, before < TRIES);
    free(a->last);
    a->last = xstrdup(text);
}

static int
find_answer(struct askpass *a, const char *text, bool direct, char **answer, struct err *err)
{
    struct ssh_question q = {.host = a->host};
    struct askpass_text parts;
    const char *secret;
    int rc;

    askpass_text_init(&parts, text, direct ? a->host : NULL, &q);
    count_attempt(a, &q, text);
    secret = given(a, &q, direct);
    if (secret) {
        *answer = xstrdup(secret);
        rc = 0;
    } else if (q.kind == SSH_ASK_PASSPHRASE) {
        rc = ask_passphrase(a, &q, answer, err);
    } else {
        rc = asker_ask(a->asker, &q, &a->cancel, answer, err);
    }
    askpass_text_fini(&parts);
    return rc;
}

static pid_t
parent_of(pid_t pid)
{
    char path[40], text[512], *end;
    FILE *f;
    size_t n;
    long parent = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    end = strrchr(text, ')'); /* the name may have anything in it */
    if (end && strlen(end) > 4)
        parent = strtol(end + 4, NULL, 10);
    return (pid_t)parent;
}

/* Is it of this user, and does it descend from our ssh? *direct: is that its parent? */
static bool
is_trusted(const struct askpass *a, int fd, bool *direct)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    pid_t pid;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != geteuid())
        return false;
    pid = parent_of(peer.pid);
    *direct = pid == a->pid;
    for (int i = 0; i < ANCESTORS && pid > 1 && pid != a->pid; i++)
        pid = parent_of(pid);
    return pid == a->pid;
}

static char *
read_request(struct askpass *a, int fd)
{
    char *text = xcalloc(1, REQUEST_MAX + 1);
    int64_t deadline = clock_ms() + REQUEST_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = 0;

    while (!atomic_load(&a->cancel) && clock_left(deadline) > 0)
        if (poll(&p, 1, 50) > 0) {
            n = recv(fd, text, REQUEST_MAX, MSG_DONTWAIT);
            break;
        }
    if (n > 0)
        return text;
    free(text);
    return NULL;
}

/* u8: is there an answer? Then that, or why there is none. */
static void
send_answer(int fd, const char *answer, const char *why)
{
    struct buf b = {0};

    pack_u8(&b, answer != NULL);
    buf_append(&b, answer ? answer : why, strlen(answer ? answer : why));
    if (send(fd, buf_head(&b), buf_len(&b), MSG_NOSIGNAL) < 0)
        log_debug("askpass", "who asked is gone: %s", strerror(errno));
    explicit_bzero(b.data, b.cap);
    buf_fini(&b);
}

static void *
question_thread(void *arg)
{
    struct askpass *a = arg;
    int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC);
    char *text = NULL, *answer = NULL;
    struct err err;
    bool direct;

    pthread_setname_np(pthread_self(), "orrery-askpass");
    if (fd >= 0 && is_trusted(a, fd, &direct) && (text = read_request(a, fd))) {
        if (find_answer(a, text, direct, &answer, &err))
            send_answer(fd, NULL, err.msg);
        else
            send_answer(fd, answer, NULL);
    }
    secret_free(answer);
    free(text);
    if (fd >= 0)
        close(fd);
    loop_defer(a->loop, &a->work);
    return NULL;
}

/* ---- on the loop ---- */

static void
on_answered(struct loop_work *w)
{
    struct askpass *a = owner_of(w, struct askpass, work);

    if (a->stopped)
        return;
    pthread_join(a->thread, NULL);
    a->asking = false;
    a->busy(a->busy_arg, false);
    loop_fd_watch(&a->watch, LOOP_READ);
}

static void
on_question(struct loop_fd *f, int events)
{
    struct askpass *a = owner_of(f, struct askpass, watch);
    int rc;

    loop_fd_watch(f, 0);
    a->work.fn = on_answered;
    rc = thread_start(&a->thread, 256u << 10, question_thread, a);
    if (rc) {
        log_error("askpass", "%s: cannot start a thread to ask with: %s", a->host, strerror(rc));
        return;
    }
    a->asking = true;
    a->busy(a->busy_arg, true);
}

static int
listen_abstract(const char *name, struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    size_t n = strlen(name);

    memcpy(un.sun_path + 1, name, n);
    if (fd < 0 ||
        bind(fd, (struct sockaddr *)&un,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0 ||
        listen(fd, 8) < 0) {
        err_errno(err, ERR_SYSTEM, errno, "no socket for the questions of ssh");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

struct askpass *
askpass_create(const struct askpass_options *o, struct err *err)
{
    char name[NAME_SIZE] = "orrery-";
    struct askpass *a;
    int fd;

    random_hex(name + strlen(name), NAME_BYTES);
    fd = listen_abstract(name, err);
    if (fd < 0)
        return NULL;
    a = xcalloc(1, sizeof *a);
    a->loop = o->loop;
    a->asker = o->asker;
    a->host = xstrdup(o->host);
    a->password = a->typed_password = o->password;
    a->passphrase = o->passphrase;
    a->fd = fd;
    a->environment[0] = xasprintf("SSH_ASKPASS=%s", o->program);
    a->environment[1] = xstrdup("SSH_ASKPASS_REQUIRE=force");
    a->environment[2] = xasprintf("ORRERY_ASKPASS=%s", name);
    return a;
}

const char *const *
askpass_environment(const struct askpass *a)
{
    return (const char *const *)a->environment;
}

void
askpass_watch(struct askpass *a, pid_t pid, void (*busy)(void *arg, bool yes), void *arg)
{
    a->pid = pid;
    a->busy = busy;
    a->busy_arg = arg;
    loop_fd_init(&a->watch, a->loop, a->fd, on_question);
    loop_fd_watch(&a->watch, LOOP_READ);
}

void
askpass_right(struct askpass *a)
{
    if (!a->asking)
        ask_once_settle(&a->once, true);
}

void
askpass_stop(struct askpass *a)
{
    if (!a || a->stopped)
        return;
    a->stopped = true;
    loop_fd_fini(&a->watch);
    atomic_store(&a->cancel, true);
    if (a->asking) {
        ask_hurry();
        pthread_join(a->thread, NULL);
    }
    ask_once_settle(&a->once, false);
}

void
askpass_destroy(struct askpass *a)
{
    if (!a)
        return;
    askpass_stop(a);
    close(a->fd);
    for (size_t i = 0; a->environment[i]; i++)
        free(a->environment[i]);
    free(a->last);
    free(a->host);
    free(a);
}
