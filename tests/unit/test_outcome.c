/* What becomes of results by the keys that any step may have, and that a crash changes nothing about it. */
#include "unit/bench.h"

#define REPLY                                                                                               \
    "{\"text\": \"hi\", \"model\": \"m\", \"stop_reason\": \"end_turn\", \"usage\": {\"input_tokens\": 1, " \
    "\"output_tokens\": 1}, \"cost_usd\": 0}"
#define HEAD "workflow:\n  name: w\n  variables: {old: 1, n: 0}\n  steps:\n"

static const struct {
    const char *steps, *results; /* a part of them; NULL: the run fails, with */
    const char *error;           /* a part of its error */
} cases[] = {
    {"    - {name: a, type: test_echo, value: {x: 1}, output_to_global: got}\n"
     "    - {name: e, type: test_echo, value: \"{{ got.x + 1 }}\"}\n",
     "\"e\":2", NULL},
    {"    - {name: a, type: test_echo, value: {data: [7], text: t}, output_to_global: got}\n"
     "    - {name: e, type: test_echo, value: \"{{ state.got }}\"}\n",
     "\"e\":[7]", NULL},
    {"    - {name: a, type: test_echo, value: plain, output_to_global: got, clear_vars: [state.old]}\n"
     "    - {name: e, type: test_echo, value: \"{{ [got, old] }}\"}\n",
     "\"e\":[\"plain\",null]", NULL},
    /* what a step sets itself comes first, and its keys may take it back */
    {"    - {name: a, type: set_variable, variables: {old: 2, n: 3}, clear_vars: old}\n"
     "    - {name: e, type: test_echo, value: \"{{ [old, n] }}\"}\n",
     "\"e\":[null,3]", NULL},
    /* a part of it, of what the step sets itself, of several; what is not there is no matter */
    {"    - {name: s, type: set_variable, variables: {old: {a: {b: 1, c: [5, {d: 6}]}, e: 2}}}\n"
     "    - {name: a, type: test_echo, value: 1, clear_vars: [old.a.b, \"state.old.a.c[1].d\", old.x.y, "
     "\"old.a.c[9]\", n.z]}\n"
     "    - {name: e, type: test_echo, value: \"{{ [old, n] }}\"}\n",
     "\"e\":[{\"a\":{\"b\":null,\"c\":[5,{\"d\":null}]},\"e\":2},0]", NULL},
    {"    - {name: a, type: set_variable, variables: {old: {b: 1, c: 2}}, clear_vars: old.b}\n"
     "    - {name: e, type: test_echo, value: \"{{ old }}\"}\n",
     "\"e\":{\"b\":null,\"c\":2}", NULL},
    /* a variable of the run, not of the loop; the last iteration's stays */
    {"    - name: l\n      type: for_loop\n      data_source: [1, 2]\n      steps:\n"
     "        - {name: a, type: test_echo, value: \"{{ loop.item }}\", output_to_global: got}\n"
     "    - {name: e, type: test_echo, value: \"{{ got }}\"}\n",
     "\"e\":2", NULL},
    {"    - {name: a, type: test_echo, condition: \"n == 1\", value: 1, output_to_global: got, clear_vars: [old]}\n"
     "    - {name: e, type: test_echo, value: \"{{ [got || 'none', old] }}\"}\n",
     "\"e\":[\"none\",1]", NULL},
    {"    - {name: a, type: test_echo, fail: true, on_error: continue, output_to_global: got, clear_vars: [old]}\n"
     "    - {name: e, type: test_echo, value: \"{{ [got || 'none', old] }}\"}\n",
     "\"e\":[\"none\",1]", NULL},
    {"    - {name: a, type: test_echo, value: {x: {y: [1, 2.0]}, t: \"0!\"},\n"
     "       expected_outputs: {\"x.y[1]\": 2, t: \"{{ n }}!\", x: {y: [1, 2]}, none: null}}\n",
     "\"t\":\"0!\"", NULL},
    {"    - {name: a, type: test_echo, value: {x: 1}, expected_outputs: {x: \"1\"}}\n", NULL,
     "\"code\":\"unexpected_output\",\"message\":\"`x` is 1; expected \\\"1\\\" (expected_outputs)\""},
    {"    - {name: a, type: test_echo, value: 5, expected_outputs: {result: 6}}\n", NULL,
     "\"message\":\"`result` is 5; expected 6"},
    {"    - {name: a, type: test_echo, value: {}, expected_outputs: {x: 1}}\n", NULL,
     "\"class\":\"step\",\"code\":\"unexpected_output\",\"message\":\"`x` is null; expected 1"},
    {"    - {name: a, type: test_echo, value: {x: 1}, expected_outputs: {x: 2}, output_to_global: old,\n"
     "       on_error: continue, error_output: why}\n"
     "    - {name: e, type: test_echo, value: \"{{ [old, steps.a.why.code, steps.a.error.code] }}\"}\n",
     "\"e\":[1,\"unexpected_output\",\"unexpected_output\"]", NULL},
    {"    - {name: a, type: test_echo, fail: true, on_error: {goto: e}, error_output: why}\n"
     "    - {name: e, type: test_echo, value: \"{{ steps.a.why.class }}\"}\n",
     "\"e\":\"step\"", NULL},
    {"    - name: a\n      type: test_echo\n      fail: true\n      error_output: why\n      on_error:\n"
     "        steps: [{name: h, type: test_echo, value: 1}]\n"
     "    - {name: e, type: test_echo, value: \"{{ steps.a.why.class }}\"}\n",
     "\"e\":\"step\"", NULL},
};

/* Each of them, in one life and with a crash after every record. */
static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t keep = 0;; keep++) {
            char yaml[2000];
            snprintf(yaml, sizeof yaml, HEAD "%s", cases[i].steps);
            rig_start(&g, yaml);
            if (keep > g.nrecords) {
                if (i + 1 < sizeof cases / sizeof *cases) /* the last one is left to the teardown */
                    rig_done(&g);
                break;
            }
            if (keep)
                rig_restart(&g, keep, false);
            const char *want = cases[i].results ? cases[i].results : cases[i].error;
            const char *got = cases[i].results ? rig_results(&g) : rig_run_error(&g);
            if (!strstr(got, want))
                fail_msg("case %zu, %zu records kept: %s\nexpected %s", i, keep, got, want);
            rig_assert_status(&g, cases[i].results ? RUN_SUCCEEDED : RUN_FAILED);
            rig_done(&g);
        }
}

/* The variable changes with the step's end, however often the way there is gone. */
static void test_counted_once(void **state)
{
    (void)state;
    static const char counts[] =
        HEAD "    - {name: a, type: test_echo, value: \"{{ n + 1 }}\", output_to_global: n, output_to_file: f}\n"
             "    - {name: ask, type: claude, prompt: hello, output_to_global: said, expected_outputs: {text: hi}}\n"
             "    - {name: e, type: test_echo, value: \"{{ [n, said] }}\"}\n";
    for (size_t keep = 1;; keep++) {
        rig_start(&g, counts);
        rig_ok(&g, "a/output:1", "{\"path\": \"/f\"}");
        rig_ok(&g, "ask/turn:1", REPLY);
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (keep > g.nrecords)
            break;
        rig_restart(&g, keep, false);
        if (rig_effect(&g, "a/output:1"))
            rig_ok(&g, "a/output:1", "{\"path\": \"/f\"}");
        if (rig_effect(&g, "ask/turn:1"))
            rig_ok(&g, "ask/turn:1", REPLY);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"e\":[1,\"hi\"]"));
        rig_done(&g);
    }
}

/* What was expected is looked at before the output file is written, and again in another attempt. */
static void test_unexpected_is_retried(void **state)
{
    (void)state;
    rig_start(&g,
              HEAD "    - {name: ask, type: claude, prompt: hello, expected_outputs: {text: hi}, output_to_file: f,\n"
                   "       retry: {max_attempts: 2, delay: 1s, jitter: false, on: [step]}}\n");
    rig_ok(&g, "ask/turn:1",
           "{\"text\": \"no\", \"model\": \"m\", \"stop_reason\": \"end_turn\", \"usage\": "
           "{\"input_tokens\": 1, \"output_tokens\": 1}, \"cost_usd\": 0}");
    assert_null(rig_effect(&g, "ask/output:1"));
    rig_pass(&g, 1000);
    rig_ok(&g, "ask~2/turn:1", REPLY);
    rig_ok(&g, "ask~2/output:1", "{\"path\": \"/f\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* A step that writes nothing itself, but whose error handler does: before it is tried again, that is taken back. */
static void test_what_a_handler_changed(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: s\n      type: test_echo\n      fail: true\n"
                  "      on_error: {steps: [{name: tell, type: command, run: tell, on_interrupt: retry}]}\n");
    rig_ok(&g, "s/on_error:1/tell/exec:1", "{\"exit_code\": 1, \"stdout\": \"\"}");
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "s~2/rollback:1"), 1);
    assert_non_null(rig_effect(&g, "s~2/on_error:2/tell/exec:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cases, done),
        cmocka_unit_test_teardown(test_counted_once, done),
        cmocka_unit_test_teardown(test_unexpected_is_retried, done),
        cmocka_unit_test_teardown(test_what_a_handler_changed, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
