/* The restart policy: tables from OTP's rules, and random traces against a model that keeps every time there ever was.
 */
#include "base/rng.h"
#include "flow/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_intensity(void **state)
{
    (void)state;
    static const struct {
        int64_t intensity, period, times[6];
        const char *expected; /* y or n for each; nothing follows n */
    } t[] = {
        {1, 5000, {0, 5001, 10002}, "yyy"},
        {1, 5000, {0, 5000}, "yn"},
        {1, 5000, {0, 4999}, "yn"},
        {0, 5000, {0}, "n"},
        {3, 1000, {0, 1, 2, 3}, "yyyn"},
        {3, 1000, {0, 1, 2, 1001, 1002, 1003}, "yyyyyy"},
        {3, 1000, {0, 1, 2, 1001, 1001}, "yyyyn"},
        {2, 0, {7, 7, 7}, "yyn"},
        {2, 0, {7, 8, 9}, "yyy"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int64_t at[8];
        struct restart_policy p = {.intensity = t[i].intensity, .period_ms = t[i].period};
        struct restart_log log = {.at = at};
        for (size_t k = 0; t[i].expected[k]; k++)
            assert_int_equal(restart_allowed(&p, &log, t[i].times[k]), t[i].expected[k] == 'y');
    }
}

static void test_random_traces(void **state)
{
    (void)state;
    enum { TRACES = 20000, LENGTH = 60 };
    struct rng rng;
    rng_seed(&rng, 4711);
    unsigned refused = 0, whole = 0;
    for (int trace = 0; trace < TRACES; trace++) {
        struct restart_policy p = {.intensity = (int64_t)rng_below(&rng, 12),
                                   .period_ms = (int64_t)rng_below(&rng, 200)};
        int64_t at[16], all[LENGTH], now = (int64_t)rng_below(&rng, 1000);
        struct restart_log log = {.at = at};
        bool go = true;
        for (size_t n = 0; n < LENGTH && go; n++) {
            all[n] = now;
            int64_t within = 0;
            for (size_t k = 0; k <= n; k++)
                within += all[k] >= now - p.period_ms;
            go = restart_allowed(&p, &log, now);
            assert_int_equal(go, within <= p.intensity);
            now += (int64_t)rng_below(&rng, 60);
        }
        refused += !go;
        whole += go;
    }
    assert_true(refused > 1000 && whole > 1000);
}

static void test_strategies(void **state)
{
    (void)state;
    static const struct {
        enum restart_strategy s;
        const char *expected; /* of five members, when the third fails */
    } t[] = {{RESTART_ONE_FOR_ONE, "00100"}, {RESTART_ONE_FOR_ALL, "11111"}, {RESTART_REST_FOR_ONE, "00111"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (size_t k = 0; k < 5; k++) {
            struct restart_span span = restart_span(t[i].s, 2, 5);
            assert_int_equal(k >= span.first && k <= span.last, t[i].expected[k] == '1');
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intensity),
        cmocka_unit_test(test_random_traces),
        cmocka_unit_test(test_strategies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
