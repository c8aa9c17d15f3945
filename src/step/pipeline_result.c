/* Fields are told by their names, or as step.field. A list of them is short, so it is looked through each time. */
#include "step/pipeline_result.h"

static bool names(const struct val *fields, struct str name)
{
    if (val_is(fields, VAL_STR))
        return str_eq(fields->s, name);
    for (size_t i = 0; val_is(fields, VAL_ARRAY) && i < fields->arr.n; i++)
        if (val_is(&fields->arr.v[i], VAL_STR) && str_eq(fields->arr.v[i].s, name))
            return true;
    return false;
}

/* Has some field of it the name, or that of the step before it? */
static bool names_field(struct arena *a, const struct val *fields, struct str step, struct str name)
{
    return names(fields, name) || (step.n && names(fields, arena_printf(a, "%.*s.%.*s", STR_ARG(step), STR_ARG(name))));
}

static struct val prune(struct frame *f, const struct val *keep, const struct val *remove, const struct val *v,
                        struct str step, bool by_steps)
{
    struct val_map m = val_map_new(&f->arena);
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *o = &v->obj.m[i];
        bool inner = by_steps && o->val.type == VAL_OBJECT;
        if (names_field(&f->arena, remove, step, o->key))
            continue;
        if (!inner && (!keep || names_field(&f->arena, keep, step, o->key)))
            val_map_set(&m, o->key, o->val);
        if (!inner)
            continue;
        bool whole = !keep || names(keep, o->key);
        struct val rest = prune(f, whole ? NULL : keep, remove, &o->val, o->key, false);
        if (whole || rest.obj.n)
            val_map_set(&m, o->key, rest);
    }
    return val_map_done(&m);
}

struct val pruned_result(struct frame *f, const struct val *how, const struct val *result, bool by_steps)
{
    if (!val_is(how, VAL_OBJECT) || result->type != VAL_OBJECT)
        return *result;
    return prune(f, VAL_GET(how, "keep_fields"), VAL_GET(how, "remove_fields"), result, STR(""), by_steps);
}

const struct val *with_error_context(struct frame *f, const struct val *fields, const struct val *beside,
                                     struct str workflow, const struct val *inputs, const struct val *results)
{
    bool all = !fields || (val_is(fields, VAL_ARRAY) && !fields->arr.n);
    struct arena *a = &f->arena;
    struct val_map context = val_map_new(a), m = val_map_new(a), execution = val_map_new(a);
    VAL_MAP_SET(&execution, "workflow", val_str(workflow));
    VAL_MAP_SET(&execution, "step", val_str(f->path));
    VAL_MAP_SET(&execution, "attempt", val_int(f->attempt));
    if (all || names(fields, STR("input_data")))
        VAL_MAP_SET(&context, "inputs", *inputs);
    if (results && (all || names(fields, STR("previous_results"))))
        VAL_MAP_SET(&context, "results", *results);
    if (all || names(fields, STR("execution_metadata")))
        VAL_MAP_SET(&context, "execution", val_map_done(&execution));
    if (beside)
        val_map_merge(&m, beside);
    VAL_MAP_SET(&m, "error_context", val_map_done(&context));
    struct val *v = ARENA_NEW(a, struct val);
    *v = val_map_done(&m);
    return v;
}
