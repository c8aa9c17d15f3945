/* parallel: what runs beside what, which branches a failure stops or starts again, and that a resumed run goes on with
 * its count of restarts. */
#include "unit/bench.h"

#define COMMAND(name) \
    "        " name ": [{name: x, type: command, workspace: isolated, run: make, on_interrupt: retry}]\n"
#define PARALLEL(more)                                                                                            \
    "workflow:\n  name: w\n  steps:\n    - name: p\n      type: parallel\n" more "      branches:\n" COMMAND("a") \
        COMMAND("b") COMMAND("c") "    - {name: z, type: test_echo, value: end}\n"

static const char good[] = "{\"exit_code\": 0, \"stdout\": \"\"}", bad[] = "{\"exit_code\": 1, \"stdout\": \"\"}";

static void path_of(char path[64], char name, int generation)
{
    if (generation > 1)
        snprintf(path, 64, "p/%c~%d/x/exec:1", name, generation);
    else
        snprintf(path, 64, "p/%c/x/exec:1", name);
}

/* Which branches have a command under way: "a1 b2" for p/a/x and p/b~2/x. */
static const char *under_way(void)
{
    static char text[200];
    text[0] = 0;
    for (char name = 'a'; name <= 'c'; name++)
        for (int generation = 1; generation < 6; generation++) {
            char path[64];
            path_of(path, name, generation);
            struct rig_effect *e = rig_effect(&g, path);
            if (e && !e->cancelled)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c%d", text[0] ? " " : "", name,
                         generation);
        }
    return text;
}

static void test_all_at_once(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL(""));
    assert_string_equal(under_way(), "a1 b1 c1");
    rig_ok(&g, "p/b/x/exec:1", good);
    rig_ok(&g, "p/a/x/exec:1", good);
    rig_ok(&g, "p/c/x/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
    const char *r = rig_results(&g);
    assert_true(strstr(r, "\"p\":{\"success\":true,\"branches\":{\"a\":{\"ok\":true,\"results\":{\"x\":") &&
                strstr(r, "\"b\":{\"ok\":true") && strstr(r, "\"c\":{\"ok\":true") && strstr(r, "\"z\":\"end\""));
}

static void test_max_parallel(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      max_parallel: 2\n"));
    assert_string_equal(under_way(), "a1 b1");
    rig_ok(&g, "p/b/x/exec:1", good);
    assert_string_equal(under_way(), "a1 c1");
}

static void test_fail_fast(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL(""));
    rig_ok(&g, "p/b/x/exec:1", bad);
    assert_string_equal(under_way(), "");
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "branch `b`: "));
}

static void test_fail_collect(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      fail: collect\n"));
    rig_ok(&g, "p/b/x/exec:1", bad);
    assert_string_equal(under_way(), "a1 c1");
    rig_ok(&g, "p/a/x/exec:1", good);
    rig_ok(&g, "p/c/x/exec:1", good);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"p\":{\"success\":false,"));
    assert_non_null(strstr(rig_results(&g), "\"b\":{\"ok\":false,\"error\":{"));
}

static void test_all_failed(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      fail: collect\n"));
    rig_ok(&g, "p/a/x/exec:1", bad);
    rig_ok(&g, "p/b/x/exec:1", bad);
    rig_ok(&g, "p/c/x/exec:1", bad);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "all 3 branches failed"));
}

/* a has ended well, b fails, c is under way. */
static void test_strategies(void **state)
{
    (void)state;
    static const struct {
        const char *strategy, *expected;
    } t[] = {{"one_for_one", "b2 c1"}, {"one_for_all", "a2 b2 c2"}, {"rest_for_one", "b2 c2"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, PARALLEL("      strategy: %s\n"), t[i].strategy);
        rig_start(&g, yaml);
        rig_ok(&g, "p/a/x/exec:1", good);
        rig_ok(&g, "p/b/x/exec:1", bad);
        rig_stop(&g);
        assert_string_equal(under_way(), t[i].expected);
        rig_restart(&g, SIZE_MAX, false); /* what a life before decided stands */
        assert_string_equal(under_way(), t[i].expected);
        assert_int_equal(rig_count(&g, RECORD_RESULT, "p/restart:1"), 1);
        rig_done(&g);
    }
    rig_start(&g, PARALLEL(""));
}

static void test_intensity(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      restart: {intensity: 2, period: 10s}\n"));
    rig_ok(&g, "p/a/x/exec:1", bad);
    rig_ok(&g, "p/b/x/exec:1", bad); /* the count is the step's, not the branch's */
    assert_string_equal(under_way(), "a2 b2 c1");
    rig_restart(&g, SIZE_MAX, false); /* and the run's, not the process's */
    rig_ok(&g, "p/a~2/x/exec:1", bad);
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "restart_intensity"));
    assert_non_null(strstr(rig_run_error(&g), "started again 2 times within 10 s"));
}

static void test_period(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      restart: {intensity: 1, period: 10s}\n"));
    for (int i = 1; i < 4; i++) {
        char path[64];
        path_of(path, 'a', i);
        rig_ok(&g, path, bad);
        rig_pass(&g, 10001);
    }
    assert_string_equal(under_way(), "a4 b1 c1");
}

/* b fails while a is being stopped for c's restart: it is started again with the rest, and counted once. */
static void test_failure_while_stopping(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      strategy: one_for_all\n      restart: {intensity: 1, period: 10s}\n"));
    rig_ok(&g, "p/c/x/exec:1", bad);
    rig_ok(&g, "p/b/x/exec:1", bad);
    assert_string_equal(under_way(), "");
    rig_stop(&g);
    assert_string_equal(under_way(), "a2 b2 c2");
}

/* a fails while c is being stopped for b's restart, which does not include a: its turn comes after. */
static void test_failure_waits_its_turn(void **state)
{
    (void)state;
    rig_start(&g, PARALLEL("      strategy: rest_for_one\n      restart: {intensity: 2, period: 10s}\n"));
    rig_ok(&g, "p/b/x/exec:1", bad);
    rig_ok(&g, "p/a/x/exec:1", bad);
    rig_stop(&g); /* c; then b and c of the second generation, for a */
    rig_stop(&g);
    assert_string_equal(under_way(), "a2 b3 c3");
    assert_int_equal(rig_count(&g, RECORD_RESULT, "p/restart:2"), 1);
}

static void test_crash_anywhere(void **state)
{
    (void)state;
    static const char yaml[] =
        PARALLEL("      strategy: one_for_all\n      max_parallel: 1\n      restart: {intensity: 2, period: 1h}\n");
    for (size_t keep = 0;; keep++) {
        rig_start(&g, yaml);
        rig_ok(&g, "p/a/x/exec:1", good);
        rig_ok(&g, "p/b/x/exec:1", bad);
        rig_ok(&g, "p/a~2/x/exec:1", good);
        size_t all = g.nrecords;
        rig_restart(&g, keep, false);
        static const char *const answers[][2] = {{"p/a/x/exec:1", good},
                                                 {"p/b/x/exec:1", bad},
                                                 {"p/a~2/x/exec:1", good},
                                                 {"p/b~2/x/exec:1", good},
                                                 {"p/c~2/x/exec:1", good}};
        for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
            if (rig_effect(&g, answers[i][0]))
                rig_ok(&g, answers[i][0], answers[i][1]);
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (keep >= all)
            break;
        rig_done(&g);
    }
}

/* A branch that leaves the loop around stops the others; nothing that follows in the iteration is done. */
static void test_break_in_a_branch(void **state)
{
    (void)state;
    static const char yaml[] =
        "workflow:\n  name: w\n  steps:\n"
        "    - name: l\n      type: for_loop\n      data_source: [1, 2]\n      steps:\n"
        "        - name: p\n          type: parallel\n          branches:\n"
        "            slow: [{name: x, type: command, workspace: isolated, run: make, on_interrupt: retry}]\n"
        "            out:\n"
        "              - {name: y, type: command, workspace: isolated, run: make, on_interrupt: retry}\n"
        "              - {name: b, type: break}\n"
        "        - {name: never, type: test_echo}\n"
        "    - {name: z, type: test_echo, value: end}\n";
    for (int crash = 0; crash < 2; crash++) {
        rig_start(&g, yaml);
        rig_ok(&g, "l/0/p/out/y/exec:1", good);
        if (crash)
            rig_restart(&g, SIZE_MAX, false);
        rig_stop(&g);
        rig_assert_status(&g, RUN_SUCCEEDED);
        const char *r = rig_results(&g);
        assert_true(strstr(r, "\"completed_items\":1") && strstr(r, "\"out\":{\"ok\":true") && !strstr(r, "\"slow\"") &&
                    !strstr(r, "never") && strstr(r, "\"z\":\"end\""));
        rig_done(&g);
    }
    rig_start(&g, yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_all_at_once, done),
        cmocka_unit_test_teardown(test_max_parallel, done),
        cmocka_unit_test_teardown(test_fail_fast, done),
        cmocka_unit_test_teardown(test_fail_collect, done),
        cmocka_unit_test_teardown(test_all_failed, done),
        cmocka_unit_test_teardown(test_strategies, done),
        cmocka_unit_test_teardown(test_intensity, done),
        cmocka_unit_test_teardown(test_period, done),
        cmocka_unit_test_teardown(test_failure_while_stopping, done),
        cmocka_unit_test_teardown(test_failure_waits_its_turn, done),
        cmocka_unit_test_teardown(test_crash_anywhere, done),
        cmocka_unit_test_teardown(test_break_in_a_branch, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
