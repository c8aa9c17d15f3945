#pragma once
/* The keys of a workflow as tables: for the loader, the schema and the docs.
 *
 * The keys of a step type are in its own table (flow/step.h), those of every step in step_common_keys. A row with
 * `alias_of` is an accepted spelling. */
#include "flow/step.h"

/* A documented key of older workflows that changes nothing here: it is accepted with a warning. */
struct unused_key {
    const char *name;
    const char *why; /* what the author should know or do, for the warning */
};

extern const struct step_key workflow_keys[]; /* of the workflow itself */
extern const struct step_key default_keys[];  /* of `defaults` */
extern const struct step_key input_keys[];    /* of one input's declaration */
extern const struct step_key retry_keys[];    /* of `retry` */
extern const struct step_key limit_keys[];    /* of `limits` */
extern const struct step_key budget_keys[];   /* of `budget` */
extern const struct step_key cache_keys[];    /* of `cache` of a step */
extern const struct step_key cache_config_keys[];
extern const struct step_key performance_keys[], workspace_config_keys[], output_config_keys[], directories_keys[],
    organize_keys[];
extern const struct step_key restart_keys[];     /* of `restart` */
extern const struct step_key call_config_keys[]; /* of `config` of a pipeline step */
extern const struct step_key graceful_timeout_keys[], memory_limits_keys[], memory_actions_keys[], auto_cleanup_keys[],
    immediate_timeout_keys[], prune_results_keys[], performance_budgets_keys[], on_budget_exceeded_keys[],
    workspace_isolation_keys[], call_workspace_keys[], inheritance_keys[], inherited_variables_keys[],
    inherited_providers_keys[], inherited_functions_keys[], provider_settings_keys[], model_settings_keys[],
    claude_settings_keys[];                      /* of blocks in it */
extern const struct step_key prompt_part_keys[]; /* of one part of a prompt */
extern const struct unused_key workflow_unused_keys[], step_unused_keys[], default_unused_keys[], part_unused_keys[];
extern const struct unused_key call_config_unused_keys[];
/* Of blocks of steps that ask a model (option_keys.c). */
extern const struct step_key claude_options_keys[], token_budget_keys[], model_retry_keys[], session_config_keys[],
    extraction_config_keys[], tasks_config_keys[], task_generator_keys[];
/* Of what a file_ops step names: sources, files with criteria, what is done with a file (option_keys.c). */
extern const struct step_key file_source_keys[], file_criteria_keys[], processor_keys[];
extern const struct unused_key claude_options_unused_keys[];
/* Of a file_ops step; from FILE_OPTIONS on also of its `options` (step/file_ops.c). */
extern const struct step_key file_ops_keys[];
enum { FILE_OPTIONS = 2 };
extern const struct unused_key token_budget_unused_keys[];
/* Of blocks of older workflows (load_old.c). */
extern const struct step_key resource_limits_keys[], safety_keys[], safety_config_keys[], cost_limits_keys[],
    cost_alerts_keys[], token_management_keys[];

enum { KEY_TURNS_MAX = 10000 }; /* max_turns */

/* A map with keys of its own. Rows name it in `choices`. */
struct key_block {
    const char *name;
    const struct step_key *keys;
    const struct unused_key *unused; /* or NULL */
    bool plain; /* its values are checked with the key that it is the value of; else whoever reads it does that */
    bool open;  /* keys that are unknown are no error */
    bool holes; /* numbers and the like in it may be templates; so it is in what is plain */
    bool hole;  /* one template may stand for the whole */
};
const struct key_block *key_block_at(size_t i);
const struct key_block *key_block(const char *name);
/* The block that the row's value is, NULL where it is none. */
const struct key_block *key_block_of(const struct step_key *row);

/* What a part of a prompt takes beside `type` and `condition`: keys, each between bars; `needs` or NULL: the one that
 * it must have. */
struct part_kind {
    const char *name, *needs, *keys;
};
const struct part_kind *part_kind_at(size_t i);

/* The row called `name`, NULL when there is none. */
const struct step_key *key_find(const struct step_key *table, struct str name);
const struct unused_key *key_find_unused(const struct unused_key *table, struct str name);
/* Follows `alias_of` to the row that the value is stored under. */
const struct step_key *key_canonical(const struct step_key *table, const struct step_key *row);
