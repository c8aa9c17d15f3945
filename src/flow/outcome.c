/* The value that a variable gets is what steps.NAME.result will be to later steps. What the keys set is not set here:
 * it goes into the record of the step's end (step_end.c), with the result. */
#include "flow/outcome.h"

#include "flow/run_int.h"

static struct val value_of(struct frame *f, const struct val *result)
{
    const struct val key[] = {val_str(f->def->name), VAL_LIT("result")};
    size_t used;
    const struct val *v = scope_of_result(f, f->def, result, key, 2, &f->run->scratch, &used);
    return v ? val_copy(&f->arena, v) : val_null;
}

const struct val *outcome_variables(struct frame *f, const struct val *result)
{
    const struct step_def *s = f->def;
    if (!s->output_to_global.n && !s->nclear_vars)
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    for (size_t i = 0; i < s->nclear_vars; i++)
        val_map_set(&m, s->clear_vars[i], val_null);
    if (s->output_to_global.n)
        val_map_set(&m, s->output_to_global, value_of(f, result));
    struct val *all = ARENA_NEW(&f->arena, struct val);
    *all = val_map_done(&m);
    return all;
}
