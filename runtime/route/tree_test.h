/* For the tests of what routers tell each other. */
#ifndef ORRERY_TREE_TEST_H
#define ORRERY_TREE_TEST_H

#include "counters.h"
#include "router_test.h"

#define BLOCK 64u /* ids in a child's first block */

/* ---- what the far ends say and hear ---- */

/* Takes the content of b. */
static inline void
say_packed(struct link *l, uint32_t src, uint32_t handle, struct buf *b)
{
    struct msg *m = pack_msg(handle, b);

    m->h.src = m->h.auth = src;
    msg_seal(m);
    assert_int_equal(send(l->far, m->wire, FRAME_HEADER + m->h.length, MSG_NOSIGNAL),
        FRAME_HEADER + m->h.length);
    msg_unref(m);
    buf_fini(b);
}

static inline void
ask_ids(struct link *l, uint32_t count)
{
    struct buf b = {0};

    pack_u32(&b, count);
    say_packed(l, l->id, HANDLE_IDS, &b);
}

static inline void
grant_ids(struct link *l, uint32_t first, uint32_t count, const char *why)
{
    struct buf b = {0};

    pack_u32(&b, first);
    pack_u32(&b, count);
    pack_str(&b, why);
    say_packed(l, l->id, HANDLE_IDS, &b);
}

static inline void
announce(struct link *l, uint32_t src, uint32_t id, const char *name, const char *route)
{
    struct buf b = {0};

    pack_u32(&b, id);
    pack_str(&b, name);
    pack_str(&b, route);
    say_packed(l, src, HANDLE_ROUTE, &b);
}

static inline void
withdraw(struct link *l, uint32_t id, const char *why)
{
    struct buf b = {0};

    pack_u32(&b, id);
    pack_u8(&b, (uint8_t)-ERR_DEAD);
    pack_str(&b, why);
    pack_str(&b, "name");
    say_packed(l, l->id, HANDLE_GONE, &b);
}

static inline void
say_allow(struct link *l, uint32_t a, uint32_t b)
{
    struct buf p = {0};

    pack_u32(&p, a);
    pack_u32(&p, b);
    say_packed(l, l->id, HANDLE_ALLOW, &p);
}

/* The next message, which must be this. */
static inline struct msg *
hear(struct link *l, uint32_t handle, struct unpack *u)
{
    struct msg *m = link_answer(l);

    assert_int_equal(m->h.handle, handle);
    unpack_init(u, msg_payload(m), m->h.length);
    return m;
}

/* Its first field. */
static inline uint32_t
hear_number(struct link *l, uint32_t handle)
{
    struct unpack u;
    struct msg *m = hear(l, handle, &u);
    uint32_t n = unpack_u32(&u);

    msg_unref(m);
    return n;
}

/* The block that a child gets: its first id, or 0 and why not. */
static inline uint32_t
hear_block(struct link *l, uint32_t *count, char **why)
{
    struct unpack u;
    struct msg *m = hear(l, HANDLE_IDS, &u);
    uint32_t first = unpack_u32(&u);
    char *text;

    *count = unpack_u32(&u);
    text = unpack_str(&u);
    assert_int_equal(unpack_done(&u, "IDS", NULL), 0);
    msg_unref(m);
    if (why)
        *why = text;
    else
        free(text);
    return first;
}

/* A block for a child of the controller. */
static inline uint32_t
take_block(struct link *l)
{
    uint32_t count, first;

    ask_ids(l, 1);
    first = hear_block(l, &count, NULL);
    assert_true(first > 3);
    assert_int_equal(count, BLOCK);
    return first;
}

/* A context behind a child, which the controller knows then. Returns its id. */
static inline uint32_t
grow(struct link *l)
{
    uint32_t id = take_block(l);

    announce(l, l->id, id, "inner", "test:child/local:inner");
    link_silent(l);
    return id;
}

static inline uint64_t
dropped(void)
{
    struct counters c;

    counters_read(&c);
    return c.value[COUNT_messages_dropped];
}

static inline bool
is_known(struct hub *x, uint32_t id)
{
    struct context *c = router_context(x->router, id);
    bool known = c != NULL;

    context_unref(c);
    return known;
}

#endif
