/*
 * Logging in: the methods that the server allows, in the order that the configuration says, until it is
 * satisfied; it may want several, one after the other. What was tried, and what came of it, is collected
 * for the error; no secret is.
 */
#include "auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum { STEPS_MAX = 8 };

void
auth_note(struct auth *u, const char *result, const char *kind, const char *name)
{
    const char *quote = *kind && *name ? "\"" : "";

    buf_printf(&u->tried, "%s%s%s%s%s%s (%s)", buf_len(&u->tried) ? ", " : "", kind,
        *kind && *name ? " " : "", quote, name, quote, result);
    log_debug("ssh", "%s: %s %s: %s", u->a->peer, kind, name, result);
}

void
auth_succeed(struct auth *u, const char *how, const char *name)
{
    u->done = true;
    snprintf(u->a->report->auth, sizeof u->a->report->auth, "%s%s%s", how, *name ? " " : "", name);
}

static bool
list_has(const char *list, const char *method)
{
    size_t n = strlen(method);

    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, method, n) == 0)
            return true;
    return false;
}

/* Asks what is allowed; the server may let us in at once. Then there is no list. */
static int
ask_methods(struct auth *u, char **list)
{
    struct ssh_attempt *a = u->a;
    int rc;

    for (;;) {
        *list = libssh2_userauth_list(a->s->session, a->o->user, (unsigned)strlen(a->o->user));
        if (*list || libssh2_userauth_authenticated(a->s->session))
            return 0;
        rc = libssh2_session_last_errno(a->s->session);
        if (rc != LIBSSH2_ERROR_EAGAIN)
            return attempt_failed(a, rc);
        if (attempt_wait(a))
            return a->code;
    }
}

bool
auth_ended(struct auth *u, int rc)
{
    if (!session_lost(u->a->s) && !u->a->s->goodbye[0])
        return false;
    (void)attempt_failed(u->a, rc);
    u->a->code = 0; /* the error will be that of all that was tried */
    u->ended = u->refused = true;
    return true;
}

int
auth_look_again(struct auth *u)
{
    char *list;
    int rc = ask_methods(u, &list);

    if (rc)
        return rc != ERR_CANCELLED && rc != ERR_TIMEOUT && auth_ended(u, rc) ? 0 : rc;
    u->progress =
        !list || (u->allowed ? strcmp(list, u->allowed) != 0 : !list_has(list, "publickey"));
    u->refused |= !u->progress;
    if (!list) {
        auth_succeed(u, "several methods", "");
        return 0;
    }
    free(u->allowed);
    u->allowed = xstrdup(list);
    return 0;
}

static int
try_method(struct auth *u, const char *method)
{
    bool keyboard = strcmp(method, "keyboard-interactive") == 0;

    if (!list_has(u->allowed, method))
        return 0;
    if (strcmp(method, "publickey") == 0)
        return auth_keys(u);
    if (keyboard || strcmp(method, "password") == 0) {
        if (!u->a->s->untrusted)
            return keyboard ? auth_keyboard(u) : auth_password(u);
        auth_note(u, "not sent, since the host key has changed", method, "");
        return 0;
    }
    u->a->report->openssh_could = true;
    auth_note(u, "only ssh(1) has it", method, "");
    return 0;
}

static int
refused(struct auth *u)
{
    const char *tried = "there was no key or password to try", *end = u->a->s->goodbye;
    char allowed[100];

    if (buf_len(&u->tried)) {
        buf_append(&u->tried, "", 1);
        tried = (char *)buf_head(&u->tried);
    }
    copy_printable(allowed, sizeof allowed, u->allowed, strlen(u->allowed));
    return err_set(u->a->err, u->refused ? ERR_AUTH : ERR_CREDENTIALS,
        "%s does not let user %s in: %s%.280s; the server allows: %s%s%s", u->a->peer,
        u->a->o->user, buf_len(&u->tried) ? "tried " : "", tried, allowed,
        u->ended ? ", but ended the connection: " : "",
        !u->ended  ? ""
            : *end ? end
                   : "it may have had enough");
}

/* The key that was shown was not looked at: the server takes none at all. */
static void
take_back(struct auth *u)
{
    u->refused = false;
    buf_fini(&u->tried);
}

static int
take_steps(struct auth *u, const char *const *order)
{
    int rc = 0;

    for (int step = 0; step < STEPS_MAX; step++) {
        u->progress = false;
        for (const char *const *m = order; *m; m++) {
            rc = try_method(u, *m);
            if (rc || u->done || u->progress || u->ended)
                break;
        }
        if (rc || u->done || !u->progress)
            break;
    }
    return rc;
}

int
auth_run(struct ssh_attempt *a)
{
    static const char *const usual[] = {"publickey", "keyboard-interactive", "password", NULL};
    const char *const *order = a->o->auth_order ? a->o->auth_order : usual;
    struct auth u = {.a = a, .agent = {.fd = -1}};
    char *list = NULL;
    int rc = 0;

    a->phase = "authentication";
    if (*order && strcmp(*order, "publickey") == 0)
        rc = auth_first_key(&u);
    if (rc == 0 && !u.done && !u.ended && !u.allowed) {
        rc = ask_methods(&u, &list);
        if (rc == 0 && !list)
            auth_succeed(&u, "none", "");
        if (rc == 0 && list && !list_has(list, "publickey"))
            take_back(&u);
    }
    if (!u.allowed)
        u.allowed = xstrdup(rc == 0 && list ? list : "");
    if (rc == 0 && !u.done && !u.ended)
        rc = take_steps(&u, order);
    if (rc == 0 && !u.done)
        rc = refused(&u);
    auth_keys_fini(&u);
    copy_printable(
        a->report->tried, sizeof a->report->tried, buf_head(&u.tried), buf_len(&u.tried));
    buf_fini(&u.tried);
    free(u.allowed);
    secret_free(u.given);
    return rc;
}
