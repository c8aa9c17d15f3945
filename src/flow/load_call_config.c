/* `config` of a step that calls a workflow; the blocks in it are in load_call_blocks.c.
 *
 * What is about the step's time or its attempts becomes part of the step itself, as if it had been written there, and
 * gives way to what is. All else is evaluated when the step starts, since it may hold templates (step/pipeline.c). */
#include "flow/load_int.h"
#include "flow/memory_mark.h"

const struct step_key call_config_keys[] = {
    {"inherit_context", KEY_BOOL, .fallback = "false",
     .doc =
         "Whether the caller's variables and earlier steps can be read inside, and its inputs where none are given."},
    {"inherit_providers", KEY_BOOL, .fallback = "true",
     .doc = "Whether the caller's `defaults` count where the workflow has none."},
    {"inherit_functions", KEY_BOOL, .fallback = "false",
     .doc = "Whether its steps can name functions of the caller's `gemini_functions`."},
    {"inheritance", KEY_OBJECT, .choices = "inheritance",
     .doc = "The same in one block, and which of the caller's variables are inherited; see below."},
    {"workspace_isolation", KEY_ANY, .choices = "workspace_isolation", .fallback = "false",
     .doc = "As `workspace: isolated` of the step."},
    {"workspace_dir", KEY_TEMPLATE,
     .doc = "A directory below the caller's workspace that is the workflow's own workspace, made where it is missing."},
    {"cleanup_on_success", KEY_BOOL, .fallback = "false",
     .doc = "Whether that directory is removed at the good end, with all that is in it, if it was made for this call."},
    {"cleanup_on_error", KEY_BOOL, .fallback = "false", .doc = "The same when it fails."},
    {"reuse_workspace", KEY_BOOL, .fallback = "true",
     .doc = "false: that directory must not be there yet, or be empty."},
    {"workspace", KEY_OBJECT, .choices = "call_workspace",
     .doc = "{cleanup_on_success, cleanup_on_error}: the same; {max_size_mb}: how large its workspace may become."},
    {"max_depth", KEY_INT, .fallback = "10", KEY_FROM_TO(1, 100),
     .doc = "How deep workflows may call one another, counted from the run's own."},
    {"warn_at_depth", KEY_INT, KEY_FROM_TO(1, 100), .doc = "From which depth on a note says how deep it is."},
    {"max_total_steps", KEY_INT, KEY_FROM(1),
     .doc = "Steps done in the workflow and in those that it calls, at the most."},
    {"memory_limit_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20),
     .doc = "Memory for the values of the workflow and of those that it calls, in MB."},
    {"memory_warning_mb", KEY_INT, .fallback = "3/4 of the limit", KEY_FROM_TO(1, 1 << 20),
     .doc = "With how much of it a note is given."},
    {"memory_limits", KEY_OBJECT, .choices = "memory_limits",
     .doc = "{soft_limit_mb, hard_limit_mb}: the same two in one block."},
    {"memory_actions", KEY_OBJECT, .choices = "memory_actions",
     .doc = "{at_75_percent: […], …}: what is done when some part of the limit is taken; see below."},
    {"gc_threshold_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20),
     .doc = "With more memory than that, what is in it only for later readers is dropped, and read again where it is "
            "asked for."},
    {"gc_after_steps", KEY_STRINGS, .doc = "Names of steps inside after which that is dropped too."},
    {"auto_cleanup", KEY_OBJECT, .choices = "auto_cleanup", .doc = "{enabled, threshold_mb}: as gc_threshold_mb."},
    {"memory_check_enabled", KEY_BOOL, .fallback = "true", .doc = "false: neither of them counts."},
    {"timeout_seconds", KEY_SECONDS, KEY_ABOVE(0), .fixed = true,
     .doc = "As `timeout` of the step; the error has the code timeout_exceeded."},
    {"timeout_warning_seconds", KEY_SECONDS, KEY_ABOVE(0), .fixed = true,
     .doc = "After so much time a note says that it is still at work."},
    {"on_timeout", KEY_ENUM, .fixed = true, .choices = "immediate|graceful|retry", .fallback = "immediate",
     .doc =
         "What follows when the time is over and what runs has been stopped: it fails; the run goes on with what its "
         "steps have yielded; or it is tried again, as `retry_config` says."},
    {"graceful_timeout", KEY_OBJECT, .choices = "graceful_timeout",
     .doc = "{return_partial_results: false}: on_timeout graceful fails after all."},
    {"immediate_timeout", KEY_OBJECT, .choices = "immediate_timeout",
     .doc = "{skip_cleanup: true}: where the time is over, its directory stays in spite of cleanup_on_error."},
    {"retry_config", KEY_OBJECT, .choices = "retry",
     .doc = "As `retry` of the step; with on_timeout: retry for timeouts only, unless it says `on`."},
    {"max_retries", KEY_INT, .fixed = true, KEY_FROM_TO(0, LOAD_ATTEMPTS_MAX - 1),
     .doc = "As `retry` of the step: attempts after the first."},
    {"retry_on", KEY_STRINGS, .fallback = "any", .doc = "The classes of errors that it is tried again for."},
    {"continue_on_error", KEY_BOOL, .fallback = "false", .doc = "As `on_error: continue` of the step."},
    {"fallback_value", KEY_ANY,
     .doc = "The result when it fails: its fields (or `value`), with `success: false` and `error`. The run goes on."},
    {"preserve_error_context", KEY_BOOL, .fallback = "false",
     .doc =
         "Whether its result, when it fails and the run goes on, has `error_context`: {inputs, results, execution}."},
    {"error_context_fields", KEY_STRINGS, .choices = "error_context_fields", .fallback = "all",
     .doc = "Which of them: input_data, previous_results, execution_metadata."},
    {"prune_results", KEY_OBJECT, .choices = "prune_results",
     .doc = "{keep_fields: […], remove_fields: […]}: which fields of the result stay; where it is all its steps, of "
            "theirs too (`field`, or `step.field`)."},
    {"performance_budgets", KEY_OBJECT, .choices = "performance_budgets",
     .doc =
         "{total_duration_ms, step_duration_ms, memory_usage_mb}: of an attempt, of each step inside, of its values."},
    {"on_budget_exceeded", KEY_OBJECT, .choices = "on_budget_exceeded", .fallback = "{action: warn}",
     .doc = "{action}: a note; it fails with the code performance_budget_exceeded; or the run does."},
    {"mock_responses", KEY_OBJECT,
     .doc = "With --mock, answers of steps inside, by their names or paths: as `mock_response` of the step."},
    {"mock_delays", KEY_OBJECT, .doc = "With --mock, milliseconds that a made-up answer takes, in the same way."},
    {"mock_mode", KEY_BOOL, .fallback = "true",
     .doc = "false: neither of them counts. Without --mock or --dry-run no answer is ever made up."},
    {0},
};

static const char recorded[] = "every step is recorded: a run that was stopped goes on with treadle resume";
static const char observed[] = "every step is recorded with its times and its result: treadle show, treadle logs";
static const char file_once[] =
    "a workflow's file is read once a run; write `cache: {key: …}` on the step to keep its result";
static const char freed[] = "memory is freed when a step ends, and what loops have done leaves it before";
static const char same[] = "runs are the same everywhere; try one with --mock or --dry-run";

const struct unused_key call_config_unused_keys[] = {
    {"workspace_enabled", "write workspace_dir, or `workspace: isolated` on the step"},
    {"checkpoint_enabled", recorded},
    {"checkpoint_frequency", recorded},
    {"checkpoint_dir", recorded},
    {"capture_errors", "the error is always in the result as `error`, where the run goes on"},
    {"stream_results", freed},
    {"chunk_size_mb", freed},
    {"cache_enabled", file_once},
    {"cache_pipeline", file_once},
    {"cache_ttl", "write `cache: {key: …, ttl: …}` on the step to keep its result"},
    {"lazy_load", "a file is read when the run starts; one with a template in its name when the step does"},
    {"pool_size", "connections are shared by all steps"},
    {"enable_tracing", observed},
    {"trace_level", observed},
    {"trace_metadata", observed},
    {"trace_config", observed},
    {"tracing", observed},
    {"collect_metrics", observed},
    {"metrics", observed},
    {"performance_monitoring", observed},
    {"debug", "an `approval` step stops a run; treadle logs shows what each step did"},
    {"development_mode", same},
    {"dev_features", same},
    {0},
};

/* ---- what becomes of the step ---- */

static bool is_hole(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static void error_fields(struct loader *l, const struct member *m)
{
    for (size_t i = 0; m->val.type == VAL_ARRAY && i < m->val.arr.n; i++) {
        const struct val *v = &m->val.arr.v[i];
        if (val_is(v, VAL_STR) && !str_is(v->s, "input_data") && !str_is(v->s, "previous_results") &&
            !str_is(v->s, "execution_metadata"))
            BAD(l, v,
                "`%s` is no part of an error's context; expected input_data, previous_results or execution_metadata",
                clip(v->s).z);
    }
}

static void config_key(struct loader *l, struct step_def *s, const struct common *c, const struct member *m)
{
    const struct step_key *row = key_find(call_config_keys, m->key);
    if (!row) {
        if (!load_unused_key(l, m, call_config_unused_keys))
            load_unknown_key(l, m, "`config`", call_config_keys, NULL);
        return;
    }
    if (load_call_block(l, row, m))
        return;
    if (str_is(m->key, "timeout_seconds")) {
        if (load_duration(l, call_config_keys, m, c->timeout_set ? &(int64_t){0} : &s->timeout_ms) && !c->timeout_set)
            s->timeout_code = STR("timeout_exceeded");
    } else if (str_is(m->key, "timeout_warning_seconds")) {
        (void)load_duration(l, call_config_keys, m, &s->warn_ms);
    } else if (str_is(m->key, "max_retries")) {
        if (!c->retry_set)
            load_retries(l, call_config_keys, m, &s->retry);
    } else if (str_is(m->key, "retry_on")) {
        if (!c->retry_set)
            load_retry_on(l, m, &s->retry.on);
    } else if (str_is(m->key, "retry_config")) {
        struct retry_policy p;
        load_retry(l, m, &p);
        if (!c->retry_set)
            s->retry = p;
    } else if (str_is(m->key, "continue_on_error")) {
        bool on = false;
        if (!load_whole_template(&m->val) && load_bool(l, m, &on) && on && !c->on_error_set &&
            s->on_error == ON_ERROR_FAIL)
            s->on_error = ON_ERROR_CONTINUE;
    } else if (str_is(m->key, "fallback_value")) {
        if (!c->on_error_set)
            s->on_error = ON_ERROR_CONTINUE;
    } else {
        (void)load_key_fits(l, call_config_keys, row, m);
        if (str_is(m->key, "error_context_fields"))
            error_fields(l, m);
    }
}

static void retry_timeouts(struct step_def *s, const struct common *c)
{
    if (c->retry_set)
        return;
    if (!s->retry.set) {
        s->retry = load_retry_default();
        s->retry.set = true;
        s->retry.max_attempts = 3;
    }
    if (!s->retry.on)
        (void)retry_class(STR("timeout"), &s->retry.on);
}

static void on_timeout(struct loader *l, struct step_def *s, const struct common *c, const struct val *config)
{
    const struct member *m = val_member(config, STR("on_timeout"));
    if (!m || !val_is(&m->val, VAL_STR))
        return;
    if (is_hole(&m->val))
        BAD(l, &m->val, "`on_timeout` cannot be a template; expected immediate, graceful or retry");
    if (str_is(m->val.s, "retry"))
        retry_timeouts(s, c);
    else if (str_is(m->val.s, "graceful"))
        s->timeout_goes_on =
            !c->on_error_set && val_get_bool(VAL_GET(config, "graceful_timeout"), STR("return_partial_results"), true);
    if (!s->timeout_ms)
        problem_add(l->ps, true, m->line, m->col,
                    "`on_timeout` has no effect without a time: write `timeout_seconds` beside it");
}

/* A budget of time that may be missed is a time after which people are told; else it is a timeout. */
static void total_duration(struct step_def *s, const struct val *config)
{
    double ms = val_to_double(VAL_GET(VAL_GET(config, "performance_budgets"), "total_duration_ms"), 0);
    struct str action = val_get_str(VAL_GET(config, "on_budget_exceeded"), STR("action"), STR("warn"));
    int64_t total = ms >= 1 && ms < 1e15 ? (int64_t)ms : 0;
    if (!total)
        return;
    if (str_is(action, "warn")) {
        if (!s->warn_ms || total < s->warn_ms)
            s->warn_ms = total;
    } else if (!s->timeout_ms || total < s->timeout_ms) {
        s->timeout_ms = total;
        s->timeout_code = STR("performance_budget_exceeded");
        s->timeout_ends_run = str_is(action, "abort");
    }
}

struct val load_call_paths(struct loader *l, const struct val *config)
{
    const struct member *dir = val_member(config, STR("workspace_dir"));
    if (!dir)
        return *config;
    struct val_map m = val_map_new(l->a);
    for (size_t i = 0; i < config->obj.n; i++) {
        const struct member *k = &config->obj.m[i];
        val_map_add(&m, k->key, k == dir ? load_dollars(l, &k->val) : k->val, k->line, k->col);
    }
    struct val v = val_map_done(&m);
    v.line = config->line;
    v.col = config->col;
    return v;
}

/* As text; what links lead to is seen in the run. */
static bool leads_out(struct str path)
{
    int depth = 0;
    while (path.n) {
        size_t n = str_find(path, STR("/"));
        struct str part = n == SIZE_MAX ? path : str_n(path.p, n);
        depth += str_is(part, "..") ? -1 : part.n && !str_is(part, ".");
        if (depth < 0)
            return true;
        path = str_from(path, n == SIZE_MAX ? path.n : n + 1);
    }
    return false;
}

static void own_directory(struct loader *l, const struct val *config)
{
    static const char *const about[] = {"cleanup_on_success", "cleanup_on_error", "reuse_workspace"};
    const struct val *dir = VAL_GET(config, "workspace_dir");
    if (val_is(dir, VAL_STR) && !is_hole(dir) && leads_out(dir->s))
        BAD(l, dir, "`workspace_dir` is `%s`, which leads out of the workspace; expected a directory below it",
            clip(dir->s).z);
    for (size_t i = 0; !dir && i < sizeof about / sizeof *about; i++) {
        const struct member *m = val_member(config, str_c(about[i]));
        if (m)
            problem_add(l->ps, true, m->line, m->col, "`%s` has no effect without `workspace_dir`", about[i]);
    }
}

static void unknown_action(struct loader *l, const struct val *v)
{
    struct nearest near = {.want = v->s};
    struct str name, all = STR("");
    enum memory_action a;
    for (size_t i = 0; memory_action_at(i, &name, &a); i++) {
        nearest_try(&near, name);
        all = arena_printf(l->ps->a, "%.*s%s%.*s", STR_ARG(all), i ? ", " : "expected one of: ", STR_ARG(name));
    }
    BAD(l, v, "`%s` is nothing that can be done about memory; %s", clip(v->s).z, load_hint(l, &near, all.p));
}

static void memory_action(struct loader *l, const struct val *v)
{
    enum memory_action a;
    if (!val_is(v, VAL_STR) || is_hole(v))
        return;
    if (!memory_action_find(v->s, &a))
        unknown_action(l, v);
    else if (a == MEMORY_NEVER)
        WARN(l, v,
             "`%s` of `memory_actions` has no effect: a workflow that stands still frees nothing; `clear_caches` does, "
             "and `max_parallel` of its loops bounds what is done at a time",
             clip(v->s).z);
}

static void memory_actions(struct loader *l, const struct val *config)
{
    const struct member *m = val_member(config, STR("memory_actions"));
    if (!m || !val_is(&m->val, VAL_OBJECT))
        return;
    if (!VAL_GET(config, "memory_limit_mb") && !VAL_GET(VAL_GET(config, "memory_limits"), "hard_limit_mb"))
        problem_add(l->ps, true, m->line, m->col,
                    "`memory_actions` has no effect without a limit: write `memory_limit_mb` beside it");
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct val *v = &m->val.obj.m[i].val;
        memory_action(l, v);
        for (size_t k = 0; val_at(v, k); k++)
            memory_action(l, val_at(v, k));
    }
}

static void mock_delays(struct loader *l, const struct val *delays)
{
    for (size_t i = 0; val_is(delays, VAL_OBJECT) && i < delays->obj.n; i++) {
        const struct member *m = &delays->obj.m[i];
        if (!is_hole(&m->val) && (!val_is_number(&m->val) || val_to_double(&m->val, -1) < 0))
            BAD(l, &m->val, "the delay of `%s` is %s; expected milliseconds", clip(m->key).z, load_found(&m->val));
    }
}

void load_call_config(struct loader *l, struct step_def *s, const struct common *c)
{
    const struct val *config = VAL_GET(s->source, "config");
    for (size_t i = 0; val_is(config, VAL_OBJECT) && i < config->obj.n; i++)
        config_key(l, s, c, &config->obj.m[i]);
    own_directory(l, config);
    mock_delays(l, VAL_GET(config, "mock_delays"));
    memory_actions(l, config);
    total_duration(s, config);
    on_timeout(l, s, c, config);
}
