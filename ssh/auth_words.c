/*
 * Logging in with what one knows: a password, or the answers to whatever the server asks. A password
 * that the script has given is tried once; after that, and for all other prompts, people are asked.
 */
#include "auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPTS = 3, PROMPTS_MAX = 32, PROMPT_TEXT_MAX = 1000 };

static int
most_prompts(const struct auth *u)
{
    return u->a->o->password_prompts > 0 ? u->a->o->password_prompts : PROMPTS;
}

/* The password that the script has given, or NULL. One that the keeper has comes here when it is needed. */
static const char *
given(struct auth *u)
{
    struct ssh_question q = {
        .kind = SSH_ASK_PASSWORD, .subject = "", .text = "", .detail = "", .attempt = 0};
    struct err err;

    if (!u->a->o->kept_password)
        return u->a->o->password;
    if (!u->given_asked && attempt_ask(u->a, &q, &u->given, &err) != 0)
        u->given = NULL;
    u->given_asked = true;
    return u->given;
}

static int
expired(struct auth *u)
{
    struct ssh_attempt *a = u->a;

    return a->code = err_set(a->err, ERR_AUTH,
               "the password of user %s on %s has expired, and must be changed before anything "
               "else: "
               "log in with ssh -p %s %s@%s",
               a->o->user, a->peer, a->o->port, a->o->user, a->o->host);
}

/* What came of one try. Not 0: the attempt is over, and the error is set. */
static int
word_result(struct auth *u, int rc, const char *method)
{
    struct ssh_attempt *a = u->a;

    if (a->code)
        return a->code;
    if (rc == 0) {
        auth_succeed(u, method, "");
        return 0;
    }
    if (auth_ended(u, rc))
        return 0;
    if (rc == LIBSSH2_ERROR_PASSWORD_EXPIRED)
        return expired(u);
    return auth_look_again(u);
}

/* Why there is no answer, for the error; then the method is over. */
static void
note_no_answer(struct auth *u, const struct err *err, int code, const char *method)
{
    if (code == ERR_CANCELLED)
        u->declined = true;
    auth_note(u, code == ERR_CANCELLED ? "no answer was given" : err->msg, method, "");
}

static int
send_password(struct auth *u, const char *password)
{
    struct ssh_attempt *a = u->a;
    int rc;

    attempt_call(a, rc,
        libssh2_userauth_password_ex(a->s->session, a->o->user, (unsigned)strlen(a->o->user),
            password, (unsigned)strlen(password), NULL));
    return word_result(u, rc, "password");
}

/* Asks for the password and sends it, until it is right. */
static int
ask_passwords(struct auth *u, struct ssh_question *q)
{
    struct err err;
    char *answer;
    int rc;

    for (q->attempt = 1; q->attempt <= most_prompts(u); q->attempt++) {
        rc = attempt_ask(u->a, q, &answer, &err);
        if (u->a->code)
            return u->a->code;
        if (rc) {
            note_no_answer(u, &err, rc, "password");
            return 0;
        }
        rc = send_password(u, answer);
        secret_free(answer);
        if (rc || u->done || u->progress)
            return rc;
        if (u->ended)
            break;
    }
    auth_note(u, "asked for, and refused", "password", "");
    return 0;
}

int
auth_password(struct auth *u)
{
    const struct ssh_options *o = u->a->o;
    char *subject = xasprintf("%s@%s", o->user, o->name ? o->name : o->host);
    char *text = xasprintf("%s's password: ", subject);
    struct ssh_question q = {
        .kind = SSH_ASK_PASSWORD, .subject = subject, .text = text, .detail = ""};
    const char *password = given(u);
    struct err err;
    int rc = u->a->code;

    if (rc == 0 && password) {
        rc = send_password(u, password);
        if (rc == 0 && !u->done && !u->progress)
            auth_note(u, "refused", "password", "");
    }
    if (rc == 0 && !u->done && !u->progress && !u->ended && !u->declined) {
        if (attempt_can_ask(u->a, &q, &err))
            rc = ask_passwords(u, &q);
        else if (!password && o->ask)
            auth_note(u, err.msg, "password", "");
    }
    free(text);
    free(subject);
    return rc;
}

/* ---- keyboard-interactive ---- */

static char *
to_text(const char *front, const void *data, size_t n)
{
    struct buf b = {0};

    buf_printf(&b, "%s", front);
    copy_text(&b, data, n < PROMPT_TEXT_MAX ? n : PROMPT_TEXT_MAX);
    buf_append(&b, "", 1);
    return (char *)b.data;
}

/* "name" and "instruction" of a conversation, each on lines of its own. */
static char *
to_detail(const char *name, int name_len, const char *instruction, int instruction_len)
{
    struct buf b = {0};

    if (name_len > 0) {
        copy_text(&b, name, (size_t)name_len);
        buf_append(&b, "\n", 1);
    }
    if (instruction_len > 0)
        copy_text(&b, instruction, (size_t)instruction_len);
    while (buf_len(&b) && b.data[b.end - 1] == '\n')
        b.end--;
    buf_append(&b, "", 1);
    return (char *)b.data;
}

/* Rather than of a code that changes: such a prompt is not to get the password. */
static bool
names_password(const char *text)
{
    return strcasestr(text, "passw") != NULL;
}

/* An owned answer, or NULL. */
static char *
answer_prompt(struct auth *u, struct ssh_question *q, bool alone)
{
    char *answer = NULL;
    struct err err;
    int rc;

    q->attempt = u->attempt > 0 ? u->attempt : 1;
    if (u->password && alone && !q->echo &&
        (names_password(q->text) || !attempt_can_ask(u->a, q, &err))) {
        answer = xstrdup(u->password);
        u->password = NULL; /* the same answer to a second question would be wrong again */
        return answer;
    }
    if (u->declined || u->a->code)
        return NULL;
    rc = attempt_ask(u->a, q, &answer, &err);
    if (rc == ERR_CANCELLED)
        u->declined = true;
    if (rc && !u->unanswered)
        copy_printable(u->wanted, sizeof u->wanted, q->text, strcspn(q->text, "\n"));
    u->unanswered |= rc != 0;
    return rc ? NULL : answer;
}

static void
on_prompts(const char *name, int name_len, const char *instruction, int instruction_len, int count,
    const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts, LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses,
    void **abstract)
{
    struct ssh_session *s = *abstract;
    struct auth *u = s->auth;
    const struct ssh_options *o = u->a->o;
    char *detail = to_detail(name, name_len, instruction, instruction_len);
    char *front = xasprintf("(%s@%s) ", o->user, o->name ? o->name : o->host);

    /* No prompt at all is normal: PAM ends its conversation so. */
    for (int i = 0; i < count && i < PROMPTS_MAX; i++) {
        char *text = to_text(front, (const char *)prompts[i].text, prompts[i].length), *answer;
        struct ssh_question q = {.kind = SSH_ASK_PROMPT,
            .subject = "",
            .text = text,
            .detail = i == 0 ? detail : "",
            .echo = prompts[i].echo};

        u->prompts++;
        answer = answer_prompt(u, &q, count == 1);
        free(text);
        if (answer) {
            responses[i].text = answer; /* libssh2 frees it, and session.c wipes it */
            responses[i].length = (unsigned)strlen(answer);
        }
    }
    free(front);
    free(detail);
}

static int
converse(struct auth *u)
{
    struct ssh_attempt *a = u->a;
    bool refused = u->refused;
    int rc;

    u->prompts = 0;
    u->unanswered = false;
    u->wanted[0] = '\0';
    a->s->auth = u;
    attempt_call(a, rc,
        libssh2_userauth_keyboard_interactive_ex(
            a->s->session, a->o->user, (unsigned)strlen(a->o->user), on_prompts));
    a->s->auth = NULL;
    rc = word_result(u, rc, "keyboard-interactive");
    if (u->unanswered || u->prompts == 0) /* what it refused was nothing */
        u->refused = refused;
    return rc;
}

/* Is another conversation worth while after one that was refused? */
static bool
again(const struct auth *u)
{
    return u->prompts > 0 && !u->unanswered && !u->declined && !u->ended;
}

static void
note_refusal(struct auth *u, const char *method)
{
    char why[160] = "refused";

    if (u->prompts == 0)
        snprintf(why, sizeof why, "it asks for nothing, and refuses");
    else if (u->declined)
        snprintf(why, sizeof why, "no answer was given");
    else if (u->unanswered)
        snprintf(why, sizeof why, "it asks for more than a password: \"%s\"", u->wanted);
    auth_note(u, why, method, "");
}

int
auth_keyboard(struct auth *u)
{
    static const char method[] = "keyboard-interactive";
    const struct ssh_options *o = u->a->o;
    struct ssh_question q = {.kind = SSH_ASK_PROMPT, .subject = "", .text = "", .detail = ""};
    struct err err;
    bool people = attempt_can_ask(u->a, &q, &err) && !u->declined;
    const char *password = given(u);
    int rc, most = most_prompts(u);

    u->password = password;
    if (u->a->code)
        return u->a->code;
    if (!u->password && !people) {
        if (o->ask && !u->declined)
            auth_note(u, err.msg, method, "");
        return 0;
    }
    /* One with the given password is none that a person was asked in. */
    for (u->attempt = password ? 0 : 1; u->attempt <= most; u->attempt++) {
        rc = converse(u);
        if (rc || u->done || u->progress)
            return rc;
        if (!again(u) || !people)
            break;
    }
    note_refusal(u, method);
    return 0;
}
