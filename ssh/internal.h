/*
 * What the files of ssh/ share. Nothing outside of ssh/ includes this.
 *
 * session.c    the socket under libssh2: its two callbacks, the queue of ciphertext
 * report.c     what a session came to be, for ssh-check
 * channel.c    the transport: what happens once the session is up
 * connect.c    ssh_connect, and the key exchange
 * dial.c       name resolution and TCP
 * hostkey.c    is this the right server? known_hosts.c reads and writes the files
 * auth.c       logging in, with keyfile.c (private key files) and agent.c (ssh-agent)
 *
 * An ssh_session is used by one thread at a time: by the connecting thread until ssh_connect returns,
 * then under the lock of the stream that owns it.
 */
#ifndef ORRERY_SSH_INTERNAL_H
#define ORRERY_SSH_INTERNAL_H

#include <libssh2.h>

#include "mem.h"
#include "ssh.h"

/* What libssh2's callbacks may do at the moment. */
enum ssh_mode {
    SSH_CONNECTING, /* recv into a small buffer: libssh2 reads the banner byte by byte */
    SSH_READING,    /* recv until the socket is empty */
    SSH_QUIET,      /* no system call: recv answers EAGAIN, send only queues */
    SSH_GONE        /* being freed: recv fails, send throws away */
};

struct ssh_session {
    struct transport base; /* first: a transport is cast to this */
    LIBSSH2_SESSION *session;
    LIBSSH2_CHANNEL *channel;
    enum ssh_mode mode;
    bool drained;        /* a short recv said that the socket is empty; holds for one read pass */
    bool full;           /* a short send said that the socket is full; holds until flush() */
    bool closed;         /* recv gave 0 */
    int sock_errno;      /* recv or send failed with it */
    struct buf in;       /* received, not yet taken by libssh2 */
    uint8_t *stage;      /* while op_read runs: SSH_STAGE bytes to receive into, once; else NULL */
    bool enough;         /* the same: no more of that */
    struct iovec staged; /* the part of stage that libssh2 has not taken yet */
    struct buf out;      /* ciphertext that the socket did not take yet */
    struct buf held;     /* plaintext that write() took and a rekey keeps back */
    size_t adjusting; /* a window adjustment that a rekey interrupted; must be repeated as it is */
    bool want_eof;    /* shutdown() came while a rekey kept data back */
    bool sent_eof;
    int failure; /* the last fatal libssh2 error, 0 if none */
    char failure_text[128];
    char goodbye[128];    /* what the server's SSH_MSG_DISCONNECT said */
    char greeting[80];    /* the first bytes it ever sent, printable */
    const char *password; /* borrowed while keyboard-interactive runs */
    bool odd_prompt;      /* it asked for something other than one password */
    bool untrusted;       /* strict=no let a changed host key pass: no passwords */
};

/* Creates the libssh2 session over a connected, nonblocking socket; takes the socket. */
struct ssh_session *session_create(int fd, struct err *err) must_check;
/* Says good-bye as far as that goes without blocking, frees all, closes the socket. */
void session_destroy(struct ssh_session *s);
/* One send() of what is queued. 0, also if the socket is full, or a negative errno. */
int session_flush(struct ssh_session *s);
bool session_lost(const struct ssh_session *s);

extern const struct transport_ops ssh_channel_ops;

/* libssh2 asks for 16 KiB at a time. One recv that takes more costs less. */
#define SSH_STAGE (64 << 10)

/* How long a blocking step may take. */
struct ssh_wait {
    int64_t deadline; /* clock_ms() */
    const atomic_bool *cancel;
};

/* poll() for one descriptor; 0 when it is ready, ERR_TIMEOUT, ERR_CANCELLED. Sets no err. */
int ssh_wait_fd(const struct ssh_wait *w, int fd, short events) must_check;

/* One connection attempt, on the connecting thread's stack. */
struct ssh_attempt {
    const struct ssh_options *o;
    struct ssh_report *report; /* never NULL */
    struct err *err;
    struct ssh_wait wait;
    struct ssh_session *s;
    const char *phase; /* for the text of a timeout: "the key exchange" */
    char peer[96];     /* "10.0.0.3 port 22" */
    int code;          /* why waiting ended; the error is set already */
};

/* Waits until the socket is ready for libssh2's next try; 0, or the code that is now in a->err. */
int attempt_wait(struct ssh_attempt *a);
/* Sets the error for a session that libssh2 gave up (rc) or that the server closed. */
int attempt_failed(struct ssh_attempt *a, int rc);

/* Runs a libssh2 call until it is done with. Then a->code != 0 means that waiting failed. */
#define attempt_call(a, rc, call) \
    while (((rc) = (call)) == LIBSSH2_ERROR_EAGAIN && attempt_wait(a) == 0) {}

/* Resolves and connects; a descriptor, or a negative code. Fills a->peer and the report. */
int dial(struct ssh_attempt *a) must_check;

/* Puts known key types of this host first among `algorithms` (or the default); returns owned. */
char *hostkey_preference(struct ssh_attempt *a);
int hostkey_check(struct ssh_attempt *a) must_check;

/* Fills in the banner and what the key exchange has agreed upon, as far as it got. */
void report_session(struct ssh_attempt *a);

int auth_run(struct ssh_attempt *a) must_check;

/* agent.c */
struct agent_key {
    uint8_t *blob;
    size_t blob_len;
    char *comment;
};

struct agent {
    int fd;
    const struct ssh_wait *wait;
    struct agent_key *keys;
    size_t count;
};

/* 0 with the list of keys, or a code with a text; agent_close in either case. */
int agent_open(
    struct agent *g, const char *path, const struct ssh_wait *w, struct err *err) must_check;
/* Signs as libssh2's sign callback must: *sig from malloc. `data` names the algorithm. */
int agent_sign(struct agent *g, const struct agent_key *key, const uint8_t *data, size_t data_len,
    uint8_t **sig, size_t *sig_len) must_check;
void agent_close(struct agent *g);

/* keyfile.c */
struct keyfile {
    const char *path; /* borrowed */
    char *text;       /* the private key file; a secret */
    size_t text_len;
    char *public;  /* one line as in a .pub file, or NULL: unknown */
    uint8_t *blob; /* the public key, or NULL: unknown */
    size_t blob_len;
    char type[64]; /* "ssh-ed25519"; "" if unknown */
    bool encrypted;
    int open_errno;    /* why there is no text */
    const char *unfit; /* why it cannot be used at all, or NULL */
};

void keyfile_load(struct keyfile *k, const char *path);
void keyfile_fini(struct keyfile *k);

/* base64.c. Encoding gives an owned text; padding as asked. Decoding skips white space; -1: malformed. */
char *base64_encode(const void *data, size_t n, bool padding);
ssize_t base64_decode(uint8_t *out, size_t cap, const char *text, size_t n);

/* Copies at most cap - 1 bytes, with anything that is not printable ASCII as '?'. */
void copy_printable(char *out, size_t cap, const void *data, size_t n);

/* A length-prefixed string of the SSH protocol at *p; moves on. False if it does not fit. */
bool wire_string(const uint8_t **p, const uint8_t *end, const uint8_t **s, size_t *n);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_string(struct buf *b, const void *s, size_t n);

#endif
