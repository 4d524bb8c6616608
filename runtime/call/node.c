#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "children.h"
#include "clock.h"
#include "command.h"
#include "handshake.h"
#include "images.h"
#include "keeper.h"
#include "listener.h"
#include "log.h"
#include "meeting.h"
#include "mem.h"
#include "once.h"
#include "process.h"
#include "stream.h"

#define CONFIG_SECONDS 30
#define FAREWELL_MS 1000 /* for what an agent still has to say when it ends itself */

/* [I] immutable after creation (and node_join), [L] loop role only, [n] lock */
struct node {
    struct loop *loop;                /* [I] */
    struct router *router;            /* [I] */
    struct command_service *commands; /* [I] agents only */
    struct file_service *files;       /* [I] */
    struct children *children;        /* [I] */
    struct captures *captures;        /* [I] */
    struct keepers *keepers;          /* [I] */
    const struct ssh_library *ssh;    /* [I] before the first child is opened; or NULL */
    struct texts *texts;              /* [I] */
    struct shared *modules;           /* [I] */
    char *agent_dir;                  /* [I] */
    char *agent_program;              /* [I] or NULL */

    pthread_mutex_t lock;
    struct images *images;     /* [n] opened with the first child */
    struct listener *listener; /* [n] */
    char *attached; /* [n] a controller that has become a guest, at this path; then [I] */

    struct stream *parent;         /* [L] agents and guests */
    struct transport *parent_link; /* of node_join until the loop has it */
    int parent_fd;                 /* [L] of it, as long as it is open */
    int held_fd;                   /* [L] the same, until our children are gone; or -1 */
    bool configured;               /* [L] */
    bool parent_gone;              /* [L] */
    struct err parent_why;         /* [L] until `joined` is posted */
    sem_t joined;                  /* configured, or failed */
    sem_t parted;                  /* the stream has closed */
    void (*on_lost)(void *arg);    /* [L] NULL: nobody wants to know any more */
    void *on_lost_arg;             /* [L] */
};

static struct node *
create(uint32_t self, const char *name, struct err *err)
{
    struct node *n = xcalloc(1, sizeof *n);

    n->loop = loop_create(err);
    if (!n->loop || loop_start(n->loop, err) < 0) {
        if (n->loop)
            loop_destroy(n->loop);
        free(n);
        return NULL;
    }
    pthread_mutex_init(&n->lock, NULL);
    sem_init(&n->joined, 0, 0);
    sem_init(&n->parted, 0, 0);
    n->held_fd = -1;
    n->router = router_create(n->loop, self, name);
    n->texts = texts_create(n->router, self == CONTEXT_CONTROLLER);
    n->children = children_create(n->router, n->texts);
    n->captures = captures_create(n->loop);
    n->keepers = keepers_create(n->router);
    n->modules = shared_create(n->router, HANDLE_MODULE, HANDLE_FROM_ANYONE);
    return n;
}

struct node *
node_create(const char *agent_dir, struct err *err)
{
    struct node *n = create(CONTEXT_CONTROLLER, "controller", err);

    if (n) {
        n->agent_dir = xstrdup(agent_dir);
        n->files = file_service_create(n->router, false);
    }
    return n;
}

struct node *
node_create_agent(struct err *err)
{
    struct node *n = create(CONTEXT_NONE, "agent", err);

    if (n) {
        n->commands = command_service_create(n->router);
        n->files = file_service_create(n->router, true);
    }
    return n;
}

/* ---- the agent's stream to its parent ---- */

/* What it takes to open children. Without, it still does all else. */
static void
adopt_image(struct node *n, const struct config *c)
{
    struct err err;

    pthread_mutex_lock(&n->lock);
    n->images = images_of(n->agent_program, c->agent, &err);
    children_set_images(n->children, n->images);
    pthread_mutex_unlock(&n->lock);
    if (!n->images)
        log_debug("node", "%s", err.msg);
}

static void
on_config(struct node *n, struct msg *m)
{
    struct config c;
    struct err err;
    struct router_place place;

    if (config_parse(&c, m, &err) < 0) {
        config_fini(&c);
        stream_close(n->parent, &err, 0);
        return;
    }
    place = (struct router_place){.self = c.id,
        .name = c.name,
        .route = c.route,
        .ancestors = c.ancestors,
        .count = c.ancestor_count};
    router_set_parent(n->router, n->parent, &place);
    if (n->commands) { /* a guest has settings of its own, and opens nothing */
        log_set_level((int)c.log_level);
        loop_set_spin(n->loop, c.spin_ns);
        loop_set_attend(n->loop, c.attend);
        adopt_image(n, &c);
    }
    stream_keepalive(n->parent, c.keepalive_ms);
    log_debug("node", "context %u, %s, by way of %s", c.id, c.name, c.route);
    config_fini(&c);
    n->configured = true;
    sem_post(&n->joined);
}

static void
parent_frame(struct stream *s, struct msg *m, void *arg)
{
    struct node *n = arg;

    if (n->configured) {
        router_frame(n->router, s, m);
    } else {
        on_config(n, m);
        msg_unref(m);
    }
}

/* The parent sees our end when we let go of what leads to it: not before those behind us have ended. */
static void
hold_parent(struct node *n)
{
    if (!children_empty(n->children))
        n->held_fd = fcntl(n->parent_fd, F_DUPFD_CLOEXEC, 10);
}

static void
let_go_of_parent(void *arg)
{
    struct node *n = arg;

    if (n->held_fd >= 0)
        close(n->held_fd);
    n->held_fd = -1;
}

static void
parent_closed(struct stream *s, const struct err *why, void *arg)
{
    struct node *n = arg;

    n->parent_gone = true;
    log_debug("node", "the parent is gone: %s", why->msg);
    if (n->configured) {
        struct err over;

        hold_parent(n);
        err_set(
            &over, ERR_DEAD, "the process that this one was attached to has ended: %s", why->msg);
        router_lost(n->router, s, n->commands ? why : &over);
        if (n->on_lost)
            n->on_lost(n->on_lost_arg);
    } else {
        n->parent_why = *why;
        sem_post(&n->joined);
    }
    sem_post(&n->parted);
}

static void
join(void *arg)
{
    static const struct stream_events events = {.frame = parent_frame, .closed = parent_closed};
    struct stream_options o = {.name = "parent"};
    struct node *n = arg;

    n->parent_fd = n->parent_link->wfd >= 0 ? n->parent_link->wfd : n->parent_link->fd;
    n->parent = stream_create(n->loop, n->parent_link, &o, &events, n);
}

static void
forget_owner(void *arg)
{
    struct node *n = arg;

    n->on_lost = NULL;
}

int
node_join(
    struct node *n, struct transport *parent, void (*on_lost)(void *), void *arg, struct err *err)
{
    struct timespec until;
    int rc;

    n->parent_link = parent;
    n->on_lost = on_lost;
    n->on_lost_arg = arg;
    loop_sync(n->loop, join, n);
    clock_gettime(CLOCK_REALTIME, &until); /* TSan does not know sem_clockwait */
    until.tv_sec += CONFIG_SECONDS;
    while ((rc = sem_timedwait(&n->joined, &until)) < 0 && errno == EINTR)
        ;
    if (rc < 0) {
        loop_sync(n->loop, forget_owner, n); /* CONFIG may still come */
        return err_set(err, ERR_TIMEOUT, "no CONFIG from the parent for %d s", CONFIG_SECONDS);
    }
    if (n->parent_why.code) {
        *err = n->parent_why;
        return err->code;
    }
    return 0;
}

static void
part(void *arg)
{
    struct node *n = arg;
    struct err why;

    forget_owner(n); /* it is ending, and may have freed what on_lost would touch */
    err_set(&why, ERR_CLOSED, "the agent ends");
    if (!n->parent_gone)
        stream_close(n->parent, &why, FAREWELL_MS);
}

/* The stream to the parent, in whatever state it is. */
static void
leave(struct node *n)
{
    if (!n->parent)
        return;
    loop_sync(n->loop, part, n);
    while (sem_wait(&n->parted) < 0)
        ;
    stream_unref(n->parent);
    n->parent = NULL;
}

/* ---- other processes ---- */

int
node_listen(struct node *n, const char *path, int64_t hello_ms, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&n->lock);
    if (n->attached)
        rc = err_set(err, ERR_ARGUMENT, "a process that is attached cannot listen");
    else if (n->listener)
        rc =
            err_set(err, ERR_ARGUMENT, "this process listens already, and on one socket at a time");
    else if (!(n->listener = listener_create(n->router, path, hello_ms, err)))
        rc = err->code;
    pthread_mutex_unlock(&n->lock);
    return rc;
}

void
node_unlisten(struct node *n)
{
    struct listener *l;

    pthread_mutex_lock(&n->lock);
    l = n->listener;
    n->listener = NULL;
    pthread_mutex_unlock(&n->lock);
    listener_destroy(l);
}

/* Not with the lock: it blocks. */
static int
join_at(struct node *n, const char *path, struct err *err)
{
    int fd = meeting_connect(path, err);

    if (fd < 0)
        return err->code;
    if (hello_say(fd, "", err) < 0) {
        close(fd);
    } else if (node_join(n, process_adopt(fd, fd), NULL, NULL, err) == 0) {
        return 0;
    } else {
        leave(n);
        n->parent_gone = n->configured = false;
        n->parent_why = (struct err){0};
        while (sem_trywait(&n->joined) == 0)
            ;
    }
    return err_prefix(err,
        "%s: the process that listens there did not take this one in (it takes those of its own "
        "user, and "
        "root's)",
        path);
}

int
node_attach(struct node *n, const char *path, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&n->lock);
    if (n->attached || n->parent)
        rc = err_set(err, ERR_ARGUMENT, "this process has a parent already");
    else if (n->images || n->listener)
        rc = err_set(err, ERR_ARGUMENT, "this process has contexts of its own already");
    else
        n->attached = xstrdup(path);
    pthread_mutex_unlock(&n->lock);
    if (rc < 0)
        return rc;
    rc = join_at(n, path, err);
    if (rc < 0) {
        pthread_mutex_lock(&n->lock);
        free(n->attached);
        n->attached = NULL;
        pthread_mutex_unlock(&n->lock);
    }
    return rc;
}

const char *
node_attached(struct node *n)
{
    const char *path;

    pthread_mutex_lock(&n->lock);
    path = n->attached;
    pthread_mutex_unlock(&n->lock);
    return path;
}

/* ---- the rest ---- */

void
node_destroy(struct node *n)
{
    if (!n)
        return;
    node_unlisten(n);
    children_end(n->children);
    loop_sync(n->loop, let_go_of_parent, n);
    captures_destroy(n->captures);
    keepers_destroy(n->keepers);
    if (n->commands)
        command_service_destroy(n->commands);
    file_service_destroy(n->files);
    leave(n);
    children_destroy(n->children);
    texts_destroy(n->texts);
    shared_destroy(n->modules);
    loop_stop(n->loop);
    router_destroy(n->router);
    loop_destroy(n->loop);
    images_close(n->images);
    sem_destroy(&n->joined);
    sem_destroy(&n->parted);
    pthread_mutex_destroy(&n->lock);
    free(n->agent_dir);
    free(n->agent_program);
    free(n->attached);
    free(n);
    once_wipe();
}

struct router *
node_router(struct node *n)
{
    return n->router;
}

struct file_service *
node_files(struct node *n)
{
    return n->files;
}

struct captures *
node_captures(struct node *n)
{
    return n->captures;
}

struct texts *
node_texts(struct node *n)
{
    return n->texts;
}

struct shared *
node_modules(struct node *n)
{
    return n->modules;
}

static int
need_images(struct node *n, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&n->lock);
    if (n->attached) {
        rc = err_set(err, ERR_DENIED,
            "a process that is attached opens no contexts: those that it uses are opened where it "
            "is "
            "attached");
    } else if (!n->images && n->agent_dir) {
        n->images = images_open(n->agent_dir, err);
        if (n->images)
            children_set_images(n->children, n->images);
        else
            rc = err->code;
    }
    pthread_mutex_unlock(&n->lock);
    return rc;
}

void
node_use_ssh(struct node *n, const struct ssh_library *ssh)
{
    n->ssh = ssh;
    children_use_ssh(n->children, ssh);
}

const struct ssh_library *
node_ssh(struct node *n)
{
    return n->ssh;
}

struct keepers *
node_keepers(struct node *n)
{
    return n->keepers;
}

void
node_use_agent(struct node *n, const char *path)
{
    n->agent_program = xstrdup(path);
}

uint32_t
node_open(struct node *n, const struct open_options *o, struct mailbox *mb, struct err *err)
{
    if (need_images(n, err) < 0)
        return 0;
    return children_open(n->children, o, mb, err);
}

void
node_cancel_open(struct node *n, uint32_t seq)
{
    children_cancel(n->children, seq);
}

void
node_close(struct node *n, uint32_t id, int64_t linger_ms)
{
    children_close(n->children, id, linger_ms);
}
