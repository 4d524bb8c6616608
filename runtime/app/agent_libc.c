/*
 * Parts of the C library that the static agent does without. LuaJIT and libevent refer to them, so the
 * linker would take glibc's: half of the agent's size, and useless in a static program, which would
 * load the target's own glibc to resolve a name or open a library. They fail instead, and say so.
 * The agent opens no network connections itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>

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

struct servent *
getservbyname(const char *name, const char *protocol)
{
    return NULL;
}

struct protoent *
getprotobynumber(int number)
{
    return NULL;
}

void *
dlopen(const char *file, int mode)
{
    return NULL;
}

void *
dlsym(void *restrict handle, const char *restrict name)
{
    return NULL;
}

int
dlclose(void *handle)
{
    return -1;
}

char *
dlerror(void)
{
    return "the agent is static: it loads no libraries";
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)
