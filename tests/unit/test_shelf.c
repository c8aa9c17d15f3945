/* Results that have left memory: read back from the journal they are what they were, wherever something reads them. */
#include "unit/bench.h"

#define REPLY "{\"text\": \"hi\", \"stop_reason\": \"end_turn\"}"

#define READERS                                                                                                      \
    "workflow:\n  name: w\n  output: {all: \"{{ steps.l.iterations[*].results.e }}\", n: \"{{ "                      \
    "length(steps.l.results) }}\"}\n"                                                                                \
    "  variables: {loops: 0}\n  steps:\n"                                                                            \
    "    - name: l\n      type: for_loop\n      data_source: 'range(1, 4)'\n      steps:\n"                          \
    "        - {name: e, type: test_echo, value: '{{ item * 10 }}'}\n"                                               \
    "        - name: inner\n          type: for_loop\n          data_source: [x, y]\n"                               \
    "          steps: [{name: f, type: test_echo, value: '{{ item }}{{ loop.parent.item }}'}]\n"                     \
    "        - {name: own, type: test_echo, value: '{{ steps.inner.iterations[1].results.f }}'}\n"                   \
    "    - {name: count, type: test_echo, value: '{{ steps.l.total_items }}'}\n"                                     \
    "    - {name: one, type: test_echo, value: '{{ steps.l.iterations[2].results.e }}'}\n"                           \
    "    - {name: last, type: test_echo, value: '{{ steps.l.iterations[-1].item }}'}\n"                              \
    "    - {name: deep, type: test_echo, value: '{{ steps.l.iterations[3].results.inner.iterations[0].results.f "    \
    "}}'}\n"                                                                                                         \
    "    - {name: bare, type: test_echo, value: '{{ l.iterations[0] }}', condition: 'length(l.iterations) == 4'}\n"  \
    "    - {name: prev, type: test_echo, value: '{{ previous_response.results }}'}\n"                                \
    "    - {name: set, type: set_variable, variables: {kept: '{{ steps.l }}'}}\n"                                    \
    "    - name: w\n      type: while_loop\n      condition: 'length(steps.l.iterations) > 3 and state.loops < 2'\n" \
    "      break_condition: 'length(steps.l.iterations) == 5'\n      steps:\n"                                       \
    "        - {name: inc, type: set_variable, variables: {loops: '{{ loops + 1 }}'}}\n"                             \
    "        - name: again\n          type: for_loop\n          data_source: 'steps.l.iterations'\n"                 \
    "          steps: [{name: g, type: test_echo, value: '{{ item.results.e }}'}]\n"                                 \
    "    - {name: after, type: test_echo, value: '{{ steps.again.iterations[3].results.g }}'}\n"                     \
    "    - name: file\n      type: for_loop\n      data_source: [1]\n      output_to_file: 'x.json'\n"               \
    "      output_schema: {type: object, properties: {iterations: {type: array, minItems: 1}}}\n"                    \
    "      steps: [{name: e, type: test_echo, value: 1}]\n"

static void run_readers(size_t shelf)
{
    rig_shelf_bytes = shelf;
    rig_start(&g, READERS);
    if (rig_effect(&g, "file/output:1"))
        rig_ok(&g, "file/output:1", "{\"path\": \"x\"}");
}

/* The same whether it is still there, fetched once, or fetched every time; in a first life, and in any later one. */
static void test_reading_back(void **state)
{
    (void)state;
    run_readers(0);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(g.loads, 0);
    static char want[65536];
    char output[1000];
    snprintf(want, sizeof want, "%s", rig_results(&g));
    struct arena a = {0};
    snprintf(output, sizeof output, "%s", json_text(&a, run_output(g.run)).p);
    assert_string_equal(output, "{\"all\":[10,20,30,40],\"n\":4}");
    assert_non_null(strstr(want, "\"one\":30,\"last\":4,\"deep\":\"x4\""));
    assert_non_null(strstr(want, "\"after\":40"));
    assert_non_null(strstr(want, "\"own\":\"y1\""));
    size_t all = g.nrecords;
    rig_done(&g);
    run_readers(1);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_true(g.loads > 5);
    assert_int_equal(g.nrecords, all);
    assert_string_equal(rig_results(&g), want);
    for (size_t keep = 1; keep < all; keep++) {
        rig_done(&g);
        run_readers(keep % 2);
        const struct rig_record *r = g.records;
        for (size_t i = 1; i < keep; i++)
            r = r->next;
        if (r->r.kind == RECORD_WRITE) /* its step's end is always in the same commit */
            continue;
        rig_restart(&g, keep, false);
        if (rig_effect(&g, "file/output:1"))
            rig_ok(&g, "file/output:1", "{\"path\": \"x\"}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_string_equal(rig_results(&g), want);
        assert_string_equal(json_text(&a, run_output(g.run)).p, output);
    }
    arena_done(&a);
}

/* The names of results, and how many there are, are known without the results themselves. */
static void test_names_fetch_nothing(void **state)
{
    (void)state;
    static const char inside[] = "[{name: e, type: test_echo, value: {a: 1, b: 2}}]";
    char yaml[2048];
    snprintf(yaml, sizeof yaml,
             "workflow:\n  name: w\n  steps:\n"
             "    - {name: l, type: for_loop, data_source: [x, y], steps: %s}\n"
             "    - {name: s, type: switch, expression: '1', cases: {'1': %s}}\n"
             "    - name: r\n      type: test_echo\n      condition: \"'l' in keys(steps) and length(steps) == 2\"\n"
             "      value: ['{{ keys(steps) }}', '{{ length(steps) }}', '{{ count(steps) }}', '{{ keys(steps.l) }}',\n"
             "        '{{ length(keys(steps.s)) }}']\n",
             inside, inside);
    rig_shelf_bytes = 1;
    rig_start(&g, yaml);
    rig_assert_status(&g, RUN_SUCCEEDED);
    size_t loads = g.loads;
    assert_non_null(strstr(rig_results(&g), "\"r\":[[\"l\",\"s\"],2,2,[\"success\",\"total_items\",\"completed_items\","
                                            "\"iterations\"],2]"));
    assert_int_equal(loads, 0);
    rig_done(&g);
    rig_shelf_bytes = 1;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - {name: l, type: for_loop, data_source: [x, y], steps: [{name: e, type: test_echo}]}\n"
                  "    - {name: r, type: test_echo, value: '{{ last(steps) }}'}\n");
    rig_assert_status(&g, RUN_FAILED); /* an object has no last item, known names or not */
    assert_non_null(strstr(rig_run_error(&g), "last"));
}

/* No record holds what another has already: a loop's end is short however much its iterations returned. */
static void test_ends_of_loops_are_short(void **state)
{
    (void)state;
    run_readers(0);
    assert_null(strstr(rig_data(&g, RECORD_DONE, "l"), "x1"));
    assert_non_null(strstr(rig_data(&g, RECORD_DONE, "l"), "\"refs\":[{\"at\":[\"iterations\"],\"of\":\"l#4\"}]"));
    assert_null(strstr(rig_data(&g, RECORD_DONE, "l/0"), "x1\""));
    assert_non_null(strstr(rig_data(&g, RECORD_DONE, "l/0/inner/0"), "x1"));
    assert_non_null(strstr(rig_data(&g, RECORD_OPEN, "l"), "\"range\":[1,4]"));
}

#define FETCHING                                                                                                     \
    WORKFLOW("    - {name: l, type: for_loop, data_source: [1, 2], steps: [{name: e, type: test_echo, value: 1}]}\n" \
             "    - name: r\n      type: test_echo\n      value: '{{ steps.l.iterations[1].item }}'\n"               \
             "      timeout: 10s\n      on_error: continue\n")

/* A step that waits for what it reads can be cancelled, suspended, and timed out like any other. */
static void test_stopping_while_fetching(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        rig_shelf_bytes = 1;
        rig_hold_loads = true;
        rig_start(&g, FETCHING);
        assert_non_null(rig_effect(&g, "r/load"));
        if (how == 0)
            run_cancel(g.run);
        else if (how == 1)
            run_suspend(g.run), run_abort(g.run);
        else
            rig_pass(&g, 10000);
        rig_work(&g);
        rig_stop(&g);
        rig_assert_status(&g, how == 0 ? RUN_CANCELLED : how == 1 ? RUN_INTERRUPTED : RUN_SUCCEEDED);
        if (how == 2)
            assert_non_null(strstr(rig_results(&g), "timeout"));
        rig_hold_loads = false;
        g.holds_loads = false;
        if (how == 1) {
            rig_restart(&g, ALL, false);
            assert_non_null(strstr(rig_results(&g), "\"r\":2"));
        }
        rig_done(&g);
    }
    rig_start(&g, FETCHING);
}

/* Also in the middle of a step: a prompt whose file has been read already is not read again. */
static void test_fetching_for_a_prompt(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_start(
        &g,
        WORKFLOW("    - {name: l, type: for_loop, data_source: [1, 2], steps: [{name: e, type: test_echo, value: 1}]}\n"
                 "    - name: ask\n      type: claude\n      prompt:\n"
                 "        - {type: file, path: f.txt}\n"
                 "        - {type: static, content: never, condition: 'contains(steps.l.iterations[*].item, 9)'}\n"
                 "        - {type: previous_response, step: l, extract: 'iterations[1].item'}\n"
                 "        - {type: static, content: end}\n"));
    rig_ok(&g, "ask/file:1", "{\"text\": \"a file\"}");
    assert_int_equal(g.loads, 1); /* once for both parts */
    struct rig_effect *e = rig_effect(&g, "ask/turn:1");
    assert_non_null(e);
    struct arena a = {0};
    assert_non_null(strstr(json_text(&a, e->e.request).p, "a file\\n\\n2\\n\\nend"));
    arena_done(&a);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/file:1"), 1);
    rig_ok(&g, "ask/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* What cannot be read back fails the step that reads it, and nothing else. */
static void test_fetching_fails(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_hold_loads = true;
    rig_start(&g, FETCHING);
    rig_error(&g, "r/load", "{\"class\": \"corrupt\", \"message\": \"record 7 is damaged\"}");
    rig_hold_loads = false;
    g.holds_loads = false;
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "record 7 is damaged"));
}

/* Of iterations that have ended only a bit is left in a resumed run; what they did is still counted. */
static void test_passed_iterations_count_their_steps(void **state)
{
    (void)state;
    const char *yaml =
        WORKFLOW("    - name: p\n      type: pipeline\n      config: {max_total_steps: 9}\n      pipeline:\n"
                 "        name: inner\n        steps:\n"
                 "          - name: l\n            type: for_loop\n            data_source: [1, 2, 3, 4]\n"
                 "            steps:\n              - {name: a, type: test_echo, value: 1}\n"
                 "              - {name: b, type: test_echo, value: 2}\n"
                 "          - {name: after, type: test_echo, value: 1}\n");
    rig_start(&g, yaml);
    rig_assert_status(&g, RUN_FAILED);
    size_t all = g.nrecords;
    char want[1000];
    snprintf(want, sizeof want, "%s", rig_run_error(&g));
    assert_non_null(strstr(want, "max_total_steps_exceeded"));
    for (size_t keep = 1; keep < all; keep++) {
        rig_done(&g);
        rig_start(&g, yaml);
        rig_restart(&g, keep, false);
        rig_assert_status(&g, RUN_FAILED);
        assert_string_equal(rig_run_error(&g), want);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reading_back, done),
        cmocka_unit_test_teardown(test_names_fetch_nothing, done),
        cmocka_unit_test_teardown(test_ends_of_loops_are_short, done),
        cmocka_unit_test_teardown(test_stopping_while_fetching, done),
        cmocka_unit_test_teardown(test_fetching_for_a_prompt, done),
        cmocka_unit_test_teardown(test_fetching_fails, done),
        cmocka_unit_test_teardown(test_passed_iterations_count_their_steps, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
