/* Transformations: each operation on small data, in whole and in slices; mistakes; and that a hundred thousand items
 * are linear work. */
#include "base/buf.h"
#include "data/json.h"
#include "data/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct val parse_json(struct arena *a, struct str text)
{
    struct val v;
    struct err err;
    if (json_parse(a, text, NULL, &v, &err) != RC_OK)
        fail_msg("%.*s: %s", STR_ARG(text), err.msg);
    return v;
}

/* What the caller knows: steps.users, limit. */
static enum rc resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    struct val *known = ARENA_NEW(a, struct val);
    (void)ctx;
    *known =
        parse_json(a, STR("{\"steps\": {\"users\": [{\"id\": 1, \"name\": \"Ann\", \"n\": 9}, {\"id\": 2, \"name\": "
                          "\"Bob\"}, {\"id\": 2, \"name\": \"Ben\"}, {\"id\": 7, \"name\": \"Gil\"}]},"
                          " \"limit\": 4, \"n\": 100}"));
    *ret = val_get(known, key[0].s);
    *ret_used = 1;
    if (*ret && n > 1 && val_get(*ret, key[1].s)) {
        *ret = val_get(*ret, key[1].s);
        *ret_used = 2;
    }
    return *ret ? RC_OK : err_set(err, RC_NOT_FOUND, "`%.*s` is not known", STR_ARG(key[0].s));
}

static void tell(void *ctx, uint32_t line, uint32_t col, const char *text)
{
    struct buf *b = ctx;
    (void)line, (void)col;
    buf_printf(b, "%s%s", b->n ? "\n" : "", text);
}

/* The result as JSON, or the error. */
static const char *run(struct arena *a, const char *operations, const char *input, uint64_t slice)
{
    struct val ops = parse_json(a, str_c(operations)), v = parse_json(a, str_c(input));
    struct expr_scope scope = {.resolve = resolve, .now_ms = 1735603200000};
    const struct transform *t;
    struct buf b;
    struct err err;
    buf_init(&b, 10000);
    if (transform_parse(a, &ops, false, tell, &b, &t) != RC_OK) {
        const char *z = arena_cstr(a, buf_str(&b));
        buf_done(&b);
        return z;
    }
    struct transform_run *r = transform_begin(t, &v, &scope, a);
    bool more = true;
    enum rc rc = RC_OK;
    unsigned calls = 0;
    while (rc == RC_OK && more) {
        rc = transform_work(r, slice, &more, &err);
        assert_true(++calls < 100000);
    }
    const char *z = rc == RC_OK ? arena_cstr(a, json_text(a, transform_result(r)))
                                : arena_printf(a, "%s: %s", rc_name(rc), err.msg).p;
    transform_end(r);
    buf_done(&b);
    return z;
}

struct example {
    const char *operations, *input, *expected;
};

static void check(const struct example *cases, size_t n)
{
    static const uint64_t slices[] = {UINT64_MAX, 1, 3};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
            struct arena a = {0};
            const char *got = run(&a, cases[i].operations, cases[i].input, slices[k]);
            if (strcmp(got, cases[i].expected))
                fail_msg("%s of %s: %s; expected %s", cases[i].operations, cases[i].input, got, cases[i].expected);
            arena_done(&a);
        }
}
#define CHECK_ALL(cases) check(cases, sizeof(cases) / sizeof *(cases))

static void filter_and_map(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"[]", "[1]", "[1]"},
        {"[{\"operation\": \"filter\", \"condition\": \"n > 1\"}]", "[{\"n\":1},{\"n\":2},{}]", "[{\"n\":2}]"},
        {"[{\"operation\": \"filter\", \"condition\": \"item.n >= limit\"}]", "[{\"n\":4},{\"n\":2}]", "[{\"n\":4}]"},
        {"[{\"operation\": \"filter\", \"condition\": \"item > limit\"}]", "[3,5]", "[5]"},
        {"[{\"operation\": \"filter\", \"field\": \"n\", \"condition\": \"value == null or value < 2\"}]",
         "[{\"n\":1},{\"n\":2},{\"m\":0}]", "[{\"n\":1},{\"m\":0}]"},
        {"[{\"operation\": \"filter\", \"condition\": {\"and\": [\"n > 1\", {\"not\": \"n == 3\"}]}}]",
         "[{\"n\":1},{\"n\":2},{\"n\":3}]", "[{\"n\":2}]"},
        {"[{\"operation\": \"filter\", \"condition\": \"ok == false\"}]", "[{\"ok\":false},{\"ok\":true},{}]",
         "[{\"ok\":false}]"},
        {"[{\"operation\": \"filter\", \"condition\": \"{{ n }} > 1\"}]", "[{\"n\":1},{\"n\":2}]", "[{\"n\":2}]"},
        {"[{\"operation\": \"filter\", \"field\": \"xs\", \"condition\": \"item > 1\"}]", "{\"xs\":[1,2],\"y\":0}",
         "{\"xs\":[2],\"y\":0}"},
        {"[{\"operation\": \"filter\", \"field\": \"xs\", \"condition\": \"item > y\", \"as\": \"big\"}]",
         "{\"xs\":[1,2],\"y\":1}", "{\"xs\":[1,2],\"y\":1,\"big\":[2]}"},
        {"[{\"operation\": \"filter\", \"condition\": \"item.n > 1\", \"as\": \"big\"}, {\"operation\": \"filter\","
         " \"condition\": \"n < 3\"}]",
         "[{\"n\":1},{\"n\":3}]", "{\"items\":[{\"n\":1}],\"big\":[{\"n\":3}]}"},
        {"[{\"operation\": \"filter\", \"condition\": \"value > 1\"}]", "{\"a\":1,\"b\":2}", "{\"b\":2}"},
        {"[{\"operation\": \"filter\", \"condition\": \"any(tags, '@ == \\\"x\\\"') and name matches '^a'\"}]",
         "[{\"name\":\"ab\",\"tags\":[\"x\"]},{\"name\":\"ab\",\"tags\":[]},{\"name\":\"b\"}]",
         "[{\"name\":\"ab\",\"tags\":[\"x\"]}]"},
        {"[{\"operation\": \"map\", \"expression\": \"{name: item.a, nr: index, 'double': a * 2}\"}]", "[{\"a\":1}]",
         "[{\"name\":1,\"nr\":0,\"double\":2}]"},
        {"[{\"operation\": \"map\", \"expression\": {\"k\": \"a\", \"t\": \"Nr {{ item.a }}\", \"c\": 7}}]",
         "[{\"a\":1}]", "[{\"k\":1,\"t\":\"Nr 1\",\"c\":7}]"},
        {"[{\"operation\": \"map\", \"field\": \"a\", \"expression\": \"value + 1\"}]", "[{\"a\":1,\"b\":2}]",
         "[{\"a\":2,\"b\":2}]"},
        {"[{\"operation\": \"map\", \"field\": \"a.b\", \"expression\": \"uppercase\"}]",
         "[{\"a\":{\"b\":\"x\"}},{\"c\":1}]", "[{\"a\":{\"b\":\"X\"}},{\"c\":1}]"},
        {"[{\"operation\": \"map\", \"field\": \"a\", \"mapping\": {\"1\": \"one\", \"x\": \"y\"}}]",
         "[{\"a\":1},{\"a\":\"x\"},{\"a\":2}]", "[{\"a\":\"one\"},{\"a\":\"y\"},{\"a\":2}]"},
        {"[{\"operation\": \"map\", \"mapping\": {\"x\": 1}}]", "[{\"a\":1}]", "[{\"a\":1,\"x\":1}]"},
        {"[{\"operation\": \"map\", \"expression\": \"{who: key, n: length(value), of: y}\", \"field\": \"g\"}]",
         "{\"g\":{\"a\":[1,2]},\"y\":5}", "{\"g\":[{\"who\":\"a\",\"n\":2,\"of\":5}],\"y\":5}"},
        {"[{\"operation\": \"map\", \"expression\": \"[item.n, item, item.k]\"}]", "[{\"n\":1,\"item\":{\"k\":2}}]",
         "[[1,{\"k\":2},2]]"},
        /* a field that some items have is theirs, for those without it too */
        {"[{\"operation\": \"map\", \"expression\": \"n\"}]", "[{\"n\":1},{}]", "[1,null]"},
        {"[{\"operation\": \"map\", \"expression\": \"n\"}]", "[{\"m\":1}]", "[100]"},
    };
    CHECK_ALL(cases);
}

static void groups_and_sums(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"[{\"operation\": \"group_by\", \"field\": \"k\"}]", "[{\"k\":\"a\"},{\"k\":1.5},{\"k\":\"a\",\"n\":1},{}]",
         "{\"a\":[{\"k\":\"a\"},{\"k\":\"a\",\"n\":1}],\"1.5\":[{\"k\":1.5}],\"\":[{}]}"},
        {"[{\"operation\": \"group_by\", \"field\": \"xs\", \"key\": \"k\", \"as\": \"g\", \"aggregate\": {\"n\": "
         "\"count\","
         " \"total\": \"sum(item.n * 2)\", \"top\": \"max(n)\"}}]",
         "{\"xs\":[{\"k\":\"a\",\"n\":1},{\"k\":\"b\",\"n\":5},{\"k\":\"a\",\"n\":3}]}",
         "{\"xs\":[{\"k\":\"a\",\"n\":1},{\"k\":\"b\",\"n\":5},{\"k\":\"a\",\"n\":3}],"
         "\"g\":{\"a\":{\"n\":2,\"total\":8,\"top\":3},\"b\":{\"n\":1,\"total\":10,\"top\":5}}}"},
        {"[{\"operation\": \"aggregate\", \"field\": \"n\"}]", "[{\"n\":1},{\"n\":2.5},{}]", "3.5"},
        {"[{\"operation\": \"aggregate\", \"function\": \"sum\"}]", "[9223372036854775807,1]", "9.223372036854776e+18"},
        {"[{\"operation\": \"aggregate\", \"function\": \"average\", \"field\": \"n\"}]", "[{\"n\":1},{\"n\":2}]",
         "1.5"},
        {"[{\"operation\": \"aggregate\", \"function\": \"average\"}]", "[]", "0"},
        {"[{\"operation\": \"aggregate\", \"function\": \"max\"}]", "[\"a\",\"b\"]", "\"b\""},
        {"[{\"operation\": \"aggregate\", \"function\": \"count\", \"field\": \"n\"}]", "[{\"n\":1},{\"n\":null}]",
         "1"},
        {"[{\"operation\": \"aggregate\", \"function\": \"count\"}]", "[{},{}]", "2"},
        {"[{\"operation\": \"aggregate\", \"function\": \"count_distinct\"}]", "[1,1.0,\"1\"]", "2"},
        {"[{\"operation\": \"aggregate\", \"function\": \"unique\"}]", "[2,1,2]", "[2,1]"},
        {"[{\"operation\": \"aggregate\", \"function\": \"std_dev\"}]", "[2,4,4,4,5,5,7,9]", "2.0"},
        {"[{\"operation\": \"aggregate\", \"function\": \"variance\"}]", "[1000000001,1000000003]", "1.0"},
        {"[{\"operation\": \"aggregate\", \"function\": \"first\", \"field\": \"n\"}]", "[]", "null"},
        {"[{\"operation\": \"aggregate\", \"function\": \"sum\", \"value_field\": \"n\", \"group_by\": \"k\"}]",
         "[{\"k\":\"a\",\"n\":1},{\"k\":\"b\",\"n\":2},{\"k\":\"a\",\"n\":3}]", "{\"a\":4,\"b\":2}"},
        {"[{\"operation\": \"aggregate\", \"field\": \"n\", \"as\": \"sum\"}, {\"operation\": \"aggregate\", "
         "\"field\": \"n\","
         " \"function\": \"max\", \"as\": \"max\"}]",
         "[{\"n\":1},{\"n\":3}]", "{\"items\":[{\"n\":1},{\"n\":3}],\"sum\":4,\"max\":3}"},
        {"[{\"operation\": \"aggregate\", \"input_source\": \"steps.users\", \"function\": \"count\", \"as\": "
         "\"users\"}]",
         "{\"a\":1}", "{\"a\":1,\"users\":4}"},
    };
    CHECK_ALL(cases);
}

static void joins(void **state)
{
    (void)state;
#define JOIN(more)                                                                                                     \
    "[{\"operation\": \"join\", \"left_field\": \"uid\", \"right_source\": \"steps.users\", \"join_key\": \"id\"" more \
    "}, {\"operation\": \"map\", \"expression\": \"{o: o, name: name}\"}]"
    static const char orders[] = "[{\"o\":1,\"uid\":2},{\"o\":2,\"uid\":9},{\"o\":3,\"uid\":1.0},{\"o\":4}]";
    static const struct example cases[] = {
        {JOIN(""), orders, /* of several rows the first */
         "[{\"o\":1,\"name\":\"Bob\"},{\"o\":2,\"name\":null},{\"o\":3,\"name\":\"Ann\"},{\"o\":4,\"name\":null}]"},
        {JOIN(", \"join_type\": \"inner\""), orders, "[{\"o\":1,\"name\":\"Bob\"},{\"o\":3,\"name\":\"Ann\"}]"},
        {JOIN(", \"join_type\": \"right\""), orders,
         "[{\"o\":1,\"name\":\"Bob\"},{\"o\":3,\"name\":\"Ann\"},{\"o\":null,\"name\":\"Ben\"},{\"o\":null,\"name\":"
         "\"Gil\"}]"},
        {JOIN(", \"join_type\": \"outer\""), "[{\"o\":2,\"uid\":9}]",
         "[{\"o\":2,\"name\":null},{\"o\":null,\"name\":\"Ann\"},{\"o\":null,\"name\":\"Bob\"},{\"o\":null,\"name\":"
         "\"Ben\"},"
         "{\"o\":null,\"name\":\"Gil\"}]"},
        {"[{\"operation\": \"join\", \"field\": \"rows\", \"right_source\": \"steps.users\", \"join_key\": \"id\"}]",
         "{\"rows\":[{\"id\":1,\"n\":1}]}", "{\"rows\":[{\"id\":1,\"n\":9,\"name\":\"Ann\"}]}"},
        {"[{\"operation\": \"join\", \"right_source\": \"limit\", \"join_key\": \"id\"}]", "[]",
         "invalid: operation 1 (join): `right_source` is a number; expected a list"},
    };
    CHECK_ALL(cases);
}

static void orders(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"[{\"operation\": \"sort\"}]", "[3,1.5,2,null,1]", "[1,1.5,2,3,null]"},
        {"[{\"operation\": \"sort\", \"order\": \"desc\"}]", "[\"a\",\"c\",\"b\"]", "[\"c\",\"b\",\"a\"]"},
        {"[{\"operation\": \"sort\", \"field\": \"n\", \"order\": \"desc\"}]",
         "[{\"n\":1,\"i\":1},{},{\"n\":2},{\"n\":1,\"i\":2}]", "[{\"n\":2},{\"n\":1,\"i\":1},{\"n\":1,\"i\":2},{}]"},
        {"[{\"operation\": \"sort\", \"by\": \"a,b\"}]", "[{\"a\":2,\"b\":1},{\"a\":1,\"b\":2},{\"a\":1,\"b\":1}]",
         "[{\"a\":1,\"b\":1},{\"a\":1,\"b\":2},{\"a\":2,\"b\":1}]"},
        {"[{\"operation\": \"sort\", \"field\": \"xs\", \"by\": \"a, -b\"}]",
         "{\"xs\":[{\"a\":1,\"b\":1},{\"a\":1,\"b\":2},{\"a\":0}]}",
         "{\"xs\":[{\"a\":0},{\"a\":1,\"b\":2},{\"a\":1,\"b\":1}]}"},
        {"[{\"operation\": \"sort\", \"by\": \"value.n\"}]", "{\"x\":{\"n\":2},\"y\":{\"n\":1}}",
         "[{\"key\":\"y\",\"value\":{\"n\":1}},{\"key\":\"x\",\"value\":{\"n\":2}}]"},
        {"[{\"operation\": \"sort\"}]", "[1,\"a\"]",
         "expression: operation 1 (sort): cannot order a number and a string; expected numbers, texts or booleans "
         "alone"},
        {"[{\"operation\": \"unique\"}]", "[1,\"1\",1.0,{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]",
         "[1,\"1\",{\"a\":1,\"b\":2}]"},
        {"[{\"operation\": \"unique\", \"field\": \"k\"}]", "[{\"k\":1,\"n\":1},{\"k\":1,\"n\":2},{}]",
         "[{\"k\":1,\"n\":1},{}]"},
        {"[{\"operation\": \"flatten\"}]", "[1,[2,[3]],[]]", "[1,2,[3]]"},
        {"[{\"operation\": \"flatten\"}]", "[null,[null,1]]", "[null,null,1]"},
        {"[{\"operation\": \"flatten\", \"field\": \"a\"}]", "[{\"a\":null},{},{\"a\":[null,1]}]", "[null,1]"},
        {"[{\"operation\": \"flatten\", \"field\": \"tags\"}]", "[{\"tags\":[1,2]},{},{\"tags\":3}]", "[1,2,3]"},
        {"[{\"operation\": \"flatten\", \"field\": \"xs[*].t\"}]", "{\"xs\":[{\"t\":[1]},{\"t\":[2]}]}", "[1,2]"},
    };
    CHECK_ALL(cases);
}

static void queries(void **state)
{
    (void)state;
    static const char files[] =
        "{\"files\":[{\"filename\":\"a\",\"filesize\":3},{\"filename\":\"b\",\"filesize\":30}],\"n\":2}";
    static const struct example cases[] = {
        {"[{\"operation\": \"query\", \"expression\": \"$.files[?(@.filesize > 5)].filename\"}]", files, "[\"b\"]"},
        {"[{\"operation\": \"extract\", \"expression\": \"files[0].filename\", \"as\": \"first\"}, {\"operation\": "
         "\"transform\", \"expression\": \"{first: first, n: n}\"}]",
         files, "{\"first\":\"a\",\"n\":2}"},
        {"[{\"operation\": \"query\", \"expression\": \"$.nothing\"}]", files, "null"},
        {"[{\"operation\": \"query\", \"field\": \"files\", \"expression\": \"$..filesize\"}]", files,
         "{\"files\":[3,30],\"n\":2}"},
        {"[{\"operation\": \"transform\", \"expression\": \"$.files[*].{name: filename, size: filesize, of: n}\"}]",
         files, "[{\"name\":\"a\",\"size\":3,\"of\":2},{\"name\":\"b\",\"size\":30,\"of\":2}]"},
        {"[{\"operation\": \"transform\", \"expression\": {\"total\": \"sum(files, 'filesize')\"}}]", files,
         "{\"total\":33}"},
        {"[{\"operation\": \"transform\", \"expression\": \"$.files[*].filename\"}]", files, "[\"a\",\"b\"]"},
    };
    CHECK_ALL(cases);
}

static void checks_and_cleaning(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"[{\"operation\": \"validate\", \"schema\": {\"type\": \"array\", \"items\": {\"type\": \"integer\"}}}]",
         "[1]", "[1]"},
        {"[{\"operation\": \"validate\", \"schema\": {\"type\": \"array\", \"items\": {\"type\": \"integer\"}}}]",
         "[\"a\"]", "schema: operation 1 (validate): /0: is \"a\" (string); expected integer"},
        {"[{\"operation\": \"validate\", \"expected\": {\"a.b\": 1, \"c\": [2]}}]", "{\"a\":{\"b\":1},\"c\":[2]}",
         "{\"a\":{\"b\":1},\"c\":[2]}"},
        {"[{\"operation\": \"validate\", \"expected\": {\"a\": 2}}]", "{\"a\":1}",
         "schema: operation 1 (validate): `a` is 1; expected 2"},
        {"[{\"operation\": \"sanitize\", \"rules\": [{\"remove_html_tags\": true}, {\"trim_whitespace\": true}, "
         "\"escape_special_chars\"]}]",
         "{\"a\":\" <b>x</b> & 1 < 2 <script\",\"b\":[\"'\",5]}", "{\"a\":\"x &amp; 1 &lt; 2\",\"b\":[\"&#39;\",5]}"},
        {"[{\"operation\": \"sanitize\", \"field\": \"t\", \"rules\": {\"trim_whitespace\": true, "
         "\"remove_html_tags\": "
         "false}}]",
         "[{\"t\":\" <i> \",\"u\":\" \"},{}]", "[{\"t\":\"<i>\",\"u\":\" \"},{}]"},
    };
    CHECK_ALL(cases);
}

static void mistakes(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"{}", "1", "`operations` is object; expected a list of operations"},
        {"[\"sort\"]", "1",
         "this is no map; expected an operation such as {operation: filter, condition: \"score > 5\"}"},
        {"[{\"operation\": \"fliter\"}]", "1", "unknown operation `fliter`; did you mean `filter`?"},
        {"[{\"operation\": \"filter\"}]", "1",
         "the operation `filter` has no `condition`; expected one, such as \"score > 5\""},
        {"[{\"operation\": \"filter\", \"condition\": \"a >\"}]", "1",
         "`condition`: the expression ends too early; expected a value"},
        {"[{\"operation\": \"sort\", \"ordre\": \"asc\"}]", "1",
         "unknown key `ordre` of the operation `sort`; did you mean `order`?"},
        {"[{\"operation\": \"sort\", \"condition\": \"a\"}]", "1", "`condition` is no key of the operation `sort`"},
        {"[{\"operation\": \"sort\", \"order\": \"up\"}, {\"operation\": \"aggregate\", \"function\": \"summ\"}]", "1",
         "`order` is `up`; expected asc or desc\nunknown function `summ`; did you mean `sum`?"},
        {"[{\"operation\": \"query\", \"expression\": \"$.a[\"}]", "1",
         "`expression`: byte 5: expected a name in quotes, an index, a slice, * or ?"},
        {"[{\"operation\": \"query\", \"expression\": \"$[?match(@.a, '\\\\\\\\d')]\"}]", "1",
         "`expression`: the pattern of match(): not an I-Regexp (RFC 9485): unknown escape; write [0-9] for \\d, "
         "[A-Za-z0-9_] for \\w and [ \\t\\n\\r] for \\s (at byte 1)"},
        {"[{\"operation\": \"map\", \"expression\": \"$.a\"}]", "1",
         "the expression of a map is about one item; expected no `$`, or the operation `transform`"},
        {"[{\"operation\": \"filter\", \"field\": \"x\", \"condition\": \"true\"}]", "{\"a\":1,\"b\":2}",
         "not_found: operation 1 (filter): the value has no field `x`; it has a, b"},
        {"[{\"operation\": \"filter\", \"condition\": \"true\"}]", "5",
         "invalid: operation 1 (filter): works on a list, but its input is a number"},
        {"[{\"operation\": \"aggregate\", \"function\": \"sum\"}]", "[{\"a\":1}]",
         "expression: operation 1 (aggregate): cannot take the sum of maps; name the field in `value_field`"},
        {"[{\"operation\": \"filter\", \"condition\": \"n + 'a' > 1\"}]", "[{\"n\":1}]",
         "expression: operation 1 (filter): 1:39: cannot add a number and a string: right side `'a'` is \"a\"; "
         "string(x) makes "
         "text of a value"},
    };
    CHECK_ALL(cases);
}

static struct val rows(struct arena *a, size_t n)
{
    struct val *v = arena_calloc(a, n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "id", val_int((int64_t)((i * 7919) % n)));
        VAL_MAP_SET(&m, "k", val_int((int64_t)(i % 100)));
        VAL_MAP_SET(&m, "n", val_double((double)i / 3));
        v[i] = val_map_done(&m);
    }
    return (struct val){.type = VAL_ARRAY, .arr = {v, n}};
}

/* Steps are counted, not seconds: each slice costs about what it may, and all together grow with the items. */
static uint64_t slices_of(size_t n)
{
    static const char operations[] =
        "[{\"operation\": \"filter\", \"condition\": \"n >= 0 and k != 1000\"}, {\"operation\": \"map\", "
        "\"expression\": "
        "\"{id: id, k: k, n: n * 2}\"}, {\"operation\": \"sort\", \"by\": \"id\"}, {\"operation\": \"unique\", "
        "\"field\": "
        "\"id\"}, {\"operation\": \"query\", \"expression\": \"$[?@.k < 50]\"}, {\"operation\": \"group_by\", \"key\": "
        "\"k\", \"aggregate\": {\"n\": \"count\", \"s\": \"sum(n)\"}}]";
    struct arena a = {0};
    struct val ops = parse_json(&a, str_c(operations)), v = rows(&a, n);
    struct expr_scope scope = {.resolve = resolve};
    struct buf b;
    struct err err;
    const struct transform *t;
    uint64_t slices = 0;
    bool more = true;
    buf_init(&b, 1000);
    assert_int_equal(transform_parse(&a, &ops, false, tell, &b, &t), RC_OK);
    struct transform_run *r = transform_begin(t, &v, &scope, &a);
    for (; more; slices++)
        assert_int_equal(transform_work(r, 1000, &more, &err), RC_OK);
    assert_int_equal(transform_result(r)->obj.n, 50);
    transform_end(r);
    buf_done(&b);
    arena_done(&a);
    return slices;
}

static void many_items(void **state)
{
    (void)state;
    uint64_t few = slices_of(1000), many = slices_of(100000);
    assert_true(few > 10);
    assert_in_range(many, 80 * few, 200 * few);
}

static void fuel_ends(void **state)
{
    (void)state;
    struct arena a = {0};
    const char *got = run(
        &a,
        "[{\"operation\": \"filter\", \"condition\": \"length(range(1, 900000)) > 1 and sum(range(1, 900000)) > 1\"}]",
        "[1]", UINT64_MAX);
    assert_non_null(strstr(got, "limit: operation 1 (filter): "));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_and_map), cmocka_unit_test(groups_and_sums), cmocka_unit_test(joins),
        cmocka_unit_test(orders),         cmocka_unit_test(queries),         cmocka_unit_test(checks_and_cleaning),
        cmocka_unit_test(mistakes),       cmocka_unit_test(many_items),      cmocka_unit_test(fuel_ends),
    };
    return cmocka_run_group_tests_name("transform", tests, NULL, NULL);
}
