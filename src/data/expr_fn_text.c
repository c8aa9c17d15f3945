/* Functions over text, numbers, types and time.
 *
 * Text is UTF-8 and counted in characters (code points). Capital and small letters are known for Latin, Greek and
 * Cyrillic; other scripts stay as they are, independent of any locale. Times are integers, milliseconds since
 * 1970-01-01 UTC, so that ordinary arithmetic and comparisons work on them. */
#include "data/expr_int.h"

#include "base/sha256.h"
#include "data/letters.h"
#include "data/regex.h"

#include <math.h>
#include <stdio.h>

/* ---- arguments ---- */

static enum rc need(struct ev *c, const struct expr *n, const struct val *arg, size_t i, const char *what)
{
    return ev_fail(c, n->list[i], RC_EXPRESSION, "%s() needs %s: `%s` is %s", n->fn->name, what, show_src(n->list[i]).z,
                   show_val(&arg[i]).z);
}
/* A string; its length is paid for. */
static enum rc need_str(struct ev *c, const struct expr *n, const struct val *arg, size_t i, struct str *ret)
{
    *ret = arg[i].type == VAL_STR ? arg[i].s : STR("");
    if (arg[i].type != VAL_STR)
        return need(c, n, arg, i, "a string");
    return expr_spend(c, n, ret->n / 128);
}
static enum rc need_count(struct ev *c, const struct expr *n, const struct val *arg, size_t i, int64_t *ret)
{
    *ret = arg[i].type == VAL_INT ? arg[i].i : -1;
    if (*ret < 0)
        return need(c, n, arg, i, "an integer that is not negative");
    return RC_OK;
}
static enum rc need_number(struct ev *c, const struct expr *n, const struct val *arg, size_t i, double *ret)
{
    *ret = val_to_double(&arg[i], 0);
    if (arg[i].type != VAL_INT && arg[i].type != VAL_DOUBLE)
        return need(c, n, arg, i, "a number");
    return RC_OK;
}

/* Room for text, charged. */
static enum rc new_text(struct ev *c, const struct expr *n, size_t bytes, char **ret)
{
    *ret = NULL;
    TRY(ev_charge(c, n, bytes));
    TRY(expr_spend(c, n, bytes / 256));
    *ret = arena_alloc(c->a, bytes + 1);
    return RC_OK;
}
static enum rc push(struct ev *c, const struct expr *n, struct val_list *out, struct str s)
{
    TRY(ev_charge(c, n, 2 * sizeof(struct val)));
    TRY(expr_spend(c, n, 1));
    val_list_push(out, val_str(s));
    return RC_OK;
}

/* ---- letters ---- */

static enum rc recase(struct ev *c, const struct expr *n, const struct val *arg, bool up, struct val *ret)
{
    struct str s;
    char *p;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(expr_spend(c, n, s.n / 16));
    TRY(new_text(c, n, s.n, &p));
    letters_change(s, up, p);
    *ret = val_str(str_n(p, s.n));
    return RC_OK;
}
enum rc fn_upper(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return recase(c, n, arg, true, ret);
}
enum rc fn_lower(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return recase(c, n, arg, false, ret);
}

/* ---- parts of text ---- */

enum rc fn_trim(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s;
    (void)argc;
    TRY(need_str(c, n, arg, 0, &s));
    *ret = val_str(str_trim(s));
    return RC_OK;
}

enum rc fn_substring(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s;
    int64_t len = INT64_MAX, from, to;
    TRY(need_str(c, n, arg, 0, &s));
    if (arg[1].type != VAL_INT)
        return need(c, n, arg, 1, "a position (an integer)");
    if (argc > 2)
        TRY(need_count(c, n, arg, 2, &len));
    int64_t count = (int64_t)text_length(s);
    from = arg[1].i < 0 ? (arg[1].i < -count ? 0 : arg[1].i + count) : arg[1].i > count ? count : arg[1].i;
    to = len > count - from ? count : from + len;
    return ev_slice(c, n, arg, &from, &to, ret);
}

enum rc fn_truncate(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s, mark = STR("…");
    int64_t max;
    char *p;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(need_count(c, n, arg, 1, &max));
    if (argc > 2)
        TRY(need_str(c, n, arg, 2, &mark));
    *ret = val_str(s);
    if (text_length(s) <= (size_t)max)
        return RC_OK;
    size_t m = text_length(mark), keep = (size_t)max > m ? (size_t)max - m : 0;
    struct str head = {s.p, text_offset(s, keep)}, tail = {mark.p, text_offset(mark, (size_t)max - keep)};
    TRY(new_text(c, n, head.n + tail.n, &p));
    memcpy(p, head.p, head.n);
    if (tail.n)
        memcpy(p + head.n, tail.p, tail.n);
    *ret = val_str(str_n(p, head.n + tail.n));
    return RC_OK;
}

enum rc fn_replace(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s, from, to;
    (void)argc;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(need_str(c, n, arg, 1, &from));
    TRY(need_str(c, n, arg, 2, &to));
    if (from.n == 0)
        return need(c, n, arg, 1, "a text to look for that is not empty");
    struct buf b;
    buf_init(&b, c->max);
    size_t at;
    while ((at = str_find(s, from)) != SIZE_MAX) {
        buf_add(&b, str_n(s.p, at));
        buf_add(&b, to);
        s = str_from(s, at + from.n);
    }
    buf_add(&b, s);
    enum rc rc = ev_charge(c, n, b.overflow ? SIZE_MAX : b.n);
    if (rc == RC_OK)
        *ret = val_str(arena_str(c->a, buf_str(&b)));
    buf_done(&b);
    return rc;
}

static bool is_space(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static enum rc split_words(struct ev *c, const struct expr *n, struct str s, struct val_list *out)
{
    for (s = str_trim(s); s.n; s = str_trim(s)) {
        size_t len = 0;
        while (len < s.n && !is_space(s.p[len]))
            len++;
        TRY(push(c, n, out, str_n(s.p, len)));
        s = str_from(s, len);
    }
    return RC_OK;
}

enum rc fn_split(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s, sep = STR("");
    struct val_list out = val_list_new(c->a);
    TRY(need_str(c, n, arg, 0, &s));
    if (argc > 1)
        TRY(need_str(c, n, arg, 1, &sep));
    if (argc < 2) {
        TRY(split_words(c, n, s, &out));
    } else if (sep.n == 0) { /* characters */
        for (; s.n; s = str_from(s, text_offset(s, 1)))
            TRY(push(c, n, &out, str_n(s.p, text_offset(s, 1))));
    } else {
        for (size_t at; (at = str_find(s, sep)) != SIZE_MAX; s = str_from(s, at + sep.n))
            TRY(push(c, n, &out, str_n(s.p, at)));
        TRY(push(c, n, &out, s));
    }
    *ret = val_list_done(&out);
    return RC_OK;
}

enum rc fn_lines(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s;
    struct val_list out = val_list_new(c->a);
    (void)argc;
    TRY(need_str(c, n, arg, 0, &s));
    while (s.n) {
        size_t at = str_find(s, STR("\n")), len = at == SIZE_MAX ? s.n : at;
        bool cr = len && s.p[len - 1] == '\r' && at != SIZE_MAX;
        TRY(push(c, n, &out, str_n(s.p, len - cr)));
        s = str_from(s, at == SIZE_MAX ? s.n : at + 1);
    }
    *ret = val_list_done(&out);
    return RC_OK;
}

enum rc fn_join(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str sep = STR(", ");
    if (arg->type == VAL_NULL && c->null_safe) {
        *ret = val_str(STR(""));
        return RC_OK;
    }
    if (arg->type != VAL_ARRAY)
        return need(c, n, arg, 0, "an array");
    if (argc > 1)
        TRY(need_str(c, n, arg, 1, &sep));
    struct buf b;
    buf_init(&b, c->max);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < arg->arr.n && rc == RC_OK && !b.overflow; i++) {
        struct str part;
        rc = expr_spend(c, n, 1);
        if (rc == RC_OK)
            rc = ev_text(c, n, &arg->arr.v[i], &part);
        if (rc != RC_OK)
            break;
        if (i)
            buf_add(&b, sep);
        buf_add(&b, part);
    }
    if (rc == RC_OK)
        rc = ev_charge(c, n, b.overflow ? SIZE_MAX : b.n);
    if (rc == RC_OK)
        rc = expr_spend(c, n, b.n / 256);
    if (rc == RC_OK)
        *ret = val_str(arena_str(c->a, buf_str(&b)));
    buf_done(&b);
    return rc;
}

static enum rc quote_one(struct ev *c, const struct expr *n, const struct val *arg, const struct val *v, struct buf *b)
{
    struct str s;
    if (v->type == VAL_NULL || v->type == VAL_ARRAY || v->type == VAL_OBJECT)
        return need(c, n, arg, 0, "text, a number or a list of these");
    TRY(expr_spend(c, n, 1));
    TRY(ev_text(c, n, v, &s));
    TRY(expr_spend(c, n, s.n / 128));
    if (val_is_number(v)) {
        buf_add(b, s);
        return RC_OK;
    }
    if (memchr(s.p, 0, s.n))
        return need(c, n, arg, 0, "text without the character \\u0000");
    buf_add_shell_word(b, s);
    return RC_OK;
}

enum rc fn_quote(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    bool list = arg->type == VAL_ARRAY;
    size_t count = list ? arg->arr.n : 1;
    struct buf b;
    buf_init(&b, c->max);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK && !b.overflow; i++) {
        if (i)
            buf_add(&b, STR(" "));
        rc = quote_one(c, n, arg, list ? &arg->arr.v[i] : arg, &b);
    }
    if (rc == RC_OK)
        rc = ev_charge(c, n, b.overflow ? SIZE_MAX : b.n);
    if (rc == RC_OK)
        *ret = val_str(arena_str(c->a, buf_str(&b)));
    buf_done(&b);
    return rc;
}

enum rc fn_repeat(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s;
    int64_t times;
    char *p;
    (void)argc;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(need_count(c, n, arg, 1, &times));
    size_t total;
    if (__builtin_mul_overflow(s.n, (size_t)times, &total))
        total = SIZE_MAX;
    TRY(new_text(c, n, total, &p));
    for (size_t at = 0; at < total; at += s.n)
        memcpy(p + at, s.p, s.n);
    *ret = val_str(str_n(p, total));
    return RC_OK;
}

/* ---- patterns ---- */

static enum rc search(struct ev *c, const struct expr *n, const struct regex *re, struct str s, size_t from,
                      struct regex_match *m)
{
    struct err why;
    TRY(expr_spend(c, n, 100 + (s.n - from) / 16));
    enum rc rc = regex_search(re, s, from, m, &why);
    return rc == RC_OK ? rc : ev_fail(c, n, rc == RC_LIMIT ? rc : RC_EXPRESSION, "`%s`: %s", show_src(n).z, why.msg);
}

enum rc fn_capture(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s, pattern;
    const struct regex *re;
    struct regex_match m;
    int64_t group = -1;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(need_str(c, n, arg, 1, &pattern));
    if (argc > 2)
        TRY(need_count(c, n, arg, 2, &group));
    TRY(ev_regex(c, n, pattern, &re));
    TRY(search(c, n, re, s, 0, &m));
    *ret = val_null;
    if (!m.found)
        return RC_OK;
    if (group < 0)
        group = m.ngroups > 1;
    if (group < m.ngroups && group < REGEX_GROUPS && m.group[group].p)
        *ret = val_str(m.group[group]);
    return RC_OK;
}

enum rc fn_find_all(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s, pattern;
    const struct regex *re;
    struct val_list out = val_list_new(c->a);
    (void)argc;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(need_str(c, n, arg, 1, &pattern));
    TRY(ev_regex(c, n, pattern, &re));
    for (size_t from = 0; from <= s.n;) {
        struct regex_match m;
        TRY(search(c, n, re, s, from, &m));
        if (!m.found)
            break;
        struct str got = m.group[m.ngroups > 1];
        TRY(push(c, n, &out, got.p ? got : STR("")));
        size_t end = (size_t)(m.group[0].p - s.p) + m.group[0].n;
        if (end < from || m.group[0].n == 0) /* an empty match must not be found again */
            end = from < s.n ? from + text_offset(str_from(s, from), 1) : s.n + 1;
        from = end;
    }
    *ret = val_list_done(&out);
    return RC_OK;
}

/* ---- JSON and hashes ---- */

enum rc fn_json(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str text;
    TRY(ev_json(c, n, arg, argc > 1 && val_truthy(&arg[1]) ? JSON_PRETTY : JSON_COMPACT, &text));
    *ret = val_str(text);
    return RC_OK;
}

enum rc fn_parse_json(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct json_limits limits = {
        .depth = EXPR_NEST_MAX, .max_size = c->max / 8, .unique = true}; /* values take more room */
    struct str s;
    struct err why;
    TRY(need_str(c, n, arg, 0, &s));
    TRY(expr_spend(c, n, s.n / 16));
    TRY(ev_charge(c, n, s.n)); /* what it weighs comes after */
    enum rc rc = json_parse(c->a, s, &limits, ret, &why);
    if (rc == RC_OK)
        return ev_check(c, n, ret);
    if (rc == RC_LIMIT)
        return ev_fail(c, n, rc, "`%s`: %s", show_src(n).z, why.msg);
    if (argc > 1) {
        *ret = arg[1];
        return RC_OK;
    }
    return ev_fail(c, n, RC_EXPRESSION, "`%s` is no JSON: %s", show_src(n->list[0]).z, why.msg);
}

enum rc fn_hash(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s = arg->s;
    (void)argc;
    if (arg->type != VAL_STR) {
        s = json_canonical(c->a, arg);
        TRY(ev_charge(c, n, s.n));
    }
    TRY(expr_spend(c, n, s.n / 16));
    struct sha256 h = sha256_of(s);
    struct sha256_hex hex = sha256_hex(&h);
    *ret = val_str(arena_str(c->a, str_c(hex.z)));
    return RC_OK;
}

/* ---- numbers ---- */

/* An integer where it fits. */
static struct val whole(double d)
{
    return d >= -0x1p63 && d < 0x1p63 ? val_int((int64_t)d) : val_double(d);
}

static enum rc rounded(struct ev *c, const struct expr *n, const struct val *arg, double (*how)(double),
                       struct val *ret)
{
    double d;
    *ret = *arg;
    if (arg->type == VAL_INT || arg->type == VAL_BIGINT)
        return RC_OK;
    TRY(need_number(c, n, arg, 0, &d));
    *ret = whole(how(d));
    return RC_OK;
}
enum rc fn_round(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    if (argc < 2 || (arg[1].type == VAL_INT && arg[1].i == 0) || arg->type != VAL_DOUBLE)
        return rounded(c, n, arg, round, ret);
    int64_t digits;
    TRY(need_count(c, n, arg, 1, &digits));
    if (digits > 15)
        digits = 15;
    double scale = pow(10, (double)digits), d = round(arg->d * scale) / scale;
    *ret = isfinite(d) ? val_double(d) : *arg;
    return RC_OK;
}
enum rc fn_floor(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return rounded(c, n, arg, floor, ret);
}
enum rc fn_ceil(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return rounded(c, n, arg, ceil, ret);
}

enum rc fn_abs(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    double d;
    struct val zero = val_int(0);
    (void)argc;
    TRY(need_number(c, n, arg, 0, &d));
    if (arg->type == VAL_INT && arg->i < 0)
        return ev_arith(c, n, OP_SUB, &zero, arg, ret);
    *ret = arg->type == VAL_INT ? *arg : val_double(fabs(d));
    return RC_OK;
}

enum rc fn_pow(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    double x, y;
    (void)argc;
    TRY(need_number(c, n, arg, 0, &x));
    TRY(need_number(c, n, arg, 1, &y));
    if (arg[0].type == VAL_INT && arg[1].type == VAL_INT && arg[1].i >= 0 && arg[1].i < 64) {
        struct val r = val_int(1);
        for (int64_t i = 0; i < arg[1].i; i++)
            TRY(ev_arith(c, n, OP_MUL, &r, arg, &r));
        *ret = r;
        return RC_OK;
    }
    double r = pow(x, y);
    if (!isfinite(r))
        return ev_fail(c, n, RC_EXPRESSION, "the result of `%s` is not a finite number", show_src(n).z);
    *ret = val_double(r);
    return RC_OK;
}

enum rc fn_sqrt(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    double d;
    (void)argc;
    TRY(need_number(c, n, arg, 0, &d));
    if (d < 0)
        return need(c, n, arg, 0, "a number that is not negative");
    *ret = val_double(sqrt(d));
    return RC_OK;
}

enum rc fn_add(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return ev_arith(c, n, OP_ADD, &arg[0], &arg[1], ret);
}
enum rc fn_subtract(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return ev_arith(c, n, OP_SUB, &arg[0], &arg[1], ret);
}
enum rc fn_multiply(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return ev_arith(c, n, OP_MUL, &arg[0], &arg[1], ret);
}
enum rc fn_divide(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return ev_arith(c, n, OP_DIV, &arg[0], &arg[1], ret);
}

/* ---- types ---- */

enum rc fn_type(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)c, (void)n, (void)argc;
    *ret = val_str(str_c(val_type_name(arg)));
    return RC_OK;
}

enum rc fn_string(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct str s;
    (void)argc;
    TRY(ev_text(c, n, arg, &s));
    *ret = val_str(s);
    return RC_OK;
}

/* The number in a text, as JSON writes it, with white space around it and leading zeros allowed. */
static bool read_number(struct ev *c, struct str s, struct val *ret)
{
    struct json_limits limits = {.depth = 1, .max_size = 64};
    struct err why;
    int64_t i;
    s = str_trim(s);
    if (str_to_i64(s, &i)) {
        *ret = val_int(i);
        return true;
    }
    return s.n <= 64 && json_parse(c->a, s, &limits, ret, &why) == RC_OK && val_is_number(ret);
}

/* The number that arg[0] is, or means; false when it means none. */
static bool as_number(struct ev *c, const struct val *arg, struct val *ret)
{
    *ret = *arg;
    if (arg->type == VAL_BOOL)
        *ret = val_int(arg->b);
    return arg->type == VAL_STR ? read_number(c, arg->s, ret) : val_is_number(ret);
}

enum rc fn_int(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val v;
    if (as_number(c, arg, &v)) {
        *ret = v.type == VAL_DOUBLE ? whole(trunc(v.d)) : v;
        if (ret->type != VAL_DOUBLE)
            return RC_OK;
    }
    if (argc < 2)
        return need(c, n, arg, 0, "a number, or text that is one");
    *ret = arg[1];
    return RC_OK;
}

enum rc fn_float(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val v;
    if (as_number(c, arg, &v)) {
        *ret = val_double(val_to_double(&v, 0));
        return RC_OK;
    }
    if (argc < 2)
        return need(c, n, arg, 0, "a number, or text that is one");
    *ret = arg[1];
    return RC_OK;
}

enum rc fn_bool(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    *ret = val_bool(val_truthy(arg));
    if (arg->type != VAL_STR)
        return RC_OK;
    struct str s = str_trim(arg->s);
    *ret = val_bool(s.n == 4);
    if (str_is(s, "true") || str_is(s, "True") || str_is(s, "false") || str_is(s, "False"))
        return RC_OK;
    return need(c, n, arg, 0, "true or false");
}

/* ---- time ---- */

enum { MS_DAY = 86400000 };

/* Days since 1970-01-01 of a date in the Gregorian calendar: 400 years are 146097 days, counted from 1 March. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int month_days(int64_t y, int64_t m)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[m - 1] + (m == 2 && leap);
}

/* Exactly `digits` digits, at most `max`; moves on. */
static bool digits_of(struct str *s, size_t digits, int64_t least, int64_t max, int64_t *ret)
{
    if (s->n < digits)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_from(*s, digits);
    *ret = v;
    return v >= least && v <= max;
}
static bool skip(struct str *s, char ch)
{
    if (!s->n || s->p[0] != ch)
        return false;
    *s = str_from(*s, 1);
    return true;
}

/* `Z`, `+01:00`, `-0530`, or nothing (UTC), and then the end. */
static bool zone_of(struct str *s, int64_t *ret)
{
    int64_t h, m = 0;
    *ret = 0;
    if (skip(s, 'Z') || skip(s, 'z') || s->n == 0)
        return s->n == 0;
    bool minus = skip(s, '-');
    if (!minus && !skip(s, '+'))
        return false;
    if (!digits_of(s, 2, 0, 23, &h))
        return false;
    if (s->n) {
        skip(s, ':');
        if (!digits_of(s, 2, 0, 59, &m))
            return false;
    }
    *ret = (minus ? 1 : -1) * (h * 60 + m) * 60000;
    return s->n == 0;
}

bool expr_date(struct str s, int64_t *ret)
{
    int64_t y, m, d, h = 0, min = 0, sec = 0, ms = 0, zone = 0;
    s = str_trim(s);
    if (!digits_of(&s, 4, 0, 9999, &y) || !skip(&s, '-') || !digits_of(&s, 2, 1, 12, &m) || !skip(&s, '-') ||
        !digits_of(&s, 2, 1, month_days(y, m), &d))
        return false;
    if (s.n) {
        if (!skip(&s, 'T') && !skip(&s, 't') && !skip(&s, ' '))
            return false;
        if (!digits_of(&s, 2, 0, 23, &h) || !skip(&s, ':') || !digits_of(&s, 2, 0, 59, &min))
            return false;
        if (skip(&s, ':') && !digits_of(&s, 2, 0, 60, &sec))
            return false;
        if (skip(&s, '.')) {
            int64_t place = 100, digit;
            if (!s.n || s.p[0] < '0' || s.p[0] > '9')
                return false;
            for (; digits_of(&s, 1, 0, 9, &digit); place /= 10)
                ms += digit * place;
        }
        if (!zone_of(&s, &zone))
            return false;
    }
    *ret = days_of(y, m, d) * MS_DAY + ((h * 60 + min) * 60 + sec) * 1000 + ms + zone;
    return true;
}

enum rc fn_now(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)n, (void)arg, (void)argc;
    *ret = val_int(c->scope->now_ms);
    return RC_OK;
}

enum rc fn_date(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    int64_t ms;
    (void)argc;
    *ret = *arg;
    if (arg->type == VAL_INT)
        return RC_OK;
    if (arg->type != VAL_STR || !expr_date(arg->s, &ms))
        return need(c, n, arg, 0, "a date such as 2024-12-31 or 2024-12-31T10:00:00Z");
    *ret = val_int(ms);
    return RC_OK;
}

enum rc fn_iso(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    int64_t first = days_of(0, 1, 1) * MS_DAY, end = days_of(10000, 1, 1) * MS_DAY;
    if (arg->type != VAL_INT || arg->i < first || arg->i >= end)
        return need(c, n, arg, 0, "a time in milliseconds, in the years 0 to 9999");
    int64_t days = arg->i / MS_DAY - (arg->i % MS_DAY < 0), ms = arg->i - days * MS_DAY, y = 1970 + days / 366, m = 1;
    while (days_of(y + 1, 1, 1) <= days)
        y++;
    while (days_of(y, 1, 1) > days)
        y--;
    while (m < 12 && days_of(y, m + 1, 1) <= days)
        m++;
    char fraction[8] = "";
    if (ms % 1000)
        snprintf(fraction, sizeof fraction, ".%03d", (int)(ms % 1000));
    *ret = val_str(arena_printf(c->a, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", (int)y, (int)m,
                                (int)(days - days_of(y, m, 1) + 1), (int)(ms / 3600000), (int)(ms / 60000 % 60),
                                (int)(ms / 1000 % 60), fraction));
    return RC_OK;
}

static enum rc span(struct ev *c, const struct expr *n, const struct val *arg, int64_t unit, struct val *ret)
{
    double d;
    struct val ms, by = val_int(unit);
    TRY(need_number(c, n, arg, 0, &d));
    TRY(ev_arith(c, n, OP_MUL, arg, &by, &ms));
    *ret = ms.type == VAL_DOUBLE ? whole(round(ms.d)) : ms;
    return RC_OK;
}
#define SPAN(name, unit)                                                                                       \
    enum rc fn_##name(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret) \
    {                                                                                                          \
        (void)argc;                                                                                            \
        return span(c, n, arg, unit, ret);                                                                     \
    }
SPAN(weeks, 7 * (int64_t)MS_DAY)
SPAN(days, MS_DAY)
SPAN(hours, 3600000)
SPAN(minutes, 60000)
SPAN(seconds, 1000)
