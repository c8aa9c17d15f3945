/* The tasks of a step that asks a model many things at once: each becomes a step definition of its own.
 *
 * A task is a step without a type (the group's type says which one it is then), named by its id, in a list of its own,
 * so that tasks do not see one another. What the group says for all (options, preset, the beginning of the prompt) is
 * put into each. A list that is known only in the run has one definition for all its items, read with the names `task`
 * and `item`.
 *
 * Accepted: {id, prompt, …}, {ID: {prompt, …}}, {ID: "prompt"}, {file, prompt}, "prompt"; `task_id` and `name` for
 * `id`. */
#include "flow/load_int.h"

enum { SECONDS_BELOW = 1000 }; /* timeout_per_task: what is smaller cannot be meant as milliseconds */

struct tasks {
    struct loader *l;
    struct step_def *group;
    const struct val *config;   /* batch_config, parallel_config; or NULL */
    const struct val *tasks;    /* the list, or a template */
    const struct val *template; /* task_template, or NULL */
    int64_t timeout_ms;         /* of each task; 0: none */
    bool retry;
    struct map seen; /* ids -> a task */
};

static const char *const id_keys[] = {"id", "task_id", "name"};

static bool is_id(struct str key)
{
    for (size_t i = 0; i < sizeof id_keys / sizeof *id_keys; i++)
        if (str_is(key, id_keys[i]))
            return true;
    return false;
}

static const struct member *id_of(const struct val *task)
{
    const struct member *m = NULL;
    for (size_t i = 0; i < sizeof id_keys / sizeof *id_keys && !m; i++)
        m = val_member(task, str_c(id_keys[i]));
    return m;
}

/* ---- prompts ---- */

static struct val part(struct arena *a, const char *type, const char *key, struct val v, const struct val *at)
{
    struct val_map m = val_map_new(a);
    struct val kind = val_str(str_c(type));
    kind.line = v.line = at->line;
    kind.col = v.col = at->col;
    val_map_add(&m, STR("type"), kind, at->line, at->col);
    val_map_add(&m, str_c(key), v, at->line, at->col);
    struct val done = val_map_done(&m);
    done.line = at->line;
    done.col = at->col;
    return done;
}

static void push_prompt(struct arena *a, struct val_list *parts, const struct val *prompt)
{
    if (val_is(prompt, VAL_ARRAY))
        for (size_t i = 0; i < prompt->arr.n; i++)
            val_list_push(parts, prompt->arr.v[i]);
    else if (prompt)
        val_list_push(parts, part(a, "static", "content", *prompt, prompt));
}

/* False: there is none. */
static bool task_prompt(const struct tasks *t, const struct val *task, struct val *ret)
{
    struct arena *a = t->l->a;
    const struct val *first = VAL_GET(t->group->source, "prompt"), *own = VAL_GET(task, "prompt");
    const struct val *file = VAL_GET(task, "file");
    if (!first && !file) {
        *ret = own ? *own : val_null;
        return own;
    }
    struct val_list parts = val_list_new(a);
    push_prompt(a, &parts, first);
    if (file)
        val_list_push(&parts, part(a, "file", "path", *file, file));
    if (own)
        push_prompt(a, &parts, own);
    else if (file && !first)
        val_list_push(&parts, part(a, "static", "content", VAL_LIT("Analyze this file."), file));
    *ret = val_list_done(&parts);
    ret->line = task->line;
    ret->col = task->col;
    return true;
}

/* ---- what the group gives to each ---- */

static const struct step_type *type_of(const struct tasks *t, const struct val *task)
{
    const struct val *type = VAL_GET(task, "type");
    return val_is(type, VAL_STR) ? step_type_find(type->s) : t->group->type->task;
}

/* Keys that the group's table shares with the task's. */
static void inherit(const struct tasks *t, const struct val *task, struct val_map *m)
{
    const struct step_type *type = type_of(t, task);
    for (size_t i = 0; type && i < t->group->source->obj.n; i++) {
        const struct member *k = &t->group->source->obj.m[i];
        const struct val *own = val_get(task, k->key);
        if (str_is(k->key, "prompt") || str_is(k->key, "strategy") || str_is(k->key, "restart") ||
            !key_find(t->group->type->keys, k->key) || !key_find(type->keys, k->key))
            continue;
        if (!own)
            val_map_add(m, k->key, k->val, k->line, k->col);
        else if (own->type == VAL_OBJECT && k->val.type == VAL_OBJECT)
            val_map_set(m, k->key, load_merged(t->l->a, &k->val, own));
    }
}

static bool has_any(const struct val *task, const char *const *keys)
{
    for (; *keys; keys++)
        if (val_get(task, str_c(*keys)))
            return true;
    return false;
}

static void bounds(const struct tasks *t, const struct val *task, struct val_map *m)
{
    static const char *const timeouts[] = {"timeout", "timeout_ms", "timeout_seconds", NULL};
    static const char *const retries[] = {"retry",          "max_retries",  "max_attempts",
                                          "retry_on_error", "retry_config", NULL};
    if (t->timeout_ms && !has_any(task, timeouts))
        val_map_add(m, STR("timeout"), val_str(arena_printf(t->l->a, "%lldms", (long long)t->timeout_ms)), task->line,
                    task->col);
    if (t->retry && !has_any(task, retries))
        val_map_add(m, STR("retry"), val_int(2), task->line, task->col);
}

/* ---- one task ---- */

/* {ID: {…}} and {ID: "prompt"}: the only key is no key of a task. */
static bool named_form(const struct tasks *t, const struct val *item, struct val *name, struct val *ret)
{
    if (item->type != VAL_OBJECT || item->obj.n != 1)
        return false;
    const struct member *k = &item->obj.m[0];
    if (is_id(k->key) || str_is(k->key, "file") || key_find(t->group->type->task->keys, k->key) ||
        key_find(step_common_keys, k->key) || (k->val.type != VAL_STR && k->val.type != VAL_OBJECT))
        return false;
    *name = val_str(k->key);
    name->line = k->line;
    name->col = k->col;
    *ret = k->val;
    return true;
}

/* The task as a step. False: reported. */
static bool task_step(const struct tasks *t, const struct val *item, size_t i, struct val *ret)
{
    struct loader *l = t->l;
    struct val name = val_null, task = *item, prompt;
    (void)named_form(t, item, &name, &task);
    if (task.type == VAL_STR) {
        struct val_map m = val_map_new(l->a);
        val_map_add(&m, STR("prompt"), task, task.line, task.col);
        task = val_map_done(&m);
        task.line = item->line;
        task.col = item->col;
    }
    if (task.type != VAL_OBJECT) {
        BAD(l, item, "a task is %s; expected a map such as {id: a, prompt: \"…\"}, or a prompt", load_found(item));
        return false;
    }
    const struct member *id = id_of(&task);
    if (name.type == VAL_NULL)
        name = id ? id->val : val_str(arena_printf(l->a, "task_%zu", i + 1));
    if (!name.line) {
        name.line = task.line;
        name.col = task.col;
    }
    struct val_map m = val_map_new(l->a);
    val_map_add(&m, STR("name"), name, name.line, name.col);
    for (size_t k = 0; k < task.obj.n; k++) {
        const struct member *x = &task.obj.m[k];
        if (!is_id(x->key) && !str_is(x->key, "prompt") && !str_is(x->key, "file"))
            val_map_add(&m, x->key, x->val, x->line, x->col);
    }
    if (task_prompt(t, &task, &prompt))
        val_map_add(&m, STR("prompt"), prompt, prompt.line, prompt.col);
    inherit(t, &task, &m);
    bounds(t, &task, &m);
    *ret = val_map_done(&m);
    ret->line = item->line;
    ret->col = item->col;
    return true;
}

static struct branch task_branch(const struct tasks *t, const struct val *step, unsigned depth)
{
    struct val_list one = val_list_new(t->l->a);
    val_list_push(&one, *step);
    struct val list = val_list_done(&one);
    struct val *kept = ARENA_NEW(t->l->a, struct val);
    *kept = list;
    kept->line = step->line;
    kept->col = step->col;
    return (struct branch){.name = val_get_str(step, STR("name"), STR("")),
                           .line = step->line,
                           .col = step->col,
                           .list = load_list(t->l, kept, t->group, STR(""), depth + 1)};
}

/* ---- the list ---- */

static void fixed_list(struct tasks *t, unsigned depth)
{
    struct loader *l = t->l;
    const struct val *v = t->tasks;
    if (v->arr.n == 0 || v->arr.n > LOAD_BRANCHES_MAX) {
        BAD(l, v, "the list of tasks has %zu items; expected 1 to %d", v->arr.n, LOAD_BRANCHES_MAX);
        return;
    }
    struct branch *b = arena_calloc(l->a, v->arr.n, sizeof *b);
    for (size_t i = 0; i < v->arr.n; i++) {
        struct val step;
        if (!task_step(t, &v->arr.v[i], i, &step))
            continue;
        struct str id = VAL_GET(&step, "name")->type == VAL_STR ? VAL_GET(&step, "name")->s : STR("");
        if (id.n && map_get(&t->seen, id))
            BAD(l, VAL_GET(&step, "name"), "another task of this step is called `%s`; expected an id of its own",
                clip(id).z);
        map_put(&t->seen, id, t);
        b[t->group->nbranches++] = task_branch(t, &step, depth);
    }
    t->group->branches = b;
}

/* What each item of a computed list is done with, when nobody says: its own prompt, about its own file. */
static struct val usual_template(const struct tasks *t, const struct val *at)
{
    struct arena *a = t->l->a;
    struct val_list parts = val_list_new(a);
    struct val_map m = val_map_new(a), file = val_map_new(a);
    struct val file_part = part(a, "file", "path", VAL_LIT("{{ task.file }}"), at);
    val_map_merge(&file, &file_part);
    val_map_add(&file, STR("condition"), VAL_LIT("task.file"), at->line, at->col);
    val_list_push(&parts, val_map_done(&file));
    val_list_push(&parts, part(a, "static", "content", VAL_LIT("{{ task.prompt }}"), at));
    struct val prompt = val_list_done(&parts);
    val_map_add(&m, STR("prompt"), prompt, at->line, at->col);
    struct val v = val_map_done(&m);
    v.line = at->line;
    v.col = at->col;
    return v;
}

static void computed_list(struct tasks *t, struct val_map *config, struct val_map *data, unsigned depth)
{
    struct loader *l = t->l;
    const struct val *at = t->tasks ? t->tasks : t->template;
    struct val usual = usual_template(t, at), step, list;
    const struct val *template = t->template ? t->template : &usual;
    if (template->type != VAL_OBJECT) {
        BAD(l, template, "`task_template` is %s; expected a map such as {prompt: \"… {{item}} …\"}",
            load_found(template));
        return;
    }
    const struct member *id = id_of(template);
    struct val_map m = val_map_new(l->a);
    for (size_t i = 0; i < template->obj.n; i++) {
        const struct member *k = &template->obj.m[i];
        if (!is_id(k->key))
            val_map_add(&m, k->key, k->val, k->line, k->col);
    }
    val_map_add(&m, STR("name"), VAL_LIT("task"), at->line, at->col);
    list = val_map_done(&m);
    list.line = template->line;
    list.col = template->col;
    if (id)
        val_map_add(data, STR("task_id"), id->val, id->line, id->col);
    t->group->task_template = true;
    if (!task_step(t, &list, 0, &step))
        return;
    struct branch *b = ARENA_NEW(l->a, struct branch);
    *b = task_branch(t, &step, depth);
    t->group->branches = b;
    t->group->nbranches = 1;
    if (t->tasks) {
        struct val v = *t->tasks;
        if (str_find(v.s, STR("{{")) == SIZE_MAX)
            v.s = arena_printf(l->a, "{{ %.*s }}", STR_ARG(v.s));
        val_map_add(config, STR("tasks"), v, v.line, v.col);
    }
}

/* ---- the group's own configuration ---- */

static void read_config(struct tasks *t, struct val_map *config)
{
    struct loader *l = t->l;
    struct val_map m = val_map_new(l->a);
    if (t->config && t->config->type != VAL_OBJECT)
        BAD(l, t->config, "the options of a group of tasks are %s; expected a map such as {max_parallel: 3}",
            load_found(t->config));
    for (size_t i = 0; val_is(t->config, VAL_OBJECT) && i < t->config->obj.n; i++) {
        const struct member *k = &t->config->obj.m[i];
        bool on = false;
        if (str_is(k->key, "timeout_per_task")) {
            if (k->val.type == VAL_INT && k->val.i > 0 && k->val.i < SECONDS_BELOW)
                WARN(l, &k->val, "`timeout_per_task: %lld` is read as %lld seconds; from %d on it is milliseconds",
                     (long long)k->val.i, (long long)k->val.i, SECONDS_BELOW);
            if (load_duration(l, tasks_config_keys, k, &t->timeout_ms) && t->timeout_ms < SECONDS_BELOW)
                t->timeout_ms *= 1000;
        } else if (str_is(k->key, "retry_failed")) {
            t->retry = load_bool(l, k, &on) && on;
        } else if (str_is(k->key, "max_parallel") || str_is(k->key, "max_workers")) {
            val_map_add(&m, STR("max_parallel"), k->val, k->line, k->col);
            (void)load_key_fits(l, tasks_config_keys, key_find(tasks_config_keys, k->key), k);
        } else if (str_is(k->key, "consolidate_results")) {
            val_map_add(&m, k->key, k->val, k->line, k->col);
            (void)load_key_fits(l, tasks_config_keys, key_find(tasks_config_keys, k->key), k);
        } else if (str_is(k->key, "strategy") || str_is(k->key, "restart")) {
            problem_add(l->ps, false, k->line, k->col, "`%s` does not belong here; expected it on the step itself",
                        clip(k->key).z);
        } else if (!str_is(k->key, "tasks") && !str_is(k->key, "queue_size")) {
            problem_add(l->ps, false, k->line, k->col,
                        "unknown option `%s` of a group of tasks; expected max_parallel, timeout_per_task, "
                        "consolidate_results, retry_failed or tasks",
                        clip(k->key).z);
        }
    }
    val_map_add(config, STR("options"), val_map_done(&m), t->group->line, t->group->col);
}

void load_tasks(struct loader *l, struct step_def *s, struct val_map *config, struct val_map *data, unsigned depth)
{
    struct tasks t = {.l = l, .group = s};
    t.config =
        VAL_GET(s->source, "batch_config") ? VAL_GET(s->source, "batch_config") : VAL_GET(s->source, "parallel_config");
    t.tasks = VAL_GET(s->source, "tasks") ? VAL_GET(s->source, "tasks") : VAL_GET(s->source, "parallel_tasks");
    t.tasks = t.tasks ? t.tasks : VAL_GET(t.config, "tasks");
    t.template = VAL_GET(s->source, "task_template");
    const struct val *generator = VAL_GET(s->source, "task_generator"), *prompt = VAL_GET(s->source, "prompt");
    if (val_is(prompt, VAL_ARRAY) && !prompt->arr.n && key_find(s->type->keys, STR("prompt")))
        BAD(l, prompt, "`prompt` is an empty list; expected text, or at least one part");
    read_config(&t, config);
    if (generator)
        val_map_add(config, STR("generator"), *generator, generator->line, generator->col);
    if (val_is(t.tasks, VAL_ARRAY) && !t.template)
        fixed_list(&t, depth);
    else if (val_is(t.tasks, VAL_ARRAY) && !t.tasks->arr.n)
        BAD(l, t.tasks,
            "the list of tasks is empty; expected items for `task_template`, or a template that gives them");
    else if (val_is(t.tasks, VAL_ARRAY)) { /* a written list of items for the template */
        val_map_add(config, STR("tasks"), *t.tasks, t.tasks->line, t.tasks->col);
        t.tasks = NULL;
        computed_list(&t, config, data, depth);
    } else if (val_is(t.tasks, VAL_STR) || (!t.tasks && generator && t.template))
        computed_list(&t, config, data, depth);
    else if (t.tasks)
        BAD(l, t.tasks, "the tasks are %s; expected a list of tasks, or a template that gives one",
            load_found(t.tasks));
    else
        BAD(l, s->source, "step `%s` (%s) has no tasks; expected `tasks`, a list such as [{id: a, prompt: \"…\"}]%s",
            clip(s->name).z, s->type->name, generator ? ", or `task_template` beside `task_generator`" : "");
    map_done(&t.seen);
}
