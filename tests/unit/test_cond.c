/* Conditions: forms, truth, null for what is not there, stopping early, places in messages, and bounds. */
#include "data/yaml.h"
#include "flow/def.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Names: steps.a = {exit: 1, text: "x", list: [1, 2]}, state.n = 3, `boom` cannot be read. */
struct world {
    struct arena a;
    struct val values;
    unsigned asked;
};

static enum rc resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    struct world *w = ctx;
    (void)a;
    w->asked++;
    if (str_is(key[0].s, "boom"))
        return err_set(err, RC_LIMIT, "boom was asked");
    *ret = val_get(&w->values, key[0].s);
    if (!*ret)
        return err_set(err, RC_NOT_FOUND, "unknown name");
    *ret_used = 1;
    (void)n;
    return RC_OK;
}

static struct world *fresh(void)
{
    static struct world w;
    struct err err;
    struct yaml_limits limits = YAML_LIMITS_DEFAULT;
    arena_done(&w.a);
    w = (struct world){0};
    assert_int_equal(yaml_parse(&w.a, STR("{steps: {a: {exit: 1, text: x, list: [1, 2], none: null}}, state: {n: 3}}"),
                                "t", &limits, &w.values, &err),
                     RC_OK);
    return &w;
}

static enum rc run(struct world *w, const char *yaml, bool *ret, struct err *err)
{
    struct val v;
    const struct cond *c;
    struct yaml_limits limits = YAML_LIMITS_DEFAULT;
    enum rc rc = yaml_parse(&w->a, str_c(yaml), "t", &limits, &v, err);
    assert_int_equal(rc, RC_OK);
    rc = cond_parse(&w->a, &v, &c, err);
    if (rc != RC_OK)
        return rc;
    assert_true(c->text.n > 0);
    struct expr_scope scope = {.resolve = resolve, .ctx = w};
    return cond_eval(c, &scope, &w->a, ret, err);
}

static void test_truth(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool want;
    } cases[] = {
        {"true", true},
        {"false", false},
        {"steps.a.exit == 1", true},
        {"\"steps.a.exit != 1\"", false},
        {"\"{{ steps.a.exit == 1 }}\"", true},
        {"\"{{ steps.a.exit }} == {{ state.n }}\"", false},
        {"|\n  steps.a.exit == 1\n  and state.n > 2\n", true},
        {">\n  steps.a.exit == 1\n  and state.n > 5\n", false},
        {"steps.a.missing", false}, /* a field that is not there is null */
        {"steps.a.missing.deeper", false},
        {"steps.a.missing == null", true},
        {"steps.a.missing > 3", false},
        {"not steps.a.missing", true},
        {"steps.a.list", true},
        {"{and: [steps.a.exit == 1, state.n == 3]}", true},
        {"{and: [steps.a.exit == 1, state.n == 4]}", false},
        {"{or: [steps.a.exit == 0, state.n == 3]}", true},
        {"{or: [steps.a.exit == 0, state.n == 4]}", false},
        {"{not: steps.a.exit == 0}", true},
        {"{not: {or: [false, true]}}", false},
        {"{and: [{or: [false, true]}, {not: false}, true]}", true},
        {"\"true\"", true},
        {"\"false\"", false},
        {"\"{{ false }}\"", false},
        {"\"{{ steps.a.list }}\"", true},
        {"\"{{ steps.a.exit }} == 1 and {{ state.n }} > 2\"", true},
        {"'steps.a.text == \"x\"'", true},
        {"steps.a.text == 'x'", true},
        {"{not: {not: {not: true}}}", false},
        {"{and: [{not: {or: [steps.a.none, steps.a.missing]}}, {or: [{and: [true, steps.a.list]}, boom]}]}", true},
        {"{or: [false, {and: [true, {not: steps.a.list exists}]}]}", false},
        {"{not: \"false\"}", true},
        {"[true, {or: [false, true]}, 'steps.a.exit in [1, 2]']", true},
        {"[steps.a.exit == 1, state.n == 3]", true}, /* an older way to say and */
        {"[steps.a.exit == 1, state.n == 4]", false},
        {"{and: [false, boom]}", false}, /* stops at the first that decides */
        {"{or: [true, boom]}", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err;
        bool got = !cases[i].want;
        if (run(fresh(), cases[i].yaml, &got, &err) != RC_OK)
            fail_msg("%s: %s", cases[i].yaml, err.msg);
        if (got != cases[i].want)
            fail_msg("%s is %d", cases[i].yaml, got);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum rc rc;
        const char *part;
    } cases[] = {
        {"nope == 1", RC_NOT_FOUND, "unknown name"},
        {"{and: [true, boom]}", RC_LIMIT, "boom was asked"},
        {"{not: boom}", RC_LIMIT, "boom was asked"},
        {"{or: [false, boom, true]}", RC_LIMIT, "boom was asked"},
        {"\"steps.a.text > 3\"", RC_EXPRESSION, ""},
        {"\"\"", RC_INVALID, "1:1: the condition is empty"},
        {"~", RC_INVALID, "expected an expression"},
        {"3", RC_INVALID, "expected an expression"},
        {"[]", RC_INVALID, "empty list"},
        {"{}", RC_INVALID, "has one key"},
        {"{xor: [true]}", RC_INVALID, "has one key"},
        {"{and: []}", RC_INVALID, "at least one"},
        {"{and: true}", RC_INVALID, "1:7: `and` and `or` take a list"},
        {"{or: {and: [true]}}", RC_INVALID, "1:6: `and` and `or` take a list"},
        {"{and: [true], or: [true]}", RC_INVALID, "1:1: a condition as a map has one key"},
        {"{And: [true]}", RC_INVALID, "has one key"},
        {"{and: [true, {or: [5]}]}", RC_INVALID, "1:20: a condition cannot be a number"},
        {"{and: [true, state.n AND true]}", RC_EXPRESSION, "1:22: unknown operator `AND`; write and"},
        {"{or: [false, {not: \"state.n ==\"}]}", RC_EXPRESSION, "1:30: "},
        {"{not: [true]}", RC_INVALID, "1:7: `not` takes one condition"},
        {"steps.a ==", RC_EXPRESSION, "expected a value"},
        {"\"'{{ steps.a.text }}' == 'x'\"", RC_INVALID, "inside quotes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        bool got = false;
        enum rc rc = run(fresh(), cases[i].yaml, &got, &err);
        if (rc != cases[i].rc || !strstr(err.msg, cases[i].part))
            fail_msg("%s: rc %d, %s", cases[i].yaml, (int)rc, err.msg);
        assert_false(got);
    }
}

static void test_depth(void **state)
{
    (void)state;
    struct world *w = fresh();
    for (unsigned levels = 30; levels < 40; levels++) {
        struct val v = val_true;
        for (unsigned i = 0; i < levels; i++) {
            struct val_map m = val_map_new(&w->a);
            VAL_MAP_SET(&m, "not", v);
            v = val_map_done(&m);
        }
        const struct cond *c;
        struct err err;
        struct expr_scope scope = {.resolve = resolve, .ctx = w};
        bool got;
        if (cond_parse(&w->a, &v, &c, &err) == RC_OK) {
            assert_true(levels <= 32);
            assert_int_equal(cond_eval(c, &scope, &w->a, &got, &err), RC_OK);
            assert_int_equal(got, levels % 2 == 0);
        } else {
            assert_true(levels > 32);
            assert_non_null(strstr(err.msg, "at most 32 levels"));
        }
    }
}

static enum rc collect(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    char *out = ctx;
    (void)err;
    size_t n = strlen(out);
    memcpy(out + n, path->seg[0].name.p, path->seg[0].name.n);
    out[n + path->seg[0].name.n] = soft ? '?' : ' ';
    return path->seg[0].name.p[0] == 'z' ? RC_BUSY : RC_OK;
}

static void test_paths(void **state)
{
    (void)state;
    struct world *w = fresh();
    struct val v;
    const struct cond *c;
    struct err err;
    struct yaml_limits limits = YAML_LIMITS_DEFAULT;
    char got[100] = "";
    assert_int_equal(
        yaml_parse(&w->a, STR("{and: [a.x == b, {not: c exists}, true, {or: [d || e]}]}"), "t", &limits, &v, &err),
        RC_OK);
    assert_int_equal(cond_parse(&w->a, &v, &c, &err), RC_OK);
    assert_int_equal(cond_each_path(c, collect, got, &err), RC_OK);
    assert_string_equal(got, "a b c?d?e ");
    assert_true(str_is(c->text, "(a.x == b) and (not (c exists)) and true and (d || e)"));
    memset(got, 0, sizeof got);
    assert_int_equal(yaml_parse(&w->a, STR("[a, z, b]"), "t", &limits, &v, &err), RC_OK);
    assert_int_equal(cond_parse(&w->a, &v, &c, &err), RC_OK);
    assert_int_equal(cond_each_path(c, collect, got, &err), RC_BUSY);
    assert_string_equal(got, "a z ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_paths),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&fresh()->a);
    return failed;
}
