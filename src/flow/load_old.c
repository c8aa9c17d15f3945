/* What older workflows say at their top: limits and budgets under other names, models of providers, and an input's
 * declaration as a JSON Schema. A block that means something here gets that meaning; what of it means nothing is told
 * in one notice a block. */
#include "flow/load_int.h"

/* ---- blocks whose values are limits under other names ---- */

enum old_target {
    OLD_FRAMES,
    OLD_MEMORY_MB,
    OLD_WALL_S,
    OLD_DEPTH,
    OLD_PARALLEL,
    OLD_TOKENS,
    OLD_USD,
    OLD_STEP_USD,
    OLD_ACTION
};
static const struct {
    const char *block, *key;
    enum old_target target;
} old_limits[] = {
    {"resource_limits", "max_total_steps", OLD_FRAMES},
    {"resource_limits", "max_memory_mb", OLD_MEMORY_MB},
    {"resource_limits", "max_execution_time_s", OLD_WALL_S},
    {"resource_limits", "max_nesting_depth", OLD_DEPTH},
    {"resource_limits", "max_parallel_steps", OLD_PARALLEL},
    {"resource_limits", "max_tokens_total", OLD_TOKENS},
    {"resource_limits", "max_cost_usd", OLD_USD},
    {"safety", "max_nesting_depth", OLD_DEPTH},
    {"safety", "max_recursion_time", OLD_WALL_S},
    {"safety", "max_cost_usd", OLD_USD},
    {"safety_config", "max_depth", OLD_DEPTH},
    {"safety_config", "timeout_seconds", OLD_WALL_S},
    {"safety_config", "memory_limit_mb", OLD_MEMORY_MB},
    {"cost_limits", "max_cost_per_run", OLD_USD},
    {"cost_limits", "max_cost_per_step", OLD_STEP_USD},
    {"cost_limits", "action_on_exceed", OLD_ACTION},
    {"cost_alerts", "threshold_usd", OLD_USD},
    {"token_management", "total_token_budget", OLD_TOKENS},
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

static void old_limit(struct loader *l, const struct member *m, enum old_target target)
{
    struct run_limits *r = &l->w->limits;
    struct budget *b = &l->w->budget;
    double usd;
    switch (target) {
    case OLD_FRAMES:
        (void)load_int(l, m, 1, INT64_MAX, &r->frames);
        break;
    case OLD_MEMORY_MB:
        if (load_int(l, m, 1, 1 << 30, &r->memory))
            r->memory <<= 20;
        break;
    case OLD_WALL_S:
        (void)load_duration(l, m, &r->wall_ms);
        break;
    case OLD_DEPTH:
        (void)load_int(l, m, 1, 1000, &r->max_depth);
        break;
    case OLD_PARALLEL:
        (void)load_int(l, m, 1, 100000, &r->max_parallel);
        break;
    case OLD_TOKENS:
        (void)load_int(l, m, 0, INT64_MAX, &b->tokens);
        break;
    case OLD_USD: /* of several ceilings the lowest holds */
        if (load_number(l, m, &usd) && (b->usd < 0 || usd < b->usd))
            b->usd = usd;
        break;
    case OLD_STEP_USD:
        (void)load_number(l, m, &l->step_usd);
        break;
    case OLD_ACTION:
        action(l, m);
        break;
    }
}

static void old_block(struct loader *l, const struct member *m)
{
    const struct val *enabled = VAL_GET(&m->val, "enabled");
    if (!load_object(l, m) || (val_is(enabled, VAL_BOOL) && !enabled->b))
        return;
    const struct member *unused = NULL;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        bool known = str_is(k->key, "enabled");
        for (size_t t = 0; t < sizeof old_limits / sizeof *old_limits; t++)
            if (str_is(m->key, old_limits[t].block) && str_is(k->key, old_limits[t].key)) {
                old_limit(l, k, old_limits[t].target);
                known = true;
            }
        if (!known && !unused)
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
        (void)load_duration(l, m, &l->w->limits.wall_ms);
    else if (str_is(m->key, "continue_on_error"))
        (void)load_bool(l, m, &l->continue_on_error);
    else if (str_is(m->key, "retry_attempts")) {
        if (l->retry.set)
            load_retries(l, m, &l->retry);
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
