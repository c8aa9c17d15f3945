/* OTP's supervisor, told by hand: what is started and stopped, in which order. A trace is compared as text:
 * `+a` start, `-a` terminate, `!` ended. */
#include "base/buf.h"
#include "supervisor/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
    struct sup *sup;
    char trace[500];
    int64_t now;
    unsigned failing; /* bit per child: its start fails */
    bool late;        /* the test answers starts itself */
    int64_t delay;
} t;

static void add(char what, size_t child)
{
    size_t n = strlen(t.trace);
    snprintf(t.trace + n, sizeof t.trace - n, "%c%c", what, 'a' + (int)child);
}

static int64_t op_now(void *ctx)
{
    (void)ctx;
    return t.now;
}
static void op_start(void *ctx, size_t child)
{
    (void)ctx;
    add('+', child);
    if (!t.late)
        sup_started(t.sup, child, !(t.failing & 1u << child));
}
static void op_terminate(void *ctx, size_t child)
{
    (void)ctx;
    add('-', child);
    sup_exited(t.sup, child, SUP_SHUTDOWN);
}
static void op_ended(void *ctx, enum sup_reason reason)
{
    (void)ctx;
    size_t n = strlen(t.trace);
    snprintf(t.trace + n, sizeof t.trace - n, "%s", reason == SUP_ABNORMAL ? "!abnormal" : "!");
}
static int64_t op_delay(void *ctx, size_t child)
{
    (void)ctx, (void)child;
    return t.delay;
}
static const struct sup_ops ops = {op_now, op_start, op_terminate, op_ended, NULL, op_delay};

static void begin(enum sup_strategy strategy, enum sup_restart restart, unsigned intensity)
{
    static struct sup_child_spec children[3];
    memset(&t, 0, sizeof t);
    t.now = 1000;
    for (int i = 0; i < 3; i++)
        children[i] = (struct sup_child_spec){.id = "c", .restart = restart};
    t.sup = sup_new(&(struct sup_spec){strategy, intensity, 5000, SUP_AUTO_NEVER, children, 3}, &ops, NULL);
    sup_start(t.sup);
}

static void expect(const char *trace)
{
    assert_string_equal(t.trace, trace);
    t.trace[0] = 0;
}

static int done(void **state)
{
    (void)state;
    sup_free(t.sup);
    t.sup = NULL;
    return 0;
}

static void test_strategies(void **state)
{
    (void)state;
    static const struct {
        enum sup_strategy strategy;
        const char *trace;
    } cases[] = {{SUP_ONE_FOR_ONE, "+b"}, {SUP_ONE_FOR_ALL, "-c-a+a+b+c"}, {SUP_REST_FOR_ONE, "-c+b+c"}};
    for (size_t i = 0; i < 3; i++) {
        begin(cases[i].strategy, SUP_PERMANENT, 5);
        expect("+a+b+c");
        sup_exited(t.sup, 1, SUP_NORMAL);
        expect(cases[i].trace);
        sup_stop(t.sup);
        expect("-c-b-a!");
        sup_free(t.sup);
    }
    t.sup = NULL;
}

static void test_restart_types(void **state)
{
    (void)state;
    begin(SUP_ONE_FOR_ONE, SUP_TRANSIENT, 5);
    sup_exited(t.sup, 0, SUP_NORMAL);
    sup_exited(t.sup, 1, SUP_SHUTDOWN);
    sup_exited(t.sup, 2, SUP_ABNORMAL);
    expect("+a+b+c+c");
    sup_free(t.sup);
    begin(SUP_ONE_FOR_ALL, SUP_TEMPORARY, 5);
    sup_exited(t.sup, 2, SUP_ABNORMAL);
    expect("+a+b+c");
    assert_int_equal(sup_child_state(t.sup, 2), SUP_CHILD_REMOVED);
}

static void test_intensity(void **state)
{
    (void)state;
    begin(SUP_ONE_FOR_ONE, SUP_PERMANENT, 2);
    for (int i = 0; i < 2; i++)
        sup_exited(t.sup, 0, SUP_ABNORMAL);
    expect("+a+b+c+a+a");
    t.now += 5001; /* forgotten */
    for (int i = 0; i < 2; i++)
        sup_exited(t.sup, 0, SUP_ABNORMAL);
    expect("+a+a");
    sup_exited(t.sup, 1, SUP_ABNORMAL);
    expect("-c-a!");
}

static void test_failed_starts(void **state)
{
    (void)state;
    begin(SUP_ONE_FOR_ONE, SUP_PERMANENT, 3);
    t.failing = 1u << 1;
    sup_exited(t.sup, 1, SUP_ABNORMAL); /* each try counts; then it gives up */
    expect("+a+b+c+b+b+b-c-a!");
    sup_free(t.sup);
    memset(&t, 0, sizeof t);
    static const struct sup_child_spec children[] = {{"a", SUP_PERMANENT, false}, {"b", SUP_PERMANENT, false}};
    t.failing = 1u << 1;
    t.sup = sup_new(&(struct sup_spec){SUP_ONE_FOR_ONE, 1, 5000, SUP_AUTO_NEVER, children, 2}, &ops, NULL);
    sup_start(t.sup);
    expect("+a+b-a!abnormal");
}

/* What happens while a child starts waits, as in a mailbox. */
static void test_one_thing_at_a_time(void **state)
{
    (void)state;
    begin(SUP_REST_FOR_ONE, SUP_PERMANENT, 5);
    t.late = true;
    sup_exited(t.sup, 1, SUP_ABNORMAL);
    expect("+a+b+c-c+b");
    sup_exited(t.sup, 0, SUP_ABNORMAL);
    expect("");
    sup_started(t.sup, 1, true);
    expect("+c");
    sup_started(t.sup, 2, true);
    expect("-c-b+a");
    t.late = false;
    sup_started(t.sup, 0, true);
    expect("+b+c");
}

static void test_delay_is_an_addition(void **state)
{
    (void)state;
    begin(SUP_ONE_FOR_ONE, SUP_PERMANENT, 5);
    t.delay = 100;
    sup_exited(t.sup, 1, SUP_ABNORMAL);
    expect("+a+b+c");
    t.delay = 0;
    sup_exited(t.sup, 0, SUP_ABNORMAL); /* others are not kept waiting */
    expect("+a");
    sup_again(t.sup, 1);
    expect("+b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_strategies, done),
        cmocka_unit_test_teardown(test_restart_types, done),
        cmocka_unit_test_teardown(test_intensity, done),
        cmocka_unit_test_teardown(test_failed_starts, done),
        cmocka_unit_test_teardown(test_one_thing_at_a_time, done),
        cmocka_unit_test_teardown(test_delay_is_an_addition, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
