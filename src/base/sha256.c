/* libmd instead of libcrypto: 50 kB and no start-up cost. */
#include "base/sha256.h"

#include <sha2.h>

struct sha256 sha256_of(struct str data)
{
    struct sha256 h;
    SHA2_CTX c;
    SHA256Init(&c);
    SHA256Update(&c, (const uint8_t *)data.p, data.n);
    SHA256Final(h.b, &c);
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
