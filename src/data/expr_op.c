/* Operators on values: arithmetic, order, equality, membership, slices.
 *
 * Types never convert silently. Integers stay exact: overflow is an error, and numbers are compared as they are. A
 * comparison of null is false (except == and !=); any other pair of types that cannot be ordered is an error that shows
 * what met. The two conversions there are: null + x is x, so counters and lists may start unset; and text next to a
 * point in time (now(), date()) is read as a date. */
#include "data/expr_int.h"

#include "data/regex.h"

#include <math.h>
#include <stdlib.h>

/* ---- text ---- */

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t text_length(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += starts_character(s.p[i]);
    return n;
}

size_t text_offset(struct str s, size_t i)
{
    size_t at = 0;
    while (at < s.n) {
        if (starts_character(s.p[at]) && i-- == 0)
            return at;
        at++;
    }
    return s.n;
}

enum rc ev_slice(struct ev *c, const struct expr *n, const struct val *v, const int64_t *from, const int64_t *to,
                 struct val *ret)
{
    if (v->type != VAL_ARRAY && v->type != VAL_STR)
        return ev_fail(c, n, RC_EXPRESSION, "only an array or a string can be sliced: in `%s` it is %s", show_src(n).z,
                       show_val(v).z);
    bool text = v->type == VAL_STR;
    if (text)
        TRY(expr_spend(c, n, v->s.n / 256));
    int64_t count = (int64_t)(text ? text_length(v->s) : v->arr.n), a = from ? *from : 0, b = to ? *to : count;
    a = a < 0 ? (a < -count ? 0 : a + count) : a > count ? count : a;
    b = b < 0 ? (b < -count ? 0 : b + count) : b > count ? count : b;
    if (b < a)
        b = a;
    if (!text) {
        *ret = (struct val){.type = VAL_ARRAY, .arr = {b > a ? v->arr.v + a : NULL, (size_t)(b - a)}};
        return RC_OK;
    }
    size_t start = text_offset(v->s, (size_t)a);
    struct str rest = str_from(v->s, start);
    *ret = val_str(str_n(rest.p, text_offset(rest, (size_t)(b - a))));
    return RC_OK;
}

/* ---- equality and order ---- */

enum rc ev_eq(struct ev *c, const struct expr *n, const struct val *a, const struct val *b, bool *ret)
{
    *ret = false;
    TRY(expr_spend(c, n, 1));
    if (a->type == VAL_ARRAY && b->type == VAL_ARRAY) {
        if (a->arr.n != b->arr.n)
            return RC_OK;
        *ret = true;
        TRY(ev_deeper(c, n));
        for (size_t i = 0; i < a->arr.n && *ret; i++)
            TRY(ev_eq(c, n, &a->arr.v[i], &b->arr.v[i], ret));
        c->depth--;
        return RC_OK;
    }
    if (a->type == VAL_OBJECT && b->type == VAL_OBJECT) {
        if (a->obj.n != b->obj.n)
            return RC_OK;
        *ret = true;
        TRY(ev_deeper(c, n));
        for (size_t i = 0; i < a->obj.n && *ret; i++) {
            const struct val *other = val_get(b, a->obj.m[i].key);
            *ret = false;
            if (other)
                TRY(ev_eq(c, n, &a->obj.m[i].val, other, ret));
        }
        c->depth--;
        return RC_OK;
    }
    if (a->type == VAL_STR && b->type == VAL_STR && a->s.n == b->s.n)
        TRY(expr_spend(c, n, a->s.n / 256));
    *ret = val_eq(a, b);
    return RC_OK;
}

static enum rc no_order(struct ev *c, const struct expr *n, const struct val *a, const struct val *b)
{
    if (n->kind == N_CALL)
        return ev_fail(c, n, RC_EXPRESSION, "%s() cannot order %s and %s: %s and %s", n->fn->name, show_type(a),
                       show_type(b), show_val(a).z, show_val(b).z);
    struct shown va = show_val(a), vb = show_val(b);
    bool right = n->a->kind == N_CONST;
    if (!right && n->b->kind != N_CONST)
        return ev_fail(c, n, RC_EXPRESSION, "cannot compare %s with %s: left side `%s` is %s, right side `%s` is %s",
                       show_type(a), show_type(b), show_src(n->a).z, va.z, show_src(n->b).z, vb.z);
    return ev_fail(c, n, RC_EXPRESSION, "cannot compare %s with %s: %s side `%s` is %s", show_type(a), show_type(b),
                   right ? "right" : "left", show_src(right ? n->b : n->a).z, right ? vb.z : va.z);
}

enum rc ev_order(struct ev *c, const struct expr *n, const struct val *a, const struct val *b, int *ret)
{
    TRY(expr_spend(c, n, 1));
    if (a->type == VAL_NULL || b->type == VAL_NULL) {
        *ret = EV_UNORDERED;
    } else if (val_is_number(a) && val_is_number(b)) {
        *ret = number_cmp(a, b);
    } else if (a->type == VAL_STR && b->type == VAL_STR) {
        TRY(expr_spend(c, n, (a->s.n < b->s.n ? a->s.n : b->s.n) / 256));
        int cmp = str_cmp(a->s, b->s);
        *ret = cmp < 0 ? -1 : cmp > 0;
    } else if (a->type == VAL_BOOL && b->type == VAL_BOOL && n->kind == N_CALL) {
        *ret = (int)a->b - (int)b->b;
    } else {
        return no_order(c, n, a, b);
    }
    return RC_OK;
}

/* `v` next to a point in time: text is read as a date. */
static enum rc as_time(struct ev *c, const struct expr *side, const struct val *v, bool strict, struct val *ret)
{
    int64_t ms;
    *ret = *v;
    if (v->type != VAL_STR)
        return RC_OK;
    if (expr_date(v->s, &ms)) {
        *ret = val_int(ms);
        return RC_OK;
    }
    if (!strict)
        return RC_OK;
    return ev_fail(c, side, RC_EXPRESSION,
                   "cannot compare with a time: `%s` is %s; expected a date such as "
                   "2024-12-31 or 2024-12-31T10:00:00Z",
                   show_src(side).z, show_val(v).z);
}

/* ---- membership and patterns ---- */

static enum rc contains(struct ev *c, const struct expr *n, const struct expr *side, const struct val *in,
                        const struct val *what, const char *word, bool *ret)
{
    *ret = false;
    switch (in->type) {
    case VAL_NULL:
        return RC_OK;
    case VAL_ARRAY:
        for (size_t i = 0; i < in->arr.n && !*ret; i++)
            TRY(ev_eq(c, n, &in->arr.v[i], what, ret));
        return RC_OK;
    case VAL_STR:
        if (what->type == VAL_NULL)
            return RC_OK;
        TRY(expr_spend(c, n, in->s.n / 64));
        if (what->type == VAL_STR) {
            *ret = str_find(in->s, what->s) != SIZE_MAX;
            return RC_OK;
        }
        return ev_fail(c, n, RC_EXPRESSION, "`%s`: a string can contain a string, not %s (%s)", word, show_type(what),
                       show_val(what).z);
    case VAL_OBJECT:
        if (what->type == VAL_STR)
            *ret = val_get(in, what->s) != NULL;
        return RC_OK;
    default:
        return ev_fail(c, n, RC_EXPRESSION, "`%s` needs an array, a string or an object: `%s` is %s", word,
                       show_src(side).z, show_val(in).z);
    }
}

static enum rc text_test(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b,
                         bool *ret)
{
    const char *word = op == OP_STARTS ? "starts_with" : op == OP_ENDS ? "ends_with" : "matches";
    *ret = false;
    if (a->type == VAL_NULL)
        return RC_OK;
    if (a->type != VAL_STR || b->type != VAL_STR) {
        bool right = a->type == VAL_STR;
        return ev_fail(c, n, RC_EXPRESSION, "`%s` needs strings: %s side `%s` is %s", word, right ? "right" : "left",
                       show_src(right ? n->b : n->a).z, show_val(right ? b : a).z);
    }
    if (op == OP_STARTS) {
        *ret = str_starts(a->s, b->s);
    } else if (op == OP_ENDS) {
        *ret = str_ends(a->s, b->s);
    } else {
        const struct regex *re;
        struct regex_match m;
        struct err why;
        TRY(ev_regex(c, n->b, b->s, &re));
        TRY(expr_spend(c, n, 100 + a->s.n / 16));
        enum rc rc = regex_search(re, a->s, 0, &m, &why);
        if (rc != RC_OK)
            return ev_fail(c, n, rc == RC_LIMIT ? RC_LIMIT : RC_EXPRESSION, "`%s`: %s", show_src(n).z, why.msg);
        *ret = m.found;
    }
    return RC_OK;
}

static bool holds(enum op op, int cmp)
{
    if (cmp == EV_UNORDERED)
        return false;
    return op == OP_LT ? cmp < 0 : op == OP_LE ? cmp <= 0 : op == OP_GT ? cmp > 0 : cmp >= 0;
}

enum rc ev_compare(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b,
                   struct val *ret)
{
    struct val ta, tb;
    bool truth;
    int cmp = 0;
    switch (op) {
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        if (n->a->time != n->b->time) {
            bool strict = op != OP_EQ && op != OP_NE;
            TRY(as_time(c, n->a, a, strict, &ta));
            TRY(as_time(c, n->b, b, strict, &tb));
            a = &ta, b = &tb;
        }
        if (op == OP_EQ || op == OP_NE) {
            TRY(ev_eq(c, n, a, b, &truth));
            truth = truth == (op == OP_EQ);
        } else {
            TRY(ev_order(c, n, a, b, &cmp));
            truth = holds(op, cmp);
        }
        break;
    case OP_CONTAINS:
        TRY(contains(c, n, n->a, a, b, "contains", &truth));
        break;
    case OP_IN:
    case OP_NOT_IN:
        TRY(contains(c, n, n->b, b, a, op == OP_IN ? "in" : "not_in", &truth));
        truth = truth == (op == OP_IN);
        break;
    default:
        TRY(text_test(c, n, op, a, b, &truth));
    }
    *ret = val_bool(truth);
    return RC_OK;
}

/* ---- arithmetic ---- */

static enum rc no_arith(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b)
{
    static const char *const verb[] = {
        [OP_ADD] = "add", [OP_SUB] = "subtract", [OP_MUL] = "multiply", [OP_DIV] = "divide", [OP_MOD] = "take % of"};
    bool right = val_is_number(a) || (op == OP_ADD && (a->type == VAL_STR || a->type == VAL_ARRAY));
    const char *remedy = "";
    if (op == OP_ADD && (a->type == VAL_STR || b->type == VAL_STR))
        remedy = "; string(x) makes text of a value";
    else if (op == OP_ADD && (a->type == VAL_ARRAY || b->type == VAL_ARRAY))
        remedy = "; [x] makes an array of one item";
    else if (op == OP_ADD && a->type == VAL_OBJECT && b->type == VAL_OBJECT)
        remedy = "; merge(a, b) joins objects";
    else if (a->type == VAL_STR || b->type == VAL_STR)
        remedy = "; int(x) and float(x) read numbers from text";
    if (n->kind == N_CALL)
        return ev_fail(c, n, RC_EXPRESSION, "%s() cannot %s %s and %s (%s and %s)%s", n->fn->name, verb[op],
                       show_type(a), show_type(b), show_val(a).z, show_val(b).z, remedy);
    return ev_fail(c, n, RC_EXPRESSION, "cannot %s %s and %s: %s side `%s` is %s%s", verb[op], show_type(a),
                   show_type(b), right ? "right" : "left", show_src(right ? n->b : n->a).z, show_val(right ? b : a).z,
                   remedy);
}

static enum rc overflow(struct ev *c, const struct expr *n)
{
    return ev_fail(c, n, RC_EXPRESSION, "integer overflow in `%s`", show_src(n).z);
}

static enum rc arith_int(struct ev *c, const struct expr *n, enum op op, int64_t a, int64_t b, struct val *ret)
{
    int64_t r = 0;
    bool bad = false;
    switch (op) {
    case OP_ADD:
        bad = __builtin_add_overflow(a, b, &r);
        break;
    case OP_SUB:
        bad = __builtin_sub_overflow(a, b, &r);
        break;
    case OP_MUL:
        bad = __builtin_mul_overflow(a, b, &r);
        break;
    case OP_DIV:
        if (b == -1)
            bad = __builtin_sub_overflow((int64_t)0, a, &r);
        else if (a % b == 0)
            r = a / b;
        else {
            *ret = val_double((double)a / (double)b);
            return RC_OK;
        }
        break;
    default:
        r = b == -1 ? 0 : a % b;
        if (r && (r < 0) != (b < 0))
            r += b;
    }
    if (bad)
        return overflow(c, n);
    *ret = val_int(r);
    return RC_OK;
}

static enum rc arith_double(struct ev *c, const struct expr *n, enum op op, double a, double b, struct val *ret)
{
    double r = op == OP_ADD ? a + b : op == OP_SUB ? a - b : op == OP_MUL ? a * b : op == OP_DIV ? a / b : fmod(a, b);
    if (op == OP_MOD && r != 0 && (r < 0) != (b < 0))
        r += b;
    if (!isfinite(r))
        return ev_fail(c, n, RC_EXPRESSION, "the result of `%s` is not a finite number", show_src(n).z);
    *ret = val_double(r);
    return RC_OK;
}

static enum rc join(struct ev *c, const struct expr *n, const struct val *a, const struct val *b, struct val *ret)
{
    if (a->type == VAL_STR) {
        TRY(ev_charge(c, n, a->s.n + b->s.n));
        TRY(expr_spend(c, n, (a->s.n + b->s.n) / 256));
        char *p = arena_alloc(c->a, a->s.n + b->s.n + 1);
        if (a->s.n)
            memcpy(p, a->s.p, a->s.n);
        if (b->s.n)
            memcpy(p + a->s.n, b->s.p, b->s.n);
        *ret = val_str(str_n(p, a->s.n + b->s.n));
        return RC_OK;
    }
    size_t count = a->arr.n + b->arr.n;
    TRY(ev_charge(c, n, count * sizeof(struct val)));
    TRY(expr_spend(c, n, count / 8));
    struct val *v = arena_calloc(c->a, count ? count : 1, sizeof *v);
    if (a->arr.n)
        memcpy(v, a->arr.v, a->arr.n * sizeof *v);
    if (b->arr.n)
        memcpy(v + a->arr.n, b->arr.v, b->arr.n * sizeof *v);
    *ret = (struct val){.type = VAL_ARRAY, .arr = {v, count}};
    return ev_check(c, n, ret);
}

enum rc ev_arith(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b,
                 struct val *ret)
{
    if (op == OP_ADD && (a->type == VAL_NULL || b->type == VAL_NULL)) {
        *ret = a->type == VAL_NULL ? *b : *a;
        return RC_OK;
    }
    if (op == OP_ADD && a->type == b->type && (a->type == VAL_STR || a->type == VAL_ARRAY))
        return join(c, n, a, b, ret);
    if (!val_is_number(a) || !val_is_number(b))
        return no_arith(c, n, op, a, b);
    if (a->type == VAL_BIGINT || b->type == VAL_BIGINT)
        return ev_fail(c, n, RC_EXPRESSION, "`%s`: %s has more than 64 bits; arithmetic with it would not be exact",
                       show_src(n).z, show_val(a->type == VAL_BIGINT ? a : b).z);
    if ((op == OP_DIV || op == OP_MOD) && val_to_double(b, 1) == 0)
        return ev_fail(c, n, RC_EXPRESSION, "division by zero in `%s`", show_src(n).z);
    if (a->type == VAL_INT && b->type == VAL_INT)
        return arith_int(c, n, op, a->i, b->i, ret);
    return arith_double(c, n, op, val_to_double(a, 0), val_to_double(b, 0), ret);
}
