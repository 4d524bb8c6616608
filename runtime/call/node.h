/*
 * A node: everything a process needs to be a context. The loop and its broker thread, the router, the
 * services, and the children that were opened from here.
 *
 * One node a process is usual (the controller's, or the agent's), and nothing forbids more.
 *
 * Threading: any thread, unless a function says otherwise.
 */
#ifndef ORRERY_NODE_H
#define ORRERY_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "ask.h"
#include "capture.h"
#include "err.h"
#include "file.h"
#include "mailbox.h"
#include "router.h"
#include "shared.h"
#include "ssh.h"
#include "text.h"
#include "transport.h"

struct node;

/* A controller. agent_dir (copied): where the agents are that targets get, see images.h; it is read
 * when the first child is opened. */
struct node *node_create(const char *agent_dir, struct err *err) must_check;

/* An agent's node: all but the stream to its parent, so that everyone can listen before the first
 * message comes. */
struct node *node_create_agent(struct err *err) must_check;
/*
 * Takes the transport to the parent, to whom HELLO was said already (handshake.h), waits for CONFIG (30 s),
 * and gives the node its id.
 * on_lost is called on the loop role, once, when the parent is gone; not if this fails, and not once
 * node_destroy was called.
 */
int node_join(struct node *n, struct transport *parent, void (*on_lost)(void *arg), void *arg,
    struct err *err) must_check;

/*
 * Lets other processes of this user join below this one, by a socket at `path`, until node_unlisten or the
 * end; one at a time. See listener.h. 0, or a code. Not on the loop role.
 */
int node_listen(struct node *n, const char *path, int64_t hello_ms, struct err *err) must_check;
void node_unlisten(struct node *n);
/*
 * The other side of it: makes a controller that has opened nothing yet a context below the process that
 * listens there. It can open nothing of its own then. Blocks until it is in, for 30 s at most. 0, or a code,
 * after which it may be tried again.
 */
int node_attach(struct node *n, const char *path, struct err *err) must_check;
/* Where it is attached (borrowed, lasts as long as the node), or NULL. */
const char *node_attached(struct node *n);

/* Closes every child and waits until each is gone (each has a few seconds to finish), ends the
 * services, stops the broker. No mailbox may be used with it afterwards. Not on the loop role. */
void node_destroy(struct node *n);

struct router *node_router(struct node *n);
struct file_service *node_files(struct node *n);
struct captures *node_captures(struct node *n);
/* Where what children print goes. */
struct texts *node_texts(struct node *n);
/* HANDLE_MODULE: the questions of children, for whichever VM looks first. */
struct shared *node_modules(struct node *n);

/* ---- children ---- */

/* ssh_library of ssh/ssh.h, borrowed: a pointer, because the agent is linked without SSH. Once, before the
 * first child is opened. */
void node_use_ssh(struct node *n, const struct ssh_library *ssh);

/* How to open a child. Strings and lists are borrowed for the time of the call. */
struct open_options {
    const char *name;  /* "web1" */
    const char *route; /* "ssh:web1" */
    /* One of the three: a command on this machine that becomes an agent by way of a shell (in its
     * last argument {} stands for what `sh -c` is to run, which has no single quote in it; or {^} for the
     * same with ^ in the place of $; {mark} in an earlier one is for prompter.h), SSH, or neither: a local
     * child. */
    const char *const *argv;
    const struct ssh_options *ssh; /* its `command` is filled in here */
    const char *const *program;    /* of a local child, and its arguments; NULL: the agent */
    bool no_cache;                 /* leave nothing behind on the target */
    const char *cache;             /* a directory for the agent to try first, or NULL */
    bool deferred;                 /* see stream_options */
    int64_t bootstrap_ms;          /* 0: the default */
    int64_t keepalive_ms;          /* -1: the default of 15 s; 0: none */
    struct ask_options ask;        /* who is asked for what is not given */
};

/*
 * Starts to open a child. The outcome is posted to mb once: handle HANDLE_HELLO, seq = the number
 * returned; src = the id of the new context, payload pack: str hostname, str kernel, str machine,
 * u32 pid, u32 uid, u64 bytes sent before the agent ran, str how (for -v), report; or FRAME_ERROR with
 * payload pack u8 -code, u8 openssh_could (ssh.h), str text, report, and the end of what came on stderr.
 * A report is struct ssh_report as far as it was filled in: str address, banner, kex, host_key, cipher,
 * mac, fingerprint, trusted, auth, tried; u64 us to resolve, connect, exchange keys, authenticate, exec.
 * 0: nothing was started, see err.
 */
uint32_t node_open(
    struct node *n, const struct open_options *o, struct mailbox *mb, struct err *err);
/* Gives an opening up; its outcome is then ERR_CANCELLED. */
void node_cancel_open(struct node *n, uint32_t seq);
/* Closes a context below: what was sent to it still goes out, then it is told to end, and has `linger_ms`
 * for that. Its end is announced like any other (HANDLE_DEAD with ERR_CLOSED). No-op for others. */
void node_close(struct node *n, uint32_t id, int64_t linger_ms);

/* Keepers (keeper.h) of this node, and the SSH that they use, or NULL. */
struct keepers *node_keepers(struct node *n);
const struct ssh_library *node_ssh(struct node *n);
/* Before node_join: the program to open children with, if it is not this process's own. */
void node_use_agent(struct node *n, const char *path);

#endif
