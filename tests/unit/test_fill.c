/* Places of prompt files: what is filled, what stays as it was written, and what is refused. */
#include "agent/fill.h"
#include "agent/markdown.h"
#include "data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MAX = 200 };

/* A is "1", MODE is "strict", NO is empty, TEXT looks like places; S is shared. */
static const struct {
    const char *text, *open, *closed; /* what becomes of it; NULL: refused */
} rows[] = {
    {"", "", ""},
    {"{A}{A}", "11", "11"},
    {"{TEXT}", "{A} {if A}x{endif}", "{A} {if A}x{endif}"},
    {"{S}", "shared", "shared"},
    {"{ A} {A } {a} {9} {A", "{ A} {A } {a} {9} {A", "{ A} {A } {a} {9} {A"},
    {"{{A}} {{A} {A}}", "{{A}} {1 1}", "{{A}} {1 1}"},
    {"{\"a\": {\"b\": {}}}", "{\"a\": {\"b\": {}}}", "{\"a\": {\"b\": {}}}"},
    {"{if A}x{endif}", "x", "x"},
    {"{if NO}x{else}y{endif}", "y", "y"},
    {"{if MODE == \"strict\"}x{endif}.", "x.", "x."},
    {"{if MODE == 'lax'}x{endif}.", ".", "."},
    {"{if MODE != 'lax'}x{endif}.", "x.", "x."},
    {"{if A}{if NO}n{else}{if A}deep{endif}{endif}{endif}", "deep", "deep"},
    {"{if NO}{if A}{A}{endif}{else}{A}{endif}", "1", "1"},
    {"a\n  {if A}  \nb\n{endif}\nc", "a\n  b\nc", "a\n  b\nc"},
    {"{if X}a{A}{else}b{endif}c", "{if X}a1{else}b{endif}c", "bc"},
    {"{if A}{if X}a{endif}{endif}", "{if X}a{endif}", ""},
    {"{if X == 3}a{endif}", "{if X == 3}a{endif}", "{if X == 3}a{endif}"},
    {"{else} {endif}", "{else} {endif}", "{else} {endif}"},
    {"{if A", "{if A", "{if A"},
    {"{if A == \"x", "{if A == \"x", "{if A == \"x"},
    {"{if A}x", NULL, NULL},
    {"{if NO}{if X}{endif}", NULL, NULL},
    {"{if X}x", "{if X}x", NULL},
    {"{LONG}{LONG}", NULL, NULL},
};

static void test_places(void **state)
{
    (void)state;
    char text[MAX * 2 / 3];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct fill_value own[] = {{.name = STR("A"), .text = STR("1")},
                                   {.name = STR("MODE"), .text = STR("strict")},
                                   {.name = STR("NO"), .text = STR("")},
                                   {.name = STR("TEXT"), .text = STR("{A} {if A}x{endif}")},
                                   {.name = STR("LONG"), .text = str_n(text, sizeof text)}};
        struct fill_value shared[] = {{.name = STR("A"), .text = STR("not this")},
                                      {.name = STR("S"), .text = STR("shared")}};
        struct fill f = {own, shared, 5, 2, i % 2 != 0, MAX};
        const char *want = i % 2 ? rows[i / 2].closed : rows[i / 2].open;
        struct arena a = {0};
        struct str got;
        struct err err;
        enum rc rc = fill_text(&a, str_c(rows[i / 2].text), &f, &got, &err);
        if ((rc == RC_OK) != (want != NULL))
            fail_msg("`%s`: rc %d", rows[i / 2].text, rc);
        if (want && !str_is(got, want))
            fail_msg("`%s` gives `%.*s`, not `%s`", rows[i / 2].text, STR_ARG(got), want);
        arena_done(&a);
    }
}

static void test_used(void **state)
{
    (void)state;
    struct arena a = {0};
    struct fill_value v[] = {{.name = STR("A"), .text = STR("1")}, {.name = STR("B"), .text = STR("2")}};
    struct fill f = {.shared = v, .nshared = 2, .max = MAX};
    struct str got;
    struct err err;
    assert_int_equal(fill_text(&a, STR("{if A == 'x'}{B}{endif}"), &f, &got, &err), RC_OK);
    assert_true(!v[0].used && !v[1].used); /* to ask about it is not to take it */
    assert_int_equal(fill_text(&a, STR("{if A}{B}{endif}"), &f, &got, &err), RC_OK);
    assert_true(!v[0].used && v[1].used);
    arena_done(&a);
}

static void test_deep(void **state)
{
    (void)state;
    struct arena a = {0};
    struct buf b;
    struct fill_value v[] = {{.name = STR("A"), .text = STR("1")}};
    struct fill f = {.own = v, .nown = 1, .max = 1 << 20};
    struct str got;
    struct err err;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 10000; i++)
        buf_addz(&b, "{if A}");
    assert_int_equal(fill_text(&a, buf_str(&b), &f, &got, &err), RC_INVALID);
    buf_clear(&b);
    for (int i = 0; i < 10000; i++)
        buf_addz(&b, "{if X}");
    assert_int_equal(fill_text(&a, buf_str(&b), &f, &got, &err), RC_INVALID);
    buf_done(&b);
    arena_done(&a);
}

static void test_markdown(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"{\"a\": 1, \"b\": null}", "- **a**: 1\n- **b**: \n"},
        {"{\"a\": {\"b\": {\"c\": {\"d\": {\"e\": 1}}}}}", "## a\n\n\n### b\n\n\n#### c\n\n- **d**:\n  - **e**: 1\n"},
        {"[1, \"x\\ny\", [2, [3]]]", "- 1\n- x y\n- \n  - 2\n  - \n    - 3\n"},
        {"[{\"a\": 1, \"b\": \"x|y\"}, {\"b\": true, \"c\": 2}]",
         "| a | b | c |\n| --- | --- | --- |\n| 1 | x\\|y |  |\n|  | true | 2 |\n"},
        {"\"text\"", "text"},
        {"[]", ""},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct arena a = {0};
        struct val v;
        struct err err;
        struct buf b;
        buf_init(&b, 1 << 16);
        assert_int_equal(json_parse(&a, str_c(values[i][0]), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
        markdown_write(&b, &v);
        assert_string_equal(buf_str(&b).p, values[i][1]);
        buf_done(&b);
        arena_done(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_markdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
