#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
    [-ERR_NONE] = "none",
    [-ERR_SYSTEM] = "system",
    [-ERR_TIMEOUT] = "timeout",
    [-ERR_CANCELLED] = "cancelled",
    [-ERR_DEAD] = "dead",
    [-ERR_CLOSED] = "closed",
    [-ERR_CONNECT] = "connect",
    [-ERR_AUTH] = "auth",
    [-ERR_HOSTKEY] = "hostkey",
    [-ERR_BOOTSTRAP] = "bootstrap",
    [-ERR_PROTOCOL] = "protocol",
    [-ERR_LIMIT] = "limit",
    [-ERR_DENIED] = "denied",
    [-ERR_FILE] = "file",
    [-ERR_COMMAND] = "command",
    [-ERR_ARGUMENT] = "argument",
    [-ERR_NO_HANDLE] = "no_handle",
    [-ERR_HOSTKEY_CHANGED] = "hostkey_changed",
    [-ERR_HOSTKEY_REVOKED] = "hostkey_revoked",
    [-ERR_CREDENTIALS] = "credentials",
};

const char *
err_code_name(int code)
{
    size_t i = -(size_t)code;

    return code <= 0 && i < sizeof code_names / sizeof *code_names ? code_names[i] : "error";
}

int
err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (err) {
        err->code = code;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

int
err_errno(struct err *err, int code, int errnum, const char *fmt, ...)
{
    va_list ap;

    if (err) {
        char reason[128];
        size_t n;

        err->code = code;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        n = strlen(err->msg);
        snprintf(
            err->msg + n, sizeof err->msg - n, ": %s", strerror_r(errnum, reason, sizeof reason));
    }
    return code;
}

int
err_prefix(struct err *err, const char *fmt, ...)
{
    char front[sizeof err->msg], whole[sizeof err->msg * 2 + 4];
    va_list ap;

    if (!err)
        return ERR_SYSTEM;
    va_start(ap, fmt);
    vsnprintf(front, sizeof front, fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof whole, "%s: %s", front, err->msg);
    whole[sizeof err->msg - 1] = '\0';
    memcpy(err->msg, whole, strlen(whole) + 1);
    return err->code;
}
