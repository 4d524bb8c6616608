/*
 * Parts of the C library that the static programs do without. LuaJIT, libevent and OpenSSL refer to them, so the
 * linker would take glibc's: half of the agent's size, and useless in a static program, which would
 * load the target's own glibc to resolve a name or open a library. They fail instead, and say so.
 * Names are in agent_names.c and relay_names.c.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's own are reserved words

struct servent *
getservbyname(const char *name, const char *protocol)
{
    return NULL;
}

struct hostent *
gethostbyname(const char *name)
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
