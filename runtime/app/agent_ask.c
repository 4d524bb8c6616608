#include "agent_ask.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 8192 };

static const char variable[] = "ORRERY_ASKPASS";

bool
agent_is_asked(const char *argument)
{
    return getenv(variable) && strchr(argument, ' ');
}

/* A socket to a process of this user; or -1. */
static int
connect_to(const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (n >= sizeof un.sun_path)
        n = sizeof un.sun_path - 1;
    memcpy(un.sun_path + 1, name, n);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *)&un,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid())
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static ssize_t
exchange(int fd, const char *question, char *answer)
{
    ssize_t n;

    if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
        return -1;
    do
        n = recv(fd, answer, ANSWER_MAX, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

int
agent_ask(const char *question)
{
    static char answer[ANSWER_MAX + 1];
    int fd = connect_to(getenv(variable)), status = 1;
    ssize_t n = fd < 0 ? -1 : exchange(fd, question, answer);

    if (n > 0 && answer[0] == 1) { /* then the answer; else why there is none */
        answer[n] = '\n';
        status = write(STDOUT_FILENO, answer + 1, (size_t)n) != n;
    } else if (n > 1) {
        fprintf(stderr, "orrery: %.*s\n", (int)n - 1, answer + 1);
    }
    explicit_bzero(answer, sizeof answer);
    return status;
}
