#include "images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mem.h"

struct entry {
    SLIST_ENTRY(entry) link;
    char *file;
    struct bootstrap_image image;
};

struct images {
    char *dir; /* NULL: our own program is all there is */
    char *native;
    char *helper;
    char id[72];
    SLIST_HEAD(, entry) mapped;
};

struct images *
images_open(const char *dir, struct err *err)
{
    struct images *im = xcalloc(1, sizeof *im);
    char *path = xasprintf("%s/agent.id", dir);
    FILE *f = fopen(path, "re");
    struct utsname u;

    if (!f || fscanf(f, "%64[0-9a-f]", im->id) != 1) {
        err_set(
            err, ERR_FILE, "no agents to send: cannot read %s (is orrery installed whole?)", path);
        free(im);
        im = NULL;
    } else {
        uname(&u);
        im->dir = xstrdup(dir);
        im->native = xasprintf("%s/agent-%s-%s", dir, u.sysname, u.machine);
        im->helper = xstrdup(im->native);
        SLIST_INIT(&im->mapped);
    }
    if (f)
        fclose(f);
    free(path);
    return im;
}

struct images *
images_self(const char *id, struct err *err)
{
    static const char self[] = "/proc/self/exe";
    struct images *im;

    if (access(self, R_OK | X_OK) < 0) {
        err_errno(
            err, ERR_FILE, errno, "no agent to open children with: %s (is /proc mounted?)", self);
        return NULL;
    }
    im = xcalloc(1, sizeof *im);
    snprintf(im->id, sizeof im->id, "%s", id);
    im->native = xstrdup(self);
    im->helper = xasprintf("/proc/%d/exe", (int)getpid());
    SLIST_INIT(&im->mapped);
    return im;
}

void
images_close(struct images *im)
{
    struct entry *e;

    if (!im)
        return;
    while ((e = SLIST_FIRST(&im->mapped))) {
        SLIST_REMOVE_HEAD(&im->mapped, link);
        munmap((void *)(uintptr_t)e->image.data, e->image.size);
        free(e->file);
        free(e);
    }
    free(im->dir);
    free(im->native);
    free(im->helper);
    free(im);
}

const char *
images_id(const struct images *im)
{
    return im->id;
}

const char *
images_native(const struct images *im)
{
    return im->native;
}

const char *
images_helper(const struct images *im)
{
    return im->helper;
}

bool
images_only_raw(const struct images *im)
{
    return !im->dir;
}

static int
check_same_machine(const char *kernel, const char *machine, struct err *err)
{
    struct utsname u;

    uname(&u);
    if (strcmp(u.sysname, kernel) == 0 && strcmp(u.machine, machine) == 0)
        return 0;
    return err_set(err, ERR_BOOTSTRAP,
        "no agent for %s %s: a context that is opened by another has only that one's agent to use, "
        "which "
        "is for %s %s; open it from the controller",
        kernel, machine, u.sysname, u.machine);
}

static const struct bootstrap_image *
map(struct images *im, const char *file, struct err *err)
{
    char *path = im->dir ? xasprintf("%s/%s", im->dir, file) : xstrdup(im->native);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct entry *e = NULL;
    struct stat st;
    void *data = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    else if (fd >= 0)
        errno = ENODATA;
    if (data == MAP_FAILED) {
        err_errno(err, ERR_BOOTSTRAP, errno, "no agent for this machine: %s", path);
    } else {
        e = xcalloc(1, sizeof *e);
        e->file = xstrdup(file);
        e->image = (struct bootstrap_image){data, (size_t)st.st_size};
        SLIST_INSERT_HEAD(&im->mapped, e, link);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return e ? &e->image : NULL;
}

const struct bootstrap_image *
images_find(void *arg, const char *kernel, const char *machine, const char *form, struct err *err)
{
    struct images *im = arg;
    bool raw = strcmp(form, "raw") == 0;
    struct entry *e;
    char file[160];

    if (strchr(kernel, '/') || strchr(machine, '/')) {
        err_set(err, ERR_BOOTSTRAP, "the far side calls its machine '%s %s'", kernel, machine);
        return NULL;
    }
    if (!im->dir && check_same_machine(kernel, machine, err) < 0)
        return NULL;
    snprintf(
        file, sizeof file, "agent-%s-%s%s%s", kernel, machine, raw ? "" : ".", raw ? "" : form);
    SLIST_FOREACH(e, &im->mapped, link)
    if (strcmp(e->file, file) == 0)
        return &e->image;
    return map(im, file, err);
}
