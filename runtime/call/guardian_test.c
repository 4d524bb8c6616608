/* What becomes of commands when this process, their asker, or the guardian is killed. */
#include "command_test.h"

#include <sys/stat.h>

/* Here web1 is this process, and the controller, which asks, is killed. */
static void
test_asker_lost(void **state)
{
    int fds[2], from_child[2];
    int before = await_count_fds();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(pipe(from_child), 0);
    fflush(NULL);
    pid_t asker = fork();
    if (asker == 0) {
        struct pair p = {0};
        struct outcome o = {0};
        close(fds[1]);
        side_create(&p.near, fds[0], false, false);
        p.far = p.near.peer;
        p.mb = mailbox_create(NULL);
        p.reply = router_listen_mailbox(p.near.router, 0, HANDLE_FROM_ANYONE, p.mb);
        struct run r = SH("trap '' TERM; echo ready; while :; do sleep 0.05; done");
        r.grace = 100;
        request(&p, 1, &r);
        wait_for(&p, 1, &o, 'O');
        int32_t pid = (int32_t)o.pid;
        if (write(from_child[1], &pid, sizeof(pid)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[0]);
    struct side side;
    int32_t pid;
    side_create(&side, fds[1], true, false);
    assert_int_equal(read(from_child[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(kill(pid, 0), 0);
    kill(asker, SIGKILL);
    side_wait_closed(&side);
    wait_until(kill(pid, 0) < 0 && errno == ESRCH);
    side_destroy(&side);
    assert_int_equal(waitpid(asker, NULL, 0), asker);
    wait_until(waitpid(-1, NULL, WNOHANG) < 0);
    close(from_child[0]);
    close(from_child[1]);
    assert_int_equal(await_count_fds(), before);
}

static pid_t
find_child(pid_t parent, const char *name)
{
    char line[200], path[64];
    pid_t found = 0;
    snprintf(path, sizeof(path), "ps --ppid %d -o pid=,comm=", (int)parent);
    FILE *f = popen(path, "r");
    while (fgets(line, sizeof(line), f))
        if (strstr(line, name))
            found = atoi(line);
    pclose(f);
    return found;
}

static pid_t
find_guardian(pid_t parent)
{
    return find_child(parent, "orrery-guardian");
}

#define STUBBORN                                                                                   \
    "trap '' TERM; (while :; do sleep 0.05; done) & sleep 1000 & sh -c 'sleep 1000 & sleep 1000' " \
    "&"                                                                                            \
    " echo ready; wait"

static bool
group_gone(pid_t group)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return kill(-group, 0) < 0 && errno == ESRCH;
}

static void
test_guardian(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = SH(STUBBORN);
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t group = (pid_t)o.pid;

    pid_t guardian = find_guardian(p.pid);
    assert_true(guardian > 0);
    char command[100];
    snprintf(command, sizeof(command), "test $(ls /proc/%d/fd | wc -l) = 4", (int)guardian);
    assert_int_equal(system(command), 0);
    assert_int_equal(getsid(guardian), guardian);
    static const int harmless[] = {SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGPIPE};
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        kill(guardian, harmless[i]);

    int64_t from = clock_ms();
    pair_kill(&p);
    wait_until(group_gone(group));
    assert_in_range(clock_ms() - from, 0, 5000);
    wait_until(gone(guardian));
    outcome_fini(&o);

    pair_unlisten(&p);
    side_destroy(&p.near);
    mailbox_destroy(p.mb);
    assert_int_equal(await_count_fds(), p.fds);
}

/* Somebody kills the guardian: another one takes its place, and knows what runs. */
static void
test_guardian_lost(void **state)
{
    struct pair p;
    struct outcome o = {0}, other;
    pair_start(&p);
    struct run r = SH(STUBBORN);
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t group = (pid_t)o.pid;
    pid_t first = find_guardian(p.pid), second = 0;
    kill(first, SIGKILL);
    wait_until((second = find_guardian(p.pid)) > 0 && second != first);
    other = run(&p, SH("echo fine"));
    assert_out(&other.out, "fine\n");
    outcome_fini(&other);

    pair_kill(&p);
    wait_until(group_gone(group));
    wait_until(gone(second));
    outcome_fini(&o);
    pair_unlisten(&p);
    side_destroy(&p.near);
    mailbox_destroy(p.mb);
    assert_int_equal(await_count_fds(), p.fds);
}

/* Kills web1 and its guardian's other duties; what is to finish is left, and the finisher, whose pid it is. */
static pid_t
kill_but_finisher(struct pair *p)
{
    pid_t guardian, finisher = 0;
    wait_until((guardian = find_guardian(p->pid)) > 0);
    pair_kill(p);
    wait_until(gone(guardian));
    wait_until((finisher = find_child(getpid(), "orrery-finisher")) > 0);
    return finisher;
}

static void
end_controller(struct pair *p)
{
    pair_unlisten(p);
    side_destroy(&p->near);
    mailbox_destroy(p->mb);
    assert_int_equal(await_count_fds(), p->fds);
}

/* It says more than its pipes hold, to nobody. */
static void
test_finish(void **state)
{
    struct pair p;
    struct outcome o = {0};
    char dir[] = "/tmp/orrery-test.XXXXXX", go[64], finished[64];
    assert_non_null(mkdtemp(dir));
    snprintf(go, sizeof(go), "%s/go", dir);
    snprintf(finished, sizeof(finished), "%s/finished", dir);
    assert_int_equal(mkfifo(go, 0600), 0);
    pair_start(&p);
    struct run r =
        SH("echo ready; read x <go; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; "
           ": >finished");
    r.cwd = dir;
    r.flags = COMMAND_FINISH;
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t group = (pid_t)o.pid, finisher = kill_but_finisher(&p);
    assert_int_equal(kill(-group, 0), 0);
    FILE *f = fopen(go, "we");
    fputs("now\n", f);
    fclose(f);
    wait_until(access(finished, F_OK) == 0);
    wait_until(group_gone(group));
    wait_until(gone(finisher));
    outcome_fini(&o);
    end_controller(&p);
    unlink(go);
    unlink(finished);
    rmdir(dir);
}

static void
test_finish_in_time(void **state)
{
    struct pair p;
    struct outcome o = {0};
    pair_start(&p);
    struct run r = SH(STUBBORN);
    r.flags = COMMAND_FINISH;
    r.timeout = 500;
    request(&p, 1, &r);
    wait_for(&p, 1, &o, 'O');
    pid_t group = (pid_t)o.pid;
    pair_kill(&p);
    wait_until(group_gone(group));
    wait_until(waitpid(-1, NULL, WNOHANG) < 0); /* the finisher, too */
    outcome_fini(&o);
    end_controller(&p);
}

/* What was told to end is not kept; nor is what has no stdin yet. */
static void
test_not_finished(void **state)
{
    for (int stdin_open = 0; stdin_open < 2; stdin_open++) {
        struct pair p;
        struct outcome o = {0};
        pair_start(&p);
        struct run r = SH(STUBBORN);
        r.flags = (uint8_t)(COMMAND_FINISH | (stdin_open ? COMMAND_STDIN : 0));
        request(&p, 1, &r);
        wait_for(&p, 1, &o, 'O');
        if (!stdin_open) {
            send_kill(&p, 1);
            struct outcome other = run(&p, RUN("true"));
            outcome_fini(&other);
        }
        pid_t group = (pid_t)o.pid;
        pair_kill(&p);
        wait_until(group_gone(group));
        assert_int_equal(find_child(getpid(), "orrery-finisher"), 0);
        outcome_fini(&o);
        end_controller(&p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asker_lost),
        cmocka_unit_test(test_guardian),
        cmocka_unit_test(test_guardian_lost),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_finish_in_time),
        cmocka_unit_test(test_not_finished),
    };
    cmocka_set_test_filter(getenv("TEST")); /* a pattern, to run some of them by hand */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
