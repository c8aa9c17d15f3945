/* The keywords that judge a value by themselves: its type, size, text, names and numbers. */
#include "data/json.h"
#include "data/schema_int.h"

#include <math.h>
#include <stdio.h>

enum { CHOICES_TOLD_MAX = 10, PATTERN_COST = 20 };

/* ---- any type ---- */

static bool is_type(const struct val *v, struct str type)
{
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        return str_is(type, "null");
    case VAL_BOOL:
        return str_is(type, "boolean");
    case VAL_INT:
    case VAL_BIGINT:
        return str_is(type, "integer") || str_is(type, "number");
    case VAL_DOUBLE:
        return isfinite(v->d) && (str_is(type, "number") || (str_is(type, "integer") && v->d == trunc(v->d)));
    case VAL_STR:
        return str_is(type, "string");
    case VAL_ARRAY:
        return str_is(type, "array");
    case VAL_OBJECT:
        return str_is(type, "object");
    }
    return false;
}

bool schema_kw_type(struct check *c, const struct at *at, const struct val *arg)
{
    const struct val *types = arg->type == VAL_ARRAY ? arg->arr.v : arg;
    size_t n = arg->type == VAL_ARRAY ? arg->arr.n : 1;
    for (size_t i = 0; i < n; i++)
        if (is_type(at->v, types[i].s))
            return true;
    if (!schema_charge(c, n) || !schema_wants(at))
        return false;
    struct buf b;
    buf_init(&b, 256);
    for (size_t i = 0; i < n; i++) {
        buf_addz(&b, !i ? "" : i + 1 == n ? " or " : ", ");
        buf_add(&b, types[i].s);
    }
    struct str is = schema_shown(c->a, at->v);
    SCHEMA_MISFIT(c, at, MISFIT_TYPE, "is %.*s; expected %.*s", STR_ARG(is), STR_ARG(buf_str(&b)));
    buf_done(&b);
    return false;
}

/* Equality at a price: what the comparison may have to look at. */
static bool equal(struct check *c, const struct val *schema_side, const struct val *v)
{
    uint64_t price = 1;
    bool both_text = v->type == VAL_STR && schema_side->type == VAL_STR;
    bool same_list = v->type == VAL_ARRAY && schema_side->type == VAL_ARRAY && v->arr.n == schema_side->arr.n;
    bool same_object = v->type == VAL_OBJECT && schema_side->type == VAL_OBJECT && v->obj.n == schema_side->obj.n;
    if (both_text && v->s.n == schema_side->s.n)
        price += v->s.n / 256;
    else if (same_list || same_object)
        price += val_weight(schema_side) / 64;
    return schema_charge(c, price) && val_eq(schema_side, v);
}

/* A value of the schema, as one would write it. */
static struct str literal(struct arena *a, const struct val *v)
{
    struct str text = v->type == VAL_ARRAY || v->type == VAL_OBJECT ? STR("") : json_text(a, v);
    return text.n && text.n <= SCHEMA_SHOWN ? text : schema_shown(a, v);
}

bool schema_kw_const(struct check *c, const struct at *at, const struct val *arg)
{
    if (equal(c, arg, at->v))
        return true;
    if (!schema_wants(at) || c->rc)
        return false;
    struct str is = schema_shown(c->a, at->v), expected = literal(c->a, arg);
    return SCHEMA_MISFIT(c, at, MISFIT_CHOICE, "is %.*s; expected %.*s", STR_ARG(is), STR_ARG(expected));
}

bool schema_kw_enum(struct check *c, const struct at *at, const struct val *arg)
{
    for (size_t i = 0; i < arg->arr.n; i++)
        if (equal(c, &arg->arr.v[i], at->v))
            return true;
    if (!schema_wants(at) || c->rc)
        return false;
    struct buf b;
    buf_init(&b, 1 << 14);
    for (size_t i = 0; i < arg->arr.n && i < CHOICES_TOLD_MAX; i++) {
        buf_addz(&b, !i ? "" : i + 1 == arg->arr.n ? " or " : ", ");
        buf_add(&b, literal(c->a, &arg->arr.v[i]));
    }
    if (arg->arr.n > CHOICES_TOLD_MAX)
        buf_printf(&b, " and so on (%zu choices)", arg->arr.n);
    struct str is = schema_shown(c->a, at->v);
    SCHEMA_MISFIT(c, at, MISFIT_CHOICE, "is %.*s; expected %.*s", STR_ARG(is), STR_ARG(buf_str(&b)));
    buf_done(&b);
    return false;
}

/* ---- numbers ---- */

/* The comparison must have come out as `low` or `high` (-1, 0, 1). */
static bool bound(struct check *c, const struct at *at, const struct val *arg, int low, int high, const char *words)
{
    int order = number_cmp(at->v, arg);
    if (!schema_charge(c, arg->type == VAL_BIGINT ? 1 + arg->s.n / 256 : 1))
        return false;
    if (order >= low && order <= high)
        return true;
    if (!schema_wants(at))
        return false;
    struct str is = schema_shown(c->a, at->v), limit = literal(c->a, arg);
    return SCHEMA_FAIL(c, at, "is %.*s; expected %s %.*s", STR_ARG(is), words, STR_ARG(limit));
}

bool schema_kw_minimum(struct check *c, const struct at *at, const struct val *arg)
{
    return bound(c, at, arg, 0, 1, "at least");
}

bool schema_kw_maximum(struct check *c, const struct at *at, const struct val *arg)
{
    return bound(c, at, arg, -1, 0, "at most");
}

bool schema_kw_exclusive_minimum(struct check *c, const struct at *at, const struct val *arg)
{
    return bound(c, at, arg, 1, 1, "more than");
}

bool schema_kw_exclusive_maximum(struct check *c, const struct at *at, const struct val *arg)
{
    return bound(c, at, arg, -1, -1, "less than");
}

bool schema_kw_multiple_of(struct check *c, const struct at *at, const struct val *arg)
{
    if (schema_number_multiple(c, at->v, arg))
        return true;
    if (!schema_wants(at) || c->rc)
        return false;
    struct str is = schema_shown(c->a, at->v), of = literal(c->a, arg);
    return SCHEMA_FAIL(c, at, "is %.*s; expected a multiple of %.*s", STR_ARG(is), STR_ARG(of));
}

/* ---- sizes ---- */

/* `n` things must be at least (sign -1) or at most (sign 1) as many as `arg` says. */
static bool count(struct check *c, const struct at *at, const struct val *arg, size_t n, int sign, const char *one,
                  const char *many)
{
    struct val is = val_int((int64_t)n);
    if (number_cmp(&is, arg) != sign)
        return true;
    if (!schema_wants(at))
        return false;
    struct str limit = arg->type == VAL_DOUBLE ? arena_printf(c->a, "%.0f", arg->d) : literal(c->a, arg);
    return SCHEMA_FAIL(c, at, "has %zu %s; expected at %s %.*s", n, n == 1 ? one : many, sign < 0 ? "least" : "most",
                       STR_ARG(limit));
}

static size_t code_points(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

bool schema_kw_min_length(struct check *c, const struct at *at, const struct val *arg)
{
    return schema_charge(c, at->v->s.n / 256) &&
           count(c, at, arg, code_points(at->v->s), -1, "character", "characters");
}

bool schema_kw_max_length(struct check *c, const struct at *at, const struct val *arg)
{
    return schema_charge(c, at->v->s.n / 256) && count(c, at, arg, code_points(at->v->s), 1, "character", "characters");
}

bool schema_kw_min_items(struct check *c, const struct at *at, const struct val *arg)
{
    return count(c, at, arg, at->v->arr.n, -1, "item", "items");
}

bool schema_kw_max_items(struct check *c, const struct at *at, const struct val *arg)
{
    return count(c, at, arg, at->v->arr.n, 1, "item", "items");
}

bool schema_kw_min_properties(struct check *c, const struct at *at, const struct val *arg)
{
    return count(c, at, arg, at->v->obj.n, -1, "property", "properties");
}

bool schema_kw_max_properties(struct check *c, const struct at *at, const struct val *arg)
{
    return count(c, at, arg, at->v->obj.n, 1, "property", "properties");
}

/* ---- text, names, sets ---- */

bool schema_matches(struct check *c, const struct node *n, struct str text)
{
    struct regex_match match;
    if (!n || !n->regex)
        return schema_give_up(c, RC_INTERNAL, "a pattern of the schema was not compiled");
    if (!schema_charge(c, PATTERN_COST + text.n / 8))
        return false;
    struct err err;
    enum rc rc = regex_search(n->regex, text, 0, &match, &err);
    if (rc == RC_LIMIT)
        return schema_give_up(c, rc, "a pattern of the schema needs too many steps on this value");
    return rc ? schema_give_up(c, rc, err.msg) : match.found;
}

bool schema_kw_pattern(struct check *c, const struct at *at, const struct val *arg)
{
    const struct node *n = schema_node(c->s, arg);
    if (schema_matches(c, n, at->v->s))
        return true;
    if (c->rc || !schema_wants(at))
        return false;
    struct str is = schema_shown(c->a, at->v), pattern = literal(c->a, arg);
    return SCHEMA_FAIL(c, at, "is %.*s; expected a match of the pattern %.*s", STR_ARG(is), STR_ARG(pattern));
}

bool schema_kw_format(struct check *c, const struct at *at, const struct val *arg)
{
    const char *expected = schema_format_expected(arg->s);
    if (!expected || !schema_charge(c, 1 + at->v->s.n) || schema_format_fits(arg->s, at->v->s))
        return !c->rc;
    struct str is = schema_wants(at) ? schema_shown(c->a, at->v) : STR("");
    return SCHEMA_FAIL(c, at, "is %.*s; expected %s", STR_ARG(is), expected);
}

bool schema_kw_required(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < arg->arr.n && (ok || schema_wants(at)); i++) {
        if (!schema_charge(c, 1))
            return false;
        if (val_get(at->v, arg->arr.v[i].s))
            continue;
        ok = false;
        struct str name = schema_wants(at) ? literal(c->a, &arg->arr.v[i]) : STR("");
        SCHEMA_FAIL(c, at, "lacks %.*s; expected it (required)", STR_ARG(name));
    }
    return ok;
}

/* Equal values have one canonical text, so a map of texts finds the first two that are equal. */
bool schema_kw_unique_items(struct check *c, const struct at *at, const struct val *arg)
{
    if (!arg->b || at->v->arr.n < 2)
        return true;
    if (!schema_charge(c, val_weight(at->v) / 16))
        return false;
    struct arena texts = {0};
    struct map seen = {0};
    const struct val *item = at->v->arr.v, *same = NULL;
    size_t i = 0;
    for (; i < at->v->arr.n && !same; i++) {
        struct str text = json_canonical(&texts, &item[i]);
        same = map_get(&seen, text);
        if (same && !val_eq(same, &item[i])) /* the text null stands for non-finite numbers too */
            same = NULL;
        else if (!same)
            map_put(&seen, text, (void *)(uintptr_t)&item[i]);
    }
    map_done(&seen);
    arena_done(&texts);
    if (!same)
        return true;
    return SCHEMA_FAIL(c, at, "has equal items at %zu and %zu; expected every item once (uniqueItems)",
                       (size_t)(same - item), i - 1);
}
