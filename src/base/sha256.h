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
struct sha256_hex sha256_hex(const struct sha256 *h);
