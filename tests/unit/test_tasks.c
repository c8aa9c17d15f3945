/* Groups of tasks: claude_batch and parallel_claude. */
#include "unit/bench.h"

#define USAGE       "\"usage\": {\"input_tokens\": 10, \"output_tokens\": 5}, \"cost_usd\": 0.01"
#define SAYS(t)     "{\"text\": \"" t "\", \"raw\": [1], \"stop_reason\": \"end_turn\", " USAGE "}"
#define ERROR(c)    "{\"class\": \"" c "\", \"message\": \"it was " c "\"}"
#define FLOW(s)     "workflow:\n  name: w\n  variables: {list: [x, y, z]}\n  steps:\n    - name: par\n" s
#define PAR(t)      FLOW("      type: parallel_claude\n      parallel_tasks: " t "\n")
#define BATCH(c, t) FLOW("      type: claude_batch\n      batch_config: {" c "}\n      tasks: " t "\n")

static const char *asked(const char *path)
{
    struct rig_effect *e = rig_effect(&g, path);
    if (!e)
        fail_msg("nothing was asked at %s", path);
    const struct val *m = VAL_GET(e->e.request, "messages");
    return val_get_str(val_at(VAL_GET(val_at(m, 0), "content"), 0), STR("text"), STR("")).p;
}

static void assert_result(const char *part)
{
    if (!strstr(rig_results(&g), part))
        fail_msg("`%s` is not in %s", part, rig_results(&g));
}

static void test_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *tasks, *path, *prompt;
    } rows[] = {
        {"[{id: a, prompt: hello}]", "par/a/turn:1", "hello"},
        {"[{task_id: a, prompt: hello}]", "par/a/turn:1", "hello"},
        {"[{name: a, prompt: [{type: static, content: he}, {type: static, content: llo}]}]", "par/a/turn:1",
         "he\n\nllo"},
        {"[{a: {prompt: hello}}]", "par/a/turn:1", "hello"},
        {"[{a: hello}]", "par/a/turn:1", "hello"},
        {"[hello]", "par/task_1/turn:1", "hello"},
        {"[{prompt: hello}]", "par/task_1/turn:1", "hello"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[1000];
        snprintf(yaml, sizeof yaml, PAR("%s"), rows[i].tasks);
        rig_start(&g, yaml);
        assert_string_equal(asked(rows[i].path), rows[i].prompt);
        rig_ok(&g, rows[i].path, SAYS("hi"));
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (i + 1 < sizeof rows / sizeof *rows)
            rig_done(&g);
    }
}

static void test_parallel(void **state)
{
    (void)state;
    rig_start(
        &g,
        PAR("[{id: b, prompt: one}, {id: a, prompt: two, condition: \"false\"}, {id: c, prompt: three}]") "    - "
                                                                                                          "{name: "
                                                                                                          "after, "
                                                                                                          "type: "
                                                                                                          "test_echo, "
                                                                                                          "value: \"{{ "
                                                                                                          "steps.par.b."
                                                                                                          "text }} {{ "
                                                                                                          "steps.par.c."
                                                                                                          "error.class "
                                                                                                          "}}\"}\n");
    assert_string_equal(asked("par/c/turn:1"), "three"); /* all at once */
    rig_error(&g, "par/c/turn:1", ERROR("invalid_request"));
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "par/c/turn:1"));
    rig_ok(&g, "par/b/turn:1", SAYS("first"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result(
        "\"par\":{\"success\":false,\"results\":{\"b\":{\"ok\":true,\"result\":{\"success\":true,\"text\":\"first\"");
    assert_result("\"a\":{\"ok\":true,\"result\":{\"success\":true,\"skipped\":true");
    assert_result("\"c\":{\"ok\":false,\"error\":{\"class\":\"invalid_request\"");
    assert_result("\"combined_results\":\"===[b]===\\nfirst\\n\\n===[a]===");
    assert_result("\"after\":\"first invalid_request\"");
}

static void test_all_fail(void **state)
{
    (void)state;
    rig_start(&g, PAR("[{id: a, prompt: one}, {id: b, prompt: two}]"));
    rig_error(&g, "par/a/turn:1", ERROR("auth"));
    rig_assert_status(&g, RUN_RUNNING);
    rig_error(&g, "par/b/turn:1", ERROR("invalid_request"));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "all 2 tasks failed; the last one: it was invalid_request"));
    rig_restart(&g, SIZE_MAX, false); /* both are tried again, and the group goes on */
    rig_ok(&g, "par/a/turn:1", SAYS("now"));
    rig_ok(&g, "par/b/turn:1", SAYS("now"));
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_batch_ceiling(void **state)
{
    (void)state;
    rig_start(&g, BATCH("max_parallel: 2", "[one, two, three, four]"));
    assert_non_null(rig_effect(&g, "par/task_2/turn:1"));
    assert_null(rig_effect(&g, "par/task_3/turn:1"));
    rig_ok(&g, "par/task_2/turn:1", SAYS("2"));
    assert_non_null(rig_effect(&g, "par/task_3/turn:1"));
    assert_null(rig_effect(&g, "par/task_4/turn:1"));
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "par/task_2/turn:1")); /* answered */
    assert_null(rig_effect(&g, "par/task_4/turn:1"));
    rig_ok(&g, "par/task_1/turn:1", SAYS("1"));
    rig_ok(&g, "par/task_4/turn:1", SAYS("4"));
    rig_ok(&g, "par/task_3/turn:1", SAYS("3"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"total_tasks\":4,\"successful_tasks\":4,\"failed_tasks\":0");
    const char *all = rig_results(&g), *first = strstr(all, "\"task_id\":\"task_1\"");
    const char *last = strstr(all, "\"task_id\":\"task_4\"");
    assert_true(first && last && first < last);
}

static void test_time_of_a_task(void **state)
{
    (void)state;
    rig_start(&g, BATCH("timeout_per_task: 2", "[{id: a, prompt: one}, {id: b, prompt: two}]")); /* seconds */
    rig_ok(&g, "par/a/turn:1", SAYS("1"));
    rig_pass(&g, 1900);
    assert_false(rig_effect(&g, "par/b/turn:1")->cancelled);
    rig_pass(&g, 200);
    rig_stop(&g);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"task_id\":\"b\",\"status\":\"timeout\"");
    assert_result("\"task_breakdown\":{\"successful\":1,\"failed\":0,\"timeout\":1}");
}

static void test_batch_prompts(void **state)
{
    (void)state;
    rig_start(&g, FLOW("      type: claude_batch\n      prompt: Always begin so.\n      preset: chat\n"
                       "      claude_options: {model: haiku}\n"
                       "      tasks: [{id: a, prompt: And end so.}, {id: b, claude_options: {model: opus}}]\n"));
    assert_string_equal(asked("par/a/turn:1"), "Always begin so.\n\nAnd end so.");
    assert_string_equal(asked("par/b/turn:1"), "Always begin so.");
    assert_true(str_is(VAL_GET(rig_effect(&g, "par/a/turn:1")->e.request, "model")->s, "haiku"));
    assert_true(str_is(VAL_GET(rig_effect(&g, "par/b/turn:1")->e.request, "model")->s, "opus"));
    assert_non_null(strstr(VAL_GET(rig_effect(&g, "par/b/turn:1")->e.request, "system")->s.p, "concise"));
}

static void test_computed_tasks(void **state)
{
    (void)state;
    rig_start(
        &g,
        PAR("\"{{ state.list }}\"") "      task_template: {id: \"scan_{{item}}\", prompt: \"Look at {{ item }}\"}\n");
    assert_string_equal(asked("par/2/turn:1"), "Look at z");
    rig_ok(&g, "par/0/turn:1", SAYS("0"));
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "par/0/turn:1"));
    rig_ok(&g, "par/1/turn:1", SAYS("1"));
    rig_ok(&g, "par/2/turn:1", SAYS("2"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"results\":{\"scan_x\":{\"ok\":true");
    assert_result("\"scan_z\":{\"ok\":true");
}

/* An id that reads what has left memory is read before the first task starts, and once for all lives. */
static void test_ids_of_computed_tasks(void **state)
{
    (void)state;
    static const char *const lists[] = {"tasks: '{{ list }}'", "task_generator: {type: file_list, pattern: '*.c'}"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[1000];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  variables: {list: [x, y], n: 1}\n  steps:\n"
                 "    - {name: big, type: test_echo, value: {text: \"{{ join(range(7, 3000)) }}\"}}\n"
                 "    - name: par\n      type: parallel_claude\n      parallel_config: {max_workers: 1}\n      %s\n"
                 "      task_template: {id: 'n{{ steps.big.text[:1] }}_{{ task.index }}', prompt: hello}\n",
                 lists[i]);
        rig_shelf_bytes = 1;
        rig_start(&g, yaml);
        if (i)
            rig_ok(&g, "par/files:1", "{\"files\": [\"a.c\", \"b.c\"]}");
        assert_true(g.loads > 0);
        rig_ok(&g, "par/0/turn:1", SAYS("0"));
        g.loads = 0;
        rig_restart(&g, SIZE_MAX, false);
        assert_int_equal(g.loads, 0);
        rig_ok(&g, "par/1/turn:1", SAYS("1"));
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_result("\"results\":{\"n7_0\":{\"ok\":true");
        assert_result("\"n7_1\":{\"ok\":true");
        assert_non_null(strstr(rig_data(&g, RECORD_OPEN, "par"), "\"ids\":[\"n7_0\",\"n7_1\"]"));
        rig_shelf_bytes = 0;
        if (i == 0)
            rig_done(&g);
    }
}

/* One by one: what was read for one is not read, or copied, once more for the next. */
static void test_ids_of_many_tasks(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_limits.memory = 16 << 20;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: each\n      type: for_loop\n      data_source: range(1, 300)\n"
                  "      steps: [{name: e, type: test_echo, value: {key: \"k{{ loop.item }}\"}}]\n"
                  "    - name: par\n      type: claude_batch\n      batch_config: {max_parallel: 1}\n"
                  "      tasks: \"{{ map(range(1, 300), (x) => {'text': join(range(100, 300))}) }}\"\n"
                  "      task_template: {id: '{{ steps.each.iterations[task.index].results.e.key }}', prompt: hi}\n");
    rig_limits.memory = 0;
    assert_true(g.loads > 100);
    rig_assert_status(&g, RUN_RUNNING);
    const char *open = rig_data(&g, RECORD_OPEN, "par");
    assert_non_null(strstr(open, "\"ids\":[\"k1\",\"k2\","));
    assert_non_null(strstr(open, ",\"k299\",\"k300\"]"));
}

/* A journal of an earlier version pins no ids: what the template says now counts, in that life and each after it. */
static void test_ids_of_an_older_journal(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_start(&g, "workflow:\n  name: w\n  variables: {list: [x, y, z]}\n  steps:\n"
                  "    - {name: big, type: test_echo, value: {text: \"{{ join(range(7, 3000)) }}\"}}\n"
                  "    - name: par\n      type: parallel_claude\n      parallel_config: {max_workers: 1}\n"
                  "      tasks: '{{ list }}'\n"
                  "      task_template: {id: 'n{{ steps.big.text[:1] }}_{{ item }}', prompt: hello}\n");
    rig_ok(&g, "par/0/turn:1", SAYS("0"));
    for (struct rig_record *r = g.records; r; r = r->next) {
        char *data = arena_cstr(&g.arena, r->r.data), *ids = strstr(data, ",\"ids\":[");
        if (r->r.kind != RECORD_OPEN || !ids)
            continue;
        char *end = strchr(ids, ']') + 1;
        memmove(ids, end, strlen(end) + 1);
        r->r.data = str_c(data);
    }
    assert_null(strstr(rig_data(&g, RECORD_OPEN, "par"), "ids"));
    rig_restart(&g, ALL, false);
    rig_ok(&g, "par/1/turn:1", SAYS("1"));
    rig_restart(&g, ALL, false);
    rig_ok(&g, "par/2/turn:1", SAYS("2"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(rig_count(&g, RECORD_OPEN, "par"), 1);
    assert_result("\"results\":{\"n7_x\":{\"ok\":true");
    assert_result("\"n7_z\":{\"ok\":true");
}

/* An id stands in the task, and sees what the prompt beside it sees. */
static void test_names_in_ids(void **state)
{
    (void)state;
    rig_start(&g, PAR("\"{{ state.list }}\"") "      task_template:\n"
                                              "        id: \"{{ pre }}_{{ step.name }}_{{ item }}\"\n"
                                              "        variables: {pre: \"a{{ item }}\"}\n"
                                              "        metadata: {kind: m}\n"
                                              "        prompt: \"{{ pre }}_{{ step.name }}_{{ item }}\"\n");
    assert_string_equal(asked("par/1/turn:1"), "ay_task_y");
    assert_non_null(strstr(rig_data(&g, RECORD_OPEN, "par"), "\"ids\":[\"ax_task_x\",\"ay_task_y\",\"az_task_z\"]"));
}

/* What data calls by the same name twice has two results all the same, whose names are the same in all lives. */
static void test_same_ids(void **state)
{
    (void)state;
    static const char *const types[] = {"parallel_claude", "claude_batch"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[1000];
        snprintf(
            yaml, sizeof yaml,
            FLOW("      type: %s\n      tasks: \"{{ [{'name': 'a', 'prompt': 'one'}, {'name': 'a', 'prompt': 'two'},"
                 " {'name': 'a_2', 'prompt': 'three'}, {'name': 'a', 'prompt': 'four'}] }}\"\n"),
            types[i]);
        rig_start(&g, yaml);
        assert_int_equal(g.events[EVENT_NOTE], i == 0);
        assert_non_null(strstr(rig_data(&g, RECORD_OPEN, "par"),
                               i ? "\"ids\":[\"a\",\"a\",\"a_2\",\"a\"]" : "\"ids\":[\"a\",\"a_3\",\"a_2\",\"a_4\"]"));
        rig_ok(&g, "par/0/turn:1", SAYS("1"));
        rig_restart(&g, ALL, false);
        rig_ok(&g, "par/3/turn:1", SAYS("4"));
        rig_ok(&g, "par/2/turn:1", SAYS("3"));
        rig_ok(&g, "par/1/turn:1", SAYS("2"));
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (i == 0) {
            assert_result("\"a\":{\"ok\":true,\"result\":{\"success\":true,\"text\":\"1\"");
            assert_result("\"a_3\":{\"ok\":true,\"result\":{\"success\":true,\"text\":\"2\"");
            assert_result("\"a_2\":{\"ok\":true,\"result\":{\"success\":true,\"text\":\"3\"");
            assert_result("\"a_4\":{\"ok\":true,\"result\":{\"success\":true,\"text\":\"4\"");
            rig_done(&g);
        }
    }
}

/* Wherever the process dies, tasks are called what they would have been called. */
static void test_ids_after_a_crash(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_start(&g, "workflow:\n  name: w\n  variables: {list: [x, y, x]}\n  steps:\n"
                  "    - {name: big, type: test_echo, value: {text: \"{{ join(range(7, 3000)) }}\"}}\n"
                  "    - name: par\n      type: parallel_claude\n      parallel_config: {max_workers: 1}\n"
                  "      tasks: '{{ list }}'\n"
                  "      task_template: {id: 'n{{ steps.big.text[:1] }}_{{ item }}', prompt: hello}\n");
    for (size_t keep = ALL, n = 20; n; keep = --n) {
        if (keep != ALL)
            rig_restart(&g, keep, false);
        while (g.effects)
            rig_ok(&g, arena_cstr(&g.arena, g.effects->e.path), SAYS("hi"));
        rig_assert_status(&g, RUN_SUCCEEDED);
        const char *x = strstr(rig_results(&g), "\"results\":{\"n7_x\":{\"ok\":true");
        x = x ? strstr(x, "\"n7_y\":{\"ok\":true") : NULL;
        assert_non_null(x ? strstr(x, "\"n7_x_2\":{\"ok\":true") : NULL);
        n = n < g.nrecords ? n : g.nrecords;
    }
}

/* What a model said is a prompt, and never more: no tools, no templates. */
static void test_tasks_from_data(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - {name: plan, type: claude, prompt: plan}\n"
                  "    - {name: par, type: claude_batch, tasks: \"{{ steps.plan.text }}\", preset: chat}\n");
    rig_ok(&g, "plan/turn:1",
           SAYS("[{\\\"id\\\": \\\"q\\\", \\\"prompt\\\": \\\"{{ inputs.x }} hi\\\", \\\"claude_options\\\": "
                "{\\\"allowed_tools\\\": "
                "[\\\"Bash\\\"]}}, \\\"plain\\\"]"));
    assert_string_equal(asked("par/0/turn:1"), "{{ inputs.x }} hi");
    assert_string_equal(asked("par/1/turn:1"), "plain");
    assert_null(VAL_GET(rig_effect(&g, "par/0/turn:1")->e.request, "tools"));
    rig_ok(&g, "par/0/turn:1", SAYS("0"));
    rig_ok(&g, "par/1/turn:1", SAYS("1"));
    assert_result("\"task_id\":\"q\"");
    assert_result("\"task_id\":\"task_2\"");
}

static void test_other_types(void **state)
{
    (void)state;
    rig_start(&g, PAR("[{id: a, type: gemini, prompt: one}, {id: b, type: test_echo, value: 7}]"));
    assert_true(str_is(VAL_GET(rig_effect(&g, "par/a/turn:1")->e.request, "provider")->s, "gemini"));
    rig_ok(&g, "par/a/turn:1", SAYS("1"));
    assert_result("\"b\":{\"ok\":true,\"result\":7}");
}

static void test_no_list(void **state)
{
    (void)state;
    static const char *const lists[] = {"\"{{ 7 }}\"", "\"{{ 'x' }}\""};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char yaml[500];
        snprintf(yaml, sizeof yaml, PAR("%s"), lists[i]);
        rig_start(&g, yaml);
        rig_assert_status(&g, RUN_FAILED);
        assert_non_null(strstr(rig_run_error(&g), "asks"));
        if (i + 1 < sizeof lists / sizeof *lists)
            rig_done(&g);
    }
}

/* What is computed may come to be empty: nothing is asked, and the results are those of no tasks. */
static void test_empty_list(void **state)
{
    (void)state;
    rig_start(&g, PAR("\"{{ [] }}\""));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("{\"success\":true,\"results\":{},\"combined_results\":\"\"}");
}

#define TEST(t) cmocka_unit_test_teardown(t, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spellings),
        TEST(test_parallel),
        TEST(test_all_fail),
        TEST(test_batch_ceiling),
        TEST(test_time_of_a_task),
        TEST(test_batch_prompts),
        TEST(test_computed_tasks),
        TEST(test_tasks_from_data),
        TEST(test_ids_of_computed_tasks),
        TEST(test_ids_of_many_tasks),
        TEST(test_ids_of_an_older_journal),
        TEST(test_names_in_ids),
        TEST(test_same_ids),
        TEST(test_ids_after_a_crash),
        TEST(test_other_types),
        TEST(test_no_list),
        TEST(test_empty_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
