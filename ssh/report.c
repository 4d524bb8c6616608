#include <string.h>

#include "internal.h"

static void
put(char *out, size_t cap, const char *text)
{
    if (text)
        copy_printable(out, cap, text, strlen(text));
}

void
report_session(struct ssh_attempt *a)
{
    struct ssh_report *r = a->report;
    LIBSSH2_SESSION *session = a->s->session;

    put(r->banner, sizeof r->banner, libssh2_session_banner_get(session));
    put(r->kex, sizeof r->kex, libssh2_session_methods(session, LIBSSH2_METHOD_KEX));
    put(r->host_key, sizeof r->host_key, libssh2_session_methods(session, LIBSSH2_METHOD_HOSTKEY));
    put(r->cipher, sizeof r->cipher, libssh2_session_methods(session, LIBSSH2_METHOD_CRYPT_CS));
    put(r->mac, sizeof r->mac, libssh2_session_methods(session, LIBSSH2_METHOD_MAC_CS));
}
