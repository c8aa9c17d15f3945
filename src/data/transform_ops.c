/* The operations, each as a function that does one bounded step: an item, a row, a comparison, a node.
 *
 * What an operation remembers between steps is in the run. `phase` counts its parts: a join first files the rows of the
 * other side, then walks the items; a sort first computes the keys, then merges. */
#include "data/transform_int.h"

#include "base/panic.h"
#include "data/json.h"
#include "data/letters.h"
#include "data/schema.h"

#include <stdio.h>

static bool is_list(const struct transform_run *r)
{
    return r->target->type == VAL_ARRAY;
}

/* The i-th item as a value of its own: of an object {key, value}. */
static struct val entry(struct transform_run *r, size_t i)
{
    if (is_list(r))
        return r->target->arr.v[i];
    struct val_map m = val_map_new(r->a);
    VAL_MAP_SET(&m, "key", val_str(r->target->obj.m[i].key));
    VAL_MAP_SET(&m, "value", r->target->obj.m[i].val);
    return val_map_done(&m);
}

/* ---- filter, map ---- */

static enum rc step_filter(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    if (r->i == r->n) {
        *done = true;
        *ret = is_list(r) ? val_list_done(&r->out) : val_map_done(&r->map);
        return RC_OK;
    }
    struct val yes;
    size_t i = r->i++;
    t_bind(r, i);
    TRY(t_eval(r, o->condition, &yes));
    if (!val_truthy(&yes))
        return RC_OK;
    if (is_list(r))
        val_list_push(&r->out, *t_item(r, i));
    else
        val_map_set(&r->map, r->target->obj.m[i].key, *t_item(r, i));
    return RC_OK;
}

static enum rc change_case(struct transform_run *r, enum word word, const struct val *v, struct val *ret)
{
    *ret = *v;
    if (v->type != VAL_STR)
        return t_spend(r, 1);
    char *out = arena_alloc(r->a, v->s.n + 1);
    letters_change(v->s, word == WORD_UPPER, out);
    *ret = val_str(str_n(out, v->s.n));
    return t_spend(r, 1 + v->s.n / 16);
}

static enum rc fields_value(struct transform_run *r, const struct op *o, struct val *ret)
{
    struct val_map m = val_map_new(r->a);
    for (size_t i = 0; i < o->nfields; i++) {
        struct val v;
        TRY(t_code(r, &o->fields[i].code, &v));
        val_map_set(&m, o->fields[i].name, v);
    }
    *ret = val_map_done(&m);
    return RC_OK;
}

/* What an item (or the field of it that `field` names) becomes. */
static enum rc mapped(struct transform_run *r, const struct op *o, struct val *ret)
{
    const struct val *old = r->item_value;
    if (o->word != WORD_NONE)
        return change_case(r, o->word, old, ret);
    if (!o->mapping)
        return o->nfields ? fields_value(r, o, ret) : t_code(r, &o->code, ret);
    if (!r->item_key && old->type == VAL_OBJECT) { /* new fields for every item */
        struct val_map m = val_map_new(r->a);
        val_map_merge(&m, old);
        val_map_merge(&m, o->mapping);
        *ret = val_map_done(&m);
        return t_spend(r, 1 + o->mapping->obj.n);
    }
    const struct val *other = val_get(o->mapping, t_name(r, old));
    *ret = other ? *other : *old;
    return t_spend(r, 1);
}

static enum rc step_map(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    struct val v;
    if (r->i == r->n) {
        *done = true;
        *ret = val_list_done(&r->out);
        return RC_OK;
    }
    t_bind(r, r->i++);
    bool keep = r->item_key && r->item->type == VAL_OBJECT && !r->item_key->q && !r->item_key->many;
    if (keep && r->item_value == &val_null && o->word + (o->mapping != NULL) > 0) { /* nothing to change */
        val_list_push(&r->out, *r->item);
        return t_spend(r, 1);
    }
    TRY(mapped(r, o, &v));
    val_list_push(&r->out, keep ? tpath_set(r->item_key, r->item, v, r->a) : v);
    return RC_OK;
}

/* ---- groups ---- */

static struct group *group_of(struct transform_run *r, const struct op *o, struct str name)
{
    if (!r->index)
        r->index = t_table(r);
    struct group *g = map_get(&r->index->map, name);
    if (g)
        return g;
    g = ARENA_NEW(r->a, struct group);
    g->name = name;
    g->items = val_list_new(r->a);
    if (r->ngroups == r->groups_cap) {
        size_t cap = r->groups_cap ? 2 * r->groups_cap : 16;
        struct group **v = arena_calloc(r->a, cap, sizeof(struct group *));
        if (r->ngroups)
            memcpy(v, r->groups, r->ngroups * sizeof(struct group *));
        r->groups = v;
        r->groups_cap = cap;
    }
    r->groups[r->ngroups++] = g;
    map_put(&r->index->map, name, g);
    if (o->kind == OP_AGGREGATE)
        g->agg = agg_new(r, o->fn);
    g->aggs = arena_calloc(r->a, o->naggs + 1, sizeof(struct agg *));
    for (size_t k = 0; k < o->naggs; k++)
        g->aggs[k] = agg_new(r, o->aggs[k].fn);
    return g;
}

/* The item joins its group, or what is computed of the group. */
static enum rc group_add(struct transform_run *r, const struct op *o, struct group *g, size_t i, struct val item)
{
    if (!o->naggs) {
        val_list_push(&g->items, item);
        return RC_OK;
    }
    t_bind(r, i);
    for (size_t k = 0; k < o->naggs; k++) {
        struct val v = item;
        if (o->aggs[k].of)
            TRY(t_eval(r, o->aggs[k].of, &v));
        TRY(agg_add(r, g->aggs[k], t_keep(r, v)));
    }
    return RC_OK;
}

static struct val group_value(struct transform_run *r, const struct op *o, struct group *g)
{
    if (!o->naggs)
        return val_list_done(&g->items);
    struct val_map m = val_map_new(r->a);
    for (size_t k = 0; k < o->naggs; k++)
        val_map_set(&m, o->aggs[k].name, agg_value(g->aggs[k]));
    return val_map_done(&m);
}

static enum rc step_group_by(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    const struct tpath *key = o->has_key ? &o->key : r->item_key;
    const struct val *v;
    if (!key)
        return t_fail(r, RC_INVALID, "has no `key` to group by");
    if (r->phase == 0 && r->i < r->n) {
        size_t i = r->i++;
        struct val item = entry(r, i);
        TRY(t_path(r, key, &item, &v));
        TRY(group_add(r, o, group_of(r, o, t_name(r, v ? v : &val_null)), i, item));
        return t_spend(r, 1);
    }
    if (r->phase == 0) {
        r->phase = 1;
        r->i = 0;
    }
    if (r->i == r->ngroups) {
        *done = true;
        *ret = val_map_done(&r->map);
        return RC_OK;
    }
    struct group *g = r->groups[r->i++];
    val_map_set(&r->map, g->name, group_value(r, o, g));
    return t_spend(r, 1);
}

/* ---- aggregate ---- */

static struct val formatted(const struct op *o, struct val v)
{
    if (str_is(o->format, "count"))
        return val_int((int64_t)(v.type == VAL_ARRAY ? v.arr.n : v.type == VAL_OBJECT ? v.obj.n : 1));
    return v;
}

static enum rc step_aggregate(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    const struct tpath *of = o->has_key ? &o->key : r->item_key;
    if (!r->agg)
        r->agg = agg_new(r, o->fn);
    if (r->i == r->n) {
        *done = true;
        if (!o->has_group) {
            *ret = formatted(o, agg_value(r->agg));
            return RC_OK;
        }
        for (size_t i = 0; i < r->ngroups; i++)
            val_map_set(&r->map, r->groups[i]->name, agg_value(r->groups[i]->agg));
        *ret = formatted(o, val_map_done(&r->map));
        return RC_OK;
    }
    const struct val *item = t_item(r, r->i++), *v = item, *group = NULL;
    if (of)
        TRY(t_path(r, of, item, &v));
    else if (item->type == VAL_OBJECT && o->fn != AGG_COUNT && o->fn != AGG_FIRST && o->fn != AGG_LAST &&
             o->fn != AGG_UNIQUE && o->fn != AGG_COUNT_DISTINCT)
        return t_fail(r, RC_EXPRESSION, "cannot take the %s of maps; name the field in `value_field`", agg_name(o->fn));
    if (o->has_group)
        TRY(t_path(r, &o->group, item, &group));
    TRY(agg_add(r, o->has_group ? group_of(r, o, t_name(r, group ? group : &val_null))->agg : r->agg,
                v ? v : &val_null));
    return t_spend(r, 1);
}

/* ---- join ---- */

static struct val merged(struct transform_run *r, const struct val *left, const struct val *right)
{
    struct val_map m = val_map_new(r->a);
    val_map_merge(&m, left);
    val_map_merge(&m, right);
    return val_map_done(&m);
}

static enum rc join_begin(struct transform_run *r, const struct op *o)
{
    struct val rows = val_null;
    if (o->source) {
        r->has_item = false;
        TRY(t_eval(r, o->source, &rows));
    } else {
        return t_fail(r, RC_INVALID, "has no `right_source` that can be read");
    }
    if (rows.type != VAL_ARRAY)
        return t_fail(r, RC_INVALID, "`right_source` is a %s; expected a list", transform_type(&rows));
    r->rows = t_keep(r, rows);
    r->used = arena_calloc(r->a, rows.arr.n + 1, sizeof *r->used);
    r->index = t_table(r);
    return RC_OK;
}

/* The key of a row or item; empty when it has none, and then nothing fits it. */
static enum rc join_key(struct transform_run *r, const struct tpath *p, const struct val *row, struct str *ret)
{
    const struct val *v;
    TRY(t_path(r, p, row, &v));
    *ret = v && v->type != VAL_NULL ? t_key(r, v) : STR("");
    return t_spend(r, 1 + ret->n / 64);
}

static enum rc join_item(struct transform_run *r, const struct op *o, const struct val *item)
{
    struct str key;
    TRY(join_key(r, o->has_key ? &o->key : r->item_key ? r->item_key : &o->right, item, &key));
    const struct val *row = key.n ? map_get(&r->index->map, key) : NULL;
    if (row)
        r->used[row - r->rows->arr.v] = true;
    if (row && item->type == VAL_OBJECT && row->type == VAL_OBJECT)
        val_list_push(&r->out, merged(r, item, row));
    else if (row || o->join == JOIN_LEFT || o->join == JOIN_OUTER)
        val_list_push(&r->out, *item);
    return RC_OK;
}

static enum rc step_join(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    struct str key;
    if (r->phase == 0) {
        r->phase = 1;
        return join_begin(r, o);
    }
    if (r->phase == 1 && r->i < r->rows->arr.n) { /* of rows with the same key the first counts */
        const struct val *row = &r->rows->arr.v[r->i++];
        TRY(join_key(r, &o->right, row, &key));
        if (key.n && !map_get(&r->index->map, key))
            map_put(&r->index->map, key, (void *)(uintptr_t)row);
        return RC_OK;
    }
    if (r->phase == 1) {
        r->phase = 2;
        r->i = 0;
    }
    if (r->phase == 2 && r->i < r->n)
        return join_item(r, o, t_item(r, r->i++));
    if (r->phase == 2) {
        r->phase = 3;
        r->i = 0;
    }
    if (r->i < r->rows->arr.n && (o->join == JOIN_RIGHT || o->join == JOIN_OUTER)) {
        if (!r->used[r->i])
            val_list_push(&r->out, r->rows->arr.v[r->i]);
        r->i++;
        return t_spend(r, 1);
    }
    *done = true;
    *ret = val_list_done(&r->out);
    return RC_OK;
}

/* ---- sort ---- */

static enum rc sort_item(struct transform_run *r, const struct op *o, size_t i)
{
    static const struct sort_key whole;
    size_t n = o->nby ? o->nby : 1;
    struct keyed *k = &r->sorted[i];
    k->item = t_keep(r, entry(r, i));
    k->key = arena_calloc(r->a, n, sizeof(const struct val *));
    for (size_t j = 0; j < n; j++) {
        const struct sort_key *by = o->nby ? &o->by[j] : &whole;
        const struct tpath *p = by->path.n || by->path.q ? &by->path : r->item_key;
        k->key[j] = k->item;
        if (p)
            TRY(t_path(r, p, k->item, &k->key[j]));
        if (!k->key[j])
            k->key[j] = &val_null;
    }
    return t_spend(r, n);
}

/* Does b belong before a? Nulls stand last, whichever way. */
static enum rc before(struct transform_run *r, const struct op *o, const struct keyed *a, const struct keyed *b,
                      bool *ret)
{
    size_t n = o->nby ? o->nby : 1;
    *ret = false;
    for (size_t j = 0; j < n; j++) {
        const struct val *x = a->key[j], *y = b->key[j];
        int cmp = 0;
        if (x->type == VAL_NULL || y->type == VAL_NULL) {
            if (x->type == y->type)
                continue;
            *ret = x->type == VAL_NULL;
            return RC_OK;
        }
        TRY(t_order(r, x, y, &cmp));
        if (cmp == 0)
            continue;
        *ret = o->nby && o->by[j].desc ? cmp < 0 : cmp > 0;
        return RC_OK;
    }
    return RC_OK;
}

/* One comparison of a bottom-up merge sort: stable, and it can stop between any two. */
static enum rc merge_step(struct transform_run *r, const struct op *o)
{
    size_t mid = r->from_at + r->width < r->n ? r->from_at + r->width : r->n;
    size_t to = mid + r->width < r->n ? mid + r->width : r->n;
    if (r->mid_k == to) {
        r->from_at = to;
        if (to == r->n) { /* a pass is over */
            struct keyed *swap = r->sorted;
            r->sorted = r->spare;
            r->spare = swap;
            r->width *= 2;
            r->from_at = 0;
        }
        r->mid_i = r->mid_k = r->from_at;
        r->mid_j = r->from_at + r->width < r->n ? r->from_at + r->width : r->n;
        return t_spend(r, 1);
    }
    bool second = r->mid_i >= mid;
    if (!second && r->mid_j < to)
        TRY(before(r, o, &r->sorted[r->mid_i], &r->sorted[r->mid_j], &second));
    r->spare[r->mid_k++] = second ? r->sorted[r->mid_j++] : r->sorted[r->mid_i++];
    return t_spend(r, 1);
}

static enum rc step_sort(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    if (r->phase == 0) {
        r->sorted = arena_calloc(r->a, r->n + 1, sizeof *r->sorted);
        r->spare = arena_calloc(r->a, r->n + 1, sizeof *r->spare);
        r->phase = 1;
    }
    if (r->phase == 1 && r->i < r->n)
        return sort_item(r, o, r->i++);
    if (r->phase == 1) {
        r->phase = 2;
        r->width = 1;
        r->from_at = r->mid_i = r->mid_k = 0;
        r->mid_j = r->n ? 1 : 0;
    }
    if (r->width < r->n)
        return merge_step(r, o);
    struct val *v = arena_calloc(r->a, r->n + 1, sizeof *v);
    for (size_t i = 0; i < r->n; i++)
        v[i] = *r->sorted[i].item;
    *done = true;
    *ret = (struct val){.type = VAL_ARRAY, .arr = {v, r->n}};
    return t_spend(r, 1 + r->n / 16);
}

/* ---- unique, flatten ---- */

static enum rc step_unique(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    (void)o;
    if (r->i == r->n) {
        *done = true;
        *ret = val_list_done(&r->out);
        return RC_OK;
    }
    if (!r->index)
        r->index = t_table(r);
    const struct val *item = t_item(r, r->i++), *v = item;
    if (r->item_key)
        TRY(t_path(r, r->item_key, item, &v));
    struct str key = t_key(r, v ? v : &val_null);
    if (!map_get(&r->index->map, key)) {
        map_put(&r->index->map, key, r);
        val_list_push(&r->out, *item);
    }
    return t_spend(r, 1 + key.n / 64);
}

static enum rc step_flatten(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    (void)o;
    if (r->i == r->n) {
        *done = true;
        *ret = val_list_done(&r->out);
        return RC_OK;
    }
    const struct val *v = t_item(r, r->i++);
    if (r->item_key)
        TRY(t_path(r, r->item_key, v, &v));
    if (!v || v->type != VAL_ARRAY) {
        if (v && (v->type != VAL_NULL || !r->item_key)) /* an item without the field gives nothing */
            val_list_push(&r->out, *v);
        return t_spend(r, 1);
    }
    for (size_t k = 0; k < v->arr.n; k++)
        val_list_push(&r->out, v->arr.v[k]);
    return t_spend(r, 1 + v->arr.n / 4);
}

/* ---- query, transform ---- */

/* The next node of the operation's query; *node is NULL at the end, or, with *wait, when the slice is used up. */
static enum rc next_node(struct transform_run *r, const struct op *o, const struct val **node, bool *wait)
{
    struct jsonpath_node n;
    if (!r->query)
        r->query = jsonpath_run_new(o->query, r->target, r->a, r->fuel, false);
    uint64_t left = r->slice;
    enum rc rc = jsonpath_next(r->query, &left, &n, wait, r->err);
    if (rc != RC_OK)
        return rc;
    *node = n.v;
    return t_spend(r, r->slice - left);
}

static enum rc step_query(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    const struct val *node;
    bool wait;
    TRY(next_node(r, o, &node, &wait));
    if (node)
        val_list_push(&r->out, *node);
    if (node || wait)
        return t_spend(r, 1);
    *done = true;
    if (jsonpath_is_singular(o->query)) /* one place: its value */
        *ret = r->out.n ? r->out.v[0] : val_null;
    else
        *ret = val_list_done(&r->out);
    return RC_OK;
}

static enum rc step_transform(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    const struct val *node;
    bool wait;
    if (!o->query) { /* an expression of the whole */
        *done = true;
        r->has_item = true;
        r->item = r->item_value = r->target;
        r->item_name = val_null;
        r->n = 0;
        return o->nfields ? fields_value(r, o, ret) : t_code(r, &o->code, ret);
    }
    if (!o->code.expr)
        return step_query(r, o, done, ret);
    TRY(next_node(r, o, &node, &wait));
    if (node) {
        struct val v;
        r->has_item = true;
        r->item = r->item_value = node;
        r->item_index = r->out.n;
        r->item_name = val_null;
        r->nheads = 0; /* each node for itself: a field that it lacks is null */
        r->n = 0;
        TRY(t_code(r, &o->code, &v));
        val_list_push(&r->out, v);
    }
    if (node || wait)
        return t_spend(r, 1);
    *done = true;
    *ret = val_list_done(&r->out);
    return RC_OK;
}

/* ---- validate, sanitize ---- */

static enum rc check_expected(struct transform_run *r, const struct op *o)
{
    for (size_t i = 0; i < o->expected->obj.n; i++) {
        const struct member *m = &o->expected->obj.m[i];
        const struct val *v = val_get(r->target, m->key);
        struct tpath path;
        if (!v) {
            TRY(tpath_parse(r->a, m->key, &path, r->err));
            TRY(t_path(r, &path, r->target, &v));
        }
        if (v && val_eq(v, &m->val))
            continue;
        struct str is = v ? json_text(r->a, v) : STR("missing"), want = json_text(r->a, &m->val);
        return t_fail(r, RC_SCHEMA, "`%.*s` is %.*s; expected %.*s", STR_ARG(m->key), is.n > 100 ? 100 : (int)is.n,
                      is.p, want.n > 100 ? 100 : (int)want.n, want.p);
    }
    return t_spend(r, 1 + o->expected->obj.n);
}

static enum rc step_validate(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    *done = true;
    *ret = *r->target;
    if (val_is(o->expected, VAL_OBJECT))
        TRY(check_expected(r, o));
    return o->schema ? schema_check(o->schema, r->target, r->a, r->err) : RC_OK;
}

static struct str without_tags(struct transform_run *r, struct str s)
{
    char *out = arena_alloc(r->a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        bool tag = s.p[i] == '<' && (next == '/' || next == '!' || next == '?' || (next >= 'a' && next <= 'z') ||
                                     (next >= 'A' && next <= 'Z'));
        size_t end = tag ? str_find(str_from(s, i), STR(">")) : SIZE_MAX;
        if (tag && end == SIZE_MAX)
            break; /* a tag that never ends hides the rest */
        if (tag)
            i += end;
        else
            out[n++] = s.p[i];
    }
    return str_n(out, n);
}

static struct str escaped(struct transform_run *r, struct str s)
{
    static const char special[] = "&<>\"'";
    static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    struct buf b;
    buf_init(&b, 6 * s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(special, s.p[i]) : NULL;
        if (at)
            buf_addz(&b, as[at - special]);
        else
            buf_addc(&b, s.p[i]);
    }
    struct str out = arena_str(r->a, buf_str(&b));
    buf_done(&b);
    return out;
}

static enum rc clean(struct transform_run *r, unsigned rules, const struct val *v, unsigned depth, struct val *ret)
{
    *ret = *v;
    TRY(t_spend(r, 1));
    if (depth > 200)
        return t_fail(r, RC_LIMIT, "meets a value nested more than 200 levels deep");
    if (v->type == VAL_STR) {
        if (rules & RULE_TAGS)
            ret->s = without_tags(r, ret->s);
        if (rules & RULE_TRIM)
            ret->s = str_trim(ret->s);
        if (rules & RULE_ESCAPE)
            ret->s = escaped(r, ret->s);
        return t_spend(r, v->s.n / 16);
    }
    if (v->type == VAL_ARRAY) {
        struct val *copy = arena_calloc(r->a, v->arr.n + 1, sizeof *copy);
        for (size_t i = 0; i < v->arr.n; i++)
            TRY(clean(r, rules, &v->arr.v[i], depth + 1, &copy[i]));
        ret->arr.v = copy;
    } else if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(r->a);
        for (size_t i = 0; i < v->obj.n; i++) {
            struct val inner;
            TRY(clean(r, rules, &v->obj.m[i].val, depth + 1, &inner));
            val_map_set(&m, v->obj.m[i].key, inner);
        }
        *ret = val_map_done(&m);
    }
    return RC_OK;
}

/* A list item by item, so that a large one does not take one long step. */
static enum rc step_sanitize(struct transform_run *r, const struct op *o, bool *done, struct val *ret)
{
    if (!is_list(r)) {
        *done = true;
        return clean(r, o->rules, r->target, 0, ret);
    }
    if (r->i == r->n) {
        *done = true;
        *ret = val_list_done(&r->out);
        return RC_OK;
    }
    const struct val *item = t_item(r, r->i++), *part = NULL;
    struct val v;
    if (r->item_key && item->type == VAL_OBJECT) {
        TRY(t_path(r, r->item_key, item, &part));
        TRY(clean(r, o->rules, part ? part : &val_null, 0, &v));
        val_list_push(&r->out, part ? tpath_set(r->item_key, item, v, r->a) : *item);
        return RC_OK;
    }
    TRY(clean(r, o->rules, item, 0, &v));
    val_list_push(&r->out, v);
    return RC_OK;
}

op_step *const op_steps[OP_COUNT] = {
    [OP_FILTER] = step_filter,       [OP_MAP] = step_map,           [OP_AGGREGATE] = step_aggregate,
    [OP_JOIN] = step_join,           [OP_GROUP_BY] = step_group_by, [OP_SORT] = step_sort,
    [OP_UNIQUE] = step_unique,       [OP_FLATTEN] = step_flatten,   [OP_QUERY] = step_query,
    [OP_TRANSFORM] = step_transform, [OP_VALIDATE] = step_validate, [OP_SANITIZE] = step_sanitize,
};
