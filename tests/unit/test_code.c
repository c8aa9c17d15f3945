/* What codebase_query decides without parsing: what is ignored, what belongs together, which name fits. */
#include "code/graph.h"
#include "code/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_ignore(void **state)
{
    static const struct {
        const char *path;
        bool directory, ignored;
    } cases[] = {{"a.log", false, true},    {"x/a.log", false, true},   {"keep.log", false, false},
                 {"out", true, true},       {"out", false, false},      {"x/out", true, false},
                 {"x/tmp", true, true},     {"doc/a.txt", false, true}, {"doc/b/a.txt", false, false},
                 {"sub/made", false, true}, {"made", false, false},     {"deep/x/y/z.o", false, true},
                 {"", false, false}};
    struct arena a = {0};
    struct ignore *g = ignore_new(&a);
    (void)state;
    ignore_add(g, STR(""), STR("# comment\n*.log\n!keep.log\n/out/\ntmp/\r\ndoc/*.txt\ndeep/**/*.o\n[broken\n"));
    ignore_add(g, STR("sub"), STR("/made\n"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ignore_match(g, str_c(cases[i].path), cases[i].directory) != cases[i].ignored)
            fail_msg("%s%s", cases[i].path, cases[i].directory ? "/" : "");
    arena_done(&a);
}

static void test_subject(void **state)
{
    static const struct {
        const char *path, *subject;
    } cases[] = {{"lib/user.ex", "user"},       {"test/user_test.exs", "user"}, {"tests/test_user.py", "user"},
                 {"src/User.spec.ts", "user"},  {"src/UserTest.java", "user"},  {"user.d.ts", "user"},
                 {"spec/user_spec.rb", "user"}, {"store_test.go", "store"},     {"test.py", "test"},
                 {"a/.hidden", ".hidden"},      {"Makefile", "makefile"},       {"latest.js", "latest"}};
    struct arena a = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(arena_cstr(&a, path_subject(&a, str_c(cases[i].path))), cases[i].subject);
    arena_done(&a);
}

static void test_names(void **state)
{
    static const struct {
        const char *wish, *name;
        bool fits;
    } cases[] = {{"", "any", true},         {"get", "get", true}, {"get", "gets", false}, {"get*", "gets", true},
                 {"*s", "gets", true},      {"g?t", "get", true}, {"g?t", "gt", false},   {"*a*b*", "xaxbx", true},
                 {"*a*b*", "xbxax", false}, {"**", "", true},     {"?", "", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (name_fits(str_c(cases[i].wish), str_c(cases[i].name)) != cases[i].fits)
            fail_msg("%s %s", cases[i].wish, cases[i].name);
}

static void test_languages(void **state)
{
    (void)state;
    assert_int_equal(lang_of(STR("a/b.tsx")), LANG_TSX);
    assert_int_equal(lang_of(STR("a/Gemfile")), LANG_RUBY);
    assert_int_equal(lang_of(STR("a.py/readme")), LANG_NONE);
    assert_int_equal(lang_by_name(STR("ts")), 1u << LANG_TYPESCRIPT | 1u << LANG_TSX);
    assert_int_equal(lang_by_name(STR("cobol")), 0);
    assert_true(is_stdlib(LANG_PYTHON, STR("os.path")) && !is_stdlib(LANG_PYTHON, STR("o")));
    assert_true(is_stdlib(LANG_PYTHON, STR("zoneinfo")) && is_stdlib(LANG_PYTHON, STR("__future__")));
    assert_true(is_stdlib(LANG_GO, STR("net/http")) && !is_stdlib(LANG_GO, STR("example.com/x")));
    assert_true(is_stdlib(LANG_RUST, STR("std::fmt")) && !is_stdlib(LANG_RUST, STR("serde::de")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ignore), cmocka_unit_test(test_subject),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_languages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
