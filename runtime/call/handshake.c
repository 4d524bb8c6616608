#include "handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mem.h"
#include "pack.h"

struct msg *
hello_make(void)
{
    struct utsname u;
    struct buf b = {0};
    struct msg *m;

    uname(&u);
    pack_u32(&b, FRAME_VERSION);
    pack_str(&b, u.nodename);
    pack_str(&b, u.sysname);
    pack_str(&b, u.machine);
    pack_u32(&b, (uint32_t)getpid());
    pack_u32(&b, (uint32_t)geteuid());
    m = pack_msg(HANDLE_HELLO, &b);
    buf_fini(&b);
    return m;
}

int
hello_say(int fd, const char *line, struct err *err)
{
    struct msg *m = hello_make();
    struct buf out = {0};
    int rc = 0;
    ssize_t n;

    msg_seal(m);
    buf_append(&out, line, strlen(line));
    buf_append(&out, m->wire, FRAME_HEADER + m->h.length);
    do {
        n = send(fd, buf_head(&out), buf_len(&out), MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK)
            n = write(fd, buf_head(&out), buf_len(&out));
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)buf_len(&out))
        rc = err_errno(err, ERR_SYSTEM, n < 0 ? errno : EPIPE, "cannot write to the parent");
    buf_fini(&out);
    msg_unref(m);
    return rc;
}

int
hello_parse(struct hello *h, struct msg *m, struct err *err)
{
    struct unpack u;
    uint32_t version;

    memset(h, 0, sizeof *h);
    if (m->h.handle != HANDLE_HELLO)
        return err_set(
            err, ERR_PROTOCOL, "the first frame is %s, not HELLO", frame_handle_name(m->h.handle));
    unpack_init(&u, msg_payload(m), m->h.length);
    version = unpack_u32(&u);
    h->hostname = unpack_str(&u);
    h->kernel = unpack_str(&u);
    h->machine = unpack_str(&u);
    h->pid = unpack_u32(&u);
    h->uid = unpack_u32(&u);
    if (version != FRAME_VERSION)
        return err_set(err, ERR_PROTOCOL, "the agent speaks version %u, this side version %u",
            version, FRAME_VERSION);
    return unpack_done(&u, "HELLO", err);
}

void
hello_fini(struct hello *h)
{
    free(h->hostname);
    free(h->kernel);
    free(h->machine);
}

struct msg *
config_make(const struct config *c)
{
    struct buf b = {0};
    struct msg *m;

    pack_u32(&b, c->id);
    pack_u32(&b, c->ancestor_count);
    for (uint32_t i = 0; i < c->ancestor_count; i++)
        pack_u32(&b, c->ancestors[i]);
    pack_str(&b, c->name);
    pack_str(&b, c->route);
    pack_u32(&b, c->keepalive_ms);
    pack_u32(&b, c->log_level);
    pack_u64(&b, (uint64_t)c->spin_ns);
    pack_u8(&b, c->attend);
    pack_str(&b, c->agent);
    m = pack_msg(HANDLE_CONFIG, &b);
    buf_fini(&b);
    return m;
}

int
config_parse(struct config *c, struct msg *m, struct err *err)
{
    struct unpack u;

    memset(c, 0, sizeof *c);
    if (m->h.handle != HANDLE_CONFIG)
        return err_set(
            err, ERR_PROTOCOL, "the first frame is %s, not CONFIG", frame_handle_name(m->h.handle));
    unpack_init(&u, msg_payload(m), m->h.length);
    c->id = unpack_u32(&u);
    c->ancestor_count = unpack_u32(&u);
    if (c->ancestor_count > HANDSHAKE_DEPTH)
        return err_set(err, ERR_LIMIT, "a context %u levels deep, the limit is %u",
            c->ancestor_count, HANDSHAKE_DEPTH);
    for (uint32_t i = 0; i < c->ancestor_count; i++)
        c->ancestors[i] = unpack_u32(&u);
    c->name = unpack_str(&u);
    c->route = unpack_str(&u);
    c->keepalive_ms = unpack_u32(&u);
    c->log_level = unpack_u32(&u);
    c->spin_ns = (int64_t)unpack_u64(&u);
    c->attend = unpack_u8(&u) != 0;
    c->agent = unpack_str(&u);
    return unpack_done(&u, "CONFIG", err);
}

void
config_fini(struct config *c)
{
    free(c->name);
    free(c->route);
    free(c->agent);
}
