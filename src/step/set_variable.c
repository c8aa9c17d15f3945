/* set_variable: gives variables their values, all at once.
 *
 * They are set by the record of the step's end, so no crash can come in between and a failed attempt sets nothing.
 * Where a file is written before that end, the values are pinned: what else runs must not change them meanwhile. */
#include "flow/frame.h"

#include "base/panic.h"

static const struct step_key keys[] = {
    {"variables", KEY_OBJECT, .required = true,
     .doc = "Names and values; strings may be templates that keep their type."},
    {"scope", KEY_ENUM, .choices = "global|session|local|loop", .fallback = "global",
     .doc = "Where they live: the whole run (global, session), or the nearest list of steps (a loop's iteration)."},
    {0}};

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *scope = VAL_GET(s->source, "scope");
    if (val_is(scope, VAL_STR) && str_is(scope->s, "session"))
        problem_add(
            ps, true, scope->line, scope->col,
            "`scope: session` lasts as long as the run; for later runs, save the values with a checkpoint step");
}

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, f->def->output_to_file != NULL);
    struct str scope;
    if (!c || !frame_text(f, c, "scope", STR("global"), &scope))
        return;
    const struct val *vars = VAL_GET(c, "variables");
    if (!val_is(vars, VAL_OBJECT)) {
        step_failf(f, RC_INVALID, "`variables` is %s; expected an object of names and values", val_type_name(vars));
        return;
    }
    step_sets(f, str_is(scope, "local") || str_is(scope, "loop"), vars);
    struct arena *a = &f->arena;
    struct val_list names = val_list_new(a);
    for (size_t i = 0; i < vars->obj.n; i++)
        val_list_push(&names, val_str(vars->obj.m[i].key));
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "variables_set", val_list_done(&names));
    VAL_MAP_SET(&m, "scope", val_str(scope));
    VAL_MAP_SET(&m, "variable_count", val_int((int64_t)vars->obj.n));
    struct val result = val_map_done(&m);
    step_ok(f, &result);
}

static void child_done(struct frame *f, struct frame *c)
{
    (void)c;
    PANIC("set_variable %.*s has no children", STR_ARG(f->path));
}

const struct step_type step_set_variable = {.name = "set_variable",
                                            .doc = "Gives variables their values.",
                                            .keys = keys,
                                            .result_doc = "variables_set|scope|variable_count",
                                            .check = check,
                                            .enter = enter,
                                            .child_done = child_done};
