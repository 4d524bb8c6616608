/*
 * What the files of ssh/ share. Nothing outside of ssh/ includes this.
 *
 * session.c    the socket under libssh2: its two callbacks, the queue of ciphertext
 * report.c     what a session came to be, for ssh-check
 * channel.c    the transport: what happens once the session is up
 * connect.c    ssh_connect, and the key exchange
 * dial.c       TCP; resolve.c finds the addresses
 * proxy.c      a command instead of TCP
 * pool.c       jump hosts instead of TCP: who shares which; tunnels.c is their part on the loop
 * hostkey.c    is this the right server? known_hosts.c reads and writes the files
 * auth.c       logging in: auth_keys.c with keyfile.c (private key files) and agent.c (ssh-agent),
 *              auth_words.c (passwords, prompts); auth_kept.c has keys that a keeper has
 * keep.c       the keeper: what it does for a connection of another process's; private_key.c, bcrypt.c, seal.c
 * question.c   what only a person can answer
 *
 * An ssh_session is used by one thread at a time: by the connecting thread until ssh_connect returns,
 * then under the lock of the stream that owns it. That of a jump host has the loop role instead.
 */
#ifndef ORRERY_SSH_INTERNAL_H
#define ORRERY_SSH_INTERNAL_H

#include <libssh2.h>
#include <netdb.h>
#include <pthread.h>

#include "mem.h"
#include "once.h"
#include "ssh.h"

struct auth;

/* What libssh2's callbacks may do at the moment. */
enum ssh_mode {
    SSH_CONNECTING, /* recv into a small buffer: libssh2 reads the banner byte by byte */
    SSH_READING,    /* recv until the socket is empty */
    SSH_QUIET,      /* no system call: recv answers EAGAIN, send only queues */
    SSH_GONE        /* being freed: recv fails, send throws away */
};

/* A jump host, as the sessions that it carries know it. Counted: it outlives either. */
struct ssh_way {
    atomic_uint refs;
    char *host; /* [I] what the user calls it */
    pthread_mutex_t lock;
    char why[300]; /* [lock] how it was lost, or "" */
};

/* What carries the bytes of a session. Owned. */
struct ssh_link {
    int fd;
    bool tcp;
    struct ssh_way *way;     /* counted; or NULL */
    struct transport *proxy; /* a command; fd is its; or NULL */
};

struct ssh_way *way_create(const char *host);
struct ssh_way *way_ref(struct ssh_way *w);
void way_unref(struct ssh_way *w); /* NULL is fine */
void link_close(struct ssh_link *link);

struct ssh_session {
    struct transport base; /* first: a transport is cast to this */
    struct ssh_link link;
    bool proxy_mute; /* its stderr has ended */
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
    char goodbye[128]; /* what the server's SSH_MSG_DISCONNECT said */
    char greeting[80]; /* the first bytes it ever sent, printable */
    struct auth *auth; /* borrowed while keyboard-interactive runs */
    bool wipes;        /* while logging in: what libssh2 frees is overwritten, it may be a secret */
    bool untrusted;    /* strict=no let a changed host key pass: no passwords */
};

/* Creates the libssh2 session over a connected, nonblocking socket; takes the link. */
struct ssh_session *session_create(const struct ssh_link *link, struct err *err) must_check;
/* Says good-bye as far as that goes without blocking, frees all, closes the socket. */
void session_destroy(struct ssh_session *s);
/* One send() of what is queued. 0, also if the socket is full, or a negative errno. */
int session_flush(struct ssh_session *s);
bool session_lost(const struct ssh_session *s);
/* Remembers that libssh2 gave the session up with this error. */
void session_fail(struct ssh_session *s, int rc);
/* What ended the connection, for people; "" if nothing has. True if it is the jump host that was lost. */
bool session_why(const struct ssh_session *s, char *text, size_t n);

extern const struct transport_ops ssh_channel_ops;

/* libssh2 asks for 16 KiB at a time. One recv that takes more costs less. */
#define SSH_STAGE (64 << 10)

/* Around a call that reads: it may receive into `stage`, of SSH_STAGE bytes, once; not at all if there
 * is `enough` already. */
void session_read_begin(struct ssh_session *s, uint8_t *stage, bool enough);
void session_read_end(struct ssh_session *s);

/* No channel_read may ask for more: see channel_widen. */
#define SSH_READ_MAX (128 << 10)
/* Ciphertext kept back: whoever finds more than that writes no more. */
#define SSH_QUEUE_LIMIT (256 << 10)

/* Before each channel_read; *adjusting is 0 at first. 0, or a libssh2 error; EAGAIN while a rekey is
 * going on. */
int channel_widen(LIBSSH2_CHANNEL *channel, size_t *adjusting);

/* How long a blocking step may take. */
struct ssh_wait {
    int64_t deadline; /* clock_ms() */
    const atomic_bool *cancel;
};

/* poll() for one descriptor; 0 when it is ready, ERR_TIMEOUT, ERR_CANCELLED. Sets no err. */
int ssh_wait_fd(const struct ssh_wait *w, int fd, short events) must_check;

/* One connection attempt, on the connecting thread's stack. */
struct ssh_attempt {
    struct ssh_pool *pool; /* or NULL */
    const struct ssh_options *o;
    struct ssh_report *report; /* never NULL */
    struct err *err;
    struct ssh_wait wait;
    struct ssh_session *s;
    const char *phase; /* for the text of a timeout: "the key exchange" */
    char peer[200];    /* "10.0.0.3 port 22", "web1 port 22 by way of jump1" */
    int code;          /* why waiting ended; the error is set already */
    bool busy;         /* the server has too many logins, as it seems; later it may have fewer */
};

/* Waits until the socket is ready for libssh2's next try; 0, or the code that is now in a->err. */
int attempt_wait(struct ssh_attempt *a);
/* Sets the error for a session that libssh2 gave up (rc) or that the server closed. */
int attempt_failed(struct ssh_attempt *a, int rc);

/* Runs a libssh2 call until it is done with. Then a->code != 0 means that waiting failed. */
#define attempt_call(a, rc, call) \
    while (((rc) = (call)) == LIBSSH2_ERROR_EAGAIN && attempt_wait(a) == 0) {}

/* Sleeps. 0, or ERR_CANCELLED. */
int attempt_pause(const struct ssh_attempt *a, int64_t ms) must_check;

/* Up to and including authentication, by whatever way; a->s then, also after some failures. */
int attempt_login(struct ssh_attempt *a) must_check;

/* The three ways: 0 with the link, or a negative code. Each fills a->peer and the report. */
int dial(struct ssh_attempt *a, struct ssh_link *link) must_check;
int proxy_start(struct ssh_attempt *a, struct ssh_link *link) must_check;
int jump_reach(struct ssh_attempt *a, struct ssh_link *link) must_check;

/* After the end of a proxy command's output: sets the error. */
int proxy_failed(struct ssh_attempt *a);

/* 0 with the addresses (freeaddrinfo), or a code with its text. `ms` is what w's deadline came from. */
int resolve(
    struct ssh_attempt *a, const struct ssh_wait *w, int64_t ms, struct addrinfo **list) must_check;

/*
 * As o->ask, with q->host filled in; the time that it takes is added to the deadline. ERR_CREDENTIALS: nobody
 * can be asked. a->code is set where the attempt was cancelled meanwhile.
 */
int attempt_ask(
    struct ssh_attempt *a, struct ssh_question *q, char **answer, struct err *err) must_check;
/* Could somebody be asked that? If not, err says what there is not. */
bool attempt_can_ask(struct ssh_attempt *a, struct ssh_question *q, struct err *err);
/* once_claim, with the time added to the deadline and the error of a cancellation set. */
enum once attempt_claim(struct ssh_attempt *a, const char *name, char **answer);
/* Text of the other side, for people: UTF-8 and newlines stay, what may control a terminal does not. */
void copy_text(struct buf *out, const void *data, size_t n);

/* Puts known key types of this host first among `algorithms` (or the default); returns owned. */
char *hostkey_preference(struct ssh_attempt *a);
int hostkey_check(struct ssh_attempt *a) must_check;
/* The same for a key that another process was shown. Of a->s only `session` need be there. */
int hostkey_judge(struct ssh_attempt *a, const char *base64) must_check;

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
