/* What a name means at a place in a running workflow: docs/language.md, "Names".
 *
 * A name is looked for from the frame outwards: the nearest list first, then the lists around it. Nothing is copied;
 * what is returned lives in the boxes of the frames, or was built in the arena of the evaluation. */
#include "flow/run_int.h"

#include "flow/away.h"

#include <stdlib.h>

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

static const struct val *get(const struct frame *f, const struct val *v, struct str key)
{
    return scope_there(f, val_get(v, key));
}
#define GET(f, v, lit) get((f), (v), STR(lit))

/* ---- steps ---- */

static const struct val *parsed_text(const struct frame *f, struct arena *a, const struct val *result)
{
    const struct val *text = GET(f, result, "text");
    if (!val_is(text, VAL_STR))
        return NULL;
    struct str t = str_trim(text->s);
    if (!t.n || (t.p[0] != '{' && t.p[0] != '['))
        return NULL;
    struct err err;
    struct val v;
    if (json_parse(a, t, &JSON_DATA, &v, &err) != RC_OK)
        return NULL;
    return keep(a, v);
}

/* Fields under the names that older workflows know them by. */
static const struct val *older_field(const struct frame *f, const struct val *result, struct str key)
{
    static const char *const names[][2] = {
        {"cost", "cost_usd"},         {"degraded_mode", "degraded"}, {"results", "iterations"}, {"results", "branches"},
        {"results", "batch_results"}, {"content", "text"},           {"response", "text"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(key, names[i][0]) && val_get(result, str_c(names[i][1])))
            return val_get(result, str_c(names[i][1]));
    if (str_is(key, "streaming_enabled") && VAL_GET(result, "stop_reason")) /* a model's: it always is */
        return &val_true;
    if (!str_is(key, "error_message"))
        return NULL;
    const struct val *message = VAL_GET(GET(f, result, "error"), "message");
    return message ? message : &val_null;
}

/* What every result answers to: one of a step that failed or was skipped says otherwise itself. */
static const struct val *common_field(struct str key)
{
    return str_is(key, "error")     ? &val_null
           : str_is(key, "handled") ? &val_null
           : str_is(key, "success") ? &val_true
           : str_is(key, "skipped") ? &val_false
                                    : NULL;
}

/* What was found in a result: data, or something about it; a result itself; or results by the names of their steps. */
enum found { FOUND_DATA, FOUND_RESULT, FOUND_RESULTS };

/* steps.NAME.KEY where the result has no such field of its own. */
static const struct val *indirect_field(const struct frame *f, struct arena *a, const struct val *result,
                                        struct str key, enum found *what)
{
    *what = FOUND_DATA;
    const struct val *data = GET(f, result, "data");
    if (val_get(data, key))
        return val_get(data, key);
    const struct val *json = data ? NULL : parsed_text(f, a, result);
    if (val_get(json, key))
        return val_get(json, key);
    const struct val *inner = GET(f, result, "results"), *branch = get(f, GET(f, result, "branches"), key);
    const struct val *task = get(f, inner, key);
    if (VAL_GET(task, "ok") && VAL_GET(task, "error")) /* of a group of tasks, which failed */
        return task;
    *what = FOUND_RESULT;
    if (VAL_GET(task, "ok") && VAL_GET(task, "result"))
        return VAL_GET(task, "result");
    if (val_get(inner, key)) /* a step of the case that was taken, of a loop's last iteration */
        return val_get(inner, key);
    if (val_get(GET(f, result, "handled"), key)) /* a step of its on_error */
        return val_get(GET(f, result, "handled"), key);
    *what = FOUND_RESULTS;
    if (VAL_GET(branch, "results"))
        return VAL_GET(branch, "results");
    bool whole = str_is(key, "result") && !data && !VAL_GET(result, "text");
    *what = whole ? FOUND_RESULT : FOUND_DATA;
    if (str_is(key, "result"))
        return whole ? result : data ? data : VAL_GET(result, "text");
    const struct val *common = common_field(key);
    return common ? common : older_field(f, result, key);
}

/* A field of a result: key[at], or what stands for it. `steps.S.result.x` is steps.S.x where the result has no field
 * `result`. NULL: the value itself is to be searched. */
static const struct val *result_field(const struct frame *f, struct arena *a, const struct val *v,
                                      const struct val *key, size_t n, size_t at, size_t *ret_used, enum found *what)
{
    *what = FOUND_DATA;
    if (n <= at || key[at].type != VAL_STR || v->type != VAL_OBJECT)
        return NULL;
    if (n > at + 1 && str_is(key[at].s, "error") && val_is(GET(f, v, "error"), VAL_OBJECT) &&
        (str_is(key_name(&key[at + 1]), "type") || str_is(key_name(&key[at + 1]), "kind"))) {
        *ret_used = at + 2; /* older names of `code` */
        return val_get(GET(f, v, "error"), STR("code"));
    }
    if (val_get(v, key[at].s))
        return NULL;
    if (str_is(key[at].s, "result") && n > at + 1 && key[at + 1].type == VAL_STR) {
        struct str inner = key[at + 1].s;
        const struct val *own = val_get(v, inner);
        own = own ? own : indirect_field(f, a, v, inner, what);
        *ret_used = at + 2;
        if (own)
            return own;
    }
    *ret_used = at + 1;
    return indirect_field(f, a, v, key[at].s, what);
}

/* Goes on along the path from what was found, as long as it leads to results inside of results. */
static const struct val *deeper(const struct frame *f, struct arena *a, const struct val *v, const struct val *key,
                                size_t n, size_t *used, enum found what)
{
    for (const struct val *inner = v; inner && what != FOUND_DATA && *used < n;) {
        size_t more = *used + 1;
        v = scope_there(f, v);
        if (what == FOUND_RESULTS) {
            inner = val_get(v, key_name(&key[*used]));
            what = FOUND_RESULT;
        } else {
            inner = result_field(f, a, v, key, n, *used, &more, &what);
        }
        v = inner ? inner : v;
        *used = inner ? more : *used;
    }
    return v;
}

/* After a while_loop its steps are known by their names, as they were in the last iteration. */
static const struct val *find_last(const struct frame *from, struct str name, bool *ret_known)
{
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        const struct step_def *d = l ? list_find_last(l->def, SIZE_MAX, name) : NULL;
        while (d) {
            *ret_known = true;
            const struct val *results = l->results && l->results[d->index]
                                            ? GET(from, scope_there(from, &l->results[d->index]->val), "results")
                                            : NULL;
            if (val_get(results, name))
                return get(from, results, name);
            d = d->index ? list_find_last(l->def, d->index - 1, name) : NULL;
        }
        if (*ret_known)
            return NULL;
    }
    return NULL;
}

static const struct val *find_result(const struct frame *from, struct str name, bool *ret_known,
                                     const struct step_def **ret_def)
{
    *ret_known = false;
    *ret_def = NULL;
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        const struct list_def *def = f->inner;
        struct box **results = f->inner_results, **older = NULL;
        if (f->ops == &list_ops) {
            const struct list_state *l = f->state;
            def = l->def;
            results = l->results;
            older = l->previous;
        }
        const struct step_def *d = def ? list_find(def, name) : NULL;
        if (!d && f->ops == &list_ops)
            d = map_get(&((struct list_state *)f->state)->late, name);
        if (!d && scope_failed(f, name)) { /* in the steps of its on_error */
            *ret_known = true;
            *ret_def = def->owner;
            return scope_there(from, scope_failed(f, name));
        }
        if (!d)
            continue;
        *ret_known = true;
        *ret_def = d;
        if (results && results[d->index])
            return scope_there(from, &results[d->index]->val);
        return older && older[d->index] ? scope_there(from, &older[d->index]->val) : NULL;
    }
    return find_last(from, name, ret_known);
}

/* Of a step whose result has its value under a name: `steps.S.result` is that value, and its fields are the step's. */
static const struct val *named_value(const struct frame *f, const struct step_def *d, const struct val *result)
{
    return d && d->value_name.n ? get(f, result, d->value_name) : NULL;
}

static const struct val *named_value_field(const struct frame *f, const struct step_def *d, const struct val *v,
                                           const struct val *key, size_t n, size_t *ret_used)
{
    const struct val *value = named_value(f, d, v);
    *ret_used = 3;
    if (!value || n < 3 || key[2].type != VAL_STR || val_get(v, key[2].s))
        return NULL;
    return str_is(key[2].s, "result") || str_is(key[2].s, "data") ? value : val_get(value, key[2].s);
}

/* The newest value that a step keeps under its `output_field`. */
static const struct val *find_named(const struct frame *from, struct str name)
{
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        size_t low = 0, high = l && l->results ? l->def->nvalues : 0;
        while (low < high) { /* the first that is greater */
            size_t mid = low + (high - low) / 2;
            if (str_cmp(l->def->steps[l->def->by_value[mid]]->value_name, name) <= 0)
                low = mid + 1;
            else
                high = mid;
        }
        for (; low-- > 0 && str_eq(l->def->steps[l->def->by_value[low]]->value_name, name);) {
            size_t index = l->def->by_value[low];
            const struct val *v =
                l->results[index] ? get(from, scope_there(from, &l->results[index]->val), name) : NULL;
            if (v)
                return v;
        }
    }
    return NULL;
}

static const struct val *step_value(const struct frame *f, struct str name, struct arena *a)
{
    bool known;
    const struct step_def *def;
    const struct val *v = find_result(f, name, &known, &def), *inner;
    if (!v)
        return known ? NULL : find_named(f, name);
    if (named_value(f, def, v))
        return named_value(f, def, v);
    if (!def || !def->type || !def->type->provider)
        return v;
    inner = VAL_GET(v, "data");
    if (!inner)
        inner = parsed_text(f, a, v);
    return inner ? inner : VAL_GET(v, "text") ? VAL_GET(v, "text") : v;
}

/* A variable, asked of the step that set it. */
static const struct val *set_here(const struct frame *f, const struct val *result, const struct val *key, size_t n)
{
    const struct val *names = GET(f, result, "variables_set");
    for (size_t i = 0; n >= 3 && key[2].type == VAL_STR && val_is(names, VAL_ARRAY) && i < names->arr.n; i++)
        if (val_is(&names->arr.v[i], VAL_STR) && str_eq(names->arr.v[i].s, key[2].s))
            return scope_variable_of(f, key[2].s);
    return NULL;
}

/* Of what a call gives, are the names known only in the run? */
static bool gives_any(const struct step_def *d)
{
    return d->late_type || (d->type->boundary && (!d->child || VAL_GET(d->source, "outputs")));
}

/* Of a call: is what its result has under the name a step's result too? That is so where the result is the steps inside
 * by their names. Of what `outputs` name, and of a workflow that is known only in the run, the value has to tell. */
static bool is_inside(const struct frame *f, const struct step_def *d, const struct val *result, struct str name)
{
    if (d && gives_any(d))
        return val_is(GET(f, get(f, result, name), "success"), VAL_BOOL);
    return d && d->child && !d->child->output && list_find(d->child->root, name);
}

/* steps.NAME.… of the step's result `v`; key[2] is the first name after the step's. */
static const struct val *of_result(const struct frame *f, const struct step_def *def, const struct val *v,
                                   const struct val *key, size_t n, struct arena *a, size_t *ret_used)
{
    *ret_used = 2;
    size_t used = 3;
    if (n >= 3 && key[2].type == VAL_STR && v->type != VAL_OBJECT && v->type != VAL_NULL) {
        if (str_is(key[2].s, "result") || str_is(key[2].s, "text") || str_is(key[2].s, "value"))
            *ret_used = 3; /* a plain value answers to these itself */
        else if (common_field(key[2].s)) {
            *ret_used = 3;
            return common_field(key[2].s);
        }
    }
    enum found what = FOUND_DATA;
    const struct val *other = set_here(f, v, key, n);
    if (!other)
        other = named_value_field(f, def, v, key, n, &used);
    if (!other)
        other = result_field(f, a, v, key, n, 2, &used, &what);
    if (!other && n > 3 && is_inside(f, def, v, key_name(&key[2]))) {
        other = val_get(v, key_name(&key[2]));
        used = 3;
        what = FOUND_RESULT;
    }
    if (!other)
        return v;
    other = deeper(f, a, other, key, n, &used, what);
    *ret_used = used;
    return other;
}

static enum rc resolve_step(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                            const struct val **ret, size_t *ret_used, struct err *err)
{
    if (n < 2) {
        *ret = scope_all_results(f, a);
        return RC_OK;
    }
    bool known;
    const struct step_def *def;
    if (key[1].type != VAL_STR)
        return err_set(err, RC_NOT_FOUND, "steps are read by their names, as in steps.plan or steps[name]; found a %s",
                       val_type_name(&key[1]));
    const struct val *v = find_result(f, key_name(&key[1]), &known, &def);
    if (!v) {
        if (!known)
            return err_set(err, RC_NOT_FOUND, "no step is called `%.*s` here", STR_ARG(key_name(&key[1])));
        *ret = &val_null; /* known, without a value yet */
        *ret_used = n;
        return RC_OK;
    }
    *ret = of_result(f, def, v, key, n, a, ret_used);
    return RC_OK;
}

/* May a result of that name stand below something called `above`? Among all steps that are known. */
static bool names_result(const struct frame *f, struct str above, struct str name, struct arena *a)
{
    size_t n;
    const struct workflow *const *all = workflow_all(f->instance->workflow, a, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < all[i]->nall; k++) {
            const struct step_def *d = all[i]->all[k];
            if (str_eq(d->name, name) || (str_eq(d->name, above) && gives_any(d)))
                return true;
        }
    return false;
}

/* Is that name one of what the author's data goes by? */
static bool names_data(struct str head)
{
    return str_is(head, "state") || str_is(head, "variables") || str_is(head, "global_vars") || str_is(head, "inputs");
}

/* Does key[0..at - 1] lead to a result? It does right below results by the names of their steps. Elsewhere the last
 * name must be that of one, as in those of calls; what stands right below a step in sight is judged by that step. */
static bool leads_to_result(const struct frame *f, const struct val *key, size_t at, struct arena *a)
{
    struct str place = at >= 2 ? key_name(&key[at - 2]) : STR("");
    size_t first = at && str_is(key_name(&key[0]), "steps");
    if (at == 0 || key[at - 1].type != VAL_STR || names_data(key_name(&key[0])))
        return false;
    if (str_is(place, "results") || str_is(place, "handled"))
        return true;
    if (at == first + 2) {
        const struct step_def *def;
        bool known = false;
        const struct val *v = find_result(f, key_name(&key[first]), &known, &def);
        if (known)
            return v && is_inside(f, def, v, key_name(&key[at - 1]));
    }
    return names_result(f, place, key_name(&key[at - 1]), a);
}

/* Results inside of results, such as those of a loop's iterations, answer like any other. Data may look like one of
 * them, so what would be the object itself it is only where the path leads to a result. */
const struct val *scope_lacking(void *ctx, const struct val *object, const struct val *key, size_t at, struct arena *a)
{
    enum found what;
    const struct val *v = NULL;
    if (val_is(VAL_GET(object, "success"), VAL_BOOL))
        v = indirect_field(ctx, a, object, key_name(&key[at]), &what);
    return v != object || leads_to_result(ctx, key, at, a) ? v : NULL;
}

const struct val *scope_of_result(const struct frame *f, const struct step_def *def, const struct val *result,
                                  const struct val *key, size_t n, struct arena *a, size_t *ret_used)
{
    struct val *longer = arena_calloc(a, n + 1, sizeof *longer);
    longer[0] = VAL_LIT("steps");
    memcpy(longer + 1, key, n * sizeof *longer);
    const struct val *v = of_result(f, def, result, longer, n + 1, a, ret_used);
    --*ret_used;
    return v;
}

/* ---- variables ---- */

/* A name of a task, such as `item`: nearer than any loop around. */
static const struct val *find_local(const struct frame *from, struct str name)
{
    for (const struct frame *f = from; f; f = frame_outward(f))
        if (f->locals && val_get(&f->locals->val, name))
            return val_get(&f->locals->val, name);
    return NULL;
}

const struct val *scope_variable_of(const struct frame *from, struct str name)
{
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        if (f->locals && val_get(&f->locals->val, name))
            return val_get(&f->locals->val, name);
        if (f->ops != &list_ops)
            continue;
        const struct list_state *l = f->state;
        const struct var *v = map_get(&l->vars, name);
        if (v)
            return &v->value->val;
        if (l->instance && instance_hides(l->instance, name))
            return NULL;
    }
    return NULL;
}

static enum rc resolve_variable(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                const struct val **ret, size_t *ret_used, struct err *err)
{
    if (n < 2) {
        *ret = keep(a, frame_all_variables(f, a));
        *ret_used = 1;
        return RC_OK;
    }
    *ret = scope_variable_of(f, key_name(&key[1]));
    if (!*ret)
        *ret = find_named(f, key_name(&key[1]));
    *ret_used = 2;
    if (*ret)
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "no variable is called `%.*s` here", STR_ARG(key_name(&key[1])));
}

/* ---- loops ---- */

static const struct list_state *loop_above(const struct frame **f)
{
    for (; *f; *f = frame_outward(*f))
        if ((*f)->ops == &list_ops && ((const struct list_state *)(*f)->state)->is_loop)
            return (*f)->state;
    return NULL;
}

static enum rc resolve_loop(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                            const struct val **ret, size_t *ret_used, struct err *err)
{
    const struct list_state *l = loop_above(&f);
    size_t i = 1;
    while (l && i < n && str_is(key_name(&key[i]), "parent")) {
        f = frame_outward(f);
        l = loop_above(&f);
        i++;
    }
    if (!l)
        return err_set(err, RC_NOT_FOUND,
                       i > 1 ? "there is no loop around this loop" : "`loop` is known only inside a loop");
    if (i >= n) {
        *ret = scope_all_of_loop(&l->loop, a);
        *ret_used = i;
        return RC_OK;
    }
    *ret = scope_loop_field(&l->loop, key_name(&key[i]), a);
    *ret_used = i + 1;
    if (*ret)
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "`loop` has no `%.*s`; it has item, index, first, last, total, parent%s%.*s",
                   STR_ARG(key_name(&key[i])), l->loop.iterator.n ? ", " : "", STR_ARG(l->loop.iterator));
}

static const struct val *find_iterator(const struct frame *f, struct str name)
{
    for (const struct list_state *l; (l = loop_above(&f)); f = frame_outward(f))
        if (l->loop.iterator.n && str_eq(l->loop.iterator, name))
            return l->loop.item ? &l->loop.item->val : &val_null;
    return NULL;
}

/* ---- the rest ---- */

static const struct val *find_error(const struct frame *f)
{
    for (; f; f = frame_outward(f))
        if (f->ops == &list_ops && ((const struct list_state *)f->state)->error_var)
            return &((const struct list_state *)f->state)->error_var->val;
    return NULL;
}

/* `error` in the steps of an on_error; `error.type` and `error.kind` are older names of its code. */
static const struct val *handled_error(const struct frame *f, const struct val *key, size_t n, size_t *ret_used)
{
    const struct val *e = find_error(f);
    struct str field = n > 1 ? key_name(&key[1]) : STR("");
    if (!val_is(e, VAL_OBJECT) || !(str_is(field, "type") || str_is(field, "kind")) || val_get(e, field))
        return e;
    *ret_used = 2;
    return VAL_GET(e, "code");
}

static const struct val *previous_response(const struct frame *from)
{
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        if (f->ops != &list_ops)
            continue;
        const struct list_state *l = f->state;
        for (size_t i = l->def->n; i-- > 0;)
            if (l->results && l->results[i] && !VAL_GET(scope_there(from, &l->results[i]->val), "skipped"))
                return scope_there(from, &l->results[i]->val);
    }
    return NULL;
}

/* A part of some step's result that has a name of its own, as a query of codebase_query has. */
static const struct val *find_part(const struct frame *from, struct str name)
{
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        for (size_t i = l && l->results ? l->def->n : 0; i-- > 0;) {
            const char *key = l->def->steps[i]->type->parts;
            if (key && l->results[i] && val_get(val_get(l->def->steps[i]->source, str_c(key)), name))
                return val_get(scope_there(from, &l->results[i]->val), name);
        }
    }
    return NULL;
}

/* A name alone: the iterator of a loop, a variable, a step (older workflows write `analysis.score`), an input. */
static const struct val *find_bare(struct frame *f, struct str name, struct arena *a)
{
    const struct val *v = find_local(f, name);
    const struct step_def *def;
    bool known = false;
    if (!v)
        v = find_iterator(f, name);
    if (!v)
        v = scope_variable_of(f, name);
    if (!v)
        v = find_result(f, name, &known, &def);
    if (!v && !known)
        v = find_named(f, name);
    if (!v && known)
        v = &val_null; /* a step without a value yet */
    v = v ? v : find_part(f, name);
    v = v ? v : scope_step_variable(f, name, a);
    v = v ? v : val_get(&f->instance->inputs->val, name);
    return v ? v : val_get(&f->run->env->val, name);
}

bool scope_is_authors(struct frame *f, struct str name, struct arena *a)
{
    return find_bare(f, name, a) != NULL;
}

/* NAME.x, where NAME means a step, is what steps.NAME.x is. */
static const struct val *bare_field(struct frame *f, const struct val *key, size_t n, struct arena *a, size_t *ret_used)
{
    struct str name = key_name(&key[0]);
    const struct step_def *def;
    bool known;
    const struct val *v = find_bare(f, name, a), *result = find_result(f, name, &known, &def);
    if (!v || v != result || n < 2)
        return v;
    return scope_of_result(f, def, v, key, n, a, ret_used);
}

/* `previous_response.x` is what steps.NAME.x is for the step that ended last. */
static const struct val *resolve_previous(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                          size_t *ret_used)
{
    const struct val *v = previous_response(f);
    enum found what;
    const struct val *field = v ? result_field(f, a, v, key, n, 1, ret_used, &what) : NULL;
    if (field)
        return deeper(f, a, field, key, n, ret_used, what);
    *ret_used = 1;
    return v;
}

/* What the author has given a name of his own wins over the names that the engine gives. */
static enum rc resolve_root(struct frame *f, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                            size_t *ret_used, struct err *err)
{
    struct run *r = f->run;
    struct str head = key_name(&key[0]);
    if (str_is(head, "inputs"))
        *ret = &f->instance->inputs->val;
    else if (str_is(head, "env"))
        *ret = &r->env->val;
    else if (str_is(head, "workflow") || str_is(head, "run") || str_is(head, "timestamp"))
        *ret = scope_named(f, key, n, a, ret_used);
    else if (str_is(head, "error") && find_error(f))
        *ret = handled_error(f, key, n, ret_used);
    else
        *ret = bare_field(f, key, n, a, ret_used);
    if (!*ret && str_is(head, "previous_response"))
        *ret = resolve_previous(f, key, n, a, ret_used);
    if (!*ret)
        *ret = scope_named(f, key, n, a, ret_used);
    if (*ret)
        return RC_OK;
    struct str field = n > 1 && scope_is_named(head) ? key_name(&key[1]) : STR("");
    if (n == 1 && workflow_env_listed(f->instance->workflow, head))
        return err_set(err, RC_NOT_FOUND, "the environment variable %.*s is not set; set it, or write %.*s || \"…\"",
                       STR_ARG(head), STR_ARG(head));
    return err_set(err, RC_NOT_FOUND,
                   "`%.*s%s%.*s` is not known here; expected inputs, steps, state, loop, workflow, run, env, or "
                   "a variable",
                   STR_ARG(head), field.n ? "." : "", STR_ARG(field));
}

/* previous_response:NAME is a variable, a step (alone: what it yields), or what a step keeps under that name. */
static enum rc resolve_response(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                const struct val **ret, size_t *ret_used, struct err *err)
{
    struct str name = key_name(&key[1]);
    const struct step_def *def;
    bool known;
    if (scope_variable_of(f, name))
        return resolve_variable(f, key, n, a, ret, ret_used, err);
    const struct val *v = find_result(f, name, &known, &def);
    *ret_used = 2;
    if (!known && find_part(f, name)) {
        *ret = find_part(f, name);
        return RC_OK;
    }
    *ret = !known ? find_named(f, name) : n == 2 && v ? named_value(f, def, v) : NULL;
    return *ret ? RC_OK : resolve_step(f, key, n, a, ret, ret_used, err);
}

static enum rc resolve(struct frame *f, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    struct str head = key_name(&key[0]);
    *ret = NULL;
    *ret_used = 1;
    if (str_is(head, "steps"))
        return resolve_step(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "previous_response:") && n > 1)
        return resolve_response(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "state") || str_is(head, "global_vars") || str_is(head, "variables"))
        return resolve_variable(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "loop"))
        return resolve_loop(f, key, n, a, ret, ret_used, err);
    if (str_is(head, "file:") && n > 1) {
        *ret_used = 2;
        *ret = hole_file(f, key_name(&key[1]), a);
        return *ret ? RC_OK
                    : err_set(err, RC_NOT_FOUND, "the file `%.*s` cannot be read here", STR_ARG(key_name(&key[1])));
    }
    if (str_is(head, "workflow") && n > 1 && str_is(key_name(&key[1]), "variables")) {
        enum rc rc = resolve_variable(f, key + 1, n - 1, a, ret, ret_used, err);
        ++*ret_used;
        return rc;
    }
    return resolve_root(f, key, n, a, ret, ret_used, err);
}

/* ---- fetching ---- */

enum rc frame_step_value(struct frame *f, struct str name, struct arena *a, const struct val **ret, struct err *err)
{
    *ret = step_value(f, name, a);
    if (f->run->wanted.n)
        return scope_must_fetch(f->run, err);
    if (!*ret || !(*ret)->away)
        return RC_OK;
    struct val *whole = ARENA_NEW(a, struct val);
    enum rc rc = scope_whole(f, *ret, a, whole, err);
    *ret = whole;
    return rc;
}

enum rc scope_resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                      size_t *ret_used, struct err *err)
{
    struct frame *f = ctx;
    enum rc rc = resolve(f, key, n, a, ret, ret_used, err);
    if (f->run->wanted.n)
        return scope_must_fetch(f->run, err);
    return rc || !*ret || !(*ret)->away ? rc : scope_follow_away(f, key, n, a, ret, ret_used, err);
}

/* What the path leads to, if it has left memory or has parts that have; NULL: all of it is there, or nothing is. */
static const struct val *unfetched(struct frame *f, const struct val *key, size_t n, struct arena *a)
{
    const struct val *v = NULL;
    size_t used = 1;
    struct err err;
    if (resolve(f, key, n, a, &v, &used, &err) != RC_OK || f->run->wanted.n)
        return NULL; /* whoever evaluates comes to it as well */
    for (; v && v->away && v->type == VAL_OBJECT && used < n; used++)
        v = key[used].type == VAL_STR ? val_get(v, key[used].s) : NULL;
    return v && v->away && used == n ? v : NULL;
}

bool scope_count(void *ctx, const struct val *key, size_t n, struct arena *a, int64_t *ret)
{
    const struct val *v = unfetched(ctx, key, n, a);
    return v && v->type == VAL_NULL && away_of_iterations(v->s, ret);
}

bool scope_fields(void *ctx, const struct val *key, size_t n, struct arena *a, struct val *ret)
{
    const struct val *v = unfetched(ctx, key, n, a);
    if (!val_is(v, VAL_OBJECT))
        return false;
    struct val_list names = val_list_new(a);
    for (size_t i = 0; i < v->obj.n; i++)
        val_list_push(&names, val_str(v->obj.m[i].key));
    *ret = val_list_done(&names);
    return true;
}

/* In conditions, what may be there and is not is null: a variable that nobody has set, an environment variable. */
enum rc scope_resolve_asking(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                             size_t *ret_used, struct err *err)
{
    enum rc rc = scope_resolve(ctx, key, n, a, ret, ret_used, err);
    struct str head = key_name(&key[0]);
    bool field = str_is(head, "state") || str_is(head, "global_vars") || str_is(head, "variables") ||
                 str_is(head, "env") || str_is(head, "timer") || str_is(head, "previous_response");
    if (rc != RC_NOT_FOUND || !(field || workflow_env_listed(((struct frame *)ctx)->instance->workflow, head)))
        return rc;
    *ret = &val_null;
    *ret_used = n;
    return RC_OK;
}
