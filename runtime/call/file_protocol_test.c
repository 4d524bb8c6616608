/* The file service against a peer that says what it likes: web1 serves, the messages are written here. */
#include "pair_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "file_internal.h"

struct bench {
    struct pair p;
    char dir[40]; /* what transfers write to */
    char target[60];
    uint32_t seq;
};

static void
bench_open(struct bench *b)
{
    strcpy(b->dir, "/tmp/file_test.XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->target, sizeof(b->target), "%s/target", b->dir);
    b->seq = 0;
    pair_start(&b->p);
}

static void
bench_close(struct bench *b)
{
    pair_stop(&b->p);
    assert_int_equal(entries(b->dir), 0);
    assert_int_equal(rmdir(b->dir), 0);
}

static void
send_kind(struct bench *b, struct buf *body)
{
    pair_send(&b->p, HANDLE_FILE, b->seq, body);
}

static void
offer(struct bench *b, const char *path, uint64_t size)
{
    struct buf m = {0};
    b->seq++;
    pack_u8(&m, 'O');
    pack_str(&m, path);
    pack_u64(&m, size);
    pack_u32(&m, 0644);
    pack_str(&m, "");
    pack_str(&m, "");
    pack_u32(&m, FILE_WINDOW);
    send_kind(b, &m);
}

static void
ask_for(struct bench *b, const char *path)
{
    struct buf m = {0};
    b->seq++;
    pack_u8(&m, 'G');
    pack_str(&m, path);
    send_kind(b, &m);
}

static void
ask(struct bench *b, uint32_t seq, uint32_t window)
{
    struct buf m = {0};
    pack_u8(&m, 'A');
    pack_u32(&m, window);
    pack_bytes(&m, "", 0);
    pair_send(&b->p, HANDLE_FILE, seq, &m);
}

static void
data_as(struct bench *b, char kind, size_t n)
{
    struct buf m = {0};
    void *zeros = xcalloc(1, n + 1);
    pack_u8(&m, (uint8_t)kind);
    pack_bytes(&m, zeros, n);
    free(zeros);
    send_kind(b, &m);
}

static void
data(struct bench *b, size_t n)
{
    data_as(b, 'D', n);
}

static void
end(struct bench *b, uint8_t unchanged, uint64_t zeros)
{
    struct buf m = {0};
    uint8_t content[CHECKSUM_SIZE];
    struct checksum *c = checksum_create();
    for (uint64_t i = 0; i < zeros; i++)
        checksum_update(c, "", 1);
    checksum_read(c, content);
    checksum_destroy(c);
    pack_u8(&m, 'Z');
    pack_u8(&m, unchanged);
    pack_bytes(&m, content, sizeof(content));
    send_kind(b, &m);
}

static void
say(struct bench *b, const char *raw)
{
    struct buf m = {0};
    buf_append(&m, raw, strlen(raw));
    send_kind(b, &m);
}

/* The next message, of the current transfer, but for credit. */
static struct msg *
take(struct bench *b)
{
    for (;;) {
        struct msg *m = pair_take(&b->p);
        assert_int_equal(m->h.seq, b->seq);
        assert_false(m->h.flags);
        if (msg_payload(m)[0] != 'C')
            return m;
        msg_unref(m);
    }
}

static void
expect_kind(struct bench *b, char kind)
{
    struct msg *m = take(b);
    assert_int_equal(msg_payload(m)[0], kind);
    msg_unref(m);
}

static void
expect_fail(struct bench *b, int code, const char *part)
{
    struct unpack u;
    struct msg *m = take(b);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_int_equal(unpack_u8(&u), 'F');
    assert_int_equal(-(int)unpack_u8(&u), code);
    char *text = unpack_str(&u);
    assert_int_equal(unpack_done(&u, "fail", NULL), 0);
    if (!strstr(text, part))
        fail_msg("\"%s\" has no \"%s\"", text, part);
    free(text);
    msg_unref(m);
}

/* ---- */

static void
test_wrong_sources(void **state)
{
    struct bench b;
    bench_open(&b);
    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    data(&b, 101);
    expect_fail(&b, ERR_PROTOCOL, "more data than was offered");

    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    data(&b, 0);
    expect_fail(&b, ERR_PROTOCOL, "data without data");

    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    data(&b, 99);
    end(&b, 0, 99);
    expect_fail(&b, ERR_PROTOCOL, "the end before the end");

    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    data(&b, 100);
    end(&b, 0, 101);
    expect_fail(&b, ERR_FILE, "content changed on its way");

    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    end(&b, 1, 100);
    expect_fail(&b, ERR_PROTOCOL, "not compared");

    offer(&b, b.target, UINT64_MAX);
    expect_fail(&b, ERR_PROTOCOL, "impossible size");

    offer(&b, "", 1);
    expect_fail(&b, ERR_ARGUMENT, "empty path");
    assert_int_equal(entries(b.dir), 0);

    /* And one that does it right, in case all of the above is wrong here. */
    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    data(&b, 60);
    data(&b, 40);
    assert_int_equal(entries(b.dir), 0); /* it has no name while it is written */
    end(&b, 0, 100);
    expect_kind(&b, 'R');
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

static void
test_too_fast(void **state)
{
    struct bench b;
    bench_open(&b);
    kill(b.p.pid, SIGSTOP);
    offer(&b, b.target, 64 << 20);
    kill(b.p.pid, SIGCONT);
    expect_kind(&b, 'A');
    data(&b, FILE_WINDOW + 1);
    expect_fail(&b, ERR_PROTOCOL, "credit");
    bench_close(&b);
}

static void
test_malformed(void **state)
{
    struct bench b;
    static const char *const raws[] = {"", "G", "O", "Gxxxxx", "Oxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "\xff\xff\xff", "A", "D", "d", "C", "Z", "R", "F", "K"};
    bench_open(&b);
    for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
        b.seq++;
        say(&b, raws[i]);
        /* Requests are answered; what belongs to no transfer is dropped. */
        if (raws[i][0] == 'G' || raws[i][0] == 'O')
            expect_fail(&b, ERR_PROTOCOL, "file request");
    }
    static const char kinds[] = "GOACRDdZxF";
    for (size_t i = 0; i < sizeof(kinds) - 1; i++) {
        char raw[] = {kinds[i], '\0'};
        offer(&b, b.target, 100);
        expect_kind(&b, 'A');
        say(&b, raw);
        if (kinds[i] == 'F')
            continue;
        bool known = strchr("DdZ", kinds[i]);
        expect_fail(&b, ERR_PROTOCOL, known ? "malformed" : "unexpected");
        data(&b, 10); /* too late: dropped */
    }
    static const char sources[] = "GOADRZ";
    for (size_t i = 0; i < sizeof(sources) - 1; i++) {
        char raw[] = {sources[i], '\0'};
        ask_for(&b, "/etc/passwd");
        expect_kind(&b, 'O');
        say(&b, raw);
        expect_fail(&b, ERR_PROTOCOL, sources[i] == 'A' ? "malformed" : "unexpected");
    }
    bench_close(&b);
}

static void
half(struct bench *b)
{
    offer(b, b->target, 1 << 20);
    expect_kind(b, 'A');
    data(b, 1 << 19);
    struct msg *credit = pair_take(&b->p);
    assert_int_equal(msg_payload(credit)[0], 'C');
    msg_unref(credit);
}

/* `names`: what there is to see meanwhile. */
static void
cancel(int names)
{
    struct bench b;
    bench_open(&b);
    half(&b);
    assert_int_equal(entries(b.dir), names);
    say(&b, "K");
    wait_until(entries(b.dir) == 0);
    half(&b); /* this one loses its asker */
    bench_close(&b);
}

static void
test_cancel_leaves_nothing(void **state)
{
    cancel(0);
    target_no_tmpfile = true;
    cancel(1);
    target_no_tmpfile = false;
}

/* Not even a name for cleaning up later. */
static void
test_kill_leaves_nothing(void **state)
{
    struct bench b;
    bench_open(&b);
    half(&b);
    pair_kill(&b.p);
    assert_int_equal(entries(b.dir), 0);
    assert_int_equal(rmdir(b.dir), 0);
    assert_int_equal(pair_end(&b.p), -SIGKILL);
}

/* A file that is written to while it is read. */
static void
test_source_changes(void **state)
{
    struct bench b;
    static const off_t sizes[] = {25000, 50001};
    static const char *const texts[] = {"became shorter", "became longer"};
    bench_open(&b);
    for (int i = 0; i < 2; i++) {
        int fd = open(b.target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, 50000), 0);
        ask_for(&b, b.target);
        expect_kind(&b, 'O');
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        ask(&b, b.seq, FILE_WINDOW);
        if (i == 1)
            expect_kind(&b, 'D');
        expect_fail(&b, ERR_FILE, texts[i]);
        close(fd);
    }
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

/* Credit and nothing more: the source stops at the window. */
static void
test_window(void **state)
{
    struct bench b;
    bench_open(&b);
    int fd = open(b.target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 1000000), 0);
    close(fd);
    ask_for(&b, b.target);
    expect_kind(&b, 'O');
    ask(&b, b.seq, 100000);
    expect_kind(&b, 'D');
    expect_kind(&b, 'D');
    uint32_t first = b.seq;
    ask_for(&b, b.target); /* another transfer comes, and nothing more of the first */
    expect_kind(&b, 'O');
    say(&b, "K");
    b.seq = first;
    struct buf m = {0};
    pack_u8(&m, 'C');
    pack_u32(&m, 50000);
    send_kind(&b, &m);
    expect_kind(&b, 'D');
    pack_u8(&m, 'C');
    pack_u32(&m, 100001);
    send_kind(&b, &m);
    expect_fail(&b, ERR_PROTOCOL, "credit for more than was sent");
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

/* A sink answers when it is asked to, for all that it has. */
static void
test_credit(void **state)
{
    struct bench b;
    struct unpack u;
    bench_open(&b);
    offer(&b, b.target, 1000);
    expect_kind(&b, 'A');
    data_as(&b, 'd', 400);
    data_as(&b, 'd', 300);
    data_as(&b, 'D', 200);
    struct msg *m = pair_take(&b.p);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_int_equal(unpack_u8(&u), 'C');
    assert_int_equal(unpack_u32(&u), 900);
    msg_unref(m);
    data_as(&b, 'd', 100);
    end(&b, 0, 1000);
    m = pair_take(&b.p);
    assert_int_equal(msg_payload(m)[0], 'R');
    msg_unref(m);
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

/* A source asks for less credit the more it may have under way, and does not wait for credit that it has not asked
 * for: not either when that becomes less. */
static void
test_asks_for_credit(void **state)
{
    enum { SIZE = 24 << 20, SLOW_US = 20000, AS_AT_FIRST = 4 };
    struct bench b;
    struct buf credit = {0};
    uint32_t got = 0, credited = 0;
    int unasked = 0, asked_in_a_row = 0;
    bench_open(&b);
    int fd = open(b.target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    close(fd);
    ask_for(&b, b.target);
    expect_kind(&b, 'O');
    ask(&b, b.seq, FILE_WINDOW);
    while (got < SIZE) {
        struct msg *m = take(&b);
        char kind = (char)msg_payload(m)[0];
        got += m->h.length - 5;
        msg_unref(m);
        assert_true(kind == 'D' || kind == 'd');
        assert_true(got - credited <= FILE_WINDOW);
        unasked += kind == 'd';
        asked_in_a_row = kind == 'D' ? asked_in_a_row + 1 : 0;
        if (kind == 'd')
            continue;
        if (unasked > 0 && asked_in_a_row < AS_AT_FIRST)
            usleep(SLOW_US);
        pack_u8(&credit, 'C');
        pack_u32(&credit, got - credited);
        credited = got;
        send_kind(&b, &credit);
    }
    expect_kind(&b, 'Z');
    assert_true(unasked > 0);
    say(&b, "K");
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

static void
test_returned(void **state)
{
    struct bench b;
    bench_open(&b);
    offer(&b, b.target, 100);
    expect_kind(&b, 'A');
    pair_return(&b.p, HANDLE_FILE, b.seq, ERR_LIMIT);
    expect_fail(&b, ERR_LIMIT, "returned");
    pair_return(&b.p, HANDLE_FILE, 4711, ERR_LIMIT); /* of none: ignored */
    bench_close(&b);
}

/* ---- a full queue ---- */

/* So many sources that the stream's queue is over its limit: everything arrives all the same. */
static void
test_full_queue(void **state)
{
    enum { SOURCES = 700, SIZE = 128 << 10 };
    struct bench b;
    struct pause pause;
    bench_open(&b);
    int fd = open(b.target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    close(fd);
    for (int i = 0; i < SOURCES; i++)
        ask_for(&b, b.target);
    for (int i = 0; i < SOURCES; i++)
        msg_unref(pair_take(&b.p));

    pause_start(&pause, &b.p);
    for (uint32_t seq = 1; seq <= SOURCES; seq++) {
        ask(&b, seq, FILE_WINDOW);
        if (seq % 50 == 0) /* what does not fit into the socket would wait for the loop */
            usleep(5000);
    }
    wait_idle(b.p.pid);
    sem_post(&pause.go);

    static uint32_t got[SOURCES + 1];
    memset(got, 0, sizeof(got));
    for (int ended = 0; ended < SOURCES;) {
        struct msg *m = pair_take(&b.p);
        char kind = (char)msg_payload(m)[0];
        if (kind == 'D' || kind == 'd') {
            struct buf credit = {0};
            got[m->h.seq] += m->h.length - 5;
            pack_u8(&credit, 'C');
            pack_u32(&credit, m->h.length - 5);
            pair_send(&b.p, HANDLE_FILE, m->h.seq, &credit);
        } else {
            struct buf result = {0};
            assert_int_equal(kind, 'Z');
            assert_int_equal(got[m->h.seq], SIZE);
            pack_u8(&result, 'R');
            pack_u8(&result, 1);
            pack_u64(&result, SIZE);
            pair_send(&b.p, HANDLE_FILE, m->h.seq, &result);
            ended++;
        }
        msg_unref(m);
    }
    sem_destroy(&pause.go);
    assert_int_equal(unlink(b.target), 0);
    bench_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_sources),
        cmocka_unit_test(test_too_fast),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_cancel_leaves_nothing),
        cmocka_unit_test(test_kill_leaves_nothing),
        cmocka_unit_test(test_source_changes),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_asks_for_credit),
        cmocka_unit_test(test_returned),
        cmocka_unit_test(test_full_queue),
    };
    cmocka_set_test_filter(getenv("TEST")); /* a pattern, to run some of them by hand */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
