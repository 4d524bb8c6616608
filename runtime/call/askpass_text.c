#include "askpass_text.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const char key_start[] = "Enter passphrase for key '";
static const char key_end[] = "': ";
static const char password_end[] = "'s password: ";

static bool
ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Printable; newlines stay, and bytes of UTF-8. */
static char *
printable(const char *p, size_t n)
{
    char *out = xstrndup(p, n);

    for (char *c = out; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\n') || *c == 0x7f ||
            ((unsigned char)*c >= 0x80 && (unsigned char)*c < 0xa0 &&
                (c == out || !(c[-1] & 0x80))))
            *c = '?';
    return out;
}

/* The last line is what stands in front of the answer. */
static void
split(struct askpass_text *t, const char *prompt)
{
    const char *last = strrchr(prompt, '\n');

    t->detail = printable(prompt, last ? (size_t)(last - prompt) : 0);
    last = last ? last + 1 : prompt;
    t->text = printable(last, strlen(last));
}

static char *
fingerprint(const char *prompt)
{
    const char *p = strstr(prompt, "SHA256:");
    size_t n = p ? strcspn(p, " \n\r") : 0;

    while (n > 0 && p[n - 1] == '.')
        n--;
    return printable(p ? p : "", n);
}

static void
name_host(struct askpass_text *t, const char *name)
{
    size_t user = strcspn(t->subject, "@");
    char *subject = xasprintf("%.*s@%s", (int)user, t->subject, name);

    free(t->subject);
    free(t->text);
    t->subject = subject;
    t->text = xasprintf("%s%s", subject, password_end);
}

static void
name_question(struct askpass_text *t, const char *name)
{
    char *text = xasprintf("%s: %s", name, t->text);

    free(t->text);
    t->text = text;
}

void
askpass_text_init(
    struct askpass_text *t, const char *prompt, const char *name, struct ssh_question *q)
{
    size_t n = strlen(prompt), start = sizeof key_start - 1;

    *t = (struct askpass_text){0};
    split(t, prompt);
    q->echo = false;
    if (strncmp(prompt, key_start, start) == 0 && ends_with(prompt, key_end)) {
        q->kind = SSH_ASK_PASSPHRASE;
        t->subject = printable(prompt + start, n - start - (sizeof key_end - 1));
        free(t->text);
        t->text = xasprintf("%s%s' (for %s): ", key_start, t->subject, name ? name : q->host);
    } else if (ends_with(prompt, password_end)) {
        q->kind = SSH_ASK_PASSWORD;
        t->subject = printable(prompt, n - (sizeof password_end - 1));
        if (name && strchr(t->subject, '@'))
            name_host(t, name);
    } else if (strstr(prompt, "Are you sure you want to continue connecting") ||
        strstr(prompt, "'yes', 'no' or the fingerprint")) {
        q->kind = SSH_ASK_HOSTKEY;
        q->echo = true;
        t->subject = fingerprint(prompt);
        if (name)
            name_question(t, name);
    } else {
        q->kind = SSH_ASK_PROMPT;
        t->subject = xstrdup("");
    }
    q->subject = t->subject;
    q->text = t->text;
    q->detail = t->detail;
}

void
askpass_text_fini(struct askpass_text *t)
{
    free(t->subject);
    free(t->text);
    free(t->detail);
}
