/*
 * Asking by way of a program, as ssh(1) does: the question is its argument, its standard output the
 * answer, an exit status other than 0 a refusal. It stays in our process group, so that Ctrl-C ends both.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask_internal.h"
#include "mem.h"

static bool
is_set(const char *name)
{
    const char *value = getenv(name);

    return value && *value;
}

const char *
ask_program_named(bool *first)
{
    static const char usual[] = "/usr/bin/ssh-askpass";
    const char *require = getenv("SSH_ASKPASS_REQUIRE"), *program = getenv("SSH_ASKPASS");
    bool allowed = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");

    *first = false;
    if (require && strcasecmp(require, "never") == 0)
        return NULL;
    if (require && strcasecmp(require, "force") == 0)
        *first = allowed = true;
    else if (require && strcasecmp(require, "prefer") == 0)
        *first = allowed;
    if (!allowed)
        return NULL;
    if (program && *program)
        return program;
    if (access(usual, X_OK) == 0)
        return usual;
    *first = false;
    return NULL;
}

/* The environment without what says how the program is to ask: like ssh(1), we want a line of text. */
static char **
environment(void)
{
    static const char hint[] = "SSH_ASKPASS_PROMPT=";
    size_t n = 0, kept = 0;
    char **copy;

    while (environ[n])
        n++;
    copy = xcalloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], hint, sizeof hint - 1) != 0)
            copy[kept++] = environ[i];
    return copy;
}

/* Its pid, or a negative errno. */
static pid_t
start(const char *program, const char *text, int out)
{
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)text, NULL};
    char **env = environment();
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    pid_t pid;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    rc = posix_spawnp(&pid, program, &files, &attr, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    free(env);
    return rc ? -rc : pid;
}

/* Its output up to the end, or until it is too long. False: cancelled. */
static bool
read_answer(int fd, const atomic_bool *cancel, char *answer)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t have = 0;

    for (;;) {
        ssize_t n;

        answer[have] = '\0';
        if (cancel && atomic_load(cancel))
            return false;
        if (poll(&p, 1, ASK_SLICE_MS) <= 0)
            continue;
        n = read(fd, answer + have, ASK_ANSWER_MAX - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        have += (size_t)n;
    }
}

static int
reap(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* the host program reaps everybody */
    return status;
}

int
ask_program(const char *program, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    char text[ASK_ANSWER_MAX + 1], *shown;
    int fd[2], status, rc = 0;
    bool read_all;
    pid_t pid;

    if (pipe2(fd, O_CLOEXEC) < 0)
        return err_errno(err, ERR_SYSTEM, errno, "no pipe for %s", program);
    shown = xasprintf("%s%s%s", q->detail, *q->detail ? "\n" : "", q->text);
    pid = start(program, shown, fd[1]);
    free(shown);
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        return err_errno(
            err, ERR_CREDENTIALS, -pid, "the askpass program %s does not run", program);
    }
    read_all = read_answer(fd[0], cancel, text);
    if (!read_all)
        kill(pid, SIGKILL);
    close(fd[0]);
    status = reap(pid);
    text[strcspn(text, "\r\n")] = '\0';
    if (read_all && status == 0)
        *answer = xstrdup(text);
    else if (read_all)
        rc = err_set(err, ERR_CANCELLED, "the askpass program %s gave no answer", program);
    else
        rc = err_set(err, ERR_CANCELLED, "cancelled");
    explicit_bzero(text, sizeof text);
    return rc;
}
