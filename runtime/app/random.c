#define OPENSSL_API_COMPAT 0x10100000L /* 3.0 calls RAND_METHOD old, and has nothing in its place */

#include "random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define PIECE 1024
#define SMALL 256 /* what is longer, OpenSSL gives directly */

static const RAND_METHOD *openssl;
static atomic_uint forks;

static _Thread_local struct {
    unsigned char bytes[PIECE];
    size_t left; /* unused ones, at the end */
    unsigned fork;
} piece;

static int
take(unsigned char *out, int n)
{
    unsigned fork = atomic_load_explicit(&forks, memory_order_relaxed);
    unsigned char *from;

    if (n < 0 || n > SMALL)
        return openssl->bytes(out, n);
    if (piece.left < (size_t)n || piece.fork != fork) {
        if (openssl->bytes(piece.bytes, PIECE) != 1)
            return 0;
        piece.left = PIECE;
        piece.fork = fork;
    }
    from = piece.bytes + PIECE - piece.left;
    memcpy(out, from, (size_t)n);
    OPENSSL_cleanse(from, (size_t)n); /* nobody can learn later what was given out */
    piece.left -= (size_t)n;
    return 1;
}

static void
on_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

void
random_in_pieces(void)
{
    static RAND_METHOD method;

    openssl = RAND_OpenSSL();
    if (!openssl || !openssl->bytes || pthread_atfork(NULL, NULL, on_fork) != 0)
        return;
    method = *openssl;
    method.bytes = take;
    RAND_set_rand_method(&method);
}
