/* A step being executed: everything that is the same for all step types.
 *
 *   enter ─ ended before? ─ condition ─▶ attempt ─▶ type->enter … step_ok ─▶ schema ─▶ output file ─▶ DONE
 *                                          ▲             step_fail, timeout
 *                                          │                  ▼ (children drained)
 *                                          └── RESULT + wait ─┴─ on_error ─▶ DONE or failed
 *
 * A step's first attempt gives its children paths below its own; attempt N below `path~N`, so a loop that is tried
 * again does not meet the iterations of the try before. The condition is asked once, when the step is first entered; a
 * step with any trace in the journal was entered. Likewise a step whose handler has begun has failed.
 *
 * The end of a step is numbered by how many ends its path has seen, not by attempt: a failed step that is resumed keeps
 * its attempt (and what its children have done) and ends a second time. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "data/schema.h"
#include "flow/away.h"
#include "flow/outcome.h"
#include "flow/shelf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What to do again when what an evaluation needed has been fetched. */
enum phase { PHASE_CONDITION, PHASE_FILES, PHASE_ENTER, PHASE_CHILD, PHASE_OK };

enum { TAG_OUTPUT = SIZE_MAX - 1, TAG_HANDLER = SIZE_MAX - 2 };

/* Before the attempt's own state, which types keep in frame->type_state. */
struct step_state {
    struct val config;
    bool has_config, waiting, finishing, ending; /* ending: well, when its children have stopped */
    struct box *ok;                              /* result waiting for the output file, or for children to stop */
    struct box *failure;                         /* error object, once the step has failed for good */
    struct val partial;
    const struct val *sets; /* variables that its good end sets, or NULL */
    bool sets_local;
    const struct val *also; /* those of the run that the step's own keys name, or NULL */
    struct hole_files files;
    enum phase phase;
    bool fetching;
    struct frame *child; /* PHASE_CHILD: whose end is being looked at, when that must be done again */
};

static struct step_state *state_of(struct frame *f)
{
    return f->state;
}

struct hole_files *frame_files(const struct frame *f)
{
    return f->ops == &step_ops && f->state ? &((struct step_state *)f->state)->files : NULL;
}

/* ---- reading the definition
 * ------------------------------------------------------------------------------------------ */

const struct val *frame_pinned(const struct frame *f)
{
    const struct past *p = f->past;
    return p && p->open && p->open_attempt == f->attempt ? VAL_GET(&p->open->val, "config") : NULL;
}

bool frame_pin(struct frame *f, const struct val *object)
{
    struct err err;
    struct val_map o = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&o, "config", *object);
    struct val data = val_map_done(&o);
    if (run_append_value(f->run, RECORD_OPEN, f->path, f->attempt, &data, &err) == RC_OK)
        return true;
    err_wrap(&err, "the step's configuration");
    frame_fail(f, &err);
    return false;
}

bool frame_template(struct frame *f, struct frame *at, struct str text, struct val *ret)
{
    struct err err;
    const struct tmpl *t;
    struct expr_scope scope = frame_scope(at, false);
    struct val v;
    if (tmpl_parse(&f->run->scratch, text, 0, 0, &t, &err) == RC_OK &&
        tmpl_eval(t, &scope, &f->run->scratch, &v, &err) == RC_OK) {
        *ret = val_copy(&f->arena, &v);
        return true;
    }
    frame_fail(f, &err);
    return false;
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

const struct val *frame_config(struct frame *f, bool pin)
{
    struct step_state *s = state_of(f);
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
    s->config = val_copy(&f->arena, &whole);
    s->has_config = true;
    return !pin || frame_pin(f, &s->config) ? &s->config : NULL;
}

void frame_event(struct frame *f, enum event_kind kind, const char *detail, struct box *data)
{
    f->run->io->emit(f->run->io_ctx,
                     &(struct event){.kind = kind,
                                     .path = f->path,
                                     .type = f->ops == &step_ops ? f->def->type_name : str_c(f->ops->kind),
                                     .detail = str_c(detail),
                                     .time_ms = run_now(f->run),
                                     .box = data,
                                     .data = data ? &data->val : NULL});
}

/* ---- ends
 * -------------------------------------------------------------------------------------------------------------- */

static uint32_t end_number(const struct frame *f)
{
    return (f->past ? f->past->dones : 0) + 1;
}

void step_sets(struct frame *f, bool local, const struct val *values)
{
    CHECK(f->ops == &step_ops && val_is(values, VAL_OBJECT));
    struct val *copy = ARENA_NEW(&f->arena, struct val);
    *copy = val_copy(&f->arena, values);
    state_of(f)->sets = copy;
    state_of(f)->sets_local = local;
}

/* Takes the reference. False: the result cannot be recorded, and the step goes on. */
static bool end_ok(struct frame *f, struct box *result, const char *flag, struct err *err)
{
    struct val_map m = val_map_new(&f->run->scratch);
    const struct step_state *s = state_of(f);
    const struct val *sets = flag ? NULL : s->sets;
    const struct val *also = flag ? NULL : s->also;
    struct frame *list = sets ? frame_variables(f, s->sets_local) : NULL;
    struct frame *run_list = also ? frame_variables(f, false) : NULL;
    VAL_MAP_SET(&m, "ok", result->val);
    if (flag)
        val_map_set(&m, str_c(flag), val_true);
    if (f->def->type->leaves && !flag)
        f->leave = f->def->type->leaves;
    if (f->leave)
        VAL_MAP_SET(&m, "leave", val_str(str_c(leave_name(f->leave))));
    instance_record_steps(f, &m);
    if (result->val.away)
        VAL_MAP_SET(&m, "refs", away_places(&f->run->scratch, &result->val));
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
    f->run->totals.steps_done++;
    if (!f->skipped)
        frame_event(f, EVENT_FINISHED, flag, result);
    frame_end(f, true, result);
    return true;
}

static void succeed(struct frame *f, struct box *result)
{
    struct err err;
    if (end_ok(f, result, NULL, &err))
        return;
    err_wrap(&err, "the step's result");
    frame_fail(f, &err);
}

static struct box *continued_result(struct frame *f, const struct val *partial, const struct val *error)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "success", val_false);
    val_map_merge(&m, partial);
    VAL_MAP_SET(&m, "success", val_false);
    VAL_MAP_SET(&m, "error", *error);
    if (f->def->error_output.n)
        val_map_set(&m, f->def->error_output, *error);
    struct val v = val_map_done(&m);
    return box_new(&v);
}

static void end_failed(struct frame *f, struct box *error, bool go_on)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "error", error->val);
    instance_record_steps(f, &m);
    if (f->failing.below)
        VAL_MAP_SET(&m, "below", val_true);
    struct val data = val_map_done(&m);
    if (go_on) { /* the list goes on at another step, with this as the result */
        struct box *b = continued_result(f, NULL, &error->val);
        struct val_map d = val_map_new(&f->run->scratch);
        VAL_MAP_SET(&d, "ok", b->val);
        VAL_MAP_SET(&d, "goto", val_true);
        instance_record_steps(f, &d);
        data = val_map_done(&d);
        run_append(f->run, RECORD_DONE, f->path, end_number(f), &data);
        box_unref(error);
        f->failing_set = true;
        f->failing.rc = RC_STEP;
        frame_end(f, false, b);
        return;
    }
    run_append(f->run, RECORD_DONE, f->path, end_number(f), &data);
    struct str message = val_get_str(&error->val, STR("message"), STR(""));
    frame_event(f, EVENT_FAILED, arena_str(&f->run->scratch, message).p, error);
    f->failing_set = false;
    frame_end(f, false, error);
}

/* The step has failed and the list goes on. */
static void end_continued(struct frame *f, struct box *error)
{
    struct err err;
    if (!end_ok(f, continued_result(f, &state_of(f)->partial, &error->val), "continued", &err) &&
        !end_ok(f, continued_result(f, NULL, &error->val), "continued", &err))
        PANIC("the end of %.*s: %s", STR_ARG(f->path), err.msg);
    box_unref(error);
}

static const struct past *past_below(const struct frame *f, const char *segment)
{
    return past_find(f->run, path_join(&f->run->scratch, f->base, segment));
}

/* A handler belongs to one end of the step: after a resume, a second failure is handled anew. */
static const char *handler_segment(const struct frame *f)
{
    return arena_printf(&f->run->scratch, "on_error:%u", end_number(f)).p;
}

static enum rc record_handler(struct frame *f, const struct frame *h, const struct val *partial, struct err *err)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "error", state_of(f)->failure->val);
    VAL_MAP_SET(&m, "below", val_bool(f->failing.below));
    VAL_MAP_SET(&m, "partial", *partial);
    struct val data = val_map_done(&m);
    return run_append_value(f->run, RECORD_OPEN, h->path, 1, &data, err);
}

/* The record of the handler's beginning is what says that the step has failed: what the handler does must not be
 * followed by another try at the step because of a crash. */
static void start_handler(struct frame *f)
{
    struct step_state *s = state_of(f);
    struct err err;
    struct frame *h = frame_list(f, handler_segment(f), TAG_HANDLER, f->def->handler, NULL, NULL);
    list_of(h)->error_var = box_ref(s->failure);
    s->finishing = true;
    f->status = FRAME_RUNNING;
    if ((h->past && h->past->open) || record_handler(f, h, &s->partial, &err) == RC_OK)
        return;
    s->partial = val_null; /* too large, together */
    if (record_handler(f, h, &s->partial, &err) != RC_OK)
        PANIC("the failure of %.*s: %s", STR_ARG(f->path), err.msg);
}

/* True when the step had failed already, and its handler has begun. */
static bool resume_handler(struct frame *f)
{
    const struct past *h = f->def->on_error == ON_ERROR_STEPS ? past_below(f, handler_segment(f)) : NULL;
    const struct val *e = h && h->open ? VAL_GET(&h->open->val, "error") : NULL;
    if (!e)
        return false;
    const struct val *partial = VAL_GET(&h->open->val, "partial");
    state_of(f)->failure = box_new(e);
    state_of(f)->partial = partial ? *partial : val_null; /* the record stays as long as the run */
    f->failing = (struct failure){.rc = RC_STEP, .below = val_get_bool(&h->open->val, STR("below"), false)};
    f->failing_set = true;
    start_handler(f);
    return true;
}

static void failed_for_good(struct frame *f)
{
    struct step_state *s = state_of(f);
    frame_timer_clear(f);
    struct box *e = s->failure;
    switch (f->def->on_error) {
    case ON_ERROR_CONTINUE:
        s->failure = NULL;
        frame_event(f, EVENT_NOTE, "failed; going on (on_error: continue)", e);
        end_continued(f, e);
        return;
    case ON_ERROR_STEPS:
        workspace_leave(f);
        start_handler(f);
        return;
    case ON_ERROR_GOTO:
        s->failure = NULL;
        end_failed(f, e, true);
        return;
    case ON_ERROR_FAIL:
        s->failure = NULL;
        end_failed(f, e, false);
        return;
    }
}

static void start_attempt(struct frame *f);

/* Everything below has stopped: try again or give up. */
static void attempt_failed(struct frame *f)
{
    struct step_state *s = state_of(f);
    struct run *r = f->run;
    const struct failure *why = &f->failing;
    if (why->rc == RC_CANCELLED) {
        frame_end(f, false, error_box(RC_CANCELLED, STR(""), STR("cancelled"), f->attempt, f->path));
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
    s->waiting = true;
    frame_timer_clear(f);
    frame_sleep(f, wait);
}

void step_fail(struct frame *f, const struct failure *why)
{
    CHECK(f->ops == &step_ops && f->status != FRAME_ENDED);
    if (f->failing_set)
        return;             /* the first failure counts */
    if (f->run->wanted.n) { /* it failed only because something must be fetched first */
        if (!state_of(f)->fetching)
            shelf_fetch(f);
        state_of(f)->fetching = true;
        f->run->wanted = str_n("", 0);
        return;
    }
    f->failing = (struct failure){.rc = why->rc,
                                  .code = arena_str(&f->arena, why->code),
                                  .message = arena_str(&f->arena, why->message),
                                  .final = why->final,
                                  .below = why->below};
    const struct val *partial = why->partial ? why->partial : f->fallback;
    state_of(f)->partial = partial ? val_copy(&f->arena, partial) : val_null;
    f->failing_set = true;
    frame_drain(f);
}

void step_failf(struct frame *f, enum rc rc, const char *fmt, ...)
{
    char msg[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    msg[str_utf8_valid(str_c(msg))] = 0;
    step_fail(f, FAILURE(rc, str_c(msg)));
}

struct failure child_failure(const struct frame *c)
{
    const struct val *e = &c->result->val;
    enum rc rc = rc_from_name(val_get_str(e, STR("class"), STR("internal")));
    return (struct failure){.rc = rc == RC_COUNT ? RC_INTERNAL : rc,
                            .code = val_get_str(e, STR("code"), STR("")),
                            .message = val_get_str(e, STR("message"), STR("")),
                            .final = effect_had_retries(c),
                            .below = true};
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

void step_ok_stop(struct frame *f, const struct val *result)
{
    if (!f->first) {
        step_ok(f, result);
        return;
    }
    CHECK(f->ops == &step_ops && !f->failing_set);
    state_of(f)->ok = box_new(result);
    state_of(f)->ending = true;
    frame_drain(f);
}

static void take_ok(struct frame *f, struct err *err)
{
    struct step_state *s = state_of(f);
    struct arena *a = &f->run->scratch;
    struct val whole = s->ok->val, path;
    if ((f->def->output_schema || f->def->output_to_file || f->def->nexpected || f->def->output_to_global.n) &&
        s->ok->val.away && scope_whole(f, &s->ok->val, a, &whole, err) != RC_OK) {
        frame_fail(f, err);
        return;
    }
    if (f->def->output_schema) {
        const struct val *data = VAL_GET(&whole, "data");
        if (schema_check(f->def->output_schema, data ? data : &whole, a, err) != RC_OK) {
            err_wrap(err, "the result does not match output_schema");
            frame_fail(f, err);
            return;
        }
    }
    if (!expect_met(f, &whole))
        return;
    s->also = outcome_variables(f, &whole);
    if (!f->def->output_to_file) {
        struct box *b = s->ok;
        s->ok = NULL;
        succeed(f, b);
        return;
    }
    struct expr_scope scope = frame_scope(f, false);
    if (tmpl_eval(f->def->output_to_file, &scope, a, &path, err) != RC_OK)
        frame_fail(f, err);
    else if (path.type != VAL_STR || !path.s.n)
        step_failf(f, RC_INVALID, "`output_to_file` is %s; expected a file name", val_type_name(&path));
    else
        write_output(f, &whole, path.s);
}

void frame_cancel_children(struct frame *f)
{
    for (struct frame *c = f->first; c; c = c->next)
        frame_cancel(c);
}

void step_ok(struct frame *f, const struct val *result)
{
    struct step_state *s = state_of(f);
    struct err err;
    CHECK(f->ops == &step_ops && !f->first && !f->failing_set);
    frame_timer_clear(f);
    s->ok = box_new(result);
    s->phase = PHASE_OK;
    take_ok(f, &err);
}

/* ---- the machine
 * ----------------------------------------------------------------------------------------------------------- */

static void drop_type_state(struct frame *f)
{
    if (f->type_state && f->def->type->free_state)
        f->def->type->free_state(f->type_state);
    f->type_state = NULL;
    list_drop_results(f->inner, f->inner_results);
    f->inner_results = NULL;
    if (state_of(f)->child)
        frame_free(state_of(f)->child);
    state_of(f)->child = NULL;
}

static void set_base(struct frame *f)
{
    f->base = f->attempt == 1 ? f->path : arena_printf(&f->arena, "%.*s~%u", STR_ARG(f->path), f->attempt);
}

static void enter_attempt(struct frame *f)
{
    struct step_state *s = state_of(f);
    bool files = f->def->reads_files && !frame_pinned(f);
    s->phase = files ? PHASE_FILES : PHASE_ENTER;
    if (files)
        frame_read_files(f, &s->files);
    else
        f->def->type->enter(f);
}

static void start_attempt(struct frame *f)
{
    struct step_state *s = state_of(f);
    if (!frame_settle_late(f))
        return;
    s->has_config = false;
    s->sets = s->also = NULL;
    f->failing_set = false;
    f->leave = LEAVE_NO;
    drop_type_state(f);
    set_base(f);
    if (f->def->timeout_ms && !f->def->type->own_timeout)
        frame_timer_set(f, f->def->timeout_ms);
    frame_event(f, EVENT_STARTED, NULL, NULL);
    if (f->again && workspace_may_write(f->def->type))
        workspace_restore(f, enter_attempt);
    else
        enter_attempt(f);
}

static void skip(struct frame *f)
{
    struct arena *a = &f->run->scratch;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "skipped", val_true);
    struct str cond = f->def->condition->text;
    VAL_MAP_SET(&m, "reason", val_str(arena_printf(a, "condition is false: %.*s", STR_ARG(cond))));
    struct val v = val_map_done(&m);
    f->skipped = true;
    frame_event(f, EVENT_SKIPPED, arena_str(a, cond).p, NULL);
    struct err err;
    if (!end_ok(f, box_new(&v), "skipped", &err))
        frame_fail(f, &err);
}

static void enter_again(struct frame *f, const struct past *p)
{
    f->attempt = p->fresh ? p->last_attempt + 1 : p->current;
    f->failures = p->failures;
    f->again = f->attempt > 1;
    set_base(f);
    if (!p->fresh && resume_handler(f))
        return;
    if (!p->fresh && p->result && p->result_attempt == p->current && p->current == p->last_attempt) {
        int64_t wait = val_get_int(&p->result->val, STR("retry_ms"), 0);
        int64_t left = past_wait_left(p, wait, run_now(f->run));
        f->attempt++;
        f->again = true;
        instance_recall_steps(f, &p->result->val);
        if (left > 0 && p->failures) {
            state_of(f)->waiting = true;
            frame_sleep(f, left);
            return;
        }
    }
    start_attempt(f);
}

static bool within_limits(struct frame *f)
{
    const struct run_limits *l = frame_limits(f);
    struct run *r = f->run;
    struct arena *a = &f->arena;
    if (l->frames && r->totals.frames > l->frames)
        run_over_limit(r, "frames",
                       arena_printf(a, "the run has more than %lld frames (limits.frames)", (long long)l->frames));
    else if (l->journal && r->journal_bytes > l->journal)
        run_over_limit(r, "journal",
                       arena_printf(a,
                                    "the run has written more than %lld bytes of journal "
                                    "(limits.journal)",
                                    (long long)l->journal));
    else
        return instance_count_step(f);
    return false;
}

/* metadata.timer_start: a variable of the run, set when the step is first entered. A step that a crash interrupts
 * before its first own record enters again, and its timer starts again with it. */
static bool start_timer(struct frame *f)
{
    struct str timer = f->def->timer;
    if (!timer.n)
        return true;
    struct val_map m = val_map_new(&f->run->scratch);
    val_map_set(&m, scope_timer_name(&f->run->scratch, timer), val_int(run_now(f->run)));
    struct val v = val_map_done(&m);
    return frame_set_variables(f, false, &v);
}

static void begin(struct frame *f)
{
    bool go = true;
    state_of(f)->phase = PHASE_CONDITION;
    if (f->def->condition && !frame_cond(f, f->def->condition, &go))
        f->failing.final |= f->failing_set; /* another attempt would begin without asking */
    else if (!go)
        skip(f);
    else if (start_timer(f))
        start_attempt(f);
}

static void step_enter(struct frame *f)
{
    f->state = ARENA_NEW(&f->arena, struct step_state);
    f->started_ms = run_now(f->run);
    const struct past *p = f->past;
    if (p && p->done) {
        const struct val *ok = VAL_GET(&p->done->val, "ok");
        if (p->late)
            frame_register_late(f, val_get_str(VAL_GET(&p->late->val, "late"), STR("name"), STR("")));
        bool went_on = VAL_GET(&p->done->val, "goto") != NULL;
        instance_recall_steps(f, &p->done->val);
        f->skipped = VAL_GET(&p->done->val, "skipped") != NULL;
        f->leave = leave_of(&p->done->val);
        f->failing_set = went_on;
        f->failing.rc = RC_STEP;
        f->run->totals.steps_done++;
        frame_end(f, ok && !went_on, box_new(ok ? ok : VAL_GET(&p->done->val, "error")));
        return;
    }
    if (!within_limits(f))
        return;
    if (p && p->begun && p->current) {
        enter_again(f, p);
        return;
    }
    if (p)
        f->attempt = p->last_attempt + 1;
    begin(f);
}

static void child_ended(struct frame *f, struct frame *c)
{
    struct step_state *s = state_of(f);
    s->phase = PHASE_CHILD;
    f->def->type->child_done(f, c);
    if (s->fetching && s->phase == PHASE_CHILD && !f->def->type->again) {
        s->child = c;
        c->held_back = true;
    }
}

/* What was fetched lies on the shelf. */
static void again(struct frame *f)
{
    struct step_state *s = state_of(f);
    struct frame *c = s->child;
    struct err err;
    s->fetching = false;
    s->child = NULL;
    switch (s->phase) {
    case PHASE_CONDITION:
        begin(f);
        break;
    case PHASE_FILES:
        drop_type_state(f);
        frame_files_again(f, &s->files);
        break;
    case PHASE_ENTER:
        drop_type_state(f);
        f->def->type->enter(f);
        break;
    case PHASE_CHILD:
        if (f->def->type->again)
            f->def->type->again(f);
        else
            child_ended(f, c);
        if (c && s->child != c)
            frame_free(c);
        break;
    case PHASE_OK:
        take_ok(f, &err);
        break;
    }
    if (!s->fetching)
        shelf_release(f);
}

static void step_child_done(struct frame *f, struct frame *c)
{
    struct step_state *s = state_of(f);
    if (shelf_is_fetch(c)) {
        struct failure why = child_failure(c);
        if (c->ok)
            again(f);
        else
            step_fail(f, &why);
        return;
    }
    if (c->tag == TAG_FILE && c->ops == &effect_ops) {
        s->phase = PHASE_FILES;
        frame_file_read(f, &s->files, c);
        return;
    }
    if (c->tag == TAG_OUTPUT && c->ops == &effect_ops) {
        struct box *b = s->ok;
        s->ok = NULL;
        if (c->ok) {
            succeed(f, b);
        } else {
            struct failure why = child_failure(c);
            why.final = true; /* the step's own work is done */
            box_unref(b);
            step_fail(f, &why);
        }
        return;
    }
    if (c->tag == WORKSPACE_TAG && c->ops == &effect_ops) {
        workspace_restored(f, c);
        return;
    }
    if (c->tag == TAG_HANDLER && s->finishing) {
        struct box *e = s->failure;
        s->failure = NULL;
        f->leave = c->leave;
        if (c->ok) {
            end_continued(f, e);
        } else {
            box_unref(e);
            end_failed(f, box_ref(c->result), false);
        }
        return;
    }
    if (c->ops == &list_ops && !f->def->type->loop && !f->def->type->boundary)
        f->leave = c->leave > f->leave ? c->leave : f->leave;
    child_ended(f, c);
}

static void step_timer(struct frame *f)
{
    if (state_of(f)->waiting) {
        state_of(f)->waiting = false;
        start_attempt(f);
        return;
    }
    struct str why = arena_printf(&f->arena, "no result within %g s (timeout)", (double)f->def->timeout_ms / 1000);
    step_fail(f, &(struct failure){.rc = RC_TIMEOUT,
                                   .code = f->def->timeout_code,
                                   .message = why,
                                   .below = true}); /* what is done stands */
}

void frame_more(struct frame *f)
{
    run_queue(f, QUEUED_MORE);
}

static void step_more(struct frame *f)
{
    f->def->type->more(f);
}

static void step_drained(struct frame *f)
{
    if (!f->state) { /* cancelled before it was entered */
        frame_end(f, false, error_box(RC_CANCELLED, STR(""), STR("cancelled"), f->attempt, f->path));
        return;
    }
    struct step_state *s = state_of(f);
    if (s->ending && !f->failing_set) {
        struct box *b = s->ok;
        s->ok = NULL;
        s->ending = false;
        f->status = FRAME_RUNNING;
        step_ok(f, &b->val);
        box_unref(b);
        return;
    }
    box_unref(s->ok);
    s->ok = NULL;
    s->ending = false;
    attempt_failed(f);
}

static void step_free(struct frame *f)
{
    box_unref(f->locals);
    f->locals = NULL;
    struct step_state *s = state_of(f);
    if (!s)
        return;
    box_unref(s->ok);
    box_unref(s->failure);
    map_done(&s->files.texts);
    drop_type_state(f);
}

static void no_effect(struct frame *f, bool ok, const struct val *result)
{
    (void)ok, (void)result;
    PANIC("step %.*s has no effects of its own", STR_ARG(f->path));
}

const struct frame_ops step_ops = {.kind = "step",
                                   .room = 640,
                                   .enter = step_enter,
                                   .child_done = step_child_done,
                                   .effect_done = no_effect,
                                   .timer = step_timer,
                                   .more = step_more,
                                   .drained = step_drained,
                                   .done = step_free};

struct frame *frame_step(struct frame *parent, const char *segment, size_t tag, const struct step_def *def,
                         struct box *locals)
{
    struct run *r = parent->run;
    struct frame *f = frame_new(r, parent, &step_ops, path_join(&r->scratch, parent->base, segment));
    f->def = def;
    f->tag = tag;
    f->locals = locals ? box_ref(locals) : NULL;
    run_queue(f, QUEUED_ENTER);
    return f;
}

/* ---- variables, past, budget
 * ------------------------------------------------------------------------------------------- */

bool frame_record(struct frame *f, const char *segment, const struct val *object)
{
    struct err err;
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "ok", *object);
    struct val data = val_map_done(&m);
    struct str path = path_join(&f->run->scratch, f->base, segment);
    if (run_append_value(f->run, RECORD_RESULT, path, 1, &data, &err) == RC_OK)
        return true;
    frame_fail(f, &err);
    return false;
}

const struct val *frame_recorded(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    return p && p->result ? VAL_GET(&p->result->val, "ok") : NULL;
}

void frame_stop(struct frame *child)
{
    frame_cancel(child);
}

struct arena *frame_scratch(struct frame *f)
{
    return &f->run->scratch;
}

int64_t frame_now(const struct frame *f)
{
    return run_now(f->run);
}

bool frame_past_begun(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    int64_t index;
    return (p && (p->begun || p->done)) ||
           (str_to_i64(str_c(segment), &index) && index >= 0 && frame_past_passed(f, (size_t)index));
}

bool frame_past_done(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    return p && p->done && p->done_ok;
}

size_t frame_past_count(struct frame *f)
{
    struct past *p = past_find(f->run, f->base);
    if (!p)
        return 0;
    instance_add_steps(f, p->passed_steps);
    p->passed_steps = 0;
    return p->npassed;
}

bool frame_past_passed(const struct frame *f, size_t index)
{
    const struct past *p = past_find(f->run, f->base);
    return p && index / 8 < p->passed_cap && (p->passed[index / 8] >> index % 8 & 1);
}

const struct val *frame_past_newest(const struct frame *f)
{
    const struct past *p = past_find(f->run, f->base);
    return p && p->newest ? &p->newest->val : NULL;
}

bool frame_past_broken(const struct frame *f)
{
    const struct past *p = past_find(f->run, f->base);
    return p && p->broken;
}

bool frame_past_ended(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    return p && p->done;
}

static bool over_budget(struct frame *f, const char *why)
{
    struct run *r = f->run;
    switch (r->workflow->over_budget) {
    case OVER_BUDGET_CONTINUE:
        if (!r->told_budget)
            frame_event(f, EVENT_NOTE, why, NULL);
        r->told_budget = true;
        return true;
    case OVER_BUDGET_ABORT:
        if (!r->error)
            r->error = error_box(RC_BUDGET, STR(""), str_c(why), f->attempt, f->path);
        frame_cancel(r->root);
        return false;
    case OVER_BUDGET_PAUSE:
        break;
    }
    frame_hold(f, why);
    f->failing.rc = RC_BUDGET;
    return false;
}

bool frame_budget(struct frame *f)
{
    const struct run *r = f->run;
    const struct budget *b = &r->workflow->budget;
    const struct run_totals *t = &r->totals;
    char why[200];
    if (b->usd >= 0 && t->cost_usd >= b->usd)
        snprintf(why, sizeof why,
                 "the budget of $%.2f is spent ($%.4f); raise workflow.budget and resume with --workflow FILE", b->usd,
                 t->cost_usd);
    else if (b->tokens >= 0 && t->input_tokens + t->output_tokens >= b->tokens)
        snprintf(why, sizeof why,
                 "the budget of %lld tokens is spent; raise workflow.budget and resume with --workflow FILE",
                 (long long)b->tokens);
    else
        return true;
    return over_budget(f, why);
}
