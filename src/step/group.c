/* A group is a small supervisor whose children are lists of steps, or steps.
 *
 *   member:  NONE ─start─▶ RUNNING ─┬─ ok ─────────────▶ OK
 *              ▲                    ├─ failed, no policy ▶ FAILED
 *              │                    └─ failed ─▶ DOWN ─ policy says no ─▶ the step fails
 *              └── restart recorded, all that it includes has stopped ◀─┘
 *
 * A restart first stops the running members that it includes and waits until nothing of them is left; then it is
 * recorded and they start anew, in order. Another failure meanwhile waits for its turn, as messages do in OTP, unless
 * the restart includes that member anyway. A crash before the record leaves the failure as the last thing known, so the
 * next life decides again; a crash after it finds the new generation's paths.
 *
 * All members that a restart includes get the next number, started or not: then the number follows from the records of
 * restarts alone. Those are known to two more readers: recovery, to which iterations that have ended well are one bit
 * (flow/recover.c), and whoever reads iterations back (flow/away.c). For them the record says which are `again`. */
#include "step/group.h"

#include "base/fault.h"
#include "base/panic.h"

#include <stdio.h>

enum { GROUP_ROLLBACK = 0x67726f75 }; /* tag; members are fewer */
enum member_state {
    MEMBER_NONE,
    MEMBER_RUNNING,
    MEMBER_STOPPING,
    MEMBER_OK,
    MEMBER_FAILED,
    MEMBER_DOWN,
    MEMBER_STOPPED
};

struct seat {
    uint32_t generation;
    uint8_t state;
    struct frame *frame; /* RUNNING, STOPPING */
};

struct group {
    struct frame *f;
    const struct group_ops *ops;
    struct group_plan plan;
    struct restart_log log;
    struct seat *m;
    size_t next;           /* no member before it is to be started */
    size_t running, ended; /* running: STOPPING included; ended: OK and FAILED */
    size_t stopping, down; /* members in these states; down: STOPPED included */
    size_t restarts;       /* recorded in all */
    size_t cause;          /* the member whose restart is being prepared */
    int64_t cause_ms;      /* when it failed */
    bool preparing, restoring, given_up, leaving;
    bool fresh;          /* nothing was started yet in this life */
    struct str why;      /* of the newest failure */
    struct val attempts; /* what is being taken back */
};

static const char *restart_segment(const struct group *g, size_t number)
{
    return arena_printf(&g->f->arena, "restart:%zu", number).p;
}

static struct restart_span span_of(const struct group *g, size_t cause)
{
    return restart_span(g->plan.policy.strategy, cause, g->plan.n);
}

static void next_generation(struct group *g, struct restart_span s)
{
    for (size_t i = s.first; i <= s.last; i++)
        g->m[i].generation++;
    if (s.first < g->next)
        g->next = s.first;
}

static const char *member_segment(const struct group *g, size_t i, uint32_t generation)
{
    struct arena *a = &g->f->arena;
    const char *name = g->ops->segment(g->f, i);
    if (generation == 1)
        return name;
    return g->ops->kind == GROUP_OF_STEPS ? arena_printf(a, "again:%u/%s", generation, name).p
                                          : arena_printf(a, "%s~%u", name, generation).p;
}

static const char *undo_segment(const struct group *g)
{
    return arena_printf(&g->f->arena, "undo:%zu", g->restarts).p;
}

static void roll_back(struct frame *f, void *ctx)
{
    const struct group *g = ctx;
    frame_rollback(f, undo_segment(g), GROUP_ROLLBACK, &g->attempts);
}

/* What the members changed that are started again, all of it at once, because one may have built upon another. */
static void take_back(struct group *g)
{
    struct arena *a = &g->f->arena;
    struct restart_span s = span_of(g, g->cause);
    struct val_list l = val_list_new(a);
    if (g->ops->kind == GROUP_OF_ITERATIONS)
        val_list_push(&l, rollback_iterations(a, g->f->base, s.first, s.last));
    for (size_t i = s.first; g->ops->kind != GROUP_OF_ITERATIONS && i <= s.last; i++) {
        uint32_t old = g->m[i].generation - 1;
        bool step = g->ops->kind == GROUP_OF_STEPS;
        const char *segment = step ? member_segment(g, i, old) : g->ops->segment(g->f, i);
        struct str path = arena_printf(a, "%.*s/%s", STR_ARG(g->f->base), segment);
        val_list_push(&l, rollback_attempt(a, path, step ? ROLLBACK_ALL : old));
    }
    g->attempts = val_list_done(&l);
    g->restoring = true;
    frame_workspace_first(g->f, roll_back, g);
}

struct group *group_new(struct frame *f, const struct group_plan *plan, const struct group_ops *ops)
{
    struct group *g = ARENA_NEW(&f->arena, struct group);
    *g = (struct group){.f = f, .ops = ops, .plan = *plan, .fresh = true};
    g->m = arena_calloc(&f->arena, plan->n + 1, sizeof *g->m);
    g->log.at = arena_calloc(&f->arena, (size_t)plan->policy.intensity + 1, sizeof *g->log.at);
    for (size_t i = 0; i < plan->n; i++)
        g->m[i].generation = 1;
    const struct val *past;
    bool forgets = fault_hit("group.forgotten"); /* a seeded bug for the simulation to catch */
    while (plan->restarts && !forgets && (past = frame_recorded(f, restart_segment(g, g->restarts + 1)))) {
        int64_t cause = val_get_int(past, STR("member"), -1);
        if (cause < 0 || cause >= (int64_t)plan->n ||
            !restart_allowed(&plan->policy, &g->log, val_get_int(past, STR("at_ms"), 0))) {
            step_failf(f, RC_CORRUPT, "the journal holds a restart that this step cannot have made");
            return NULL;
        }
        g->restarts++;
        g->cause = (size_t)cause;
        next_generation(g, span_of(g, g->cause));
    }
    if (g->restarts && !frame_recorded(f, undo_segment(g)))
        take_back(g);
    return g;
}

static void start_member(struct group *g, size_t i)
{
    struct seat *m = &g->m[i];
    if (g->ops->passed && g->ops->passed(g->f, i)) {
        m->state = MEMBER_OK;
        g->ended++;
        return;
    }
    const char *segment = member_segment(g, i, m->generation);
    if (g->leaving && !frame_past_ended(g->f, segment))
        return;
    m->state = MEMBER_RUNNING;
    g->running++;
    m->frame = g->ops->start(g->f, i, segment);
}

/* What had been begun before goes on, also while something of others is being taken back: it may have been interrupted
 * while it wrote, and that comes first. */
static void go_on_begun(struct group *g)
{
    for (size_t i = 0; i < g->plan.n && (int64_t)g->running < g->plan.max_parallel; i++)
        if (g->m[i].state == MEMBER_NONE && frame_past_begun(g->f, member_segment(g, i, g->m[i].generation)))
            start_member(g, i);
}

void group_start(struct group *g)
{
    if (g->restoring && g->fresh)
        go_on_begun(g);
    g->fresh = false;
    if (g->preparing || g->restoring || g->given_up)
        return;
    for (; g->next < g->plan.n && (int64_t)g->running < g->plan.max_parallel; g->next++)
        if (g->m[g->next].state == MEMBER_NONE)
            start_member(g, g->next);
}

bool group_done(const struct group *g)
{
    if (g->leaving)
        return !g->running && !g->restoring && g->next == g->plan.n;
    return g->ended == g->plan.n;
}

void group_count(const struct group *g, size_t *ret_ok, size_t *ret_failed)
{
    *ret_ok = *ret_failed = 0;
    for (size_t i = 0; i < g->plan.n; i++) {
        *ret_ok += g->m[i].state == MEMBER_OK;
        *ret_failed += g->m[i].state == MEMBER_FAILED || g->m[i].state == MEMBER_DOWN;
    }
}

void group_leave(struct group *g)
{
    g->leaving = true;
    g->preparing = false;
    for (size_t i = 0; i < g->plan.n; i++)
        if (g->m[i].state == MEMBER_RUNNING)
            frame_stop(g->m[i].frame);
}

/* ---- restarting ---- */

static void take_out(struct group *g, struct restart_span s)
{
    for (size_t i = s.first; i <= s.last; i++) {
        uint8_t *state = &g->m[i].state;
        g->ended -= *state == MEMBER_OK || *state == MEMBER_FAILED;
        g->down -= *state == MEMBER_DOWN || *state == MEMBER_STOPPED;
        *state = MEMBER_NONE;
    }
    g->ops->forget(g->f, s.first, s.last);
    if (g->ops->kind == GROUP_OF_ITERATIONS)
        frame_past_forget(g->f, s.first, s.last);
}

static bool give_up(struct group *g)
{
    g->given_up = true;
    step_fail(g->f, &(struct failure){.rc = RC_STEP,
                                      .code = STR("restart_intensity"),
                                      .message = arena_printf(&g->f->arena,
                                                              "started again %zu times within %g s; then it failed "
                                                              "again: %.*s",
                                                              g->log.n - 1, (double)g->plan.policy.period_ms / 1000,
                                                              STR_ARG(g->why)),
                                      .below = true});
    return false;
}

/* False: the step has failed. */
static bool restart(struct group *g)
{
    struct frame *f = g->f;
    struct restart_span s = span_of(g, g->cause);
    struct val_map m = val_map_new(&f->arena);
    struct val again[] = {val_int((int64_t)s.first), val_int((int64_t)s.last)};
    VAL_MAP_SET(&m, "member", val_int((int64_t)g->cause));
    VAL_MAP_SET(&m, "at_ms", val_int(g->cause_ms));
    VAL_MAP_SET(&m, "because", val_str(g->why));
    if (g->ops->kind == GROUP_OF_ITERATIONS)
        VAL_MAP_SET(&m, "again", ((struct val){.type = VAL_ARRAY, .arr = {.v = again, .n = 2}}));
    struct val v = val_map_done(&m);
    if (!frame_record(f, restart_segment(g, ++g->restarts), &v)) {
        g->given_up = true;
        return false;
    }
    g->preparing = false;
    take_out(g, s);
    next_generation(g, s);
    take_back(g);
    frame_event(f, EVENT_RETRY,
                arena_printf(&f->arena, "%s: %.*s; started again", g->ops->segment(f, g->cause), STR_ARG(g->why)).p,
                NULL);
    return true;
}

/* Decides about the failure of `cause`; stops what the restart includes. False: the step has failed. */
static bool prepare(struct group *g, size_t cause)
{
    g->cause = cause;
    g->cause_ms = frame_now(g->f);
    if (!restart_allowed(&g->plan.policy, &g->log, g->cause_ms))
        return give_up(g);
    g->preparing = true;
    struct restart_span s = span_of(g, cause);
    for (size_t i = s.first; i <= s.last; i++)
        if (g->m[i].state == MEMBER_RUNNING) {
            g->m[i].state = MEMBER_STOPPING;
            g->stopping++;
            frame_stop(g->m[i].frame);
        }
    return g->stopping > 0 || g->restoring || restart(g);
}

/* Restarts one after another, as far as nothing has to stop first. False: the step has failed. */
static bool go_on(struct group *g)
{
    if (g->leaving)
        return true;
    if (g->preparing && !g->stopping && !g->restoring && !restart(g))
        return false;
    for (size_t i = 0; g->down && !g->preparing && i < g->plan.n; i++)
        if (g->m[i].state == MEMBER_DOWN && !prepare(g, i))
            return false;
    return true;
}

static enum group_event taken_back(struct group *g, struct frame *c)
{
    g->restoring = false;
    frame_workspace_leave(g->f);
    if (child_ok(c))
        return go_on(g) ? GROUP_AGAIN : GROUP_GAVE_UP;
    struct failure why = child_failure(c);
    why.final = true;
    g->given_up = true;
    step_fail(g->f, &why);
    return GROUP_GAVE_UP;
}

static void remember_why(struct group *g, struct str message)
{
    if (message.n > 500)
        message = str_n(message.p, str_utf8_valid(str_n(message.p, 500)));
    g->why = arena_str(&g->f->arena, message);
}

bool group_is_member(const struct group *g, const struct frame *c)
{
    return c->tag < g->plan.n;
}

enum group_event group_child_done(struct group *g, struct frame *c)
{
    if (!group_is_member(g, c))
        return taken_back(g, c);
    struct seat *m = &g->m[c->tag];
    bool stopped = m->state == MEMBER_STOPPING;
    g->running--;
    g->stopping -= stopped;
    m->frame = NULL;
    if (stopped && !g->leaving) {
        m->state = MEMBER_STOPPED;
        g->down++;
        return go_on(g) ? GROUP_AGAIN : GROUP_GAVE_UP;
    }
    if (child_ok(c)) {
        m->state = MEMBER_OK;
        g->ended++;
        return GROUP_OK;
    }
    struct failure why = child_failure(c);
    if (g->leaving && why.rc == RC_CANCELLED) {
        m->state = MEMBER_STOPPED;
        return GROUP_AGAIN;
    }
    if (!g->plan.restarts || g->leaving) {
        m->state = MEMBER_FAILED;
        g->ended++;
        return GROUP_FAILED;
    }
    m->state = MEMBER_DOWN;
    g->down++;
    remember_why(g, why.message);
    return go_on(g) ? GROUP_AGAIN : GROUP_GAVE_UP;
}

/* ---- what the author says ---- */

static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one"};

static enum restart_strategy strategy_of(struct str name)
{
    for (int i = RESTART_ONE_FOR_ALL; i <= RESTART_REST_FOR_ONE; i++)
        if (str_is(name, strategies[i]))
            return (enum restart_strategy)i;
    return RESTART_ONE_FOR_ONE;
}

bool group_policy(struct frame *f, const struct val *c, struct group_plan *plan)
{
    const struct val *r = VAL_GET(c, "restart"), *s = VAL_GET(c, "strategy");
    struct str strategy;
    plan->restarts = val_is(r, VAL_OBJECT) || val_is(s, VAL_STR);
    plan->policy = (struct restart_policy){.intensity = 1, .period_ms = 5000};
    if (!frame_text(f, c, "strategy", str_c(strategies[0]), &strategy) ||
        !frame_int(f, r, "intensity", 1, 0, RESTART_INTENSITY_MAX, &plan->policy.intensity) ||
        !frame_duration(f, r, "period", 5000, &plan->policy.period_ms))
        return false;
    plan->policy.strategy = strategy_of(strategy);
    return true;
}

struct val group_plan_val(struct arena *a, const struct group_plan *plan)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "max_parallel", val_int(plan->max_parallel));
    if (plan->restarts) {
        VAL_MAP_SET(&m, "strategy", val_str(str_c(strategies[plan->policy.strategy])));
        VAL_MAP_SET(&m, "intensity", val_int(plan->policy.intensity));
        VAL_MAP_SET(&m, "period_ms", val_int(plan->policy.period_ms));
    }
    return val_map_done(&m);
}

void group_plan_read(const struct val *v, struct group_plan *plan)
{
    int64_t max = val_get_int(v, STR("max_parallel"), 1), intensity = val_get_int(v, STR("intensity"), 0);
    plan->max_parallel = max < 1 ? 1 : max;
    plan->restarts = VAL_GET(v, "strategy") != NULL;
    plan->policy = (struct restart_policy){
        .strategy = strategy_of(val_get_str(v, STR("strategy"), STR(""))),
        .intensity = intensity < 0 || intensity > RESTART_INTENSITY_MAX ? 0 : intensity,
        .period_ms = val_get_int(v, STR("period_ms"), 0),
    };
}
