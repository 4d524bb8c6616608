#include "meeting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

enum { BACKLOG = 16, LOCK_MS = 2000, LOCK_TICK_MS = 10 };

/* ---- the directory ---- */

static int
check_directory(const char *dir, bool last, struct err *err)
{
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_errno(err, ERR_FILE, errno, "%s", dir);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(err, ERR_DENIED, "%s belongs to another user (uid %u)", dir, st.st_uid);
    if ((st.st_mode & 022) && (last || !(st.st_mode & S_ISVTX)))
        return err_set(err, ERR_DENIED,
            "others may write to %s (mode %04o): take a directory of your own, such as "
            "$XDG_RUNTIME_DIR",
            dir, st.st_mode & 07777);
    return 0;
}

/* Every directory from the last one up to the root. `dir` is absolute, without links. */
static int
check_directories(const char *dir, struct err *err)
{
    char *at = xstrdup(dir), *slash;
    int rc = check_directory(at, true, err);

    while (rc == 0 && (slash = strrchr(at, '/'))) {
        slash[slash == at] = '\0';
        rc = check_directory(at, false, err);
        if (slash == at)
            break;
    }
    free(at);
    return rc;
}

/* Returns the directory of a path (owned), absolute and without links, or NULL. *base is inside path. */
static char *
directory_of(const char *path, const char **base, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir, *real;

    *base = slash ? slash + 1 : path;
    if (!**base) {
        err_set(err, ERR_ARGUMENT, "\"%s\" names no file", path);
        return NULL;
    }
    dir = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
    real = realpath(dir, NULL);
    if (!real)
        err_errno(err, ERR_FILE, errno, "%s", dir);
    free(dir);
    return real;
}

/* Two that find the same stale socket must not both replace it. A descriptor to be closed, or -1. */
static int
lock_directory(const char *dir, struct err *err)
{
    int64_t until = clock_ms() + LOCK_MS;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        err_errno(err, ERR_FILE, errno, "%s", dir);
        return -1;
    }
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_ms() > until) {
            err_errno(err, ERR_FILE, errno, "cannot lock %s", dir);
            close(fd);
            return -1;
        }
        poll(NULL, 0, LOCK_TICK_MS);
    }
    return fd;
}

/* ---- sockets ---- */

static int
address(struct sockaddr_un *a, const char *path, struct err *err)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a->sun_path)
        return err_set(err, ERR_ARGUMENT, "%s has %zu bytes, the path of a socket at most %zu",
            path, strlen(path), sizeof a->sun_path - 1);
    memcpy(a->sun_path, path, strlen(path) + 1);
    return 0;
}

bool
meeting_trusts(int fd, struct ucred *peer)
{
    socklen_t n = sizeof *peer;

    *peer = (struct ucred){.uid = (uid_t)-1};
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &n) == 0 &&
        (peer->uid == 0 || peer->uid == geteuid());
}

/* Somebody is there already: is he alive? 0 if not, and then the file is gone. */
static int
clear_stale(const struct sockaddr_un *a, struct err *err)
{
    struct ucred peer;
    struct stat st;
    int fd, error;

    if (lstat(a->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(err, ERR_FILE, errno, "%s", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_FILE, "%s is there already, and no socket", a->sun_path);
    if (st.st_uid != geteuid())
        return err_set(
            err, ERR_DENIED, "%s belongs to another user (uid %u)", a->sun_path, st.st_uid);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    error = connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 ? errno : 0;
    (void)meeting_trusts(fd, &peer);
    close(fd);
    if (error == 0)
        return err_set(
            err, ERR_FILE, "process %d listens on %s already", (int)peer.pid, a->sun_path);
    if (error == EAGAIN)
        return err_set(err, ERR_FILE, "another process listens on %s already", a->sun_path);
    if (error != ECONNREFUSED || unlink(a->sun_path) < 0)
        return err_errno(
            err, ERR_FILE, error == ECONNREFUSED ? errno : error, "cannot replace %s", a->sun_path);
    return 0;
}

static int
bind_at(struct meeting *m, const struct sockaddr_un *a, struct err *err)
{
    struct stat st;

    if (clear_stale(a, err) < 0)
        return err->code;
    m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* On Linux the mode of the socket becomes that of the file: there is no moment in which it is open to
     * others, and no umask to change under other threads. */
    if (m->fd < 0 || fchmod(m->fd, 0600) < 0 ||
        bind(m->fd, (const struct sockaddr *)a, sizeof *a) < 0)
        return err_errno(err, ERR_FILE, errno, "cannot make the socket %s", a->sun_path);
    if (lstat(a->sun_path, &st) < 0 || listen(m->fd, BACKLOG) < 0) {
        err_errno(err, ERR_FILE, errno, "cannot listen on %s", a->sun_path);
        unlink(a->sun_path);
        return err->code;
    }
    m->dev = st.st_dev;
    m->ino = st.st_ino;
    return 0;
}

int
meeting_open(struct meeting *m, const char *path, struct err *err)
{
    struct sockaddr_un a;
    const char *base;
    char *dir = directory_of(path, &base, err);
    int lock = -1, rc = ERR_FILE;

    *m = (struct meeting){.fd = -1};
    if (!dir)
        return err->code;
    m->path = xasprintf("%s/%s", dir[1] ? dir : "", base);
    rc = address(&a, m->path, err);
    if (rc == 0)
        rc = check_directories(dir, err);
    if (rc == 0)
        rc = (lock = lock_directory(dir, err)) < 0 ? err->code : bind_at(m, &a, err);
    if (lock >= 0)
        close(lock);
    free(dir);
    if (rc == 0)
        return 0;
    if (m->fd >= 0)
        close(m->fd);
    free(m->path);
    *m = (struct meeting){.fd = -1};
    return rc;
}

void
meeting_close(struct meeting *m)
{
    struct stat st;

    if (m->fd < 0)
        return;
    if (lstat(m->path, &st) == 0 && st.st_dev == m->dev && st.st_ino == m->ino)
        unlink(m->path);
    close(m->fd);
    free(m->path);
    *m = (struct meeting){.fd = -1};
}

int
meeting_connect(const char *path, struct err *err)
{
    struct sockaddr_un a;
    struct ucred peer;
    int fd;

    if (address(&a, path, err) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        if (errno == ECONNREFUSED)
            err_set(err, ERR_CONNECT, "%s: nobody listens there any more", path);
        else
            err_errno(err, ERR_CONNECT, errno, "%s", path);
    } else if (!meeting_trusts(fd, &peer) && geteuid() != 0) {
        err_set(err, ERR_DENIED, "%s: the process that listens there is another user's (uid %u)",
            path, peer.uid);
    } else {
        (void)fcntl(fd, F_SETFL, 0);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}
