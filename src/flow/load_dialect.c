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

/* data_transform, whose outcome older workflows write to `output_file`. */
static bool has_output_file(const struct val *step)
{
    const struct val *type = VAL_GET(step, "type");
    return val_is(type, VAL_STR) && str_is(type->s, "data_transform") && VAL_GET(step, "output_file") &&
           !VAL_GET(step, "output_to_file");
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
    bool variable = one_variable(step), file = has_output_file(step);
    if (!variable && !options && !file)
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
        } else if (file && str_is(k->key, "output_file")) {
            val_map_add(&m, STR("output_to_file"), k->val, k->line, k->col);
            load_older(l, k, "`output_to_file`");
        } else {
            val_map_add(&m, k->key, k->val, k->line, k->col);
        }
    }
    struct val *modern = ARENA_NEW(l->a, struct val);
    *modern = keep_place(val_map_done(&m), step);
    return modern;
}

/* ---- ${X} ---- */

static bool plain_path(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z') && !(i && s.p[i] >= '0' && s.p[i] <= '9') &&
            s.p[i] != '_' && !(i && s.p[i] == '.'))
            return false;
    return s.n > 0;
}

/* What stands between `${` and `}` as an expression; empty: it is none of ours. */
static struct str dollar_expression(struct arena *a, struct str in)
{
    size_t dash = str_find(in, STR(":-"));
    if (plain_path(in))
        return in;
    if (dash != SIZE_MAX && plain_path(str_n(in.p, dash)) && str_find(in, STR("\"")) == SIZE_MAX &&
        str_find(in, STR("\\")) == SIZE_MAX)
        return arena_printf(a, "%.*s || \"%.*s\"", (int)dash, in.p, STR_ARG(str_from(in, dash + 2)));
    return str_find(in, STR(" ? ")) != SIZE_MAX ? in : STR("");
}

/* `${X}`, `${X:-text}` and `${a ? b : c}` become holes: in variables and in paths, where no shell will read them. */
static struct str undollar(struct arena *a, struct str s)
{
    struct str out = STR("");
    size_t done = 0;
    for (size_t at = 0; at + 2 < s.n; at++) {
        size_t end = s.p[at] == '$' && s.p[at + 1] == '{' ? str_find(str_from(s, at), STR("}")) : SIZE_MAX;
        struct str e = end == SIZE_MAX ? STR("") : dollar_expression(a, str_n(s.p + at + 2, end - 2));
        if (!e.n)
            continue;
        out = arena_printf(a, "%.*s%.*s{{ %.*s }}", STR_ARG(out), (int)(at - done), s.p + done, STR_ARG(e));
        done = at + end + 1;
        at += end;
    }
    return done ? arena_printf(a, "%.*s%.*s", STR_ARG(out), STR_ARG(str_from(s, done))) : s;
}

struct val load_dollars(struct loader *l, const struct val *v)
{
    struct val out = *v;
    if (v->type == VAL_STR && v->s.n < 64 << 10 && str_find(v->s, STR("${")) != SIZE_MAX)
        out.s = undollar(l->a, v->s);
    if (v->type == VAL_ARRAY) {
        struct val_list list = val_list_new(l->a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&list, load_dollars(l, &v->arr.v[i]));
        out = keep_place(val_list_done(&list), v);
    }
    if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(l->a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_add(&m, v->obj.m[i].key, load_dollars(l, &v->obj.m[i].val), v->obj.m[i].line, v->obj.m[i].col);
        out = keep_place(val_map_done(&m), v);
    }
    return out;
}
