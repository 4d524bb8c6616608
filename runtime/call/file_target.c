#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* Written back early, so that the fsync at the end does not stand in everybody's way. */
#define WRITEBACK (8u << 20)

bool target_no_tmpfile;

void
target_init(struct file_target *f)
{
    *f = (struct file_target){.old = -1, .fd = -1, .mode = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
}

void
target_fini(struct file_target *f)
{
    if (f->temp)
        unlink(f->temp);
    if (f->fd >= 0)
        close(f->fd);
    if (f->old >= 0)
        close(f->old);
    free(f->temp);
    free(f->path);
    target_init(f);
}

static int
fail(const struct file_target *f, struct err *err, int errnum)
{
    return err_errno(err, ERR_FILE, errnum, "cannot write %s", file_show(f->path));
}

/* ---- the final name ---- */

static char *
directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *
name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int
check_directory(const struct file_target *f, struct err *err)
{
    struct stat st;
    char *dir = directory_of(f->path);
    int rc = 0;
    if (stat(dir, &st) < 0)
        rc = err_errno(err, ERR_FILE, errno, "cannot write %s: directory %s", file_show(f->path),
            file_show(dir));
    else if (!S_ISDIR(st.st_mode))
        rc = err_set(err, ERR_FILE, "cannot write %s: %s is not a directory", file_show(f->path),
            file_show(dir));
    free(dir);
    return rc;
}

static int
follow_link(struct file_target *f, struct err *err)
{
    char *real = realpath(f->path, NULL);
    if (!real && errno == ENOENT)
        return err_set(
            err, ERR_FILE, "cannot write %s: it is a symbolic link to nothing", file_show(f->path));
    if (!real)
        return fail(f, err, errno);
    free(f->path);
    f->path = real;
    return stat(real, &f->st) < 0 ? fail(f, err, errno) : 0;
}

static int
check_existing(struct file_target *f, uint64_t size, struct err *err)
{
    if (S_ISLNK(f->st.st_mode) && follow_link(f, err) < 0)
        return err->code;
    if (S_ISDIR(f->st.st_mode))
        return err_set(err, ERR_FILE,
            "cannot write %s: it is a directory (end the path with / to write into it)",
            file_show(f->path));
    if (!S_ISREG(f->st.st_mode))
        return err_set(
            err, ERR_FILE, "cannot write %s: it is not a regular file", file_show(f->path));
    f->exists = true;
    /* One that cannot be read is just replaced. */
    if ((uint64_t)f->st.st_size == size)
        f->old = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    return 0;
}

int
target_resolve(struct file_target *f, const char *path, uint64_t size, struct err *err)
{
    f->path = xstrdup(path);
    if (!*path)
        return err_set(err, ERR_ARGUMENT, "an empty path is no file");
    if (!*name_of(path))
        return err_set(err, ERR_FILE, "cannot write %s: it is a directory", file_show(path));
    if (check_directory(f, err) < 0)
        return err->code;
    if (lstat(path, &f->st) == 0)
        return check_existing(f, size, err);
    return errno == ENOENT ? 0 : fail(f, err, errno);
}

/* ---- attributes ---- */

static bool
decimal(const char *s, uint32_t *id)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    *id = (uint32_t)v;
    return !*end && errno == 0 && v < UINT32_MAX;
}

/* fgetpwent and fgetgrent, because an agent is a static binary: getpwnam would load NSS plugins of
 * whatever C library the host has. */
static bool
lookup(bool user, const char *name, uint32_t *id)
{
    FILE *file = fopen(user ? "/etc/passwd" : "/etc/group", "re");
    bool found = false;
    if (!file)
        return false;
    while (!found) {
        struct passwd *p = user ? fgetpwent(file) : NULL;
        struct group *g = user ? NULL : fgetgrent(file);
        if (!p && !g)
            break;
        found = strcmp(user ? p->pw_name : g->gr_name, name) == 0;
        if (found)
            *id = user ? p->pw_uid : g->gr_gid;
    }
    fclose(file);
    return found;
}

static int
resolve_id(bool user, const char *name, uint32_t *id, struct err *err)
{
    if (!name || !*name || decimal(name, id) || lookup(user, name, id))
        return 0;
    return err_set(err, ERR_FILE, "no %s %.64s in %s", user ? "user" : "group", name,
        user ? "/etc/passwd" : "/etc/group");
}

int
target_attributes(struct file_target *f, const struct sink_offer *o, struct err *err)
{
    f->mode = o->mode;
    if (resolve_id(true, o->owner, &f->uid, err) < 0)
        return err->code;
    return resolve_id(false, o->group, &f->gid, err);
}

/* 1: something was changed. chown first: it takes setuid bits away. */
static int
apply(struct file_target *f, int fd, struct err *err)
{
    struct stat st;
    int changed = 0;
    if (fstat(fd, &st) < 0)
        return fail(f, err, errno);
    if ((f->uid != (uid_t)-1 && f->uid != st.st_uid) ||
        (f->gid != (gid_t)-1 && f->gid != st.st_gid)) {
        if (fchown(fd, f->uid, f->gid) < 0)
            return err_errno(
                err, ERR_FILE, errno, "cannot change the owner of %s", file_show(f->path));
        changed = 1;
    }
    if (f->mode >= 0 && (changed || (st.st_mode & 07777) != (mode_t)f->mode)) {
        changed = changed || (st.st_mode & 07777) != (mode_t)f->mode;
        if (fchmod(fd, (mode_t)f->mode) < 0)
            return err_errno(
                err, ERR_FILE, errno, "cannot change the mode of %s", file_show(f->path));
    }
    return changed;
}

int
target_adjust(struct file_target *f, struct err *err)
{
    return apply(f, f->old, err);
}

/* ---- the temporary file ---- */

static char *
temp_name(const struct file_target *f)
{
    enum { RANDOM = 8, DIGITS = 16, OURS = DIGITS + 10 };
    char hex[DIGITS + 1];
    const char *name = name_of(f->path);
    random_hex(hex, RANDOM);
    return xasprintf(
        "%.*s.%.*s.orrery-%s", (int)(name - f->path), f->path, NAME_MAX - OURS, name, hex);
}

static int
open_unnamed(const struct file_target *f)
{
    char *dir = directory_of(f->path);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int errnum = errno;
    free(dir);
    errno = errnum;
    return fd;
}

/* Is /proc there, which an unnamed file gets its name through? */
static bool
can_name(int fd)
{
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    return access(proc, F_OK) == 0;
}

int
target_create(struct file_target *f, struct err *err)
{
    if (!target_no_tmpfile) {
        f->fd = open_unnamed(f);
        if (f->fd >= 0 && can_name(f->fd))
            return 0;
        if (f->fd >= 0)
            close(f->fd);
        else if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
            return fail(f, err, errno);
    }
    f->temp = temp_name(f);
    f->fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return 0;
    int errnum = errno;
    free(f->temp);
    f->temp = NULL;
    return fail(f, err, errnum);
}

int
target_write(struct file_target *f, const void *p, size_t n, uint64_t at, struct err *err)
{
    const uint8_t *bytes = p;
    for (size_t did = 0; did < n;) {
        ssize_t got = pwrite(f->fd, bytes + did, n - did, (off_t)(at + did));
        if (got < 0 && errno != EINTR)
            return fail(f, err, errno);
        if (got > 0)
            did += (size_t)got;
    }
    uint64_t whole = (at + n) / WRITEBACK * WRITEBACK;
    if (whole > at) /* a hint: what it answers does not matter */
        sync_file_range(f->fd, (off_t)(whole - WRITEBACK), WRITEBACK, SYNC_FILE_RANGE_WRITE);
    return 0;
}

/* ---- the end ---- */

static int
give_name(const struct file_target *f, const char *name)
{
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", f->fd);
    return linkat(AT_FDCWD, proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* There is no linkat that replaces, so a file that has no name gets a hidden one for a moment; but
 * none where nothing is replaced. */
static int
rename_over(struct file_target *f, struct err *err)
{
    if (!f->temp && !f->exists && give_name(f, f->path) == 0)
        return 0;
    if (!f->temp) {
        char *temp = temp_name(f);
        if (give_name(f, temp) < 0) {
            int errnum = errno;
            free(temp);
            return fail(f, err, errnum);
        }
        f->temp = temp; /* target_fini removes it from now on */
    }
    if (rename(f->temp, f->path) < 0)
        return fail(f, err, errno);
    free(f->temp);
    f->temp = NULL;
    return 0;
}

/* A directory that may be written but not read cannot be synced; some file systems cannot at all. */
static void
sync_directory(const struct file_target *f)
{
    char *dir = directory_of(f->path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        log_debug("file", "%s: cannot sync the directory: errno %d", f->path, errno);
    if (fd >= 0)
        close(fd);
    free(dir);
}

int
target_commit(struct file_target *f, struct err *err)
{
    /* Kept as far as we may: only root can give a file away. */
    if (f->exists && fchown(f->fd, f->st.st_uid, f->st.st_gid) < 0)
        log_debug("file", "%s: its owner changes: errno %d", f->path, errno);
    if (apply(f, f->fd, err) < 0)
        return err->code;
    if (fsync(f->fd) < 0)
        return fail(f, err, errno);
    if (rename_over(f, err) < 0)
        return err->code;
    sync_directory(f);
    return 0;
}
