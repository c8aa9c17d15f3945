/* libmd instead of libcrypto: 50 kB and no start-up cost. */
#include "base/sha256.h"

#include "base/panic.h"

#include <sha2.h>
#include <stdlib.h>

struct sha256 sha256_of(struct str data)
{
    struct sha256 h;
    SHA2_CTX c;
    SHA256Init(&c);
    SHA256Update(&c, (const uint8_t *)data.p, data.n);
    SHA256Final(h.b, &c);
    return h;
}

struct sha256_stream {
    SHA2_CTX c;
};

struct sha256_stream *sha256_new(void)
{
    struct sha256_stream *s = calloc(1, sizeof *s);
    if (!s)
        PANIC("out of memory");
    SHA256Init(&s->c);
    return s;
}

void sha256_add(struct sha256_stream *s, struct str data)
{
    SHA256Update(&s->c, (const uint8_t *)data.p, data.n);
}

struct sha256 sha256_end(struct sha256_stream *s)
{
    struct sha256 h;
    SHA256Final(h.b, &s->c);
    free(s);
    return h;
}

struct sha256_hex sha256_hex(const struct sha256 *h)
{
    struct sha256_hex x;
    for (int i = 0; i < 32; i++) {
        x.z[2 * i] = "0123456789abcdef"[h->b[i] >> 4];
        x.z[2 * i + 1] = "0123456789abcdef"[h->b[i] & 15];
    }
    x.z[64] = 0;
    return x;
}

bool sha256_read(struct str hex, struct sha256 *ret)
{
    if (hex.n != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        const char *digits = "0123456789abcdef", *at = memchr(digits, hex.p[i], 16);
        if (!at)
            return false;
        ret->b[i / 2] = (unsigned char)(i % 2 ? ret->b[i / 2] << 4 | (at - digits) : at - digits);
    }
    return true;
}
