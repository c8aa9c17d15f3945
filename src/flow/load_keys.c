/* The tables of a workflow's own keys. One sentence a key: the loader's messages, the schema and the docs use them.
 *
 * The second kind of table lists what older workflows may say and this engine does not need: such a key is accepted
 * with one warning, because a file that ran elsewhere should run here, and because silence would let its author believe
 * in an effect. A key whose absence would change what the workflow means is no such key: it is refused. */
#include "flow/load_int.h"

const struct step_key workflow_keys[] = {
    {"name", KEY_STRING, .required = true, .choices = "text", .doc = "What the workflow is called."},
    {"description", KEY_STRING, .doc = "What it does, for people and for models that may call it."},
    {"version", KEY_DATA, .doc = "The author's version; kept, not interpreted."},
    {"author", KEY_DATA, .doc = "Kept, not interpreted."},
    {"tags", KEY_DATA, .doc = "Kept, not interpreted."},
    {"last_updated", KEY_DATA, .doc = "Kept, not interpreted."},
    {"metadata", KEY_DATA, .doc = "Anything; kept, not interpreted."},
    {"environment", KEY_OBJECT,
     .doc = "{mode: development|production|test, …}: readable as environment.NAME; a block named like the mode wins."},
    {"config", KEY_OBJECT, .doc = "Constants, readable as config.NAME."},
    {"extends", KEY_STRINGS, .choices = "files",
     .doc = "A workflow file, relative to this one, whose keys hold where this one has none."},
    {"include", KEY_STRINGS, .choices = "files",
     .doc = "More such files; later ones win over earlier ones, this file over all."},
    {"components", KEY_DATA, .doc = "Anything: a place for YAML anchors."},
    {"inputs", KEY_DATA, .choices = "inputs",
     .doc = "Declared inputs by name: {type, required, default, description, enum}."},
    {"input", KEY_OBJECT, .doc = "Older spelling: values of inputs that are not given.", .alias_of = "inputs"},
    {"variables", KEY_OBJECT, .choices = "variables", .doc = "Initial variables; templates in them may read inputs."},
    {"global_vars", KEY_OBJECT, .choices = "variables", .doc = "As variables.", .alias_of = "variables"},
    {"output", KEY_ANY, .fallback = "all results", .doc = "The run's answer."},
    {"workspace_dir", KEY_STRING, .choices = "directory", .fallback = "./workspace",
     .doc = "The directory that tools and commands may touch."},
    {"output_dir", KEY_STRING, .choices = "directory", .fallback = "./outputs", .doc = "Where output_to_file writes."},
    {"defaults", KEY_OBJECT, .choices = "defaults", .doc = "What steps use that do not say otherwise."},
    {"budget", KEY_OBJECT, .choices = "budget", .doc = "The most that the run may spend: {usd, tokens}."},
    {"gemini_functions", KEY_DATA,
     .doc = "Functions that Gemini steps may name: {NAME: {description, parameters: JSON Schema}}."},
    {"secrets", KEY_STRINGS, .choices = "env_names",
     .doc = "Environment variables that steps which list them may have; redacted everywhere."},
    {"env", KEY_STRINGS, .choices = "env_names", .doc = "Environment variables that templates may read as env.NAME."},
    {"limits", KEY_OBJECT, .choices = "limits",
     .doc = "Bounds of the run: {wall, frames, memory, journal, output, workspace, max_parallel, max_depth}."},
    {"cache_config", KEY_OBJECT, .choices = "cache_config",
     .doc = "Of all that steps keep for later runs: {enabled, ttl, max_size_mb}."},
    {"workspace_config", KEY_OBJECT, .choices = "workspace_config", .doc = "{create_if_missing, max_size_mb}."},
    {"output_config", KEY_OBJECT, .choices = "output_config", .doc = "{organize_by_step}."},
    {"steps", KEY_STEPS, .required = true, .doc = "The steps, at least one."},
    {"performance", KEY_OBJECT, .choices = "performance", .doc = "Older spelling of cache_config and limits.",
     .alias_of = "limits"},
    {"directories", KEY_OBJECT, .choices = "directories",
     .doc = "Its structure.workspace and structure.outputs are the two directories.", .alias_of = "workspace_dir"},
    {"max_execution_time", KEY_SECONDS, KEY_ABOVE(0), .doc = "Seconds; as limits.wall.", .alias_of = "limits"},
    {"resource_limits", KEY_OBJECT, .choices = "resource_limits", .doc = "Older spelling of limits and budget.",
     .alias_of = "limits"},
    {"safety", KEY_OBJECT, .choices = "safety", .doc = "Older spelling of limits and budget.", .alias_of = "limits"},
    {"safety_config", KEY_OBJECT, .choices = "safety_config", .doc = "Older spelling of limits.", .alias_of = "limits"},
    {"cost_limits", KEY_OBJECT, .choices = "cost_limits",
     .doc = "{max_cost_per_run, max_cost_per_step, action_on_exceed}.", .alias_of = "budget"},
    {"cost_alerts", KEY_OBJECT, .choices = "cost_alerts", .doc = "Its threshold_usd is a ceiling.",
     .alias_of = "budget"},
    {"providers", KEY_OBJECT, .doc = "Models of providers: {claude: {model, temperature, max_tokens}, gemini: {…}}.",
     .alias_of = "defaults"},
    {"models", KEY_OBJECT, .doc = "Models of providers: {claude: {default}, gemini: {default}}.",
     .alias_of = "defaults"},
    {"input_schema", KEY_OBJECT, .doc = "The inputs as a JSON Schema.", .alias_of = "inputs"},
    {"token_management", KEY_OBJECT, .choices = "token_management", .doc = "Older spelling of budget.",
     .alias_of = "budget"},
    {"continue_on_error", KEY_BOOL, .doc = "As on_error: continue on every step.", .alias_of = "defaults"},
    {"retry_on_failure", KEY_BOOL, .doc = "As defaults.retry.", .alias_of = "defaults"},
    {"retry_attempts", KEY_INT, KEY_FROM_TO(0, LOAD_ATTEMPTS_MAX - 1),
     .doc = "As defaults.retry, counted without the first attempt.", .alias_of = "defaults"},
    {0},
};

const struct step_key default_keys[] = {
    {"timeout", KEY_DURATION, KEY_ABOVE(0), .doc = "For steps that contain no other steps."},
    {"retry", KEY_OBJECT, .choices = "retry", .doc = "For steps that contain no other steps."},
    {"claude_options", KEY_OBJECT, .choices = "claude_options", .doc = "Options of every Claude step."},
    {"claude_preset", KEY_STRING, .doc = "Preset of Claude steps."},
    {"claude_model", KEY_STRING, .doc = "Model of Claude steps."},
    {"claude_fallback_model", KEY_STRING, .doc = "Model that Claude steps use when the first is overloaded."},
    {"claude_output_format", KEY_STRING, .doc = "Output format of Claude steps."},
    {"gemini_model", KEY_STRING, .doc = "Model of Gemini steps."},
    {"gemini_token_budget", KEY_OBJECT, .choices = "token_budget", .doc = "Generation options of Gemini steps."},
    {"output_dir", KEY_STRING, .choices = "directory", .doc = "As output_dir of the workflow."},
    {"timeout_seconds", KEY_SECONDS, KEY_ABOVE(0), .doc = "Seconds.", .alias_of = "timeout"},
    {"retry_on_error", KEY_BOOL, .doc = "As retry with its defaults.", .alias_of = "retry"},
    {"continue_on_error", KEY_BOOL, .doc = "As on_error: continue on every step."},
    {"cache_results", KEY_BOOL, .fallback = "false", .doc = "As cache_config.enabled: true."},
    {"cache_ttl", KEY_DURATION, .fallback = "1h", KEY_ABOVE(0), .doc = "As cache_config.ttl."},
    {0},
};

const struct step_key input_keys[] = {
    {"type", KEY_STRING, .choices = "input_type",
     .doc = "Its type: string, integer, number, boolean, array, object or any."},
    {"required", KEY_BOOL, .fallback = "false", .doc = "Whether a run must be given it."},
    {"default", KEY_DATA, .fallback = "null", .doc = "Its value when it is not given."},
    {"description", KEY_STRING, .doc = "What it means."},
    {"enum", KEY_DATA, .choices = "some", .doc = "The list of values that are allowed."},
    {0},
};

const struct step_key retry_keys[] = {
    {"max_attempts", KEY_INT, .fallback = "3", KEY_FROM_TO(1, LOAD_ATTEMPTS_MAX),
     .doc = "Attempts in all, the first included."},
    {"backoff", KEY_ENUM, .choices = "exponential|linear|fixed", .fallback = "exponential", .doc = "How delays grow."},
    {"delay", KEY_DURATION, .fallback = "1s", .doc = "Before the second attempt."},
    {"max_delay", KEY_DURATION, .fallback = "30s", .doc = "The longest delay."},
    {"backoff_factor", KEY_NUMBER, .fallback = "2", KEY_FROM_TO(1, LOAD_FACTOR_MAX),
     .doc = "exponential: each delay is so many times the last."},
    {"jitter", KEY_BOOL, .fallback = "true", .doc = "Whether delays vary at random."},
    {"increase_timeout", KEY_BOOL, .fallback = "false",
     .doc = "Whether each attempt has `backoff_factor` times the `timeout` of the last."},
    {"on", KEY_STRINGS, .doc = "Classes of errors to retry; `any` for all."},
    {"max_retries", KEY_INT, KEY_FROM_TO(0, LOAD_ATTEMPTS_MAX - 1), .doc = "Attempts after the first.",
     .alias_of = "max_attempts"},
    {"backoff_strategy", KEY_ENUM, .choices = "exponential|linear|fixed|constant",
     .doc = "As backoff; constant is fixed.", .alias_of = "backoff"},
    {"base_delay_ms", KEY_MS, .doc = "As delay, in milliseconds.", .alias_of = "delay"},
    {"max_delay_ms", KEY_MS, .doc = "As max_delay, in milliseconds.", .alias_of = "max_delay"},
    {"retry_on", KEY_STRINGS, .doc = "As on.", .alias_of = "on"},
    {"retry_conditions", KEY_STRINGS, .doc = "As on.", .alias_of = "on"},
    {0},
};

const struct step_key limit_keys[] = {
    {"wall", KEY_DURATION, KEY_ABOVE(0),
     .doc = "Time in which the run is carried on, without that of waiting for an answer."},
    {"frames", KEY_INT, KEY_FROM(1), .doc = "Steps, iterations and calls executed in all."},
    {"memory", KEY_SIZE, KEY_FROM(1), .doc = "Memory for the run's values."},
    {"journal", KEY_SIZE, KEY_FROM(1), .doc = "Bytes recorded."},
    {"output", KEY_SIZE, KEY_FROM(1), .doc = "Bytes that commands print, kept or not, and that output files get."},
    {"workspace", KEY_SIZE, KEY_FROM(1),
     .doc = "Bytes of files in the workspace (without `.git` and the like): a step that leaves more fails, code "
            "`workspace_size`."},
    {"max_parallel", KEY_INT, KEY_FROM_TO(1, 100000), .doc = "Things done at the same time."},
    {"max_depth", KEY_INT, KEY_FROM_TO(1, 1000), .doc = "Workflows called inside one another."},
    {0},
};

const struct step_key budget_keys[] = {
    {"usd", KEY_NUMBER, KEY_FROM(0), .doc = "US dollars."},
    {"tokens", KEY_INT, KEY_FROM(0), .doc = "Tokens in and out."},
    {0},
};

const struct step_key cache_keys[] = {
    {"key", KEY_ANY, .fallback = "of a model step: what it asks",
     .doc = "What the result depends on. Kept results are found by it, the step and the workflow."},
    {"ttl", KEY_DURATION, .choices = "late_time", .fallback = "1h", KEY_ABOVE(0),
     .doc = "How long a kept result is good."},
    {"conditions", KEY_DATA, .choices = "condition_or_list",
     .doc = "A condition, or a list: where one is false the cache is not used."},
    {"scope", KEY_ENUM, .fixed = true, .choices = "workflow|workspace",
     .fallback = "workspace; of a model step without tools: workflow",
     .doc = "Whether a result is good in the workspace only that it was made in."},
    {"enabled", KEY_BOOL, .fixed = true, .fallback = "true", .doc = "false: the step does not use the cache."},
    {0},
};

const struct step_key cache_config_keys[] = {
    {"enabled", KEY_BOOL,
     .doc = "true: every model step without tools uses the cache; false: no step does. Else those that say `cache`."},
    {"ttl", KEY_DURATION, .fallback = "1h", KEY_ABOVE(0),
     .doc = "How long a kept result is good, where its step says nothing."},
    {"max_size_mb", KEY_INT, .fallback = "256", KEY_FROM_TO(1, 1 << 20),
     .doc = "How much is kept of the workflow; the oldest results make room."},
    {"strategy", KEY_DATA, .doc = "Accepted; results are always found by a hash of what they depend on."},
    {0},
};

const struct step_key restart_keys[] = {
    {"intensity", KEY_INT, .fallback = "1", KEY_FROM_TO(0, 1000), .doc = "Restarts within `period`, at the most."},
    {"period", KEY_DURATION, .fallback = "5s", KEY_ABOVE(0), .doc = "The time in which they are counted."},
    {0},
};

const struct step_key prompt_part_keys[] = {
    {"type", KEY_ENUM, .required = true,
     .choices = "static|file|previous_response|session_context|claude_continue|variable|dynamic",
     .doc = "Where its text comes from; dynamic is static."},
    {"content", KEY_TEMPLATE, .doc = "static: the text."},
    {"raw", KEY_BOOL, .fallback = "false", .doc = "static: whether {{ in content means itself."},
    {"path", KEY_TEMPLATE,
     .doc = "file: relative to the workflow file, then to the current directory, then to the workspace; a pattern or a "
            "directory stands for all its files."},
    {"variables", KEY_OBJECT, .doc = "file: what `{NAME}` stands for in its text."},
    {"encoding", KEY_TEMPLATE, .choices = "encoding", .fallback = "utf-8",
     .doc = "file: utf-8, ascii, latin-1, windows-1252, utf-16, utf-16le or utf-16be."},
    {"component", KEY_TEMPLATE, .doc = "file: the file is one of components, {GROUP: {NAME: [parts]}}; its name."},
    {"step", KEY_TEMPLATE, .doc = "previous_response: the step whose result is inserted."},
    {"extract", KEY_TEMPLATE,
     .doc = "previous_response: what of the result: a field such as a.b or a[2], or JSONPath such as a[*].b."},
    {"extract_with", KEY_ENUM, .choices = "content_extractor",
     .doc = "previous_response: what is found in the text is put behind it, as `post_processing` says."},
    {"format", KEY_ENUM, .choices = "text|structured|summary|markdown", .fallback = "text",
     .doc = "previous_response, with extract_with: the form of the text."},
    {"post_processing", KEY_STRINGS,
     .doc = "previous_response, with extract_with: what is looked for, as in claude_extract."},
    {"include_metadata", KEY_BOOL, .fallback = "false",
     .doc = "previous_response, with extract_with: whether step, format and lengths stand behind it."},
    {"session_id", KEY_TEMPLATE, .fallback = "the run's newest session",
     .doc = "session_context, claude_continue: the name of the session."},
    {"include_last_n", KEY_INT, .fallback = "all", KEY_FROM_TO(1, INT32_MAX),
     .doc = "session_context: the newest so many messages."},
    {"filter", KEY_ENUM, .choices = "all|user|assistant", .fallback = "all", .doc = "session_context: whose messages."},
    {"new_prompt", KEY_TEMPLATE, .doc = "claude_continue: what is said next in the session."},
    {"name", KEY_TEMPLATE, .doc = "variable: a variable, or a path such as topic.title."},
    {"inject_as", KEY_STRING, .choices = "variable_name",
     .doc = "The part goes where `{NAME}` stands in a prompt file; else it stays in its place."},
    {"prefix", KEY_TEMPLATE,
     .doc = "Text before the part's own, in a line above it unless it ends with white space; an empty part has none."},
    {"transform", KEY_ENUM, .choices = "csv_to_table|json_to_markdown",
     .doc = "The text as a Markdown table, or a value as Markdown."},
    {"summary", KEY_BOOL, .fallback = "false",
     .doc = "Whether the model is asked first to summarize a text that is longer than max_summary_length."},
    {"max_summary_length", KEY_INT, .fallback = "max_length, or 1000", KEY_FROM_TO(1, INT32_MAX),
     .doc = "Characters of a summary."},
    {"summary_focus", KEY_TEMPLATE, .doc = "What a summary is about; then it is always made."},
    {"summary_style", KEY_TEMPLATE, .doc = "Its style, such as bullet_points; then it is always made."},
    {"max_length", KEY_INT, KEY_FROM_TO(1, INT32_MAX), .doc = "At most so many characters of the text."},
    {"condition", KEY_COND, .doc = "The part is left out where this is false."},
    {0},
};

static const char advisory[] = "the engine needs no such setting";
static const char journal[] = "every run is recorded and can be resumed";
static const char keys_in_env[] = "provider keys come from the environment of the engine";

const struct unused_key workflow_unused_keys[] = {
    {"checkpoint_enabled", journal},
    {"checkpoint_dir", journal},
    {"checkpoint_interval", journal},
    {"checkpoint_config", journal},
    {"claude_auth", keys_in_env},
    {"gemini_auth", keys_in_env},
    {"cost_tracking", "usage and costs are recorded for every run"},
    {"telemetry", advisory},
    {"monitoring", advisory},
    {"alerts", advisory},
    {"agents", "agents of Claude Code are not used"},
    {"hooks", "hooks of Claude Code are not used"},
    {"mcp_servers", "they are not available in this version"},
    {"enable_skills", "they are not available in this version"},
    {"setting_sources", advisory},
    {"enable_context_management", advisory},
    {"memory_config", advisory},
    {0},
};

const struct unused_key default_unused_keys[] = {
    {0},
};

const struct unused_key step_unused_keys[] = {
    {"batch_size", "max_parallel bounds how many are done at a time"},
    {"codebase_context", "only model steps and codebase_query look at the project"},
    {"stream", "progress is always shown as it comes"},
    {"stream_handler", "progress is always shown as it comes"},
    {"streaming", "progress is always shown as it comes"},
    {"mock_response", "only steps that ask a model, commands and calls have made-up answers"},
    {"mock_error", "only steps that ask a model, commands and calls have made-up answers"},
    {"retry_on", "write retry: {on: [...]}"},
    {0},
};

const struct unused_key part_unused_keys[] = {
    {"id", "parts have no names"},
    {"description", "it is for readers"},
    {0},
};

const struct step_key *key_find(const struct step_key *table, struct str name)
{
    for (const struct step_key *k = table; k && k->name; k++)
        if (str_is(name, k->name))
            return k;
    return NULL;
}

const struct unused_key *key_find_unused(const struct unused_key *table, struct str name)
{
    for (const struct unused_key *k = table; k && k->name; k++)
        if (str_is(name, k->name))
            return k;
    return NULL;
}

const struct step_key *key_canonical(const struct step_key *table, const struct step_key *row)
{
    const struct step_key *real = row->alias_of ? key_find(table, str_c(row->alias_of)) : NULL;
    return real ? real : row;
}
