#pragma once
/* SHA-256 of bytes, through libmd. */
#include "base/str.h"

struct sha256 {
    unsigned char b[32];
};
struct sha256_hex {
    char z[65]; /* lower-case, NUL-terminated */
};

struct sha256 sha256_of(struct str data);
/* The same piece by piece: sha256_new(), sha256_add()…, and sha256_end(), which frees. */
struct sha256_stream;
struct sha256_stream *sha256_new(void);
void sha256_add(struct sha256_stream *s, struct str data);
struct sha256 sha256_end(struct sha256_stream *s);
struct sha256_hex sha256_hex(const struct sha256 *h);
/* False when `hex` is no hash. */
bool sha256_read(struct str hex, struct sha256 *ret);
