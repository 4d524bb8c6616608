/* The reader: bytes in, states and errors out. The stub itself is tested in stub_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bootstrap.h"

#define M "0123456789abcdef01234567"

static const struct bootstrap_image image = {"the image", 9};
static char asked[64]; /* what find was called with */

static const struct bootstrap_image *
find(void *arg, const char *kernel, const char *machine, const char *form, struct err *err)
{
    snprintf(asked, sizeof asked, "%s %s %s", kernel, machine, form);
    if (strcmp(machine, "vax") != 0)
        return &image;
    err_set(err, ERR_BOOTSTRAP, "no agent was built for %s on %s", kernel, machine);
    return NULL;
}

static enum bootstrap_state
say(struct bootstrap *b, const char *text, struct err *err)
{
    return bootstrap_feed(b, text, strlen(text), err);
}

static void
assert_rest(struct bootstrap *b, const char *expected)
{
    size_t n;
    const void *rest = bootstrap_rest(b, &n);

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(rest, expected, n);
}

static void
test_warm(void **state)
{
    struct bootstrap *b = bootstrap_create(M, find, NULL);
    struct err err = {0};

    assert_int_equal(
        say(b, "Welcome\nbash: warning: no newline" M " agent\nFRAMES", &err), BOOTSTRAP_DONE);
    assert_rest(b, "FRAMES");
    assert_int_equal(bootstrap_uploaded(b), 0);
    bootstrap_destroy(b);
}

static const char conversation[] =
    "noise " M "; more\r\n" M " skip /a b: full\r\n" M
    " need Linux x86_64 gz /tmp/orrery-0\r\nmore noise\n" M " agent\r\n\r\nXY";

/* The same, however it is cut. */
static void
test_chunks(void **state)
{
    for (size_t chunk = 1; chunk < sizeof conversation; chunk++) {
        struct bootstrap *b = bootstrap_create(M, find, NULL);
        enum bootstrap_state s = BOOTSTRAP_WAIT;
        struct err err = {0};
        int sends = 0;
        size_t agent = (size_t)(strstr(conversation, "more noise") - conversation);

        for (size_t at = 0, n; at < sizeof conversation - 1; at += n) {
            n = sizeof conversation - 1 - at < chunk ? sizeof conversation - 1 - at : chunk;
            if (at < agent && at + n > agent)
                n = agent - at; /* a stub waits for its image */
            s = bootstrap_feed(b, conversation + at, n, &err);
            if (s == BOOTSTRAP_SEND) {
                sends++;
                assert_ptr_equal(bootstrap_take_image(b), &image);
                assert_null(bootstrap_take_image(b));
            }
            assert_int_not_equal(s, BOOTSTRAP_FAILED);
        }
        assert_int_equal(s, BOOTSTRAP_DONE);
        assert_int_equal(sends, 1);
        assert_string_equal(asked, "Linux x86_64 gz");
        assert_int_equal(bootstrap_uploaded(b), image.size);
        assert_rest(b, "\r\nXY");
        bootstrap_destroy(b);
    }
}

static void
assert_fails(bootstrap_find with, const char *text, const char *expected)
{
    struct bootstrap *b = bootstrap_create(M, with, NULL);
    struct err err = {0};

    assert_int_equal(say(b, text, &err), BOOTSTRAP_FAILED);
    assert_int_equal(err.code, ERR_BOOTSTRAP);
    if (!strstr(err.msg, expected))
        fail_msg("no \"%s\" in: %s", expected, err.msg);
    assert_int_equal(say(b, M " agent\n", &err), BOOTSTRAP_FAILED);
    bootstrap_destroy(b);
}

static void
test_errors(void **state)
{
    char line[6000];

    assert_fails(find, M " need Linux vax gz /tmp\n", "no agent was built for Linux on vax");
    assert_fails(find, M " need Linux x86_64 lz4 /tmp\n", "in a way unknown here");
    assert_fails(find, M " need Linux\033[0m x86_64 gz /tmp\n", "in a way unknown here");
    assert_fails(find, M " need Linux x86_64 gz\n", "in a way unknown here");
    assert_fails(find, M " need\n", "in a way unknown here");
    assert_fails(NULL, M " need Linux x86_64 gz /tmp\n", "none is offered");
    assert_fails(find, M " need Linux a gz /\n" M " need Linux a gz /\n", "again and again");
    assert_fails(find, M " need Linux a gz /\n" M " agent\n", "did not wait");
    assert_fails(find, M " dance\033]0;x\a now\n", "\"dance ]0;x\"");
    assert_fails(find, M " skip /a: full\n" M " skip /b: noexec\n" M " fail no room\n",
        "bootstrap: no room; tried /a: full; /b: noexec");
    memset(line, 'x', sizeof line);
    memcpy(line, M " skip ", sizeof M + 5);
    line[sizeof line - 1] = '\0';
    assert_fails(find, line, "a line of more than 4096 bytes");
}

static void
test_too_many_needs(void **state)
{
    struct bootstrap *b = bootstrap_create(M, find, NULL);
    struct err err = {0};

    for (int i = 0; i < 16; i++) {
        assert_int_equal(say(b, M " need Linux x86_64 raw /tmp\n", &err), BOOTSTRAP_SEND);
        assert_ptr_equal(bootstrap_take_image(b), &image);
    }
    assert_int_equal(say(b, M " need Linux x86_64 raw /tmp\n", &err), BOOTSTRAP_FAILED);
    assert_non_null(strstr(err.msg, "again and again"));
    bootstrap_destroy(b);
}

/* Noise without end costs no memory, and its last part is what is shown. */
static void
test_endless_noise(void **state)
{
    struct bootstrap *b = bootstrap_create(M, find, NULL);
    struct err err = {0};
    char block[10000];

    memset(block, 'z', sizeof block);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bootstrap_feed(b, block, sizeof block, &err), BOOTSTRAP_WAIT);
    say(b, "the last line\n", &err);
    bootstrap_explain(b, "exited with status 1", NULL, &err);
    assert_non_null(strstr(err.msg, "zzzthe last line"));
    assert_int_equal(say(b, M " agent\n", &err), BOOTSTRAP_DONE);
    bootstrap_destroy(b);
}

static void
assert_explained(const char *noise, const char *why, const char *stderr_text, const char *expected)
{
    struct bootstrap *b = bootstrap_create(M, find, NULL);
    struct err err = {0};

    say(b, noise, &err);
    bootstrap_explain(b, why, stderr_text, &err);
    assert_int_equal(err.code, ERR_BOOTSTRAP);
    assert_string_equal(err.msg, expected);
    bootstrap_destroy(b);
}

static void
test_explain(void **state)
{
    assert_explained("", "no agent came up in time", "",
        "bootstrap: no agent came up in time (what runs there neither ends nor starts sh: a forced "
        "command, or a login script that waits for input or starts another shell)");
    assert_explained("", "the connection broke", "", "bootstrap: the connection broke");
    assert_explained("", "exited with status 1", "",
        "bootstrap: exited with status 1 (the login shell ended before sh ran: it refuses "
        "commands, "
        "or a start-up file such as .bashrc ends it)");
    assert_explained("", "exited with status 127", "sh: error while loading shared libraries: x\n",
        "bootstrap: exited with status 127 (sh cannot be started there); stderr: sh: error while "
        "loading shared libraries: x");
    assert_explained("", "exited with status 1", "/bin/bash: No such file or directory\n",
        "bootstrap: exited with status 1 (the login shell is not there: is it a chroot for file "
        "transfer only?); stderr: /bin/bash: No such file or directory");
    assert_explained("", "exited with status 254",
        "User x not allowed because /etc/nologin exists\n",
        "bootstrap: exited with status 254 (nobody may log in there now); stderr: User x not "
        "allowed "
        "because /etc/nologin exists");
    assert_explained("This service allows sftp connections only.\n", "exited with status 1", "",
        "bootstrap: exited with status 1 (this account is for sftp only, a forced command); it "
        "printed: This service allows sftp connections only.");
    assert_explained("This account is currently not available.\n", "exited with status 1", NULL,
        "bootstrap: exited with status 1 (the login shell of this account refuses "
        "commands); it printed: This account is currently not available.");
    assert_explained("", "exited with status 127", "exec: sh: not found\n",
        "bootstrap: exited with status 127 (there seems to be no sh in the PATH); stderr: "
        "exec: sh: not found");
    assert_explained("\033[1;31mHello\033[0m,\r\n\tthis is gitolite \xc3\xa9\xff",
        "exited with status 0", "",
        "bootstrap: exited with status 0 (something else ran than what was asked for: a "
        "forced command, or a login shell that refuses commands); it printed: Hello, this is "
        "gitolite \xc3\xa9?");
    assert_explained(M " skip /a: full\n" M " need Linux x86_64 gz /tmp/x\n",
        "was killed by signal 9 (Killed)", "",
        "bootstrap: was killed by signal 9 (Killed), while taking the agent into /tmp/x; "
        "tried /a: full");
    assert_explained("", "exited with status 1", "rbash: exec: restricted\n",
        "bootstrap: exited with status 1 (the login shell of this account is restricted); "
        "stderr: rbash: exec: restricted");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_too_many_needs),
        cmocka_unit_test(test_endless_noise),
        cmocka_unit_test(test_explain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
