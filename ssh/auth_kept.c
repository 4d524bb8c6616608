/*
 * Logging in with keys that a keeper has (ssh_keep): it has said which to offer, and is asked to sign.
 *
 * An offer is "kind<TAB>name<TAB>note<TAB>base64": what errors call it, and the public key; or why it cannot be
 * used, and nothing.
 */
#include "auth.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 4 };

struct kept_key {
    char *text;            /* the fields below are parts of it */
    char *field[FIELDS];   /* kind, name, note, base64 */
    uint8_t *blob, *shown; /* the public key, as it is and as the server is to get it */
    size_t blob_len, shown_len;
    char type[64]; /* of the latter */
    bool spent;
};

/* What the sign callback needs. */
struct kept_signing {
    struct auth *u;
    const struct kept_key *key;
    struct err err; /* why there is no signature */
};

/*
 * libssh2 1.10 takes the name of the signature's algorithm from the key, and so would sign with SHA-1 for RSA
 * keys, which OpenSSH refuses since 8.8. OpenSSH reads the names of RSA's other algorithms there as well as the
 * key's own.
 */
static void
set_shown(struct kept_key *k)
{
    static const char algorithm[] = "rsa-sha2-256";
    const uint8_t *p = k->blob, *end = p + k->blob_len, *type;
    struct buf b = {0};
    size_t n;

    if (!wire_string(&p, end, &type, &n))
        return;
    copy_printable(k->type, sizeof k->type, type, n);
    if (LIBSSH2_VERSION_NUM < 0x010b00 && strcmp(k->type, "ssh-rsa") == 0) {
        memcpy(k->type, algorithm, sizeof algorithm);
        wire_put_string(&b, algorithm, sizeof algorithm - 1);
        buf_append(&b, p, (size_t)(end - p));
    } else {
        buf_append(&b, k->blob, k->blob_len);
    }
    k->shown = b.data;
    k->shown_len = buf_len(&b);
}

static void
parse_offer(struct kept_key *k, const char *offer)
{
    char *p = k->text = xstrdup(offer);
    ssize_t n;

    for (int i = 0; i < FIELDS; i++) {
        char *tab = strchr(p, '\t');

        k->field[i] = p;
        p = tab ? tab + 1 : p + strlen(p);
        if (tab)
            *tab = '\0';
    }
    k->blob = xmalloc(strlen(k->field[3]) + 1);
    n = base64_decode(k->blob, strlen(k->field[3]), k->field[3], strlen(k->field[3]));
    k->blob_len = n > 0 ? (size_t)n : 0;
    set_shown(k);
}

void
auth_kept_load(struct auth *u)
{
    const char *const *offers = u->a->o->offers;
    size_t n = 0;

    while (offers && offers[n])
        n++;
    u->kept = xcalloc(n + 1, sizeof *u->kept);
    for (; u->kept_count < n; u->kept_count++)
        parse_offer(&u->kept[u->kept_count], offers[u->kept_count]);
}

/* libssh2 frees what it gets with its allocator's free, which is that of C. */
static int
on_sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data,
    size_t data_len, void **abstract)
{
    struct kept_signing *g = *abstract;
    char *text = base64_encode(data, data_len, true), *answer = NULL;
    struct ssh_question q = {
        .kind = SSH_ASK_SIGN, .subject = g->key->field[3], .text = text, .detail = ""};
    int rc = attempt_ask(g->u->a, &q, &answer, &g->err);
    ssize_t n = -1;

    free(text);
    if (rc)
        return -1;
    *sig = xmalloc(strlen(answer) + 1);
    n = base64_decode(*sig, strlen(answer), answer, strlen(answer));
    secret_free(answer);
    if (n <= 0) {
        free(*sig);
        return -1;
    }
    *sig_len = (size_t)n;
    return 0;
}

static int
try_kept(struct auth *u, const struct kept_key *k)
{
    struct ssh_attempt *a = u->a;
    struct kept_signing signing = {.u = u, .key = k};
    void *abstract = &signing;
    enum key_progress got;
    int rc;

    if (!k->shown) {
        auth_note(u, k->field[2], k->field[0], k->field[1]);
        return 0;
    }
    err_set(&signing.err, ERR_CREDENTIALS, "there was no signature");
    attempt_call(a, rc,
        libssh2_userauth_publickey(
            a->s->session, a->o->user, k->shown, k->shown_len, on_sign, &abstract));
    if (rc == 0)
        auth_remember(u, k->blob, k->blob_len);
    got = auth_key_result(u, rc, k->type, k->field[0], k->field[1]);
    if (got == KEY_UNSIGNED)
        auth_note(u, signing.err.msg, k->field[0], k->field[1]);
    return got == KEY_BROKEN ? a->code : 0;
}

int
auth_kept_keys(struct auth *u)
{
    int rc = 0;

    for (size_t i = 0; i < u->kept_count && auth_go_on(u, rc); i++) {
        struct kept_key *k = &u->kept[i];

        if (k->spent || (u->unasked && !k->shown))
            continue;
        if (!auth_may_show(u, k->blob, k->blob_len))
            break;
        k->spent = true;
        rc = try_kept(u, k);
    }
    return rc;
}

void
auth_kept_fini(struct auth *u)
{
    for (size_t i = 0; i < u->kept_count; i++) {
        free(u->kept[i].text);
        free(u->kept[i].blob);
        free(u->kept[i].shown);
    }
    free(u->kept);
}
