/*
 * The agent: the program that runs in a child. Static, no SSH inside. And the relay, which is the same with SSH
 * inside: see agent_kind.h.
 *
 *   agent MARKER [-C DIR] [-u PATH] [-a AGENT]
 *                 serve the parent on stdin and stdout; -C: go to DIR, where the shell was started;
 *                 -u: remove PATH, this file, and its directory first (--no-cache);
 *                 -a: the program to open children with, if it is not this one
 *   agent -t      can this file run here? Exits 0, says nothing
 *   agent --version
 *   agent QUESTION, with ORRERY_ASKPASS in the environment: agent_ask.c
 *
 * fds 0 and 1 belong to the protocol: they move away at once, and stdin becomes /dev/null. What user code
 * prints travels as messages (call/text.h); what goes past that to fd 1 or 2 ends up on stderr, which the
 * parent shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent_ask.h"
#include "agent_kind.h"
#include "bind.h"
#include "err.h"
#include "handshake.h"
#include "keep.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "node.h"
#include "process.h"
#include "text.h"
#include "vm.h"

#define END_MS 1500 /* for user code that does not see that the parent is gone */

struct agent {
    struct node *node;
    struct text_out *text;
    struct binding *binding;
    lua_State *L;
    struct loop_timer end;
};

static void
forget_self(const char *path)
{
    char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');

    unlink(path);
    if (slash) {
        *slash = '\0';
        rmdir(dir); /* fails where it is not ours alone, and that is right */
    }
    free(dir);
}

/*
 * Says that frames follow, and who this is, and gives the transport over the old stdin and stdout. It comes
 * first: the parent goes on while the rest here is made, and what it sends waits in the kernel for that.
 */
static struct transport *
take_stdio(const char *marker, struct err *err)
{
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char line[128];
    int n = snprintf(line, sizeof line, "%s agent\n", marker);

    if (in < 0 || out < 0 || null < 0) {
        err_errno(err, ERR_SYSTEM, errno, "cannot take stdin and stdout over");
        return NULL;
    }
    dup2(null, STDIN_FILENO);
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        dup2(null, STDOUT_FILENO);
    close(null);
    if (n >= (int)sizeof line || hello_say(out, line, err) < 0)
        return NULL;
    return process_adopt(in, out);
}

/* User code had its time: the guardian and the kernel clean up what is left. */
static void
on_end(struct loop_timer *t)
{
    log_info("agent", "user code still runs, the parent is gone: exit");
    _exit(0);
}

static void
on_lost(void *arg)
{
    struct agent *a = arg;

    loop_timer_init(&a->end, router_loop(node_router(a->node)), on_end);
    loop_timer_set(&a->end, END_MS);
    mailbox_wake(vm_mailbox(binding_vm(a->binding)));
}

static void
stop_end_timer(void *arg)
{
    struct agent *a = arg;

    loop_timer_fini(&a->end);
}

/* Serves until the parent is gone (lua/orrery/agent.lua). */
static int
serve(struct agent *a)
{
    lua_State *L = a->L;

    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.agent");
    if (vm_pcall(L, 1, 1) == 0) {
        lua_getfield(L, -1, "serve");
        if (vm_pcall(L, 0, 0) == 0)
            return 0;
    }
    luaL_callmeta(L, -1, "__tostring");
    log_error("agent", "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "failed");
    return 1;
}

static int
run(const char *marker, const char *program)
{
    struct agent a = {0};
    struct err err = {0};
    struct transport *t = take_stdio(marker, &err);
    int status = 1;

    if (!t)
        goto fail;
    a.node = node_create_agent(&err);
    if (!a.node)
        goto fail;
    a.text = text_out_create(node_router(a.node)); /* before Lua takes its streams */
    a.L = vm_new_state();
    if (!a.L)
        goto fail;
    if (agent_kind.ssh)
        node_use_ssh(a.node, agent_kind.ssh);
    if (program)
        node_use_agent(a.node, program);
    a.binding = binding_create(a.L, a.node);
    lua_getglobal(a.L, "require");
    lua_pushliteral(a.L, "orrery.agent"); /* listens */
    if (vm_pcall(a.L, 1, 0) < 0) {
        err_set(&err, ERR_BOOTSTRAP, "%s", lua_tostring(a.L, -1));
        goto fail;
    }
    if (node_join(a.node, t, on_lost, &a, &err) < 0)
        goto fail;
    text_out_start(a.text);
    status = serve(&a);
    goto out;
fail:
    log_error("agent", "%s", err.msg);
out:
    if (a.binding)
        binding_end_threads(a.binding);
    if (a.node)
        loop_sync(router_loop(node_router(a.node)), stop_end_timer, &a);
    if (a.L)
        lua_close(a.L);
    binding_destroy(a.binding);
    text_out_destroy(a.text);
    node_destroy(a.node);
    return status;
}

int
main(int argc, char **argv)
{
    const char *dir = NULL, *file = NULL, *program = NULL;
    int option, bad = argc < 2;

    if (argc == 2 && strcmp(argv[1], "-t") == 0)
        return 0;
    if (argc == 2 && agent_is_asked(argv[1]))
        return agent_ask(argv[1]);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", agent_kind.name, ORRERY_VERSION);
        return 0;
    }
    optind = 2;
    while (!bad && (option = getopt(argc, argv, "C:u:a:")) != -1) {
        switch (option) {
        case 'C': dir = optarg; break;
        case 'u': file = optarg; break;
        case 'a': program = optarg; break;
        default: bad = 1;
        }
    }
    if (bad || optind < argc) {
        fprintf(stderr, "%s: started by orrery on a target, not by hand\n", agent_kind.name);
        return 2;
    }
    keep_memory();
    signal(SIGPIPE, SIG_IGN); /* pipes have no MSG_NOSIGNAL; commands get the default back */
    prctl(PR_SET_NAME, agent_kind.name);
    if (agent_kind.start)
        agent_kind.start();
    if (file)
        forget_self(file);
    if (dir && chdir(dir) < 0 && chdir("/") < 0)
        return 1;
    return run(argv[1], program);
}
