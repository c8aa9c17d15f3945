/* Names, checked before anything runs: a misspelt step is found by `validate`, not an hour into a run.
 *
 * Every path of every template, expression and condition is looked up in the scope that it will be evaluated in. What
 * cannot be known yet (computed keys, fields of what a model answers) passes. A path that asks whether something is
 * there, under `||`, exists or empty, is never an error; a step that no run can have is still worth a warning. Fields
 * are checked where a type promises its result's shape, and only warned about: an author may know better. */
#include "flow/compose.h"
#include "flow/load_int.h"
#include "flow/talk.h"

/* Where a problem with the path at hand is shown. */
struct place {
    uint32_t line, col;
};

static struct place place_of(const struct reader *r, uint32_t line, uint32_t col)
{
    if (!line)
        return (struct place){r->line, r->col};
    places_fix(&r->l->places, &line, &col);
    return (struct place){line, col};
}

#define REPORT(r, warning, p, ...) problem_add((r)->l->ps, (warning), (p).line, (p).col, __VA_ARGS__)

/* ---- steps and their fields ---- */

/* Fields that every result may have, and accepted spellings. */
static const char common_fields[] = "|success|skipped|reason|error|error_message|result|results|text|data|cost|"
                                    "degraded_mode|content|response|streaming_enabled|";

static bool in_list(const char *bars, struct str name)
{
    return str_has_word(str_c(bars), '|', name);
}

/* Steps inside are fields too, where the result has them by name: of a while_loop, a switch; branches of a parallel. */
static bool is_inside(const struct step_def *s, struct str name)
{
    size_t slot = 0;
    for (const struct step_key *k = s->type->keys; s->lists && k->name; k++)
        if (k->kind == KEY_STEPS && !k->alias_of && list_find(s->lists[slot++], name))
            return true;
    for (size_t i = 0; i < s->nbranches; i++)
        if (str_eq(s->branches[i].name, name) || list_find(s->branches[i].list, name))
            return true;
    return s->handler && (str_is(name, "handled") || list_find(s->handler, name));
}

static void check_field(const struct reader *r, const struct step_def *s, struct str field, struct place p)
{
    const struct step_type *t = s->type;
    if (!t || !t->result_doc || t->provider || s->output_schema || in_list(t->result_doc, STR("text")) ||
        in_list(t->result_doc, field) || in_list(common_fields, field) || in_list(t->result_doc, STR("*")) ||
        (s->error_output.n && str_eq(s->error_output, field)) || is_inside(s, field) ||
        val_get(VAL_GET(s->source, "variables"), field))
        return;
    struct nearest near = {.want = field};
    nearest_try_words(&near, t->result_doc);
    REPORT(r, true, p, "the result of step `%s` (%s) has no field `%s`; %s", clip(s->name).z, t->name, clip(field).z,
           load_hint(r->l, &near, nearest_expected(r->l->ps->a, t->result_doc)));
}

static void unknown_step(const struct reader *r, struct str name, bool warning, struct place p)
{
    struct nearest near = {.want = name};
    const struct step_def *s;
    const char *hyphen = name.n ? memchr(name.p, '-', name.n) : NULL;
    struct str minuend = str_n(name.p, hyphen ? (size_t)(hyphen - name.p) : 0);
    if (hyphen && scope_step(r, minuend, &s) == SIGHT_SEEN) { /* steps.a-1 */
        REPORT(r, warning, p, "unknown step `%s`; to subtract from steps.%s write blanks around `-`", clip(name).z,
               clip(minuend).z);
        return;
    }
    scope_nearest_step(r, &near);
    bool search = !near.name.n && load_advice(r->l, r->l->nall);
    for (size_t i = 0; search && i < r->l->nall; i++) { /* steps.v1.2 is a field of steps.v1 */
        struct str full = r->l->all[i]->name;
        if (str_starts(full, name) && full.n > name.n && full.p[name.n] == '.') {
            REPORT(r, warning, p, "unknown step `%s`; a name with `.` is written steps[\"%s\"]", clip(name).z,
                   clip(full).z);
            return;
        }
    }
    REPORT(r, warning, p, "unknown step `%s`; %s", clip(name).z,
           load_hint(r->l, &near, "expected the name of a step that ends before this point"));
}

/* How the result of a step that stands inside another can be read from here. */
static const char *from_outside(const struct reader *r, const struct step_def *s)
{
    const struct step_def *owner = s->list->owner, *seen;
    if (!owner)
        return "a step of this list";
    struct clip outer = clip(owner->name), name = clip(s->name);
    bool named = load_plain_name(owner->name) && owner->type && (owner->handler == s->list || !owner->type->boundary);
    if (!named || scope_step(r, owner->name, &seen) != SIGHT_SEEN || seen != owner)
        return arena_printf(r->l->ps->a, "the results of steps[\"%s\"]", outer.z).p;
    if (owner->handler != s->list && owner->type->loop && !owner->type->keeps_last)
        return arena_printf(r->l->ps->a, "steps.%s.iterations[*].results.%s", outer.z, name.z).p;
    for (size_t i = 0; i < owner->nbranches; i++)
        if (owner->branches[i].list == s->list && !str_eq(owner->branches[i].name, s->name))
            return arena_printf(r->l->ps->a, "steps.%s.%s.%s", outer.z, clip(owner->branches[i].name).z, name.z).p;
    return arena_printf(r->l->ps->a, "steps.%s.%s", outer.z, name.z).p;
}

static void unseen_step(const struct reader *r, struct str name, enum sight sight, const struct step_def *s, bool soft,
                        struct place p)
{
    struct clip n = clip(name);
    const struct step_def *owner = s ? s->list->owner : NULL;
    switch (sight) {
    case SIGHT_SELF:
        if (r->at == s)
            REPORT(r, soft, p, "step `%s` reads its own result, which does not exist yet; expected another step", n.z);
        else
            REPORT(r, soft, p,
                   "step `%s` has not ended inside itself; expected a step before it, or one of the same list%s", n.z,
                   scope_handler(r) ? " (what went wrong is in `error`)" : "");
        break;
    case SIGHT_LATER:
        REPORT(r, soft, p,
               "step `%s` has not run yet at this point; expected a step before it (`%s` stands in line %u)", n.z, n.z,
               PLACE_LINE(s->line));
        break;
    case SIGHT_NO_EDGE:
        REPORT(r, soft, p, "step `%s` may not have run yet at this point; expected it in `depends_on`", n.z);
        break;
    case SIGHT_BEFORE_ALL:
        REPORT(r, soft, p, "`variables` are evaluated before any step has run; expected only inputs and env here");
        break;
    case SIGHT_ELSEWHERE:
        REPORT(r, soft, p, "step `%s` (line %u) stands inside step `%s` and is seen only there; expected %s", n.z,
               PLACE_LINE(s->line), owner ? clip(owner->name).z : "", from_outside(r, s));
        break;
    case SIGHT_SEEN:
    case SIGHT_UNKNOWN:
        unknown_step(r, name, soft, p);
        break;
    }
}

static void check_step(const struct reader *r, struct str name, struct str field, bool soft, struct place p)
{
    const struct step_def *s;
    enum sight sight = scope_step(r, name, &s);
    if (sight == SIGHT_UNKNOWN && late_matches(r->l, name))
        return;
    if (sight == SIGHT_SEEN && str_is(field, "inputs"))
        ((struct step_def *)s)->inputs_read = true; /* made by this load, not published yet */
    if (sight != SIGHT_SEEN)
        unseen_step(r, name, sight, s, soft, p);
    else if (field.n && !soft)
        check_field(r, s, field, p);
}

/* ---- the other names ---- */

static struct str seg_name(const struct expr_path *path, size_t i)
{
    return i < path->n && !path->seg[i].index ? path->seg[i].name : STR("");
}

/* Without declarations any may be given; what is sure to be read must be. */
static void want(const struct reader *r, enum wanted_kind kind, struct str name, struct place p)
{
    if (name.n && !r->cond && !wanted_guarded(r, kind, name))
        load_wanted(r->l, (struct wanted_input){kind, name, p.line, p.col});
}

static void check_input(const struct reader *r, struct str name, struct place p)
{
    const struct workflow *w = r->l->w;
    struct nearest near = {.want = name};
    for (size_t i = 0; i < w->ninputs; i++) {
        if (str_eq(w->inputs[i].name, name))
            return;
        nearest_try(&near, w->inputs[i].name);
    }
    if (w->ninputs)
        REPORT(r, false, p, "unknown input `%s`; %s", clip(name).z,
               load_hint(r->l, &near, "expected a name declared in `inputs`"));
    else
        want(r, WANTED_INPUT, name, p);
}

/* A misspelt name is an error; one that is like none may be set by a caller, which shares its `global_vars` with a
 * workflow that it calls, and in a condition it may be asked whether it was set at all. */
static void check_variable(const struct reader *r, struct str head, struct str name, struct place p)
{
    if (scope_variable(r, name))
        return;
    struct nearest near = {.want = name};
    scope_nearest_variable(r, &near);
    bool inherited = !str_is(head, "state") && !near.name.n;
    if (inherited)
        want(r, WANTED_VARIABLE, name, p);
    if (inherited || (r->cond && !near.name.n)) {
        REPORT(r, true, p, "the variable `%s` is set nowhere in this workflow; expected it in `variables`%s",
               clip(name).z, inherited ? ", or in those of a workflow that calls this one" : "");
        return;
    }
    REPORT(r, false, p, "unknown variable `%s`; %s", clip(name).z,
           load_hint(r->l, &near, "expected a name from `variables`, or one that a set_variable step sets"));
}

static void check_env(const struct reader *r, struct str name, struct place p)
{
    const struct workflow *w = r->l->w;
    for (size_t i = 0; i < w->nenv; i++)
        if (str_eq(w->env[i], name))
            return;
    for (size_t i = 0; i < w->nsecrets; i++)
        if (str_eq(w->secrets[i], name)) {
            REPORT(r, false, p,
                   "`%s` is a secret, which templates cannot read; expected a command that lists it in its `secrets`",
                   clip(name).z);
            return;
        }
    REPORT(r, false, p, "env.%s is not allowed by the workflow; expected `%s` in its list `env`", clip(name).z,
           clip(name).z);
}

static void check_loop(const struct reader *r, const struct expr_path *path, struct place p)
{
    static const char fields[] = "item|index|first|last|total|length|is_first|is_last";
    size_t level = 0, i = 1;
    struct str iterator, name;
    while (str_is(seg_name(path, i), "parent"))
        level++, i++;
    if (!scope_loop(r, level, &iterator)) {
        if (level == 0)
            REPORT(r, false, p,
                   "`loop` is known only inside loops; expected a step in the body of a for_loop or while_loop");
        else
            REPORT(r, false, p, "there are not so many loops around this point; expected at most %zu times `parent`",
                   level - 1);
        return;
    }
    name = seg_name(path, i);
    if (i >= path->n || !name.n || in_list(fields, name) || (iterator.n && str_eq(iterator, name)))
        return;
    struct nearest near = {.want = name};
    for (size_t out = level + 1; scope_loop(r, out, &iterator); out++)
        if (str_eq(iterator, name)) {
            REPORT(r, false, p, "`%s` is the iterator of a loop further out; expected loop.%s%s", clip(name).z,
                   out - level > 1 ? "parent.parent…" : "parent.", out - level > 1 ? "" : clip(name).z);
            return;
        }
    (void)scope_loop(r, level, &iterator);
    nearest_try(&near, iterator);
    nearest_try_words(&near, "item|index|first|last|total|parent");
    if (near.name.n)
        REPORT(r, false, p, "unknown name `loop.%s`; did you mean `loop.%s`?", clip(name).z, clip(near.name).z);
    else
        REPORT(r, false, p, "unknown name `loop.%s`; expected item, index, first, last, total, parent or the iterator",
               clip(name).z);
}

static const char *const roots[] = {"inputs",    "steps", "state", "loop",  "global_vars",
                                    "variables", "env",   "error", "file:", "previous_response"};

static bool is_root(struct str name)
{
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (str_is(name, roots[i]))
            return true;
    return root_known(name);
}

/* ---- environment variables by their bare names ---- */

static bool upper_case(struct str s)
{
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        letter |= s.p[i] >= 'A' && s.p[i] <= 'Z';
        if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '_')
            return false;
    }
    return letter && s.n > 1 && s.n <= LOAD_NAME_MAX;
}

/* `TEST_MODE`, as older workflows read the environment. */
static bool check_bare_env(const struct reader *r, struct str name, struct place p)
{
    struct loader *l = r->l;
    if (!upper_case(name))
        return false;
    if (workflow_env_listed(l->w, name))
        return true;
    for (size_t i = 0; i < l->nfound_env; i++)
        if (str_eq(l->found_env[i], name))
            return true;
    if (env_looks_secret(name)) {
        REPORT(r, false, p,
               "`%s` looks like a credential, which templates do not read by chance; expected it in the workflow's "
               "list `env`, if it is none",
               clip(name).z);
        return true;
    }
    if (l->nfound_env >= LOAD_NAMES_MAX)
        return false;
    load_found_env(l, name);
    REPORT(r, true, p,
           "`%s` is read from the environment, an older form; expected it in the list `env`, and read as env.%s",
           clip(name).z, clip(name).z);
    return true;
}

/* A name that is no root: a variable, an iterator, or, in older workflows, a step. */
static void check_bare(const struct reader *r, const struct expr_path *path, bool soft, struct place p)
{
    struct str name = path->seg[0].name;
    const struct step_def *s;
    if (scope_variable(r, name))
        return;
    enum sight sight = scope_step(r, name, &s);
    if (soft && (sight == SIGHT_UNKNOWN || sight == SIGHT_BEFORE_ALL) && upper_case(name) && !env_looks_secret(name))
        load_found_env(r->l, name); /* {{ MODE || "test" }}: asked for, so it must be there to be read */
    if (sight == SIGHT_SEEN || soft)
        return;
    if (sight != SIGHT_UNKNOWN && sight != SIGHT_BEFORE_ALL) {
        unseen_step(r, name, sight, s, false, p);
        return;
    }
    for (size_t i = 0; r->at && i < r->at->nvariables; i++)
        if (str_eq(r->at->variables[i].name, name))
            return;
    for (size_t i = 0; i < r->l->w->ninputs; i++)
        if (str_eq(r->l->w->inputs[i].name, name)) {
            if (!r->l->bare_inputs && !map_put(&r->l->noticed, name, r->l))
                REPORT(r, true, p, "the input `%s` is read by its bare name, an older form; expected inputs.%s",
                       clip(name).z, clip(name).z);
            return;
        }
    if (check_bare_env(r, name, p))
        return;
    const char *constant = expr_foreign_name(name);
    if (constant) {
        REPORT(r, false, p, "unknown name `%s`; write %s", clip(name).z, constant);
        return;
    }
    if (str_is(name, "item") || str_is(name, "task")) {
        REPORT(r, false, p, "unknown name `%s` outside of a task_template; expected it in one, or loop.item in a loop",
               clip(name).z);
        return;
    }
    struct nearest near = {.want = name}, input = {.want = name};
    for (size_t i = 0; i < r->l->w->ninputs; i++)
        nearest_try(&input, r->l->w->inputs[i].name);
    scope_nearest_variable(r, &near);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        nearest_try(&near, str_c(roots[i]));
    root_nearest(&near);
    if (input.name.n && (!near.name.n || input.distance < near.distance)) {
        REPORT(r, false, p, "unknown name `%s`; did you mean `inputs.%s`?", clip(name).z, clip(input.name).z);
        return;
    }
    bool variable = near.name.n != 0;
    bool no_value = variable && path->n == 1 && root_needs_field(near.name); /* `inputs` for `input`: no value either */
    if (no_value)
        near = (struct nearest){.want = name};
    scope_nearest_step(r, &near);
    if (!near.name.n && !r->cond && r->l->bare_inputs && path->n == 1) { /* {{ file }}, given as --input file=… */
        load_wanted(r->l, (struct wanted_input){WANTED_BARE, name, p.line, p.col});
        REPORT(r, true, p,
               "`%s` is looked for among the inputs of the run; expected it declared, and read as inputs.%s",
               clip(name).z, clip(name).z);
        return;
    }
    REPORT(r, false, p, "unknown name `%s`; %s", clip(name).z,
           load_hint(r->l, &near,
                     variable ? "" : "expected a variable, or inputs.…, steps.…, loop.…; put text in quotes"));
}

bool check_unheard(const struct reader *r, struct str name)
{
    const struct step_def *s;
    struct nearest near = {.want = name};
    if (r->l->inherits || is_root(name) || scope_variable(r, name) || scope_step(r, name, &s) != SIGHT_UNKNOWN ||
        upper_case(name) || late_matches(r->l, name))
        return false;
    for (size_t i = 0; i < r->l->w->ninputs; i++)
        nearest_try(&near, r->l->w->inputs[i].name);
    for (size_t i = 0; r->at && i < r->at->nvariables; i++)
        nearest_try(&near, r->at->variables[i].name);
    scope_nearest_variable(r, &near);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        nearest_try(&near, str_c(roots[i]));
    root_nearest(&near);
    scope_nearest_step(r, &near);
    return !near.name.n;
}

/* What the author gave such a name himself wins: a step called `context`, an input called `date`. */
static bool check_root_applies(const struct reader *r, struct str head)
{
    const struct step_def *s;
    if (str_is(head, "workflow") || str_is(head, "run") || str_is(head, "timestamp"))
        return true;
    for (size_t i = 0; i < r->l->w->ninputs; i++)
        if (str_eq(r->l->w->inputs[i].name, head))
            return false;
    return scope_step(r, head, &s) != SIGHT_SEEN;
}

/* Is the path about something of this workflow? If not, its caller may know it. */
static bool known_here(const struct reader *r, const struct expr_path *path)
{
    struct str head = path->seg[0].name, name = seg_name(path, 1), iterator;
    const struct step_def *s;
    if (str_is(head, "steps") || str_is(head, "previous_response:"))
        return !name.n || scope_step(r, name, &s) != SIGHT_UNKNOWN;
    if (str_is(head, "loop"))
        return scope_loop(r, 0, &iterator);
    if (str_is(head, "state") || str_is(head, "global_vars") || str_is(head, "variables"))
        return !name.n || scope_variable(r, name);
    if (str_is(head, "inputs"))
        return r->l->w->ninputs > 0;
    if (is_root(head))
        return true;
    for (size_t i = 0; i < r->l->w->ninputs; i++)
        if (str_eq(r->l->w->inputs[i].name, head))
            return true;
    return scope_variable(r, head) || scope_step(r, head, &s) != SIGHT_UNKNOWN;
}

static enum rc check_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    const struct reader *r = ctx;
    struct str head = path->seg[0].name, name = seg_name(path, 1);
    struct place p = place_of(r, path->line, path->col);
    struct val key;
    (void)err;
    if ((r->l->inherits & INHERITS_NAMES) && !str_is(head, "file:") && !known_here(r, path)) {
        if (str_is(head, "inputs") && !soft)
            want(r, WANTED_INPUT, name, p);
        return RC_OK;
    }
    if (!str_is(head, "file:") &&
        problems_full(r->l->ps, soft)) /* finding the nearest name is work; nobody would see it */
        return RC_OK;
    if (str_is(head, "file:")) { /* {{file:PATH}} */
        if (!r->at || r->cond) {
            REPORT(r, false, p, "`{{file:…}}` can only stand in the keys of a step; expected it there");
            return RC_OK;
        }
        ((struct step_def *)r->at)->reads_files = true; /* made by this load, not published yet */
        if (name.n)
            load_file_ref(r->l, r->at, name, p.line, p.col);
    } else if (str_is(head, "previous_response:")) { /* an older spelling of steps.NAME */
        if (!scope_variable(r, name))
            check_step(r, name, STR(""), soft, p);
    } else if (str_is(head, "steps")) {
        if (name.n)
            check_step(r, name, seg_name(path, 2), soft, p);
        else if (path->n > 1 && path->seg[1].index && expr_constant(path->seg[1].index, r->l->ps->a, &key) &&
                 key.type != VAL_STR)
            REPORT(r, soft, p, "steps are read by their names; expected steps.NAME, or steps[name]");
        else if (path->n < 2 && r->where == WHERE_VARIABLES)
            unseen_step(r, name, SIGHT_BEFORE_ALL, NULL, soft, p);
    } else if (str_is(head, "loop")) {
        if (!soft)
            check_loop(r, path, p);
    } else if (str_is(head, "error")) {
        if (!soft && !scope_handler(r) && !scope_variable(r, head))
            REPORT(r, false, p, "`error` is known only in the steps of an `on_error`; expected steps.NAME.error");
    } else if (is_root(head) && (soft || (!name.n && !root_known(head)))) {
        return RC_OK;
    } else if (str_is(head, "workflow") && str_is(name, "variables")) {
        if (seg_name(path, 2).n)
            check_variable(r, STR("variables"), seg_name(path, 2), p);
    } else if (root_known(head) && !scope_variable(r, head) && check_root_applies(r, head)) {
        (void)check_root(r, path, p.line, p.col);
    } else if (str_is(head, "inputs")) {
        check_input(r, name, p);
    } else if (str_is(head, "env")) {
        check_env(r, name, p);
    } else if (str_is(head, "state") || str_is(head, "global_vars") || str_is(head, "variables")) {
        check_variable(r, head, name, p);
    } else if (!str_is(head, "previous_response")) {
        check_bare(r, path, soft, p);
    }
    return RC_OK;
}

/* ---- the places ---- */

static void check_cond(struct reader r, const struct cond *c)
{
    struct err err;
    r.cond = true;
    if (c)
        (void)!cond_each_path(c, check_path, &r, &err); /* check_path never fails */
}

static void check_tree(struct reader r, const struct tmpl_tree *t)
{
    struct err err;
    if (t)
        (void)!tmpl_tree_each_path(t, check_path, &r, &err);
}

static void secret_named(struct loader *l, const struct step_def *s, const struct val *v)
{
    struct nearest near = {.want = v->s};
    if (v->type != VAL_STR || str_find(v->s, STR("{{")) != SIZE_MAX)
        return;
    for (size_t i = 0; i < l->w->nsecrets; i++) {
        if (str_eq(l->w->secrets[i], v->s))
            return;
        nearest_try(&near, l->w->secrets[i]);
    }
    problem_add(l->ps, false, v->line, v->col,
                "step `%s` asks for the secret `%s`, which the workflow does not list; %s", clip(s->name).z,
                clip(v->s).z, load_hint(l, &near, "expected its name in the workflow's `secrets`"));
}

/* A step gets what the top of the file declares, nothing else of the environment. */
static void check_secrets(struct loader *l, const struct step_def *s)
{
    const struct val *v = s->type ? VAL_GET(s->source, "secrets") : NULL;
    if (val_is(v, VAL_STR))
        secret_named(l, s, v);
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        secret_named(l, s, &v->arr.v[i]);
}

static void check_step_def(struct loader *l, const struct step_def *s)
{
    struct reader r = {l, s, WHERE_STEP, s->line, s->col, false};
    check_cond(r, s->condition);
    check_tree(r, s->config);
    struct err late;
    if (s->late_type)
        (void)!tmpl_each_path(s->late_type, check_path, &r, &late);
    if (s->late_name)
        (void)!tmpl_each_path(s->late_name, check_path, &r, &late);
    for (size_t i = 0; i < s->nvariables; i++)
        check_tree(r, s->variables[i].value);
    for (size_t i = 0; s->cache && i < s->cache->nconditions; i++)
        check_cond(r, s->cache->conditions[i]);
    check_tree(r, s->cache ? s->cache->values : NULL);
    for (size_t i = 0; i < s->nexpected; i++)
        check_tree(r, s->expected[i].value);
    struct err err;
    if (s->output_to_file)
        (void)!tmpl_each_path(s->output_to_file, check_path, &r, &err);
    if (s->type && s->type->leaves && !scope_can_leave(&r))
        problem_add(
            l->ps, false, s->line, s->col,
            "`%s` stands in no loop; expected it inside the steps of a for_loop or while_loop, or a `condition` "
            "on the steps to leave out",
            s->type->name);
    if (!s->type || !s->conds)
        return;
    size_t slot = 0;
    for (const struct step_key *k = s->type->keys; k->name; k++) {
        if (k->kind != KEY_COND || k->alias_of)
            continue;
        struct reader own = r;
        if (s->type->loop)
            own.where = strcmp(k->name, "condition") == 0 ? WHERE_REPEAT : WHERE_BODY;
        check_cond(own, s->conds[slot++]);
    }
}

/* In operations on data; `local`: it may be a field of an item. */
static enum rc check_local(void *ctx, const struct expr_path *path, bool local, struct err *err)
{
    struct str head = path->seg[0].name;
    bool somebodys = path->n > 1 && is_root(head) && !str_is(head, "error");
    return local && !somebodys ? RC_OK : check_path(ctx, path, false, err);
}

/* Steps whose type is a template may come to speak in a session. */
static void check_talk(const struct reader *r, struct place p)
{
    if (!step_talk_before(r->at, NULL) && !step_talk_around(r->at) && !(r->l->inherits & INHERITS_NAMES) &&
        !r->l->nlate)
        REPORT(r, false, p,
               "no step before this one speaks in a session; expected a claude_session step before it, or session_id");
}

void check_names(struct loader *l)
{
    struct err err;
    for (size_t i = 0; i < l->nlater; i++)
        if (l->later[i].kind == LATER_EXAMPLE)
            load_examples_settle(l, (struct step_def *)l->later[i].step, l->later[i].config);
    for (size_t i = 0; i < l->nall; i++) {
        check_step_def(l, l->all[i]);
        check_secrets(l, l->all[i]);
    }
    for (size_t i = 0; i < l->nlater; i++) {
        const struct later *x = &l->later[i];
        struct reader r = {l, x->step, WHERE_STEP, x->step->line, x->step->col, false};
        if (x->kind == LATER_COND)
            check_cond(r, x->cond);
        else if (x->kind == LATER_TALK)
            check_talk(&r, (struct place){x->line, x->col});
        else if (x->kind == LATER_TRANSFORM)
            (void)!transform_each_path(x->transform, check_local, &r, &err);
        else if (x->kind == LATER_VARIABLE && !(l->inherits & INHERITS_NAMES))
            check_variable(&r, STR("global_vars"), x->name, (struct place){x->line, x->col});
        else if (x->kind == LATER_STEP && !scope_variable(&r, x->name))
            check_step(&r, x->name, x->field, false, (struct place){x->line, x->col});
    }
    check_tree((struct reader){l, NULL, WHERE_VARIABLES, 1, 1, false}, l->w->variables);
    check_tree((struct reader){l, NULL, WHERE_OUTPUT, 1, 1, false}, l->w->output);
}
