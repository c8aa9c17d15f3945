/* Operations as an author writes them.
 *
 * Each operation has a row in `ops`, its keys are in `keys`; both are searched for the nearest name when one is wrong.
 * A key that holds code is parsed here, so that a mistake in it is found before anything runs. What is still a template
 * of the caller's (`loose`) is not judged. Conditions may be text, a boolean, a list (all of it) or a map of and, or,
 * not, which become one expression. */
#include "data/schema.h"
#include "data/transform_int.h"

#include <stdarg.h>
#include <stdio.h>

const char *const op_names[OP_COUNT] = {
    [OP_FILTER] = "filter",       [OP_MAP] = "map",           [OP_AGGREGATE] = "aggregate",
    [OP_JOIN] = "join",           [OP_GROUP_BY] = "group_by", [OP_SORT] = "sort",
    [OP_UNIQUE] = "unique",       [OP_FLATTEN] = "flatten",   [OP_QUERY] = "query",
    [OP_TRANSFORM] = "transform", [OP_VALIDATE] = "validate", [OP_SANITIZE] = "sanitize",
};

struct reader {
    struct arena *a;
    bool loose, bad;
    transform_report *report;
    void *ctx;
};

static void report_at(struct reader *r, const struct val *v, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void report_at(struct reader *r, const struct val *v, const char *fmt, ...)
{
    struct err why;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&why, RC_INVALID, fmt, ap);
    va_end(ap);
    r->bad = true;
    r->report(r->ctx, v->line, v->col, why.msg);
}

/* An error of a parser: "line:col: message" has the better place. */
static void report_err(struct reader *r, const struct val *v, const char *key, const struct err *err)
{
    unsigned line, col;
    int n = 0;
    struct val at = *v;
    if (v->line && sscanf(err->msg, "%u:%u: %n", &line, &col, &n) == 2 && n) {
        at.line = line;
        at.col = col;
    } else {
        n = 0;
    }
    report_at(r, &at, "`%s`: %s", key, err->msg + n);
}

struct near {
    struct str want;
    const char *name;
    unsigned distance;
};
static void near_try(struct near *n, const char *candidate)
{
    unsigned limit = n->name ? n->distance : 1 + (unsigned)(n->want.n / 4),
             d = str_distance(n->want, str_c(candidate), limit);
    if (d <= limit && (!n->name || d < n->distance)) {
        n->name = candidate;
        n->distance = d;
    }
}

static struct str cut(struct str s)
{
    return s.n <= 60 ? s : str_n(s.p, str_utf8_valid(str_n(s.p, 60)));
}

static bool has_hole(struct str s)
{
    return str_find(s, STR("{{")) != SIZE_MAX;
}

/* ---- values of keys ---- */

static bool open_template(const struct reader *r, const struct val *v)
{
    return r->loose && v->type == VAL_STR && has_hole(v->s);
}

static bool want_text(struct reader *r, const struct member *m, struct str *ret)
{
    if (m->val.type == VAL_STR && m->val.s.n) {
        *ret = m->val.s;
        return !open_template(r, &m->val);
    }
    report_at(r, &m->val, "`%.*s` is %s; expected text", STR_ARG(m->key),
              m->val.type == VAL_STR ? "empty" : val_type_name(&m->val));
    return false;
}

static bool want_path(struct reader *r, const struct member *m, struct tpath *ret)
{
    struct str text;
    struct err err;
    if (!want_text(r, m, &text))
        return false;
    if (tpath_parse(r->a, text, ret, &err) == RC_OK)
        return true;
    report_err(r, &m->val, arena_str(r->a, m->key).p, &err);
    return false;
}

static const struct expr *parse_expr(struct reader *r, const struct member *m, const struct val *v)
{
    const struct expr *e = NULL;
    struct err err;
    if (expr_parse(r->a, v->s, v->line, v->col, &e, &err) == RC_OK)
        return e;
    report_err(r, v, arena_str(r->a, m->key).p, &err);
    return NULL;
}

/* A condition as one expression's text; false: reported. */
static bool condition_text(struct reader *r, const struct member *m, const struct val *v, unsigned depth,
                           struct buf *out)
{
    const struct member *k = v->type == VAL_OBJECT && v->obj.n == 1 ? &v->obj.m[0] : NULL;
    bool list = v->type == VAL_ARRAY || (k && (str_is(k->key, "and") || str_is(k->key, "or")));
    if (depth > 16) {
        report_at(r, v, "the condition is nested too deeply");
        return false;
    }
    if (v->type == VAL_STR) {
        if (!parse_expr(r, m, v))
            return false;
        buf_printf(out, "(%.*s)", STR_ARG(v->s));
        return true;
    }
    if (v->type == VAL_BOOL) {
        buf_addz(out, v->b ? "true" : "false");
        return true;
    }
    if (k && str_is(k->key, "not")) {
        buf_addz(out, "(not ");
        bool good = condition_text(r, m, &k->val, depth + 1, out);
        buf_addc(out, ')');
        return good;
    }
    const struct val *items = v->type == VAL_ARRAY ? v : k ? &k->val : NULL;
    if (!list || !val_is(items, VAL_ARRAY) || !items->arr.n) {
        report_at(r, v,
                  "`%.*s` is no condition; expected text, true, false, a list, or {and: […]}, {or: […]}, {not: …}",
                  STR_ARG(m->key));
        return false;
    }
    bool either = k && str_is(k->key, "or"), good = true;
    buf_addc(out, '(');
    for (size_t i = 0; i < items->arr.n; i++) {
        buf_addz(out, i ? (either ? " or " : " and ") : "");
        good = condition_text(r, m, &items->arr.v[i], depth + 1, out) && good;
    }
    buf_addc(out, ')');
    return good;
}

static const struct expr *want_condition(struct reader *r, const struct member *m)
{
    if (m->val.type == VAL_STR)
        return parse_expr(r, m, &m->val);
    struct buf b;
    const struct expr *e = NULL;
    struct err err;
    buf_init(&b, 64 << 10);
    if (condition_text(r, m, &m->val, 0, &b) && expr_parse(r->a, buf_str(&b), 0, 0, &e, &err) != RC_OK)
        report_err(r, &m->val, "condition", &err);
    buf_done(&b);
    return e;
}

/* Code for the value of one field or item: text is an expression, or a template where it has text around holes. */
static struct code want_code(struct reader *r, const struct member *m, const struct val *v)
{
    struct code c = {.value = *v};
    struct err err;
    if (v->type != VAL_STR)
        return c;
    struct str s = str_trim(v->s);
    bool whole = str_starts(s, STR("{{")) && str_find(str_from(s, 2), STR("{{")) == SIZE_MAX && str_ends(s, STR("}}"));
    if (!has_hole(v->s) || whole)
        c.expr = parse_expr(r, m, v);
    else if (tmpl_parse(r->a, v->s, v->line, v->col, &c.tmpl, &err) != RC_OK)
        report_err(r, v, arena_str(r->a, m->key).p, &err);
    return c;
}

static enum agg_fn want_function(struct reader *r, const struct val *v, struct str name)
{
    const char *nearest;
    enum agg_fn fn = agg_find(name, &nearest);
    if (fn == AGG_NONE && nearest)
        report_at(r, v, "unknown function `%.*s`; did you mean `%s`?", STR_ARG(cut(name)), nearest);
    else if (fn == AGG_NONE)
        report_at(r, v,
                  "unknown function `%.*s`; expected sum, average, min, max, count, count_distinct, std_dev, variance, "
                  "first, last or unique",
                  STR_ARG(cut(name)));
    return fn;
}

/* "count", "sum(duration)" */
static void want_group_agg(struct reader *r, const struct member *m, struct group_agg *ret)
{
    const struct val *v = &m->val;
    ret->name = m->key;
    ret->fn = AGG_COUNT;
    if (v->type != VAL_STR) {
        report_at(r, v, "`%.*s` is %s; expected a function such as count or sum(price)", STR_ARG(cut(m->key)),
                  val_type_name(v));
        return;
    }
    struct str s = str_trim(v->s);
    size_t open = str_find(s, STR("("));
    struct str name = str_trim(open == SIZE_MAX ? s : str_n(s.p, open));
    ret->fn = want_function(r, v, name);
    if (open == SIZE_MAX)
        return;
    if (!str_ends(s, STR(")"))) {
        report_at(r, v, "`%.*s` lacks its )", STR_ARG(cut(s)));
        return;
    }
    struct val inner = *v;
    inner.s = str_trim(str_n(s.p + open + 1, s.n - open - 2));
    if (v->line)
        inner.col += (uint32_t)(inner.s.p - v->s.p);
    if (inner.s.n && !str_is(inner.s, "*"))
        ret->of = parse_expr(r, m, &inner);
}

static void want_sort_keys(struct reader *r, const struct member *m, struct op *o)
{
    struct str text;
    if (m->val.type == VAL_ARRAY) { /* [a, b] */
        struct buf b;
        buf_init(&b, 10000);
        for (size_t i = 0; i < m->val.arr.n; i++)
            buf_printf(&b, "%s%.*s", i ? "," : "",
                       STR_ARG(val_is(&m->val.arr.v[i], VAL_STR) ? m->val.arr.v[i].s : STR("")));
        text = arena_str(r->a, buf_str(&b));
        buf_done(&b);
    } else if (!want_text(r, m, &text)) {
        return;
    }
    o->by = arena_calloc(r->a, 16, sizeof *o->by);
    for (struct str rest = text; rest.n || !o->nby;) {
        size_t comma = str_find(rest, STR(","));
        struct str one = str_trim(str_n(rest.p, comma < rest.n ? comma : rest.n));
        rest = comma < rest.n ? str_from(rest, comma + 1) : STR("");
        if (o->nby == 16) {
            report_at(r, &m->val, "`%.*s` has more than 16 keys", STR_ARG(m->key));
            return;
        }
        struct sort_key *k = &o->by[o->nby++];
        struct err err;
        k->desc = str_ends(one, STR(" desc")) || (one.n > 1 && one.p[0] == '-');
        if (str_ends(one, STR(" desc")) || str_ends(one, STR(" asc")))
            one = str_trim(str_n(one.p, one.n - (str_ends(one, STR(" desc")) ? 5 : 4)));
        else if (k->desc)
            one = str_from(one, 1);
        if (tpath_parse(r->a, one, &k->path, &err) != RC_OK)
            report_err(r, &m->val, "by", &err);
    }
}

/* $.files[*].{name: filename}: a query, and what to make of each node. */
static void want_transform(struct reader *r, const struct member *m, struct op *o)
{
    struct str text;
    struct err err;
    if (m->val.type == VAL_OBJECT) {
        struct field_code *f = arena_calloc(r->a, m->val.obj.n + 1, sizeof *f);
        for (size_t i = 0; i < m->val.obj.n; i++)
            f[o->nfields++] = (struct field_code){m->val.obj.m[i].key, want_code(r, m, &m->val.obj.m[i].val)};
        o->fields = f;
        return;
    }
    if (m->val.type != VAL_STR || !m->val.s.n) {
        (void)want_text(r, m, &text);
        return;
    }
    text = str_trim(m->val.s);
    if (text.p[0] != '$') {
        o->code = want_code(r, m, &m->val);
        return;
    }
    size_t brace = str_find(text, STR(".{"));
    struct val query = val_str(brace == SIZE_MAX ? text : str_n(text.p, brace));
    query.line = m->val.line;
    query.col = m->val.col;
    if (brace != SIZE_MAX) {
        struct val object = m->val;
        object.s = str_from(text, brace + 1);
        if (object.line)
            object.col += (uint32_t)(object.s.p - m->val.s.p);
        o->code.expr = parse_expr(r, m, &object);
    }
    if (jsonpath_parse(r->a, query.s, &o->query, &err) != RC_OK || jsonpath_check_patterns(o->query, &err) != RC_OK)
        report_err(r, &query, "expression", &err);
}

static void want_query(struct reader *r, const struct member *m, struct op *o)
{
    struct str text;
    struct err err;
    if (!want_text(r, m, &text))
        return;
    text = str_trim(text);
    if (text.p[0] != '$') /* a.b[*].c means the same as $.a.b[*].c */
        text = arena_printf(r->a, "$%s%.*s", text.p[0] == '[' ? "" : ".", STR_ARG(text));
    if (jsonpath_parse(r->a, text, &o->query, &err) != RC_OK || jsonpath_check_patterns(o->query, &err) != RC_OK)
        report_err(r, &m->val, "expression", &err);
}

static void want_rules(struct reader *r, const struct member *m, struct op *o)
{
    static const struct {
        const char *name;
        unsigned bit;
    } rules[] = {
        {"remove_html_tags", RULE_TAGS}, {"escape_special_chars", RULE_ESCAPE}, {"trim_whitespace", RULE_TRIM}};
    const struct val *v = &m->val;
    size_t n = v->type == VAL_ARRAY ? v->arr.n : 1;
    for (size_t i = 0; i < n; i++) {
        const struct val *one = v->type == VAL_ARRAY ? &v->arr.v[i] : v;
        size_t names = one->type == VAL_OBJECT ? one->obj.n : 1;
        for (size_t k = 0; k < names; k++) {
            struct str name = one->type == VAL_OBJECT ? one->obj.m[k].key : one->type == VAL_STR ? one->s : STR("");
            unsigned bit = 0;
            for (size_t j = 0; j < sizeof rules / sizeof *rules; j++)
                bit = str_is(name, rules[j].name) ? rules[j].bit : bit;
            if (!bit)
                report_at(r, one,
                          "unknown rule `%.*s`; expected remove_html_tags, escape_special_chars or trim_whitespace",
                          STR_ARG(cut(name)));
            else if (one->type != VAL_OBJECT || val_truthy(&one->obj.m[k].val))
                o->rules |= bit;
        }
    }
}

static void want_join(struct reader *r, const struct member *m, struct op *o)
{
    static const char *const names[] = {"left", "right", "inner", "outer"};
    struct str text;
    if (!want_text(r, m, &text))
        return;
    for (size_t i = 0; i < 4; i++)
        if (str_is(text, names[i])) {
            o->join = (enum join_kind)i;
            return;
        }
    report_at(r, &m->val, "`join_type` is `%.*s`; expected left, right, inner or outer", STR_ARG(cut(text)));
}

/* ---- keys ---- */

#define BIT(kind) (1u << (kind))
static const unsigned anywhere = (1u << OP_COUNT) - 1;
static const struct {
    const char *name;
    unsigned ops;
} keys[] = {
    {"operation", anywhere},
    {"name", anywhere},
    {"description", anywhere},
    {"field", anywhere},
    {"as", anywhere},
    {"condition", BIT(OP_FILTER)},
    {"expression", BIT(OP_MAP) | BIT(OP_QUERY) | BIT(OP_TRANSFORM)},
    {"mapping", BIT(OP_MAP)},
    {"function", BIT(OP_AGGREGATE)},
    {"value_field", BIT(OP_AGGREGATE)},
    {"group_by", BIT(OP_AGGREGATE)},
    {"input_source", BIT(OP_AGGREGATE)},
    {"output_format", BIT(OP_AGGREGATE)},
    {"left_field", BIT(OP_JOIN)},
    {"right_source", BIT(OP_JOIN)},
    {"right_field", BIT(OP_JOIN)},
    {"join_key", BIT(OP_JOIN)},
    {"join_type", BIT(OP_JOIN)},
    {"key", BIT(OP_GROUP_BY)},
    {"aggregate", BIT(OP_GROUP_BY)},
    {"by", BIT(OP_SORT)},
    {"order", BIT(OP_SORT)},
    {"schema", BIT(OP_VALIDATE)},
    {"expected", BIT(OP_VALIDATE)},
    {"rules", BIT(OP_SANITIZE)},
};

const char *transform_operation(size_t i)
{
    return i < OP_COUNT ? op_names[i] : i == OP_COUNT ? "extract" : NULL;
}

const char *transform_key(size_t i)
{
    return i < sizeof keys / sizeof *keys ? keys[i].name : NULL;
}

bool transform_is_code(struct str key)
{
    static const char *const code[] = {"condition", "expression",   "aggregate",   "schema",
                                       "operation", "right_source", "input_source"};
    for (size_t i = 0; i < sizeof code / sizeof *code; i++)
        if (str_is(key, code[i]))
            return true;
    return false;
}

/* A path to a value of the caller's: steps.x.y, {{ steps.x.y }}, previous_response:STEP:field. */
static const struct expr *want_source(struct reader *r, const struct member *m)
{
    struct str text;
    if (m->val.type != VAL_STR || !m->val.s.n) {
        (void)want_text(r, m, &text);
        return NULL;
    }
    struct val v = m->val;
    struct str head = STR("previous_response:");
    if (str_starts(v.s, head)) {
        size_t colon = str_find(str_from(v.s, head.n), STR(":"));
        if (colon != SIZE_MAX)
            v.s = arena_printf(r->a, "%.*s.%.*s", (int)(head.n + colon), v.s.p,
                               STR_ARG(str_from(v.s, head.n + colon + 1)));
    }
    return parse_expr(r, m, &v);
}

static bool text_is(const struct member *m, const char *z)
{
    return m->val.type == VAL_STR && str_is(str_trim(m->val.s), z);
}

static void read_expression(struct reader *r, const struct member *m, struct op *o)
{
    if (o->kind == OP_QUERY)
        want_query(r, m, o);
    else if (o->kind == OP_TRANSFORM)
        want_transform(r, m, o);
    else if (text_is(m, "uppercase") || text_is(m, "lowercase"))
        o->word = text_is(m, "uppercase") ? WORD_UPPER : WORD_LOWER;
    else if (m->val.type == VAL_STR && str_starts(str_trim(m->val.s), STR("$")))
        report_at(r, &m->val,
                  "the expression of a map is about one item; expected no `$`, or the operation `transform`");
    else if (m->val.type == VAL_OBJECT)
        want_transform(r, m, o);
    else
        o->code = want_code(r, m, &m->val);
}

static void read_aggregate(struct reader *r, const struct member *m, struct op *o)
{
    if (m->val.type != VAL_OBJECT) {
        report_at(r, &m->val, "`aggregate` is %s; expected a map such as {n: count, total: sum(price)}",
                  val_type_name(&m->val));
        return;
    }
    struct group_agg *g = arena_calloc(r->a, m->val.obj.n + 1, sizeof *g);
    for (size_t i = 0; i < m->val.obj.n; i++)
        want_group_agg(r, &m->val.obj.m[i], &g[o->naggs++]);
    o->aggs = g;
}

static void read_schema(struct reader *r, const struct member *m, struct op *o)
{
    struct err err;
    o->schema = &m->val;
    if (m->val.type != VAL_OBJECT && m->val.type != VAL_BOOL)
        report_at(r, &m->val, "`schema` is %s; expected a JSON Schema", val_type_name(&m->val));
    else if (schema_valid(&m->val, &err) != RC_OK)
        report_err(r, &m->val, "schema", &err);
}

static void read_order(struct reader *r, const struct member *m, bool *desc)
{
    struct str text;
    if (!want_text(r, m, &text))
        return;
    *desc = str_is(text, "desc") || str_is(text, "descending");
    if (!*desc && !str_is(text, "asc") && !str_is(text, "ascending"))
        report_at(r, &m->val, "`order` is `%.*s`; expected asc or desc", STR_ARG(cut(text)));
}

static void read_map_key(struct reader *r, const struct member *m, struct op *o)
{
    if (str_is(m->key, "mapping")) {
        o->mapping = &m->val;
        if (m->val.type != VAL_OBJECT && !open_template(r, &m->val))
            report_at(r, &m->val, "`mapping` is %s; expected a map of old and new values", val_type_name(&m->val));
    } else if (str_is(m->key, "expected")) {
        o->expected = &m->val;
        if (m->val.type != VAL_OBJECT && !open_template(r, &m->val))
            report_at(r, &m->val, "`expected` is %s; expected a map of fields and values", val_type_name(&m->val));
    }
}

static void read_key(struct reader *r, const struct member *m, struct op *o, bool *desc)
{
    struct str k = m->key, text;
    if (str_is(k, "field")) {
        o->has_field = want_path(r, m, &o->field);
    } else if (str_is(k, "as")) {
        if (want_text(r, m, &text))
            o->as = text;
    } else if (str_is(k, "condition")) {
        o->condition = want_condition(r, m);
    } else if (str_is(k, "expression")) {
        read_expression(r, m, o);
    } else if (str_is(k, "function")) {
        if (want_text(r, m, &text))
            o->fn = want_function(r, &m->val, text);
    } else if (str_is(k, "value_field") || str_is(k, "key") || str_is(k, "left_field")) {
        o->has_key = want_path(r, m, &o->key);
    } else if (str_is(k, "join_key") || str_is(k, "right_field")) {
        o->has_group = want_path(r, m, &o->right);
    } else if (str_is(k, "group_by")) {
        o->has_group = want_path(r, m, &o->group);
    } else if (str_is(k, "aggregate")) {
        read_aggregate(r, m, o);
    } else if (str_is(k, "right_source") || str_is(k, "input_source")) {
        o->source = want_source(r, m);
    } else if (str_is(k, "by")) {
        want_sort_keys(r, m, o);
    } else if (str_is(k, "order")) {
        read_order(r, m, desc);
    } else if (str_is(k, "join_type")) {
        want_join(r, m, o);
    } else if (str_is(k, "rules")) {
        want_rules(r, m, o);
    } else if (str_is(k, "schema")) {
        read_schema(r, m, o);
    } else if (str_is(k, "output_format")) {
        if (want_text(r, m, &text))
            o->format = text;
    } else {
        read_map_key(r, m, o);
    }
}

static void unknown_key(struct reader *r, const struct member *m, const struct op *o)
{
    struct near near = {.want = m->key};
    struct val at = {.line = m->line, .col = m->col};
    bool other = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        other = other || str_is(m->key, keys[i].name);
        if (keys[i].ops & BIT(o->kind))
            near_try(&near, keys[i].name);
    }
    if (other)
        report_at(r, &at, "`%.*s` is no key of the operation `%s`", STR_ARG(m->key), op_names[o->kind]);
    else if (near.name)
        report_at(r, &at, "unknown key `%.*s` of the operation `%s`; did you mean `%s`?", STR_ARG(cut(m->key)),
                  op_names[o->kind], near.name);
    else
        report_at(r, &at, "unknown key `%.*s` of the operation `%s`; expected its own keys (docs/steps-data.md)",
                  STR_ARG(cut(m->key)), op_names[o->kind]);
}

/* ---- operations ---- */

static void need(struct reader *r, const struct val *v, const struct op *o, const char *key, const char *what)
{
    if (!val_get(v, str_c(key)))
        report_at(r, v, "the operation `%s` has no `%s`; expected %s", op_names[o->kind], key, what);
}

static void check_needs(struct reader *r, const struct val *v, struct op *o)
{
    switch (o->kind) {
    case OP_FILTER:
        need(r, v, o, "condition", "one, such as \"score > 5\"");
        break;
    case OP_MAP:
        if (!VAL_GET(v, "mapping"))
            need(r, v, o, "expression", "one, such as \"{name: item.name}\", or a `mapping`");
        break;
    case OP_AGGREGATE:
        if (!VAL_GET(v, "function"))
            o->fn = AGG_SUM;
        break;
    case OP_JOIN:
        need(r, v, o, "right_source", "the other list, such as steps.users.list");
        need(r, v, o, "join_key", "the field of its rows to compare");
        break;
    case OP_GROUP_BY:
        if (!VAL_GET(v, "key"))
            need(r, v, o, "field", "the field to group by");
        break;
    case OP_QUERY:
    case OP_TRANSFORM:
        need(r, v, o, "expression", "one, such as $.files[?@.size > 1000].name");
        break;
    case OP_VALIDATE:
        if (!VAL_GET(v, "expected"))
            need(r, v, o, "schema", "one, or `expected`");
        break;
    case OP_SANITIZE:
        need(r, v, o, "rules", "remove_html_tags, escape_special_chars or trim_whitespace");
        break;
    case OP_SORT:
    case OP_UNIQUE:
    case OP_FLATTEN:
    case OP_COUNT:
        break;
    }
}

static bool read_kind(struct reader *r, const struct val *v, struct op *o)
{
    const struct val *name = VAL_GET(v, "operation");
    struct near near = {.want = val_is(name, VAL_STR) ? name->s : STR("")};
    if (v->type != VAL_OBJECT || !val_is(name, VAL_STR)) {
        report_at(r, v, "%s; expected an operation such as {operation: filter, condition: \"score > 5\"}",
                  v->type == VAL_OBJECT ? "this has no text under `operation`" : "this is no map");
        return false;
    }
    if (str_is(name->s, "extract"))
        near.want = STR("query");
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (str_is(near.want, op_names[i])) {
            o->kind = (enum op_kind)i;
            return true;
        }
        near_try(&near, op_names[i]);
    }
    if (near.name)
        report_at(r, name, "unknown operation `%.*s`; did you mean `%s`?", STR_ARG(cut(name->s)), near.name);
    else
        report_at(r, name,
                  "unknown operation `%.*s`; expected filter, map, aggregate, join, group_by, sort, unique, flatten, "
                  "extract, query, transform, validate or sanitize",
                  STR_ARG(cut(name->s)));
    return false;
}

static void read_op(struct reader *r, const struct val *v, struct op *o)
{
    bool desc = false;
    *o = (struct op){.line = v->line, .col = v->col, .fn = AGG_SUM};
    if (!read_kind(r, v, o))
        return;
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *m = &v->obj.m[i];
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys && !known; k++)
            known = str_is(m->key, keys[k].name) && keys[k].ops & BIT(o->kind);
        if (known)
            read_key(r, m, o, &desc);
        else
            unknown_key(r, m, o);
    }
    for (size_t i = 0; i < o->nby; i++)
        o->by[i].desc = o->by[i].desc != desc;
    if (o->kind == OP_SORT && !o->nby && desc) { /* of the items, or of `field` */
        o->by = arena_calloc(r->a, 1, sizeof *o->by);
        o->by->desc = true;
        o->nby = 1;
    }
    check_needs(r, v, o);
}

enum rc transform_parse(struct arena *a, const struct val *operations, bool loose, transform_report *report, void *ctx,
                        const struct transform **ret)
{
    struct reader r = {a, loose, false, report, ctx};
    struct transform *t = ARENA_NEW(a, struct transform);
    *ret = t;
    if (operations->type != VAL_ARRAY) {
        report_at(&r, operations, "`operations` is %s; expected a list of operations", val_type_name(operations));
        return RC_INVALID;
    }
    if (operations->arr.n > TRANSFORM_OPERATIONS_MAX) {
        report_at(&r, operations, "`operations` has %zu entries; expected at most %d", operations->arr.n,
                  TRANSFORM_OPERATIONS_MAX);
        return RC_INVALID;
    }
    struct op *o = arena_calloc(a, operations->arr.n + 1, sizeof *o);
    for (size_t i = 0; i < operations->arr.n; i++)
        read_op(&r, &operations->arr.v[i], &o[i]);
    t->op = o;
    t->n = operations->arr.n;
    return r.bad ? RC_INVALID : RC_OK;
}

/* ---- names ---- */

struct walk {
    enum rc (*cb)(void *ctx, const struct expr_path *path, bool local, struct err *err);
    void *ctx;
    bool local;
};

static enum rc pass(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    const struct walk *w = ctx;
    (void)soft;
    return w->cb(w->ctx, path, w->local, err);
}

static enum rc walk_code(struct walk *w, const struct code *c, struct err *err)
{
    enum rc rc = c->expr ? expr_each_path(c->expr, pass, w, err) : RC_OK;
    return rc == RC_OK && c->tmpl ? tmpl_each_path(c->tmpl, pass, w, err) : rc;
}

enum rc transform_each_path(const struct transform *t,
                            enum rc (*cb)(void *ctx, const struct expr_path *path, bool local, struct err *err),
                            void *ctx, struct err *err)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct op *o = &t->op[i];
        struct walk w = {cb, ctx, true}, outer = {cb, ctx, false};
        enum rc rc = walk_code(&w, &(struct code){.expr = o->condition}, err);
        if (rc == RC_OK)
            rc = walk_code(&outer, &(struct code){.expr = o->source}, err);
        if (rc == RC_OK)
            rc = walk_code(&w, &o->code, err);
        for (size_t k = 0; rc == RC_OK && k < o->nfields; k++)
            rc = walk_code(&w, &o->fields[k].code, err);
        for (size_t k = 0; rc == RC_OK && k < o->naggs; k++)
            rc = walk_code(&w, &(struct code){.expr = o->aggs[k].of}, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}
