/* The value that a variable gets is what steps.NAME.result will be to later steps. What the keys set is not set here:
 * it goes into the record of the step's end (step_end.c), with the result. */
#include "flow/outcome.h"

#include "flow/step_int.h"
#include "flow/talk.h"

static struct val value_of(struct frame *f, const struct val *result)
{
    const struct val key[] = {val_str(f->def->name), VAL_LIT("result")};
    size_t used;
    const struct val *v = scope_of_result(f, f->def, result, key, 2, &f->run->scratch, &used);
    return v ? val_copy(&f->arena, v) : val_null;
}

/* ---- clear_vars ---- */

/* The next part of a path such as `.b` or `[2]`, taken off it; load_outcome.c has seen that it is one. */
static struct str next_part(struct str *path)
{
    size_t n = 1;
    while (n < path->n && path->p[n] != '.' && path->p[n] != '[')
        n++;
    struct str part = str_n(path->p, n);
    *path = str_from(*path, n);
    return part;
}

static struct val cleared(struct arena *a, const struct val *v, struct str path);

static struct val cleared_item(struct arena *a, const struct val *v, struct str part, struct str rest)
{
    int64_t i;
    if (v->type != VAL_ARRAY || !str_to_i64(str_n(part.p + 1, part.n - 2), &i) || i < 0 || (size_t)i >= v->arr.n)
        return *v;
    struct val out = *v, *items = arena_calloc(a, v->arr.n, sizeof *items);
    memcpy(items, v->arr.v, v->arr.n * sizeof *items);
    items[i] = cleared(a, &v->arr.v[i], rest);
    out.arr.v = items;
    return out;
}

/* The value with null at the end of the path; what is not there is left so. */
static struct val cleared(struct arena *a, const struct val *v, struct str path)
{
    if (!path.n)
        return val_null;
    struct str part = next_part(&path);
    if (part.p[0] == '[')
        return cleared_item(a, v, part, path);
    struct str name = str_from(part, 1);
    const struct val *inner = val_get(v, name);
    if (!inner)
        return *v;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, v);
    val_map_set(&m, name, cleared(a, inner, path));
    return val_map_done(&m);
}

/* A variable of the run as it will be: what the step sets itself comes before. */
static const struct val *value_at_end(struct frame *f, const struct val_map *so_far, struct str name)
{
    const struct step_state *s = step_state_of(f);
    const struct val all = {.type = VAL_OBJECT, .obj = {.m = so_far->m, .n = so_far->n}};
    const struct val *mine = val_get(&all, name), *set = s->sets_local ? NULL : val_get(s->sets, name);
    const struct var *v = map_get(&list_of(frame_variables(f, false))->vars, name);
    return mine ? mine : set ? set : v ? &v->value->val : NULL;
}

static void clear(struct frame *f, struct val_map *m, struct str path)
{
    size_t n = 0;
    while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
        n++;
    struct str name = str_n(path.p, n), rest = str_from(path, n);
    const struct val *v = rest.n ? value_at_end(f, m, name) : NULL;
    if (rest.n && !v)
        return;
    struct val now = rest.n ? cleared(&f->run->scratch, v, rest) : val_null;
    val_map_set(m, name, val_copy(&f->arena, &now)); /* the variable will let go of what it was */
}

const struct val *outcome_variables(struct frame *f, const struct val *result)
{
    const struct step_def *s = f->def;
    struct str session = step_talks(s) ? val_get_str(result, STR("session_id"), STR("")) : STR("");
    if (!s->output_to_global.n && !s->nclear_vars && !session.n)
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    if (session.n)
        VAL_MAP_SET(&m, SCOPE_SESSION, val_str(arena_str(&f->arena, session)));
    for (size_t i = 0; i < s->nclear_vars; i++)
        clear(f, &m, s->clear_vars[i]);
    if (s->output_to_global.n)
        val_map_set(&m, s->output_to_global, value_of(f, result));
    struct val *all = ARENA_NEW(&f->arena, struct val);
    *all = val_map_done(&m);
    return all;
}
