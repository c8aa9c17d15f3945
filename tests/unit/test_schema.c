/* JSON Schema: every keyword with values on both sides of it and the words of the violation; what is refused as a
 * schema, with its place; numbers, patterns and formats; limits. What the public test suite says is compared in
 * tests/scenario/test_schema_suite.py. */
#include "data/json.h"
#include "data/schema.h"
#include "data/schema_int.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct val parsed(struct arena *a, const char *json)
{
    struct val v;
    struct err err;
    if (json_parse(a, str_c(json), NULL, &v, &err))
        fail_msg("%s: %s", json, err.msg);
    return v;
}

struct judged {
    const char *schema, *value;
    const char *report; /* NULL: the value fits */
};

static void judge(const struct judged *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena a = {0};
        struct err err = {0};
        struct str report;
        struct val schema = parsed(&a, cases[i].schema), v = parsed(&a, cases[i].value);
        enum rc rc = schema_report(&schema, &v, &a, &report, &err);
        if (rc != (cases[i].report ? RC_SCHEMA : RC_OK))
            fail_msg("%s with %s: %s %s", cases[i].schema, cases[i].value, rc_name(rc), rc ? err.msg : "");
        if (!str_is(report, cases[i].report ? cases[i].report : ""))
            fail_msg("%s with %s:\n  %.*s\nwanted\n  %s", cases[i].schema, cases[i].value, STR_ARG(report),
                     cases[i].report ? cases[i].report : "nothing");
        assert_int_equal(schema_valid(&schema, &err), RC_OK);
        arena_done(&a);
    }
}
#define JUDGE(cases) judge((cases), sizeof(cases) / sizeof *(cases))

static void types_and_choices(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{}", "[1]", NULL},
        {"true", "null", NULL},
        {"false", "null", "/: is null; expected nothing here"},
        {"{\"type\":\"string\"}", "\"x\"", NULL},
        {"{\"type\":\"string\"}", "5", "/: is 5 (integer); expected string"},
        {"{\"type\":\"integer\"}", "1.0", NULL},
        {"{\"type\":\"integer\"}", "1e300", NULL},
        {"{\"type\":\"integer\"}", "123456789012345678901234567890", NULL},
        {"{\"type\":\"integer\"}", "1.5", "/: is 1.5 (number); expected integer"},
        {"{\"type\":\"number\"}", "5", NULL},
        {"{\"type\":\"boolean\"}", "0", "/: is 0 (integer); expected boolean"},
        {"{\"type\":\"null\"}", "false", "/: is false (boolean); expected null"},
        {"{\"type\":\"object\"}", "[]", "/: is 0 items (array); expected object"},
        {"{\"type\":\"array\"}", "{\"a\":1}", "/: is 1 member (object); expected array"},
        {"{\"type\":[\"string\",\"array\",\"null\"]}", "true", "/: is true (boolean); expected string, array or null"},
        {"{\"type\":\"null\"}", "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
         "/: is \"012345678901234567890123456789012345678901234567890123456789\"… (string); expected null"},
        {"{\"const\":{\"a\":[1,2]}}", "{\"a\":[1.0,2]}", NULL},
        {"{\"const\":{\"a\":[1,2]}}", "{\"a\":[2,1]}", "/: is 1 member (object); expected 1 member (object)"},
        {"{\"const\":1}", "true", "/: is true (boolean); expected 1"},
        {"{\"enum\":[\"a\",null,7]}", "7.0", NULL},
        {"{\"enum\":[\"a\",null,7]}", "\"b\"", "/: is \"b\" (string); expected \"a\", null or 7"},
        {"{\"enum\":[1,2,3,4,5,6,7,8,9,10,11]}", "0",
         "/: is 0 (integer); expected 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and so on (11 choices)"},
        {"{\"unknown\":5,\"format\":\"of the house\"}", "\"x\"", NULL},
    };
    JUDGE(cases);
}

static void numbers(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{\"minimum\":3}", "3.0", NULL},
        {"{\"minimum\":3}", "2.9", "/: is 2.9 (number); expected at least 3"},
        {"{\"maximum\":3.5}", "4", "/: is 4 (integer); expected at most 3.5"},
        {"{\"exclusiveMinimum\":3}", "3", "/: is 3 (integer); expected more than 3"},
        {"{\"exclusiveMaximum\":3}", "3", "/: is 3 (integer); expected less than 3"},
        {"{\"minimum\":\"\",\"minimum\":3}", "\"2\"", NULL},
        /* beyond what a double can tell apart */
        {"{\"maximum\":9007199254740992}", "9007199254740993",
         "/: is 9007199254740993 (integer); expected at most 9007199254740992"},
        {"{\"exclusiveMaximum\":9007199254740992.0}", "9007199254740991", NULL},
        {"{\"maximum\":9007199254740992.0}", "9007199254740993",
         "/: is 9007199254740993 (integer); expected at most 9007199254740992.0"},
        {"{\"minimum\":9223372036854775807}", "9223372036854775808", NULL},
        {"{\"exclusiveMinimum\":9223372036854775808}", "9223372036854775808.0",
         "/: is 9.223372036854776e+18 (number); expected more than 9223372036854775808"},
        {"{\"maximum\":-9223372036854775809}", "-9223372036854775808",
         "/: is -9223372036854775808 (integer); expected at most -9223372036854775809"},
        {"{\"minimum\":-123456789012345678901}", "-123456789012345678900", NULL},
        {"{\"minimum\":-123456789012345678901}", "-1234567890123456789010",
         "/: is -1234567890123456789010 (integer); expected at least -123456789012345678901"},
        {"{\"maximum\":1e300}", "99999999999999999999999999", NULL},
        {"{\"minimum\":5}", "-123456789012345678901", "/: is -123456789012345678901 (integer); expected at least 5"},
        {"{\"minimum\":-123456789012345678901}", "5", NULL},
        {"{\"maximum\":0.5}", "-123456789012345678901", NULL},
        {"{\"minimum\":-1e300}", "5", NULL},
        {"{\"minimum\":123456789012345678901}", "-123456789012345678901",
         "/: is -123456789012345678901 (integer); expected at least 123456789012345678901"},
        {"{\"multipleOf\":3}", "9", NULL},
        {"{\"multipleOf\":3}", "-9", NULL},
        {"{\"multipleOf\":3}", "0", NULL},
        {"{\"multipleOf\":3}", "10", "/: is 10 (integer); expected a multiple of 3"},
        {"{\"multipleOf\":0.1}", "0.3", NULL},
        {"{\"multipleOf\":0.01}", "19.99", NULL},
        {"{\"multipleOf\":0.01}", "19.999", "/: is 19.999 (number); expected a multiple of 0.01"},
        {"{\"multipleOf\":1.5}", "3", NULL},
        {"{\"multipleOf\":0.5}", "1e308", NULL},
        {"{\"multipleOf\":0.123456789}", "1e308", "/: is 1e+308 (number); expected a multiple of 0.123456789"},
        {"{\"multipleOf\":1e20}", "300000000000000000000", NULL},
        {"{\"multipleOf\":1e20}", "300000000000000000001",
         "/: is 300000000000000000001 (integer); expected a multiple of 1e+20"},
        {"{\"multipleOf\":7}", "700000000000000000000000000000007", NULL},
        {"{\"multipleOf\":7}", "700000000000000000000000000000001",
         "/: is 700000000000000000000000000000001 (integer); expected a multiple of 7"},
        {"{\"multipleOf\":123456789012345678901234567891}", "15241578753238836750495351562783112332874561805827152",
         "/: is 15241578753238836750495351562783112332874561805827152 (integer); expected a multiple of "
         "123456789012345678901234567891"},
        {"{\"multipleOf\":123456789012345678901234567891}", "246913578024691357802469135782", NULL},
        {"{\"multipleOf\":123456789012345678901234567891}", "123456789012345678901234567891000", NULL},
        {"{\"multipleOf\":9223372036854775808}", "-9223372036854775808", NULL},
        {"{\"multipleOf\":5e-324}", "1e-323", NULL},
    };
    JUDGE(cases);
}

static void text(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{\"minLength\":2}", "\"é\"", "/: has 1 character; expected at least 2"},
        {"{\"maxLength\":2.0}", "\"é😀\"", NULL},
        {"{\"maxLength\":2.0}", "\"abc\"", "/: has 3 characters; expected at most 2"},
        {"{\"maxLength\":100000000000000000000}", "\"abc\"", NULL},
        {"{\"pattern\":\"b\"}", "\"abc\"", NULL},
        {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"",
         "/: is \"abc\\n\" (string); expected a match of the pattern \"^[a-z]+$\""},
        {"{\"pattern\":\"^\\\\d+$\"}", "\"٣\"", "/: is \"٣\" (string); expected a match of the pattern \"^\\\\d+$\""},
        {"{\"pattern\":\"^[\\\\d-]+$\"}", "\"0-9\"", NULL},
        {"{\"pattern\":\"^[\\\\w-a]+$\"}", "\"b-A_9\"", NULL},
        {"{\"pattern\":\"^\\\\W$\"}", "\"é\"", NULL},
        {"{\"pattern\":\"^\\\\s$\"}", "\"\\ufeff\"", NULL},
        {"{\"pattern\":\"^\\\\u0041\\\\u{1F600}\\\\uD83D\\\\ude00$\"}", "\"A😀😀\"", NULL},
        {"{\"pattern\":\"^[^]$\"}", "\"\\n\"", NULL},
        {"{\"pattern\":\"^[]$\"}", "\"x\"", "/: is \"x\" (string); expected a match of the pattern \"^[]$\""},
        {"{\"pattern\":\"^[[:a]+$\"}", "\"[:a\"", NULL},
        {"{\"pattern\":\"^\\\\p{Letter}+\\\\p{gc=digit}$\"}", "\"é٣\"", NULL},
        {"{\"pattern\":\"a\\\\$b\"}", "\"a$b\"", NULL},
        {"{\"pattern\":\"^\\\\pL$\"}", "\"é\"", NULL},
        {"{\"type\":\"null\"}", "\"ééééééééééééééééééééééééééééééxx\"",
         "/: is \"éééééééééééééééééééééééééééééé\"… (string); expected null"},
        {"{\"type\":\"null\"}", "\"xééééééééééééééééééééééééééééééxx\"",
         "/: is \"xééééééééééééééééééééééééééééé\"… (string); expected null"},
    };
    JUDGE(cases);
}

static void objects(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"b\":1}", NULL},
        {"{\"properties\":{\"a/b\":{\"items\":{\"type\":\"string\"}}}}", "{\"a/b\":[\"\",1]}",
         "/a~1b/1: is 1 (integer); expected string"},
        {"{\"required\":[\"a\",\"b\"]}", "{}",
         "/: lacks \"a\"; expected it (required)\n/: lacks \"b\"; expected it (required)"},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\\n\":2}",
         "/b?: is not allowed here; expected \"a\""},
        {"{\"additionalProperties\":false}", "{\"a\":1}", "/a: is not allowed here; expected no other"},
        {"{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"additionalProperties\":false}", "{\"d\":1}",
         "/d: is not allowed here; expected \"a\", \"b\" or \"c\""},
        {"{\"properties\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{},\"i\":{},"
         "\"j\":{},\"k\":{}},\"additionalProperties\":false}",
         "{\"z\":1}",
         "/z: is not allowed here; expected \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", \"j\" and "
         "so on"},
        {"{\"patternProperties\":{\"^x\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"string\"}}",
         "{\"x1\":1,\"y\":2}", "/x1: is 1 (integer); expected null\n/y: is 2 (integer); expected string"},
        {"{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}",
         "/ the name \"abc\": has 3 characters; expected at most 2"},
        {"{\"minProperties\":1}", "{}", "/: has 0 properties; expected at least 1"},
        {"{\"maxProperties\":0}", "{\"a\":1}", "/: has 1 property; expected at most 0"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"b\":1}", NULL},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "/: lacks \"b\"; expected it (required)"},
        {"{\"dependentSchemas\":{\"a\":{\"minProperties\":2}}}", "{\"a\":1}", "/: has 1 property; expected at least 2"},
        {"{\"dependencies\":{\"a\":[\"b\"],\"c\":false}}", "{\"a\":1}", "/: lacks \"b\"; expected it (required)"},
        {"{\"unevaluatedProperties\":false,\"allOf\":[{\"properties\":{\"a\":true}}],\"properties\":{\"b\":true}}",
         "{\"a\":1,\"b\":2}", NULL},
        {"{\"unevaluatedProperties\":false,\"anyOf\":[{\"properties\":{\"a\":{\"type\":\"null\"}}},true]}", "{\"a\":1}",
         "/a: is not allowed here; expected no other"},
        {"{\"unevaluatedProperties\":{\"type\":\"null\"},\"if\":{\"required\":[\"a\"],\"properties\":{\"a\":true}}}",
         "{\"a\":1,\"b\":2}", "/b: is 2 (integer); expected null"},
        {"{\"unevaluatedProperties\":false,\"not\":{\"not\":{\"properties\":{\"a\":true}}}}", "{\"a\":1}",
         "/a: is not allowed here; expected no other"},
        {"{\"unevaluatedProperties\":false,\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"properties\":{\"a\":true}}}}",
         "{\"a\":1}", NULL},
    };
    JUDGE(cases);
}

static void arrays(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[\"\",null]", NULL},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[1,1]",
         "/0: is 1 (integer); expected string\n/1: is 1 (integer); expected null"},
        {"{\"prefixItems\":[true],\"items\":false}", "[1,2]", "/1: is 2 (integer); expected nothing here"},
        {"{\"minItems\":2}", "[1]", "/: has 1 item; expected at least 2"},
        {"{\"maxItems\":1}", "[1,2]", "/: has 2 items; expected at most 1"},
        {"{\"uniqueItems\":true}", "[1,\"1\",true,[1],{\"a\":1},{\"b\":1}]", NULL},
        {"{\"uniqueItems\":true}", "[0,{\"a\":1,\"b\":2},3,{\"b\":2.0,\"a\":1}]",
         "/: has equal items at 1 and 3; expected every item once (uniqueItems)"},
        {"{\"uniqueItems\":false}", "[1,1]", NULL},
        {"{\"contains\":{\"type\":\"null\"}}", "[1,null]", NULL},
        {"{\"contains\":{\"type\":\"null\"}}", "[1]",
         "/: has 0 that fit the schema under `contains`; expected at least 1"},
        {"{\"contains\":true,\"minContains\":0}", "[]", NULL},
        {"{\"contains\":{\"type\":\"null\"},\"minContains\":2,\"maxContains\":2}", "[null,null,null]",
         "/: has 3 that fit the schema under `contains`; expected at most 2"},
        {"{\"unevaluatedItems\":false,\"prefixItems\":[true],\"contains\":{\"type\":\"null\"}}", "[1,null]", NULL},
        {"{\"unevaluatedItems\":false,\"prefixItems\":[true],\"contains\":{\"type\":\"null\"}}", "[1,null,2]",
         "/2: is 2 (integer); expected nothing here"},
        {"{\"unevaluatedItems\":false,\"oneOf\":[{\"prefixItems\":[true],\"minItems\":9},{\"items\":true}]}", "[1,2]",
         NULL},
    };
    JUDGE(cases);
}

static void combinations(void **state)
{
    (void)state;
    static const char union_schema[] =
        "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"null\"}},\"required\":[\"k\"]},"
        "{\"properties\":{\"k\":{\"const\":\"b\"},\"y\":{\"type\":\"null\"}},\"required\":[\"k\",\"y\"]}]}";
    static const struct judged cases[] = {
        {"{\"allOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2",
         "/: is 2 (integer); expected at least 3\n/: is 2 (integer); expected at most 1"},
        {"{\"allOf\":[{\"minimum\":3},{\"minimum\":3}]}", "2", "/: is 2 (integer); expected at least 3"},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", "\"5\"",
         "/: is \"5\" (string); expected one of 2 alternatives (anyOf): (1) integer; (2) null"},
        {"{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"null\"}]}", "-1",
         "/: is -1 (integer); expected at least 0"},
        {"{\"anyOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2",
         "/: is 2 (integer); expected one of 2 alternatives (anyOf): (1) at least 3; (2) at most 1"},
        {"{\"anyOf\":[false,{\"type\":\"array\",\"items\":{\"type\":\"null\"}},{\"type\":\"null\"}]}", "[1,2]",
         "/0: is 1 (integer); expected null\n/1: is 2 (integer); expected null"},
        {union_schema, "{\"k\":\"b\"}", "/: lacks \"y\"; expected it (required)"},
        {"{\"anyOf\":[{\"const\":1},{\"const\":2},{\"const\":3},{\"const\":4},{\"const\":5}]}", "6",
         "/: is 6 (integer); expected one of 5 alternatives (anyOf): (1) 1; (2) 2; (3) 3; (4) 4; …"},
        {union_schema, "{\"k\":\"c\"}",
         "/: is 1 member (object); expected one of 2 alternatives (oneOf): (1) /k: is \"c\" (string); expected \"a\"; "
         "(2) /k: is \"c\" (string); expected \"b\""},
        {"{\"oneOf\":[{\"minimum\":1},false,{\"maximum\":3}]}", "2",
         "/: is 2 (integer), which fits alternatives 1 and 3; expected exactly one (oneOf)"},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":3}]}", "4", NULL},
        {"{\"not\":{\"type\":\"null\"}}", "1", NULL},
        {"{\"not\":{\"type\":\"null\"}}", "null",
         "/: is null, which fits the schema under `not`; expected anything else"},
        {"{\"if\":{\"minimum\":5},\"then\":{\"multipleOf\":2},\"else\":{\"multipleOf\":3}}", "6", NULL},
        {"{\"if\":{\"minimum\":5},\"then\":{\"multipleOf\":2},\"else\":{\"multipleOf\":3}}", "7",
         "/: is 7 (integer); expected a multiple of 2"},
        {"{\"if\":{\"minimum\":5},\"then\":{\"multipleOf\":2},\"else\":{\"multipleOf\":3}}", "4",
         "/: is 4 (integer); expected a multiple of 3"},
        {"{\"then\":false,\"else\":false}", "4", NULL},
    };
    JUDGE(cases);
}

static void references(void **state)
{
    (void)state;
    static const struct judged cases[] = {
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"type\":\"null\"}}}", "1",
         "/: is 1 (integer); expected null"},
        {"{\"$ref\":\"#/definitions/a~1b%25\",\"maxItems\":1,\"definitions\":{\"a/b%\":{\"type\":\"array\"}}}", "[1,2]",
         "/: has 2 items; expected at most 1"},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"null\"}}}", "{\"next\":{\"next\":{\"v\":1}}}",
         "/next/next/v: is 1 (integer); expected null"},
        {"{\"items\":{\"$ref\":\"#here\"},\"$defs\":{\"x\":{\"$anchor\":\"here\",\"type\":\"null\"}}}", "[1]",
         "/0: is 1 (integer); expected null"},
        {"{\"$ref\":\"#/prefixItems/1\",\"prefixItems\":[true,{\"type\":\"null\"}]}", "1",
         "/: is 1 (integer); expected null"},
        {"{\"$ref\":\"#/elsewhere\",\"elsewhere\":{\"type\":\"null\"}}", "1", "/: is 1 (integer); expected null"},
        {"{\"$id\":\"https://example.org/s\",\"$ref\":\"https://example.org/s#/$defs/a\",\"$defs\":{\"a\":false}}", "1",
         "/: is 1 (integer); expected nothing here"},
        /* a part with an $id is a schema of its own: # starts there */
        {"{\"$ref\":\"urn:x\",\"$defs\":{\"a\":{\"type\":\"string\"},\"x\":{\"$id\":\"urn:x\",\"$ref\":\"#/$defs/a\","
         "\"$defs\":{\"a\":{\"type\":\"null\"}}}}}",
         "1", "/: is 1 (integer); expected null"},
        /* relative addresses */
        {"{\"$ref\":\"item\",\"$defs\":{\"a\":{\"$id\":\"item\",\"type\":\"null\"}}}", "1",
         "/: is 1 (integer); expected null"},
        {"{\"$id\":\"https://e.org/d/root.json\",\"$ref\":\"../x/item.json#here\",\"$defs\":{\"a\":{\"$id\":\"/x/"
         "item.json\","
         "\"$defs\":{\"b\":{\"$anchor\":\"here\",\"type\":\"null\"}}}}}",
         "1", "/: is 1 (integer); expected null"},
        {"{\"$id\":\"https://e.org/"
         "tree\",\"properties\":{\"nodes\":{\"items\":{\"$ref\":\"node\"}}},\"$defs\":{\"n\":{\"$id\":"
         "\"https://e.org/node\",\"properties\":{\"v\":{\"type\":\"null\"},\"sub\":{\"$ref\":\"tree\"}}}}}",
         "{\"nodes\":[{\"sub\":{\"nodes\":[{\"v\":1}]}}]}", "/nodes/0/sub/nodes/0/v: is 1 (integer); expected null"},
        {"{\"$id\":\"https://e.org/a#\",\"$ref\":\"a#/$defs/x\",\"$defs\":{\"x\":{\"type\":\"null\"}}}", "1",
         "/: is 1 (integer); expected null"},
        {"{\"properties\":{\"$ref\":{\"type\":\"null\"}}}", "{\"$ref\":1}", "/$ref: is 1 (integer); expected null"},
        {"{\"const\":{\"$ref\":\"nowhere\"}}", "{\"$ref\":\"nowhere\"}", NULL},
    };
    JUDGE(cases);
}

/* The examples of RFC 3986, 5.4, and names that are no URLs. */
static void addresses(void **state)
{
    (void)state;
    static const char base[] = "http://a/b/c/d;p?q";
    static const struct {
        const char *base, *reference, *want;
    } cases[] = {
        {base, "g:h", "g:h"},
        {base, "g", "http://a/b/c/g"},
        {base, "./g", "http://a/b/c/g"},
        {base, "g/", "http://a/b/c/g/"},
        {base, "/g", "http://a/g"},
        {base, "//g", "http://g"},
        {base, "?y", "http://a/b/c/d;p?y"},
        {base, "g?y", "http://a/b/c/g?y"},
        {base, ";x", "http://a/b/c/;x"},
        {base, "g;x?y", "http://a/b/c/g;x?y"},
        {base, "", "http://a/b/c/d;p?q"},
        {base, ".", "http://a/b/c/"},
        {base, "./", "http://a/b/c/"},
        {base, "..", "http://a/b/"},
        {base, "../", "http://a/b/"},
        {base, "../g", "http://a/b/g"},
        {base, "../..", "http://a/"},
        {base, "../../g", "http://a/g"},
        {base, "../../../g", "http://a/g"},
        {base, "/./g", "http://a/g"},
        {base, "/../g", "http://a/g"},
        {base, "g.", "http://a/b/c/g."},
        {base, "..g", "http://a/b/c/..g"},
        {base, "./../g", "http://a/b/g"},
        {base, "./g/.", "http://a/b/c/g/"},
        {base, "g/./h", "http://a/b/c/g/h"},
        {base, "g/../h", "http://a/b/c/h"},
        {base, "g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {base, "g?y/../x", "http://a/b/c/g?y/../x"},
        {"http://a", "b", "http://a/b"},
        {"", "item.json", "item.json"},
        {"", "a/../../b", "b"},
        {"dir/a.json", "b.json", "dir/b.json"},
        {"dir/a.json", "../b.json", "b.json"},
        {"dir/a.json", "", "dir/a.json"},
        {"urn:uuid:1", "urn:uuid:2", "urn:uuid:2"},
        {"urn:uuid:1", "", "urn:uuid:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct str got = schema_uri(&a, str_c(cases[i].base), str_c(cases[i].reference));
        if (!str_is(got, cases[i].want))
            fail_msg("`%s` from `%s` is `%.*s`, not `%s`", cases[i].reference, cases[i].base, STR_ARG(got),
                     cases[i].want);
        arena_done(&a);
    }
}

static void bad_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *message;
    } cases[] = {
        {"5", "/: is 5 (integer); expected a schema (an object, true or false)"},
        {"{\"type\":\"strng\"}",
         "/type: is \"strng\" (string); expected string, integer, number, boolean, object, array or null"},
        {"{\"type\":[]}",
         "/type: is 0 items (array); expected string, integer, number, boolean, object, array or null"},
        {"{\"type\":[\"null\",3]}",
         "/type/1: is 3 (integer); expected string, integer, number, boolean, object, array or null"},
        {"{\"properties\":{\"a\":{\"items\":{\"minLength\":-1}}}}",
         "/properties/a/items/minLength: is -1 (integer); expected a whole number, 0 or greater"},
        {"{\"minItems\":1.5}", "/minItems: is 1.5 (number); expected a whole number, 0 or greater"},
        {"{\"exclusiveMinimum\":true}", "/exclusiveMinimum: is true (boolean); expected a number"},
        {"{\"multipleOf\":0}", "/multipleOf: is 0 (integer); expected a number greater than 0"},
        {"{\"multipleOf\":\"1\"}", "/multipleOf: is \"1\" (string); expected a number greater than 0"},
        {"{\"pattern\":\"(\"}", "/pattern: bad regular expression: missing closing parenthesis (at byte 1)"},
        {"{\"pattern\":\"(*UTF)a\"}", "/pattern: bad regular expression: nothing to repeat (at byte 0)"},
        {"{\"pattern\":\"\\\\ud800\"}", "/pattern: bad regular expression: \\u names no character (at byte 6)"},
        {"{\"patternProperties\":{\"[\":true}}", "/patternProperties/[: bad regular expression: missing terminating ] "
                                                 "for character class (at byte 1)"},
        {"{\"required\":true}", "/required: is true (boolean); expected an array of property names"},
        {"{\"required\":[1]}", "/required/0: is 1 (integer); expected a string"},
        {"{\"items\":[true]}", "/items: is 1 item (array); expected one schema (a schema for each place is written as "
                               "`prefixItems`)"},
        {"{\"anyOf\":[]}", "/anyOf: is 0 items (array); expected an array of at least one schema"},
        {"{\"allOf\":[1]}", "/allOf/0: is 1 (integer); expected a schema (an object, true or false)"},
        {"{\"properties\":[]}", "/properties: is 0 items (array); expected an object of schemas"},
        {"{\"enum\":5}", "/enum: is 5 (integer); expected an array of values"},
        {"{\"uniqueItems\":1}", "/uniqueItems: is 1 (integer); expected true or false"},
        {"{\"format\":1}", "/format: is 1 (integer); expected a string"},
        {"{\"$ref\":5}", "/$ref: is 5 (integer); expected a reference such as \"#/$defs/name\""},
        {"{\"pattern\":\"[\\\\u{}]\"}",
         "/pattern: bad regular expression: \\u{…} without a character's number (at byte 1)"},
        {"{\"dependentRequired\":{\"a\":{}}}",
         "/dependentRequired/a: is 0 members (object); expected an array of property names"},
        {"{\"$anchor\":\"\"}", "/$anchor: is \"\" (string); expected a name without `#`"},
        {"{\"$ref\":\"#/$defs/a\"}", "/$ref: is \"#/$defs/a\" (string); there is no such place in this schema"},
        {"{\"$ref\":\"#a\"}", "/$ref: is \"#a\" (string); there is no such place in this schema"},
        {"{\"$ref\":\"#/x\",\"x\":5}", "/$ref: is \"#/x\" (string); that place holds no schema"},
        {"{\"$ref\":\"https://example.org/s\"}",
         "/$ref: is \"https://example.org/s\" (string); expected a place in this schema, such as \"#/$defs/name\": "
         "nothing is fetched"},
        {"{\"$ref\":\"#/x\",\"x\":{\"type\":1}}",
         "/x/type: is 1 (integer); expected string, integer, number, boolean, object, array or null"},
        {"{\"$dynamicRef\":\"#a\"}", "/$dynamicRef: is \"#a\" (string); there is no such place in this schema"},
        {"{\"$dynamicAnchor\":\"a\",\"not\":{\"$dynamicRef\":\"#a\"}}",
         "/not/$dynamicRef: leads back to the same schema without going into the value; a check would never end"},
        {"{\"$recursiveRef\":\"#\"}",
         "/$recursiveRef: is \"#\" (string); expected `$dynamicRef`, which 2020-12 has in its place"},
        {"{\"$ref\":\"#\"}",
         "/$ref: leads back to the same schema without going into the value; a check would never end"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"not\":{\"$ref\":\"#\"}}]}",
         "/anyOf/1/not/$ref: leads back to the same schema without going into the value; a check would never end"},
        {"{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"if\":{\"$ref\":\"#/$defs/a\"}}}}",
         "/$defs/a/$ref: leads back to the same schema without going into the value; a check would never end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err = {0};
        struct str report;
        char wrapped[700];
        struct val schema = parsed(&a, cases[i].schema);
        if (schema_valid(&schema, &err) != RC_INVALID)
            fail_msg("accepted: %s", cases[i].schema);
        assert_string_equal(err.msg, cases[i].message);
        assert_int_equal(schema_report(&schema, &val_true, &a, &report, &err), RC_INVALID);
        snprintf(wrapped, sizeof wrapped, "the schema: %s", cases[i].message);
        assert_string_equal(err.msg, wrapped);
        assert_true(str_is(report, wrapped));
        arena_done(&a);
    }
}

static void formats(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        const char *good[16], *bad[28];
    } cases[] = {
        {"date",
         {"2026-11-23", "2024-02-29", "2000-02-29"},
         {"", "2023-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-04-31", "2026-1-1", "26-01-01",
          "2026-01-01 ", "2026/01/01", "２026-01-01"}},
        {"time",
         {"09:30:00Z", "09:30:00.25+05:30", "23:59:60Z", "22:59:60-01:00", "00:29:60+00:30", "09:30:00z"},
         {"09:30:00", "24:00:00Z", "09:60:00Z", "09:30:61Z", "22:59:60Z", "23:59:60+01:00", "09:30:00.Z", "09:30Z",
          "09:30:00+24:00", "09:30:00+0530"}},
        {"date-time",
         {"2026-11-23T09:30:00Z", "2026-11-23t09:30:00.5-08:00"},
         {"2026-11-23", "2026-11-23 09:30:00Z", "2026-11-23T09:30:00", "2026-02-30T09:30:00Z",
          "2026-11-23T09:30:00Z "}},
        {"duration",
         {"P3D", "P1Y2M3D", "PT1H30M5S", "P1DT12H", "P2W", "P1M", "PT1M", "PT0S"},
         {"", "P", "PT", "P1", "P1DT", "PT1D", "P1Y2W", "P2D1Y", "P1S", "1D", "P5T1H", "P-1D", "P1Y3D", "PT1H5S", "p1d",
          "P1W1D"}},
        {"email",
         {"joe@example.org", "a.b+c@localhost", "\"a b\"@example.org", "x@[192.0.2.1]", "x@[IPv6:::1]", "~@a"},
         {"", "joe", "@example.org", "joe@", ".joe@example.org", "joe.@example.org", "a..b@c", "a b@c", "a@b_c",
          "x@[192.0.2.300]", "\"a\"b\"@c", "\"a\\\"@c", "a@@b"}},
        {"hostname",
         {"localhost", "a.b-c.example", "4.example", "xn--nxasmm1c", "XN--Bcher-KVA.example"},
         {"", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "é.example", "a b", "xn--", "xn--a", "xn--example-",
          "xn---9uc", "xn--99999999999999", "xn--a-ecp.ru", "xn--0ca24w", "a。b",
          "a123456789012345678901234567890123456789012345678901234567890123"}},
        {"idn-hostname",
         {"localhost", "실례.테스트", "bücher.example", "xn--nxasmm1c", "l·l", "α͵β", "א׳ב", "ア・イ", "क्‍ष",
          "faß.de", "例え", "a。b．c｡d", "א1.a"},
         {"",
          ".",
          "a.",
          ".é",
          "é..é",
          "〮실례.테스트",
          "실〮례.테스트",
          "-é",
          "é-",
          "éa--b",
          "É",
          "a·l",
          "·",
          "a׳b",
          "・",
          "é_",
          "é b",
          "١۲",
          "aא",
          "1a.א",
          "א1٠",
          "٠א",
          "éaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
        {"idn-email",
         {"joe@example.org", "실례@실례.테스트", "é.ü@bücher.example", "\"é b\"@é"},
         {"", "joe", "é@", "@é", ".é@b", "é é@b", "é@b..c", "é@-b"}},
        {"uri-template",
         {"", "/a", "http://e.org/{term:1}/{term}", "{+path}{#x}{.x}{/x*}{;x,y}{?a.b,c:20}{&d}", "é{%c3%a9}", "'%20"},
         {"{", "}", "{}", "{a", "a}", "{a b}", "{term:0}", "{term:12345}", "{term:}", "{a*:3}", "{.}", "{a.}", "{a..b}",
          "%2", "a b", "<", "{a,}", "{{a}}"}},
        {"ipv4",
         {"192.0.2.1", "0.0.0.0", "255.255.255.255"},
         {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.-4"}},
        {"ipv6",
         {"::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1"},
         {"", ":", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "::g", "::1%eth0", "[::1]",
          "0000:0000:0000:0000:0000:ffff:255.255.255.2555"}},
        {"uri",
         {"https://example.org/a?b=c#d", "mailto:joe@example.org", "urn:isbn:1", "file:///a", "http://[::1]:80/",
          "http://u:p@h:80", "x:", "http://[v1.a:b]/", "http://a/%20", "ldap://[2001:db8::7]/c=GB?objectClass?one"},
         {"", "//example.org/", "/a", "a", "http://a b/", "http://a/%2", "http://[::1", "http://::1/", "1http://a",
          ":a", "http://a/é", "http://a:b/", "http://a/\"", "http://a\\b", "http://[v1.]/", "http://[]/"}},
        {"uri-reference",
         {"", "a", "/a/b", "../a", "//h/p", "?q", "#f", "a/b:c", "https://example.org/"},
         {"a b", "#a#b", "%", "\\\\host", "1a:b", ":a", "a^"}},
        {"iri", {"https://example.org/é", "http://é.example/"}, {"é", "/a", "http://[::1"}},
        {"iri-reference", {"é", "#é"}, {"\\é", "#é#"}},
        {"uuid",
         {"123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000",
          "123E4567-E89B-12D3-A456-426614174000"},
         {"", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400",
          "g23e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-4266141740000"}},
        {"json-pointer", {"", "/", "/a~0~1/0", "/a b/é"}, {"a", "#/a", "/~", "/~2", "/a~"}},
        {"relative-json-pointer", {"0", "1/a", "12#", "0/"}, {"", "/a", "01/a", "-1/a", "0##", "1a", "+1"}},
        {"regex",
         {"", "^a+$", "a{2}b{2,}c{0,3}?", "\\{\\}\\]", "[{}\\]]", "(?<n>a)\\k<n>", "\\p{Letter}", "[^]",
          "(?:a)(?=b)(?!c)(?<=d)(?<!e)"},
         {"(", "[a", "a**", "\\Z", "\\A", "(?P<n>a)", "(?#x)", "(?i)a", "(*FAIL)", "\\u12", "a{2,1}", "{", "}", "]",
          "a{", "a{x}", "a{,2}", "{2}", "a]"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err;
        struct val_map m = val_map_new(&a);
        VAL_MAP_SET(&m, "format", val_str(str_c(cases[i].format)));
        struct val schema = val_map_done(&m), five = val_int(5);
        assert_int_equal(schema_check(&schema, &five, &a, &err), RC_OK); /* judges strings only */
        for (size_t k = 0; k < sizeof cases[i].good / sizeof *cases[i].good && cases[i].good[k]; k++) {
            struct val v = val_str(str_c(cases[i].good[k]));
            if (schema_check(&schema, &v, &a, &err))
                fail_msg("%s: refused: %s", cases[i].format, err.msg);
        }
        for (size_t k = 0; k < sizeof cases[i].bad / sizeof *cases[i].bad && cases[i].bad[k]; k++) {
            struct val v = val_str(str_c(cases[i].bad[k]));
            if (schema_check(&schema, &v, &a, &err) != RC_SCHEMA)
                fail_msg("%s: accepted: %s", cases[i].format, cases[i].bad[k]);
        }
        arena_done(&a);
    }
}

/* Twenty violations at most; the message has whole lines and says how many more there are. */
static void long_reports(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct str report;
    struct val schema = parsed(&a, "{\"items\":{\"type\":\"null\"}}");
    for (size_t n = 1; n <= 25; n++) {
        struct val_list l = val_list_new(&a);
        for (size_t i = 0; i < n; i++)
            val_list_push(&l, val_int(1));
        struct val v = val_list_done(&l);
        assert_int_equal(schema_report(&schema, &v, &a, &report, &err), RC_SCHEMA);
        size_t lines = 1;
        for (size_t i = 0; i < report.n; i++)
            lines += report.p[i] == '\n';
        assert_int_equal(lines, n <= 20 ? n : 21);
        assert_true(str_ends(report, n <= 20 ? STR("expected null") : STR("\n(and more)")));
        assert_true(str_starts(report, STR("/0: is 1 (integer); expected null")));
        if (n <= 16)
            assert_true(str_is(report, err.msg));
    }
    assert_non_null(strstr(err.msg, "null\n(and more)"));
    struct val twenty = {.type = VAL_ARRAY};
    struct val_list l = val_list_new(&a);
    for (size_t i = 0; i < 20; i++)
        val_list_push(&l, VAL_LIT("a text that makes every line of the report long"));
    twenty = val_list_done(&l);
    assert_int_equal(schema_check(&schema, &twenty, &a, &err), RC_SCHEMA);
    assert_non_null(strstr(err.msg, "expected null\n(and 13 more)"));
    assert_true(strlen(err.msg) < sizeof err.msg - 1);
    arena_done(&a);
}

/* One violation that is longer than a message can be. */
static void long_lines(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    char key[400];
    memset(key, 'k', sizeof key);
    struct val v = val_null;
    for (int i = 0; i < 100; i++) {
        struct val_map m = val_map_new(&a);
        val_map_set(&m, str_n(key, sizeof key), v);
        v = val_map_done(&m);
    }
    struct val schema = parsed(&a, "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"object\","
                                   "\"additionalProperties\":{\"$ref\":\"#\"}}]}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_SCHEMA);
    assert_non_null(strstr(err.msg, "kkk…/kkk"));
    assert_true(strlen(err.msg) < sizeof err.msg);
    assert_int_equal(str_utf8_valid(str_c(err.msg)), strlen(err.msg));
    struct val_list choices = val_list_new(&a);
    for (int i = 0; i < 9; i++)
        val_list_push(&choices, val_str(arena_printf(&a, "%055d", i)));
    struct val_map each = val_map_new(&a);
    VAL_MAP_SET(&each, "enum", val_list_done(&choices));
    schema = val_map_done(&each);
    for (int i = 0; i < 6; i++) {
        each = val_map_new(&a);
        VAL_MAP_SET(&each, "additionalProperties", schema);
        schema = val_map_done(&each);
    }
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_SCHEMA);
    assert_in_range(strlen(err.msg), 500, sizeof err.msg - 1);
    arena_done(&a);
}

static struct val nested(struct arena *a, unsigned depth)
{
    struct val v = val_null;
    for (unsigned i = 0; i < depth; i++) {
        struct val_list l = val_list_new(a);
        val_list_push(&l, v);
        v = val_list_done(&l);
    }
    return v;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val v = nested(&a, 100000), fits = nested(&a, 300);
    struct val schema = parsed(&a, "{\"items\":{\"anyOf\":[{\"$ref\":\"#\"}]}}");
    assert_int_equal(schema_check(&schema, &fits, &a, &err), RC_OK);
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_LIMIT);
    assert_string_equal(err.msg, "the value and its schema are nested too deep to check");
    /* a limit is no answer that `not` could turn round */
    schema = parsed(&a, "{\"not\":{\"$ref\":\"#/$defs/n\"},\"$defs\":{\"n\":{\"items\":{\"$ref\":\"#/$defs/n\"}}}}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_LIMIT);
    /* what does not go down does not care, and equality does not recurse */
    schema = parsed(&a, "{\"type\":\"array\",\"uniqueItems\":true,\"maxItems\":1}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_OK);

    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 120; i++)
        buf_addz(&b, "{\"items\":");
    buf_addz(&b, "true");
    for (int i = 0; i < 120; i++)
        buf_addc(&b, '}');
    schema = parsed(&a, buf_str(&b).p);
    assert_int_equal(schema_valid(&schema, &err), RC_OK);
    for (int i = 0; i < 20; i++) {
        struct val_map m = val_map_new(&a);
        VAL_MAP_SET(&m, "not", schema);
        schema = val_map_done(&m);
    }
    assert_int_equal(schema_valid(&schema, &err), RC_INVALID);
    assert_non_null(strstr(err.msg, "expected at most 128 levels of schemas"));
    buf_done(&b);
    arena_done(&a);
}

/* A chain of references that no nesting shows. */
static void chains_are_bounded(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    for (int n = 200; n <= 2000; n += 1800) {
        struct val_map m = val_map_new(&a), schema = val_map_new(&a);
        for (int i = 0; i < n; i++) {
            struct val_map one = val_map_new(&a);
            VAL_MAP_SET(&one, "$ref", val_str(arena_printf(&a, "#/$defs/d%d", i + 1)));
            val_map_set(&m, arena_printf(&a, "d%d", i), val_map_done(&one));
        }
        val_map_set(&m, arena_printf(&a, "d%d", n), val_true);
        VAL_MAP_SET(&schema, "$ref", VAL_LIT("#/$defs/d0"));
        VAL_MAP_SET(&schema, "$defs", val_map_done(&m));
        struct val v = val_map_done(&schema);
        assert_int_equal(schema_check(&v, &val_null, &a, &err), n == 200 ? RC_OK : RC_INVALID);
    }
    assert_non_null(strstr(err.msg, "is one of too many references and combinations in a row"));
    arena_done(&a);
}

/* Each level asks twice about the next one: 2^depth steps without a limit. */
static void work_is_bounded(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val v = nested(&a, 100);
    struct val schema = parsed(&a, "{\"allOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":\"#\"}}]}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_LIMIT);
    assert_string_equal(err.msg, "checking the value against its schema takes too many steps");
    schema = parsed(&a, "{\"unevaluatedItems\":false,\"allOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":"
                        "\"#\"}}]}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_LIMIT);
    /* telling why alternatives do not fit costs the square of the depth only */
    schema = parsed(&a, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_SCHEMA);
    assert_non_null(
        strstr(err.msg, "/0/0/0/0: is null; expected one of 2 alternatives (anyOf): (1) string; (2) array"));
    schema = parsed(&a, "{\"pattern\":\"(a+)+$\"}");
    v = VAL_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    assert_int_equal(schema_check(&schema, &v, &a, &err), RC_LIMIT);
    assert_string_equal(err.msg, "a pattern of the schema needs too many steps on this value");
    arena_done(&a);
}

/* 100000 items: far from quadratic, far from the limit. */
static void large_values(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val_list l = val_list_new(&a);
    for (int i = 0; i < 100000; i++) {
        struct val_map m = val_map_new(&a);
        VAL_MAP_SET(&m, "id", val_int(i));
        VAL_MAP_SET(&m, "name", val_str(arena_printf(&a, "n%d", i)));
        val_list_push(&l, val_map_done(&m));
    }
    struct val v = val_list_done(&l);
    struct val schema = parsed(
        &a, "{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"object\",\"properties\":{\"id\":{"
            "\"anyOf\":[{\"type\":\"null\"},{\"type\":\"integer\",\"minimum\":0}]},\"name\":{\"type\":\"string\","
            "\"pattern\":\"^n[0-9]+$\"}},\"required\":[\"id\",\"name\"],\"additionalProperties\":false}}");
    if (schema_check(&schema, &v, &a, &err))
        fail_msg("%s", err.msg);
    arena_done(&a);
}

/* What only a program can build. */
static void unusual_values(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val nan = val_double(NAN), inf = val_double(INFINITY), schema;
    static const char *const refusing[] = {"{\"type\":\"number\"}", "{\"minimum\":0}", "{\"maximum\":0}",
                                           "{\"multipleOf\":1}", "{\"type\":\"integer\"}"};
    for (size_t i = 0; i < sizeof refusing / sizeof *refusing; i++) {
        schema = parsed(&a, refusing[i]);
        assert_int_equal(schema_check(&schema, &nan, &a, &err), RC_SCHEMA);
        assert_int_equal(schema_check(&schema, &inf, &a, &err), RC_SCHEMA);
        assert_non_null(strstr(err.msg, "/: is not a finite number; expected"));
    }
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "maximum", inf);
    schema = val_map_done(&m);
    assert_int_equal(schema_valid(&schema, &err), RC_INVALID);
    struct val empty = {.type = VAL_STR}, bad_utf8 = VAL_LIT("a\xff");
    schema = parsed(&a, "{\"type\":\"string\",\"minLength\":0,\"pattern\":\"\",\"format\":\"uri-reference\"}");
    assert_int_equal(schema_check(&schema, &empty, &a, &err), RC_OK);
    assert_int_equal(schema_check(&schema, &bad_utf8, &a, &err), RC_INVALID);
    assert_string_equal(err.msg, "the text to search is not valid UTF-8");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_and_choices),
        cmocka_unit_test(numbers),
        cmocka_unit_test(text),
        cmocka_unit_test(objects),
        cmocka_unit_test(arrays),
        cmocka_unit_test(combinations),
        cmocka_unit_test(references),
        cmocka_unit_test(addresses),
        cmocka_unit_test(bad_schemas),
        cmocka_unit_test(formats),
        cmocka_unit_test(long_reports),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(chains_are_bounded),
        cmocka_unit_test(work_is_bounded),
        cmocka_unit_test(large_values),
        cmocka_unit_test(unusual_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
