/* `processor` of a file_ops step, and whatever else does something with each piece of a large thing.
 *
 * It is data ({type: uppercase}), or a step without a name ({type: claude, prompt: …}), or {steps: […]}. Steps are put
 * into a step of the type's own (step_type.each) in a list of its own, which is done once for each piece, as the body
 * of a loop is done for each item. So they are read, checked and executed like any others. */
#include "flow/habits.h"
#include "flow/load_int.h"

static bool is_hole(struct str s)
{
    return str_find(s, STR("{{")) != SIZE_MAX;
}

static void unknown(struct loader *l, const struct step_key *row, const struct val *at, struct str name)
{
    struct nearest near = {.want = name};
    nearest_try_words(&near, row->choices);
    for (size_t i = 0; step_type_at(i); i++)
        nearest_try(&near, str_c(step_type_at(i)->name));
    BAD(l, at, "there is no `%s` `%s`; %s", row->name, clip(name).z,
        load_hint(l, &near,
                  "expected identity, uppercase, lowercase, trim, replace, or a step such as {type: claude, prompt: "
                  "\"… {{chunk}}\"}"));
}

static struct val placed(struct val v, const struct val *at)
{
    v.line = at->line;
    v.col = at->col;
    return v;
}

/* {type: …, …} as a list of one step. */
static struct val one_step(struct loader *l, const struct step_key *row, const struct val *v)
{
    struct val_map m = val_map_new(l->a);
    struct val_list list = val_list_new(l->a);
    if (!VAL_GET(v, "name") && !VAL_GET(v, "id"))
        val_map_add(&m, STR("name"), placed(val_str(str_c(row->name)), v), v->line, v->col);
    for (size_t i = 0; i < v->obj.n; i++)
        val_map_add(&m, v->obj.m[i].key, v->obj.m[i].val, v->obj.m[i].line, v->obj.m[i].col);
    val_list_push(&list, placed(val_map_done(&m), v));
    return placed(val_list_done(&list), v);
}

static void body(struct loader *l, struct step_def *s, const struct val *steps, unsigned depth)
{
    struct arena *a = l->a;
    struct val_map m = val_map_new(a);
    struct val_list list = val_list_new(a);
    struct val *kept = ARENA_NEW(a, struct val);
    struct branch *b = ARENA_NEW(a, struct branch);
    val_map_add(&m, STR("name"), placed(VAL_LIT(EACH_NAME), steps), steps->line, steps->col);
    val_map_add(&m, STR("steps"), *steps, steps->line, steps->col);
    val_list_push(&list, placed(val_map_done(&m), steps));
    *kept = placed(val_list_done(&list), steps);
    *b = (struct branch){.name = STR(EACH_NAME),
                         .line = steps->line,
                         .col = steps->col,
                         .list = load_list(l, kept, s, STR(""), depth + 1)};
    s->branches = b;
    s->nbranches = 1;
}

bool load_each(struct loader *l, struct step_def *s, const struct step_key *row, const struct val *v, unsigned depth)
{
    const struct val *steps = VAL_GET(v, "steps"), *type = VAL_GET(v, "type");
    const struct val *name = val_is(v, VAL_STR) ? v : type;
    if (steps) {
        for (size_t i = 0; i < v->obj.n; i++)
            if (!str_is(v->obj.m[i].key, "steps"))
                BAD(l, &v->obj.m[i].val, "`%s` stands beside `steps` in `%s`; expected `steps` alone, or one step",
                    clip(v->obj.m[i].key).z, row->name);
        body(l, s, steps, depth);
        return true;
    }
    if (!val_is(name, VAL_STR) || is_hole(name->s) || str_has_word(str_c(row->choices), '|', name->s))
        return false;
    if (!step_type_find(name->s) && !habit_type(name->s)) {
        unknown(l, row, name, name->s);
        return true;
    }
    if (val_is(v, VAL_STR)) {
        BAD(l, v, "`%s` is only the type of a step; expected a step such as {type: %s, prompt: \"… {{chunk}}\"}",
            row->name, clip(name->s).z);
        return true;
    }
    struct val list = one_step(l, row, v), *kept = ARENA_NEW(l->a, struct val);
    *kept = list;
    body(l, s, kept, depth);
    return true;
}
