#include "openreq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "askpass.h"
#include "clock.h"
#include "mem.h"
#include "pack.h"
#include "process.h"
#include "prompter.h"
#include "ssh.h"

enum { MARK_BYTES = 12 };

/* Strings that live as long as the request; all are wiped when freed, secrets or not. */
struct openreq_private {
    char **strings;
    size_t string_count;
    void **blocks;
    size_t block_count;
    const char *const *argv; /* NULL for SSH */
    const char *program;     /* what errors call it; NULL for SSH and local children */
    struct asker *asker;
    struct ask_options ask;        /* its strings live as long as the request */
    const char *helper;            /* the agent's program, as which the command asks */
    struct askpass *askpass;       /* NULL: the command asks nobody by way of us */
    struct prompter *prompter;     /* NULL: it has no prompts */
    char mark[2 * MARK_BYTES + 1]; /* in its prompt; "" where that is not ours to say */
    struct ssh_options ssh;
    struct ssh_report report;
    char how[512];
};

static char *
keep(struct openreq *q, char *s)
{
    struct openreq_private *p = q->p;

    p->strings = xrealloc(p->strings, (p->string_count + 1) * sizeof *p->strings);
    p->strings[p->string_count++] = s;
    return s;
}

static const char *
copy(struct openreq *q, const char *s)
{
    return s ? keep(q, xstrdup(s)) : NULL;
}

static void *
keep_block(struct openreq *q, void *block)
{
    struct openreq_private *p = q->p;

    p->blocks = xrealloc(p->blocks, (p->block_count + 1) * sizeof *p->blocks);
    p->blocks[p->block_count++] = block;
    return block;
}

static const char **
copy_list(struct openreq *q, const char *const *list)
{
    const char **out;
    size_t n = 0;

    if (!list)
        return NULL;
    while (list[n])
        n++;
    out = xcalloc(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = copy(q, list[i]);
    return keep_block(q, out);
}

static void
copy_ssh(struct openreq *q, struct ssh_options *to, const struct ssh_options *from)
{
    *to = *from;
    to->name = copy(q, from->name);
    to->host = copy(q, from->host);
    to->port = copy(q, from->port);
    to->user = copy(q, from->user);
    to->host_key_alias = copy(q, from->host_key_alias);
    to->known_hosts = copy_list(q, from->known_hosts);
    to->identities = copy_list(q, from->identities);
    to->agent_socket = copy(q, from->agent_socket);
    to->password = copy(q, from->password);
    to->passphrase = copy(q, from->passphrase);
    to->auth_order = copy_list(q, from->auth_order);
    to->kex = copy(q, from->kex);
    to->ciphers = copy(q, from->ciphers);
    to->macs = copy(q, from->macs);
    to->host_key_algorithms = copy(q, from->host_key_algorithms);
    to->bind_address = copy(q, from->bind_address);
    to->proxy_command = copy(q, from->proxy_command);
    to->share_key = copy(q, from->share_key);
    to->set_env = copy_list(q, from->set_env);
    to->offers = copy_list(q, from->offers);
    to->ask = asker_ask;
    to->ask_arg = q->p->asker;
    if (from->via) {
        struct ssh_options *via = keep_block(q, xcalloc(1, sizeof *via));

        copy_ssh(q, via, from->via);
        to->via = via;
    }
}

static void
plan_ssh(struct openreq *q, const struct ssh_options *o, const char *command)
{
    copy_ssh(q, &q->p->ssh, o);
    q->p->ssh.command = command;
}

/* A local child needs no stub: the agent is here, and runs from where it is. Another program than the agent may
 * have arguments, behind the marker. */
static void
plan_local(struct openreq *q, const char *const *program)
{
    size_t n = 0;
    const char **argv;

    while (program[n])
        n++;
    argv = keep_block(q, xcalloc(n + 2, sizeof *argv));
    argv[0] = copy(q, program[0]);
    argv[1] = q->marker;
    for (size_t i = 1; i < n; i++)
        argv[i + 1] = copy(q, program[i]);
    q->p->argv = argv;
    snprintf(q->p->how, sizeof q->p->how, "local process");
}

/* The word with `text` in the place of `field`; NULL if that is not in it. */
static char *
fill(struct openreq *q, const char *word, const char *field, const char *text)
{
    const char *at = strstr(word, field);

    if (!at)
        return NULL;
    return keep(q, xasprintf("%.*s%s%s", (int)(at - word), word, text, at + strlen(field)));
}

/* The script in the last word; for who expands dollar signs on its way, with ^ for them. */
static void
fill_script(struct openreq *q, const char **last, const char *script)
{
    char *word = fill(q, *last, "{}", script), *plain;

    if (!word) {
        plain = keep(q, xstrdup(script));
        for (char *p = plain; (p = strchr(p, '$'));)
            *p = '^';
        word = fill(q, *last, "{^}", plain);
    }
    if (word)
        *last = word;
}

static void
plan_command(struct openreq *q, const struct open_options *o, const char *script)
{
    const char **argv = copy_list(q, o->argv), **last = argv, *slash = strrchr(argv[0], '/');

    for (; last[1]; last++) {
        char *word = o->ask.prompts && !*q->p->mark ? fill(q, *last, "{mark}", "") : NULL;

        if (word) {
            random_hex(q->p->mark, MARK_BYTES);
            *last = fill(q, *last, "{mark}", q->p->mark);
        }
    }
    fill_script(q, last, script);
    q->p->argv = argv;
    q->p->program = slash ? slash + 1 : argv[0];
    snprintf(q->p->how, sizeof q->p->how, "%s as a subprocess", q->p->program);
}

static struct openreq *
create(const struct open_options *o)
{
    struct openreq *q = xcalloc(1, sizeof *q);

    q->p = xcalloc(1, sizeof *q->p);
    q->name = xstrdup(o->name);
    q->route = xstrdup(o->route);
    q->p->asker = asker_create(&o->ask);
    return q;
}

struct openreq *
openreq_create_kept(const struct open_options *o)
{
    struct openreq *q = create(o);

    copy_ssh(q, &q->p->ssh, o->ssh);
    return q;
}

const struct ssh_options *
openreq_ssh(const struct openreq *q)
{
    return &q->p->ssh;
}

struct openreq *
openreq_create(const struct open_options *o, const struct images *im, bool has_ssh, struct err *err)
{
    struct openreq *q;
    struct bootstrap_stub stub = {
        .no_cache = o->no_cache, .cache = o->cache, .raw = im && images_only_raw(im)};
    char *text;

    if (!im) {
        err_set(err, ERR_BOOTSTRAP,
            "this context has no agent to open children with (one that is opened by another needs "
            "/proc)");
        return NULL;
    }
    if (o->ssh && !has_ssh) {
        err_set(err, ERR_CONNECT, "this context cannot open SSH connections itself");
        return NULL;
    }
    if (!o->ssh && o->argv && !o->argv[0]) {
        err_set(err, ERR_ARGUMENT, "%s: an empty command", o->name);
        return NULL;
    }
    if (strlen(o->name) >= CONTEXT_TEXT_MAX || strlen(o->route) >= CONTEXT_TEXT_MAX) {
        err_set(err, ERR_LIMIT, "a name or a route of %u characters or more: %.100s",
            CONTEXT_TEXT_MAX, o->route);
        return NULL;
    }
    q = create(o);
    q->bootstrap_ms = o->bootstrap_ms;
    q->keepalive_ms = o->keepalive_ms;
    q->deferred = o->deferred;
    random_hex(q->marker, BOOTSTRAP_MARKER / 2);
    stub.marker = q->marker;
    stub.hash = images_id(im);
    q->p->ask = o->ask;
    q->p->ask.password = copy(q, o->ask.password);
    q->p->ask.passphrase = copy(q, o->ask.passphrase);
    q->p->ask.subject = copy(q, o->ask.subject ? o->ask.subject : o->name);
    q->p->helper = copy(q, images_helper(im));
    if (!o->ssh && !o->argv) {
        const char *const agent[] = {images_native(im), NULL};

        plan_local(q, o->program ? o->program : agent);
    } else {
        text = o->ssh ? bootstrap_command(&stub, err) : bootstrap_script(&stub, err);
        if (!text) {
            openreq_free(q);
            return NULL;
        }
        keep(q, text);
        if (o->ssh)
            plan_ssh(q, o->ssh, text);
        else
            plan_command(q, o, text);
    }
    return q;
}

void
openreq_free(struct openreq *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->p->string_count; i++)
        secret_free(q->p->strings[i]);
    for (size_t i = 0; i < q->p->block_count; i++)
        free(q->p->blocks[i]);
    askpass_destroy(q->p->askpass);
    prompter_destroy(q->p->prompter);
    asker_destroy(q->p->asker);
    free(q->p->strings);
    free(q->p->blocks);
    free(q->p);
    free(q->name);
    free(q->route);
    free(q);
}

void
openreq_bind(struct openreq *q, struct mailbox *mb, uint32_t seq)
{
    asker_bind(q->p->asker, mb, seq);
}

bool
openreq_blocks(const struct openreq *q)
{
    return !q->p->argv;
}

bool
openreq_needs_guard(const struct openreq *q)
{
    return q->p->program != NULL;
}

bool
openreq_spawns(const struct openreq *q)
{
    const struct ssh_options *o = &q->p->ssh;

    while (o->via)
        o = o->via;
    return q->p->argv || o->proxy_command;
}

int
openreq_prepare(struct openreq *q, struct loop *loop, struct err *err)
{
    const struct ask_options *ask = &q->p->ask;
    struct askpass_options o = {.loop = loop,
        .asker = q->p->asker,
        .host = q->name,
        .program = q->p->helper,
        .password = ask->password,
        .passphrase = ask->passphrase};

    if (!ask->askpass)
        return 0;
    q->p->askpass = askpass_create(&o, err);
    return q->p->askpass ? 0 : err->code;
}

struct askpass *
openreq_askpass(const struct openreq *q)
{
    return q->p->askpass;
}

static void
wipe(const char *secret)
{
    if (secret)
        explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
}

/* A child may live for long; its password need not. The strings are ours, though the options borrow them. */
static void
wipe_secrets(const struct ssh_options *o)
{
    for (; o; o = o->via) {
        wipe(o->password);
        wipe(o->passphrase);
    }
}

void
openreq_listen(struct openreq *q, struct loop *loop, struct stream *s)
{
    const struct ask_options *ask = &q->p->ask;
    struct prompter_options o = {.loop = loop,
        .asker = q->p->asker,
        .host = q->name,
        .program = q->p->program,
        .mark = *q->p->mark ? q->p->mark : NULL,
        .subject = ask->subject,
        .password = ask->password,
        .share = ask->share};

    if (!ask->prompts || !q->p->program)
        return;
    q->p->prompter = prompter_create(&o);
    prompter_listen(q->p->prompter, s);
}

int
openreq_judge(const struct openreq *q, const struct err *why)
{
    return why->code == ERR_BOOTSTRAP && prompter_answered(q->p->prompter) ? ERR_AUTH : why->code;
}

void
openreq_end_asking(struct openreq *q, bool right)
{
    if (q->p->askpass && right)
        askpass_right(q->p->askpass);
    askpass_stop(q->p->askpass);
    prompter_stop(q->p->prompter, right);
    wipe(q->p->ask.password);
    wipe(q->p->ask.passphrase);
}

struct transport *
openreq_connect(struct openreq *q, const struct ssh_library *ssh, struct ssh_pool *pool,
    const atomic_bool *cancel, struct err *err)
{
    struct process_options process = {.argv = q->p->argv, .name = q->p->program, .terminate = true};
    struct ssh_report *r = &q->p->report;
    struct transport *t;

    if (q->p->askpass)
        process.also = askpass_environment(q->p->askpass);
    if (q->p->argv)
        return process_spawn(&process, err);
    t = ssh->connect(pool, &q->p->ssh, cancel, r, err);
    wipe_secrets(&q->p->ssh);
    if (t)
        snprintf(q->p->how, sizeof q->p->how,
            "ssh %s, host key %s, %s; resolve %.1f ms, connect %.1f, key exchange %.1f, "
            "authentication %.1f, exec %.1f",
            r->address, r->fingerprint, r->auth, (double)r->resolve_us / 1e3,
            (double)r->connect_us / 1e3, (double)r->kex_us / 1e3, (double)r->auth_us / 1e3,
            (double)r->exec_us / 1e3);
    return t;
}

bool
openreq_openssh_could(const struct openreq *q)
{
    return q->p->report.openssh_could;
}

void
openreq_pack_report(const struct openreq *q, struct buf *b)
{
    const struct ssh_report *r = &q->p->report;
    const char *const texts[] = {r->address, r->banner, r->kex, r->host_key, r->cipher, r->mac,
        r->fingerprint, r->trusted, r->auth, r->tried};
    const int64_t times[] = {r->resolve_us, r->connect_us, r->kex_us, r->auth_us, r->exec_us};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        pack_str(b, texts[i]);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        pack_u64(b, (uint64_t)times[i]);
}

const char *
openreq_how(const struct openreq *q)
{
    return q->p->how;
}
