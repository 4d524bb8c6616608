#include "paths.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

static char *
holds_agents(char *dir)
{
    char *id = xasprintf("%s/agent.id", dir);
    int rc = access(id, R_OK);

    free(id);
    if (rc == 0)
        return dir;
    free(dir);
    return NULL;
}

char *
paths_agents(void)
{
    static const char *const beside[] = {"agents", "../libexec/orrery", "../../libexec/orrery"};
    const char *env = getenv("ORRERY_AGENT_DIR");
    Dl_info info;
    char *dir = NULL, *here, *slash;

    if (env && *env)
        return xstrdup(env);
    if (dladdr((void *)(uintptr_t)paths_agents, &info) && info.dli_fname &&
        (here = realpath(info.dli_fname, NULL))) {
        slash = strrchr(here, '/');
        if (slash)
            *slash = '\0';
        for (size_t i = 0; !dir && i < sizeof beside / sizeof *beside; i++)
            dir = holds_agents(xasprintf("%s/%s", here, beside[i]));
        free(here);
    }
    return dir ? dir : xstrdup(ORRERY_LIBEXECDIR);
}
