/*
 * Keepers: what this process does for SSH connections that a child of it makes in its name. Keys, known hosts,
 * passwords and people stay here; the child asks (ask_keeper.c), and each question is answered by a thread of
 * its own, since that may block (ssh_keep in ssh/ssh.h). So it does not matter what the script does meanwhile.
 *
 *   keeper_open    offers and algorithms go to the script, which sends them to the child with its plan
 *   keeper_serve   from now on that child is answered, and nobody else
 *   keeper_close   nobody is
 *
 * A question is a message to the keeper's handle: pack: u8 kind, u8 kept (ssh.h), u8 is an answer wanted, or only
 * whether there could be one, u8 echo, u32 attempt, str subject, text, detail, seal. Its answer: u8 -code, str answer,
 * or why there is none.
 *
 * Threading: any thread, but keepers_destroy not on the loop role.
 */
#ifndef ORRERY_KEEPER_H
#define ORRERY_KEEPER_H

#include "node.h"

struct keepers;

struct keepers *keepers_create(struct router *r);
/* Before the router. The loop must run. */
void keepers_destroy(struct keepers *ks);

/*
 * For a connection as o->ssh and o->ask say (copied). Returns its number, by which the script's questions are
 * known, too (ask.h); 0 with err where there is no SSH here. When it is ready, a message goes to mb: handle
 * HANDLE_KEEP, seq = the number, payload pack: u32 handle, then for the target and each of its jump hosts: str
 * host key algorithms, u32 n, n x str offer.
 */
uint32_t keeper_open(struct keepers *ks, const struct ssh_library *ssh,
    const struct open_options *o, struct mailbox *mb, struct err *err) must_check;
void keeper_serve(struct keepers *ks, uint32_t number, uint32_t context);
void keeper_close(struct keepers *ks, uint32_t number);

/* The message of a question, but for its address. Owned. */
struct msg *keeper_question(const struct ssh_question *q, bool wanted);

#endif
