/* HELLO and CONFIG, what is refused of them, and the images of agents. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "await_test.h"
#include "handshake.h"
#include "images.h"
#include "mem.h"
#include "pack.h"

/* ---- HELLO ---- */

static void
test_hello(void **state)
{
    struct msg *m = hello_make();
    struct utsname u;
    struct hello h;
    struct err err;

    uname(&u);
    assert_int_equal(hello_parse(&h, m, &err), 0);
    assert_string_equal(h.hostname, u.nodename);
    assert_string_equal(h.kernel, u.sysname);
    assert_string_equal(h.machine, u.machine);
    assert_int_equal(h.pid, getpid());
    assert_int_equal(h.uid, geteuid());
    hello_fini(&h);
    msg_unref(m);
}

static void
expect_bad_hello(uint32_t handle, const void *payload, uint32_t n, const char *text)
{
    struct msg *m = msg_with(handle, payload, n);
    struct hello h;
    struct err err;

    assert_int_equal(hello_parse(&h, m, &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, text);
    hello_fini(&h);
    msg_unref(m);
}

static void
test_bad_hello(void **state)
{
    struct msg *m = hello_make();
    uint8_t *bytes = xmalloc(m->h.length + 1);

    memcpy(bytes, msg_payload(m), m->h.length);
    bytes[m->h.length] = 0;
    expect_bad_hello(HANDLE_CALL, bytes, m->h.length, "the first frame is CALL, not HELLO");
    expect_bad_hello(HANDLE_HELLO, bytes, m->h.length + 1, "HELLO: 1 bytes too many");
    for (uint32_t n = 4; n < m->h.length; n++)
        expect_bad_hello(HANDLE_HELLO, bytes, n, "HELLO: malformed or cut short");
    bytes[3] = 200;
    expect_bad_hello(
        HANDLE_HELLO, bytes, m->h.length, "the agent speaks version 200, this side version 4");
    free(bytes);
    msg_unref(m);
}

/* ---- CONFIG ---- */

static struct msg *
sample_config(uint32_t depth)
{
    struct config c = {.id = 0xfffffff0,
        .ancestor_count = depth,
        .name = (char *)(uintptr_t) "web1",
        .route = (char *)(uintptr_t) "ssh:web1",
        .keepalive_ms = 15000,
        .log_level = 3,
        .spin_ns = 5000000000,
        .attend = true,
        .agent = (char *)(uintptr_t) "00ff"};

    for (uint32_t i = 0; i < depth; i++)
        c.ancestors[i] = depth - i;
    return config_make(&c);
}

static void
test_config(void **state)
{
    for (uint32_t depth = 0; depth <= HANDSHAKE_DEPTH; depth++) {
        struct msg *m = sample_config(depth);
        struct config c;
        struct err err;

        assert_int_equal(config_parse(&c, m, &err), 0);
        assert_int_equal(c.id, 0xfffffff0);
        assert_int_equal(c.ancestor_count, depth);
        for (uint32_t i = 0; i < depth; i++)
            assert_int_equal(c.ancestors[i], depth - i);
        assert_string_equal(c.name, "web1");
        assert_string_equal(c.route, "ssh:web1");
        assert_int_equal(c.keepalive_ms, 15000);
        assert_int_equal(c.log_level, 3);
        assert_int_equal(c.spin_ns, 5000000000);
        assert_true(c.attend);
        assert_string_equal(c.agent, "00ff");
        config_fini(&c);
        msg_unref(m);
    }
}

static void
test_bad_config(void **state)
{
    struct msg *good = sample_config(2), *m;
    struct config c;
    struct err err;

    for (uint32_t n = 0; n < good->h.length; n++) {
        m = msg_with(HANDLE_CONFIG, msg_payload(good), n);
        assert_int_equal(config_parse(&c, m, &err), ERR_PROTOCOL);
        assert_string_equal(err.msg, "CONFIG: malformed or cut short");
        config_fini(&c);
        msg_unref(m);
    }
    m = msg_with(HANDLE_CONFIG, msg_payload(good), good->h.length);
    msg_payload(m)[7] = HANDSHAKE_DEPTH + 1;
    assert_int_equal(config_parse(&c, m, &err), ERR_LIMIT);
    assert_string_equal(err.msg, "a context 17 levels deep, the limit is 16");
    config_fini(&c);
    m->h.handle = HANDLE_PING;
    assert_int_equal(config_parse(&c, m, &err), ERR_PROTOCOL);
    assert_string_equal(err.msg, "the first frame is PING, not CONFIG");
    config_fini(&c);
    msg_unref(m);
    msg_unref(good);
}

/* ---- images ---- */

static void
put(const char *dir, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void
drop(const char *dir, const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);

    unlink(path);
    free(path);
}

static void
test_images_open_fails(void **state)
{
    char dir[] = "/tmp/orrery-images-XXXXXX";
    int fds = await_count_fds();
    struct err err;

    assert_null(images_open("/nonexistent", &err));
    assert_int_equal(err.code, ERR_FILE);
    assert_non_null(strstr(err.msg, "/nonexistent/agent.id"));
    assert_non_null(mkdtemp(dir));
    put(dir, "agent.id", "");
    assert_null(images_open(dir, &err));
    put(dir, "agent.id", "not hexadecimal\n");
    assert_null(images_open(dir, &err));
    assert_int_equal(err.code, ERR_FILE);
    drop(dir, "agent.id");
    rmdir(dir);
    images_close(NULL);
    assert_int_equal(await_count_fds(), fds);
}

static void
test_images_find(void **state)
{
    char dir[] = "/tmp/orrery-images-XXXXXX";
    const struct bootstrap_image *image;
    int fds = await_count_fds();
    struct images *im;
    struct err err;

    assert_non_null(mkdtemp(dir));
    put(dir, "agent.id", "00ff\n");
    put(dir, "agent-Linux-pdp11", "the agent");
    put(dir, "agent-Linux-pdp11.gz", "gz");
    put(dir, "agent-Linux-vax", "");
    im = images_open(dir, &err);
    assert_non_null(im);
    assert_string_equal(images_id(im), "00ff");
    assert_memory_equal(images_native(im), dir, strlen(dir));
    image = images_find(im, "Linux", "pdp11", "raw", &err);
    assert_int_equal(image->size, 9);
    assert_memory_equal(image->data, "the agent", 9);
    assert_ptr_equal(images_find(im, "Linux", "pdp11", "raw", &err), image);
    assert_int_equal(images_find(im, "Linux", "pdp11", "gz", &err)->size, 2);
    assert_null(images_find(im, "Linux", "z80", "raw", &err));
    assert_int_equal(err.code, ERR_BOOTSTRAP);
    assert_non_null(strstr(err.msg, "agent-Linux-z80: No such file"));
    assert_null(images_find(im, "Linux", "vax", "raw", &err)); /* empty */
    assert_non_null(strstr(err.msg, "agent-Linux-vax: No data available"));
    assert_null(images_find(im, "..", "/etc/passwd", "raw", &err));
    assert_null(images_find(im, "../x", "y", "raw", &err));
    images_close(im);
    assert_int_equal(await_count_fds(), fds);
    drop(dir, "agent.id");
    drop(dir, "agent-Linux-pdp11");
    drop(dir, "agent-Linux-pdp11.gz");
    drop(dir, "agent-Linux-vax");
    rmdir(dir);
}

/* What an agent has to offer: itself, uncompressed, to machines like its own. */
static void
test_images_self(void **state)
{
    const struct bootstrap_image *image;
    struct utsname u;
    struct images *im;
    struct stat st;
    struct err err;

    uname(&u);
    assert_int_equal(stat("/proc/self/exe", &st), 0);
    im = images_of(NULL, "00ff", &err);
    assert_non_null(im);
    assert_string_equal(images_id(im), "00ff");
    assert_true(images_only_raw(im));
    assert_int_equal(access(images_native(im), X_OK), 0);
    assert_int_equal(access(images_helper(im), X_OK), 0);
    image = images_find(im, u.sysname, u.machine, "raw", &err);
    assert_int_equal(image->size, st.st_size);
    assert_memory_equal(image->data, "\177ELF", 4);
    assert_null(images_find(im, "Linux", "pdp11", "raw", &err));
    assert_int_equal(err.code, ERR_BOOTSTRAP);
    assert_non_null(strstr(err.msg, "no agent for Linux pdp11: "));
    assert_non_null(strstr(err.msg, u.machine));
    images_close(im);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_bad_hello),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_images_open_fails),
        cmocka_unit_test(test_images_find),
        cmocka_unit_test(test_images_self),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
