/* The expression language: meaning (expr_cases.h), the examples of the function table, positions, bounds, and what is
 * reported about an expression before it runs. */
#include "data/expr.h"
#include "data/json.h"
#include "unit/expr_cases.h"
#include "unit/expr_habits.h"
#include "unit/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char names_json[] =
    "{\"x\":5,\"f\":1.5,\"name\":\"bob\",\"s\":\"high\",\"nul\":null,\"key\":\"scan\",\"list\":[1,2,3],"
    "\"files\":[{\"name\":\"a.py\",\"size\":3},{\"name\":\"b.c\",\"size\":30}],"
    "\"steps\":{\"scan\":{\"score\":\"high\",\"files\":[{\"name\":\"z\"}]},\"lint\":{\"score\":7},\"lint-2\":{"
    "\"score\":9}},"
    "\"inputs\":{\"limit\":10},\"loop\":{\"item\":1,\"parent\":{\"item\":2}},\"len_obj\":{\"length\":\"own\",\"in\":1}"
    "}";

static const int64_t new_year_eve = 1735603200000; /* 2024-12-31T00:00:00Z */

static int setup(void **state)
{
    (void)state;
    return names_set(names_json);
}

/* The value as JSON, or "!code: message". */
static struct str outcome(struct arena *a, const char *text, struct expr_scope *scope)
{
    struct err err;
    const struct expr *e;
    struct val v;
    enum rc rc = expr_parse(a, str_c(text), 1, 1, &e, &err);
    if (rc == RC_OK)
        rc = expr_eval(e, scope, a, &v, &err);
    if (rc == RC_OK)
        return json_text(a, &v);
    return arena_printf(a, "!%s: %s", rc_name(rc), err.msg);
}

static void check_cases(const struct expr_case *cases, size_t n, bool null_safe)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        struct arena a = {0};
        struct expr_scope scope = {.resolve = names_resolve, .now_ms = new_year_eve, .null_safe = null_safe};
        struct str got = outcome(&a, cases[i].text, &scope);
        if (!str_is(got, cases[i].want)) {
            print_error("%s\n   gives  %.*s\n   wanted %s\n", cases[i].text, STR_ARG(got), cases[i].want);
            bad++;
        }
        arena_done(&a);
    }
    assert_int_equal(bad, 0);
}

static void test_meaning(void **state)
{
    (void)state;
    check_cases(main_cases, sizeof main_cases / sizeof *main_cases, false);
}
static void test_null_safe(void **state)
{
    (void)state;
    check_cases(null_safe_cases, sizeof null_safe_cases / sizeof *null_safe_cases, true);
}

static void test_habits(void **state)
{
    (void)state;
    check_cases(habit_cases, sizeof habit_cases / sizeof *habit_cases, false);
}

/* ---- the function table ---- */

static void test_function_examples(void **state)
{
    (void)state;
    static const struct {
        const char *name, *example, *want;
    } rows[] = {
#define X(name, least, most, form, op, flags, impl, group, meaning, example, want) {name, example, want},
#include "data/expr_functions.def"
#undef X
    };
    int bad = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = {0};
        struct err err;
        struct val want;
        struct expr_scope scope = {.resolve = names_resolve, .now_ms = new_year_eve};
        assert_int_equal(json_parse(&a, str_c(rows[i].want), &JSON_LIMITS_DEFAULT, &want, &err), RC_OK);
        struct str got = outcome(&a, rows[i].example, &scope), text = json_text(&a, &want);
        bool uses_it = str_find(str_c(rows[i].example), arena_printf(&a, "%s(", rows[i].name)) != SIZE_MAX;
        if (!str_eq(got, text) || !uses_it) {
            print_error("%s: %s gives %.*s\n", rows[i].name, rows[i].example, STR_ARG(got));
            bad++;
        }
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(rows[i].name, rows[k].name);
        arena_done(&a);
    }
    assert_int_equal(bad, 0);
}

/* ---- positions ---- */

static void test_positions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, col;
        const char *want;
    } cases[] = {
        {"1 + )", 10, 5, "10:9: unexpected `)`; expected a value"},
        {"1 +\n  )", 10, 5, "11:3: unexpected `)`; expected a value"},
        {"1 +\n\n'a\nb' )", 10, 5, "13:4: unexpected `)`; expected an operator or the end of the expression"},
        {"1 + )", 0, 0, "column 5: unexpected `)`; expected a value"},
        {"1 +\n )", 0, 0, "line 2, column 2: unexpected `)`; expected a value"},
        {"", 3, 4, "3:4: the expression is empty; expected a value"},
        {"  ", 3, 4, "3:6: the expression is empty; expected a value"},
        {"any(list, 'x >')", 7, 1, "7:15: the expression ends too early; expected a value"},
        {"a +\nfoo(1)", 7, 3, "8:1: unknown function `foo`; docs/expressions.md lists those there are"},
        {"length(1,\n2)", 7, 3, "7:3: length() was given 2 arguments; expected 1"},
        {"x matches\n '('", 7, 3, "8:2: bad regular expression: missing closing parenthesis (at byte 1)"},
        {"\xff", 7, 3, "7:3: the text is not valid UTF-8"},
        {"a +\n 'b\xc3'", 7, 3, "8:4: the text is not valid UTF-8"},
        {"a \x01", 7, 3, "7:5: unexpected control character 0x01"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err;
        const struct expr *e;
        enum rc rc = expr_parse(&a, str_c(cases[i].text), cases[i].line, cases[i].col, &e, &err);
        assert_int_equal(rc, RC_EXPRESSION);
        assert_string_equal(err.msg, cases[i].want);
        arena_done(&a);
    }
    struct arena a = {0};
    struct err err;
    struct val v;
    const struct expr *e;
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(expr_parse(&a, STR("x == 5 and\n  steps.scan.score > 3"), 10, 5, &e, &err), RC_OK);
    assert_int_equal(expr_eval(e, &scope, &a, &v, &err), RC_EXPRESSION);
    assert_string_equal(err.msg,
                        "11:3: cannot compare a string with a number: left side `steps.scan.score` is \"high\"");
    assert_int_equal(expr_parse(&a, STR("nope.x"), 0, 0, &e, &err), RC_OK);
    assert_int_equal(expr_eval(e, &scope, &a, &v, &err), RC_NOT_FOUND);
    assert_string_equal(err.msg, "unknown name `nope`");
    arena_done(&a);
}

/* ---- bounds ---- */

static struct str repeated(struct arena *a, const char *head, const char *part, size_t n, const char *tail)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addz(&b, head);
    for (size_t i = 0; i < n; i++)
        buf_addz(&b, part);
    buf_addz(&b, tail);
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

static void test_parse_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *head, *part;
        size_t n;
        const char *tail, *want; /* NULL: parses */
    } cases[] = {
        {"", "(", 20000, "", "nested more than 100 levels"},
        {"", "[", 20000, "", "nested more than 100 levels"},
        {"", "{a:", 15000, "", "nested more than 100 levels"},
        {"", "-", 20000, "1", "nested more than 100 levels"},
        {"", "not ", 10000, "1", "nested more than 100 levels"},
        {"", "1?1:", 10000, "1", "nested more than 100 levels"},
        {"", "{{", 20000, "", "nested more than 100 levels"},
        {"", "length(", 5000, "", "nested more than 100 levels"},
        {"", "a[", 5000, "", "nested more than 100 levels"},
        {"1", "+1", 20000, "", "more than 500 operators"},
        {"x", " || x", 10000, "", "more than 500 operators"},
        {"x", "[0:1]", 10000, "", "more than 500 operators"},
        {"x", "[*]", 10000, "", "more than 500 operators"},
        {"x", ".a", 100, "", "a path may have at most 32 parts"},
        {"'", "a", 70000, "'", "an expression may have at most 64 KiB"},
        {"", "1", 500, "", "at most 400 digits"},
        {"coalesce(1", ",1", 600, ")", "more than 500 operators"},
        {"[1", ",1", 20000, "]", NULL},
        {"1", "+1", 400, "", NULL},
        {"x", " or x", 400, "", NULL},
        {"((((((((((", "-", 80, "1))))))))))", NULL},
        {"'", "a", 60000, "'", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err = {0};
        const struct expr *e;
        struct str text = repeated(&a, cases[i].head, cases[i].part, cases[i].n, cases[i].tail);
        enum rc rc = expr_parse(&a, text, 1, 1, &e, &err);
        assert_int_equal(rc, cases[i].want ? RC_EXPRESSION : RC_OK);
        if (cases[i].want && str_find(str_c(err.msg), str_c(cases[i].want)) == SIZE_MAX)
            fail_msg("`%s…`: %s", cases[i].part, err.msg);
        arena_done(&a);
    }
}

static void test_fuel(void **state)
{
    (void)state;
    static const char *const greedy[] = {
        "sum(map(range(1, 100000), (a) => sum(range(1, 100000))))",
        "map(range(1, 1000), (a) => map(range(1, 1000), (b) => map(range(1, 1000), (c) => a * b * c)))[0][0][0]",
        "count(range(1, 1000000), '@ > 0 and @ > 1')",
        "any(range(1, 10000), (x) => 'a' in split(repeat('b ', 10000)))",
        "sort(map(range(1, 300000), (x) => 0 - x))",
        "filter(split(repeat('ab', 200000), ''), '@ matches \"b\"')",
    };
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) {
        struct arena a = {0};
        struct expr_scope scope = {.resolve = names_resolve};
        struct str got = outcome(&a, greedy[i], &scope);
        if (!str_starts(got, STR("!limit: 1:")))
            fail_msg("%s gives %.*s", greedy[i], STR_ARG(got));
        arena_done(&a);
    }
    struct arena a = {0};
    struct expr_scope scope = {.resolve = names_resolve, .fuel = 100};
    assert_true(str_is(outcome(&a, "1 + 2", &scope), "3"));
    assert_int_equal(scope.fuel, 97);
    assert_true(str_starts(outcome(&a, "range(1, 10) + map(range(1, 100), '@')", &scope), STR("!limit")));
    assert_int_equal(scope.fuel, 1); /* spent stays spent */
    assert_true(str_starts(outcome(&a, "1", &scope), STR("!limit")));
    assert_true(str_starts(outcome(&a, "nope || 1", &scope), STR("!limit")));
    arena_done(&a);
}

static void test_size_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t max;
    } cases[] = {
        {"'aaaaaaaaaa' + 'aaaaaaaaaa' + 'aaaaaaaaaa'", 40},
        {"repeat('a', 1001)", 1000},
        {"replace('aaaaaaaaaa', 'a', 'bbbbbbbbbb')", 90},
        {"join(range(1, 100), '----------')", 1000},
        {"json(files)", 40},
        {"upper(name) + 'x'", 6},
        {"[list, list, list, list]", 400},
        {"{a: list, b: list}", 300},
        {"map(list, (x) => files)", 700},
        {"append(files, files)", 500},
        {"concat(list, list, list)", 300},
        {"split('a a a a a a a a a a a')", 500},
        {"keys(steps) + keys(steps)", 150},
        {"string(files)", 40},
        {"parse_json('[[[[[[1],1],1],1],1],1]')", 100},
        {"merge(steps, {a: files})", 600},
        {"range(1, 10)", 399},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct expr_scope scope = {.resolve = names_resolve, .max_bytes = cases[i].max};
        struct str got = outcome(&a, cases[i].text, &scope);
        if (!str_starts(got, STR("!limit: ")))
            fail_msg("%s gives %.*s", cases[i].text, STR_ARG(got));
        scope.max_bytes = 100000;
        got = outcome(&a, cases[i].text, &scope);
        if (str_starts(got, STR("!")))
            fail_msg("%s gives %.*s", cases[i].text, STR_ARG(got));
        arena_done(&a);
    }
}

/* Sharing makes a small tree in memory that is astronomical when written out. */
static void test_shared_bombs(void **state)
{
    (void)state;
    struct arena a = {0};
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_addz(&b, "[1]");
    for (int i = 0; i < 40; i++) {
        struct str inner = arena_str(&a, buf_str(&b));
        buf_clear(&b);
        buf_printf(&b, "map(%.*s, (v) => [v, v, v, v])", STR_ARG(inner));
    }
    struct expr_scope scope = {.resolve = names_resolve};
    struct str got = outcome(&a, b.p, &scope);
    assert_true(str_starts(got, STR("!limit: 1:")));
    buf_clear(&b);
    buf_addz(&b, "x");
    for (int i = 0; i < 60; i++) {
        struct str inner = arena_str(&a, buf_str(&b));
        buf_clear(&b);
        buf_printf(&b, "first(map([%.*s], (v) => {a: v, b: v}))", STR_ARG(inner));
    }
    scope = (struct expr_scope){.resolve = names_resolve};
    got = outcome(&a, b.p, &scope);
    assert_true(str_starts(got, STR("!")));
    buf_done(&b);
    arena_done(&a);
}

static void test_deep_values(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val deep = val_int(1), saved = names;
    for (int i = 0; i < 200000; i++) {
        struct val *cell = ARENA_NEW(&a, struct val);
        *cell = deep;
        deep = (struct val){.type = VAL_ARRAY, .arr = {cell, 1}};
    }
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "deep", deep);
    names = val_map_done(&m);
    static const char *const cases[] = {"deep == deep",          "[deep]",         "{a: deep}",
                                        "unique([deep, deep])",  "deep + deep",    "deep in [deep]",
                                        "map([1], (x) => deep)", "append(deep, 1)"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct expr_scope scope = {.resolve = names_resolve};
        struct str got = outcome(&a, cases[i], &scope);
        if (!str_starts(got, STR("!limit: ")))
            fail_msg("%s gives %.*s", cases[i], STR_ARG(got));
    }
    struct expr_scope scope = {.resolve = names_resolve};
    assert_true(str_is(outcome(&a, "deep[0][0].length", &scope), "1"));
    assert_true(str_is(outcome(&a, "type(deep[0])", &scope), "\"array\""));
    names = saved;
    arena_done(&a);
}

/* ---- names ---- */

struct asked {
    struct buf text;
    size_t used;
    enum rc rc;
};

static enum rc resolve_asked(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                             size_t *ret_used, struct err *err)
{
    struct asked *q = ctx;
    (void)a;
    buf_clear(&q->text);
    for (size_t i = 0; i < nkeys; i++) {
        buf_addc(&q->text, ' ');
        json_write(&q->text, &key[i], JSON_COMPACT);
    }
    *ret = val_get(&names, STR("files"));
    *ret_used = q->used;
    return q->rc == RC_OK ? RC_OK : err_set(err, q->rc, "because");
}

static void test_resolving(void **state)
{
    (void)state;
    struct arena a = {0};
    struct asked q = {.used = 2};
    buf_init(&q.text, 1000);
    struct expr_scope scope = {.resolve = resolve_asked, .ctx = &q};
    assert_true(str_is(outcome(&a, "steps.scan[1]['name']", &scope), "\"b.c\""));
    assert_string_equal(q.text.p, " \"steps\" \"scan\" 1 \"name\"");
    assert_true(str_is(outcome(&a, "steps['sc' + 'an'][0 - 1].size", &scope), "30"));
    assert_string_equal(q.text.p, " \"steps\" \"scan\" -1 \"size\"");
    assert_true(str_starts(outcome(&a, "previous_response:scan-2[1].nme", &scope),
                           STR("!not_found: 1:1: `previous_response:.scan-2[1]` has no field \"nme\"; did you mean")));
    q.used = 1;
    assert_true(
        str_is(outcome(&a, "a || 3", &scope), "[{\"name\":\"a.py\",\"size\":3},{\"name\":\"b.c\",\"size\":30}]"));
    /* only an unknown name is swallowed */
    static const struct {
        enum rc rc;
        const char *text, *want;
    } cases[] = {
        {RC_NOT_FOUND, "a.b", "!not_found: 1:1: because"},
        {RC_NOT_FOUND, "a || 3", "3"},
        {RC_NOT_FOUND, "a exists", "false"},
        {RC_NOT_FOUND, "a empty", "true"},
        {RC_IO, "a || 3", "!io: 1:1: because"},
        {RC_BUSY, "1 == 1 and a exists", "!busy: 1:12: because"},
        {RC_LIMIT, "default(a, 1)", "!limit: 1:9: because"},
        {RC_NOT_FOUND, "map([1], (q) => a)", "!not_found: 1:17: because"},
        {RC_NOT_FOUND, "map([1], (q) => a) || 2", "2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q.rc = cases[i].rc;
        struct str got = outcome(&a, cases[i].text, &scope);
        assert_string_equal(arena_cstr(&a, got), cases[i].want);
    }
    buf_done(&q.text);
    arena_done(&a);
}

static void test_failure_leaves_result(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err = {.rc = RC_OK, .msg = "untouched"};
    struct val v = val_int(77);
    const struct expr *e;
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(expr_parse(&a, STR("nope || 1"), 1, 1, &e, &err), RC_OK);
    assert_int_equal(expr_eval(e, &scope, &a, &v, &err), RC_OK);
    assert_string_equal(err.msg, "untouched"); /* what || swallowed is not shown */
    assert_int_equal(v.i, 1);
    v = val_int(77);
    assert_int_equal(expr_parse(&a, STR("[1, nope]"), 1, 1, &e, &err), RC_OK);
    assert_int_equal(expr_eval(e, &scope, &a, &v, &err), RC_NOT_FOUND);
    assert_int_equal(v.i, 77);
    arena_done(&a);
}

/* The text that was parsed may go away. */
static void test_owns_text(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val v;
    const struct expr *e;
    char text[] = "name + 'lit' + {a: 'k'}.a";
    struct expr_scope scope = {.resolve = names_resolve};
    assert_int_equal(expr_parse(&a, str_c(text), 1, 1, &e, &err), RC_OK);
    memset(text, '#', sizeof text);
    assert_int_equal(expr_eval(e, &scope, &a, &v, &err), RC_OK);
    assert_true(str_is(v.s, "boblitk"));
    arena_done(&a);
}

/* ---- what is known before running ---- */

static enum rc note_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct buf *b = ctx;
    (void)err;
    buf_addz(b, b->n ? " " : "");
    buf_addz(b, soft ? "~" : "");
    for (size_t i = 0; i < path->n; i++) {
        struct val v;
        struct arena a = {0};
        if (!path->seg[i].index)
            buf_printf(b, "%s%.*s", i ? "." : "", STR_ARG(path->seg[i].name));
        else if (expr_constant(path->seg[i].index, &a, &v))
            json_write(b, &(struct val){.type = VAL_ARRAY, .arr = {&v, 1}}, JSON_COMPACT);
        else
            buf_addz(b, "[?]");
        arena_done(&a);
    }
    buf_printf(b, "@%u:%u", path->line, path->col);
    return str_is(path->seg[0].name, "stop") ? RC_BUSY : RC_OK;
}

static void test_paths(void **state)
{
    (void)state;
    static const struct expr_case cases[] = {
        {"1 + 2", ""},
        {"x", "x@1:1"},
        {"a.b['c'].d[0][-1]", "a.b.c.d[0][-1]@1:1"},
        {"a[b.c].d", "a[?].d@1:1 b.c@1:3"},
        {"a['x' + 'y']", "a[\"xy\"]@1:1"},
        {"a || b", "~a@1:1 b@1:6"},
        {"(a || b) + c", "~a@1:2 b@1:7 c@1:12"},
        {"a || b || c", "~a@1:1 ~b@1:6 c@1:11"},
        {"a + b.c || d", "~a@1:1 ~b.c@1:5 d@1:12"},
        {"exists(a.b) and c exists", "~a.b@1:8 ~c@1:17"},
        {"a[b] empty", "~a[?]@1:1 ~b@1:3"},
        {"default(a, b)", "~a@1:9 b@1:12"},
        {"a is null or not b", "~a@1:1 b@1:18"},
        {"a ? b : c", "a@1:1 b@1:5 c@1:9"},
        {"[a, {k: b, [c]: 1}]", "a@1:2 b@1:9 c@1:13"},
        {"a between b and c", "a@1:1 b@1:11 c@1:17"},
        {"upper(a.b)[1:c]", "a.b@1:7 c@1:14"},
        {"a[*].b[c]", "a@1:1 c@1:8"},
        {"a.b[0:2].c", "a.b@1:1"},
        {"map(l, (v) => v.x + y)", "l@1:5 y@1:21"},
        {"map(l, (v, i) => {v: v, i: i, w: v[j]})", "l@1:5 j@1:36"},
        {"map(l, v => map(m, (v) => v)) + v", "l@1:5 m@1:17 v@1:33"},
        {"filter(l, 'name == other and a.b > 1')", "l@1:8"},
        {"filter(l, 'size > inputs.limit and state == 1')", "l@1:8 ~inputs.limit@1:19"},
        {"filter(l, (v) => any(m, 'k == v.k'))", "l@1:8 m@1:22"},
        {"filter(l, '@ > 1')", "l@1:8"},
        {"previous_response:scan.x", "previous_response:.scan.x@1:1"},
        {"steps.{{n}}.x", "steps[?].x@1:1 n@1:9"},
        {"a +\n b", "a@1:1 b@2:2"},
        {"-a", "a@1:2"},
        {"'a.b'", ""},
        {"a exists ? a.b : c", "~a@1:1 ~a.b@1:12 c@1:18"}, /* who asked first knows */
        {"not (a.b exists) ? c : a.b.d", "~a.b@1:6 c@1:20 ~a.b.d@1:24"},
        {"a.b exists and a.b > 1 or a.c", "~a.b@1:1 ~a.b@1:16 a.c@1:27"},
        {"a ? a.b : 1", "a@1:1 a.b@1:5"},
        {"(a || 1) + a", "~a@1:2 a@1:12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err;
        struct buf b;
        const struct expr *e;
        buf_init(&b, 4096);
        assert_int_equal(expr_parse(&a, str_c(cases[i].text), 1, 1, &e, &err), RC_OK);
        assert_int_equal(expr_each_path(e, note_path, &b, &err), RC_OK);
        if (!str_is(buf_str(&b), cases[i].want))
            fail_msg("%s reports %.*s", cases[i].text, STR_ARG(buf_str(&b)));
        buf_done(&b);
        arena_done(&a);
    }
    struct arena a = {0};
    struct err err;
    struct buf b;
    const struct expr *e;
    buf_init(&b, 4096);
    assert_int_equal(expr_parse(&a, STR("[a, stop, c]"), 1, 1, &e, &err), RC_OK);
    assert_int_equal(expr_each_path(e, note_path, &b, &err), RC_BUSY);
    assert_string_equal(b.p, "a@1:2 stop@1:5");
    buf_done(&b);
    arena_done(&a);
}

static void test_constant(void **state)
{
    (void)state;
    static const struct expr_case cases[] = {
        {"1", "1"},
        {"-3 + 4 * 2", "5"},
        {"[1, {a: 'b'}]", "[1,{\"a\":\"b\"}]"},
        {"upper('a') + 'b'", "\"Ab\""},
        {"date('2024-12-31')", "1735603200000"},
        {"map([1, 2], (x) => x * 2)", "[2,4]"},
        {"true ? 'a' : 'b'", "\"a\""},
        {"null || 3", "3"},
        {"{a: 1}.b || 3", "3"},
        {"x", NULL},
        {"1 + x", NULL},
        {"true or x", NULL},
        {"now()", NULL},
        {"now() - now()", NULL},
        {"1 / 0", NULL},
        {"{a: 1}.b", NULL},                  /* null in a condition, an error elsewhere */
        {"({a: 1}.b == null) || 5", NULL},   /* true in a condition, 5 elsewhere */
        {"filter([{a: 1}], 'a > b')", NULL}, /* b may be a name of the caller's */
        {"range(1, 100000)", NULL},          /* known, but not worth it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct err err;
        struct val v;
        const struct expr *e;
        assert_int_equal(expr_parse(&a, str_c(cases[i].text), 1, 1, &e, &err), RC_OK);
        bool known = expr_constant(e, &a, &v);
        if (known != (cases[i].want != NULL))
            fail_msg("%s is %sconstant", cases[i].text, known ? "" : "not ");
        if (known)
            assert_string_equal(arena_cstr(&a, json_text(&a, &v)), cases[i].want);
        arena_done(&a);
    }
}

/* More patterns in one evaluation than are kept compiled. */
static void test_many_patterns(void **state)
{
    (void)state;
    struct arena a = {0};
    struct expr_scope scope = {.resolve = names_resolve};
    struct str got =
        outcome(&a, "map(range(1, 40), (i) => ('x' + string(i % 20)) matches ('^x' + string(i % 13) + '$'))", &scope);
    assert_true(str_starts(got, STR("[true,true,true,true,true,true,true,true,true,true,true,true,false")));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),      cmocka_unit_test(test_null_safe),
        cmocka_unit_test(test_habits),       cmocka_unit_test(test_function_examples),
        cmocka_unit_test(test_positions),    cmocka_unit_test(test_parse_bounds),
        cmocka_unit_test(test_fuel),         cmocka_unit_test(test_size_bounds),
        cmocka_unit_test(test_shared_bombs), cmocka_unit_test(test_deep_values),
        cmocka_unit_test(test_resolving),    cmocka_unit_test(test_failure_leaves_result),
        cmocka_unit_test(test_owns_text),    cmocka_unit_test(test_paths),
        cmocka_unit_test(test_constant),     cmocka_unit_test(test_many_patterns),
    };
    return cmocka_run_group_tests(tests, setup, names_free);
}
