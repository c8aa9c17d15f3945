/* Budgets of steps that contain others, and of workflows that are called: counted over all calls below, attempts and
 * lives; the step that has spent its own fails, and nothing else. */
#include "unit/bench.h"

static const char hi[] =
    "{\"text\": \"hi\", \"raw\": [1], \"stop_reason\": \"end_turn\", \"usage\": {\"input_tokens\": 100, "
    "\"output_tokens\": 20}, \"cost_usd\": 0.01}";

/* Four calls, one after another, inside `with`; then one outside. */
static void calls(const char *with, const char *before, const char *behind)
{
    char yaml[1500];
    snprintf(yaml, sizeof yaml, "workflow:\n  name: w\n  steps:\n%s    - {name: after, type: claude, prompt: bye}\n",
             with);
    rig_start(&g, yaml);
    for (int i = 0; i < 4; i++) {
        char at[100];
        snprintf(at, sizeof at, "%s%d%s", before, i, behind);
        if (!rig_effect(&g, at))
            break;
        rig_ok(&g, at, hi);
        if (i == 0)
            rig_restart(&g, SIZE_MAX, false); /* what was spent is known to each life */
    }
}

#define ASKS "[{name: ask, type: claude, prompt: hello}]"
static const struct {
    const char *with, *before, *behind, *whose;
} rows[] = {
    {"    - {name: s, type: for_loop, data_source: [1, 2, 3, 4], budget: {tokens: 200}, on_error: continue, "
     "steps: " ASKS "}\n",
     "s/", "/ask/turn:1", "step `s`"},
    {"    - {name: s, type: for_loop, data_source: [1, 2, 3, 4], budget: {usd: 0.015}, on_error: continue, steps: " ASKS
     "}\n",
     "s/", "/ask/turn:1", "step `s`"},
    {"    - {name: s, type: pipeline, budget: {usd: 0.015}, on_error: continue,\n"
     "       pipeline: {steps: [{name: l, type: for_loop, data_source: [1, 2, 3, 4], steps: " ASKS "}]}}\n",
     "s/l/", "/ask/turn:1", "step `s`"},
    {"    - {name: s, type: pipeline, on_error: continue,\n"
     "       pipeline: {name: inner, budget: {tokens: 200},\n"
     "                  steps: [{name: l, type: for_loop, data_source: [1, 2, 3, 4], steps: " ASKS "}]}}\n",
     "s/l/", "/ask/turn:1", "workflow `inner`"},
    {"    - {name: s, type: claude_batch, budget: {tokens: 200}, on_error: continue, batch_config: {max_parallel: 1},\n"
     "       tasks: [{id: \"0\", prompt: a}, {id: \"1\", prompt: a}, {id: \"2\", prompt: a}, {id: \"3\", prompt: "
     "a}]}\n",
     "s/", "/turn:1", "step `s`"},
};

static void test_containers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (i)
            rig_done(&g);
        calls(rows[i].with, rows[i].before, rows[i].behind);
        if (g.asked == 0 || rig_count(&g, RECORD_DONE, "s") != 1)
            fail_msg("row %zu: the step has not ended", i);
        const char *r = rig_results(&g);
        if (!strstr(r, "\"class\":\"budget\"") || !strstr(r, rows[i].whose) || !strstr(r, "240 tokens"))
            fail_msg("row %zu: %s", i, r);
        rig_ok(&g, "after/turn:1", hi); /* the run's own budget is another */
        rig_assert_status(&g, RUN_SUCCEEDED);
    }
}

/* What a step's handler asks is not held against what the step has spent. */
static void test_handler(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: s\n      type: for_loop\n      data_source: [1, 2]\n      budget: {tokens: 100}\n"
                  "      steps: " ASKS "\n"
                  "      on_error: {steps: [{name: mend, type: claude, prompt: mend}]}\n");
    rig_ok(&g, "s/0/ask/turn:1", hi);
    assert_null(rig_effect(&g, "s/1/ask/turn:1"));
    rig_ok(&g, "s/on_error:1/mend/turn:1", hi);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* An answer that has come is kept, whatever it cost and whichever model gave it: only what begins anew is asked about.
 */
static void test_kept_after_a_crash(void **state)
{
    (void)state;
    static const char yaml[] = "workflow:\n  name: w\n  steps:\n"
                               "    - name: s\n      type: for_loop\n      data_source: [1, 2]\n"
                               "      budget: {tokens: 200}\n"
                               "      steps: [{name: ask, type: claude, prompt: hello, model: haiku,\n"
                               "               claude_options: {fallback_model: haiku}}]\n";
    rig_start(&g, yaml);
    rig_ok(&g, "s/0/ask/turn:1:fallback", hi);
    size_t before = g.nrecords;
    rig_ok(&g, "s/1/ask/turn:1:fallback", hi);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_true(g.nrecords > before);
    for (size_t keep = g.nrecords; keep > before; keep--) {
        rig_restart(&g, keep, false);
        assert_null(rig_effect(&g, "s/1/ask/turn:1:fallback"));
        rig_assert_status(&g, RUN_SUCCEEDED);
    }
}

/* All that is enough is not too much. */
static void test_enough(void **state)
{
    (void)state;
    calls("    - {name: s, type: for_loop, data_source: [1, 2, 3, 4], budget: {tokens: 361, usd: 0.05}, steps: " ASKS
          "}\n",
          "s/", "/ask/turn:1");
    rig_ok(&g, "after/turn:1", hi);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"completed_items\":4"));
}

/* The ends of the integers are items as others are. */
static void test_ranges_at_the_ends(void **state)
{
    (void)state;
    static const struct {
        const char *range, *more, *expected;
    } t[] = {
        {"range(-9223372036854775808, -9223372036854775807)", "", "-9223372036854775808,-9223372036854775807,"},
        {"range(9223372036854775806, 9223372036854775807)", "", "9223372036854775806,9223372036854775807,"},
        {"range(-9223372036854775808, -9223372036854775800)", ", max_iterations: 0", ""},
        {"range(-9223372036854775808, -9223372036854775800)", ", max_iterations: 1", "-9223372036854775808,"},
        {"range(5, 4)", "", ""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[600];
        snprintf(
            yaml, sizeof yaml,
            "workflow:\n  name: w\n  variables: {seen: \"\"}\n  steps:\n    - {name: l, type: for_loop, data_source: "
            "\"%s\"%s, steps: [{name: v, type: set_variable, variables: {seen: \"{{ seen }}{{ item }},\"}}]}\n"
            "    - {name: all, type: test_echo, value: \"<{{ seen }}>\"}\n",
            t[i].range, t[i].more);
        if (i)
            rig_done(&g);
        rig_start(&g, yaml);
        rig_assert_status(&g, RUN_SUCCEEDED);
        char want[100];
        snprintf(want, sizeof want, "\"all\":\"<%s>\"", t[i].expected);
        if (!strstr(rig_results(&g), want))
            fail_msg("%s%s gave %s", t[i].range, t[i].more, rig_results(&g));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_containers, done),         cmocka_unit_test_teardown(test_handler, done),
        cmocka_unit_test_teardown(test_kept_after_a_crash, done), cmocka_unit_test_teardown(test_enough, done),
        cmocka_unit_test_teardown(test_ranges_at_the_ends, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
