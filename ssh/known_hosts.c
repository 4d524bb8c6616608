#include "known_hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

/* The next word of a line, ended with NUL; NULL if there is none. */
static char *
next_word(char **p)
{
    char *word = *p + strspn(*p, " \t\r\n");
    size_t n = strcspn(word, " \t\r\n");

    if (n == 0)
        return NULL;
    *p = word + n;
    if (**p)
        *(*p)++ = '\0';
    return word;
}

/* False for comments, blank lines, and lines that make no sense. */
static bool
parse_line(char *text, struct known_line *line)
{
    char *word = next_word(&text);

    if (!word || *word == '#')
        return false;
    line->marker = KNOWN_PLAIN;
    if (*word == '@') {
        if (strcmp(word, "@revoked") == 0)
            line->marker = KNOWN_REVOKED;
        else if (strcmp(word, "@cert-authority") == 0)
            line->marker = KNOWN_AUTHORITY;
        else
            return false;
        word = next_word(&text);
    }
    line->hosts = word;
    line->type = word ? next_word(&text) : NULL;
    line->key = line->type ? next_word(&text) : NULL;
    return line->key != NULL;
}

void
known_hosts_read(const char *file, known_visit *visit, void *context)
{
    FILE *f = fopen(file, "re");
    struct known_line line = {.file = file};
    char *text = NULL;
    size_t cap = 0;

    if (!f) {
        if (errno != ENOENT && errno != ENOTDIR)
            log_warn("ssh", "%s cannot be read: %s", file, strerror(errno));
        return;
    }
    while (getline(&text, &cap, f) >= 0) {
        line.number++;
        if (parse_line(text, &line))
            visit(context, &line);
    }
    free(text);
    fclose(f);
}

static bool
letter_match(char pattern, char letter)
{
    return pattern == '?' || tolower((unsigned char)pattern) == letter;
}

/* Shell patterns, with * and ? only; names are compared without regard to case. */
static bool
pattern_match(const char *p, size_t n, const char *name)
{
    const char *end = p + n, *star = NULL, *retry = NULL;

    while (*name) {
        if (p < end && *p == '*') {
            star = ++p;
            retry = name;
        } else if (p < end && letter_match(*p, *name)) {
            p++;
            name++;
        } else if (star) {
            p = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

static bool
hashed_match(LIBSSH2_SESSION *session, const char *hosts, const char *name)
{
    /* libssh2 compares whole lines; what key they have does not matter here. */
    static const char key[] = "AAAAC3NzaC1lZDI1NTE5AAAA";
    LIBSSH2_KNOWNHOSTS *one = libssh2_knownhost_init(session);
    char *line = xasprintf("%s ssh-ed25519 %s", hosts, key);
    int rc = LIBSSH2_KNOWNHOST_CHECK_NOTFOUND;

    if (one &&
        libssh2_knownhost_readline(one, line, strlen(line), LIBSSH2_KNOWNHOST_FILE_OPENSSH) == 0)
        rc = libssh2_knownhost_checkp(one, name, -1, key, sizeof key - 1,
            LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_BASE64, NULL);
    if (one)
        libssh2_knownhost_free(one);
    free(line);
    return rc == LIBSSH2_KNOWNHOST_CHECK_MATCH || rc == LIBSSH2_KNOWNHOST_CHECK_MISMATCH;
}

bool
known_hosts_match(LIBSSH2_SESSION *session, const char *hosts, const char *name)
{
    bool found = false;

    if (strncmp(hosts, "|1|", 3) == 0)
        return hashed_match(session, hosts, name);
    while (*hosts) {
        size_t n = strcspn(hosts, ",");
        bool negated = *hosts == '!';

        if (pattern_match(hosts + negated, n - negated, name)) {
            if (negated)
                return false;
            found = true;
        }
        hosts += n;
        hosts += *hosts == ',';
    }
    return found;
}

static void
make_directory(const char *file)
{
    char *dir = xstrdup(file);
    char *slash = strrchr(dir, '/');

    if (slash && slash > dir) {
        *slash = '\0';
        (void)mkdir(dir, 0700); /* if it fails, so will open, and that gives the better text */
    }
    free(dir);
}

/* Waits two seconds for the lock. */
static int
lock_file(int fd)
{
    for (int i = 0; i < 200; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        usleep(10000);
    }
    return -ETIMEDOUT;
}

/* Opens and locks the file that has this name then: ssh-keygen -R puts another one in its place. */
static int
open_locked(const char *file)
{
    for (;;) {
        struct stat locked, named;
        int fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        int rc;

        if (fd < 0)
            return -errno;
        rc = lock_file(fd);
        if (rc < 0) {
            close(fd);
            return rc;
        }
        if (fstat(fd, &locked) == 0 && stat(file, &named) == 0 && locked.st_ino == named.st_ino &&
            locked.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

int
known_hosts_add(const char *file, const char *line, bool (*present)(void *context), void *context,
    struct err *err)
{
    char *text, last = '\n';
    struct stat st;
    int fd, rc = 0;
    ssize_t n;

    make_directory(file);
    fd = open_locked(file);
    if (fd < 0)
        return err_errno(err, ERR_FILE, -fd, "%s", file);
    if (!present(context)) {
        if (fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
            last = '\n';
        text = xasprintf("%s%s\n", last == '\n' ? "" : "\n", line);
        n = write(fd, text, strlen(text));
        if (n != (ssize_t)strlen(text))
            rc = err_errno(err, ERR_FILE, n < 0 ? errno : ENOSPC, "%s", file);
        free(text);
    }
    close(fd);
    return rc;
}
