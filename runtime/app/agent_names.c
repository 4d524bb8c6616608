/* The agent opens no network connections itself, so it resolves no names; see agent_libc.c. */
#include <netdb.h>

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's own are reserved words

int
getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    return EAI_FAIL;
}

void
freeaddrinfo(struct addrinfo *list)
{
}

const char *
gai_strerror(int code)
{
    return "the agent resolves no names";
}

int
getnameinfo(const struct sockaddr *sa, socklen_t len, char *host, socklen_t host_len, char *service,
    socklen_t service_len, int flags)
{
    return EAI_FAIL;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)
