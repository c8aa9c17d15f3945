/* pipeline: calls another workflow and gives its results.
 *
 * What is called is known before the run (step_def.child), or read when the step starts: an effect, so that its text is
 * recorded and a resumed run executes the same. Inputs are evaluated in the caller and checked against what the
 * workflow declares; nothing else passes, unless the step says that it inherits. The plan (inputs and limits) is pinned
 * before the first step inside starts. */
#include "base/panic.h"
#include "data/json.h"
#include "flow/frame.h"
#include "step/pipeline_mock.h"
#include "step/pipeline_place.h"
#include "step/pipeline_plan.h"
#include "step/pipeline_result.h"

#include <stdio.h>

static const struct step_key keys[] = {
    {"pipeline_file", KEY_TEMPLATE,
     .doc = "A file with the workflow, relative to the file of this one, then to the current directory."},
    {"pipeline", KEY_DATA, .choices = "inner_workflow",
     .doc = "The workflow, written here: {name, inputs, variables, steps, output, …}."},
    {"pipeline_ref", KEY_TEMPLATE,
     .doc = "The name of a stored workflow: NAME.yaml in $TREADLE_HOME/workflows. Where none is stored under the "
            "workflow's own name, that is itself."},
    {"version", KEY_DATA, .doc = "Accepted; a stored workflow has one version."},
    {"inputs", KEY_OBJECT, .doc = "Its inputs; templates keep the type of their value."},
    {"outputs", KEY_ANY, .choices = "outputs", .fallback = "all its steps, or its output",
     .doc = "What of it is the result: names of its steps, or {path: step.field.list[0], as: name}."},
    {"workspace", KEY_ENUM, .choices = "shared|isolated", .fallback = "shared",
     .doc = "`isolated`: it works in a copy of the workspace, and what it changed there is taken over at its good end, "
            "all or nothing."},
    {"config", KEY_OBJECT, .choices = "call_config", .doc = "Limits, and what it inherits; see below."},
    {"mock_response", KEY_ANY, .doc = "With --mock, the result: the workflow is neither read nor executed."},
    {"mock_error", KEY_ANY, .doc = "With --mock, the failure instead: a message, or {message, code}."},
    {0}};

enum { TAG_LOAD = 1, TAG_RUN, TAG_PART };

struct call {
    struct workflow *workflow; /* a reference */
    struct str dir;
    const struct val *plan;
    struct workflow_text text; /* where it is read in the run */
    unsigned inherits;         /* enum inherits */
    struct workflow_parts parts;
    struct call_place place;
    struct box *result; /* to be given once the directory is gone */
};

static void free_call(void *state)
{
    struct call *c = state;
    workflow_unref(c->workflow);
    c->workflow = NULL;
    box_unref(c->result);
    c->result = NULL;
}

static struct str called_name(struct frame *f)
{
    const struct call *c = f->type_state;
    return c->workflow ? c->workflow->name : f->def->name;
}

/* ---- the result ---- */

static void name_length(struct str path, size_t *n)
{
    for (*n = 0; *n < path.n && path.p[*n] != '.' && path.p[*n] != '['; ++*n)
        ;
}

/* The longest beginning of the path that is the name of a step: names may hold dots. */
static const struct step_def *first_step(const struct workflow *w, struct str path, struct str *ret_rest)
{
    for (size_t n = path.n; n > 0; n--) {
        const struct step_def *d =
            n == path.n || path.p[n] == '.' || path.p[n] == '[' ? list_find(w->root, str_n(path.p, n)) : NULL;
        if (d) {
            *ret_rest = str_from(path, n);
            return d;
        }
    }
    return NULL;
}

/* A path in the results as an expression: a step first, else a field of the last step's result. */
static bool output_path(const struct workflow *w, struct str path, struct arena *a, struct str *ret)
{
    struct str rest;
    if (str_starts(path, STR("steps.")))
        path = str_from(path, 6);
    const struct step_def *d = first_step(w, path, &rest);
    if (d)
        *ret = arena_printf(a, "steps[\"%.*s\"]%.*s", STR_ARG(d->name), STR_ARG(rest));
    else
        *ret = arena_printf(a, "steps[\"%.*s\"].%.*s", STR_ARG(w->root->steps[w->root->n - 1]->name), STR_ARG(path));
    return path.n;
}

static bool path_value(struct frame *f, struct frame *c, struct str path, struct val *ret)
{
    const struct call *call = f->type_state;
    struct str text;
    struct err err;
    err.msg[0] = 0;
    if (output_path(call->workflow, path, &f->arena, &text) && child_expr(c, text, &f->arena, ret, &err))
        return true;
    step_failf(f, RC_EXPRESSION, "output `%.*s`: workflow `%.*s` has no such step, nor its last step such a field (%s)",
               STR_ARG(path), STR_ARG(call->workflow->name), err.msg);
    return false;
}

/* "analysis.score" -> score; "items[0]" -> items */
static struct str path_name(struct str path)
{
    struct str name = path;
    for (size_t i = 0, n; i < path.n; i += n + 1) {
        name_length(str_from(path, i), &n);
        if (n && !(path.p[i] >= '0' && path.p[i] <= '9'))
            name = str_n(path.p + i, n);
    }
    return name;
}

static bool add_output(struct frame *f, struct frame *c, const struct val *one, struct val_map *m)
{
    struct val v;
    bool plain = one->type == VAL_STR;
    struct str path = plain ? one->s : val_get_str(one, STR("path"), STR(""));
    if (!path.n) {
        step_failf(f, RC_INVALID, "an output is %s; expected the name of a step, or {path, as}", val_type_name(one));
        return false;
    }
    if (!path_value(f, c, str_trim(path), &v))
        return false;
    val_map_set(m, plain ? str_trim(path) : val_get_str(one, STR("as"), path_name(str_trim(path))), v);
    return true;
}

/* {name: path}, a list, or one of its items. */
static bool chosen_outputs(struct frame *f, struct frame *c, const struct val *outputs, struct val *ret)
{
    struct val_map m = val_map_new(&f->arena);
    bool good = true;
    if (outputs->type == VAL_OBJECT && !VAL_GET(outputs, "path")) {
        for (size_t i = 0; good && i < outputs->obj.n; i++) {
            struct val v;
            const struct member *o = &outputs->obj.m[i];
            good = o->val.type == VAL_STR && path_value(f, c, str_trim(o->val.s), &v);
            if (good)
                val_map_set(&m, o->key, v);
        }
    } else if (outputs->type == VAL_ARRAY) {
        for (size_t i = 0; good && i < outputs->arr.n; i++)
            good = add_output(f, c, &outputs->arr.v[i], &m);
    } else {
        good = add_output(f, c, outputs, &m);
    }
    *ret = val_map_done(&m);
    return good;
}

/* What it was called with, for who reads steps.NAME.inputs; nothing of its own goes by that name. NULL: nobody does. */
static const struct val *told_inputs(struct frame *f, const struct val *beside)
{
    const struct call *c = f->type_state;
    if (!f->def->inputs_read || (beside && (beside->type != VAL_OBJECT || VAL_GET(beside, "inputs"))))
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    if (beside)
        val_map_merge(&m, beside);
    VAL_MAP_SET(&m, "inputs", *VAL_GET(c->plan, "inputs"));
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = val_map_done(&m);
    return v;
}

static void give(struct frame *f)
{
    const struct call *c = f->type_state;
    step_ok(f, &c->result->val);
}

static void finish(struct frame *f, struct frame *c)
{
    struct call *call = f->type_state;
    const struct val *outputs = VAL_GET(call->plan, "outputs");
    struct val v;
    struct err err;
    if (outputs && outputs->type != VAL_NULL) {
        if (!chosen_outputs(f, c, outputs, &v))
            return;
    } else if (call->workflow->output) {
        if (!child_eval(c, call->workflow->output, &f->arena, &v, &err)) {
            step_failf(f, err.rc == RC_NOT_FOUND ? RC_EXPRESSION : err.rc, "the output of workflow `%.*s`: %s",
                       STR_ARG(call->workflow->name), err.msg);
            return;
        }
    } else {
        v = list_results(c, &f->arena);
    }
    bool by_steps = (!outputs || outputs->type == VAL_NULL) && !call->workflow->output;
    v = pruned_result(f, VAL_GET(call->plan, "prune"), &v, by_steps);
    const struct val *told = told_inputs(f, &v);
    call->result = box_new(told ? told : &v);
    if (!call_place_close(f, &call->place, call->plan, true, give))
        give(f);
}

/* ---- what there is where it ends otherwise ---- */

/* Of the steps that have ended, for whoever goes on after a failure. */
static const struct val *context_of(struct frame *f, struct frame *c, const struct val *beside)
{
    const struct call *call = f->type_state;
    const struct val *fields = VAL_GET(call->plan, "context");
    if (!fields || !val_is(VAL_GET(call->plan, "inputs"), VAL_OBJECT))
        return beside;
    struct val results = c ? list_results(c, &f->arena) : val_empty_object;
    return with_error_context(f, val_is(fields, VAL_BOOL) ? NULL : fields, beside, called_name(f),
                              VAL_GET(call->plan, "inputs"), &results);
}

/* The chosen outputs, as far as there are any yet. */
static struct val outputs_so_far(struct frame *f, struct frame *c, const struct val *outputs)
{
    const struct call *call = f->type_state;
    struct val_map m = val_map_new(&f->arena);
    size_t n = outputs->type == VAL_ARRAY ? outputs->arr.n : outputs->type == VAL_OBJECT ? outputs->obj.n : 1;
    bool map = outputs->type == VAL_OBJECT && !VAL_GET(outputs, "path");
    for (size_t i = 0; i < (outputs->type == VAL_OBJECT && !map ? 1 : n); i++) {
        const struct val *one = outputs->type == VAL_ARRAY ? &outputs->arr.v[i]
                                : map                      ? &outputs->obj.m[i].val
                                                           : outputs;
        struct str path = str_trim(one->type == VAL_STR ? one->s : val_get_str(one, STR("path"), STR(""))), text;
        struct val v;
        struct err ignored;
        if (!output_path(call->workflow, path, &f->arena, &text) || !child_expr(c, text, &f->arena, &v, &ignored))
            continue; /* it is not there yet, or has to be fetched: then this is done again */
        struct str name = map                    ? outputs->obj.m[i].key
                          : one->type == VAL_STR ? path
                                                 : val_get_str(one, STR("as"), path_name(path));
        val_map_set(&m, name, v);
    }
    return val_map_done(&m);
}

static const struct val *unfinished(struct frame *f)
{
    const struct call *call = f->type_state;
    struct frame *c = f->first;
    while (c && c->tag != TAG_RUN)
        c = c->next;
    if (!call || !c || !call->plan)
        return NULL;
    const struct val *outputs = VAL_GET(call->plan, "outputs");
    bool chosen = outputs && outputs->type != VAL_NULL;
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = chosen ? outputs_so_far(f, c, outputs) : list_results(c, &f->arena);
    *v = pruned_result(f, VAL_GET(call->plan, "prune"), v, !chosen);
    const struct val *told = told_inputs(f, v);
    return context_of(f, c, told ? told : v);
}

/* ---- made-up ends ---- */

static void failed_so(struct frame *f, struct frame *c, struct failure *why)
{
    const struct val *told = told_inputs(f, f->fallback);
    why->partial = context_of(f, c, told ? told : f->fallback);
    step_fail(f, why);
}

static void made_up(struct frame *f)
{
    const struct call *call = f->type_state;
    const struct val *mock = VAL_GET(call->plan, "mock"), *error = VAL_GET(mock, "error"),
                     *outputs = VAL_GET(call->plan, "outputs");
    struct val v;
    if (error) {
        failed_so(f, NULL,
                  &(struct failure){.rc = RC_STEP,
                                    .code = val_get_str(error, STR("code"), STR("")),
                                    .message = val_get_str(error, STR("message"), STR(""))});
        return;
    }
    if (!call_mock_result(f, mock, outputs, &v))
        return;
    bool by_steps = (!outputs || outputs->type == VAL_NULL) && !(call->workflow && call->workflow->output);
    v = pruned_result(f, VAL_GET(call->plan, "prune"), &v, by_steps);
    const struct val *told = told_inputs(f, &v);
    step_ok(f, told ? told : &v);
}

/* ---- calling ---- */

static void take_plan(struct frame *f, const struct val *plan)
{
    struct call *c = f->type_state;
    c->plan = plan;
    const struct val *fallback = VAL_GET(plan, "fallback"), *told = told_inputs(f, fallback);
    f->fallback = context_of(f, NULL, told ? told : fallback);
}

static void execute(struct frame *f)
{
    struct call *c = f->type_state;
    struct call_plan p = pipeline_call_plan(c->plan);
    p.workflow = c->workflow;
    p.dir = c->dir;
    p.root = c->place.root;
    frame_call(f, "workflow:1", TAG_RUN, &p);
}

static void call(struct frame *f)
{
    struct call *c = f->type_state;
    const struct val *plan = frame_pinned(f);
    if (!plan)
        plan = pipeline_plan(f, c->workflow, NULL);
    if (!plan)
        return;
    take_plan(f, plan);
    if (!frame_depth(f, val_get_int(plan, STR("max_depth"), 0), c->workflow->name))
        return;
    frame_warn_depth(f, val_get_int(plan, STR("warn_depth"), 0), c->workflow->name);
    if (!call_place_open(f, &c->place, plan, execute))
        execute(f);
}

/* ---- reading what is called ---- */

static bool is_template(const struct step_def *d, const char *key)
{
    const struct val *v = val_get(d->source, str_c(key));
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

/* May a step have chosen which file it is? Then what it is made of must lie where files are to be, too. */
static bool is_found(const struct frame *f)
{
    return is_template(f->def, "pipeline_file") || frame_found(f);
}

static void read_workflow(struct frame *f)
{
    struct arena *a = &f->arena;
    const struct val *c = frame_config(f, false);
    bool stored = VAL_GET(f->def->source, "pipeline_ref") != NULL;
    struct str path;
    if (!c || !frame_text(f, c, stored ? "pipeline_ref" : "pipeline_file", STR(""), &path))
        return;
    if (!path.n) {
        step_failf(f, RC_INVALID, "`%s` is empty; expected the name of a workflow",
                   stored ? "pipeline_ref" : "pipeline_file");
        return;
    }
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "base", stored ? VAL_LIT("stored") : VAL_LIT("workflow"));
    if (frame_dir(f).n)
        VAL_MAP_SET(&m, "dir", val_str(frame_dir(f)));
    if (is_found(f)) /* it may be a model's word */
        VAL_MAP_SET(&m, "beneath", val_true);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "load:1", TAG_LOAD,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(path)).p});
}

/* What it extends and includes is read one after another, each an effect, until nothing is missing. */
static void load(struct frame *f)
{
    struct call *c = f->type_state;
    struct arena *a = &f->arena;
    workflow_unref(c->workflow); /* we are told again, because an evaluation had to wait */
    c->workflow = frame_load_workflow(f, &c->text, c->inherits, &c->parts);
    if (c->workflow) {
        call(f);
        return;
    }
    if (!c->parts.wanted.n)
        return;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "path", val_str(c->parts.wanted));
    if (is_found(f))
        VAL_MAP_SET(&m, "beneath", val_true);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, arena_printf(a, "load:%zu", c->parts.texts.n + 2).p, TAG_PART,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(c->parts.wanted)).p});
}

static void part_loaded(struct frame *f, struct frame *child)
{
    struct call *c = f->type_state;
    struct str text = arena_str(&f->arena, val_get_str(child_result(child), STR("text"), STR("")));
    if (c->parts.wanted.n)
        val_map_set(&c->parts.texts, c->parts.wanted, val_str(text));
    load(f);
}

static void loaded(struct frame *f, struct frame *child)
{
    struct call *c = f->type_state;
    const struct val *got = child_result(child), *config = frame_config(f, false);
    struct str path = arena_str(&f->arena, val_get_str(got, STR("path"), STR(""))), dir = path;
    if (!config)
        return;
    c->inherits = call_inherits(VAL_GET(config, "config"));
    while (dir.n && dir.p[dir.n - 1] != '/')
        dir.n--;
    dir.n -= dir.n > 1;
    c->dir = arena_str(&f->arena, dir);
    c->text = (struct workflow_text){.path = path,
                                     .file = path,
                                     .dir = c->dir,
                                     .text = arena_str(&f->arena, val_get_str(got, STR("text"), STR("")))};
    load(f);
}

/* Written inside a step whose type has just become known: nothing has to be read. */
static void read_inside(struct frame *f)
{
    struct call *c = f->type_state;
    struct arena *a = &f->arena;
    const struct val *config = frame_config(f, false), *v = VAL_GET(f->def->source, "pipeline");
    if (!config)
        return;
    c->inherits = call_inherits(VAL_GET(config, "config"));
    struct val_map whole = val_map_new(a), inner = val_map_new(a);
    VAL_MAP_SET(&inner, "name", val_str(f->def->name));
    val_map_merge(&inner, VAL_GET(v, "workflow") ? VAL_GET(v, "workflow") : v);
    VAL_MAP_SET(&whole, "workflow", val_map_done(&inner));
    struct val text = val_map_done(&whole);
    c->dir = frame_dir(f);
    c->text = (struct workflow_text){.file = arena_printf(a, "the workflow in step `%.*s`", STR_ARG(f->def->name)),
                                     .dir = c->dir,
                                     .text = json_text(a, &text)};
    load(f);
}

/* Is the call answered as a whole, or has the step failed? */
static bool answered_so(struct frame *f)
{
    const struct call *c = f->type_state;
    const struct val *plan = frame_pinned(f), *mock = NULL;
    if (plan && !VAL_GET(plan, "mock"))
        return false;
    if (!plan && !call_mock_read(f, &mock))
        return true;
    if (!plan && !mock)
        return false;
    plan = plan ? plan : pipeline_plan(f, c->workflow, mock);
    if (plan) {
        take_plan(f, plan);
        call_mock_begin(f, VAL_GET(plan, "mock"), made_up);
    }
    return true;
}

static void enter(struct frame *f)
{
    struct call *c = ARENA_NEW(&f->arena, struct call);
    f->type_state = c;
    c->parts.texts = val_map_new(&f->arena);
    c->workflow = f->def->child ? workflow_ref(f->def->child) : NULL;
    if (frame_failed_before(f)) {
        c->plan = frame_pinned(f);
        call_place_recall(f, &c->place);
        return;
    }
    if (answered_so(f))
        return;
    if (!f->def->child) {
        if (!frame_depth(f, 0, f->def->name)) /* before anything is read, in case it never ends */
            return;
        if (VAL_GET(f->def->source, "pipeline"))
            read_inside(f);
        else
            read_workflow(f);
        return;
    }
    c->dir = arena_str(&f->arena, c->workflow->dir);
    call(f);
}

static void child_done(struct frame *f, struct frame *c)
{
    struct call *call = f->type_state;
    if (call_place_is(c)) {
        call_place_done(f, &call->place, c);
        return;
    }
    if (call_mock_is(c) && child_ok(c)) {
        made_up(f);
        return;
    }
    if (child_ok(c)) {
        (c->tag == TAG_LOAD ? loaded : c->tag == TAG_PART ? part_loaded : finish)(f, c);
        return;
    }
    struct failure why = child_failure(c);
    if (c->tag == TAG_LOAD || c->tag == TAG_PART || call_mock_is(c)) {
        step_fail(f, &why);
        return;
    }
    why.message = arena_printf(&f->arena, "workflow `%.*s`: %.*s", STR_ARG(called_name(f)), STR_ARG(why.message));
    failed_so(f, c, &why);
}

/* Without its directory the attempt cannot be gone on with. */
static bool failed(struct frame *f)
{
    struct call *c = f->type_state;
    bool cleans = c && c->place.made && c->plan && val_get_bool(c->plan, STR("cleans_failed"), false);
    if (cleans && f->failing.rc == RC_TIMEOUT && val_get_bool(c->plan, STR("stays_late"), false))
        return false;
    return cleans && frame_keep_failure(f) && call_place_close(f, &c->place, c->plan, false, frame_failed);
}

const struct step_type step_pipeline = {.name = "pipeline",
                                        .doc = "Calls another workflow.",
                                        .keys = keys,
                                        .boundary = true,
                                        .makes_files = true,
                                        .check = call_mock_check,
                                        .enter = enter,
                                        .child_done = child_done,
                                        .unfinished = unfinished,
                                        .failed = failed,
                                        .free_state = free_call};
