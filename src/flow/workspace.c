/* Whose turn it is in the workspace, and what must be so before a step writes there.
 *
 * One step at a time writes to the workspace that a run's steps share (or to a copy of it: isolate.c); others wait in
 * the order in which they came. A step keeps its turn over the wait for its next attempt, until it has ended or its
 * error handler begins: a file that another step had changed in between could not be taken back any more. What comes
 * before each attempt but the first is an effect of its own, `rollback:1`, so a crash in the middle of it resumes it:
 *
 *      frame_workspace ─▶ [waits] ─▶ its turn ─▶ first attempt ────────────────▶ go_on
 *                                             └▶ another ─▶ rollback:1 ─▶ done ─▶ go_on
 *                                                               └▶ somebody changed the same file since: HELD
 *
 * The turn for taking back ends with it; a step that then writes by itself takes another. Steps that only contain
 * others need none: those inside take their own. But what starts again some that failed (step/group.h) takes one for
 * taking back what they changed, before any that wait already: so a turn that has become free is given away only when
 * nothing else is left to do, and whoever hears of the failure has heard of it.
 *
 * Other runs may work in the same workspace. So before one of its steps writes there, a run asks for its own turn among
 * them (io.turn_ask), and leaves it after each step: its next step comes behind the other runs that wait. Those who
 * take back for a restart go on with the turn that the run has. A step that holds for a person lets other runs in: it
 * does nothing more in this life. Turns in copies are nobody else's business. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"

struct turn {
    struct frame *f;
    void (*go_on)(struct frame *f, void *ctx);
    void *ctx;
    void (*enter)(struct frame *f);
    struct frame **writing; /* who writes to the workspace that it is about */
    struct turn *next;
    bool waits;
    bool noted;        /* a record says that it waits */
    int64_t rested_ms; /* run->rested_ms when it said so */
    bool first;        /* before those that wait already, and the step's own time does not begin anew */
    int rank;          /* who has a higher one comes before */
    uint32_t restored; /* the attempt before which all has been taken back */
};

void frame_rollback(struct frame *f, const char *segment, size_t tag, const struct val *attempts)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "action", VAL_LIT("rollback"));
    VAL_MAP_SET(&m, "attempts", *attempts);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){.kind = EFFECT_WORKSPACE,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "take back what the last attempt changed"});
}

struct val rollback_attempt(struct arena *a, struct str path, int64_t attempt)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "step", val_str(path));
    if (attempt != ROLLBACK_ALL)
        VAL_MAP_SET(&m, "attempt", val_int(attempt));
    return val_map_done(&m);
}

struct val rollback_iterations(struct arena *a, struct str of, size_t first, size_t last)
{
    struct val_map m = val_map_new(a);
    struct val_list ends = val_list_new(a);
    val_list_push(&ends, val_int((int64_t)first));
    val_list_push(&ends, val_int((int64_t)last));
    VAL_MAP_SET(&m, "step", val_str(of));
    VAL_MAP_SET(&m, "iterations", val_list_done(&ends));
    return val_map_done(&m);
}

static void roll_back(struct frame *f)
{
    struct val_list l = val_list_new(&f->arena);
    val_list_push(&l, rollback_attempt(&f->arena, f->path, f->attempt - 1));
    struct val attempts = val_list_done(&l);
    frame_rollback(f, "rollback:1", WORKSPACE_TAG, &attempts);
}

static void go(struct frame *f)
{
    struct turn *t = f->turn;
    if (f->status == FRAME_DRAINING) { /* its turn came too late */
        workspace_leave(f);
        return;
    }
    bool again = f->again && t->restored != f->attempt;
    if (fault_hit("workspace.unrestored")) /* a seeded bug for the simulation to catch */
        again = false;
    if (again) {
        roll_back(f);
        return;
    }
    t->restored = f->attempt;
    t->go_on(f, t->ctx);
}

static struct turn *turn_of(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx)
{
    if (!f->turn)
        f->turn = ARENA_NEW(&f->arena, struct turn);
    struct turn *t = f->turn;
    CHECK(!t->waits);
    t->f = f;
    t->go_on = go_on;
    t->ctx = ctx;
    t->first = false;
    t->writing = isolate_writing(f);
    return t;
}

static bool anyone_waits(const struct turn *t)
{
    const struct turn *other = t->f->run->turns;
    while (other && other->writing != t->writing)
        other = other->next;
    return other;
}

/* A step's time is for its work, not for waiting: it begins anew with the turn, also for later lives. (That of the
 * steps around it stands still: step_time.c.) */
static bool has_time(const struct frame *f)
{
    return f->ops == &step_ops && step_is_timed(f) && !step_is_done(f);
}

static void note_turn(struct frame *f, const char *how, const char *why, int64_t rested)
{
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "turn", val_str(str_c(how)));
    if (why)
        VAL_MAP_SET(&m, "why", val_str(str_c(why)));
    if (rested > 0) /* all of the run, meanwhile: no later life counts that as work */
        VAL_MAP_SET(&m, "rested_ms", val_int(rested));
    struct val data = val_map_done(&m);
    run_append(f->run, RECORD_NOTE, f->path, f->attempt, &data);
}

static void begin_waiting(struct turn *t, const char *why)
{
    bool timed = !t->first && has_time(t->f) && t->f->timer;
    if (timed)
        frame_timer_clear(t->f);
    if (timed || why)
        note_turn(t->f, "waits", why, 0);
    if (!t->noted)
        t->rested_ms = t->f->run->rested_ms;
    t->noted |= timed || why;
    frame_event(t->f, EVENT_NOTE, why ? why : "waits for its turn in the workspace", NULL);
}

/* ---- among other runs ---- */

static bool is_shared(const struct turn *t)
{
    return t->writing == &t->f->run->writing;
}

static void leave_run_turn(struct run *r)
{
    if (r->turn == TURN_NONE)
        return;
    r->turn = TURN_NONE;
    if (r->io->turn_leave)
        r->io->turn_leave(r->io_ctx);
}

/* May it write as far as other runs are concerned? If not, that is asked for, and *asked is true when it was not
 * before.
 */
static bool run_has_turn(const struct turn *t, bool *asked)
{
    struct run *r = t->f->run;
    *asked = false;
    if (!is_shared(t) || fault_hit("workspace.unasked")) /* a seeded bug for the simulation to catch */
        return true;
    if (r->turn == TURN_HAS && r->turn_used && !t->first)
        leave_run_turn(r);
    if (r->turn == TURN_NONE && !r->stopping) {
        r->turn_holder = (struct turn_holder){0};
        bool alone = !r->io->turn_ask; /* a plan is made: nothing happens anywhere */
        r->turn = alone || r->io->turn_ask(r->io_ctx, &r->turn_holder) ? TURN_HAS : TURN_ASKED;
        r->turn_used = false;
        *asked = r->turn == TURN_ASKED;
    }
    return r->turn == TURN_HAS;
}

static void begin_waiting_for_run(struct turn *t)
{
    struct run *r = t->f->run;
    begin_waiting(t, r->turn_holder.z[0] ? arena_printf(&r->scratch, "waits for the workspace: %s", r->turn_holder.z).p
                                         : "waits for its turn in the workspace among other runs");
}

bool workspace_in_vain(const struct run *r)
{
    return r->turn == TURN_ASKED && r->turn_holder.in_vain;
}

static void take(const struct turn *t)
{
    *t->writing = t->f;
    if (is_shared(t))
        t->f->run->turn_used = true;
}

/* Nobody writes, and nobody waits to. */
static void leave_if_idle(struct run *r)
{
    const struct turn *t = r->turn == TURN_NONE ? NULL : r->turns;
    while (t && !is_shared(t))
        t = t->next;
    if (!t && !r->writing)
        leave_run_turn(r);
}

void workspace_held(const struct frame *f)
{
    for (; f; f = f->parent)
        if (f->run->writing == f)
            leave_run_turn(f->run);
}

/* ---- within the run ---- */

/* In a new life nobody gets a turn before all that the journal knows has been gone through: the first is that of a step
 * that was interrupted while it wrote, or what it left could not be told from what others do. */
static void take_turn(struct turn *t)
{
    struct frame *f = t->f;
    struct run *r = f->run;
    bool asked = false;
    if (!*t->writing && !r->walking && (t->first || !anyone_waits(t)) && run_has_turn(t, &asked))
        take(t);
    if (*t->writing == f) {
        go(f);
        return;
    }
    t->waits = true;
    t->rank = r->walking && past_interrupted(r, f->base) && !t->first ? 2 : t->first;
    struct turn **at = &r->turns;
    while (*at && (*at)->rank >= t->rank)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    if (asked)
        begin_waiting_for_run(t);
    else if (!r->walking)
        begin_waiting(t, NULL);
    else if (!r->qhead)
        r->io->wake(r->io_ctx);
}

/* A step wants to write to the workspace: go_on() when it is its turn and what earlier attempts changed is taken back.
 */
static void workspace_enter(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx)
{
    take_turn(turn_of(f, go_on, ctx));
}

static void enter_restored(struct frame *f, void *ctx)
{
    struct turn *t = ctx;
    workspace_leave(f); /* a step that writes itself takes its turn when it knows what it does */
    t->enter(f);
}

void workspace_restore(struct frame *f, void (*enter)(struct frame *f))
{
    if (!f->turn)
        f->turn = ARENA_NEW(&f->arena, struct turn);
    if (frame_recorded(f, "rollback:1")) { /* in an earlier life */
        f->turn->restored = f->attempt;
        enter(f);
        return;
    }
    f->turn->enter = enter;
    workspace_enter(f, enter_restored, f->turn);
}

void workspace_turn(struct frame *f)
{
    if (has_time(f) && !f->timer && f->status != FRAME_DRAINING)
        step_time_anew(f);
    if (f->turn->noted)
        note_turn(f, "has", NULL, f->run->rested_ms - f->turn->rested_ms);
    f->turn->noted = false;
    go(f);
}

void workspace_restored(struct frame *f, struct frame *child)
{
    struct turn *t = f->turn;
    if (!child->ok) {
        struct failure why = child_failure(child);
        why.final = true; /* a next attempt would begin in the same state */
        step_fail(f, &why);
        return;
    }
    struct str unknown = val_get_str(child_result(child), STR("why"), STR(""));
    if (unknown.n)
        frame_event(
            f, EVENT_NOTE,
            arena_printf(&f->run->scratch, "what the last attempt changed is not taken back: %.*s", STR_ARG(unknown)).p,
            NULL);
    t->restored = f->attempt;
    t->go_on(f, t->ctx);
}

bool workspace_writes(const struct frame *f)
{
    return f->turn && f->turn->writing && *f->turn->writing == f;
}

void workspace_leave(struct frame *f)
{
    struct run *r = f->run;
    if (!f->turn || !f->turn->writing)
        return;
    for (struct turn **at = &r->turns; f->turn->waits && *at; at = &(*at)->next)
        if (*at == f->turn) {
            *at = f->turn->next;
            break;
        }
    f->turn->waits = false;
    bool wrote = *f->turn->writing == f;
    if (wrote)
        *f->turn->writing = NULL;
    f->turn->writing = NULL;
    if (!r->qhead)
        r->io->wake(r->io_ctx);
}

void workspace_wait_over(struct frame *f)
{
    if (f->turn && f->turn->waits)
        workspace_leave(f);
}

/* After the walk it is known who has to wait: all but the first in each workspace. */
static void begin_all_waiting(struct run *r)
{
    for (struct turn *t = r->turns; t; t = t->next) {
        struct turn *before = r->turns;
        while (before != t && before->writing != t->writing)
            before = before->next;
        if (before != t || *t->writing)
            begin_waiting(t, NULL);
    }
}

bool workspace_grant(struct run *r)
{
    struct turn **at = &r->turns, *next;
    bool asked;
    if (r->walking)
        begin_all_waiting(r);
    r->walking = false;
    for (; (next = *at); at = &next->next) {
        if (!*next->writing && run_has_turn(next, &asked))
            break;
        if (!*next->writing && asked)
            begin_waiting_for_run(next);
    }
    if (!next) {
        leave_if_idle(r);
        return false;
    }
    *at = next->next;
    next->waits = false;
    take(next);
    run_queue(next->f, QUEUED_TURN);
    return true;
}

void workspace_rest(const struct run *r)
{
    for (const struct turn *t = r->turns; t; t = t->next)
        steps_rest(t->f);
}

/* Steps inside write on turns of their own. */
static bool has_steps(const struct step_type *t)
{
    bool has = t->boundary;
    for (const struct step_key *k = t->keys; k->name; k++)
        has |= k->kind == KEY_STEPS || k->kind == KEY_BRANCHES || k->kind == KEY_TASKS;
    return has;
}

bool workspace_may_write(const struct step_type *t)
{
    return t->writes || step_type_asks(t) || has_steps(t);
}

/* May what the step does be done again without a person's word: by a retry of it or of a step around it, by a restart,
 * or when it was interrupted? Then what it does to the workspace has to be known exactly. */
static bool repeats(const struct frame *f)
{
    if (f->def->on_interrupt == ON_INTERRUPT_RETRY)
        return true;
    for (; f; f = f->parent) {
        const struct step_def *d = f->ops == &step_ops ? f->def : NULL;
        if (d && ((d->retry.set && d->retry.max_attempts > 1) || VAL_GET(d->source, "restart") ||
                  VAL_GET(d->source, "strategy")))
            return true;
    }
    return false;
}

void frame_command(const struct frame *f, const struct val *network, bool isolated, struct effect_plan *plan,
                   struct val_map *request)
{
    enum on_interrupt said = f->def->on_interrupt;
    bool offline = !network || network->type == VAL_NULL || (network->type == VAL_STR && str_is(network->s, "none"));
    plan->two_phase = plan->restores = true;
    plan->on_interrupt = said ? said : ON_INTERRUPT_HOLD;
    plan->on_restored = said ? said : ON_INTERRUPT_RETRY;
    struct val view = val_bool(isolated || repeats(f));
    if (!view.b && !said && offline)
        view = VAL_LIT("offline"); /* only the executor knows whether it is */
    VAL_MAP_SET(request, "view", view);
}

void frame_workspace(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx)
{
    workspace_enter(f, go_on, ctx);
}

void frame_workspace_first(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx)
{
    struct turn *t = turn_of(f, go_on, ctx);
    t->first = true;
    take_turn(t);
}

void frame_workspace_leave(struct frame *f)
{
    workspace_leave(f);
}
