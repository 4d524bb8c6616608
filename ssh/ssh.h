/*
 * SSH in this process: libssh2 as a codec, the socket is ours. See docs/architecture.md, "SSH".
 *
 * ssh_connect blocks and is run on a thread of the connecting pool: resolve, connect, key exchange,
 * host key check, authentication, channel, exec. What it gives is a transport (transport.h) whose
 * bytes are the command's stdin and stdout; from then on it is driven by the loop and by senders.
 *
 * A jump host is a session of its own. Once it is logged in it belongs to the loop, which moves bytes
 * between its direct-tcpip channels and socket pairs; the other end of such a pair stands in for the TCP
 * socket of the session behind it, which knows no difference. The pool knows the jump hosts that are up,
 * so that targets share them, and ends each with its last target.
 *
 * What a stream must know of this transport, beyond transport.h:
 *   - Bytes may wait inside from the first moment: call read() once before the first poll.
 *   - Only read() receives. A pass is: read() until -EAGAIN or the end, then read_err() until -EAGAIN,
 *     then the writes that were refused. read() sends what reading brings about (window adjustments,
 *     the answers of a rekey), and repeats what a rekey had kept back.
 *   - write() refuses with -EAGAIN while more than 256 KiB of ciphertext wait for the socket (then
 *     wants_write is true), and while the far side's window is closed or keys are being exchanged
 *     (then it is not: the next read pass is when to try again).
 *   - After a write() that gave another error, read() may still have what the far side said last.
 *   - end() may wait for up to 10 ms: the end of output and the exit status are separate messages.
 */
#ifndef ORRERY_SSH_H
#define ORRERY_SSH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"
#include "transport.h"

enum ssh_strict { SSH_STRICT_YES, SSH_STRICT_ASK, SSH_STRICT_ACCEPT_NEW, SSH_STRICT_NO };

/* What this process cannot answer itself. Texts are printable, and borrowed. */
enum ssh_question_kind {
    SSH_ASK_PASSPHRASE, /* of the key file `subject` */
    SSH_ASK_PASSWORD,   /* of user@host, which is the `subject` */
    SSH_ASK_PROMPT, /* one prompt of keyboard-interactive, in the server's words; a one-time code, say */
    SSH_ASK_HOSTKEY, /* "yes", "no", or the fingerprint: is the key the right one? */
    /* Not for people: what only the keeper can do, who has the keys and the known hosts (ssh_keep). The subject
     * is a public key, in base64 as all of it. */
    SSH_ASK_TRUST, /* is it the server's? `text`: where that was found, for errors. Answered by the line that
                    * vouches for it, or "", or SSH_UNTRUSTED: go on, but send no password */
    SSH_ASK_SIGN /* `text` is to be signed with it; answered by the signature */
};

#define SSH_UNTRUSTED "untrusted"

struct ssh_question {
    enum ssh_question_kind kind;
    const char
        *host; /* for whom: what the user calls the host; with a jump host, that one's name */
    const char *subject; /* see above; "" for prompts */
    const char *text;    /* what to show: "root@web1's password: " */
    const char *detail;  /* more to show before it, in lines; or "" */
    bool echo;           /* what is typed may be seen */
    int attempt; /* from 1: how often the same was asked, since the answer was wrong. 0: the keeper is asked
                  * for the password that the script has given */
    int kept; /* of the options that it is about */
    const char *
        seal; /* of a question to the keeper: what its answer is sealed for (seal.h) if it is a secret */
};

/*
 * Called on the connecting thread; may block for as long as a person takes, which counts for no
 * deadline; ends soon once *cancel is true. 0 with *answer (owned; freed by secret_free), ERR_CANCELLED
 * (also where who was asked gave no answer), or ERR_CREDENTIALS with a text that says why nobody can be
 * asked ("... no terminal ..."). With answer NULL nothing is asked: 0 if somebody could be.
 */
typedef int (*ssh_ask)(void *arg, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err);

/* All strings are borrowed for the time of the call; lists are NULL-terminated; NULL lists are empty. */
struct ssh_options {
    const char *name; /* what the user calls it, for errors */
    const char *host; /* name or address to connect to */
    const char *port; /* a number as text */
    const char *user;
    const char *host_key_alias;     /* name to look up in known_hosts, or NULL: host */
    const char *const *known_hosts; /* files in order; accept-new appends to the first */
    enum ssh_strict strict;
    const char *const *identities; /* private key files, tried in order */
    bool identities_only;          /* offer agent keys only if they are among identities */
    const char *agent_socket;      /* or NULL: no agent */
    const char *password;          /* or NULL */
    const char *passphrase;        /* for encrypted key files, or NULL */
    const char *const *auth_order; /* "publickey", "password" ...; NULL: OpenSSH's order */
    const char *kex, *ciphers, *macs, *host_key_algorithms; /* preference lists, or NULL */
    const char *bind_address;                               /* or NULL */
    int family;                                             /* AF_UNSPEC, AF_INET, AF_INET6 */
    bool compression;
    /* The way there: a jump host, whose session carries this one's; or a command whose stdin and stdout
     * do, run by `sh -c`; or neither: TCP. */
    const struct ssh_options *via;
    const char *proxy_command;
    const char *share_key;      /* of a jump host: those with the same text share one connection */
    const char *const *set_env; /* "NAME=value": asked of the server, which may ignore it */
    int connection_attempts;    /* for TCP, a second apart; 0: 1 */
    int password_prompts;       /* how often a password is asked for; 0: 3 */
    ssh_ask ask;                /* or NULL: nobody can be asked */
    void *ask_arg;
    bool openssh_next;  /* ssh(1) tries next what it could do better: nobody is asked before that */
    int64_t connect_ms; /* deadline for TCP, per address; 0: 15 s */
    int64_t handshake_ms; /* deadline for key exchange + auth + exec; 0: 30 s */
    const char *command;  /* exec request */
    /* Where another process, the keeper, has known hosts, keys and passwords, and `ask` leads there: which of
     * the hosts on the way this is, 1 for the target, 2 for its jump host ...; 0: all of that is here. */
    int kept;
    const char *const *offers; /* of such a host: the keys to offer, as ssh_offers gives them */
    bool kept_password;        /* the script has given one */
};

/* What a connection cost and used; for -v, ssh-check and the benchmarks. */
struct ssh_report {
    char address[64];
    char fingerprint[64]; /* SHA256:... of the host key; after a failure too, if it got that far */
    char auth[96];        /* "publickey /root/.ssh/id_ed25519", "agent comment", "password" */
    char banner[64];      /* "SSH-2.0-OpenSSH_9.2p1 Debian-2" */
    char kex[64], host_key[64], cipher[64], mac[64]; /* what was agreed upon */
    char trusted[160]; /* "/root/.ssh/known_hosts:3": the line that vouches for its key; or "" */
    char tried[512];   /* each attempt to log in that failed: "/root/.ssh/id_rsa (refused), ..." */
    int64_t resolve_us, connect_us, kex_us, auth_us, exec_us;
    /* After a failure: ssh(1) can do what was missing here (RSA signatures with libssh2 1.10, host
     * certificates, an algorithm), so another try through the OpenSSH transport makes sense. */
    bool openssh_could;
};

/* The jump hosts of one loop, which must run. Destroyed on any thread but the loop role's, when nobody
 * connects any more; transports that are left lose their way. */
struct ssh_pool;
struct ssh_pool *ssh_pool_create(struct loop *loop);
void ssh_pool_destroy(struct ssh_pool *pool);

/*
 * Any thread but the loop role's; several at once. `cancel` may become true at any time: the call then
 * ends within 100 ms with ERR_CANCELLED. report may be NULL; so may the pool, where there is no jump
 * host. Returns owned, or NULL with err: ERR_CONNECT, ERR_HOSTKEY, ERR_HOSTKEY_CHANGED,
 * ERR_HOSTKEY_REVOKED, ERR_AUTH, ERR_CREDENTIALS, ERR_TIMEOUT, ERR_CANCELLED.
 *
 * Who finds that another is connecting to the jump host it wants waits for that, and fails with it; if
 * the other is cancelled, it connects itself. The time that takes counts for no deadline of the target:
 * connect_ms is for the jump host's answer to the request for a channel, handshake_ms begins after it.
 * A server that has too many logins (MaxStartups) is asked again for as long as handshake_ms allows.
 */
struct transport *ssh_connect(struct ssh_pool *pool, const struct ssh_options *o,
    const atomic_bool *cancel, struct ssh_report *report, struct err *err) must_check;

/*
 * The keeper's part. Another process makes a connection with options of its own (`kept`), to which belongs what
 * ssh_offers and ssh_host_key_algorithms give for ours, and asks what it cannot do: all that comes from there is
 * believed no further than that the script wants that connection. Nothing is signed but a login of the user
 * that `o` names. Any thread but the loop role's.
 *
 * ssh_keep answers any question: people are asked by o->ask, and what they say is sealed. ERR_CREDENTIALS with a text where there is no key
 * or passphrase to sign with; ERR_DENIED for what shall not be signed; codes of host keys.
 */
int ssh_keep(const struct ssh_options *o, const struct ssh_question *q, const atomic_bool *cancel,
    char **answer, struct err *err) must_check;
/* A list for ssh_options.offers: owned, as its strings are; ended with NULL. */
char **ssh_offers(const struct ssh_options *o, const atomic_bool *cancel);
/* For ssh_options.host_key_algorithms: those that known_hosts has keys of come first. Owned. */
char *ssh_host_key_algorithms(const struct ssh_options *o);

/* All of the above as a table: programs that know it by this type only need not be linked with SSH. */
struct ssh_library {
    struct ssh_pool *(*create)(struct loop *loop);
    void (*destroy)(struct ssh_pool *pool);
    struct transport *(*connect)(struct ssh_pool *pool, const struct ssh_options *o,
        const atomic_bool *cancel, struct ssh_report *report, struct err *err);
    int (*keep)(const struct ssh_options *o, const struct ssh_question *q,
        const atomic_bool *cancel, char **answer, struct err *err);
    char **(*offers)(const struct ssh_options *o, const atomic_bool *cancel);
    char *(*host_key_algorithms)(const struct ssh_options *o);
};
extern const struct ssh_library ssh_library;

/* libssh2's version text, for `orrery version`. */
const char *ssh_library_version(void);

#endif
