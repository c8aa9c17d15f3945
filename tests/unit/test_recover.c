/* Journals that no engine wrote, or that are very long: what a new life makes of them. */
#include "unit/bench.h"

#include <time.h>

#define RUN "1 1 . {}\n"
#define FORGED                                                                                                     \
    WORKFLOW(                                                                                                      \
        "    - {name: c, type: command, run: x}\n"                                                                 \
        "    - {name: each, type: for_loop, data_source: [1, 2], steps: [{name: e, type: test_echo, value: 1}]}\n" \
        "    - {name: ask, type: claude, prompt: hello, allowed_tools: [Read, Write]}\n"                           \
        "    - {name: w, type: while_loop, condition: \"steps.e < 1\", steps: [{name: e, type: test_echo, value: " \
        "1}]}\n")

/* Each is refused, or the run fails, waits, or goes on; it never takes Treadle down. */
static void test_forged_journals(void **state)
{
    (void)state;
    static const struct {
        const char *journal;
        bool refused;
    } t[] = {
        {RUN "4 1 c/exec:1 {\"ok\": null}\n", false},
        {RUN "4 1 c/exec:1 {}\n", false},
        {RUN "4 1 c/exec:1 {\"ok\": {\"exit_code\": \"0\"}}\n", false},
        {RUN "4 1 c/exec:1 {\"error\": 7}\n", false},
        {RUN "4 1 c {\"error\": {}, \"retry_ms\": 9223372036854775807}\n", false},
        {RUN "4 1 c/exec:1 {\"error\": {}, \"retry_ms\": 9223372036854775807}\n", false},
        {RUN "2 1 c {\"config\": []}\n", false},
        {RUN "2 1 c {\"config\": {\"run\": [1]}}\n", false},
        {RUN "5 1 c {}\n", false},
        {RUN "5 1 . {\"ok\": {\"c\": 1}}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n2 1 each {\"config\": 1}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n2 1 each {\"config\": {\"items\": [1], \"max_parallel\": 0}}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n2 1 each {\"config\": {\"items\": [1], \"max_parallel\": -5}}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each/0 {\"error\": 1}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each/0 {\"ok\": []}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each {\"ok\": 1}\n4 1 ask/turn:1 {\"ok\": {\"tool_calls\": {}, \"usage\": []}}\n",
         false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each {\"ok\": 1}\n"
             "4 1 ask/turn:1 {\"ok\": {\"tool_calls\": [7, {\"name\": 1}, {\"name\": \"Write\"}]}}\n",
         false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each {\"ok\": 1}\n2 1 ask {\"config\": {\"prompt\": [1, {}]}}\n", false},
        {RUN "5 1 c {\"ok\": 1}\n5 1 each {\"ok\": 1}\n2 1 ask {\"config\": {\"prompt\": {}, \"model\": []}}\n", false},
        {RUN "6 1 c {\"set\": 1}\n6 1 c {\"scope\": \"c/x\", \"set\": {\"a\": 1}}\n", false},
        {RUN "7 1 . {\"void\": [1, \"c\"]}\n8 1 c {\"held\": 1}\n9 1 . {\"status\": 1}\n77 1 c {}\n", false},
        {RUN "2 1073741823 c {\"config\": {\"run\": \"x\"}}\n3 1073741823 c/exec:1 {}\n", false},
        {RUN "2 1 c~1073741823 {}\n2 1 c~0 {}\n2 1 c~~/~/ {}\n2 1 // {}\n", false},
        {RUN "2 0 c {}\n", true},
        {RUN "2 4294967295 c {}\n", true},
        {RUN "2 1 c {\n", true},
        {RUN "1 1 . []\n1 1 . 7\n", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        bool taken = rig_forge(&g, FORGED, t[i].journal);
        if (taken == t[i].refused)
            fail_msg("journal %zu was %s", i, taken ? "taken" : "refused");
        for (unsigned n = 0; taken && run_status(g.run) == RUN_RUNNING && n < 50; n++) {
            if (g.effects) {
                const char *path = arena_cstr(&g.arena, g.effects->e.path);
                rig_ok(&g, path, "{\"exit_code\": 0, \"text\": \"x\", \"outcome\": \"done\"}");
            }
            rig_pass(&g, 1000);
        }
        g.twice = 0;
        if (i + 1 < sizeof t / sizeof *t)
            rig_done(&g);
    }
}

static void test_forged_path_depth(void **state)
{
    (void)state;
    char path[5000];
    struct err err;
    memset(path, '/', sizeof path);
    assert_true(rig_forge(&g, FORGED, RUN));
    run_free(g.run);
    g.run = run_new(g.workflow, &g.options, &rig_io, &g);
    struct record r = {
        .seq = 1, .kind = RECORD_OPEN, .attempt = 1, .path = str_n(path, sizeof path), .data = STR("{}")};
    assert_int_equal(run_recover(g.run, &r, &err), RC_CORRUPT);
}

static void test_absurd_usage(void **state)
{
    (void)state;
    rig_start(&g,
              WORKFLOW("    - {name: a, type: claude, prompt: hello}\n    - {name: b, type: claude, prompt: hello}\n"));
    for (int i = 0; i < 2; i++)
        rig_ok(&g, i ? "b/turn:1" : "a/turn:1",
               "{\"text\": \"x\", \"usage\": {\"input_tokens\": 9223372036854775807, \"output_tokens\": -5}}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(run_totals(g.run).input_tokens, 0);
    rig_restart(&g, ALL, false);
    assert_int_equal(run_totals(g.run).output_tokens, 0);
}

/* Many steps that changed, many records: what a record falls under is looked up, not searched. */
static void test_many_voids(void **state)
{
    (void)state;
    enum { STEPS = 100000 };
    char path[32];
    struct err err;
    assert_true(rig_forge(&g, FORGED, RUN));
    run_free(g.run);
    g.run = run_new(g.workflow, &g.options, &rig_io, &g);
    for (int i = 0; i < STEPS; i++) {
        snprintf(path, sizeof path, "s%d", i);
        run_void(g.run, str_c(path), UINT64_MAX, false);
    }
    int64_t start = clock();
    for (int i = 0; i < STEPS; i++) {
        snprintf(path, sizeof path, "s%d/turn:1", i);
        struct record r = {.seq = (uint64_t)i + 1,
                           .kind = RECORD_RESULT,
                           .attempt = 1,
                           .path = str_c(path),
                           .data = STR("{\"ok\":1}")};
        assert_int_equal(run_recover(g.run, &r, &err), RC_OK);
    }
    assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_forged_journals, done),
        cmocka_unit_test_teardown(test_forged_path_depth, done),
        cmocka_unit_test_teardown(test_absurd_usage, done),
        cmocka_unit_test_teardown(test_many_voids, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
