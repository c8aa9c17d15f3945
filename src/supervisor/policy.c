/* A supervisor does one thing at a time, as an Erlang process does: while it starts or stops children, whatever else
 * happens waits in its mailbox. So there is a queue of events, and an operation under way:
 *
 *                    exit of a child ──▶ restart? ──▶ count ──▶ too many: stop all ──▶ ended
 *                         ▲                              │
 *                     mailbox                            ▼
 *                         ▲              STOPPING (reverse order) ──▶ STARTING (in order) ──▶ IDLE, next event
 *                         └───── "try again" ◀────────────────────────── a start failed
 *
 * Where OTP does it (lib/stdlib/src/supervisor.erl): restart_child/do_restart, restart/2 with add_restart,
 * restart_multiple_children, terminate_children, handle_cast(try_again_restart), do_auto_shutdown. Consequences that
 * are easily missed, and kept: a start that fails during a restart is counted again at each try; it is tried through
 * the mailbox, so that what came first is handled first; a group that is stopped for a restart loses its temporary
 * children for good; a restart of a group counts once; the intensity is the supervisor's, not the child's; a child that
 * dies while the group is being stopped was stopped. */
#include "supervisor/policy.h"

#include "base/fault.h"
#include "base/panic.h"

#include <stdlib.h>

enum event_kind { EVENT_EXIT, EVENT_TRY_AGAIN, EVENT_DELAY_OVER, EVENT_STOP };
struct event {
    struct event *next;
    enum event_kind kind;
    size_t child;
    enum sup_reason reason;
};

struct child {
    enum sup_child_state state;
    bool asked; /* terminate() was called and the exit has not come */
    bool doomed, wanted;
};

struct sup {
    struct sup_spec spec;
    const struct sup_ops *ops;
    void *ctx;
    struct child *children;
    struct event *head, **tail;
    int64_t *restarts; /* the newest intensity + 1 times, a ring */
    size_t nrestarts, restart_at;
    enum { IDLE, STOPPING, STARTING, ENDED } phase;
    bool initial, ending, inside, started;
    enum sup_reason end;
};

struct sup *sup_new(const struct sup_spec *spec, const struct sup_ops *ops, void *ctx)
{
    struct sup *s = calloc(1, sizeof *s);
    CHECK(s && spec->nchildren);
    s->spec = *spec;
    s->ops = ops;
    s->ctx = ctx;
    s->tail = &s->head;
    s->children = calloc(spec->nchildren, sizeof *s->children);
    s->restarts = calloc((size_t)spec->intensity + 1, sizeof *s->restarts);
    CHECK(s->children && s->restarts);
    for (size_t i = 0; i < spec->nchildren; i++)
        CHECK(!(spec->children[i].significant && spec->children[i].restart == SUP_PERMANENT));
    return s;
}

void sup_free(struct sup *s)
{
    if (!s)
        return;
    for (struct event *e = s->head, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    free(s->children);
    free(s->restarts);
    free(s);
}

enum sup_child_state sup_child_state(const struct sup *s, size_t child)
{
    return s->children[child].state;
}

/* ---- the mailbox ---- */

static void post(struct sup *s, enum event_kind kind, size_t child, enum sup_reason reason)
{
    struct event *e = calloc(1, sizeof *e);
    CHECK(e);
    *e = (struct event){.kind = kind, .child = child, .reason = reason};
    *s->tail = e;
    s->tail = &e->next;
}

static bool take(struct sup *s, struct event *ret)
{
    struct event *e = s->head;
    if (!e)
        return false;
    *ret = *e;
    s->head = e->next;
    if (!s->head)
        s->tail = &s->head;
    free(e);
    return true;
}

/* Whoever stops a child swallows its exit. True when there was one. */
static bool swallow_exit(struct sup *s, size_t child)
{
    for (struct event **at = &s->head; *at; at = &(*at)->next) {
        struct event *e = *at;
        if (e->kind != EVENT_EXIT || e->child != child)
            continue;
        *at = e->next;
        if (!e->next)
            s->tail = at;
        free(e);
        return true;
    }
    return false;
}

/* ---- stopping and starting ---- */

static void stop_from(struct sup *s, size_t first)
{
    for (size_t i = 0; i < s->spec.nchildren; i++)
        s->children[i].doomed = i >= first && s->children[i].state != SUP_CHILD_REMOVED;
    s->phase = STOPPING;
}

static void end_with(struct sup *s, enum sup_reason reason)
{
    s->ending = true;
    s->end = reason;
    stop_from(s, 0);
}

static void stopped(struct sup *s, size_t i)
{
    struct child *c = &s->children[i];
    c->asked = c->doomed = false;
    if (s->spec.children[i].restart == SUP_TEMPORARY && !fault_hit("policy.keep_temporary")) {
        c->state = SUP_CHILD_REMOVED;
        c->wanted = false;
    } else {
        c->state = SUP_CHILD_DOWN;
    }
}

/* One step; false: wait for an answer. */
static bool go_on_stopping(struct sup *s)
{
    for (size_t i = s->spec.nchildren; i-- > 0;) {
        struct child *c = &s->children[i];
        if (!c->doomed)
            continue;
        if (c->state != SUP_CHILD_UP || swallow_exit(s, i)) {
            stopped(s, i);
            continue;
        }
        if (!c->asked) {
            c->asked = true;
            s->ops->terminate(s->ctx, i);
            return true; /* it may have answered already */
        }
        return false;
    }
    if (s->ending) {
        s->phase = ENDED;
        s->ops->ended(s->ctx, s->end);
        return false;
    }
    s->phase = STARTING;
    return true;
}

static bool go_on_starting(struct sup *s)
{
    for (size_t i = 0; i < s->spec.nchildren; i++) {
        struct child *c = &s->children[i];
        if (!c->wanted)
            continue;
        if (c->state == SUP_CHILD_STARTING)
            return false;
        c->state = SUP_CHILD_STARTING;
        s->ops->start(s->ctx, i);
        return true;
    }
    s->phase = IDLE;
    if (s->initial) {
        s->initial = false;
        if (s->ops->up)
            s->ops->up(s->ctx);
    }
    return true;
}

/* ---- restarting ---- */

/* Whether one more restart is borne. */
static bool count_restart(struct sup *s)
{
    size_t room = (size_t)s->spec.intensity + 1;
    int64_t now = s->ops->now_ms(s->ctx), oldest;
    s->restarts[s->restart_at] = now;
    s->restart_at = (s->restart_at + 1) % room;
    if (s->nrestarts < room)
        s->nrestarts++;
    oldest = s->restarts[s->restart_at % room];
    return s->nrestarts < room || now > oldest + s->spec.period_ms;
}

static void restart_now(struct sup *s, size_t child)
{
    size_t first = s->spec.strategy == SUP_ONE_FOR_ALL ? 0 : child;
    s->children[child].state = SUP_CHILD_DOWN;
    if (s->spec.strategy == SUP_ONE_FOR_ONE) {
        s->children[child].wanted = true;
        s->phase = STARTING;
        return;
    }
    for (size_t i = first; i < s->spec.nchildren; i++)
        s->children[i].wanted = s->children[i].state != SUP_CHILD_REMOVED;
    stop_from(s, first);
}

static void restart(struct sup *s, size_t child)
{
    if (!count_restart(s)) {
        s->children[child].state = SUP_CHILD_DOWN;
        end_with(s, SUP_SHUTDOWN);
        return;
    }
    if (s->spec.strategy == SUP_ONE_FOR_ONE && s->ops->delay && s->ops->delay(s->ctx, child) > 0) {
        s->children[child].state = SUP_CHILD_RESTARTING;
        return;
    }
    restart_now(s, child);
}

static void auto_shutdown(struct sup *s, size_t child)
{
    if (s->spec.auto_shutdown == SUP_AUTO_NEVER || !s->spec.children[child].significant)
        return;
    if (s->spec.auto_shutdown == SUP_AUTO_ALL)
        for (size_t i = 0; i < s->spec.nchildren; i++)
            if (s->spec.children[i].significant &&
                (s->children[i].state == SUP_CHILD_UP || s->children[i].state == SUP_CHILD_RESTARTING))
                return;
    end_with(s, SUP_SHUTDOWN);
}

static void exited(struct sup *s, size_t child, enum sup_reason reason)
{
    struct child *c = &s->children[child];
    enum sup_restart type = s->spec.children[child].restart;
    if (c->state != SUP_CHILD_UP)
        return;
    c->state = SUP_CHILD_DOWN;
    if (type == SUP_PERMANENT || (type == SUP_TRANSIENT && reason == SUP_ABNORMAL)) {
        restart(s, child);
        return;
    }
    if (type == SUP_TEMPORARY)
        c->state = SUP_CHILD_REMOVED;
    auto_shutdown(s, child);
}

/* ---- the machine ---- */

static bool handle_next(struct sup *s)
{
    struct event e;
    if (!take(s, &e))
        return false;
    switch (e.kind) {
    case EVENT_EXIT:
        exited(s, e.child, e.reason);
        break;
    case EVENT_TRY_AGAIN:
        if (s->children[e.child].state != SUP_CHILD_RESTARTING)
            break;
        if (fault_hit("policy.forgive_start"))
            restart_now(s, e.child);
        else
            restart(s, e.child);
        break;
    case EVENT_DELAY_OVER:
        if (s->children[e.child].state == SUP_CHILD_RESTARTING)
            restart_now(s, e.child);
        break;
    case EVENT_STOP:
        end_with(s, SUP_SHUTDOWN);
        break;
    }
    return true;
}

static void run(struct sup *s)
{
    if (s->inside)
        return; /* an operation answered at once; the loop below goes on */
    s->inside = true;
    bool more = true;
    while (more) {
        switch (s->phase) {
        case IDLE:
            more = handle_next(s);
            break;
        case STOPPING:
            more = go_on_stopping(s);
            break;
        case STARTING:
            more = go_on_starting(s);
            break;
        case ENDED:
            more = false;
            break;
        }
    }
    s->inside = false;
}

void sup_start(struct sup *s)
{
    CHECK(!s->started);
    s->started = s->initial = true;
    for (size_t i = 0; i < s->spec.nchildren; i++)
        s->children[i].wanted = true;
    s->phase = STARTING;
    run(s);
}

void sup_started(struct sup *s, size_t child, bool ok)
{
    struct child *c = &s->children[child];
    CHECK(c->state == SUP_CHILD_STARTING && s->phase == STARTING);
    c->wanted = false;
    if (ok) {
        c->state = SUP_CHILD_UP;
    } else {
        for (size_t i = 0; i < s->spec.nchildren; i++)
            s->children[i].wanted = false;
        if (s->initial) {
            c->state = SUP_CHILD_DOWN;
            end_with(s, SUP_ABNORMAL);
        } else {
            c->state = SUP_CHILD_RESTARTING;
            post(s, EVENT_TRY_AGAIN, child, SUP_ABNORMAL);
            s->phase = IDLE;
        }
    }
    run(s);
}

void sup_exited(struct sup *s, size_t child, enum sup_reason reason)
{
    if (s->phase == ENDED)
        return;
    if (s->children[child].asked)
        stopped(s, child);
    else
        post(s, EVENT_EXIT, child, reason);
    run(s);
}

void sup_again(struct sup *s, size_t child)
{
    post(s, EVENT_DELAY_OVER, child, SUP_ABNORMAL);
    run(s);
}

void sup_stop(struct sup *s)
{
    if (s->phase == ENDED)
        return;
    post(s, EVENT_STOP, 0, SUP_SHUTDOWN);
    run(s);
}
