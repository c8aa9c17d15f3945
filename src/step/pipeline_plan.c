/* What a call does is decided once, before its first step: inputs and bounds with their templates evaluated, and copies
 * of the caller's variables where only some are inherited. It is pinned as plain data, so a resumed run reads the same
 * call from it, whatever the expressions would yield by then. */
#include "step/pipeline_plan.h"

#include "flow/memory_mark.h"

enum { MEMORY_MB_MAX = 1 << 20 };

static bool wants(const struct val *actions, enum memory_action what)
{
    enum memory_action a;
    if (val_is(actions, VAL_STR))
        return memory_action_find(actions->s, &a) && a == what;
    for (size_t i = 0; val_at(actions, i); i++)
        if (wants(val_at(actions, i), what))
            return true;
    return false;
}

static void mark_to_clear(struct val_list *marks, struct arena *a, int64_t mb)
{
    struct val_map mark = val_map_new(a);
    VAL_MAP_SET(&mark, "bytes", val_int(mb << 20));
    VAL_MAP_SET(&mark, "clears", val_true);
    if (mb)
        val_list_push(marks, val_map_done(&mark));
}

/* When else is cleared: at sizes, whatever the limit is, and after steps. */
static bool plan_clearing(struct frame *f, const struct val *config, struct val_list *marks, struct val_map *m)
{
    const struct val *cleanup = VAL_GET(config, "auto_cleanup"), *after = VAL_GET(config, "gc_after_steps");
    int64_t threshold, collect;
    bool on;
    if (!frame_bool(f, cleanup, "enabled", true, &on) ||
        !frame_int(f, cleanup, "threshold_mb", 0, 1, MEMORY_MB_MAX, &threshold) ||
        !frame_int(f, config, "gc_threshold_mb", 0, 1, MEMORY_MB_MAX, &collect))
        return false;
    mark_to_clear(marks, m->a, on ? threshold : 0);
    mark_to_clear(marks, m->a, collect);
    if (after && after->type != VAL_NULL) {
        struct val_list one = val_list_new(m->a);
        val_list_push(&one, *after);
        VAL_MAP_SET(m, "clears", after->type == VAL_ARRAY ? *after : val_list_done(&one));
    }
    return true;
}

/* What is to be done at parts of the limit; one at which the call is to fail is the limit. */
static bool plan_marks(struct frame *f, const struct val *config, int64_t *most, struct val_map *m)
{
    const struct val *said = VAL_GET(config, "memory_actions");
    struct val_list marks = val_list_new(m->a);
    if (!plan_clearing(f, config, &marks, m))
        return false;
    int64_t of = *most;
    for (size_t i = 0; of && val_is(said, VAL_OBJECT) && i < said->obj.n; i++) {
        const struct member *o = &said->obj.m[i];
        int64_t percent = memory_mark_percent(o->key), bytes = of * percent / 100;
        if (!percent)
            continue;
        if (wants(&o->val, MEMORY_FAIL) && bytes < *most)
            *most = bytes;
        struct val_map mark = val_map_new(m->a);
        VAL_MAP_SET(&mark, "bytes", val_int(bytes));
        VAL_MAP_SET(&mark, "percent", val_int(percent));
        VAL_MAP_SET(&mark, "of", val_int(of));
        if (wants(&o->val, MEMORY_TELL))
            VAL_MAP_SET(&mark, "tells", val_true);
        if (wants(&o->val, MEMORY_CLEAR))
            VAL_MAP_SET(&mark, "clears", val_true);
        if (mark.n > 3)
            val_list_push(&marks, val_map_done(&mark));
    }
    if (marks.n)
        VAL_MAP_SET(m, "marks", val_list_done(&marks));
    return true;
}

/* Bounds of memory, from either spelling of them, and what follows where they are not kept. */
static bool plan_memory(struct frame *f, const struct val *config, struct val_map *m)
{
    const struct val *limits = VAL_GET(config, "memory_limits"), *budgets = VAL_GET(config, "performance_budgets");
    int64_t most, soft, hard, warn, budget, step;
    bool checked;
    struct str action;
    if (!frame_int(f, limits, "hard_limit_mb", 0, 1, MEMORY_MB_MAX, &hard) ||
        !frame_int(f, limits, "soft_limit_mb", 0, 1, MEMORY_MB_MAX, &soft) ||
        !frame_int(f, config, "memory_limit_mb", hard, 1, MEMORY_MB_MAX, &most) ||
        !frame_int(f, config, "memory_warning_mb", soft, 1, MEMORY_MB_MAX, &warn) ||
        !frame_bool(f, config, "memory_check_enabled", true, &checked) ||
        !frame_int(f, budgets, "memory_usage_mb", 0, 1, MEMORY_MB_MAX, &budget) ||
        !frame_int(f, budgets, "step_duration_ms", 0, 1, INT64_MAX / 4, &step) ||
        !frame_text(f, VAL_GET(config, "on_budget_exceeded"), "action", STR("warn"), &action))
        return false;
    if (!checked)
        most = warn = 0;
    most <<= 20;
    budget <<= 20;
    warn <<= 20;
    bool only_told = str_is(action, "warn"), stricter = budget && !only_told && (!most || budget < most);
    if (stricter)
        most = budget;
    if (!plan_marks(f, config, &most, m))
        return false;
    if (!warn && !VAL_GET(config, "memory_actions"))
        warn = most / 4 * 3;
    if (budget && only_told && (!warn || budget < warn))
        warn = budget;
    if (most)
        VAL_MAP_SET(m, "max_memory", val_int(most));
    if (warn && (!most || warn < most))
        VAL_MAP_SET(m, "warn_memory", val_int(warn));
    if (stricter && str_is(action, "abort"))
        VAL_MAP_SET(m, "memory_ends_run", val_true);
    if (step) {
        VAL_MAP_SET(m, "step_ms", val_int(step));
        VAL_MAP_SET(m, "over", val_str(action));
    }
    return true;
}

/* What of the result is left out, and what is put beside an error. */
static bool plan_result(struct frame *f, const struct val *config, struct val_map *m)
{
    const struct val *prune = VAL_GET(config, "prune_results"), *fields = VAL_GET(config, "error_context_fields");
    bool context;
    if (!frame_bool(f, config, "preserve_error_context", fields != NULL, &context))
        return false;
    if (prune)
        VAL_MAP_SET(m, "prune", *prune);
    if (context)
        VAL_MAP_SET(m, "context", fields ? *fields : val_true);
    return true;
}

/* ---- what it inherits ---- */

static bool is_named(const struct val *names, struct str name)
{
    for (size_t i = 0; val_is(names, VAL_ARRAY) && i < names->arr.n; i++)
        if (val_is(&names->arr.v[i], VAL_STR) && str_eq(names->arr.v[i].s, name))
            return true;
    return val_is(names, VAL_STR) && str_eq(names->s, name);
}

static bool is_there(struct frame *f, const struct val *all, const struct val *name)
{
    if (!val_is(name, VAL_STR) || val_get(all, name->s))
        return true;
    step_failf(f, RC_INVALID, "`inheritance` includes `%.*s`; expected a variable that is known here",
               STR_ARG(name->s));
    return false;
}

/* Copies of some variables, or (where all that is around can be read) which of them are hidden. */
static bool plan_variables(struct frame *f, const struct val *chosen, bool inherits_all, struct val_map *m)
{
    if (!chosen || chosen->type == VAL_NULL)
        return true;
    const struct val *include = VAL_GET(chosen, "include"), *exclude = VAL_GET(chosen, "exclude");
    struct val all = frame_all_variables(f, &f->arena);
    struct val_map some = val_map_new(&f->arena);
    if (!is_there(f, &all, include))
        return false;
    for (size_t i = 0; val_at(include, i); i++)
        if (!is_there(f, &all, val_at(include, i)))
            return false;
    for (size_t i = 0; i < all.obj.n; i++)
        if ((!include || is_named(include, all.obj.m[i].key)) && !is_named(exclude, all.obj.m[i].key))
            val_map_set(&some, all.obj.m[i].key, all.obj.m[i].val);
    if (inherits_all)
        VAL_MAP_SET(m, "seen", *chosen);
    else
        VAL_MAP_SET(m, "variables", val_map_done(&some));
    return true;
}

static bool plan_inheritance(struct frame *f, const struct val *config, struct val_map *m)
{
    const struct val *chosen = VAL_GET(config, "inheritance"), *providers = VAL_GET(chosen, "providers");
    bool context, all, own_providers, functions, own_functions;
    if (!frame_bool(f, config, "inherit_context", false, &context) ||
        !frame_bool(f, providers, "inherit_all", true, &all) ||
        !frame_bool(f, config, "inherit_providers", all, &own_providers) ||
        !frame_bool(f, VAL_GET(chosen, "functions"), "inherit", false, &functions) ||
        !frame_bool(f, config, "inherit_functions", functions, &own_functions) ||
        !plan_variables(f, VAL_GET(chosen, "global_vars"), context, m))
        return false;
    VAL_MAP_SET(m, "inherit_context", val_bool(context));
    VAL_MAP_SET(m, "inherit_providers", val_bool(own_providers));
    if (own_functions)
        VAL_MAP_SET(m, "inherit_functions", val_true);
    if (VAL_GET(providers, "override")) {
        struct val_map over = val_map_new(&f->arena);
        providers_defaults(&f->arena, VAL_GET(providers, "override"), &over);
        VAL_MAP_SET(m, "defaults", val_map_done(&over));
    }
    return true;
}

/* A directory of the workspace for itself, and what becomes of it; the older block says some of it too. */
static bool plan_directory(struct frame *f, const struct val *config, struct val_map *m)
{
    const struct val *block = VAL_GET(config, "workspace");
    struct str dir;
    bool well, failed, cleans, cleans_failed, reuse, stays_late;
    int64_t most;
    if (!frame_int(f, block, "max_size_mb", 0, 1, MEMORY_MB_MAX, &most) ||
        !frame_text(f, config, "workspace_dir", STR(""), &dir) ||
        !frame_bool(f, block, "cleanup_on_success", false, &well) ||
        !frame_bool(f, block, "cleanup_on_error", false, &failed) ||
        !frame_bool(f, config, "cleanup_on_success", well, &cleans) ||
        !frame_bool(f, config, "cleanup_on_error", failed, &cleans_failed) ||
        !frame_bool(f, VAL_GET(config, "immediate_timeout"), "skip_cleanup", false, &stays_late) ||
        !frame_bool(f, config, "reuse_workspace", true, &reuse))
        return false;
    if (!dir.n && VAL_GET(config, "workspace_dir")) {
        step_failf(f, RC_INVALID, "`workspace_dir` is empty; expected a directory below the workspace");
        return false;
    }
    if (most)
        VAL_MAP_SET(m, "max_files", val_int(most << 20));
    if (!dir.n)
        return true;
    VAL_MAP_SET(m, "dir", val_str(dir));
    if (!reuse)
        VAL_MAP_SET(m, "fresh", val_true);
    if (cleans)
        VAL_MAP_SET(m, "cleans", val_true);
    if (cleans_failed)
        VAL_MAP_SET(m, "cleans_failed", val_true);
    if (stays_late)
        VAL_MAP_SET(m, "stays_late", val_true);
    return true;
}

/* Either spelling of a copy of the workspace. */
static bool plan_workspace(struct frame *f, const struct val *c, struct val_map *m)
{
    const struct val *config = VAL_GET(c, "config"), *isolation = VAL_GET(config, "workspace_isolation");
    bool isolated = false;
    struct str said;
    if (!(val_is(isolation, VAL_OBJECT) ? frame_bool(f, isolation, "enabled", true, &isolated)
                                        : frame_bool(f, config, "workspace_isolation", false, &isolated)) ||
        !frame_text(f, c, "workspace", STR("shared"), &said))
        return false;
    if (isolated || str_is(said, "isolated"))
        VAL_MAP_SET(m, "isolated", val_true);
    return plan_directory(f, config, m);
}

/* Only what makes answers up looks at it. */
static bool plan_mocks(struct frame *f, const struct val *config, struct val_map *m)
{
    const struct val *responses = VAL_GET(config, "mock_responses"), *delays = VAL_GET(config, "mock_delays");
    struct val_map mocks = val_map_new(&f->arena);
    bool on;
    if (!frame_bool(f, config, "mock_mode", true, &on))
        return false;
    if (responses)
        VAL_MAP_SET(&mocks, "responses", *responses);
    if (delays)
        VAL_MAP_SET(&mocks, "delays", *delays);
    if (on && mocks.n)
        VAL_MAP_SET(m, "mocks", val_map_done(&mocks));
    return true;
}

/* The caller's inputs, as far as they are asked for. */
static struct val inputs_of_caller(struct frame *f, const struct workflow *w)
{
    const struct val *all = frame_inputs(f);
    struct val_map m = val_map_new(&f->arena);
    for (size_t i = 0; i < all->obj.n; i++)
        if (workflow_takes_input(w, all->obj.m[i].key))
            val_map_set(&m, all->obj.m[i].key, all->obj.m[i].val);
    return val_map_done(&m);
}

/* The pinned object: {inputs, outputs, fallback, inherit_context, inherit_providers, inherit_functions, variables,
 * seen, defaults, isolated, dir, fresh, cleans, cleans_failed, stays_late, mocks, max_depth, max_steps, warn_depth,
 * max_memory, warn_memory, marks, clears, memory_ends_run, step_ms, over, prune, context, mock}. */
const struct val *pipeline_plan(struct frame *f, const struct workflow *w, const struct val *mock)
{
    const struct val *c = frame_config(f, false);
    const struct val *config = VAL_GET(c, "config"), *given = VAL_GET(c, "inputs");
    struct val_map m = val_map_new(&f->arena);
    int64_t depth, steps, warn_depth;
    struct val inputs;
    struct err err;
    if (!c || !plan_inheritance(f, config, &m) || !plan_workspace(f, c, &m) || !plan_mocks(f, config, &m) ||
        !frame_int(f, config, "max_depth", 0, 1, INT64_MAX, &depth) ||
        !frame_int(f, config, "max_total_steps", 0, 1, INT64_MAX, &steps) ||
        !frame_int(f, config, "warn_at_depth", 0, 1, INT64_MAX, &warn_depth))
        return NULL;
    const struct val of_m = {.type = VAL_OBJECT, .obj = {.m = m.m, .n = m.n}};
    bool own = !given && val_get_bool(&of_m, STR("inherit_context"), false);
    struct val some = own && w ? inputs_of_caller(f, w) : val_empty_object;
    inputs = given ? *given : val_empty_object;
    if (w && (workflow_inputs(w, own ? &some : given, &f->arena, &inputs, &err) != RC_OK ||
              workflow_call_known(w, &inputs, &err) != RC_OK)) {
        step_failf(f, RC_INVALID, "workflow `%.*s`: %s", STR_ARG(w->name), err.msg);
        return NULL;
    }
    VAL_MAP_SET(&m, "inputs", inputs);
    if (VAL_GET(c, "outputs"))
        VAL_MAP_SET(&m, "outputs", *VAL_GET(c, "outputs"));
    const struct val *fallback = VAL_GET(config, "fallback_value");
    if (fallback) {
        struct val_map value = val_map_new(&f->arena);
        VAL_MAP_SET(&value, "value", *fallback);
        VAL_MAP_SET(&m, "fallback", fallback->type == VAL_OBJECT ? *fallback : val_map_done(&value));
    }
    if (mock)
        VAL_MAP_SET(&m, "mock", *mock);
    VAL_MAP_SET(&m, "max_depth", val_int(depth));
    VAL_MAP_SET(&m, "max_steps", val_int(steps));
    if (warn_depth)
        VAL_MAP_SET(&m, "warn_depth", val_int(warn_depth));
    if (!plan_memory(f, config, &m) || !plan_result(f, config, &m))
        return NULL;
    struct val *plan = ARENA_NEW(&f->arena, struct val);
    *plan = val_map_done(&m);
    return frame_pin(f, plan) ? plan : NULL;
}

static int64_t at_least_none(const struct val *plan, const char *key)
{
    int64_t n = val_get_int(plan, str_c(key), 0);
    return n > 0 ? n : 0;
}

struct call_plan pipeline_call_plan(const struct val *plan)
{
    struct str over = val_get_str(plan, STR("over"), STR("warn"));
    return (struct call_plan){.inputs = VAL_GET(plan, "inputs"),
                              .inherit_context = val_get_bool(plan, STR("inherit_context"), false),
                              .inherit_providers = val_get_bool(plan, STR("inherit_providers"), true),
                              .inherit_functions = val_get_bool(plan, STR("inherit_functions"), false),
                              .isolated = val_get_bool(plan, STR("isolated"), false),
                              .variables = VAL_GET(plan, "variables"),
                              .seen = VAL_GET(plan, "seen"),
                              .mocks = VAL_GET(plan, "mocks"),
                              .defaults = VAL_GET(plan, "defaults"),
                              .max_depth = val_get_int(plan, STR("max_depth"), 0),
                              .max_steps = val_get_int(plan, STR("max_steps"), 0),
                              .max_memory = at_least_none(plan, "max_memory"),
                              .warn_memory = at_least_none(plan, "warn_memory"),
                              .marks = VAL_GET(plan, "marks"),
                              .clears = VAL_GET(plan, "clears"),
                              .max_files = at_least_none(plan, "max_files"),
                              .step_ms = at_least_none(plan, "step_ms"),
                              .over = str_is(over, "error")   ? OVER_FAIL
                                      : str_is(over, "abort") ? OVER_END_RUN
                                                              : OVER_WARN,
                              .memory_ends_run = val_get_bool(plan, STR("memory_ends_run"), false)};
}
