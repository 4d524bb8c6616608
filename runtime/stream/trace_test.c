/* What is kept of messages while somebody looks on. */
#include "trace.h"

#include "await_test.h"
#include "stream_test.h"

static struct frame_header
header(uint32_t handle, uint32_t seq)
{
    return (struct frame_header){.handle = handle, .seq = seq, .src = 1, .dst = 2, .length = 10};
}

static void
note(uint32_t handle, uint32_t seq)
{
    struct frame_header h = header(handle, seq);

    trace_note(true, "web1", &h);
}

static size_t
take(struct trace_entry **list)
{
    uint64_t more;
    size_t n = trace_take(list, &more);

    assert_int_equal(more, 0);
    return n;
}

static void
test_on_and_off(void **state)
{
    struct trace_entry *list;

    (void)state;
    note(HANDLE_CALL, 1);
    assert_int_equal(take(&list), 0);
    assert_null(list);
    trace_start();
    note(HANDLE_CALL, 2);
    note(HANDLE_PING, 3);
    note(HANDLE_PONG, 4);
    trace_stop();
    note(HANDLE_CALL, 5);
    assert_int_equal(take(&list), 1);
    assert_int_equal(list[0].h.seq, 2);
    assert_int_equal(list[0].h.length, 10);
    assert_true(list[0].sent);
    assert_string_equal(list[0].stream, "web1");
    free(list);
    assert_int_equal(take(&list), 0);
}

static void
test_starts_anew(void **state)
{
    struct trace_entry *list;

    (void)state;
    trace_start();
    note(HANDLE_CALL, 1);
    trace_start();
    note(HANDLE_CALL, 2);
    trace_stop();
    assert_int_equal(take(&list), 1);
    assert_int_equal(list[0].h.seq, 2);
    free(list);
}

static void
test_bound(void **state)
{
    struct trace_entry *list;
    uint64_t more;

    (void)state;
    trace_start();
    for (uint32_t i = 0; i < TRACE_MOST + 5; i++)
        note(HANDLE_CALL, i);
    trace_stop();
    assert_int_equal(trace_take(&list, &more), TRACE_MOST);
    assert_int_equal(more, 5);
    assert_int_equal(list[0].h.seq, 0); /* the first ones stay */
    assert_int_equal(list[TRACE_MOST - 1].h.seq, TRACE_MOST - 1);
    free(list);
}

static void *
note_many(void *arg)
{
    for (uint32_t i = 0; i < 1000; i++)
        note(HANDLE_CALL, i);
    return arg;
}

static void
test_threads(void **state)
{
    struct trace_entry *list;
    pthread_t threads[4];
    uint64_t more;
    size_t n;

    (void)state;
    trace_start();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, NULL), 0);
    for (int i = 0; i < 20; i++) { /* while they are at it */
        trace_stop();
        trace_start();
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    note_many(NULL);
    trace_stop();
    n = trace_take(&list, &more);
    assert_true(n >= 1000 && n <= 5000);
    assert_int_equal(more, 0);
    for (size_t i = 1; i < n; i++)
        assert_true(list[i].at >= list[i - 1].at);
    free(list);
}

static void
test_stream(void **state)
{
    struct probe *p = *state;
    struct trace_entry *list;

    probe_start_socket(p);
    trace_start();
    assert_int_equal(stream_send(p->s, message(1, 9, 100), NULL), 0);
    msg_unref(far_read(p));
    far_frame(p, HANDLE_DYNAMIC, 7);
    await(&p->frame);
    trace_stop();
    assert_int_equal(take(&list), 2);
    assert_true(list[0].sent);
    assert_int_equal(list[0].h.length, 100);
    assert_false(list[1].sent);
    assert_int_equal(list[1].h.seq, 7);
    assert_string_equal(list[1].stream, stream_name(p->s));
    free(list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_and_off),
        cmocka_unit_test(test_starts_anew),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_threads),
        with_probe(test_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
