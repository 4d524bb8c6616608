/*
 * Logging in with keys, in OpenSSH's order: those that the agent has and the configuration names, the
 * agent's other keys, key files. A passphrase is asked for only if the server wants that key, and once
 * in this process.
 */
#include "auth.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSPHRASES = 3, FEW_KEYS = 4 };

/* What the sign callback needs. */
struct signing {
    struct agent *agent;
    const struct agent_key *key;
};

/* Which user's which key some server accepted last: a hash. */
static atomic_uint_fast64_t accepted;

static uint64_t
hash_of(const struct auth *u, const uint8_t *blob, size_t n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (const char *p = u->a->o->user; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    h *= 1099511628211u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ blob[i]) * 1099511628211u;
    return h;
}

/* Before the server was asked: is it the key for that? If not, none after it is. */
bool
auth_may_show(struct auth *u, const uint8_t *blob, size_t n)
{
    if (u->unasked && (!blob || hash_of(u, blob, n) != atomic_load(&accepted)))
        u->shown = true;
    return !u->unasked || !u->shown;
}

void
auth_remember(struct auth *u, const uint8_t *blob, size_t n)
{
    if (blob)
        atomic_store(&accepted, hash_of(u, blob, n));
}

static bool
rsa_is_sha1(const char *type)
{
    return LIBSSH2_VERSION_NUM < 0x010b00 && strcmp(type, "ssh-rsa") == 0;
}

static void
note_refused(struct auth *u, const char *type, const char *kind, const char *name)
{
    char why[160] = "refused";

    u->refused = true;
    if (rsa_is_sha1(type)) {
        snprintf(why, sizeof why,
            "refused: libssh2 %s signs with SHA-1 for RSA keys, which OpenSSH refuses since 8.8",
            ssh_library_version());
        u->a->report->openssh_could = true;
    }
    auth_note(u, why, kind, name);
}

/* libssh2 does not say whether a signature was refused, or was one step of several. */
static enum key_progress
signed_in_vain(struct auth *u, const char *type, const char *kind, const char *name)
{
    bool refused = u->refused;
    int rc = auth_look_again(u);

    if (rc) {
        u->a->code = rc;
        return KEY_BROKEN;
    }
    if (u->progress) {
        u->refused = refused;
        auth_note(u, "accepted, but that is not enough", kind, name);
    } else if (!u->done) {
        note_refused(u, type, kind, name);
    }
    return KEY_DONE;
}

/* What came of showing a key. */
enum key_progress
auth_key_result(struct auth *u, int rc, const char *type, const char *kind, const char *name)
{
    struct ssh_attempt *a = u->a;
    char *text = NULL;

    u->shown = true;
    if (a->code)
        return KEY_BROKEN;
    if (rc == 0) {
        auth_succeed(u, *kind ? kind : "publickey", name);
        return KEY_DONE;
    }
    if (auth_ended(u, rc)) {
        auth_note(u, "refused", kind, name);
        return KEY_DONE;
    }
    libssh2_session_last_error(a->s->session, &text, NULL, 0);
    if (rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && text && strstr(text, "Callback"))
        return KEY_UNSIGNED;
    if (rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
        return signed_in_vain(u, type, kind, name);
    if (rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED)
        return KEY_UNSIGNED;
    note_refused(u, type, kind, name);
    return KEY_DONE;
}

static int
on_sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data,
    size_t data_len, void **abstract)
{
    struct signing *g = *abstract;

    return agent_sign(g->agent, g->key, data, data_len, sig, sig_len) ? -1 : 0;
}

/* ---- the agent ---- */

static int
try_agent_key(struct auth *u, const struct agent_key *key)
{
    struct ssh_attempt *a = u->a;
    struct signing signing = {.agent = &u->agent, .key = key};
    void *abstract = &signing;
    const uint8_t *p = key->blob, *s;
    char type[64] = "";
    enum key_progress got;
    size_t n;
    int rc;

    if (wire_string(&p, p + key->blob_len, &s, &n))
        copy_printable(type, sizeof type, s, n);
    if (strncmp(type, "sk-", 3) == 0 || strstr(type, "-cert-")) {
        a->report->openssh_could = true;
        auth_note(u,
            strncmp(type, "sk-", 3) == 0 ? "a FIDO key: only ssh(1) can use it"
                                         : "a certificate: only ssh(1) can use it",
            "agent key", key->comment);
        return 0;
    }
    attempt_call(a, rc,
        libssh2_userauth_publickey(
            a->s->session, a->o->user, key->blob, key->blob_len, on_sign, &abstract));
    if (rc == 0)
        auth_remember(u, key->blob, key->blob_len);
    got = auth_key_result(u, rc, type, "agent key", key->comment);
    if (got == KEY_UNSIGNED)
        auth_note(u, "the agent does not sign", "agent key", key->comment);
    return got == KEY_BROKEN ? a->code : 0;
}

bool
auth_go_on(const struct auth *u, int rc)
{
    return rc == 0 && !u->done && !u->progress && !u->ended && !(u->unasked && u->shown);
}

/* The keys that files name, in their order, then the others. */
static int
try_agent(struct auth *u)
{
    int rc = 0;

    for (size_t i = 0; i < u->file_count; i++) {
        const struct keyfile *k = &u->files[i];

        for (size_t j = 0; j < u->agent.count && k->blob && auth_go_on(u, rc); j++) {
            const struct agent_key *key = &u->agent.keys[j];

            if (key->blob_len != k->blob_len || memcmp(key->blob, k->blob, k->blob_len) ||
                u->offered[j] || !auth_may_show(u, key->blob, key->blob_len))
                continue;
            u->offered[j] = u->spent[i] = true;
            rc = try_agent_key(u, key);
        }
    }
    for (size_t j = 0; j < u->agent.count && auth_go_on(u, rc) && !u->a->o->identities_only; j++)
        if (!u->offered[j] && auth_may_show(u, u->agent.keys[j].blob, u->agent.keys[j].blob_len)) {
            u->offered[j] = true;
            rc = try_agent_key(u, &u->agent.keys[j]);
        }
    return rc;
}

/* ---- files ---- */

static enum key_progress
show(struct auth *u, const struct keyfile *k, const char *passphrase)
{
    struct ssh_attempt *a = u->a;
    int rc;

    attempt_call(a, rc,
        libssh2_userauth_publickey_frommemory(a->s->session, a->o->user, strlen(a->o->user),
            k->public, k->public ? strlen(k->public) : 0, k->text, k->text_len, passphrase));
    if (rc == 0)
        auth_remember(u, k->blob, k->blob_len);
    return auth_key_result(u, rc, k->type, "", k->path);
}

static int
on_sign_nothing(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len,
    const unsigned char *data, size_t data_len, void **abstract)
{
    return -1;
}

/* Does the server want the key? KEY_UNSIGNED: yes, or nobody can tell without the private half. */
static enum key_progress
offer(struct auth *u, const struct keyfile *k)
{
    struct ssh_attempt *a = u->a;
    void *abstract = NULL;
    int rc;

    if (!k->blob)
        return KEY_UNSIGNED;
    attempt_call(a, rc,
        libssh2_userauth_publickey(
            a->s->session, a->o->user, k->blob, k->blob_len, on_sign_nothing, &abstract));
    return auth_key_result(u, rc, k->type, "", k->path);
}

/* The question is this thread's. Settles it. */
static enum key_progress
ask_passphrase(struct auth *u, const struct keyfile *k, const char *question)
{
    const struct ssh_options *o = u->a->o;
    char *text =
        xasprintf("Enter passphrase for key '%s' (for %s): ", k->path, o->name ? o->name : o->host);
    struct ssh_question q = {
        .kind = SSH_ASK_PASSPHRASE, .subject = k->path, .text = text, .detail = ""};
    enum key_progress got = KEY_UNSIGNED;
    struct err err;
    char *answer;
    int rc = 0;

    for (q.attempt = 1; q.attempt <= PASSPHRASES && got == KEY_UNSIGNED; q.attempt++) {
        rc = attempt_ask(u->a, &q, &answer, &err);
        if (rc || !*answer) {
            auth_note(u, rc == ERR_CREDENTIALS ? err.msg : "no passphrase was given", "", k->path);
            if (rc == 0)
                secret_free(answer);
            break;
        }
        got = show(u, k, answer);
        if (got == KEY_DONE && !u->ended)
            once_known(question, answer);
        secret_free(answer);
    }
    free(text);
    if (u->a->code || u->ended) { /* that says nothing about the passphrase */
        once_release(question);
        return u->ended ? KEY_DONE : KEY_BROKEN;
    }
    if (got == KEY_UNSIGNED)
        once_refused(question);
    if (got == KEY_UNSIGNED && q.attempt > PASSPHRASES)
        auth_note(u, "wrong passphrase, three times", "", k->path);
    return KEY_DONE;
}

/* The question that several connections may have. */
static char *
question_about(const struct keyfile *k)
{
    return xasprintf("passphrase of %s", k->path);
}

static enum key_progress
use_known(struct auth *u, const struct keyfile *k, const char *question, char *answer)
{
    enum key_progress got = show(u, k, answer);

    if (got == KEY_UNSIGNED) /* the file has another one by now */
        once_forget(question, answer);
    secret_free(answer);
    return got;
}

/* With a passphrase that this process knows already, or by asking for it. */
static enum key_progress
use_passphrase(struct auth *u, const struct keyfile *k)
{
    char *question = question_about(k), *answer = NULL;
    enum key_progress got = KEY_UNSIGNED;

    while (got == KEY_UNSIGNED) {
        switch (attempt_claim(u->a, question, &answer)) {
        case ONCE_MINE: got = ask_passphrase(u, k, question); break;
        case ONCE_KNOWN: got = use_known(u, k, question, answer); break;
        case ONCE_REFUSED:
            auth_note(u, "no passphrase was given", "", k->path);
            got = KEY_DONE;
            break;
        case ONCE_CANCELLED: got = KEY_BROKEN; break;
        }
    }
    free(question);
    return got;
}

/* Nobody can be asked; somebody else may have been. */
static enum key_progress
use_known_only(struct auth *u, const struct keyfile *k, const char *why)
{
    char *question = question_about(k), *answer = once_peek(question);
    enum key_progress got = answer ? use_known(u, k, question, answer) : KEY_UNSIGNED;

    free(question);
    if (got == KEY_UNSIGNED)
        auth_note(u, why, "", k->path);
    return got == KEY_UNSIGNED ? KEY_DONE : got;
}

static enum key_progress
try_encrypted(struct auth *u, const struct keyfile *k)
{
    struct ssh_question q = {
        .kind = SSH_ASK_PASSPHRASE, .subject = k->path, .text = "", .detail = "", .attempt = 1};
    const struct ssh_options *o = u->a->o;
    enum key_progress got = KEY_UNSIGNED;
    struct err err;

    if (o->passphrase)
        got = show(u, k, o->passphrase);
    if (got != KEY_UNSIGNED)
        return got;
    if (!attempt_can_ask(u->a, &q, &err))
        return use_known_only(u, k,
            o->passphrase ? "wrong passphrase"
                : o->ask  ? err.msg
                          : "passphrase needed");
    if (!o->passphrase)
        got = offer(u, k);
    return got == KEY_UNSIGNED ? use_passphrase(u, k) : got;
}

static int
try_file(struct auth *u, const struct keyfile *k)
{
    enum key_progress got;

    if (k->unfit) {
        auth_note(u, k->unfit, "", k->path);
        u->a->report->openssh_could |= strncmp(k->type, "sk-", 3) == 0;
        return 0;
    }
    if (!k->text) {
        if (k->open_errno != ENOENT)
            auth_note(u, strerror(k->open_errno), "", k->path);
        return 0;
    }
    if (k->encrypted) {
        got = try_encrypted(u, k);
    } else {
        got = show(u, k, "");
        if (got == KEY_UNSIGNED)
            auth_note(u, "unreadable", "", k->path);
    }
    return got == KEY_BROKEN ? u->a->code : 0;
}

/* ---- both ---- */

static void
load_files(struct auth *u)
{
    const char *const *list = u->a->o->identities;
    size_t count = 0;

    while (list && list[count])
        count++;
    u->files = xcalloc(count + 1, sizeof *u->files);
    u->spent = xcalloc(count + 1, sizeof *u->spent);
    for (; u->file_count < count; u->file_count++)
        keyfile_load(&u->files[u->file_count], list[u->file_count]);
}

static int
load(struct auth *u)
{
    const char *socket = u->a->o->agent_socket;
    struct err err;
    int rc;

    u->loaded = true;
    if (u->a->o->kept) {
        auth_kept_load(u);
        return 0;
    }
    load_files(u);
    rc = socket ? agent_open(&u->agent, socket, &u->a->wait, &err) : 0;
    if (rc == ERR_CANCELLED)
        return err_set(u->a->err, rc, "cancelled during authentication with %s", u->a->peer);
    if (rc == ERR_TIMEOUT)
        return err_set(u->a->err, rc, "ssh-agent at %s does not answer", socket);
    if (rc)
        auth_note(u, err.msg, "", "the agent");
    u->offered = xcalloc(u->agent.count + 1, sizeof *u->offered);
    return 0;
}

int
auth_first_key(struct auth *u)
{
    size_t count;
    int rc = load(u);

    count = u->kept_count + (u->a->o->identities_only ? 0 : u->agent.count);
    for (size_t i = 0; i < u->file_count; i++)
        count += u->files[i].text || u->files[i].blob;
    if (rc || count > FEW_KEYS)
        return rc;
    u->unasked = true;
    rc = auth_keys(u);
    u->unasked = false;
    return rc;
}

int
auth_keys(struct auth *u)
{
    int rc = u->loaded ? 0 : load(u);

    if (u->a->o->kept)
        return auth_kept_keys(u);
    if (rc == 0)
        rc = try_agent(u);
    for (size_t i = 0; i < u->file_count && auth_go_on(u, rc); i++) {
        const struct keyfile *k = &u->files[i];

        if (u->spent[i] || (u->unasked && !k->text))
            continue;
        if (!auth_may_show(u, k->encrypted ? NULL : k->blob, k->blob_len))
            break;
        u->spent[i] = true;
        rc = try_file(u, &u->files[i]);
    }
    return rc;
}

void
auth_keys_fini(struct auth *u)
{
    for (size_t i = 0; i < u->file_count; i++)
        keyfile_fini(&u->files[i]);
    free(u->files);
    free(u->spent);
    free(u->offered);
    agent_close(&u->agent);
    auth_kept_fini(u);
}
