#pragma once
/* What keyprints_cover() is to make of a text, found out by looking at each place for each form of keys that are known.
 */
#include "base/buf.h"
#include "base/keyprint.h"
#include "base/panic.h"

static const struct reference_key {
    const char *name, *key;
} reference_keys[] = {
    {"SHORT", "0123456789abcdef0123"},
    {"LONG",
     "sk-ant-api03-Zq9_xW4-eR7tY2uI5oP8aS1dF6gH3jK0lZ9xC4vB7nM2qW5eR8tY1uI6oP3aS0dF9gH4jK7lZ2xC5vB8nM1qW6eR3tY0AA"},
    {"ODD", "with!odd$characters%in&it"},
    {"SPACED", "four words and \xc3\xa9 of it"},
    {"SAME", "aaaaaaaaaaaaaaaaaaaaaaaa"},
};
enum { REFERENCE_KEYS = sizeof reference_keys / sizeof *reference_keys };

static inline void reference_use(void)
{
    struct keyprints p;
    keyprints_begin(&p);
    for (size_t i = 0; i < REFERENCE_KEYS; i++)
        CHECK(keyprints_add(&p, reference_keys[i].name, str_c(reference_keys[i].key)));
    keyprints_use(&p);
}

static inline int reference_digit(unsigned char c, unsigned bits)
{
    static const char hex[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = !c ? NULL : bits == 4 ? strchr(hex, c) : strchr(base64, c == '-' ? '+' : c == '_' ? '/' : c);
    if (at)
        return (int)(at - (bits == 4 ? hex : base64));
    at = c && bits == 4 ? strchr(upper, c) : NULL;
    return at ? (int)(at - upper) : -1;
}

/* How many characters from `at` on hold the key, which begins `skip` bits after the first one's beginning. */
static inline size_t reference_coded(struct str s, size_t at, struct str key, unsigned bits, unsigned skip)
{
    size_t n = (skip + key.n * 8 + bits - 1) / bits;
    if (at + n > s.n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (reference_digit((unsigned char)s.p[at + i], bits) < 0)
            return 0;
    for (size_t bit = 0; bit < key.n * 8; bit++) {
        size_t from = skip + bit;
        int digit = reference_digit((unsigned char)s.p[at + from / bits], bits);
        int is = digit >> (bits - 1 - from % bits) & 1, wanted = (unsigned char)key.p[bit / 8] >> (7 - bit % 8) & 1;
        if (is != wanted)
            return 0;
    }
    return n;
}

static inline size_t reference_match(struct str s, size_t at, const char **name)
{
    size_t most = 0;
    for (size_t i = 0; i < REFERENCE_KEYS; i++) {
        struct str key = str_c(reference_keys[i].key);
        size_t n = str_starts(str_from(s, at), key) ? key.n : 0, m = reference_coded(s, at, key, 4, 0);
        n = m > n ? m : n;
        for (unsigned skip = 0; skip < 6; skip += 2) {
            m = reference_coded(s, at, key, 6, skip);
            n = m > n ? m : n;
        }
        if (n > most)
            most = n, *name = reference_keys[i].name;
    }
    return most;
}

static inline struct str reference_cover(struct arena *a, struct str s)
{
    struct buf b;
    const char *name = "";
    buf_init(&b, SIZE_MAX);
    for (size_t at = 0; at < s.n;) {
        size_t n = reference_match(s, at, &name);
        if (n)
            buf_printf(&b, "[secret %s]", name);
        else
            buf_addc(&b, s.p[at]);
        at += n ? n : 1;
    }
    struct str ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return ret;
}

/* Appends the key in one of its forms. */
enum { REFERENCE_FORMS = 5 };
static inline void reference_put(struct buf *b, struct str key, unsigned form)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (form == 0)
        buf_add(b, key);
    for (size_t i = 0; i < key.n && (form == 1 || form == 2); i++)
        buf_printf(b, form == 1 ? "%02x" : "%02X", (unsigned char)key.p[i]);
    for (size_t bit = 0; bit < key.n * 8 && form >= 3; bit += 6) {
        unsigned digit = 0;
        for (size_t i = bit; i < bit + 6; i++)
            digit = digit << 1 | (i / 8 < key.n ? (unsigned char)key.p[i / 8] >> (7 - i % 8) & 1 : 0);
        buf_addc(b, (form == 3 ? base64 : url)[digit]);
    }
}

/* The text in pieces: each byte of `cuts` says how long the next one is. */
static inline void reference_keep(void *ctx, const char *bytes, size_t n)
{
    buf_add(ctx, str_n(bytes, n));
}

static inline struct str reference_stream(struct arena *a, struct str s, struct str cuts)
{
    struct keyprint_stream stream = {0};
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (size_t at = 0, i = 0; at < s.n; i++) {
        size_t n = cuts.n ? (unsigned char)cuts.p[i % cuts.n] + 1 : 1;
        n = n > s.n - at ? s.n - at : n;
        keyprint_stream_add(&stream, s.p + at, n, reference_keep, &b);
        at += n;
    }
    keyprint_stream_end(&stream, reference_keep, &b);
    struct str ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return ret;
}
