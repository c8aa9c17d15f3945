/* Bounds of memory: of what many arenas come to, of a run, of a workflow that is called. */
#include "unit/rig.h"

#include "unit/rig.c"

#define REPLY "{\"text\": \"%s\", \"raw\": \"%s\", \"stop_reason\": \"end_turn\"}"
enum { BIG = 700000, ALL = 1 << 20 };

static struct rig g;

static int done(void **state)
{
    (void)state;
    rig_done(&g);
    return 0;
}

/* Chunks count where they were made until they are freed, and in every account above. */
static void test_accounts(void **state)
{
    (void)state;
    struct account *all = account_new(NULL), *part = account_new(all);
    struct arena a = {0}, b = {0}, c = {0};
    assert_null(account_charge(part));
    arena_alloc(&a, 10000);
    assert_ptr_equal(account_charge(all), part);
    arena_alloc(&b, 20000);
    assert_ptr_equal(account_charge(NULL), all);
    arena_alloc(&c, 40000);
    assert_true(part->bytes >= 10000 && part->bytes < 12000);
    assert_true(all->bytes >= 30000 && all->bytes < 34000);
    account_close(part);
    arena_done(&a); /* its account has been closed, and goes with it */
    assert_true(all->bytes >= 20000 && all->bytes < 22000);
    arena_done(&b);
    arena_done(&c);
    assert_int_equal(all->bytes, 0);
    account_close(all);
}

static void reply_big(const char *path)
{
    static char text[BIG + 1], json[2 * BIG + 100];
    memset(text, 'x', BIG);
    snprintf(json, sizeof json, REPLY, text, text);
    rig_ok(&g, path, json);
}

#define STEPS(indent)                                                                                          \
    indent "- {name: a, type: claude, prompt: one}\n" indent "- {name: b, type: claude, prompt: two}\n" indent \
           "- {name: c, type: test_echo, value: 1}\n"

static void test_memory_of_a_run(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  limits: {memory: 8MB}\n  steps:\n" STEPS("    "));
    reply_big("a/turn:1");
    reply_big("b/turn:1");
    rig_assert_status(&g, RUN_SUCCEEDED); /* results of less than a megabyte each */
    rig_done(&g);
    rig_start(&g, "workflow:\n  name: w\n  limits: {memory: 1MB}\n  steps:\n" STEPS("    "));
    reply_big("a/turn:1");
    reply_big("b/turn:1");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"limit\""));
    assert_non_null(strstr(rig_run_error(&g), "\"code\":\"memory\""));
    assert_non_null(strstr(rig_run_error(&g), "limits.memory"));
    rig_restart(&g, ALL, false); /* what it read back takes as much */
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "limits.memory"));
    rig_restart_with(&g, "workflow:\n  name: w\n  limits: {memory: 8MB}\n  steps:\n" STEPS("    "), NULL);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* What has ended and is not needed again does not count. */
static void test_memory_is_given_back(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  limits: {memory: 6MB}\n  steps:\n"
                  "    - name: l\n      type: while_loop\n      condition: 'true'\n      max_iterations: 30\n"
                  "      steps:\n        - {name: a, type: claude, prompt: one}\n");
    for (int i = 0; i < 30; i++) {
        char path[50];
        snprintf(path, sizeof path, "l/%d/a/turn:1", i);
        reply_big(path);
    }
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_memory_of_a_called_workflow(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n"
                  "    - name: call\n      type: pipeline\n      on_error: continue\n"
                  "      config: {memory_limit_mb: 1}\n      pipeline:\n        name: sub\n        steps:\n" STEPS(
                      "          ") "    - {name: after, type: test_echo, value: \"{{ steps.call.error.code }}\"}\n");
    reply_big("call/a/turn:1");
    reply_big("call/b/turn:1");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"after\":\"memory_limit_exceeded\""));
    assert_non_null(strstr(rig_results(&g), "workflow `sub` takes more than 1 MB of memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accounts),
        cmocka_unit_test_teardown(test_memory_of_a_run, done),
        cmocka_unit_test_teardown(test_memory_is_given_back, done),
        cmocka_unit_test_teardown(test_memory_of_a_called_workflow, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
