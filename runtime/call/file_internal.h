/*
 * The file service from inside.
 *
 *   file.c           the service: its API, the worker thread
 *   file_transfer.c  one transfer: table, messages out, the end
 *   file_protocol.c  messages in
 *   file_source.c    the side that reads; file_pace.h: how much of it is under way
 *   file_sink.c      the side that writes
 *   file_target.c    the sink's file system: the final name, the temporary file, owner and mode
 *
 * Threading: all but file.c's API runs on the worker thread, and locks nothing.
 */
#ifndef ORRERY_FILE_INTERNAL_H
#define ORRERY_FILE_INTERNAL_H

#include <blake2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "checksum.h"
#include "file.h"
#include "file_pace.h"
#include "mailbox.h"
#include "mem.h"
#include "pack.h"
#include "router.h"

enum {
    FILE_BUCKETS = 256,
    FILE_DIGEST = 32, /* bytes of a BLAKE2b-256 */
    FILE_RETRY_MS = 5
};

/* What file_put and file_get ask of the worker. */
struct file_job {
    STAILQ_ENTRY(file_job) link;
    char kind; /* 'p', 'g', 'K' */
    uint32_t seq;
    struct context *peer; /* counted */
    char *local, *remote;
    int64_t mode;
    char *owner, *group;
    struct mailbox *mb;             /* counted */
    struct file_progress *progress; /* counted; NULL: nobody looks */
};

/* The target of a sink. */
struct file_target {
    char *path;   /* the final name, links resolved */
    int64_t mode; /* what to give it; -1: leave it */
    uid_t uid;    /* -1: not asked for */
    gid_t gid;
    bool exists;
    struct stat st; /* of what exists */
    int old;        /* what exists, if it may be the same content; else -1 */
    int fd;         /* the temporary file, or -1 */
    char *temp;     /* its name, or NULL: it has none */
};

enum file_state {
    SOURCE_OFFERED,
    SOURCE_COMPARE,
    SOURCE_SEND,
    SOURCE_SENT,
    SINK_ASKED, /* for a file: 'G' was sent */
    SINK_COMPARE,
    SINK_RECEIVE,
    TRANSFER_ENDED
};

struct transfer {
    LIST_ENTRY(transfer) link;
    TAILQ_ENTRY(transfer) ready_link, retry_link;
    bool is_ready, is_retried;
    struct file_service *service;
    struct context *peer; /* counted */
    uint32_t seq;
    uint32_t to; /* the handle over there */
    bool asker;
    bool source;
    enum file_state state;
    char *path;                     /* on this side */
    char *remote;                   /* the asker: on the other side */
    struct mailbox *mb;             /* the asker: where the answer goes; counted */
    struct file_progress *progress; /* the asker: who looks at it; counted, or NULL */
    int64_t mode;                   /* the asker's wishes */
    char *owner, *group;

    uint64_t size;
    uint64_t done; /* bytes read, or written */
    uint32_t window;
    uint32_t granted;      /* what it holds of the budget */
    uint32_t in_flight;    /* source: sent and not credited. Sink: received and not credited */
    uint64_t asked;        /* source: up to where it has asked for credit */
    struct file_pace pace; /* source */
    struct checksum *sum;
    uint8_t content[CHECKSUM_SIZE]; /* the result of sum */
    blake2b_state proof;            /* both: while they compare */
    uint8_t old[FILE_DIGEST];       /* both: the result of proof for the sink's own file */
    bool have_old;
    int fd;             /* source: the file */
    uint32_t file_mode; /* source: its permission bits */
    struct file_target target;
    struct msg_queue queue; /* found the stream's queue full */
};

LIST_HEAD(transfer_list, transfer);
TAILQ_HEAD(transfer_queue, transfer);

/* [I] immutable, [m] lock, the rest: worker only. */
struct file_service {
    struct router *router; /* [I] */
    bool may_serve;        /* [I] */
    struct mailbox *mb;    /* [I] */
    uint32_t reply;        /* [I] our own handle for answers */

    pthread_mutex_t lock;
    pthread_t thread;             /* [m] */
    bool running;                 /* [m] */
    bool stopping;                /* [m] */
    uint32_t next_seq;            /* [m] */
    STAILQ_HEAD(, file_job) jobs; /* [m] */
    atomic_bool called;           /* jobs or stopping have changed */

    struct transfer_list table[FILE_BUCKETS];
    struct transfer_list ended;
    unsigned count;
    struct transfer_queue ready; /* have something to read */
    struct transfer_queue retry; /* have messages in their queue */
    int64_t retry_at;
    uint64_t granted[2]; /* of the budget: by sinks, by sources */
    struct buf scratch;
    uint8_t block[FILE_CHUNK];
};

/* file_transfer.c. A transfer that has ended stays valid until transfer_free_ended. */
struct transfer *transfer_create(struct file_service *s, struct context *peer, uint32_t seq);
struct transfer *transfer_find(struct file_service *s, uint32_t src, uint32_t seq, bool asker);
void transfer_free_ended(struct file_service *s);
/* A message with the content of s->scratch. */
void transfer_say(struct transfer *t);
void transfer_send(struct transfer *t, struct msg *m); /* takes m */
void transfer_retry(struct file_service *s);
void transfer_set_ready(struct transfer *t, bool ready);
/* Takes a share of the budget, at most `most`. */
void transfer_take_window(struct transfer *t, uint32_t most);
/* Ends it here and tells the other side. */
void transfer_fail(struct transfer *t, const struct err *why);
/* Ends it here. NULL: with success, for which t->content is what the asker is told. */
void transfer_end(struct transfer *t, const struct err *why, bool changed, uint64_t sent);
/* Does the next bit of work. */
void transfer_step(struct transfer *t);
/* Lets the asker see how far it is. */
void transfer_show(const struct transfer *t);
void transfer_refuse(struct file_service *s, const struct frame_header *to, const struct err *why);
/* A path, or its end behind "...", for messages; valid for the next few calls in this thread. */
const char *file_show(const char *path);

/* file_protocol.c */
void file_start(struct file_service *s, struct file_job *job);
void file_message(struct file_service *s, struct msg *m); /* borrows */

/* file_source.c */
int source_open(struct transfer *t, struct err *err) must_check;
void source_offer(struct transfer *t, const char *path);
/* old: of FILE_DIGEST, or NULL. */
void source_asked(struct transfer *t, uint32_t window, const uint8_t *old);
void source_credit(struct transfer *t, uint32_t n);
void source_step(struct transfer *t);

/* file_sink.c */
struct sink_offer {
    uint64_t size;
    int64_t mode;
    const char *owner, *group;
    uint32_t window;
};
void sink_offered(struct transfer *t, const struct sink_offer *o);
void sink_data(struct transfer *t, const void *p, size_t n, bool asks);
void sink_end(struct transfer *t, bool unchanged, const uint8_t content[CHECKSUM_SIZE]);
void sink_step(struct transfer *t);

/* file_target.c */
void target_init(struct file_target *f);
/* Closes, and removes the temporary file. */
void target_fini(struct file_target *f);
/* Looks at what is there; `size` is the size of what is to come. Never creates anything. */
int target_resolve(
    struct file_target *f, const char *path, uint64_t size, struct err *err) must_check;
int target_attributes(
    struct file_target *f, const struct sink_offer *o, struct err *err) must_check;
int target_create(struct file_target *f, struct err *err) must_check;
int target_write(
    struct file_target *f, const void *p, size_t n, uint64_t at, struct err *err) must_check;
/* The temporary file gets its attributes and its name. */
int target_commit(struct file_target *f, struct err *err) must_check;
/* What exists gets its attributes. 1: they were others before; 0; negative. */
int target_adjust(struct file_target *f, struct err *err) must_check;

/* For tests: pretend that there is no O_TMPFILE. */
extern bool target_no_tmpfile;

#endif
