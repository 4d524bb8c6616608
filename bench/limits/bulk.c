/*
 * How fast bytes can move in bulk, in MB/s:
 *
 *   bulk pair MIB FILE...                        from a process to another over a socketpair, which
 *                                                drops them (null), or writes them to FILE (file1 ...)
 *   bulk ssh MIB ADDRESS PORT USER KEYFILE       over libssh2 into `cat >/dev/null` (put), and out of
 *                                                `head -c N /dev/zero` (get)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"
#include "ssh.h"

static char chunk[CHUNK];

static void
print_rate(const char *name, size_t chunks, double since)
{
    printf("%s.rate %.1f\n", name, (double)chunks * CHUNK / (now_us() - since));
    fflush(stdout);
}

static _Noreturn void
sink(int from, int to)
{
    ssize_t got;

    while ((got = read(from, chunk, sizeof chunk)) > 0)
        if (to >= 0)
            write_all(to, chunk, (size_t)got);
    _exit(got == 0 ? 0 : 1);
}

static void
pair(const char *name, size_t chunks, const char *file)
{
    int to = -1, status = 0, fds[2];
    double start;
    pid_t child;

    if (file && (to = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
        die(file);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        die("socketpair");
    start = now_us();
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(fds[0]);
        sink(fds[1], to);
    }
    close(fds[1]);
    for (size_t i = 0; i < chunks; i++)
        write_all(fds[0], chunk, sizeof chunk);
    close(fds[0]);
    if (waitpid(child, &status, 0) < 0 || status != 0)
        die("the receiving process");
    print_rate(name, chunks, start);
    if (file) {
        close(to);
        (void)unlink(file);
    }
}

static void
ssh_put(size_t chunks, char **where)
{
    struct ssh s;
    double start;

    ssh_open(&s, where, "exec cat >/dev/null");
    start = now_us();
    for (size_t i = 0; i < chunks; i++)
        ssh_write(&s, chunk, sizeof chunk);
    ssh_finish(&s);
    print_rate("put", chunks, start);
    ssh_close(&s);
}

static void
ssh_get(size_t chunks, char **where)
{
    char command[64];
    struct ssh s;
    double start;

    (void)snprintf(command, sizeof command, "exec head -c %zu /dev/zero", chunks * CHUNK);
    ssh_open(&s, where, command);
    start = now_us();
    while (ssh_read(&s, chunk, sizeof chunk, false) > 0)
        ;
    print_rate("get", chunks, start);
    ssh_close(&s);
}

int
main(int argc, char **argv)
{
    size_t chunks = argc > 2 ? strtoul(argv[2], NULL, 10) * (1024 * 1024 / CHUNK) : 0;

    if (chunks > 0 && strcmp(argv[1], "pair") == 0) {
        pair("null", chunks, NULL);
        for (int i = 3; i < argc; i++) {
            char name[32];

            (void)snprintf(name, sizeof name, "file%d", i - 2);
            pair(name, chunks, argv[i]);
        }
        return 0;
    }
    if (chunks > 0 && argc == 7 && strcmp(argv[1], "ssh") == 0) {
        ssh_put(chunks, argv + 3);
        ssh_get(chunks, argv + 3);
        return 0;
    }
    fprintf(stderr, "usage: bulk pair MIB [FILE...] | bulk ssh MIB ADDRESS PORT USER KEYFILE\n");
    return 2;
}
