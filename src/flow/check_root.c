/* Names that the engine gives: workflow.x, step.x, system.x and their like. One table of them serves the check of a
 * field, its nearest name, and what is said when none is near. Their values are flow/scope_names.c's. */
#include "flow/load_int.h"

/* fields: "a|b|c"; `open`: others may come from the workflow's own blocks, which are looked up. */
static const struct root {
    const char *name, *fields;
    bool bare; /* means something without a field */
} roots[] = {
    {"workflow", "name|id|description|workspace|variables", true},
    {"run", "name|id|description|workspace", true},
    {"step", "name|type|attempt|variables|metadata", true},
    {"workspace", "path", true},
    {"system", "total_steps|completed_steps|memory_usage_mb|elapsed_seconds|execution_time_seconds", true},
    {"context", "depth|pipeline_id|parent|execution_chain", true},
    {"timestamp", "", true},
    {"date", "", true},
    {"execution_id", "", true},
    {"session_id", "", true},
    {"current_step", "", true},
    {"config", NULL, true},
    {"environment", NULL, true},
    {"timer", NULL, false},
};

static const struct root *find(struct str name)
{
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (str_is(name, roots[i].name))
            return &roots[i];
    return NULL;
}

void root_nearest(struct nearest *n)
{
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        nearest_try(n, str_c(roots[i].name));
}

bool root_known(struct str name)
{
    return find(name) != NULL;
}

bool root_needs_field(struct str name)
{
    static const char *const others[] = {"inputs", "steps", "state", "loop", "global_vars", "variables", "env"};
    const struct root *root = find(name);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (str_is(name, others[i]))
            return true;
    return root && !root->bare;
}

/* Tries all fields: true when `name` is one. */
static bool one_of(const char *bars, struct nearest *near)
{
    nearest_try_words(near, bars);
    return str_has_word(str_c(bars), '|', near->want);
}

static bool key_of(const struct val *object, struct nearest *near)
{
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < object->obj.n; i++) {
        if (str_eq(object->obj.m[i].key, near->want))
            return true;
        nearest_try(near, object->obj.m[i].key);
    }
    return false;
}

static bool in_blocks(const struct reader *r, const struct root *root, struct nearest *near)
{
    const struct workflow *w = r->l->w;
    const struct val *env = VAL_GET(w->source, "environment"), *mode = VAL_GET(env, "mode");
    if (str_is(near->want, "mode") && strcmp(root->name, "environment") == 0)
        return true;
    if (strcmp(root->name, "environment") == 0)
        return key_of(val_is(mode, VAL_STR) ? val_get(env, mode->s) : NULL, near) || key_of(env, near);
    if (strcmp(root->name, "config") == 0)
        return key_of(VAL_GET(w->source, "config"), near) || key_of(w->defaults, near) || key_of(w->source, near);
    if (strcmp(root->name, "timer") == 0) {
        struct map_entry *e;
        for (size_t i = 0; (e = map_next(&r->l->timers, &i));)
            nearest_try(near, e->key);
        return map_get(&r->l->timers, near->want) != NULL;
    }
    return strcmp(root->name, "workflow") == 0 && key_of(w->source, near);
}

static bool step_variable(const struct reader *r, struct str name, struct nearest *near)
{
    for (size_t i = 0; r->at && i < r->at->nvariables; i++) {
        if (str_eq(r->at->variables[i].name, name))
            return true;
        nearest_try(near, r->at->variables[i].name);
    }
    return false;
}

static const char *expected(const struct reader *r, const struct root *root)
{
    static const char *const blocks[][2] = {
        {"config", "expected a name from `config`, `defaults` or the workflow's keys"},
        {"environment", "expected a name from the workflow's block `environment`"},
        {"timer", "expected the name that some step's `metadata: {timer_start: NAME}` gives"}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (strcmp(root->name, blocks[i][0]) == 0)
            return blocks[i][1];
    return nearest_expected(r->l->ps->a, root->fields);
}

bool check_root(const struct reader *r, const struct expr_path *path, uint32_t line, uint32_t col)
{
    const struct root *root = find(path->seg[0].name);
    struct str name = path->n > 1 && !path->seg[1].index ? path->seg[1].name : STR("");
    if (!root)
        return false;
    if (path->n > 1 && !name.n) /* computed: cannot be known */
        return true;
    if (path->n == 1 && !root->bare) {
        problem_add(r->l->ps, false, line, col, "`%s` alone is no value; %s", root->name, expected(r, root));
        return true;
    }
    struct nearest near = {.want = name};
    if (path->n == 1 || (root->fields && (!root->fields[0] || one_of(root->fields, &near))) ||
        in_blocks(r, root, &near)) {
        struct str inner = path->n > 2 && !path->seg[2].index ? path->seg[2].name : STR("");
        struct nearest variables = {.want = inner};
        if (strcmp(root->name, "step") != 0 || !str_is(name, "variables") || !inner.n ||
            step_variable(r, inner, &variables))
            return true;
        problem_add(r->l->ps, false, line, col, "this step has no variable `%s`; %s", clip(inner).z,
                    load_hint(r->l, &variables, "expected a name from its `variables`"));
        return true;
    }
    const struct step_def *step;
    if (strcmp(root->name, "step") == 0 && scope_step(r, name, &step) == SIGHT_SEEN) {
        problem_add(r->l->ps, false, line, col, "unknown name `step.%s`; did you mean `steps.%s`?", clip(name).z,
                    clip(name).z);
        return true;
    }
    problem_add(r->l->ps, false, line, col, "unknown name `%s.%s`; %s", root->name, clip(name).z,
                load_hint(r->l, &near, expected(r, root)));
    return true;
}
