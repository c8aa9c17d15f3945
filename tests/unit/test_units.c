/* Durations and sizes: every form that is documented, every bound, and what must be refused. */
#include "flow/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct text_case {
    const char *text;
    int64_t want; /* -1: refused */
};

static void check_text(const struct text_case *c, size_t n,
                       enum rc (*read)(const struct val *, int64_t *, struct err *))
{
    for (size_t i = 0; i < n; i++) {
        struct val v = val_str(str_c(c[i].text));
        struct err err;
        int64_t got = -1;
        enum rc rc = read(&v, &got, &err);
        if (rc != (c[i].want < 0 ? RC_INVALID : RC_OK) || got != c[i].want)
            fail_msg("`%s`: rc %d, %lld instead of %lld", c[i].text, (int)rc, (long long)got, (long long)c[i].want);
        if (rc != RC_OK)
            assert_non_null(strstr(err.msg, "expected"));
    }
}

static void test_duration_text(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"250ms", 250},
        {"5s", 5000},
        {"10m", 600000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"0s", 0},
        {"0", 0},
        {"30", 30000},
        {"1.5h", 5400000},
        {"0.25s", 250},
        {"1.1s", 1100},
        {" 7 s ", 7000},
        {"3650d", 315360000000},
        {"3651d", -1},
        {"5 minutes", -1},
        {"-5s", -1},
        {"s", -1},
        {"", -1},
        {"1e3s", -1},
        {"1h30m", -1},
        {"5S", -1},
        {"5.s", -1},
        {".5s", -1},
        {"nan", -1},
        {"99999999999999999999999s", -1},
        {"5 s x", -1},
        {"٥s", -1},
    };
    check_text(cases, sizeof cases / sizeof *cases, units_duration);
}

static void test_size_text(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"64KB", 65536},      {"10MB", 10485760},
        {"1GB", 1073741824},  {"1TB", 1099511627776},
        {"100", 100},         {"12B", 12},
        {"1KiB", 1024},       {"1.5MB", 1572864},
        {"1 gb", 1073741824}, {"1024TB", 1125899906842624},
        {"1025TB", -1},       {"10M", -1},
        {"ten", -1},          {"-1", -1},
        {"1 megabyte", -1},
    };
    check_text(cases, sizeof cases / sizeof *cases, units_size);
}

static void test_numbers(void **state)
{
    (void)state;
    struct err err;
    int64_t got;
    struct val v = val_int(90);
    assert_int_equal(units_duration(&v, &got, &err), RC_OK);
    assert_int_equal(got, 90000);
    v = val_double(0.0015);
    assert_int_equal(units_duration(&v, &got, &err), RC_OK);
    assert_int_equal(got, 2);
    v = val_int(4096);
    assert_int_equal(units_size(&v, &got, &err), RC_OK);
    assert_int_equal(got, 4096);
    const struct val refused[] = {val_int(-1),        val_double(-0.5),
                                  val_double(NAN),    val_double(INFINITY),
                                  val_int(INT64_MAX), {.type = VAL_BIGINT, .s = STR("99999999999999999999")},
                                  val_true,           val_null,
                                  val_empty_array,    val_empty_object};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(units_duration(&refused[i], &got, &err), RC_INVALID);
        assert_int_equal(units_size(&refused[i], &got, &err), RC_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_text),
        cmocka_unit_test(test_size_text),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
