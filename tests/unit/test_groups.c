/* Restart policies of loops' iterations and of tasks: what is started again, below which paths, what the result then
 * has, and that a resumed run decides the same. Branches have a test of their own (test_parallel.c). */
#include "unit/bench.h"

#define COMMAND "type: command, workspace: isolated, run: make, on_interrupt: retry"
#define HEAD    "workflow:\n  name: w\n  steps:\n    - name: p\n"
#define TAIL    "    - {name: z, type: test_echo, value: end}\n"

enum kind { LOOP, TASKS };

static const char *const names[][4] = {[LOOP] = {"0", "1", "2"}, [TASKS] = {"a", "b", "c"}};

static const char *workflow(enum kind kind, const char *more)
{
    static char yaml[2048];
    if (kind == LOOP)
        snprintf(yaml, sizeof yaml,
                 HEAD "      type: for_loop\n      data_source: [r, s, t]\n      parallel: true\n%s"
                      "      steps:\n        - {name: x, " COMMAND "}\n" TAIL,
                 more);
    else
        snprintf(yaml, sizeof yaml,
                 HEAD "      type: parallel_claude\n%s      tasks:\n        - {id: a, " COMMAND "}\n"
                      "        - {id: b, " COMMAND "}\n        - {id: c, " COMMAND "}\n" TAIL,
                 more);
    return yaml;
}

static const char *path_of(enum kind kind, int member, int generation)
{
    static char path[64];
    const char *name = names[kind][member];
    if (kind == LOOP && generation > 1)
        snprintf(path, sizeof path, "p/%s~%d/x/exec:1", name, generation);
    else if (kind == LOOP)
        snprintf(path, sizeof path, "p/%s/x/exec:1", name);
    else if (generation > 1)
        snprintf(path, sizeof path, "p/again:%d/%s/exec:1", generation, name);
    else
        snprintf(path, sizeof path, "p/%s/exec:1", name);
    return path;
}

/* "a1 b2": which members have a command under way, and for which time. */
static const char *under_way(enum kind kind)
{
    static char text[200];
    text[0] = 0;
    for (int member = 0; member < 3; member++)
        for (int generation = 1; generation < 8; generation++) {
            struct rig_effect *e = rig_effect(&g, path_of(kind, member, generation));
            if (e && !e->cancelled)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c%d", text[0] ? " " : "", 'a' + member,
                         generation);
        }
    return text;
}

static void ends(enum kind kind, const char *which, bool well)
{
    rig_ok(&g, path_of(kind, which[0] - 'a', which[1] - '0'),
           well ? "{\"exit_code\": 0, \"stdout\": \"\"}" : "{\"exit_code\": 1, \"stdout\": \"\"}");
}

static void well(enum kind kind, const char *which)
{
    ends(kind, which, true);
}

static void badly(enum kind kind, const char *which)
{
    ends(kind, which, false);
}

static void again(const char *yaml)
{
    rig_done(&g);
    rig_start(&g, yaml);
}

/* a has ended well, b fails, c is under way. What a life before decided stands. */
static void test_strategies(void **state)
{
    (void)state;
    static const struct {
        const char *strategy, *expected;
    } t[] = {{"one_for_one", "b2 c1"}, {"one_for_all", "a2 b2 c2"}, {"rest_for_one", "b2 c2"}};
    rig_start(&g, workflow(LOOP, ""));
    for (enum kind kind = LOOP; kind <= TASKS; kind++)
        for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
            char more[100];
            snprintf(more, sizeof more, "      strategy: %s\n", t[i].strategy);
            again(workflow(kind, more));
            assert_string_equal(under_way(kind), "a1 b1 c1");
            well(kind, "a1");
            badly(kind, "b1");
            rig_stop(&g);
            assert_string_equal(under_way(kind), t[i].expected);
            rig_restart(&g, SIZE_MAX, false);
            assert_string_equal(under_way(kind), t[i].expected);
            assert_int_equal(rig_count(&g, RECORD_RESULT, "p/restart:1"), 1);
            for (int round = 0; round < 3; round++)
                for (int member = 0; member < 3; member++)
                    for (int n = 1; n < 3; n++)
                        if (rig_effect(&g, path_of(kind, member, n)))
                            rig_ok(&g, path_of(kind, member, n), "{\"exit_code\": 0, \"stdout\": \"\"}");
            rig_assert_status(&g, RUN_SUCCEEDED);
        }
}

static void test_intensity_over_lives(void **state)
{
    (void)state;
    rig_start(&g, workflow(LOOP, ""));
    for (enum kind kind = LOOP; kind <= TASKS; kind++) {
        again(workflow(kind, "      restart: {intensity: 2, period: 10s}\n"));
        badly(kind, "a1");
        badly(kind, "b1"); /* the count is the step's, not the member's */
        assert_string_equal(under_way(kind), "a2 b2 c1");
        rig_restart(&g, SIZE_MAX, false); /* and the run's, not the process's */
        badly(kind, "a2");
        rig_stop(&g);
        rig_assert_status(&g, RUN_FAILED);
        assert_non_null(strstr(rig_run_error(&g), "restart_intensity"));
        assert_non_null(strstr(rig_run_error(&g), "started again 2 times within 10 s"));
    }
}

/* A group waits for its turn in the workspace, to take back what a member did; meanwhile another member fails once too
 * often, and the step with it. When the turn comes at last, it is not for the attempt that has failed. */
static void test_turn_of_a_failed_attempt(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - name: all\n      type: parallel\n      branches:\n"
                  "        h: [{name: hold, type: command, run: make, on_interrupt: retry}]\n"
                  "        p:\n          - name: p\n            type: parallel\n"
                  "            retry: {max_attempts: 2, delay: 5s, jitter: false}\n"
                  "            restart: {intensity: 1, period: 1h}\n            branches:\n"
                  "              a: [{name: x, " COMMAND "}]\n              b: [{name: x, " COMMAND "}]\n");
    rig_ok(&g, "all/p/p/a/x/exec:1", "{\"exit_code\": 1, \"stdout\": \"\"}");
    assert_int_equal(rig_count(&g, RECORD_RESULT, "all/p/p/restart:1"), 1);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "all/p/p/undo:1"), 0); /* somebody else is writing */
    rig_ok(&g, "all/p/p/b/x/exec:1", "{\"exit_code\": 1, \"stdout\": \"\"}");
    assert_int_equal(rig_count(&g, RECORD_RESULT, "all/p/p"), 1);
    rig_ok(&g, "all/h/hold/exec:1", "{\"exit_code\": 0, \"stdout\": \"\"}");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "all/p/p/rollback:1"), 0);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "all/p/p~2/rollback:1"), 0);
    rig_pass(&g, 5001);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "all/p/p~2/rollback:1"), 1);
    rig_ok(&g, "all/p/p~2/a/x/exec:1", "{\"exit_code\": 0, \"stdout\": \"\"}");
    rig_ok(&g, "all/p/p~2/b/x/exec:1", "{\"exit_code\": 0, \"stdout\": \"\"}");
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_period(void **state)
{
    (void)state;
    rig_start(&g, workflow(LOOP, ""));
    for (enum kind kind = LOOP; kind <= TASKS; kind++) {
        again(workflow(kind, "      restart: {intensity: 1, period: 10s}\n"));
        static const char *const failing[] = {"a1", "a2", "a3"};
        for (size_t i = 0; i < 3; i++) {
            badly(kind, failing[i]);
            rig_pass(&g, 10001);
        }
        assert_string_equal(under_way(kind), "a4 b1 c1");
    }
}

static void test_failures_while_stopping(void **state)
{
    (void)state;
    rig_start(&g, workflow(LOOP, ""));
    for (enum kind kind = LOOP; kind <= TASKS; kind++) {
        again(workflow(kind, "      strategy: one_for_all\n"));
        badly(kind, "c1");
        badly(kind, "b1"); /* it is started again anyway: no failure of its own */
        rig_stop(&g);
        assert_string_equal(under_way(kind), "a2 b2 c2");
        again(workflow(kind, "      strategy: rest_for_one\n      restart: {intensity: 2}\n"));
        badly(kind, "b1");
        badly(kind, "a1"); /* its turn comes after that of b */
        rig_stop(&g);
        rig_stop(&g);
        assert_string_equal(under_way(kind), "a2 b3 c3");
        assert_int_equal(rig_count(&g, RECORD_RESULT, "p/restart:2"), 1);
    }
}

/* All cuts of a journal with two restarts: the same end, and nothing done again that was done. */
static void test_crash_anywhere(void **state)
{
    (void)state;
    static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one"};
    rig_start(&g, workflow(LOOP, ""));
    for (enum kind kind = LOOP; kind <= TASKS; kind++)
        for (size_t s = 0; s < 3; s++) {
            char more[200];
            snprintf(more, sizeof more, "      strategy: %s\n      restart: {intensity: 2, period: 1h}\n%s",
                     strategies[s],
                     kind == LOOP ? "      max_parallel: 1\n" : "      parallel_config: {max_workers: 1}\n");
            char *yaml = strdup(workflow(kind, more)), *expected = NULL;
            static const char *const script[] = {"a1+", "b1-", "a2+", "b2-", "a3+", "b3+", "c1+", "c2+", "c3+"};
            for (size_t keep = SIZE_MAX, all = 0;; keep = keep == SIZE_MAX ? 0 : keep + 1) {
                again(yaml);
                for (int lives = 0; lives < 2; lives++) {
                    for (size_t i = 0; i < sizeof script / sizeof *script; i++)
                        if (rig_effect(&g, path_of(kind, script[i][0] - 'a', script[i][1] - '0')))
                            ends(kind, script[i], script[i][2] == '+');
                    rig_assert_status(&g, RUN_SUCCEEDED);
                    if (keep == SIZE_MAX)
                        break;
                    if (!lives)
                        rig_restart(&g, keep, false);
                }
                if (!expected) {
                    expected = strdup(rig_results(&g));
                    all = g.nrecords;
                    assert_int_equal(rig_count(&g, RECORD_RESULT, "p/restart:2"), 1);
                }
                assert_string_equal(rig_results(&g), expected);
                if (keep != SIZE_MAX && keep >= all)
                    break;
            }
            free(yaml);
            free(expected);
        }
}

/* The list of iterations has each once, as it ended the last time, whether it is in memory or in the journal. */
static void test_iterations_read_back(void **state)
{
    (void)state;
    rig_start(&g, workflow(LOOP, ""));
    for (int away = 0; away < 2; away++) {
        rig_done(&g);
        rig_shelf_bytes = away ? 1 : 0;
        rig_start(&g, workflow(LOOP, "      strategy: rest_for_one\n"));
        well(LOOP, "c1");
        well(LOOP, "a1");
        rig_ok(&g, "p/1/x/exec:1", "{\"exit_code\": 1, \"stdout\": \"bad\"}");
        rig_ok(&g, "p/2~2/x/exec:1", "{\"exit_code\": 0, \"stdout\": \"second c\"}");
        rig_ok(&g, "p/1~2/x/exec:1", "{\"exit_code\": 0, \"stdout\": \"second b\"}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        const char *r = rig_results(&g), *b = strstr(r, "second b"), *c = strstr(r, "second c");
        assert_true(strstr(r, "\"total_items\":3,\"completed_items\":3") && b && c && b < c && !strstr(r, "bad") &&
                    strstr(r, "\"index\":2") && !strstr(strstr(r, "\"index\":2") + 1, "\"index\":2"));
    }
}

/* A step's own attempts and the times that the group starts it have different paths. */
static void test_retries_inside(void **state)
{
    (void)state;
    static const char yaml[] =
        HEAD "      type: parallel_claude\n      restart: {intensity: 3}\n      tasks:\n"
             "        - {id: a, " COMMAND ", retry: {max_attempts: 2, delay: 1s, jitter: false, on: any}}\n" TAIL;
    static const char bad[] = "{\"exit_code\": 1, \"stdout\": \"\"}";
    for (int crash = 0; crash < 2; crash++) {
        if (crash)
            rig_done(&g);
        rig_start(&g, yaml);
        rig_ok(&g, "p/a/exec:1", bad);
        rig_pass(&g, 1000);
        rig_ok(&g, "p/a~2/exec:1", bad);
        if (crash)
            rig_restart(&g, SIZE_MAX, false);
        rig_ok(&g, "p/again:2/a/exec:1", bad);
        rig_pass(&g, 1000);
        rig_ok(&g, "p/again:2/a~2/exec:1", "{\"exit_code\": 0, \"stdout\": \"\"}");
        rig_assert_status(&g, RUN_SUCCEEDED);
    }
}

/* A break ends the loop although an iteration waits to be started again. */
static void test_break_wins(void **state)
{
    (void)state;
    static const char yaml[] =
        HEAD "      type: for_loop\n      data_source: [r, s, t]\n      parallel: true\n      strategy: one_for_all\n"
             "      steps:\n        - {name: x, " COMMAND "}\n"
             "        - {name: out, type: break, condition: loop.index == 1}\n" TAIL;
    for (int crash = 0; crash < 2; crash++) {
        if (crash)
            rig_done(&g);
        rig_start(&g, yaml);
        badly(LOOP, "a1");
        rig_stop(&g);
        assert_string_equal(under_way(LOOP), "a2 b2 c2");
        well(LOOP, "b2");
        if (crash)
            rig_restart(&g, SIZE_MAX, false);
        rig_stop(&g);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"success\":true,\"total_items\":3,\"completed_items\":1"));
        assert_null(strstr(rig_results(&g), "\"error\""));
    }
}

/* What had ended before the last life is not done again where a restart does not include it, and is where it does. */
static void test_passed_iterations(void **state)
{
    (void)state;
    static const struct {
        const char *strategy, *expected;
    } t[] = {{"one_for_one", "b2 c1"}, {"one_for_all", "a2 b2 c2"}};
    rig_start(&g, workflow(LOOP, ""));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char more[100];
        snprintf(more, sizeof more, "      strategy: %s\n", t[i].strategy);
        again(workflow(LOOP, more));
        well(LOOP, "a1");
        rig_restart(&g, SIZE_MAX, false);
        assert_string_equal(under_way(LOOP), "b1 c1");
        badly(LOOP, "b1");
        rig_stop(&g);
        assert_string_equal(under_way(LOOP), t[i].expected);
    }
}

/* Loops that go through their items in turn have no restarts, also where that is known late. */
static void test_in_turn(void **state)
{
    (void)state;
    rig_start(
        &g, "workflow:\n  name: w\n  inputs: {p: {type: boolean, default: false}}\n  steps:\n"
            "    - {name: l, type: for_loop, data_source: [1], parallel: \"{{ inputs.p }}\", restart: {intensity: 1},\n"
            "       steps: [{name: x, type: test_echo}]}\n");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "need `parallel: true`"));
}

/* A range may be long; what is started again is remembered item by item. */
static void test_too_many(void **state)
{
    (void)state;
    rig_start(
        &g,
        "workflow:\n  name: w\n  steps:\n"
        "    - {name: l, type: for_loop, data_source: \"range(1, 2000000)\", parallel: true, strategy: one_for_one,\n"
        "       steps: [{name: x, type: test_echo}]}\n");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "2000000 items; a loop with `restart` has at most"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_strategies, done),
        cmocka_unit_test_teardown(test_intensity_over_lives, done),
        cmocka_unit_test_teardown(test_turn_of_a_failed_attempt, done),
        cmocka_unit_test_teardown(test_period, done),
        cmocka_unit_test_teardown(test_failures_while_stopping, done),
        cmocka_unit_test_teardown(test_crash_anywhere, done),
        cmocka_unit_test_teardown(test_iterations_read_back, done),
        cmocka_unit_test_teardown(test_retries_inside, done),
        cmocka_unit_test_teardown(test_break_wins, done),
        cmocka_unit_test_teardown(test_passed_iterations, done),
        cmocka_unit_test_teardown(test_in_turn, done),
        cmocka_unit_test_teardown(test_too_many, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
