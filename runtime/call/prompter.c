#include "prompter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ask_once.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

enum { LINE = 512, QUIET_MS = 200, ASK_STACK = 256 << 10 };

/* The unfinished last line of one output; its end, where it is longer. */
struct line {
    char text[LINE + 1];
    size_t n;
};

/* [I] immutable, [L] loop role only, [T] of the thread while there is one, else [L] */
struct prompter {
    struct loop *loop;              /* [I] */
    struct asker *asker;            /* [I] */
    char *host, *program, *subject; /* [I] */
    char *mark;                     /* [I] as it ends our prompt, or NULL */
    bool share;                     /* [I] */
    const char *password;           /* [T] NULL once it was given */
    struct stream *stream;          /* [L] NULL: not yet, or not any more */
    struct line out, err;           /* [L] */
    struct loop_timer quiet; /* [L] the end of a pause makes a prompt of what came before it */
    char *asked;             /* [T] the prompt before this one */
    size_t heard;            /* [L] characters since the last answer */
    int attempt;             /* [T] */
    int passwords;           /* [L] that were given */
    bool over;               /* [L] the stub runs */
    struct ask_once once;    /* [T] */

    pthread_t thread;      /* [L] */
    bool asking;           /* [L] there is a thread */
    bool stopped;          /* [L] */
    atomic_bool cancel;    /* tells the thread */
    struct loop_work work; /* the thread is done */

    enum ssh_question_kind kind; /* [T] of this question, as all below */
    char *who, *text;
    char *answer; /* a secret; or NULL, and why: */
    struct err why;
};

/* ---- what is a prompt ---- */

static void
line_add(struct line *l, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            l->n = 0;
            continue;
        }
        if (l->n == LINE)
            memmove(l->text, l->text + 1, --l->n);
        /* It may go to a terminal. */
        l->text[l->n++] = (unsigned char)p[i] < ' ' || p[i] == 0x7f ? ' ' : p[i];
    }
    l->text[l->n] = '\0';
}

/* How many there are but for blanks. */
static size_t
characters(const char *text, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += (unsigned char)text[i] > ' ';
    return count;
}

static bool
ends_in(const char *text, size_t n, const char *end)
{
    size_t m = strlen(end);

    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static bool
looks_like_prompt(const struct prompter *p, const struct line *l)
{
    size_t n = l->n, name = strlen(p->program);

    while (n && l->text[n - 1] == ' ')
        n--;
    /* "sudo: " begins a message, which may come in pieces. */
    if (n == name + 1 && strncmp(l->text, p->program, name) == 0)
        return false;
    return n &&
        (ends_in(l->text, n, ":") || ends_in(l->text, n, "?") ||
            ends_in(l->text, n, "\xef\xbc\x9a"));
}

/* Does an unmarked prompt want a password, as far as its words tell? */
static bool
wants_password(const struct prompter *p, const char *text)
{
    static const char *const codes[] = {"code", "token", "otp", "pin", "one-time", "?"};

    if (strcasestr(text, "passw"))
        return !strcasestr(text, "one-time");
    if (p->mark)
        return false;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcasestr(text, codes[i]))
            return false;
    return true;
}

/* ---- one question: on its thread ---- */

static int
find_answer(struct prompter *p, const struct ssh_question *q)
{
    char *name;
    int rc;

    if (q->kind == SSH_ASK_PASSWORD && p->password) {
        p->answer = xstrdup(p->password);
        p->password = NULL;
        return 0;
    }
    if (q->kind != SSH_ASK_PASSWORD || !p->share)
        return asker_ask(p->asker, q, &p->cancel, &p->answer, &p->why);
    name = xasprintf("%s password of %.*s", p->program, (int)strcspn(p->who, "@"), p->who);
    rc = ask_once(&p->once, p->asker, name, q, &p->cancel, &p->answer, &p->why);
    free(name);
    return rc;
}

static void *
question_thread(void *arg)
{
    struct prompter *p = arg;
    struct ssh_question q = {.kind = p->kind,
        .host = p->host,
        .subject = p->kind == SSH_ASK_PASSWORD ? p->who : "",
        .text = p->text,
        .detail = "",
        .attempt = p->attempt};

    pthread_setname_np(pthread_self(), "orrery-prompt");
    if (find_answer(p, &q) < 0 && !p->why.code)
        err_set(&p->why, ERR_CANCELLED, "there was no answer");
    loop_defer(p->loop, &p->work);
    return NULL;
}

/* ---- on the loop ---- */

/* A line: what is behind a newline would be read by somebody else. */
static void
write_answer(struct prompter *p)
{
    size_t n = strcspn(p->answer, "\r\n");
    char *line = xcalloc(1, n + 2);

    memcpy(line, p->answer, n);
    line[n] = '\n';
    p->passwords += p->kind == SSH_ASK_PASSWORD;
    stream_answer(p->stream, line, n + 1);
    secret_free(line);
    secret_free(p->answer);
    p->answer = NULL;
}

static void
give_up(struct prompter *p)
{
    struct err *e = &p->why;
    char why[sizeof e->msg];

    memcpy(why, e->msg, sizeof why);
    if (e->code == ERR_CREDENTIALS && p->kind == SSH_ASK_PASSWORD && p->passwords)
        err_set(e, ERR_AUTH, "%s: the password for %s is wrong", p->program, p->who);
    else if (e->code == ERR_CREDENTIALS)
        err_prefix(e, "%s", p->program);
    else
        err_set(e, ERR_CREDENTIALS, "%s: it asks \"%s\", and got no answer: %s", p->program,
            p->text, why);
    stream_close(p->stream, e, 0);
}

static void
on_answered(struct loop_work *w)
{
    struct prompter *p = owner_of(w, struct prompter, work);

    if (p->stopped)
        return;
    pthread_join(p->thread, NULL);
    p->asking = false;
    stream_hold_deadline(p->stream, false);
    if (p->answer)
        write_answer(p);
    else
        give_up(p);
}

/* Takes who and text. */
static void
ask(struct prompter *p, enum ssh_question_kind kind, char *who, char *text)
{
    bool same = p->asked && strcmp(p->asked, text) == 0;
    int rc;

    if (p->asked && !same) /* it went on to something else */
        ask_once_settle(&p->once, true);
    free(p->asked);
    free(p->who);
    free(p->text);
    p->kind = kind;
    p->who = who;
    p->text = text;
    p->asked = xstrdup(text);
    p->attempt = same ? p->attempt + 1 : 1;
    p->why = (struct err){0};
    p->heard = 0;
    p->out.n = p->err.n = 0;
    loop_timer_stop(&p->quiet);
    p->work.fn = on_answered;
    rc = thread_start(&p->thread, ASK_STACK, question_thread, p);
    if (rc) {
        err_errno(&p->why, ERR_SYSTEM, rc, "cannot start a thread to ask with");
        give_up(p);
        return;
    }
    p->asking = true;
    stream_hold_deadline(p->stream, true);
}

/* "[sudo] password for deploy@web1 (MARK): " is for deploy@web1, and shown without the mark. Where nothing
 * was said of the password before, it was right, and PAM has one more question, whose words sudo replaced. */
static void
ask_marked(struct prompter *p, struct line *l)
{
    size_t n = l->n - strlen(p->mark), from = n;
    bool more = p->passwords && p->heard == characters(l->text, l->n);
    char *who;

    l->text[n] = '\0';
    while (from && l->text[from - 1] != ' ')
        from--;
    who = xstrdup(from < n ? l->text + from : p->subject);
    if (more)
        ask(p, SSH_ASK_PROMPT, who,
            xasprintf("%s: one more answer for %s (a code?): ", p->host, who));
    else
        ask(p, SSH_ASK_PASSWORD, who, xasprintf("%s: ", l->text));
}

static void
ask_other(struct prompter *p, const struct line *l)
{
    bool password = wants_password(p, l->text);

    ask(p, password ? SSH_ASK_PASSWORD : SSH_ASK_PROMPT, xstrdup(p->subject),
        xasprintf("%s: %s", p->host, l->text));
}

static void
on_quiet(struct loop_timer *t)
{
    struct prompter *p = owner_of(t, struct prompter, quiet);

    if (p->stopped || p->asking)
        return;
    if (looks_like_prompt(p, &p->err))
        ask_other(p, &p->err);
    else if (looks_like_prompt(p, &p->out))
        ask_other(p, &p->out);
}

static void
hear(void *arg, bool on_stderr, const char *text, size_t n)
{
    struct prompter *p = arg;
    struct line *l = on_stderr ? &p->err : &p->out;

    if (!text) { /* the stub runs */
        p->over = true;
        loop_timer_stop(&p->quiet);
        return;
    }
    line_add(l, text, n);
    p->heard += characters(text, n);
    if (p->asking)
        return;
    if (p->mark && ends_in(l->text, l->n, p->mark))
        ask_marked(p, l);
    else if (looks_like_prompt(p, l))
        loop_timer_set(&p->quiet, QUIET_MS);
    else
        loop_timer_stop(&p->quiet);
}

struct prompter *
prompter_create(const struct prompter_options *o)
{
    struct prompter *p = xcalloc(1, sizeof *p);

    p->loop = o->loop;
    p->asker = o->asker;
    p->host = xstrdup(o->host);
    p->program = xstrdup(o->program);
    p->subject = xstrdup(o->subject);
    p->mark = o->mark ? xasprintf(" (%s): ", o->mark) : NULL;
    p->password = o->password;
    p->share = o->share;
    loop_timer_init(&p->quiet, p->loop, on_quiet);
    return p;
}

void
prompter_listen(struct prompter *p, struct stream *s)
{
    p->stream = s;
    stream_listen(s, hear, p);
}

bool
prompter_answered(const struct prompter *p)
{
    return p && p->passwords > 0 && !p->over;
}

void
prompter_stop(struct prompter *p, bool right)
{
    if (!p || p->stopped)
        return;
    p->stopped = true;
    loop_timer_fini(&p->quiet);
    if (p->stream)
        stream_listen(p->stream, NULL, NULL);
    atomic_store(&p->cancel, true);
    if (p->asking) {
        ask_hurry();
        pthread_join(p->thread, NULL);
    }
    ask_once_settle(&p->once, right);
}

void
prompter_destroy(struct prompter *p)
{
    if (!p)
        return;
    prompter_stop(p, false);
    secret_free(p->answer);
    free(p->asked);
    free(p->who);
    free(p->text);
    free(p->mark);
    free(p->host);
    free(p->program);
    free(p->subject);
    free(p);
}
