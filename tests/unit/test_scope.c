/* What names mean at a place: the nearest list first, iterations before, loops around, and what is not known. */
#include "unit/bench.h"

static const char head[] = "workflow:\n  name: w\n  version: '2.1'\n  metadata: {owner: me}\n  config: {retries: 7}\n"
                           "  environment: {mode: test, debug_level: basic, allow_mock_providers: true,\n"
                           "    test: {debug_level: detailed}}\n  inputs: {file: {type: string, default: f}}\n"
                           "  variables: {x: 1, deep: {a: [10, 20]}}\n  steps:\n"
                           "    - {name: a, type: test_echo, value: {text: '{\"k\": 5}', n: 1}}\n"
                           "    - {name: plain, type: test_echo, value: just text}\n"
                           "    - {name: off, type: test_echo, value: 1, condition: 'false'}\n";

static void in_root(const char *expr)
{
    char yaml[4096];
    snprintf(yaml, sizeof yaml,
             "%s    - {name: e, type: test_echo, variables: {twice: '{{ x * 2 }}'}, value: \"{{ %s }}\"}\n"
             "    - {name: later, type: test_echo}\n",
             head, expr);
    rig_start(&g, yaml);
}

/* A loop called `out` over [7, 8], its inner loop `in` over "xy", with e inside; `a` is shadowed in the outer body. */
static void in_loops(const char *expr)
{
    char yaml[4096];
    snprintf(yaml, sizeof yaml,
             "%s    - name: out\n      type: for_loop\n      iterator: n\n      data_source: [7, 8]\n      steps:\n"
             "        - {name: a, type: test_echo, value: {inner: \"{{ n }}\"}}\n"
             "        - {name: v, type: set_variable, scope: local, variables: {x: \"{{ n * 10 }}\"}}\n"
             "        - name: within\n          type: for_loop\n          iterator: c\n          data_source: [p, q]\n"
             "          steps:\n            - {name: e, type: test_echo, value: \"{{ %s }}\"}\n",
             head, expr);
    rig_start(&g, yaml);
}

static void check(const char *expr, const char *expected)
{
    if (expected) {
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (!strstr(rig_results(&g), expected))
            fail_msg("%s: `%s` is not in %s", expr, expected, rig_results(&g));
    } else {
        rig_assert_status(&g, RUN_FAILED);
        if (!strstr(rig_run_error(&g), "expression"))
            fail_msg("%s: %s", expr, rig_run_error(&g));
    }
    rig_done(&g);
}

static void test_names_in_root(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *expected; /* NULL: an error */
    } t[] = {
        {"inputs.file", "\"e\":\"f\""},
        {"steps.a.n", "\"e\":1"},
        {"steps.a.k", "\"e\":5"},        /* in its text, which is JSON */
        {"steps.a.result.n", "\"e\":1"}, /* an older way to say steps.a.n */
        {"steps.a.result.k", "\"e\":5"},
        {"steps.a.result", "\"e\":\"{\\\"k\\\": 5}\""},
        {"steps.a.error_message", "\"e\":null"},
        {"steps.a.nothing", NULL},
        {"previous_response.k", NULL}, /* the step before is `plain` */
        {"previous_response", "\"e\":\"just text\""},
        {"workflow.variables.deep.a[0]", "\"e\":10"},
        {"workflow.version", "\"e\":\"2.1\""},
        {"workflow.metadata.owner", "\"e\":\"me\""},
        {"workflow.nothing || 4", "\"e\":4"},
        {"config.retries", "\"e\":7"},
        {"config.version", "\"e\":\"2.1\""},
        {"environment.mode", "\"e\":\"test\""},
        {"environment.debug_level", "\"e\":\"detailed\""}, /* of the mode's block */
        {"environment.allow_mock_providers", "\"e\":true"},
        {"step.name + '/' + step.type", "\"e\":\"e/test_echo\""},
        {"step.variables.twice", "\"e\":2"},
        {"twice + 1", "\"e\":3"},
        {"current_step", "\"e\":\"e\""},
        {"execution_id", "\"e\":\"rig\""},
        {"date", "\"e\":\"1970-01-01\""},
        {"context.depth", "\"e\":0"},
        {"context.execution_chain", "\"e\":[\"w\"]"},
        {"system.total_steps", "\"e\":5"},
        {"system.completed_steps", "\"e\":3"},
        {"system.elapsed_seconds", "\"e\":0"},
        {"file", "\"e\":\"f\""}, /* an input by its bare name */
        {"steps.plain", "\"e\":\"just text\""},
        {"steps.plain.text", "\"e\":\"just text\""},
        {"steps.plain.result", "\"e\":\"just text\""},
        {"steps.off.skipped", "\"e\":true"},
        {"steps.a.error", "\"e\":null"},
        {"state.x", "\"e\":1"},
        {"x", "\"e\":1"},
        {"global_vars.deep.a[1]", "\"e\":20"},
        {"variables.x + 1", "\"e\":2"},
        {"state", "\"e\":{\"deep\":{\"a\":[10,20]},\"x\":1}"},
        {"workflow.name", "\"e\":\"w\""},
        {"run.id", "\"e\":\"rig\""},
        {"timestamp", "\"e\":\"1970-01-01T00:16:40Z\""},
        {"exists(steps.later.text)", "\"e\":false"},
        {"steps.a.nothing || 3", "\"e\":3"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        in_root(t[i].expr);
        check(t[i].expr, t[i].expected);
    }
    in_root("1");
}

static void test_names_in_loops(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *expected;
    } t[] = {
        {"loop.item", "\"results\":{\"e\":\"q\"}"},
        {"c", "\"results\":{\"e\":\"q\"}"},
        {"loop.c", "\"results\":{\"e\":\"q\"}"},
        {"loop.index", "\"results\":{\"e\":1}"},
        {"[loop.first, loop.last, loop.total]", "\"results\":{\"e\":[false,true,2]}"},
        {"loop.parent.item", "\"results\":{\"e\":8}"},
        {"loop.parent.index", "\"results\":{\"e\":1}"},
        {"n", "\"results\":{\"e\":8}"},
        {"steps.a.inner", "\"results\":{\"e\":8}"}, /* the nearer of two */
        {"steps.plain", "\"results\":{\"e\":\"just text\"}"},
        {"x", "\"results\":{\"e\":80}"},
        {"state.x", "\"results\":{\"e\":80}"},
        {"state.deep.a[0]", "\"results\":{\"e\":10}"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        in_loops(t[i].expr);
        check(t[i].expr, t[i].expected);
    }
    in_loops("1");
}

#define CHECK "&check {name: check, type: test_echo, value: {success: true, n: 2}}"

/* Data may look like a result; only what stands where results do, among those of the steps inside, is one. */
static void test_data_is_no_result(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *expected;
    } t[] = {
        {"exists(state.told.result)", "false"},
        {"told.result || 4", "4"},
        {"told.n", "1"},
        {"exists(steps.d.payload.result)", "false"},
        {"exists(steps.d.result.payload.result)", "false"},
        {"exists(steps.d.data.payload.result)", "false"},
        {"exists(d.payload.result)", "false"},
        {"steps.d.payload.n", "1"},
        {"exists(steps.each.iterations[0].results.d.payload.result)", "false"},
        {"exists(steps.each.iterations[0].d.payload.result)", "false"},
        {"length(filter(map(steps.each.iterations, 'results.d.payload.result.n'), 'item'))", "0"},
        {"exists(told[*].result)", "false"},
        {"exists(steps.out.check.result)", "false"},
        {"steps.each.iterations[0].results.check.result.n", "2"},
        {"steps.each.iterations[0].results.check.result", "{\"success\":true,\"n\":2}"},
        {"steps.each.iterations[*].results.check.result.n", "[2]"},
        {"map(steps.each.iterations, 'results.check.result.n')", "[2]"},
        {"steps.either.check.result", "{\"success\":true,\"n\":2}"},
        {"steps.either.results.check.result.n", "2"},
        {"steps.both.one.check.result.n", "2"},
        {"steps.both.branches.one.results.check.result.n", "2"},
        {"steps.call.check.result.n", "2"},
        {"steps.call.check.result", "{\"success\":true,\"n\":2}"},
        {"call.check.result.n", "2"},
        {"steps.bad.mend.result", "{\"success\":true,\"n\":2}"},
        {"steps.bad.handled.mend.result.n", "2"},
        {"previous_response.mend.result.n", "2"},
        {"exists(steps.tasks.result)", "true"},
        {"exists(steps.tasks.lost.result)", "false"},
        {"steps.tasks.lost.error.code", "\"c\""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[4096], expected[200];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  variables: {told: {success: false, n: 1}}\n  steps:\n"
                 "    - {name: d, type: test_echo, value: {data: &d {payload: {success: false, n: 1}}}}\n"
                 "    - name: each\n      type: for_loop\n      data_source: [1]\n"
                 "      steps: [" CHECK ", {name: d, type: test_echo, value: *d}]\n"
                 "    - {name: either, type: switch, expression: '1', cases: {'1': [*check]}}\n"
                 "    - {name: both, type: parallel, branches: {one: [*check]}}\n"
                 "    - {name: call, type: pipeline, pipeline: {name: inner, steps: [*check]}}\n"
                 "    - {name: out, type: pipeline, pipeline: {name: inner, steps: [*check],\n"
                 "       output: {check: {success: false, n: 1}}}}\n"
                 "    - {name: tasks, type: test_echo, value: {results: {lost: {ok: false, error: {code: c}}}}}\n"
                 "    - {name: bad, type: test_echo, fail: true, on_error: {steps: [{<<: *check, name: mend}]}}\n"
                 "    - {name: e, type: test_echo, value: \"{{ %s }}\"}\n",
                 t[i].expr);
        rig_start(&g, yaml);
        snprintf(expected, sizeof expected, "\"e\":%s}", t[i].expected);
        check(t[i].expr, expected);
    }
    in_root("1");
}

#define LATE                                                                                      \
    "{\"path\": \"/d/s.yaml\", \"text\": \"workflow:\\n  name: s\\n  steps:\\n    - " CHECK "\\n" \
    "    - {name: d, type: test_echo, value: {payload: {success: false, n: 1}}}\\n\"}"

/* `.result` of what has neither data nor text is all of it, wherever it is a step's: in calls, in lists around it, and
 * in workflows that are known only in the run. */
static void test_results_inside(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *expected;
    } t[] = {
        {"steps.call.check.result.n", "2"},
        {"steps.call.twice.check.result.n", "2"},
        {"steps.call[*].result.n", "[2,null]"},
        {"exists(state.check.result)", "false"},
        {"exists(variables.check.result)", "false"},
        {"call.twice.check.result.n", "2"},
        {"steps.late.check.result.n", "2"},
        {"late.check.result.n", "2"},
        {"exists(steps.late.d.payload.result)", "false"},
        {"steps.named.ran.result.n", "2"},
        {"steps.named.told.result.n", "2"},
        {"steps.each.iterations[0].results.named.ran.result.n", "2"},
        {"steps.each.iterations[0].results.call.check.result.n", "2"},
        {"steps.each.iterations[0].results.par.one.check.result.n", "2"},
        {"steps.each.iterations[0].results.late.check.result.n", "2"},
        {"steps.each.iterations[0].check.result.n", "2"},
        {"steps.each.iterations[*].results.call.check.result.n", "[2]"},
        {"steps.each.iterations[*].check.result.n", "[2]"},
        {"map(steps.each.iterations, 'results.call.check.result.n')", "[2]"},
        {"map(steps.each.iterations, x => x.check.result.n)", "[2]"},
        {"steps.sw.results[*].result.n", "[2,null,2]"},
        {"steps.sw.results.call.check.result.n", "2"},
        {"steps.sw.call.check.result.n", "2"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[4096], expected[200];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  variables: {check: {success: false, n: 1}}\n  steps:\n"
                 "    - name: call\n      type: pipeline\n      pipeline:\n        name: inner\n        steps:\n"
                 "          - " CHECK "\n"
                 "          - {name: twice, type: pipeline, pipeline: {name: most, steps: [*check]}}\n"
                 "    - &late {name: late, type: pipeline, pipeline_file: \"{{ 's' + '.yaml' }}\"}\n"
                 "    - {name: named, type: pipeline, outputs: [{path: check, as: ran}, {path: check, as: told}],\n"
                 "       pipeline: {name: inner, output: {x: 1}, steps: [*check]}}\n"
                 "    - name: each\n      type: for_loop\n      data_source: [1]\n      steps:\n"
                 "        - *check\n"
                 "        - *late\n"
                 "        - {name: par, type: parallel, branches: {one: [*check]}}\n"
                 "        - &call {name: call, type: pipeline, pipeline: {name: inner, steps: [*check]}}\n"
                 "        - {<<: *call, name: named, outputs: {ran: check}}\n"
                 "    - name: sw\n      type: switch\n      expression: '1'\n"
                 "      cases: {'1': [*check, *call, {<<: *check, name: other}]}\n"
                 "    - {name: e, type: test_echo, value: \"{{ %s }}\"}\n",
                 t[i].expr);
        rig_start(&g, yaml);
        rig_ok(&g, "late/load:1", LATE);
        rig_ok(&g, "each/0/late/load:1", LATE);
        snprintf(expected, sizeof expected, "\"e\":%s}", t[i].expected);
        check(t[i].expr, expected);
    }
    in_root("1");
}

/* The condition of a while loop reads the newest iteration; steps before it in the body read the iteration before. */
static void test_iteration_before(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: w\n      type: while_loop\n      condition: \"steps.count < 3\"\n      steps:\n"
                  "        - {name: old, type: test_echo, value: \"{{ steps.count }}\"}\n"
                  "        - {name: count, type: test_echo, value: \"{{ loop.index + 1 }}\"}\n");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(
        strstr(rig_results(&g), "\"iterations\":3,\"condition_met\":true,\"results\":{\"old\":2,\"count\":3}"));
}

/* The same after a restart at any record: results of iterations that were not repeated are found again. */
static void test_iteration_before_after_a_crash(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: w\n      type: while_loop\n      condition: \"steps.count < 3\"\n      steps:\n"
                  "        - {name: ask, type: claude, prompt: \"n {{ steps.count }}\"}\n"
                  "        - {name: count, type: test_echo, value: \"{{ loop.index + 1 }}\"}\n");
    for (int i = 0; i < 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "w/%d/ask/turn:1", i);
        rig_restart(&g, SIZE_MAX, false);
        rig_ok(&g, path, "{\"text\": \"x\"}");
    }
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"count\":3"));
}

static void test_error_in_handler(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: f\n      type: test_echo\n      error: boom\n      on_error:\n        steps:\n"
                  "          - {name: e, type: set_variable, variables: {why: \"{{ error.message }}\"}}\n"
                  "    - {name: after, type: test_echo, value: \"{{ state.why }}\"}\n");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"after\":\"boom\""));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_names_in_root, done),
        cmocka_unit_test_teardown(test_names_in_loops, done),
        cmocka_unit_test_teardown(test_data_is_no_result, done),
        cmocka_unit_test_teardown(test_results_inside, done),
        cmocka_unit_test_teardown(test_iteration_before, done),
        cmocka_unit_test_teardown(test_iteration_before_after_a_crash, done),
        cmocka_unit_test_teardown(test_error_in_handler, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
