#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "check.h"
#include "clock.h"
#include "internal.h"
#include "log.h"

/* As OpenSSH's defaults: libssh2's own still have SHA-1 key exchanges, CBC and worse. The ciphers are
 * in the order of their speed here. Each version of libssh2 drops the names that it does not know. */
static const char default_kex[] =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
    "ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,"
    "diffie-hellman-group18-sha512,diffie-hellman-group14-sha256";
static const char default_ciphers[] =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,"
    "chacha20-poly1305@openssh.com";
static const char default_macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
                                   "hmac-sha2-256,hmac-sha2-512,hmac-sha1";

enum {
    HANDSHAKE_MS = 30000,
    /* For a server with too many logins. */
    BUSY_TRIES = 6,
    BUSY_MS = 100, /* before the second try, then twice as long each time */
    BUSY_MOST_MS = 2000
};

static bool
speaks_ssh(const struct ssh_session *s)
{
    const char *banner = libssh2_session_banner_get(s->session);

    return banner && strncmp(banner, "SSH-", 4) == 0;
}

static bool
says_busy(const struct ssh_session *s)
{
    return strstr(s->greeting, "MaxStartups") != NULL;
}

/* The server closed the connection, or never said what an SSH server says. */
static int
lost(struct ssh_attempt *a)
{
    struct ssh_session *s = a->s;
    int code = speaks_ssh(s) && strcmp(a->phase, "authentication") == 0 ? ERR_AUTH : ERR_CONNECT;

    char why[sizeof a->err->msg];

    if (session_why(s, why, sizeof why))
        return err_set(a->err, code, "%s: during %s %s", a->peer,
            speaks_ssh(s) ? a->phase : "the wait for its SSH banner", why);
    if (s->goodbye[0])
        return err_set(
            a->err, code, "%s ended the connection during %s: %s", a->peer, a->phase, s->goodbye);
    if (s->link.proxy && !s->greeting[0])
        return proxy_failed(a);
    a->busy = !s->greeting[0] || says_busy(s);
    if (s->greeting[0] && a->busy)
        return err_set(
            a->err, code, "%s has too many logins going on just now (MaxStartups)", a->peer);
    if (s->greeting[0] && !speaks_ssh(s))
        return err_set(
            a->err, code, "%s is not an SSH server: it said \"%s\"", a->peer, s->greeting);
    if (s->sock_errno)
        return err_errno(a->err, code, s->sock_errno, "%s broke the connection during %s", a->peer,
            speaks_ssh(s) ? a->phase : "the wait for its SSH banner");
    if (!speaks_ssh(s))
        return err_set(
            a->err, code, "%s closed the connection before it sent an SSH banner", a->peer);
    return err_set(a->err, code, "%s closed the connection during %s%s", a->peer, a->phase,
        code == ERR_AUTH ? "; has the account expired? The server's log may say more" : "");
}

int
attempt_failed(struct ssh_attempt *a, int rc)
{
    struct ssh_session *s = a->s;
    char *text = NULL, safe[128];

    if (a->code)
        return a->code;
    s->failure = rc ? rc : LIBSSH2_ERROR_SOCKET_DISCONNECT;
    if (session_lost(s) || s->goodbye[0] || rc == 0 || says_busy(s)) {
        a->code = lost(a);
    } else if (rc == LIBSSH2_ERROR_KEX_FAILURE) {
        a->report->openssh_could = true;
        a->code = err_set(a->err, ERR_CONNECT,
            "%s and libssh2 %s have no key exchange, host key, cipher or MAC algorithm in common",
            a->peer, ssh_library_version());
    } else if (!speaks_ssh(s)) {
        a->code = err_set(
            a->err, ERR_CONNECT, "%s is not an SSH server: it said \"%s\"", a->peer, s->greeting);
    } else {
        libssh2_session_last_error(s->session, &text, NULL, 0);
        copy_printable(safe, sizeof safe, text ? text : "", text ? strlen(text) : 0);
        a->code = err_set(a->err, ERR_CONNECT, "%s with %s failed: %s (libssh2 error %d)", a->phase,
            a->peer, safe, rc);
    }
    return a->code;
}

/* Why a server that keeps the connection open did not get any further. */
static int
timed_out(struct ssh_attempt *a)
{
    const struct ssh_session *s = a->s;
    double seconds = (double)(a->o->handshake_ms ? a->o->handshake_ms : HANDSHAKE_MS) / 1000;

    if (s->greeting[0] == '\0')
        return err_set(a->err, ERR_TIMEOUT,
            "%s accepts connections, but sent no SSH banner within %g s", a->peer, seconds);
    if (!speaks_ssh(s))
        return err_set(
            a->err, ERR_CONNECT, "%s is not an SSH server: it said \"%s\"", a->peer, s->greeting);
    return err_set(
        a->err, ERR_TIMEOUT, "%s with %s did not end within %g s", a->phase, a->peer, seconds);
}

int
attempt_wait(struct ssh_attempt *a)
{
    struct ssh_session *s = a->s;
    int one = 1, rc = session_flush(s);

    if (rc < 0 || session_lost(s))
        return attempt_failed(a, 0);
    /* Otherwise the server's Nagle algorithm waits for an acknowledgement that we delay by 40 ms. */
    if (s->link.tcp)
        (void)setsockopt(s->base.fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    rc = ssh_wait_fd(&a->wait, s->base.fd, buf_len(&s->out) ? POLLIN | POLLOUT : POLLIN);
    s->drained = false;
    if (rc == ERR_CANCELLED)
        a->code = err_set(a->err, rc, "cancelled during %s with %s", a->phase, a->peer);
    else if (rc == ERR_TIMEOUT)
        a->code = timed_out(a);
    return rc;
}

/*
 * The names of `list` that libssh2 knows; owned. libssh2_session_method_pref would drop the others, but
 * 1.10 does so with a memcpy whose source and target overlap.
 */
static char *
supported(LIBSSH2_SESSION *session, int method, const char *list)
{
    const char **known = NULL;
    int count = libssh2_session_supported_algs(session, method, &known);
    struct buf out = {0};

    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ",");

        for (int i = 0; i < count; i++)
            if (strlen(known[i]) == n && memcmp(known[i], p, n) == 0)
                buf_printf(&out, "%s%.*s", buf_len(&out) ? "," : "", (int)n, p);
    }
    buf_append(&out, "", 1);
    if (count > 0)
        libssh2_free(session, known);
    return (char *)out.data;
}

static int
prefer(struct ssh_attempt *a, int method, const char *list, const char *what)
{
    char *names = supported(a->s->session, method, list);
    int rc = *names ? libssh2_session_method_pref(a->s->session, method, names) : -1;

    free(names);
    if (rc == 0)
        return 0;
    a->report->openssh_could = true;
    return err_set(a->err, ERR_CONNECT, "libssh2 %s has none of the %s that are asked for: %.200s",
        ssh_library_version(), what, list);
}

static int
prefer_all(struct ssh_attempt *a)
{
    const struct ssh_options *o = a->o;
    const char *ciphers = o->ciphers ? o->ciphers : default_ciphers;
    const char *macs = o->macs ? o->macs : default_macs;
    char *host_keys = hostkey_preference(a);
    int rc = prefer(a, LIBSSH2_METHOD_HOSTKEY, host_keys, "host key algorithms");

    free(host_keys);
    if (rc == 0)
        rc = prefer(a, LIBSSH2_METHOD_KEX, o->kex ? o->kex : default_kex, "key exchanges");
    if (rc == 0)
        rc = prefer(a, LIBSSH2_METHOD_CRYPT_CS, ciphers, "ciphers");
    if (rc == 0)
        rc = prefer(a, LIBSSH2_METHOD_CRYPT_SC, ciphers, "ciphers");
    if (rc == 0)
        rc = prefer(a, LIBSSH2_METHOD_MAC_CS, macs, "MACs");
    if (rc == 0)
        rc = prefer(a, LIBSSH2_METHOD_MAC_SC, macs, "MACs");
    if (o->compression)
        libssh2_session_flag(a->s->session, LIBSSH2_FLAG_COMPRESS, 1);
    return rc;
}

static int
exchange_keys(struct ssh_attempt *a)
{
    int rc = prefer_all(a);

    if (rc)
        return rc;
    a->phase = "the key exchange";
    attempt_call(a, rc, libssh2_session_handshake(a->s->session, a->s->base.fd));
    report_session(a);
    return rc ? attempt_failed(a, rc) : 0;
}

static int
open_session(struct ssh_attempt *a)
{
    LIBSSH2_SESSION *session = a->s->session;

    a->phase = "the request for a session";
    while (!a->s->channel) {
        int rc;

        a->s->channel = libssh2_channel_open_session(session);
        rc = a->s->channel ? 0 : libssh2_session_last_errno(session);
        if (rc == LIBSSH2_ERROR_EAGAIN) {
            if (attempt_wait(a))
                return a->code;
        } else if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE) {
            return err_set(
                a->err, ERR_CONNECT, "%s opens no session for user %s", a->peer, a->o->user);
        } else if (rc) {
            return attempt_failed(a, rc);
        }
    }
    return 0;
}

/* Servers accept what their AcceptEnv names, and refuse the rest; as with ssh(1) that is no error. */
static int
set_environment(struct ssh_attempt *a)
{
    static const char *const none[] = {NULL};

    a->phase = "the request for environment variables";
    for (const char *const *v = a->o->set_env ? a->o->set_env : none; *v; v++) {
        size_t n = strcspn(*v, "=");
        const char *value = (*v)[n] ? *v + n + 1 : "";
        int rc;

        attempt_call(a, rc,
            libssh2_channel_setenv_ex(
                a->s->channel, *v, (unsigned)n, value, (unsigned)strlen(value)));
        if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
            log_debug("ssh", "%s does not take the variable %.*s", a->peer, (int)n, *v);
        else if (rc)
            return attempt_failed(a, rc);
    }
    return 0;
}

static int
execute(struct ssh_attempt *a)
{
    int rc = open_session(a);

    if (rc == 0)
        rc = set_environment(a);
    if (rc)
        return rc;
    a->phase = "the exec request";
    attempt_call(a, rc,
        libssh2_channel_process_startup(
            a->s->channel, "exec", 4, a->o->command, (unsigned)strlen(a->o->command)));
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
        return err_set(a->err, ERR_CONNECT, "%s runs no commands for user %s", a->peer, a->o->user);
    return rc ? attempt_failed(a, rc) : 0;
}

/* Microseconds since *start, which moves on to now. */
static int64_t
lap(uint64_t *start)
{
    uint64_t now = clock_ns();
    int64_t us = (int64_t)(now - *start) / 1000;

    *start = now;
    return us;
}

static int
reach(struct ssh_attempt *a, struct ssh_link *link)
{
    if (a->o->via)
        return jump_reach(a, link);
    if (a->o->proxy_command)
        return proxy_start(a, link);
    return dial(a, link);
}

static int
establish(struct ssh_attempt *a, const struct ssh_link *link)
{
    uint64_t start = clock_ns();
    int rc;

    a->s = session_create(link, a->err);
    if (!a->s)
        return a->err->code;
    rc = exchange_keys(a);
    a->report->kex_us = lap(&start);
    if (rc == 0)
        rc = hostkey_check(a);
    lap(&start);
    a->s->wipes = true;
    if (rc == 0)
        rc = auth_run(a);
    a->s->wipes = false;
    a->report->auth_us = lap(&start);
    return rc;
}

int
attempt_pause(const struct ssh_attempt *a, int64_t ms)
{
    struct ssh_wait w = {.deadline = clock_ms() + ms, .cancel = a->wait.cancel};

    return ssh_wait_fd(&w, -1, 0) == ERR_CANCELLED ? ERR_CANCELLED : 0;
}

/* Before another try at a busy server: those who were refused together must not come back together.
 * False if there shall be none; then the error is set. */
static bool
back_off(struct ssh_attempt *a, int tries)
{
    int64_t ms = BUSY_MS << (tries - 1);
    uint32_t chance;

    if (ms > BUSY_MOST_MS)
        ms = BUSY_MOST_MS;
    random_bytes(&chance, sizeof chance);
    ms = ms / 2 + chance % (ms + 1);
    if (tries == BUSY_TRIES || clock_left(a->wait.deadline) <= ms)
        return false;
    log_info("ssh", "%s; try %d of %d follows in %lld ms", a->err->msg, tries + 1, BUSY_TRIES,
        (long long)ms);
    session_destroy(a->s);
    a->s = NULL;
    if (attempt_pause(a, ms)) {
        a->code =
            err_set(a->err, ERR_CANCELLED, "cancelled before another try to log in to %s", a->peer);
        return false;
    }
    a->busy = false;
    a->code = 0;
    return true;
}

int
attempt_login(struct ssh_attempt *a)
{
    struct err refusal = {0};

    for (int tries = 1;; tries++) {
        struct ssh_link link;
        int rc = reach(a, &link);

        if (rc)
            return rc;
        if (tries == 1)
            a->wait.deadline =
                clock_ms() + (a->o->handshake_ms ? a->o->handshake_ms : HANDSHAKE_MS);
        rc = establish(a, &link);
        if (rc == 0)
            return 0;
        if (a->busy)
            refusal = *a->err;
        if (a->busy && back_off(a, tries))
            continue;
        /* What it said before says more than that it did not answer in what was left of the time. */
        if (refusal.code && a->s && (a->busy || (rc == ERR_TIMEOUT && !a->s->greeting[0])))
            return err_set(a->err, refusal.code, "%.400s (tried %d time%s)", refusal.msg, tries,
                tries == 1 ? "" : "s");
        return a->err->code;
    }
}

struct transport *
ssh_connect(struct ssh_pool *pool, const struct ssh_options *o, const atomic_bool *cancel,
    struct ssh_report *report, struct err *err)
{
    struct ssh_report unused = {0};
    struct err local = {0};
    struct ssh_attempt a = {
        .pool = pool, .o = o, .report = report ? report : &unused, .err = &local};
    uint64_t start;
    int rc;

    must(o->host && o->port && o->user && o->command);
    memset(a.report, 0, sizeof *a.report);
    a.wait.cancel = cancel;
    rc = attempt_login(&a);
    start = clock_ns();
    if (rc == 0)
        rc = execute(&a);
    a.report->exec_us = lap(&start);
    if (rc == 0) {
        log_info("ssh", "%s: connected to %s as %s (%s), key exchange %lld us, auth %lld us",
            o->name ? o->name : o->host, a.peer, o->user, a.report->auth,
            (long long)a.report->kex_us, (long long)a.report->auth_us);
        a.s->mode = SSH_QUIET;
        a.s->drained = false;
        return &a.s->base;
    }
    if (a.s)
        session_destroy(a.s);
    if (err)
        *err = local;
    return NULL;
}
