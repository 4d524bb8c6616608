#include "bootstrap.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define NOISE_MAX 4096 /* of what is not ours, the end is kept */
#define LINE_MAX_ 4096 /* a marker line, without the marker */
#define SKIPS_MAX 1024 /* of the reasons why directories did not do, the beginning is kept */
#define NEEDS_MAX 16   /* more than the stub has candidates for */

struct bootstrap {
    char marker[BOOTSTRAP_MARKER + 2]; /* [I] with the blank behind it */
    bootstrap_find find;               /* [I] */
    void *arg;                         /* [I] */
    enum bootstrap_state state;
    struct buf in;    /* not yet understood: less than a marker, or a marker line without its end */
    struct buf noise; /* the last NOISE_MAX bytes */
    struct buf skips; /* "/tmp: noexec; /var/tmp: full" */
    const struct bootstrap_image *image; /* asked for and not taken yet */
    size_t uploaded;
    int needs;
    bool spoke;          /* the stub, or the agent */
    char directory[256]; /* where the last image went to */
};

struct bootstrap *
bootstrap_create(const char *marker, bootstrap_find find, void *arg)
{
    struct bootstrap *b = xcalloc(1, sizeof *b);

    must(strlen(marker) == BOOTSTRAP_MARKER);
    memcpy(b->marker, marker, BOOTSTRAP_MARKER);
    b->marker[BOOTSTRAP_MARKER] = ' ';
    b->find = find;
    b->arg = arg;
    return b;
}

void
bootstrap_destroy(struct bootstrap *b)
{
    if (!b)
        return;
    buf_fini(&b->in);
    buf_fini(&b->noise);
    buf_fini(&b->skips);
    free(b);
}

/* ---- text for people ---- */

/* The length of the UTF-8 sequence at p that a terminal may see, 0 if it is none. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
    size_t len = p[0] >= 0xf0 && p[0] < 0xf5 ? 4
        : p[0] >= 0xe0 && p[0] < 0xf0        ? 3
        : p[0] >= 0xc2 && p[0] < 0xe0        ? 2
                                             : 0;

    if (len == 0 || len > n || (p[0] == 0xc2 && p[1] < 0xa0)) /* U+0080..9F are controls */
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* The length of a terminal's control sequence (colours, mostly) at p, 0 if it is none. */
static size_t
escape_length(const unsigned char *p, size_t n)
{
    size_t i = 2;

    if (n < 3 || p[0] != 0x1b || p[1] != '[')
        return 0;
    while (i < n && p[i] >= 0x20 && p[i] < 0x40)
        i++;
    return i < n ? i + 1 : n;
}

/* Appends text as one line that is safe on a terminal: blanks and control characters become one
 * blank, what is not UTF-8 becomes a question mark. */
static void
append_clean(struct buf *out, const void *text, size_t n)
{
    const unsigned char *p = text, *end = p + n;
    size_t len;
    bool blank = true; /* swallows the leading ones */

    while (p < end) {
        if ((len = escape_length(p, (size_t)(end - p)))) {
            p += len;
        } else if (*p <= ' ' || *p == 0x7f) {
            if (!blank)
                buf_append(out, " ", 1);
            blank = true;
            p++;
        } else {
            len = *p < 0x80 ? 1 : utf8_length(p, (size_t)(end - p));
            buf_append(out, len ? (const char *)p : "?", len ? len : 1);
            blank = false;
            p += len ? len : 1;
        }
    }
    if (blank && buf_len(out) && out->data[out->end - 1] == ' ')
        out->end--;
}

/* The same for the last `max` bytes of it, with dots where the beginning is missing. */
static void
append_tail(struct buf *out, const void *text, size_t n, size_t max)
{
    struct buf clean = {0};
    size_t skip = 0;

    append_clean(&clean, text, n);
    n = buf_len(&clean);
    if (n > max) {
        skip = n - max;
        while (skip < n && (clean.data[skip] & 0xc0) == 0x80)
            skip++; /* not into the middle of a character */
        buf_append(out, "...", 3);
    }
    if (n)
        buf_append(out, clean.data + skip, n - skip);
    buf_fini(&clean);
}

static enum bootstrap_state
failed(struct bootstrap *b)
{
    return b->state = BOOTSTRAP_FAILED;
}

/* ---- the marker lines ---- */

static void
add_noise(struct bootstrap *b, const void *p, size_t n)
{
    if (n > NOISE_MAX) {
        p = (const char *)p + (n - NOISE_MAX);
        n = NOISE_MAX;
    }
    if (buf_len(&b->noise) + n > NOISE_MAX)
        buf_consume(&b->noise, buf_len(&b->noise) + n - NOISE_MAX);
    if (n)
        buf_append(&b->noise, p, n);
}

/* Cuts the next word off `line`; an empty word if there is none. */
static char *
next_word(char **line)
{
    char *word = *line + strspn(*line, " ");
    size_t n = strcspn(word, " ");

    *line = word + n + (word[n] == ' ');
    word[n] = '\0';
    return word;
}

static void
on_skip(struct bootstrap *b, const char *rest)
{
    size_t n = strlen(rest);

    if (buf_len(&b->skips) + n > SKIPS_MAX)
        return;
    if (buf_len(&b->skips))
        buf_append(&b->skips, "; ", 2);
    append_clean(&b->skips, rest, n);
}

/* Is this what uname could say? It ends up in errors and in names of files. */
static bool
is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+");

    return n > 0 && n <= 64 && !s[n];
}

static bool
is_form(const char *s)
{
    return strcmp(s, "xz") == 0 || strcmp(s, "gz") == 0 || strcmp(s, "raw") == 0;
}

static enum bootstrap_state
on_need(struct bootstrap *b, char *rest, struct err *err)
{
    const char *kernel = next_word(&rest), *machine = next_word(&rest), *form = next_word(&rest);
    struct buf directory = {0};

    if (!is_name(kernel) || !is_name(machine) || !*rest || !is_form(form)) {
        err_set(
            err, ERR_BOOTSTRAP, "bootstrap: the far side asks for an agent in a way unknown here");
        return failed(b);
    }
    if (b->image || ++b->needs > NEEDS_MAX) {
        err_set(err, ERR_BOOTSTRAP, "bootstrap: the far side asks for an agent again and again");
        return failed(b);
    }
    if (!b->find) {
        err_set(
            err, ERR_BOOTSTRAP, "bootstrap: the far side asks for an agent, but none is offered");
        return failed(b);
    }
    b->image = b->find(b->arg, kernel, machine, form, err);
    if (!b->image)
        return failed(b);
    must(b->image->size > 0);
    b->uploaded += b->image->size;
    append_tail(&directory, rest, strlen(rest), sizeof b->directory - 4);
    must(buf_len(&directory) < sizeof b->directory);
    memset(b->directory, 0, sizeof b->directory);
    if (buf_len(&directory))
        memcpy(b->directory, directory.data, buf_len(&directory));
    buf_fini(&directory);
    return b->state = BOOTSTRAP_SEND;
}

static enum bootstrap_state
on_fail(struct bootstrap *b, const char *rest, struct err *err)
{
    struct buf text = {0};

    append_clean(&text, rest, strlen(rest));
    err_set(err, ERR_BOOTSTRAP, "bootstrap: %.*s%s%.*s", (int)buf_len(&text),
        buf_len(&text) ? (char *)text.data : "", buf_len(&b->skips) ? "; tried " : "",
        (int)buf_len(&b->skips), buf_len(&b->skips) ? (char *)b->skips.data : "");
    buf_fini(&text);
    return failed(b);
}

static enum bootstrap_state
on_agent(struct bootstrap *b, struct err *err)
{
    if (b->image) {
        err_set(
            err, ERR_BOOTSTRAP, "bootstrap: the far side did not wait for the agent it asked for");
        return failed(b);
    }
    return b->state = BOOTSTRAP_DONE;
}

/* One line behind a marker, terminated. */
static enum bootstrap_state
on_line(struct bootstrap *b, char *line, struct err *err)
{
    const char *word = next_word(&line);
    struct buf shown = {0};

    b->spoke = true;
    if (strcmp(word, "agent") == 0)
        return on_agent(b, err);
    if (strcmp(word, "need") == 0)
        return on_need(b, line, err);
    if (strcmp(word, "fail") == 0)
        return on_fail(b, line, err);
    if (strcmp(word, "skip") == 0) {
        on_skip(b, line);
        return b->state;
    }
    append_tail(&shown, word, strlen(word), 80);
    err_set(err, ERR_BOOTSTRAP, "bootstrap: the far side said \"%.*s\", which is unknown here",
        (int)buf_len(&shown), buf_len(&shown) ? (char *)shown.data : "");
    buf_fini(&shown);
    return failed(b);
}

/* Moves what cannot be part of a marker to the noise. True if the input starts with a marker now. */
static bool
find_marker(struct bootstrap *b)
{
    size_t n = buf_len(&b->in), keep = sizeof b->marker - 2; /* one less than a whole one */
    const uint8_t *at = n ? memmem(buf_head(&b->in), n, b->marker, keep + 1) : NULL;
    size_t noise = at ? (size_t)(at - buf_head(&b->in)) : n > keep ? n - keep : 0;

    if (noise) {
        add_noise(b, buf_head(&b->in), noise);
        buf_consume(&b->in, noise);
    }
    return at != NULL;
}

/* Takes one marker line off the input. False: there is none that is whole. */
static bool
take_line(struct bootstrap *b, char *line, struct err *err)
{
    const size_t mark = sizeof b->marker - 1;
    uint8_t *head, *nl;
    size_t n;

    if (!find_marker(b))
        return false;
    head = buf_head(&b->in) + mark;
    n = buf_len(&b->in) - mark;
    nl = n ? memchr(head, '\n', n) : NULL;
    n = nl ? (size_t)(nl - head) : n;
    if (n >= LINE_MAX_) {
        err_set(err, ERR_BOOTSTRAP, "bootstrap: the far side said a line of more than %d bytes",
            LINE_MAX_);
        failed(b);
        return false;
    }
    if (!nl)
        return false;
    memcpy(line, head, n);
    line[n - (n && line[n - 1] == '\r')] = '\0';
    buf_consume(&b->in, mark + n + 1);
    return true;
}

enum bootstrap_state
bootstrap_feed(struct bootstrap *b, const void *p, size_t n, struct err *err)
{
    char line[LINE_MAX_];

    if (n)
        buf_append(&b->in, p, n);
    if (b->state != BOOTSTRAP_DONE && b->state != BOOTSTRAP_FAILED)
        b->state = b->image ? BOOTSTRAP_SEND : BOOTSTRAP_WAIT;
    while (b->state == BOOTSTRAP_WAIT || b->state == BOOTSTRAP_SEND)
        if (!take_line(b, line, err))
            break;
        else
            on_line(b, line, err);
    return b->state;
}

const struct bootstrap_image *
bootstrap_take_image(struct bootstrap *b)
{
    const struct bootstrap_image *image = b->image;

    b->image = NULL;
    return image;
}

const void *
bootstrap_rest(struct bootstrap *b, size_t *n)
{
    *n = buf_len(&b->in);
    return *n ? buf_head(&b->in) : (const void *)"";
}

bool
bootstrap_spoke(const struct bootstrap *b)
{
    return b->spoke;
}

size_t
bootstrap_uploaded(const struct bootstrap *b)
{
    return b->uploaded;
}

/* ---- the end that came too early ---- */

static bool
says(const struct buf *noise, const char *stderr_text, const char *text)
{
    size_t n = buf_len(noise);

    return strcasestr(stderr_text, text) ||
        (n && memmem(noise->data + noise->start, n, text, strlen(text)));
}

/* What the far side's own words mean, or NULL. */
static const char *
hint_from_words(const struct bootstrap *b, const char *stderr_text)
{
    static const struct {
        const char *words, *hint;
    } known[] = {
        {"/etc/nologin exists", "nobody may log in there now"},
        {"account is currently not available", "the login shell of this account refuses commands"},
        {"nologin", "the login shell of this account refuses commands"},
        {"sftp connections only", "this account is for sftp only, a forced command"},
        {"restricted", "the login shell of this account is restricted"},
        {"password has expired", "the password of this account has expired"},
        {"change your password", "the password of this account has expired"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (says(&b->noise, stderr_text, known[i].words))
            return known[i].hint;
    return NULL;
}

/* The same from how it ended; `why` has it in words. */
static const char *
hint_from_end(const struct bootstrap *b, const char *why, const char *stderr_text)
{
    bool noise = buf_len(&b->noise) > 0;

    if (says(&b->noise, stderr_text, "shared librar"))
        return "sh cannot be started there";
    if (strstr(why, "status 127") || says(&b->noise, stderr_text, "not found"))
        return "there seems to be no sh in the PATH";
    if (strstr(why, "status 126"))
        return "sh may not be executed there";
    if (strstr(why, "status 1") && strstr(stderr_text, ": No such file or directory"))
        return "the login shell is not there: is it a chroot for file transfer only?";
    if (strstr(why, "signal"))
        return "is there a limit on the time or memory of this account's processes?";
    if (strstr(why, "status"))
        return noise ? "something else ran than what was asked for: a forced command, or a login "
                       "shell that refuses commands"
                     : "the login shell ended before sh ran: it refuses commands, or a start-up "
                       "file such as .bashrc ends it";
    if (strstr(why, "in time"))
        return "what runs there neither ends nor starts sh: a forced command, or a login script "
               "that waits for input or starts another shell";
    return NULL;
}

/* What an operator should look at first, or NULL. The surest signs come first. */
static const char *
hint(const struct bootstrap *b, const char *why, const char *stderr_text)
{
    const char *text = hint_from_words(b, stderr_text);

    if (text)
        return text;
    if (b->needs) /* so sh ran, and it is nothing of the rest; the stub gives up with status 1 */
        return strstr(why, "status 1") ? "did its stdin end? a login script may redirect it" : NULL;
    return hint_from_end(b, why, stderr_text);
}

void
bootstrap_explain(struct bootstrap *b, const char *why, const char *stderr_text, struct err *err)
{
    struct buf text = {0};
    const char *advice;

    if (!stderr_text)
        stderr_text = "";
    /* What waits for the rest of a marker never became one. */
    if (b->state != BOOTSTRAP_DONE && buf_len(&b->in)) {
        add_noise(b, buf_head(&b->in), buf_len(&b->in));
        buf_consume(&b->in, buf_len(&b->in));
    }
    buf_printf(&text, "bootstrap: %s", why);
    if (b->needs)
        buf_printf(&text, ", while taking the agent into %s", b->directory);
    advice = hint(b, why, stderr_text);
    if (advice)
        buf_printf(&text, " (%s)", advice);
    if (buf_len(&b->skips)) {
        buf_printf(&text, "; tried ");
        append_tail(&text, buf_head(&b->skips), buf_len(&b->skips), 160);
    }
    if (*stderr_text) {
        buf_printf(&text, "; stderr: ");
        append_tail(&text, stderr_text, strlen(stderr_text), 120);
    }
    if (buf_len(&b->noise)) {
        buf_printf(&text, "; it printed: ");
        append_tail(&text, buf_head(&b->noise), buf_len(&b->noise), 120);
    }
    err_set(err, ERR_BOOTSTRAP, "%.*s", (int)buf_len(&text), (char *)text.data);
    buf_fini(&text);
}
