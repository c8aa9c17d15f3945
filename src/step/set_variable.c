/* set_variable: gives variables their values, all at once.
 *
 * They are set by the record of the step's end, so no crash can come in between and a failed attempt sets nothing.
 * Where something is written before that end, the values are pinned: what else runs must not change them meanwhile.
 *
 * Those of scope session are kept for later runs before they are set in this one; a run that a crash stops in between
 * keeps them again. What is kept is read when a workflow with such a step begins (list.c). */
#include "flow/frame.h"

#include "base/panic.h"

#include <stdlib.h>

static const struct step_key keys[] = {
    {"variables", KEY_OBJECT, .required = true,
     .doc = "Names and values; strings may be templates that keep their type."},
    {"scope", KEY_ENUM, .choices = "global|session|local|loop", .fallback = "global",
     .doc = "Where they live: the run; this run and later ones; the nearest list of steps (a loop's iteration)."},
    {0}};

static bool of_session(const struct frame *f)
{
    return str_is(val_get_str(f->def->source, STR("scope"), STR("")), "session");
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct val *)a)->s, ((const struct val *)b)->s);
}

static void finish(struct frame *f, const struct val *vars, struct str scope)
{
    struct arena *a = &f->arena;
    struct val *names = arena_calloc(a, vars->obj.n + 1, sizeof *names);
    for (size_t i = 0; i < vars->obj.n; i++)
        names[i] = val_str(vars->obj.m[i].key);
    qsort(names, vars->obj.n, sizeof *names, by_name);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "variables_set", ((struct val){.type = VAL_ARRAY, .arr = {names, vars->obj.n}}));
    VAL_MAP_SET(&m, "scope", val_str(scope));
    VAL_MAP_SET(&m, "variable_count", val_int((int64_t)vars->obj.n));
    struct val result = val_map_done(&m);
    step_sets(f, str_is(scope, "local") || str_is(scope, "loop"), vars);
    step_ok(f, &result);
}

static void keep(struct frame *f, const struct val *vars)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "action", VAL_LIT("keep"));
    VAL_MAP_SET(&m, "workflow", val_str(frame_workflow(f)));
    VAL_MAP_SET(&m, "run", val_str(frame_run(f)));
    VAL_MAP_SET(&m, "state", *vars);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "keep:1", 0,
                 &(struct effect_plan){.kind = EFFECT_CHECKPOINT,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "keep variables of the session"});
}

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, of_session(f) || f->def->output_to_file);
    struct str scope;
    if (!c || !frame_text(f, c, "scope", STR("global"), &scope))
        return;
    const struct val *vars = VAL_GET(c, "variables");
    if (!val_is(vars, VAL_OBJECT))
        step_failf(f, RC_INVALID, "`variables` is %s; expected an object of names and values", val_type_name(vars));
    else if (of_session(f))
        keep(f, vars);
    else
        finish(f, vars, scope);
}

static void child_done(struct frame *f, struct frame *c)
{
    if (child_ok(c))
        finish(f, VAL_GET(frame_config(f, true), "variables"), STR("session"));
    else
        step_fail_as(f, c);
}

const struct step_type step_set_variable = {.name = "set_variable",
                                            .doc = "Gives variables their values.",
                                            .keys = keys,
                                            .result_doc = "variables_set|scope|variable_count",
                                            .acts = true,
                                            .enter = enter,
                                            .child_done = child_done};
