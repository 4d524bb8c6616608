/*
 * What only a person can answer. Waiting for people counts for no deadline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "internal.h"
#include "seal.h"

/* The keeper's answer, which others may have seen on its way. */
static int
ask_sealed(struct ssh_attempt *a, struct ssh_question *q, char **answer, struct err *err)
{
    const struct ssh_options *o = a->o;
    char *public, *sealed = NULL;
    struct evp_pkey_st *key = seal_key_create(&public);
    int rc;

    q->seal = public;
    rc = o->ask(o->ask_arg, q, a->wait.cancel, &sealed, err);
    if (rc == 0) {
        *answer = seal_open(key, sealed);
        if (!*answer)
            rc = err_set(err, ERR_CREDENTIALS, "the answer was for somebody else");
        free(sealed);
    }
    seal_key_free(key);
    free(public);
    q->seal = NULL;
    return rc;
}

int
attempt_ask(struct ssh_attempt *a, struct ssh_question *q, char **answer, struct err *err)
{
    const struct ssh_options *o = a->o;
    int64_t start = clock_ms();
    int rc;

    if (!o->ask)
        return err_set(err, ERR_CREDENTIALS, "nobody can be asked for it");
    if (o->openssh_next && a->report->openssh_could)
        return err_set(err, ERR_CREDENTIALS, "nobody is asked before ssh(1) has tried");
    q->host = o->name ? o->name : o->host;
    q->kept = o->kept;
    if (o->kept && answer && (q->kind == SSH_ASK_PASSWORD || q->kind == SSH_ASK_PROMPT))
        rc = ask_sealed(a, q, answer, err);
    else
        rc = o->ask(o->ask_arg, q, a->wait.cancel, answer, err);
    a->wait.deadline += clock_ms() - start;
    if (rc && a->wait.cancel && atomic_load(a->wait.cancel))
        a->code = err_set(a->err, ERR_CANCELLED, "cancelled during %s with %s", a->phase, a->peer);
    return rc;
}

bool
attempt_can_ask(struct ssh_attempt *a, struct ssh_question *q, struct err *err)
{
    return attempt_ask(a, q, NULL, err) == 0;
}

enum once
attempt_claim(struct ssh_attempt *a, const char *name, char **answer)
{
    int64_t start = clock_ms();
    enum once got = once_claim(name, a->wait.cancel, answer);

    a->wait.deadline += clock_ms() - start;
    if (got == ONCE_CANCELLED)
        a->code = err_set(a->err, ERR_CANCELLED, "cancelled during %s with %s", a->phase, a->peer);
    return got;
}

/* How many bytes of UTF-8 stand at p that a terminal may be shown; 0: none. */
static size_t
shown(const unsigned char *p, size_t n)
{
    size_t want = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

    if (*p == '\n' || *p == '\t' || (*p >= ' ' && *p < 0x7f))
        return 1;
    if (*p < 0xc2 || *p > 0xf4 || n < want || (*p == 0xc2 && p[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return want;
}

void
copy_text(struct buf *out, const void *data, size_t n)
{
    const unsigned char *p = data, *end = p + n;

    while (p < end) {
        size_t take = shown(p, (size_t)(end - p));

        if (*p == '\r') {
            p++;
            continue;
        }
        buf_append(out, take ? (const void *)p : "?", take ? take : 1);
        p += take ? take : 1;
    }
}
