/* Regular expressions: groups, Unicode, bad input, and that no pattern takes long. */
#include "data/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct regex *compile(const char *pattern, bool ignore_case)
{
    struct regex *r = NULL;
    struct err err;
    if (regex_compile(str_c(pattern), ignore_case, &r, &err))
        fail_msg("%s: %s", pattern, err.msg);
    return r;
}

static void searches_and_groups(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject,
            *groups; /* groups joined by '|', '-' for one that took no part; NULL: no match */
        bool ignore_case;
    } cases[] = {
        {"b+", "abbbc", "bbb", false},
        {"^b", "ab", NULL, false},
        {"(?m)^b", "a\nb", "b", false},
        {"(a)(x)?(c)", "ac", "ac|a|-|c", false},
        {"(a)(x)?", "a", "a|a|-", false}, /* a trailing group that took no part */
        {"(?<y>\\d{4})-(?<m>\\d\\d)", "on 2026-11-30", "2026-11|2026|11", false},
        {"ERROR", "an error", NULL, false},
        {"ERROR", "an error", "error", true},
        {"ÄÖ", "xäöx", "äö", true},
        {"^\\w+$", "größe", "größe", false},
        {"^.$", "😀", "😀", false},
        {"\\p{Han}+", "a漢字b", "漢字", false},
        {"", "abc", "", false},
        {"x*$", "", "", false},
        {"(a+)\\1$", "aaaa", "aaaa|aa", false},
        {"a{2,3}", "aaaa", "aaa", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct regex *r = compile(cases[i].pattern, cases[i].ignore_case);
        struct regex_match m;
        struct err err;
        assert_int_equal(regex_search(r, str_c(cases[i].subject), 0, &m, &err), RC_OK);
        assert_int_equal(m.found, cases[i].groups != NULL);
        char got[200] = "";
        for (unsigned g = 0; g < m.ngroups; g++) {
            size_t n = strlen(got);
            struct str s = m.group[g].p ? m.group[g] : STR("-");
            snprintf(got + n, sizeof got - n, "%s%.*s", g ? "|" : "", STR_ARG(s));
        }
        if (cases[i].groups)
            assert_string_equal(got, cases[i].groups);
        regex_free(r);
    }
    regex_free(NULL);
}

static void more_groups_than_fit(void **state)
{
    (void)state;
    char pattern[40 * 3 + 1] = "";
    for (size_t i = 0; i < 40; i++)
        memcpy(pattern + 3 * i, "(.)", 4);
    struct regex *r = compile(pattern, false);
    struct regex_match m;
    struct err err;
    assert_int_equal(regex_search(r, STR("0123456789012345678901234567890123456789"), 0, &m, &err), RC_OK);
    assert_int_equal(m.ngroups, REGEX_GROUPS);
    assert_int_equal(m.group[0].n, 40);
    assert_true(str_is(m.group[31], "0"));
    regex_free(r);
}

static void going_through_all_matches(void **state)
{
    (void)state;
    struct regex *r = compile("\\bé\\w*|$", false);
    struct str s = STR("été xé énorme");
    struct regex_match m;
    struct err err;
    unsigned found = 0;
    for (size_t at = 0; at < s.n;) {
        assert_int_equal(regex_search(r, s, at, &m, &err), RC_OK);
        assert_true(m.found);
        found += m.group[0].n > 0;
        at = (size_t)(m.group[0].p - s.p) + m.group[0].n;
    }
    assert_int_equal(found, 2);
    assert_int_equal(regex_search(r, s, s.n, &m, &err), RC_OK);
    assert_true(m.found && m.group[0].n == 0);
    regex_free(r);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(",    "[a",   "*a",    "a{2,1}", "(?<n>a)(?<n>b)", "\\", "\\C",
                                           "\xff", "(?P<", "[z-a]", "\\1"};
    struct regex *r = NULL;
    struct regex_match m;
    struct err err;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        assert_int_equal(regex_compile(str_c(patterns[i]), false, &r, &err), RC_INVALID);
        assert_non_null(strstr(err.msg, "at byte"));
        assert_null(r);
    }
    static char huge[100000];
    memset(huge, 'a', sizeof huge);
    assert_int_equal(regex_compile(str_n(huge, sizeof huge), false, &r, &err), RC_INVALID);
    assert_int_equal(regex_compile(STR("a\0b"), false, &r, &err), RC_OK); /* NUL is a character */
    assert_int_equal(regex_search(r, STR("xa\0b"), 0, &m, &err), RC_OK);
    assert_true(m.found);
    assert_int_equal(regex_search(r, STR("a\xff"), 0, &m, &err), RC_INVALID);
    assert_int_equal(regex_search(r, STR("é"), 1, &m, &err), RC_INVALID);
    assert_int_equal(regex_search(r, STR("é"), 3, &m, &err), RC_INVALID);
    assert_int_equal(regex_search(r, (struct str){0}, 0, &m, &err), RC_OK);
    assert_false(m.found);
    regex_free(r);
}

/* Patterns whose cost grows with a power of the subject or worse: each ends, with or without a result, and does so at
 * the same step every time. */
static void no_pattern_hangs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool limited;
    } cases[] = {
        {"^(a+)+$", true},
        {"a*[bc]", true}, /* what PCRE2's own match limit does not see, this and the next two */
        {"a{30000}[bc]", true},
        {"(?i)(a+)\\1[bc]", true},
        {"(a{1000}){60}[bc]", true},
        {"(*LIMIT_MATCH=4000000000)((a*)*)*[bc]", true},
        {"(?:a(?=.*a$))", true},
        {"[bc]", false},
        {"a+!", false},
        {"^.*[bc]$", false},
    };
    enum { N = 200000 };
    static char subject[N];
    memset(subject, 'a', N);
    subject[N - 1] = '!';
    clock_t start = clock();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct regex *r = compile(cases[i].pattern, false);
        struct regex_match m;
        struct err err;
        enum rc rc = regex_search(r, str_n(subject, N), 0, &m, &err);
        if ((rc == RC_LIMIT) != cases[i].limited || (rc != RC_OK && rc != RC_LIMIT))
            fail_msg("%s: %s", cases[i].pattern, rc_name(rc));
        regex_free(r);
    }
    assert_true(clock() - start < 60 * CLOCKS_PER_SEC); /* a fraction of a second each; sanitizers are slow */
}

static void honest_patterns_on_much_text(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    char *text = malloc(N);
    for (size_t i = 0; i < N; i++)
        text[i] = "key=value 3.14 foo_bar(x)\n"[i % 26];
    static const char *const patterns[] = {"\\w+@\\w+\\.org",   "(?m)^ERROR: (.*)$", "(\\d+)\\.(\\d+)\\.", "zzz",
                                           "foo_(\\w+)\\(y\\)", "\\bval\\w{3,60}\\b"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct regex *r = compile(patterns[i], false);
        struct regex_match m;
        struct err err;
        assert_int_equal(regex_search(r, str_n(text, N), 0, &m, &err), RC_OK);
        assert_false(m.found);
        regex_free(r);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_and_groups),       cmocka_unit_test(more_groups_than_fit),
        cmocka_unit_test(going_through_all_matches), cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(no_pattern_hangs),          cmocka_unit_test(honest_patterns_on_much_text),
    };
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
