/* What is found in texts, and the short form of schemas. */
#include "agent/content.h"
#include "data/json.h"
#include "data/schema.h"
#include "data/schema_short.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct arena a;

static int done(void **state)
{
    (void)state;
    arena_done(&a);
    return 0;
}

static struct val list_of_one(const char *name)
{
    struct val_list l = val_list_new(&a);
    val_list_push(&l, val_str(str_c(name)));
    return val_list_done(&l);
}

static void test_steps(void **state)
{
    (void)state;
    static const struct {
        const char *step, *text, *found;
    } rows[] = {
        {"extract_code_blocks", "x\n```c\nint a;\n```\ny\n```\nz\n```",
         "{\"code_blocks\":[{\"language\":\"c\",\"code\":\"int a;\"},{\"language\":\"\",\"code\":\"z\"}]}"},
        {"extract_code_blocks", "```c\nnever closed", "{\"code_blocks\":[]}"},
        {"extract_code_blocks", "```\n```", "{\"code_blocks\":[{\"language\":\"\",\"code\":\"\"}]}"},
        {"extract_links", "see <https://a.b/c?d=1>, (http://e.f). https:// no",
         "{\"links\":[\"https://a.b/c?d=1\",\"http://e.f\",\"https://\"]}"},
        {"extract_key_points", "- one\n* two\n 3. three\n10) ten\nfour",
         "{\"key_points\":[\"one\",\"two\",\"three\",\"ten\"]}"},
        {"extract_recommendations", "I Recommend tea.\nnothing", "{\"recommendations\":[\"I Recommend tea.\"]}"},
        {"extract_errors", "ok\nTypeError: x\n", "{\"errors\":[\"TypeError: x\"]}"},
        {"extract_entities", "We met Ada Lovelace in London. Then home.",
         "{\"entities\":[\"Ada Lovelace\",\"London\"]}"},
        {"extract_metrics", "coverage: 81%\nnothing\nlatency: 20 ms",
         "{\"metrics\":[\"coverage: 81%\",\"latency: 20 ms\"]}"},
        {"extract_dependencies", "import os\nx", "{\"dependencies\":[\"import os\"]}"},
        {"generate_summary", "One. Two! Three? Four.", "{\"summary\":[\"One. Two! Three?\"]}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val names = list_of_one(rows[i].step);
        struct content c = content_process(&a, str_c(rows[i].text), STR("json"), &names, 500);
        assert_string_equal(json_text(&a, &c.extracted).p, rows[i].found);
        assert_true(str_is(c.text, rows[i].text)); /* JSON stays as it is */
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *format, *text, *want;
    } rows[] = {
        {"text", "x", "x"},
        {"markdown", "x", "# Extracted Content\n\nx"},
        {"markdown", "# T\nx", "# T\nx"},
        {"structured", "x", "## Extracted Content\n\nx"},
        {"summary", " 123456789012 ", "1234567..."},
        {"summary", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6",
         "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4..."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct content c = content_process(&a, str_c(rows[i].text), str_c(rows[i].format), NULL, 10);
        assert_true(str_is(c.text, rows[i].want));
    }
}

static void test_short_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *written, *schema;
    } rows[] = {
        {"{\"a\":\"string\"}",
         "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}"},
        {"{\"a\":[{\"b\":\"int\"}]}", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{"
                                      "\"type\":\"object\",\"properties\":{\"b\":{"
                                      "\"type\":\"integer\"}},\"required\":[\"b\"]}}},\"required\":[\"a\"]}"},
        {"{\"type\":\"object\"}", "{\"type\":\"object\"}"},
        {"{\"type\":\"string\",\"name\":\"string\"}", "{\"type\":\"object\",\"properties\":{\"type\":{\"type\":"
                                                      "\"string\"},\"name\":{\"type\":\"string\"}},\"required\":["
                                                      "\"type\",\"name\"]}"},
        {"{\"enum\":[1]}", "{\"enum\":[1]}"},
        {"{\"title\":\"string\",\"description\":\"string\"}",
         "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"}},"
         "\"required\":["
         "\"title\",\"description\"]}"},
        {"{\"a\":\"text of no type\"}", NULL},
        {"\"no_such_name\"", NULL},
        {"[1]", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val v;
        const struct val *schema;
        struct err err;
        assert_int_equal(json_parse(&a, str_c(rows[i].written), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
        enum rc rc = schema_from(&a, &v, &schema, &err);
        assert_int_equal(rc, rows[i].schema ? RC_OK : RC_INVALID);
        if (rows[i].schema)
            assert_string_equal(json_text(&a, schema).p, rows[i].schema);
    }
}

static void test_named_schemas(void **state)
{
    (void)state;
    struct err err;
    size_t n = 0;
    for (; schema_name_at(n); n++)
        assert_int_equal(schema_valid(schema_named(&a, str_c(schema_name_at(n))), &err), RC_OK);
    assert_int_equal(n, 6);
}

#define TEST(t) cmocka_unit_test_teardown(t, done)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_steps), TEST(test_forms), TEST(test_short_schemas),
                                       TEST(test_named_schemas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
