/* switch: which case a value chooses, what the result is, and that a choice once made stands. */
#include "unit/bench.h"

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        const char *value, *first, *second, *expected; /* expected: the case, or null */
    } t[] = {
        {"python", "python", "go", "\"python\""},
        {"go", "python", "go", "\"go\""},
        {"rust", "python", "go", "null"},
        {"'  go\\n'", "go", "x", "null"}, /* a backslash in single quotes is itself */
        {"\"  go\\n\"", "go", "x", "\"go\""},
        {"2", "1", "2", "\"2\""},
        {"2", "\"2\"", "x", "\"2\""},
        {"'2'", "2", "x", "\"2\""},
        {"1.5", "1.5", "x", "\"1.5\""},
        {"true", "true", "false", "\"true\""},
        {"false", "true", "false", "\"false\""},
        {"test_a.py", "\"test_*.py\"", "\"*.py\"", "\"test_*.py\""},
        {"a.py", "\"test_*.py\"", "\"*.py\"", "\"*.py\""},
        {"a.pyc", "\"test_*.py\"", "\"*.py\"", "null"},
        {"\"*.py\"", "\"*\"", "\"*.py\"", "\"*.py\""}, /* an equal key goes before any pattern */
        {"v1", "\"v?\"", "x", "\"v?\""},
        {"vü", "\"v?\"", "x", "\"v?\""},
        {"v10", "\"v?\"", "x", "null"},
        {"aXbXc", "\"a*b*c\"", "x", "\"a*b*c\""},
        {"aXbXd", "\"a*b*c\"", "x", "null"},
        {"null", "\"null\"", "x", "\"null\""}, /* null is that word */
        {"null", "x", "\"*\"", "\"*\""},
        {"null", "x", "\"\"", "null"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[2048], expected[200];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  steps:\n    - {name: a, type: test_echo, value: %s}\n"
                 "    - name: s\n      type: switch\n      expression: steps.a\n      cases:\n"
                 "        %s: [{name: e, type: test_echo, value: 1}]\n"
                 "        %s: [{name: e, type: test_echo, value: 1}]\n",
                 t[i].value, t[i].first, t[i].second);
        rig_start(&g, yaml);
        rig_assert_status(&g, RUN_SUCCEEDED);
        bool none = strcmp(t[i].expected, "null") == 0;
        snprintf(expected, sizeof expected, "\"s\":{\"case\":%s,\"results\":%s}", t[i].expected,
                 none ? "{}" : "{\"e\":1}");
        if (!strstr(rig_results(&g), expected))
            fail_msg("%s: %s is not in %s", t[i].value, expected, rig_results(&g));
        rig_done(&g);
    }
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - {name: a, type: test_echo, value: 1}\n");
}

#define SWITCH(expression)                                                                \
    "workflow:\n  name: w\n  variables: {to: one}\n  steps:\n"                            \
    "    - {name: a, type: test_echo, value: {k: one}}\n"                                 \
    "    - name: s\n      type: switch\n      expression: " expression "\n      cases:\n" \
    "        one:\n"                                                                      \
    "          - {name: move, type: set_variable, variables: {to: two}}\n"                \
    "          - {name: ask, type: claude, prompt: \"{{ steps.a.k }}\"}\n"                \
    "        two: [{name: e, type: test_echo, value: wrong}]\n"                           \
    "      default: [{name: e, type: test_echo, value: \"{{ steps.a.k }}\"}]\n"           \
    "    - {name: z, type: test_echo, value: \"{{ steps.s.case }}\"}\n"

static void test_default(void **state)
{
    (void)state;
    rig_start(&g, SWITCH("\"{{ steps.a.k }}s\""));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(
        strstr(rig_results(&g), "\"s\":{\"case\":\"default\",\"results\":{\"e\":\"one\"}},\"z\":\"default\""));
}

static void test_default_of_null(void **state)
{
    (void)state;
    rig_start(&g, SWITCH("\"{{ steps.a.none || null }}\""));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"z\":\"default\""));
}

static void test_no_choice(void **state)
{
    (void)state;
    rig_start(&g, SWITCH("steps.a"));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "is object; expected text, a number or a boolean"));
}

/* The case itself changes what the expression reads. A resumed run stays where it was, from any record on. */
static void test_choice_stands(void **state)
{
    (void)state;
    for (size_t keep = 0;; keep++) {
        rig_start(&g, SWITCH("state.to"));
        assert_non_null(rig_effect(&g, "s/case:1/ask/turn:1"));
        size_t all = g.nrecords;
        rig_restart(&g, keep, false);
        rig_ok(&g, "s/case:1/ask/turn:1", "{\"text\": \"x\"}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"case\":\"one\""));
        if (keep >= all)
            break;
        rig_done(&g);
    }
}

static void test_failure_names_the_case(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: s\n      type: switch\n      expression: \"'n'\"\n      cases:\n"
                  "        y: [{name: e, type: test_echo}]\n"
                  "      default: [{name: e, type: test_echo, fail: true, error_message: boom}]\n");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "case `default`: boom"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_choice, done),
        cmocka_unit_test_teardown(test_default, done),
        cmocka_unit_test_teardown(test_default_of_null, done),
        cmocka_unit_test_teardown(test_no_choice, done),
        cmocka_unit_test_teardown(test_choice_stands, done),
        cmocka_unit_test_teardown(test_failure_names_the_case, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
