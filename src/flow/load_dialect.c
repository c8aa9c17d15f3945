/* Older and generated forms of a step, brought into the modern one before anything else looks at it; each is told once
 * a file. Spellings of single keys are rows with `alias_of` in the tables; what is here changes a step's shape.
 * `treadle migrate` (flow/migrate.c) writes the same modern forms into the file. */
#include "flow/load_int.h"

void load_older(struct loader *l, const struct member *m, const char *modern)
{
    static char mark;
    if (!map_put(&l->noticed, m->key, &mark))
        problem_add(l->ps, true, m->line, m->col, "`%s` is an older form; expected %s (treadle migrate writes it)",
                    clip(m->key).z, modern);
}

/* {variable: x, value: 1} */
static bool one_variable(const struct val *step)
{
    return val_is(VAL_GET(step, "type"), VAL_STR) && str_is(VAL_GET(step, "type")->s, "set_variable") &&
           val_is(VAL_GET(step, "variable"), VAL_STR) && VAL_GET(step, "value") && !VAL_GET(step, "variables");
}

static bool has_claude_options(const struct val *step)
{
    const struct val *type = VAL_GET(step, "type");
    const struct step_type *t = val_is(type, VAL_STR) ? step_type_find(type->s) : NULL;
    return t && key_find(t->keys, STR("claude_options")) && !key_find(t->keys, STR("options")) &&
           !VAL_GET(step, "claude_options");
}

static struct val keep_place(struct val v, const struct val *from)
{
    v.line = from->line;
    v.col = from->col;
    return v;
}

const struct val *load_modern_step(struct loader *l, const struct val *step)
{
    const struct member *options = has_claude_options(step) ? val_member(step, STR("options")) : NULL;
    bool variable = one_variable(step);
    if (!variable && !options)
        return step;
    struct val_map m = val_map_new(l->a);
    for (size_t i = 0; i < step->obj.n; i++) {
        const struct member *k = &step->obj.m[i];
        if (variable && str_is(k->key, "variable")) {
            const struct member *value = val_member(step, STR("value"));
            struct val_map one = val_map_new(l->a);
            val_map_add(&one, k->val.s, value->val, k->val.line, k->val.col);
            val_map_add(&m, STR("variables"), keep_place(val_map_done(&one), &k->val), k->line, k->col);
            load_older(l, k, "variables: {NAME: VALUE}");
        } else if (variable && str_is(k->key, "value")) {
            continue;
        } else if (k == options) {
            val_map_add(&m, STR("claude_options"), k->val, k->line, k->col);
            load_older(l, k, "`claude_options`");
        } else {
            val_map_add(&m, k->key, k->val, k->line, k->col);
        }
    }
    struct val *modern = ARENA_NEW(l->a, struct val);
    *modern = keep_place(val_map_done(&m), step);
    return modern;
}
