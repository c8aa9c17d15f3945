/* References between siblings: depends_on and on_error: {goto: …}.
 *
 * One walk in depth first order finds cycles (reported as the chain that an author can follow) and, on the way back,
 * the set of all steps that each step depends on; with it the check of names answers in one look. The walk has its own
 * stack: a list may be thousands of steps long. */
#include "flow/load_int.h"

static size_t row_words(const struct list_def *list)
{
    return (list->n + 63) / 64;
}

static bool bit(const uint64_t *row, size_t i)
{
    return row[i / 64] >> (i % 64) & 1;
}

bool list_depends(const struct list_def *list, size_t a, size_t b)
{
    return list->reach && bit(list->reach + a * row_words(list), b);
}

static const struct step_def *sibling(struct loader *l, const struct list_def *list, const struct val *v,
                                      const char *key)
{
    if (v->type != VAL_STR) {
        BAD(l, v, "`%s` is %s; expected the name of a step of this list", key, load_found(v));
        return NULL;
    }
    const struct step_def *s = list_find(list, v->s);
    if (s)
        return s;
    struct nearest near = {.want = v->s};
    for (size_t i = 0; i < list->n && load_advice(l, 1); i++)
        nearest_try(&near, list->steps[i]->name);
    BAD(l, v, "`%s` names `%s`, which is no step of this list; %s", key, clip(v->s).z,
        load_hint(l, &near, "expected the name of a sibling"));
    return NULL;
}

/* False: some of what it names is not known. */
static bool depends_on(struct loader *l, struct list_def *list, struct step_def *s, const struct val *v, uint64_t *row)
{
    if (v->type != VAL_ARRAY && v->type != VAL_STR) {
        BAD(l, v, "`depends_on` is %s; expected the name of a step, or a list of names", load_found(v));
        return false;
    }
    size_t count = v->type == VAL_STR ? 1 : v->arr.n;
    bool known = true;
    size_t *deps = arena_calloc(l->a, (count < list->n ? count : list->n) + 1, sizeof *deps);
    for (size_t i = 0; i < count; i++) {
        const struct val *item = v->type == VAL_STR ? v : &v->arr.v[i];
        const struct step_def *d = sibling(l, list, item, "depends_on");
        if (d == s)
            BAD(l, item, "step `%s` depends on itself; expected the names of other steps", clip(s->name).z);
        known &= d != NULL;
        if (!d || d == s || bit(row, d->index))
            continue;
        row[d->index / 64] |= 1ull << (d->index % 64);
        deps[s->ndepends++] = d->index;
    }
    s->depends_on = deps;
    return known;
}

/* ---- the walk ---- */

struct visit {
    size_t step, next; /* next: position in its depends_on */
};
struct walk {
    struct loader *l;
    const struct list_def *list;
    uint64_t *reach;
    const struct common *common;
    uint8_t *state; /* 0 new, 1 on the stack, 2 done */
    struct visit *stack;
    size_t depth;
};

static void report_cycle(struct walk *w, size_t again)
{
    struct loader *l = w->l;
    size_t from = 0;
    while (w->stack[from].step != again)
        from++;
    struct str chain = STR("");
    for (size_t i = from; i < w->depth && chain.n < 400; i++)
        chain = arena_printf(l->ps->a, "%.*s%s -> ", STR_ARG(chain), clip(w->list->steps[w->stack[i].step]->name).z);
    const struct step_def *s = w->list->steps[w->stack[w->depth - 1].step];
    BAD(l, &w->common[s->index].depends_on->val,
        "steps depend on one another in a circle: %.*s%s; expected one of them not to", STR_ARG(chain),
        clip(w->list->steps[again]->name).z);
}

static void walk_from(struct walk *w, size_t start)
{
    size_t words = row_words(w->list);
    w->depth = 1;
    w->stack[0] = (struct visit){start, 0};
    w->state[start] = 1;
    while (w->depth) {
        struct visit *top = &w->stack[w->depth - 1];
        const struct step_def *s = w->list->steps[top->step];
        if (top->next < s->ndepends) {
            size_t d = s->depends_on[top->next++];
            if (w->state[d] == 1)
                report_cycle(w, d);
            if (w->state[d] != 0)
                continue;
            w->state[d] = 1;
            w->stack[w->depth++] = (struct visit){d, 0};
            continue;
        }
        uint64_t *row = w->reach + top->step * words;
        for (size_t i = 0; i < s->ndepends; i++)
            for (size_t k = 0; k < words; k++)
                row[k] |= w->reach[s->depends_on[i] * words + k];
        w->state[top->step] = 2;
        w->depth--;
    }
}

static void resolve_goto(struct loader *l, struct list_def *list, struct step_def *s, const struct member *m)
{
    const struct step_def *to = sibling(l, list, &m->val, "goto");
    if (!to)
        return;
    if (list->graph)
        BAD(l, &m->val, "`goto` in a list with depends_on has no meaning; expected {steps: [...]} or continue");
    else if (to->index <= s->index)
        BAD(l, &m->val, "`goto` leads %s; expected a step that comes later in the list",
            to == s ? "to the step itself" : "backwards");
    s->goto_index = to->index;
}

void load_graph(struct loader *l, struct list_def *list, const struct common *common)
{
    for (size_t i = 0; i < list->n; i++)
        list->graph |= common[i].depends_on != NULL;
    struct step_def **steps = (struct step_def **)list->steps; /* made by load_list, not published yet */
    for (size_t i = 0; i < list->n; i++)
        if (common[i].goto_step)
            resolve_goto(l, list, steps[i], common[i].goto_step);
    if (!list->graph)
        return;
    if (list->n > LOAD_GRAPH_MAX) { /* what reaches what takes a bit a pair */
        BAD(l, steps[0]->source, "a list of %zu steps with `depends_on`; expected at most %d", list->n, LOAD_GRAPH_MAX);
        list->graph = false;
        return;
    }
    struct arena scratch = {0};
    struct walk w = {.l = l, .list = list, .common = common};
    w.reach = arena_calloc(l->a, list->n * row_words(list), sizeof *w.reach);
    w.state = arena_calloc(&scratch, list->n, sizeof *w.state);
    w.stack = arena_calloc(&scratch, list->n, sizeof *w.stack);
    list->reach = w.reach;
    bool known = true;
    for (size_t i = 0; i < list->n; i++)
        if (common[i].depends_on)
            known &= depends_on(l, list, steps[i], &common[i].depends_on->val, w.reach + i * row_words(list));
    for (size_t i = 0; i < list->n; i++)
        if (w.state[i] == 0)
            walk_from(&w, i);
    if (!known) /* what order was meant is anybody's guess: nothing more is said about it */
        memset(w.reach, 0xff, list->n * row_words(list) * sizeof *w.reach);
    arena_done(&scratch);
}
