/*
 * Is this the server that it should be?
 *
 * Stricter than ssh(1) in one point: a host that is known by keys of other types only is not a new
 * host, so accept-new does not take its key; otherwise an attacker would merely offer another type.
 */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"
#include "known_hosts.h"
#include "log.h"

/* As OpenSSH's, without what libssh2 has not (it drops names that it does not know). */
static const char default_algorithms[] = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
                                         "ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

struct place {
    char file[128];
    int line; /* 0: nowhere */
};

struct search {
    LIBSSH2_SESSION *session;
    const char *name;
    const char *type; /* of the server's key; NULL while it is not known yet */
    const char *key;
    struct place same, revoked, changed, other, authority;
    char other_type[64];
    struct buf types; /* ",ssh-ed25519,ssh-rsa" of all plain lines */
};

static char *
lookup_name(const struct ssh_options *o, bool with_port)
{
    char *name;

    if (o->host_key_alias)
        name = xstrdup(o->host_key_alias);
    else if (with_port && strcmp(o->port, "22") != 0)
        name = xasprintf("[%s]:%s", o->host, o->port);
    else
        name = xstrdup(o->host);
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return name;
}

static bool
may_lack_port(const struct ssh_options *o)
{
    return !o->host_key_alias && strcmp(o->port, "22") != 0;
}

static void
note(struct place *place, const struct known_line *line)
{
    if (place->line)
        return;
    snprintf(place->file, sizeof place->file, "%s", line->file);
    place->line = line->number;
}

static void
visit(void *context, const struct known_line *line)
{
    struct search *s = context;
    bool same = s->key && strcmp(line->key, s->key) == 0;

    if (!known_hosts_match(s->session, line->hosts, s->name))
        return;
    if (line->marker == KNOWN_REVOKED) {
        if (same)
            note(&s->revoked, line);
        return;
    }
    if (line->marker == KNOWN_AUTHORITY) {
        note(&s->authority, line);
        return;
    }
    buf_printf(&s->types, ",%s", line->type);
    if (same) {
        note(&s->same, line);
    } else if (s->type && strcmp(line->type, s->type) == 0) {
        note(&s->changed, line);
    } else {
        if (!s->other.line)
            copy_printable(s->other_type, sizeof s->other_type, line->type, strlen(line->type));
        note(&s->other, line);
    }
}

static void
search(struct search *s, const struct ssh_options *o)
{
    for (const char *const *file = o->known_hosts; file && *file; file++)
        known_hosts_read(*file, visit, s);
}

/* Does "list" of names with commas between them have this one? */
static bool
list_has(const char *list, const char *name, size_t n)
{
    for (; *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == n && memcmp(list, name, n) == 0)
            return true;
    return false;
}

static bool
algorithm_known(const char *types, const char *algorithm, size_t n)
{
    if (n > 8 && memcmp(algorithm, "rsa-sha2", 8) == 0)
        return list_has(types, "ssh-rsa", 7);
    return list_has(types, algorithm, n);
}

char *
hostkey_preference(struct ssh_attempt *a)
{
    const char *list = a->o->host_key_algorithms ? a->o->host_key_algorithms : default_algorithms;
    char *with_port = lookup_name(a->o, true), *without = lookup_name(a->o, false);
    struct search s = {.session = a->s->session, .name = with_port};
    struct buf out = {0};

    search(&s, a->o);
    if (buf_len(&s.types) == 0 && may_lack_port(a->o)) {
        s.name = without;
        search(&s, a->o);
    }
    buf_append(&s.types, "", 1);
    for (int known = 1; known >= 0; known--) {
        for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
            size_t n = strcspn(p, ",");

            /* libssh2 has some certificate types, but does not check the certificate. */
            if (memmem(p, n, "-cert-", 6) ||
                algorithm_known((char *)buf_head(&s.types), p, n) != known)
                continue;
            buf_printf(&out, "%s%.*s", buf_len(&out) ? "," : "", (int)n, p);
        }
    }
    buf_append(&out, "", 1);
    buf_fini(&s.types);
    free(with_port);
    free(without);
    return (char *)out.data;
}

/* The server's key, as texts. */
struct key {
    char type[64];
    char *base64; /* owned */
    const char *fingerprint;
};

static int
take_key(struct ssh_attempt *a, const uint8_t *blob, size_t len, struct key *key)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    const uint8_t *p = blob, *type = NULL;
    size_t n = 0;
    char *text;

    if (!blob || !wire_string(&p, blob + len, &type, &n))
        return err_set(a->err, ERR_HOSTKEY, "%s sent no host key", a->peer);
    copy_printable(key->type, sizeof key->type, type, n);
    key->base64 = base64_encode(blob, len, true);
    SHA256(blob, len, hash);
    text = base64_encode(hash, sizeof hash, false);
    snprintf(a->report->fingerprint, sizeof a->report->fingerprint, "SHA256:%s", text);
    free(text);
    key->fingerprint = a->report->fingerprint;
    return 0;
}

static const char *
first_file(const struct ssh_options *o)
{
    return o->known_hosts && o->known_hosts[0] ? o->known_hosts[0] : NULL;
}

/* As one word for a shell; owned. */
static char *
quoted(const char *word)
{
    struct buf b = {0};

    buf_append(&b, "'", 1);
    for (; *word; word++)
        buf_printf(&b, *word == '\'' ? "'\\''" : "%c", *word);
    buf_append(&b, "'", 2);
    return (char *)b.data;
}

/* A command that adds exactly the key that was shown; RSA keys are too long for an error's text. */
static char *
how_to_add(const struct ssh_attempt *a, const struct key *key, const char *name, const char *file)
{
    char *to = quoted(file), *line, *what, *command;

    if (strlen(key->base64) <= 200) {
        line = xasprintf("%s %s %s", name, key->type, key->base64);
        what = quoted(line);
        command = xasprintf("echo %s >> %s", what, to);
        free(line);
    } else {
        what = quoted(a->o->host);
        command = xasprintf("ssh-keyscan -p %s %s >> %s", a->o->port, what, to);
    }
    free(what);
    free(to);
    return command;
}

static int
fail_revoked(struct ssh_attempt *a, const struct key *key, const struct place *at)
{
    char *file = quoted(at->file);

    err_set(a->err, ERR_HOSTKEY_REVOKED,
        "the host key of %s, %s %s, is revoked by %s line %d: whoever has it may not be that host. "
        "If "
        "the line is wrong: sed -i %dd %s",
        a->peer, key->type, key->fingerprint, at->file, at->line, at->line, file);
    free(file);
    return ERR_HOSTKEY_REVOKED;
}

static int
fail_changed(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    char *file = quoted(s->changed.file), *name = quoted(s->name);

    err_set(a->err, ERR_HOSTKEY_CHANGED,
        "the host key of %s has changed: it is now %s %s, but %s line %d has another one. Either "
        "somebody is in between, or the host is new; if so: ssh-keygen -f %s -R %s",
        a->peer, key->type, key->fingerprint, s->changed.file, s->changed.line, file, name);
    free(file);
    free(name);
    return ERR_HOSTKEY_CHANGED;
}

static int
fail_other(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    char *add = how_to_add(a, key, s->name, s->other.file);

    a->report->openssh_could = true;
    err_set(a->err, ERR_HOSTKEY,
        "%s is known by another key (%s, %s line %d), which it and libssh2 %s could not agree on; "
        "the one it showed, %s %s, is not known. To trust that too: %s",
        a->peer, s->other_type, s->other.file, s->other.line, ssh_library_version(), key->type,
        key->fingerprint, add);
    free(add);
    return ERR_HOSTKEY;
}

static int
fail_authority(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    a->report->openssh_could = true;
    return err_set(a->err, ERR_HOSTKEY,
        "%s is to show a host certificate (%s line %d: @cert-authority), and SSH inside this "
        "process "
        "cannot check those; its plain key, %s %s, is not known",
        a->peer, s->authority.file, s->authority.line, key->type, key->fingerprint);
}

/* `nobody`: why nobody was asked, or NULL. */
static int
fail_unknown(
    struct ssh_attempt *a, const struct key *key, const struct search *s, const char *nobody)
{
    const char *file = first_file(a->o);
    char *add = how_to_add(a, key, s->name, file ? file : "~/.ssh/known_hosts");

    err_set(a->err, ERR_HOSTKEY,
        "the host key of %s, %s %s, is not known%s%s%s%s. If that is its fingerprint: %s", a->peer,
        key->type, key->fingerprint, file ? " (not in " : "", file ? file : "", file ? ")" : "",
        nobody ? nobody : "", add);
    free(add);
    return ERR_HOSTKEY;
}

struct adding {
    const struct ssh_options *o;
    struct search now;
};

/* With the file locked: has another process added a key for this host in the meantime? */
static bool
present(void *context)
{
    struct adding *add = context;

    search(&add->now, add->o);
    return add->now.same.line || add->now.changed.line || add->now.other.line ||
        add->now.revoked.line;
}

static int
add_key(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    struct adding add = {.o = a->o};
    struct err err;
    char *line;
    int rc = 0;

    if (!first_file(a->o))
        return 0;
    add.now =
        (struct search){.session = s->session, .name = s->name, .type = s->type, .key = s->key};
    line = xasprintf("%s %s %s", s->name, key->type, key->base64);
    if (known_hosts_add(first_file(a->o), line, present, &add, &err))
        log_warn("ssh", "the host key of %s is accepted, but not kept: %s", a->peer, err.msg);
    else if (add.now.revoked.line)
        rc = fail_revoked(a, key, &add.now.revoked);
    else if (!add.now.same.line && add.now.changed.line)
        rc = fail_changed(a, key, &add.now);
    else if (!add.now.same.line && add.now.other.line)
        rc = fail_other(a, key, &add.now);
    else
        log_info("ssh", "the host key of %s, %s %s, is new and was added to %s", a->peer, key->type,
            key->fingerprint, first_file(a->o));
    free(line);
    buf_fini(&add.now.types);
    return rc;
}

/* strict=no: the connection goes on, but no password is sent over it (auth.c). */
static int
distrust(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    int rc = s->changed.line ? fail_changed(a, key, s) : fail_other(a, key, s);

    if (a->o->strict != SSH_STRICT_NO)
        return rc;
    log_warn("ssh", "%s", a->err->msg);
    a->s->untrusted = true;
    return 0;
}

/* ---- asking a person, in the words of ssh(1) ---- */

static char *
describe_unknown(const struct ssh_attempt *a, const struct key *key)
{
    const char *type = strncmp(key->type, "ssh-", 4) == 0 ? key->type + 4 : key->type;
    size_t n = strncmp(type, "ecdsa", 5) == 0 ? 5 : strlen(type);
    char *text = xasprintf("The authenticity of host '%s (%s)' can't be established.\n"
                           "%.*s key fingerprint is %s.",
        a->o->name ? a->o->name : a->o->host, a->peer, (int)n, type, key->fingerprint);

    for (char *p = strchr(text, '\n') + 1; *p != ' '; p++)
        *p = (char)toupper((unsigned char)*p);
    return text;
}

static bool
trims_to(const char *answer, const char *word)
{
    size_t n = strcspn(answer += strspn(answer, " \t"), " \t\r\n");

    return n == strlen(word) && strncasecmp(answer, word, n) == 0;
}

/* 1: yes, 0: no, or a negative code. */
static int
ask_person(struct ssh_attempt *a, const struct key *key, struct err *err)
{
    enum { TRIES = 3 };
    char *detail = describe_unknown(a, key), *answer;
    char *text =
        xasprintf("%s: Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
            a->o->name ? a->o->name : a->o->host);
    struct ssh_question q = {.kind = SSH_ASK_HOSTKEY,
        .subject = key->fingerprint,
        .text = text,
        .detail = detail,
        .echo = true};
    int rc = -1;

    for (q.attempt = 1; q.attempt <= TRIES && rc == -1; q.attempt++) {
        rc = attempt_ask(a, &q, &answer, err);
        if (rc)
            break;
        rc = trims_to(answer, "yes") || trims_to(answer, key->fingerprint) ? 1
            : trims_to(answer, "no")                                       ? 0
                                                                           : -1;
        secret_free(answer);
        q.text = "Please type 'yes', 'no' or the fingerprint: ";
        q.detail = "";
    }
    free(text);
    free(detail);
    return rc == -1 ? 0 : rc;
}

/* The question is this thread's, but the one before may have got an answer to it. */
static int
ask_unless_added(
    struct ssh_attempt *a, const struct key *key, const struct search *s, bool *refused)
{
    struct adding add = {.o = a->o};
    struct err err = {0};
    char *why;
    int rc;

    add.now =
        (struct search){.session = s->session, .name = s->name, .type = s->type, .key = s->key};
    rc = present(&add) ? 1 : ask_person(a, key, &err);
    buf_fini(&add.now.types);
    if (a->code)
        return a->code;
    if (rc == 1)
        return add_key(a, key, s);
    if (rc != ERR_CREDENTIALS) {
        *refused = true;
        return fail_unknown(a, key, s, ", and was not accepted");
    }
    why = xasprintf(", and %.150s", err.msg);
    rc = fail_unknown(a, key, s, why);
    free(why);
    return rc;
}

/* Several connections to a new host are one question. */
static int
ask_and_add(struct ssh_attempt *a, const struct key *key, const struct search *s)
{
    char *question = xasprintf("trust %s %s", s->name, key->fingerprint), *known;
    enum once got = attempt_claim(a, question, &known);
    bool refused = false;
    int rc = a->code;

    if (got == ONCE_MINE) {
        rc = ask_unless_added(a, key, s, &refused);
        if (refused)
            once_refused(question);
        else
            once_release(question);
    } else if (got == ONCE_REFUSED) {
        rc = fail_unknown(a, key, s, ", and was not accepted");
    }
    free(question);
    return rc;
}

static int
vouched(struct ssh_attempt *a, const struct place *at)
{
    snprintf(a->report->trusted, sizeof a->report->trusted, "%s:%d", at->file, at->line);
    return 0;
}

static int
decide(struct ssh_attempt *a, const struct key *key, const struct search *s,
    const struct search *plain)
{
    if (s->revoked.line || plain->revoked.line)
        return fail_revoked(a, key, s->revoked.line ? &s->revoked : &plain->revoked);
    if (s->same.line)
        return vouched(a, &s->same);
    if (s->changed.line)
        return distrust(a, key, s);
    if (plain->same.line)
        return vouched(a, &plain->same);
    if (s->authority.line)
        return fail_authority(a, key, s);
    if (s->other.line)
        return distrust(a, key, s);
    if (a->o->strict == SSH_STRICT_YES)
        return fail_unknown(a, key, s, NULL);
    return a->o->strict == SSH_STRICT_ASK ? ask_and_add(a, key, s) : add_key(a, key, s);
}

static int
judge(struct ssh_attempt *a, const struct key *key)
{
    char *with_port = lookup_name(a->o, true), *without = lookup_name(a->o, false);
    struct search s = {
        .session = a->s->session, .name = with_port, .type = key->type, .key = key->base64};
    struct search plain = s;
    int rc;

    plain.name = without;
    search(&s, a->o);
    if (may_lack_port(a->o))
        search(&plain, a->o); /* as OpenSSH does, for lines from before the port was changed */
    rc = decide(a, key, &s, &plain);
    buf_fini(&s.types);
    buf_fini(&plain.types);
    free(with_port);
    free(without);
    return rc;
}

int
hostkey_judge(struct ssh_attempt *a, const char *base64)
{
    struct key key = {0};
    uint8_t blob[8192];
    ssize_t n = base64_decode(blob, sizeof blob, base64, strlen(base64));
    int rc = take_key(a, n > 0 ? blob : NULL, n > 0 ? (size_t)n : 0, &key);

    if (rc == 0)
        rc = judge(a, &key);
    free(key.base64);
    return rc;
}

/* The known hosts are the keeper's; it says what judge would say. */
static int
ask_keeper(struct ssh_attempt *a, const struct key *key)
{
    struct ssh_question q = {
        .kind = SSH_ASK_TRUST, .subject = key->base64, .text = a->peer, .detail = ""};
    char *answer = NULL;
    struct err err = {0};
    int rc = attempt_ask(a, &q, &answer, &err);

    if (a->code)
        return a->code;
    if (rc) {
        *a->err = err;
        return rc;
    }
    a->s->untrusted = strcmp(answer, SSH_UNTRUSTED) == 0;
    if (!a->s->untrusted)
        copy_printable(a->report->trusted, sizeof a->report->trusted, answer, strlen(answer));
    secret_free(answer);
    return 0;
}

int
hostkey_check(struct ssh_attempt *a)
{
    struct key key = {0};
    size_t len;
    int kind;
    const char *blob = libssh2_session_hostkey(a->s->session, &len, &kind);
    int rc = take_key(a, (const uint8_t *)blob, len, &key);

    if (rc == 0)
        rc = a->o->kept ? ask_keeper(a, &key) : judge(a, &key);
    free(key.base64);
    return rc;
}
