/* A step's `cache`: what is looked for, what a hit is, what is kept, and that crashes change nothing of it. */
#include "unit/bench.h"

static const char *request(const char *path, const char *key)
{
    struct rig_effect *e = rig_effect(&g, path);
    const struct val *v = e ? val_get(e->e.request, str_c(key)) : NULL;
    return v ? json_text(&g.arena, v).p : "";
}

static void assert_result(const char *part)
{
    if (!strstr(rig_results(&g), part))
        fail_msg("%s has no %s", rig_results(&g), part);
}

#define FLOW(top)  "workflow:\n  name: w\n" top "  steps:\n"
#define COMMAND(c) FLOW("  variables: {n: 1}\n") "    - {name: a, type: command, run: make, cache: {" c "}}\n"
#define SAYS(text)                                                                                            \
    "{\"text\": \"" text "\", \"raw\": [1], \"stop_reason\": \"end_turn\", \"usage\": {\"input_tokens\": 1, " \
    "\"output_tokens\": 2}, \"cost_usd\": 3}"

static void run_command(void)
{
    rig_ok(&g, "a/exec:1", "{\"exit_code\": 0, \"stdout\": \"built\", \"stderr\": \"\"}");
}

/* Each life begins with all of the journal, so what was decided and found is never asked for again. */
static void again(void)
{
    rig_restart(&g, SIZE_MAX, false);
}

static void test_miss_and_keep(void **state)
{
    char entry[100];
    (void)state;
    rig_start(&g, FLOW("  variables: {n: 1}\n") "    - {name: a, type: claude, prompt: hello, cache: {key: \"k{{ n "
                                                "}}\", ttl: 10}}\n");
    again();
    assert_string_equal(request("a/cache:find", "op"), "\"find\"");
    assert_string_equal(request("a/cache:find", "workflow"), "\"w\"");
    assert_string_equal(request("a/cache:find", "ttl_ms"), "10000");
    snprintf(entry, sizeof entry, "%s", request("a/cache:find", "entry"));
    rig_ok(&g, "a/cache:find", "{\"found\": false}");
    again();
    assert_null(rig_effect(&g, "a/cache:find"));
    rig_ok(&g, "a/turn:1", SAYS("hi"));
    assert_string_equal(request("a/cache:keep", "op"), "\"keep\"");
    assert_string_equal(request("a/cache:keep", "entry"), entry);
    assert_non_null(strstr(request("a/cache:keep", "result"), "\"text\":\"hi\""));
    again();
    rig_error(&g, "a/cache:keep", "{\"class\": \"disk_full\", \"message\": \"no room\"}"); /* no matter of the step */
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"hi\"");
    assert_null(strstr(rig_results(&g), "cached"));
}

static void test_hit(void **state)
{
    (void)state;
    rig_start(&g, COMMAND("key: k"));
    assert_string_equal(request("a/cache:find", "ttl_ms"), "3600000");
    rig_ok(&g, "a/cache:find", "{\"found\": true, \"result\": {\"success\": true, \"stdout\": \"old\"}}");
    again();
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"stdout\":\"old\",\"cached\":true");
    assert_non_null(strstr(rig_data(&g, RECORD_DONE, "a"), "\"cached\":true"));
}

/* What a hit costs is nothing, whatever its making cost. */
static void test_usage_of_a_hit(void **state)
{
    (void)state;
    rig_start(&g, FLOW("") "    - {name: a, type: claude, prompt: hello, cache: true}\n");
    rig_ok(&g, "a/cache:find",
           "{\"found\": true, \"result\": {\"text\": \"old\", \"usage\": {\"input_tokens\": 9, \"output_tokens\": 8}, "
           "\"cost_usd\": 7}}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"usage\":{\"input_tokens\":0,\"output_tokens\":0},\"cost_usd\":0.0,\"cached\":true");
    assert_int_equal(run_totals(g.run).input_tokens, 0);
    assert_int_equal(run_totals(g.run).calls, 0);
}

/* Leaves the run as the last one. */
static void model_entry(const char *step, char entry[100])
{
    char yaml[500];
    snprintf(yaml, sizeof yaml, FLOW("  variables: {n: 1}\n") "    - {name: a, cache: true, %s}\n", step);
    rig_start(&g, yaml);
    snprintf(entry, 100, "%s", request("a/cache:find", "entry"));
    assert_int_equal(strlen(entry), 66);
}

/* A model step is found by what it asks. */
static void test_key_of_a_model_step(void **state)
{
    static const char *const others[] = {"type: claude, prompt: bye", "type: claude, prompt: hello, model: opus",
                                         "type: gemini, prompt: hello", "type: claude, prompt: hello, system: calm",
                                         "type: claude, prompt: hello, output_schema: {type: object}"};
    char first[100], other[100];
    (void)state;
    model_entry("type: claude, prompt: hello", first);
    rig_done(&g);
    model_entry("type: claude, prompt: \"hell{{ 'o' }}\"", other);
    assert_string_equal(first, other);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        rig_done(&g);
        model_entry(others[i], other);
        if (strcmp(first, other) == 0)
            fail_msg("%s has the same entry", others[i]);
    }
}

/* The decision is recorded: what it read may change before a resume. */
static void test_decision_is_recorded(void **state)
{
    (void)state;
    rig_start(&g, COMMAND("key: k, conditions: [\"n == 1\", \"n > 1\"]"));
    assert_null(rig_effect(&g, "a/cache:find"));
    assert_non_null(rig_effect(&g, "a/exec:1"));
    assert_string_equal(rig_data(&g, RECORD_RESULT, "a/cache:key"), "{\"ok\":{}}");
    run_command();
    rig_assert_status(&g, RUN_SUCCEEDED); /* and nothing was kept */
}

/* A failed look costs nothing but the look; and nothing is kept behind it. */
static void test_no_cache_to_look_in(void **state)
{
    (void)state;
    rig_start(&g, COMMAND("key: k"));
    rig_error(&g, "a/cache:find", "{\"class\": \"io\", \"message\": \"no disk\"}");
    run_command();
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"stdout\":\"built\"");
}

static void test_what_is_not_kept(void **state)
{
    (void)state;
    rig_start(&g, FLOW("") "    - {name: a, type: claude_robust, prompt: hello, cache: true, "
                           "retry_config: {max_retries: 0, fallback_action: graceful_degradation}}\n");
    rig_ok(&g, "a/cache:find", "{\"found\": false}");
    rig_error(&g, "a/turn:1", "{\"class\": \"server\", \"message\": \"down\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"degraded\":true");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "a/cache:keep"), 0);
}

/* By the workflow's word: model steps, but not those whose tools do something. */
static void test_for_all_steps(void **state)
{
    (void)state;
    rig_start(
        &g,
        FLOW(
            "  cache_config: {enabled: true, ttl: 5, max_size_mb: 2}\n") "    - {name: a, type: claude, prompt: "
                                                                         "hello}\n"
                                                                         "    - {name: b, type: claude, prompt: hello, "
                                                                         "allowed_tools: [Bash]}\n"
                                                                         "    - {name: c, type: gemini, prompt: hello, "
                                                                         "cache: false}\n"
                                                                         "    - {name: d, type: command, run: make}\n");
    assert_string_equal(request("a/cache:find", "ttl_ms"), "5000");
    rig_ok(&g, "a/cache:find", "{\"found\": false}");
    rig_ok(&g, "a/turn:1", SAYS("hi"));
    assert_string_equal(request("a/cache:keep", "max_bytes"), "2097152");
    rig_ok(&g, "a/cache:keep", "{\"bytes\": 1}");
    rig_ok(&g, "b/turn:1", SAYS("hi"));
    rig_ok(&g, "c/turn:1", SAYS("hi"));
    assert_non_null(rig_effect(&g, "d/exec:1"));
}

/* The result of a loop is kept whole, with what has left memory. */
static void test_loop(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_start(&g, FLOW("") "    - name: a\n      type: for_loop\n      data_source: [5, 6]\n      cache: {key: k}\n"
                           "      steps: [{name: b, type: test_echo, value: \"{{ item }}\"}]\n");
    rig_ok(&g, "a/cache:find", "{\"found\": false}");
    assert_non_null(strstr(request("a/cache:keep", "result"), "\"item\":6,\"success\":true,\"results\":{\"b\":6}"));
    rig_ok(&g, "a/cache:keep", "{\"bytes\": 1}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

#define TEST(t) cmocka_unit_test_teardown(t, done)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_miss_and_keep),
                                       TEST(test_hit),
                                       TEST(test_usage_of_a_hit),
                                       TEST(test_key_of_a_model_step),
                                       TEST(test_decision_is_recorded),
                                       TEST(test_no_cache_to_look_in),
                                       TEST(test_what_is_not_kept),
                                       TEST(test_for_all_steps),
                                       TEST(test_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
