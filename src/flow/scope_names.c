/* Names that say something about the run, the workflow or the step at hand: docs/language.md, "Names".
 *
 * None of them may differ after a resume. So each is a fact of the start of the run (which its first record holds), of
 * the workflow, of the place in the frame tree, or of the results that are there; and a timer's start is a variable,
 * recorded like any other. What is measured by the clock (how long ago) is as good as now(): whatever comes of it is
 * recorded where it is used. */
#include "flow/run_int.h"

#include <time.h>

static struct str name_at(const struct val *key, size_t n, size_t i)
{
    return i < n && key[i].type == VAL_STR ? key[i].s : str_n("", 0);
}

static const struct val *keep(struct arena *a, struct val v)
{
    struct val *p = ARENA_NEW(a, struct val);
    *p = v;
    return p;
}

static const struct val *keep_text(struct arena *a, struct str s)
{
    return keep(a, val_str(s));
}

static struct str iso_time(struct arena *a, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    size_t n = gmtime_r(&t, &tm) ? strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) : 0;
    return arena_str(a, str_n(text, n));
}

static struct str first_part(struct str s, char end)
{
    const char *at = s.n ? memchr(s.p, end, s.n) : NULL;
    return at ? str_n(s.p, (size_t)(at - s.p)) : s;
}

/* The step that the frame is, or stands in. */
static struct frame *step_of(struct frame *f)
{
    while (f && f->ops != &step_ops)
        f = f->parent;
    return f;
}

static const struct frame *root_of(const struct frame *f)
{
    while (f->parent && !(f->ops == &list_ops && ((const struct list_state *)f->state)->instance))
        f = f->parent;
    return f;
}

/* ---- the step at hand ---- */

static const struct tmpl_tree *variable_of(const struct step_def *d, struct str name)
{
    for (size_t i = 0; i < d->nvariables; i++)
        if (str_eq(d->variables[i].name, name))
            return d->variables[i].value;
    return NULL;
}

const struct val *scope_step_variable(struct frame *f, struct str name, struct arena *a)
{
    struct frame *s = step_of(f);
    const struct tmpl_tree *t = s && s->def ? variable_of(s->def, name) : NULL;
    if (!t || f->run->nested >= SCOPE_NESTED_MAX)
        return NULL;
    struct expr_scope scope = frame_scope(f, false);
    struct val v;
    struct err err;
    f->run->nested++;
    enum rc rc = tmpl_tree_eval(t, &scope, a, &v, &err);
    f->run->nested--;
    return rc == RC_OK ? keep(a, v) : NULL;
}

static const struct val *step_field(struct frame *f, const struct val *key, size_t n, struct arena *a, size_t *used)
{
    const struct frame *s = step_of(f);
    struct str name = name_at(key, n, 1);
    if (!s || !s->def)
        return NULL;
    *used = 2;
    if (str_is(name, "name"))
        return keep_text(a, s->def->name);
    if (str_is(name, "type"))
        return keep_text(a, s->def->type_name);
    if (str_is(name, "attempt"))
        return keep(a, val_int(s->attempt));
    *used = 3;
    if (str_is(name, "variables") && n > 2)
        return scope_step_variable(f, name_at(key, n, 2), a);
    if (str_is(name, "metadata") && val_get(VAL_GET(s->def->source, "metadata"), name_at(key, n, 2)))
        return val_get(VAL_GET(s->def->source, "metadata"), name_at(key, n, 2));
    return NULL;
}

/* ---- the workflow ---- */

static const struct val *workflow_field(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                        size_t *used)
{
    const struct run *r = f->run;
    struct str name = name_at(key, n, 1);
    *used = 2;
    if (str_is(name, "name"))
        return keep_text(a, f->instance->workflow->name);
    if (str_is(name, "id"))
        return keep_text(a, r->id);
    if (str_is(name, "description"))
        return keep_text(a, f->instance->workflow->description);
    if (str_is(name, "workspace"))
        return keep_text(a, r->workspace);
    return n > 1 ? val_get(f->instance->workflow->source, name) : NULL;
}

/* `config.x`: what the author wrote under `config`, else a default, else a key of the workflow. */
static const struct val *config_field(const struct frame *f, struct str name)
{
    const struct workflow *w = f->instance->workflow;
    const struct val *v = val_get(VAL_GET(w->source, "config"), name);
    v = v ? v : val_get(w->defaults, name);
    return v ? v : val_get(w->source, name);
}

/* `environment.x`: of the block for the mode, else of the block as a whole. */
static const struct val *environment_field(const struct frame *f, struct str name)
{
    static const struct val development = {.type = VAL_STR, .s = {"development", 11}};
    const struct val *env = VAL_GET(f->instance->workflow->source, "environment");
    const struct val *mode = VAL_GET(env, "mode");
    if (!val_is(mode, VAL_STR))
        mode = &development;
    if (str_is(name, "mode"))
        return mode;
    const struct val *v = val_get(val_get(env, mode->s), name);
    return v ? v : val_get(env, name);
}

/* ---- the run ---- */

static double bytes_of_results(const struct frame *f)
{
    double sum = 0;
    for (; f; f = f->parent) {
        const struct list_state *l = f->ops == &list_ops ? f->state : NULL;
        for (size_t i = 0; l && l->results && i < l->def->n; i++)
            if (l->results[i])
                sum += (double)val_weight(&l->results[i]->val);
    }
    return sum;
}

static int64_t ended_steps(const struct frame *root)
{
    const struct list_state *l = root->state;
    int64_t n = 0;
    for (size_t i = 0; l->results && i < l->def->n; i++)
        n += l->results[i] != NULL;
    return n;
}

static const struct val *system_field(const struct frame *f, struct str name, struct arena *a)
{
    struct run *r = f->run;
    if (str_is(name, "total_steps"))
        return keep(a, val_int((int64_t)f->instance->workflow->root->n));
    if (str_is(name, "completed_steps"))
        return keep(a, val_int(ended_steps(root_of(f))));
    if (str_is(name, "memory_usage_mb"))
        return keep(a, val_double(bytes_of_results(f) / (1 << 20)));
    if (str_is(name, "elapsed_seconds") || str_is(name, "execution_time_seconds"))
        return keep(a, val_double((double)(run_now(r) - r->started_ms) / 1000));
    return NULL;
}

/* What calls what: 0, the run's id and no parent in the run's own workflow. */
static const struct val *context_field(const struct frame *f, struct str name, struct arena *a)
{
    const struct instance *in = f->instance;
    if (str_is(name, "depth"))
        return keep(a, val_int((int64_t)in->depth));
    if (str_is(name, "pipeline_id"))
        return keep_text(a, in->step ? arena_printf(a, "%.*s/%.*s", STR_ARG(f->run->id), STR_ARG(in->step->path))
                                     : f->run->id);
    if (str_is(name, "parent"))
        return in->parent ? keep_text(a, in->parent->workflow->name) : &val_null;
    if (str_is(name, "execution_chain")) {
        struct val_list l = val_list_new(a);
        for (unsigned depth = 0; depth <= f->instance->depth; depth++) {
            for (in = f->instance; in->depth > depth;)
                in = in->parent;
            val_list_push(&l, val_str(in->workflow->name));
        }
        return keep(a, val_list_done(&l));
    }
    return NULL;
}

/* ---- timers: variables of the run under names that no workflow can write ---- */

struct str scope_timer_name(struct arena *a, struct str timer)
{
    return arena_printf(a, SCOPE_TIMER "%.*s", STR_ARG(timer));
}

static const struct val *timer_field(const struct frame *f, const struct val *key, size_t n, struct arena *a,
                                     size_t *used)
{
    const struct val *start = scope_variable_of(f, scope_timer_name(a, name_at(key, n, 1)));
    *used = 3;
    if (!val_is(start, VAL_INT))
        return NULL;
    int64_t ms = run_now(f->run) - start->i;
    if (str_is(name_at(key, n, 2), "elapsed_ms"))
        return keep(a, val_int(ms > 0 ? ms : 0));
    if (str_is(name_at(key, n, 2), "elapsed_seconds"))
        return keep(a, val_double(ms > 0 ? (double)ms / 1000 : 0));
    if (str_is(name_at(key, n, 2), "started"))
        return keep_text(a, iso_time(a, start->i));
    return NULL;
}

/* ---- the way in ---- */

static const struct val *whole(const struct frame *f, struct arena *a)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "id", val_str(f->run->id));
    VAL_MAP_SET(&m, "name", val_str(f->instance->workflow->name));
    VAL_MAP_SET(&m, "description", val_str(f->instance->workflow->description));
    VAL_MAP_SET(&m, "workspace", val_str(f->run->workspace));
    return keep(a, val_map_done(&m));
}

/* One name and nothing more. */
static const struct val *plain(struct frame *f, struct str head, struct arena *a)
{
    struct run *r = f->run;
    const struct frame *s = step_of(f);
    if (str_is(head, "run") || str_is(head, "workflow"))
        return whole(f, a);
    if (str_is(head, "timestamp"))
        return keep_text(a, iso_time(a, r->started_ms));
    if (str_is(head, "date"))
        return keep_text(a, first_part(iso_time(a, r->started_ms), 'T'));
    if (str_is(head, "execution_id") || str_is(head, "session_id"))
        return keep_text(a, r->id);
    if (str_is(head, "current_step") && s && s->def)
        return keep_text(a, s->def->name);
    return NULL;
}

/* Names that are objects of their fields, each asked for by its own name. */
static const struct val *whole_of(struct frame *f, struct str head, struct arena *a)
{
    static const struct {
        const char *head, *fields[6];
    } wholes[] = {
        {"step", {"name", "type", "attempt"}},
        {"workspace", {"path"}},
        {"system", {"total_steps", "completed_steps", "memory_usage_mb", "elapsed_seconds", "execution_time_seconds"}},
        {"context", {"depth", "pipeline_id", "parent", "execution_chain"}}};
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        struct val_map m = val_map_new(a);
        for (const char *const *name = wholes[i].fields; str_is(head, wholes[i].head) && *name; name++) {
            const struct val key[] = {val_str(head), val_str(str_c(*name))};
            size_t used;
            const struct val *v = scope_named(f, key, 2, a, &used);
            if (v)
                val_map_set(&m, str_c(*name), *v);
        }
        if (m.n)
            return keep(a, val_map_done(&m));
    }
    return NULL;
}

/* What the author wrote in a block, the mode's part of `environment` over the rest. */
static const struct val *whole_block(struct frame *f, struct str head, struct arena *a)
{
    const struct val *block = val_get(f->instance->workflow->source, head);
    struct val_map m = val_map_new(a);
    if (!val_is(block, VAL_OBJECT))
        return str_is(head, "config") || str_is(head, "environment") ? &val_empty_object : NULL;
    val_map_merge(&m, block);
    if (str_is(head, "environment")) {
        const struct val *mode = environment_field(f, STR("mode")), *own = val_get(block, mode->s);
        if (val_is(own, VAL_OBJECT))
            val_map_merge(&m, own);
        VAL_MAP_SET(&m, "mode", *mode);
    } else if (!str_is(head, "config")) {
        return NULL;
    }
    return keep(a, val_map_done(&m));
}

bool scope_is_named(struct str head)
{
    static const char *const heads[] = {"workflow",    "run",    "step",    "workspace", "config",
                                        "environment", "system", "context", "timer"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (str_is(head, heads[i]))
            return true;
    return false;
}

const struct val *scope_named(struct frame *f, const struct val *key, size_t n, struct arena *a, size_t *used)
{
    struct str head = name_at(key, n, 0), name = name_at(key, n, 1);
    const struct val *v = NULL;
    if (name.n) {
        *used = 2;
        if (str_is(head, "workflow") || str_is(head, "run"))
            return workflow_field(f, key, n, a, used);
        if (str_is(head, "workspace") && str_is(name, "path"))
            return keep_text(a, frame_workspace_path(f, a));
        if (str_is(head, "step"))
            v = step_field(f, key, n, a, used);
        else if (str_is(head, "config"))
            v = config_field(f, name);
        else if (str_is(head, "environment"))
            v = environment_field(f, name);
        else if (str_is(head, "system"))
            v = system_field(f, name, a);
        else if (str_is(head, "context"))
            v = context_field(f, name, a);
        else if (str_is(head, "timer"))
            v = timer_field(f, key, n, a, used);
        if (v)
            return v;
    }
    *used = 1;
    v = plain(f, head, a);
    v = v || n > 1 ? v : whole_of(f, head, a);
    return v || n > 1 ? v : whole_block(f, head, a);
}
