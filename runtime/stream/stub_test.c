/* The stub, run by real shells. See stub_test.h for the machinery. */
#include "stub_test.h"

static char home[64]; /* a new one for each test */
static char cached[96];

/* A test that needs root and a mount namespace says so loudly elsewhere. */
#define need_machine()                                                                 \
    do {                                                                               \
        if (!machine) {                                                                \
            print_message("SKIPPED %s: needs root and a mount namespace\n", __func__); \
            skip();                                                                    \
        }                                                                              \
    } while (0)

static bool
have(const char *program)
{
    if (shell("command -v %s >/dev/null", program) == 0)
        return true;
    print_message("SKIPPED: there is no %s on this machine\n", program);
    return false;
}

static int
fresh(void **state)
{
    static int number;

    snprintf(home, sizeof home, "%s/home%d", scratch, ++number);
    snprintf(cached, sizeof cached, "%s/.cache/orrery", home);
    /* They are this test's own. A ksh93 that was killed leaves temporary files of its own there. */
    if (machine)
        shell("find /tmp /var/tmp /dev/shm -mindepth 1 -maxdepth 1 -not -path %s -exec rm -rf {} +",
            scratch);
    return mkdir(home, 0755);
}

/* No process and no temporary file is left. */
static int
clean(void **state)
{
    for (int64_t end = clock_ms() + PATIENCE_MS; waitpid(-1, NULL, WNOHANG) == 0;)
        if (clock_ms() > end)
            return -1;
    if (*output("find %s /tmp /var/tmp /dev/shm -regextype egrep -regex '.*/\\.[0-9a-f]{24}' "
                "2>/dev/null",
            scratch)) {
        print_message("temporary files are left\n");
        return -1;
    }
    return 0;
}

/* A tmpfs for one test. */
static void
mount_at(const char *path, unsigned long flags, const char *data)
{
    shell("mkdir -p %s", path);
    if (mount("tmpfs", path, "tmpfs", flags, data) < 0)
        fail_msg("mount on %s: %s", path, strerror(errno));
}

/* A directory to be the PATH, in which only these tools are; sh is what /bin/sh is. */
static const char *
path_of(const char *sh, const char *tools)
{
    static char path[128];
    static int number;

    snprintf(path, sizeof path, "%s/bin%d", scratch, ++number);
    assert_int_equal(shell("mkdir %s; ln -s $(command -v %s) %s/sh; cd %s; "
                           "for t in %s; do ln -s $(command -v $t) $t; done",
                         path, sh, path, path, tools),
        0);
    return path;
}

static const char all_tools[] = "uname mkdir chmod mv rm ls cat wc head xz dd id rmdir env";

static void
test_cold_then_warm(void **state)
{
    const struct far_options o = {.home = home};

    run(&o, false, cached);
    assert_string_equal(output("stat -c '%%a %%A' %s %s/agent-*", cached, cached),
        "700 drwx------\n700 -rwx------");
    assert_int_equal(shell("test $(ls -A %s | wc -l) = 1", cached), 0);
    run(&o, true, cached);
}

/* As sshd hands the command to whatever the login shell is. */
static void
test_login_shells(void **state)
{
    static const char *const shells[][4] = {
        {"dash"},
        {"bash"},
        {"bash", "-l"},
        {"zsh"},
        {"ksh93"},
        {"mksh"},
        {"bsd-csh"},
        {"tcsh"},
        {"fish"},
        {"busybox", "sh"},
    };

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        struct far_options o = {.home = home, .login = shells[i]};

        if (!have(shells[i][0]))
            continue;
        shell("rm -rf %s/.cache/orrery", home);
        run(&o, false, cached);
        run(&o, true, cached);
    }
}

/* Whatever the far side calls sh; with a decompressor and head, without either, and full and empty caches. */
static void
test_kinds_of_sh(void **state)
{
    static const char *const kinds[] = {"dash", "bash", "zsh", "ksh93", "mksh", "busybox"};
    static const char *const tools[] = {
        all_tools, "uname mkdir chmod mv rm ls cat wc head id rmdir", /* raw */
        "uname mkdir chmod mv rm ls cat wc dd gzip id rmdir",         /* dd reads */
        "uname mkdir chmod mv rm ls cat wc head busybox rmdir"        /* neither gzip nor id */
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!have(kinds[i]))
            continue;
        for (size_t j = 0; j < sizeof tools / sizeof *tools; j++) {
            static const char *const login[] = {"/bin/sh", NULL};
            struct far_options o = {.home = home, .login = login};

            if (strstr(tools[j], "busybox") && !have("busybox"))
                continue;
            o.path = path_of(kinds[i], tools[j]);
            shell("rm -rf %s/.cache/orrery", home);
            run(&o, false, cached);
            o.path = path_of(kinds[i], ""); /* warm, it runs no command at all */
            run(&o, true, cached);
        }
    }
}

static void
test_noisy_login(void **state)
{
    static const char *const csh[] = {"bsd-csh", NULL}, *const fish[] = {"fish", NULL},
                             *const zsh[] = {"zsh", NULL};
    const struct {
        const char *const *login;
        const char *rc;
    } noisy[] = {{csh, ".cshrc"}, {fish, ".config/fish/config.fish"}, {zsh, ".zshenv"}};
    struct far_options o = {
        .home = home, .front = "echo Welcome; printf 'no newline'; echo >&2 hm; "};

    run(&o, false, cached);
    run(&o, true, cached);
    o.front = "";
    for (size_t i = 0; i < sizeof noisy / sizeof *noisy; i++) {
        if (!have(noisy[i].login[0]))
            continue;
        shell("mkdir -p %s/.config/fish; echo 'echo Last login: now; echo -n more' >%s/%s", home,
            home, noisy[i].rc);
        o.login = noisy[i].login;
        run(&o, true, cached);
    }
}

static void
test_race(void **state)
{
    const struct far_options o = {.home = home};
    struct far f[6];

    for (int i = 0; i < 6; i++)
        far_start(&f[i], &o);
    far_drive(f, 6);
    for (int i = 0; i < 6; i++) {
        assert_up(&f[i], f[i].uploaded == 0);
        far_fini(&f[i]);
    }
    assert_string_equal(output("ls -A %s", cached), "agent-" HASH);
    run(&o, true, cached);
}

static void
test_umasks(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    const struct far_options o = {.home = home};
    mode_t old = umask(0);

    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        umask(022);
        shell("rm -rf %s/.cache", home);
        umask(masks[i]);
        run(&o, false, cached); /* the reply tells the agent's umask */
        assert_string_equal(
            output("stat -c %%a %s/.cache %s %s/agent-*", home, cached, cached), "700\n700\n700");
    }
    umask(old);
}

static void
test_no_home(void **state)
{
    struct far_options o = {.no_home = true};

    need_machine();
    run(&o, false, "/var/tmp/orrery-0");
    run(&o, true, "/var/tmp/orrery-0");
    shell("rm -rf /var/tmp/orrery-0");
    o = (struct far_options){.home = "/proc/nowhere"};
    run(&o, false, "/var/tmp/orrery-0");
    o = (struct far_options){.home = "relative/home"};
    run(&o, true, "/var/tmp/orrery-0");
}

static void
test_order_of_candidates(void **state)
{
    char given[96], mine[128], xdg[96];
    struct far_options o = {.home = home, .cache = given, .xdg = xdg, .runtime = "/nonexistent"};

    snprintf(given, sizeof given, "%s/given, with a blank", home);
    snprintf(mine, sizeof mine, "%s/orrery-%u", given, (unsigned)geteuid());
    snprintf(xdg, sizeof xdg, "%s/xdg", home);
    run(&o, false, mine);
    run(&o, true, mine);
    o.cache = NULL;
    snprintf(mine, sizeof mine, "%s/orrery", xdg);
    run(&o, false, mine);
    o.cache = "~/tilde";
    snprintf(mine, sizeof mine, "%s/tilde/orrery-%u", home, (unsigned)geteuid());
    run(&o, true, NULL); /* warm wins over first */
    shell("rm -rf %s", xdg);
    run(&o, false, mine);
}

/* A private directory is made inside one that everybody may write to; a cache that others may write to
 * is not used. */
static void
test_open_directories(void **state)
{
    struct far_options o = {.home = home};

    need_machine();
    shell("mkdir -p %s; chmod 777 %s", cached, cached);
    run(&o, false, "/var/tmp/orrery-0");
    shell("rm -rf /var/tmp/orrery-0; chmod 750 %s", cached);
    run(&o, false, "/var/tmp/orrery-0");
    assert_string_equal(output("ls -A %s", cached), "");
    shell("rm -rf /var/tmp/orrery-0; chmod 2700 %s", cached);
    run(&o, false, cached);
}

/* Somebody else has the predictable name: as a directory, as a link to one of ours, as a file. */
static void
test_taken_names(void **state)
{
    static const char *const traps[] = {
        "mkdir -m 700 /var/tmp/orrery-0; chown 12345 /var/tmp/orrery-0",
        "mkdir -m 700 %1$s/mine; ln -s %1$s/mine /var/tmp/orrery-0",
        "ln -s /nonexistent/x /var/tmp/orrery-0",
        "touch /var/tmp/orrery-0",
        "mkdir -m 777 /var/tmp/orrery-0",
    };
    const struct far_options o = {.no_home = true};

    need_machine();
    for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) {
        char *trap = xasprintf("%s", traps[i]), *at;
        struct far f;

        while ((at = strstr(trap, "%1$s"))) { /* a home, without a format that is not a literal */
            char *next = xasprintf("%.*s%s%s", (int)(at - trap), trap, home, at + 4);

            free(trap);
            trap = next;
        }
        shell("rm -rf /var/tmp/orrery-*");
        assert_int_equal(shell("%s", trap), 0);
        free(trap);
        far_start(&f, &o);
        far_drive(&f, 1);
        assert_up(&f, false);
        assert_non_null(strstr(far_reply(&f), "/var/tmp/orrery-0-"));
        assert_non_null(strstr(far_reply(&f), f.marker));
        far_fini(&f);
        run(&o, true, NULL); /* it is found again under that name */
        assert_string_equal(
            output("ls -A %s /var/tmp/orrery-0/. 2>/dev/null | grep agent", home), "");
    }
}

/* Others plant an agent for us; ours is not touched by it. */
static void
test_planted_agent(void **state)
{
    const struct far_options o = {.no_home = true};

    need_machine();
    shell("mkdir -m 755 /var/tmp/orrery-0; printf '#!/bin/sh\\necho evil' "
          ">/var/tmp/orrery-0/agent-" HASH
          "; chmod 755 /var/tmp/orrery-0/agent-*; chown -R 12345 /var/tmp/orrery-0");
    run(&o, false, NULL);
    shell("rm -rf /var/tmp/orrery-*; mkdir -m 700 /var/tmp/orrery-0; "
          "printf '#!/bin/sh\\necho evil' >/var/tmp/orrery-0/agent-" HASH
          "; chmod 755 /var/tmp/orrery-0/agent-*; chown 12345 /var/tmp/orrery-0/agent-*");
    run(&o, false, "/var/tmp/orrery-0"); /* our directory, not our file: replaced */
    run(&o, true, "/var/tmp/orrery-0");
}

static void
test_other_user(void **state)
{
    const struct far_options o = {.home = "/nonexistent", .uid = 12345}, root = {.no_home = true};

    need_machine();
    if (!have("setpriv"))
        skip();
    run(&root, false, "/var/tmp/orrery-0");
    run(&o, false, "/var/tmp/orrery-12345");
    run(&o, true, "/var/tmp/orrery-12345");
}

static void
test_bad_file_systems(void **state)
{
    static const struct {
        unsigned long flags;
        const char *data;
        const char *why;
        bool late; /* the probe fits, the agent does not */
    } bad[] = {
        {MS_RDONLY, NULL, "Read-only file system", false},
        {MS_NOEXEC, NULL, "noexec", false},
        {0, "size=64k", "No space left on device", true},
        {0, "nr_inodes=2", "No space left on device", false},
    };
    char xdg[80];
    struct far_options o = {.xdg = xdg};

    need_machine();
    snprintf(xdg, sizeof xdg, "%s/xdg", home);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct far f;

        shell("rm -rf /var/tmp/orrery-0");
        mount_at(xdg, bad[i].flags, bad[i].data);
        far_start(&f, &o);
        far_drive(&f, 1);
        assert_up(&f, false);
        assert_true(f.uploaded == (bad[i].late ? 2 : 1) * buf_len(&image_xz));
        assert_non_null(strstr(far_reply(&f), "/var/tmp/orrery-0/agent-"));
        bootstrap_explain(f.b, "x", "", &f.err); /* where the reasons are to be seen */
        if (!strstr(f.err.msg, bad[i].why))
            fail_msg("no \"%s\" in: %s", bad[i].why, f.err.msg);
        far_fini(&f);
        run(&o, true, "/var/tmp/orrery-0");
        assert_string_equal(output("ls -A %s", xdg), "");
        umount(xdg);
    }
}

/* A disk that is really full, not even a byte: and with a fallback for it. */
static void
test_full_disk(void **state)
{
    char xdg[80];
    struct far_options o = {.xdg = xdg};

    need_machine();
    snprintf(xdg, sizeof xdg, "%s/xdg", home);
    mount_at(xdg, 0, "size=64k");
    shell("mkdir -m 700 %s/orrery; cat /dev/zero >%s/fill 2>/dev/null", xdg, xdg);
    run(&o, false, "/var/tmp/orrery-0");
    umount(xdg);
}

static void
test_nothing_left_to_try(void **state)
{
    static const char *const words[] = {"no directory here can hold the agent",
        "/.cache/orrery: noexec", "/var/tmp/orrery-0: noexec", "/tmp/orrery-0: noexec",
        "/dev/shm/orrery-0: noexec", NULL};
    static const char *const dirs[] = {"/tmp", "/var/tmp", "/dev/shm"};
    const struct far_options o = {.home = home};

    need_machine();
    for (int i = 0; i < 3; i++)
        assert_int_equal(mount(NULL, dirs[i], NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL), 0);
    run_failing(&o, words);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mount(NULL, dirs[i], NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    assert_string_equal(
        output("ls -d %s/.cache/* /tmp/orrery-0 /var/tmp/* /dev/shm/* 2>/dev/null", home), "");
}

static void
test_wrong_machine(void **state)
{
    static const char *const words[] = {"the agent does not run: wrong machine", NULL};
    const struct far_options o = {.home = home, .stubborn = true};

    need_machine();
    run_failing(&o, words);
    assert_string_equal(output("find %s -name 'agent*'; ls /var/tmp", home), "");
}

static void
test_missing_tools(void **state)
{
    static const char *const tools[] = {"uname", "mkdir", "chmod", "mv", "rm", "ls", "cat", "wc"};
    static const char *const login[] = {"/bin/sh", NULL};

    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        char word[64];
        const char *const words[] = {word, NULL};
        struct far_options o = {.home = home, .login = login};

        snprintf(word, sizeof word, "there is no %s command", tools[i]);
        o.path = path_of("dash", all_tools);
        shell("rm %s/%s", o.path, tools[i]);
        run_failing(&o, words);
    }
}

/* The connection is cut, or the stub is told to go, in the middle of the upload. */
static void
test_cut(void **state)
{
    static const char *const words[] = {"while taking the agent into", NULL};
    static const int signals[] = {0, SIGTERM, SIGHUP};
    static const char *const kinds[] = {"dash", "bash", "zsh", "ksh93", "mksh", "busybox"};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        static const char *const login[] = {"/bin/sh", NULL};
        struct far_options o = {.home = home, .login = login, .cut = 100000};

        if (!have(kinds[k]))
            continue;
        for (size_t i = 0; i < 3; i++) {
            o.kill_with = signals[i];
            o.path = path_of(kinds[k], all_tools);
            run_failing(&o, words);
            o.path = path_of(kinds[k], "uname mkdir chmod mv rm ls cat wc dd id rmdir"); /* raw */
            run_failing(&o, words);
            /* After a signal an empty directory may stay: a child that was being forked just then
             * removes its file later than the shell would remove the directory. */
            assert_string_equal(
                output("find %s/.cache -name 'orrery*' %s", home, signals[i] ? "-not -empty" : ""),
                "");
            shell("rm -rf %s/.cache/orrery", home);
        }
    }
}

static void
test_no_cache(void **state)
{
    static const char *const words[] = {"does not run", NULL};
    struct far_options o = {.home = home, .no_cache = true};
    struct far f;

    need_machine();
    for (int i = 0; i < 2; i++) {
        far_start(&f, &o);
        far_drive(&f, 1);
        assert_up(&f, false);
        assert_non_null(strstr(far_reply(&f), f.marker));
        far_fini(&f);
        assert_string_equal(
            output("find %s /var/tmp /dev/shm -mindepth 1; ls /tmp | grep -v stub-test", home), "");
    }
    o.stubborn = true;
    run_failing(&o, words);
    assert_string_equal(
        output("find %s /var/tmp /dev/shm -mindepth 1; ls /tmp | grep -v stub-test", home), "");
}

/* There are decompressors here, but nothing to decompress. */
static void
test_raw(void **state)
{
    struct far_options o = {.home = home, .raw = true};
    struct far f;

    far_start(&f, &o);
    far_drive(&f, 1);
    assert_up(&f, false);
    assert_true(f.raw);
    far_fini(&f);
}

/* The text itself: what it may not hold, and how long it may be. */
static void
test_text(void **state)
{
    char marker[BOOTSTRAP_MARKER + 1];
    struct bootstrap_stub stub = {.marker = marker, .hash = HASH};
    struct err err = {0};

    random_hex(marker, BOOTSTRAP_MARKER / 2);
    for (int i = 0; i < 4; i++) {
        char *text;

        stub.no_cache = i & 1;
        stub.cache = i & 2 ? "/var/cache/x" : NULL;
        text = bootstrap_script(&stub, &err);
        assert_non_null(text);
        assert_true(strlen(text) <= 3000);
        assert_int_equal(strcspn(text, "'\\!\n"), strlen(text));
        for (const char *p = text; *p; p++)
            assert_true(*p >= ' ' && *p < 0x7f);
        free(text);
    }
    stub.cache = "relative";
    assert_null(bootstrap_script(&stub, &err));
    assert_int_equal(err.code, ERR_ARGUMENT);
    stub.cache = "/a$(reboot)";
    assert_null(bootstrap_command(&stub, &err));
    assert_int_equal(err.code, ERR_ARGUMENT);
    stub = (struct bootstrap_stub){.marker = "not hex", .hash = HASH};
    assert_null(bootstrap_script(&stub, &err));
}

static int
begin(void **state)
{
    static const char *const empty[] = {"/tmp", "/var/tmp", "/dev/shm"};

    machine = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    for (int i = 0; machine && i < 3; i++)
        machine = mount("tmpfs", empty[i], "tmpfs", 0, "mode=1777") == 0;
    umask(022);
    if (!mkdtemp(scratch))
        return -1;
    make_images();
    return 0;
}

static int
finish(void **state)
{
    buf_fini(&image_raw);
    buf_fini(&image_gz);
    buf_fini(&image_xz);
    buf_fini(&image_bad);
    return shell("rm -rf %s", scratch);
}

#define test(f) cmocka_unit_test_setup_teardown(f, fresh, clean)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_text),
        test(test_cold_then_warm),
        test(test_login_shells),
        test(test_kinds_of_sh),
        test(test_noisy_login),
        test(test_race),
        test(test_umasks),
        test(test_no_home),
        test(test_order_of_candidates),
        test(test_open_directories),
        test(test_taken_names),
        test(test_planted_agent),
        test(test_other_user),
        test(test_bad_file_systems),
        test(test_full_disk),
        test(test_nothing_left_to_try),
        test(test_wrong_machine),
        test(test_missing_tools),
        test(test_cut),
        test(test_no_cache),
        test(test_raw),
    };

    return cmocka_run_group_tests(tests, begin, finish);
}
