/* The engine, event by event: what it records before it does something, and what a new life makes of that. */
#include "unit/bench.h"

#define REPLY "{\"text\": \"hi\", \"stop_reason\": \"end_turn\"}"

static const char *nested(unsigned levels)
{
    static char text[4096];
    memset(text, '[', levels);
    memset(text + levels, ']', levels);
    text[2 * levels] = 0;
    return text;
}

/* ---- what cannot be recorded so that it can be read again ---- */

static void test_deep_variable(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  variables: {x: 0}\n  steps:\n"
                  "    - name: wrap\n      type: while_loop\n      condition: 'true'\n      max_iterations: 300\n"
                  "      steps:\n        - {name: set, type: set_variable, variables: {x: [\"{{ state.x }}\"]}}\n");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nested"));
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_FAILED);
}

/* What a for_loop's steps return stands in the records of their iterations only, however deep loops are nested. */
static void test_deep_loops(void **state)
{
    (void)state;
    char yaml[8192];
    struct rig_effect *e;
    snprintf(
        yaml, sizeof yaml,
        WORKFLOW(
            "    - name: a\n      type: for_loop\n      data_source: [1]\n      steps:\n"
            "        - name: b\n          type: for_loop\n          data_source: [1]\n          steps:\n"
            "            - {name: c, type: for_loop, data_source: [1], steps: [{name: d, type: command, run: x}]}\n"));
    rig_start(&g, yaml);
    e = rig_effect(&g, "a/0/b/0/c/0/d/exec:1");
    assert_non_null(e);
    char result[8192];
    snprintf(result, sizeof result, "{\"exit_code\": 0, \"x\": %s}", nested(120));
    rig_ok(&g, "a/0/b/0/c/0/d/exec:1", result);
    rig_assert_status(&g, RUN_SUCCEEDED);
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), nested(120)));
}

/* Others put levels around it. */
static void test_deep_lists(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: a\n      type: switch\n      expression: 1\n      cases:\n        1:\n"
                           "          - name: b\n            type: switch\n            expression: 1\n"
                           "            cases: {1: [{name: d, type: command, run: x}]}\n"));
    char result[8192];
    snprintf(result, sizeof result, "{\"exit_code\": 0, \"x\": %s}", nested(123));
    rig_ok(&g, "a/case:1/b/case:1/d/exec:1", result);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nested"));
    rig_restart(&g, ALL, false);
}

static void test_deep_reply(void **state)
{
    (void)state;
    char reply[8192];
    rig_start(&g, WORKFLOW("    - {name: ask, type: claude, prompt: hello, allowed_tools: [Read]}\n"));
    snprintf(reply, sizeof reply,
             "{\"text\": \"\", \"raw\": %s, \"usage\": {\"input_tokens\": 7, \"output_tokens\": 1}}", nested(127));
    rig_ok(&g, "ask/turn:1", reply);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nested"));
    assert_int_equal(run_totals(g.run).input_tokens, 7);
    rig_restart(&g, ALL, false);
    assert_non_null(rig_effect(&g, "ask/turn:1")); /* a failed step is tried again */
}

static void test_deep_inputs(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v, o;
    struct err err;
    struct val_map m = val_map_new(&a);
    g = (struct rig){.now = 1, .options = {.id = STR("rig"), .workflow_sha256 = STR("0")}};
    g.records_end = &g.records;
    assert_int_equal(json_parse(&a, str_c(nested(127)), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
    VAL_MAP_SET(&m, "x", v);
    o = val_map_done(&m);
    g.options.inputs = &o;
    g.workflow = load(WORKFLOW("    - {name: e, type: test_echo, value: 1}\n"));
    make_run(&g);
    run_start(g.run);
    rig_work(&g);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nested"));
    arena_done(&a);
}

static void test_deep_output(void **state)
{
    (void)state;
    char yaml[8192];
    rig_start(&g, "workflow:\n  name: w\n  output: {a: {b: {c: {d: \"{{ steps.e }}\"}}}}\n  steps:\n"
                  "    - {name: e, type: command, run: x}\n");
    snprintf(yaml, sizeof yaml, "{\"exit_code\": 0, \"x\": %s}", nested(124));
    rig_ok(&g, "e/exec:1", yaml);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nested"));
}

/* ---- resuming what has failed ---- */

/* A step that failed by itself is begun anew; a crash in its second attempt must not begin a third. */
static void test_fresh_attempt_survives_crash(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: e\n      type: test_echo\n      fail: true\n      on_error:\n        steps:\n"
                           "          - {name: one, type: claude, prompt: hello}\n"
                           "          - {name: two, type: command, run: x, on_interrupt: retry}\n"));
    rig_ok(&g, "e/on_error:1/one/turn:1", REPLY);
    rig_ok(&g, "e/on_error:1/two/exec:1", "{\"exit_code\": 1}");
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "e~2/on_error:2/one/turn:1", REPLY);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "e~2/on_error:2/two/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* ---- failures and their handlers ---- */

#define HANDLED                                                                                                 \
    WORKFLOW("    - name: slow\n      type: claude\n      prompt: hello\n      timeout: 10s\n      on_error:\n" \
             "        steps:\n          - {name: tell, type: command, run: \"echo {{ error.class }}\"}\n"       \
             "          - {name: tidy, type: command, run: y, on_interrupt: retry}\n")

/* Once the handler has begun, the step has failed: a crash does not give it another chance. */
static void test_failure_is_decided_once(void **state)
{
    (void)state;
    rig_start(&g, HANDLED);
    rig_pass(&g, 10000);
    rig_stop(&g);
    rig_ok(&g, "slow/on_error:1/tell/exec:1", "{\"exit_code\": 0}");
    assert_non_null(rig_effect(&g, "slow/on_error:1/tidy/exec:1"));
    rig_restart(&g, ALL, false);
    assert_null(rig_effect(&g, "slow/turn:1"));
    rig_ok(&g, "slow/on_error:1/tidy/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"class\":\"timeout\""));
}

/* The same when nothing of the handler's has been recorded but its end, or only its beginning. */
static void test_failure_is_decided_once_at_every_record(void **state)
{
    (void)state;
    rig_start(&g, HANDLED);
    rig_pass(&g, 10000);
    rig_stop(&g);
    size_t decided = g.nrecords;
    rig_ok(&g, "slow/on_error:1/tell/exec:1", "{\"exit_code\": 0}");
    rig_ok(&g, "slow/on_error:1/tidy/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    for (size_t keep = g.nrecords; keep >= decided; keep--) {
        rig_restart(&g, keep, false);
        assert_null(rig_effect(&g, "slow/turn:1"));
    }
}

/* What a failed command said stands in its result, however often Treadle died meanwhile. */
static void test_partial_result_survives(void **state)
{
    (void)state;
    rig_start(
        &g,
        WORKFLOW("    - {name: c, type: command, run: x, on_error: {steps: [{name: m, type: claude, prompt: a}]}}\n"));
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 3, \"stdout\": \"half\"}");
    rig_restart(&g, ALL, false);
    rig_ok(&g, "c/on_error:1/m/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"stdout\":\"half\""));
}

/* Whoever carries out effects may outlive the engine: then the next life gets the result, and nothing is done again. */
static void test_effect_is_adopted(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x}\n    - {name: m, type: claude, prompt: a}\n"));
    g.keeps = true;
    rig_restart(&g, ALL, false);
    assert_true(rig_effect(&g, "c/exec:1")->e.adopt);
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 0}");
    rig_restart(&g, ALL, true); /* even a resume that would do it again asks first */
    assert_true(rig_effect(&g, "m/turn:1")->e.adopt);
    rig_ok(&g, "m/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(g.asked, 2);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "c/exec:1"), 1);
}

/* Nobody knows: a command holds, a model's call is made again. */
static void test_effect_that_nobody_knows(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: m, type: claude, prompt: a}\n    - {name: c, type: command, run: x}\n"));
    g.keeps = true;
    rig_restart(&g, ALL, false);
    rig_error(&g, "m/turn:1", "{\"class\": \"" EFFECT_UNKNOWN "\"}");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "m/turn:1"), 2);
    assert_false(rig_effect(&g, "m/turn:1")->e.adopt);
    rig_ok(&g, "m/turn:1", REPLY);
    rig_restart(&g, ALL, false);
    rig_error(&g, "c/exec:1", "{\"class\": \"" EFFECT_UNKNOWN "\"}");
    rig_assert_status(&g, RUN_WAITING);
    rig_restart(&g, ALL, true);
    rig_error(&g, "c/exec:1", "{\"class\": \"" EFFECT_UNKNOWN "\"}");
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* The engine lives, but whoever carried the effect out has died: the same is done as after a crash. */
static void test_effect_is_interrupted(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: m, type: claude, prompt: a}\n"
                           "    - {name: c, type: command, run: x, on_interrupt: fail}\n"));
    rig_error(&g, "m/turn:1", "{\"class\": \"interrupted\"}");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "m/turn:1"), 2);
    rig_ok(&g, "m/turn:1", REPLY);
    rig_error(&g, "c/exec:1", "{\"class\": \"interrupted\"}");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"interrupted\""));
}

/* A second failure, after the run was resumed, is handled anew. */
static void test_handler_of_a_second_failure(void **state)
{
    (void)state;
    rig_start(&g, HANDLED);
    rig_pass(&g, 10000);
    rig_stop(&g);
    rig_ok(&g, "slow/on_error:1/tell/exec:1", "{\"exit_code\": 0}");
    rig_ok(&g, "slow/on_error:1/tidy/exec:1", "{\"exit_code\": 1}");
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, ALL, false);
    struct rig_effect *again = g.effects;
    assert_non_null(again); /* the step is tried again */
    assert_true(again->e.kind == EFFECT_MODEL);
    rig_pass(&g, 10000);
    rig_stop(&g);
    assert_non_null(g.effects);
    assert_true(str_ends(g.effects->e.path, STR("/tell/exec:1")));
    assert_int_equal(g.twice, 0);
}

/* A refusal is the model's answer, but resuming asks it again. */
static void test_refusal_is_asked_again(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: ask, type: claude, prompt: hello, retry: 3}\n"));
    rig_ok(&g, "ask/turn:1", "{\"text\": \"no\", \"stop_reason\": \"refusal\"}");
    rig_assert_status(&g, RUN_FAILED);
    assert_int_equal(g.asked, 1);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "ask~2/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* `retry` written on a loop tries the whole loop again. */
static void test_retry_of_a_loop(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: each\n      type: for_loop\n      data_source: [1, 2]\n      retry: 2\n"
                           "      steps:\n        - {name: c, type: command, run: x}\n"));
    rig_ok(&g, "each/0/c/exec:1", "{\"exit_code\": 0}");
    rig_ok(&g, "each/1/c/exec:1", "{\"exit_code\": 1}");
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 60000);
    rig_ok(&g, "each~2/0/c/exec:1", "{\"exit_code\": 0}");
    rig_ok(&g, "each~2/1/c/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* What a model call's own retries could not mend is not multiplied by the step's. */
static void test_retries_do_not_multiply(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: ask, type: claude, prompt: hello, retry: 2}\n"));
    rig_error(&g, "ask/turn:1", "{\"class\": \"overloaded\"}");
    rig_pass(&g, 60000);
    rig_error(&g, "ask/turn:1", "{\"class\": \"overloaded\"}");
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "ask/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* A loop that ran out of time goes on where it was, when the run is resumed. */
static void test_timed_out_loop_goes_on(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: each\n      type: for_loop\n      data_source: [1, 2]\n      timeout: 10s\n"
                           "      steps:\n        - {name: ask, type: claude, prompt: hello}\n"));
    rig_ok(&g, "each/0/ask/turn:1", REPLY);
    rig_pass(&g, 10000);
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, ALL, false);
    assert_int_equal(g.asked, 3);
    rig_ok(&g, "each/1/ask/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* ---- variables ---- */

/* The variable is set once, though the step ends only when its file is written. */
static void test_set_variable_with_output_file(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  variables: {n: 0}\n  steps:\n"
                  "    - {name: s, type: set_variable, variables: {n: \"{{ state.n + 1 }}\"}, output_to_file: f}\n"
                  "    - {name: e, type: test_echo, value: \"{{ state.n }}\"}\n");
    rig_restart(&g, ALL, false);
    rig_ok(&g, "s/output:1", "{\"path\": \"/f\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"e\":1"));
}

/* A variable that is made of itself changes once, wherever the journal ends when the run is resumed. */
static void test_counter_is_counted_once(void **state)
{
    (void)state;
    static const char counts[] =
        "workflow:\n  name: w\n  variables: {n: 0}\n  steps:\n"
        "    - name: w\n      type: while_loop\n      condition: \"state.n < 3\"\n      steps:\n"
        "        - {name: s, type: set_variable, condition: \"state.n < 3\", variables: {n: \"{{ state.n + 1 }}\"}}\n"
        "    - {name: f, type: set_variable, variables: {n: \"{{ state.n + 1 }}\"}, output_to_file: f}\n"
        "    - {name: ask, type: claude, prompt: hello}\n"
        "    - {name: e, type: test_echo, value: \"{{ state.n }}\"}\n";
    for (size_t keep = 1;; keep++) {
        rig_start(&g, counts);
        rig_ok(&g, "f/output:1", "{\"path\": \"/f\"}");
        if (keep > g.nrecords)
            break;
        rig_restart(&g, keep, false);
        if (rig_effect(&g, "f/output:1"))
            rig_ok(&g, "f/output:1", "{\"path\": \"/f\"}");
        rig_ok(&g, "ask/turn:1", REPLY);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"e\":4"));
        rig_done(&g);
    }
}

/* What a failed attempt would have set is not there for the next one. */
static void test_failed_attempt_sets_nothing(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  variables: {n: 0}\n  steps:\n"
                  "    - name: s\n      type: set_variable\n      variables: {n: \"{{ state.n + 1 }}\"}\n"
                  "      output_schema: {type: object, required: [never]}\n      on_error: continue\n"
                  "    - {name: e, type: test_echo, value: \"{{ state.n }}\"}\n");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"e\":0"));
}

/* What is computed before a loop begins is computed once, whatever its steps do to the variables. */
static void test_while_keeps_its_bound(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  variables: {n: 2}\n  steps:\n"
                  "    - name: w\n      type: while_loop\n      condition: 'true'\n"
                  "      max_iterations: \"{{ state.n }}\"\n      steps:\n"
                  "        - {name: s, type: set_variable, variables: {n: 50}}\n"
                  "        - {name: ask, type: claude, prompt: hello}\n");
    rig_ok(&g, "w/0/ask/turn:1", REPLY);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "w/1/ask/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_initial_variables_stay(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  variables: {at: \"{{ now() }}\"}\n  steps:\n"
                  "    - {name: ask, type: claude, prompt: hello}\n"
                  "    - {name: e, type: test_echo, value: \"{{ state.at }}\"}\n");
    rig_pass(&g, 5000);
    rig_restart(&g, ALL, false);
    rig_ok(&g, "ask/turn:1", REPLY);
    assert_non_null(strstr(rig_results(&g), "\"e\":1000000"));
}

/* ---- what a model says is never code ---- */

static void test_items_from_a_reply(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text, *expected; /* expected NULL: the step fails */
    } t[] = {
        {"\"{{ steps.ask.text }}\"", "[1, 2]", "\"total_items\":2"},
        {"\"{{ steps.ask.text }}\"", " {\\\"a\\\": 1} ", "\"item\":{\"key\":\"a\",\"value\":1}"},
        {"\"{{ steps.ask.text }}\"", "range(1, 4)", NULL},
        {"\"{{ steps.ask.text }}\"", "[state.secret]", NULL},
        {"\"{{ steps.ask.text }}\"", "previous_response:ask.text", NULL},
        {"\"[{{ steps.ask.text }}]\"", "state.secret", NULL},
        {"\"range(1, 3)\"", "", "\"total_items\":3"},
        {"[1, \"{{ steps.ask.text }}\"]", "state.secret", "\"item\":\"state.secret\""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[1000], reply[200];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  variables: {secret: hidden}\n  steps:\n"
                 "    - {name: ask, type: claude, prompt: hello}\n"
                 "    - {name: each, type: for_loop, data_source: %s, steps: [{name: e, type: test_echo}]}\n",
                 t[i].source);
        rig_start(&g, yaml);
        snprintf(reply, sizeof reply, "{\"text\": \"%s\"}", t[i].text);
        rig_ok(&g, "ask/turn:1", reply);
        rig_assert_status(&g, t[i].expected ? RUN_SUCCEEDED : RUN_FAILED);
        assert_null(strstr(rig_results(&g), "hidden"));
        assert_null(strstr(rig_run_error(&g), "hidden"));
        if (t[i].expected && !strstr(rig_results(&g), t[i].expected))
            fail_msg("%zu: %s", i, rig_results(&g));
        if (i + 1 < sizeof t / sizeof *t)
            rig_done(&g);
    }
}

static void test_extract_from_a_reply(void **state)
{
    (void)state;
    static const struct {
        const char *extract;
        bool good;
    } t[] = {
        {"text", true},
        {"data.list[0]", true},
        {"data.list[-1].k", true},
        {"data[\\\"list\\\"]", true},
        {"text || state.secret", false},
        {"data+state.secret", false},
        {"text, state.secret", false},
        {"data[state.n]", false},
        {"data[\\\"x\\\"]-state.secret", false},
        {"", true},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char reply[200];
        rig_start(&g, "workflow:\n  name: w\n  variables: {secret: hidden, n: list}\n  steps:\n"
                      "    - {name: a, type: test_echo, value: {text: t, data: {list: [{k: 1}]}}}\n"
                      "    - {name: ask, type: claude, prompt: hello}\n"
                      "    - name: next\n      type: claude\n      prompt:\n"
                      "        - {type: static, content: s}\n"
                      "        - {type: previous_response, step: a, extract: \"{{ steps.ask.text }}\"}\n");
        snprintf(reply, sizeof reply, "{\"text\": \"%s\"}", t[i].extract);
        rig_ok(&g, "ask/turn:1", reply);
        assert_int_equal(rig_effect(&g, "next/turn:1") != NULL, t[i].good);
        if (i + 1 < sizeof t / sizeof *t)
            rig_done(&g);
    }
}

/* ---- limits of the run ---- */

/* No step may shrug off that the run has used up what it may use. */
static void test_limit_ends_the_run(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  limits: {frames: 50}\n  steps:\n"
                  "    - name: w\n      type: while_loop\n      condition: 'true'\n      max_iterations: 1000\n"
                  "      steps:\n        - {name: e, type: test_echo, value: 1, on_error: continue}\n");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "limits.frames"));
    assert_true(run_totals(g.run).frames < 60);
}

/* What was executed in earlier lives counts, however often the run is killed. */
static void test_frames_count_in_every_life(void **state)
{
    (void)state;
    rig_start(
        &g, WORKFLOW("    - name: l\n      type: for_loop\n      data_source: range(1, 3)\n      steps:\n"
                     "        - {name: e, type: test_echo, value: '{{ item }}'}\n"
                     "        - {name: no, type: test_echo, condition: item > 1}\n"
                     "        - name: w\n          type: while_loop\n          condition: steps.k < 2\n"
                     "          steps: [{name: k, type: test_echo, value: '{{ loop.index + 1 }}'}]\n"
                     "    - {name: s, type: switch, expression: 1, cases: {1: [{name: a, type: test_echo}]}}\n"
                     "    - name: p\n      type: parallel\n"
                     "      branches: {a: [{name: x, type: test_echo}], b: [{name: y, type: test_echo}]}\n"
                     "    - {name: bad, type: test_echo, fail: true, on_error: {steps: [{name: h, type: test_echo}]}}\n"
                     "    - {name: again, type: test_echo, fail: true, retry: 2, on_error: continue}\n"
                     "    - {name: end, type: command, run: x}\n"));
    rig_pass(&g, 600000);
    assert_non_null(rig_effect(&g, "end/exec:1"));
    int64_t frames = run_totals(g.run).frames;
    size_t n = g.nrecords;
    assert_true(n > 20);
    for (size_t keep = n - 1; keep > 0; keep--) { /* downwards: each life adds records behind those that it had */
        rig_restart(&g, keep, false);
        rig_pass(&g, 600000);
        assert_int_equal(run_totals(g.run).frames, frames);
    }
}

/* A condition that cannot be evaluated is never taken for true. */
static void test_condition_is_not_retried_away(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: e, type: command, run: x, condition: \"1 < 'x'\",\n"
                           "       retry: {max_attempts: 3, on: [expression, invalid]}}\n"));
    rig_pass(&g, 600000);
    assert_int_equal(g.asked, 0);
    rig_assert_status(&g, RUN_FAILED);
}

/* ---- break and continue ---- */

/* What runs beside a break is stopped, nothing new starts, and what had ended is the result: in every life. */
static void test_break_of_a_parallel_loop(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: l\n      type: for_loop\n      data_source: 'range(0, 9)'\n"
                           "      parallel: true\n      max_parallel: 3\n      steps:\n"
                           "        - {name: ask, type: claude, prompt: hello}\n"
                           "        - {name: out, type: break, condition: 'item == 3'}\n"
                           "        - {name: after, type: test_echo, value: 1}\n"));
    assert_int_equal(g.asked, 3);
    rig_ok(&g, "l/1/ask/turn:1", REPLY);
    rig_ok(&g, "l/3/ask/turn:1", REPLY);
    assert_int_equal(g.asked, 4);
    assert_int_equal(run_status(g.run), RUN_RUNNING); /* 0 and 2 are being stopped */
    size_t stopping = g.nrecords;
    rig_stop(&g);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(g.asked, 4);
    char want[2000];
    snprintf(want, sizeof want, "%s", rig_results(&g));
    assert_non_null(strstr(want, "\"completed_items\":2"));
    assert_null(strstr(want, "\"index\":0"));
    assert_non_null(strstr(want, "\"index\":3"));
    rig_restart(&g, stopping, false);
    assert_int_equal(g.asked, 4);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_string_equal(rig_results(&g), want);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "l/0/ask/turn:1"), 1);
}

/* A break ends the loop around the step whose handler it stands in; a continue, the iteration, past every list. */
static void test_leaving_at_every_record(void **state)
{
    (void)state;
    const char *yaml =
        WORKFLOW("    - name: w\n      type: while_loop\n      condition: 'true'\n      steps:\n"
                 "        - name: l\n          type: for_loop\n          data_source: [1, 2, 3]\n"
                 "          continue_condition: 'item == 1'\n          break_condition: 'steps.e == 30'\n"
                 "          steps:\n"
                 "            - {name: c, type: switch, expression: item, cases: {2: [{name: d, type: continue}]}}\n"
                 "            - {name: e, type: test_echo, value: '{{ item * 10 }}'}\n"
                 "        - name: bad\n          type: test_echo\n          fail: true\n"
                 "          condition: 'loop.index == 1'\n"
                 "          on_error: {steps: [{name: b, type: break}]}\n"
                 "    - {name: after, type: test_echo, value: '{{ steps.l.total_items }}'}\n");
    rig_start(&g, yaml);
    rig_assert_status(&g, RUN_SUCCEEDED);
    size_t all = g.nrecords;
    char want[4000];
    snprintf(want, sizeof want, "%s", rig_results(&g));
    assert_non_null(strstr(want, "\"iterations\":2,\"condition_met\":false"));
    assert_non_null(strstr(want, "\"skipped\":true,\"results\":{}"));
    assert_non_null(strstr(want, "\"c\":{\"case\":\"2\",\"results\":{\"d\":{\"success\":true}}}}},{\"index\":2"));
    assert_non_null(strstr(want, "\"e\":30"));
    assert_non_null(strstr(want, "\"after\":3"));
    for (size_t keep = 1; keep < all; keep++) {
        rig_done(&g);
        rig_start(&g, yaml);
        rig_restart(&g, keep, false);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_string_equal(rig_results(&g), want);
    }
}

/* A graph is left as soon as a step of it says so. */
static void test_break_in_a_graph(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: l\n      type: for_loop\n      data_source: [1, 2]\n      steps:\n"
                           "        - {name: a, type: command, workspace: isolated, run: a, on_interrupt: retry}\n"
                           "        - {name: b, type: command, workspace: isolated, run: b}\n"
                           "        - {name: out, type: break, depends_on: [b]}\n"
                           "        - {name: c, type: test_echo, value: 1, depends_on: [a]}\n"));
    assert_int_equal(g.asked, 2);
    rig_ok(&g, "l/0/b/exec:1", "{\"exit_code\": 0}");
    rig_stop(&g);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(g.asked, 2);
    assert_null(strstr(rig_results(&g), "\"a\""));
}

/* Cancelled while it waits for what a break stops, a run is cancelled. */
static void test_cancel_while_breaking(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - name: l\n      type: for_loop\n      data_source: [1, 2]\n      parallel: true\n"
                           "      steps:\n        - {name: a, type: command, workspace: isolated, run: a}\n"
                           "        - {name: out, type: break}\n"));
    rig_ok(&g, "l/1/a/exec:1", "{\"exit_code\": 0}");
    assert_int_equal(run_status(g.run), RUN_RUNNING);
    run_cancel(g.run);
    rig_work(&g);
    rig_stop(&g);
    rig_assert_status(&g, RUN_CANCELLED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_deep_variable, done),
        cmocka_unit_test_teardown(test_deep_loops, done),
        cmocka_unit_test_teardown(test_deep_lists, done),
        cmocka_unit_test_teardown(test_deep_reply, done),
        cmocka_unit_test_teardown(test_deep_inputs, done),
        cmocka_unit_test_teardown(test_deep_output, done),
        cmocka_unit_test_teardown(test_fresh_attempt_survives_crash, done),
        cmocka_unit_test_teardown(test_failure_is_decided_once, done),
        cmocka_unit_test_teardown(test_failure_is_decided_once_at_every_record, done),
        cmocka_unit_test_teardown(test_partial_result_survives, done),
        cmocka_unit_test_teardown(test_handler_of_a_second_failure, done),
        cmocka_unit_test_teardown(test_refusal_is_asked_again, done),
        cmocka_unit_test_teardown(test_retry_of_a_loop, done),
        cmocka_unit_test_teardown(test_retries_do_not_multiply, done),
        cmocka_unit_test_teardown(test_timed_out_loop_goes_on, done),
        cmocka_unit_test_teardown(test_set_variable_with_output_file, done),
        cmocka_unit_test_teardown(test_counter_is_counted_once, done),
        cmocka_unit_test_teardown(test_failed_attempt_sets_nothing, done),
        cmocka_unit_test_teardown(test_while_keeps_its_bound, done),
        cmocka_unit_test_teardown(test_initial_variables_stay, done),
        cmocka_unit_test_teardown(test_items_from_a_reply, done),
        cmocka_unit_test_teardown(test_extract_from_a_reply, done),
        cmocka_unit_test_teardown(test_effect_is_adopted, done),
        cmocka_unit_test_teardown(test_effect_that_nobody_knows, done),
        cmocka_unit_test_teardown(test_effect_is_interrupted, done),
        cmocka_unit_test_teardown(test_limit_ends_the_run, done),
        cmocka_unit_test_teardown(test_frames_count_in_every_life, done),
        cmocka_unit_test_teardown(test_condition_is_not_retried_away, done),
        cmocka_unit_test_teardown(test_break_of_a_parallel_loop, done),
        cmocka_unit_test_teardown(test_leaving_at_every_record, done),
        cmocka_unit_test_teardown(test_break_in_a_graph, done),
        cmocka_unit_test_teardown(test_cancel_while_breaking, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
