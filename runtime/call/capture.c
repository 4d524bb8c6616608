#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"
#include "pack.h"

#define CAPTURE_NICE 10

struct capture {
    TAILQ_ENTRY(capture) link;
    struct captures *owner;  /* [I] */
    struct mailbox *mb;      /* [I] counted */
    char **argv;             /* [I] */
    uint32_t seq;            /* [I] */
    struct loop_work work;   /* enters the loop */
    struct loop_child child; /* [L] */
    int out;                 /* [L] what it has written; -1: it does not run */
    pid_t pid;               /* [L] 0: the same */
};

TAILQ_HEAD(capture_list, capture);

/* [I] immutable, [L] loop role only, [a] atomic */
struct captures {
    struct loop *loop;        /* [I] */
    atomic_uint next_seq;     /* [a] */
    struct capture_list list; /* [L] in the order in which they were asked for */
    int running;              /* [L] */
    int most;                 /* [I] */
};

static void start_queued(struct captures *cs);

static void
capture_free(void *arg)
{
    struct capture *c = arg;

    for (char **word = c->argv; *word; word++)
        free(*word);
    free(c->argv);
    mailbox_unref(c->mb);
    free(c);
}

/* Takes the descriptor and the child away from the loop. */
static void
stop_watching(struct capture *c)
{
    if (!c->pid)
        return;
    loop_child_fini(&c->child);
    close(c->out);
    c->pid = 0;
    c->owner->running--;
}

/* The end of each of them. Takes what it has said. */
static void
finish(struct capture *c, uint32_t status, struct buf *said)
{
    struct captures *cs = c->owner;
    struct buf b = {0};
    struct msg *m;

    stop_watching(c);
    pack_u32(&b, status);
    if (buf_len(said))
        buf_append(&b, buf_head(said), buf_len(said));
    m = pack_msg(HANDLE_RUN, &b);
    buf_fini(&b);
    buf_fini(said);
    m->h.seq = c->seq;
    mailbox_post(c->mb, m);
    TAILQ_REMOVE(&cs->list, c, link);
    loop_reap(cs->loop, capture_free, c);
}

static void
read_all(int fd, struct buf *said)
{
    off_t size = lseek(fd, 0, SEEK_CUR); /* where the program's last write ended */
    ssize_t n = size > 0 ? pread(fd, buf_reserve(said, (size_t)size), (size_t)size, 0) : 0;

    if (n > 0)
        buf_commit(said, (size_t)n);
}

/* What it has left running, if anything, may go on writing; that is not wanted. */
static void
on_ended(struct loop_child *child, int status)
{
    struct capture *c = owner_of(child, struct capture, child);
    struct captures *cs = c->owner;
    struct buf said = {0};

    read_all(c->out, &said);
    finish(
        c, (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)), &said);
    start_queued(cs);
}

/* 0 with the pid, or an errno. `end` becomes stdout and stderr. */
static int
spawn(struct capture *c, int end)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t all, none;
    int rc;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, end, 1);
    posix_spawn_file_actions_adddup2(&files, end, 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(
        &how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setsigmask(&how, &none);
    rc = posix_spawnp(&c->pid, c->argv[0], &files, &how, c->argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (rc)
        c->pid = 0;
    else /* it is in nobody's way who is at work already */
        (void)setpriority(PRIO_PROCESS, (id_t)c->pid, CAPTURE_NICE);
    return rc;
}

/*
 * Where it writes: memory, of a size that cannot grow, and none of 0 to 2, whatever the host program had
 * closed. ssh writes line by line; with a pipe each line would wake us. Negative: an errno.
 */
static int
open_output(void)
{
    int low = memfd_create("orrery-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd, error;

    if (low < 0)
        return -errno;
    fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
    error = errno;
    close(low);
    if (fd < 0)
        return -error;
    if (ftruncate(fd, CAPTURE_MAX) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

static void
start(struct capture *c)
{
    struct captures *cs = c->owner;
    struct buf said = {0};
    int out = open_output(), rc = out < 0 ? -out : spawn(c, out);

    if (rc) {
        if (out >= 0)
            close(out);
        buf_printf(&said, "%s: %s", c->argv[0], strerror(rc));
        finish(c, rc == ENOENT ? 127 : 126, &said);
        return;
    }
    cs->running++;
    c->out = out;
    loop_child_init(&c->child, cs->loop, c->pid, on_ended);
}

static void
start_queued(struct captures *cs)
{
    struct capture *c, *next;

    for (c = TAILQ_FIRST(&cs->list); c && cs->running < cs->most; c = next) {
        next = TAILQ_NEXT(c, link);
        if (!c->pid)
            start(c);
    }
}

static void
entered(struct loop_work *w)
{
    struct capture *c = owner_of(w, struct capture, work);

    TAILQ_INSERT_TAIL(&c->owner->list, c, link);
    start_queued(c->owner);
}

uint32_t
capture_run(struct captures *cs, const char *const *argv, struct mailbox *mb)
{
    struct capture *c = xcalloc(1, sizeof *c);
    uint32_t seq = atomic_fetch_add(&cs->next_seq, 1);
    size_t n = 0;

    while (argv[n])
        n++;
    c->owner = cs;
    c->mb = mailbox_ref(mb);
    c->argv = xcalloc(n + 1, sizeof *c->argv);
    for (size_t i = 0; i < n; i++)
        c->argv[i] = xstrdup(argv[i]);
    c->seq = seq;
    c->work.fn = entered;
    loop_defer(cs->loop, &c->work);
    return seq;
}

struct captures *
captures_create(struct loop *loop)
{
    struct captures *cs = xcalloc(1, sizeof *cs);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    cs->loop = loop;
    cs->most = cpus > 1 ? (int)cpus : 2;
    atomic_init(&cs->next_seq, 1);
    TAILQ_INIT(&cs->list);
    return cs;
}

static void
kill_all(void *arg)
{
    struct captures *cs = arg;
    struct capture *c, *next;

    for (c = TAILQ_FIRST(&cs->list); c; c = next) {
        pid_t pid = c->pid;

        next = TAILQ_NEXT(c, link);
        stop_watching(c);
        if (pid) {
            kill(-pid, SIGKILL);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
        TAILQ_REMOVE(&cs->list, c, link);
        loop_reap(cs->loop, capture_free, c);
    }
}

void
captures_destroy(struct captures *cs)
{
    loop_sync(cs->loop, kill_all, cs);
    free(cs);
}
