/* One effect and the life of whoever carries it out: what its intent says of it, and whom a later life of the engine
 * believes. */
#include "unit/bench.h"

#define NEVER   "{\"class\": \"" EFFECT_NEVER "\"}"
#define UNKNOWN "{\"class\": \"" EFFECT_UNKNOWN "\"}"
#define REPLY   "{\"text\": \"yes\", \"tool_calls\": [], \"stop_reason\": \"end_turn\"}"

static const char command[] =
    "workflow:\n  name: w\n  steps:\n    - {name: c, type: command, run: x, on_interrupt: POLICY}\n";

static void begin(const char *policy)
{
    char yaml[200];
    const char *at = strstr(command, "POLICY");
    snprintf(yaml, sizeof yaml, "%.*s%s%s", (int)(at - command), command, policy, at + 6);
    rig_start(&g, yaml);
    g.keeps = true;
}

static void restart(bool force)
{
    rig_restart(&g, g.nrecords, force);
}

static void has_life(const char *expected)
{
    struct rig_effect *e = rig_effect(&g, "c/exec:1");
    assert_non_null(e);
    assert_string_equal(e->e.life.p, expected);
}

/* The process that the intent names lives on and never saw the effect: it is done now, whatever the policy says. */
static void test_never_begun_is_begun(void **state)
{
    (void)state;
    static const char *const policies[] = {"hold", "fail", "retry"};
    for (size_t i = 0; i < 3; i++) {
        begin(policies[i]);
        has_life("");
        g.life = "one";
        rig_error(&g, "c/exec:1", NEVER); /* nobody had begun it either */
        has_life("one");
        assert_non_null(strstr(rig_data(&g, RECORD_INTENT, "c/exec:1"), "\"life\":\"one\""));
        restart(false);
        assert_true(rig_effect(&g, "c/exec:1")->e.adopt);
        has_life("one");
        rig_error(&g, "c/exec:1", NEVER);
        assert_false(rig_effect(&g, "c/exec:1")->e.adopt);
        assert_int_equal(rig_effect(&g, "c/exec:1")->e.attempt, 3);
        rig_ok(&g, "c/exec:1", "{\"exit_code\": 0}");
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (i < 2)
            rig_done(&g);
    }
}

/* An intent of a process that dies with the engine names none, and one that ends the run's life in order makes it
 * forgotten: then nobody is believed. */
static void test_who_is_not_believed(void **state)
{
    (void)state;
    begin("hold");
    restart(false);
    has_life("");
    rig_error(&g, "c/exec:1", UNKNOWN);
    rig_assert_status(&g, RUN_WAITING);
    rig_done(&g);

    begin("hold");
    g.life = "one";
    rig_error(&g, "c/exec:1", NEVER);
    rig_error(&g, "c/exec:1", "{\"class\": \"interrupted\"}"); /* its launcher was killed */
    rig_assert_status(&g, RUN_WAITING);
    restart(false); /* END has made everybody forget it */
    has_life("");
    rig_error(&g, "c/exec:1", UNKNOWN);
    rig_assert_status(&g, RUN_WAITING);
}

/* What the run was told and has not recorded must be told again: it says so. */
static void test_outcomes_that_must_be_kept(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct err err;
    static const struct {
        const char *policy, *outcome;
        bool ok, recorded;
    } t[] = {{"hold", "{\"exit_code\": 0}", true, true},
             {"hold", "{\"class\": \"io\"}", false, true},
             {"fail", "{\"class\": \"interrupted\"}", false, false}, /* it is settled first */
             {"hold", "{\"class\": \"interrupted\"}", false, false}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        begin(t[i].policy);
        struct rig_effect *e = g.effects;
        g.effects = e->next;
        assert_int_equal(json_parse(&a, str_c(t[i].outcome), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
        assert_int_equal(run_effect_done(g.run, e->e.id, t[i].ok, &v), t[i].recorded);
        rig_work(&g);
        if (i < sizeof t / sizeof *t - 1)
            rig_done(&g);
    }
    arena_done(&a);
}

/* While nobody is there no intent is written, for it could not say who. */
static void test_nobody_is_there(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - {name: m, type: claude, prompt: a}\n"
                  "    - {name: n, type: claude, prompt: a}\n");
    g.nobody = true;
    rig_ok(&g, "m/turn:1", REPLY);
    assert_true(rig_effect(&g, "n/turn:1")->e.reach);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "n/turn:1"), 0);
    restart(false);
    assert_true(rig_effect(&g, "n/turn:1")->e.reach);
    rig_ok(&g, "n/turn:1", "null"); /* and has gone again */
    assert_true(rig_effect(&g, "n/turn:1")->e.reach);
    g.nobody = false;
    g.life = "two";
    rig_ok(&g, "n/turn:1", "null");
    assert_false(rig_effect(&g, "n/turn:1")->e.reach);
    assert_non_null(strstr(rig_data(&g, RECORD_INTENT, "n/turn:1"), "\"life\":\"two\""));
    rig_ok(&g, "n/turn:1", REPLY);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_cancelled_while_nobody_is_there(void **state)
{
    (void)state;
    rig_start(&g, "workflow:\n  name: w\n  steps:\n    - {name: m, type: claude, prompt: a}\n"
                  "    - {name: n, type: claude, prompt: a}\n");
    g.nobody = true;
    rig_ok(&g, "m/turn:1", REPLY);
    run_cancel(g.run);
    rig_work(&g);
    rig_stop(&g);
    rig_assert_status(&g, RUN_CANCELLED);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "n/turn:1"), 0);
}

/* Somebody has said that it is to be done again: what others changed since stays, and only that. */
static void test_forced_settling_says_so(void **state)
{
    (void)state;
    begin("hold");
    for (int forced = 0; forced < 2; forced++) {
        restart(forced);
        struct rig_effect *e = rig_effect(&g, "c/exec:1");
        g.effects = e->next;
        struct member class = {.key = STR("class"), .val = VAL_LIT(EFFECT_UNKNOWN)};
        struct val v = {.type = VAL_OBJECT, .obj = {.m = &class, .n = 1}};
        run_effect_done(g.run, e->e.id, false, &v);
        const struct val *request = rig_effect(&g, "c/exec:1")->e.request;
        assert_string_equal(val_get_str(request, STR("phase"), STR("")).p, "settle");
        assert_int_equal(val_get_bool(request, STR("force"), false), forced);
        rig_work(&g);
    }
    assert_null(VAL_GET(rig_effect(&g, "c/exec:1")->e.request, "force"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_never_begun_is_begun, done),
        cmocka_unit_test_teardown(test_who_is_not_believed, done),
        cmocka_unit_test_teardown(test_outcomes_that_must_be_kept, done),
        cmocka_unit_test_teardown(test_nobody_is_there, done),
        cmocka_unit_test_teardown(test_cancelled_while_nobody_is_there, done),
        cmocka_unit_test_teardown(test_forced_settling_says_so, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
