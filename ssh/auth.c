/*
 * Logging in, in OpenSSH's order: keys that the agent has and the configuration names, the agent's
 * other keys, key files; then passwords. What was tried, and what came of it, is collected for the
 * error; no secret is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "log.h"

struct auth {
    struct ssh_attempt *a;
    char *allowed;    /* by the server, or NULL once that is no longer known */
    struct buf tried; /* "agent key "x" (refused), ..." */
    struct agent agent;
    struct keyfile *files;
    size_t file_count;
    bool *in_agent; /* per file */
    bool done;
};

/* What the sign callback needs. */
struct signing {
    struct agent *agent;
    const struct agent_key *key;
};

static void
note(struct auth *u, const char *result, const char *kind, const char *name)
{
    const char *quote = *kind && *name ? "\"" : "";

    buf_printf(&u->tried, "%s%s%s%s%s%s (%s)", buf_len(&u->tried) ? ", " : "", kind,
        *kind && *name ? " " : "", quote, name, quote, result);
    log_debug("ssh", "%s: %s %s: %s", u->a->peer, kind, name, result);
}

static void
succeed(struct auth *u, const char *how, const char *name)
{
    u->done = true;
    snprintf(u->a->report->auth, sizeof u->a->report->auth, "%s%s%s", how, *name ? " " : "", name);
}

static bool
rsa_is_sha1(const char *type)
{
    return LIBSSH2_VERSION_NUM < 0x010b00 && strcmp(type, "ssh-rsa") == 0;
}

/* Why a key did not do. Not 0: the connection itself is finished, and the error is set. */
static int
key_result(struct auth *u, int rc, const char *type, const char *unsigned_text, const char *kind,
    const char *name)
{
    struct ssh_attempt *a = u->a;
    char *text = NULL, why[160];

    if (a->code)
        return a->code;
    if (rc == 0) {
        succeed(u, *kind ? kind : "publickey", name);
        return 0;
    }
    if (session_lost(a->s) || a->s->goodbye[0])
        return attempt_failed(a, rc);
    libssh2_session_last_error(a->s->session, &text, NULL, 0);
    if (rsa_is_sha1(type)) {
        snprintf(why, sizeof why,
            "refused: libssh2 %s signs with SHA-1 for RSA keys, which OpenSSH refuses since 8.8",
            ssh_library_version());
        note(u, why, kind, name);
        a->report->openssh_could = true;
    } else if (rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && text && strstr(text, "Callback")) {
        note(u, unsigned_text, kind, name);
    } else if (rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) {
        /* A refused signature, or one step of several: libssh2 does not say which. What the server
         * allows next is unknown then, so everything that is left is tried. */
        note(u, "signature not sufficient", kind, name);
        free(u->allowed);
        u->allowed = NULL;
    } else {
        note(u, rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED ? "refused" : unsigned_text, kind, name);
    }
    return 0;
}

static int
on_sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data,
    size_t data_len, void **abstract)
{
    struct signing *g = *abstract;

    return agent_sign(g->agent, g->key, data, data_len, sig, sig_len) ? -1 : 0;
}

static int
try_agent_key(struct auth *u, const struct agent_key *key)
{
    struct ssh_attempt *a = u->a;
    struct signing signing = {.agent = &u->agent, .key = key};
    void *abstract = &signing;
    const uint8_t *p = key->blob, *s;
    char type[64] = "";
    size_t n;
    int rc;

    if (wire_string(&p, p + key->blob_len, &s, &n))
        copy_printable(type, sizeof type, s, n);
    if (strncmp(type, "sk-", 3) == 0 || strstr(type, "-cert-")) {
        a->report->openssh_could = true;
        note(u,
            *type == 's' && type[1] == 'k' ? "a FIDO key: only ssh(1) can use it"
                                           : "a certificate: only ssh(1) can use it",
            "agent key", key->comment);
        return 0;
    }
    attempt_call(a, rc,
        libssh2_userauth_publickey(
            a->s->session, a->o->user, key->blob, key->blob_len, on_sign, &abstract));
    return key_result(u, rc, type, "the agent does not sign", "agent key", key->comment);
}

static int
try_file(struct auth *u, const struct keyfile *k)
{
    struct ssh_attempt *a = u->a;
    int rc;

    if (k->unfit) {
        note(u, k->unfit, "", k->path);
        a->report->openssh_could |= strncmp(k->type, "sk-", 3) == 0;
        return 0;
    }
    if (!k->text) {
        if (k->open_errno != ENOENT)
            note(u, strerror(k->open_errno), "", k->path);
        return 0;
    }
    if (k->encrypted && !a->o->passphrase) {
        note(u, "passphrase needed", "", k->path);
        return 0;
    }
    attempt_call(a, rc,
        libssh2_userauth_publickey_frommemory(a->s->session, a->o->user, strlen(a->o->user),
            k->public, k->public ? strlen(k->public) : 0, k->text, k->text_len,
            a->o->passphrase ? a->o->passphrase : ""));
    return key_result(
        u, rc, k->type, k->encrypted ? "wrong passphrase" : "unreadable", "", k->path);
}

/* The keys that files name, in their order, then the others. */
static int
try_agent(struct auth *u)
{
    bool *offered = xcalloc(u->agent.count + 1, sizeof *offered);
    int rc = 0;

    for (size_t i = 0; i < u->file_count; i++) {
        const struct keyfile *k = &u->files[i];

        for (size_t j = 0; j < u->agent.count && k->blob && rc == 0 && !u->done; j++) {
            const struct agent_key *key = &u->agent.keys[j];

            if (key->blob_len != k->blob_len || memcmp(key->blob, k->blob, k->blob_len) ||
                offered[j])
                continue;
            offered[j] = true;
            u->in_agent[i] = true;
            rc = try_agent_key(u, key);
        }
    }
    for (size_t j = 0; j < u->agent.count && rc == 0 && !u->done && !u->a->o->identities_only; j++)
        if (!offered[j])
            rc = try_agent_key(u, &u->agent.keys[j]);
    free(offered);
    return rc;
}

static void
load_files(struct auth *u)
{
    const char *const *list = u->a->o->identities;

    while (list && list[u->file_count])
        u->file_count++;
    u->files = xcalloc(u->file_count + 1, sizeof *u->files);
    u->in_agent = xcalloc(u->file_count + 1, sizeof *u->in_agent);
    for (size_t i = 0; i < u->file_count; i++)
        keyfile_load(&u->files[i], list[i]);
}

static int
try_keys(struct auth *u)
{
    const char *socket = u->a->o->agent_socket;
    struct err err;
    int rc = 0;

    load_files(u);
    if (socket) {
        rc = agent_open(&u->agent, socket, &u->a->wait, &err);
        if (rc == ERR_CANCELLED)
            return err_set(u->a->err, rc, "cancelled during authentication with %s", u->a->peer);
        if (rc == ERR_TIMEOUT)
            return err_set(u->a->err, rc, "ssh-agent at %s does not answer", socket);
        if (rc)
            note(u, err.msg, "", "the agent");
        rc = rc ? 0 : try_agent(u);
    }
    for (size_t i = 0; i < u->file_count && rc == 0 && !u->done; i++)
        if (!u->in_agent[i])
            rc = try_file(u, &u->files[i]);
    return rc;
}

static int
password_result(struct auth *u, int rc, const char *method)
{
    struct ssh_attempt *a = u->a;

    if (a->code)
        return a->code;
    if (rc == 0)
        succeed(u, method, "");
    else if (session_lost(a->s) || a->s->goodbye[0])
        return attempt_failed(a, rc);
    else if (rc == LIBSSH2_ERROR_PASSWORD_EXPIRED)
        note(u, "the password has expired", method, "");
    else if (a->s->odd_prompt)
        note(u, "it asks for more than a password", method, "");
    else
        note(u, "refused", method, "");
    return 0;
}

static int
try_password(struct auth *u)
{
    struct ssh_attempt *a = u->a;
    const char *password = a->o->password;
    int rc;

    attempt_call(a, rc,
        libssh2_userauth_password_ex(a->s->session, a->o->user, (unsigned)strlen(a->o->user),
            password, (unsigned)strlen(password), NULL));
    return password_result(u, rc, "password");
}

static void
on_prompts(const char *name, int name_len, const char *instruction, int instruction_len, int count,
    const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts, LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses,
    void **abstract)
{
    struct ssh_session *s = *abstract;

    /* No prompt at all is normal: PAM ends its conversation so. */
    if (count == 0)
        return;
    if (count != 1 || prompts[0].echo || !s->password) {
        s->odd_prompt = true;
        return;
    }
    responses[0].text = xstrdup(s->password); /* libssh2 frees it */
    responses[0].length = (unsigned)strlen(s->password);
    s->password = NULL; /* the same answer to a second question would be wrong again */
}

static int
try_keyboard(struct auth *u)
{
    struct ssh_attempt *a = u->a;
    int rc;

    a->s->password = a->o->password;
    attempt_call(a, rc,
        libssh2_userauth_keyboard_interactive_ex(
            a->s->session, a->o->user, (unsigned)strlen(a->o->user), on_prompts));
    a->s->password = NULL;
    return password_result(u, rc, "keyboard-interactive");
}

static bool
allows(const struct auth *u, const char *method)
{
    size_t n = strlen(method);

    if (!u->allowed)
        return true;
    for (const char *p = u->allowed; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, method, n) == 0)
            return true;
    return false;
}

static int
try_method(struct auth *u, const char *method)
{
    bool keyboard = strcmp(method, "keyboard-interactive") == 0;

    if (!allows(u, method))
        return 0;
    if (strcmp(method, "publickey") == 0)
        return try_keys(u);
    if (keyboard || strcmp(method, "password") == 0) {
        if (!u->a->o->password)
            return 0;
        if (u->a->s->untrusted) {
            note(u, "not sent, since the host key has changed", method, "");
            return 0;
        }
        return keyboard ? try_keyboard(u) : try_password(u);
    }
    u->a->report->openssh_could = true;
    note(u, "only ssh(1) has it", method, "");
    return 0;
}

/* Asks what is allowed; the server may let us in at once. */
static int
ask_methods(struct auth *u)
{
    struct ssh_attempt *a = u->a;
    char *list;
    int rc;

    for (;;) {
        list = libssh2_userauth_list(a->s->session, a->o->user, (unsigned)strlen(a->o->user));
        if (list || libssh2_userauth_authenticated(a->s->session))
            break;
        rc = libssh2_session_last_errno(a->s->session);
        if (rc != LIBSSH2_ERROR_EAGAIN)
            return attempt_failed(a, rc);
        if (attempt_wait(a))
            return a->code;
    }
    if (list)
        u->allowed = xstrdup(list);
    else
        succeed(u, "none", "");
    return 0;
}

static int
refused(struct auth *u)
{
    char allowed[100] = "?";

    if (u->allowed)
        copy_printable(allowed, sizeof allowed, u->allowed, strlen(u->allowed));
    buf_append(&u->tried, "", 1);
    return err_set(u->a->err, ERR_AUTH,
        "%s does not let user %s in: %s%.280s; the server allows: %s", u->a->peer, u->a->o->user,
        buf_len(&u->tried) > 1 ? "tried " : "",
        buf_len(&u->tried) > 1 ? (char *)buf_head(&u->tried)
                               : "there was no key or password to try",
        allowed);
}

int
auth_run(struct ssh_attempt *a)
{
    static const char *const usual[] = {"publickey", "keyboard-interactive", "password", NULL};
    const char *const *method = a->o->auth_order ? a->o->auth_order : usual;
    struct auth u = {.a = a, .agent = {.fd = -1}};
    int rc;

    a->phase = "authentication";
    rc = ask_methods(&u);
    for (; rc == 0 && !u.done && *method; method++)
        rc = try_method(&u, *method);
    if (rc == 0 && !u.done)
        rc = refused(&u);
    for (size_t i = 0; i < u.file_count; i++)
        keyfile_fini(&u.files[i]);
    free(u.files);
    free(u.in_agent);
    agent_close(&u.agent);
    copy_printable(
        a->report->tried, sizeof a->report->tried, buf_head(&u.tried), buf_len(&u.tried));
    buf_fini(&u.tried);
    free(u.allowed);
    return rc;
}
