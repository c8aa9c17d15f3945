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

/* How many characters from `at` on hold the key, which begins `skip` bits after the first one's beginning. Line breaks
 * may be among them, no more than two in a row. */
static inline size_t reference_coded(struct str s, size_t at, struct str key, unsigned bits, unsigned skip, bool joined)
{
    size_t n = (skip + key.n * 8 + bits - 1) / bits, have = 0, used = 0;
    char digits[2 * KEYPRINT_MOST + 2];
    for (size_t breaks = 0; have < n; used++) {
        if (at + used == s.n)
            return 0;
        char c = s.p[at + used];
        bool is_break = joined && have && (c == '\n' || c == '\r');
        if (!is_break && reference_digit((unsigned char)c, bits) < 0)
            return 0;
        if (is_break && ++breaks > 2)
            return 0;
        if (!is_break)
            digits[have++] = c, breaks = 0;
    }
    for (size_t bit = 0; bit < key.n * 8; bit++) {
        size_t from = skip + bit;
        int digit = reference_digit((unsigned char)digits[from / bits], bits);
        int is = digit >> (bits - 1 - from % bits) & 1, wanted = (unsigned char)key.p[bit / 8] >> (7 - bit % 8) & 1;
        if (is != wanted)
            return 0;
    }
    return used;
}

static inline size_t reference_match(struct str s, size_t at, bool joined, const char **name)
{
    size_t most = 0;
    for (size_t i = 0; i < REFERENCE_KEYS; i++) {
        struct str key = str_c(reference_keys[i].key);
        size_t n = str_starts(str_from(s, at), key) ? key.n : 0, m = reference_coded(s, at, key, 4, 0, joined);
        n = m > n ? m : n;
        for (unsigned skip = 0; skip < 6; skip += 2) {
            m = reference_coded(s, at, key, 6, skip, joined);
            n = m > n ? m : n;
        }
        if (n > most)
            most = n, *name = reference_keys[i].name;
    }
    return most;
}

static inline struct str reference_cover(struct arena *a, struct str s, bool joined)
{
    struct buf b;
    const char *name = "";
    buf_init(&b, SIZE_MAX);
    for (size_t at = 0; at < s.n;) {
        size_t n = reference_match(s, at, joined, &name);
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

/* The same in lines of 13. */
static inline void reference_lines(struct buf *b, struct str key, unsigned form)
{
    struct buf one;
    buf_init(&one, 1 << 16);
    reference_put(&one, key, form);
    for (size_t i = 0; i < one.n; i++)
        buf_printf(b, "%s%c", i && i % 13 == 0 ? i % 2 ? "\r\n" : "\n" : "", one.p[i]);
    buf_done(&one);
}

/* The text in pieces: each byte of `cuts` says how long the next one is. */
static inline void reference_keep(void *ctx, const char *bytes, size_t n)
{
    buf_add(ctx, str_n(bytes, n));
}

static inline struct str reference_stream(struct arena *a, struct str s, bool joined, struct str cuts)
{
    struct keyprint_stream stream = {.lines = !joined};
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
