/* Text: in an agent, what is written comes in order, bounded; in a controller, it is made harmless and paid for. */
#include <stdio.h>

#include "router_test.h"

#include "log.h"
#include "text.h"

struct line {
    uint8_t stream;
    char text[TEXT_LINE + 1];
};

/* The lines of a message, each in turn. */
static bool
next_line(struct unpack *u, struct line *l)
{
    const char *p;
    size_t n;

    if (unpack_left(u) == 0)
        return false;
    l->stream = unpack_u8(u);
    p = unpack_bytes(u, &n);
    assert_false(u->bad);
    assert_true(n <= TEXT_LINE);
    memcpy(l->text, p, n);
    l->text[n] = '\0';
    return true;
}

static void
assert_line(struct unpack *u, uint8_t stream, const char *text)
{
    struct line l;

    assert_true(next_line(u, &l));
    assert_int_equal(l.stream, stream);
    assert_string_equal(l.text, text);
}

/* ---- an agent ---- */

static struct msg *
hear_text(struct hub *x)
{
    struct msg *m = link_hear(&x->links[0]);

    assert_int_equal(m->h.handle, HANDLE_TEXT);
    assert_int_equal(m->h.dst, CONTEXT_CONTROLLER);
    return m;
}

static void
say_credit(struct link *l, uint32_t bytes)
{
    struct buf b = {0};
    struct msg *m;

    pack_u32(&b, HANDLE_TEXT);
    pack_u32(&b, bytes);
    m = pack_msg(HANDLE_CREDIT, &b);
    buf_fini(&b);
    m->h.dst = 5;
    m->h.src = m->h.auth = CONTEXT_CONTROLLER;
    msg_seal(m);
    assert_true(send(l->far, m->wire, FRAME_HEADER + m->h.length, MSG_NOSIGNAL) > 0);
    msg_unref(m);
}

static void
test_order(void **state)
{
    struct hub *x = *state;
    struct text_out *t = text_out_create(x->router);
    struct line l;
    struct unpack u;
    struct msg *m;

    printf("one\n");
    fprintf(stderr, "t%s", "w");
    printf("three ");
    fprintf(stderr, "o\n");
    log_warn("spec", "a warning");
    printf("and a half\nunfinished");
    fflush(stdout);
    text_out_start(t); /* nothing was lost before */
    m = hear_text(x);
    assert_int_equal(m->h.src, 5);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_line(&u, TEXT_STDOUT, "one");
    assert_line(&u, TEXT_STDERR, "two");
    assert_true(next_line(&u, &l));
    assert_int_equal(l.stream, TEXT_LOG + LOG_WARN);
    assert_non_null(strstr(l.text, "warn  spec: a warning"));
    assert_line(&u, TEXT_STDOUT, "three and a half");
    assert_int_equal(unpack_left(&u), 0);
    msg_unref(m);
    text_out_destroy(t);
    m = hear_text(x);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_line(&u, TEXT_STDOUT, "unfinished");
    msg_unref(m);
}

/* Nobody takes it: the writer waits once, and then goes on (waiting for each line would take hours). */
static void
test_flood(void **state)
{
    enum { LINES = 30000, LENGTH = 100 };
    struct hub *x = *state;
    struct text_out *t = text_out_create(x->router);
    unsigned long long dropped = 0, heard = 0;
    char text[LENGTH + 1];

    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    text_out_start(t);
    for (int i = 0; i < LINES; i++)
        puts(text);
    while (heard + dropped < LINES) {
        struct msg *m = hear_text(x);
        struct unpack u;
        struct line l;

        unpack_init(&u, msg_payload(m), m->h.length);
        while (next_line(&u, &l)) {
            unsigned long long n;

            if (l.stream == TEXT_STDERR) {
                assert_int_equal(sscanf(l.text, "(%llu lines were dropped here", &n), 1);
                dropped += n;
            } else {
                heard++;
            }
        }
        say_credit(&x->links[0], flow_cost(m->h.length));
        msg_unref(m);
    }
    assert_true(heard > FLOW_WINDOW / LENGTH / 2);
    assert_true(dropped > 0);
    text_out_destroy(t);
}

static void
test_long_line(void **state)
{
    struct hub *x = *state;
    struct text_out *t = text_out_create(x->router);
    char *text = xcalloc(1, TEXT_LINE + 11);
    struct unpack u;
    struct msg *m;

    memset(text, 'x', TEXT_LINE + 10);
    puts(text);
    text_out_start(t);
    m = hear_text(x);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_line(&u, TEXT_STDOUT, text + 10);
    assert_line(&u, TEXT_STDOUT, "xxxxxxxxxx");
    msg_unref(m);
    free(text);
    text_out_destroy(t);
}

/* What a child's process says on stderr goes up in the child's name. */
static void
test_relay(void **state)
{
    struct hub *x = *state;
    struct texts *texts = texts_create(x->router, false);
    struct unpack u;
    struct msg *m;

    assert_true(texts_raw(texts, x->links[1].context, "raw", 3));
    m = hear_text(x);
    assert_int_equal(m->h.src, 6);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_line(&u, TEXT_STDERR, "raw");
    msg_unref(m);
    texts_destroy(texts);
}

/* ---- a controller ---- */

static void
say_text(struct link *l, const void *payload, uint32_t n)
{
    struct msg *m = msg_with(HANDLE_TEXT, payload, n);

    m->h.dst = CONTEXT_CONTROLLER;
    m->h.src = l->id;
    msg_seal(m);
    assert_int_equal(send(l->far, m->wire, FRAME_HEADER + n, MSG_NOSIGNAL), FRAME_HEADER + n);
    msg_unref(m);
}

static void
say_line(struct link *l, uint8_t stream, const char *text)
{
    struct buf b = {0};

    pack_u8(&b, stream);
    pack_str(&b, text);
    say_text(l, buf_head(&b), (uint32_t)buf_len(&b));
    buf_fini(&b);
}

static struct msg *
take_text(struct hub *x, struct unpack *u, uint32_t src)
{
    struct msg *m = hub_take(x);
    char *name;

    assert_int_equal(m->h.handle, HANDLE_TEXT);
    assert_int_equal(m->h.src, src);
    unpack_init(u, msg_payload(m), m->h.length);
    name = unpack_str(u);
    assert_string_equal(name, "child");
    free(name);
    return m;
}

static void
test_harmless(void **state)
{
    struct hub *x = *state;
    struct texts *texts = texts_create(x->router, true);
    struct unpack u;
    struct msg *m;

    texts_watch(texts, x->mb);
    say_line(&x->links[0], TEXT_STDOUT, "a\33[2J\r\x7f\tb\xc2\x9b\xc3\xa4");
    m = take_text(x, &u, 2);
    assert_line(&u, TEXT_STDOUT, "a?[2J??\tb??\xc3\xa4");
    msg_unref(m);
    link_say(&x->links[0],
        (struct frame_header){.dst = 1, .src = 2, .handle = HANDLE_TEXT, .flags = FRAME_ERROR});
    say_text(&x->links[0], "\1\377\377\377\377x", 6); /* malformed: nothing to show, and no harm */
    m = take_text(x, &u, 2);
    msg_unref(m);
    assert_true(texts_raw(texts, x->links[1].context, "\33raw", 4));
    m = take_text(x, &u, 3);
    assert_line(&u, TEXT_STDERR, "?raw");
    msg_unref(m);
    texts_unwatch(texts, x->mb);
    texts_destroy(texts);
}

/* A watcher that goes gives back what it has not taken. */
static void
test_credit(void **state)
{
    struct hub *x = *state;
    struct texts *texts = texts_create(x->router, true);
    struct mailbox *mb = mailbox_create(NULL);
    struct msg *m;
    struct unpack u;

    texts_watch(texts, mb);
    say_line(&x->links[0], TEXT_STDOUT, "a line");
    link_silent(&x->links[0]);
    texts_unwatch(texts, mb);
    m = link_hear(&x->links[0]);
    assert_int_equal(m->h.handle, HANDLE_CREDIT);
    unpack_init(&u, msg_payload(m), m->h.length);
    assert_int_equal(unpack_u32(&u), HANDLE_TEXT);
    assert_int_equal(unpack_u32(&u), flow_cost(1 + 4 + 6));
    msg_unref(m);
    mailbox_destroy(mb);
    texts_destroy(texts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        as_agent(test_order),
        as_agent(test_flood),
        as_agent(test_long_line),
        as_agent(test_relay),
        as_controller(test_harmless),
        as_controller(test_credit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
