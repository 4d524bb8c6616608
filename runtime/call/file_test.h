/* For the tests of the file service: files, transfers, answers. */
#ifndef ORRERY_FILE_TEST_H
#define ORRERY_FILE_TEST_H

#include "pair_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "file_internal.h"

/* A directory for one test, with a/ and b/ in it. */
static inline char *
scratch(void)
{
    char name[] = "/tmp/file_test.XXXXXX";
    assert_non_null(mkdtemp(name));
    assert_int_equal(chmod(name, 0755), 0);
    char *a = xasprintf("%s/a", name), *b = xasprintf("%s/b", name);
    assert_int_equal(mkdir(a, 0755) | mkdir(b, 0755), 0);
    free(a);
    free(b);
    return xstrdup(name);
}

static inline void
scratch_remove(char *dir)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    free(command);
    free(dir);
}

/* dir/name; valid for the next few calls. */
static inline const char *
in(const char *dir, const char *name)
{
    static char paths[8][300];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
    return p;
}

static inline void
fill(uint8_t *data, size_t n, uint32_t seed)
{
    uint64_t x = seed * 2654435769u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56);
    }
}

static inline void
write_file(const char *path, size_t n, uint32_t seed, mode_t mode)
{
    uint8_t *data = xmalloc(n + 1);
    fill(data, n, seed);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
    free(data);
}

static inline void
assert_file(const char *path, size_t n, uint32_t seed)
{
    uint8_t *data = xmalloc(n + 1), *got = xmalloc(n + 1);
    fill(data, n, seed);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, n + 1, f), n);
    assert_memory_equal(got, data, n);
    fclose(f);
    free(data);
    free(got);
}

static inline mode_t
mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

struct answer {
    uint32_t seq;
    int code;
    char text[600];
    bool changed;
    uint64_t sent, size;
};

static inline struct answer
take_answer(struct mailbox *mb)
{
    struct answer a = {0};
    struct unpack u;
    size_t n = 0;
    struct msg *m = NULL;
    do {
        msg_unref(m);
        m = mailbox_take(mb, clock_ms() + PATIENCE_MS);
        assert_non_null(m);
    } while (m->h.handle == HANDLE_DEAD);
    assert_int_equal(m->h.handle, HANDLE_FILE);
    unpack_init(&u, msg_payload(m), m->h.length);
    a.seq = m->h.seq;
    if (m->h.flags & FRAME_ERROR) {
        a.code = -(int)unpack_u8(&u);
        char *text = unpack_str(&u);
        snprintf(a.text, sizeof(a.text), "%s", text);
        free(text);
    } else {
        assert_int_equal(unpack_u8(&u), 'R');
        a.changed = unpack_u8(&u);
        a.sent = unpack_u64(&u);
        a.size = unpack_u64(&u);
        unpack_bytes(&u, &n);
        assert_int_equal(n, CHECKSUM_SIZE);
    }
    assert_int_equal(unpack_done(&u, "answer", NULL), 0);
    msg_unref(m);
    return a;
}

static inline struct answer
move(struct pair *p, bool put, const char *from, const char *to, const struct file_attributes *a)
{
    struct err err;
    uint32_t seq = (put ? file_put : file_get)(p->near.files, p->far, from, to, a, p->mb, &err);
    if (!seq)
        fail_msg("%s", err.msg);
    struct answer got = take_answer(p->mb);
    assert_int_equal(got.seq, seq);
    return got;
}

#define PUT(from, to) move(&p, true, from, to, NULL)
#define GET(from, to) move(&p, false, from, to, NULL)

static inline void
assert_changed(struct answer a, bool changed, uint64_t sent)
{
    if (a.code)
        fail_msg("%s", a.text);
    assert_int_equal(a.changed, changed);
    assert_int_equal(a.sent, sent);
}

static inline void
assert_refused(struct answer a, int code, const char *text)
{
    assert_int_equal(a.code, code);
    if (!strstr(a.text, text))
        fail_msg("\"%s\" has no \"%s\"", a.text, text);
}

#endif
