/*
 * Private key files. libssh2 decrypts and signs; this finds out beforehand what kind of key it is,
 * whether it is encrypted, and its public half, which OpenSSH's own format has in clear: then a key
 * that the server does not want costs no decryption, and needs no passphrase.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

enum { KEYFILE_MAX = 64 << 10 };

bool
wire_string(const uint8_t **p, const uint8_t *end, const uint8_t **s, size_t *n)
{
    const uint8_t *b = *p;
    size_t len;

    if (end - b < 4)
        return false;
    len = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    if (len > (size_t)(end - b) - 4)
        return false;
    *s = b + 4;
    *n = len;
    *p = b + 4 + len;
    return true;
}

void
wire_put_u32(struct buf *b, uint32_t v)
{
    uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    buf_append(b, be, sizeof be);
}

void
wire_put_string(struct buf *b, const void *s, size_t n)
{
    wire_put_u32(b, (uint32_t)n);
    buf_append(b, s, n);
}

static void
set_public(struct keyfile *k, const uint8_t *blob, size_t n)
{
    const uint8_t *p = blob, *type;
    size_t type_len;
    char *text;

    if (!wire_string(&p, blob + n, &type, &type_len))
        return;
    copy_printable(k->type, sizeof k->type, type, type_len);
    free(k->blob);
    free(k->public);
    k->blob = memcpy(xmalloc(n + 1), blob, n);
    k->blob_len = n;
    text = base64_encode(blob, n, true);
    k->public = xasprintf("%s %s", k->type, text);
    free(text);
}

/* "type base64 comment" */
static bool
parse_public(struct keyfile *k, const char *text, size_t n)
{
    const char *space = memchr(text, ' ', n), *end;
    uint8_t blob[8192];
    ssize_t len;

    if (!space ||
        (strncmp(text, "ssh-", 4) && strncmp(text, "ecdsa-", 6) && strncmp(text, "sk-", 3)))
        return false;
    space++;
    end = space;
    while (end < text + n && *end != ' ' && *end != '\n' && *end != '\r')
        end++;
    len = base64_decode(blob, sizeof blob, space, (size_t)(end - space));
    if (len <= 0)
        return false;
    set_public(k, blob, (size_t)len);
    return k->blob != NULL;
}

static void
parse_openssh(struct keyfile *k, const char *body, size_t n)
{
    static const char magic[] = "openssh-key-v1";
    uint8_t *raw = xmalloc(n + 1);
    ssize_t len = base64_decode(raw, n, body, n);
    const uint8_t *p = raw + sizeof magic, *end = raw + (len > 0 ? len : 0), *s, *cipher;
    size_t size, cipher_len;

    if (len > (ssize_t)sizeof magic && memcmp(raw, magic, sizeof magic) == 0 &&
        wire_string(&p, end, &cipher, &cipher_len) && wire_string(&p, end, &s, &size) &&
        wire_string(&p, end, &s, &size) && end - p > 4) {
        p += 4; /* the number of keys: there is never another than 1 */
        if (wire_string(&p, end, &s, &size))
            set_public(k, s, size);
        k->encrypted = cipher_len != 4 || memcmp(cipher, "none", 4) != 0;
    }
    if (!k->blob)
        k->unfit = "malformed";
    explicit_bzero(raw, n + 1);
    free(raw);
}

static void
parse_private(struct keyfile *k)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    static const char end[] = "-----END OPENSSH PRIVATE KEY-----";
    const char *start = strstr(k->text, begin), *stop = strstr(k->text, end);

    if (start && stop && stop > start) {
        start += sizeof begin - 1;
        parse_openssh(k, start, (size_t)(stop - start));
    } else if (strstr(k->text, "-----BEGIN ") && strstr(k->text, "PRIVATE KEY-----")) {
        k->encrypted = strstr(k->text, "ENCRYPTED") != NULL;
    } else if (parse_public(k, k->text, k->text_len)) {
        k->unfit = "a public key, whose private half no agent has";
    } else {
        k->unfit = "not a private key";
    }
    if (strncmp(k->type, "sk-", 3) == 0)
        k->unfit = "a FIDO key: only ssh(1) can use it";
}

/* The text of a small file, owned and ended with NUL; or NULL with errno. */
static char *
read_small(const char *path, size_t *n, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char *text = NULL;
    ssize_t got;

    if (fd < 0)
        return NULL;
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size <= KEYFILE_MAX) {
        text = xmalloc((size_t)st->st_size + 1);
        got = pread(fd, text, (size_t)st->st_size, 0);
        *n = got > 0 ? (size_t)got : 0;
        text[*n] = '\0';
    } else {
        errno = EINVAL;
    }
    close(fd);
    return text;
}

static void
load_public(struct keyfile *k)
{
    char *path = xasprintf("%s.pub", k->path);
    struct stat st;
    size_t n;
    char *text = read_small(path, &n, &st);

    if (text)
        parse_public(k, text, n);
    free(text);
    free(path);
}

void
keyfile_load(struct keyfile *k, const char *path)
{
    struct stat st;

    *k = (struct keyfile){.path = path};
    k->text = read_small(path, &k->text_len, &st);
    if (!k->text) {
        k->open_errno = errno;
    } else {
        parse_private(k);
        if (!k->unfit && st.st_uid == geteuid() && (st.st_mode & 077))
            k->unfit = "unused, since its permissions let others read it: chmod 600";
    }
    if (!k->blob)
        load_public(k); /* the private half may be with the agent */
}

void
keyfile_fini(struct keyfile *k)
{
    secret_free(k->text);
    free(k->public);
    free(k->blob);
}
