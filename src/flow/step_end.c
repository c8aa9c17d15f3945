/* How attempts at a step, and the step, end.
 *
 *    step_ok ─ children stopped ─ output_schema ─ expected_outputs ─ output file ─▶ DONE: result and variables
 *        │            └────────────── what does not hold is a failure ──────┐
 *    step_fail ─ children stopped ─▶ another attempt: RESULT, and a wait    ▼
 *                     └─ none left ─ on_error: fail ─▶ DONE: error
 *                                              continue ─▶ DONE: a result with `error`
 *                                              goto ─▶ the same, and the list goes on there
 *                                              steps ─▶ OPEN of the handler … its end decides; what its steps
 *                                                       came to is the result's `handled`
 *
 * What belongs together is one record: a step's end and the variables that it sets, since a crash may fall between any
 * two. Everything that comes from outside may be too large or too deep to be recorded; then the step fails instead, and
 * that failure, whose text is cut, can always be recorded.
 *
 * The end of a step is numbered by how many ends its path has seen, not by attempt: a failed step that is resumed keeps
 * its attempt (and what its children have done) and ends a second time. */
#include "flow/step_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "data/date.h"
#include "data/schema.h"
#include "flow/away.h"
#include "flow/outcome.h"
#include "flow/shelf.h"

#include <stdarg.h>
#include <stdio.h>

static uint32_t end_number(const struct frame *f)
{
    return (f->past ? f->past->dones : 0) + 1;
}

void step_sets(struct frame *f, bool local, const struct val *values)
{
    CHECK(f->ops == &step_ops && val_is(values, VAL_OBJECT));
    struct val *copy = ARENA_NEW(&f->arena, struct val);
    *copy = val_copy(&f->arena, values);
    step_state_of(f)->sets = copy;
    step_state_of(f)->sets_local = local;
}

/* For a later life: what whoever is above lets go of (shelf_leave(), child_rest()) is not taken up again. */
static void say_leaves(const struct frame *f, const struct val *result, struct val_map *record)
{
    const struct frame *up = f->parent;
    size_t keep = f->run->keep_bytes, weight = val_weight(result);
    if (up->ops == &list_ops && weight > keep)
        VAL_MAP_SET(record, "left", val_true);
    else if (up->ops == &step_ops && up->def->type->lets_go && weight > SHELF_REST(keep))
        VAL_MAP_SET(record, "left", VAL_LIT("all"));
}

bool step_end_well(struct frame *f, struct box *result, const char *flag, struct err *err)
{
    struct val_map m = val_map_new(&f->run->scratch);
    const struct step_state *s = step_state_of(f);
    const struct val *sets = flag ? NULL : s->sets;
    const struct val *also = flag ? NULL : s->also;
    struct frame *list = sets ? frame_variables(f, s->sets_local) : NULL;
    struct frame *run_list = also ? frame_variables(f, false) : NULL;
    VAL_MAP_SET(&m, "ok", result->val);
    if (flag)
        val_map_set(&m, str_c(flag), val_true);
    if (f->def->type->leaves && !flag)
        f->leave = f->def->type->leaves;
    if (s->cache.hit)
        VAL_MAP_SET(&m, "cached", val_true);
    if (f->leave)
        VAL_MAP_SET(&m, "leave", val_str(str_c(leave_name(f->leave))));
    instance_record_steps(f, &m);
    if (result->val.away)
        VAL_MAP_SET(&m, "refs", away_places(&f->run->scratch, &result->val));
    say_leaves(f, &result->val, &m);
    bool apart = sets && fault_hit("variables.apart"); /* a seeded bug for the simulation to catch */
    if (apart && !frame_set_variables(f, s->sets_local, sets))
        return false;
    if (sets && !apart)
        VAL_MAP_SET(&m, "write", list_write(list, sets));
    if (also)
        VAL_MAP_SET(&m, "also", list_write(run_list, also));
    struct val data = val_map_done(&m);
    if (run_append_value(f->run, RECORD_DONE, f->path, end_number(f), &data, err) != RC_OK) {
        box_unref(result);
        return false;
    }
    if (sets)
        list_set_all(list, sets);
    if (also)
        list_set_all(run_list, also);
    f->end = end_number(f);
    f->run->totals.steps_done++;
    if (!f->skipped)
        frame_event(f, EVENT_FINISHED, flag ? flag : s->cache.hit ? "cached" : NULL, result);
    frame_end(f, true, result);
    return true;
}

static void succeed(struct frame *f, struct box *result)
{
    struct err err;
    if (step_end_well(f, result, NULL, &err))
        return;
    err_wrap(&err, "the step's result");
    frame_fail(f, &err);
}

/* `partial` is what the attempt had of a result, `handled` what the steps of on_error came to; may be null. */
static struct box *continued_result(struct frame *f, const struct val *partial, const struct val *handled,
                                    const struct val *error)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "success", val_false);
    val_map_merge(&m, partial);
    VAL_MAP_SET(&m, "success", val_false);
    if (handled->type != VAL_NULL)
        VAL_MAP_SET(&m, "handled", *handled);
    VAL_MAP_SET(&m, "error", *error);
    if (f->def->error_output.n)
        val_map_set(&m, f->def->error_output, *error);
    struct val v = val_map_done(&m);
    return box_new(&v);
}

static void end_failed(struct frame *f, struct box *error)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "error", error->val);
    instance_record_steps(f, &m);
    if (f->failing.below)
        VAL_MAP_SET(&m, "below", val_true);
    struct val data = val_map_done(&m);
    run_append(f->run, RECORD_DONE, f->path, end_number(f), &data);
    struct str message = val_get_str(&error->val, STR("message"), STR(""));
    frame_event(f, EVENT_FAILED, arena_str(&f->run->scratch, message).p, error);
    f->failing_set = false;
    frame_end(f, false, error);
}

static enum rc record_goto(struct frame *f, const struct val *result, struct err *err)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "ok", *result);
    VAL_MAP_SET(&m, "goto", val_true);
    if (result->away)
        VAL_MAP_SET(&m, "refs", away_places(&f->run->scratch, result));
    instance_record_steps(f, &m);
    struct val data = val_map_done(&m);
    return run_append_value(f->run, RECORD_DONE, f->path, end_number(f), &data, err);
}

/* The step has failed and the list goes on at another. */
static void end_elsewhere(struct frame *f, struct box *error)
{
    struct err err;
    struct box *b = continued_result(f, &step_state_of(f)->partial, &val_null, &error->val);
    if (record_goto(f, &b->val, &err) != RC_OK) { /* too large, with what there was of a result */
        box_unref(b);
        b = continued_result(f, &val_null, &val_null, &error->val);
        if (record_goto(f, &b->val, &err) != RC_OK)
            PANIC("the end of %.*s: %s", STR_ARG(f->path), err.msg);
    }
    box_unref(error);
    f->failing_set = true;
    f->failing.rc = RC_STEP;
    frame_event(f, EVENT_FINISHED, "continued", b);
    frame_end(f, false, b);
}

/* The step has failed and the list goes on. */
static void end_continued(struct frame *f, const struct val *handled, struct box *error)
{
    struct err err;
    if (!step_end_well(f, continued_result(f, &step_state_of(f)->partial, handled, &error->val), "continued", &err) &&
        !step_end_well(f, continued_result(f, &val_null, &val_null, &error->val), "continued", &err))
        PANIC("the end of %.*s: %s", STR_ARG(f->path), err.msg);
    box_unref(error);
}

/* A handler belongs to one end of the step: after a resume, a second failure is handled anew. */
static const char *handler_segment(const struct frame *f)
{
    return arena_printf(&f->run->scratch, "on_error:%u", end_number(f)).p;
}

static enum rc record_handler(struct frame *f, const struct frame *h, const struct val *partial, struct err *err)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "error", step_state_of(f)->failure->val);
    VAL_MAP_SET(&m, "below", val_bool(f->failing.below));
    VAL_MAP_SET(&m, "partial", *partial);
    if (partial->away) /* a later life finds there what had left memory */
        VAL_MAP_SET(&m, "refs", away_places(&f->run->scratch, partial));
    struct val data = val_map_done(&m);
    return run_append_value(f->run, RECORD_OPEN, h->path, 1, &data, err);
}

/* The record of the handler's beginning is what says that the step has failed: what the handler does must not be
 * followed by another try at the step because of a crash. */
static void start_handler(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    struct err err;
    struct frame *h = frame_list(f, handler_segment(f), TAG_HANDLER, f->def->handler, NULL, NULL);
    list_of(h)->error_var = box_ref(s->failure);
    s->finishing = true;
    f->status = FRAME_RUNNING;
    if (!(h->past && h->past->open) && record_handler(f, h, &s->partial, &err) != RC_OK) {
        s->partial = val_null; /* too large, together */
        if (record_handler(f, h, &s->partial, &err) != RC_OK)
            PANIC("the failure of %.*s: %s", STR_ARG(f->path), err.msg);
    }
    list_of(h)->failed = continued_result(f, &s->partial, &val_null, &s->failure->val);
}

bool step_resume_handler(struct frame *f)
{
    const struct past *h = f->def->on_error == ON_ERROR_STEPS ? past_below(f, handler_segment(f)) : NULL;
    const struct val *e = h && h->open ? VAL_GET(&h->open->val, "error") : NULL;
    if (!e)
        return false;
    const struct val *partial = VAL_GET(&h->open->val, "partial");
    step_state_of(f)->failure = box_new(e);
    step_state_of(f)->partial = partial ? *partial : val_null; /* the record stays as long as the run */
    f->failing = (struct failure){.rc = RC_STEP, .below = val_get_bool(&h->open->val, STR("below"), false)};
    f->failing_set = true;
    start_handler(f);
    return true;
}

void step_handler_ended(struct frame *f, const struct frame *c)
{
    struct box *e = step_state_of(f)->failure;
    step_state_of(f)->failure = NULL;
    f->leave = c->leave;
    if (c->ok) {
        struct val handled = list_results(c, &f->run->scratch);
        end_continued(f, &handled, e);
    } else {
        box_unref(e);
        end_failed(f, box_ref(c->result));
    }
}

static void failed_for_good(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    struct run *r = f->run;
    frame_timer_clear(f);
    struct box *e = s->failure;
    switch (f->failing.goes_on && f->def->on_error == ON_ERROR_FAIL ? ON_ERROR_CONTINUE : f->def->on_error) {
    case ON_ERROR_CONTINUE:
        s->failure = NULL;
        frame_event(
            f, EVENT_NOTE,
            f->failing.goes_on ? "failed; going on with what there is" : "failed; going on (on_error: continue)", e);
        end_continued(f, &val_null, e);
        return;
    case ON_ERROR_STEPS:
        frame_event(f, EVENT_NOTE, "failed; going on with the steps of on_error", e);
        workspace_leave(f);
        start_handler(f);
        return;
    case ON_ERROR_GOTO:
        s->failure = NULL;
        frame_event(f, EVENT_NOTE,
                    arena_printf(&r->scratch, "failed; going on at %.*s",
                                 STR_ARG(f->def->list->steps[f->def->goto_index]->name))
                        .p,
                    e);
        end_elsewhere(f, e);
        return;
    case ON_ERROR_FAIL:
        s->failure = NULL;
        end_failed(f, e);
        return;
    }
}

void step_attempt_failed(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    isolate_drop(f);
    struct run *r = f->run;
    const struct failure *why = &f->failing;
    if (why->rc == RC_CANCELLED) {
        frame_end_cancelled(f);
        return;
    }
    workspace_wait_over(f);
    flight_leave(f);
    if (f->def->type->failed && !s->parting) {
        s->parting = true;
        frame_timer_clear(f);
        f->status = FRAME_RUNNING;
        if (f->def->type->failed(f))
            return;
    }
    f->leave = LEAVE_NO;
    f->failures++;
    int64_t wait = -1;
    if (!why->final && f->def->retry.set)
        wait = retry_delay(&f->def->retry, f->failures, why->rc, 0, r->io->random(r->io_ctx));
    box_unref(s->failure);
    s->failure = error_box(why->rc, why->code, why->message, f->attempt, f->path);
    if (wait < 0) {
        failed_for_good(f);
        return;
    }
    struct val_map m = val_map_new(&r->scratch);
    VAL_MAP_SET(&m, "error", s->failure->val);
    VAL_MAP_SET(&m, "retry_ms", val_int(wait));
    instance_record_steps(f, &m);
    struct val data = val_map_done(&m);
    run_append(r, RECORD_RESULT, f->path, f->attempt, &data);
    struct str text =
        arena_printf(&r->scratch, "%.*s; next attempt in %.1f s", STR_ARG(why->message), (double)wait / 1000);
    frame_event(f, EVENT_RETRY, text.p, NULL);
    f->attempt++;
    f->again = true;
    f->failing_set = false;
    s->has_config = false;
    s->pinned = NULL;
    s->waiting = true;
    frame_timer_clear(f);
    frame_sleep(f, wait);
}

void frame_failed(struct frame *f)
{
    CHECK(step_state_of(f)->parting && f->failing_set);
    step_attempt_failed(f);
}

#define KEPT_FAILURE "failed:1"

static enum rc record_failure(struct frame *f, const struct val *partial, struct err *err)
{
    const struct failure *why = &f->failing;
    struct val_map m = val_map_new(&f->run->scratch), e = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&e, "class", val_str(str_c(rc_name(why->rc))));
    VAL_MAP_SET(&e, "code", val_str(why->code));
    VAL_MAP_SET(&e, "message", val_str(why->message));
    VAL_MAP_SET(&e, "final", val_bool(why->final));
    VAL_MAP_SET(&e, "goes_on", val_bool(why->goes_on));
    VAL_MAP_SET(&m, "ok", *partial);
    VAL_MAP_SET(&m, "failed", val_map_done(&e));
    if (partial->away)
        VAL_MAP_SET(&m, "refs", away_places(&f->run->scratch, partial));
    struct val data = val_map_done(&m);
    return run_append_value(f->run, RECORD_RESULT, path_join(&f->run->scratch, f->base, KEPT_FAILURE), 1, &data, err);
}

bool frame_keep_failure(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    struct err err;
    const struct past *p = past_below(f, KEPT_FAILURE);
    f->failing.below = false;
    if ((p && p->result) || record_failure(f, &s->partial, &err) == RC_OK)
        return true;
    s->partial = val_null; /* too large, together */
    return record_failure(f, &s->partial, &err) == RC_OK;
}

bool frame_failed_before(struct frame *f)
{
    const struct past *p = past_below(f, KEPT_FAILURE);
    const struct val *e = p && p->result ? VAL_GET(&p->result->val, "failed") : NULL;
    if (!e)
        return false;
    const struct val *partial = VAL_GET(&p->result->val, "ok");
    enum rc rc = rc_from_name(val_get_str(e, STR("class"), STR("internal")));
    step_fail(f, &(struct failure){.rc = rc == RC_COUNT ? RC_INTERNAL : rc,
                                   .code = val_get_str(e, STR("code"), STR("")),
                                   .message = val_get_str(e, STR("message"), STR("")),
                                   .final = val_get_bool(e, STR("final"), false),
                                   .goes_on = val_get_bool(e, STR("goes_on"), false),
                                   .partial = val_is(partial, VAL_OBJECT) ? partial : NULL});
    return true;
}

void step_fail(struct frame *f, const struct failure *why)
{
    CHECK(f->ops == &step_ops && f->status != FRAME_ENDED);
    if (f->failing_set)
        return;             /* the first failure counts */
    if (f->run->wanted.n) { /* it failed only because something must be fetched first */
        if (!step_state_of(f)->fetching)
            shelf_fetch(f);
        step_state_of(f)->fetching = true;
        f->run->wanted = str_n("", 0);
        return;
    }
    f->failing = (struct failure){.rc = why->rc,
                                  .code = arena_str(&f->arena, why->code),
                                  .message = arena_str(&f->arena, why->message),
                                  .final = why->final,
                                  .below = why->below,
                                  .goes_on = why->goes_on};
    const struct val *partial = why->partial ? why->partial : f->fallback;
    step_state_of(f)->partial = partial ? val_copy(&f->arena, partial) : val_null;
    f->failing_set = true;
    frame_drain(f);
}

void step_failf(struct frame *f, enum rc rc, const char *fmt, ...)
{
    struct err why;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&why, rc, fmt, ap);
    va_end(ap);
    step_fail(f, FAILURE(rc, str_c(why.msg)));
}

struct failure child_failure(const struct frame *c)
{
    const struct val *e = &c->result->val;
    enum rc rc = rc_from_name(val_get_str(e, STR("class"), STR("internal")));
    struct str code = val_get_str(e, STR("code"), STR(""));
    bool refused = str_is(code, "sandbox"); /* what the system forbids now it forbids the next attempt */
    return (struct failure){.rc = rc == RC_COUNT ? RC_INTERNAL : rc,
                            .code = code,
                            .message = val_get_str(e, STR("message"), STR("")),
                            .final = refused || effect_had_retries(c),
                            .below = true};
}

void step_fail_as(struct frame *f, const struct frame *child)
{
    struct failure why = child_failure(child);
    step_fail(f, &why);
}

void step_end_as(struct frame *f, struct frame *child)
{
    if (child_ok(child))
        step_ok(f, child_result(child));
    else
        step_fail_as(f, child);
}

static struct str below(struct frame *f, bool wanted, struct str dir, struct str path)
{
    return wanted ? arena_printf(&f->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(path)) : path;
}

/* Where in the output directory the file lies: DATE/WORKFLOW/RUN/STEP/path, as far as the run's workflow, and for the
 * last one the step's own, want that. */
static struct str organized(struct frame *f, struct str path)
{
    const struct organized *o = &f->run->workflow->organized;
    struct str date = date_text(&f->arena, f->run->started_ms);
    path = below(f, f->def->workflow->outputs_by_step, f->def->name, path);
    path = below(f, o->by_execution, f->run->id, path);
    path = below(f, o->by_workflow, f->run->workflow->name, path);
    return below(f, o->by_date, str_n(date.p, 10), path);
}

static void write_output(struct frame *f, const struct val *v, struct str path)
{
    struct arena *a = &f->arena;
    const struct val *text = VAL_GET(v, "text"), *data = VAL_GET(v, "data");
    struct str content = f->def->type->file_text ? f->def->type->file_text(f, v, path) : (struct str){0};
    if (!content.p)
        content = val_is(data, VAL_OBJECT) || val_is(data, VAL_ARRAY) ? json_text(a, data)
                  : val_is(text, VAL_STR)                             ? text->s
                  : v->type == VAL_STR                                ? v->s
                                                                      : json_text(a, v);
    struct val_map m = val_map_new(a);
    path = organized(f, path);
    if (step_state_of(f)->ok->val.away) /* then it may lie on the shelf, from which it goes while the file is written */
        content = arena_str(a, content);
    VAL_MAP_SET(&m, "path", val_str(arena_str(a, path)));
    VAL_MAP_SET(&m, "text", val_str(content));
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "output:1", TAG_OUTPUT,
                 &(struct effect_plan){.kind = EFFECT_OUTPUT,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "write %.*s", STR_ARG(path)).p});
}

/* All that belongs to the end has been done, but for what keeps it. */
static void conclude(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    struct box *b = s->ok;
    if (s->cache.request) {
        cache_keep(f);
        return;
    }
    s->ok = NULL;
    succeed(f, b);
}

/* Is more asked of the result than its text, which is all that a file or a variable gets where there is no data? */
static bool reads_all(struct frame *f)
{
    const struct step_def *d = f->def;
    const struct val *v = &step_state_of(f)->ok->val, *text = VAL_GET(v, "text");
    bool by_text = val_is(text, VAL_STR) && !VAL_GET(v, "data") && !VAL_GET(v, "result") && !d->type->file_text;
    return d->output_schema || d->nexpected || cache_keeps(&step_state_of(f)->cache) ||
           ((d->output_to_file || d->output_to_global.n) && !by_text);
}

void step_take_ok(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    if (files_measure(f))
        return;
    struct arena *a = &f->run->scratch;
    struct val whole = s->ok->val, path;
    struct err err;
    if (s->ok->val.away && reads_all(f) && scope_whole(f, &s->ok->val, a, &whole, &err) != RC_OK) {
        frame_fail(f, &err);
        return;
    }
    if (f->def->output_schema) {
        const struct val *data = VAL_GET(&whole, "data");
        if (schema_check(f->def->output_schema, data ? data : &whole, a, &err) != RC_OK) {
            err_wrap(&err, "the result does not match output_schema");
            frame_fail(f, &err);
            return;
        }
    }
    if (!expect_met(f, &whole))
        return;
    s->also = outcome_variables(f, &whole);
    cache_take(f, &whole);
    if (!f->def->output_to_file) {
        conclude(f);
        return;
    }
    struct expr_scope scope = frame_scope(f, false);
    if (tmpl_eval(f->def->output_to_file, &scope, a, &path, &err) != RC_OK)
        frame_fail(f, &err);
    else if (path.type != VAL_STR || !path.s.n)
        step_failf(f, RC_INVALID, "`output_to_file` is %s; expected a file name", val_type_name(&path));
    else
        write_output(f, &whole, path.s);
}

void step_output_written(struct frame *f, const struct frame *c)
{
    if (c->ok) {
        conclude(f);
        return;
    }
    struct failure why = child_failure(c);
    why.final = true; /* the step's own work is done */
    step_fail(f, &why);
}

void step_cache_ended(struct frame *f, struct frame *c)
{
    struct step_state *s = step_state_of(f);
    if (!s->ok) {
        cache_found(f, c);
    } else if (cache_kept(f, c)) {
        s->cache.request = NULL;
        conclude(f);
    }
}

void step_ok(struct frame *f, const struct val *result)
{
    struct step_state *s = step_state_of(f);
    CHECK(f->ops == &step_ops && !f->first && !f->failing_set);
    frame_timer_clear(f);
    s->ok = box_new(result);
    s->phase = PHASE_OK;
    if (!isolate_close(f, step_take_ok))
        step_take_ok(f);
}

void step_ok_stop(struct frame *f, const struct val *result)
{
    if (!f->first) {
        step_ok(f, result);
        return;
    }
    CHECK(f->ops == &step_ops && !f->failing_set);
    step_state_of(f)->ok = box_new(result);
    step_state_of(f)->ending = true;
    frame_drain(f);
}
