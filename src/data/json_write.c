/* Writing JSON. An explicit stack instead of recursion, because trees that a program builds may be deep; one writer for
 * all styles, which differ only in the white space that separators carry.
 *
 * Output is always valid JSON text in UTF-8, whatever is in the tree: bytes of a string that are no valid UTF-8 become
 * U+FFFD, non-finite doubles become null. The canonical form prints a double that is a whole number as an integer,
 * because 1 == 1.0 and equal values must give equal bytes. */
#include "base/panic.h"
#include "data/decimal.h"
#include "data/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_ROOM = 32, DOUBLE_MAX = 32 };

/* ---- doubles ---- */

static size_t put_digits(char *out, uint64_t v)
{
    char tmp[20];
    size_t n = 0;
    do
        tmp[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    return n;
}

/* 1.5e-07: what repr prints when the point would stand far from the digits. */
static size_t put_exponential(char *out, const char *digits, size_t n, int exp)
{
    size_t len = 0;
    out[len++] = digits[0];
    if (n > 1) {
        out[len++] = '.';
        memcpy(out + len, digits + 1, n - 1);
        len += n - 1;
    }
    out[len++] = 'e';
    out[len++] = exp < 0 ? '-' : '+';
    unsigned e = (unsigned)(exp < 0 ? -exp : exp);
    if (e < 10)
        out[len++] = '0';
    return len + put_digits(out + len, e);
}

size_t json_double_text(double d, char *out)
{
    if (!isfinite(d)) {
        memcpy(out, "null", 4);
        return 4;
    }
    size_t len = 0;
    if (signbit(d))
        out[len++] = '-';
    if (d == 0) {
        memcpy(out + len, "0.0", 3);
        return len + 3;
    }
    struct decimal dec = decimal_shortest(fabs(d));
    char digits[20];
    size_t n = put_digits(digits, dec.digits);
    int point = (int)n + dec.exp; /* digits before the decimal point */
    if (point <= -4 || point > 16)
        return len + put_exponential(out + len, digits, n, point - 1);
    if (point <= 0) {
        memcpy(out + len, "0.000", 5);
        len += 2 + (size_t)-point;
        memcpy(out + len, digits, n);
        return len + n;
    }
    size_t whole = (size_t)point;
    if (n <= whole) {
        memcpy(out + len, digits, n);
        memset(out + len + n, '0', whole - n);
        len += whole;
        memcpy(out + len, ".0", 2);
        return len + 2;
    }
    memcpy(out + len, digits, whole);
    len += whole;
    out[len++] = '.';
    memcpy(out + len, digits + whole, n - whole);
    return len + n - whole;
}

/* ---- strings ---- */

/* A bit pattern that is not 0 if one of eight bytes is `"`, `\` or a control. */
static uint64_t special_bytes(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & tops;
}

static bool is_special(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

/* The first byte from `i` on that needs an escape. */
static size_t plain_end(struct str s, size_t i)
{
    for (uint64_t w; s.n - i >= 8; i += 8) {
        memcpy(&w, s.p + i, sizeof w);
        if (special_bytes(w))
            break;
    }
    while (i < s.n && !is_special(s.p[i]))
        i++;
    return i;
}

static void write_escape(struct buf *out, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char z[6] = {'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4 & 15], "0123456789abcdef"[c & 15]};
    const char *found = memchr(from, c, sizeof from - 1);
    if (found)
        z[1] = to[found - from];
    buf_add(out, str_n(z, found ? 2 : 6));
}

static void write_valid(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t end = plain_end(s, i);
        buf_add(out, str_n(s.p + i, end - i));
        if (end < s.n)
            write_escape(out, s.p[end++]);
        i = end;
    }
}

void json_write_str(struct buf *out, struct str s)
{
    buf_addc(out, '"');
    for (;;) {
        size_t valid = str_utf8_valid(s);
        write_valid(out, str_n(s.p, valid));
        if (valid == s.n)
            break;
        buf_add(out, STR("\xef\xbf\xbd"));
        s = str_from(s, valid + 1);
    }
    buf_addc(out, '"');
}

/* ---- trees ---- */

struct level {
    const struct val *v;
    size_t next;
    const struct member **sorted; /* canonical objects only */
};

struct writer {
    struct buf *out;
    struct str comma, colon;
    bool pretty, canonical;
    struct level *at, room[DEPTH_ROOM];
    size_t n, cap;
};

static void write_double(struct writer *w, double d)
{
    char z[400];
    if (w->canonical && isfinite(d) && d == trunc(d)) {
        int n = snprintf(z, sizeof z, "%.0f", d == 0 ? 0.0 : d);
        buf_add(w->out, str_n(z, (size_t)n));
        return;
    }
    buf_add(w->out, str_n(z, json_double_text(d, z)));
}

static void write_int(struct buf *out, int64_t i)
{
    char z[24];
    size_t n = i < 0;
    z[0] = '-';
    n += put_digits(z + n, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    buf_add(out, str_n(z, n));
}

static int by_key(const void *a, const void *b)
{
    const struct member *const *x = a, *const *y = b;
    return str_cmp((*x)->key, (*y)->key);
}

static const struct member **sorted_members(const struct val *v)
{
    const struct member **sorted = malloc(v->obj.n * sizeof(*sorted));
    if (!sorted)
        PANIC("out of memory (%zu members)", v->obj.n);
    for (size_t i = 0; i < v->obj.n; i++)
        sorted[i] = &v->obj.m[i];
    qsort(sorted, v->obj.n, sizeof(*sorted), by_key);
    return sorted;
}

static void enter(struct writer *w, const struct val *v)
{
    if (w->n == w->cap) {
        struct level *more = realloc(w->at == w->room ? NULL : w->at, w->cap * 2 * sizeof *more);
        if (!more)
            PANIC("out of memory (%zu levels of JSON)", w->cap);
        if (w->at == w->room)
            memcpy(more, w->room, sizeof w->room);
        w->at = more;
        w->cap *= 2;
    }
    bool sort = w->canonical && v->type == VAL_OBJECT;
    w->at[w->n++] = (struct level){.v = v, .sorted = sort ? sorted_members(v) : NULL};
    buf_addc(w->out, v->type == VAL_ARRAY ? '[' : '{');
}

static void write_value(struct writer *w, const struct val *v)
{
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        buf_add(w->out, STR("null"));
        break;
    case VAL_BOOL:
        buf_add(w->out, v->b ? STR("true") : STR("false"));
        break;
    case VAL_INT:
        write_int(w->out, v->i);
        break;
    case VAL_BIGINT:
        buf_add(w->out, v->s);
        break;
    case VAL_DOUBLE:
        write_double(w, v->d);
        break;
    case VAL_STR:
        json_write_str(w->out, v->s);
        break;
    case VAL_ARRAY:
        if (v->arr.n)
            enter(w, v);
        else
            buf_add(w->out, STR("[]"));
        break;
    case VAL_OBJECT:
        if (v->obj.n)
            enter(w, v);
        else
            buf_add(w->out, STR("{}"));
        break;
    }
}

static void new_line(struct writer *w)
{
    if (!w->pretty)
        return;
    buf_addc(w->out, '\n');
    for (size_t i = 0; i < w->n; i++)
        buf_add(w->out, STR("  "));
}

static void leave(struct writer *w)
{
    struct level *l = &w->at[--w->n];
    free(l->sorted);
    new_line(w);
    buf_addc(w->out, l->v->type == VAL_ARRAY ? ']' : '}');
}

static void write_tree(struct writer *w, const struct val *v)
{
    w->at = w->room;
    w->n = 0;
    w->cap = DEPTH_ROOM;
    write_value(w, v);
    while (w->n) {
        struct level *l = &w->at[w->n - 1];
        size_t i = l->next++;
        if (i == (l->v->type == VAL_ARRAY ? l->v->arr.n : l->v->obj.n) || w->out->overflow) {
            leave(w);
            continue;
        }
        if (i)
            buf_add(w->out, w->comma);
        new_line(w);
        if (l->v->type == VAL_ARRAY) {
            write_value(w, &l->v->arr.v[i]);
        } else {
            const struct member *m = l->sorted ? l->sorted[i] : &l->v->obj.m[i];
            json_write_str(w->out, m->key);
            buf_add(w->out, w->colon);
            write_value(w, &m->val);
        }
    }
    if (w->at != w->room)
        free(w->at);
}

void json_write(struct buf *out, const struct val *v, enum json_style style)
{
    struct writer w = {.out = out,
                       .comma = style == JSON_SPACED ? STR(", ") : STR(","),
                       .colon = style == JSON_COMPACT ? STR(":") : STR(": "),
                       .pretty = style == JSON_PRETTY};
    write_tree(&w, v ? v : &val_null);
}

static struct str text_of(struct arena *a, const struct val *v, bool canonical)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4); /* memory is the limit: the tree is there already */
    struct writer w = {.out = &b, .comma = STR(","), .colon = STR(":"), .canonical = canonical};
    write_tree(&w, v ? v : &val_null);
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

struct str json_text(struct arena *a, const struct val *v)
{
    return text_of(a, v, false);
}

struct str json_canonical(struct arena *a, const struct val *v)
{
    return text_of(a, v, true);
}
