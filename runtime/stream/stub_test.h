/*
 * What the tests of the stub share: a far side, which is a login shell that was given the bootstrap
 * command, driven over the process transport with a small script in the agent's place; and a machine
 * of its own (a mount namespace with empty /tmp, /var/tmp and /dev/shm), where root may be had.
 */
#ifndef ORRERY_STUB_TEST_H
#define ORRERY_STUB_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap.h"
#include "clock.h"
#include "process.h"

#define PATIENCE_MS 30000
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define FIXED_PATH "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

/* How to run one bootstrap. Zero or NULL is the usual. */
struct far_options {
    const char *const *login; /* argv in front of -c COMMAND; {"sh", NULL} */
    const char *front;        /* a command line in front of the command itself */
    const char *path, *home, *xdg, *runtime, *cache;
    bool no_home, no_cache, raw, stubborn; /* stubborn: the agent's self-test fails */
    size_t cut;    /* send no more than this of the image, then the end of input */
    int kill_with; /* and before that this signal, to the process group */
    uid_t uid;     /* run as this user */
};

/* What became of it. */
struct far {
    struct transport *t;
    struct bootstrap *b;
    enum bootstrap_state state;
    struct err err;   /* unless DONE: the error that the operator sees */
    struct buf out;   /* what is still to be sent */
    struct buf words; /* stderr */
    struct buf reply; /* after DONE: "<umask> <pwd> <PWD> <path of the agent>" */
    char marker[BOOTSTRAP_MARKER + 1];
    size_t uploaded;
    bool over, raw, err_over;
    const struct far_options *o;
};

static char scratch[] = "/tmp/stub-test.XXXXXX";
static bool machine; /* we are root in a mount namespace of our own */

/* Without a real agent's frames: it answers one line with what it sees. Its tail is what takes room. */
static const char agent_text[] =
    "#!/bin/sh\n"
    "if [ \"$1\" = -t ]; then exit 0; fi\n"
    "m=$1; self=$0; shift\n"
    "while [ $# -gt 0 ]; do\n"
    "  case $1 in\n"
    "  -C) case $self in /*);; *) self=$PWD/${self#./};; esac; p=$PWD; cd \"$2\";;\n"
    "  -u) rm -f \"$2\"; rmdir \"${2%/*}\";;\n"
    "  esac; shift 2\n"
    "done\n"
    "echo \"$m agent\"\n"
    "read go\n"
    "echo \"$go $(umask) $(pwd) $p $self\"\n"
    "exit 0\n";

static struct buf image_raw, image_gz, image_xz, image_bad;

static void
read_file_into(struct buf *b, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    assert_true(fd >= 0);
    while ((n = read(fd, buf_reserve(b, 65536), 65536)) > 0)
        buf_commit(b, (size_t)n);
    close(fd);
}

static int __attribute__((format(printf, 1, 2))) shell(const char *fmt, ...)
{
    char *command = NULL;
    va_list ap;
    int status;

    va_start(ap, fmt);
    assert_true(vasprintf(&command, fmt, ap) > 0);
    va_end(ap);
    status = system(command);
    free(command);
    return status;
}

/* The output of a command without its last newline, in memory that the next call overwrites. */
static const char *__attribute__((format(printf, 1, 2))) output(const char *fmt, ...)
{
    static char text[4096];
    char command[2048];
    va_list ap;
    FILE *f;
    size_t n;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    f = popen(command, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    pclose(f);
    text[n - (n && text[n - 1] == '\n')] = '\0';
    return text;
}

static void
make_images(void)
{
    char path[64];
    FILE *f;

    buf_append(&image_raw, agent_text, strlen(agent_text));
    for (int i = 0; i < 9000; i++) {
        char hex[129];

        random_hex(hex, 64); /* more than gzip and a pipe hold, also when compressed */
        buf_printf(&image_raw, "#%s\n", hex);
    }
    snprintf(path, sizeof path, "%s/agent", scratch);
    f = fopen(path, "w");
    assert_non_null(f);
    fwrite(image_raw.data, 1, buf_len(&image_raw), f);
    fclose(f);
    assert_int_equal(shell("gzip -nk %s && xz %s", path, path), 0);
    snprintf(path, sizeof path, "%s/agent.xz", scratch);
    read_file_into(&image_xz, path);
    unlink(path);
    snprintf(path, sizeof path, "%s/agent.gz", scratch);
    read_file_into(&image_gz, path);
    assert_int_equal(
        shell("printf '#!/bin/sh\\necho wrong machine >&2; exit 1' | xz >%s", path), 0);
    read_file_into(&image_bad, path);
    unlink(path);
}

static const struct bootstrap_image *
find_image(void *arg, const char *kernel, const char *mach, const char *form, struct err *err)
{
    static struct bootstrap_image image;
    struct far *f = arg;
    const struct buf *from = f->o->stubborn ? &image_bad
        : strcmp(form, "xz") == 0           ? &image_xz
        : strcmp(form, "gz") == 0           ? &image_gz
                                            : &image_raw;

    assert_string_equal(kernel, "Linux");
    assert_true(*mach);
    f->raw = strcmp(form, "raw") == 0;
    image = (struct bootstrap_image){from->data, buf_len(from)};
    return &image;
}

static void
far_start(struct far *f, const struct far_options *o)
{
    static const char *const sh[] = {"sh", NULL};
    const char *argv[16], *env[16];
    struct bootstrap_stub stub = {.marker = f->marker,
        .hash = HASH,
        .no_cache = o->no_cache,
        .cache = o->cache,
        .raw = o->raw};
    struct process_options po = {.argv = argv, .env = env, .cwd = "/usr"};
    char *command, *line, *vars[4], id[2][32];
    int n = 0, e = 0, v = 0;

    memset(f, 0, sizeof *f);
    f->o = o;
    random_hex(f->marker, BOOTSTRAP_MARKER / 2);
    command = bootstrap_command(&stub, &f->err);
    assert_non_null(command);
    line = xasprintf("%s%s", o->front ? o->front : "", command);
    if (o->uid) {
        snprintf(id[0], sizeof id[0], "--reuid=%u", (unsigned)o->uid);
        snprintf(id[1], sizeof id[1], "--regid=%u", (unsigned)o->uid);
        argv[n++] = "setpriv", argv[n++] = id[0], argv[n++] = id[1], argv[n++] = "--clear-groups";
    }
    for (const char *const *l = o->login ? o->login : sh; *l; l++)
        argv[n++] = *l;
    argv[n++] = "-c", argv[n++] = line, argv[n] = NULL;
    env[e++] = vars[v++] = xasprintf("PATH=%s", o->path ? o->path : FIXED_PATH);
    if (!o->no_home)
        env[e++] = vars[v++] = xasprintf("HOME=%s", o->home ? o->home : scratch);
    if (o->xdg)
        env[e++] = vars[v++] = xasprintf("XDG_CACHE_HOME=%s", o->xdg);
    if (o->runtime)
        env[e++] = vars[v++] = xasprintf("XDG_RUNTIME_DIR=%s", o->runtime);
    env[e] = NULL;
    f->t = process_spawn(&po, &f->err);
    if (!f->t)
        fail_msg("%s", f->err.msg);
    f->b = bootstrap_create(f->marker, find_image, f);
    while (v > 0)
        free(vars[--v]);
    free(line);
    free(command);
}

static void
far_send(struct far *f)
{
    while (buf_len(&f->out)) {
        struct iovec iov = {buf_head(&f->out), buf_len(&f->out)};
        ssize_t n = f->t->ops->write(f->t, &iov, 1);

        if (n <= 0)
            break;
        buf_consume(&f->out, (size_t)n);
    }
    if (!buf_len(&f->out) && f->o->cut && f->uploaded) {
        if (f->o->kill_with)
            kill(-process_pid(f->t), f->o->kill_with);
        /* Always, as sshd would: busybox may lose a signal that comes while it forks. */
        f->t->ops->shutdown(f->t);
    }
}

static void
far_up(struct far *f)
{
    const void *rest;
    size_t n;

    rest = bootstrap_rest(f->b, &n);
    buf_append(&f->reply, rest, n);
    buf_append(&f->out, "go\n", 3);
    far_send(f);
}

static void
far_feed(struct far *f, const void *p, size_t n)
{
    const struct bootstrap_image *image;

    if (f->state == BOOTSTRAP_DONE) {
        buf_append(&f->reply, p, n);
        return;
    }
    f->state = bootstrap_feed(f->b, p, n, &f->err);
    if (f->state == BOOTSTRAP_DONE) {
        far_up(f);
    } else if (f->state == BOOTSTRAP_SEND) {
        image = bootstrap_take_image(f->b);
        assert_int_equal(buf_len(&f->out), 0); /* it took all of the one before */
        buf_printf(&f->out, "%zu\n", image->size);
        f->uploaded += image->size;
        buf_append(
            &f->out, image->data, f->o->cut && f->o->cut < image->size ? f->o->cut : image->size);
        far_send(f);
    } else if (f->state == BOOTSTRAP_FAILED) {
        f->over = true;
    }
}

/* The input is at its end. */
static void
far_over(struct far *f)
{
    struct err end = {0};

    f->over = true;
    if (f->state == BOOTSTRAP_DONE)
        return;
    f->t->ops->end(f->t, &end);
    buf_append(&f->words, "", 1);
    bootstrap_explain(f->b, end.msg, (char *)f->words.data, &f->err);
}

static void
far_step(struct far *f)
{
    char bytes[4096];
    ssize_t n;

    while ((n = f->t->ops->read_err(f->t, bytes, sizeof bytes)) > 0)
        buf_append(&f->words, bytes, (size_t)n);
    f->err_over = f->err_over || n == 0;
    while (!f->over && (n = f->t->ops->read(f->t, bytes, sizeof bytes)) != -EAGAIN) {
        if (n > 0)
            far_feed(f, bytes, (size_t)n);
        else
            far_over(f);
    }
    if (buf_len(&f->out) && !f->over)
        far_send(f);
}

/* Drives several at once until all are over, and everything that they started is, too: that is what
 * the end of stderr says. */
static void
far_drive(struct far *fars, int count)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    struct pollfd p[16];

    for (;;) {
        int n = 0;

        for (int i = 0; i < count; i++) {
            struct far *f = &fars[i];

            if (!f->over)
                p[n++] = (struct pollfd){f->t->fd, POLLIN | (buf_len(&f->out) ? POLLOUT : 0), 0};
            if (!f->err_over)
                p[n++] = (struct pollfd){f->t->err_fd, POLLIN, 0};
        }
        if (n == 0)
            return;
        if (poll(p, (nfds_t)n, clock_left(deadline)) <= 0)
            fail_msg("the far side does not end; its stderr: %.*s", (int)buf_len(&fars->words),
                buf_len(&fars->words) ? (char *)fars->words.data : "");
        for (int i = 0; i < count; i++)
            far_step(&fars[i]);
    }
}

static void
far_fini(struct far *f)
{
    f->t->ops->destroy(f->t);
    bootstrap_destroy(f->b);
    buf_fini(&f->out);
    buf_fini(&f->words);
    buf_fini(&f->reply);
}

/* The reply as a string. */
static const char *
far_reply(struct far *f)
{
    buf_append(&f->reply, "", 1);
    return (char *)f->reply.data;
}

static void
assert_up(struct far *f, bool warm)
{
    if (f->state != BOOTSTRAP_DONE)
        fail_msg("%s", f->err.msg);
    if (warm && f->uploaded)
        fail_msg("the cache was not used");
    if (!warm && !f->uploaded)
        fail_msg("the cache was used");
    assert_int_equal(f->uploaded, bootstrap_uploaded(f->b));
}

/* One bootstrap from start to end; the agent must come up, out of `directory` if that is given. */
static void
run(const struct far_options *o, bool warm, const char *directory)
{
    struct far f;
    char want[512];

    far_start(&f, o);
    far_drive(&f, 1);
    assert_up(&f, warm);
    if (directory) {
        snprintf(want, sizeof want, "go %04o /usr %s %s/%s\n", (unsigned)umask(0), directory,
            directory, o->no_cache ? "." : "agent-" HASH);
        umask((mode_t)strtol(want + 3, NULL, 8));
        if (o->no_cache)
            snprintf(strrchr(want, '.'), 64, ".%s\n", f.marker);
        assert_string_equal(far_reply(&f), want);
    }
    far_fini(&f);
}

/* One that must fail with all of these words in its error. */
static void
run_failing(const struct far_options *o, const char *const *words)
{
    struct far f;

    far_start(&f, o);
    far_drive(&f, 1);
    assert_int_not_equal(f.state, BOOTSTRAP_DONE);
    for (; *words; words++)
        if (!strstr(f.err.msg, *words))
            fail_msg("no \"%s\" in: %s", *words, f.err.msg);
    far_fini(&f);
}

#endif
