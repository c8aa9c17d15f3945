/* JSON: what is accepted, positions of errors, limits, exact numbers, styles of writing. What Python's implementation
 * says about many more documents is compared in tests/scenario/test_json_differential.py. */
#include "base/rng.h"
#include "data/decimal.h"
#include "data/json.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void accepted_documents(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out; /* NULL: the same */
    } cases[] = {
        {"null", NULL},
        {" \t\r\n true \n", "true"},
        {"[]", NULL},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"{\"a\":[{},{\"b\":[]}]}", NULL},
        {"\"\"", NULL},
        {"{\"\":0}", NULL},
        {"\"a\\/b\\u0041\"", "\"a/bA\""},
        {"\"\\u00e9\\u6F22\\ud83d\\ude00\"", "\"é漢😀\""},
        {"\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\x7f\"", "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\x7f\""},
        {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"},
        {"[0,-0,-0.0,0.0,0e9]", "[0,0,-0.0,0.0,0.0]"},
        {"9223372036854775807", NULL},
        {"-9223372036854775808", NULL},
        {"9223372036854775808", NULL},
        {"-123456789012345678901234567890", NULL},
        {"[1E2,1e+2,10.50,1e-2]", "[100.0,100.0,10.5,0.01]"},
        {"1e-400", "0.0"},
    };
    struct arena a = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct val v;
        struct err err;
        if (json_parse(&a, str_c(cases[i].in), NULL, &v, &err))
            fail_msg("%s: %s", cases[i].in, err.msg);
        assert_string_equal(json_text(&a, &v).p, cases[i].out ? cases[i].out : cases[i].in);
    }
    arena_done(&a);
}

static void refused_documents(void **state)
{
    (void)state;
    static const struct {
        const char *text, *start; /* of the message */
    } cases[] = {
        {"", "1:1: the text ends here; expected a value"},
        {" \n ", "2:2: the text ends"},
        {"nul", "1:1: unexpected 'n'; expected a value"},
        {"NaN", "1:1:"},
        {"Infinity", "1:1:"},
        {"-Infinity", "1:2: unexpected 'I'; expected a digit"},
        {"'a'", "1:1:"},
        {"truex", "1:5: unexpected 'x'; expected nothing after the value"},
        {"1 2", "1:3:"},
        {"[1,]", "1:4: unexpected ']'; expected a value"},
        {"[,1]", "1:2:"},
        {"[1 2]", "1:4: unexpected '2'; expected ',' or ']'"},
        {"[1\n,2\n}", "3:1: unexpected '}'; expected ',' or ']'"},
        {"[", "1:2: the text ends"},
        {"{\"a\":1,}", "1:8: unexpected '}'; expected a key in double quotes"},
        {"{a:1}", "1:2:"},
        {"{\"a\" 1}", "1:6: unexpected '1'; expected ':' after the key"},
        {"{\"a\":}", "1:6:"},
        {"{\"a\":1", "1:7:"},
        {"{\"a\"", "1:5:"},
        {"{1:1}", "1:2:"},
        {"]", "1:1:"},
        {"\"abc", "1:1: this string is never closed"},
        {"[1,\n  \"a\nb\"]", "2:5: control character 0x0a in a string"},
        {"\"\\x\"", "1:3: unexpected 'x'; expected one of"},
        {"\"\\", "1:3:"},
        {"\"\\u12g4\"", "1:2: \\u without four"},
        {"\"\\u12", "1:2:"},
        {"\"\\ud800\"", "1:2: a lone surrogate"},
        {"\"\\ud800\\u0041\"", "1:2: a lone surrogate"},
        {"\"x\\udc00\"", "1:3: a lone surrogate"},
        {"\"\\ud83d\\ue000\"", "1:2: a lone surrogate"},
        {"\"\\ud83d\\ud83d\"", "1:2: a lone surrogate"},
        {"01", "1:1: a number with a leading zero"},
        {"-01", "1:2: a number with"},
        {"1.", "1:3:"},
        {".5", "1:1:"},
        {"1e", "1:3:"},
        {"1e+", "1:4:"},
        {"+1", "1:1:"},
        {"-", "1:2:"},
        {"0x10", "1:2:"},
        {"1e400", "1:1: a number too large"},
        {"/* */1", "1:1:"},
        {"\xef\xbb\xbf{}", "1:1: unexpected byte 0xef"},
        {"\"\xc0\x80\"", "1:2: byte 0xc0 is not valid UTF-8"},
        {"[\n\"\xed\xa0\x80\"]", "2:2: byte 0xed"},
        {"\xc2\xa0", "1:1:"},
    };
    struct arena a = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct val v = val_int(77);
        struct err err = {0};
        assert_int_equal(json_parse(&a, str_c(cases[i].text), NULL, &v, &err), RC_INVALID);
        if (!str_starts(str_c(err.msg), str_c(cases[i].start)))
            fail_msg("%s: %s, not %s", cases[i].text, err.msg, cases[i].start);
        assert_int_equal(v.i, 77); /* untouched */
    }
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, STR("1\0"), NULL, &v, &err), RC_INVALID);
    assert_int_equal(json_parse(&a, STR("\"a\0b\""), NULL, &v, &err), RC_INVALID);
    arena_done(&a);
}

static void limits_hold(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct err err;
    struct json_limits lim = {.depth = 3, .max_size = 20};
    assert_int_equal(json_parse(&a, STR("[[[]]]"), &lim, &v, &err), RC_OK);
    assert_int_equal(json_parse(&a, STR("[[[[]]]]"), &lim, &v, &err), RC_LIMIT);
    assert_true(str_starts(str_c(err.msg), STR("1:4: more than 3 levels")));
    assert_int_equal(json_parse(&a, STR("{\"a\":[{\"b\":{}}]}   "), &lim, &v, &err), RC_LIMIT);
    assert_int_equal(json_parse(&a, STR("\"2345678901234567890\""), &lim, &v, &err), RC_LIMIT);
    assert_int_equal(json_parse(&a, STR("\"234567890123456789\""), &lim, &v, &err), RC_OK);
    size_t n = 2000000;
    char *deep = malloc(n);
    memset(deep, '[', n);
    assert_int_equal(json_parse(&a, str_n(deep, n), NULL, &v, &err), RC_LIMIT);
    lim = (struct json_limits){.depth = UINT32_MAX, .max_size = SIZE_MAX};
    memset(deep + n / 2, ']', n / 2);
    assert_int_equal(json_parse(&a, str_n(deep, n), &lim, &v, &err), RC_OK); /* the C stack is no limit */
    assert_int_equal(val_depth(&v), n / 2);
    free(deep);
    arena_done(&a);
}

static void positions_of_values_and_keys(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, STR("{\n  \"k\\n\": [1,\n \"x\"],\r\n\t\"o\" : {}}"), NULL, &v, &err), RC_OK);
    assert_true(v.line == 1 && v.col == 1);
    const struct member *k = &v.obj.m[0], *o = &v.obj.m[1];
    assert_true(k->line == 2 && k->col == 3 && k->val.line == 2 && k->val.col == 10);
    assert_true(val_at(&k->val, 0)->line == 2 && val_at(&k->val, 0)->col == 11);
    assert_true(val_at(&k->val, 1)->line == 3 && val_at(&k->val, 1)->col == 2);
    assert_true(o->line == 4 && o->col == 2 && o->val.line == 4 && o->val.col == 8);
    arena_done(&a);
}

static void parsed_values_own_their_text(void **state)
{
    (void)state;
    char text[] = "{\"key\":[\"plain\",\"esc\\u0041ped\",12345678901234567890]}";
    struct arena a = {0};
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, str_c(text), NULL, &v, &err), RC_OK);
    memset(text, '#', sizeof text);
    assert_string_equal(json_text(&a, &v).p, "{\"key\":[\"plain\",\"escAped\",12345678901234567890]}");
    arena_done(&a);
}

static void many_keys_are_linear_and_unique(void **state)
{
    (void)state;
    struct arena a = {0};
    struct buf b;
    buf_init(&b, 1 << 26);
    for (int i = 0; i < 200000; i++)
        buf_printf(&b, "%c\"k%d\":%d", i ? ',' : '{', i % 150000, i);
    buf_addc(&b, '}');
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, buf_str(&b), NULL, &v, &err), RC_OK);
    assert_int_equal(v.obj.n, 150000);
    assert_int_equal(VAL_GET(&v, "k7")->i, 150007); /* the last one wins */
    assert_true(str_is(v.obj.m[7].key, "k7"));      /* at the first one's place */
    assert_int_equal(VAL_GET(&v, "k149999")->i, 149999);
    buf_done(&b);
    arena_done(&a);
}

/* In somebody's data a key stands once in its object. */
static void keys_that_stand_twice(void **state)
{
    (void)state;
    static const struct {
        const char *in, *said; /* NULL: accepted */
    } cases[] = {
        {"{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}", NULL},
        {"{\"a\":1,\"a\":1}", "1:8: the key \"a\" stands twice in this object (first at 1:2); expected it once"},
        {"[1,\n {\"x\":1,\n  \"\\u0078\":2}]", "3:3: the key \"x\" stands twice in this object (first at 2:3)"},
        {"{\"a\":{\"k\":1,\"k\":2},\"a\":1}", "1:13: the key \"k\""}, /* the first */
        {"{\"a\":1,\"a\":}", "1:12: unexpected"},                     /* what is no JSON at all comes before */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v;
        struct err err;
        enum rc rc = json_parse(&a, str_c(cases[i].in), &JSON_DATA, &v, &err);
        assert_int_equal(rc, cases[i].said ? RC_INVALID : RC_OK);
        if (cases[i].said)
            assert_ptr_equal(strstr(err.msg, cases[i].said), err.msg);
        arena_done(&a);
    }
}

static void styles(void **state)
{
    (void)state;
    static const char *const want[] = {
        [JSON_COMPACT] = "{\"b\":[1,{\"z\":[]}],\"a\":{}}",
        [JSON_SPACED] = "{\"b\": [1, {\"z\": []}], \"a\": {}}",
        [JSON_PRETTY] = "{\n  \"b\": [\n    1,\n    {\n      \"z\": []\n    }\n  ],\n  \"a\": {}\n}",
    };
    struct arena a = {0};
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, str_c(want[0]), NULL, &v, &err), RC_OK);
    for (enum json_style style = JSON_COMPACT; style <= JSON_PRETTY; style++) {
        struct buf b;
        buf_init(&b, 1000);
        json_write(&b, &v, style);
        assert_string_equal(buf_str(&b).p, want[style]);
        buf_done(&b);
    }
    assert_string_equal(json_canonical(&a, &v).p, "{\"a\":{},\"b\":[1,{\"z\":[]}]}");
    assert_string_equal(json_text(&a, NULL).p, "null");
    arena_done(&a);
}

static void canonical_text_is_one_for_equal_values(void **state)
{
    (void)state;
    static const struct {
        const char *json, *canonical;
    } cases[] = {{"[1.0,1,-0.0,1e20,1.5,1e300]", NULL},
                 {"{\"b\":1,\"a\":2,\"\":3,\"aa\":4,\"\\u00e9\":5,\"B\":6}",
                  "{\"\":3,\"B\":6,\"a\":2,\"aa\":4,\"b\":1,\"é\":5}"}};
    struct arena a = {0};
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, str_c(cases[1].json), NULL, &v, &err), RC_OK);
    assert_string_equal(json_canonical(&a, &v).p, cases[1].canonical);
    assert_int_equal(json_parse(&a, str_c(cases[0].json), NULL, &v, &err), RC_OK);
    struct str text = json_canonical(&a, &v);
    assert_true(str_starts(text, STR("[1,1,0,100000000000000000000,1.5,10000000000000000525")));
    arena_done(&a);
}

static void writing_is_bounded_and_always_valid(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val_list l = val_list_new(&a);
    for (int i = 0; i < 1000; i++)
        val_list_push(&l, VAL_LIT("some text"));
    struct val v = val_list_done(&l);
    struct buf b;
    buf_init(&b, 100);
    json_write(&b, &v, JSON_COMPACT);
    assert_true(b.overflow && b.n <= 100);
    buf_done(&b);
    struct val bad[] = {val_double(NAN), val_double(INFINITY), val_double(-INFINITY),
                        val_str(STR("a\xff\xc3(\xed\xa0\x80\xe2\x82"))};
    v = (struct val){.type = VAL_ARRAY, .arr = {.v = bad, .n = 4}};
    assert_string_equal(json_text(&a, &v).p,
                        "[null,null,null,\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                        "\xef\xbf\xbd\"]");
    arena_done(&a);
}

static void double_text_is_shortest(void **state)
{
    (void)state;
    static const struct {
        double d;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {9999999999999998, "9999999999999998.0"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {0.00012345, "0.00012345"},
        {1.5e-7, "1.5e-07"},
        {5e-324, "5e-324"},
        {1e-323, "1e-323"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {1e22, "1e+22"},
        {1e23, "1e+23"},
        {1e100, "1e+100"},
        {0x1p-44, "5.684341886080802e-14"}, /* the two shortest are equally near: to even */
        {9007199254740993.0, "9007199254740992.0"},
        {0x1p-1074 * 3, "1.5e-323"},
        {4.35, "4.35"},
        {100, "100.0"},
        {9.5367431640625e-07, "9.5367431640625e-07"},
        {-123456.789, "-123456.789"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char z[33];
        size_t n = json_double_text(cases[i].d, z);
        assert_true(n <= 32);
        z[n] = 0;
        assert_string_equal(z, cases[i].text);
    }
}

/* Every power of two, every power of ten, their neighbours, denormals and random doubles: the text reads back, and one
 * digit fewer does not. */
static void check_double(double d)
{
    char z[40], shorter[40];
    size_t n = json_double_text(d, z);
    z[n] = 0;
    if (strtod(z, NULL) != d || decimal_read(str_n(z, n)) != d)
        fail_msg("%a is written as %s", d, z);
    int digits = 0;
    for (uint64_t v = decimal_shortest(fabs(d)).digits; v; v /= 10)
        digits++;
    if (digits < 2)
        return;
    snprintf(shorter, sizeof shorter, "%.*e", digits - 2, d);
    if (strtod(shorter, NULL) == d)
        fail_msg("%a is written as %s, but %s would do", d, z, shorter);
}

static void double_text_reads_back(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    for (int e = -1074; e < 1024; e++) {
        double d = ldexp(1, e);
        check_double(d);
        check_double(nextafter(d, INFINITY));
        if (e > -1074)
            check_double(nextafter(d, 0));
    }
    for (int e = -323; e < 309; e++) {
        char z[16];
        snprintf(z, sizeof z, "1e%d", e);
        double d = strtod(z, NULL);
        check_double(d);
        check_double(nextafter(d, INFINITY));
        check_double(nextafter(d, 0) > 0 ? nextafter(d, 0) : d);
    }
    for (int i = 0; i < 60000; i++) {
        uint64_t bits = i % 4 ? rng_next(&r) : rng_next(&r) >> 12;
        double d;
        memcpy(&d, &bits, sizeof d);
        if (isfinite(d) && d != 0)
            check_double(d);
    }
}

static void decimals_are_rounded_as_strtod_does(void **state)
{
    (void)state;
    static const char *const texts[] = {"2.4703282292062327208e-324",
                                        "2.4703282292062328e-324",
                                        "0.5e-400",
                                        "1.7976931348623158e308",
                                        "1.7976931348623159e308",
                                        "9007199254740993",
                                        "9007199254740993.00000000000000000000000000000000001",
                                        "1e23",
                                        "8.5e22",
                                        "2.2250738585072011e-308",
                                        "6.631236846766476e-316",
                                        "0.000000000000000000001e21",
                                        "123456789012345678901234567890e-20",
                                        "1e-999999999999999999999",
                                        "0e999999999999999999999",
                                        "5.",
                                        ".5",
                                        "+.5e+1",
                                        "-1.e-1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(decimal_read(str_c(texts[i])) == strtod(texts[i], NULL));
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < 20000; i++) { /* exactly half-way and next to it */
        uint64_t bits = (rng_below(&r, 60) + 1033) << 52 | rng_next(&r) >> 12;
        double low;
        memcpy(&low, &bits, sizeof low);
        char z[200];
        int n = snprintf(z, sizeof z - 2, "%.60Lf", ((long double)low + (long double)nextafter(low, INFINITY)) / 2);
        assert_true(decimal_read(str_c(z)) == strtod(z, NULL));
        z[n] = '1';
        z[n + 1] = 0;
        assert_true(decimal_read(str_c(z)) == strtod(z, NULL));
    }
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "de_DE.utf8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
    char z[40];
    z[json_double_text(1.5, z)] = 0;
    assert_string_equal(z, "1.5");
    assert_true(decimal_read(STR("2.2250738585072011e-308")) > 2e-308);
    assert_true(decimal_read(STR("123456789012345678901234567890.5e0")) > 1e29);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_documents),
        cmocka_unit_test(refused_documents),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(positions_of_values_and_keys),
        cmocka_unit_test(parsed_values_own_their_text),
        cmocka_unit_test(many_keys_are_linear_and_unique),
        cmocka_unit_test(keys_that_stand_twice),
        cmocka_unit_test(styles),
        cmocka_unit_test(canonical_text_is_one_for_equal_values),
        cmocka_unit_test(writing_is_bounded_and_always_valid),
        cmocka_unit_test(double_text_is_shortest),
        cmocka_unit_test(double_text_reads_back),
        cmocka_unit_test(decimals_are_rounded_as_strtod_does),
        cmocka_unit_test(the_locale_does_not_matter),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
