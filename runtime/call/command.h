/*
 * The command service (HANDLE_RUN): runs commands in this context for others. Lives on the loop role;
 * a busy script does not delay its output, its timeout or its end.
 *
 * A conversation is named by (src, reply, seq) of the request; answers go to its reply handle with its
 * seq. Every payload is pack (wire/pack.h), its first byte says what it is ("bytes" are u32 length
 * and that many bytes):
 *
 *   to the service                          from the service
 *   'R' request: see below                  'S' u32 pid: it has started
 *   'I' bytes: more stdin                   'O' bytes: stdout
 *   'C' u32: credit, bytes of output        'E' bytes: stderr
 *       the asker has consumed              'X' u32 code, u32 signal, u8 timed_out: it has ended;
 *   'K' [u32 ms]: end it: TERM, KILL after      last message
 *       grace, or so many ms if that is less
 *                                           'F' u8 -code, str text: it did not start, or the asker
 *                                               broke this protocol, or output was lost on its way
 *                                               (then it is killed), or it should be killed and we
 *                                               may not (it runs as another user); last message
 *                                           'W' u32: stdin bytes consumed, credit for more 'I'
 *
 * 'I' with no bytes is the end of stdin. Output sent and not yet credited ('O' and 'E' together) is at
 * most COMMAND_WINDOW; beyond that the pipes are not read, so that a slow asker slows its own command
 * and nobody else. Stdin sent and not yet credited is at most COMMAND_WINDOW too: an asker that sends
 * more breaks the protocol. Stdin that the command does not read any more is dropped, and credited.
 *
 * The end: 'X' comes when the command has exited and its outputs were read to their end. A process that
 * it left behind and that holds an output open delays that by COMMAND_LINGER_MS at most: then what is
 * in the pipes is delivered, and what comes later is not. Such processes are left alone, so that a
 * command can start a daemon.
 *
 * The end of a command's asker (its context is lost, or nobody listens on its reply handle any more),
 * 'K', and a timeout end the whole process group: TERM, then KILL after the grace time (at most
 * COMMAND_LOST_MS where the asker is gone); 'X' waits for the group to be gone. The end of this process,
 * also by SIGKILL, ends it too: see guardian.h.
 *
 * But a command with COMMAND_FINISH that has all of its stdin runs on when its asker or this process ends,
 * and what it still says is dropped. Its timeout holds.
 *
 * Messages for a conversation that does not exist (any more) are ignored.
 */
#ifndef ORRERY_COMMAND_H
#define ORRERY_COMMAND_H

#include "err.h"
#include "router.h"

#define COMMAND_WINDOW (256u << 10)
#define COMMAND_MAX 1024      /* running at once; more are refused with ERR_LIMIT */
#define COMMAND_GRACE_MS 3000 /* between TERM and KILL, unless the request says otherwise */
#define COMMAND_LOST_MS 1000  /* the most of it where nobody waits for the command any more */
#define COMMAND_LINGER_MS 1000

/*
 * Fields of 'R', in order:
 *   u32 argc, argc x str        argv; argv[0] is looked up in the PATH of the command's environment
 *   str cwd                     "" : the context's own
 *   u32 n, n x str              NAME=VALUE set on top of the context's environment; "NAME" unsets
 *   u32 timeout ms              0: none
 *   u32 grace ms                between TERM and KILL; 0: COMMAND_GRACE_MS
 *   u8 flags                    of enum command_flags
 */
enum command_flags {
    COMMAND_STDIN = 1, /* stdin follows in 'I' messages (else it is /dev/null) */
    COMMAND_MERGE = 2, /* stderr goes where stdout goes ('O'), in order */
    COMMAND_FINISH = 4 /* runs on without its asker */
};

struct command_service;

/* Listens on HANDLE_RUN. Any thread, before messages flow. */
struct command_service *command_service_create(struct router *r);
/* Ends every command as if its asker was lost, KILLs what is left after some seconds, and unlistens. What
 * runs on is not reaped here: it is for the process that ends, whose orphan it becomes. The loop must be
 * running. Not on the loop role. NULL is fine. */
void command_service_destroy(struct command_service *s);

#endif
