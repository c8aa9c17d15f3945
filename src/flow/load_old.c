/* What older workflows say at their top: limits and budgets under other names, models of providers, and an input's
 * declaration as a JSON Schema. A block that means something here gets that meaning; what of it means nothing is told
 * in one notice a block. */
#include "flow/load_int.h"

/* ---- blocks whose values are limits under other names ---- */

/* Of which kind it is, and what it may be, says the row of its block. */
enum old_target {
    OLD_FRAMES,
    OLD_MEMORY_MB,
    OLD_WORKSPACE_MB,
    OLD_OUTPUT_MB,
    OLD_WALL_S,
    OLD_DEPTH,
    OLD_PARALLEL,
    OLD_TOKENS,
    OLD_USD,
    OLD_STEP_USD,
    OLD_ACTION
};
static const struct {
    const char *key;
    enum old_target target;
} targets[] = {
    {"max_workspace_size_mb", OLD_WORKSPACE_MB},
    {"max_output_size_mb", OLD_OUTPUT_MB},
    {"max_total_steps", OLD_FRAMES},
    {"max_memory_mb", OLD_MEMORY_MB},
    {"memory_limit_mb", OLD_MEMORY_MB},
    {"max_execution_time_s", OLD_WALL_S},
    {"max_recursion_time", OLD_WALL_S},
    {"timeout_seconds", OLD_WALL_S},
    {"max_nesting_depth", OLD_DEPTH},
    {"max_depth", OLD_DEPTH},
    {"max_parallel_steps", OLD_PARALLEL},
    {"max_tokens_total", OLD_TOKENS},
    {"total_token_budget", OLD_TOKENS},
    {"max_cost_usd", OLD_USD},
    {"max_cost_per_run", OLD_USD},
    {"max_cost_per_step", OLD_STEP_USD},
    {"threshold_usd", OLD_USD},
    {"action_on_exceed", OLD_ACTION},
};

#define ENABLED_ROW                                                                      \
    {                                                                                    \
        "enabled", KEY_BOOL, .fallback = "true", .doc = "false: the block says nothing." \
    }
#define DEPTH_RANGE  KEY_FROM_TO(1, 1000)
#define MEMORY_RANGE KEY_FROM_TO(1, 1 << 30)

const struct step_key resource_limits_keys[] = {
    {"max_total_steps", KEY_INT, KEY_FROM(1), .doc = "As limits.frames."},
    {"max_memory_mb", KEY_INT, MEMORY_RANGE, .doc = "As limits.memory, in MB."},
    {"max_workspace_size_mb", KEY_INT, MEMORY_RANGE, .doc = "As limits.workspace, in MB."},
    {"max_output_size_mb", KEY_INT, MEMORY_RANGE, .doc = "As limits.output, in MB."},
    {"max_execution_time_s", KEY_SECONDS, KEY_ABOVE(0), .doc = "As limits.wall, in seconds."},
    {"max_nesting_depth", KEY_INT, DEPTH_RANGE, .doc = "As limits.max_depth."},
    {"max_parallel_steps", KEY_INT, KEY_FROM_TO(1, 100000), .doc = "As limits.max_parallel."},
    {"max_tokens_total", KEY_INT, KEY_FROM(0), .doc = "As budget.tokens."},
    {"max_cost_usd", KEY_NUMBER, KEY_FROM(0), .doc = "As budget.usd."},
    ENABLED_ROW,
    {0},
};

const struct step_key safety_keys[] = {
    {"max_nesting_depth", KEY_INT, DEPTH_RANGE, .doc = "As limits.max_depth."},
    {"max_recursion_time", KEY_SECONDS, KEY_ABOVE(0), .doc = "As limits.wall, in seconds."},
    {"max_cost_usd", KEY_NUMBER, KEY_FROM(0), .doc = "As budget.usd."},
    ENABLED_ROW,
    {0},
};

const struct step_key safety_config_keys[] = {
    {"max_depth", KEY_INT, DEPTH_RANGE, .doc = "As limits.max_depth."},
    {"timeout_seconds", KEY_SECONDS, KEY_ABOVE(0), .doc = "As limits.wall, in seconds."},
    {"memory_limit_mb", KEY_INT, MEMORY_RANGE, .doc = "As limits.memory, in MB."},
    ENABLED_ROW,
    {0},
};

const struct step_key cost_limits_keys[] = {
    {"max_cost_per_run", KEY_NUMBER, KEY_FROM(0), .doc = "As budget.usd."},
    {"max_cost_per_step", KEY_NUMBER, KEY_FROM(0), .doc = "As budget.usd of each model step."},
    {"action_on_exceed", KEY_ENUM, .choices = "pause|continue|abort", .fallback = "pause",
     .doc = "What a model step does when the money is spent: wait for a person; ask all the same; end the run."},
    ENABLED_ROW,
    {0},
};

const struct step_key cost_alerts_keys[] = {
    {"threshold_usd", KEY_NUMBER, KEY_FROM(0), .doc = "As budget.usd."},
    ENABLED_ROW,
    {0},
};

const struct step_key token_management_keys[] = {
    {"total_token_budget", KEY_INT, KEY_FROM(0), .doc = "As budget.tokens."},
    ENABLED_ROW,
    {0},
};

static void action(struct loader *l, const struct member *m)
{
    struct str s;
    if (!load_text(l, m, &s))
        return;
    if (str_is(s, "pause"))
        l->w->over_budget = OVER_BUDGET_PAUSE;
    else if (str_is(s, "continue"))
        l->w->over_budget = OVER_BUDGET_CONTINUE;
    else if (str_is(s, "abort"))
        l->w->over_budget = OVER_BUDGET_ABORT;
    else
        BAD(l, &m->val, "`%s` is `%s`; expected pause, continue or abort", clip(m->key).z, clip(s).z);
}

static void megabytes(struct loader *l, const struct step_key *keys, const struct member *m, int64_t *ret)
{
    if (load_int(l, keys, m, ret))
        *ret <<= 20;
}

static void old_limit(struct loader *l, const struct step_key *keys, const struct member *m, enum old_target target)
{
    struct run_limits *r = &l->w->limits;
    struct budget *b = &l->w->budget;
    double usd;
    switch (target) {
    case OLD_FRAMES:
        (void)load_int(l, keys, m, &r->frames);
        break;
    case OLD_MEMORY_MB:
        megabytes(l, keys, m, &r->memory);
        break;
    case OLD_WORKSPACE_MB:
        megabytes(l, keys, m, &r->workspace);
        break;
    case OLD_OUTPUT_MB:
        megabytes(l, keys, m, &r->output);
        break;
    case OLD_WALL_S:
        (void)load_duration(l, keys, m, &r->wall_ms);
        break;
    case OLD_DEPTH:
        (void)load_int(l, keys, m, &r->max_depth);
        break;
    case OLD_PARALLEL:
        (void)load_int(l, keys, m, &r->max_parallel);
        break;
    case OLD_TOKENS:
        (void)load_int(l, keys, m, &b->tokens);
        break;
    case OLD_USD: /* of several ceilings the lowest holds */
        if (load_number(l, keys, m, &usd) && (b->usd < 0 || usd < b->usd))
            b->usd = usd;
        break;
    case OLD_STEP_USD:
        (void)load_number(l, keys, m, &l->step_usd);
        break;
    case OLD_ACTION:
        action(l, m);
        break;
    }
}

static void old_block(struct loader *l, const struct member *m)
{
    const struct step_key *keys = key_block(arena_str(l->ps->a, m->key).p)->keys;
    const struct member *enabled = val_member(&m->val, STR("enabled"));
    bool on = true;
    if (!load_object(l, m) || (enabled && !load_bool(l, enabled, &on)) || !on)
        return;
    const struct member *unused = NULL;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        bool known = key_find(keys, k->key);
        for (size_t t = 0; known && t < sizeof targets / sizeof *targets; t++)
            if (str_is(k->key, targets[t].key))
                old_limit(l, keys, k, targets[t].target);
        if (!known && !load_misspelt_key(l, k, m->key, keys) && !unused)
            unused = k;
    }
    if (unused)
        problem_add(l->ps, true, unused->line, unused->col,
                    "`%s` of `%s` has no effect; bounds are written in `limits` and `budget`", clip(unused->key).z,
                    clip(m->key).z);
}

/* ---- providers and models: only what names a model is read ---- */

static void old_models(struct loader *l, const struct member *m)
{
    static const char *const known[] = {"providers.claude.model",       "providers.claude.temperature",
                                        "providers.claude.max_tokens",  "providers.gemini.model",
                                        "providers.gemini.temperature", "providers.gemini.max_tokens",
                                        "models.claude.default",        "models.gemini.default"};
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *of = &m->val.obj.m[i], *unused = of->val.type == VAL_OBJECT ? NULL : of;
        for (size_t k = 0; of->val.type == VAL_OBJECT && k < of->val.obj.n; k++) {
            const struct member *x = &of->val.obj.m[k];
            struct str path =
                arena_printf(l->ps->a, "%.*s.%.*s.%.*s", STR_ARG(m->key), STR_ARG(of->key), STR_ARG(x->key));
            bool read = false;
            for (size_t n = 0; n < sizeof known / sizeof *known; n++)
                read |= str_is(path, known[n]);
            if (!read && !unused)
                unused = x;
        }
        if (!unused)
            continue;
        problem_add(l->ps, true, unused->line, unused->col,
                    "`%s` of `%s` has no effect; models are named in `defaults` and in steps, another model for an "
                    "overloaded one by `fallback_model`",
                    clip(unused->key).z, clip(m->key).z);
        return;
    }
}

/* ---- environment: its blocks for a mode may bound costs ---- */

static void environment(struct loader *l, const struct member *m)
{
    if (!load_object(l, m))
        return;
    const struct val *mode = VAL_GET(&m->val, "mode");
    const struct member *alerts = val_member(&m->val, STR("cost_alerts"));
    const struct val *of_mode = val_is(mode, VAL_STR) ? val_get(&m->val, mode->s) : NULL;
    if (val_member(of_mode, STR("cost_alerts")))
        alerts = val_member(of_mode, STR("cost_alerts"));
    if (alerts)
        old_block(l, alerts);
}

void load_old_key(struct loader *l, const struct member *m)
{
    bool on = false;
    if (str_is(m->key, "max_execution_time"))
        load_older(l, m, "limits: {wall: …}");
    if (str_is(m->key, "max_execution_time"))
        (void)load_duration(l, workflow_keys, m, &l->w->limits.wall_ms);
    else if (str_is(m->key, "continue_on_error"))
        (void)load_bool(l, m, &l->continue_on_error);
    else if (str_is(m->key, "retry_attempts")) {
        load_retries(l, workflow_keys, m, l->retry.set ? &l->retry : &(struct retry_policy){0});
    } else if (str_is(m->key, "retry_on_failure")) {
        if (load_bool(l, m, &on) && on && !l->retry.set) {
            l->retry.set = true;
            l->retry.max_attempts = 3;
        }
    } else if (str_is(m->key, "providers") || str_is(m->key, "models")) {
        old_models(l, m);
    } else if (str_is(m->key, "environment")) {
        environment(l, m);
    } else {
        old_block(l, m);
    }
}

/* ---- models of providers, as `defaults` ---- */

static void copy_key(struct val_map *to, const char *name, const struct val *from, const char *key)
{
    const struct val *v = val_get(from, str_c(key));
    if (v)
        val_map_set(to, str_c(name), *v);
}

void providers_defaults(struct arena *a, const struct val *providers, struct val_map *ret)
{
    const struct val *claude = VAL_GET(providers, "claude"), *gemini = VAL_GET(providers, "gemini");
    struct val_map generation = val_map_new(a), options = val_map_new(a);
    copy_key(ret, "claude_model", claude, "model");
    copy_key(ret, "gemini_model", gemini, "model");
    copy_key(&generation, "temperature", gemini, "temperature");
    copy_key(&generation, "max_output_tokens", gemini, "max_tokens");
    copy_key(&options, "temperature", claude, "temperature");
    copy_key(&options, "max_tokens", claude, "max_tokens");
    if (options.n)
        VAL_MAP_SET(ret, "claude_options", val_map_done(&options));
    if (generation.n)
        VAL_MAP_SET(ret, "gemini_token_budget", val_map_done(&generation));
}

void load_old_defaults(struct loader *l, const struct val *root, struct val_map *ret)
{
    const struct val *models = VAL_GET(root, "models");
    copy_key(ret, "claude_model", VAL_GET(models, "claude"), "default");
    copy_key(ret, "gemini_model", VAL_GET(models, "gemini"), "default");
    providers_defaults(l->a, VAL_GET(root, "providers"), ret);
}
