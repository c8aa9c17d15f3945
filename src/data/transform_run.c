/* The machine: one operation after another on a running value, in bounded steps.
 *
 * WHAT AN OPERATION WORKS ON. `field` picks a list inside of an object; where the running value is a list itself,
 * `field` is a key of its items. WHERE ITS RESULT GOES. To where the list was; with `as: NAME` beside it. A list has
 * nothing beside it: it becomes {items: the list, NAME: result}, and later operations go on with the items unless their
 * `field` names what was stored.
 *
 * NAMES in expressions mean, in this order: a field of the item (if any item of the list has one of that name: an item
 * that lacks it gives null, never somebody else's value); item, record, value, key, index; a field beside the list;
 * what the caller knows; null.
 *
 * Every step costs at least a unit of fuel. What is built lies in the caller's arena and is bounded there. */
#include "data/transform_int.h"

#include "base/panic.h"
#include "data/json.h"
#include "data/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ITEM_FUEL = 1000000 };

/* ---- fuel, messages, memory ---- */

enum rc t_fail(struct transform_run *r, enum rc rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(r->err, rc, fmt, ap);
    va_end(ap);
    return rc;
}

enum rc t_spend(struct transform_run *r, uint64_t units)
{
    r->slice -= r->slice > units ? units : r->slice;
    if (r->a->used - r->start > TRANSFORM_BYTES)
        return t_fail(r, RC_LIMIT, "builds more than %zu MB; work on less data", TRANSFORM_BYTES >> 20);
    if (units >= r->fuel)
        return t_fail(r, RC_LIMIT, "takes too many steps; work on less data");
    r->fuel -= units;
    return RC_OK;
}

struct table *t_table(struct transform_run *r)
{
    struct table *t = ARENA_NEW(r->a, struct table);
    t->next = r->tables;
    r->tables = t;
    return t;
}

const struct val *t_keep(struct transform_run *r, struct val v)
{
    struct val *p = ARENA_NEW(r->a, struct val);
    *p = v;
    return p;
}

const char *transform_type(const struct val *v)
{
    switch (v->type) {
    case VAL_ARRAY:
        return "list";
    case VAL_OBJECT:
        return "map";
    case VAL_STR:
        return "string";
    case VAL_BOOL:
        return "boolean";
    case VAL_NULL:
        return "null";
    default:
        return "number";
    }
}

/* ---- values ---- */

/* 1 and 1.0 are equal, and so are their texts. */
static struct val plain_number(const struct val *v)
{
    if (v->type == VAL_DOUBLE && number_whole(v) && fabs(v->d) < 0x1p53)
        return val_int((int64_t)v->d);
    return *v;
}

struct str t_key(struct transform_run *r, const struct val *v)
{
    struct val n = plain_number(v);
    return json_canonical(r->a, &n);
}

struct str t_name(struct transform_run *r, const struct val *v)
{
    if (v->type == VAL_STR)
        return v->s;
    return v->type == VAL_NULL ? STR("") : v->type == VAL_DOUBLE ? json_text(r->a, v) : json_canonical(r->a, v);
}

static int rank(const struct val *v)
{
    return val_is_number(v) ? 1 : v->type == VAL_STR ? 2 : v->type == VAL_BOOL ? 3 : 4;
}

enum rc t_order(struct transform_run *r, const struct val *a, const struct val *b, int *ret)
{
    *ret = 0;
    if (rank(a) != rank(b) || rank(a) == 4)
        return t_fail(r, RC_EXPRESSION, "cannot order a %s and a %s; expected numbers, texts or booleans alone",
                      transform_type(a), transform_type(b));
    if (a->type == VAL_STR) {
        int cmp = str_cmp(a->s, b->s);
        *ret = (cmp > 0) - (cmp < 0);
        return t_spend(r, 1 + a->s.n / 256);
    }
    *ret = a->type == VAL_BOOL ? (int)a->b - (int)b->b : number_cmp(a, b);
    if (*ret == NUMBER_UNORDERED)
        *ret = 0;
    return t_spend(r, 1);
}

const struct val *t_item(struct transform_run *r, size_t i)
{
    return r->target->type == VAL_ARRAY ? &r->target->arr.v[i] : &r->target->obj.m[i].val;
}

enum rc t_path(struct transform_run *r, const struct tpath *p, const struct val *v, const struct val **ret)
{
    uint64_t cost = 0;
    *ret = tpath_get(p, v, r->a, &cost);
    return t_spend(r, cost);
}

/* ---- names ---- */

void t_bind(struct transform_run *r, size_t i)
{
    uint64_t cost = 0;
    r->item = t_item(r, i);
    r->item_index = i;
    r->item_name = r->target->type == VAL_OBJECT ? val_str(r->target->obj.m[i].key) : val_null;
    r->item_value = r->item_key ? tpath_get(r->item_key, r->item, r->a, &cost) : r->item;
    if (!r->item_value)
        r->item_value = &val_null;
    r->has_item = true;
}

/* Does any item have a field of that name? Asked once a name and operation. */
static bool is_field(struct transform_run *r, struct str name)
{
    for (size_t i = 0; i < r->nheads; i++)
        if (str_eq(r->head[i].name, name))
            return r->head[i].field;
    bool found = false;
    size_t n = r->target ? r->n : 0;
    for (size_t i = 0; i < n && !found; i++)
        found = val_get(t_item(r, i), name) != NULL;
    if (r->nheads < HEADS_MAX)
        r->head[r->nheads++] = (struct head){name, found};
    return found;
}

static enum rc resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    struct transform_run *r = ctx;
    struct str head = key[0].s;
    *ret_used = 1;
    if (r->has_item) {
        *ret = val_get(r->item, head);
        /* item.x is the item's, although it may have a field `item` of another kind (as a loop's iterations have) */
        bool whole = *ret && str_is(head, "item") && nkeys > 1 && key[1].type == VAL_STR && !val_get(*ret, key[1].s);
        if (whole)
            *ret = r->item;
        if (*ret)
            return RC_OK;
        bool root = nkeys > 1 && (str_is(head, "steps") || str_is(head, "inputs") || str_is(head, "state"));
        *ret = &val_null;
        if (!root && is_field(r, head))
            return RC_OK;
        if (str_is(head, "item") || str_is(head, "record"))
            *ret = r->item;
        else if (str_is(head, "value"))
            *ret = r->item_value;
        else if (str_is(head, "key"))
            *ret = t_keep(r, r->item_name);
        else if (str_is(head, "index"))
            *ret = t_keep(r, val_int((int64_t)r->item_index));
        else
            *ret = NULL;
        if (*ret)
            return RC_OK;
    }
    *ret = val_get(&r->v, head); /* beside the list; or of the value itself */
    if (*ret)
        return RC_OK;
    enum rc rc = r->outer->resolve(r->outer->ctx, key, nkeys, a, ret, ret_used, err);
    if (rc != RC_NOT_FOUND || !r->has_item || (r->item->type != VAL_OBJECT && !r->item_name.s.n))
        return rc;
    *ret = &val_null;
    *ret_used = nkeys;
    return RC_OK;
}

static const struct val *lacking(void *ctx, const struct val *object, const struct val *key, size_t at, struct arena *a)
{
    const struct expr_scope *outer = ((struct transform_run *)ctx)->outer;
    return outer->lacking ? outer->lacking(outer->ctx, object, key, at, a) : NULL;
}

static struct expr_scope item_scope(struct transform_run *r)
{
    return (struct expr_scope){.resolve = resolve,
                               .lacking = lacking,
                               .ctx = r,
                               .null_safe = true,
                               .now_ms = r->outer->now_ms,
                               .fuel = r->fuel < ITEM_FUEL ? (unsigned)r->fuel : ITEM_FUEL,
                               .max_bytes = (size_t)64 << 20,
                               .cache = r->cache};
}

enum rc t_eval(struct transform_run *r, const struct expr *e, struct val *ret)
{
    struct expr_scope scope = item_scope(r);
    unsigned before = scope.fuel;
    enum rc rc = expr_eval(e, &scope, r->a, ret, r->err);
    return rc == RC_OK ? t_spend(r, before - scope.fuel + 1) : rc;
}

enum rc t_code(struct transform_run *r, const struct code *c, struct val *ret)
{
    if (c->expr)
        return t_eval(r, c->expr, ret);
    *ret = c->value;
    if (!c->tmpl)
        return t_spend(r, 1);
    struct expr_scope scope = item_scope(r);
    unsigned before = scope.fuel;
    enum rc rc = tmpl_eval(c->tmpl, &scope, r->a, ret, r->err);
    return rc == RC_OK ? t_spend(r, before - scope.fuel + 1) : rc;
}

/* ---- an operation's beginning and end ---- */

static enum rc no_field(struct transform_run *r, const struct op *o)
{
    struct str names = STR("");
    for (size_t i = 0; r->v.type == VAL_OBJECT && i < r->v.obj.n && i < 12; i++)
        names = arena_printf(r->a, "%.*s%s%.*s", STR_ARG(names), i ? ", " : "; it has ", STR_ARG(r->v.obj.m[i].key));
    return t_fail(r, RC_NOT_FOUND, "the value has no field `%.*s`%.*s", STR_ARG(o->field.text), STR_ARG(names));
}

/* Validate and sanitize work on values of any kind, queries on the whole. */
static bool wants_list(const struct op *o)
{
    return o->kind != OP_VALIDATE && o->kind != OP_SANITIZE && o->kind != OP_QUERY && o->kind != OP_TRANSFORM;
}

static enum rc find_target(struct transform_run *r, const struct op *o)
{
    const struct val *v = &r->v;
    bool items = false;
    r->from = FROM_WHOLE;
    if (o->kind == OP_AGGREGATE && o->source) {
        struct val got;
        r->has_item = false;
        TRY(t_eval(r, o->source, &got));
        v = t_keep(r, got);
        r->from = FROM_SOURCE;
    }
    if (o->has_field && (v->type == VAL_OBJECT || o->field.q)) {
        const struct val *found;
        TRY(t_path(r, &o->field, v, &found));
        items = !found && r->wrapped && r->from == FROM_WHOLE;
        if (!found && !items)
            return no_field(r, o);
        if (!items) {
            r->from = r->from == FROM_SOURCE ? FROM_SOURCE : FROM_FIELD;
            r->target = found;
            return RC_OK;
        }
    }
    if (r->wrapped && r->from == FROM_WHOLE && wants_list(o)) {
        v = VAL_GET(v, "items");
        r->from = FROM_ITEMS;
    }
    r->target = v;
    if (o->has_field && (v->type == VAL_ARRAY || items))
        r->item_key = &o->field;
    return RC_OK;
}

static enum rc begin(struct transform_run *r, const struct op *o)
{
    r->item_key = NULL;
    r->i = r->phase = 0;
    r->out = val_list_new(r->a);
    r->map = val_map_new(r->a);
    r->index = NULL;
    r->groups = NULL;
    r->ngroups = r->groups_cap = 0;
    r->agg = NULL;
    r->nheads = 0;
    r->has_item = false;
    TRY(find_target(r, o));
    r->n = r->target->type == VAL_ARRAY ? r->target->arr.n : r->target->type == VAL_OBJECT ? r->target->obj.n : 0;
    if (wants_list(o) && r->target->type != VAL_ARRAY && r->target->type != VAL_OBJECT)
        return t_fail(r, RC_INVALID, "works on a list, but %s%.*s%s is %s%s", o->has_field ? "`" : "",
                      STR_ARG(o->has_field ? o->field.text : STR("its input")), o->has_field ? "`" : "",
                      r->target->type == VAL_NULL ? "" : "a ", transform_type(r->target));
    return t_spend(r, 1);
}

static void put_beside(struct transform_run *r, const struct op *o, struct val result)
{
    struct val_map m = val_map_new(r->a);
    if (r->v.type == VAL_OBJECT) {
        val_map_merge(&m, &r->v);
    } else {
        VAL_MAP_SET(&m, "items", r->v);
        r->wrapped = true;
    }
    val_map_set(&m, o->as, result);
    r->v = val_map_done(&m);
}

static void finish(struct transform_run *r, const struct op *o, struct val result)
{
    static const struct tpath_seg items = {.kind = SEG_NAME, .name = {"items", 5}};
    static const struct tpath items_path = {.seg = &items, .n = 1};
    if (o->kind == OP_VALIDATE && !o->as.n)
        return;
    if (o->as.n) {
        put_beside(r, o, result);
    } else if (r->from == FROM_FIELD && !o->field.q && !o->field.many) {
        r->v = tpath_set(&o->field, &r->v, result, r->a);
    } else if (r->from == FROM_ITEMS) {
        r->v = tpath_set(&items_path, &r->v, result, r->a);
    } else {
        r->v = result;
        r->wrapped = false;
    }
}

/* ---- ways in ---- */

struct transform_run *transform_begin(const struct transform *t, const struct val *input,
                                      const struct expr_scope *outer, struct arena *a)
{
    struct transform_run *r = calloc(1, sizeof *r);
    if (!r)
        PANIC("out of memory (a transformation)");
    r->magic = RUN_MAGIC_TRANSFORM;
    r->t = t;
    r->a = a;
    r->outer = outer;
    r->cache = expr_cache_new();
    r->fuel = TRANSFORM_FUEL;
    r->start = a->used;
    r->v = *input;
    return r;
}

enum rc transform_work(struct transform_run *r, uint64_t slice, bool *more, struct err *err)
{
    CHECK(r->magic == RUN_MAGIC_TRANSFORM);
    struct val result = val_null;
    r->err = err;
    r->slice = slice;
    while (r->at < r->t->n && r->slice) {
        const struct op *o = &r->t->op[r->at];
        bool done = false;
        enum rc rc = RC_OK;
        if (!r->begun)
            rc = begin(r, o);
        r->begun = true;
        while (rc == RC_OK && !done && r->slice)
            rc = op_steps[o->kind](r, o, &done, &result);
        if (rc != RC_OK)
            return err_wrap(err, "operation %zu (%s)", r->at + 1, op_names[o->kind]);
        if (!done)
            break;
        jsonpath_run_free(r->query);
        r->query = NULL;
        finish(r, o, result);
        r->begun = false;
        r->at++;
    }
    *more = r->at < r->t->n;
    return RC_OK;
}

const struct val *transform_result(const struct transform_run *r)
{
    CHECK(r->at == r->t->n);
    return &r->v;
}

void transform_end(struct transform_run *r)
{
    if (!r)
        return;
    CHECK(r->magic == RUN_MAGIC_TRANSFORM);
    for (struct table *t = r->tables; t; t = t->next)
        map_done(&t->map);
    jsonpath_run_free(r->query);
    expr_cache_free(r->cache);
    r->magic = 0;
    free(r);
}
