/* Names without a field: all variables, all results, a loop as a whole. Inner ones hide outer ones of the same name. */
#include "flow/run_int.h"

#include <stdlib.h>

static const struct val *keep(struct arena *a, struct val v)
{
    struct val *p = ARENA_NEW(a, struct val);
    *p = v;
    return p;
}

/* ---- variables ---- */

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(const struct map_entry *const *)a)->key, (*(const struct map_entry *const *)b)->key);
}

/* By a called workflow between it and who asks? */
static bool is_hidden(const struct frame *const *chain, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        const struct list_state *l = chain[i]->state;
        if (l->instance && instance_hides(l->instance, name))
            return true;
    }
    return false;
}

struct val frame_all_variables(const struct frame *from, struct arena *a)
{
    struct val_map m = val_map_new(a);
    const struct frame *chain[64];
    size_t n = 0;
    for (const struct frame *f = from; f && n < 64; f = frame_outward(f))
        if (f->ops == &list_ops)
            chain[n++] = f;
    while (n--) {
        const struct map *vars = &((const struct list_state *)chain[n]->state)->vars;
        const struct map_entry **sorted = arena_calloc(a, vars->n + 1, sizeof *sorted);
        struct map_entry *e;
        size_t count = 0;
        for (size_t i = 0; (e = map_next(vars, &i));)
            sorted[count++] = e;
        qsort(sorted, count, sizeof *sorted, by_name); /* the map's own order is another in each process */
        for (size_t i = 0; i < count; i++)
            if (!str_starts(sorted[i]->key, STR(SCOPE_TIMER)) && !str_is(sorted[i]->key, SCOPE_SESSION) &&
                !is_hidden(chain, n, sorted[i]->key))
                val_map_set(&m, sorted[i]->key, ((const struct var *)sorted[i]->value)->value->val);
    }
    return val_map_done(&m);
}

/* ---- results ---- */

const struct val *scope_failed(const struct frame *f, struct str name)
{
    const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
    return l && l->failed && l->def->owner && str_eq(l->def->owner->name, name) ? &l->failed->val : NULL;
}

static void add_result(struct val_map *m, struct str name, const struct val *v)
{
    m->away |= val_map_add(m, name, *v, 0, 0) && v->away;
}

static void add_results(struct val_map *m, const struct list_def *def, struct box *const *results,
                        struct box *const *older)
{
    for (size_t i = 0; i < def->n; i++) {
        const struct box *b = results && results[i] ? results[i] : older ? older[i] : NULL;
        if (b)
            add_result(m, def->steps[i]->name, &b->val);
    }
}

const struct val *scope_all_results(const struct frame *from, struct arena *a)
{
    struct val_map m = val_map_new(a);
    for (const struct frame *f = from; f; f = frame_outward(f)) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        if (l)
            add_results(&m, l->def, l->results, l->previous);
        else if (f->inner)
            add_results(&m, f->inner, f->inner_results, NULL);
        if (l && l->failed && l->def->owner)
            add_result(&m, l->def->owner->name, &l->failed->val);
    }
    return keep(a, val_map_done(&m));
}

/* ---- loops ---- */

const struct val *scope_loop_field(const struct loop_scope *s, struct str name, struct arena *a)
{
    if (str_is(name, "item") || (s->iterator.n && str_eq(name, s->iterator)))
        return s->item ? &s->item->val : &val_null;
    if (str_is(name, "index"))
        return keep(a, val_int(s->index));
    if (str_is(name, "first") || str_is(name, "is_first"))
        return s->index == 0 ? &val_true : &val_false;
    if (str_is(name, "last") || str_is(name, "is_last"))
        return s->total >= 0 && s->index + 1 == s->total ? &val_true : &val_false;
    if (str_is(name, "total") || str_is(name, "length"))
        return s->total >= 0 ? keep(a, val_int(s->total)) : &val_null;
    return NULL;
}

const struct val *scope_all_of_loop(const struct loop_scope *s, struct arena *a)
{
    static const char *const fields[] = {"item", "index", "first", "last", "total"};
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        val_map_set(&m, str_c(fields[i]), *scope_loop_field(s, str_c(fields[i]), a));
    if (s->iterator.n)
        val_map_set(&m, s->iterator, *scope_loop_field(s, s->iterator, a));
    return keep(a, val_map_done(&m));
}
