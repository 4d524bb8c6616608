#include "command_test.h"

#include <sys/stat.h>

static void
test_outputs_and_code(void **state)
{
    struct pair p;
    pair_start(&p);
    struct outcome o = run(&p, SH("echo out; echo err >&2; exit 7"));
    assert_out(&o.out, "out\n");
    assert_out(&o.err, "err\n");
    assert_int_equal(o.code, 7);
    assert_int_equal(o.signal, 0);
    assert_false(o.timed_out);
    outcome_fini(&o);

    o = run(&p, SH("kill -KILL $$"));
    assert_int_equal(o.signal, SIGKILL);
    assert_int_equal(o.code, 0);
    outcome_fini(&o);

    struct run merged = SH("echo a; echo b >&2; echo c");
    merged.flags = COMMAND_MERGE;
    o = run(&p, merged);
    assert_out(&o.out, "a\nb\nc\n");
    assert_int_equal(buf_len(&o.err), 0);
    outcome_fini(&o);
    pair_stop(&p);
}

static void
test_surroundings(void **state)
{
    struct pair p;
    const char *const env[] = {"ORRERY_A=1", "HOME", "ORRERY_A=2=3", NULL};
    pair_start(&p);
    struct run r = SH("echo $ORRERY_A ${HOME-unset}; pwd; cat; ls /proc/self/fd | tr '\\n' ' ';"
                      "grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'");
    r.env = env;
    r.cwd = "/usr";
    signal(SIGHUP, SIG_DFL);
    struct outcome o = run(&p, r);
    assert_int_equal(buf_len(&o.err), 0);
    assert_out(&o.out, "2=3 unset\n/usr\n0 1 2 3 SigBlk:0000000000000000SigIgn:0000000000000000");
    outcome_fini(&o);

    /* A group of its own, and no terminal's signals. */
    o = run(&p, SH("ps -o pgid= -p $$ | tr -d ' '; echo $$"));
    buf_append(&o.out, "", 1);
    const char *text = (char *)buf_head(&o.out);
    assert_int_equal(atoi(text), atoi(strchr(text, '\n') + 1));
    assert_int_equal(atoi(text), o.pid);
    outcome_fini(&o);
    pair_stop(&p);
}

static void
assert_failed(struct outcome *o, int code, const char *part)
{
    assert_true(o->failed);
    assert_false(o->started);
    assert_int_equal(o->error, code);
    if (!strstr(o->text, part))
        fail_msg("\"%s\" has no \"%s\"", o->text, part);
    outcome_fini(o);
}

static void
test_cannot_start(void **state)
{
    struct pair p;
    pair_start(&p);
    struct outcome o = run(&p, RUN("orrery-no-such-thing"));
    assert_failed(&o, ERR_COMMAND, "cannot run orrery-no-such-thing: not found in PATH");
    o = run(&p, RUN("/etc/passwd"));
    assert_failed(&o, ERR_COMMAND, "cannot run /etc/passwd: Permission denied");
    o = run(&p, RUN("/no/such"));
    assert_failed(&o, ERR_COMMAND, "cannot run /no/such: No such file or directory");
    struct run r = RUN("true");
    r.cwd = "/no/such/dir";
    o = run(&p, r);
    assert_failed(&o, ERR_COMMAND, "in /no/such/dir: No such file or directory");

    const char *const bad_env[] = {"=x", NULL};
    r = RUN("true");
    r.env = bad_env;
    o = run(&p, r);
    assert_failed(&o, ERR_ARGUMENT, "NAME=VALUE");
    r = RUN("true");
    r.flags = 64;
    o = run(&p, r);
    assert_failed(&o, ERR_PROTOCOL, "flags");
    o = run(&p, RUN(""));
    assert_failed(&o, ERR_ARGUMENT, "needs a name");
    pair_stop(&p);
}

static void
test_malformed_request(void **state)
{
    struct pair p;
    struct outcome o = {0};
    struct buf b = {0};
    pair_start(&p);
    pack_u8(&b, 'R');
    pack_u32(&b, 0xffffffff); /* argc */
    pair_send(&p, HANDLE_RUN, 1, &b);
    finish(&p, 1, &o);
    assert_failed(&o, ERR_PROTOCOL, "malformed");

    pack_u8(&b, 'R');
    pair_send(&p, HANDLE_RUN, 2, &b);
    finish(&p, 2, &o);
    assert_failed(&o, ERR_PROTOCOL, "malformed");

    /* Nobody's: ignored. */
    send_kill(&p, 77);
    send_credit(&p, 77, 1);
    send_input(&p, 77, "x", 1);
    pair_send(&p, HANDLE_RUN, 78, &b);

    /* The same number twice: the second is refused. */
    struct run r = RUN("sleep", "1000");
    request(&p, 20, &r);
    wait_for(&p, 20, &o, 'S');
    request(&p, 20, &r);
    wait_for(&p, 20, &o, 'F');
    assert_non_null(strstr(o.text, "already"));
    outcome_fini(&o);
    pair_stop(&p);
}

/* The asker of a running command loses it by breaking the rules. */
static void
break_rules(struct pair *p, const char *message, size_t n, const char *text)
{
    struct outcome o = {0};
    struct buf b = {0};
    struct run r = RUN("sleep", "1000");
    request(p, 10, &r);
    wait_for(p, 10, &o, 'S');
    buf_append(&b, message, n);
    pair_send(p, HANDLE_RUN, 10, &b);
    wait_for(p, 10, &o, 'F');
    assert_int_equal(o.error, ERR_PROTOCOL);
    assert_non_null(strstr(o.text, text));
    pid_t pid = (pid_t)o.pid;
    wait_until(gone(pid));
    outcome_fini(&o);
}

static void
test_broken_rules(void **state)
{
    struct pair p;
    pair_start(&p);
    break_rules(&p, "I\0\0\0\0", 5, "not announced");
    break_rules(&p, "C\0\0\0\1", 5, "credit for more");
    break_rules(&p, "q", 1, "unknown kind");
    break_rules(&p, "C", 1, "malformed credit");
    break_rules(&p, "I\0\0\0\2x", 6, "malformed stdin");

    struct outcome o = {0};
    struct run r = RUN("sleep", "1000");
    request(&p, 11, &r);
    wait_for(&p, 11, &o, 'S');
    pair_return(&p, HANDLE_RUN, 11, ERR_LIMIT);
    wait_for(&p, 11, &o, 'F');
    assert_int_equal(o.error, ERR_LIMIT);
    outcome_fini(&o);
    pair_stop(&p);
}

static void
test_window(void **state)
{
    enum { SIZE = 3000000 };
    struct pair p;
    struct outcome o = {0}, other;
    pair_start(&p);
    struct run r = SH("head -c 3000000 /dev/zero; echo done >&2");
    request(&p, 1, &r);
    while (buf_len(&o.out) < COMMAND_WINDOW)
        absorb(&p, 1, &o);
    assert_int_equal(buf_len(&o.out), COMMAND_WINDOW);
    /* Another command is not slowed, and while it runs nothing of the first one comes. */
    other = run(&p, SH("sleep 0.05; echo x"));
    assert_out(&other.out, "x\n");
    outcome_fini(&other);
    send_credit(&p, 1, COMMAND_WINDOW);
    finish(&p, 1, &o);
    assert_int_equal(buf_len(&o.out), SIZE);
    assert_out(&o.err, "done\n");
    outcome_fini(&o);
    pair_stop(&p);
}

/* All that a command said arrives, also where it ended long before its asker read it. */
static void
test_slow_asker_of_a_dead_command(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = SH("echo $$ >&2; exec head -c 300000 /dev/zero");
    request(&p, 1, &r);
    while (buf_len(&o.out) < COMMAND_WINDOW - 8)
        absorb(&p, 1, &o);
    pid_t pid = (pid_t)o.pid;
    wait_until(gone(pid));
    usleep((COMMAND_LINGER_MS + 200) * 1000); /* nothing reports that a second has passed */
    send_credit(&p, 1, buf_len(&o.out) + buf_len(&o.err));
    finish(&p, 1, &o);
    assert_int_equal(buf_len(&o.out), 300000);
    outcome_fini(&o);
    pair_stop(&p);
}

static void
test_stdin_echo(void **state)
{
    enum { SIZE = 10 << 20, PIECE = 50000 };
    struct pair p;
    struct outcome o = {0};
    uint8_t *data = xmalloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    pair_start(&p);
    struct run r = RUN("cat");
    r.flags = COMMAND_STDIN;
    int64_t from = clock_ms();
    request(&p, 1, &r);
    size_t sent = 0, credited = 0;
    bool ended = false;
    for (;;) {
        while (sent < SIZE) {
            size_t n = SIZE - sent < PIECE ? SIZE - sent : PIECE;
            if (sent + n > o.credit + COMMAND_WINDOW)
                break;
            send_input(&p, 1, data + sent, n);
            sent += n;
        }
        if (sent == SIZE && !ended) {
            send_input(&p, 1, "", 0);
            ended = true;
        }
        if (absorb(&p, 1, &o) == 'X')
            break;
        if (buf_len(&o.out) > credited)
            send_credit(&p, 1, buf_len(&o.out) - credited);
        credited = buf_len(&o.out);
    }
    print_message(
        "10 MiB through cat: %.0f MB/s\n", SIZE / 1000.0 / (double)(clock_ms() - from + 1));
    assert_int_equal(o.code, 0);
    assert_int_equal(buf_len(&o.out), SIZE);
    assert_memory_equal(buf_head(&o.out), data, SIZE);
    outcome_fini(&o);

    /* More than there is credit for. */
    r = RUN("sleep", "1000");
    r.flags = COMMAND_STDIN;
    request(&p, 2, &r);
    send_input(&p, 2, data, COMMAND_WINDOW);
    send_input(&p, 2, data, COMMAND_WINDOW);
    wait_for(&p, 2, &o, 'F');
    assert_non_null(strstr(o.text, "more stdin"));
    outcome_fini(&o);

    /* A command that does not read its stdin: SIGPIPE kills nobody, and the credit comes back. */
    r = SH("exec <&-; echo closed; sleep 0.2; exit 3");
    r.flags = COMMAND_STDIN;
    request(&p, 3, &r);
    wait_for(&p, 3, &o, 'O');
    send_input(&p, 3, data, COMMAND_WINDOW);
    finish(&p, 3, &o);
    assert_int_equal(o.code, 3);
    assert_int_equal(o.credit, COMMAND_WINDOW);
    outcome_fini(&o);
    free(data);
    pair_stop(&p);
}

static void
test_timeout(void **state)
{
    struct pair p;
    pair_start(&p);
    struct run r = RUN("sleep", "1000");
    r.timeout = 50;
    struct outcome o = run(&p, r);
    assert_true(o.timed_out);
    assert_int_equal(o.signal, SIGTERM);
    outcome_fini(&o);

    r = SH("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    r.timeout = 300;
    r.grace = 200;
    int64_t from = clock_ms();
    o = run(&p, r);
    assert_true(o.timed_out);
    assert_int_equal(o.signal, SIGKILL);
    assert_in_range(clock_ms() - from, 490, 5000);
    outcome_fini(&o);

    /* One that takes the hint and says goodbye. */
    r = SH("trap 'echo bye; exit 4' TERM; while :; do sleep 0.02; done");
    r.timeout = 200;
    o = run(&p, r);
    assert_true(o.timed_out);
    assert_int_equal(o.code, 4);
    assert_out(&o.out, "bye\n");
    outcome_fini(&o);
    pair_stop(&p);
}

static void
test_kill_takes_the_group(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = SH("(trap '' TERM; echo $(exec sh -c 'echo $PPID'); "
                      "while :; do sleep 0.05; done) & wait");
    r.grace = 200;
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t grandchild = printed_pid(&o);
    assert_true(grandchild > 1 && kill(grandchild, 0) == 0);
    send_kill(&p, 1);
    finish(&p, 1, &o);
    assert_int_equal(o.signal, SIGTERM);
    assert_false(o.timed_out);
    wait_until(gone(grandchild));
    outcome_fini(&o);

    /* A stopped one hears it too. */
    r = SH("kill -STOP $$");
    request(&p, 2, &r);
    wait_for(&p, 2, &o, 'S');
    send_kill(&p, 2);
    finish(&p, 2, &o);
    assert_int_equal(o.signal, SIGTERM);
    outcome_fini(&o);
    pair_stop(&p);
}

/* One that has become somebody else's: the asker is told, and does not wait for ever. */
static void
test_not_ours_to_kill(void **state)
{
    char dir[] = "/tmp/command_test.XXXXXX", line[300];
    struct pair p;
    struct pair_options options = {.uid = 65534};
    struct outcome o = {0};
    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    snprintf(line, sizeof(line),
        "chmod 755 %s && cp $(command -v setpriv) %s/become && chmod 4755 %s/become", dir, dir,
        dir);
    assert_int_equal(system(line), 0);
    pair_start_with(&p, &options);
    snprintf(line, sizeof(line), "exec %s/become --reuid 0 sh -c 'echo; exec sleep 1000'", dir);
    struct run r = SH(line);
    r.timeout = 300;
    r.grace = 50;
    request(&p, 1, &r);
    finish(&p, 1, &o);
    kill((pid_t)o.pid, SIGKILL);
    assert_true(o.failed);
    assert_int_equal(o.error, ERR_TIMEOUT);
    assert_non_null(strstr(o.text, "another user"));
    outcome_fini(&o);
    pair_stop(&p);
    snprintf(line, sizeof(line), "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

static void
test_daemon_holds_the_pipe(void **state)
{
    struct pair p;
    pair_start(&p);
    int64_t from = clock_ms();
    struct outcome o = run(&p, SH("sleep 1000 & echo $!"));
    assert_in_range(clock_ms() - from, COMMAND_LINGER_MS - 10, COMMAND_LINGER_MS + 4000);
    assert_int_equal(o.code, 0);
    pid_t daemon = printed_pid(&o);
    assert_int_equal(kill(daemon, 0), 0); /* it may stay */
    kill(daemon, SIGKILL);
    outcome_fini(&o);

    /* A noisy one cannot make it longer. */
    from = clock_ms();
    o = run(&p, SH("yes & echo $!"));
    assert_in_range(clock_ms() - from, COMMAND_LINGER_MS - 10, COMMAND_LINGER_MS + 4000);
    daemon = printed_pid(&o);
    outcome_fini(&o);
    wait_until(gone(daemon));
    pair_end(&p);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void
test_listener_gone(void **state)
{
    char path[] = "/tmp/command_test.XXXXXX";
    struct pair p;
    struct outcome o = {0};
    close(mkstemp(path));
    pair_start(&p);
    char script[200];
    snprintf(script, sizeof(script),
        "trap 'echo termed > %s; exit' TERM; while :; do echo x; sleep 0.01; done", path);
    struct run r = SH(script);
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t pid = (pid_t)o.pid;
    pair_unlisten(&p);
    wait_until(gone(pid));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 7);
    unlink(path);
    outcome_fini(&o);
    pair_stop(&p);
}

/* As many as may be; one more is refused; and the end of the service ends them all. */
static void
test_limit(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = RUN("sleep", "1000");
    r.flags = COMMAND_MERGE;
    int64_t from = clock_ms();
    for (uint32_t i = 0; i < COMMAND_MAX; i++)
        request(&p, i, &r);
    for (uint32_t i = 0; i < COMMAND_MAX; i++) {
        struct msg *m = pair_take(&p);
        assert_int_equal(msg_payload(m)[0], 'S');
        msg_unref(m);
    }
    print_message("%u commands started in %d ms\n", COMMAND_MAX, (int)(clock_ms() - from));
    request(&p, COMMAND_MAX, &r);
    finish(&p, COMMAND_MAX, &o);
    assert_failed(&o, ERR_LIMIT, "limit");
    from = clock_ms();
    pair_stop(&p);
    print_message("and ended in %d ms\n", (int)(clock_ms() - from));
}

/* More output under way than the stream's queue takes: all of it arrives, and every end. */
static void
test_full_queue(void **state)
{
    enum { COMMANDS = 200, SIZE = 250000 };
    struct pair p;
    struct pause pause;
    pair_start(&p);
    pause_start(&pause, &p);
    struct run r = RUN("head", "-c", "250000", "/dev/zero");
    for (uint32_t i = 0; i < COMMANDS; i++) {
        request(&p, i, &r);
        if (i % 50 == 0) /* what does not fit into the socket would wait for the loop */
            usleep(5000);
    }
    wait_idle(p.pid);
    sem_post(&pause.go);
    uint32_t got[COMMANDS] = {0};
    for (int ended = 0; ended < COMMANDS;) {
        struct msg *m = pair_take(&p);
        char kind = (char)msg_payload(m)[0];
        if (kind == 'O')
            got[m->h.seq] += m->h.length - 5;
        if (kind == 'X') {
            assert_int_equal(got[m->h.seq], SIZE);
            ended++;
        }
        msg_unref(m);
    }
    sem_destroy(&pause.go);
    pair_stop(&p);
}

static void
test_throughput(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = RUN("head", "-c", "268435456", "/dev/zero");
    int64_t from = clock_ms();
    uint64_t total = 0;
    request(&p, 1, &r);
    for (char kind = 0; kind != 'X';) {
        kind = absorb(&p, 1, &o);
        if (kind == 'O') {
            total += buf_len(&o.out);
            send_credit(&p, 1, buf_len(&o.out));
            buf_consume(&o.out, buf_len(&o.out));
        }
    }
    assert_int_equal(total, 268435456);
    print_message("output of a command: %.0f MB/s\n",
        (double)total / 1000.0 / (double)(clock_ms() - from + 1));
    outcome_fini(&o);

    enum { COMMANDS = 200 };
    from = clock_ms();
    for (uint32_t i = 0; i < COMMANDS; i++) {
        o = run(&p, RUN("true"));
        outcome_fini(&o);
    }
    print_message("one after the other: %.0f commands a second\n",
        COMMANDS * 1000.0 / (double)(clock_ms() - from + 1));
    pair_stop(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs_and_code),
        cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_malformed_request),
        cmocka_unit_test(test_broken_rules),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_slow_asker_of_a_dead_command),
        cmocka_unit_test(test_stdin_echo),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_kill_takes_the_group),
        cmocka_unit_test(test_not_ours_to_kill),
        cmocka_unit_test(test_daemon_holds_the_pipe),
        cmocka_unit_test(test_listener_gone),
        cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_throughput),
    };
    cmocka_set_test_filter(getenv("TEST")); /* a pattern, to run some of them by hand */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
