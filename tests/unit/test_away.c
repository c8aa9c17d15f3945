/* Results of steps that have left memory (flow/away.h): whoever reads them finds what he would have found, in a first
 * life and in any later one. */
#include "unit/bench.h"

#include "data/json.h"

/* ---- what stays, and how the rest is named ---- */

static void test_what_stays(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    static const struct {
        const char *path, *text, *want; /* want NULL: nothing leaves */
        size_t keep;
    } rows[] = {
        {"a", "{\"x\": 1}", NULL, 4096},
        {"a",
         "{\"exit_code\": 0, \"stdout\": "
         "\"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
         "7890123456789\"}",
         "[{\"at\":[\"stdout\"],\"of\":\"#3#a#stdout\"}]", 320},
        {"a/0/b~2", "{\"a#b\": [1, 2, 3, 4, 5, 6, 7, 8], \"c\": 1}", "[{\"at\":[\"a#b\"],\"of\":\"#3#a/0/b~2#a#b\"}]",
         320},
        {"a", "\"0123456789\"", "[{\"at\":[],\"of\":\"#3#a\"}]", 10},
        {"a", "[1, 2, 3]", "[{\"at\":[],\"of\":\"#3#a\"}]", 10},
        {"a#b", "[1, 2, 3]", NULL, 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val v, rest;
        struct str whole, member;
        assert_int_equal(json_parse(&a, str_c(rows[i].text), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
        bool left = away_leave(&a, &v, str_c(rows[i].path), 3, rows[i].keep, &rest);
        assert_int_equal(left, rows[i].want != NULL);
        if (!left)
            continue;
        struct val places = away_places(&a, &rest);
        assert_string_equal(json_text(&a, &places).p, rows[i].want);
        assert_true(away_of_result(VAL_GET(val_at(&places, 0), "of")->s, &whole, &member));
        assert_true(str_eq(whole, arena_printf(&a, "#3#%s", rows[i].path)));
        assert_non_null(away_part(&v, member));
    }
    arena_done(&a);
}

static void test_names_of_loops_are_others(void **state)
{
    (void)state;
    struct str whole, member;
    assert_false(away_of_result(STR("scan~2"), &whole, &member));
    assert_true(str_is(whole, "scan~2") && !member.p);
    assert_false(away_of_result(STR(""), &whole, &member));
    assert_false(away_of_result(STR("#1"), &whole, &member));
}

/* ---- readers ---- */

/* Every way to name a result, of each shape that a step may have. */
#define READERS                                                                                                        \
    "workflow:\n  name: w\n  variables: {n: 0}\n"                                                                      \
    "  output: {cmd: '{{ steps.cmd.stdout }}', sw: '{{ steps.sw.results.inner.stdout }}', n: '{{ n }}'}\n"             \
    "  steps:\n"                                                                                                       \
    "    - {name: cmd, type: command, run: x, on_interrupt: retry}\n"                                                  \
    "    - {name: echo, type: test_echo, value: {a: {b: 'deep text'}, l: [1, 2, 3]}}\n"                                \
    "    - {name: text, type: test_echo, value: 'a text that is all of a result'}\n"                                   \
    "    - {name: ask, type: claude, prompt: '{{ steps.cmd.stdout }}'}\n"                                              \
    "    - {name: reads, type: test_echo, value: {a: '{{ steps.ask.kind }}', b: '{{ ask.kind }}',\n"                   \
    "       c: '{{ steps.ask.result }}', d: '{{ steps.ask.text }}', e: '{{ steps.echo.a.b }}', f: '{{ echo.l[1] "      \
    "}}',\n"                                                                                                           \
    "       g: '{{ steps.text.text }}', h: '{{ text }}', i: '{{ steps.cmd.result.exit_code }}',\n"                     \
    "       j: '{{ steps.cmd.result.stdout }}', k: '{{ length(steps.cmd.stdout) }}', l: '{{ steps.ask.success }}'}}\n" \
    "    - {name: before, type: test_echo, value: '{{ previous_response.b }}{{ previous_response.k }}'}\n"             \
    "    - name: made\n      type: data_transform\n      input_source: steps.echo.l\n      output_field: made\n"       \
    "      operations: [{operation: sort, by: item, order: desc}]\n"                                                   \
    "    - {name: named, type: test_echo, value: ['{{ made }}', '{{ steps.made.result[0] }}', '{{ steps.made.made "    \
    "}}']}\n"                                                                                                          \
    "    - name: sw\n      type: switch\n      expression: 1\n      cases:\n        1:\n"                              \
    "          - {name: inner, type: command, run: y, on_interrupt: retry}\n"                                          \
    "          - {name: see, type: test_echo, value: '{{ steps.inner.stdout }}', condition: 'steps.cmd.exit_code == "  \
    "0'}\n"                                                                                                            \
    "    - {name: through, type: test_echo, value: ['{{ steps.sw.inner.stdout }}', '{{ steps.sw.results.see }}']}\n"   \
    "    - name: repeat\n      type: while_loop\n      condition: 'n < 3'\n      steps:\n"                             \
    "        - {name: add, type: set_variable, variables: {n: '{{ n + 1 }}', seen: '{{ steps.cmd.stdout }}{{ n "       \
    "}}'}}\n"                                                                                                          \
    "        - {name: last, type: test_echo, value: {v: '{{ seen }}'}}\n"                                              \
    "    - {name: after, type: test_echo, value: ['{{ steps.last.v }}', '{{ last.v }}', '{{ "                          \
    "steps.repeat.results.last.v }}']}\n"                                                                              \
    "    - name: par\n      type: parallel\n      branches:\n"                                                         \
    "        one: [{name: o, type: test_echo, value: {x: '{{ steps.cmd.stdout }}'}}]\n"                                \
    "        two: [{name: t, type: test_echo, value: {y: '{{ steps.echo.a }}'}}]\n"                                    \
    "    - {name: both, type: test_echo, value: ['{{ steps.par.one.o.x }}', '{{ steps.par.branches.two.results.t.y.b " \
    "}}']}\n"                                                                                                          \
    "    - name: each\n      type: for_loop\n      data_source: 'steps.echo.l'\n"                                      \
    "      output_schema: {type: object, properties: {iterations: {type: array, minItems: 3}}}\n"                      \
    "      steps:\n        - {name: own, type: test_echo, value: {i: '{{ item }}', s: '{{ steps.cmd.stdout }}'}}\n"    \
    "        - {name: next, type: test_echo, value: '{{ steps.own.s }}{{ steps.own.i }}'}\n"                           \
    "    - {name: third, type: test_echo, value: ['{{ steps.each.iterations[2].results.own.s }}', '{{ "                \
    "steps.each.iterations[*].results.next }}']}\n"                                                                    \
    "    - name: tasks\n      type: parallel_claude\n      tasks:\n"                                                   \
    "        - {id: a, type: test_echo, value: {text: '{{ steps.cmd.stdout }} a', n: 1}}\n"                            \
    "        - {id: b, type: test_echo, value: {text: '{{ steps.cmd.stdout }} b', l: ['{{ steps.echo }}']}}\n"         \
    "        - {id: c, type: test_echo, fail: true}\n"                                                                 \
    "    - {name: done, type: test_echo, value: ['{{ steps.tasks.a.text }}', '{{ steps.tasks.results.b.result.l[0].l " \
    "}}',\n       '{{ steps.tasks.combined_results }}', '{{ steps.tasks.results.c.ok }}', '{{ steps.tasks.results "    \
    "}}']}\n"                                                                                                          \
    "    - name: batch\n      type: claude_batch\n      output_to_global: report\n      tasks: '{{ steps.echo.l }}'\n" \
    "      task_template: {type: test_echo, value: {text: 'item {{ item }} of {{ steps.cmd.stdout }}', n: '{{ item "   \
    "}}'},"                                                                                                            \
    " fail: '{{ item == 2 }}'}\n"                                                                                      \
    "    - {name: got, type: test_echo, value: ['{{ steps.batch.batch_results[2].result.n }}', '{{ "                   \
    "steps.batch.batch_results[*].status }}',\n       '{{ steps.batch.text }}', '{{ report }}', '{{ "                  \
    "steps.batch.results[0].result }}']}\n"                                                                            \
    "    - {name: kept, type: set_variable, variables: {all: '{{ steps.echo }}'}, output_to_global: again}\n"          \
    "    - {name: end, type: test_echo, value: ['{{ all.a.b }}', '{{ state.all.l }}']}\n"

static void answer_all(void)
{
    for (;;) {
        if (rig_effect(&g, "cmd/exec:1"))
            rig_ok(&g, "cmd/exec:1", "{\"exit_code\": 0, \"stdout\": \"what it printed\", \"stderr\": \"\"}");
        else if (rig_effect(&g, "ask/turn:1"))
            rig_ok(&g, "ask/turn:1", "{\"text\": \"{\\\"kind\\\": \\\"bug\\\", \\\"n\\\": 1}\", \"usage\": {}}");
        else if (rig_effect(&g, "sw/case:1/inner/exec:1"))
            rig_ok(&g, "sw/case:1/inner/exec:1", "{\"exit_code\": 0, \"stdout\": \"within\", \"stderr\": \"\"}");
        else
            break;
    }
}

static void run_readers(size_t shelf, size_t keep)
{
    rig_shelf_bytes = shelf;
    rig_keep_bytes = keep;
    rig_start(&g, READERS);
    answer_all();
}

static void test_reading_back(void **state)
{
    (void)state;
    static char want[65536];
    char output[1000];
    struct arena a = {0};
    run_readers(0, 0);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(g.loads, 0);
    snprintf(want, sizeof want, "%s", rig_results(&g));
    snprintf(output, sizeof output, "%s", json_text(&a, run_output(g.run)).p);
    assert_string_equal(output, "{\"cmd\":\"what it printed\",\"sw\":\"within\",\"n\":3}");
    assert_non_null(strstr(want, "\"third\":[\"what it printed\",[\"what it printed1\""));
    assert_non_null(strstr(want, "\"done\":[\"what it printed a\",[1,2,3],\"===[a]===\\nwhat it printed a"));
    assert_non_null(strstr(want, "\"got\":[3,[\"success\",\"error\",\"success\"],\"# Batch"));
    size_t all = g.nrecords;
    static const struct {
        size_t shelf, keep;
        bool loads;
    } rows[] = {{1, 1, true}, {0, 1, false}, {1, 300, true}, {2000, 1, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_done(&g);
        run_readers(rows[i].shelf, rows[i].keep);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_int_equal(g.loads > 0, rows[i].loads);
        assert_int_equal(g.nrecords, all);
        assert_string_equal(rig_results(&g), want);
        assert_string_equal(json_text(&a, run_output(g.run)).p, output);
    }
    for (size_t keep = 1; keep < all; keep++) {
        rig_done(&g);
        run_readers(keep % 2, 1);
        rig_restart(&g, keep, false);
        answer_all();
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_string_equal(rig_results(&g), want);
        assert_string_equal(json_text(&a, run_output(g.run)).p, output);
    }
    arena_done(&a);
}

/* What a list says of its steps is not their results again. */
static void test_ends_of_lists_are_short(void **state)
{
    (void)state;
    run_readers(0, 1);
    assert_non_null(strstr(rig_data(&g, RECORD_DONE, "sw/case:1/inner"), "within"));
    assert_null(strstr(rig_data(&g, RECORD_DONE, "sw/case:1"), "\"within\""));
    assert_null(strstr(rig_data(&g, RECORD_DONE, "sw"), "\"within\""));
    assert_non_null(strstr(rig_data(&g, RECORD_DONE, "sw"), "#1#sw/case:1/inner"));
    assert_null(strstr(rig_data(&g, RECORD_DONE, "each/1"), "what it printed"));
}

#define TASKS(last)                                                                                              \
    "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel_claude\n"                               \
    "      tasks:\n        - {id: a, type: test_echo, value: {text: what a said, n: [1, 2]}}\n"                  \
    "        - {id: b, type: test_echo, value: {text: what b said, n: [3, 4]}}\n"                                \
    "    - name: b\n      type: claude_batch\n      output_to_file: report.md\n      output_to_global: report\n" \
    "      tasks: [{id: x, type: test_echo, value: {text: what x said}}]\n"                                      \
    "    - {name: r, type: test_echo, value: \"" last "\"}\n"

/* Of a group of tasks what is read is fetched: the group's own part of the result, then one task's, or all at once. */
static void test_tasks_of_a_group(void **state)
{
    (void)state;
    static const struct {
        const char *value, *fetches, *want;
    } rows[] = {
        {"{{ steps.p.results.b.result.n[1] }}", "#1#p #1#p/b ", "\"r\":4"},
        {"{{ steps.p.a.text }}", "#1#p #1#p/a ", "\"r\":\"what a said\""},
        {"{{ steps.p.results.a.ok }}", "#1#p ", "\"r\":true"},
        {"{{ keys(steps.p.results) }}", "#1#p #1#p! ", "\"r\":[\"a\",\"b\"]"},
        {"{{ steps.p.combined_results }}", "#1#p ", "what b said"},
        {"{{ steps.b.batch_results[0].status }}", "#1#b ", "\"r\":\"success\""},
        {"{{ steps.b.total_tasks }}", "", "\"r\":1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[2000], want[200];
        snprintf(yaml, sizeof yaml, TASKS("%s"), rows[i].value);
        rig_shelf_bytes = 1;
        rig_keep_bytes = 512;
        rig_start(&g, yaml);
        rig_ok(&g, "b/output:1", "{}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        snprintf(want, sizeof want, "#1#p/a #1#p/b #1#b/x %s", rows[i].fetches); /* for the texts of all tasks */
        assert_string_equal(g.loaded, want);
        assert_non_null(strstr(rig_results(&g), rows[i].want));
        rig_done(&g);
    }
    rig_start(&g, TASKS("x"));
}

/* A step that failed, went on in a later life and ended a second time: its result is that of the second end. */
static void test_second_end(void **state)
{
    (void)state;
    rig_shelf_bytes = rig_keep_bytes = 1;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - {name: c, type: command, run: x}\n"
                  "    - {name: r, type: test_echo, value: '{{ steps.c.stdout }}'}\n");
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 1, \"stdout\": \"first\", \"stderr\": \"\"}");
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, g.nrecords, false);
    for (int i = 0; i < 2; i++) {
        const char *path = rig_effect(&g, "c~2/exec:1") ? "c~2/exec:1" : "c/exec:1";
        if (rig_effect(&g, path))
            rig_ok(&g, path, "{\"exit_code\": 0, \"stdout\": \"second\", \"stderr\": \"\"}");
    }
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"r\":\"second\""));
}

/* ---- one iteration ---- */

#define LOOP(more)                                                                                            \
    "workflow:\n  name: w\n  steps:\n    - name: l\n      type: for_loop\n      data_source: range(1, 200)\n" \
    "      break_on_error: false\n      steps: [{name: e, type: test_echo, value: 'v{{ item }}'" more "}]\n"  \
    "    - name: r\n      type: test_echo\n"

static const char *fetched(void)
{
    struct rig_effect *e = rig_effect(&g, "r/load");
    return e ? arena_cstr(&g.arena, val_get_str(e->e.request, STR("of"), STR(""))) : "";
}

/* Of a long loop only what is read is fetched, and its length is known anyway. */
static void test_one_iteration(void **state)
{
    (void)state;
    static const struct {
        const char *more, *value, *fetches, *want;
    } rows[] = {
        {"", "{{ steps.l.iterations[7].results.e }}", "@7@l", "\"r\":\"v8\""},
        {"", "{{ steps.l.results[-1].item }}", "@199@l", "\"r\":200"},
        {"", "{{ last(steps.l.iterations).results.e }}", "@199@l", "\"r\":\"v200\""},
        {"", "{{ steps.l.iterations[3 + 1].success }}", "@4@l", "\"r\":true"},
        {"", "{{ length(steps.l.iterations) }}", "", "\"r\":200"},
        {"", "{{ steps.l.iterations.length + count(l.results) }}", "", "\"r\":400"},
        {"", "{{ steps.l.iterations[200].item || 'none' }}", "l", "\"r\":\"none\""},
        {"", "{{ sum(steps.l.iterations[*].item) }}", "l", "\"r\":20100"},
        {", fail: '{{ item == 3 }}'", "{{ steps.l.iterations[2].success }}", "@2@l", "\"r\":false"},
        {", fail: '{{ item == 3 }}'", "{{ length(steps.l.iterations) }}", "", "\"r\":200"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[2000];
        snprintf(yaml, sizeof yaml, LOOP("%s") "      value: \"%s\"\n", rows[i].more, rows[i].value);
        rig_shelf_bytes = 1;
        rig_hold_loads = true;
        rig_start(&g, yaml);
        assert_string_equal(fetched(), rows[i].fetches);
        rig_hold_loads = g.holds_loads = false;
        rig_work(&g);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), rows[i].want));
        rig_done(&g);
    }
    rig_start(&g, LOOP("") "      value: 1\n");
}

/* What a step's time ended while it was fetched is fetched again by the next attempt. */
static void test_timeout_of_a_fetch(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_hold_loads = true;
    rig_start(&g, LOOP("") "      value: \"{{ sum(steps.l.iterations[*].item) }}\"\n      timeout: 1s\n"
                           "      retry: {max_attempts: 2, delay: 1s, on: [timeout]}\n");
    assert_string_equal(fetched(), "l");
    rig_pass(&g, 1500);
    rig_stop(&g);
    rig_hold_loads = g.holds_loads = false;
    rig_pass(&g, 5000);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"r\":20100"));
}

/* After a break some are missing, so their places in the list are not their numbers. */
static void test_iterations_with_gaps(void **state)
{
    (void)state;
    rig_shelf_bytes = 1;
    rig_start(&g,
              "workflow:\n  name: w\n  steps:\n    - name: l\n      type: for_loop\n      data_source: range(1, 20)\n"
              "      parallel: true\n      max_parallel: 4\n      steps:\n"
              "        - {name: c, type: command, run: x, condition: 'item < 3'}\n"
              "        - {name: b, type: break, condition: 'item == 4'}\n"
              "    - {name: r, type: test_echo, value: ['{{ steps.l.iterations[0].item }}', '{{ "
              "length(steps.l.iterations) }}']}\n");
    rig_stop(&g);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"r\":[3,"));
}

/* Readers that go through a list fetch several at a time. */
static void test_reading_in_turn(void **state)
{
    (void)state;
    rig_start(&g,
              "workflow:\n  name: w\n  variables: {sum: 0}\n  steps:\n    - name: l\n      type: for_loop\n"
              "      memory_limit: 1KB\n      data_source: range(1, 200)\n"
              "      steps: [{name: e, type: test_echo, value: '{{ item }}'}]\n"
              "    - name: again\n      type: for_loop\n      data_source: range(0, 199)\n      steps:\n"
              "        - {name: s, type: set_variable, variables: {sum: '{{ sum + steps.l.iterations[item].item }}'}}\n"
              "    - {name: r, type: test_echo, value: '{{ sum }}'}\n");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"r\":20100"));
    assert_int_equal(g.loads, 4);
}

/* A step that has recorded what it does is entered again for a part of its prompt; it is recorded once. */
static void test_pinned_before_it_reads(void **state)
{
    (void)state;
    rig_shelf_bytes = rig_keep_bytes = 1;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - {name: base, type: test_echo, value: {text: a long text}}\n"
                  "    - {name: other, type: test_echo, value: 1}\n"
                  "    - name: ask\n      type: claude\n      prompt: [{type: previous_response, step: base}]\n");
    assert_int_equal(g.loads, 1);
    assert_int_equal(rig_count(&g, RECORD_OPEN, "ask"), 1);
    rig_ok(&g, "ask/turn:1", "{\"text\": \"t\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* ---- a journal that somebody else wrote ---- */

/* One record: an end of `a`, which refers to itself. */
static enum rc one_end(void *ctx, enum record_kind kind, struct str path, bool below,
                       bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err)
{
    (void)ctx, (void)err;
    struct record r = {.kind = RECORD_DONE,
                       .attempt = 1,
                       .path = STR("a"),
                       .data = STR("{\"ok\":{\"v\":null,\"n\":1},\"refs\":[{\"at\":[\"v\"],\"of\":\"#1#a#v\"}]}")};
    if (kind == r.kind && !below && str_is(path, "a"))
        cb(cb_ctx, &r);
    return RC_OK;
}

static void test_forged_places(void **state)
{
    (void)state;
    static const char *const places[] = {"#1#b",           "#7#a", "#x#a", "#0#a", "##",
                                         "#99999999999#a", "#1#",  "#1#a", "@7@a", "@0@b"};
    struct away_reader reader = {.each = one_end};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct arena a = {0};
        struct val v;
        struct err err;
        assert_int_equal(away_load(&reader, str_c(places[i]), true, &a, &v, &err), RC_CORRUPT);
        arena_done(&a);
    }
    struct arena a = {0};
    struct err err;
    struct val v, part = {.away = true, .s = STR("#1#a#nothing")};
    assert_int_equal(away_load(&reader, STR("#1#a"), false, &a, &v, &err), RC_CORRUPT); /* it leads to itself */
    assert_int_equal(away_take(&reader, &part, &a, &v, &err), RC_CORRUPT);
    assert_int_equal(away_expand(&reader, &part, &a, &v, &err), RC_CORRUPT);
    arena_done(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_stays),
        cmocka_unit_test(test_names_of_loops_are_others),
        cmocka_unit_test_teardown(test_reading_back, done),
        cmocka_unit_test_teardown(test_ends_of_lists_are_short, done),
        cmocka_unit_test_teardown(test_tasks_of_a_group, done),
        cmocka_unit_test_teardown(test_second_end, done),
        cmocka_unit_test_teardown(test_one_iteration, done),
        cmocka_unit_test_teardown(test_timeout_of_a_fetch, done),
        cmocka_unit_test_teardown(test_iterations_with_gaps, done),
        cmocka_unit_test_teardown(test_reading_in_turn, done),
        cmocka_unit_test_teardown(test_pinned_before_it_reads, done),
        cmocka_unit_test(test_forged_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
