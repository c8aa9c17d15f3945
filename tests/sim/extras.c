/* What the random workflows say beside what their steps need: one line of YAML for each key, a few of them on a step
 * that could have them and does not say them yet. Of the values, none makes an outcome depend on time. Included before
 * generate.c. */
#include "base/buf.h"
#include "base/rng.h"
#include "flow/step.h"

/* `types`: names of step types, "*" for all, "@" for those that ask a model. */
struct extra {
    const char *types, *key, *values[4];
};

static const struct extra extras[] = {
    {"*", "description", {"for people"}},
    {"*", "role", {"worker"}},
    {"*", "metadata", {"{owner: sim}", "{timer_start: t0}"}},
    {"*", "variables", {"{own: \"{{ inputs.file }}\"}"}},
    {"*",
     "retry",
     {"3", "{max_attempts: 4, delay: 50ms, max_delay: 200ms, backoff: linear, jitter: false, on: [any]}",
      "{max_attempts: 2, backoff: fixed, backoff_factor: 3, increase_timeout: true, on: [timeout, command, network]}"}},
    {"for_loop|while_loop|switch|parallel|pipeline|claude_batch|parallel_claude", "timeout", {"100d"}},
    {"@", "system", {"be short"}},
    {"@", "temperature", {"0.5"}},
    {"@", "max_tokens", {"1000"}},
    {"@", "top_p", {"0.9"}},
    {"@", "top_k", {"40"}},
    {"@", "stop", {"[END]"}},
    {"@", "effort", {"low"}},
    {"@", "max_turns", {"1", "2", "5"}},
    {"@|command", "network", {"none", "full", "[example.org]"}},
    {"@", "mock_response", {"made up", "{a: 1}"}},
    {"command", "mock_response", {"made up"}},
    {"@|command", "mock_error", {"made up"}},
    {"@|command", "cwd", {"sub"}},
    {"@", "budget", {"{tokens: 20}", "{usd: 0.0005}"}},
    {"claude|claude_smart|claude_session|claude_extract|claude_robust", "model", {"haiku"}},
    {"gemini|gemini_instructor", "model", {"gemini-pro-latest"}},
    {"claude_session|claude_extract|claude_robust|claude_batch|parallel_claude|claude", "preset", {"chat", "analysis"}},
    {"gemini|gemini_instructor", "token_budget", {"{max_output_tokens: 100, temperature: 0}"}},
    {"gemini|gemini_instructor", "functions", {"[{name: f, description: does, parameters: {type: object}}]"}},
    {"llm", "provider", {"openai"}},
    {"claude_smart", "environment_aware", {"true"}},
    {"claude_session", "continue_session", {"false"}},
    {"claude_session", "session_name", {"words"}},
    {"claude_session", "session_id", {"others"}},
    {"claude_session", "checkpoint_dir", {"there"}},
    {"claude_batch", "prompt", {"each of them"}},
    {"claude_batch", "model", {"haiku"}},
    {"claude_batch|parallel_claude", "claude_options", {"{max_turns: 3}"}},
    {"command", "env", {"{X: \"{{ inputs.file }}\"}"}},
    {"command", "stdin", {"\"{{ inputs.file }}\""}},
    {"command", "ok_exit", {"[0, 1]"}},
    {"command", "workspace", {"isolated"}},
    {"command", "output_limit", {"1KB"}},
    {"command", "memory_limit", {"64MB"}},
    {"command", "process_limit", {"16"}},
    {"command", "secrets", {"[SIM_SECRET]"}},
    {"for_loop", "iterator", {"thing"}},
    {"for_loop", "max_iterations", {"0", "2"}},
    {"for_loop", "ordered_results", {"false"}},
    {"for_loop", "memory_limit", {"1KB"}},
    {"for_loop|while_loop", "continue_condition", {"\"loop.index == 1\""}},
    {"while_loop", "break_condition", {"\"loop.index == 1\""}},
    {"pipeline", "workspace", {"isolated", "shared"}},
    {"data_transform", "output_field", {"rows"}},
    {"data_transform", "output_format", {"json", "string", "count", "jsonl"}},
    {"data_transform", "stream_mode", {"true"}},
    {"data_transform", "chunk_size", {"10"}},
    {"data_transform", "lazy", {"true"}},
    {"checkpoint", "checkpoint_name", {"phase", "phase_{{ inputs.file }}"}},
    {"checkpoint", "include_workspace", {"true"}},
    {"checkpoint", "compress", {"true"}},
    {"approval", "choices", {"[approve, reject, defer]"}},
    {"file_ops", "output_field", {"done"}},
    {"codebase_query", "workspace_dir", {"sub"}},
    {"test_echo", "error_message", {"on request"}},
    {"test_echo", "error", {"on request"}},
    {"test_echo", "delay", {"2s"}},
    {"test_echo", "delay_ms", {"30"}},
};
enum { EXTRAS = sizeof extras / sizeof *extras };

static bool listed(const char *names, struct str name)
{
    struct str rest = str_c(names);
    while (rest.n) {
        size_t end = str_find(rest, STR("|"));
        struct str one = end == SIZE_MAX ? rest : str_n(rest.p, end);
        const struct step_type *t = str_is(one, "@") ? step_type_find(name) : NULL;
        if (str_is(one, "*") || str_eq(one, name) || (t && step_type_asks(t)))
            return true;
        rest = end == SIZE_MAX ? STR("") : str_from(rest, end + 1);
    }
    return false;
}

/* What stands behind `key:` at this indentation; p NULL: it is not said. */
static struct str said(struct str step, unsigned in, const char *key)
{
    char line[80];
    snprintf(line, sizeof line, "\n%*s%s:", (int)in, "", key);
    size_t at = str_find(step, str_c(line));
    if (at == SIZE_MAX)
        return (struct str){0};
    struct str value = str_from(step, at + strlen(line));
    size_t end = str_find(value, STR("\n"));
    return str_trim(end == SIZE_MAX ? value : str_n(value.p, end));
}

/* Keys of which a step has one at the most. */
static bool has_rival(struct str step, unsigned in, const char *key)
{
    static const char *const rivals[][2] = {
        {"mock_error", "mock_response"}, {"delay_ms", "delay"}, {"error", "error_message"}};
    bool has = false;
    for (size_t i = 0; i < sizeof rivals / sizeof *rivals; i++)
        has |= strcmp(key, rivals[i][0]) == 0 && said(step, in, rivals[i][1]).p;
    return has;
}

/* Of the step whose text begins at `start`. */
static void add_extras(struct buf *b, size_t start, unsigned in, struct rng *rng)
{
    for (size_t i = 0; i < EXTRAS; i++) {
        const struct extra *x = &extras[i];
        size_t n = 0;
        while (n < 4 && x->values[n])
            n++;
        struct str step = str_from(buf_str(b), start), type = said(step, in, "type");
        const char *value = x->values[rng_below(rng, n)];
        if (rng_below(rng, 15) == 0 && listed(x->types, type) && !said(step, in, x->key).p &&
            !has_rival(step, in, x->key))
            buf_printf(b, "%*s%s: %s\n", (int)in, "", x->key, value);
    }
}
