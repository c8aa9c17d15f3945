/* Older forms of workflow files become modern ones in place: comments and layout stay, meaning stays, and what cannot
 * be rewritten safely is refused rather than guessed. */
#include "flow/migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena a;

static int done(void **state)
{
    (void)state;
    arena_done(&a);
    return 0;
}

#define HEAD "workflow:\n  name: w\n"

static const struct {
    const char *old, *modern; /* modern NULL: nothing changes */
} cases[] = {
    {HEAD "  steps:\n    - {name: a, type: test_echo, value: 1} # stays\n", NULL},
    {"# top\npipeline: # here\n  name: w\n  steps: [{name: a, type: test_echo}]\n",
     "# top\nworkflow: # here\n  name: w\n  steps: [{name: a, type: test_echo}]\n"},
    {"# top\nname: w\n\nsteps:\n- name: a\n  type: test_echo\n  value: |\n    one\n\n      two\n",
     "# top\nworkflow:\n  name: w\n\n  steps:\n  - name: a\n    type: test_echo\n    value: |\n      one\n\n        "
     "two\n"},
    {"{\"name\": \"w\", \"steps\": [{\"id\": \"a\", \"type\": \"test_echo\"}]}\n",
     "{\"workflow\": {\"name\": \"w\", \"steps\": [{\"name\": \"a\", \"type\": \"test_echo\"}]}}\n"},
    {"workflow:\n  name: w\n# between\nsteps:\n  - id: a\n    type: test_echo\nx-note: end\n",
     "workflow:\n  name: w\n# between\n  steps:\n    - name: a\n      type: test_echo\nx-note: end\n"},
    {HEAD "  steps:\n    - name: a\n      type: set_variable\n      variable: x # why\n      value: 1\n",
     HEAD "  steps:\n    - name: a\n      type: set_variable\n      variables: # why\n        x: 1\n"},
    {HEAD "  steps:\n    - name: a\n      type: set_variable\n      value:\n      - 1\n      - |\n        text\n"
          "      variable: x\n      scope: local\n",
     HEAD "  steps:\n    - name: a\n      type: set_variable\n      variables:\n        x:\n        - 1\n        - |\n"
          "          text\n      scope: local\n"},
    {HEAD "  steps: [{name: a, type: set_variable, variable: x, value: {k: [1, \"}\"]}}]\n",
     HEAD "  steps: [{name: a, type: set_variable, variables: {x: {k: [1, \"}\"]}}}]\n"},
    {HEAD "  steps:\n    - name: a\n      type: command\n      run: ls\n      timeout_seconds: 5\n"
          "      max_retries: 2  # twice\n      continue_on_error: true\n",
     HEAD "  steps:\n    - name: a\n      type: command\n      run: ls\n      timeout: 5\n"
          "      retry: {max_attempts: 3}  # twice\n      on_error: continue\n"},
    {HEAD "  steps:\n    - {name: a, type: bash, command: ls, timeout_ms: 1500, retry_config: {max_retries: 1, "
          "base_delay_ms: 20}}\n",
     HEAD "  steps:\n    - {name: a, type: bash, run: ls, timeout: 1500ms, retry: {max_attempts: 2, delay: 20ms}}\n"},
    {HEAD "  steps:\n    - name: l\n      type: for_loop\n      over: [1]\n      as: x\n      steps:\n"
          "        - id: in\n          type: test_echo\n          error_handler:\n"
          "            - {id: h, type: test_echo}\n",
     HEAD "  steps:\n    - name: l\n      type: for_loop\n      data_source: [1]\n      iterator: x\n      steps:\n"
          "        - name: in\n          type: test_echo\n          on_error:\n"
          "            - {name: h, type: test_echo}\n"},
    {HEAD "  input:\n    topic: cats # default\n    n: [1, 2]\n  global_vars: {v: 1}\n  max_execution_time: 60\n"
          "  steps:\n    - {name: a, type: test_echo, value: \"{{topic}} {{ n[0] }} {{ v }}\"}\n",
     HEAD "  inputs:\n    topic: {default: cats} # default\n    n: {default: [1, 2]}\n  variables: {v: 1}\n"
          "  limits: {wall: 60}\n"
          "  steps:\n    - {name: a, type: test_echo, value: \"{{inputs.topic}} {{ inputs.n[0] }} {{ v }}\"}\n"},
    {HEAD "  inputs: {x: string}\n  steps:\n    - {name: a, type: test_echo, value: \"{{ x }}\"}\n"
          "    - {name: l, type: for_loop, iterator: x, data_source: [1], steps: [{name: b, type: test_echo, value: "
          "\"{{ x }}\"}]}\n",
     NULL}, /* `x` is an iterator, too */
    {HEAD "  steps:\n    - {name: a, type: test_echo, value: \"{{ BUILD_MODE || 1 }} {{ BUILD_MODE }}\"}\n",
     "workflow:\n  env: [BUILD_MODE]\n  name: w\n"
     "  steps:\n    - {name: a, type: test_echo, value: \"{{ BUILD_MODE || 1 }} {{ BUILD_MODE }}\"}\n"},
    {"name: w\ninput: {x: 1}\nsteps:\n- {name: a, type: test_echo, value: \"{{ BUILD_MODE }}\"}",
     "workflow:\n  env: [BUILD_MODE]\n  name: w\n  inputs: {x: {default: 1}}\n  steps:\n"
     "  - {name: a, type: test_echo, value: \"{{ BUILD_MODE }}\"}"},
    {HEAD "  x: &s {id: a, type: test_echo}\n  steps: [*s]\n", NULL}, /* refused, below */
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < sizeof cases / sizeof *cases; i++) {
        struct str got, again;
        struct err err;
        size_t n = 0, more = 0;
        if (migrate_text(&a, str_c(cases[i].old), "f.yaml", &got, &n, &err) != RC_OK)
            fail_msg("case %zu: %s", i, err.msg);
        const char *want = cases[i].modern ? cases[i].modern : cases[i].old;
        if (!str_is(got, want) || (n != 0) != (cases[i].modern != NULL))
            fail_msg("case %zu (%zu changes):\n%.*s\nexpected:\n%s", i, n, STR_ARG(got), want);
        assert_int_equal(migrate_text(&a, got, "f.yaml", &again, &more, &err), RC_OK);
        assert_true(str_eq(got, again) && more == 0);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HEAD "  x: &s {id: a, type: test_echo}\n  steps: [*s]\n", /* the anchor's other use would change, too */
        "just text",
        "[1, 2]",
        "{}",
        "a: [",
        HEAD "  steps:\n    - type: set_variable\n      ? variable\n      : x\n      value: 1\n      name: a\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct str got;
        struct err err;
        size_t n;
        if (migrate_text(&a, str_c(texts[i]), "f.yaml", &got, &n, &err) == RC_OK)
            fail_msg("%s\nbecomes\n%.*s", texts[i], STR_ARG(got));
        assert_non_null(strstr(err.msg, "f.yaml"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, done);
}
