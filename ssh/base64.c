#include "internal.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_encode(const void *data, size_t n, bool padding)
{
    const uint8_t *p = data;
    char *text = xmalloc((n + 2) / 3 * 4 + 1);
    char *out = text;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;

        if (i + 1 < n)
            v |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n)
            v |= p[i + 2];
        *out++ = alphabet[v >> 18];
        *out++ = alphabet[v >> 12 & 63];
        if (i + 1 < n || padding)
            *out++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
        if (i + 2 < n || padding)
            *out++ = i + 2 < n ? alphabet[v & 63] : '=';
    }
    *out = '\0';
    return text;
}

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

ssize_t
base64_decode(uint8_t *out, size_t cap, const char *text, size_t n)
{
    uint32_t bits = 0;
    int count = 0;
    size_t len = 0;

    for (size_t i = 0; i < n && text[i] != '='; i++) {
        int v = value_of(text[i]);

        if (text[i] == '\n' || text[i] == '\r' || text[i] == ' ' || text[i] == '\t')
            continue;
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (len == cap)
                return -1;
            out[len++] = (uint8_t)(bits >> count);
        }
    }
    return (ssize_t)len;
}
