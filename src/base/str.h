#pragma once
/* Borrowed text: a pointer and a length, passed by value everywhere inside Treadle.
 *
 * A `struct str` owns nothing; whoever made it says how long it lives (usually: as long as an arena).
 * It may hold any bytes, NUL included, and is not NUL-terminated unless its maker says so. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* A str of a string literal. */
#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
/* For printf: `printf("%.*s", STR_ARG(s))`. */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_c(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}
static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *z)
{
    return str_eq(a, str_c(z));
}

/* Lists of words in one text, as in "a|b|c": takes the first one off; false: none is left. */
bool str_word(struct str *list, char mark, struct str *ret);
/* Is it one of them? No empty one is. */
bool str_has_word(struct str list, char mark, struct str word);
/* At least one of ASCII letters, digits, `_`, `-` and `.`, and nothing else: the same in a path, a URL and a shell. */
bool str_portable(struct str s);
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}
/* The part of `s` from byte `from` on; empty when `from` is past the end. */
static inline struct str str_from(struct str s, size_t from)
{
    return from >= s.n ? (struct str){s.p + s.n, 0} : (struct str){s.p + from, s.n - from};
}

/* Bytewise order: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
/* Byte offset of the first `needle` in `hay`, or SIZE_MAX. An empty needle is found at 0. */
size_t str_find(struct str hay, struct str needle);
/* Without ASCII white space at both ends. */
struct str str_trim(struct str s);
/* Bytes of the longest valid UTF-8 prefix of `s` (== s.n when all of it is valid). */
size_t str_utf8_valid(struct str s);
/* Decimal integer of the whole of `s` (optional sign, no spaces). False when it is none or does not fit. */
bool str_to_i64(struct str s, int64_t *ret);
/* Edit distance (insert, delete, replace, swap of neighbours), for "did you mean"; stops counting above `limit`. */
unsigned str_distance(struct str a, struct str b, unsigned limit);
/* 64-bit FNV-1a with a final mix: the same everywhere and always. For tables keyed from outside use base/hash.h. */
uint64_t str_hash(struct str s, uint64_t seed);
