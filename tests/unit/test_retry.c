/* When to try again: the formula, the classes, and what the other side asks for. */
#include "flow/run_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct retry_policy plain = {
    .max_attempts = 1000, .backoff = BACKOFF_EXPONENTIAL, .delay_ms = 1000, .max_delay_ms = 60000};

static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        int backoff;
        int64_t delay, max;
        int64_t wait[8];
    } t[] = {
        {BACKOFF_EXPONENTIAL, 1000, 60000, {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}},
        {BACKOFF_LINEAR, 1000, 4500, {1000, 2000, 3000, 4000, 4500, 4500, 4500, 4500}},
        {BACKOFF_FIXED, 700, 60000, {700, 700, 700, 700, 700, 700, 700, 700}},
        {BACKOFF_EXPONENTIAL, 0, 60000, {0, 0, 0, 0, 0, 0, 0, 0}},
        {BACKOFF_EXPONENTIAL, 9000, 5000, {5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000}},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct retry_policy p = plain;
        p.backoff = t[i].backoff;
        p.delay_ms = t[i].delay;
        p.max_delay_ms = t[i].max;
        for (uint32_t n = 0; n < 8; n++)
            assert_int_equal(retry_delay(&p, n + 1, RC_NETWORK, 0, 0), t[i].wait[n]);
        p.max_delay_ms = 315360000000; /* the longest duration of the language: no overflow on the way */
        int64_t longest = retry_delay(&p, 999, RC_NETWORK, 0, 0);
        assert_true(longest >= 0 && longest <= p.max_delay_ms);
    }
}

/* At most a quarter is taken off, never more, and nothing is added. */
static void test_jitter(void **state)
{
    (void)state;
    struct retry_policy p = plain;
    p.jitter = true;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t r = 0; r < 5000; r++) {
        int64_t d = retry_delay(&p, 1, RC_NETWORK, 0, r);
        least = d < least ? d : least;
        most = d > most ? d : most;
    }
    assert_int_equal(least, 750);
    assert_int_equal(most, 1000);
    assert_int_equal(retry_delay(&p, 1, RC_NETWORK, 0, UINT64_MAX) >= 750, 1);
    p.delay_ms = 3; /* too short to spread */
    assert_int_equal(retry_delay(&p, 1, RC_NETWORK, 0, 12345), 3);
}

static void test_attempts(void **state)
{
    (void)state;
    struct retry_policy p = plain;
    p.max_attempts = 3;
    assert_int_equal(retry_delay(NULL, 1, RC_NETWORK, 0, 0), -1);
    assert_true(retry_delay(&p, 2, RC_NETWORK, 0, 0) >= 0);
    assert_int_equal(retry_delay(&p, 3, RC_NETWORK, 0, 0), -1);
    assert_int_equal(retry_delay(&p, UINT32_MAX, RC_NETWORK, 0, 0), -1);
    p.max_attempts = 1;
    assert_int_equal(retry_delay(&p, 1, RC_NETWORK, 0, 0), -1);
}

/* Without a written policy only what is known to pass by itself is tried again; a written one without `on` means
 * whatever may go better next time; `on` means what it says. Nothing brings back what was cancelled. */
static void test_classes(void **state)
{
    (void)state;
    static const struct {
        enum rc rc;
        bool unwritten, written;
    } t[] = {
        {RC_TIMEOUT, true, true},      {RC_RATE_LIMIT, true, true},    {RC_OVERLOADED, true, true},
        {RC_NETWORK, true, true},      {RC_SERVER, true, true},        {RC_BAD_REPLY, true, true},
        {RC_COMMAND, false, true},     {RC_STEP, false, true},         {RC_SCHEMA, false, true},
        {RC_IO, false, true},          {RC_TOOL, false, true},         {RC_AUTH, false, false},
        {RC_BILLING, false, false},    {RC_BUDGET, false, false},      {RC_INVALID, false, false},
        {RC_CONTEXT, false, false},    {RC_LIMIT, false, false},       {RC_INVALID_REQUEST, false, false},
        {RC_REPLAY, false, false},     {RC_INTERRUPTED, false, false}, {RC_DISK_FULL, false, false},
        {RC_EXPRESSION, false, false}, {RC_CANCELLED, false, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct retry_policy p = plain;
        assert_int_equal(retry_delay(&p, 1, t[i].rc, 0, 0) >= 0, t[i].unwritten);
        p.set = true;
        assert_int_equal(retry_delay(&p, 1, t[i].rc, 0, 0) >= 0, t[i].written);
        p.on = (uint64_t)1 << t[i].rc;
        assert_int_equal(retry_delay(&p, 1, t[i].rc, 0, 0) >= 0, t[i].rc != RC_CANCELLED);
        p.on = (uint64_t)1 << RC_INTERNAL;
        assert_int_equal(retry_delay(&p, 1, t[i].rc, 0, 0), -1);
    }
    assert_true(RC_COUNT <= 64); /* they are bits of retry_policy.on */
}

/* What the provider asks for is the least wait, also above max_delay; who asks for too much is not waited for. */
static void test_retry_after(void **state)
{
    (void)state;
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, 5000, 0), 5000);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, 500, 0), 1000);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, 90000, 0), 90000);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, 600000, 0), 600000);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, 600001, 0), -1);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, INT64_MAX, 0), -1);
    assert_int_equal(retry_delay(&plain, 1, RC_RATE_LIMIT, INT64_MIN, 0), 1000);
}

/* What is left of a recorded wait, whatever the clocks and the journal say. */
static void test_wait_left(void **state)
{
    (void)state;
    static const struct {
        int64_t result, wait, now, left;
    } t[] = {
        {1000, 500, 1200, 300},     {1000, 500, 1500, 0},        {1000, 500, 9000, 0},
        {1000, 500, 900, 500},      {1000, 0, 1000, 0},          {1000, -7, 1000, 0},
        {1000, INT64_MAX, 1000, 0}, {INT64_MAX, 500, 1000, 500}, {INT64_MIN, 500, 1000, 0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct past p = {.result_ms = t[i].result};
        assert_int_equal(past_wait_left(&p, t[i].wait, t[i].now), t[i].left);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff), cmocka_unit_test(test_jitter),      cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_classes), cmocka_unit_test(test_retry_after), cmocka_unit_test(test_wait_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
