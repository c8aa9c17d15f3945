/* Whose turn it is in the workspace, above all in a new life: what an interruption left is seen to before others write.
 */
#include "unit/bench.h"

static const char good[] = "{\"exit_code\": 0, \"stdout\": \"\"}";

#define TWO                                                                                                            \
    "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n"                                            \
    "      branches:\n        early:\n          - {name: nap, type: sleep, for: 5s}\n"                                 \
    "          - {name: x, type: command, run: make, on_interrupt: retry, timeout: 60s}\n"                             \
    "        late: [{name: n, type: for_loop, data_source: [1], steps: [{name: m, type: for_loop, data_source: [1],\n" \
    "          steps: [{name: x, type: command, run: make, on_interrupt: retry, timeout: 60s}]}]}]\n"

static void test_one_at_a_time(void **state)
{
    (void)state;
    rig_start(&g, TWO);
    assert_non_null(rig_effect(&g, "p/late/n/0/m/0/x/exec:1"));
    rig_pass(&g, 6000);
    assert_null(rig_effect(&g, "p/early/x/exec:1"));
    rig_ok(&g, "p/late/n/0/m/0/x/exec:1", good);
    assert_non_null(rig_effect(&g, "p/early/x/exec:1"));
}

/* The other comes first as the workflow is walked, but it must not write before it is settled what the interrupted one
 * did. */
static void test_interrupted_first(void **state)
{
    (void)state;
    rig_start(&g, TWO);
    rig_pass(&g, 6000);
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(g.settled, 1);
    assert_non_null(rig_effect(&g, "p/late/n/0/m/0/x/exec:1"));
    assert_null(rig_effect(&g, "p/early/x/exec:1"));
    rig_ok(&g, "p/late/n/0/m/0/x/exec:1", good);
    rig_ok(&g, "p/early/x/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* What was stopped is known to be dead, but what it had changed until then is still there. */
static void test_stopped_is_settled(void **state)
{
    (void)state;
    rig_start(&g, TWO);
    run_cancel(g.run);
    rig_work(&g);
    rig_stop(&g);
    rig_assert_status(&g, RUN_CANCELLED);
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(g.settled, 1);
    rig_ok(&g, "p/late/n/0/m/0/x/exec:1", good);
}

/* A handler's steps count as its step's own: another attempt begins without what they changed. */
static void test_after_a_handler(void **state)
{
    (void)state;
    rig_start(&g,
              "workflow:\n  name: w\n  steps:\n    - name: s\n      type: test_echo\n      fail: true\n"
              "      on_error:\n        steps:\n          - {name: x, type: command, run: make, on_interrupt: retry}\n"
              "          - {name: no, type: test_echo, fail: true}\n");
    rig_ok(&g, "s/on_error:1/x/exec:1", good);
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "s~2/rollback:1"), 1);
}

/* ---- among other runs ---- */

#define ONE                                                                                                    \
    "workflow:\n  name: w\n  steps:\n"                                                                         \
    "    - {name: x, type: command, run: make, on_interrupt: retry, timeout: 60s, retry: {max_attempts: 2}}\n" \
    "    - {name: e, type: test_echo, value: 1}\n"                                                             \
    "    - {name: y, type: command, run: make, on_interrupt: retry}\n"

static void start_behind_others(const char *yaml)
{
    rig_others_write = true;
    rig_start(&g, yaml);
    rig_others_write = false;
}

/* A step's turn is for that step; between two, others come. */
static void test_left_after_each_step(void **state)
{
    (void)state;
    rig_start(&g, ONE);
    assert_int_equal(g.turns, 1);
    rig_error(&g, "x/exec:1", "{\"class\": \"timeout\", \"message\": \"late\"}");
    rig_pass(&g, 100);
    assert_int_equal(g.leaves, 0); /* it waits for its next attempt, and nobody may come before all is taken back */
    rig_pass(&g, 5000);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "x~2/rollback:1"), 1);
    unsigned turns = g.turns;
    rig_ok(&g, "x~2/exec:1", good);
    assert_int_equal(g.turns, turns + 1);
    assert_int_equal(g.leaves, turns);
    rig_ok(&g, "y/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* Waiting for others costs none of the step's time, and is to be seen. */
static void test_waits_for_other_runs(void **state)
{
    (void)state;
    start_behind_others(ONE);
    assert_null(rig_effect(&g, "x/exec:1"));
    assert_true(g.turn_waits);
    assert_non_null(strstr(rig_data(&g, RECORD_NOTE, "x"), "run other is writing there"));
    rig_pass(&g, 600000);
    rig_assert_status(&g, RUN_RUNNING);
    rig_turn(&g);
    assert_non_null(strstr(rig_data(&g, RECORD_NOTE, "x"), "has"));
    rig_pass(&g, 59000);
    rig_ok(&g, "x/exec:1", good);
    rig_ok(&g, "y/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_cancelled_while_it_waits(void **state)
{
    (void)state;
    start_behind_others(ONE);
    run_cancel(g.run);
    rig_work(&g);
    rig_assert_status(&g, RUN_CANCELLED);
}

/* A run that is stopped waits for nobody, and asks again in its next life. */
static void test_suspended_while_it_waits(void **state)
{
    (void)state;
    start_behind_others(ONE);
    run_suspend(g.run);
    rig_work(&g);
    rig_assert_status(&g, RUN_INTERRUPTED);
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "x/exec:1", good);
    rig_ok(&g, "y/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* Who wanted it is not there any more when the turn comes: it is left again. */
static void test_nobody_wants_it_any_more(void **state)
{
    (void)state;
    start_behind_others("workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      fail: fast\n"
                        "      branches:\n        one: [{name: x, type: command, run: make}]\n"
                        "        two: [{name: nap, type: sleep, for: 5s}, {name: no, type: test_echo, fail: true}]\n"
                        "      on_error: continue\n    - {name: z, type: sleep, for: 5s}\n");
    assert_true(g.turn_waits);
    rig_pass(&g, 6000);
    assert_false(g.turn_waits);
    rig_pass(&g, 6000);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* Whoever is held for a person lets other runs in. */
static void test_held_lets_others_in(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      branches:\n"
                  "        one: [{name: x, type: command, run: make, on_interrupt: hold}]\n"
                  "        two: [{name: nap, type: sleep, for: 60s}]\n");
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(g.events[EVENT_HELD], 1);
    assert_int_equal(g.turns, 2);
    assert_int_equal(g.leaves, 2);
    rig_pass(&g, 100000);
    rig_assert_status(&g, RUN_WAITING);
}

/* ---- the time of what is around ---- */

#define AROUND                                                                                             \
    "workflow:\n  name: w\n  steps:\n    - name: l\n      type: for_loop\n      timeout: 10s\n"            \
    "      data_source: [1]\n      steps:\n        - {name: ask, type: gemini, prompt: hello}\n"           \
    "        - {name: s, type: switch, expression: 1, timeout: 8s, cases: {1: [{name: x, type: command,\n" \
    "            run: make, on_interrupt: retry}]}}\n"

static const char reply[] = "{\"text\": \"yes\", \"stop_reason\": \"end_turn\"}";

/* Nor does waiting cost the steps around it anything: what has been done inside is not lost to it. */
static void test_time_around_stands_still(void **state)
{
    (void)state;
    start_behind_others(AROUND);
    rig_pass(&g, 4000);
    rig_ok(&g, "l/0/ask/turn:1", reply);
    assert_true(g.turn_waits);
    rig_pass(&g, 600000);
    rig_turn(&g);
    rig_pass(&g, 5000); /* 9 s of work */
    rig_ok(&g, "l/0/s/case:1/x/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_time_around_goes_on(void **state)
{
    (void)state;
    start_behind_others(AROUND);
    rig_pass(&g, 4000);
    rig_ok(&g, "l/0/ask/turn:1", reply);
    rig_pass(&g, 600000);
    rig_turn(&g);
    rig_pass(&g, 7000);
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "no result within 10 s"));
}

/* In each life it stands still, and only then. */
static void test_time_around_in_a_new_life(void **state)
{
    (void)state;
    start_behind_others(AROUND);
    rig_pass(&g, 4000);
    rig_ok(&g, "l/0/ask/turn:1", reply);
    for (unsigned i = 0; i < 3; i++) {
        rig_pass(&g, 600000);
        rig_assert_status(&g, RUN_RUNNING);
        rig_others_write = true; /* again */
        rig_restart(&g, SIZE_MAX, false);
        rig_others_write = false;
        assert_true(g.turn_waits);
    }
    rig_pass(&g, 600000);
    rig_turn(&g);
    rig_pass(&g, 5000);
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 100);
    rig_ok(&g, "l/0/s/case:1/x/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

#define BESIDE                                                                                            \
    "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      branches:\n"              \
    "        first: [{name: x, type: command, run: make, on_interrupt: retry}]\n"                         \
    "        naps: [{name: n, type: for_loop, data_source: [1, 2, 3], steps: [{name: nap, type: sleep,\n" \
    "          for: 60s}]}]\n"                                                                            \
    "        then:\n          - {name: nap, type: sleep, for: 1s}\n"                                      \
    "          - {name: l, type: for_loop, timeout: 10s, data_source: [1], steps: [{name: y,\n"           \
    "              type: command, run: make, on_interrupt: retry}]}\n"

/* The turn is that of a step outside of it. Others record meanwhile, and a crash comes. */
static void test_time_around_behind_another_step(void **state)
{
    (void)state;
    rig_start(&g, BESIDE);
    rig_pass(&g, 100000);
    rig_assert_status(&g, RUN_RUNNING);
    g.keeps = true;
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "p/first/x/exec:1", good);
    rig_pass(&g, 9000);
    rig_ok(&g, "p/then/l/0/y/exec:1", good);
    rig_pass(&g, 200000);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* What only waits to be taken over is done: no later life counts that against the step. */
static void test_time_of_what_is_taken_over(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      branches:\n"
                  "        first: [{name: x, type: command, run: make, on_interrupt: retry}]\n"
                  "        then: [{name: y, type: gemini, prompt: hello, allowed_tools: [Read, Write], timeout: 10s,\n"
                  "          workspace: isolated}]\n");
    rig_pass(&g, 4000);
    rig_ok(&g, "p/then/y/turn:1", reply);
    rig_pass(&g, 600000);
    assert_non_null(strstr(rig_data(&g, RECORD_NOTE, "p/then/y"), "\"rests\":true"));
    rig_ok(&g, "p/first/x/exec:1", good);
    assert_non_null(strstr(rig_data(&g, RECORD_NOTE, "p/then/y"), "\"rests\":false"));
    rig_pass(&g, 600000); /* nor has it any time then */
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* While something else in it is at work, its time goes on. */
static void test_time_around_those_at_work(void **state)
{
    (void)state;
    start_behind_others("workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      timeout: 10s\n"
                        "      branches:\n        one: [{name: x, type: command, run: make}]\n"
                        "        two: [{name: ask, type: gemini, prompt: hello}]\n");
    rig_pass(&g, 6000);
    rig_ok(&g, "p/two/ask/turn:1", reply);
    rig_pass(&g, 600000);
    rig_assert_status(&g, RUN_RUNNING);
    rig_turn(&g);
    rig_pass(&g, 5000);
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_at_a_time, done),
        cmocka_unit_test_teardown(test_interrupted_first, done),
        cmocka_unit_test_teardown(test_stopped_is_settled, done),
        cmocka_unit_test_teardown(test_after_a_handler, done),
        cmocka_unit_test_teardown(test_left_after_each_step, done),
        cmocka_unit_test_teardown(test_waits_for_other_runs, done),
        cmocka_unit_test_teardown(test_cancelled_while_it_waits, done),
        cmocka_unit_test_teardown(test_suspended_while_it_waits, done),
        cmocka_unit_test_teardown(test_nobody_wants_it_any_more, done),
        cmocka_unit_test_teardown(test_held_lets_others_in, done),
        cmocka_unit_test_teardown(test_time_around_stands_still, done),
        cmocka_unit_test_teardown(test_time_around_goes_on, done),
        cmocka_unit_test_teardown(test_time_around_in_a_new_life, done),
        cmocka_unit_test_teardown(test_time_around_behind_another_step, done),
        cmocka_unit_test_teardown(test_time_of_what_is_taken_over, done),
        cmocka_unit_test_teardown(test_time_around_those_at_work, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
