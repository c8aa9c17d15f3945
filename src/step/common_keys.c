/* The keys that every step has, whatever its type, and the numbering of conditions and lists in a type's table.
 *
 * A type's own key of the same name goes first: `condition` of while_loop is the loop's, not a question whether to run
 * it. Rows with `alias_of` are spellings of older workflows; some count in another unit, which their sentence says and
 * flow/load_common.c converts. */
#include "base/panic.h"
#include "flow/step.h"

const struct step_key step_common_keys[] = {
    {"name", KEY_STRING, .required = true, .choices = "step_name",
     .doc = "Unique among its siblings: letters, digits, `_`, `-` and `.`."},
    {"type", KEY_STRING, .required = true, .doc = "What the step does."},
    {"description", KEY_STRING, .doc = "For people."},
    {"condition", KEY_COND, .fallback = "true", .doc = "The step is skipped where this is false."},
    {"depends_on", KEY_STRINGS, .doc = "Siblings that must end first; makes the list run as a graph."},
    {"timeout", KEY_DURATION, KEY_ABOVE(0), .doc = "Of one attempt."},
    {"retry", KEY_OBJECT, .choices = "retry",
     .doc = "{max_attempts, backoff, delay, max_delay, jitter, on}, or a number of attempts."},
    {"on_error", KEY_DATA, .choices = "on_error", .fallback = "fail",
     .doc = "fail, continue, {goto: STEP} or {steps: [...]}."},
    {"on_interrupt", KEY_ENUM, .choices = "retry|hold|fail",
     .doc = "What becomes of an effect that a crash left without a result."},
    {"output_to_file", KEY_TEMPLATE, .choices = "text",
     .doc = "A file in output_dir that gets the result's text, or its data as JSON."},
    {"output_schema", KEY_DATA, .choices = "schema", .doc = "JSON Schema that the answer must match."},
    {"cache", KEY_DATA, .choices = "cache",
     .doc = "Whether its result may be that of an earlier run: {key, ttl, conditions, scope}, or true."},
    {"output_to_global", KEY_STRING, .choices = "variable_name",
     .doc = "A variable of the run that gets the result's data, or text."},
    {"clear_vars", KEY_STRINGS,
     .doc = "Variables of the run, or paths in them such as a.b[0], that become null when the step has ended well."},
    {"error_output", KEY_STRING, .choices = "variable_name",
     .doc = "Another field for the error, in the result of a step that failed."},
    {"budget", KEY_OBJECT, .choices = "budget", .doc = "The most that the step may spend: {usd, tokens}."},
    {"variables", KEY_OBJECT, .doc = "Names of this step alone, read as step.variables.NAME or NAME."},
    {"expected_outputs", KEY_OBJECT,
     .doc = "Fields of the result and their values; with any other the step fails (code unexpected_output)."},
    {"metadata", KEY_DATA, .doc = "Anything. `timer_start: NAME` starts a timer: timer.NAME.elapsed_ms."},
    {"role", KEY_DATA, .doc = "A label; kept, not interpreted."},
    {"id", KEY_STRING, .choices = "step_name", .doc = "As name.", .alias_of = "name"},
    {"timeout_seconds", KEY_SECONDS, KEY_ABOVE(0), .doc = "Seconds.", .alias_of = "timeout"},
    {"timeout_ms", KEY_MS, KEY_FROM(1), .doc = "Milliseconds.", .alias_of = "timeout"},
    {"max_retries", KEY_INT, KEY_FROM_TO(0, 999), .doc = "Attempts after the first.", .alias_of = "retry"},
    {"max_attempts", KEY_INT, KEY_FROM_TO(1, 1000), .doc = "Attempts in all.", .alias_of = "retry"},
    {"retry_on_error", KEY_BOOL, .doc = "Three attempts.", .alias_of = "retry"},
    {"retry_config", KEY_OBJECT, .choices = "retry", .doc = "As retry.", .alias_of = "retry"},
    {"continue_on_error", KEY_BOOL, .doc = "As on_error: continue.", .alias_of = "on_error"},
    {"error_handler", KEY_DATA, .choices = "steps", .doc = "As on_error: {steps: [...]}.", .alias_of = "on_error"},
    {0},
};

size_t step_key_slot(const struct step_type *t, const char *key)
{
    size_t conds = 0, lists = 0;
    for (const struct step_key *k = t->keys; k->name; k++) {
        if (strcmp(k->name, key) == 0) {
            if (k->alias_of)
                return step_key_slot(t, k->alias_of);
            CHECK(k->kind == KEY_COND || k->kind == KEY_STEPS);
            return k->kind == KEY_COND ? conds : lists;
        }
        if (!k->alias_of) {
            conds += k->kind == KEY_COND;
            lists += k->kind == KEY_STEPS;
        }
    }
    PANIC("step type %s has no key %s", t->name, key);
}
