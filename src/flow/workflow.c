/* A workflow once it is loaded: its life, its lookups, and what its declared inputs make of given ones.
 *
 * Inputs are checked before a run exists, so a wrong one costs nothing. Types never convert silently; only the command
 * line's NAME=TEXT, which has no types of its own, is read as the type that the workflow declares. */
#include "base/map.h"
#include "base/panic.h"
#include "data/json.h"
#include "flow/compose.h"
#include "flow/load_int.h"

#include <stdlib.h>

struct workflow *workflow_ref(struct workflow *w)
{
    CHECK(w->refs > 0 && w->refs < UINT32_MAX);
    w->refs++;
    return w;
}

void workflow_unref(struct workflow *w)
{
    if (!w)
        return;
    CHECK(w->refs > 0);
    if (--w->refs > 0)
        return;
    for (size_t i = 0; i < w->nchildren; i++)
        workflow_unref(w->children[i]);
    arena_done(&w->arena);
    free(w);
}

/* Calls may meet in one workflow again and again: what is walked along them would grow with the number of ways. */
const struct workflow *const *workflow_all(const struct workflow *w, struct arena *a, size_t *n)
{
    size_t cap = 8;
    const struct workflow **v = arena_calloc(a, cap, sizeof *v);
    struct map seen = {0};
    v[0] = w;
    *n = 1;
    for (size_t i = 0; i < *n; i++) {
        for (size_t k = 0; k < v[i]->nchildren; k++) {
            struct workflow *const *c = &v[i]->children[k];
            if (*c == w || map_put(&seen, str_n((const char *)c, sizeof *c), *c))
                continue;
            if (*n == cap) {
                const struct workflow **more = arena_calloc(a, 2 * cap, sizeof *more);
                memcpy(more, v, cap * sizeof *v);
                v = more;
                cap *= 2;
            }
            v[(*n)++] = *c;
        }
    }
    map_done(&seen);
    return v;
}

bool workflow_names_directory(const struct workflow *w)
{
    bool one = !str_is(w->name, ".") && !str_is(w->name, "..") && str_find(w->name, STR("/")) == SIZE_MAX;
    return one || !w->organized.by_workflow;
}

struct str workflow_place(const struct workflow *w, uint32_t *line)
{
    size_t n = PLACE_FILE(*line);
    *line = PLACE_LINE(*line);
    return n && n < w->nsources ? w->sources[n].name : w->file;
}

bool env_looks_secret(struct str name)
{
    static const char *const words[] = {"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_find(name, str_c(words[i])) != SIZE_MAX)
            return true;
    return false;
}

bool workflow_env_listed(const struct workflow *w, struct str name)
{
    for (size_t i = 0; i < w->nenv; i++)
        if (str_eq(w->env[i], name))
            return true;
    return false;
}

const struct step_def *list_find(const struct list_def *l, struct str name)
{
    size_t from = 0, to = l ? l->n : 0;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        const struct step_def *s = l->steps[l->by_name[mid]];
        int order = str_cmp(name, s->name);
        if (order == 0)
            return s;
        if (order < 0)
            to = mid;
        else
            from = mid + 1;
    }
    return NULL;
}

const struct step_def *list_find_last(const struct list_def *l, size_t i, struct str name)
{
    for (i = i < l->n ? i + 1 : l->n; l->keeps_last && i-- > 0;) {
        const struct step_def *s = l->steps[i];
        if (s->type && s->type->keeps_last && s->lists && list_find(s->lists[0], name))
            return s;
    }
    return NULL;
}

static const char *input_type_name(enum val_type t)
{
    return t == VAL_NULL ? "any value" : val_type_name(&(struct val){.type = (uint8_t)t});
}

bool input_type_fits(enum val_type declared, const struct val *v)
{
    switch (declared) {
    case VAL_NULL:
        return true;
    case VAL_DOUBLE:
        return val_is_number(v);
    case VAL_INT:
        return v->type == VAL_INT || v->type == VAL_BIGINT;
    case VAL_BOOL:
    case VAL_BIGINT:
    case VAL_STR:
    case VAL_ARRAY:
    case VAL_OBJECT:
        break;
    }
    return v->type == declared;
}

static const struct input_def *input_find(const struct workflow *w, struct str name)
{
    for (size_t i = 0; i < w->ninputs; i++)
        if (str_eq(w->inputs[i].name, name))
            return &w->inputs[i];
    return NULL;
}

bool workflow_takes_input(const struct workflow *w, struct str name)
{
    return !w->ninputs || input_find(w, name);
}

static enum rc input_unknown(const struct workflow *w, struct str name, struct arena *a, struct err *err)
{
    struct nearest near = {.want = name};
    struct str known = STR("");
    for (size_t i = 0; i < w->ninputs; i++) {
        nearest_try(&near, w->inputs[i].name);
        if (known.n < 200)
            known = arena_printf(a, "%.*s%s%s", STR_ARG(known), known.n ? ", " : "", clip(w->inputs[i].name).z);
    }
    if (near.name.n)
        return err_set(err, RC_USAGE, "input `%s` is not declared by the workflow; did you mean `%s`?", clip(name).z,
                       clip(near.name).z);
    return err_set(err, RC_USAGE, "input `%s` is not declared by the workflow; declared: %.*s", clip(name).z,
                   STR_ARG(known));
}

static enum rc input_check(const struct input_def *d, const struct val *v, struct arena *a, struct err *err)
{
    if (!input_type_fits(d->type, v))
        return err_set(err, RC_USAGE, "input `%s` is of type %s; expected %s", clip(d->name).z, val_type_name(v),
                       input_type_name(d->type));
    if (!d->choices)
        return RC_OK;
    for (size_t i = 0; i < d->choices->arr.n; i++)
        if (val_eq(val_at(d->choices, i), v))
            return RC_OK;
    struct str shown = json_text(a, v), all = json_text(a, d->choices);
    return err_set(err, RC_USAGE, "input `%s` is %s; expected one of %s", clip(d->name).z, clip(shown).z, clip(all).z);
}

/* Problems of all inputs, one after another. */
struct complaints {
    struct arena *a;
    struct str text;
    size_t n, shown;
};

static void complain(struct complaints *c, const struct err *err)
{
    if (c->text.n < 400) {
        c->text = arena_printf(c->a, "%.*s%s%s", STR_ARG(c->text), c->n ? "\n  " : "", err->msg);
        c->shown++;
    }
    c->n++;
}

static enum rc input_missing(const struct input_def *d, struct err *err)
{
    return err_set(err, RC_USAGE, "input `%s` is required; give it with --input %s=…%s%s", clip(d->name).z,
                   clip(d->name).z, d->description.n ? ": " : "", clip(d->description).z);
}

enum rc workflow_inputs(const struct workflow *w, const struct val *given, struct arena *a, struct val *ret,
                        struct err *err)
{
    if (given && given->type != VAL_OBJECT && given->type != VAL_NULL)
        return err_set(err, RC_USAGE, "the inputs are of type %s; expected an object", val_type_name(given));
    if (!val_is(given, VAL_OBJECT))
        given = &val_empty_object;
    struct val_map m = val_map_new(a);
    struct complaints bad = {.a = a};
    for (size_t i = 0; i < given->obj.n; i++) {
        const struct member *g = &given->obj.m[i];
        const struct input_def *d = input_find(w, g->key);
        if ((!d && w->ninputs && input_unknown(w, g->key, a, err) != RC_OK) ||
            (d && input_check(d, &g->val, a, err) != RC_OK))
            complain(&bad, err);
        val_map_set(&m, arena_str(a, g->key), val_copy(a, &g->val));
    }
    for (size_t i = 0; i < w->ninputs; i++) {
        const struct input_def *d = &w->inputs[i];
        if (val_get(given, d->name))
            continue;
        if (d->required && !d->fallback && input_missing(d, err) != RC_OK)
            complain(&bad, err);
        val_map_set(&m, arena_str(a, d->name), d->fallback ? val_copy(a, d->fallback) : val_null);
    }
    *ret = val_map_done(&m);
    if (!bad.n)
        return RC_OK;
    return bad.shown == bad.n ? err_set(err, RC_USAGE, "%.*s", STR_ARG(bad.text))
                              : err_set(err, RC_USAGE, "%.*s\n  and %zu more", STR_ARG(bad.text), bad.n - bad.shown);
}

enum rc workflow_input_text(const struct workflow *w, struct str name, struct str text, struct arena *a,
                            struct val *ret, struct err *err)
{
    const struct input_def *d = input_find(w, name);
    if (!d && w->ninputs)
        return input_unknown(w, name, a, err);
    if (!d || d->type == VAL_STR || d->type == VAL_NULL) {
        *ret = val_str(arena_str(a, text));
        return RC_OK;
    }
    struct err why = {0};
    bool json = json_parse(a, text, &JSON_DATA, ret, &why) == RC_OK,
         container = d->type == VAL_ARRAY || d->type == VAL_OBJECT;
    if (!json || !input_type_fits(d->type, ret))
        return err_set(err, RC_USAGE, "input `%s` is `%s`%s%s%s; expected %s%s", clip(name).z, clip(text).z,
                       json || !container ? "" : " (", json || !container ? "" : why.msg, json || !container ? "" : ")",
                       input_type_name(d->type),
                       d->type == VAL_ARRAY    ? " as JSON, such as '[\"a\", \"b\"]'"
                       : d->type == VAL_OBJECT ? " as JSON, such as '{\"a\": 1}'"
                                               : "");
    return RC_OK;
}

static bool may_make_files(const struct step_def *d)
{
    return !d->type || d->type->makes_files || d->output_to_file || VAL_GET(d->source, "allowed_tools") ||
           VAL_GET(d->source, "tools") || VAL_GET(d->source, "claude_options") || VAL_GET(d->source, "preset");
}

bool workflow_may_make_files(const struct workflow *w, const struct step_def *reader)
{
    for (size_t i = 0; i < w->nall; i++)
        if (w->all[i] != reader && may_make_files(w->all[i]))
            return true;
    return false;
}
