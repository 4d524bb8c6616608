#include "scan.h"

/* Where the walk is, and how many values are still to come at each level of nesting. */
struct walk {
    const uint8_t *start, *p, *end;
    uint32_t left[SCAN_MAX_DEPTH + 1];
    int depth;
    uint32_t tables;
    struct err *err;
};

bool
scan_number(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
    const uint8_t *at = *p;
    size_t left = (size_t)(end - at);

    if (left < 1)
        return false;
    if (at[0] < 0xe0) {
        *out = at[0];
        *p = at + 1;
    } else if (at[0] < 0xff) {
        if (left < 2)
            return false;
        *out = (at[0] - 0xe0u) * 256 + at[1] + 0xe0;
        *p = at + 2;
    } else {
        if (left < 5)
            return false;
        *out = at[1] | (uint32_t)at[2] << 8 | (uint32_t)at[3] << 16 | (uint32_t)at[4] << 24;
        *p = at + 5;
    }
    return true;
}

/* Bytes after the tag of a value of fixed size; -1: it is none, or does not travel, as addresses (4 and
 * 5), which mean nothing here. */
static int
fixed_size(uint32_t tag)
{
    switch (tag) {
    case SCAN_NIL:
    case SCAN_FALSE:
    case SCAN_TRUE:
    case SCAN_NULL: return 0;
    case SCAN_INT: return 4;
    case SCAN_NUMBER:
    case SCAN_INT64:
    case SCAN_UINT64: return 8;
    case SCAN_COMPLEX: return 16;
    default: return -1;
    }
}

static bool
is_table(uint32_t tag)
{
    return tag >= SCAN_TABLE && tag <= SCAN_TABLE_LAST;
}

static int
fail(struct walk *w, const char *what, const uint8_t *at)
{
    return err_set(w->err, ERR_PROTOCOL, "%s at byte %zu", what, (size_t)(at - w->start) + 1);
}

static int
number(struct walk *w, uint32_t *out)
{
    return scan_number(&w->p, w->end, out) ? 0 : fail(w, "it ends early", w->p);
}

/* The counts of a table that began at `at`, and down one level. */
static int
enter(struct walk *w, uint32_t tag, const uint8_t *at)
{
    uint32_t array = 0, hash = 0;
    uint64_t values;
    int rc;

    if (w->depth == SCAN_MAX_DEPTH)
        return fail(w, "nested too deep", at);
    if (++w->tables > SCAN_MAX_TABLES)
        return fail(w, "too many tables", at);
    if (tag >= SCAN_TABLE + 2 && (rc = number(w, &array)) < 0)
        return rc;
    if ((tag & 1) && (rc = number(w, &hash)) < 0)
        return rc;
    values = array + 2 * (uint64_t)hash;
    if (tag >= SCAN_TABLE + 4) { /* slot 0 counts, but is not sent */
        if (array == 0)
            return fail(w, "a table of impossible size", at);
        values--;
    }
    /* A value takes a byte at least, so this is what keeps 6 bytes from claiming 1 GiB. */
    if (values > (size_t)(w->end - w->p))
        return fail(w, "a table of impossible size", at);
    w->left[++w->depth] = (uint32_t)values;
    return 0;
}

/* One value; of a table, its head. */
static int
value(struct walk *w)
{
    const uint8_t *at = w->p;
    uint32_t tag = 0, index;
    size_t size = 0;
    int rc;

    if ((rc = number(w, &tag)) < 0)
        return rc;
    if (tag == SCAN_KIND) {
        if ((rc = number(w, &index)) < 0 || (rc = number(w, &tag)) < 0)
            return rc;
        if (!is_table(tag))
            return fail(w, "a kind without a table", at);
    }
    if (is_table(tag))
        return enter(w, tag, at);
    if (tag == SCAN_KEY)
        return number(w, &index);
    if (tag >= SCAN_STRING)
        size = tag - SCAN_STRING;
    else if (fixed_size(tag) >= 0)
        size = (size_t)fixed_size(tag);
    else
        return fail(w, "a value of an unknown type", at);
    if (size > (size_t)(w->end - w->p))
        return fail(w, "it ends early", at);
    w->p += size;
    return 0;
}

int64_t
scan_values(const void *payload, size_t size, struct err *err)
{
    struct walk w;
    int64_t count = 0;
    int rc;

    w.start = w.p = payload;
    w.end = w.start + size;
    w.depth = 0;
    w.tables = 0;
    w.err = err;
    for (;;) {
        while (w.depth > 0 && w.left[w.depth] == 0)
            w.depth--;
        if (w.depth > 0)
            w.left[w.depth]--;
        else if (w.p == w.end)
            return count;
        else
            count++;
        if ((rc = value(&w)) < 0)
            return rc;
    }
}

int64_t
scan_plain(const void *payload, size_t size)
{
    const uint8_t *p = payload, *end = p + size;
    int64_t count = 0;
    uint32_t tag;

    for (; p < end; count++) {
        size_t n;

        if (!scan_number(&p, end, &tag))
            return -1;
        if (tag >= SCAN_STRING)
            n = tag - SCAN_STRING;
        else if (tag <= SCAN_NUMBER && fixed_size(tag) >= 0)
            n = (size_t)fixed_size(tag);
        else
            return -1;
        if (n > (size_t)(end - p))
            return -1;
        p += n;
    }
    return count;
}
