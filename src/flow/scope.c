/* What a name means at a place in a running workflow: docs/language.md, "Names".
 *
 * A name is looked for from the frame outwards: the nearest list first, then the lists around it. Nothing is copied;
 * what is returned lives in the boxes of the frames, or was built in the arena of the evaluation. */
#include "flow/run_int.h"

#include <stdlib.h>
#include <time.h>

static struct str key_name(const struct val *key)
{
    return key->type == VAL_STR ? key->s : str_n("", 0);
}

static const struct val *keep(struct arena *a, struct val v)
{
    struct val *p = ARENA_NEW(a, struct val);
    *p = v;
    return p;
}

/* ---- steps
 * ---------------------------------------------------------------------------------------------------------------- */

static const struct val *parsed_text(struct arena *a, const struct val *result)
{
    const struct val *text = VAL_GET(result, "text");
    if (!val_is(text, VAL_STR))
        return NULL;
    struct str t = str_trim(text->s);
    if (!t.n || (t.p[0] != '{' && t.p[0] != '['))
        return NULL;
    struct err err;
    struct val v;
    if (json_parse(a, t, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        return NULL;
    return keep(a, v);
}

/* steps.NAME.KEY where the result has no such field of its own. */
static const struct val *indirect_field(struct arena *a, const struct val *result, struct str key)
{
    const struct val *data = VAL_GET(result, "data");
    if (val_get(data, key))
        return val_get(data, key);
    const struct val *json = data ? NULL : parsed_text(a, result);
    if (val_get(json, key))
        return val_get(json, key);
    if (str_is(key, "result")) {
        if (data)
            return data;
        return VAL_GET(result, "text") ? VAL_GET(result, "text") : result;
    }
    if (str_is(key, "results") && val_is(VAL_GET(result, "iterations"), VAL_ARRAY)) /* of a for_loop */
        return VAL_GET(result, "iterations");
    if (str_is(key, "error"))
        return &val_null;
    return NULL;
}

/* After a while_loop its steps are known by their names, as they were in the last iteration. */
static const struct val *find_last(const struct frame *from, struct str name, bool *ret_known)
{
    for (const struct frame *f = from; f; f = f->parent) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        const struct step_def *d = l ? list_find_last(l->def, SIZE_MAX, name) : NULL;
        while (d) {
            *ret_known = true;
            const struct val *results =
                l->results && l->results[d->index] ? VAL_GET(&l->results[d->index]->val, "results") : NULL;
            if (val_get(results, name))
                return val_get(results, name);
            d = d->index ? list_find_last(l->def, d->index - 1, name) : NULL;
        }
        if (*ret_known)
            return NULL;
    }
    return NULL;
}

static const struct val *find_result(const struct frame *from, struct str name, bool *ret_known)
{
    *ret_known = false;
    for (const struct frame *f = from; f; f = f->parent) {
        const struct list_def *def = f->inner;
        struct box **results = f->inner_results, **older = NULL;
        if (f->ops == &list_ops) {
            const struct list_state *l = f->state;
            def = l->def;
            results = l->results;
            older = l->previous;
        }
        const struct step_def *d = def ? list_find(def, name) : NULL;
        if (!d)
            continue;
        *ret_known = true;
        if (results && results[d->index])
            return &results[d->index]->val;
        return older && older[d->index] ? &older[d->index]->val : NULL;
    }
    return find_last(from, name, ret_known);
}

static enum rc resolve_step(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                            const struct val **ret, size_t *ret_used, struct err *err)
{
    if (n < 2)
        return err_set(err, RC_NOT_FOUND, "`steps` needs the name of a step: steps.NAME");
    bool known;
    const struct val *v = find_result(f, key_name(&key[1]), &known);
    if (!v) {
        if (!known)
            return err_set(err, RC_NOT_FOUND, "no step is called `%.*s` here", STR_ARG(key_name(&key[1])));
        *ret = &val_null; /* known, without a value yet */
        *ret_used = n;
        return RC_OK;
    }
    *ret = v;
    *ret_used = 2;
    if (n >= 3 && key[2].type == VAL_STR && v->type != VAL_OBJECT && v->type != VAL_NULL &&
        (str_is(key[2].s, "result") || str_is(key[2].s, "text") || str_is(key[2].s, "value")))
        *ret_used = 3; /* a plain value answers to these itself */
    if (n >= 3 && key[2].type == VAL_STR && v->type == VAL_OBJECT && !val_get(v, key[2].s)) {
        const struct val *other = indirect_field(a, v, key[2].s);
        if (other) {
            *ret = other;
            *ret_used = 3;
        }
    }
    return RC_OK;
}

/* ---- variables
 * ------------------------------------------------------------------------------------------------------------- */

static const struct val *find_variable(const struct frame *from, struct str name)
{
    for (const struct frame *f = from; f; f = f->parent) {
        if (f->ops != &list_ops)
            continue;
        const struct var *v = map_get(&((const struct list_state *)f->state)->vars, name);
        if (v)
            return &v->value->val;
    }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(const struct map_entry *const *)a)->key, (*(const struct map_entry *const *)b)->key);
}

static struct val all_variables(const struct frame *from, struct arena *a)
{
    struct val_map m = val_map_new(a);
    const struct frame *chain[64];
    size_t n = 0;
    for (const struct frame *f = from; f && n < 64; f = f->parent)
        if (f->ops == &list_ops)
            chain[n++] = f;
    while (n--) {
        const struct map *vars = &((const struct list_state *)chain[n]->state)->vars;
        const struct map_entry **sorted = arena_calloc(a, vars->n + 1, sizeof *sorted);
        struct map_entry *e;
        size_t count = 0;
        for (size_t i = 0; (e = map_next(vars, &i));)
            sorted[count++] = e;
        qsort(sorted, count, sizeof *sorted, by_name); /* the map's own order is another in each process */
        for (size_t i = 0; i < count; i++)
            val_map_set(&m, sorted[i]->key, ((const struct var *)sorted[i]->value)->value->val);
    }
    return val_map_done(&m);
}

static enum rc resolve_variable(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                const struct val **ret, size_t *ret_used, struct err *err)
{
    if (n < 2) {
        *ret = keep(a, all_variables(f, a));
        *ret_used = 1;
        return RC_OK;
    }
    *ret = find_variable(f, key_name(&key[1]));
    *ret_used = 2;
    if (*ret)
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "no variable is called `%.*s` here", STR_ARG(key_name(&key[1])));
}

/* ---- loops
 * -------------------------------------------------------------------------------------------------------------------
 */

static const struct list_state *loop_above(const struct frame **f)
{
    for (; *f; *f = (*f)->parent)
        if ((*f)->ops == &list_ops && ((const struct list_state *)(*f)->state)->is_loop)
            return (*f)->state;
    return NULL;
}

static const struct val *loop_field(const struct list_state *l, struct str name, struct arena *a)
{
    const struct loop_scope *s = &l->loop;
    if (str_is(name, "item") || (s->iterator.n && str_eq(name, s->iterator)))
        return s->item ? &s->item->val : &val_null;
    if (str_is(name, "index"))
        return keep(a, val_int(s->index));
    if (str_is(name, "first") || str_is(name, "is_first"))
        return s->index == 0 ? &val_true : &val_false;
    if (str_is(name, "last") || str_is(name, "is_last"))
        return s->total >= 0 && s->index + 1 == s->total ? &val_true : &val_false;
    if (str_is(name, "total") || str_is(name, "length"))
        return s->total >= 0 ? keep(a, val_int(s->total)) : &val_null;
    return NULL;
}

static enum rc resolve_loop(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                            const struct val **ret, size_t *ret_used, struct err *err)
{
    const struct list_state *l = loop_above(&f);
    size_t i = 1;
    while (l && i < n && str_is(key_name(&key[i]), "parent")) {
        f = f->parent;
        l = loop_above(&f);
        i++;
    }
    if (!l)
        return err_set(err, RC_NOT_FOUND,
                       i > 1 ? "there is no loop around this loop" : "`loop` is known only inside a loop");
    if (i >= n)
        return err_set(err, RC_NOT_FOUND,
                       "`loop` needs a field: loop.item, loop.index, loop.first, loop.last, loop.total");
    *ret = loop_field(l, key_name(&key[i]), a);
    *ret_used = i + 1;
    if (*ret)
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "`loop` has no `%.*s`; it has item, index, first, last, total, parent%s%.*s",
                   STR_ARG(key_name(&key[i])), l->loop.iterator.n ? ", " : "", STR_ARG(l->loop.iterator));
}

static const struct val *find_iterator(const struct frame *f, struct str name)
{
    for (const struct list_state *l; (l = loop_above(&f)); f = f->parent)
        if (l->loop.iterator.n && str_eq(l->loop.iterator, name))
            return l->loop.item ? &l->loop.item->val : &val_null;
    return NULL;
}

/* ---- the rest
 * ------------------------------------------------------------------------------------------------------------------ */

static const struct val *find_error(const struct frame *f)
{
    for (; f; f = f->parent)
        if (f->ops == &list_ops && ((const struct list_state *)f->state)->error_var)
            return &((const struct list_state *)f->state)->error_var->val;
    return NULL;
}

static const struct val *previous_response(const struct frame *from)
{
    for (const struct frame *f = from; f; f = f->parent) {
        if (f->ops != &list_ops)
            continue;
        const struct list_state *l = f->state;
        for (size_t i = l->def->n; i-- > 0;)
            if (l->results && l->results[i] && !(VAL_GET(&l->results[i]->val, "skipped")))
                return &l->results[i]->val;
    }
    return NULL;
}

static struct str iso_time(struct arena *a, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    size_t n = gmtime_r(&t, &tm) ? strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) : 0;
    return arena_str(a, str_n(text, n));
}

/* A name alone: the iterator of a loop, a variable, a step (older workflows write `analysis.score`), an input. */
static const struct val *find_bare(const struct frame *f, struct str name)
{
    const struct val *v = find_iterator(f, name);
    bool known = false;
    if (!v)
        v = find_variable(f, name);
    if (!v)
        v = find_result(f, name, &known);
    if (!v && known)
        v = &val_null; /* a step without a value yet */
    return v ? v : val_get(&f->run->inputs->val, name);
}

static enum rc resolve_root(struct frame *f, struct str head, struct arena *a, const struct val **ret, struct err *err)
{
    struct run *r = f->run;
    if (str_is(head, "inputs")) {
        *ret = &r->inputs->val;
    } else if (str_is(head, "env")) {
        *ret = &r->env->val;
    } else if (str_is(head, "timestamp")) {
        *ret = keep(a, val_str(iso_time(a, r->started_ms)));
    } else if (str_is(head, "run") || str_is(head, "workflow")) {
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "id", val_str(r->id));
        VAL_MAP_SET(&m, "name", val_str(r->workflow->name));
        VAL_MAP_SET(&m, "description", val_str(r->workflow->description));
        VAL_MAP_SET(&m, "workspace", val_str(r->workspace));
        *ret = keep(a, val_map_done(&m));
    } else if (str_is(head, "error") && find_error(f)) {
        *ret = find_error(f);
    } else if (str_is(head, "previous_response") && previous_response(f)) {
        *ret = previous_response(f);
    } else {
        *ret = find_bare(f, head);
    }
    if (*ret)
        return RC_OK;
    return err_set(err, RC_NOT_FOUND,
                   "`%.*s` is not known here; expected inputs, steps, state, loop, workflow, run, env, or "
                   "a variable",
                   STR_ARG(head));
}

enum rc scope_resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                      size_t *ret_used, struct err *err)
{
    struct frame *f = ctx;
    struct str head = key_name(&key[0]);
    *ret = NULL;
    *ret_used = 1;
    if (str_is(head, "steps") || (str_is(head, "previous_response:") && n > 1 && !find_variable(f, key_name(&key[1]))))
        return resolve_step(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "previous_response:"))
        return resolve_variable(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "state") || str_is(head, "global_vars") || str_is(head, "variables"))
        return resolve_variable(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "loop"))
        return resolve_loop(f, key, n, a, ret, ret_used, err);
    return resolve_root(f, head, a, ret, err);
}
