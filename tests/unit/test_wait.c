/* Waiting frames: what is recorded, who gets a signal, what a deadline means in the next life. */
#include "unit/bench.h"

#include "flow/wait.h"

static struct val parse(const char *json)
{
    struct val v;
    struct err err;
    if (json_parse(&g.arena, str_c(json), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return v;
}

static enum rc answered(const char *path, const char *json)
{
    struct err err;
    struct val v = parse(json);
    enum rc rc = run_answer(g.run, str_c(path), &v, &err);
    rig_work(&g);
    return rc;
}

static enum rc sent(const char *name, const char *json, const char *id)
{
    struct err err;
    bool known;
    struct val v = parse(json);
    enum rc rc = run_signal(g.run, str_c(name), &v, str_c(id), STR("me"), &known, &err);
    rig_work(&g);
    return rc == RC_OK && known ? RC_EXISTS : rc;
}

/* ---- approvals ---- */

#define ASK(more)                                                                                                  \
    WORKFLOW("    - {name: ask, type: approval, message: 'ok?'" more "}\n    - {name: e, type: test_echo, value: " \
             "1}\n")

static void test_answered_once(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    rig_assert_status(&g, RUN_WAITING);
    assert_non_null(
        strstr(rig_run_error(&g), "\"class\":\"waiting\",\"code\":\"approval\",\"message\":\"ok? (approve, reject)\""));
    g.options.stay = STAY_FOR_APPROVALS;
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_RUNNING);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/wait:1"), 1);
    assert_int_equal(answered("ask", "{\"choice\": \"approve\"}"), RC_NOT_FOUND);
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"yes\"}"), RC_INVALID);
    assert_int_equal(answered("ask/wait:1", "{}"), RC_INVALID);
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"reject\", \"by\": \"ann\", \"data\": [1]}"), RC_OK);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_string_equal(rig_results(&g),
                        "{\"ask\":{\"choice\":\"reject\",\"by\":\"ann\",\"comment\":\"\",\"data\":[1]},\"e\":1}");
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"approve\"}"), RC_BUSY);
}

/* An answer that somebody wrote into the journal of a dead run is found by the next life, and by every one after it. */
static void test_answered_while_dead(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    struct record r = {.kind = RECORD_RESULT,
                       .path = STR("ask/wait:1"),
                       .attempt = 1,
                       .time_ms = g.now,
                       .data = STR("{\"ok\":{\"choice\":\"approve\",\"by\":\"x\",\"comment\":\"\",\"data\":null}}")};
    io_append(&g, &r);
    for (int i = 0; i < 2; i++) {
        rig_restart(&g, ALL, false);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"by\":\"x\""));
    }
}

/* The deadline is a point in time: neither a crash nor a resume moves it. */
static void test_deadline(void **state)
{
    (void)state;
    rig_start(&g, ASK(", timeout: 24h, on_timeout: reject"));
    rig_assert_status(&g, RUN_WAITING);
    g.now += 20 * 3600 * (int64_t)1000;
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_WAITING);
    g.now += 4 * 3600 * (int64_t)1000 - 30000; /* half a minute left: that is waited for */
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 29999);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 1);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"choice\":\"reject\",\"by\":\"timeout\""));
}

static void test_too_late(void **state)
{
    (void)state;
    rig_start(&g, ASK(", timeout: 1h"));
    g.options.stay = STAY_FOR_ANSWERS;
    g.now += 3600 * (int64_t)1000 + 1;
    rig_restart(&g, ALL, false);
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"approve\"}"), RC_TIMEOUT);
    rig_pass(&g, 0);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "nobody answered within 3600 s"));
    rig_restart(&g, ALL, false); /* a failed run is asked again, with a new deadline */
    rig_assert_status(&g, RUN_RUNNING);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/wait:1"), 2);
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"approve\"}"), RC_OK);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_suspended(void **state)
{
    (void)state;
    g.options.stay = STAY_NO;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x, depends_on: []}\n"
                           "    - {name: ask, type: approval, message: m, timeout: 1h, depends_on: []}\n"));
    rig_assert_status(&g, RUN_RUNNING);
    run_suspend(g.run);
    rig_work(&g);
    assert_int_equal(answered("ask/wait:1", "{\"choice\": \"approve\"}"), RC_BUSY);
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_INTERRUPTED);
    rig_pass(&g, 7200000);
    rig_restart(&g, ALL, false);
    rig_pass(&g, 0);
    rig_assert_status(&g, RUN_FAILED);
}

static void test_cancelled(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x, depends_on: []}\n"
                           "    - {name: ask, type: approval, message: m, depends_on: []}\n"
                           "    - {name: s, type: wait_signal, signal: s, depends_on: []}\n"
                           "    - {name: z, type: sleep, for: 1d, depends_on: []}\n"));
    run_cancel(g.run);
    rig_work(&g);
    rig_stop(&g);
    rig_assert_status(&g, RUN_CANCELLED);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "ask/wait:1"), 0);
}

/* ---- signals ---- */

#define LOOP(step)                                                                                       \
    WORKFLOW("    - name: l\n      type: for_loop\n      data_source: [0, 1, 2]\n      parallel: true\n" \
             "      steps:\n" step)

/* The oldest signal goes to the frame that began to wait first, though the next life meets them in another order. */
static void test_first_come(void **state)
{
    (void)state;
    rig_start(&g, LOOP("        - {name: c, type: command, workspace: isolated, run: x, on_interrupt: retry}\n"
                       "        - {name: s, type: wait_signal, signal: go}\n"));
    rig_ok(&g, "l/2/c/exec:1", "{\"exit_code\": 0}");
    rig_ok(&g, "l/0/c/exec:1", "{\"exit_code\": 0}");
    assert_int_equal(sent("go", "\"first\"", ""), RC_OK);
    assert_string_equal(rig_data(&g, RECORD_RESULT, "l/2/s/wait:1"), "{\"ok\":{\"data\":\"first\"},\"signal\":1}");
    rig_ok(&g, "l/1/c/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_WAITING);
    for (int i = 2; i <= 3; i++) { /* two come while nobody carries it on */
        char data[64];
        snprintf(data, sizeof data, "{\"signal\":\"go\",\"data\":%d}", i);
        io_append(
            &g,
            &(struct record){
                .kind = RECORD_SIGNAL, .path = STR(""), .attempt = (uint32_t)i, .time_ms = g.now, .data = str_c(data)});
    }
    rig_restart(&g, ALL, false);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_string_equal(rig_data(&g, RECORD_RESULT, "l/0/s/wait:1"), "{\"ok\":{\"data\":2},\"signal\":2}");
    assert_string_equal(rig_data(&g, RECORD_RESULT, "l/1/s/wait:1"), "{\"ok\":{\"data\":3},\"signal\":3}");
}

static void test_kept_and_counted(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x, on_interrupt: retry}\n"
                           "    - {name: s, type: wait_signal, signal: go, schema: {type: integer}}\n"
                           "    - {name: t, type: wait_signal, signal: go}\n"));
    assert_int_equal(sent("go", "\"text\"", "a"), RC_OK);
    assert_int_equal(sent("go", "\"text\"", "a"), RC_EXISTS);
    assert_int_equal(sent("go", "7", "b"), RC_OK);
    assert_int_equal(sent("og", "7", ""), RC_NOT_FOUND);
    rig_restart(&g, ALL, false);
    assert_int_equal(sent("go", "7", "b"), RC_EXISTS);
    rig_ok(&g, "c/exec:1", "{\"exit_code\": 0}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"s\":{\"data\":7},\"t\":{\"data\":\"text\"}"));
}

static void test_refused(void **state)
{
    (void)state;
    g.options.stay = STAY_NO;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x, depends_on: []}\n"
                           "    - {name: s, type: wait_signal, signal: go, schema: {type: integer}, depends_on: []}\n"
                           "    - {name: t, type: wait_signal, signal: go, schema: {type: string}, depends_on: []}\n"));
    assert_int_equal(sent("go", "null", ""), RC_SCHEMA);
    assert_int_equal(sent("go", "\"for t\"", ""), RC_OK);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "t/wait:1"), 1);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "s/wait:1"), 0);
    assert_int_equal(sent("go", "\"nobody's now\"", ""), RC_SCHEMA);
}

static void test_bounds(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: c, type: command, run: x}\n    - {name: s, type: wait_signal, signal: go}\n"));
    struct arena a = {0};
    struct buf big;
    buf_init(&big, WAIT_DATA_MAX + 100);
    buf_addc(&big, '"');
    for (int i = 0; i < WAIT_DATA_MAX; i++)
        buf_addc(&big, 'x');
    buf_addz(&big, "\"");
    assert_int_equal(sent("go", arena_cstr(&a, buf_str(&big)), ""), RC_INVALID);
    buf_done(&big);
    arena_done(&a);
    for (int i = 0; i < WAIT_SIGNALS_MAX; i++)
        assert_int_equal(sent("go", "1", ""), RC_OK);
    assert_int_equal(sent("go", "1", ""), RC_LIMIT);
}

static void test_signal_after_its_time(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: s, type: wait_signal, signal: go, timeout: 2h}\n"));
    struct record early = {.kind = RECORD_SIGNAL,
                           .path = STR(""),
                           .attempt = 1,
                           .time_ms = g.now + 7200000,
                           .data = STR("{\"signal\":\"go\",\"data\":1}")};
    io_append(&g, &early);
    g.now += 9000000; /* it came in time, and is found later */
    rig_restart(&g, ALL, false);
    rig_pass(&g, 0);
    rig_assert_status(&g, RUN_SUCCEEDED);
    rig_done(&g);
    rig_start(&g, WORKFLOW("    - {name: s, type: wait_signal, signal: go, timeout: 2h}\n"));
    early.time_ms = g.now + 7200001;
    io_append(&g, &early);
    g.now += 9000000;
    rig_restart(&g, ALL, false);
    rig_pass(&g, 0);
    rig_assert_status(&g, RUN_FAILED);
}

/* ---- time ---- */

static void test_sleep(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: z, type: sleep, for: 2h}\n    - {name: e, type: test_echo, value: 1}\n"));
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 3600000);
    rig_restart(&g, ALL, false);
    rig_pass(&g, 3599999);
    rig_assert_status(&g, RUN_RUNNING);
    rig_pass(&g, 1);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_string_equal(rig_results(&g), "{\"z\":{\"success\":true,\"until\":\"1970-01-01T02:16:40Z\"},\"e\":1}");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "z/wait:1"), 1);
}

/* A clock that jumps ahead (the machine slept) is noticed though the timer is not over. */
static void test_clock_jumps(void **state)
{
    (void)state;
    rig_start(&g, WORKFLOW("    - {name: z, type: sleep, until: '1970-01-02T00:00:00Z'}\n"));
    rig_pass(&g, 60000);
    for (struct rig_timer *t = g.timers; t; t = t->next)
        assert_true(t->at <= g.now + 600000);
    g.now = 86400001;
    rig_pass(&g, 0);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

/* ---- forged journals: any outcome, but no crash ---- */

static void test_forged(void **state)
{
    (void)state;
    static const char *const waits[] = {
        "3 1 ask/wait:1 {}",
        "3 1 ask/wait:1 {\"wait\": 1}",
        "3 1 ask/wait:1 {\"wait\": {}}",
        "3 1 ask/wait:1 {\"wait\": {\"for\": \"signal\", \"until_ms\": -9223372036854775808}}",
        "3 1 ask/wait:1 {\"wait\": {\"for\": \"approval\", \"choices\": [1, {}], \"until_ms\": \"x\"}}",
        "10 7 . {}\n4 1 x {\"signal\": 7}",
        "4 1 ask/wait:1 {\"ok\": {}, \"signal\": -1}",
        "4 1 ask/wait:1 {}\n3 1 ask/wait:1 {\"wait\": {}}",
        "10 1 . {\"signal\": 3, \"data\": {}}\n10 1 . {\"id\": \"\"}"};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        if (i)
            rig_done(&g);
        char journal[1024];
        snprintf(journal, sizeof journal, "1 1 . {}\n%s", waits[i]);
        if (rig_forge(&g, ASK(""), journal))
            rig_pass(&g, 1000);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_answered_once, done),
        cmocka_unit_test_teardown(test_answered_while_dead, done),
        cmocka_unit_test_teardown(test_deadline, done),
        cmocka_unit_test_teardown(test_too_late, done),
        cmocka_unit_test_teardown(test_suspended, done),
        cmocka_unit_test_teardown(test_cancelled, done),
        cmocka_unit_test_teardown(test_first_come, done),
        cmocka_unit_test_teardown(test_kept_and_counted, done),
        cmocka_unit_test_teardown(test_refused, done),
        cmocka_unit_test_teardown(test_bounds, done),
        cmocka_unit_test_teardown(test_signal_after_its_time, done),
        cmocka_unit_test_teardown(test_sleep, done),
        cmocka_unit_test_teardown(test_clock_jumps, done),
        cmocka_unit_test_teardown(test_forged, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
