/* JSONPath: the examples of RFC 9535, its typing, I-Regexps, slices of work, and that nothing takes long. The whole of
 * the grammar is judged by the compliance suite (tests/scenario/test_jsonpath_suite.py). */
#include "data/iregexp.h"
#include "data/json.h"
#include "data/jsonpath.h"
#include "data/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct val parse_json(struct arena *a, const char *z)
{
    struct val v;
    struct err err;
    if (json_parse(a, str_c(z), NULL, &v, &err) != RC_OK)
        fail_msg("%s: %s", z, err.msg);
    return v;
}

static const struct jsonpath *parse(struct arena *a, const char *z)
{
    const struct jsonpath *q = NULL;
    struct err err;
    if (jsonpath_parse(a, str_c(z), &q, &err) != RC_OK)
        fail_msg("%s: %s", z, err.msg);
    return q;
}

/* "value@path value@path …", in slices of `slice` steps. */
static const char *run(struct arena *a, const char *path, const char *json, uint64_t slice)
{
    struct val root = parse_json(a, json);
    struct jsonpath_run *r = jsonpath_run_new(parse(a, path), &root, a, 1000000, true);
    struct buf b;
    struct jsonpath_node n;
    struct err err;
    bool more = true;
    buf_init(&b, 1 << 20);
    for (unsigned calls = 0; more; calls++) {
        uint64_t left = slice;
        if (jsonpath_next(r, &left, &n, &more, &err) != RC_OK)
            fail_msg("%s: %s", path, err.msg);
        assert_true(calls < 100000);
        if (!n.v)
            continue;
        struct str value = json_text(a, n.v), at = jsonpath_path(a, &n);
        buf_printf(&b, "%s%.*s@%.*s", b.n ? " " : "", STR_ARG(value), STR_ARG(at));
        more = true;
    }
    jsonpath_run_free(r);
    const char *z = arena_cstr(a, buf_str(&b));
    buf_done(&b);
    return z;
}

#define DOC "{\"o\": {\"j\": 1, \"k\": 2}, \"a\": [5, 3, [{\"j\": 4}, {\"k\": 6}]]}"
#define FILTERS                                                                                   \
    "{\"a\": [3, 5, 1, 2, 4, 6, {\"b\": \"j\"}, {\"b\": \"k\"}, {\"b\": {}}, {\"b\": \"kilo\"}]," \
    " \"o\": {\"p\": 1, \"q\": 2, \"r\": 3, \"s\": 5, \"t\": {\"u\": 6}}, \"e\": \"f\"}"

static void examples_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *path, *json, *expected;
    } cases[] = {
        {"$", "7", "7@$"},
        {"$.o['j']", DOC, "1@$['o']['j']"},
        {"$[\"o\"]", "{\"o\": null}", "null@$['o']"},
        {"$.o.*", DOC, "1@$['o']['j'] 2@$['o']['k']"},
        {"$.a[1]", DOC, "3@$['a'][1]"},
        {"$.a[-1][0].j", DOC, "4@$['a'][2][0]['j']"},
        {"$[1:3]", "[0, 1, 2, 3]", "1@$[1] 2@$[2]"},
        {"$[5:1:-2]", "[0, 1, 2, 3, 4, 5, 6]", "5@$[5] 3@$[3]"},
        {"$[::-1]", "[0, 1, 2]", "2@$[2] 1@$[1] 0@$[0]"},
        {"$[::0]", "[0, 1]", ""},
        {"$[-9007199254740991:9007199254740991:9007199254740991]", "[0, 1]", "0@$[0]"},
        {"$..j", DOC, "1@$['o']['j'] 4@$['a'][2][0]['j']"},
        {"$..[0]", DOC, "5@$['a'][0] {\"j\":4}@$['a'][2][0]"},
        {"$.a..[0, 1]", DOC, "5@$['a'][0] 3@$['a'][1] {\"j\":4}@$['a'][2][0] {\"k\":6}@$['a'][2][1]"},
        {"$.a[?@.b == 'kilo']", FILTERS, "{\"b\":\"kilo\"}@$['a'][9]"},
        {"$.a[?@ > 3.5]", FILTERS, "5@$['a'][1] 4@$['a'][4] 6@$['a'][5]"},
        {"$.a[?@.b].b", FILTERS, "\"j\"@$['a'][6]['b'] \"k\"@$['a'][7]['b'] {}@$['a'][8]['b'] \"kilo\"@$['a'][9]['b']"},
        {"$[?@.*]", "[{}, [1], 2]", "[1]@$[1]"},
        {"$[?@[?@.b]]", "{\"a\": [{\"b\": 1}], \"o\": [1]}", "[{\"b\":1}]@$['a']"},
        {"$.a[?@<2 || @.b == \"k\"]", FILTERS, "1@$['a'][2] {\"b\":\"k\"}@$['a'][7]"},
        {"$.a[?match(@.b, \"[jk]\")]", FILTERS, "{\"b\":\"j\"}@$['a'][6] {\"b\":\"k\"}@$['a'][7]"},
        /* the same pattern in both functions is two */
        {"$.a[?search(@.b, \"k\") && !match(@.b, \"k\")].b", FILTERS, "\"kilo\"@$['a'][9]['b']"},
        {"$.a[?search(@.b, \"[jk]\")].b", FILTERS, "\"j\"@$['a'][6]['b'] \"k\"@$['a'][7]['b'] \"kilo\"@$['a'][9]['b']"},
        {"$.o[?@>1 && @<4]", FILTERS, "2@$['o']['q'] 3@$['o']['r']"},
        {"$.a[?@.b == $.x]", FILTERS, "3@$['a'][0] 5@$['a'][1] 1@$['a'][2] 2@$['a'][3] 4@$['a'][4] 6@$['a'][5]"},
        {"$[?length(@) == 2]", "[\"ñ😀\", [1, 2], {\"a\": 1}, 2]", "\"ñ😀\"@$[0] [1,2]@$[1]"},
        {"$[?count(@..*) > 2]", "[[1, [2, 3]], [1]]", "[1,[2,3]]@$[0]"},
        {"$[?value(@..b) == 1]", "[{\"a\": {\"b\": 1}}, {\"b\": 1, \"c\": {\"b\": 1}}]", "{\"a\":{\"b\":1}}@$[0]"},
        {"$[?@ == 18446744073709551616]", "[18446744073709551616, 18446744073709551615]", "18446744073709551616@$[0]"},
        {"$[?@ < 9007199254740993]", "[9007199254740992.0, 9007199254740993]", "9007199254740992.0@$[0]"},
        {"$[?@ == @]", "[1, \"a\", null, {\"a\": []}]", "1@$[0] \"a\"@$[1] null@$[2] {\"a\":[]}@$[3]"},
        {"$[?@.a >= @.b]", "[{}, {\"a\": 1}, {\"a\": true, \"b\": true}]", "{}@$[0] {\"a\":true,\"b\":true}@$[2]"},
        {"$[?'a\\u0301' == @, 0]", "[\"a\xcc\x81\", \"\xc3\xa1\"]", "\"a\xcc\x81\"@$[0] \"a\xcc\x81\"@$[0]"},
        {"$ ['a'] [ 'b' ]", "{\"a\": {\"b\": 1}}", "1@$['a']['b']"},
        {"$.*", "{\"it's\\n\\u0001\\\\\": 1}", "1@$['it\\'s\\n\\u0001\\\\']"},
    };
    static const uint64_t slices[] = {UINT64_MAX, 1, 7};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
            struct arena a = {0};
            assert_string_equal(run(&a, cases[i].path, cases[i].json, slices[k]), cases[i].expected);
            arena_done(&a);
        }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *why;
    } cases[] = {
        {"", "byte 1: expected $"},
        {"a.b", "byte 1: expected $"},
        {"$ ", "byte 2: expected a segment"},
        {"$.", "byte 3: expected a name or *"},
        {"$.1a", "byte 3: expected a name"},
        {"$['a'", "byte 6: expected , or ]"},
        {"$[01]", "with a 0 in front"},
        {"$[-0]", "-0 is no index"},
        {"$[9007199254740992]", "beyond 2^53 - 1"},
        {"$['\\q']", "byte 5: unknown escape"},
        {"$['\\ud800']", "other half"},
        {"$['a\nb']", "byte 5: a control character"},
        {"$['a]", "byte 3: a string without its end"},
        {"$[?@.a == ]", "byte 11: expected @, $, a number"},
        {"$[?@.* == 1]", "byte 4: only values can be compared"},
        {"$[?1 == @..a]", "byte 9: only values can be compared"},
        {"$[?match(@.a, 'x') == true]", "only values can be compared"},
        {"$[?length(@.a)]", "a value alone is no condition"},
        {"$[?true]", "a value alone is no condition"},
        {"$[?length(@.*) > 1]", "length() takes a value"},
        {"$[?count(1) > 1]", "count() takes a query"},
        {"$[?count(@.a, @.b) > 1]", "count() takes 1 argument"},
        {"$[?match(@.a)]", "match() takes 2 arguments"},
        {"$[?size(@) > 1]", "unknown function size()"},
        {"$[?length (@) > 1]", "expected @, $, a number"},
        {"$[?!@.a == 1]", "expected , or ]"},
        {"$[?(@.a]", "expected )"},
        {"$[?@.a == 1.]", "not a number"},
        {"$.a b", "byte 4: expected a segment"},
        {"$[\xff]", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        const struct jsonpath *q;
        struct err err;
        assert_int_equal(jsonpath_parse(&a, str_c(cases[i].path), &q, &err), RC_INVALID);
        if (!strstr(err.msg, cases[i].why))
            fail_msg("%s: %s; expected %s", cases[i].path, err.msg, cases[i].why);
        arena_done(&a);
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const char *const parts[] = {"[?(", "[?@", "[?count($", "[?!("};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct arena a = {0};
        struct buf b;
        struct err err;
        const struct jsonpath *q;
        buf_init(&b, JSONPATH_TEXT_MAX);
        buf_addc(&b, '$');
        for (int k = 0; k < 5000; k++)
            buf_addz(&b, parts[i]);
        assert_int_equal(jsonpath_parse(&a, buf_str(&b), &q, &err), RC_INVALID);
        buf_clear(&b);
        buf_addz(&b, "$[?");
        for (int k = 0; k < 9000; k++)
            buf_addz(&b, "@.a||");
        buf_addz(&b, "@]");
        struct val root = parse_json(&a, "[1]"), got;
        assert_int_equal(jsonpath_parse(&a, buf_str(&b), &q, &err), RC_OK); /* a long chain is not deep */
        assert_int_equal(jsonpath_query(q, &root, JSONPATH_FUEL, &a, &got, &err), RC_OK);
        assert_int_equal(got.arr.n, 1);
        buf_done(&b);
        arena_done(&a);
    }
}

static void fuel_ends(void **state)
{
    (void)state;
    static const struct {
        const char *path, *json, *why;
    } cases[] = {
        {"$..*..*..*..*..*..*",
         "[[[[[[[[[[[[[[[[[[[[[[[[1,2],3],4],5],6],7],8],9],10],11],12],13],14],15],16],17],18],19],20],21],22],23],24]"
         ",25]",
         "too many steps"},
        {"$..[?count($..*) > count($..[?@..*])]",
         "[[[[[[[[[[[[[[[[[[[[[[[[1,2],3],4],5],6],7],8],9],10],11],12],13],14],15],16],17],18],19],20],21],22],23],24]"
         ",25]",
         "too many steps"},
        {"$[0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0]", "[[[[[1]]]]]",
         "too many steps"},
        {"$[?search(@, '(((a*)*)*c|[^-]*[^-]*[^-]*b)')]",
         "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", "too many steps"},
        {"$[?match('a', '(((a{1000}){1000}){1000})')]", "[1]", NULL},
        {"$[?match('a', 'a{70000}')]", "[1]", "repeats something more than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err;
        struct val root = parse_json(&a, cases[i].json), got;
        enum rc rc = jsonpath_query(parse(&a, cases[i].path), &root, 20000, &a, &got, &err);
        if (rc != (cases[i].why ? RC_LIMIT : RC_OK))
            fail_msg("%s: %s", cases[i].path, rc_name(rc));
        if (cases[i].why && !strstr(err.msg, cases[i].why))
            fail_msg("%s: %s", cases[i].path, err.msg);
        arena_done(&a);
    }
}

static void i_regexps(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        int whole, part; /* does it match; -1: refused */
    } cases[] = {
        {"a.c", "abc", 1, 1},
        {"a.c", "a\nc", 0, 0},
        {"b", "abc", 0, 1},
        {"a|bc", "bc", 1, 1},
        {"a|b", "ab", 0, 1},
        {"", "", 1, 1},
        {"a{2,3}", "aaa", 1, 1},
        {"a{2,}", "a", 0, 0},
        {"[^a-c]", "d", 1, 1},
        {"[-a]+", "-a", 1, 1},
        {"[a-]+", "-a", 1, 1},
        {"[^-]", "-", 0, 0},
        {"[\\]\\-\\\\]+", "]-\\", 1, 1},
        {"[.&~#/]+", ".&~#/", 1, 1},
        {"\\p{Lu}\\P{L}", "Ä1", 1, 1},
        {"[\\p{L}\\d]", "a", -1, -1},
        {"\\.\\*\\n", ".*\n", 1, 1},
        {"x$", "x\n", 0, 0},
        {"^x", "x", 1, 1},
        {"#x /", "#x /", 1, 1},
        {"(ab)+", "abab", 1, 1},
        {"\\d", "1", -1, -1},
        {"\\p{Letter}", "a", -1, -1},
        {"\\p{IsBasicLatin}", "a", -1, -1},
        {"(?:a)", "a", -1, -1},
        {"(?=a)", "a", -1, -1},
        {"(*LIMIT_MATCH=1)a", "a", -1, -1},
        {"a**", "a", -1, -1},
        {"a+?", "a", -1, -1},
        {"[]", "a", -1, -1},
        {"[b-a]", "a", -1, -1},
        {"[[:alpha:]]", "a", -1, -1},
        {"[a", "a", -1, -1},
        {"(a", "a", -1, -1},
        {"a)", "a", -1, -1},
        {"a{3,2}", "a", -1, -1},
        {"a{,2}", "a", -1, -1},
        {"a]", "a]", -1, -1},
        {"\\1", "a", -1, -1},
        {"\\", "a", -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int whole = 0; whole < 2; whole++) {
            struct buf b;
            struct err err;
            struct regex *re = NULL;
            struct regex_match m = {0};
            buf_init(&b, 1000);
            int expected = whole ? cases[i].whole : cases[i].part, got = -1;
            if (iregexp_translate(str_c(cases[i].pattern), whole, &b, &err) == RC_OK) {
                assert_int_equal(regex_compile(buf_str(&b), false, &re, &err), RC_OK);
                assert_int_equal(regex_search(re, str_c(cases[i].subject), 0, &m, &err), RC_OK);
                got = m.found;
            }
            if (got != expected)
                fail_msg("%s on %s: %d; expected %d", cases[i].pattern, cases[i].subject, got, expected);
            regex_free(re);
            buf_done(&b);
        }
}

static void patterns_written_in_a_query_are_checked(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    assert_int_equal(jsonpath_check_patterns(parse(&a, "$[?match(@.a, '[0-9]+') || @.b]"), &err), RC_OK);
    assert_int_equal(jsonpath_check_patterns(parse(&a, "$.a[?@.c && !(@[?search(@, '\\\\d')])]"), &err), RC_INVALID);
    assert_non_null(strstr(err.msg, "write [0-9] for \\d"));
    arena_done(&a);
}

static void singular_queries(void **state)
{
    (void)state;
    struct arena a = {0};
    assert_true(jsonpath_is_singular(parse(&a, "$.a['b'][0]")));
    assert_false(jsonpath_is_singular(parse(&a, "$.a[0,1]")));
    assert_false(jsonpath_is_singular(parse(&a, "$..a")));
    assert_false(jsonpath_is_singular(parse(&a, "$.a[0:1]")));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc), cmocka_unit_test(refused),
        cmocka_unit_test(nesting_is_bounded),  cmocka_unit_test(fuel_ends),
        cmocka_unit_test(i_regexps),           cmocka_unit_test(patterns_written_in_a_query_are_checked),
        cmocka_unit_test(singular_queries),
    };
    return cmocka_run_group_tests_name("jsonpath", tests, NULL, NULL);
}
