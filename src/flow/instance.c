/* Calling a workflow is making a list frame with an instance of its own. The names inside end at that frame, unless the
 * caller lets its own be seen (scope.c looks at frame->opaque). Its variables live in it like those of the run in the
 * run's list.
 *
 * The list records no end: the step that calls says it. And what stands in the list has paths right below the step:
 * `call/step`, not `call/list/step`. */
#include "flow/instance.h"

#include "flow/run_int.h"

#include "flow/shelf.h"

#include "base/fault.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "flow/limits.h"
#include "flow/memory_mark.h"

#include <stdlib.h>

void instance_done(struct instance *i)
{
    workflow_unref(i->workflow);
    box_unref(i->inputs);
    if (i->max_memory || i->warn_memory || i->marks)
        account_close(i->account);
    i->workflow = NULL;
    i->inputs = NULL;
}

/* "inner ← outer ← run", built in `a`. */
static struct str instance_chain(const struct instance *i, struct str inner, struct arena *a)
{
    struct str s = inner;
    for (; i && s.n < 2000; i = i->parent)
        s = arena_printf(a, "%.*s%s%.*s", STR_ARG(s), s.n ? " ← " : "", STR_ARG(i->workflow->name));
    return i ? arena_printf(a, "%.*s ← …", STR_ARG(s)) : s;
}

bool instance_count_step(struct frame *f)
{
    f->steps++;
    for (struct instance *i = f->instance; i; i = i->parent) {
        i->steps++;
        if (!i->max_steps || i->steps <= i->max_steps)
            continue;
        struct arena *a = &f->run->scratch;
        struct str chain = instance_chain(i, STR(""), a);
        step_fail(i->step, &(struct failure){.rc = RC_LIMIT,
                                             .code = STR("max_total_steps_exceeded"),
                                             .message = arena_printf(a,
                                                                     "workflow `%.*s` did more than %lld steps, those "
                                                                     "of workflows that it calls included (%.*s)",
                                                                     STR_ARG(i->workflow->name),
                                                                     (long long)i->max_steps, STR_ARG(chain)),
                                             .final = true});
        return false;
    }
    return true;
}

/* Of each workflow around; the note is given once a life. */
static void warn_of_memory(struct frame *f)
{
    for (struct instance *i = f->instance; i; i = i->parent) {
        if (!i->warn_memory || i->account->bytes <= (size_t)i->warn_memory)
            continue;
        struct str why = arena_printf(&f->run->scratch, "workflow `%.*s` takes more than %g MB of memory",
                                      STR_ARG(i->workflow->name), (double)i->warn_memory / (1 << 20));
        i->warn_memory = INT64_MAX;
        frame_event(i->step, EVENT_NOTE, why.p, NULL);
    }
}

static const struct instance *over_memory(const struct frame *f)
{
    const struct instance *i = f->instance;
    while (i && (!i->max_memory || i->account->bytes <= (size_t)i->max_memory))
        i = i->parent;
    return i;
}

bool instance_has_memory(struct frame *f)
{
    warn_of_memory(f);
    memory_marks_pass(f);
    const struct instance *i = over_memory(f);
    if (i) { /* what need not be in memory is no reason to fail */
        shelf_clear(f->run);
        i = over_memory(f);
    }
    if (!i)
        return true;
    if (!i->parent) {
        limits_memory(f->run);
        return false;
    }
    struct arena *a = &f->run->scratch;
    struct str chain = instance_chain(i, STR(""), a);
    struct str message =
        arena_printf(a,
                     "workflow `%.*s` takes more than %lld MB of memory, with those that it calls (%.*s); raise "
                     "`memory_limit_mb` of the step that calls it",
                     STR_ARG(i->workflow->name), (long long)(i->max_memory >> 20), STR_ARG(chain));
    if (i->memory_ends_run)
        run_over_limit(f->run, "memory_limit_exceeded", message);
    else
        step_fail(
            i->step,
            &(struct failure){.rc = RC_LIMIT, .code = STR("memory_limit_exceeded"), .message = message, .final = true});
    return false;
}

void instance_record_steps(const struct frame *f, struct val_map *m)
{
    for (const struct instance *i = f->instance; i; i = i->parent)
        if (i->max_steps) {
            VAL_MAP_SET(m, "steps", val_int(f->steps));
            return;
        }
}

void instance_add_steps(struct frame *f, int64_t n)
{
    f->steps += n;
    for (struct instance *i = f->instance; i; i = i->parent)
        i->steps += n;
}

void instance_recall_steps(struct frame *f, const struct val *record)
{
    int64_t n = val_get_int(record, STR("steps"), 0);
    if (n < 0 || n > (int64_t)1 << 40 || fault_hit("steps.forgotten")) /* nobody did so many; a seeded bug */
        n = 0;
    instance_add_steps(f, n > f->steps ? n - f->steps : 0); /* its own entry may have been counted already */
}

static const struct val *merged(struct frame *f, const struct val *under, const struct val *over)
{
    struct val_map m = val_map_new(&f->arena);
    struct val *v = ARENA_NEW(&f->arena, struct val);
    val_map_merge(&m, under);
    val_map_merge(&m, over);
    *v = val_map_done(&m);
    return v;
}

static bool is_named(const struct val *names, struct str name)
{
    if (val_is(names, VAL_STR))
        return str_eq(names->s, name);
    for (size_t i = 0; val_is(names, VAL_ARRAY) && i < names->arr.n; i++)
        if (val_is(&names->arr.v[i], VAL_STR) && str_eq(names->arr.v[i].s, name))
            return true;
    return false;
}

bool instance_hides(const struct instance *i, struct str name)
{
    const struct val *include = VAL_GET(i->seen, "include");
    return (include && !is_named(include, name)) || is_named(VAL_GET(i->seen, "exclude"), name);
}

struct frame *frame_call(struct frame *parent, const char *segment, size_t tag, const struct call_plan *plan)
{
    struct frame *f = frame_list(parent, segment, tag, plan->workflow->root, NULL, NULL);
    bool counted = plan->max_memory || plan->warn_memory || plan->marks;
    struct instance *in = ARENA_NEW(&f->arena, struct instance), *up = parent->instance;
    *in = (struct instance){.parent = up,
                            .workflow = workflow_ref(plan->workflow),
                            .inputs = box_new(plan->inputs),
                            .defaults = plan->inherit_providers ? merged(f, up->defaults, plan->workflow->defaults)
                                                                : plan->workflow->defaults,
                            .functions = plan->inherit_functions,
                            .begins = plan->variables,
                            .seen = plan->seen,
                            .mocks = plan->mocks,
                            .dir = arena_str(&f->arena, plan->dir.n ? plan->dir : up->dir),
                            .root = !plan->root.n ? up->root
                                    : up->root.n
                                        ? arena_printf(&f->arena, "%.*s/%.*s", STR_ARG(up->root), STR_ARG(plan->root))
                                        : arena_str(&f->arena, plan->root),
                            .step = parent,
                            .depth = up->depth + 1,
                            .max_depth = plan->max_depth ? plan->max_depth : up->max_depth,
                            .max_steps = plan->max_steps,
                            .account = counted ? account_new(up->account) : up->account,
                            .max_memory = plan->max_memory,
                            .warn_memory = plan->warn_memory,
                            .marks = plan->marks,
                            .clears = plan->clears,
                            .max_files = plan->max_files,
                            .step_ms = plan->step_ms,
                            .over = plan->over,
                            .memory_ends_run = plan->memory_ends_run};
    if (plan->defaults)
        in->defaults = merged(f, in->defaults, plan->defaults);
    f->instance = in;
    list_of(f)->isolated = plan->isolated;
    f->opaque = !plan->inherit_context;
    if (!plan->apart)
        f->base = parent->base;
    list_of(f)->instance = in;
    list_of(f)->apart = plan->apart;
    return f;
}

bool frame_depth(struct frame *f, int64_t own_limit, struct str name)
{
    const struct instance *in = f->instance;
    int64_t depth = (int64_t)in->depth + 1, max = own_limit;
    if (!max || (in->max_depth && in->max_depth < max))
        max = in->max_depth;
    max = !max ? DEPTH_DEFAULT : max > DEPTH_MAX ? DEPTH_MAX : max;
    if (depth <= max)
        return true;
    struct str chain = instance_chain(in, name, &f->arena);
    step_fail(f, &(struct failure){.rc = RC_LIMIT,
                                   .code = STR("max_depth_exceeded"),
                                   .message = arena_printf(&f->arena,
                                                           "workflows call one another %lld deep; expected at most "
                                                           "%lld (%.*s)",
                                                           (long long)depth, (long long)max, STR_ARG(chain)),
                                   .final = true,
                                   .below = true});
    return false;
}

void frame_warn_depth(struct frame *f, int64_t from, struct str name)
{
    int64_t depth = (int64_t)f->instance->depth + 1;
    if (!from || depth < from)
        return;
    struct str chain = instance_chain(f->instance, name, &f->run->scratch);
    frame_event(
        f, EVENT_NOTE,
        arena_printf(&f->run->scratch, "workflows call one another %lld deep (%.*s)", (long long)depth, STR_ARG(chain))
            .p,
        NULL);
}

bool child_eval(struct frame *child, const struct tmpl_tree *t, struct arena *a, struct val *ret, struct err *err)
{
    struct expr_scope scope = frame_scope(child, false);
    return tmpl_tree_eval(t, &scope, a, ret, err) == RC_OK;
}

bool child_expr(struct frame *child, struct str text, struct arena *a, struct val *ret, struct err *err)
{
    const struct expr *e;
    struct expr_scope scope = frame_scope(child, false);
    return expr_parse(a, text, 0, 0, &e, err) == RC_OK && expr_eval(e, &scope, a, ret, err) == RC_OK;
}

/* ---- texts that were read in the run ---- */

enum { CALLED_MAX = 64 };

struct called {
    struct called *next;
    struct sha256 hash;
    struct workflow *w;
};

static struct sha256 hash_of(const struct workflow_text *t, unsigned inherits, struct arena *a)
{
    return sha256_of(arena_printf(a, "%u\n%.*s\n%.*s", inherits, STR_ARG(t->path), STR_ARG(t->text)));
}

static struct workflow *find_called(struct run *r, const struct sha256 *hash)
{
    for (struct called *c = r->called; c; c = c->next)
        if (memcmp(&c->hash, hash, sizeof *hash) == 0)
            return workflow_ref(c->w);
    return NULL;
}

/* The oldest goes when there are too many: steps that execute it hold references of their own. */
static void keep_called(struct run *r, const struct sha256 *hash, struct workflow *w)
{
    struct called *c = calloc(1, sizeof *c), **last = &r->called;
    if (!c)
        PANIC("out of memory");
    *c = (struct called){.next = r->called, .hash = *hash, .w = workflow_ref(w)};
    r->called = c;
    size_t n = 1;
    for (; (*last)->next; last = &(*last)->next)
        n++;
    if (n > CALLED_MAX) {
        workflow_unref((*last)->w);
        free(*last);
        *last = NULL;
    }
}

void called_free_all(struct run *r)
{
    while (r->called) {
        struct called *c = r->called;
        r->called = c->next;
        workflow_unref(c->w);
        free(c);
    }
}

static enum rc read_part(void *ctx, struct str path, struct arena *a, struct str *ret, struct err *err)
{
    struct workflow_parts *p = ctx;
    const struct val all = {.type = VAL_OBJECT, .obj = {.m = p->texts.m, .n = p->texts.n}}, *text = val_get(&all, path);
    (void)a;
    if (text) {
        *ret = text->s;
        return RC_OK;
    }
    if (!p->wanted.n)
        p->wanted = arena_str(p->texts.a, path);
    return err_set(err, RC_NOT_FOUND, "%.*s is not read yet", STR_ARG(path));
}

struct workflow *frame_load_workflow(struct frame *f, const struct workflow_text *t, unsigned inherits,
                                     struct workflow_parts *parts)
{
    struct sha256 hash = hash_of(t, inherits, &f->run->scratch);
    struct workflow *w = parts->texts.n ? NULL : find_called(f->run, &hash);
    if (w)
        return w;
    struct problems ps = {.a = &f->run->scratch};
    struct load_files files = {.ctx = parts, .read = read_part};
    parts->wanted = STR("");
    w = workflow_load_called(t, inherits, &files, &ps);
    if (w && !parts->texts.n) /* the text is all there is to it */
        keep_called(f->run, &hash, w);
    if (w || parts->wanted.n)
        return w;
    const struct problem *first = ps.v;
    while (first->warning)
        first++;
    struct str more = ps.errors > 1 ? arena_printf(&f->arena, " (and %zu more)", ps.errors - 1) : STR("");
    step_fail(f,
              &(struct failure){.rc = RC_INVALID,
                                .code = STR("workflow"),
                                .message = arena_printf(&f->arena, "%.*s:%u:%u: %.*s%.*s", STR_ARG(t->file),
                                                        first->line, first->col, STR_ARG(first->text), STR_ARG(more))});
    return NULL;
}

/* Below the call: `plain` without the path of the step that calls, where both are without attempts. */
static struct str below_call(const struct instance *i, struct str plain)
{
    size_t depth = 1;
    for (size_t k = 0; k < i->step->path.n; k++)
        depth += i->step->path.p[k] == '/';
    while (depth && plain.n) {
        size_t slash = str_find(plain, STR("/"));
        plain = str_from(plain, slash == SIZE_MAX ? plain.n : slash + 1);
        depth--;
    }
    return plain;
}

const struct val *frame_mock(struct frame *f, struct str plain)
{
    const struct val *response = NULL, *delay = NULL;
    for (const struct instance *i = f->instance; i && i->step; i = i->parent) {
        struct str names[] = {below_call(i, plain), i == f->instance ? f->def->name : STR("")};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            response = response ? response : val_get(VAL_GET(i->mocks, "responses"), names[k]);
            delay = delay ? delay : val_get(VAL_GET(i->mocks, "delays"), names[k]);
        }
    }
    if (!response && !delay)
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    double ms = val_to_double(delay, 0);
    if (response)
        VAL_MAP_SET(&m, "response", *response);
    if (ms > 0 && ms < 1e12)
        VAL_MAP_SET(&m, "delay_ms", val_int((int64_t)ms));
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = val_map_done(&m);
    return v;
}

bool frame_mocked(const struct frame *f)
{
    return f->run->mocked;
}

struct str frame_workspace_path(const struct frame *f, struct arena *a)
{
    struct str all = f->run->workspace, own = f->instance->root;
    return own.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(all), STR_ARG(own)) : all;
}

const struct val *frame_function(const struct frame *f, struct str name)
{
    for (const struct instance *i = f->instance; i; i = i->functions ? i->parent : NULL) {
        const struct val *v = val_get(VAL_GET(i->workflow->source, "gemini_functions"), name);
        if (v)
            return v;
    }
    return NULL;
}

struct str frame_dir(const struct frame *f)
{
    return f->instance->dir;
}

bool frame_found(const struct frame *f)
{
    return f->instance->workflow->found;
}

/* ---- whose word a path is ---- */

/* A caller's inputs may be data. */
static bool inputs_trusted(const struct frame *f)
{
    return !f->instance->parent && !f->run->inputs_found;
}

/* Names that only the author and who starts the run can give a value. A step, an iterator or a variable may be called
 * like one of the last three, and then goes before it: its value may be anybody's. */
static enum rc trusted(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    enum { ALWAYS = 4 };
    static const char *const names[] = {"inputs", "env", "run", "timestamp", "config", "environment", "date"};
    struct frame *f = ctx;
    (void)soft;
    for (size_t i = inputs_trusted(f) ? 0 : 1; path->n && i < sizeof names / sizeof *names; i++)
        if (str_is(path->seg[0].name, names[i]) &&
            (i < ALWAYS || !scope_is_authors(f, path->seg[0].name, &f->run->scratch)))
            return RC_OK;
    return err_set(err, RC_INVALID, "not the author's");
}

static bool holds_text(const struct val *v, struct str text, unsigned depth)
{
    if (val_is(v, VAL_STR))
        return str_eq(v->s, text);
    for (size_t i = 0; depth && val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        if (holds_text(&v->arr.v[i], text, depth - 1))
            return true;
    for (size_t i = 0; depth && val_is(v, VAL_OBJECT) && i < v->obj.n; i++)
        if (holds_text(&v->obj.m[i].val, text, depth - 1))
            return true;
    return false;
}

/* Letter for letter what the author gave a variable to begin with, or who started the run an input: whatever way it
 * took from there, nobody else has made it up. */
static bool is_given(const struct frame *f, struct str path)
{
    enum { DEPTH = 8 };
    static const char *const keys[] = {"variables", "global_vars"};
    if (inputs_trusted(f) && holds_text(&f->instance->inputs->val, path, DEPTH))
        return true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (holds_text(val_get(f->instance->workflow->source, str_c(keys[i])), path, DEPTH))
            return true;
    return false;
}

bool frame_inputs_found(const struct frame *f)
{
    return f->run->inputs_found;
}

bool frame_path_found(const struct frame *f, const struct val *source, struct str path)
{
    const struct tmpl *t;
    struct err err;
    if (!frame_found(f) && is_given(f, path))
        return false;
    if (frame_found(f) || !val_is(source, VAL_STR) || tmpl_parse(&f->run->scratch, source->s, 0, 0, &t, &err) != RC_OK)
        return true;
    return tmpl_each_path(t, trusted, (struct frame *)f, &err) != RC_OK;
}

struct file_hole {
    const struct frame *f;
    struct str path;
};

/* Stops at a hole that may have made the path. */
static enum rc hole_trusted(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct file_hole *h = ctx;
    (void)soft;
    if (path->n < 2 || !str_is(path->seg[0].name, "file:"))
        return RC_OK;
    return path->seg[1].index ? expr_each_path(path->seg[1].index, trusted, (struct frame *)h->f, err) : RC_OK;
}

static enum rc hole_written(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct file_hole *h = ctx;
    (void)soft;
    bool same =
        path->n > 1 && str_is(path->seg[0].name, "file:") && path->seg[1].name.p && str_eq(path->seg[1].name, h->path);
    return same ? err_set(err, RC_EXISTS, "written") : RC_OK;
}

bool frame_hole_path_found(const struct frame *f, struct str path)
{
    struct err err;
    struct file_hole h = {f, path};
    if (frame_found(f))
        return true;
    return !is_given(f, path) && tmpl_tree_each_path(f->def->config, hole_written, &h, &err) == RC_OK &&
           tmpl_tree_each_path(f->def->config, hole_trusted, &h, &err) != RC_OK;
}

const struct val *frame_inputs(const struct frame *f)
{
    return &f->instance->inputs->val;
}
