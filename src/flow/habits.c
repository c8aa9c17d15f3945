/* Two tables of other tools' words. The nearest name by spelling would mislead: `cmd` is near to `cwd`, `file` to
 * `role`, and `shell` to nothing. A key is only named where a step has it: of `message`, a claude step's author means
 * the prompt, an approval's has it right. */
#include "flow/habits.h"

static const struct {
    const char *word, *instead;
} types[] = {
    {"shell", "command"},
    {"sh", "command"},
    {"exec", "command"},
    {"run", "command"},
    {"script", "command"},
    {"python", "command` with `run: [python3, FILE]"},
    {"http", "command` with `run: [curl, …]` and `network: [HOST]"},
    {"loop", "for_loop` or `type: while_loop"},
    {"foreach", "for_loop"},
    {"for_each", "for_loop"},
    {"for", "for_loop"},
    {"map", "for_loop"},
    {"while", "while_loop"},
    {"until", "while_loop"},
    {"if", "switch` or, on any step, `condition: …"},
    {"case", "switch"},
    {"branch", "switch"},
    {"router", "switch"},
    {"concurrent", "parallel"},
    {"subworkflow", "pipeline"},
    {"sub_workflow", "pipeline"},
    {"workflow", "pipeline"},
    {"call", "pipeline"},
    {"openai", "llm` with `model: openai/NAME"},
    {"gpt", "llm` with `model: openai/NAME"},
    {"ollama", "llm` with `model: openai/NAME"},
    {"anthropic", "claude"},
    {"model", "llm"},
    {"prompt", "claude` or `type: llm"},
    {"chat", "claude` or `type: llm"},
    {"agent", "claude` with `allowed_tools"},
    {"set", "set_variable"},
    {"variable", "set_variable"},
    {"assign", "set_variable"},
    {"transform", "data_transform"},
    {"file", "file_ops"},
    {"copy", "file_ops"},
    {"input", "approval"},
    {"human", "approval"},
    {"manual", "approval"},
    {"confirm", "approval"},
    {"delay", "sleep"},
    {"signal", "wait_signal"},
    {"event", "wait_signal"},
    {"log", "test_echo"},
    {"print", "test_echo"},
    {"noop", "test_echo"},
};

const char *habit_type(struct str name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_is(name, types[i].word))
            return types[i].instead;
    return NULL;
}

/* A word may stand here several times: the first key that the tables have is meant. */
static const struct {
    const char *word, *key;
} keys[] = {
    {"cmd", "run"},
    {"script", "run"},
    {"shell", "run"},
    {"exec", "run"},
    {"args", "run"},
    {"working_dir", "cwd"},
    {"working_directory", "cwd"},
    {"directory", "cwd"},
    {"environment", "env"},
    {"when", "condition"},
    {"if", "condition"},
    {"only_if", "condition"},
    {"needs", "depends_on"},
    {"after", "depends_on"},
    {"requires", "depends_on"},
    {"dependencies", "depends_on"},
    {"file", "pipeline_file"},
    {"path", "pipeline_file"},
    {"workflow", "pipeline"},
    {"with", "inputs"},
    {"params", "inputs"},
    {"body", "steps"},
    {"do", "steps"},
    {"tasks", "steps"},
    {"steps", "branches"},
    {"items", "data_source"},
    {"list", "data_source"},
    {"in", "data_source"},
    {"foreach", "data_source"},
    {"for_each", "data_source"},
    {"var", "iterator"},
    {"loop_var", "iterator"},
    {"concurrency", "max_parallel"},
    {"parallelism", "max_parallel"},
    {"limit", "max_iterations"},
    {"expr", "expression"},
    {"value", "expression"},
    {"on", "expression"},
    {"otherwise", "default"},
    {"else", "default"},
    {"text", "prompt"},
    {"message", "prompt"},
    {"messages", "prompt"},
    {"user", "prompt"},
    {"question", "message"},
    {"prompt", "message"},
    {"options", "choices"},
    {"instructions", "system"},
    {"system_message", "system"},
    {"functions", "allowed_tools"},
    {"response_format", "output_schema"},
    {"schema", "output_schema"},
    {"json_schema", "output_schema"},
    {"save_to", "output_to_file"},
    {"output_file", "output_to_file"},
    {"write_to", "output_to_file"},
    {"retries", "retry"},
    {"attempts", "max_attempts"},
    {"max_tries", "max_attempts"},
    {"interval", "delay"},
    {"wait", "delay"},
    {"catch", "on_error"},
    {"on_failure", "on_error"},
    {"ignore_errors", "on_error"},
    {"vars", "variables"},
    {"set", "variables"},
    {"cost", "usd"},
    {"dollars", "usd"},
};

const char *habit_key(struct str name, const struct step_key *table, const struct step_key *table2)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct str key = str_c(keys[i].key);
        if (str_is(name, keys[i].word) && ((table && key_find(table, key)) || (table2 && key_find(table2, key))))
            return keys[i].key;
    }
    return NULL;
}
