/*
 * The command service from inside: one struct command for each conversation.
 *
 *   command.c        the service: table, messages, the guardian
 *   command_spawn.c  the request, fork and exec
 *   command_io.c     pipes, credit, messages to the asker
 *   command_life.c   signals, timers, the end
 *
 * Threading: everything on the loop role.
 */
#ifndef ORRERY_COMMAND_INTERNAL_H
#define ORRERY_COMMAND_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "command.h"
#include "guardian.h"
#include "loop.h"
#include "mem.h"
#include "pack.h"
#include "router.h"

enum { COMMAND_READ = 64 << 10, COMMAND_BUCKETS = 256 };

LIST_HEAD(command_list, command);

struct command_service {
    struct router *router; /* [I] */
    struct loop *loop;     /* [I] */
    struct command_list table[COMMAND_BUCKETS];
    unsigned count;
    bool closing;
    struct guardian *guardian;      /* NULL until the first command, and when it died */
    struct loop_child guardian_end; /* in use where guardian is not NULL */
    struct buf scratch;             /* payloads being packed */
    uint8_t block[COMMAND_READ];    /* what was just read from a pipe */

    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned alive; /* [lock] a copy of count, for destroy */
};

/* One output of a command. */
struct command_output {
    struct loop_fd fd;
    struct command *command;
    char kind; /* 'O' or 'E' */
    bool open;
    bool last; /* the linger time is over: `left` bytes more, and no later ones */
    size_t left;
};

struct command {
    LIST_ENTRY(command) link;
    struct command_service *service;
    struct context *asker; /* counted */
    uint32_t seq;
    uint32_t reply;
    char *name; /* argv[0], for logs and errors */
    char *cwd;  /* as asked for, for errors */
    pid_t pid;  /* and process group */
    uint32_t timeout_ms, grace_ms;
    int64_t timeout_at; /* clock_ms; 0: none */
    bool finish;        /* COMMAND_FINISH */
    bool kept;          /* and the guardian knows that: it may run on */

    struct loop_child end;
    struct loop_fd status; /* the child's errno, if it cannot exec */
    bool status_open;
    bool failed; /* why is set, and goes out as 'F' instead of 'X' */
    struct err why;

    struct command_output out, err;
    size_t unacked; /* bytes of output that wait for credit */

    struct loop_fd in;
    bool in_open;   /* our end of its stdin */
    bool in_wanted; /* the asker may send 'I' */
    bool in_last;   /* the asker has sent the end */
    struct buf in_queue;
    size_t in_held; /* bytes from the asker that it has no credit for yet */
    size_t in_done; /* of these, bytes that may be credited */

    bool started; /* exec has worked, 'S' was sent */
    bool exited;
    int exit_status;
    bool ending; /* TERM was sent */
    bool killed; /* KILL was sent */
    bool timed_out;
    bool lost; /* nobody hears us any more */
    bool done; /* the last message was said */
    bool freed;
    struct loop_timer deadline; /* the timeout; when ending, the grace time */
    struct loop_timer watch;    /* when exited: the linger time, or whether the group is gone */
    struct loop_timer retry;    /* messages that found the stream's queue full */
    int64_t linger_at;          /* clock_ms; 0: not yet */
    struct msg_queue queue;
};

/* What a request asks for. The arrays end with NULL. */
struct command_request {
    char **argv;
    char **env; /* complete */
    char *cwd;
    uint32_t timeout_ms, grace_ms;
    uint8_t flags;
};

/* command_spawn.c */
int command_request_parse(struct command_request *q, struct unpack *u, struct err *err) must_check;
void command_request_fini(struct command_request *q);
/* Forks. Fills in pid, end, status and the pipes; nothing is watched yet but status and end. */
int command_spawn(struct command *c, const struct command_request *q, struct err *err) must_check;

/* command_io.c */
void command_say(struct command *c, struct msg *m); /* takes m */
void command_flush(struct command *c);
void command_say_failed(struct command *c);
void command_outputs_start(struct command *c, int out, int err);
void command_outputs_resume(struct command *c);
/* Reads what is in the pipes now, and then treats them as ended. */
void command_outputs_finish(struct command *c);
void command_output_close(struct command_output *o);
void command_input(struct command *c, const void *p, size_t n);
void command_input_start(struct command *c, int fd);
void command_input_close(struct command *c);
void command_credit(struct command *c, uint32_t n);

/* command_life.c */
void command_timers_init(struct command *c);
void command_running(struct command *c); /* exec has worked */
void command_exited(struct command *c, int status);
void command_terminate(struct command *c); /* TERM, and KILL after the grace time */
void command_kill(struct command *c);      /* KILL */
void command_lost(struct command *c);      /* the asker is gone */
/* It has what it needs: if it is to run on without the asker, the guardian is told so. */
void command_keep(struct command *c);
/* The conversation cannot go on (a broken protocol, a lost message): 'F', and the end of the command. */
void command_broken(struct command *c, int code, const char *what);
/* Ends the conversation if all that it waits for has happened. Every callback calls it last. c may be
 * on its way to the reaper afterwards, but stays valid until the end of the iteration. */
void command_settle(struct command *c);

/* command.c */
void command_remove(struct command *c); /* out of the table, and off to the reaper */

#endif
