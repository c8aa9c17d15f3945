/* while_loop: does its steps again and again while a condition holds.
 *
 * The condition is asked before each iteration and may read the newest results of the body's own steps. Before the
 * first iteration those do not exist: a condition that reads a step of the body is then not asked, so "repeat until the
 * tests pass" needs no variable. An iteration that the journal knows was begun is not asked about again. */
#include "flow/frame.h"

#include <stdio.h>

static const struct step_key keys[] = {
    {"condition", KEY_COND, .required = true,
     .doc = "The loop goes on as long as this is true. (On this type `condition` is the loop's own.)"},
    {"max_iterations", KEY_INT, .fallback = "100", KEY_FROM(0),
     .doc = "The loop ends, without an error but with `success: false`, after so many iterations."},
    {"break_condition", KEY_COND,
     .doc = "Asked after each iteration, about it (its steps and loop.*): whether it was the last one."},
    {"continue_condition", KEY_COND,
     .doc = "Asked before each iteration, about it (loop.* and what is around): whether it is skipped."},
    {"steps", KEY_STEPS, .required = true, .doc = "What is done in each iteration."},
    {0}};

struct loop {
    size_t index;
    int64_t max;
    bool reads_body;
};

static enum rc find_body_step(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    (void)soft, (void)err;
    struct frame *f = ctx;
    const struct list_def *body = f->def->lists[0];
    struct str head = path->seg[0].name;
    bool prefixed = path->n > 1 && path->seg[1].name.p && (str_is(head, "steps") || str_is(head, "previous_response:"));
    if (list_find(body, prefixed ? path->seg[1].name : head)) /* or a bare name, as older workflows have it */
        ((struct loop *)f->type_state)->reads_body = true;
    return RC_OK;
}

enum ending { CONDITION_MET, LEFT, AT_THE_LIMIT };

static void finish(struct frame *f, enum ending why)
{
    struct loop *l = f->type_state;
    struct arena *a = &f->arena;
    struct val_map results = val_map_new(a);
    for (size_t i = 0; f->inner_results && i < f->inner->n; i++)
        if (f->inner_results[i])
            val_map_set(&results, f->inner->steps[i]->name, f->inner_results[i]->val);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "success", val_bool(why != AT_THE_LIMIT));
    VAL_MAP_SET(&m, "iterations", val_int((int64_t)l->index));
    VAL_MAP_SET(&m, "condition_met", val_bool(why == CONDITION_MET));
    if (why == AT_THE_LIMIT) {
        frame_event(f, EVENT_NOTE, arena_printf(a, "ended at its limit, max_iterations: %lld", (long long)l->max).p,
                    NULL);
        VAL_MAP_SET(&m, "max_iterations_reached", val_true);
        VAL_MAP_SET(&m, "reason", val_str(STR("Maximum iterations exceeded"))); /* as pipeline_ex words it */
    }
    VAL_MAP_SET(&m, "results", val_map_done(&results));
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void next(struct frame *f)
{
    struct loop *l = f->type_state;
    char segment[24];
    snprintf(segment, sizeof segment, "%zu", l->index);
    if (!frame_past_begun(f, segment)) {
        bool go = true;
        bool ask = l->index > 0 || !l->reads_body;
        if ((int64_t)l->index >= l->max) {
            finish(f, AT_THE_LIMIT);
            return;
        }
        if (ask && !frame_cond(f, f->def->conds[0], &go))
            return;
        if (!go) {
            finish(f, CONDITION_MET);
            return;
        }
    }
    struct loop_scope scope = {
        .index = (int64_t)l->index, .total = -1, .stop = f->def->conds[1], .skip = f->def->conds[2]};
    frame_list(f, segment, l->index, f->def->lists[0], &scope, f->inner_results);
}

static void enter(struct frame *f)
{
    struct loop *l = ARENA_NEW(&f->arena, struct loop);
    f->type_state = l;
    f->inner = f->def->lists[0];
    const struct val *c = frame_config(f, true);
    struct err err;
    if (!c || !frame_int(f, c, "max_iterations", 100, 0, INT64_MAX, &l->max))
        return;
    l->index = frame_past_count(f);
    if (l->index)
        f->inner_results = list_boxes(f->inner, frame_past_newest(f));
    if (cond_each_path(f->def->conds[0], find_body_step, f, &err) != RC_OK) {
        step_fail(f, FAILURE(err.rc, str_c(err.msg)));
        return;
    }
    if (frame_past_broken(f))
        finish(f, LEFT);
    else
        next(f);
}

static void child_done(struct frame *f, struct frame *c)
{
    struct loop *l = f->type_state;
    if (!child_ok(c)) {
        struct failure why = child_failure(c);
        why.message = arena_printf(&f->arena, "iteration %zu: %.*s", l->index, STR_ARG(why.message));
        step_fail(f, &why);
        return;
    }
    f->inner_results = list_take_results(c, f->inner_results);
    l->index++;
    if (child_leave(c) == LEAVE_BREAK)
        finish(f, LEFT);
    else
        next(f);
}

const struct step_type step_while_loop = {
    .name = "while_loop",
    .doc = "Does its steps again while a condition holds.",
    .keys = keys,
    .result_doc = "success|iterations|condition_met|max_iterations_reached|reason|results|error",
    .loop = true,
    .keeps_last = true,
    .enter = enter,
    .child_done = child_done,
    .again = next};
