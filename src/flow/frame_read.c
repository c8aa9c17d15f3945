/* What step types read: expressions and conditions in their scope, their configuration with its templates evaluated and
 * pinned, and the typed fields of it.
 *
 * Everything that cannot be read fails the step, with a message that names the place; callers only return. */
#include "flow/range.h"
#include "flow/step_int.h"

#include "flow/units.h"

#include <stdio.h>

struct expr_scope frame_scope(struct frame *f, bool null_safe)
{
    return (struct expr_scope){.resolve = null_safe ? scope_resolve_asking : scope_resolve,
                               .count = scope_count,
                               .fields = scope_fields,
                               .lacking = scope_lacking,
                               .ctx = f,
                               .null_safe = null_safe,
                               .now_ms = run_now(f->run),
                               .fuel = 1000000};
}

/* Messages about templates begin with line:column; the reader wants to know of which file. */
struct str frame_message(const struct frame *f, const struct err *err)
{
    struct str message = str_c(err->msg);
    unsigned line, col;
    int used = 0;
    if (sscanf(err->msg, "%u:%u: %n", &line, &col, &used) == 2 && used) {
        struct str file = workflow_place(f->instance->workflow, &line);
        message = arena_printf(&f->run->scratch, "%.*s:%u:%u: %s", STR_ARG(file), line, col, err->msg + used);
    }
    return message;
}

static enum rc rc_of(const struct err *err)
{
    return err->rc == RC_NOT_FOUND ? RC_EXPRESSION : err->rc;
}

void frame_fail(struct frame *f, const struct err *err)
{
    step_fail(f, &(struct failure){.rc = rc_of(err), .message = frame_message(f, err)});
}

struct box *frame_error(const struct frame *f, const struct err *err)
{
    return error_box(rc_of(err), STR(""), frame_message(f, err), f->attempt, f->path);
}

const struct val *frame_whole(struct frame *f, const struct val *v)
{
    struct err err;
    struct val *whole = ARENA_NEW(&f->run->scratch, struct val);
    if (scope_whole(f, v, &f->run->scratch, whole, &err) == RC_OK)
        return whole;
    frame_fail(f, &err);
    return NULL;
}

const struct val *frame_pinned(const struct frame *f)
{
    const struct step_state *s = f->state;
    const struct past *p = f->past;
    if (s->pinned)
        return s->pinned;
    return p && p->open && p->open_attempt == f->attempt ? VAL_GET(&p->open->val, "config") : NULL;
}

bool frame_pin(struct frame *f, const struct val *object)
{
    struct err err;
    struct val_map o = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&o, "config", *object);
    struct val data = val_map_done(&o);
    if (run_append_value(f->run, RECORD_OPEN, f->path, f->attempt, &data, &err) == RC_OK) {
        step_state_of(f)->pinned = object;
        return true;
    }
    err_wrap(&err, "the step's configuration");
    frame_fail(f, &err);
    return false;
}

/* What a template made of a key that is an object; false: the step has failed. */
static bool objects_fit(struct frame *f, const struct val *config)
{
    for (const struct step_key *k = f->def->type->keys; k->name; k++) {
        const struct val *v = k->kind == KEY_OBJECT && !k->alias_of ? val_get(config, str_c(k->name)) : NULL;
        if (!v || v->type == VAL_OBJECT || v->type == VAL_NULL)
            continue;
        step_failf(f, RC_INVALID, "`%s` is %s; expected an object", k->name, val_type_name(v));
        return false;
    }
    return true;
}

const struct val *frame_config(struct frame *f, bool pin)
{
    struct step_state *s = step_state_of(f);
    if (s->has_config)
        return &s->config;
    const struct val *pinned = pin ? frame_pinned(f) : NULL;
    if (pinned) {
        s->config = *pinned;
        s->has_config = true;
        return &s->config;
    }
    struct err err;
    struct expr_scope scope = frame_scope(f, false);
    struct val evaluated = val_empty_object;
    if (f->def->config && tmpl_tree_eval(f->def->config, &scope, &f->run->scratch, &evaluated, &err) != RC_OK) {
        frame_fail(f, &err);
        return NULL;
    }
    struct val_map m = val_map_new(&f->run->scratch);
    val_map_merge(&m, f->def->data ? f->def->data : &val_empty_object);
    val_map_merge(&m, &evaluated);
    struct val whole = val_map_done(&m);
    if (key_numbers(&f->run->scratch, f->def->type->keys, f->def->source, &whole, &err) != RC_OK) {
        frame_fail(f, &err);
        return NULL;
    }
    if (!objects_fit(f, &whole))
        return NULL;
    s->config = val_copy(&f->arena, &whole);
    s->has_config = true;
    return !pin || frame_pin(f, &s->config) ? &s->config : NULL;
}

/* The step need not be there: one that stands in for it has all that names lead to. */
bool frame_template(struct frame *f, const struct step_def *def, const struct val *locals, const struct tmpl *t,
                    struct arena *a, struct val *ret)
{
    struct err err;
    struct box *names = box_empty();
    names->val = *locals; /* borrowed */
    struct frame at = {.magic = FRAME_MAGIC,
                       .run = f->run,
                       .parent = f,
                       .ops = &step_ops,
                       .instance = f->instance,
                       .def = def,
                       .path = f->path,
                       .base = f->base,
                       .attempt = 1,
                       .locals = names};
    struct expr_scope scope = frame_scope(&at, false);
    bool good = tmpl_eval(t, &scope, a, ret, &err) == RC_OK;
    box_unref(names);
    if (!good)
        frame_fail(f, &err);
    return good;
}

bool frame_fill(struct frame *f, struct val *v)
{
    struct err err;
    const struct tmpl_tree *t;
    struct expr_scope scope = frame_scope(f, false);
    struct val filled;
    if (tmpl_tree_parse(&f->run->scratch, v, &t, &err) == RC_OK &&
        tmpl_tree_eval(t, &scope, &f->run->scratch, &filled, &err) == RC_OK) {
        *v = val_copy(&f->arena, &filled);
        return true;
    }
    frame_fail(f, &err);
    return false;
}

bool frame_is_expr(const struct frame *f, struct str text)
{
    const struct expr *e;
    struct err err;
    return expr_parse(&f->run->scratch, text, 0, 0, &e, &err) == RC_OK;
}

bool frame_expr(struct frame *f, struct str text, struct val *ret)
{
    struct err err;
    const struct expr *e;
    struct expr_scope scope = frame_scope(f, false);
    struct val v;
    if (expr_parse(&f->run->scratch, text, 0, 0, &e, &err) == RC_OK &&
        expr_eval(e, &scope, &f->run->scratch, &v, &err) == RC_OK) {
        *ret = val_copy(&f->arena, &v);
        return true;
    }
    frame_fail(f, &err);
    return false;
}

const struct val *frame_defaults(const struct frame *f)
{
    return f->instance->defaults;
}
const struct val *frame_workflow_key(const struct frame *f, const char *key)
{
    return val_get(f->run->workflow->source, str_c(key));
}
struct str frame_env(const struct frame *f, const char *name)
{
    return val_get_str(&f->run->env->val, str_c(name), STR(""));
}
struct str frame_workflow(const struct frame *f)
{
    return f->instance->workflow->name;
}
struct str frame_run(const struct frame *f)
{
    return f->run->id;
}
const struct run_limits *frame_limits(const struct frame *f)
{
    return &f->run->limits;
}

const struct val *step_config_get(const struct val *config, const char *key)
{
    return val_get(config, str_c(key));
}

bool frame_cond(struct frame *f, const struct cond *c, bool *ret)
{
    struct err err;
    struct expr_scope scope = frame_scope(f, true);
    if (cond_eval(c, &scope, &f->run->scratch, ret, &err) == RC_OK)
        return true;
    frame_fail(f, &err);
    return false;
}

static void wrong_type(struct frame *f, const char *key, const struct val *v, const char *expected)
{
    step_failf(f, RC_INVALID, "`%s` is %s; expected %s", key, val_type_name(v), expected);
}

bool frame_int(struct frame *f, const struct val *config, const char *key, int64_t fallback, int64_t min, int64_t max,
               int64_t *ret)
{
    const struct val *v = val_get(config, str_c(key));
    *ret = fallback;
    if (!v || v->type == VAL_NULL)
        return true;
    if (v->type == VAL_INT)
        *ret = v->i;
    else if (!(v->type == VAL_STR && str_to_i64(v->s, ret))) {
        wrong_type(f, key, v, "an integer");
        return false;
    }
    if (*ret >= min && *ret <= max)
        return true;
    step_failf(f, RC_INVALID, "`%s` is %lld; expected %lld to %lld", key, (long long)*ret, (long long)min,
               (long long)max);
    return false;
}

bool frame_bool(struct frame *f, const struct val *config, const char *key, bool fallback, bool *ret)
{
    const struct val *v = val_get(config, str_c(key));
    *ret = fallback;
    if (!v || v->type == VAL_NULL)
        return true;
    if (v->type != VAL_BOOL) {
        wrong_type(f, key, v, "true or false");
        return false;
    }
    *ret = v->b;
    return true;
}

bool frame_text(struct frame *f, const struct val *config, const char *key, struct str fallback, struct str *ret)
{
    const struct val *v = val_get(config, str_c(key));
    *ret = fallback;
    if (!v || v->type == VAL_NULL)
        return true;
    *ret = v->type == VAL_STR ? v->s : json_text(&f->arena, v);
    return true;
}

bool frame_duration(struct frame *f, const struct val *config, const char *key, int64_t fallback_ms, int64_t *ret_ms)
{
    const struct val *v = val_get(config, str_c(key));
    *ret_ms = fallback_ms;
    if (!v || v->type == VAL_NULL)
        return true;
    struct err err;
    if (units_duration(v, ret_ms, &err) == RC_OK)
        return true;
    err_wrap(&err, "`%s`", key);
    frame_fail(f, &err);
    return false;
}

bool frame_size(struct frame *f, const struct val *config, const char *key, int64_t fallback, int64_t *ret)
{
    const struct val *v = val_get(config, str_c(key));
    *ret = fallback;
    if (!v || v->type == VAL_NULL)
        return true;
    struct err err;
    if (units_size(v, ret, &err) == RC_OK)
        return true;
    err_wrap(&err, "`%s`", key);
    frame_fail(f, &err);
    return false;
}
