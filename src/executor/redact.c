/* A secret is known by its value, so its forms can be listed once and looked for as plain text. What a program makes of
 * a secret by other means (reversed, encrypted, in pieces) is not found: redaction is a net for accidents; the border
 * is that only commands which list a secret get it.
 *
 * In base64 three bytes become four characters, so the same text has three forms, by where it begins. Of each form only
 * the characters that depend on the secret alone are looked for.
 *
 * API keys are another matter: their values are not known here, only their fingerprints (base/keyprint.h).
 *
 * A capture may leave out the middle of an output and cut a secret in two there. So next to its mark a beginning or end
 * of a form counts as one, too. */
#include "executor/redact.h"

#include "base/buf.h"
#include "base/keyprint.h"
#include "data/json.h"
#include "data/val_cover.h"

#include <ctype.h>
#include <stdio.h>

enum { PART_LEAST = 4 }; /* of a form at a cut */
#define MARK_BEGIN "\n[... "
#define MARK_END   " left out ...]\n"

struct redaction {
    struct redaction *next; /* longer forms first */
    struct str form, name;
};

static void add_form(struct redactor *r, struct str name, struct str form)
{
    struct redaction **at = &r->first;
    if (form.n < SECRET_LEAST)
        return;
    for (; *at && (*at)->form.n >= form.n; at = &(*at)->next)
        if (str_eq((*at)->form, form))
            return;
    struct redaction *x = ARENA_NEW(&r->arena, struct redaction);
    *x = (struct redaction){.next = *at, .form = form, .name = name};
    *at = x;
}

static struct str hex_form(struct arena *a, struct str v, const char *digits)
{
    char *p = arena_alloc(a, v.n * 2 + 1);
    for (size_t i = 0; i < v.n; i++) {
        p[2 * i] = digits[(unsigned char)v.p[i] >> 4];
        p[2 * i + 1] = digits[(unsigned char)v.p[i] & 15];
    }
    return str_n(p, v.n * 2);
}

static struct str url_form(struct arena *a, struct str v, const char *digits, bool plus)
{
    char *p = arena_alloc(a, v.n * 3 + 1), *q = p;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            *q++ = (char)c;
        } else if (plus && c == ' ') {
            *q++ = '+';
        } else {
            *q++ = '%', *q++ = digits[c >> 4], *q++ = digits[c & 15];
        }
    }
    return str_n(p, (size_t)(q - p));
}

/* The characters that `v` alone determines when `before` bytes of something else come before it. */
static struct str base64_form(struct arena *a, struct str v, size_t before, const char *alphabet)
{
    size_t first = (before * 8 + 5) / 6, end = (before + v.n) * 8 / 6;
    char *p = arena_alloc(a, end + 1);
    for (size_t i = first; i < end; i++) {
        unsigned digit = 0;
        for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
            unsigned char c = (unsigned char)v.p[bit / 8 - before];
            digit = digit << 1 | (c >> (7 - bit % 8) & 1);
        }
        p[i - first] = alphabet[digit];
    }
    return str_n(p, end - first);
}

void redact_add(struct redactor *r, struct str name, struct str value)
{
    static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char upper[] = "0123456789ABCDEF", lower[] = "0123456789abcdef";
    struct arena *a = &r->arena;
    if (value.n < SECRET_LEAST)
        return;
    name = arena_str(a, name), value = arena_str(a, value);
    struct val text = val_str(value);
    struct str json = json_text(a, &text);
    add_form(r, name, value);
    add_form(r, name, str_n(json.p + 1, json.n - 2)); /* without its quotes */
    for (int i = 0; i < 2; i++) {
        add_form(r, name, hex_form(a, value, i ? upper : lower));
        add_form(r, name, url_form(a, value, i ? upper : lower, false));
        add_form(r, name, url_form(a, value, i ? upper : lower, true));
        for (size_t before = 0; before < 3; before++)
            add_form(r, name, base64_form(a, value, before, i ? url_safe : standard));
    }
}

void redact_done(struct redactor *r)
{
    arena_done(&r->arena);
    r->first = NULL;
}

/* ---- finding ---- */

static struct str replace(struct arena *a, struct str s, const struct redaction *x)
{
    struct buf b;
    size_t at;
    buf_init(&b, (size_t)1 << 30);
    while ((at = str_find(s, x->form)) != SIZE_MAX) {
        buf_add(&b, str_n(s.p, at));
        buf_printf(&b, "[secret %.*s]", STR_ARG(x->name));
        s = str_from(s, at + x->form.n);
    }
    buf_add(&b, s);
    s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

/* How much of the end of `s` begins a form; how much of its beginning ends one. */
static size_t cut_end(const struct redactor *r, struct str s)
{
    size_t most = 0;
    for (const struct redaction *x = r->first; x; x = x->next)
        for (size_t n = x->form.n - 1; n >= PART_LEAST && n > most; n--)
            if (n <= s.n && memcmp(s.p + s.n - n, x->form.p, n) == 0)
                most = n;
    return most;
}

static size_t cut_begin(const struct redactor *r, struct str s)
{
    size_t most = 0;
    for (const struct redaction *x = r->first; x; x = x->next)
        for (size_t n = x->form.n - 1; n >= PART_LEAST && n > most; n--)
            if (n <= s.n && memcmp(s.p, x->form.p + x->form.n - n, n) == 0)
                most = n;
    return most;
}

static struct str at_cut(const struct redactor *r, struct arena *a, struct str s)
{
    size_t at = str_find(s, STR(MARK_BEGIN));
    size_t end = at == SIZE_MAX ? SIZE_MAX : str_find(str_from(s, at), STR(MARK_END));
    if (end == SIZE_MAX)
        return s;
    end += at + sizeof MARK_END - 1;
    struct str head = str_n(s.p, at), tail = str_from(s, end);
    size_t before = cut_end(r, head), after = cut_begin(r, tail);
    if (!before && !after)
        return s;
    return arena_printf(a, "%.*s%s%.*s%s%.*s", (int)(head.n - before), head.p, before ? "[secret]" : "",
                        (int)(end - at), s.p + at, after ? "[secret]" : "", STR_ARG(str_from(tail, after)));
}

struct str redact_text(const struct redactor *r, struct arena *a, struct str s)
{
    s = keyprints_cover(a, s);
    for (const struct redaction *x = r->first; x; x = x->next)
        if (str_find(s, x->form) != SIZE_MAX)
            s = replace(a, s, x);
    return r->first ? at_cut(r, a, s) : s;
}

struct val redact(const struct redactor *r, struct arena *a, const struct val *v)
{
    struct val copy = *v;
    if (!r->first)
        return val_covered(a, v);
    if (v->type == VAL_STR) {
        copy.s = redact_text(r, a, v->s);
    } else if (v->type == VAL_ARRAY && v->arr.n) {
        struct val *items = arena_calloc(a, v->arr.n, sizeof *items);
        for (size_t i = 0; i < v->arr.n; i++)
            items[i] = redact(r, a, &v->arr.v[i]);
        copy.arr.v = items;
    } else if (v->type == VAL_OBJECT && v->obj.n) {
        struct val_map m = val_map_new(a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_set(&m, redact_text(r, a, v->obj.m[i].key), redact(r, a, &v->obj.m[i].val));
        copy = val_map_done(&m);
    }
    return copy;
}
