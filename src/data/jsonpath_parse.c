/* RFC 9535's grammar by recursive descent, with its rules of typing.
 *
 * White space is allowed exactly where the RFC has it: between segments and inside of brackets and filters, not around
 * the query, and not between a name and what belongs to it. Which comparisons and arguments are well-typed is decided
 * here, so the evaluator meets none that are not. Recursion is bounded by JSONPATH_NESTING_MAX. */
#include "data/iregexp.h"
#include "data/json.h"
#include "data/jsonpath_int.h"
#include "data/regex.h"

#include <stdarg.h>
#include <stdio.h>

enum { SEGMENTS_MAX = 1000 };
#define INDEX_MAX ((int64_t)9007199254740991) /* 2^53 - 1 */

const struct jp_fn_info jp_fns[] = {
    [JP_LENGTH] = {"length", JP_VALUE, {JP_VALUE}, 1},
    [JP_COUNT] = {"count", JP_VALUE, {JP_NODES}, 1},
    [JP_MATCH] = {"match", JP_LOGICAL, {JP_VALUE, JP_VALUE}, 2},
    [JP_SEARCH] = {"search", JP_LOGICAL, {JP_VALUE, JP_VALUE}, 2},
    [JP_VALUE_OF] = {"value", JP_VALUE, {JP_NODES}, 1},
};
static const size_t nfns = sizeof jp_fns / sizeof *jp_fns;

struct parser {
    struct arena *a;
    struct str in;
    size_t at;
    unsigned depth;
    struct err *err;
};

static enum rc fail_at(const struct parser *p, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static enum rc fail_at(const struct parser *p, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(p->err, RC_INVALID, fmt, ap);
    va_end(ap);
    return err_wrap(p->err, "byte %zu", at + 1);
}
#define FAIL(p, ...) fail_at((p), (p)->at, __VA_ARGS__)

static char peek(const struct parser *p)
{
    return p->at < p->in.n ? p->in.p[p->at] : 0;
}
static bool ahead(const struct parser *p, const char *z)
{
    return str_starts(str_from(p->in, p->at), str_c(z));
}
static bool take(struct parser *p, const char *z)
{
    bool there = ahead(p, z);
    p->at += there ? strlen(z) : 0;
    return there;
}
static void blanks(struct parser *p)
{
    while (p->at < p->in.n && memchr(" \t\n\r", p->in.p[p->at], 4))
        p->at++;
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool name_first(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static enum rc enter(struct parser *p)
{
    if (++p->depth > JSONPATH_NESTING_MAX)
        return FAIL(p, "nested more than %d levels deep; simplify the query", JSONPATH_NESTING_MAX);
    return RC_OK;
}

/* ---- literals ---- */

/* 0, or an integer without zeros in front, within ±(2^53 - 1). */
static enum rc integer(struct parser *p, int64_t *ret)
{
    size_t from = p->at;
    bool minus = take(p, "-");
    int64_t v = 0;
    if (!is_digit(peek(p)))
        return FAIL(p, "expected an integer");
    bool zero = peek(p) == '0';
    for (; is_digit(peek(p)); p->at++) {
        v = v * 10 + (peek(p) - '0');
        if (v > INDEX_MAX)
            return fail_at(p, from, "an integer beyond 2^53 - 1");
    }
    if (zero && (v != 0 || minus || p->at - from > 1))
        return fail_at(p, from, minus && v == 0 ? "-0 is no index; expected 0" : "an integer with a 0 in front");
    *ret = minus ? -v : v;
    return RC_OK;
}

static int hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind \u. */
static enum rc four_digits(struct parser *p, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        if (hex(peek(p)) < 0)
            return FAIL(p, "expected four hexadecimal digits after \\u");
        *ret = *ret * 16 + (uint32_t)hex(peek(p));
    }
    return RC_OK;
}

static void put_code(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(b, (char)c);
    } else if (c < 0x800) {
        buf_addc(b, (char)(0xC0 | c >> 6));
        buf_addc(b, (char)(0x80 | (c & 0x3F)));
    } else {
        if (c < 0x10000) {
            buf_addc(b, (char)(0xE0 | c >> 12));
        } else {
            buf_addc(b, (char)(0xF0 | c >> 18));
            buf_addc(b, (char)(0x80 | (c >> 12 & 0x3F)));
        }
        buf_addc(b, (char)(0x80 | (c >> 6 & 0x3F)));
        buf_addc(b, (char)(0x80 | (c & 0x3F)));
    }
}

static enum rc unicode_escape(struct parser *p, struct buf *b)
{
    uint32_t c = 0, low = 0;
    TRY(four_digits(p, &c));
    if (c >= 0xD800 && c < 0xDC00) {
        if (!take(p, "\\u"))
            return FAIL(p, "expected the other half of a surrogate pair");
        TRY(four_digits(p, &low));
        if (low < 0xDC00 || low > 0xDFFF)
            return FAIL(p, "expected the other half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else if (c >= 0xDC00 && c <= 0xDFFF) {
        return FAIL(p, "half of a surrogate pair");
    }
    put_code(b, c);
    return RC_OK;
}

static enum rc string_body(struct parser *p, char quote, struct buf *b)
{
    static const char from[] = "bfnrt/\\", to[] = "\b\f\n\r\t/\\";
    size_t start = p->at - 1;
    for (;;) {
        if (p->at >= p->in.n)
            return fail_at(p, start, "a string without its end");
        char c = p->in.p[p->at];
        if (c == quote) {
            p->at++;
            return RC_OK;
        }
        if ((unsigned char)c < 0x20)
            return FAIL(p, "a control character in a string; write it as an escape such as \\n or \\u0007");
        p->at++;
        if (c != '\\') {
            buf_addc(b, c);
            continue;
        }
        char e = peek(p);
        const char *known = e ? strchr(from, e) : NULL;
        if (known)
            buf_addc(b, to[known - from]);
        else if (e == quote && e)
            buf_addc(b, quote);
        else if (e != 'u')
            return FAIL(p, "unknown escape; expected \\\\ \\%c \\/ \\b \\f \\n \\r \\t or \\u and four digits", quote);
        p->at++;
        if (e == 'u')
            TRY(unicode_escape(p, b));
    }
}

/* At a quotation mark. */
static enum rc string(struct parser *p, struct str *ret)
{
    struct buf b;
    buf_init(&b, JSONPATH_TEXT_MAX);
    char quote = p->in.p[p->at++];
    enum rc rc = string_body(p, quote, &b);
    if (rc == RC_OK)
        *ret = arena_str(p->a, buf_str(&b));
    buf_done(&b);
    return rc;
}

/* A number as JSON writes it. */
static enum rc number(struct parser *p, struct val *ret)
{
    size_t from = p->at;
    while (p->at < p->in.n && (is_digit(peek(p)) || memchr("+-.eE", peek(p), 5)))
        p->at++;
    struct err why;
    if (json_parse(p->a, str_n(p->in.p + from, p->at - from), NULL, ret, &why) != RC_OK)
        return fail_at(p, from, "not a number that JSON allows");
    return RC_OK;
}

/* ---- segments ---- */

static enum rc logical_or(struct parser *p, const struct jp_expr **ret);

static enum rc slice(struct parser *p, struct jp_selector *s)
{
    s->kind = SEL_SLICE;
    s->step = 1;
    blanks(p);
    if (peek(p) == '-' || is_digit(peek(p))) {
        s->has_to = true;
        TRY(integer(p, &s->to));
        blanks(p);
    }
    if (!take(p, ":"))
        return RC_OK;
    size_t end = p->at;
    blanks(p);
    if (peek(p) == '-' || is_digit(peek(p)))
        TRY(integer(p, &s->step));
    else
        p->at = end;
    return RC_OK;
}

static enum rc selector(struct parser *p, struct jp_selector *s)
{
    char c = peek(p);
    if (c == '\'' || c == '"') {
        s->kind = SEL_NAME;
        return string(p, &s->name);
    }
    if (take(p, "*")) {
        s->kind = SEL_WILDCARD;
        return RC_OK;
    }
    if (take(p, "?")) {
        s->kind = SEL_FILTER;
        blanks(p);
        return logical_or(p, &s->filter);
    }
    if (take(p, ":"))
        return slice(p, s);
    if (c != '-' && !is_digit(c))
        return FAIL(p, "expected a name in quotes, an index, a slice, * or ?");
    s->kind = SEL_INDEX;
    TRY(integer(p, &s->from));
    size_t end = p->at;
    blanks(p);
    if (take(p, ":")) {
        s->has_from = true;
        return slice(p, s);
    }
    p->at = end;
    return RC_OK;
}

/* Behind [. */
static enum rc bracketed(struct parser *p, struct jp_segment *seg)
{
    struct jp_selector *v = NULL;
    size_t n = 0, cap = 0;
    TRY(enter(p));
    do {
        blanks(p);
        if (n == cap) {
            cap = cap ? cap * 2 : 1;
            struct jp_selector *grown = arena_calloc(p->a, cap, sizeof *grown);
            if (n)
                memcpy(grown, v, n * sizeof *v);
            v = grown;
        }
        TRY(selector(p, &v[n++]));
        blanks(p);
    } while (take(p, ","));
    if (!take(p, "]"))
        return FAIL(p, "expected , or ]");
    p->depth--;
    seg->sel = v;
    seg->n = n;
    return RC_OK;
}

/* A name or a * behind a dot. */
static enum rc shorthand(struct parser *p, struct jp_segment *seg)
{
    struct jp_selector *s = ARENA_NEW(p->a, struct jp_selector);
    seg->sel = s;
    seg->n = 1;
    if (take(p, "*")) {
        s->kind = SEL_WILDCARD;
        return RC_OK;
    }
    size_t from = p->at;
    while (p->at < p->in.n && (name_first(peek(p)) || (p->at > from && is_digit(peek(p)))))
        p->at++;
    if (p->at == from)
        return FAIL(p, "expected a name or *; other names stand in ['quotes']");
    s->kind = SEL_NAME;
    s->name = str_n(p->in.p + from, p->at - from);
    return RC_OK;
}

/* $ or @ and its segments; blanks behind the last one are not consumed. */
static enum rc query(struct parser *p, const struct jsonpath **ret)
{
    struct jsonpath *q = ARENA_NEW(p->a, struct jsonpath);
    struct jp_segment *v = NULL;
    size_t cap = 0;
    q->relative = p->in.p[p->at++] == '@';
    q->singular = true;
    for (;;) {
        size_t end = p->at;
        blanks(p);
        if (peek(p) != '.' && peek(p) != '[') {
            p->at = end;
            break;
        }
        if (q->n == SEGMENTS_MAX)
            return FAIL(p, "more than %d segments", SEGMENTS_MAX);
        if (q->n == cap) {
            cap = cap ? cap * 2 : 4;
            struct jp_segment *grown = arena_calloc(p->a, cap, sizeof *grown);
            if (q->n)
                memcpy(grown, v, q->n * sizeof *v);
            v = grown;
        }
        struct jp_segment *seg = &v[q->n++];
        seg->descendant = take(p, "..");
        if (!seg->descendant && take(p, "."))
            TRY(shorthand(p, seg));
        else if (take(p, "["))
            TRY(bracketed(p, seg));
        else
            TRY(shorthand(p, seg));
        if (seg->descendant || seg->n != 1 || (seg->sel->kind != SEL_NAME && seg->sel->kind != SEL_INDEX))
            q->singular = false;
    }
    q->seg = v;
    *ret = q;
    return RC_OK;
}

/* ---- filters ---- */

static struct jp_expr *node(struct parser *p, enum jp_kind kind)
{
    struct jp_expr *e = ARENA_NEW(p->a, struct jp_expr);
    e->kind = kind;
    return e;
}

/* The name of a function with its ( directly behind it? */
static size_t call_ahead(const struct parser *p)
{
    size_t i = p->at;
    if (i >= p->in.n || !is_lower(p->in.p[i]))
        return 0;
    while (i < p->in.n && (is_lower(p->in.p[i]) || p->in.p[i] == '_' || is_digit(p->in.p[i])))
        i++;
    return i < p->in.n && p->in.p[i] == '(' ? i - p->at : 0;
}

static enum rc operand(struct parser *p, struct jp_expr **ret);

/* Does the expression fit where `want` is expected? */
static bool fits(const struct jp_expr *e, enum jp_type want)
{
    switch (e->kind) {
    case JP_LITERAL:
        return want == JP_VALUE;
    case JP_QUERY:
        return want == JP_NODES || (want == JP_VALUE && e->query->singular);
    default:
        return e->kind == JP_CALL && jp_fns[e->fn].result == want;
    }
}

static enum rc call(struct parser *p, size_t name_n, struct jp_expr **ret)
{
    struct jp_expr *e = node(p, JP_CALL);
    size_t from = p->at, i = 0;
    struct str name = str_n(p->in.p + from, name_n);
    while (i < nfns && !str_is(name, jp_fns[i].name))
        i++;
    if (i == nfns)
        return FAIL(p, "unknown function %.*s(); expected length, count, match, search or value",
                    name.n > 40 ? 40 : (int)name.n, name.p);
    const struct jp_fn_info *fn = &jp_fns[i];
    e->fn = (enum jp_fn)i;
    p->at += name_n + 1;
    TRY(enter(p));
    unsigned argc = 0;
    blanks(p);
    while (!take(p, ")")) {
        if (argc && !take(p, ","))
            return FAIL(p, "expected , or )");
        blanks(p);
        struct jp_expr *arg = NULL;
        size_t at = p->at;
        TRY(operand(p, &arg));
        if (argc >= fn->argc)
            return fail_at(p, at, "%s() takes %u argument%s", fn->name, fn->argc, fn->argc == 1 ? "" : "s");
        if (!fits(arg, fn->arg[argc]))
            return fail_at(p, at,
                           fn->arg[argc] == JP_VALUE
                               ? "%s() takes a value here: a literal, a query of one node at most, "
                                 "or a function that gives one"
                               : "%s() takes a query here",
                           fn->name);
        *(argc++ ? &e->b : &e->a) = arg;
        blanks(p);
    }
    if (argc < fn->argc)
        return fail_at(p, from, "%s() takes %u argument%s", fn->name, fn->argc, fn->argc == 1 ? "" : "s");
    p->depth--;
    *ret = e;
    return RC_OK;
}

/* A literal, a query or a call. */
static enum rc operand(struct parser *p, struct jp_expr **ret)
{
    char c = peek(p);
    size_t name_n = call_ahead(p);
    if (name_n)
        return call(p, name_n, ret);
    struct jp_expr *e = *ret = node(p, JP_LITERAL);
    if (c == '@' || c == '$') {
        e->kind = JP_QUERY;
        return query(p, &e->query);
    }
    if (c == '\'' || c == '"') {
        e->literal.type = VAL_STR;
        return string(p, &e->literal.s);
    }
    if (c == '-' || is_digit(c))
        return number(p, &e->literal);
    if (take(p, "true"))
        e->literal = val_true;
    else if (take(p, "false"))
        e->literal = val_false;
    else if (take(p, "null"))
        e->literal = val_null;
    else
        return FAIL(p, "expected @, $, a number, a string, true, false, null or a function");
    return RC_OK;
}

/* Longer operators first. */
static const struct {
    const char *text;
    enum jp_op op;
} comparisons[] = {{"==", JP_EQ}, {"!=", JP_NE}, {"<=", JP_LE}, {">=", JP_GE}, {"<", JP_LT}, {">", JP_GT}};

static bool comparison_ahead(struct parser *p, enum jp_op *ret)
{
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++)
        if (take(p, comparisons[i].text)) {
            *ret = comparisons[i].op;
            return true;
        }
    return false;
}

/* A comparison, or a test: of existence, or a function that gives yes or no. */
static enum rc test(struct parser *p, bool negated, const struct jp_expr **ret)
{
    struct jp_expr *a = NULL, *b = NULL;
    size_t at = p->at;
    enum jp_op op;
    TRY(operand(p, &a));
    size_t end = p->at;
    blanks(p);
    if (!negated && comparison_ahead(p, &op)) {
        if (!fits(a, JP_VALUE))
            return fail_at(p, at, "only values can be compared: a query must select one node at most here");
        blanks(p);
        at = p->at;
        TRY(operand(p, &b));
        if (!fits(b, JP_VALUE))
            return fail_at(p, at, "only values can be compared: a query must select one node at most here");
        struct jp_expr *e = node(p, JP_COMPARE);
        e->op = op;
        e->a = a;
        e->b = b;
        *ret = e;
        return RC_OK;
    }
    p->at = end;
    if (a->kind == JP_QUERY)
        a->kind = JP_EXISTS;
    else if (!fits(a, JP_LOGICAL))
        return fail_at(p, at, "a value alone is no condition; compare it with something");
    *ret = a;
    return RC_OK;
}

static enum rc basic(struct parser *p, const struct jp_expr **ret)
{
    bool negated = take(p, "!");
    if (negated)
        blanks(p);
    if (take(p, "(")) {
        TRY(enter(p));
        blanks(p);
        TRY(logical_or(p, ret));
        blanks(p);
        if (!take(p, ")"))
            return FAIL(p, "expected )");
        p->depth--;
    } else {
        TRY(test(p, negated, ret));
    }
    if (negated) {
        struct jp_expr *e = node(p, JP_NOT);
        e->a = *ret;
        *ret = e;
    }
    return RC_OK;
}

/* Operands of && or ||, joined to the right so that chains stay flat for the evaluator's loop. */
static enum rc chain(struct parser *p, const char *word, enum jp_kind kind,
                     enum rc (*part)(struct parser *, const struct jp_expr **), const struct jp_expr **ret)
{
    const struct jp_expr **tail = ret;
    for (;;) {
        const struct jp_expr *e = NULL;
        TRY(part(p, &e));
        size_t end = p->at;
        blanks(p);
        if (!take(p, word)) {
            p->at = end;
            *tail = e;
            return RC_OK;
        }
        blanks(p);
        struct jp_expr *joined = node(p, kind);
        joined->a = e;
        *tail = joined;
        tail = &joined->b;
    }
}

static enum rc logical_and(struct parser *p, const struct jp_expr **ret)
{
    return chain(p, "&&", JP_AND, basic, ret);
}

static enum rc logical_or(struct parser *p, const struct jp_expr **ret)
{
    return chain(p, "||", JP_OR, logical_and, ret);
}

/* ---- ways in ---- */

enum rc jsonpath_parse(struct arena *a, struct str text, const struct jsonpath **ret, struct err *err)
{
    struct parser p = {.a = a, .err = err};
    if (text.n > JSONPATH_TEXT_MAX)
        return err_set(err, RC_INVALID, "a JSONPath may have at most %d KiB", JSONPATH_TEXT_MAX >> 10);
    p.in = arena_str(a, text);
    size_t valid = str_utf8_valid(p.in);
    if (valid < p.in.n)
        return fail_at(&p, valid, "not valid UTF-8");
    if (peek(&p) != '$')
        return FAIL(&p, "expected $");
    TRY(query(&p, ret));
    if (p.at < p.in.n)
        return FAIL(&p, "expected a segment (.name, [...] or ..) or the end");
    return RC_OK;
}

bool jsonpath_is_singular(const struct jsonpath *q)
{
    return q->singular;
}

static enum rc check_expr(const struct jp_expr *e, struct err *err)
{
    for (; e; e = e->b) {
        if (e->query)
            TRY(jsonpath_check_patterns(e->query, err));
        if (e->a)
            TRY(check_expr(e->a, err));
        bool pattern = e->kind == JP_CALL && (e->fn == JP_MATCH || e->fn == JP_SEARCH);
        if (!pattern || e->b->kind != JP_LITERAL || e->b->literal.type != VAL_STR)
            continue;
        struct buf b;
        struct regex *re = NULL;
        buf_init(&b, 4 * JSONPATH_TEXT_MAX);
        enum rc rc = iregexp_translate(e->b->literal.s, e->fn == JP_MATCH, &b, err);
        if (rc == RC_OK)
            rc = regex_compile(buf_str(&b), false, &re, err);
        regex_free(re);
        buf_done(&b);
        if (rc != RC_OK)
            return err_wrap(err, "the pattern of %s()", jp_fns[e->fn].name);
    }
    return RC_OK;
}

enum rc jsonpath_check_patterns(const struct jsonpath *q, struct err *err)
{
    for (size_t i = 0; i < q->n; i++)
        for (size_t k = 0; k < q->seg[i].n; k++)
            TRY(check_expr(q->seg[i].sel[k].filter, err));
    return RC_OK;
}
