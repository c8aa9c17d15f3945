/* Timeouts over several lives of a run: what counts is the time in which a step was worked on. Not what passed while
 * nobody carried the run on, nor what a crash undid; but a life does not give it all its time anew. A call that
 * outlived the engine has been under way since its intent. */
#include "unit/bench.h"

enum { SECOND = 1000, DAY = 86400 * 1000 };

#define NAPS                                                                                                    \
    "workflow:\n  name: w\n  steps:\n    - name: l\n      type: for_loop\n      data_source: \"range(1, 5)\"\n" \
    "      timeout: 100s\n      steps: [{name: nap, type: sleep, for: 30s}]\n"
#define ASK(more)                                                                                     \
    "workflow:\n  name: w\n  steps:\n    - name: ask\n      type: claude\n      prompt: hello\n" more \
    "      claude_options: {timeout_ms: 50000}\n"

static const char hello[] = "{\"text\": \"hi\", \"raw\": [1], \"stop_reason\": \"end_turn\"}";

static bool asked_to_stop(const char *path)
{
    const struct rig_effect *e = rig_effect(&g, path);
    if (!e)
        fail_msg("nothing is under way at %s", path);
    return e && e->cancelled;
}

static void test_one_life(void **state)
{
    (void)state;
    rig_start(&g, NAPS);
    rig_pass(&g, 100 * SECOND - 1);
    assert_int_equal(rig_count(&g, RECORD_DONE, "l/2"), 1);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 1);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "no result within 100 s"));
}

/* Two crashes; the first undoes 15 seconds. */
static void test_lives_share_the_time(void **state)
{
    (void)state;
    rig_start(&g, NAPS);
    rig_pass(&g, 45 * SECOND);
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 45 * SECOND);
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 25 * SECOND - 1);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 1);
    rig_assert_status(&g, RUN_FAILED);
}

static void test_nights_do_not_count(void **state)
{
    (void)state;
    rig_start(&g, NAPS);
    rig_pass(&g, 60 * SECOND);
    g.now += DAY;
    rig_restart(&g, SIZE_MAX, false);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 40 * SECOND - 1);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 1);
    rig_assert_status(&g, RUN_FAILED);
}

/* Nor does the time in which a run that is being stopped waits for what is in flight. */
static void test_stopping_does_not_count(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      branches:\n"
                  "        a: [{name: x, type: command, run: make, on_interrupt: retry}]\n"
                  "        b: [{name: l, type: for_loop, timeout: 100s, data_source: [1],\n"
                  "             steps: [{name: nap, type: sleep, for: 90s}]}]\n");
    rig_pass(&g, 20 * SECOND);
    run_suspend(g.run);
    rig_pass(&g, 85 * SECOND);
    rig_ok(&g, "p/a/x/exec:1", "{\"exit_code\": 0, \"stdout\": \"\"}");
    rig_assert_status(&g, RUN_INTERRUPTED);
    g.now += DAY;
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 10);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* Nor what passes while something of the step is held and others go on, in however many lives. */
static void test_what_is_held_has_time(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n      branches:\n"
                  "        a: [{name: x, type: claude, prompt: hello, on_interrupt: hold, timeout: 100s}]\n"
                  "        b: [{name: l, type: for_loop, data_source: \"range(1, 20)\",\n"
                  "             steps: [{name: nap, type: sleep, for: 30s}]}]\n");
    rig_pass(&g, 60 * SECOND);
    for (unsigned lives = 0; lives < 2; lives++) {
        rig_restart(&g, SIZE_MAX, false);
        rig_pass(&g, 120 * SECOND);
        rig_assert_status(&g, RUN_RUNNING);
        assert_null(rig_effect(&g, "p/a/x/turn:1"));
    }
    rig_restart(&g, SIZE_MAX, true);
    rig_pass(&g, 39 * SECOND);
    assert_false(asked_to_stop("p/a/x/turn:1"));
    rig_pass(&g, 2 * SECOND);
    assert_true(asked_to_stop("p/a/x/turn:1"));
}

/* Who resumes what failed gives it its time anew. */
static void test_resumed_after_failure(void **state)
{
    (void)state;
    rig_start(&g, NAPS);
    rig_pass(&g, 100 * SECOND);
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 99 * SECOND);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* Cut after any record, the run fails of the same timeout. */
static void test_any_cut(void **state)
{
    (void)state;
    for (size_t keep = 0;; keep++) {
        rig_start(&g, NAPS);
        rig_pass(&g, 99 * SECOND);
        size_t all = g.nrecords;
        rig_restart(&g, keep, false);
        for (int i = 0; i < 1000 && run_status(g.run) == RUN_RUNNING; i++)
            rig_pass(&g, SECOND);
        rig_assert_status(&g, RUN_FAILED);
        assert_non_null(strstr(rig_run_error(&g), "no result within 100 s"));
        assert_int_equal(rig_count(&g, RECORD_DONE, "l/4"), 0); /* one nap may be over by the clock */
        if (keep >= all)
            break;
        rig_done(&g);
    }
}

static void test_adopted_call(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    g.keeps = true;
    rig_pass(&g, 45 * SECOND);
    rig_restart(&g, SIZE_MAX, false);
    assert_true(rig_effect(&g, "ask/turn:1")->e.adopt);
    rig_pass(&g, 5 * SECOND - 1);
    assert_false(asked_to_stop("ask/turn:1"));
    rig_pass(&g, 1);
    assert_true(asked_to_stop("ask/turn:1"));
    rig_stop(&g);
    assert_non_null(strstr(rig_data(&g, RECORD_RESULT, "ask/turn:1"), "no answer within 50 s"));
}

/* What came while the engine was dead counts, however late it is asked for. */
static void test_adopted_answer(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    g.keeps = true;
    g.now += DAY;
    rig_restart(&g, SIZE_MAX, false);
    rig_pass(&g, 10);
    assert_false(asked_to_stop("ask/turn:1"));
    rig_ok(&g, "ask/turn:1", hello);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* The step's own timeout comes after one call and some of a second, whatever the engine did meanwhile. */
static void test_call_in_a_step(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++)
        for (int crash = 0; crash < 60; crash += 7) {
            if (kept || crash)
                rig_done(&g);
            rig_start(&g, ASK("      timeout: 60s\n"));
            g.keeps = kept;
            for (int second = 0, died = 0; second < 200 && run_status(g.run) == RUN_RUNNING; second++) {
                if (second == crash && !died) {
                    died = 1;
                    rig_restart(&g, SIZE_MAX, false);
                }
                rig_pass(&g, SECOND);
                rig_stop(&g);
            }
            rig_assert_status(&g, RUN_FAILED);
            assert_non_null(strstr(rig_run_error(&g), "no result within 60 s"));
            unsigned late = 0;
            for (const struct rig_record *r = g.records; r; r = r->next)
                late += r->r.kind == RECORD_RESULT && strstr(r->r.data.p, "no answer within 50 s");
            if (late != 1)
                fail_msg("%u calls were late after a crash at %d s (kept: %d)", late, crash, kept);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_life, done),
        cmocka_unit_test_teardown(test_lives_share_the_time, done),
        cmocka_unit_test_teardown(test_nights_do_not_count, done),
        cmocka_unit_test_teardown(test_stopping_does_not_count, done),
        cmocka_unit_test_teardown(test_what_is_held_has_time, done),
        cmocka_unit_test_teardown(test_resumed_after_failure, done),
        cmocka_unit_test_teardown(test_any_cut, done),
        cmocka_unit_test_teardown(test_adopted_call, done),
        cmocka_unit_test_teardown(test_adopted_answer, done),
        cmocka_unit_test_teardown(test_call_in_a_step, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
