#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limit.h"
#include "ssh.h"

static _Noreturn void
fail(struct ssh *s, const char *what)
{
    char *text = "";

    (void)libssh2_session_last_error(s->session, &text, NULL, 0);
    fprintf(stderr, "%s: %s\n", what, text);
    exit(1);
}

static ssize_t
on_recv(libssh2_socket_t fd, void *p, size_t n, int flags, void **abstract)
{
    struct ssh *s = *abstract;
    ssize_t got;

    if (s->quiet || s->drained)
        return -EAGAIN;
    got = recv(s->fd, p, n, MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN)
        die("recv");
    s->drained = got < (ssize_t)n;
    return got < 0 ? -EAGAIN : got;
}

static ssize_t
on_send(libssh2_socket_t fd, const void *p, size_t n, int flags, void **abstract)
{
    struct ssh *s = *abstract;

    if (s->out_len + n > s->out_capacity) {
        s->out_capacity = (s->out_len + n) * 2;
        s->out = realloc(s->out, s->out_capacity);
        if (!s->out)
            die("realloc");
    }
    memcpy(s->out + s->out_len, p, n);
    s->out_len += n;
    return (ssize_t)n;
}

static void
flush(struct ssh *s)
{
    write_all(s->fd, s->out, s->out_len);
    s->out_len = 0;
}

/* After libssh2 said EAGAIN: what it wrote goes out, what it waits for comes in. */
static void
wait_input(struct ssh *s, bool spin)
{
    int one = 1;

    flush(s);
    /* The server's Nagle algorithm would wait for an acknowledgement that is delayed by 40 ms. */
    if (s->opening)
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    wait_readable(s->fd, spin);
    s->drained = false;
}

/* Calls libssh2 until it does not say EAGAIN; gives what it says then. */
#define finish_call(s, rc, call)                    \
    while (((rc) = (call)) == LIBSSH2_ERROR_EAGAIN) \
    wait_input((s), false)

static void
start_session(struct ssh *s)
{
    s->session = libssh2_session_init_ex(NULL, NULL, NULL, s);
    if (!s->session)
        die("libssh2");
    libssh2_session_set_blocking(s->session, 0);
#if LIBSSH2_VERSION_NUM >= 0x010b01
    libssh2_session_callback_set2(s->session, LIBSSH2_CALLBACK_RECV, (libssh2_cb_generic *)on_recv);
    libssh2_session_callback_set2(s->session, LIBSSH2_CALLBACK_SEND, (libssh2_cb_generic *)on_send);
#else
    libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_RECV, (void *)on_recv);
    libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_SEND, (void *)on_send);
#endif
    /* What Orrery asks for first, so that both do the same arithmetic. */
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_KEX, "curve25519-sha256");
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519");
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_CRYPT_CS, "aes128-ctr");
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_CRYPT_SC, "aes128-ctr");
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_MAC_CS, "hmac-sha2-256");
    (void)libssh2_session_method_pref(s->session, LIBSSH2_METHOD_MAC_SC, "hmac-sha2-256");
}

static int
dial(const char *address, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    int fd, one = 1;

    if (getaddrinfo(address, port, &hints, &found) != 0) {
        errno = EINVAL;
        die(address);
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(found);
    return fd;
}

void
ssh_open(struct ssh *s, char **where, const char *command)
{
    int rc;

    if (libssh2_init(0) != 0)
        die("libssh2_init");
    *s = (struct ssh){.fd = dial(where[0], where[1]), .opening = true};
    s->at.dialled = now_us();
    start_session(s);
    finish_call(s, rc, libssh2_session_handshake(s->session, s->fd));
    if (rc)
        fail(s, "handshake");
    s->at.keys = now_us();
    finish_call(
        s, rc, libssh2_userauth_publickey_fromfile(s->session, where[2], NULL, where[3], NULL));
    if (rc)
        fail(s, "authentication");
    s->at.let_in = now_us();
    while (!(s->channel = libssh2_channel_open_session(s->session))) {
        if (libssh2_session_last_errno(s->session) != LIBSSH2_ERROR_EAGAIN)
            fail(s, "channel");
        wait_input(s, false);
    }
    finish_call(s, rc, libssh2_channel_exec(s->channel, command));
    if (rc)
        fail(s, "exec");
    flush(s);
    s->at.started = now_us();
    s->opening = false;
}

void
ssh_write(struct ssh *s, const void *p, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t rc;

        s->quiet = true;
        rc = libssh2_channel_write(s->channel, (const char *)p + done, n - done);
        s->quiet = false;
        if (rc == LIBSSH2_ERROR_EAGAIN) {
            /* The window is used up. What libssh2 reads while it writes tells it of more. */
            wait_input(s, false);
            rc = libssh2_channel_write(s->channel, (const char *)p + done, n - done);
            if (rc == LIBSSH2_ERROR_EAGAIN)
                continue;
        }
        if (rc < 0)
            fail(s, "write");
        done += (size_t)rc;
    }
    flush(s);
}

size_t
ssh_read(struct ssh *s, void *p, size_t n, bool spin)
{
    for (;;) {
        ssize_t got = libssh2_channel_read(s->channel, p, n);

        if (s->out_len > 0)
            flush(s); /* a window that was opened further */
        if (got > 0)
            return (size_t)got;
        if (got == 0 && libssh2_channel_eof(s->channel))
            return 0;
        if (got < 0 && got != LIBSSH2_ERROR_EAGAIN)
            fail(s, "read");
        wait_input(s, spin);
    }
}

void
ssh_finish(struct ssh *s)
{
    char rest[512];
    int rc;

    finish_call(s, rc, libssh2_channel_send_eof(s->channel));
    if (rc)
        fail(s, "eof");
    while (ssh_read(s, rest, sizeof rest, false) > 0)
        ;
}

void
ssh_close(struct ssh *s)
{
    (void)libssh2_session_disconnect(s->session, "done");
    flush(s);
    close(s->fd);
    free(s->out);
    /* libssh2 would talk to the peer to free the session; the process ends soon enough. */
}
