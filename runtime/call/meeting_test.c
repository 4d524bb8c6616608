/* Sockets at paths: whose, where, and in whose place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await_test.h"
#include "mem.h"
#include "meeting.h"

struct fixture {
    char dir[40], path[64];
    int fds;
};

static int
setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);

    f->fds = await_count_fds();
    strcpy(f->dir, "/tmp/orrery-test.XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/socket", f->dir);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    int fds = f->fds;

    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return await_count_fds() == fds ? 0 : -1;
}

static void
expect_refused(const char *path, int code, const char *text)
{
    struct meeting m;
    struct err err;

    assert_int_equal(meeting_open(&m, path, &err), code);
    if (!strstr(err.msg, text))
        fail_msg("\"%s\" has no \"%s\"", err.msg, text);
    meeting_close(&m); /* nothing to do */
}

static void
test_both_ends(void **state)
{
    struct fixture *f = *state;
    struct meeting m;
    struct ucred peer;
    struct stat st;
    struct err err;
    int fd, accepted;
    mode_t mask = umask(0);

    assert_int_equal(meeting_open(&m, f->path, &err), 0);
    umask(mask);
    assert_int_equal(lstat(f->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    expect_refused(f->path, ERR_FILE, "listens on");
    fd = meeting_connect(f->path, &err);
    assert_true(fd >= 0);
    accepted = accept(m.fd, NULL, NULL); /* of the probe */
    close(accepted);
    accepted = accept(m.fd, NULL, NULL);
    assert_true(meeting_trusts(accepted, &peer));
    assert_int_equal(peer.pid, getpid());
    close(accepted);
    close(fd);
    meeting_close(&m);
    assert_int_equal(lstat(f->path, &st), -1);
    assert_int_equal(meeting_connect(f->path, &err), -1);
    assert_int_equal(err.code, ERR_CONNECT);
}

static void
test_stale(void **state)
{
    struct fixture *f = *state;
    struct meeting m;
    struct stat st;
    struct err err;
    pid_t pid = fork();

    if (pid == 0) /* it dies with the socket open */
        _exit(meeting_open(&m, f->path, &err) < 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(lstat(f->path, &st), 0);
    assert_int_equal(meeting_connect(f->path, &err), -1);
    assert_non_null(strstr(err.msg, "nobody listens there any more"));
    assert_int_equal(meeting_open(&m, f->path, &err), 0);
    unlink(f->path); /* and now there is something else */
    assert_int_equal(mkfifo(f->path, 0600), 0);
    meeting_close(&m);
    assert_int_equal(lstat(f->path, &st), 0);
}

static void
test_places(void **state)
{
    struct fixture *f = *state;
    char path[200];
    FILE *file = fopen(f->path, "we");

    fclose(file);
    expect_refused(f->path, ERR_FILE, "no socket");
    unlink(f->path);
    chmod(f->dir, 0770);
    expect_refused(f->path, ERR_DENIED, "others may write to");
    chmod(f->dir, 01777);
    expect_refused(f->path, ERR_DENIED, "others may write to");
    chmod(f->dir, 0700);
    expect_refused("/tmp/", ERR_ARGUMENT, "names no file");
    expect_refused("/tmp/orrery-test-socket", ERR_DENIED, "/tmp");
    expect_refused("/nonexistent/socket", ERR_FILE, "/nonexistent");
    snprintf(path, sizeof path, "%s/%0120d", f->dir, 0);
    expect_refused(path, ERR_ARGUMENT, "at most 107");
    if (geteuid() == 0 && chown(f->dir, 65534, 65534) == 0)
        expect_refused(f->path, ERR_DENIED, "another user");
}

#define with_directory(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_directory(test_both_ends),
        with_directory(test_stale),
        with_directory(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
