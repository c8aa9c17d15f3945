/* codebase_query: questions about the source code in the workspace.
 *
 * All of them are one effect, which reads and changes nothing: after a crash it is simply done again. What can be asked
 * is in data/code_queries.def; here it is checked before a run, as far as it is written as constants. */
#include "flow/nearest.h"
#include "step/codebase.h"

#include <stdio.h>

static const struct step_key keys[] = {
    {"queries", KEY_OBJECT, .required = true, .choices = "queries",
     .doc = "Names and questions, as in {tests: {find_files: {type: test}}}. Criteria may be a map or a list of maps."},
    CODEBASE_KEY,
    {"workspace_dir", KEY_TEMPLATE, .fallback = "the workspace",
     .doc = "The directory of the project, inside the workspace."},
    {"cwd", KEY_TEMPLATE, .doc = "Another spelling of `workspace_dir`.", .alias_of = "workspace_dir"},
    {0}};

static const struct {
    const char *name, *criteria;
} kinds[] = {
#define X(kind, field, criteria, doc) {#kind, criteria},
#include "data/code_queries.def"
#undef X
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

/* ---- before the run ---- */

/* The criterion's type, or 0. */
static char criterion(const char *table, struct str key, struct nearest *near)
{
    struct str rest = str_c(table), one;
    while (str_word(&rest, '|', &one)) {
        struct str name = str_n(one.p, one.n - 2);
        if (str_eq(name, key))
            return one.p[one.n - 1];
        nearest_try(near, name);
    }
    return 0;
}

static bool is_template(const struct val *v)
{
    return v->type == VAL_STR && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static const char *misfit(char type, const struct val *v)
{
    if (v->type == VAL_NULL || is_template(v))
        return NULL;
    switch (type) {
    case 'b':
        return v->type == VAL_BOOL || (v->type == VAL_STR && (str_is(v->s, "true") || str_is(v->s, "false")))
                   ? NULL
                   : "true or false";
    case 'i':
        return v->type == VAL_INT && v->i >= 0 ? NULL : "a whole number, not below 0";
    case 'z':
        return val_is_number(v) || v->type == VAL_STR ? NULL : "a number of bytes, or 10KB";
    case 'd':
        return val_is_number(v) || v->type == VAL_STR ? NULL : "a date such as 2026-01-31, or \"7 days\"";
    case 's':
        return v->type == VAL_STR ? NULL : "text";
    default:
        return v->type == VAL_STR || v->type == VAL_ARRAY ? NULL : "text or a list of text";
    }
}

static struct str names_of(struct problems *ps, const char *table)
{
    struct str list = STR(""), rest = str_c(table), one;
    while (str_word(&rest, '|', &one))
        list = arena_printf(ps->a, "%.*s%s%.*s", STR_ARG(list),
                            list.n ? ", " : "expected one of: ", STR_ARG(str_n(one.p, one.n - 2)));
    return list.n ? list : STR("it takes none, only `true`");
}

static void check_criteria(size_t kind, const struct val *v, struct problems *ps)
{
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        if (v->arr.v[i].type == VAL_OBJECT)
            check_criteria(kind, &v->arr.v[i], ps);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++) {
        const struct member *m = &v->obj.m[i];
        struct nearest near = {.want = m->key};
        char type = criterion(kinds[kind].criteria, m->key, &near);
        if (!type) {
            problem_add(ps, false, m->line, m->col, "%s has no criterion `%.*s`; %s", kinds[kind].name, STR_ARG(m->key),
                        nearest_hint(ps->a, &near, names_of(ps, kinds[kind].criteria).p));
            continue;
        }
        const char *expected = misfit(type, &m->val);
        if (expected)
            problem_add(ps, false, m->val.line, m->val.col, "`%.*s` is %s; expected %s", STR_ARG(m->key),
                        val_type_name(&m->val), expected);
    }
}

static void check_query(const struct member *q, struct problems *ps)
{
    static const char *const taken[] = {"success", "error", "codebase", "skipped_files"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (str_is(q->key, taken[i]))
            problem_add(ps, false, q->line, q->col,
                        "a query cannot be called `%s`: the result has a field of that name; expected another name",
                        taken[i]);
    if (q->val.type != VAL_OBJECT) {
        if (!is_template(&q->val))
            problem_add(ps, false, q->val.line, q->val.col,
                        "the query `%.*s` is %s; expected questions, as in {find_files: {pattern: \"**/*.py\"}}",
                        STR_ARG(q->key), val_type_name(&q->val));
        return;
    }
    for (size_t i = 0; i < q->val.obj.n; i++) {
        const struct member *m = &q->val.obj.m[i];
        struct nearest near = {.want = m->key};
        size_t k = 0;
        while (k < NKINDS && !str_is(m->key, kinds[k].name))
            nearest_try(&near, str_c(kinds[k++].name));
        if (k < NKINDS)
            check_criteria(k, &m->val, ps);
        else
            problem_add(ps, false, m->line, m->col, "there is no question `%.*s`; %s", STR_ARG(m->key),
                        nearest_hint(ps->a, &near,
                                     "expected one such as find_files, find_functions, find_dependents or "
                                     "get_project_type"));
    }
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *queries = VAL_GET(s->source, "queries");
    for (size_t i = 0; val_is(queries, VAL_OBJECT) && i < queries->obj.n; i++)
        check_query(&queries->obj.m[i], ps);
    codebase_check(s, ps);
}

/* ---- in the run ---- */

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, true), *queries = VAL_GET(c, "queries");
    struct str dir;
    if (!c || !frame_text(f, c, "workspace_dir", STR("."), &dir))
        return;
    if (!val_is(queries, VAL_OBJECT)) {
        step_failf(f, RC_INVALID, "`queries` is %s; expected an object of names and questions", val_type_name(queries));
        return;
    }
    struct val_map m = val_map_new(&f->arena);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    VAL_MAP_SET(&m, "queries", *queries);
    VAL_MAP_SET(&m, "cwd", val_str(dir));
    if (codebase_wanted(f->def))
        VAL_MAP_SET(&m, "context", val_true);
    if (frame_timeout(f))
        VAL_MAP_SET(&m, "timeout_ms", val_int(frame_timeout(f)));
    *request = val_map_done(&m);
    struct str label = arena_printf(&f->arena, "%zu quer%s", queries->obj.n, queries->obj.n == 1 ? "y" : "ies");
    enum on_interrupt after = f->def->on_interrupt == ON_INTERRUPT_DEFAULT ? ON_INTERRUPT_RETRY : f->def->on_interrupt;
    frame_effect(
        f, "code:1", 0,
        &(struct effect_plan){.kind = EFFECT_CODE, .request = request, .on_interrupt = after, .label = label.p});
}

static void child_done(struct frame *f, struct frame *child)
{
    const struct val *context = VAL_GET(child_result(child), "codebase");
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    if (context && !codebase_set(f, context))
        return;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_true);
    val_map_merge(&m, child_result(child));
    VAL_MAP_SET(&m, "success", val_true);
    struct val result = val_map_done(&m);
    step_ok(f, &result);
}

const struct step_type step_codebase_query = {.name = "codebase_query",
                                              .doc = "Asks about the source code in the workspace.",
                                              .keys = keys,
                                              .parts = "queries",
                                              .check = check,
                                              .enter = enter,
                                              .child_done = child_done};
