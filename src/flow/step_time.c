/* The time that an attempt at a step has: its `timeout`, and when people are told that it takes long.
 *
 * It is for the work on the attempt. So it goes on where the last life of the run left off (recover.c), and it stands
 * still while the step, with all that is in it, only waits: for a turn in the workspace (workspace.c), or for a result
 * that another step is making (flight.c). How many others there are, and how slow, is none of its doing, and what it
 * has done by then, some of it paid for, must not be lost to it. As soon as anything in it has something to do, it goes
 * on.
 *
 *      nothing is left to do in the run: for each frame that waits
 *        steps_rest: up from it, as far as nothing is at work (frame.busy): the timer is put off ─▶ NOTE {rests: true}
 *      a frame has its turn on the run's queue
 *        steps_work: up from it: those that rested have the rest of their time                   ─▶ NOTE {rests: false}
 *
 * The notes are for later lives, which count no time between them. A step that itself wants to write has all of its
 * time again with its turn (workspace.c); those around it go on with what they had left. */
#include "flow/step_int.h"

#include "base/fault.h"
#include "flow/shelf.h"

int64_t frame_timeout(const struct frame *f)
{
    const struct retry_policy *p = &f->def->retry;
    double ms = (double)f->def->timeout_ms;
    for (uint32_t i = 0; p->longer && i < f->failures && ms < 1e12; i++)
        ms *= p->factor;
    return ms < 1e15 ? (int64_t)ms : f->def->timeout_ms;
}

/* How long an attempt may take, and when people are told that it takes long: as the step says, or the workflow that it
 * belongs to. */
static void bound_time(const struct frame *f, int64_t *ret_limit, int64_t *ret_warn)
{
    const struct instance *in = f->instance;
    int64_t limit = f->def->type->own_timeout ? 0 : frame_timeout(f), warn = f->def->warn_ms;
    int64_t *bound = in->over == OVER_WARN ? &warn : &limit;
    if (in->step_ms && (!*bound || in->step_ms < *bound))
        *bound = in->step_ms;
    *ret_limit = limit;
    *ret_warn = limit && warn >= limit ? 0 : warn;
}

bool step_is_done(const struct frame *f)
{
    return step_state_of((struct frame *)f)->ok != NULL;
}

bool step_is_timed(const struct frame *f)
{
    int64_t limit, warn;
    bound_time(f, &limit, &warn);
    return limit || warn;
}

static void arm(struct frame *f, int64_t ms)
{
    step_state_of(f)->due_ms = run_now(f->run) + ms;
    frame_timer_set(f, ms > 0 ? ms : 1);
}

/* There is one timer: first for the warning, then for the limit. */
static void time_from(struct frame *f, int64_t spent)
{
    struct step_state *s = step_state_of(f);
    bound_time(f, &s->limit_ms, &s->warn_ms);
    s->warned = s->warn_ms <= spent;
    if (!s->warned || s->limit_ms)
        arm(f, (s->warned ? s->limit_ms : s->warn_ms) - spent);
}

void step_time_begin(struct frame *f)
{
    const struct past *p = f->past;
    bool begun = p && p->begun && !p->fresh && p->current == f->attempt;
    if (!step_is_timed(f))
        return;
    time_from(f, begun ? past_worked(f->run, p) : 0);
    step_state_of(f)->gap_open = begun;
}

void step_time_anew(struct frame *f)
{
    time_from(f, 0);
    step_state_of(f)->gap_open = false;
}

/* True: it is not the end yet. */
static bool warn_of_time(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    if (s->warned)
        return false;
    s->warned = true;
    frame_event(f, EVENT_NOTE, arena_printf(&f->run->scratch, "still at work after %g s", (double)s->warn_ms / 1000).p,
                NULL);
    if (s->limit_ms)
        arm(f, s->limit_ms - s->warn_ms);
    return true;
}

/* In a new life not before all that the journal knows has been gone through: it belongs to what there is of a result.
 */
static bool too_early(struct frame *f)
{
    if (!f->run->walking || !f->def->timeout_goes_on)
        return false;
    frame_timer_set(f, 1);
    return true;
}

void step_time_over(struct frame *f)
{
    struct run *r = f->run;
    struct step_state *s = step_state_of(f);
    int64_t own = f->def->type->own_timeout ? 0 : frame_timeout(f);
    bool of_workflow = f->instance->step_ms && s->limit_ms != own;
    struct str code = of_workflow ? STR("performance_budget_exceeded") : f->def->timeout_code;
    struct str why = arena_printf(&f->arena, "no result within %g s (timeout)", (double)s->limit_ms / 1000);
    if (of_workflow ? f->instance->over == OVER_END_RUN : f->def->timeout_ends_run) {
        run_over_limit(r, "performance_budget_exceeded",
                       arena_printf(&f->arena, "step `%.*s`: %.*s", STR_ARG(f->def->name), STR_ARG(why)));
        return;
    }
    bool goes_on = f->def->timeout_goes_on && !of_workflow;
    const struct val *partial = goes_on && f->def->type->unfinished ? f->def->type->unfinished(f) : NULL;
    if (r->wanted.n) { /* first what has left memory */
        if (s->fetching) {
            r->wanted = STR("");
            frame_timer_set(f, 1); /* it fetches for an end of its own */
        } else {
            s->overdue = shelf_fetch(f);
        }
        return;
    }
    step_fail(f, &(struct failure){.rc = RC_TIMEOUT,
                                   .code = code,
                                   .message = why,
                                   .partial = partial,
                                   .goes_on = goes_on,
                                   .below = true}); /* what is done stands */
}

void step_time_passed(struct frame *f)
{
    if (!warn_of_time(f) && !too_early(f))
        step_time_over(f);
}

void steps_count_gap(struct frame *f)
{
    for (; f; f = f->parent) {
        struct step_state *s = f->ops == &step_ops ? f->state : NULL;
        if (!s || !s->gap_open || !f->timer)
            continue;
        s->gap_open = false;
        frame_timer_clear(f);
        arm(f, s->due_ms - f->run->gap_ms - run_now(f->run));
    }
}

/* ---- while all that is in a step waits ---- */

static void note_rest(const struct frame *f, bool rests)
{
    struct run *r = f->run;
    struct val_map m = val_map_new(&r->scratch);
    int64_t rested = r->rested_ms - step_state_of((struct frame *)f)->rested_ms;
    VAL_MAP_SET(&m, "rests", val_bool(rests));
    if (!rests && rested > 0) /* all of the run, meanwhile: no later life counts that as work */
        VAL_MAP_SET(&m, "rested_ms", val_int(rested));
    struct val data = val_map_done(&m);
    run_append(r, RECORD_NOTE, f->path, f->attempt, &data);
}

void steps_rest(struct frame *f)
{
    if (fault_hit("time.waits")) /* a seeded bug for the simulation to catch */
        return;
    for (; f && !f->busy; f = f->parent) {
        struct step_state *s = f->ops == &step_ops ? f->state : NULL;
        bool closing =
            s && step_is_done(f) && step_is_timed(f); /* it has no timer any more, but a later life begins with one */
        if (!s || s->rests || (!f->timer && !closing))
            continue;
        int64_t left = s->due_ms - run_now(f->run);
        s->left_ms = !f->timer ? 0 : left > 0 ? left : 1;
        s->rested_ms = f->run->rested_ms;
        s->rests = true;
        f->run->resting++;
        frame_timer_clear(f);
        note_rest(f, true);
    }
}

void steps_work(struct frame *f)
{
    for (; f && f->run->resting; f = f->parent) {
        struct step_state *s = f->ops == &step_ops ? f->state : NULL;
        if (!s || !s->rests)
            continue;
        s->rests = false;
        f->run->resting--;
        note_rest(f, false);
        if (f->status == FRAME_RUNNING && s->left_ms)
            arm(f, s->left_ms);
    }
}
