/* What a run counts: the same in every life, although a resumed one meets few of the frames again. */
#include "unit/bench.h"

#define REPLY "{\"text\": \"hi\", \"stop_reason\": \"end_turn\"}"
#define ECHO  "{name: e, type: test_echo, value: 1}"

static void test_steps_are_counted_in_every_life(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: loop\n      type: for_loop\n      data_source: \"range(1, 5)\"\n"
                  "      steps: [" ECHO ", {name: f, type: test_echo, value: 2}]\n"
                  "    - name: both\n      type: parallel\n      branches: {l: [" ECHO "], r: [" ECHO "]}\n"
                  "    - {name: no, type: test_echo, value: 1, condition: 'false'}\n"
                  "    - {name: bad, type: test_echo, fail: true, on_error: {goto: other}}\n"
                  "    - {name: never, type: test_echo, value: 1}\n"
                  "    - name: other\n      type: switch\n      expression: \"'a'\"\n      cases: {a: [" ECHO "]}\n"
                  "    - {name: ask, type: claude, prompt: a}\n"
                  "    - {name: more, type: claude, prompt: a}\n");
    int64_t before = run_totals(g.run).steps_done;
    assert_int_equal(before, 10 + 1 + 2 + 1 + 1 + 2);
    for (int life = 0; life < 3; life++) {
        rig_restart(&g, SIZE_MAX, false);
        assert_int_equal(run_totals(g.run).steps_done, before);
    }
    rig_ok(&g, "ask/turn:1", REPLY);
    rig_restart(&g, SIZE_MAX, false);
    assert_int_equal(run_totals(g.run).steps_done, before + 1);
    rig_ok(&g, "more/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(run_totals(g.run).steps_done, before + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_steps_are_counted_in_every_life, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
