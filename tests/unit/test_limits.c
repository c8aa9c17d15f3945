/* Bounds of a run and of workflows that it calls: memory (and what many arenas come to), frames, time, journal, output;
 * in the first life and in the next. */
#include "unit/bench.h"

#include "flow/limits.h"
#include "flow/run_int.h"

#define REPLY "{\"text\": \"%s\", \"raw\": \"%s\", \"stop_reason\": \"end_turn\"}"
enum { BIG = 700000 };

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

/* Variables stay in memory as long as they have a value; results do not (flow/away.h). */
#define STEPS(indent)                                                                  \
    indent "- {name: a, type: claude, prompt: one}\n" indent                           \
           "- {name: va, type: set_variable, variables: {a: '{{ a.text }}'}}\n" indent \
           "- {name: b, type: claude, prompt: two}\n" indent                           \
           "- {name: vb, type: set_variable, variables: {b: '{{ b.text }}'}}\n" indent \
           "- {name: c, type: test_echo, value: 1}\n"

static void test_memory_of_a_run(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  limits: {memory: 8MB}\n  steps:\n" STEPS("    "));
    reply_big("a/turn:1");
    reply_big("b/turn:1");
    rig_assert_status(&g, RUN_SUCCEEDED); /* values of less than a megabyte each */
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

/* Results leave memory when their steps have ended; also in a resumed run. */
static void test_memory_of_many_results(void **state)
{
    (void)state;
    enum { STEPS_IN_ALL = 12 };
    struct arena a = {0};
    struct str yaml = STR("workflow:\n  name: w\n  limits: {memory: 6MB}\n  steps:\n");
    for (int i = 0; i < STEPS_IN_ALL; i++)
        yaml = arena_printf(&a, "%.*s    - {name: s%d, type: claude, prompt: hello}\n", STR_ARG(yaml), i);
    yaml = arena_printf(&a, "%.*s    - {name: fail, type: test_echo, fail: true}\n", STR_ARG(yaml));
    rig_start(&g, yaml.p);
    for (int i = 0; i < STEPS_IN_ALL; i++)
        reply_big(arena_printf(&a, "s%d/turn:1", i).p);
    rig_assert_status(&g, RUN_FAILED);
    assert_null(strstr(rig_run_error(&g), "memory"));
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_FAILED);
    assert_null(strstr(rig_run_error(&g), "memory"));
    arena_done(&a);
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

#define LIMITED(limit, steps) "workflow:\n  name: w\n  limits: {" limit "}\n  steps:\n" steps

static void assert_over(const char *limit)
{
    char code[40];
    snprintf(code, sizeof code, "\"code\":\"%s\"", limit);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"limit\""));
    assert_non_null(strstr(rig_run_error(&g), code));
    snprintf(code, sizeof code, "limits.%s of the workflow; raise it", limit);
    assert_non_null(strstr(rig_run_error(&g), code));
}

/* The outcome after the whole journal, and after any part of it, is the same. */
static void assert_over_again(const char *limit)
{
    size_t all = g.nrecords;
    rig_restart(&g, ALL, false);
    assert_over(limit);
    for (size_t keep = all; keep-- > 1;) {
        rig_restart(&g, keep, false);
        assert_over(limit);
    }
}

#define COUNTING                                                                                   \
    "    - name: l\n      type: while_loop\n      condition: 'true'\n      max_iterations: 1000\n" \
    "      steps: [{name: e, type: test_echo, value: \"{{ loop.index }}\"}]\n"

static void test_frames(void **state)
{
    (void)state;
    rig_start(&g, LIMITED("frames: 100", COUNTING));
    assert_over("frames");
    assert_true(rig_count(&g, RECORD_DONE, "l/40/e") == 1 && rig_count(&g, RECORD_DONE, "l/60/e") == 0);
    assert_over_again("frames");
}

static void test_journal(void **state)
{
    (void)state;
    rig_start(&g, LIMITED("journal: 10KB", COUNTING));
    assert_over("journal");
    int64_t bytes = 0;
    for (const struct rig_record *r = g.records; r; r = r->next)
        bytes += (int64_t)(r->r.path.n + r->r.data.n);
    assert_in_range(bytes, 10 << 10, 12 << 10);
    assert_over_again("journal");
}

/* Within one step, too: an agent's turns are as many records. */
static void test_journal_within_a_step(void **state)
{
    (void)state;
    rig_start(&g, LIMITED("journal: 20KB",
                          "    - {name: a, type: claude, prompt: go, allowed_tools: [Glob], max_turns: 100}\n"));
    for (int i = 1; i < 100 && run_status(g.run) == RUN_RUNNING; i++) {
        char path[60], reply[3000];
        int n = snprintf(reply, sizeof reply,
                         "{\"text\": \"%01000d\", \"stop_reason\": \"tool_use\", \"tool_calls\": "
                         "[{\"id\": \"t\", \"name\": \"Glob\", \"input\": {\"pattern\": \"*\"}}]}",
                         i);
        assert_true(n < (int)sizeof reply);
        snprintf(path, sizeof path, "a/turn:%d", i);
        rig_ok(&g, path, reply);
        if (run_status(g.run) != RUN_RUNNING)
            break;
        snprintf(path, sizeof path, "a/turn:%d/tool:1", i);
        rig_ok(&g, path, "{\"text\": \"none\", \"is_error\": false}");
        assert_true(i < 30);
    }
    assert_over("journal");
}

#define COMMAND "{name: c, type: command, run: x, output_limit: 1KB}"
#define PRINTED(out, bytes)                                     \
    "{\"exit_code\": 0, \"signal\": null, \"stdout\": \"" out   \
    "\", \"stderr\": \"\", \"duration_ms\": 1, \"timed_out\": " \
    "false, \"truncated\": true, \"output_bytes\": " bytes "}"

static void test_output(void **state)
{
    (void)state;
    rig_start(
        &g, LIMITED("output: 1000", "    - {name: l, type: for_loop, data_source: [1, 2, 3], steps: [" COMMAND "]}\n"));
    assert_int_equal(val_get_int(rig_effect(&g, "l/0/c/exec:1")->e.request, STR("output_left"), 0), 1000);
    rig_ok(&g, "l/0/c/exec:1", PRINTED("12345", "600"));
    assert_int_equal(val_get_int(rig_effect(&g, "l/1/c/exec:1")->e.request, STR("output_left"), 0), 400);
    rig_restart(&g, ALL, true); /* what was printed in an earlier life counts */
    assert_int_equal(val_get_int(rig_effect(&g, "l/1/c/exec:1")->e.request, STR("output_left"), 0), 400);
    rig_ok(&g, "l/1/c/exec:1",
           "{\"exit_code\": 0, \"signal\": null, \"stdout\": \"0123456789\", \"stderr\": \"01234\", "
           "\"duration_ms\": 1, \"timed_out\": false, \"truncated\": false}");
    assert_int_equal(val_get_int(rig_effect(&g, "l/2/c/exec:1")->e.request, STR("output_left"), 0), 385);
    rig_error(&g, "l/2/c/exec:1", "{\"class\": \"cancelled\", \"message\": \"cancelled\", \"output_bytes\": 90000}");
    assert_over("output");
    assert_non_null(strstr(rig_run_error(&g), "more than 1000 bytes of output"));
    rig_restart(&g, ALL, false);
    assert_over("output");
    rig_restart_with(
        &g, LIMITED("output: 1MB", "    - {name: l, type: for_loop, data_source: [1, 2, 3], steps: [" COMMAND "]}\n"),
        NULL); /* it is run again, for what it did was known to be undone */
    rig_ok(&g, "l/2/c/exec:1", PRINTED("x", "2000"));
    rig_assert_status(&g, RUN_SUCCEEDED);
}

#define SLOW "    - {name: a, type: command, run: x, network: none, on_interrupt: retry}\n"

static void test_time_over_lives(void **state)
{
    (void)state;
    rig_start(&g, LIMITED("wall: 10s", SLOW "    - {name: b, type: sleep, for: 10d}\n"));
    rig_pass(&g, 4000);
    rig_ok(&g, "a/exec:1", PRINTED("", "1"));
    rig_assert_status(&g, RUN_RUNNING);
    for (int i = 0; i < 3; i++) { /* what lies between two lives counts in none */
        g.now += 1000000;
        rig_restart(&g, ALL, false);
    }
    rig_pass(&g, 5900);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 200);
    assert_over("wall");
    assert_non_null(strstr(rig_run_error(&g), "longer than 10 s"));
    rig_restart(&g, ALL, false);
    rig_pass(&g, 0);
    assert_over("wall");
}

/* Nobody's work: the time in which a person thinks. */
static void test_time_of_waiting_does_not_count(void **state)
{
    (void)state;
    rig_start(&g, LIMITED("wall: 10s", "    - {name: ok, type: approval, message: go?}\n" SLOW));
    rig_assert_status(&g, RUN_WAITING);
    g.now += 1000000;
    g.options.stay = STAY_FOR_ANSWERS;
    rig_restart(&g, ALL, false);
    rig_pass(&g, 2000000);
    rig_assert_status(&g, RUN_RUNNING);
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    struct err err;
    VAL_MAP_SET(&m, "choice", VAL_LIT("approve"));
    struct val yes = val_map_done(&m);
    assert_int_equal(run_answer(g.run, STR("ok/wait:1"), &yes, &err), RC_OK);
    arena_done(&a);
    rig_work(&g);
    rig_pass(&g, 9900);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 200);
    rig_stop(&g);
    assert_over("wall");
}

/* Nor that in which other runs write and this one has nothing else to do, in this life and for the next. */
static void test_time_behind_other_runs_does_not_count(void **state)
{
    (void)state;
    rig_others_write = true;
    rig_start(&g, LIMITED("wall: 10s", SLOW "    - {name: b, type: sleep, for: 10d}\n"));
    rig_others_write = g.others_write = false;
    assert_true(g.turn_waits);
    rig_pass(&g, 2000000);
    rig_assert_status(&g, RUN_RUNNING);
    rig_turn(&g);
    rig_pass(&g, 4000);
    rig_ok(&g, "a/exec:1", PRINTED("", "1"));
    rig_pass(&g, 1000);
    rig_assert_status(&g, RUN_RUNNING);
    rig_restart(&g, ALL, false);
    rig_pass(&g, 4000);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 3000);
    assert_over("wall");
}

/* But work beside it does. */
static void test_time_of_work_beside_other_runs_counts(void **state)
{
    (void)state;
    rig_others_write = true;
    rig_start(&g, LIMITED("wall: 10s", "    - name: p\n      type: parallel\n      branches:\n"
                                       "        one: [{name: x, type: command, run: make}]\n"
                                       "        two: [{name: say, type: claude, prompt: hello}]\n"));
    rig_others_write = false;
    assert_true(g.turn_waits);
    rig_pass(&g, 9900);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 200);
    rig_stop(&g);
    assert_over("wall");
}

/* The lower of two limits counts, and whose it is is said. */
static void test_limits_of_who_carries_it_on(void **state)
{
    struct err err;
    (void)state;
    rig_limits = (struct run_limits){0};
    assert_int_equal(limits_parse(&rig_limits, STR("frames=50"), &err), RC_OK);
    rig_start(&g, LIMITED("frames: 100", COUNTING));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(
        strstr(rig_run_error(&g), "more than 50 frames (the service's limit; `treadle serve --limit frames="));
    rig_done(&g);
    rig_limits.frames = 1000;
    rig_start(&g, LIMITED("frames: 100", COUNTING));
    assert_over("frames");
    rig_limits = (struct run_limits){0};
}

static void test_limits_as_text(void **state)
{
    (void)state;
    struct run_limits l = {0}, again = {0};
    struct arena a = {0};
    struct err err;
    static const char *const good[] = {"memory=512MB", "frames=1000", "journal=3", "output=2GB", "wall=90"};
    static const char *const bad[] = {"memory",    "memory=", "memory=-1", "frames=1KB", "frames=0",
                                      "wall=soon", "size=1",  "=1",        "",           "max_depth=3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(limits_parse(&l, str_c(good[i]), &err), RC_OK);
    assert_true(l.memory == 512 << 20 && l.frames == 1000 && l.journal == 3 && l.output == (int64_t)2 << 30);
    assert_int_equal(l.wall_ms, 90000);
    assert_int_equal(limits_parse_all(&again, limits_text(&l, &a), &err), RC_OK);
    assert_memory_equal(&l, &again, sizeof l);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(limits_parse(&l, str_c(bad[i]), &err), RC_USAGE);
    assert_int_equal(limits_parse(&l, STR("memory=none"), &err), RC_OK);
    assert_int_equal(l.memory, 0);
    arena_done(&a);
}

/* While a step computes, not only between steps. */
static void test_memory_of_a_called_workflow_that_loops(void **state)
{
    (void)state;
    rig_start(&g,
              "workflow:\n  name: w\n  variables: {x: 0123456789abcdef}\n  steps:\n"
              "    - name: call\n      type: pipeline\n      on_error: continue\n"
              "      config: {memory_limit_mb: 2}\n      pipeline:\n        name: sub\n"
              "        variables: {x: 0123456789abcdef}\n        steps:\n"
              "          - name: l\n            type: while_loop\n            condition: 'true'\n"
              "            max_iterations: 30\n            steps:\n"
              "              - {name: grow, type: set_variable, scope: global, variables: {x: \"{{ x }}{{ x }}\"}}\n"
              "    - {name: after, type: test_echo, value: \"{{ steps.call.error.code }}\"}\n");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"after\":\"memory_limit_exceeded\""));
    assert_non_null(strstr(rig_results(&g), "memory_limit_mb"));
    size_t longest = 0;
    for (const struct rig_record *r = g.records; r; r = r->next)
        longest = r->r.data.n > longest ? r->r.data.n : longest;
    assert_in_range(longest, 1 << 18, 1 << 22);
}

/* Of a parallel loop whose iterations wait: each of its three frames lies in one chunk that it fills. */
static size_t memory_of_waits(int count)
{
    char yaml[400];
    snprintf(yaml, sizeof yaml,
             "workflow:\n  name: w\n  steps:\n    - {name: items, type: for_loop, data_source: 'range(1, %d)', "
             "parallel: true, max_parallel: %d, steps: [{name: got, type: wait_signal, signal: done}]}\n",
             count, count);
    rig_start(&g, yaml);
    rig_assert_status(&g, RUN_WAITING);
    size_t bytes = g.run->own.account->bytes;
    rig_done(&g);
    return bytes;
}

static void test_frames_that_wait_waste_nothing(void **state)
{
    (void)state;
    size_t each = (memory_of_waits(1100) - memory_of_waits(100)) / 1000;
    assert_in_range(each, 1500, 2600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accounts),
        cmocka_unit_test_teardown(test_memory_of_a_run, done),
        cmocka_unit_test_teardown(test_memory_is_given_back, done),
        cmocka_unit_test_teardown(test_memory_of_many_results, done),
        cmocka_unit_test_teardown(test_memory_of_a_called_workflow, done),
        cmocka_unit_test_teardown(test_memory_of_a_called_workflow_that_loops, done),
        cmocka_unit_test_teardown(test_frames, done),
        cmocka_unit_test_teardown(test_journal, done),
        cmocka_unit_test_teardown(test_journal_within_a_step, done),
        cmocka_unit_test_teardown(test_output, done),
        cmocka_unit_test_teardown(test_time_over_lives, done),
        cmocka_unit_test_teardown(test_time_of_waiting_does_not_count, done),
        cmocka_unit_test_teardown(test_time_behind_other_runs_does_not_count, done),
        cmocka_unit_test_teardown(test_time_of_work_beside_other_runs_counts, done),
        cmocka_unit_test_teardown(test_limits_of_who_carries_it_on, done),
        cmocka_unit_test(test_limits_as_text),
        cmocka_unit_test(test_frames_that_wait_waste_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
