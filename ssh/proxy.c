/*
 * A command instead of TCP: its stdin and stdout are a socket pair that the session takes for a socket.
 *
 * It ends with the session: it has the end of its input then, a moment, and then signals. If this process
 * is killed it sees the same end of input, which is enough for what only copies bytes, as nc and ssh -W
 * do. It is in a process group of its own, so that Ctrl-C at a terminal is not for it, and must not read
 * from that terminal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "process.h"

int
proxy_start(struct ssh_attempt *a, struct ssh_link *link)
{
    /* As ssh(1): the shell is to be replaced, so that signals and the end of input reach the command. */
    char *line = xasprintf("exec %s", a->o->proxy_command);
    const char *const argv[] = {"sh", "-c", line, NULL};
    struct process_options o = {.argv = argv, .terminate = true};
    struct transport *t = process_spawn(&o, a->err);

    free(line);
    if (!t)
        return err_prefix(a->err, "the proxy command for %s", a->o->host);
    *link = (struct ssh_link){.fd = t->fd, .proxy = t};
    snprintf(
        a->peer, sizeof a->peer, "%.100s port %.8s by its proxy command", a->o->host, a->o->port);
    snprintf(a->report->address, sizeof a->report->address, "%s by its proxy command", a->o->host);
    return 0;
}

/* The last line of its stderr that is not empty. */
static void
last_words(struct transport *t, char *line, size_t cap)
{
    char text[4096];
    ssize_t n;

    line[0] = '\0';
    while ((n = t->ops->read_err(t, text, sizeof text)) > 0)
        for (ssize_t i = 0, len; i < n; i += len + 1) {
            const char *end = memchr(text + i, '\n', (size_t)(n - i));

            len = end ? end - (text + i) : n - i;
            if (len > 0)
                copy_printable(line, cap, text + i, (size_t)len);
        }
}

int
proxy_failed(struct ssh_attempt *a)
{
    struct transport *t = a->s->link.proxy;
    char words[200];
    struct err end;

    t->ops->end(t, &end); /* waits a moment for the child, which may still have something to say */
    last_words(t, words, sizeof words);
    return err_set(a->err, ERR_CONNECT,
        "the proxy command for %.100s port %.8s %.100s before the server said anything%s%s",
        a->o->host, a->o->port, end.msg, words[0] ? ": " : "", words);
}
