#include "file_test.h"

#include <pwd.h>
#include <sys/mount.h>

static void
test_round_trip(void **state)
{
    static const size_t sizes[] = {
        0, 1, FILE_CHUNK - 1, FILE_CHUNK, FILE_CHUNK + 1, 3 * FILE_WINDOW + 7, 64 << 20};
    char *dir = scratch();
    struct pair p;
    pair_start(&p);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        write_file(in(dir, "a/f"), n, i, 0640);
        assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), true, n);
        assert_file(in(dir, "b/f"), n, i);
        assert_int_equal(mode_of(in(dir, "b/f")), 0640);
        assert_changed(GET(in(dir, "b/f"), in(dir, "b/back")), true, n);
        assert_file(in(dir, "b/back"), n, i);
        assert_int_equal(unlink(in(dir, "b/f")) | unlink(in(dir, "b/back")), 0);
        assert_int_equal(entries(in(dir, "b")), 0);
    }
    pair_stop(&p);
    scratch_remove(dir);
}

static void
replace(void)
{
    char *dir = scratch();
    struct pair p;
    pair_start(&p);
    write_file(in(dir, "a/f"), 200000, 1, 0644);
    write_file(in(dir, "b/f"), 5, 2, 0600);
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), true, 200000);
    assert_file(in(dir, "b/f"), 200000, 1);
    assert_int_equal(mode_of(in(dir, "b/f")), 0644);

    /* The same content: nothing travels. The same size and other content: all does. */
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), false, 0);
    assert_changed(GET(in(dir, "b/f"), in(dir, "a/f")), false, 0);
    write_file(in(dir, "a/f"), 200000, 3, 0644);
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), true, 200000);
    assert_file(in(dir, "b/f"), 200000, 3);
    write_file(in(dir, "a/f"), 200000, 4, 0644);
    assert_changed(GET(in(dir, "b/f"), in(dir, "a/f")), true, 200000);
    assert_file(in(dir, "a/f"), 200000, 3);

    /* Only the mode differs. */
    assert_int_equal(chmod(in(dir, "a/f"), 0755), 0);
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), true, 0);
    assert_int_equal(mode_of(in(dir, "b/f")), 0755);
    assert_int_equal(entries(in(dir, "a")) + entries(in(dir, "b")), 2);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_replace(void **state)
{
    replace();
}

static void
test_replace_with_named_temporary(void **state)
{
    target_no_tmpfile = true;
    replace();
    target_no_tmpfile = false;
}

static void
test_attributes(void **state)
{
    if (geteuid() != 0)
        skip();
    char *dir = scratch();
    struct pair p;
    struct passwd *daemon = getpwnam("daemon");
    assert_non_null(daemon);
    pair_start(&p);
    write_file(in(dir, "a/f"), 1000, 1, 0600);
    struct file_attributes a = {.mode = 04751, .owner = "daemon", .group = "12345"};
    assert_changed(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), true, 1000);
    struct stat st;
    assert_int_equal(stat(in(dir, "b/f"), &st), 0);
    assert_int_equal(st.st_uid, daemon->pw_uid);
    assert_int_equal(st.st_gid, 12345);
    assert_int_equal(st.st_mode & 07777, 04751);
    assert_changed(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), false, 0);

    /* Others, same content; then a new content, which keeps the owner. */
    a = (struct file_attributes){.mode = 0604, .owner = "0"};
    assert_changed(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), true, 0);
    assert_int_equal(stat(in(dir, "b/f"), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_gid, 12345);
    assert_int_equal(st.st_mode & 07777, 0604);
    write_file(in(dir, "a/f"), 1001, 2, 02755); /* setgid does not travel unasked */
    a = (struct file_attributes){.mode = -1};
    assert_changed(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), true, 1001);
    assert_int_equal(stat(in(dir, "b/f"), &st), 0);
    assert_int_equal(st.st_gid, 12345);
    assert_int_equal(st.st_mode & 07777, 0755);

    a = (struct file_attributes){.mode = 0640, .group = "daemon"};
    assert_changed(move(&p, false, in(dir, "b/f"), in(dir, "a/g"), &a), true, 1001);
    assert_int_equal(stat(in(dir, "a/g"), &st), 0);
    assert_int_equal(st.st_gid, daemon->pw_gid);
    assert_int_equal(st.st_mode & 07777, 0640);

    a = (struct file_attributes){.mode = -1, .owner = "nobody-of-that-name"};
    assert_refused(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), ERR_FILE,
        "no user nobody-of-that-name in /etc/passwd");
    struct err err;
    a = (struct file_attributes){.mode = 010000};
    assert_int_equal(file_put(p.near.files, p.far, "x", "y", &a, p.mb, &err), 0);
    assert_int_equal(err.code, ERR_ARGUMENT);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_targets(void **state)
{
    char *dir = scratch();
    struct pair p;
    struct stat st;
    pair_start(&p);
    write_file(in(dir, "a/f"), 1000, 1, 0644);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "b")), ERR_FILE, "it is a directory");
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/")), true, 1000);
    assert_file(in(dir, "b/f"), 1000, 1);
    assert_changed(GET(in(dir, "b/f"), in(dir, "")), true, 1000);
    assert_file(in(dir, "f"), 1000, 1);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "none/")), ERR_FILE, "No such file or directory");
    assert_refused(PUT(in(dir, "a/f"), in(dir, "none/x")), ERR_FILE, "none: No such file");
    assert_refused(PUT(in(dir, "a/f"), in(dir, "a/f/x")), ERR_FILE, "a/f is not a directory");

    /* A link is followed, and stays. */
    write_file(in(dir, "b/real"), 3, 9, 0644);
    assert_int_equal(symlink("../b/real", in(dir, "a/link")), 0);
    assert_changed(PUT(in(dir, "a/f"), in(dir, "a/link")), true, 1000);
    assert_int_equal(lstat(in(dir, "a/link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_file(in(dir, "b/real"), 1000, 1);
    assert_int_equal(symlink("nothing", in(dir, "a/dangling")), 0);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "a/dangling")), ERR_FILE, "link to nothing");
    assert_int_equal(symlink("../b", in(dir, "a/dirlink")), 0);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "a/dirlink")), ERR_FILE, "it is a directory");

    assert_int_equal(mkfifo(in(dir, "b/fifo"), 0600), 0);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "b/fifo")), ERR_FILE, "not a regular file");
    assert_refused(PUT(in(dir, "a/f"), "/dev/null"), ERR_FILE, "not a regular file");

    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_changed(PUT(in(dir, "a/f"), in(dir, name)), true, 1000);
    target_no_tmpfile = true; /* here; the temporary name has to be shorter */
    assert_changed(GET(in(dir, "a/f"), in(dir, name)), false, 0);
    write_file(in(dir, "a/f"), 1000, 2, 0644);
    assert_changed(GET(in(dir, "a/f"), in(dir, name)), true, 1000);
    target_no_tmpfile = false;

    /* A relative one, and this process asking itself. */
    struct context *self = router_context(p.near.router, CONTEXT_CONTROLLER);
    struct err err;
    assert_int_equal(chdir(in(dir, "b")), 0);
    assert_true(file_put(p.near.files, self, in(dir, "a/f"), "here", NULL, p.mb, &err) > 0);
    assert_changed(take_answer(p.mb), true, 1000);
    assert_file(in(dir, "b/here"), 1000, 2);
    assert_int_equal(chdir("/"), 0);
    context_unref(self);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_sources(void **state)
{
    char *dir = scratch();
    struct pair p;
    pair_start(&p);
    assert_int_equal(mkfifo(in(dir, "a/fifo"), 0600), 0);
    const char *to = in(dir, "b/f");
    assert_refused(PUT(in(dir, "a/none"), to), ERR_FILE, "(on web1): cannot read ");
    assert_refused(PUT(in(dir, "a/none"), to), ERR_FILE, "a/none: No such file or directory");
    assert_refused(PUT(in(dir, "a"), to), ERR_FILE, "it is a directory");
    to = in(dir, "b/f");
    assert_refused(PUT(in(dir, "a/fifo"), to), ERR_FILE, "it is a named pipe");
    assert_refused(PUT("/dev/zero", to), ERR_FILE, "it is a device");
    assert_refused(GET(in(dir, "a/none"), to), ERR_FILE, "a/none: No such file or directory");
    to = in(dir, "b/f");
    assert_refused(GET(in(dir, "a"), to), ERR_FILE, "it is a directory");
    assert_refused(GET(in(dir, "a/fifo"), to), ERR_FILE, "it is a named pipe");
    /* It has content and no size. */
    assert_refused(GET("/proc/self/status", to), ERR_FILE, "became longer");
    assert_int_equal(entries(in(dir, "b")), 0);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_no_permission(void **state)
{
    if (geteuid() != 0)
        skip();
    char *dir = scratch();
    struct pair p;
    struct pair_options o = {.uid = 65534};
    pair_start_with(&p, &o);
    write_file(in(dir, "a/f"), 1000, 1, 0600);
    const char *to = in(dir, "b/f");
    assert_refused(PUT(in(dir, "a/f"), to), ERR_FILE, "b/f: Permission denied");
    assert_refused(GET(in(dir, "a/f"), to), ERR_FILE, "cannot read ");
    assert_int_equal(entries(in(dir, "b")), 0);
    assert_int_equal(chmod(in(dir, "b"), 0777), 0);
    struct file_attributes a = {.mode = -1, .owner = "root"};
    assert_refused(move(&p, true, in(dir, "a/f"), in(dir, "b/f"), &a), ERR_FILE,
        "cannot change the owner of ");
    assert_int_equal(entries(in(dir, "b")), 0);

    /* A foreign file that it may not read, in a directory that it may write to, is replaced. */
    write_file(in(dir, "b/f"), 1000, 2, 0600);
    assert_changed(PUT(in(dir, "a/f"), in(dir, "b/f")), true, 1000);
    assert_file(in(dir, "b/f"), 1000, 1);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_full_and_read_only(void **state)
{
    if (geteuid() != 0)
        skip();
    char *dir = scratch();
    struct pair p;
    const char *b = in(dir, "b");
    if (mount("none", b, "tmpfs", 0, "size=1m") < 0) {
        scratch_remove(dir);
        skip();
        return;
    }
    pair_start(&p);
    write_file(in(dir, "a/f"), 5000000, 1, 0644);
    write_file(in(dir, "a/small"), 1000, 2, 0644);
    struct answer a = PUT(in(dir, "a/f"), in(dir, "b/f"));
    assert_refused(a, ERR_FILE, "(on web1): cannot write ");
    assert_refused(a, ERR_FILE, "No space left on device");
    a = GET(in(dir, "a/f"), in(dir, "b/f"));
    assert_refused(a, ERR_FILE, "No space left on device");
    assert_int_equal(entries(in(dir, "b")), 0);
    assert_changed(PUT(in(dir, "a/small"), in(dir, "b/f")), true, 1000);
    /* The old one stays when the new one does not fit. */
    assert_refused(PUT(in(dir, "a/f"), in(dir, "b/f")), ERR_FILE, "No space left");
    assert_file(in(dir, "b/f"), 1000, 2);

    b = in(dir, "b");
    assert_int_equal(mount(NULL, b, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "b/g")), ERR_FILE, "Read-only file system");
    assert_changed(PUT(in(dir, "a/small"), in(dir, "b/f")), false, 0);
    assert_int_equal(umount(in(dir, "b")), 0);
    pair_stop(&p);
    scratch_remove(dir);
}

static void
test_denied(void **state)
{
    char *dir = scratch();
    struct pair p;
    struct pair_options o = {.deny = true};
    pair_start_with(&p, &o);
    write_file(in(dir, "a/f"), 10, 1, 0644);
    assert_refused(PUT(in(dir, "a/f"), in(dir, "b/f")), ERR_DENIED, "not served");
    assert_refused(GET(in(dir, "a/f"), in(dir, "b/f")), ERR_DENIED, "not served");
    assert_int_equal(entries(in(dir, "b")), 0);
    pair_stop(&p);
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_with_named_temporary),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_full_and_read_only),
        cmocka_unit_test(test_denied),
    };
    cmocka_set_test_filter(getenv("TEST")); /* a pattern, to run some of them by hand */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
