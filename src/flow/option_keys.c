/* Blocks of options of the steps that ask a model, as tables of keys: claude_options, token_budget and the like.
 *
 * The tables are here and not with the step types because `defaults` of a workflow has the same blocks. What a model
 * takes differs by its provider: Anthropic's temperature ends at 1, Gemini's and OpenAI's at 2. */
#include "flow/keys.h"

#define TOKENS_MAX INT32_MAX
#define DAY_MS     86400000
#define TOOLS      "Read, Write, Edit, Bash, Glob, Grep"
#define EFFORTS    "low|medium|high|xhigh|max"
#define PRESETS    "development|production|analysis|chat|test"

const struct step_key claude_options_keys[] = {
    {"model", KEY_TEMPLATE, .doc = "haiku, sonnet, opus, or a full model name."},
    {"fallback_model", KEY_TEMPLATE, .doc = "The model that is asked when the first is overloaded."},
    {"max_turns", KEY_INT, .fallback = "50", KEY_FROM_TO(1, KEY_TURNS_MAX),
     .doc = "Most calls of the model in the step, tool rounds included."},
    {"allowed_tools", KEY_STRINGS, .fallback = "none", .doc = "Tools the model may use: " TOOLS "."},
    {"tools", KEY_STRINGS, .doc = "Another spelling of `allowed_tools`.", .alias_of = "allowed_tools"},
    {"disallowed_tools", KEY_STRINGS, .doc = "Tools of those that it may not use after all."},
    {"system_prompt", KEY_TEMPLATE, .doc = "The system prompt."},
    {"system", KEY_TEMPLATE, .doc = "Another spelling of `system_prompt`.", .alias_of = "system_prompt"},
    {"append_system_prompt", KEY_TEMPLATE, .doc = "Text behind the system prompt."},
    {"cwd", KEY_TEMPLATE, .fallback = "the workspace", .doc = "Directory that tools start in, inside the workspace."},
    {"timeout_ms", KEY_MS, KEY_FROM(1), .doc = "Of one call of the model."},
    {"timeout_seconds", KEY_SECONDS, KEY_FROM_TO(0.001, 1e12), .doc = "The same in seconds."},
    {"retry_config", KEY_OBJECT, .choices = "model_retry", .doc = "How failed calls are tried again."},
    {"session_id", KEY_TEMPLATE, .doc = "The session that the step speaks in."},
    {"resume_session", KEY_ANY,
     .doc = "The name of a session; true: the run's newest; false: the one of `session_id` begins anew."},
    {"output_format", KEY_TEMPLATE,
     .doc = "text, json or stream_json: the result has one shape here, so it changes nothing."},
    {"temperature", KEY_NUMBER, KEY_FROM_TO(0, 1), .doc = "Sampling temperature."},
    {"max_tokens", KEY_INT, KEY_FROM_TO(1, TOKENS_MAX), .doc = "Longest answer, in tokens."},
    {"max_output_tokens", KEY_INT, .doc = "Another spelling of `max_tokens`.", .alias_of = "max_tokens"},
    {"top_p", KEY_NUMBER, KEY_FROM_TO(0, 1), .doc = "Nucleus sampling."},
    {"top_k", KEY_INT, KEY_FROM_TO(1, TOKENS_MAX), .doc = "Sample from the k likeliest."},
    {"stop", KEY_STRINGS, .doc = "Texts at which the answer ends."},
    {"effort", KEY_ENUM, .choices = EFFORTS, .doc = "How hard the model thinks."},
    {"extra", KEY_OBJECT, .doc = "More fields of the request, as the provider names them."},
    {"preset", KEY_ENUM, .choices = PRESETS, .doc = "A set of tools, model and manner."},
    {"verbose", KEY_BOOL, .doc = "Accepted; everything is recorded."},
    {"print", KEY_BOOL, .doc = "Accepted; a step always prints."},
    {"role", KEY_ANY, .doc = "A label; kept, not interpreted."},
    {0},
};

static const char streamed[] = "progress is shown as it comes; treadle logs RUN has the whole";
static const char no_mcp[] = "MCP servers are not available in this version";
static const char no_questions[] = "a step has the tools of allowed_tools, without questions";
static const char no_program[] = "models are asked directly, without a program of Claude Code";

const struct unused_key claude_options_unused_keys[] = {
    {"debug_mode", "everything is recorded: treadle logs RUN shows it"},
    {"telemetry_enabled", "usage is recorded for every call"},
    {"cost_tracking", "costs are recorded for every call"},
    {"permission_mode", no_questions},
    {"permission_prompt_tool", no_questions},
    {"mcp_config", no_mcp},
    {"mcp_servers", no_mcp},
    {"mcp_tools", no_mcp},
    {"strict_mcp_config", no_mcp},
    {"tool_permissions", no_questions},
    {"bypass_permissions", no_questions},
    {"dangerously_skip_permissions", no_questions},
    {"executable", no_program},
    {"executable_args", no_program},
    {"path_to_claude_code_executable", no_program},
    {"extra_args", no_program},
    {"input_format", "a prompt is text, or a list of parts"},
    {"json_schema", "write output_schema on the step"},
    {"max_thinking_tokens", "write effort: low, medium, high, xhigh or max"},
    {"max_budget_usd", "write budget: {usd: ...} on the step"},
    {"max_retries", "write retry_config: {max_retries: ...}"},
    {"continue", "write resume_session: true, or use claude_session"},
    {"env", "write secrets on the steps whose commands need variables"},
    {"environment_aware", "write it on a claude_smart step"},
    {"agents", "agents of Claude Code are not used"},
    {"agent", "agents of Claude Code are not used"},
    {"hooks", "hooks of Claude Code are not used"},
    {"enable_skills", "skills are not available in this version"},
    {"setting_sources", "settings of Claude Code are not read"},
    {"settings", "settings of Claude Code are not read"},
    {"plugins", "settings of Claude Code are not read"},
    {"fork_session", "a session has one line of turns"},
    {"add_dir", "tools reach the workspace only"},
    {"async_streaming", "replies are always streamed"},
    {"pass_through_streaming", "replies are always streamed"},
    {"include_partial_messages", "replies are always streamed"},
    {"stream", streamed},
    {"streaming", streamed},
    {"stream_handler", streamed},
    {"stream_handler_opts", streamed},
    {"stream_buffer_size", streamed},
    {"stream_console_config", streamed},
    {"stream_simple_config", streamed},
    {"stream_debug_config", streamed},
    {"stream_file_config", streamed},
    {"stream_file_format", streamed},
    {"stream_file_path", streamed},
    {"stream_file_rotation", streamed},
    {"stream_buffer_config", streamed},
    {"stream_callback_config", streamed},
    {0},
};

const struct step_key token_budget_keys[] = {
    {"max_output_tokens", KEY_INT, KEY_FROM_TO(1, TOKENS_MAX), .doc = "Longest answer, in tokens."},
    {"max_tokens", KEY_INT, .doc = "Another spelling of `max_output_tokens`.", .alias_of = "max_output_tokens"},
    {"temperature", KEY_NUMBER, KEY_FROM_TO(0, 2), .doc = "Sampling temperature."},
    {"top_p", KEY_NUMBER, KEY_FROM_TO(0, 1), .doc = "Nucleus sampling."},
    {"top_k", KEY_INT, KEY_FROM_TO(1, TOKENS_MAX), .doc = "Sample from the k likeliest."},
    {"stop", KEY_STRINGS, .doc = "Texts at which the answer ends."},
    {"stop_sequences", KEY_STRINGS, .doc = "Another spelling of `stop`.", .alias_of = "stop"},
    {"maxOutputTokens", KEY_INT, .doc = "Another spelling of `max_output_tokens`.", .alias_of = "max_output_tokens"},
    {"topP", KEY_NUMBER, .doc = "Another spelling of `top_p`.", .alias_of = "top_p"},
    {"topK", KEY_INT, .doc = "Another spelling of `top_k`.", .alias_of = "top_k"},
    {"stopSequences", KEY_STRINGS, .doc = "Another spelling of `stop`.", .alias_of = "stop"},
    {0},
};

const struct unused_key token_budget_unused_keys[] = {
    {"candidate_count", "a step has one answer; a loop asks more often"},
    {"candidateCount", "a step has one answer; a loop asks more often"},
    {"response_mime_type", "write output_schema on the step"},
    {"responseMimeType", "write output_schema on the step"},
    {"response_schema", "write output_schema on the step"},
    {"responseSchema", "write output_schema on the step"},
    {"thinking_budget", "write effort: low, medium, high, xhigh or max"},
    {"thinkingConfig", "write effort: low, medium, high, xhigh or max"},
    {"max_input_tokens", "a prompt is as long as it is; `budget` bounds what is spent"},
    {0},
};

const struct step_key model_retry_keys[] = {
    {"max_retries", KEY_INT, .fallback = "3", KEY_FROM_TO(0, 999), .doc = "Attempts after the first."},
    {"backoff_strategy", KEY_ENUM, .choices = "exponential|linear|fixed", .fallback = "exponential",
     .doc = "How delays grow."},
    {"base_delay_ms", KEY_MS, .fallback = "1000", KEY_FROM_TO(0, DAY_MS), .doc = "Before the second attempt."},
    {"max_delay_ms", KEY_MS, .fallback = "60000", KEY_FROM_TO(0, DAY_MS), .doc = "The longest delay."},
    {"retry_conditions", KEY_STRINGS, .doc = "Classes of errors to retry, such as timeout, rate_limit, api_error."},
    {"retry_on", KEY_STRINGS, .doc = "Another spelling of `retry_conditions`.", .alias_of = "retry_conditions"},
    {"fallback_action", KEY_TEMPLATE, .doc = "claude_robust: what follows when no attempt gave an answer."},
    {0},
};

const struct step_key session_config_keys[] = {
    {"session_name", KEY_TEMPLATE, .doc = "Name of the conversation."},
    {"session_id", KEY_TEMPLATE, .doc = "As session_name.", .alias_of = "session_name"},
    {"persist", KEY_BOOL, .fallback = "true where it has a name", .doc = "Whether it outlives the run."},
    {"max_turns", KEY_INT, .fallback = "no bound", KEY_FROM(1), .doc = "Exchanges that it may have in all."},
    {"max_session_turns", KEY_INT, .doc = "Of a conversation: at least as many as it has exchanges; else as max_turns.",
     .alias_of = "max_turns"},
    {"description", KEY_TEMPLATE, .doc = "For people."},
    {"continue_on_restart", KEY_BOOL, .doc = "Accepted; it always goes on."},
    {"checkpoint_frequency", KEY_INT, KEY_FROM(0), .doc = "Accepted; every exchange is kept."},
    {"checkpoint_interval", KEY_INT, .doc = "As checkpoint_frequency.", .alias_of = "checkpoint_frequency"},
    {0},
};

const struct step_key extraction_config_keys[] = {
    {"format", KEY_ENUM, .choices = "text|json|structured|summary|markdown", .fallback = "text; with a schema: json",
     .doc = "The form of the answer."},
    {"output_format", KEY_ENUM, .choices = "text|json|structured|summary|markdown", .doc = "As format.",
     .alias_of = "format"},
    {"use_content_extractor", KEY_BOOL, .doc = "Accepted; what `post_processing` names is always done."},
    {"post_processing", KEY_STRINGS, .doc = "What is picked out of it: extract_links, extract_code_blocks, …"},
    {"max_summary_length", KEY_INT, .fallback = "500", KEY_FROM_TO(1, INT32_MAX), .doc = "Characters of a summary."},
    {"include_metadata", KEY_BOOL, .fallback = "false", .doc = "Whether the result has `extraction_metadata`."},
    {"sections", KEY_ANY, .doc = "Told to the model: the sections of its answer."},
    {"summary_style", KEY_ANY, .doc = "Told to the model: the style of a summary."},
    {"max_points", KEY_INT, KEY_FROM(1), .doc = "Told to the model: how many points it may make."},
    {"include_key_metrics", KEY_ANY, .doc = "Told to the model."},
    {"heading_level", KEY_INT, KEY_FROM_TO(1, 6), .doc = "Told to the model: of its headings."},
    {"include_toc", KEY_ANY, .doc = "Told to the model: a table of contents."},
    {"code_fence_style", KEY_ANY, .doc = "Told to the model."},
    {"code_block_processing", KEY_ANY, .doc = "Told to the model."},
    {"recommendation_format", KEY_ANY, .doc = "Told to the model."},
    {0},
};

const struct step_key tasks_config_keys[] = {
    {"max_parallel", KEY_INT, .fallback = "claude_batch: 3; parallel_claude: all", KEY_FROM_TO(1, 10000),
     .doc = "How many tasks at a time, at the most."},
    {"max_workers", KEY_INT, .doc = "Another spelling of `max_parallel`.", .alias_of = "max_parallel"},
    {"timeout_per_task", KEY_MS, .fixed = true, KEY_FROM(1),
     .doc = "Milliseconds; what is below 1000 is read as seconds."},
    {"consolidate_results", KEY_BOOL, .fallback = "true", .doc = "claude_batch: one text of all answers."},
    {"retry_failed", KEY_BOOL, .fixed = true, .fallback = "false",
     .doc = "Whether a task that failed is tried once more."},
    {"tasks", KEY_ANY, .doc = "The tasks, as on the step."},
    {"queue_size", KEY_ANY, .doc = "Accepted; what waits costs next to nothing."},
    {0},
};

const struct step_key task_generator_keys[] = {
    {"type", KEY_ENUM, .choices = "file_list", .fallback = "file_list", .doc = "Where the items come from: files."},
    {"pattern", KEY_TEMPLATE, .required = true, .doc = "Which files, such as src/**/*.c."},
    {"batch_size", KEY_INT, .fallback = "1", KEY_FROM_TO(1, 10000), .doc = "How many files an item has."},
    {0},
};

/* ---- files of a file_ops step ---- */

const struct step_key file_source_keys[] = {
    {"path", KEY_TEMPLATE, .doc = "A file or directory."},
    {"pattern", KEY_TEMPLATE, .doc = "Files: `*`, `?`, `**`, `[a-z]`, `{a,b}`."},
    {"exclude", KEY_ANY, .doc = "Patterns of names or paths that are left out."},
    {"older_than", KEY_ANY, .doc = "Only what was not changed for so long: `7 days`, `12h`."},
    {0},
};

const struct step_key file_criteria_keys[] = {
    {"path", KEY_TEMPLATE, .doc = "A file or directory."},
    {"pattern", KEY_TEMPLATE, .doc = "Files; each must meet the criteria."},
    {"must_exist", KEY_BOOL, .fallback = "true", .doc = "Whether it must be there."},
    {"must_be_file", KEY_BOOL, .doc = "It must be a file."},
    {"must_be_dir", KEY_BOOL, .doc = "It must be a directory."},
    {"min_size", KEY_SIZE, .doc = "How large it must be at least."},
    {"max_size", KEY_SIZE, .doc = "How large it may be at most."},
    {"must_contain", KEY_ANY, .doc = "Text, or a list of texts, that must stand in it."},
    {"validate_json", KEY_BOOL, .doc = "It must be JSON."},
    {"validate_yaml", KEY_BOOL, .doc = "It must be YAML."},
    {"validate_xml", KEY_BOOL, .doc = "It must be XML."},
    {"validate_csv", KEY_BOOL, .doc = "It must be CSV with as many columns in each row."},
    {"must_be_readable", KEY_BOOL, .doc = "It can be read."},
    {"must_be_writable", KEY_BOOL, .doc = "It can be written."},
    {0},
};

const struct step_key processor_keys[] = {
    {"type", KEY_STRING, .required = true, .doc = "identity, uppercase, lowercase, trim or replace."},
    {"pattern", KEY_TEMPLATE, .doc = "replace: the text that is replaced."},
    {"replacement", KEY_TEMPLATE, .doc = "replace: the new text."},
    {0},
};

/* ---- blocks by name ---- */

static const struct key_block blocks[] = {
    {.name = "claude_options",
     .keys = claude_options_keys,
     .unused = claude_options_unused_keys,
     .plain = true,
     .open = true},
    {.name = "token_budget",
     .keys = token_budget_keys,
     .unused = token_budget_unused_keys,
     .plain = true,
     .open = true},
    {.name = "model_retry", .keys = model_retry_keys, .plain = true, .open = true},
    {.name = "session_config", .keys = session_config_keys, .plain = true, .open = true},
    {.name = "extraction_config", .keys = extraction_config_keys, .plain = true},
    {.name = "tasks_config", .keys = tasks_config_keys, .holes = true},
    {.name = "options", .keys = file_ops_keys + FILE_OPTIONS, .plain = true, .hole = true},
    {.name = "task_generator", .keys = task_generator_keys, .holes = true},
    {.name = "file_source", .keys = file_source_keys, .holes = true},
    {.name = "file_criteria", .keys = file_criteria_keys, .holes = true},
    {.name = "processor", .keys = processor_keys, .holes = true},
    {.name = "restart", .keys = restart_keys, .plain = true},
    {.name = "retry", .keys = retry_keys},
    {.name = "limits", .keys = limit_keys},
    {.name = "budget", .keys = budget_keys},
    {.name = "defaults", .keys = default_keys, .unused = default_unused_keys},
    {.name = "cache", .keys = cache_keys, .holes = true},
    {.name = "cache_config", .keys = cache_config_keys, .open = true},
    {.name = "performance", .keys = performance_keys},
    {.name = "workspace_config", .keys = workspace_config_keys},
    {.name = "output_config", .keys = output_config_keys},
    {.name = "directories", .keys = directories_keys},
    {.name = "organize", .keys = organize_keys},
    {.name = "call_config", .keys = call_config_keys, .unused = call_config_unused_keys, .holes = true},
    {.name = "graceful_timeout", .keys = graceful_timeout_keys, .holes = true, .hole = true},
    {.name = "memory_limits", .keys = memory_limits_keys, .holes = true, .hole = true},
    {.name = "auto_cleanup", .keys = auto_cleanup_keys, .holes = true, .hole = true},
    {.name = "immediate_timeout", .keys = immediate_timeout_keys, .holes = true, .hole = true},
    {.name = "memory_actions", .keys = memory_actions_keys, .holes = true, .hole = true},
    {.name = "prune_results", .keys = prune_results_keys, .holes = true, .hole = true},
    {.name = "performance_budgets", .keys = performance_budgets_keys, .holes = true, .hole = true},
    {.name = "on_budget_exceeded", .keys = on_budget_exceeded_keys, .holes = true, .hole = true},
    {.name = "workspace_isolation", .keys = workspace_isolation_keys, .holes = true, .hole = true},
    {.name = "call_workspace", .keys = call_workspace_keys, .holes = true, .hole = true},
    {.name = "inheritance", .keys = inheritance_keys, .holes = true, .hole = true},
    {.name = "inherited_variables", .keys = inherited_variables_keys, .holes = true, .hole = true},
    {.name = "inherited_providers", .keys = inherited_providers_keys, .holes = true, .hole = true},
    {.name = "inherited_functions", .keys = inherited_functions_keys, .holes = true, .hole = true},
    {.name = "provider_settings", .keys = provider_settings_keys, .holes = true, .hole = true},
    {.name = "model_settings", .keys = model_settings_keys, .holes = true, .hole = true},
    {.name = "claude_settings", .keys = claude_settings_keys, .holes = true, .hole = true},
    {.name = "prompt_part", .keys = prompt_part_keys, .unused = part_unused_keys},
    {.name = "input", .keys = input_keys},
    {.name = "resource_limits", .keys = resource_limits_keys, .open = true},
    {.name = "safety", .keys = safety_keys, .open = true},
    {.name = "safety_config", .keys = safety_config_keys, .open = true},
    {.name = "cost_limits", .keys = cost_limits_keys, .open = true},
    {.name = "cost_alerts", .keys = cost_alerts_keys, .open = true},
    {.name = "token_management", .keys = token_management_keys, .open = true},
};

const struct key_block *key_block_at(size_t i)
{
    return i < sizeof blocks / sizeof *blocks ? &blocks[i] : NULL;
}

const struct key_block *key_block(const char *name)
{
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (strcmp(blocks[i].name, name) == 0)
            return &blocks[i];
    return NULL;
}

const struct key_block *key_block_of(const struct step_key *row)
{
    return row->choices && row->kind != KEY_ENUM ? key_block(row->choices) : NULL;
}
