/* The blocks in `config` of a step that calls a workflow: their keys, and that what is written there fits them. A block
 * may hold blocks; which table belongs to one is said by its row (`choices`), as for the schema. */
#include "flow/load_int.h"

const struct step_key graceful_timeout_keys[] = {
    {"return_partial_results", KEY_BOOL, .fallback = "true", .doc = "Whether the run goes on with them."},
    {"save_checkpoint", KEY_BOOL, .doc = "Accepted; every step is recorded."},
    {"cleanup_resources", KEY_BOOL, .doc = "Accepted; what runs is always stopped."},
    {0},
};

const struct step_key immediate_timeout_keys[] = {
    {"force_stop", KEY_BOOL, .doc = "Accepted; what runs is always stopped at once."},
    {"skip_cleanup", KEY_BOOL, .fallback = "false", .doc = "Whether its directory stays."},
    {0},
};

const struct step_key auto_cleanup_keys[] = {
    {"enabled", KEY_BOOL, .fallback = "true", .doc = "false: the block says nothing."},
    {"threshold_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "As gc_threshold_mb."},
    {"keep_final_result", KEY_BOOL, .doc = "Accepted; the result always stays."},
    {"cleanup_on_success", KEY_BOOL, .doc = "Accepted; nothing of a call but its result stays in memory."},
    {0},
};

const struct step_key memory_limits_keys[] = {
    {"soft_limit_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "As memory_warning_mb."},
    {"hard_limit_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "As memory_limit_mb."},
    {0},
};

#define ACTIONS_ROW(percent_)                                                                                          \
    {                                                                                                                  \
        "at_" #percent_ "_percent", KEY_STRINGS, .choices = "some_memory_actions",                                     \
                                                 .doc = "What is done when it takes more than that part of its limit." \
    }

const struct step_key memory_actions_keys[] = {
    ACTIONS_ROW(25), ACTIONS_ROW(50), ACTIONS_ROW(75),  ACTIONS_ROW(80),
    ACTIONS_ROW(90), ACTIONS_ROW(95), ACTIONS_ROW(100), {0},
};

const struct step_key prune_results_keys[] = {
    {"keep_fields", KEY_STRINGS, .doc = "Only these stay."},
    {"remove_fields", KEY_STRINGS, .doc = "These go."},
    {0},
};

const struct step_key performance_budgets_keys[] = {
    {"total_duration_ms", KEY_MS, KEY_FROM(1), .doc = "Of an attempt at the step."},
    {"step_duration_ms", KEY_MS, KEY_FROM(1), .doc = "Of each attempt at a step inside."},
    {"memory_usage_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "Of the values inside."},
    {0},
};

const struct step_key on_budget_exceeded_keys[] = {
    {"action", KEY_ENUM, .choices = "warn|error|abort", .fallback = "warn", .doc = "What follows."},
    {"notify", KEY_STRINGS, .doc = "Accepted; nobody is written to: the note is among the run's events."},
    {0},
};

const struct step_key workspace_isolation_keys[] = {
    {"enabled", KEY_BOOL, .fallback = "true", .doc = "Whether it works in a copy of the workspace."},
    {"base_dir", KEY_DATA, .doc = "Accepted; copies lie in the run's directory."},
    {"naming_pattern", KEY_DATA, .doc = "Accepted; a copy is named by the step."},
    {"permissions", KEY_DATA, .doc = "Accepted; only you can enter it."},
    {0},
};

const struct step_key call_workspace_keys[] = {
    {"create_on_start", KEY_BOOL, .doc = "Accepted; workspace_dir is made when the workflow is called."},
    {"cleanup_on_success", KEY_BOOL, .fallback = "false", .doc = "As beside it."},
    {"cleanup_on_error", KEY_BOOL, .fallback = "false", .doc = "As beside it."},
    {"preserve_outputs", KEY_BOOL, .doc = "Accepted; what steps write by output_to_file lies in output_dir."},
    {"max_size_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20),
     .doc = "A step inside that leaves more in its workspace (its own directory or copy, where it has one) fails."},
    {0},
};

const struct step_key inheritance_keys[] = {
    {"global_vars", KEY_OBJECT, .choices = "inherited_variables",
     .doc = "{include, exclude}: the caller's variables that can be read inside, as they are when it is called."},
    {"providers", KEY_OBJECT, .choices = "inherited_providers",
     .doc = "{inherit_all, override}: as inherit_providers; and models and their settings for this call."},
    {"functions", KEY_OBJECT, .choices = "inherited_functions", .doc = "{inherit}: as inherit_functions."},
    {0},
};

const struct step_key inherited_variables_keys[] = {
    {"include", KEY_STRINGS, .fallback = "all", .doc = "Only these; each must be there."},
    {"exclude", KEY_STRINGS, .doc = "These not."},
    {0},
};

const struct step_key inherited_providers_keys[] = {
    {"inherit_all", KEY_BOOL, .fallback = "true", .doc = "As inherit_providers."},
    {"override", KEY_OBJECT, .choices = "provider_settings",
     .doc = "{claude: {model, temperature, max_tokens}, gemini: {…}}: before its own `defaults`."},
    {0},
};

const struct step_key inherited_functions_keys[] = {
    {"inherit", KEY_BOOL, .fallback = "false", .doc = "As inherit_functions."},
    {0},
};

const struct step_key provider_settings_keys[] = {
    {"claude", KEY_OBJECT, .choices = "claude_settings", .doc = "Of steps that ask Claude."},
    {"gemini", KEY_OBJECT, .choices = "model_settings", .doc = "Of steps that ask Gemini."},
    {0},
};

const struct step_key claude_settings_keys[] = {
    {"model", KEY_TEMPLATE, .doc = "Its name."},
    {"temperature", KEY_NUMBER, KEY_FROM_TO(0, 1), .doc = "Sampling temperature."},
    {"max_tokens", KEY_INT, KEY_FROM_TO(1, INT32_MAX), .doc = "Of a reply, at the most."},
    {0},
};

const struct step_key model_settings_keys[] = {
    {"model", KEY_TEMPLATE, .doc = "Its name."},
    {"temperature", KEY_NUMBER, KEY_FROM_TO(0, 2), .doc = "Sampling temperature."},
    {"max_tokens", KEY_INT, KEY_FROM_TO(1, INT32_MAX), .doc = "Of a reply, at the most."},
    {0},
};

bool load_call_block(struct loader *l, const struct step_key *row, const struct member *m)
{
    const struct key_block *block = key_block_of(row);
    if (!block || block->keys == retry_keys) /* those become the step's own */
        return false;
    const struct step_key *table = block->keys;
    bool or_boolean = table == workspace_isolation_keys;
    if (load_whole_template(&m->val) || (or_boolean && m->val.type == VAL_BOOL) || !load_object(l, m))
        return true;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        const struct step_key *inner = key_find(table, k->key);
        if (!inner)
            load_unknown_key(l, k, arena_printf(l->ps->a, "`%s`", clip(m->key).z).p, table, NULL);
        else if (!load_call_block(l, inner, k))
            (void)load_key_fits(l, table, inner, k);
    }
    return true;
}
