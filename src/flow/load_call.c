/* Workflows that a step calls: written inside it, or in files with names that are known before a run.
 *
 * A workflow inside a file is loaded as one of its own, from the same text, so its places are those of the file. A file
 * is read through the loader's reader; without one it stays unknown until the run. Each is loaded once, however many
 * steps call it. A file that calls itself is a loop that the run bounds; a circle over several files is refused, and
 * shown, because no one file of it can be understood alone. */
#include "base/panic.h"
#include "flow/load_int.h"

#include <stdlib.h>

static void load_child_add(struct loader *l, struct workflow *child)
{
    struct workflow *w = l->w;
    if (w->nchildren == l->children_cap) {
        size_t cap = l->children_cap ? 2 * l->children_cap : 8;
        struct workflow **v = arena_calloc(l->a, cap, sizeof *v);
        if (w->nchildren)
            memcpy(v, w->children, w->nchildren * sizeof *v);
        w->children = v;
        l->children_cap = cap;
    }
    w->children[w->nchildren++] = child;
}

/* ---- what the step says ---- */

static const struct val *given(const struct step_def *s, const char *key)
{
    return val_get(s->source, str_c(key));
}

static bool is_constant(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) == SIZE_MAX;
}

/* Written as a template it may be either; then names are not held against it. */
static bool may_be(const struct val *v)
{
    return v && !(v->type == VAL_BOOL && !v->b);
}

unsigned call_inherits(const struct val *config)
{
    const struct val *chosen = VAL_GET(config, "inheritance"), *functions = VAL_GET(chosen, "functions");
    bool names = may_be(VAL_GET(config, "inherit_context")) || VAL_GET(chosen, "global_vars");
    bool called = may_be(VAL_GET(config, "inherit_functions")) || may_be(VAL_GET(functions, "inherit"));
    return (names ? INHERITS_NAMES : 0) | (called ? INHERITS_FUNCTIONS : 0);
}

static unsigned inherits(const struct step_def *s)
{
    return call_inherits(given(s, "config"));
}

/* Are its caller's inputs its own where none are given? */
static bool takes_inputs(const struct step_def *s)
{
    return may_be(VAL_GET(given(s, "config"), "inherit_context"));
}

/* Exactly one of the three. */
static bool one_source(struct loader *l, const struct step_def *s)
{
    static const char *const sources[] = {"pipeline", "pipeline_file", "pipeline_ref"};
    const struct member *first = NULL;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const struct member *m = val_member(s->source, str_c(sources[i]));
        if (m && first) {
            problem_add(l->ps, false, m->line, m->col, "`%s` and `%s` both say what is called; expected one of them",
                        clip(first->key).z, clip(m->key).z);
            return false;
        }
        first = m ? m : first;
    }
    if (!first)
        BAD(l, s->source,
            "step `%s` (pipeline) does not say what it calls; expected `pipeline_file`, `pipeline` (steps written "
            "here) "
            "or `pipeline_ref`",
            clip(s->name).z);
    return first != NULL;
}

/* ---- outputs and inputs ---- */

static void outputs(struct loader *l, const struct step_def *s)
{
    const struct val *v = given(s, "outputs");
    static const char expected[] = "expected names of its steps, or {path: step.field, as: name}";
    if (!v || v->type == VAL_OBJECT || is_constant(v))
        return;
    if (v->type != VAL_ARRAY) {
        BAD(l, v, "`outputs` is %s; %s", load_found(v), expected);
        return;
    }
    for (size_t i = 0; i < v->arr.n; i++) {
        const struct val *one = &v->arr.v[i];
        if (one->type == VAL_STR)
            continue;
        if (one->type != VAL_OBJECT) {
            BAD(l, one, "an output is %s; %s", load_found(one), expected);
            continue;
        }
        if (!val_is(VAL_GET(one, "path"), VAL_STR))
            BAD(l, one, "an output has no `path`; %s", expected);
        for (size_t k = 0; k < one->obj.n; k++)
            if (!str_is(one->obj.m[k].key, "path") && !str_is(one->obj.m[k].key, "as"))
                problem_add(l->ps, false, one->obj.m[k].line, one->obj.m[k].col,
                            "unknown key `%s` of an output; expected path and as", clip(one->obj.m[k].key).z);
    }
}

static bool has_hole(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static void check_given_input(struct loader *l, const struct workflow *w, const struct member *m)
{
    const struct input_def *d = NULL;
    struct nearest near = {.want = m->key};
    for (size_t i = 0; i < w->ninputs && !d; i++) {
        d = str_eq(w->inputs[i].name, m->key) ? &w->inputs[i] : NULL;
        nearest_try(&near, w->inputs[i].name);
    }
    if (!d)
        problem_add(l->ps, false, m->line, m->col, "workflow `%s` has no input `%s`; %s", clip(w->name).z,
                    clip(m->key).z, load_hint(l, &near, "expected one that it declares"));
    else if (!has_hole(&m->val) && !input_type_fits(d->type, &m->val))
        BAD(l, &m->val, "input `%s` of workflow `%s` is %s; expected %s", clip(m->key).z, clip(w->name).z,
            load_found(&m->val), val_type_name(&(struct val){.type = (uint8_t)d->type}));
}

/* Of a workflow that declares nothing: what it reads. Its caller's own inputs are its inputs when it is given none. */
static void check_wanted(struct loader *l, const struct step_def *s, const struct workflow *w, const struct val *v)
{
    const struct val *inherit = VAL_GET(given(s, "config"), "inherit_context");
    struct err err;
    if (!v && takes_inputs(s)) {
        bool surely = val_is(inherit, VAL_BOOL) && !l->w->ninputs;
        for (size_t i = 0; surely && i < w->nwanted; i++)
            if (w->wanted[i].kind == WANTED_INPUT)
                load_wanted(l, (struct wanted_input){WANTED_INPUT, w->wanted[i].name, s->line, s->col});
    } else if (workflow_call_known(w, v, &err) != RC_OK) {
        BAD(l, v ? v : s->source, "workflow `%s`: %s", clip(w->name).z, err.msg);
    }
}

/* What is given, against what is declared; both are known. */
static void inputs(struct loader *l, const struct step_def *s, const struct workflow *w)
{
    const struct val *v = given(s, "inputs");
    if (v && v->type != VAL_OBJECT)
        return;
    check_wanted(l, s, w, v);
    for (size_t i = 0; v && w->ninputs && i < v->obj.n; i++)
        check_given_input(l, w, &v->obj.m[i]);
    for (size_t i = 0; i < w->ninputs; i++) {
        const struct input_def *d = &w->inputs[i];
        if (d->required && !d->fallback && !val_get(v, d->name) && !(takes_inputs(s) && !v))
            BAD(l, v ? v : s->source, "workflow `%s` needs the input `%s`; expected it in `inputs` of step `%s`",
                clip(w->name).z, clip(d->name).z, clip(s->name).z);
    }
}

/* ---- made-up answers ---- */

static void named_step(struct loader *l, const struct workflow *w, struct str name, uint32_t line, uint32_t col)
{
    struct nearest near = {.want = name};
    for (size_t i = 0; i < w->nall; i++) {
        if (str_eq(w->all[i]->name, name) || w->all[i]->late_name)
            return;
        nearest_try(&near, w->all[i]->name);
    }
    if (str_find(name, STR("/")) == SIZE_MAX)
        problem_add(l->ps, false, line, col, "workflow `%s` has no step `%s`; %s", clip(w->name).z, clip(name).z,
                    load_hint(l, &near, "expected one of its steps"));
}

static void collected_steps(struct loader *l, const struct step_def *s, const struct workflow *w)
{
    const struct val *v = VAL_GET(given(s, "config"), "gc_after_steps");
    for (size_t i = 0; val_at(v, i); i++)
        if (is_constant(val_at(v, i)))
            named_step(l, w, val_at(v, i)->s, val_at(v, i)->line, val_at(v, i)->col);
}

static void mocked_steps(struct loader *l, const struct step_def *s, const struct workflow *w)
{
    static const char *const keys[] = {"mock_responses", "mock_delays"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const struct val *v = val_get(given(s, "config"), str_c(keys[k]));
        for (size_t i = 0; val_is(v, VAL_OBJECT) && i < v->obj.n; i++)
            named_step(l, w, v->obj.m[i].key, v->obj.m[i].line, v->obj.m[i].col);
    }
}

/* ---- workflows ---- */

static void take(struct loader *l, struct step_def *s, struct workflow *child)
{
    s->child = child;
    inputs(l, s, child);
    mocked_steps(l, s, child);
    collected_steps(l, s, child);
}

static void load_inside(struct loader *l, struct step_def *s, const struct val *v, unsigned depth)
{
    if (v->type != VAL_OBJECT) {
        BAD(l, v, "`pipeline` is %s; expected a workflow: {name, inputs, steps, output, …}", load_found(v));
        return;
    }
    const struct val *inner = VAL_GET(v, "workflow");
    struct workflow *child = load_inner(l, inner && inner->type == VAL_OBJECT ? inner : v, s->name, inherits(s), depth);
    if (!child)
        return;
    load_child_add(l, child);
    take(l, s, child);
}

static void load_later_call(struct loader *l, const struct call_ref *c)
{
    if (l->ncalls == l->calls_cap) {
        size_t cap = l->calls_cap ? 2 * l->calls_cap : 8;
        struct call_ref *v = arena_calloc(l->a, cap, sizeof *v);
        if (l->ncalls)
            memcpy(v, l->calls, l->ncalls * sizeof *v);
        l->calls = v;
        l->calls_cap = cap;
    }
    l->calls[l->ncalls++] = *c;
}

void load_call(struct loader *l, struct step_def *s, const struct common *c, unsigned depth)
{
    if (!one_source(l, s))
        return;
    const struct val *inside = given(s, "pipeline"), *file = given(s, "pipeline_file"),
                     *stored = given(s, "pipeline_ref");
    load_call_config(l, s, c);
    const uint64_t never = 1ull << RC_OK | 1ull << RC_CANCELLED | 1ull << RC_INTERRUPTED | 1ull << RC_INVALID;
    if (!c->retry_set && s->retry.set && !s->retry.on) /* whatever a workflow fails of */
        s->retry.on = ((1ull << RC_COUNT) - 1) & ~never;
    outputs(l, s);
    if (l->in_run) /* what it calls is read when the step starts (step/pipeline.c) */
        return;
    if (inside)
        load_inside(l, s, inside, depth);
    else if (is_constant(file ? file : stored))
        load_later_call(l, &(struct call_ref){s, file ? file : stored, stored != NULL, inherits(s)});
}

/* ---- files ---- */

/* The chain of files that leads from `to` back to itself. */
static void circle(struct loader *l, const struct val *at, const struct open_file *to)
{
    struct str chain = STR("");
    for (const struct open_file *f = l->open;; f = f->up) {
        chain = arena_printf(l->ps->a, "%.*s%s%.*s", STR_ARG(f->file), chain.n ? " → " : "", STR_ARG(chain));
        if (f == to)
            break;
    }
    BAD(l, at, "workflows call one another in a circle: %.*s → %.*s; expected a call that leads out of it",
        STR_ARG(chain), STR_ARG(to->file));
}

static void load_file(struct loader *l, const struct call_ref *c)
{
    const struct workflow_reader *r = l->reader;
    struct workflow_text text;
    struct err err;
    if (r->read(r->ctx, l->w->dir, c->at->s, c->stored, l->a, &text, &err) != RC_OK) {
        if (c->stored && str_eq(c->at->s, l->w->name)) { /* its own name: it calls itself */
            c->step->child = l->w;
            return;
        }
        bool stands_in = given(c->step, "mock_response") || given(c->step, "mock_error");
        problem_add(l->ps, stands_in, c->at->line, c->at->col, "%s%s", err.msg,
                    stands_in ? "; only a run with --mock does without it" : "");
        return;
    }
    for (const struct open_file *f = l->open; f; f = f->up)
        if (str_eq(f->path, text.path)) {
            if (f == l->open && !l->inside)
                c->step->child = l->w; /* it calls itself: how deep is bounded in the run */
            else if (f == l->open)
                BAD(l, c->at, "a workflow written inside a step calls the file it stands in; expected another file");
            else
                circle(l, c->at, f);
            return;
        }
    unsigned depth = 0;
    for (const struct open_file *f = l->open; f; f = f->up)
        depth++;
    if (depth >= LOAD_FILES_DEPTH_MAX) {
        BAD(l, c->at, "files call one another more than %d deep; expected fewer", LOAD_FILES_DEPTH_MAX);
        return;
    }
    struct workflow *child = load_other(l, &text, c->inherits);
    if (!child) {
        BAD(l, c->at, "the workflow %s has mistakes (shown with it); expected it to be valid", clip(text.file).z);
        return;
    }
    load_child_add(l, child);
    take(l, c->step, child);
}

void load_called_files(struct loader *l)
{
    for (size_t i = 0; l->reader && i < l->ncalls; i++)
        load_file(l, &l->calls[i]);
}
