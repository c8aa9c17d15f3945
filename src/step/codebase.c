/* An effect like any other: journaled once, so that a resumed run sees the project as it was when the step began. */
#include "step/codebase.h"

void codebase_check(const struct step_def *s, struct problems *ps)
{
    const struct val *v = VAL_GET(s->source, "codebase_context");
    if (v && v->type != VAL_BOOL && v->type != VAL_NULL)
        problem_add(ps, false, v->line, v->col, "`codebase_context` is %s; expected true or false", val_type_name(v));
}

bool codebase_wanted(const struct step_def *s)
{
    return val_get_bool(s->data, STR("codebase_context"), false);
}

bool codebase_ask(struct frame *f)
{
    if (!codebase_wanted(f->def))
        return false;
    struct val_map m = val_map_new(&f->arena);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    VAL_MAP_SET(&m, "context", val_true);
    *request = val_map_done(&m);
    frame_effect(f, "codebase:1", CODEBASE_TAG,
                 &(struct effect_plan){.kind = EFFECT_CODE,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "look at the project"});
    return true;
}

bool codebase_set(struct frame *f, const struct val *context)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "codebase", *context);
    struct val set = val_map_done(&m);
    return frame_set_variables(f, true, &set);
}

bool codebase_take(struct frame *f, const struct frame *child)
{
    const struct val *context = child_ok(child) ? VAL_GET(child_result(child), "codebase") : NULL;
    if (context)
        return codebase_set(f, context);
    if (child_ok(child)) {
        step_failf(f, RC_TOOL, "nothing is known about the project");
    } else {
        step_fail_as(f, child);
    }
    return false;
}
