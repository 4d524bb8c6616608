/*
 * Names, as this machine resolves them: by its getent(1), which has all that its nsswitch.conf says. glibc's own
 * functions would load the machine's glibc into a program that has another one inside.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"

enum { NOT_FOUND = 2, NO_PROGRAM = 127, ADDRESSES_MAX = 64 };

/* One address, and what it is linked to, in one block. */
struct entry {
    struct addrinfo info;
    struct sockaddr_storage address;
};

/* "fe80::1%eth0" too. */
static bool
parse(struct sockaddr_storage *to, socklen_t *len, const char *text)
{
    struct sockaddr_in *four = (struct sockaddr_in *)to;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    size_t n = strcspn(text, "%");
    char plain[INET6_ADDRSTRLEN];

    memset(to, 0, sizeof *to);
    if (n >= sizeof plain)
        return false;
    memcpy(plain, text, n);
    plain[n] = '\0';
    if (!text[n] && inet_pton(AF_INET, plain, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        *len = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, plain, &six->sin6_addr) != 1)
        return false;
    six->sin6_family = AF_INET6;
    *len = sizeof *six;
    if (text[n])
        six->sin6_scope_id = if_nametoindex(text + n + 1);
    return !text[n] || six->sin6_scope_id;
}

/* At *end, which moves on. False where the text is no address that is wanted. */
static bool
add(struct addrinfo ***end, const char *text, const char *service, const struct addrinfo *hints)
{
    struct entry *e = xcalloc(1, sizeof *e);
    in_port_t port = htons((uint16_t)(service ? strtoul(service, NULL, 10) : 0));

    if (!parse(&e->address, &e->info.ai_addrlen, text) ||
        (hints && hints->ai_family != AF_UNSPEC && hints->ai_family != e->address.ss_family)) {
        free(e);
        return false;
    }
    if (e->address.ss_family == AF_INET)
        ((struct sockaddr_in *)&e->address)->sin_port = port;
    else
        ((struct sockaddr_in6 *)&e->address)->sin6_port = port;
    e->info.ai_family = e->address.ss_family;
    e->info.ai_socktype = SOCK_STREAM;
    e->info.ai_addr = (struct sockaddr *)&e->address;
    **end = &e->info;
    *end = &e->info.ai_next;
    return true;
}

/* Starts getent; its output, or NULL. */
static FILE *
ask(const char *node, pid_t *pid)
{
    char *argv[] = {"getent", "ahosts", (char *)(uintptr_t)node, NULL};
    posix_spawn_file_actions_t files;
    int ends[2], rc;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    rc = posix_spawnp(pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        return NULL;
    }
    return fdopen(ends[0], "r");
}

/* Lines are "10.0.0.1  STREAM name"; each address comes with other types, too. */
static int
look_up(struct addrinfo **list, const char *node, const char *service, const struct addrinfo *hints)
{
    char line[512], address[128], type[16];
    struct addrinfo **end = list;
    int status = 0, count = 0;
    pid_t pid;
    FILE *said = ask(node, &pid);

    if (!said)
        return EAI_FAIL;
    while (fgets(line, sizeof line, said))
        if (sscanf(line, "%127s %15s", address, type) == 2 && strcmp(type, "STREAM") == 0 &&
            count < ADDRESSES_MAX)
            count += add(&end, address, service, hints);
    fclose(said);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (count)
        return 0;
    status = WIFEXITED(status) ? WEXITSTATUS(status) : NO_PROGRAM;
    return status == 0 || status == NOT_FOUND ? EAI_NONAME
        : status == NO_PROGRAM                ? EAI_FAIL
                                              : EAI_AGAIN;
}

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's own are reserved words

int
getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    struct addrinfo **end = out;

    *out = NULL;
    if (!node)
        return EAI_NONAME;
    if (add(&end, node, service, hints))
        return 0;
    if (hints && hints->ai_flags & AI_NUMERICHOST)
        return EAI_NONAME;
    return look_up(out, node, service, hints);
}

void
freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
}

const char *
gai_strerror(int code)
{
    switch (code) {
    case EAI_NONAME: return "Name or service not known";
    case EAI_AGAIN: return "Temporary failure in name resolution";
    default: return "there is no getent program there to ask";
    }
}

int
getnameinfo(const struct sockaddr *sa, socklen_t len, char *host, socklen_t host_len, char *service,
    socklen_t service_len, int flags)
{
    const void *address = sa->sa_family == AF_INET
        ? (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr
        : (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

    return inet_ntop(sa->sa_family, address, host, host_len) ? 0 : EAI_FAMILY;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)
