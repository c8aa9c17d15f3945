/* Templates: what text with holes becomes, its type, its errors and their places, and trees of templates. */
#include "data/json.h"
#include "data/template.h"
#include "unit/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char names_json[] =
    "{\"x\":5,\"f\":1.5,\"name\":\"bob\",\"nul\":null,\"t\":true,\"no\":false,\"braces\":\"{{ x }}\",\"path\":\"docs\","
    "\"list\":[1,\"a\",null],\"obj\":{\"a\":{\"b\":1}},\"steps\":{\"scan\":{\"text\":\"two\\nlines\"}},"
    "\"file:\":{\"docs/a.md\":\"A!\",\"a b.md\":\"AB\"}}";

static int setup(void **state)
{
    (void)state;
    return names_set(names_json);
}

static struct str outcome(struct arena *a, const char *text, struct expr_scope *scope)
{
    struct err err;
    const struct tmpl *t;
    struct val v;
    enum rc rc = tmpl_parse(a, str_c(text), 1, 1, &t, &err);
    if (rc == RC_OK)
        rc = tmpl_eval(t, scope, a, &v, &err);
    if (rc == RC_OK)
        return json_text(a, &v);
    return arena_printf(a, "!%s: %s", rc_name(rc), err.msg);
}

struct tmpl_case {
    const char *text, *want;
};
static const struct tmpl_case cases[] = {
    /* constants */
    {"", "\"\""},
    {"plain text", "\"plain text\""},
    {"}} { } ${x} $x", "\"}} { } ${x} $x\""},
    {"{{{{", "\"{{\""},
    {"a {{{{ x }} b", "\"a {{ x }} b\""},
    {"{{{{{{{{", "\"{{{{\""},
    {"{ { x } }", "\"{ { x } }\""},
    /* a lone hole keeps its type */
    {"{{ x }}", "5"},
    {"{{x}}", "5"},
    {"  {{ x }}\n", "5"},
    {"{{ f }}", "1.5"},
    {"{{ nul }}", "null"},
    {"{{ t }}", "true"},
    {"{{ list }}", "[1,\"a\",null]"},
    {"{{ obj.a }}", "{\"b\":1}"},
    {"{{ name }}", "\"bob\""},
    {"{{ [x, x + 1] }}", "[5,6]"},
    {"{{ 'text' }}", "\"text\""},
    {"{{ 1 }}", "1"},
    {"{{ '' }}", "\"\""},
    {"{{ x ? 'y' : 'n' }}", "\"y\""},
    {"{{\n  x\n  + 1\n}}", "6"},
    /* text with holes */
    {"x is {{ x }}", "\"x is 5\""},
    {"{{ x }}.", "\"5.\""},
    {"{{ x }}{{ x }}", "\"55\""},
    {"{{ x }} {{ x }}", "\"5 5\""},
    {"a{{ nul }}b", "\"ab\""},
    {"a{{ '' }}b", "\"ab\""},
    {"{{ f }}/{{ t }}/{{ no }}", "\"1.5/true/false\""},
    {"list: {{ list }}", "\"list: [1,\\\"a\\\",null]\""},
    {"obj: {{ obj }}", "\"obj: {\\\"a\\\":{\\\"b\\\":1}}\""},
    {"<{{ steps.scan.text }}>", "\"<two\\nlines>\""},
    {"{{ braces }} stays", "\"{{ x }} stays\""},
    {"{{ nope || 'd' }}!", "\"d!\""},
    {"{{{{x}} = {{x}}", "\"{{x}} = 5\""},
    {"{{{{{{ x }}", "\"{{5\""},
    {"${a} {{ x }} ${b}", "\"${a} 5 ${b}\""},
    {"ñ{{ x }}→", "\"ñ5→\""},
    /* braces inside a hole */
    {"{{ {\"a\": {\"b\": 1}} }}", "{\"a\":{\"b\":1}}"},
    {"{{{\"a\": {\"b\": 1}}}}", "{\"a\":{\"b\":1}}"},
    {"{{ {a: {b: x}}.a.b }}", "5"},
    {"<{{ {a: {}} }}>", "\"<{\\\"a\\\":{}}>\""},
    {"{{ '}}' }}", "\"}}\""},
    {"{{ \"}}\" + '{{' }}!", "\"}}{{!\""},
    {"{{ 'it\\'s }}' }}", "\"it's }}\""},
    {"{{ braces contains '{{' }}", "true"},
    {"{{ {{ x }} + 1 }}", "6"},
    {"{{ map([1, 2], (v) => {n: {m: v}})[1].n.m }}", "2"},
    /* {{#if}} */
    {"{{#if x}}yes{{/if}}", "\"yes\""},
    {"{{#if nul}}yes{{/if}}", "\"\""},
    {"{{#if nope.a}}yes{{else}}no{{/if}}", "\"no\""},
    {"a {{ #if x > 3 }}big {{ x }}{{ else }}small{{ /if }} b", "\"a big 5 b\""},
    {"{{#if t}}{{#if no}}1{{else}}2{{/if}}{{else}}3{{/if}}", "\"2\""},
    {"{{#unless no}}shown{{/unless}}", "\"shown\""},
    {"{{#unless t}}a{{else}}b{{/unless}}", "\"b\""},
    {"{{#if t}} {{ x }} {{/if}}", "\" 5 \""},
    {"{{#if x == 5 and name == 'bob'}}{{{{{{/if}}", "\"{{\""},
    /* {{file:}} */
    {"{{file:docs/a.md}}", "\"A!\""},
    {"<{{ file: a b.md }}>", "\"<AB>\""},
    {"{{file:{{path}}/a.md}}", "\"A!\""},
    {"{{file:{{ path }}/{{ 'a' }}.md }}", "\"A!\""},
    {"{{file:docs/{{ 'a.md' }}}}", "\"A!\""},
    {"{{file:nope.md}}", "!not_found: 1:1: `file:` has no field \"nope.md\"; it has docs/a.md, a b.md"},
    /* errors */
    {"{{", "!expression: 1:1: this {{ is never closed; expected }} (a literal {{ is written {{{{)"},
    {"a\nbc {{ x", "!expression: 2:4: this {{ is never closed; expected }} (a literal {{ is written {{{{)"},
    {"{{ x }", "!expression: 1:1: this {{ is never closed; expected }} (a literal {{ is written {{{{)"},
    {"{{ x }} {{ 'a }}", "!expression: 1:12: this text is never closed; expected another '"},
    {"{{}}", "!expression: 1:3: `{{ }}` is empty; expected an expression, or write {{{{ for a literal {{"},
    {"{{ }}", "!expression: 1:4: `{{ }}` is empty; expected an expression, or write {{{{ for a literal {{"},
    {"{{ x + }}", "!expression: 1:8: unexpected `}`; expected a value"},
    {"{{ x y }}", "!expression: 1:6: unexpected `y`; expected an operator or `}}`"},
    {"{{ x | upper }}", "!expression: 1:6: there are no filters (`|`); write upper(x) for x | upper"},
    {"{{- x }}", "!expression: 1:1: `{{-` trims no white space here; write {{ x }}, or {{ -x }} for a negative"},
    {"{{-x}}", "-5"},
    {"{{~x}}", "!expression: 1:1: `{{~` trims no white space here; write {{ x }}"},
    {"{{ x -}}", "!expression: 1:7: `-}}` trims no white space here; write }} alone"},
    {"{{{ obj.a }}}", "!expression: 1:1: a hole has two braces; write {{ obj.a }}"},
    {"{{#if x}}a{{else if t}}b{{/if}}", "!expression: 1:11: there is no {{else if}}; write another {{#if …}} … {{/if}} "
                                        "behind {{else}}, or {{ a ? x : b ? y "
                                        ": z }}"},
    {"{{#if x}}a{{/unless}}", "!expression: 1:1: this block is never closed; expected {{/if}}, found {{/unless}}"},
    {"{{#unless x}}a{{/if}}", "!expression: 1:1: this block is never closed; expected {{/unless}}, found {{/if}}"},
    {"{{#if x}}a{{else}}b{{else}}c{{/if}}",
     "!expression: 1:1: this block is never closed; expected {{/if}}, found a second {{else}}"},
    {"{{ {a: 1} }", "!expression: 1:1: this {{ is never closed; expected }} (a literal {{ is written {{{{)"},
    {"{{ x } } }}", "!expression: 1:6: unexpected `}`; expected an operator or `}}`"},
    {"ab {{ nope }}", "!not_found: 1:7: unknown name `nope`"},
    {"ab\n {{ x - 'a' }}",
     "!expression: 2:5: cannot subtract a number and a string: right side `'a'` is \"a\"; int(x) and float(x) read "
     "numbers from text"},
    {"{{#each list}}", "!expression: 1:4: unknown block; expected {{#if …}} or {{#unless …}} (lists are made text with "
                       "map() and join())"},
    {"{{#if x}}", "!expression: 1:1: this block is never closed; expected {{/if}}"},
    {"{{#if x}}a{{else}}b", "!expression: 1:1: this block is never closed; expected {{/if}}"},
    {"a {{/if}}", "!expression: 1:3: this closes no block; expected an expression, or {{#if …}} before {{else}} and "
                  "{{/if}}"},
    {"{{#if x}}a{{/for}}", "!expression: 1:11: this closes no block; expected an expression, or {{#if …}} before "
                           "{{else}} and {{/if}}"},
    {"{{#if}}a{{/if}}", "!expression: 1:6: `{{ }}` is empty; expected an expression, or write {{{{ for a literal {{"},
    {"{{file:}}", "!expression: 1:8: expected the path of a file after file:"},
    {"{{file:a{{x}}", "!expression: 1:1: this {{ is never closed; expected }} (a literal {{ is written {{{{)"},
    {"{{ else }}", "!not_found: 1:4: unknown name `else`"},
};

static void test_meaning(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct expr_scope scope = {.resolve = names_resolve};
        struct str got = outcome(&a, cases[i].text, &scope);
        if (!str_is(got, cases[i].want)) {
            print_error("%s\n   gives  %.*s\n   wanted %s\n", cases[i].text, STR_ARG(got), cases[i].want);
            bad++;
        }
        arena_done(&a);
    }
    assert_int_equal(bad, 0);
}

static void test_constant_is_free(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool constant;
    } texts[] = {{"", true}, {"plain", true}, {"a {{{{ b", true}, {"{{ 1 }}", false}, {"a {{ x }}", false}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena a = {0}, mine = {0};
        struct err err;
        struct val v;
        const struct tmpl *t;
        struct expr_scope scope = {.resolve = names_resolve};
        assert_int_equal(tmpl_parse(&a, str_c(texts[i].text), 1, 1, &t, &err), RC_OK);
        assert_int_equal(tmpl_is_constant(t), texts[i].constant);
        assert_int_equal(tmpl_eval(t, &scope, &mine, &v, &err), RC_OK);
        if (texts[i].constant)
            assert_int_equal(mine.used, 0);
        arena_done(&mine);
        arena_done(&a);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct buf b;
    const struct tmpl *t;
    struct val v;
    buf_init(&b, 17 << 20);
    for (int i = 0; i < 21000; i++)
        buf_addz(&b, "{{x}}");
    assert_int_equal(tmpl_parse(&a, buf_str(&b), 1, 1, &t, &err), RC_EXPRESSION);
    assert_string_equal(err.msg, "1:100006: a template may have at most 20000 parts");
    buf_clear(&b);
    for (int i = 0; i < 30; i++)
        buf_addz(&b, "{{#if x}}");
    for (int i = 0; i < 30; i++)
        buf_addz(&b, "{{/if}}");
    assert_int_equal(tmpl_parse(&a, buf_str(&b), 1, 1, &t, &err), RC_EXPRESSION);
    assert_non_null(strstr(err.msg, "more than 20 blocks"));
    buf_clear(&b);
    buf_addz(&b, "{{ '");
    for (int i = 0; i < 7000; i++)
        buf_addz(&b, "0123456789");
    buf_addz(&b, "' }}");
    assert_int_equal(tmpl_parse(&a, buf_str(&b), 1, 1, &t, &err), RC_EXPRESSION);
    assert_non_null(strstr(err.msg, "64 KiB"));
    buf_clear(&b);
    for (int i = 0; i < (16 << 20) / 10 + 1; i++)
        buf_addz(&b, "0123456789");
    assert_int_equal(tmpl_parse(&a, buf_str(&b), 1, 1, &t, &err), RC_EXPRESSION);
    buf_clear(&b);
    buf_addz(&b, "bad \xff {{ x }}");
    assert_int_equal(tmpl_parse(&a, buf_str(&b), 3, 9, &t, &err), RC_EXPRESSION);
    assert_string_equal(err.msg, "3:13: the text is not valid UTF-8");
    struct expr_scope scope = {.resolve = names_resolve, .max_bytes = 30};
    assert_int_equal(tmpl_parse(&a, STR("{{ obj }}{{ obj }}{{ obj }}"), 1, 1, &t, &err), RC_OK);
    assert_int_equal(tmpl_eval(t, &scope, &a, &v, &err), RC_LIMIT);
    scope.max_bytes = 100;
    assert_int_equal(tmpl_eval(t, &scope, &a, &v, &err), RC_OK);
    buf_done(&b);
    arena_done(&a);
}

static void test_unknown_place(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    const struct tmpl *t;
    assert_int_equal(tmpl_parse(&a, STR("abc {{ x"), 0, 0, &t, &err), RC_EXPRESSION);
    assert_true(str_starts(str_c(err.msg), STR("column 5: this {{ is never closed")));
    assert_int_equal(tmpl_parse(&a, STR("a\n{{ foo(1) }}"), 20, 7, &t, &err), RC_EXPRESSION);
    assert_string_equal(err.msg, "21:4: unknown function `foo`; docs/expressions.md lists those there are");
    arena_done(&a);
}

static enum rc note_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct buf *b = ctx;
    (void)err;
    buf_printf(b, "%s%s%.*s", b->n ? " " : "", soft ? "~" : "", STR_ARG(path->seg[0].name));
    for (size_t i = 1; i < path->n; i++)
        buf_printf(b, ".%.*s", path->seg[i].index ? 1 : (int)path->seg[i].name.n,
                   path->seg[i].index ? "?" : path->seg[i].name.p);
    buf_printf(b, "@%u:%u", path->line, path->col);
    return RC_OK;
}

static void test_paths(void **state)
{
    (void)state;
    static const struct tmpl_case paths[] = {
        {"plain", ""},
        {"{{ x }}", "x@1:4"},
        {"a {{ x.y }} b\n{{ z || w }}", "x.y@1:6 ~z@2:4 w@2:9"},
        {"{{#if a.b}}{{ c }}{{else}}{{ d }}{{/if}}", "~a.b@1:7 c@1:15 d@1:30"},
        {"{{file:a/b}}", "file:.a/b@1:1"},
        {"{{file:{{ p.q }}/b}}", "file:.?@1:1 p.q@1:11"},
        {"{{{{ x }} {{ y }}", "y@1:14"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct arena a = {0};
        struct err err;
        struct buf b;
        const struct tmpl *t;
        buf_init(&b, 4096);
        assert_int_equal(tmpl_parse(&a, str_c(paths[i].text), 1, 1, &t, &err), RC_OK);
        assert_int_equal(tmpl_each_path(t, note_path, &b, &err), RC_OK);
        if (!str_is(buf_str(&b), paths[i].want))
            fail_msg("%s reports %.*s", paths[i].text, STR_ARG(buf_str(&b)));
        buf_done(&b);
        arena_done(&a);
    }
}

/* ---- trees ---- */

static struct str tree_outcome(struct arena *a, const char *json, struct expr_scope *scope)
{
    struct err err;
    struct val *v = ARENA_NEW(a, struct val), got;
    const struct tmpl_tree *t;
    assert_int_equal(json_parse(a, str_c(json), &JSON_LIMITS_DEFAULT, v, &err), RC_OK);
    enum rc rc = tmpl_tree_parse(a, v, &t, &err);
    if (rc == RC_OK)
        rc = tmpl_tree_eval(t, scope, a, &got, &err);
    return rc == RC_OK ? json_text(a, &got) : arena_printf(a, "!%s: %s", rc_name(rc), err.msg);
}

static void test_trees(void **state)
{
    (void)state;
    static const struct tmpl_case trees[] = {
        {"5", "5"},
        {"\"{{ x }}\"", "5"},
        {"{\"a\": \"{{ x }}\", \"b\": [1, \"n={{ name }}\", {\"c\": \"{{ list }}\"}], \"{{ x }}\": null}",
         "{\"a\":5,\"b\":[1,\"n=bob\",{\"c\":[1,\"a\",null]}],\"{{ x }}\":null}"},
        {"{\"a\": [\"x {{{{ y\", 1], \"b\": {\"c\": \"{{{{\"}}", "{\"a\":[\"x {{ y\",1],\"b\":{\"c\":\"{{\"}}"},
        {"[[], {}, \"\", [\"{{ x }}\"]]", "[[],{},\"\",[5]]"},
        {"{\"a\": {\"b\": [\"{{ nope }}\"]}}", "!not_found: "},
        {"{\"a\": {\"b\": [\"{{ 1 + }}\"]}}", "!expression: "},
    };
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        struct arena a = {0};
        struct expr_scope scope = {.resolve = names_resolve};
        struct str got = tree_outcome(&a, trees[i].text, &scope);
        bool same = trees[i].want[0] == '!' ? str_starts(got, str_c(trees[i].want)) : str_is(got, trees[i].want);
        if (!same)
            fail_msg("%s gives %.*s", trees[i].text, STR_ARG(got));
        arena_done(&a);
    }
}

/* What has no position is found by its keys. */
static void test_tree_places(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    const struct tmpl_tree *t;
    struct val got;
    struct val_list l = val_list_new(&a);
    val_list_push(&l, val_int(1));
    val_list_push(&l, VAL_LIT("{{ nope }}"));
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "args", val_list_done(&l));
    struct val v = val_map_done(&m);
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_OK);
    assert_int_equal(tmpl_tree_eval(t, &scope, &a, &got, &err), RC_NOT_FOUND);
    assert_string_equal(err.msg, "args: [1]: unknown name `nope`");
    m = val_map_new(&a);
    assert_true(
        val_map_add(&m, STR("k"), (struct val){.type = VAL_STR, .line = 12, .col = 8, .s = STR("{{ 1 + }}")}, 12, 3));
    v = val_map_done(&m);
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_EXPRESSION);
    assert_string_equal(err.msg, "12:15: unexpected `}`; expected a value");
    arena_done(&a);
}

/* Parts without holes are borrowed, positions kept. */
static void test_tree_sharing(void **state)
{
    (void)state;
    struct arena a = {0}, mine = {0};
    struct err err;
    struct val v, got;
    const struct tmpl_tree *t;
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(
        json_parse(&a, STR("{\"big\": [1, [2, \"text\"]], \"x\": \"{{ x }}\"}"), &JSON_LIMITS_DEFAULT, &v, &err),
        RC_OK);
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_OK);
    assert_int_equal(tmpl_tree_eval(t, &scope, &mine, &got, &err), RC_OK);
    assert_ptr_equal(VAL_GET(&got, "big")->arr.v, VAL_GET(&v, "big")->arr.v);
    assert_int_equal(VAL_GET(&got, "x")->line, VAL_GET(&v, "x")->line);
    arena_done(&mine);
    v = *VAL_GET(&v, "big");
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_OK);
    assert_int_equal(tmpl_tree_eval(t, &scope, &mine, &got, &err), RC_OK);
    assert_int_equal(mine.used, 0);
    arena_done(&mine);
    arena_done(&a);
}

static void test_tree_bounds(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val v = VAL_LIT("{{ x }}");
    const struct tmpl_tree *t;
    for (int i = 0; i < 300; i++) {
        struct val *cell = ARENA_NEW(&a, struct val);
        *cell = v;
        v = (struct val){.type = VAL_ARRAY, .arr = {cell, 1}};
    }
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_LIMIT);
    for (int i = 0; i < 150; i++)
        v = v.arr.v[0];
    struct val got;
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_OK);
    assert_int_equal(tmpl_tree_eval(t, &scope, &a, &got, &err), RC_LIMIT); /* too deep to be stored and read again */
    scope = (struct expr_scope){.resolve = names_resolve, .max_bytes = 300};
    struct str got_text = tree_outcome(&a, "[\"{{ list }}\", \"{{ list }}\", \"{{ list }}\"]", &scope);
    assert_true(str_starts(got_text, STR("!limit: ")));
    scope = (struct expr_scope){.resolve = names_resolve, .fuel = 20};
    got_text = tree_outcome(&a, "[\"{{ x + 1 + 1 + 1 }}\", \"{{ x + 1 + 1 + 1 }}\", \"{{ x + 1 + 1 + 1 }}\"]", &scope);
    assert_true(str_starts(got_text, STR("!limit: "))); /* the fuel is for the whole tree */
    arena_done(&a);
}

static void test_tree_paths(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct buf b;
    struct val v;
    const struct tmpl_tree *t;
    buf_init(&b, 4096);
    assert_int_equal(
        json_parse(&a, STR("{\"a\": \"{{ x }}\", \"b\": [\"{{ y.z || 1 }}\", 5], \"c\": {\"d\": \"{{{{ n }}\"}}"),
                   &JSON_LIMITS_DEFAULT, &v, &err),
        RC_OK);
    assert_int_equal(tmpl_tree_parse(&a, &v, &t, &err), RC_OK);
    assert_int_equal(tmpl_tree_each_path(t, note_path, &b, &err), RC_OK);
    assert_non_null(strstr(b.p, "x@"));
    assert_non_null(strstr(b.p, " ~y.z@"));
    assert_null(strstr(b.p, "n@"));
    buf_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),     cmocka_unit_test(test_constant_is_free),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_unknown_place),
        cmocka_unit_test(test_paths),       cmocka_unit_test(test_trees),
        cmocka_unit_test(test_tree_places), cmocka_unit_test(test_tree_sharing),
        cmocka_unit_test(test_tree_bounds), cmocka_unit_test(test_tree_paths),
    };
    return cmocka_run_group_tests(tests, setup, names_free);
}
