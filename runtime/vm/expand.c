/*
 * DEFLATE (RFC 1951): blocks of literals and of references to what came before, as codes whose lengths say all of them.
 * zlib would do the same, and adds more to an agent than all of its other libraries but LuaJIT.
 */
#include "expand.h"

#include <setjmp.h>
#include <string.h>

#define LONGEST 15 /* bits of a code */
#define LITERALS 288
#define DISTANCES 30

struct reader {
    const unsigned char *in;
    size_t in_size, in_at;
    unsigned bits, count; /* read, and not used yet */
    unsigned char *out;
    size_t out_size, out_at;
    jmp_buf malformed;
};

/* Codes of each length, and what they stand for in order. */
struct codes {
    unsigned short count[LONGEST + 1], symbol[LITERALS];
};

_Noreturn static void
fail(struct reader *r)
{
    longjmp(r->malformed, 1);
}

static unsigned
take_bits(struct reader *r, unsigned n)
{
    unsigned value;

    while (r->count < n) {
        if (r->in_at == r->in_size)
            fail(r);
        r->bits |= (unsigned)r->in[r->in_at++] << r->count;
        r->count += 8;
    }
    value = r->bits & ((1u << n) - 1);
    r->bits >>= n;
    r->count -= n;
    return value;
}

static void
make_codes(struct codes *c, const unsigned char *lengths, int n)
{
    unsigned short at[LONGEST + 1] = {0};

    memset(c, 0, sizeof *c);
    for (int i = 0; i < n; i++)
        c->count[lengths[i]]++;
    c->count[0] = 0;
    for (int i = 1; i < LONGEST; i++)
        at[i + 1] = (unsigned short)(at[i] + c->count[i]);
    for (int i = 0; i < n; i++)
        if (lengths[i] > 0)
            c->symbol[at[lengths[i]]++] = (unsigned short)i;
}

/* Codes of one length are numbers that follow one another, from twice the one behind the last of those before. */
static unsigned
take_symbol(struct reader *r, const struct codes *c)
{
    unsigned code = 0, first = 0, index = 0;

    for (int length = 1; length <= LONGEST; length++) {
        code |= take_bits(r, 1);
        if (code - first < c->count[length])
            return c->symbol[index + code - first];
        index += c->count[length];
        first = (first + c->count[length]) << 1;
        code <<= 1;
    }
    fail(r);
}

static void
refer(struct reader *r, size_t length, size_t distance)
{
    if (distance > r->out_at || length > r->out_size - r->out_at)
        fail(r);
    for (; length > 0; length--, r->out_at++) /* the two may overlap */
        r->out[r->out_at] = r->out[r->out_at - distance];
}

/* Lengths from 3 and distances from 1 in groups, whose members are told apart by further bits. */
static size_t
take_group(struct reader *r, unsigned symbol, unsigned per_step, size_t from)
{
    unsigned step = symbol / per_step, extra = step > 0 ? step - 1 : 0;
    size_t base = step == 0 ? symbol : (size_t)(per_step + symbol % per_step) << extra;

    return from + base + take_bits(r, extra);
}

static void
take_coded(struct reader *r, const struct codes *literals, const struct codes *distances)
{
    unsigned symbol, distance;

    while ((symbol = take_symbol(r, literals)) != 256) {
        size_t length;

        if (symbol < 256) {
            if (r->out_at == r->out_size)
                fail(r);
            r->out[r->out_at++] = (unsigned char)symbol;
            continue;
        }
        if (symbol > 285)
            fail(r);
        length = symbol == 285 ? 258 : take_group(r, symbol - 257, 4, 3);
        distance = take_symbol(r, distances);
        if (distance >= DISTANCES)
            fail(r);
        refer(r, length, take_group(r, distance, 2, 1));
    }
}

static void
take_stored(struct reader *r)
{
    size_t n;

    r->bits = r->count = 0;
    n = take_bits(r, 16);
    if ((take_bits(r, 16) ^ n) != 0xffff || n > r->in_size - r->in_at ||
        n > r->out_size - r->out_at)
        fail(r);
    memcpy(r->out + r->out_at, r->in + r->in_at, n);
    r->in_at += n;
    r->out_at += n;
}

static void
take_fixed(struct reader *r)
{
    unsigned char lengths[LITERALS];
    struct codes literals, distances;

    memset(lengths, 8, sizeof lengths);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    make_codes(&literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    make_codes(&distances, lengths, DISTANCES);
    take_coded(r, &literals, &distances);
}

/* The lengths of a block's codes are coded themselves: 16 repeats the last one, 17 and 18 are zeros. */
static void
take_lengths(struct reader *r, const struct codes *c, unsigned char *lengths, unsigned n)
{
    for (unsigned i = 0; i < n;) {
        unsigned symbol = take_symbol(r, c), times = 1, value = symbol;

        if (symbol >= 16)
            value = symbol == 16 && i > 0 ? lengths[i - 1] : 0;
        if (symbol == 16 && i == 0)
            fail(r);
        if (symbol >= 16)
            times = symbol == 16 ? 3 + take_bits(r, 2)
                : symbol == 17   ? 3 + take_bits(r, 3)
                                 : 11 + take_bits(r, 7);
        if (times > n - i)
            fail(r);
        memset(lengths + i, (int)value, times);
        i += times;
    }
}

static void
take_dynamic(struct reader *r)
{
    static const unsigned char order[] = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned literal_count = take_bits(r, 5) + 257, distance_count = take_bits(r, 5) + 1;
    unsigned count = take_bits(r, 4) + 4;
    unsigned char lengths[LITERALS + 32] = {0};
    struct codes literals, distances;

    if (literal_count > 286 || distance_count > DISTANCES)
        fail(r);
    for (unsigned i = 0; i < count; i++)
        lengths[order[i]] = (unsigned char)take_bits(r, 3);
    make_codes(&literals, lengths, sizeof order);
    take_lengths(r, &literals, lengths, literal_count + distance_count);
    make_codes(&literals, lengths, (int)literal_count);
    make_codes(&distances, lengths + literal_count, (int)distance_count);
    take_coded(r, &literals, &distances);
}

/* -1 where it is malformed, or not of this size. */
static int
take_all(struct reader *r)
{
    unsigned last;

    if (setjmp(r->malformed))
        return -1;
    do {
        last = take_bits(r, 1);
        switch (take_bits(r, 2)) {
        case 0: take_stored(r); break;
        case 1: take_fixed(r); break;
        case 2: take_dynamic(r); break;
        default: fail(r);
        }
    } while (!last);
    return r->out_at == r->out_size ? 0 : -1;
}

int
expand(const unsigned char *in, size_t n, unsigned char *out, size_t size)
{
    struct reader r = {.in = in, .in_size = n, .out = out, .out_size = size};

    return take_all(&r);
}
