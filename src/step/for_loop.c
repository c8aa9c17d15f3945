/* for_loop: does its steps once for each item, one after another or several at a time.
 *
 * What is looped over is computed once, when the loop is entered, and pinned with it, so that a change of variables
 * inside the loop (or a crash) never changes the list under it. An iteration is a list frame `N` below the loop, from
 * 0.
 *
 * A break stops what runs beside it; what had ended by then is the result. */
#include "base/panic.h"
#include "data/json.h"
#include "flow/frame.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_PARALLEL = 8, MAX_PARALLEL = 10000 };

static const struct step_key keys[] = {
    {"iterator", KEY_STRING, .fallback = "item", .doc = "Name of the current item inside the loop: loop.NAME or NAME."},
    {"as", KEY_STRING, .doc = "Another spelling of `iterator`.", .alias_of = "iterator"},
    {"data_source", KEY_ANY, .required = true,
     .doc = "A list, an object (items are {key, value}), a template, an expression such as range(1, 10) or "
            "steps.scan.files, or previous_response:STEP.field."},
    {"over", KEY_ANY, .doc = "Another spelling of `data_source`.", .alias_of = "data_source"},
    {"steps", KEY_STEPS, .required = true, .doc = "What is done for each item."},
    {"parallel", KEY_BOOL, .fallback = "false", .doc = "Several items at a time."},
    {"max_parallel", KEY_INT, .fallback = "8", .least = 1, .most = MAX_PARALLEL,
     .doc = "How many at a time, at the most (with parallel)."},
    {"max_concurrent", KEY_INT, .doc = "Another spelling of `max_parallel`.", .alias_of = "max_parallel"},
    {"max_iterations", KEY_INT, .least = 0, .most = INT64_MAX, .doc = "Only the first so many items."},
    {"break_condition", KEY_COND,
     .doc = "Asked after each iteration, about it (its steps and loop.*): whether it was the last one."},
    {"continue_condition", KEY_COND,
     .doc = "Asked before each iteration, about it (loop.* and what is around): whether it is skipped."},
    {"ordered_results", KEY_BOOL, .fallback = "true",
     .doc = "Results are always in the order of the items; no effect."},
    {"memory_limit", KEY_SIZE, .doc = "Accepted; no effect."},
    {"break_on_error", KEY_BOOL, .fallback = "true",
     .doc =
         "Whether a failed iteration ends the loop (what runs beside it is stopped) and fails the step. With false the "
         "step fails only when every iteration has failed."},
    {0}};

struct loop {
    const struct val *items; /* an array, in the pinned object */
    size_t next, ok, failed, running;
    int64_t max_parallel;
    bool break_on_error;
    bool broken; /* a resumed run knows that a break was met: what had ended counts, nothing else is started */
    struct box **iterations; /* by index: {index, item, success, results | error} */
    struct box *last_error;
};

static struct val pairs_of(struct arena *a, const struct val *object)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < object->obj.n; i++) {
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "key", val_str(object->obj.m[i].key));
        VAL_MAP_SET(&m, "value", object->obj.m[i].val);
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

/* A step's name alone means what it said, not its result's fields: a model's list, or the JSON in its text. */
static void items_of_result(struct frame *f, struct val *ret)
{
    const struct val *data = VAL_GET(ret, "data"), *text = VAL_GET(ret, "text");
    struct val v;
    struct err err;
    if (!val_is(VAL_GET(ret, "success"), VAL_BOOL))
        return;
    if (val_is(data, VAL_ARRAY) || val_is(data, VAL_OBJECT))
        *ret = *data;
    else if (val_is(text, VAL_STR) && json_parse(&f->arena, text->s, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK &&
             (v.type == VAL_ARRAY || v.type == VAL_OBJECT))
        *ret = v;
}

/* The author's text is an expression; `previous_response:a.b` is the old way to say steps.a.b, or names a query. */
static bool items_of_expression(struct frame *f, struct str text, struct val *ret)
{
    struct str old = STR("previous_response:");
    if (!frame_expr(f, text, ret))
        return false;
    if (str_starts(text, STR("steps.")))
        text = str_from(text, 6);
    else if (str_starts(text, old))
        text = str_from(text, old.n);
    if (ret->type == VAL_OBJECT && str_find(text, STR(".")) == SIZE_MAX && str_find(text, STR("[")) == SIZE_MAX)
        items_of_result(f, ret);
    return true;
}

/* What a template made is data, such as a model's answer: JSON, never code. */
static bool items_of_text(struct frame *f, struct str text, struct val *ret)
{
    struct err err;
    if (json_parse(&f->arena, text, &JSON_LIMITS_DEFAULT, ret, &err) == RC_OK)
        return true;
    step_failf(f, RC_INVALID, "`data_source` is text that is no JSON (%s); expected a list or an object", err.msg);
    return false;
}

static bool is_template(const struct val *step)
{
    const struct val *v = VAL_GET(step, "data_source") ? VAL_GET(step, "data_source") : VAL_GET(step, "over");
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static bool compute_items(struct frame *f, const struct val *source, struct val *ret)
{
    *ret = source ? *source : val_null;
    if (ret->type == VAL_STR) {
        struct str text = str_trim(ret->s);
        if (!(is_template(f->def->source) ? items_of_text : items_of_expression)(f, text, ret))
            return false;
    }
    if (ret->type == VAL_OBJECT)
        *ret = pairs_of(&f->arena, ret);
    if (ret->type == VAL_ARRAY)
        return true;
    step_failf(f, RC_INVALID, "`data_source` is %s; expected a list or an object", val_type_name(ret));
    return false;
}

/* The pinned object: {items, max_parallel, break_on_error}. */
static const struct val *compute_plan(struct frame *f)
{
    const struct val *c = frame_config(f, false);
    bool parallel, break_on_error;
    int64_t max_parallel, max_iterations;
    struct val items;
    if (!c || !frame_bool(f, c, "parallel", false, &parallel) ||
        !frame_bool(f, c, "break_on_error", true, &break_on_error) ||
        !frame_int(f, c, "max_parallel", DEFAULT_PARALLEL, 1, MAX_PARALLEL, &max_parallel) ||
        !frame_int(f, c, "max_iterations", INT64_MAX, 0, INT64_MAX, &max_iterations) ||
        !compute_items(f, VAL_GET(c, "data_source"), &items))
        return NULL;
    int64_t ceiling = frame_limits(f)->max_parallel;
    if (ceiling && max_parallel > ceiling)
        max_parallel = ceiling;
    if ((int64_t)items.arr.n > max_iterations)
        items.arr.n = (size_t)max_iterations;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "items", items);
    VAL_MAP_SET(&m, "max_parallel", val_int(parallel ? max_parallel : 1));
    VAL_MAP_SET(&m, "break_on_error", val_bool(break_on_error));
    struct val *plan = ARENA_NEW(&f->arena, struct val);
    *plan = val_map_done(&m);
    return frame_pin(f, plan) ? plan : NULL;
}

static void finish(struct frame *f, struct loop *l)
{
    size_t n = l->items->arr.n;
    if (l->failed && !l->ok && !l->break_on_error) {
        struct str message = val_get_str(&l->last_error->val, STR("message"), STR(""));
        step_fail(f,
                  &(struct failure){.rc = RC_STEP,
                                    .message = arena_printf(&f->arena, "all %zu iterations failed; the last one: %.*s",
                                                            l->failed, STR_ARG(message)),
                                    .below = true});
        return;
    }
    struct box *b = box_empty();
    struct val_list list = val_list_new(&b->arena);
    for (size_t i = 0; i < n; i++)
        if (l->iterations[i])                            /* after a break some are missing */
            val_list_push(&list, l->iterations[i]->val); /* borrowed: step_ok copies while they live */
    struct val_map m = val_map_new(&b->arena);
    VAL_MAP_SET(&m, "success", val_bool(!l->failed));
    VAL_MAP_SET(&m, "total_items", val_int((int64_t)n));
    VAL_MAP_SET(&m, "completed_items", val_int((int64_t)l->ok));
    VAL_MAP_SET(&m, "iterations", val_list_done(&list));
    b->val = val_map_done(&m);
    step_ok_stop(f, &b->val);
    box_unref(b);
}

static void start_more(struct frame *f)
{
    struct loop *l = f->type_state;
    size_t n = l->items->arr.n;
    for (; l->next < n && (int64_t)l->running < l->max_parallel; l->next++) {
        char segment[24];
        snprintf(segment, sizeof segment, "%zu", l->next);
        if (l->broken && !frame_past_ended(f, segment))
            continue;
        struct box *item = box_new(&l->items->arr.v[l->next]);
        struct loop_scope scope = {.iterator = f->def->lists[0]->iterator,
                                   .item = item,
                                   .index = (int64_t)l->next,
                                   .total = (int64_t)n,
                                   .stop = f->def->conds[0],
                                   .skip = f->def->conds[1]};
        frame_list(f, segment, l->next, f->def->lists[0], &scope, NULL);
        box_unref(item);
        l->running++;
    }
    if (!l->running)
        finish(f, l);
}

static void free_loop(void *state)
{
    struct loop *l = state;
    for (size_t i = 0; l->iterations && i < l->items->arr.n; i++)
        box_unref(l->iterations[i]);
    free(l->iterations);
    l->iterations = NULL;
    box_unref(l->last_error);
    l->last_error = NULL;
}

/* For progress: how many there will be. */
static void tell_total(struct frame *f, size_t n)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    VAL_MAP_SET(&m, "total_items", val_int((int64_t)n));
    b->val = val_map_done(&m);
    frame_event(f, EVENT_NOTE, NULL, b);
    box_unref(b);
}

static void enter(struct frame *f)
{
    const struct val *plan = frame_pinned(f);
    if (!plan)
        plan = compute_plan(f);
    if (!plan)
        return;
    struct loop *l = ARENA_NEW(&f->arena, struct loop);
    l->items = VAL_GET(plan, "items");
    if (!val_is(l->items, VAL_ARRAY)) { /* a journal that we did not write */
        step_failf(f, RC_CORRUPT, "the journal holds no list for this loop");
        return;
    }
    l->max_parallel = val_get_int(plan, STR("max_parallel"), 1);
    if (l->max_parallel < 1)
        l->max_parallel = 1;
    l->break_on_error = val_get_bool(plan, STR("break_on_error"), true);
    l->iterations = calloc(l->items->arr.n + 1, sizeof(struct box *));
    if (!l->iterations)
        PANIC("out of memory");
    l->broken = frame_past_broken(f);
    f->type_state = l;
    tell_total(f, l->items->arr.n);
    start_more(f);
}

static struct box *iteration_box(const struct loop *l, const struct frame *c)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    VAL_MAP_SET(&m, "index", val_int((int64_t)c->tag));
    VAL_MAP_SET(&m, "item", val_copy(&b->arena, &l->items->arr.v[c->tag]));
    VAL_MAP_SET(&m, "success", val_bool(child_ok(c)));
    if (c->skipped)
        VAL_MAP_SET(&m, "skipped", val_true);
    struct val inner = child_ok(c) ? list_results(c, &b->arena) : *child_result(c);
    val_map_set(&m, child_ok(c) ? STR("results") : STR("error"), val_copy(&b->arena, &inner));
    b->val = val_map_done(&m);
    return b;
}

static void child_done(struct frame *f, struct frame *c)
{
    struct loop *l = f->type_state;
    l->running--;
    l->iterations[c->tag] = iteration_box(l, c);
    if (child_ok(c)) {
        l->ok++;
        if (child_leave(c) == LEAVE_BREAK && !l->broken) {
            finish(f, l);
            return;
        }
    } else {
        l->failed++;
        box_unref(l->last_error);
        l->last_error = box_new(child_result(c));
        if (l->break_on_error) {
            struct failure why = child_failure(c);
            why.message = arena_printf(&f->arena, "iteration %zu: %.*s", c->tag, STR_ARG(why.message));
            step_fail(f, &why);
            return;
        }
    }
    start_more(f);
}

const struct step_type step_for_loop = {.name = "for_loop",
                                        .doc = "Does its steps once for each item.",
                                        .keys = keys,
                                        .result_doc = "success|total_items|completed_items|iterations|error",
                                        .loop = true,
                                        .enter = enter,
                                        .child_done = child_done,
                                        .free_state = free_loop};
