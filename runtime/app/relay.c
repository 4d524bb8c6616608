/*
 * The relay: an agent with SSH inside. It runs beside the agent of a context that is asked to open SSH children,
 * and opens them: lua/orrery/relay.lua.
 */
#include <openssl/crypto.h>

#include "agent_kind.h"

/* The configuration of the machine's own OpenSSL is for the machine's own programs: it may name modules that a
 * static program cannot load. */
static void
start(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

const struct agent_kind agent_kind = {.name = "orrery-relay", .ssh = &ssh_library, .start = start};
