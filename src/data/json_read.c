/* Reading JSON: one pass over a private copy of the text.
 *
 * The text is copied into the arena once and strings are decoded in place there (an escape is never shorter than what
 * it stands for), so a document costs two allocations plus one for each array or object. Values that are complete but
 * whose container is still open wait on two stacks (`vals` for elements, `members` for members); closing a container
 * moves its part of the stack into the arena at its final size. Nothing recurses: the depth limit is the caller's
 * policy, not a property of the C stack. Line breaks can only stand between tokens, so positions cost nothing inside
 * strings.
 *
 * On an error the arena keeps what was copied; *ret is not touched. */
#include "base/panic.h"
#include "data/decimal.h"
#include "data/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Positions are 32 bits wide. */
static const size_t size_ceiling = (size_t)2 << 30;

struct open { /* a container that is being read */
    bool object;
    uint32_t line, col;
    size_t first; /* where its children begin on their stack */
    struct str key;
    uint32_t key_line, key_col;
};

struct reader {
    struct arena *a;
    char *p, *end;
    const char *line_start;
    uint32_t line;
    unsigned max_depth;
    bool unique;
    struct member twice; /* unique: a key that an object already had */
    struct str first;    /* its first place, "line:col" */
    struct open *open;
    size_t depth, open_cap;
    struct val *vals;
    size_t nvals, vals_cap;
    struct member *members;
    size_t nmembers, members_cap;
    struct err *err;
};

/* Room for one more item of a stack. */
static void *grown(void *at, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return at;
    *cap = *cap ? *cap * 2 : 64;
    at = reallocarray(at, *cap, size);
    if (!at)
        PANIC("out of memory (%zu items of a JSON document)", *cap);
    return at;
}

static uint32_t col_of(const struct reader *r, const char *at)
{
    return (uint32_t)(at - r->line_start) + 1;
}

#define fail(r, at, ...) fail_with((r), (at), RC_INVALID, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) static enum rc fail_with(struct reader *r, const char *at, enum rc rc,
                                                               const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(r->err, rc, fmt, ap);
    va_end(ap);
    return err_wrap(r->err, "%u:%u", r->line, col_of(r, at));
}

/* Names the byte at `at` for a message. */
static enum rc fail_expected(struct reader *r, const char *at, const char *expected)
{
    if (at >= r->end)
        return fail(r, at, "the text ends here; expected %s", expected);
    unsigned char c = (unsigned char)*at;
    if (c > 0x20 && c < 0x7f)
        return fail(r, at, "unexpected '%c'; expected %s", c, expected);
    return fail(r, at, "unexpected byte 0x%02x; expected %s", c, expected);
}

static void skip_space(struct reader *r)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == '\n') {
            r->line++;
            r->line_start = r->p + 1;
        } else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r') {
            break;
        }
    }
}

/* ---- strings ---- */

/* A bit pattern that is not 0 if one of eight bytes is `"`, `\` or a control. */
static uint64_t special_bytes(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & tops;
}

static char *skip_plain(char *p, const char *end)
{
    while (end - p >= 8 && !special_bytes(p))
        p += 8;
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

static int hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v * 16 + (low - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        } else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

/* r->p stands on the `u` of `\u`. */
static enum rc read_unicode_escape(struct reader *r, char **out)
{
    const char *at = r->p - 1;
    int c = hex4(r->p + 1, r->end);
    if (c < 0)
        return fail(r, at, "\\u without four hexadecimal digits");
    r->p += 5;
    if (c >= 0xdc00 && c <= 0xdfff)
        return fail(r, at, "a lone surrogate; expected a high one (\\ud800 to \\udbff) before it");
    if (c >= 0xd800 && c <= 0xdbff) {
        int low = r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u' ? hex4(r->p + 2, r->end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(r, at, "a lone surrogate; expected a low one (\\udc00 to \\udfff) after it");
        r->p += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, (uint32_t)c);
    return RC_OK;
}

static enum rc read_escape(struct reader *r, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    r->p++;
    if (r->p == r->end)
        return fail_expected(r, r->p, "the rest of an escape");
    if (*r->p == 'u')
        return read_unicode_escape(r, out);
    const char *found = memchr(from, *r->p, sizeof from - 1);
    if (!found)
        return fail_expected(r, r->p, "one of \" \\ / b f n r t u after the backslash");
    *(*out)++ = to[found - from];
    r->p++;
    return RC_OK;
}

/* r->p stands on the opening quote. */
static enum rc read_string(struct reader *r, struct str *ret)
{
    const char *quote = r->p;
    char *start = ++r->p, *out = NULL;
    for (;;) {
        char *run = r->p;
        r->p = skip_plain(run, r->end);
        if (out) {
            memmove(out, run, (size_t)(r->p - run));
            out += r->p - run;
        }
        if (r->p == r->end)
            return fail(r, quote, "this string is never closed; expected '\"'");
        if (*r->p == '"')
            break;
        if (*r->p != '\\')
            return fail(r, r->p, "control character 0x%02x in a string; expected an escape such as \\n",
                        (unsigned char)*r->p);
        if (!out)
            out = r->p;
        enum rc rc = read_escape(r, &out);
        if (rc)
            return rc;
    }
    if (!out)
        out = r->p;
    *ret = str_n(start, (size_t)(out - start));
    *out = 0; /* at the latest on the closing quote */
    r->p++;
    return RC_OK;
}

/* ---- numbers and words ---- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static struct val integer(struct str s)
{
    int64_t i;
    return str_to_i64(s, &i) ? val_int(i) : (struct val){.type = VAL_BIGINT, .s = s};
}

static enum rc read_number(struct reader *r, struct val *ret)
{
    const char *start = r->p, *p = start + (*start == '-'), *end = r->end;
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits)
        return fail_expected(r, p, "a digit");
    if (*digits == '0' && p - digits > 1)
        return fail(r, digits, "a number with a leading zero");
    bool real = false;
    if (p < end && *p == '.') {
        real = true;
        const char *fraction = ++p;
        p = skip_digits(p, end);
        if (p == fraction)
            return fail_expected(r, p, "a digit after the point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        real = true;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *exponent = p;
        p = skip_digits(p, end);
        if (p == exponent)
            return fail_expected(r, p, "a digit of the exponent");
    }
    struct str s = {start, (size_t)(p - start)};
    if (!real) {
        *ret = integer(s);
    } else {
        *ret = val_double(decimal_read(s));
        if (!isfinite(ret->d))
            return fail(r, start, "a number too large for a double");
    }
    r->p += s.n;
    return RC_OK;
}

static enum rc read_word(struct reader *r, struct val *ret)
{
    static const struct {
        struct str word;
        const struct val *v;
    } words[] = {{{"null", 4}, &val_null}, {{"true", 4}, &val_true}, {{"false", 5}, &val_false}};
    struct str rest = str_n(r->p, (size_t)(r->end - r->p));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_starts(rest, words[i].word)) {
            *ret = *words[i].v;
            r->p += words[i].word.n;
            return RC_OK;
        }
    return fail_expected(r, r->p, "a value");
}

/* ---- containers ---- */

static enum rc push_open(struct reader *r)
{
    if (r->depth >= r->max_depth)
        return fail_with(r, r->p, RC_LIMIT, "more than %u levels of nesting", r->max_depth);
    r->open = grown(r->open, r->depth, &r->open_cap, sizeof *r->open);
    bool object = *r->p == '{';
    r->open[r->depth++] = (struct open){
        .object = object, .line = r->line, .col = col_of(r, r->p), .first = object ? r->nmembers : r->nvals};
    r->p++;
    return RC_OK;
}

static struct val close_array(struct reader *r, const struct open *o)
{
    size_t n = r->nvals - o->first;
    struct val v = val_empty_array;
    if (n) {
        struct val *mine = arena_calloc(r->a, n, sizeof *mine);
        memcpy(mine, r->vals + o->first, n * sizeof *mine);
        v.arr.v = mine;
        v.arr.n = n;
    }
    r->nvals = o->first;
    return v;
}

static struct val close_object(struct reader *r, const struct open *o)
{
    struct val_map map = val_map_new(r->a);
    val_map_reserve(&map, r->nmembers - o->first);
    for (size_t i = o->first; i < r->nmembers; i++) {
        const struct member *m = &r->members[i];
        if (val_map_add(&map, m->key, m->val, m->line, m->col))
            continue;
        if (r->unique && !r->twice.line) {
            const struct member *first = r->members + o->first;
            while (!str_eq(first->key, m->key))
                first++;
            r->twice = *m;
            r->first = arena_printf(r->a, "%u:%u", first->line, first->col);
        }
        val_map_set(&map, m->key, m->val);
    }
    r->nmembers = o->first;
    return val_map_done(&map);
}

static struct val close_container(struct reader *r)
{
    const struct open *o = &r->open[--r->depth];
    struct val v = o->object ? close_object(r, o) : close_array(r, o);
    v.line = o->line;
    v.col = o->col;
    r->p++;
    return v;
}

/* Reads `"key" :` of the innermost object. */
static enum rc read_key(struct reader *r)
{
    struct open *o = &r->open[r->depth - 1];
    if (r->p == r->end || *r->p != '"')
        return fail_expected(r, r->p, "a key in double quotes");
    o->key_line = r->line;
    o->key_col = col_of(r, r->p);
    enum rc rc = read_string(r, &o->key);
    if (rc)
        return rc;
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return fail_expected(r, r->p, "':' after the key");
    r->p++;
    skip_space(r);
    return RC_OK;
}

/* Hands a complete value to the container it stands in. */
static void deliver(struct reader *r, struct val v)
{
    const struct open *o = &r->open[r->depth - 1];
    if (o->object) {
        r->members = grown(r->members, r->nmembers, &r->members_cap, sizeof *r->members);
        r->members[r->nmembers++] = (struct member){.key = o->key, .val = v, .line = o->key_line, .col = o->key_col};
    } else {
        r->vals = grown(r->vals, r->nvals, &r->vals_cap, sizeof *r->vals);
        r->vals[r->nvals++] = v;
    }
}

/* A value begins here. *ret_open: it is a container that has children still to come; *ret is then not set. */
static enum rc read_start(struct reader *r, struct val *ret, bool *ret_open)
{
    uint32_t line = r->line, col = col_of(r, r->p);
    char c = r->p < r->end ? *r->p : 0;
    enum rc rc;
    *ret_open = false;
    if (c == '{' || c == '[') {
        if ((rc = push_open(r)))
            return rc;
        skip_space(r);
        *ret_open = r->p == r->end || *r->p != c + 2; /* ']' and '}' follow two after their openers */
        if (!*ret_open)
            *ret = close_container(r);
        else if (c == '{')
            rc = read_key(r);
        return rc;
    }
    if (c == '"') {
        *ret = val_null;
        ret->type = VAL_STR;
        rc = read_string(r, &ret->s);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        rc = read_number(r, ret);
    } else {
        rc = read_word(r, ret);
    }
    ret->line = line;
    ret->col = col;
    return rc;
}

/* After a complete value: hands it up through every container that closes behind it, until another value must follow
 * (*ret_more) or the outermost one is complete. */
static enum rc read_rest(struct reader *r, struct val *v, bool *ret_more)
{
    for (;;) {
        skip_space(r);
        *ret_more = r->depth > 0;
        if (!r->depth)
            return RC_OK;
        deliver(r, *v);
        bool object = r->open[r->depth - 1].object;
        char c = r->p < r->end ? *r->p : 0;
        if (c == ',') {
            r->p++;
            skip_space(r);
            return object ? read_key(r) : RC_OK;
        }
        if (c != (object ? '}' : ']'))
            return fail_expected(r, r->p, object ? "',' or '}'" : "',' or ']'");
        *v = close_container(r);
    }
}

static enum rc read_document(struct reader *r, struct val *ret)
{
    struct val v;
    bool more = true;
    skip_space(r);
    while (more) {
        bool opened;
        enum rc rc = read_start(r, &v, &opened);
        if (!rc && !opened)
            rc = read_rest(r, &v, &more);
        if (rc)
            return rc;
    }
    if (r->p < r->end)
        return fail_expected(r, r->p, "nothing after the value");
    if (r->twice.line)
        return err_set(r->err, RC_INVALID,
                       "%u:%u: the key \"%.*s\" stands twice in this object (first at %.*s); "
                       "expected it once",
                       r->twice.line, r->twice.col, r->twice.key.n < 60 ? (int)r->twice.key.n : 60, r->twice.key.p,
                       STR_ARG(r->first));
    *ret = v;
    return RC_OK;
}

static enum rc fail_utf8(struct reader *r, struct str text, size_t at)
{
    r->line_start = text.p;
    for (size_t i = 0; i < at; i++)
        if (text.p[i] == '\n') {
            r->line++;
            r->line_start = text.p + i + 1;
        }
    return fail(r, text.p + at, "byte 0x%02x is not valid UTF-8", (unsigned char)text.p[at]);
}

enum rc json_parse(struct arena *a, struct str text, const struct json_limits *limits, struct val *ret, struct err *err)
{
    struct json_limits lim = limits ? *limits : JSON_LIMITS_DEFAULT;
    if (text.n > lim.max_size || text.n > size_ceiling)
        return err_set(err, RC_LIMIT, "JSON text of %zu bytes; at most %zu are accepted", text.n,
                       lim.max_size < size_ceiling ? lim.max_size : size_ceiling);
    struct reader r = {.a = a, .line = 1, .max_depth = lim.depth, .unique = lim.unique, .err = err};
    size_t valid = str_utf8_valid(text);
    if (valid < text.n)
        return fail_utf8(&r, text, valid);
    r.p = arena_cstr(a, text);
    r.end = r.p + text.n;
    r.line_start = r.p;
    enum rc rc = read_document(&r, ret);
    free(r.open);
    free(r.vals);
    free(r.members);
    return rc;
}
