/* YAML: what scalars mean, positions, merging, limits, and the words of every common mistake. */
#include "data/json.h"
#include "data/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct val parse(struct arena *a, const char *text)
{
    struct val v = val_null;
    struct err err;
    if (yaml_parse(a, str_c(text), "f.yaml", NULL, &v, &err))
        fail_msg("%s: %s", text, err.msg);
    return v;
}

/* A text and what it is as JSON. */
static const struct {
    const char *yaml, *json;
} meanings[] = {
    /* core schema */
    {"[~, null, Null, NULL, nUll, ]", "[null,null,null,null,\"nUll\"]"},
    {"a:\nb: ''", "{\"a\":null,\"b\":\"\"}"},
    {"[true, True, TRUE, false, False, FALSE, tRue]", "[true,true,true,false,false,false,\"tRue\"]"},
    {"[yes, no, on, off, y, n, Yes, NO]", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"Yes\",\"NO\"]"},
    {"[0, 7, -7, +7, 0777, 007, -0, +0]", "[0,7,-7,7,777,7,0,0]"},
    {"[0o17, 0x1F, 0xff, 0o8, 0xg, 0x, 0b1, -0x1]", "[15,31,255,\"0o8\",\"0xg\",\"0x\",\"0b1\",\"-0x1\"]"},
    {"[9223372036854775807, -9223372036854775808, 9223372036854775808, +00012345678901234567890]",
     "[9223372036854775807,-9223372036854775808,9223372036854775808,12345678901234567890]"},
    {"[-000000000000000000000000009223372036854775808, -00000000000000000000000000000000000]",
     "[-9223372036854775808,0]"},
    {"[0xFFFFFFFFFFFFFFFF, 0x8000000000000000, 0o777777777777777777777, 0x123456789abcdef0123456789]",
     "[18446744073709551615,9223372036854775808,9223372036854775807,90144042682896311822508713865]"},
    {"[0x3b9aca00, 0xde0b6b3a7640000, 0xd3c21bcecceda1000000]",
     "[1000000000,1000000000000000000,1000000000000000000000000]"},
    {"[1.5, 5., .5, -.5, +1.5e3, 1e3, 1E-2, 1.e2, -0.0]", "[1.5,5.0,0.5,-0.5,1500.0,1000.0,0.01,100.0,-0.0]"},
    {"[., .., 1.2.3, 1e, e5, 1_000, 1:30, 2026-01-01, -, +, .e5, 1e5.5]",
     "[\".\",\"..\",\"1.2.3\",\"1e\",\"e5\",\"1_000\",\"1:30\",\"2026-01-01\",\"-\",\"+\",\".e5\",\"1e5.5\"]"},
    {"['1', \"true\", '~', \"\"]", "[\"1\",\"true\",\"~\",\"\"]"},
    {"a: |\n  1\n", "{\"a\":\"1\\n\"}"},
    /* tags */
    {"[!!str 1, !!int \"0x10\", !!float 1, !!bool 'true', !!null '', ! 5, !!str, !!float 10000000000000000000]",
     "[\"1\",16,1.0,true,null,\"5\",\"\",1e+19]"},
    {"!!map {!!str a: !!seq [1]}", "{\"a\":[1]}"},
    /* keys */
    {"{1: a, true: b, ~: c, 1.50: d, null: e, \"q\": f}",
     "{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\",\"1.50\":\"d\",\"null\":\"e\",\"q\":\"f\"}"},
    {"? a\n: 1\n? b", "{\"a\":1,\"b\":null}"},
    {"&k key: 1\nother: *k", "{\"key\":1,\"other\":\"key\"}"},
    {"- &k key\n- {*k : 1}", "[\"key\",{\"key\":1}]"},
    {"'': 1", "{\"\":1}"},
    /* text */
    {"a: >-\n  folded\n  text\n\n  more\nb: |+\n  keep\n\nc: |-\n  strip\n",
     "{\"a\":\"folded text\\nmore\",\"b\":\"keep\\n\\n\",\"c\":\"strip\"}"},
    {"\"\\x41\\u00e9\\U0001F600\\n\\0\\\"\"", "\"Aé😀\\n\\u0000\\\"\""},
    {"'it''s {{ x }}'", "\"it's {{ x }}\""},
    {"a: x {{ y }} z", "{\"a\":\"x {{ y }} z\"}"},
    {"a: http://x:80/#y # comment", "{\"a\":\"http://x:80/#y\"}"},
    {"a: 漢字\r\nb: 😀\r\n", "{\"a\":\"漢字\",\"b\":\"😀\"}"},
    /* documents */
    {"", "null"},
    {"# only a comment\n", "null"},
    {"%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}"},
    {"\xef\xbb\xbf"
     "a: 1",
     "{\"a\":1}"},
    {"{\"json\": [1, 2.0, null, {\"x\": \"\\u00e9\"}]}", "{\"json\":[1,2.0,null,{\"x\":\"é\"}]}"},
    /* aliases and merging */
    {"a: &x [1, {b: 2}]\nc: *x\nd: [*x, *x]",
     "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"d\":[[1,{\"b\":2}],[1,{\"b\":2}]]}"},
    {"- &x 1\n- &x 2\n- *x", "[1,2,2]"},
    {"a: &a {x: 1, y: 2}\nb: {<<: *a, x: 9, z: 3}", "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":9,\"z\":3,\"y\":2}}"},
    {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  z: 0\n  <<: [*a, *b, {w: 5}]",
     "{\"a\":{\"x\":1},\"b\":{\"x\":2,\"y\":2},\"c\":{\"z\":0,\"x\":1,\"y\":2,\"w\":5}}"},
    {"a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}",
     "{\"a\":{\"x\":1},\"b\":{\"y\":2,\"x\":1},\"c\":{\"y\":2,\"x\":1}}"},
    {"{'<<': 1}", "{\"<<\":1}"},
    {"{<<: {}, a: 1}", "{\"a\":1}"},
};

static void meanings_are_the_core_schema(void **state)
{
    (void)state;
    struct arena a = {0};
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        struct val v = parse(&a, meanings[i].yaml);
        struct str got = json_text(&a, &v);
        if (!str_is(got, meanings[i].json))
            fail_msg("%s\nis   %s\nnot  %s", meanings[i].yaml, got.p, meanings[i].json);
    }
    arena_done(&a);
}

/* A text and how the message about it begins, behind "f.yaml:". */
static const struct {
    const char *yaml, *message;
} mistakes[] = {
    /* templates without quotes */
    {"a: {{ inputs.x }}", "1:4: an unquoted {{ begins a YAML mapping, not a template; expected quotes around the whole "
                          "value: \"{{ inputs.x }}\""},
    {"é: {{ x }} and more\n", "1:4: an unquoted {{"},
    {"s:\n  - p: {{ x | default(\"y\") }}\n",
     "2:8: an unquoted {{ begins a YAML mapping, not a template; expected quotes around the whole value: "
     "'{{ x | default(\"y\") }}'"},
    {"a: {{ x | default('y }}\nb: 1\n", "1:4: an unquoted {{"},
    {"a:\n  - {{ x }}", "2:5: an unquoted {{"},
    {"a: [1, {{ x }}]", "1:8: an unquoted {{"},
    {"{{ x }}: 1", "1:1: an unquoted {{"},
    {"a: {{ x\n  }}", "1:4: an unquoted {{"},
    {"{{ x }}", "1:1: an unquoted {{"},
    /* indentation and structure */
    {"a:\n\tb: 1", "2:1: a tab is used for indentation; expected spaces"},
    {"s:\n  - name: a\n\t  type: b\n", "3:1: a tab is used for indentation; expected spaces"},
    {"a:\n    b: 1\n  c: 2\n",
     "3:3: this does not belong to the mapping that begins at line 1; expected \"key: value\" in "
     "column 1"},
    {"a:\n  - b\n - c\n", "3:2: this item is in no list; expected \"- \" in column 3, as in line 2"},
    {"a:\n  b:\n- c\n",
     "3:1: this item is in no list; expected \"- \" in column 3 or further right, below the key of line 2"},
    {"a:\n  - b: 1\n    - c: 2\n", "3:5: this item is in no list; expected \"- \" in column 3, as in line 2"},
    {"- a\nb: 1\n", "2:1: this does not belong to the list that begins at line 1; expected \"- \" in column 1"},
    {"s:\n  - a: 1\n   b: 2\n",
     "3:4: this key belongs to no item of the list that begins at line 2; expected it in column 5"},
    {"s:\n  - a: 1\n  b: 2\n", "3:3: this key belongs to no item of the list that begins at line 2"},
    {"a:\n  name w\n  b: 1\n", "2:3: this line has no ':'; expected \"key: value\", as in `name: w`"},
    {"- one\n  b: 1\n", "1:3: this line has no ':'; expected \"key: value\", as in `one:`"},
    {"a: |\nhello\nb: 1\n", "2:1: this is not indented and so no part of the text of '|' in line 1"},
    {"x:\n  a: >2-\n  hello\n", "3:3: this is not indented and so no part of the text of '>' in line 2"},
    {"a: x|\nhello\nb: 1\n", "2:1: this line has no ':' and a value after its key"},
    {"  a: 1\nb: 2\n", "2:1: this line does not belong to what is above it"},
    {"a: 1\n  b: 2\n", "2:4: a ':' stands where no key can be; expected the key in column 1, as in line 1"},
    {"a:\n  b: |\n    x\n   y\n",
     "4:4: this does not belong to the mapping that begins at line 2; expected \"key: value\" in column 3, or column "
     "5 for the text of line 2"},
    {"a: do this: now\n", "1:11: a ':' stands where no key can be; expected quotes"},
    {"a: - b\n", "1:4: a list item cannot begin here"},
    {"a: 1\nb:2\nc: 3\n", "2:2: a space is missing after ':'; expected \"key: value\""},
    {"a: 1\nb:2\n", "2:2: a space is missing after ':'"},
    {"s:\n  - name:foo\n    type: x\n", "2:9: a space is missing after ':'"},
    {"a:\n  - b\n  -c\n", "3:3: a space is missing after '-'"},
    {"a: 1\nword\n", "2:1: this line has no ':' and a value after its key"},
    {": 1\n", "1:1: a key is missing before ':'"},
    {"{a: 1, : 2}", "1:8: a key is missing before ':'"},
    {"a: |\n  x\n b: 1\n  y: {{\n", "3:2: this does not belong"},
    /* quotes, brackets, signs */
    {"a: \"x\" and y\n", "1:8: something follows the end of a value"},
    {"a: 'it's'\n", "1:8: something follows the end of a value, which ends with its closing quote; expected ''"},
    {"a: \"say \"no\"\"\n",
     "1:10: something follows the end of a value, which ends with its closing quote; expected \\\""},
    {"a: \"x\nb: \"y\"\n", "1:4: this quote is not closed in its line, so that the text goes on to line 2"},
    {"```yaml\na: 1\n```\n", "1:1: a fence of Markdown; expected only the lines between"},
    {"a: 1\n```\n", "2:1: a fence of Markdown"},
    {"s:\n  -\xc2\xa0"
     "a: 1\n    b: 2\n",
     "2:4: a no-break space; expected a plain space"},
    {"{\"a\": 1, // one\n\"b\": 2}\n", "1:10: '//' begins no comment here; expected '#'"},
    {"a: 1\n<<<<<<< HEAD\nb: 2\n", "2:1: a conflict that version control has left"},
    {"%YAML 1.2\na: 1\n", "2:1: a line with '%' begins the file; expected '---'"},
    {"a: [1]]\n", "1:7: something follows the end of a value"},
    {"a: \"x\nb: y\n", "1:4: this quote is never closed"},
    {"a: 'x\n---\n", "1:4: this quote is not closed before the document ends"},
    {"a: [1, 2\nb: 3\n", "2:2: a [list] is not closed or lacks a comma (which begins at line 1); expected ',' or ']'"},
    {"a: [\"x\" \"y\"]\n", "1:9: a [list] is not closed or lacks a comma; expected ',' or ']'"},
    {"a: {b: 1\nc: 2\n", "2:2: a {mapping} is not closed or lacks a comma (which begins at line 1)"},
    {"{\"a\": 1,, \"b\": 2}", "1:9: a value is missing here"},
    {"a: @x\n", "1:4: '@' cannot begin a value; expected quotes around it"},
    {"a: `x`\n", "1:4: '`' cannot begin"},
    {"a: {% if x %}\n", "1:5: '%' cannot begin"},
    {"a: **bold**\n", "1:4: a value that begins with '*' or '&'"},
    {"a: \"C:\\dir\"\n", "1:7: an unknown escape"},
    {"a: \"C:\\Users\"\n", "1:9: an escape without its hexadecimal digits"},
    {"a: \"\\ud800\"\n", "1:7: an escape that names no character"},
    {"a: | text\n", "1:6: text after '|' or '>'"},
    {"a: |0\n x\n", "1:5: a wrong indentation indicator"},
    {"a: \x01\n", "1:4: a control character"},
    {"a: 1\nb: \xff\n", "2:4: byte 0xff is not valid UTF-8"},
    {"é: \xc3(\n", "1:4: byte 0xc3 is not valid UTF-8"},
    /* ours */
    {"a: 1\nb: 2\n'a': 3\n", "3:1: the key \"a\" stands here a second time (first at line 1); expected each key once"},
    {"{1: a, '1': b}", "1:8: the key \"1\" stands here a second time"},
    {"a: 1\n---\nb: 2\n", "2:1: a second document begins here; expected one a file"},
    {"a: *nope\n", "1:4: the alias *nope has no anchor"},
    {"a: &x [1, *x]\n", "1:11: the alias *x stands inside its own anchor"},
    {"a: &x {b: *x}\n", "1:11: the alias *x stands inside its own anchor"},
    {"? [a, b]\n: 1\n", "1:3: a list as a key; expected text"},
    {"? {a: b}\n: 1\n", "1:3: a mapping as a key; expected text"},
    {"a: &x [1]\n*x : 2\n", "2:1: this alias is of type array; expected text as a key"},
    {"a: {<<: 3}\n", "1:5: '<<' merges mappings"},
    {"a: {<<: [{}, 3]}\n", "1:5: '<<' merges mappings"},
    {"a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", "4:3: a second '<<' in one mapping"},
    {"a: .inf\n", "1:4: .inf is no value that a workflow can hold"},
    {"a: -.INF\n", "1:4: -.INF is no value"},
    {"a: .NaN\n", "1:4: .NaN is no value"},
    {"a: 1e999\n", "1:4: a number too large for a double"},
    {"a: !mine x\n", "1:4: unknown tag !mine; expected none"},
    {"a: !!binary aGk=\n", "1:4: unknown tag !!binary"},
    {"a: !!set {x}\n", "1:4: unknown tag !!set; expected none, or !!map"},
    {"a: !!map [x]\n", "1:4: unknown tag !!map; expected none, or !!seq"},
    {"!!int a: 1\n", "1:1: unknown tag !!int; expected no tag on a key"},
    {"a: !!int x\n", "1:4: this value does not fit its tag !!int"},
    {"a: !!bool 1\n", "1:4: this value does not fit its tag !!bool"},
    {"%YAML 3.0\n---\na\n", "1:1: a %YAML directive for another version"},
};

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    struct arena a = {0};
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct val v = val_int(5);
        struct err err = {0};
        enum rc rc = yaml_parse(&a, str_c(mistakes[i].yaml), "f.yaml", NULL, &v, &err);
        assert_int_equal(rc, RC_INVALID);
        assert_int_equal(v.i, 5);
        if (!str_starts(str_c(err.msg), STR("f.yaml:")) ||
            !str_starts(str_from(str_c(err.msg), 7), str_c(mistakes[i].message)))
            fail_msg("%s\nsays %s\nnot  f.yaml:%s", mistakes[i].yaml, err.msg, mistakes[i].message);
    }
    arena_done(&a);
}

static void utf16_is_refused(void **state)
{
    (void)state;
    static const struct str texts[] = {{"\xff\xfe"
                                        "a\0:\0 \0",
                                        8},
                                       {"\xfe\xff\0a", 4},
                                       {"a\0:\0", 4},
                                       {"\0a\0:", 4}};
    struct arena a = {0};
    struct val v;
    struct err err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(yaml_parse(&a, texts[i], "f.yaml", NULL, &v, &err), RC_INVALID);
        assert_string_equal(err.msg, "f.yaml:1:1: this is UTF-16 text; expected UTF-8");
    }
    arena_done(&a);
}

static void positions(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v = parse(&a, "# c\nname: é\nsteps:\n  - {a: 1, \"b\": [x,\n     y]}\n  - &z\n    k: |\n      text\n");
    const struct member *name = val_member(&v, STR("name")), *steps = val_member(&v, STR("steps"));
    assert_true(v.line == 2 && v.col == 1);
    assert_true(name->line == 2 && name->col == 1 && name->val.line == 2 && name->val.col == 7);
    assert_true(steps->line == 3 && steps->val.line == 4 && steps->val.col == 3);
    const struct val *one = val_at(&steps->val, 0), *two = val_at(&steps->val, 1);
    assert_true(one->line == 4 && one->col == 5);
    const struct member *b = val_member(one, STR("b"));
    assert_true(b->line == 4 && b->col == 12 && b->val.col == 17);
    assert_true(val_at(&b->val, 1)->line == 5 && val_at(&b->val, 1)->col == 6);
    assert_true(val_member(two, STR("k"))->line == 7 && VAL_GET(two, "k")->col == 8);
    v = parse(&a, "\xef\xbb\xbf"
                  "a: b");
    assert_true(v.obj.m[0].col == 1 && v.obj.m[0].val.col == 4); /* the mark is no column */
    arena_done(&a);
}

static void expect_limit(const char *text, struct yaml_limits lim, const char *part)
{
    struct arena a = {0};
    struct val v;
    struct err err = {0};
    enum rc rc = yaml_parse(&a, str_c(text), "f.yaml", &lim, &v, &err);
    if (part) {
        assert_int_equal(rc, RC_LIMIT);
        assert_non_null(strstr(err.msg, part));
    } else if (rc) {
        fail_msg("%s: %s", text, err.msg);
    }
    arena_done(&a);
}

static void limits_count_what_aliases_repeat(void **state)
{
    (void)state;
    struct yaml_limits lim = {.depth = 4, .max_size = 200, .max_nodes = 20};
    expect_limit("[[[[]]]]", lim, NULL);
    expect_limit("[[[[[]]]]]", lim, "1:5: more than 4 levels");
    expect_limit("[&a [[]], [[*a]]]", lim, "1:13: more than 4 levels"); /* through an alias too */
    expect_limit("[&a [[]], [*a]]", lim, NULL);
    expect_limit("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]", lim, NULL);
    expect_limit("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", lim, "more than 20 values");
    expect_limit("[&a [1,2,3,4], *a, *a, 1, 2, 3, 4]", lim, NULL);
    expect_limit("[&a [1,2,3,4], *a, *a, *a]", lim, "1:24: more than 20 values");
    expect_limit("{a: &a {x: 1, y: 2, z: 3, v: 4}, b: {<<: *a}, c: {<<: *a}, d: {<<: *a}}", lim, "more than 20 values");
    expect_limit("[&a \"0123456789012345678901234567890123456789\", *a, *a, *a, *a]", lim, NULL);
    expect_limit("[&a \"0123456789012345678901234567890123456789\", *a, *a, *a, *a, *a]", lim,
                 "more than 200 bytes of text");
    expect_limit("01234567890123456789", (struct yaml_limits){.depth = 4, .max_size = 19, .max_nodes = 9},
                 "1:1: 20 bytes; expected at most 19");
}

static void bombs_end_fast(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 24);
    clock_t start = clock();
    buf_addz(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 30; i++)
        buf_printf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1,
                   i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_limit(buf_str(&b).p, YAML_LIMITS_DEFAULT, "more than 1000000 values");
    buf_clear(&b);
    for (int i = 0; i < 200000; i++)
        buf_addc(&b, '[');
    expect_limit(buf_str(&b).p, YAML_LIMITS_DEFAULT, "more than 64 levels");
    buf_clear(&b);
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "%%TAG !a%d! x\n", i);
    expect_limit(buf_str(&b).p, YAML_LIMITS_DEFAULT, "101:1: more than 100 %TAG directives");
    buf_done(&b);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
}

static void text_is_copied(void **state)
{
    (void)state;
    char text[] = "key: [plain, 12345678901234567890]";
    struct arena a = {0};
    struct val v = parse(&a, text);
    memset(text, '#', sizeof text - 1);
    assert_string_equal(json_text(&a, &v).p, "{\"key\":[\"plain\",12345678901234567890]}");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meanings_are_the_core_schema),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(utf16_is_refused),
        cmocka_unit_test(positions),
        cmocka_unit_test(limits_count_what_aliases_repeat),
        cmocka_unit_test(bombs_end_fast),
        cmocka_unit_test(text_is_copied),
    };
    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
