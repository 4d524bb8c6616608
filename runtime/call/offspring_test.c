/* Real processes: a thread of this one has started them, as user code would. */
#include "offspring.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "await_test.h"

static pid_t
spawn(bool own_group, const char *command)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (own_group)
            setpgid(0, 0);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static int
signal_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
test_ends_those_of_the_thread_and_theirs(void **state)
{
    pid_t plain = spawn(false, "exec sleep 1000"), deep;
    char command[128], byte;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    snprintf(command, sizeof command, "sh -c 'echo >&%d; exec sleep 1000'; :", ends[1]);
    deep = spawn(false, command);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(offspring_interrupt(gettid()), 3);
    assert_int_equal(signal_of(plain), SIGINT);
    assert_int_equal(signal_of(deep), SIGINT);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* all that held it are gone */
    close(ends[0]);
}

static void
test_leaves_other_groups(void **state)
{
    pid_t own = spawn(true, "exec sleep 1000");

    (void)state;
    setpgid(own, own);
    assert_int_equal(offspring_interrupt(gettid()), 0);
    kill(own, SIGKILL);
    assert_int_equal(signal_of(own), SIGKILL);
}

static void
test_knows_no_such_thread(void **state)
{
    (void)state;
    assert_int_equal(offspring_interrupt(1 << 22), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_those_of_the_thread_and_theirs),
        cmocka_unit_test(test_leaves_other_groups),
        cmocka_unit_test(test_knows_no_such_thread),
    };

    setpgid(0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
