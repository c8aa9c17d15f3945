/* What can be seen from a place in a workflow: steps, loops, variables.
 *
 * The rules are those of a run. From a step one sees, in its own list, the steps before it (in a graph: those that it
 * depends on, over any number of edges), and in each list around, the same from the step that contains it. The steps of
 * an on_error see the failed result of the step that they are for. The body of a while_loop is its own past: any step
 * of it may be read, meaning the iteration before. */
#include "flow/load_int.h"

/* A loop that runs its body until something holds, rather than once an item. */
static bool repeats(const struct step_def *s)
{
    return s && s->type && s->type->loop && key_find(s->type->keys, STR("condition"));
}

static bool is_handler(const struct list_def *list)
{
    return list->owner && list->owner->handler == list;
}

/* What is done with each piece of something: a loop to those inside, but none to be left. */
static bool is_each(const struct list_def *list)
{
    return list->owner && !is_handler(list) && list->owner->type && list->owner->type->each;
}

/* The list is a body of a loop; lists under on_error of a loop are not. */
static bool is_loop_body(const struct list_def *list)
{
    return is_each(list) || (list->owner && !is_handler(list) && list->owner->type && list->owner->type->loop);
}

static size_t body_slots(const struct step_def *s)
{
    size_t n = 0;
    for (const struct step_key *k = s->type ? s->type->keys : NULL; k && k->name; k++)
        n += k->kind == KEY_STEPS && !k->alias_of;
    return s->lists ? n : 0;
}

static bool sees_body(const struct reader *r)
{
    return r->where == WHERE_REPEAT || r->where == WHERE_BODY;
}

/* From `from`, or from the list `inside` of it. */
static enum sight sight_from(const struct step_def *from, const struct list_def *inside, const struct step_def *s)
{
    if (is_loop_body(from->list) && repeats(from->list->owner))
        return SIGHT_SEEN;
    if (s == from) /* the steps of its on_error see that it has failed */
        return inside && is_handler(inside) ? SIGHT_SEEN : SIGHT_SELF;
    if (from->list->graph)
        return list_depends(from->list, from->index, s->index) ? SIGHT_SEEN : SIGHT_NO_EDGE;
    return s->index < from->index ? SIGHT_SEEN : SIGHT_LATER;
}

static enum sight scope_elsewhere(const struct reader *r, struct str name, const struct step_def **ret)
{
    *ret = map_get(&r->l->by_name, name);
    return *ret ? SIGHT_ELSEWHERE : SIGHT_UNKNOWN;
}

/* The step of that name in the body of a while_loop of the list, when `from` (NULL: the end) comes after the loop. */
static const struct step_def *seen_last(const struct list_def *list, const struct step_def *from, struct str name)
{
    const struct step_def *s = list_find_last(list, SIZE_MAX, name);
    while (s && from && sight_from(from, NULL, s) != SIGHT_SEEN)
        s = s->index ? list_find_last(list, s->index - 1, name) : NULL;
    return s ? list_find(s->lists[0], name) : NULL;
}

enum sight scope_step(const struct reader *r, struct str name, const struct step_def **ret)
{
    *ret = NULL;
    if (r->where == WHERE_VARIABLES)
        return SIGHT_BEFORE_ALL;
    if (r->where == WHERE_OUTPUT) {
        *ret = list_find(r->l->w->root, name);
        if (!*ret)
            *ret = seen_last(r->l->w->root, NULL, name);
        return *ret ? SIGHT_SEEN : scope_elsewhere(r, name, ret);
    }
    if (sees_body(r))
        for (size_t i = 0; i < body_slots(r->at) && !*ret; i++)
            *ret = list_find(r->at->lists[i], name);
    if (*ret)
        return SIGHT_SEEN;
    const struct list_def *inside = NULL;
    for (const struct step_def *from = r->at; from; from = inside->owner) {
        *ret = list_find(from->list, name);
        if (*ret) /* the nearest list that has the name decides */
            return sight_from(from, inside, *ret);
        inside = from->list;
    }
    for (const struct step_def *from = r->at; from && !*ret; from = from->list->owner)
        *ret = seen_last(from->list, from, name);
    if (*ret)
        return SIGHT_SEEN;
    return scope_elsewhere(r, name, ret);
}

void scope_nearest_step(const struct reader *r, struct nearest *n)
{
    const struct list_def *root = r->l->w->root;
    if (!load_advice(r->l, r->l->nall))
        return;
    for (size_t i = 0; r->where == WHERE_OUTPUT && i < root->n; i++)
        nearest_try(n, root->steps[i]->name);
    for (size_t i = 0; sees_body(r) && i < body_slots(r->at); i++)
        for (size_t k = 0; r->at->lists[i] && k < r->at->lists[i]->n; k++)
            nearest_try(n, r->at->lists[i]->steps[k]->name);
    const struct list_def *inside = NULL;
    for (const struct step_def *from = r->at; from; from = inside->owner) {
        for (size_t i = 0; i < from->list->n; i++)
            if (sight_from(from, inside, from->list->steps[i]) == SIGHT_SEEN)
                nearest_try(n, from->list->steps[i]->name);
        inside = from->list;
    }
}

bool scope_loop(const struct reader *r, size_t level, struct str *ret)
{
    if (r->where == WHERE_BODY && r->at->type && r->at->type->loop && level-- == 0) {
        *ret = body_slots(r->at) && r->at->lists[0] ? r->at->lists[0]->iterator : STR("");
        return true;
    }
    for (const struct step_def *from = r->at; from; from = from->list->owner)
        if (is_loop_body(from->list) && level-- == 0) {
            *ret = from->list->iterator;
            return true;
        }
    return false;
}

bool scope_can_leave(const struct reader *r)
{
    for (const struct step_def *from = r->at; from; from = from->list->owner) {
        if (is_loop_body(from->list))
            return !is_each(from->list);
        if (from != r->at && from->type && (from->type->boundary || from->type->task))
            return false;
    }
    return false;
}

bool scope_variable(const struct reader *r, struct str name)
{
    struct str iterator;
    for (size_t level = 0; scope_loop(r, level, &iterator); level++)
        if (iterator.n && str_eq(iterator, name))
            return true;
    for (const struct step_def *from = r->at; from; from = from->list->owner)
        if (from->list->owner && from->list->owner->task_template && (str_is(name, "item") || str_is(name, "task")))
            return true;
    for (const struct step_def *from = r->at; from; from = from->list->owner)
        if (is_each(from->list) && from != r->at && str_is(name, EACH_NAME))
            return true;
    return map_get(&r->l->assigned, name) != NULL;
}

void scope_nearest_variable(const struct reader *r, struct nearest *n)
{
    struct str iterator;
    for (size_t level = 0; scope_loop(r, level, &iterator); level++)
        nearest_try(n, iterator);
    for (const struct step_def *from = r->at; from; from = from->list->owner)
        if (is_each(from->list) && from != r->at)
            nearest_try(n, STR(EACH_NAME));
    if (!load_advice(r->l, r->l->nnames))
        return;
    for (size_t i = 0; i < r->l->nnames; i++)
        nearest_try(n, *r->l->names[i]);
}

bool scope_handler(const struct reader *r)
{
    for (const struct step_def *from = r->at; from; from = from->list->owner)
        if (is_handler(from->list))
            return true;
    return false;
}
