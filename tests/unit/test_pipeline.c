/* pipeline: what a called workflow knows, what its caller gets, and that its limits count on after a crash. */
#include "unit/bench.h"

#define CALL(more, inside)                                                                                          \
    "workflow:\n  name: w\n  variables: {x: 1}\n  steps:\n    - {name: prior, type: test_echo, value: {k: seen}}\n" \
    "    - name: call\n      type: pipeline\n" more "      pipeline:\n        name: inner\n" inside                 \
    "    - {name: z, type: test_echo, value: end}\n"

static void has(const char *text)
{
    if (!strstr(rig_results(&g), text))
        fail_msg("`%s` is not in %s (%s)", text, rig_results(&g), rig_run_error(&g));
}

static void test_outputs(void **state)
{
    (void)state;
    static const struct {
        const char *outputs, *expected; /* expected: NULL: it fails */
    } t[] = {
        {"[a]", "\"call\":{\"a\":{\"list\":[1,2],\"deep\":{\"n\":7}}}"},
        {"a", "\"call\":{\"a\":{\"list\":[1,2],\"deep\":{\"n\":7}}}"},
        {"[{path: \"a.list[1]\", as: second}, b.1]", "\"call\":{\"second\":2,\"b.1\":{\"last\":true,\"n\":3}}"},
        {"[{path: a.deep.n}]", "\"call\":{\"n\":7}"},
        {"[{path: \"a.list[0]\"}]", "\"call\":{\"list\":1}"},
        {"[{path: b.1.n, as: dotted}]", "\"call\":{\"dotted\":3}"},
        {"[n]", "\"call\":{\"n\":3}"}, /* no step: a field of the last one */
        {"{mine: a.deep.n}", "\"call\":{\"mine\":7}"},
        {"[steps.a.deep.n]", "\"call\":{\"steps.a.deep.n\":7}"},
        {"[nowhere]", NULL},
        {"[a.nowhere]", NULL},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml,
                 CALL("      outputs: %s\n",
                      "        steps:\n"
                      "          - {name: a, type: test_echo, value: {list: [1, 2], deep: {n: 7}}}\n"
                      "          - {name: b.1, type: test_echo, value: {last: true, n: 3}}\n"),
                 t[i].outputs);
        rig_start(&g, yaml);
        rig_assert_status(&g, t[i].expected ? RUN_SUCCEEDED : RUN_FAILED);
        if (t[i].expected)
            has(t[i].expected);
        else
            assert_non_null(strstr(rig_run_error(&g), "has no such step"));
        rig_done(&g);
    }
    rig_start(&g,
              CALL("", "        output: \"{{ steps.a }}\"\n        steps: [{name: a, type: test_echo, value: 5}]\n"));
    has("\"call\":5");
}

static void test_names_end_at_the_call(void **state)
{
    (void)state;
    rig_start(&g, CALL("      config: {inherit_context: \"{{ false }}\"}\n",
                       "        steps: [{name: a, type: test_echo, value: \"{{ steps.prior.k }}\"}]\n"));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "no step is called `prior` here"));
}

static void test_fallback(void **state)
{
    (void)state;
    rig_start(&g, CALL("      config: {fallback_value: {answer: 42}}\n",
                       "        steps: [{name: a, type: test_echo, fail: true}]\n"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"call\":{\"success\":false,\"answer\":42,\"error\":{");
    rig_done(&g);
    rig_start(&g, CALL("      config: {fallback_value: none, max_retries: 1}\n",
                       "        steps: [{name: a, type: test_echo, fail: true}]\n"));
    rig_pass(&g, 60000);
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"value\":\"none\"");
    assert_int_equal(rig_count(&g, RECORD_RESULT, "call"), 1); /* it was tried again first */
}

#define SLOW(config)                                                                                         \
    CALL("      config: {timeout_seconds: 10, " config "}\n",                                                \
         "        steps:\n"                                                                                  \
         "          - {name: a, type: test_echo, value: {n: 7, m: 8}}\n"                                     \
         "          - {name: l, type: for_loop, data_source: [1, 2], steps: [{name: i, type: test_echo}]}\n" \
         "          - {name: ask, type: claude, prompt: hello, claude_options: {timeout_ms: 900000}}\n"      \
         "          - {name: b, type: test_echo, value: late}\n")

/* Whatever life it is in which the time is over, after any crash: what was done is the result. */
static void test_its_time_is_over_and_the_run_goes_on(void **state)
{
    (void)state;
    for (size_t keep = 0;; keep++) {
        rig_start(&g, SLOW("on_timeout: graceful, prune_results: {remove_fields: [m]}"));
        size_t all = g.nrecords;
        rig_restart(&g, keep, false);
        rig_pass(&g, 11000);
        rig_stop(&g);
        rig_assert_status(&g, RUN_SUCCEEDED);
        has("\"call\":{\"success\":false,\"a\":{\"n\":7},\"l\":{");
        has("\"completed_items\":2");
        has("\"code\":\"timeout_exceeded\"");
        has("\"z\":\"end\"");
        if (keep >= all)
            break;
        rig_done(&g);
    }
}

/* The result is decided with the record of its end: a later life tells the same. */
static void test_partial_results_are_recorded(void **state)
{
    (void)state;
    rig_start(&g, SLOW("on_timeout: graceful"));
    rig_pass(&g, 11000);
    rig_stop(&g);
    rig_restart(&g, SIZE_MAX, false);
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"a\":{\"n\":7,\"m\":8}");
    assert_null(rig_effect(&g, "call/ask/turn:1"));
}

/* Also what has left memory by then. */
static void test_partial_results_are_fetched(void **state)
{
    (void)state;
    rig_shelf_bytes = rig_keep_bytes = 1;
    rig_start(&g, SLOW("on_timeout: graceful}\n      outputs: {x: a.n, all: a, none: b, n: \"l.completed_items\"}\n"
                       "      inputs: {unused: 0"));
    rig_pass(&g, 11000);
    rig_stop(&g);
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"call\":{\"success\":false,\"x\":7,\"all\":{\"n\":7,\"m\":8},\"none\":null,\"n\":2,\"error\"");
}

static void test_on_timeout(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum run_status status;
        const char *has;
    } t[] = {
        {"on_timeout: immediate", RUN_FAILED, "timeout_exceeded"},
        {"on_timeout: graceful, graceful_timeout: {return_partial_results: false}", RUN_FAILED, "timeout_exceeded"},
        {"on_timeout: graceful, max_depth: 3", RUN_SUCCEEDED, "\"a\":{\"n\":7,\"m\":8}"},
        {"continue_on_error: true", RUN_SUCCEEDED, "\"call\":{\"success\":false,\"error\":{"},
        {"continue_on_error: true, error_context_fields: [previous_results]", RUN_SUCCEEDED,
         "\"error_context\":{\"results\":{}}"},
        {"performance_budgets: {total_duration_ms: 2000}, on_budget_exceeded: {action: error}", RUN_FAILED,
         "performance_budget_exceeded"},
        {"performance_budgets: {total_duration_ms: 2000}, on_budget_exceeded: {action: abort}, continue_on_error: true",
         RUN_FAILED, "performance_budget_exceeded"},
        {"performance_budgets: {step_duration_ms: 2000}, on_budget_exceeded: {action: error}", RUN_FAILED,
         "performance_budget_exceeded"},
        {"performance_budgets: {step_duration_ms: 2000}, on_budget_exceeded: {action: abort}, continue_on_error: true",
         RUN_FAILED, "performance_budget_exceeded"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, SLOW("%s"), t[i].config);
        rig_start(&g, yaml);
        rig_pass(&g, strstr(t[i].config, "budgets") ? 2001 : 10001);
        rig_stop(&g);
        rig_assert_status(&g, t[i].status);
        if (!strstr(t[i].status == RUN_FAILED ? rig_run_error(&g) : rig_results(&g), t[i].has))
            fail_msg("%s: %s, %s", t[i].config, rig_run_error(&g), rig_results(&g));
        rig_done(&g);
    }
    rig_start(&g, SLOW("on_timeout: graceful"));
}

static void test_only_the_notes_of_what_takes_long(void **state)
{
    (void)state;
    rig_start(&g, SLOW("timeout_warning_seconds: 3, performance_budgets: {total_duration_ms: 4000, "
                       "step_duration_ms: 1000}"));
    unsigned before = g.events[EVENT_NOTE];
    rig_pass(&g, 999);
    assert_int_equal(g.events[EVENT_NOTE], before);
    rig_pass(&g, 1); /* the step */
    assert_int_equal(g.events[EVENT_NOTE], before + 1);
    rig_pass(&g, 2000); /* the call */
    assert_int_equal(g.events[EVENT_NOTE], before + 2);
    rig_ok(&g, "call/ask/turn:1", "{\"text\": \"x\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* 10 s, then 30 s; a restart of the engine in between does not begin the count anew. */
static void test_each_attempt_has_more_time(void **state)
{
    (void)state;
    for (int crash = 0; crash < 2; crash++) {
        rig_start(&g, SLOW("on_timeout: retry, retry_config: {max_attempts: 2, backoff_factor: 3, delay: 1s, jitter: "
                           "false, increase_timeout: true}"));
        rig_pass(&g, 10000);
        rig_stop(&g);
        assert_int_equal(rig_count(&g, RECORD_RESULT, "call"), 1);
        rig_pass(&g, 1000);
        if (crash)
            rig_restart(&g, SIZE_MAX, false);
        rig_pass(&g, 29990);
        assert_non_null(rig_effect(&g, "call~2/ask/turn:1"));
        assert_false(rig_effect(&g, "call~2/ask/turn:1")->cancelled);
        rig_pass(&g, 20);
        rig_stop(&g);
        rig_assert_status(&g, RUN_FAILED);
        if (!crash)
            rig_done(&g);
    }
}

static void test_prune(void **state)
{
    (void)state;
    static const struct {
        const char *more, *expected;
    } t[] = {
        {"prune_results: {keep_fields: [n]}", "\"call\":{\"a\":{\"n\":7},\"b\":{\"n\":1}}"},
        {"prune_results: {keep_fields: [a, b.m]}", "\"call\":{\"a\":{\"n\":7,\"m\":8},\"b\":{\"m\":2}}"},
        {"prune_results: {keep_fields: c}", "\"call\":{\"c\":5}"},
        {"prune_results: {remove_fields: [m, c]}", "\"call\":{\"a\":{\"n\":7},\"b\":{\"n\":1}}"},
        {"prune_results: {remove_fields: [a.n, b]}", "\"call\":{\"a\":{\"m\":8},\"c\":5}"},
        {"prune_results: {keep_fields: [a], remove_fields: [n]}", "\"call\":{\"a\":{\"m\":8}}"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml,
                 CALL("      config: {%s}\n", "        steps:\n"
                                              "          - {name: a, type: test_echo, value: {n: 7, m: 8}}\n"
                                              "          - {name: b, type: test_echo, value: {n: 1, m: 2}}\n"
                                              "          - {name: c, type: test_echo, value: 5}\n"),
                 t[i].more);
        rig_start(&g, yaml);
        rig_assert_status(&g, RUN_SUCCEEDED);
        has(t[i].expected);
        rig_done(&g);
    }
    rig_start(&g, CALL("      outputs: [{path: a, as: n}, {path: a.k, as: k}]\n      config: {prune_results: "
                       "{keep_fields: [n]}}\n",
                       "        steps: [{name: a, type: test_echo, value: {n: 1, k: 2}}]\n"));
    has("\"call\":{\"n\":{\"n\":1,\"k\":2}}"); /* fields of the result, not those of its values */
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        const char *error; /* NULL: it succeeds */
        unsigned notes;
    } t[] = {
        {"memory_limit_mb: 1", "memory_limit_exceeded", 1},
        {"memory_limits: {hard_limit_mb: 1}", "memory_limit_exceeded", 1},
        {"memory_limits: {hard_limit_mb: 1}, memory_check_enabled: false", NULL, 0},
        {"memory_limits: {soft_limit_mb: 1, hard_limit_mb: 900}", NULL, 1},
        {"memory_warning_mb: 1", NULL, 1},
        {"memory_limit_mb: 900", NULL, 0},
        {"performance_budgets: {memory_usage_mb: 1}", NULL, 1},
        {"performance_budgets: {memory_usage_mb: 1}, on_budget_exceeded: {action: error}", "memory_limit_exceeded", 1},
        {"performance_budgets: {memory_usage_mb: 1}, on_budget_exceeded: {action: abort}, continue_on_error: true",
         "memory_limit_exceeded", 1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml,
                 CALL("      config: {%s}\n",
                      "        steps:\n"
                      "          - {name: a, type: set_variable, variables: {a: \"{{ range(1, 60000) }}\"}}\n"
                      "          - {name: b, type: test_echo, value: \"{{ length(state.a) }}\"}\n"
                      "          - {name: c, type: test_echo, value: 5}\n"),
                 t[i].config);
        rig_start(&g, yaml);
        rig_assert_status(&g, t[i].error ? RUN_FAILED : RUN_SUCCEEDED);
        if (t[i].error)
            assert_non_null(strstr(rig_run_error(&g), t[i].error));
        if (g.events[EVENT_NOTE] != t[i].notes)
            fail_msg("%s: %u notes", t[i].config, g.events[EVENT_NOTE]);
        rig_done(&g);
    }
    rig_start(&g, CALL("", "        steps: [{name: a, type: test_echo}]\n"));
}

static void test_error_context(void **state)
{
    (void)state;
    rig_start(&g, CALL("      inputs: {k: 3}\n      config: {preserve_error_context: true, continue_on_error: true}\n",
                       "        steps:\n          - {name: a, type: test_echo, value: 1}\n"
                       "          - {name: b, type: test_echo, fail: true}\n"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"error_context\":{\"inputs\":{\"k\":3},\"results\":{\"a\":1},\"execution\":{\"workflow\":\"inner\","
        "\"step\":\"call\",\"attempt\":1}}");
}

/* It is part of what a handler's beginning records: a life that begins while the handler works has it, too. */
static void test_error_context_over_lives(void **state)
{
    (void)state;
    rig_shelf_bytes = rig_keep_bytes = 1;
    rig_start(&g, CALL("      config: {preserve_error_context: true}\n"
                       "      on_error: [{name: tell, type: command, run: tell, on_interrupt: retry}]\n",
                       "        steps:\n          - {name: a, type: test_echo, value: {k: 1}}\n"
                       "          - {name: b, type: test_echo, fail: true}\n"));
    assert_non_null(rig_effect(&g, "call/on_error:1/tell/exec:1"));
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "call/on_error:1/tell/exec:1", "{\"exit_code\": 0, \"stdout\": \"\", \"stderr\": \"\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    has("\"results\":{\"a\":{\"k\":1}}");
}

static void test_variables_live_inside(void **state)
{
    (void)state;
    static const char yaml[] = CALL("", "        variables: {x: 10}\n        steps:\n"
                                        "          - {name: s, type: set_variable, variables: {x: \"{{ 11 }}\"}}\n"
                                        "          - {name: ask, type: claude, prompt: hello}\n"
                                        "          - {name: e, type: test_echo, value: \"{{ state.x }}\"}\n");
    for (size_t keep = 0;; keep++) {
        rig_start(&g, yaml);
        size_t all = g.nrecords;
        rig_restart(&g, keep, false);
        rig_ok(&g, "call/ask/turn:1", "{\"text\": \"x\"}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        has("\"e\":11");
        if (keep >= all)
            break;
        rig_done(&g);
    }
}

/* Four steps inside (the loop, and three in its iterations) are done before the question; the limit lets one more. */
static void test_steps_are_counted_on_after_a_crash(void **state)
{
    (void)state;
    for (int limit = 5; limit <= 7; limit++)
        for (int crash = 0; crash < 2; crash++) {
            char yaml[2048];
            snprintf(yaml, sizeof yaml,
                     CALL("      config: {max_total_steps: %d}\n",
                          "        steps:\n"
                          "          - {name: l, type: for_loop, data_source: [1, 2, 3],\n"
                          "             steps: [{name: i, type: test_echo}]}\n"
                          "          - {name: ask, type: claude, prompt: hello}\n"
                          "          - {name: e, type: test_echo}\n"),
                     limit);
            rig_start(&g, yaml);
            if (crash)
                rig_restart(&g, SIZE_MAX, false);
            rig_ok(&g, "call/ask/turn:1", "{\"text\": \"x\"}");
            rig_assert_status(&g, limit < 6 ? RUN_FAILED : RUN_SUCCEEDED);
            if (limit < 6)
                assert_non_null(strstr(rig_run_error(&g), "max_total_steps_exceeded"));
            rig_done(&g);
        }
    rig_start(&g, CALL("", "        steps: [{name: a, type: test_echo}]\n"));
}

#define FILE_CALL                      \
    "workflow:\n  name: w\n  steps:\n" \
    "    - {name: call, type: pipeline, pipeline_file: \"{{ 'sub' + '.yaml' }}\", inputs: {n: 2}}\n"

/* The text is recorded: a life after that asks for it no more, and executes the same. */
static void test_text_is_read_once(void **state)
{
    (void)state;
    static const char text[] =
        "{\"path\": \"/d/sub.yaml\", \"text\": \"workflow:\\n  name: s\\n  inputs: {n: {type: integer}}\\n  steps:\\n"
        "    - {name: ask, type: claude, prompt: \\\"n {{ inputs.n }}\\\"}\\n\"}";
    rig_start(&g, FILE_CALL);
    assert_non_null(rig_effect(&g, "call/load:1"));
    rig_ok(&g, "call/load:1", text);
    assert_non_null(rig_effect(&g, "call/ask/turn:1"));
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "call/load:1"));
    rig_ok(&g, "call/ask/turn:1", "{\"text\": \"x\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_text_with_mistakes(void **state)
{
    (void)state;
    rig_start(&g, FILE_CALL);
    rig_ok(&g, "call/load:1", "{\"path\": \"/d/sub.yaml\", \"text\": \"workflow:\\n  name: s\\n  stepz: []\\n\"}");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "/d/sub.yaml:"));
}

/* A file that calls itself for ever ends at the bound, having read one text a level. */
static void test_endless_recursion(void **state)
{
    (void)state;
    rig_start(&g, FILE_CALL);
    char path[512] = "call";
    for (int level = 0; level < 12; level++) {
        char load[600];
        snprintf(load, sizeof load, "%s/load:1", path);
        if (!rig_effect(&g, load))
            break;
        rig_ok(&g, load,
               "{\"path\": \"/d/sub.yaml\", \"text\": \"workflow:\\n  name: s\\n  steps:\\n"
               "    - {name: again, type: pipeline, pipeline_file: sub.yaml, inputs: {n: 1}}\\n\"}");
        snprintf(path + strlen(path), sizeof path - strlen(path), "/again");
        assert_true(level < 11);
    }
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "max_depth_exceeded"));
}

/* What a workflow was called with is known after it, well or not, where somebody asks; else it is no field. */
static void test_inputs_after(void **state)
{
    (void)state;
    static const char *const ends[] = {"value: 1", "fail: true"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml,
                 CALL("      inputs: {n: \"{{ x + 1 }}\"}\n      on_error: continue\n",
                      "        steps: [{name: a, type: test_echo, %s}]\n") "    - {name: e, type: test_echo, value: "
                                                                           "\"{{ steps.call.inputs.n * 10 }}\"}\n",
                 ends[i]);
        for (size_t keep = 0; keep < 12; keep++) {
            rig_start(&g, yaml);
            rig_restart(&g, keep < g.nrecords ? keep : g.nrecords, false);
            has("\"inputs\":{\"n\":2}");
            has("\"e\":20");
            rig_assert_status(&g, RUN_SUCCEEDED);
            rig_done(&g);
        }
    }
    rig_start(&g, CALL("      inputs: {n: 1}\n", "        steps: [{name: a, type: test_echo, value: 1}]\n"));
    has("\"call\":{\"a\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_inputs_after, done),
        cmocka_unit_test_teardown(test_outputs, done),
        cmocka_unit_test_teardown(test_names_end_at_the_call, done),
        cmocka_unit_test_teardown(test_fallback, done),
        cmocka_unit_test_teardown(test_its_time_is_over_and_the_run_goes_on, done),
        cmocka_unit_test_teardown(test_partial_results_are_recorded, done),
        cmocka_unit_test_teardown(test_partial_results_are_fetched, done),
        cmocka_unit_test_teardown(test_on_timeout, done),
        cmocka_unit_test_teardown(test_only_the_notes_of_what_takes_long, done),
        cmocka_unit_test_teardown(test_each_attempt_has_more_time, done),
        cmocka_unit_test_teardown(test_prune, done),
        cmocka_unit_test_teardown(test_memory, done),
        cmocka_unit_test_teardown(test_error_context, done),
        cmocka_unit_test_teardown(test_error_context_over_lives, done),
        cmocka_unit_test_teardown(test_variables_live_inside, done),
        cmocka_unit_test_teardown(test_steps_are_counted_on_after_a_crash, done),
        cmocka_unit_test_teardown(test_text_is_read_once, done),
        cmocka_unit_test_teardown(test_text_with_mistakes, done),
        cmocka_unit_test_teardown(test_endless_recursion, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
