/*
 * A client of ssh-agent. libssh2 has one, but it blocks on its socket for as long as the agent pleases,
 * lets that socket pass to child processes, reads it through the session's own callbacks, and has no
 * flags for RSA in 1.10. The protocol is small: draft-miller-ssh-agent.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

enum {
    AGENT_LIST = 11,
    AGENT_LIST_ANSWER = 12,
    AGENT_SIGN = 13,
    AGENT_SIGN_ANSWER = 14,
    AGENT_RSA_SHA2_256 = 2,
    AGENT_RSA_SHA2_512 = 4,
    ANSWER_MAX = 256 << 10,
    KEYS_MAX = 256
};

static int
send_all(struct agent *g, struct buf *b)
{
    while (buf_len(b) > 0) {
        ssize_t n = send(g->fd, buf_head(b), buf_len(b), MSG_NOSIGNAL);

        if (n > 0) {
            buf_consume(b, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            int rc = ssh_wait_fd(g->wait, g->fd, POLLOUT);
            if (rc)
                return rc;
        } else if (errno != EINTR) {
            return ERR_AUTH;
        }
    }
    return 0;
}

static int
receive_n(struct agent *g, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(g->fd, p, n, 0);

        if (got > 0) {
            p += got;
            n -= (size_t)got;
        } else if (got < 0 && errno == EAGAIN) {
            int rc = ssh_wait_fd(g->wait, g->fd, POLLIN);
            if (rc)
                return rc;
        } else if (got == 0 || errno != EINTR) {
            return ERR_AUTH;
        }
    }
    return 0;
}

/* Sends a request (taken) and gives the body of the answer, which must be of type `want`. */
static int
ask(struct agent *g, struct buf *request, uint8_t want, struct buf *answer)
{
    struct buf framed = {0};
    uint8_t head[4];
    size_t n;
    int rc;

    wire_put_string(&framed, buf_head(request), buf_len(request));
    buf_fini(request);
    rc = send_all(g, &framed);
    buf_fini(&framed);
    if (rc == 0)
        rc = receive_n(g, head, sizeof head);
    if (rc)
        return rc;
    n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (n == 0 || n > ANSWER_MAX)
        return ERR_AUTH;
    rc = receive_n(g, buf_reserve(answer, n), n);
    if (rc)
        return rc;
    buf_commit(answer, n);
    if (buf_head(answer)[0] != want)
        return ERR_AUTH;
    buf_consume(answer, 1);
    return 0;
}

static int
list_keys(struct agent *g)
{
    struct buf request = {0}, answer = {0};
    const uint8_t *p, *end, *s;
    size_t n, count;
    int rc;

    buf_append(&request, &(uint8_t){AGENT_LIST}, 1);
    rc = ask(g, &request, AGENT_LIST_ANSWER, &answer);
    if (rc == 0 && buf_len(&answer) < 4)
        rc = ERR_AUTH;
    if (rc) {
        buf_fini(&answer);
        return rc;
    }
    p = buf_head(&answer);
    end = p + buf_len(&answer);
    count = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    p += 4;
    g->keys = xcalloc(KEYS_MAX, sizeof *g->keys);
    while (g->count < count && g->count < KEYS_MAX && wire_string(&p, end, &s, &n)) {
        struct agent_key *key = &g->keys[g->count];
        const uint8_t *comment;
        size_t comment_len;

        if (!wire_string(&p, end, &comment, &comment_len))
            break;
        key->blob = memcpy(xmalloc(n + 1), s, n);
        key->blob_len = n;
        key->comment = xmalloc(comment_len + 1);
        copy_printable(key->comment, comment_len + 1, comment, comment_len);
        g->count++;
    }
    buf_fini(&answer);
    return 0;
}

int
agent_open(struct agent *g, const char *path, const struct ssh_wait *w, struct err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int rc;

    *g = (struct agent){.fd = -1, .wait = w};
    if (strlen(path) >= sizeof to.sun_path)
        return err_set(err, ERR_AUTH, "path too long");
    memcpy(to.sun_path, path, strlen(path));
    g->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (g->fd < 0 || connect(g->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return err_set(err, ERR_AUTH, "%.80s: %s", path, strerror(errno));
    rc = list_keys(g);
    if (rc)
        return err_set(err, rc, "does not list its keys");
    return 0;
}

/* Which algorithm do the bytes that are to be signed name? RFC 4252, section 7. */
static uint32_t
sign_flags(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n, *s;
    size_t len;

    if (!wire_string(&p, end, &s, &len) || end - p < 1)
        return 0;
    p++; /* SSH_MSG_USERAUTH_REQUEST; then user, service, "publickey" */
    for (int i = 0; i < 3; i++)
        if (!wire_string(&p, end, &s, &len))
            return 0;
    if (end - p < 1)
        return 0;
    p++; /* true: there is a signature */
    if (!wire_string(&p, end, &s, &len) || len != 12)
        return 0;
    if (memcmp(s, "rsa-sha2-256", len) == 0)
        return AGENT_RSA_SHA2_256;
    return memcmp(s, "rsa-sha2-512", len) == 0 ? AGENT_RSA_SHA2_512 : 0;
}

/* A string that holds two: the algorithm, which libssh2 puts there again, and the signature. */
static int
take_signature(struct buf *answer, uint8_t **sig, size_t *sig_len)
{
    const uint8_t *p = buf_head(answer), *end = p + buf_len(answer), *whole, *s;
    size_t n;

    if (!wire_string(&p, end, &whole, &n))
        return ERR_AUTH;
    p = whole;
    end = whole + n;
    if (!wire_string(&p, end, &s, &n))
        return ERR_AUTH;
    if (!wire_string(&p, end, &s, &n))
        return ERR_AUTH;
    *sig = memcpy(xmalloc(n + 1), s, n);
    *sig_len = n;
    return 0;
}

int
agent_sign(struct agent *g, const struct agent_key *key, const uint8_t *data, size_t data_len,
    uint8_t **sig, size_t *sig_len)
{
    struct buf request = {0}, answer = {0};
    int rc;

    buf_append(&request, &(uint8_t){AGENT_SIGN}, 1);
    wire_put_string(&request, key->blob, key->blob_len);
    wire_put_string(&request, data, data_len);
    wire_put_u32(&request, sign_flags(data, data_len));
    rc = ask(g, &request, AGENT_SIGN_ANSWER, &answer);
    if (rc == 0)
        rc = take_signature(&answer, sig, sig_len);
    buf_fini(&answer);
    return rc;
}

void
agent_close(struct agent *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->keys[i].blob);
        free(g->keys[i].comment);
    }
    free(g->keys);
    if (g->fd >= 0)
        close(g->fd);
}
