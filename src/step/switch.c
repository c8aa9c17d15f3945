/* switch: does the steps of one case, chosen by a value.
 *
 * Keys are compared as text, because YAML's keys have lost their type by then: the number 2 and the text "2" choose the
 * same case. An equal key goes first, then keys with `*` or `?` in the order written. The choice is pinned before
 * anything of the case starts, so a resumed run stays in its case whatever has changed since. */
#include "data/json.h"
#include "flow/frame.h"

#include <stdio.h>

static const struct step_key keys[] = {
    {"expression", KEY_ANY, .required = true, .choices = "scalar",
     .doc = "What chooses: an expression such as steps.detect.language, a template, or a value; text, a number or a "
            "boolean."},
    {"cases", KEY_BRANCHES, .required = true,
     .doc = "Values and what is done for each. A key may hold `*` (anything) and `?` (any character)."},
    {"default", KEY_STEPS, .doc = "What is done where no case matches. Without it, nothing."},
    {0}};

enum { SLOT_DEFAULT = 0 };

/* ---- matching ---- */

static bool is_glob(struct str key)
{
    return str_find(key, STR("*")) != SIZE_MAX || str_find(key, STR("?")) != SIZE_MAX;
}

/* The length of the character at `i`. */
static size_t char_at(struct str s, size_t i)
{
    size_t n = 1;
    while (i + n < s.n && ((unsigned char)s.p[i + n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* Goes back to the last `*` only, so time is bounded by the product of the lengths. */
static bool glob_matches(struct str glob, struct str text)
{
    size_t g = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.n) {
        if (g < glob.n && glob.p[g] == '*') {
            star = g++;
            from = t;
        } else if (g < glob.n && glob.p[g] == '?') {
            g++;
            t += char_at(text, t);
        } else if (g < glob.n && glob.p[g] == text.p[t]) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            t = from += char_at(text, from);
        } else {
            return false;
        }
    }
    while (g < glob.n && glob.p[g] == '*')
        g++;
    return g == glob.n;
}

/* The index of the case that `text` chooses, or SIZE_MAX. */
static size_t case_of(const struct step_def *d, struct str text)
{
    for (size_t i = 0; i < d->nbranches; i++)
        if (str_eq(d->branches[i].name, text))
            return i;
    for (size_t i = 0; i < d->nbranches; i++)
        if (is_glob(d->branches[i].name) && glob_matches(d->branches[i].name, text))
            return i;
    return SIZE_MAX;
}

/* What keys are compared with. False: no value for a choice. */
static bool chooser(struct arena *a, const struct val *v, struct str *ret)
{
    if (v->type == VAL_ARRAY || v->type == VAL_OBJECT)
        return false;
    *ret = v->type == VAL_STR ? str_trim(v->s) : json_text(a, v);
    return true;
}

/* ---- running ---- */

static bool is_template(const struct step_def *d)
{
    const struct val *v = VAL_GET(d->source, "expression");
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

/* The pinned object: {case: key or null, default: true where none matched and there is one}. */
static const struct val *choose(struct frame *f)
{
    const struct val *c = frame_config(f, false), *given = VAL_GET(c, "expression");
    struct str text;
    if (!c)
        return NULL;
    struct val v = given ? *given : val_null;
    if (v.type == VAL_STR && !is_template(f->def) && !frame_expr(f, v.s, &v))
        return NULL;
    if (!chooser(&f->arena, &v, &text)) {
        step_failf(f, RC_INVALID, "`expression` is %s; expected text, a number or a boolean", val_type_name(&v));
        return NULL;
    }
    size_t at = case_of(f->def, text);
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "case", at == SIZE_MAX ? val_null : val_str(f->def->branches[at].name));
    VAL_MAP_SET(&m, "default", val_bool(at == SIZE_MAX && f->def->lists[SLOT_DEFAULT]));
    struct val *plan = ARENA_NEW(&f->arena, struct val);
    *plan = val_map_done(&m);
    return frame_pin(f, plan) ? plan : NULL;
}

static void finish(struct frame *f, struct val chosen, struct val results)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "case", chosen);
    VAL_MAP_SET(&m, "results", results);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void enter(struct frame *f)
{
    const struct step_def *d = f->def;
    const struct val *plan = frame_pinned(f);
    if (!plan)
        plan = choose(f);
    if (!plan)
        return;
    const struct val *chosen = VAL_GET(plan, "case");
    if (val_get_bool(plan, STR("default"), false) && d->lists[SLOT_DEFAULT]) {
        frame_list(f, "default", SIZE_MAX, d->lists[SLOT_DEFAULT], NULL, NULL);
        return;
    }
    if (!val_is(chosen, VAL_STR)) {
        finish(f, val_null, val_empty_object);
        return;
    }
    for (size_t i = 0; i < d->nbranches; i++)
        if (str_eq(d->branches[i].name, chosen->s)) {
            char segment[32];
            snprintf(segment, sizeof segment, "case:%zu", i + 1); /* keys may hold any character */
            frame_list(f, segment, i, d->branches[i].list, NULL, NULL);
            return;
        }
    step_failf(f, RC_CORRUPT, "the journal chose a case that this switch does not have");
}

static void child_done(struct frame *f, struct frame *c)
{
    struct val chosen = c->tag == SIZE_MAX ? VAL_LIT("default") : val_str(f->def->branches[c->tag].name);
    if (child_ok(c)) {
        finish(f, chosen, list_results(c, &f->arena));
        return;
    }
    struct failure why = child_failure(c);
    why.message = arena_printf(&f->arena, "case `%.*s`: %.*s", STR_ARG(chosen.s), STR_ARG(why.message));
    step_fail(f, &why);
}

/* ---- checks before a run: cases that can never be chosen ---- */

static int shown(struct str s)
{
    return (int)str_utf8_valid(str_n(s.p, s.n < 60 ? s.n : 60));
}

#define WARN_CASE(ps, b, fmt, ...)                                                                          \
    problem_add((ps), true, (b)->line, (b)->col, "the case `%.*s` is never chosen: " fmt, shown((b)->name), \
                (b)->name.p, __VA_ARGS__)

static bool earlier_glob_takes(const struct step_def *d, size_t i, size_t *ret)
{
    for (*ret = 0; is_glob(d->branches[i].name) && *ret < i; ++*ret)
        if (is_glob(d->branches[*ret].name) && glob_matches(d->branches[*ret].name, d->branches[i].name))
            return true;
    return false;
}

/* What `expression` says, as an expression, or NULL where it is text around holes or no text at all. */
static const struct expr *expression_of(const struct step_def *d, struct arena *a, struct val *ret_constant)
{
    const struct val *v = VAL_GET(d->source, "expression");
    const struct expr *e;
    struct err err;
    *ret_constant = v && v->type != VAL_STR ? *v : val_null;
    if (!val_is(v, VAL_STR))
        return NULL;
    struct str s = str_trim(v->s);
    if (str_starts(s, STR("{{")) && str_ends(s, STR("}}")) && s.n >= 4)
        s = str_n(s.p + 2, s.n - 4);
    return expr_parse(a, s, 0, 0, &e, &err) == RC_OK ? e : NULL;
}

static void check(const struct step_def *d, struct problems *ps)
{
    struct val v;
    const struct expr *e = expression_of(d, ps->a, &v);
    struct str text = STR("");
    bool constant = e ? expr_constant(e, ps->a, &v) : v.type != VAL_NULL, logic = e && expr_is_logic(e);
    if (constant && !chooser(ps->a, &v, &text)) {
        problem_add(ps, false, d->line, d->col, "`expression` is always %s; expected text, a number or a boolean",
                    val_type_name(&v));
        return;
    }
    size_t taken = constant ? case_of(d, text) : SIZE_MAX;
    for (size_t i = 0; i < d->nbranches; i++) {
        const struct branch *b = &d->branches[i];
        size_t before;
        if (constant && taken != i)
            WARN_CASE(ps, b, "`expression` is always %.*s; expected one that reads inputs, steps or variables",
                      shown(text), text.p);
        else if (logic && case_of(d, STR("true")) != i && case_of(d, STR("false")) != i)
            WARN_CASE(ps, b, "`expression` is %s; expected the keys true and false", "a boolean");
        else if (earlier_glob_takes(d, i, &before))
            WARN_CASE(ps, b, "`%.*s` before it takes all that it matches; expected the narrower one first",
                      shown(d->branches[before].name), d->branches[before].name.p);
    }
}

const struct step_type step_switch = {.name = "switch",
                                      .doc = "Does the steps of one case, chosen by a value.",
                                      .keys = keys,
                                      .result_doc = "case|results",
                                      .check = check,
                                      .enter = enter,
                                      .child_done = child_done};
