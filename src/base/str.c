/* Text that is only looked at. What makes text lives in buf.c and arena.c. */
#include "base/str.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

size_t str_find(struct str hay, struct str needle)
{
    if (needle.n == 0)
        return 0;
    if (hay.n < needle.n)
        return SIZE_MAX;
    const char *at = memmem(hay.p, hay.n, needle.p, needle.n);
    return at ? (size_t)(at - hay.p) : SIZE_MAX;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0]))
        s.p++, s.n--;
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Follows the table of well-formed byte sequences in the Unicode standard (3.9, table 3-7): no overlong forms,
 * no surrogates, nothing above U+10FFFF. */
size_t str_utf8_valid(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x80) {
            i++;
            continue;
        }
        unsigned char lo = 0x80, hi = 0xBF;
        size_t more;
        if (c >= 0xC2 && c <= 0xDF) {
            more = 1;
        } else if (c >= 0xE0 && c <= 0xEF) {
            more = 2;
            if (c == 0xE0)
                lo = 0xA0;
            if (c == 0xED)
                hi = 0x9F;
        } else if (c >= 0xF0 && c <= 0xF4) {
            more = 3;
            if (c == 0xF0)
                lo = 0x90;
            if (c == 0xF4)
                hi = 0x8F;
        } else {
            return i;
        }
        if (s.n - i <= more)
            return i;
        for (size_t k = 1; k <= more; k++) {
            unsigned char d = (unsigned char)s.p[i + k];
            if (d < lo || d > hi)
                return i;
            lo = 0x80, hi = 0xBF;
        }
        i += more + 1;
    }
    return s.n;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool neg = false;
    size_t i = 0;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        neg = s.p[i++] == '-';
    if (i == s.n)
        return false;
    int64_t v = 0; /* counted downwards: the negative side holds one more */
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, s.p[i] - '0', &v))
            return false;
    }
    if (!neg && __builtin_sub_overflow((int64_t)0, v, &v))
        return false;
    *ret = v;
    return true;
}

unsigned str_distance(struct str a, struct str b, unsigned limit)
{
    enum { MAX = 64 };
    if (a.n > MAX || b.n > MAX)
        return limit + 1;
    unsigned row[3][MAX + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[1][j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *cur = row[(i + 1) % 3], *up = row[i % 3], *up2 = row[(i + 2) % 3];
        cur[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned best = up[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (cur[j - 1] + 1 < best)
                best = cur[j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            cur[j] = best;
        }
    }
    unsigned d = row[(a.n + 1) % 3][b.n];
    return d > limit ? limit + 1 : d;
}

uint64_t str_hash(struct str s, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

bool str_word(struct str *list, char mark, struct str *ret)
{
    if (!list->n)
        return false;
    const char *end = memchr(list->p, mark, list->n);
    *ret = str_n(list->p, end ? (size_t)(end - list->p) : list->n);
    *list = str_from(*list, ret->n + 1);
    return true;
}

bool str_has_word(struct str list, char mark, struct str word)
{
    for (struct str one; word.n && str_word(&list, mark, &one);)
        if (str_eq(one, word))
            return true;
    return false;
}

bool str_portable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '.'))
            return false;
    }
    return s.n > 0;
}
