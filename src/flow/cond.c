/* Conditions: expressions with and/or/not written as YAML around them.
 *
 * The map form is only a way to lay out what `and`, `or` and `not` say in an expression; it is evaluated the same way,
 * left to right, stopping early. In conditions, fields that a known result lacks are null instead of errors: a
 * condition asks about what may not have happened. A hole inside quotes, '{{ steps.a.b }}' == 'x', would compare the
 * literal text with the braces in it; it is refused, because its author means the value. The depth of nesting is
 * bounded at parsing, so the walks below may recurse. */
#include "flow/load_int.h"

static enum rc parse(struct arena *a, const struct val *v, unsigned depth, const struct cond **ret, struct err *err);

static enum rc fail(const struct val *v, struct err *err, const char *what)
{
    if (!v->line)
        return err_set(err, RC_INVALID, "%s", what);
    return err_set(err, RC_INVALID, "%u:%u: %s", v->line, v->col, what);
}

/* Is there a `{{` between quotes? */
static bool hole_in_quotes(struct str s)
{
    char quote = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (quote && c == '\\')
            i++;
        else if (quote && c == quote)
            quote = 0;
        else if (quote && c == '{' && i + 1 < s.n && s.p[i + 1] == '{')
            return true;
        else if (!quote && (c == '"' || c == '\''))
            quote = c;
    }
    return false;
}

static enum rc parse_text(struct arena *a, const struct val *v, struct cond *c, struct err *err)
{
    if (str_trim(v->s).n == 0)
        return fail(v, err, "the condition is empty; expected an expression such as steps.test.exit_code == 0");
    if (hole_in_quotes(v->s))
        return fail(v, err,
                    "a condition has `{{` inside quotes; expected the name itself, as in steps.a.text == \"x\"");
    c->kind = COND_EXPR;
    return expr_parse(a, v->s, v->line, v->col, &c->expr, err);
}

static enum rc parse_subs(struct arena *a, const struct val *v, size_t n, unsigned depth, struct cond *c,
                          struct err *err)
{
    const struct cond **sub = arena_calloc(a, n, sizeof *sub);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = parse(a, &v[i], depth + 1, &sub[i], err);
        if (rc != RC_OK)
            return rc;
    }
    c->sub = sub;
    c->n = n;
    return RC_OK;
}

static enum rc parse_map(struct arena *a, const struct val *v, unsigned depth, struct cond *c, struct err *err)
{
    static const char form[] = "a condition as a map has one key; expected {and: [...]}, {or: [...]} or {not: ...}";
    if (v->obj.n != 1)
        return fail(v, err, form);
    const struct member *m = &v->obj.m[0];
    if (str_is(m->key, "not"))
        c->kind = COND_NOT;
    else if (str_is(m->key, "and") || str_is(m->key, "or"))
        c->kind = str_is(m->key, "and") ? COND_AND : COND_OR;
    else
        return fail(v, err, form);
    bool list = m->val.type == VAL_ARRAY;
    if (c->kind == COND_NOT && list)
        return fail(&m->val, err,
                    "`not` takes one condition, not a list; expected {not: {and: [...]}} or {not: {or: [...]}}");
    if (c->kind != COND_NOT && (!list || m->val.arr.n == 0))
        return fail(&m->val, err, "`and` and `or` take a list of conditions; expected a list of at least one");
    return parse_subs(a, list ? m->val.arr.v : &m->val, list ? m->val.arr.n : 1, depth, c, err);
}

static enum rc parse_list(struct arena *a, const struct val *v, unsigned depth, struct cond *c, struct err *err)
{
    if (v->arr.n == 0)
        return fail(v, err, "the condition is an empty list; expected an expression, or {and: [...]} or {or: [...]}");
    c->kind = COND_AND;
    return parse_subs(a, v->arr.v, v->arr.n, depth, c, err);
}

/* The text of a map as one expression, for messages. */
static struct str shown(struct arena *a, const struct cond *c)
{
    struct str s = c->kind == COND_NOT ? STR("not ") : STR("");
    for (size_t i = 0; i < c->n && s.n < 300; i++) {
        struct str one = c->sub[i]->text;
        bool wrap = (c->n > 1 || c->kind == COND_NOT) && memchr(one.p, ' ', one.n);
        s = arena_printf(a, "%.*s%s%s%s%s", STR_ARG(s),
                         i == 0                ? ""
                         : c->kind == COND_AND ? " and "
                                               : " or ",
                         wrap ? "(" : "", clip(one).z, wrap ? ")" : "");
    }
    return s;
}

static enum rc parse(struct arena *a, const struct val *v, unsigned depth, const struct cond **ret, struct err *err)
{
    struct cond *c = ARENA_NEW(a, struct cond);
    enum rc rc = RC_OK;
    if (depth > COND_DEPTH_MAX)
        return fail(v, err, "the condition is nested too deeply; expected at most 32 levels");
    if (v->type == VAL_BOOL) {
        c->kind = COND_CONST;
        c->constant = v->b;
        c->text = v->b ? STR("true") : STR("false");
    } else if (v->type == VAL_STR) {
        rc = parse_text(a, v, c, err);
        c->text = str_trim(v->s);
    } else if (v->type == VAL_OBJECT) {
        rc = parse_map(a, v, depth, c, err);
        if (rc == RC_OK)
            c->text = shown(a, c);
    } else if (v->type == VAL_ARRAY) {
        rc = parse_list(a, v, depth, c, err); /* an older way to say {and: [...]} */
        if (rc == RC_OK)
            c->text = shown(a, c);
    } else {
        return fail(v, err, "a condition cannot be a number or empty; expected an expression, true or false");
    }
    *ret = c;
    return rc;
}

enum rc cond_parse(struct arena *a, const struct val *v, const struct cond **ret, struct err *err)
{
    return parse(a, v, 0, ret, err);
}

enum rc cond_eval(const struct cond *c, struct expr_scope *scope, struct arena *a, bool *ret, struct err *err)
{
    struct val v;
    enum rc rc = RC_OK;
    switch (c->kind) {
    case COND_CONST:
        *ret = c->constant;
        return RC_OK;
    case COND_EXPR:
        scope->null_safe = true;
        rc = expr_eval(c->expr, scope, a, &v, err);
        if (rc == RC_OK)
            *ret = val_truthy(&v);
        return rc;
    case COND_NOT:
        rc = cond_eval(c->sub[0], scope, a, ret, err);
        *ret = rc == RC_OK && !*ret;
        return rc;
    case COND_AND:
    case COND_OR:
        break;
    }
    *ret = c->kind == COND_AND;
    for (size_t i = 0; i < c->n && rc == RC_OK && *ret == (c->kind == COND_AND); i++)
        rc = cond_eval(c->sub[i], scope, a, ret, err);
    *ret = *ret && rc == RC_OK;
    return rc;
}

enum rc cond_each_path(const struct cond *c,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err)
{
    if (c->kind == COND_EXPR)
        return expr_each_path(c->expr, cb, ctx, err);
    for (size_t i = 0; i < c->n; i++) {
        enum rc rc = cond_each_path(c->sub[i], cb, ctx, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}
