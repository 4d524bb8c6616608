/*
 * The keeper: answers for a connection that another process makes in our script's name.
 *
 * That process is on another machine, which somebody else may rule. So what it wants signed is taken apart
 * first: nothing but a login of this user, with this key, gets a signature. Which server's session that is for
 * cannot be seen in it; see docs/ssh.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "clock.h"
#include "private_key.h"
#include "seal.h"

enum { AGENT_MS = 30000, PASSPHRASES = 3, SIGNED_MAX = 16 << 10, SESSION_ID_LEAST = 20 };

/* An attempt of somebody else's, so that what serves ours can serve it. */
struct stand_in {
    struct ssh_attempt a;
    struct ssh_session session;
    struct ssh_report report;
    struct err err;
};

static void
stand_in_init(struct stand_in *s, const struct ssh_options *o, const atomic_bool *cancel)
{
    *s = (struct stand_in){.a = {.o = o, .phase = "authentication"}};
    s->a.report = &s->report;
    s->a.err = &s->err;
    s->a.s = &s->session;
    s->a.wait = (struct ssh_wait){.deadline = clock_ms() + AGENT_MS, .cancel = cancel};
    s->session.session = libssh2_session_init(); /* for hashed names in known_hosts */
}

static void
stand_in_fini(struct stand_in *s)
{
    libssh2_session_free(s->session.session);
}

/* ---- is it the right server? ---- */

static int
trust(struct stand_in *s, const struct ssh_question *q, char **answer, struct err *err)
{
    int rc;

    copy_printable(s->a.peer, sizeof s->a.peer, q->text, strlen(q->text));
    s->a.phase = "the check of the host key";
    rc = hostkey_judge(&s->a, q->subject);
    if (rc)
        *err = s->err;
    else
        *answer = xstrdup(s->session.untrusted ? SSH_UNTRUSTED : s->report.trusted);
    return rc;
}

/* ---- which keys are there? ---- */

struct offers {
    char **list;
    size_t count;
};

static void
add_offer(struct offers *o, const char *kind, const char *name, const char *note,
    const uint8_t *blob, size_t n)
{
    char *base64 = blob ? base64_encode(blob, n, true) : xstrdup(""), *plain = xstrdup(name);

    copy_printable(plain, strlen(name) + 1, name, strlen(name)); /* no tabs */
    o->list = xrealloc(o->list, (o->count + 2) * sizeof *o->list);
    o->list[o->count++] = xasprintf("%s\t%s\t%s\t%s", kind, plain, note, base64);
    o->list[o->count] = NULL;
    free(plain);
    free(base64);
}

static void
offer_agent_key(struct offers *o, const struct agent_key *key)
{
    const uint8_t *p = key->blob, *s;
    const char *note = "";
    char type[64] = "";
    size_t n;

    if (wire_string(&p, p + key->blob_len, &s, &n))
        copy_printable(type, sizeof type, s, n);
    if (strncmp(type, "sk-", 3) == 0)
        note = "a FIDO key: only ssh(1) can use it";
    else if (strstr(type, "-cert-"))
        note = "a certificate: only ssh(1) can use it";
    add_offer(o, "agent key", key->comment, note, *note ? NULL : key->blob, key->blob_len);
}

static void
offer_file(struct offers *o, const struct keyfile *k)
{
    if (k->unfit)
        add_offer(o, "", k->path, k->unfit, NULL, 0);
    else if (!k->text && k->open_errno != ENOENT)
        add_offer(o, "", k->path, strerror(k->open_errno), NULL, 0);
    else if (k->text && !k->blob)
        add_offer(
            o, "", k->path, "it does not say its public half, and there is no .pub file", NULL, 0);
    else if (k->text)
        add_offer(o, "", k->path, "", k->blob, k->blob_len);
}

static bool
is_of(const struct agent_key *key, const uint8_t *blob, size_t n)
{
    return blob && key->blob_len == n && memcmp(key->blob, blob, n) == 0;
}

/* The agent's keys that files name, in their order, its others, then the files': as auth_keys.c does it. */
static void
offer_all(struct offers *o, const struct ssh_options *options, const struct agent *g,
    struct keyfile *files, size_t count)
{
    bool *done = xcalloc(g->count + 1, sizeof *done),
         *with_agent = xcalloc(count + 1, sizeof *done);

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < g->count; j++)
            if (!done[j] && is_of(&g->keys[j], files[i].blob, files[i].blob_len)) {
                done[j] = with_agent[i] = true;
                offer_agent_key(o, &g->keys[j]);
            }
    for (size_t j = 0; j < g->count && !options->identities_only; j++)
        if (!done[j])
            offer_agent_key(o, &g->keys[j]);
    for (size_t i = 0; i < count; i++)
        if (!with_agent[i])
            offer_file(o, &files[i]);
    free(done);
    free(with_agent);
}

static size_t
count_of(const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

char **
ssh_offers(const struct ssh_options *o, const atomic_bool *cancel)
{
    struct ssh_wait wait = {.deadline = clock_ms() + AGENT_MS, .cancel = cancel};
    struct agent agent = {.fd = -1};
    size_t count = count_of(o->identities);
    struct keyfile *files = xcalloc(count + 1, sizeof *files);
    struct offers offers = {.list = xcalloc(1, sizeof *offers.list)};
    struct err err;

    for (size_t i = 0; i < count; i++)
        keyfile_load(&files[i], o->identities[i]);
    if (o->agent_socket && agent_open(&agent, o->agent_socket, &wait, &err) != 0)
        add_offer(&offers, "", "the agent", err.msg, NULL, 0);
    offer_all(&offers, o, &agent, files, count);
    for (size_t i = 0; i < count; i++)
        keyfile_fini(&files[i]);
    free(files);
    agent_close(&agent);
    return offers.list;
}

char *
ssh_host_key_algorithms(const struct ssh_options *o)
{
    struct stand_in s;
    char *list;

    stand_in_init(&s, o, NULL);
    list = hostkey_preference(&s.a);
    stand_in_fini(&s);
    return list;
}

/* ---- signing ---- */

/* What is to be signed: a login, as RFC 4252, section 7, has it. */
struct login {
    char algorithm[64];
    const uint8_t *key; /* as it is shown to the server */
    size_t key_len;
};

static bool
take_text(const uint8_t **p, const uint8_t *end, const char *want)
{
    const uint8_t *s;
    size_t n;

    return wire_string(p, end, &s, &n) && n == strlen(want) && memcmp(s, want, n) == 0;
}

static bool
take_byte(const uint8_t **p, const uint8_t *end, uint8_t want)
{
    return *p < end && *(*p)++ == want;
}

static bool
take_login(struct login *l, const uint8_t *p, size_t n, const char *user)
{
    enum { USERAUTH_REQUEST = 50 };
    const uint8_t *end = p + n, *s;
    size_t len;

    if (!wire_string(&p, end, &s, &len) || len < SESSION_ID_LEAST ||
        len > 64 || /* the session, as both ends know it */
        !take_byte(&p, end, USERAUTH_REQUEST) || !take_text(&p, end, user) ||
        !take_text(&p, end, "ssh-connection") || !take_text(&p, end, "publickey") ||
        !take_byte(&p, end, 1) || !wire_string(&p, end, &s, &len) || len >= sizeof l->algorithm ||
        !wire_string(&p, end, &l->key, &l->key_len) || p != end)
        return false;
    memcpy(l->algorithm, s, len);
    l->algorithm[len] = '\0';
    return true;
}

/* Is the key in the login this one? An RSA key may stand there under the name of its algorithm. */
static bool
names_key(const struct login *l, const uint8_t *blob, size_t n)
{
    const uint8_t *p = blob, *q = l->key, *type, *shown;
    size_t type_len, shown_len;

    if (!wire_string(&p, blob + n, &type, &type_len) ||
        !wire_string(&q, l->key + l->key_len, &shown, &shown_len) ||
        blob + n - p != l->key + l->key_len - q || memcmp(p, q, (size_t)(blob + n - p)) != 0)
        return false;
    if (type_len == shown_len && memcmp(type, shown, type_len) == 0)
        return true;
    return type_len == 7 && memcmp(type, "ssh-rsa", 7) == 0 && shown_len == strlen(l->algorithm) &&
        memcmp(shown, l->algorithm, shown_len) == 0 && strncmp(l->algorithm, "rsa-sha2-", 9) == 0;
}

/* With the passphrase that is given or known, or by asking: NULL, and err. */
static struct evp_pkey_st *
try_passphrase(const struct keyfile *k, const char *passphrase, struct err *err)
{
    bool wrong;
    struct evp_pkey_st *key = private_key_load(k, passphrase, &wrong);

    if (!key)
        err_set(err, ERR_CREDENTIALS, "%s", wrong ? "wrong passphrase" : "unreadable");
    return key;
}

/* The question is this thread's. Settles it. */
static struct evp_pkey_st *
ask_passphrase(struct stand_in *s, const struct keyfile *k, const char *question, struct err *err)
{
    const struct ssh_options *o = s->a.o;
    char *text =
        xasprintf("Enter passphrase for key '%s' (for %s): ", k->path, o->name ? o->name : o->host);
    struct ssh_question q = {
        .kind = SSH_ASK_PASSPHRASE, .subject = k->path, .text = text, .detail = ""};
    struct evp_pkey_st *key = NULL;
    char *answer;

    for (q.attempt = 1; q.attempt <= PASSPHRASES && !key; q.attempt++) {
        int rc = attempt_ask(&s->a, &q, &answer, err);
        bool none = rc == ERR_CANCELLED || (rc == 0 && !*answer);

        if (none)
            err_set(err, ERR_CREDENTIALS, "no passphrase was given");
        else if (rc == 0 && (key = try_passphrase(k, answer, err)))
            once_known(question, answer);
        if (rc == 0)
            secret_free(answer);
        if (rc || none)
            break;
    }
    free(text);
    if (!key && q.attempt > PASSPHRASES)
        err_set(err, ERR_CREDENTIALS, "wrong passphrase, three times");
    if (!key && s->a.code) /* that says nothing about it */
        once_release(question);
    else if (!key)
        once_refused(question);
    return key;
}

/* With a passphrase that this process knows already, or by asking for it. */
static struct evp_pkey_st *
unlock(struct stand_in *s, const struct keyfile *k, struct err *err)
{
    const struct ssh_options *o = s->a.o;
    char *question, *answer = NULL;
    struct evp_pkey_st *key = NULL;

    if (!k->encrypted)
        return try_passphrase(k, "", err);
    if (o->passphrase)
        return try_passphrase(k, o->passphrase, err);
    question = xasprintf("passphrase of %s", k->path);
    for (bool again = true; again && !key;) {
        again = false;
        switch (attempt_claim(&s->a, question, &answer)) {
        case ONCE_MINE: key = ask_passphrase(s, k, question, err); break;
        case ONCE_KNOWN:
            key = try_passphrase(k, answer, err);
            if (!key)
                once_forget(question, answer); /* the file has another one by now */
            secret_free(answer);
            again = !key;
            break;
        case ONCE_REFUSED: err_set(err, ERR_CREDENTIALS, "no passphrase was given"); break;
        case ONCE_CANCELLED: *err = s->err; break;
        }
    }
    free(question);
    return key;
}

static int
sign_with_file(struct stand_in *s, const struct keyfile *k, const struct login *l,
    const struct iovec *data, struct iovec *sig, struct err *err)
{
    struct evp_pkey_st *key = unlock(s, k, err);
    uint8_t *bytes;
    bool done;

    if (!key)
        return err->code;
    done =
        private_key_sign(key, l->algorithm, data->iov_base, data->iov_len, &bytes, &sig->iov_len);
    private_key_free(key);
    if (!done)
        return err_set(err, ERR_CREDENTIALS, "it cannot sign as %s", l->algorithm);
    sig->iov_base = bytes;
    return 0;
}

/* 0, or a code; 1: the agent has no such key, or may not be asked for it. */
static int
sign_with_agent(struct stand_in *s, const struct login *l, bool named, const uint8_t *blob,
    size_t n, const struct iovec *data, struct iovec *sig, struct err *err)
{
    const struct ssh_options *o = s->a.o;
    struct agent agent = {.fd = -1};
    uint8_t *bytes;
    int rc = 1;

    if (!o->agent_socket || (o->identities_only && !named))
        return 1;
    if (agent_open(&agent, o->agent_socket, &s->a.wait, err) == 0)
        for (size_t j = 0; j < agent.count && rc == 1; j++)
            if (is_of(&agent.keys[j], blob, n)) {
                rc = agent_sign(
                    &agent, &agent.keys[j], data->iov_base, data->iov_len, &bytes, &sig->iov_len);
                sig->iov_base = bytes;
                if (rc)
                    rc = err_set(err, ERR_CREDENTIALS, "the agent does not sign");
            }
    agent_close(&agent);
    return rc;
}

static int
sign_login(struct stand_in *s, const struct login *l, const uint8_t *blob, size_t n,
    const struct iovec *data, struct iovec *sig, struct err *err)
{
    const char *const *path = s->a.o->identities;
    struct keyfile k = {.path = NULL};
    bool named = false;
    int rc;

    for (; path && *path && !named; path++) {
        keyfile_load(&k, *path);
        named = k.blob && k.blob_len == n && memcmp(k.blob, blob, n) == 0;
        if (!named) {
            keyfile_fini(&k);
            k = (struct keyfile){.path = NULL};
        }
    }
    rc = sign_with_agent(s, l, named, blob, n, data, sig, err);
    if (rc == 1 && named && k.text && !k.unfit)
        rc = sign_with_file(s, &k, l, data, sig, err);
    else if (rc == 1)
        rc = err_set(err, ERR_DENIED, "that key was not offered");
    keyfile_fini(&k);
    return rc;
}

static int
sign(struct stand_in *s, const struct ssh_question *q, char **answer, struct err *err)
{
    size_t data_cap = strlen(q->text), blob_cap = strlen(q->subject);
    uint8_t *data = xmalloc(data_cap + 1), *blob = xmalloc(blob_cap + 1);
    ssize_t data_len = base64_decode(data, data_cap, q->text, data_cap);
    ssize_t blob_len = base64_decode(blob, blob_cap, q->subject, blob_cap);
    struct iovec whole = {.iov_base = data, .iov_len = data_len > 0 ? (size_t)data_len : 0},
                 sig = {0};
    struct login l;
    int rc;

    if (data_len <= 0 || data_len > SIGNED_MAX || blob_len <= 0 ||
        !take_login(&l, data, (size_t)data_len, s->a.o->user) ||
        !names_key(&l, blob, (size_t)blob_len))
        rc = err_set(err, ERR_DENIED, "what was to be signed is no login of user %s with that key",
            s->a.o->user);
    else
        rc = sign_login(s, &l, blob, (size_t)blob_len, &whole, &sig, err);
    if (rc == 0)
        *answer = base64_encode(sig.iov_base, sig.iov_len, true);
    free(sig.iov_base);
    free(data);
    free(blob);
    return rc;
}

/* ---- asking people ---- */

/* What comes from there is shown to somebody, so it says for whom it is, and controls no terminal. */
static int
ask_person(const struct ssh_options *o, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    const char *host = o->name ? o->name : o->host;
    char *subject = xasprintf("%s@%s", o->user, host), *front = xasprintf("(%s) ", subject);
    bool password = q->kind == SSH_ASK_PASSWORD;
    struct buf text = {0}, detail = {0};
    struct ssh_question asked = *q;
    int rc;

    if (password)
        buf_printf(&text, "%s's password: ", subject);
    else if (strncmp(q->text, front, strlen(front)) != 0)
        buf_printf(&text, "%s", front);
    if (!password)
        copy_text(&text, q->text, strlen(q->text));
    copy_text(&detail, q->detail, strlen(q->detail));
    buf_append(&text, "", 1);
    buf_append(&detail, "", 1);
    asked.host = host;
    asked.subject = password ? subject : "";
    asked.text = (char *)text.data;
    asked.detail = (char *)detail.data;
    rc = o->ask ? o->ask(o->ask_arg, &asked, cancel, answer, err)
                : err_set(err, ERR_CREDENTIALS, "nobody can be asked for it");
    buf_fini(&text);
    buf_fini(&detail);
    free(subject);
    free(front);
    return rc;
}

static int
give_password(const struct ssh_options *o, char **answer, struct err *err)
{
    if (!o->password)
        return err_set(err, ERR_CREDENTIALS, "the script has given no password");
    *answer = xstrdup(o->password);
    return 0;
}

/* What only a person knows, or the script: for nobody but the one who asks. */
static int
answer_secret(const struct ssh_options *o, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    bool given = q->kind == SSH_ASK_PASSWORD && q->attempt == 0 && answer;
    char *secret = NULL;
    int rc = given ? give_password(o, &secret, err)
                   : ask_person(o, q, cancel, answer ? &secret : NULL, err);

    if (rc || !answer)
        return rc;
    *answer = q->seal ? seal(q->seal, secret) : NULL;
    secret_free(secret);
    return *answer ? 0 : err_set(err, ERR_DENIED, "there is nothing to seal the answer for");
}

int
ssh_keep(const struct ssh_options *o, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err)
{
    struct stand_in s;
    int rc;

    switch (q->kind) {
    case SSH_ASK_PASSWORD:
    case SSH_ASK_PROMPT: return answer_secret(o, q, cancel, answer, err);
    case SSH_ASK_PASSPHRASE:
    case SSH_ASK_HOSTKEY: return err_set(err, ERR_DENIED, "that is asked here only");
    case SSH_ASK_TRUST:
    case SSH_ASK_SIGN: break;
    default: return err_set(err, ERR_DENIED, "there is no such question");
    }
    if (!answer)
        return 0;
    stand_in_init(&s, o, cancel);
    rc = q->kind == SSH_ASK_TRUST ? trust(&s, q, answer, err) : sign(&s, q, answer, err);
    stand_in_fini(&s);
    return rc;
}
