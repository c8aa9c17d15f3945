/* The lives of frames, of whatever kind: made, asleep, held, stopped, ended, freed; and one turn of one.
 *
 * A frame that is stopped first waits for what is below it (DRAINING), so that nothing of it is left when its parent
 * hears of its end. frame_cancel() may find it in any state, also on the queue; it then ends when its turn comes.
 *
 * Whoever has ended is unlinked before its parent is told, as the parent may end itself then; names are still looked up
 * through the parent until the frame is freed. */
#include "flow/cache.h"
#include "flow/run_int.h"

#include "base/panic.h"
#include "flow/shelf.h"

struct str path_join(struct arena *a, struct str base, const char *segment)
{
    return base.n ? arena_printf(a, "%.*s/%s", STR_ARG(base), segment) : arena_str(a, str_c(segment));
}

struct frame *frame_new(struct run *r, struct frame *parent, const struct frame_ops *ops, struct str path)
{
    struct arena a = {0};
    arena_reserve(&a, ops->room);
    struct frame *f = ARENA_NEW(&a, struct frame);
    f->magic = FRAME_MAGIC;
    f->run = r;
    f->ops = ops;
    f->parent = parent;
    f->path = arena_str(&a, path);
    f->base = f->path;
    f->arena = a; /* the frame lives in its own arena */
    f->past = past_find(r, f->path);
    f->attempt = 1;
    if (parent) {
        f->prev = parent->last;
        *(parent->last ? &parent->last->next : &parent->first) = f;
        parent->last = f;
        parent->nchildren++;
        f->def = parent->def;
    }
    f->instance = parent ? parent->instance : &r->own;
    r->totals.frames++;
    return f;
}

static void unlink_from_parent(struct frame *f)
{
    struct frame *p = f->parent;
    *(f->prev ? &f->prev->next : &p->first) = f->next;
    *(f->next ? &f->next->prev : &p->last) = f->prev;
    p->nchildren--;
    f->prev = f->next = NULL;
    f->unlinked = true; /* keeps its parent: names are still looked up through it */
}

void frame_free(struct frame *f)
{
    CHECK(f->magic == FRAME_MAGIC && !f->first && !f->effect && !f->timer && !f->queued);
    if (f->parent && !f->unlinked)
        unlink_from_parent(f);
    if (f->ops->done)
        f->ops->done(f);
    shelf_release(f);
    box_unref(f->result);
    f->magic = 0;
    struct arena a = f->arena;
    arena_done(&a);
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

void frame_total(struct frame *f, size_t n)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    VAL_MAP_SET(&m, "total_items", val_int((int64_t)n));
    b->val = val_map_done(&m);
    frame_event(f, EVENT_NOTE, NULL, b);
    box_unref(b);
}

static size_t *count_of(struct run *r, enum frame_status s)
{
    return s == FRAME_WAITING    ? &r->sleeping
           : s == FRAME_AWAITING ? &r->awaiting
           : s == FRAME_HELD     ? &r->held
           : s == FRAME_PARKED   ? &r->parked
                                 : NULL;
}

/* What goes on in it goes on in all that is around it. */
static void count_busy(struct frame *f, int by)
{
    for (; f; f = f->parent)
        f->busy += (uint32_t)by;
}

static bool goes_on(enum frame_status s)
{
    return s == FRAME_WAITING || s == FRAME_AWAITING;
}

void frame_effect_begins(struct frame *f)
{
    f->effect = ++f->run->next_id;
    map_put(&f->run->effects, run_id_key(&f->effect), f);
    count_busy(f, 1);
}

struct frame *frame_effect_ended(struct run *r, uint64_t effect)
{
    struct frame *f = map_del(&r->effects, run_id_key(&effect));
    CHECK(f && f->effect == effect); /* exactly one report an effect */
    f->effect = 0;
    count_busy(f, -1);
    return f;
}

void frame_set_status(struct frame *f, enum frame_status s)
{
    if (goes_on(s) != goes_on(f->status))
        count_busy(f, goes_on(s) ? 1 : -1);
    size_t *from = count_of(f->run, f->status), *to = count_of(f->run, s);
    if (from)
        --*from;
    if (to)
        ++*to;
    f->status = s;
}

void frame_end(struct frame *f, bool ok, struct box *result)
{
    CHECK(f->status != FRAME_ENDED && !f->first && !f->effect);
    frame_timer_clear(f);
    workspace_leave(f);
    flight_leave(f);
    frame_set_status(f, FRAME_ENDED);
    f->ok = ok;
    f->result = result;
    run_queue(f, QUEUED_CHILD);
}

void frame_timer_set(struct frame *f, int64_t ms)
{
    CHECK(!f->timer);
    f->timer = ++f->run->next_id;
    map_put(&f->run->timers, run_id_key(&f->timer), f);
    f->run->io->timer(f->run->io_ctx, f->timer, ms);
}

void frame_timer_clear(struct frame *f)
{
    if (f->timer)
        map_del(&f->run->timers, run_id_key(&f->timer));
    f->timer = 0;
}

void frame_sleep(struct frame *f, int64_t ms)
{
    if (f->run->stopping) {
        frame_park(f);
        return;
    }
    frame_set_status(f, FRAME_WAITING);
    frame_timer_set(f, ms);
}

void frame_await(struct frame *f)
{
    frame_set_status(f, FRAME_AWAITING);
}

void frame_hold(struct frame *f, const char *why)
{
    frame_set_status(f, FRAME_HELD);
    for (struct frame *up = f; up; up = up->parent) /* nobody's timeout runs while a person is waited for */
        frame_timer_clear(up);
    if (!(f->past && f->past->held)) {
        struct val_map m = val_map_new(&f->run->scratch);
        VAL_MAP_SET(&m, "held", val_str(str_c(why)));
        struct val data = val_map_done(&m);
        run_append(f->run, RECORD_NOTE, f->path, f->attempt, &data);
    }
    f->failing = (struct failure){.rc = RC_INTERRUPTED, .message = arena_str(&f->arena, str_c(why))};
    frame_event(f, EVENT_HELD, why, NULL);
    workspace_held(f);
    f->run->io->wake(f->run->io_ctx);
}

void frame_park(struct frame *f)
{
    frame_set_status(f, FRAME_PARKED);
    f->run->io->wake(f->run->io_ctx);
}

void frame_drain(struct frame *f)
{
    frame_set_status(f, FRAME_DRAINING);
    frame_timer_clear(f);
    if (!f->first) {
        if (f->queued == QUEUED_NO)
            run_queue(f, QUEUED_DRAINED);
        return;
    }
    frame_cancel_children(f);
}

void frame_cancel_children(struct frame *f)
{
    for (struct frame *c = f->first; c; c = c->next)
        frame_cancel(c);
}

void frame_end_cancelled(struct frame *f)
{
    frame_end(f, false, error_box(RC_CANCELLED, STR(""), STR("cancelled"), f->attempt, f->path));
}

void frame_cancel(struct frame *f)
{
    if (f->status == FRAME_ENDED)
        return;
    f->failing = (struct failure){.rc = RC_CANCELLED, .message = STR("cancelled")};
    f->failing_set = true;
    if (f->effect) {
        frame_set_status(f, FRAME_DRAINING);
        frame_timer_clear(f);
        f->run->io->cancel(f->run->io_ctx, f->effect);
    } else {
        frame_drain(f);
    }
}

static void child_ended(struct frame *c)
{
    struct frame *p = c->parent;
    if (!p) {
        run_finish(c->run);
        return;
    }
    p->steps += c->steps;
    if (p->status == FRAME_DRAINING) {
        frame_free(c);
        if (!p->first && p->queued == QUEUED_NO)
            run_queue(p, QUEUED_DRAINED);
        return;
    }
    unlink_from_parent(c); /* the parent may end itself now */
    p->ops->child_done(p, c);
    if (!c->held_back)
        frame_free(c);
}

static void drained(struct frame *f)
{
    if (f->first)
        return; /* something is still ending */
    if (f->ops->drained)
        f->ops->drained(f);
    else
        frame_end_cancelled(f);
}

void frame_turn(struct frame *f)
{
    enum queued what = f->queued;
    f->queued = QUEUED_NO;
    f->run->wanted = str_n("", 0);
    if (what == QUEUED_CHILD) {
        child_ended(f);
    } else if (what == QUEUED_DRAINED || f->status == FRAME_DRAINING) {
        drained(f);
    } else if (f->run->stopping) {
        frame_park(f);
    } else if (what == QUEUED_MORE) {
        if (instance_has_memory(f))
            f->ops->more(f);
    } else if (what == QUEUED_TURN) {
        workspace_turn(f);
    } else if (what == QUEUED_CACHE) {
        cache_turn(f);
    } else {
        CHECK(what == QUEUED_ENTER);
        if (!instance_has_memory(f))
            return;
        frame_set_status(f, FRAME_RUNNING);
        f->ops->enter(f);
    }
}

void frame_stop(struct frame *child)
{
    frame_cancel(child);
}

void frame_more(struct frame *f)
{
    run_queue(f, QUEUED_MORE);
}

struct arena *frame_scratch(struct frame *f)
{
    return &f->run->scratch;
}

int64_t frame_now(const struct frame *f)
{
    return run_now(f->run);
}
