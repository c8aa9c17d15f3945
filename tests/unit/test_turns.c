/* Whose turn it is in the workspace, above all in a new life: what an interruption left is seen to before others write.
 */
#include "unit/rig.h"

#include "unit/rig.c"

static struct rig g;

static int done(void **state)
{
    (void)state;
    rig_done(&g);
    return 0;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_at_a_time, done),
        cmocka_unit_test_teardown(test_interrupted_first, done),
        cmocka_unit_test_teardown(test_stopped_is_settled, done),
        cmocka_unit_test_teardown(test_after_a_handler, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
