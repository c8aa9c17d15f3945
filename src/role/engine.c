/* One run and its surroundings.
 *
 * At the end of every turn of the event loop (role/driver.h): the run does a bounded slice of work, what it appended is
 * sealed into a batch and handed to the store thread, and whatever waits for nothing is released. So one commit carries
 * all that happened in a turn, and while it is being made durable the next turn goes on. When more than a few batches
 * are under way the run is held back, so memory stays bounded by the disk's pace.
 *
 * A full disk pauses: batches come back and are submitted again, in order, every other second; nothing is released
 * meanwhile. A commit whose outcome is unknown ends the process's part in the run: the caller exits, and resume reads
 * what really is on disk.
 *
 * The clock given to the run never goes backwards, for records carry it.
 *
 * The fault points `engine.kill.before.KIND` and `engine.kill.after.KIND` (KIND: run, open, … as in record.h) kill the
 * process on the two sides of the commit of a batch that has such a record: before the store gets it, and when it is
 * durable but nothing has been released yet. */
#include "role/engine.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/panic.h"
#include "base/rng.h"
#include "data/val_cover.h"
#include "flow/outbox.h"
#include "flow/units.h"
#include "role/reread.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

enum { SLICE = 512, BATCHES_UNDER_WAY = 4, RETRY_DISK_MS = 2000, ROW_EVERY_MS = 250 };

struct submitted {
    struct submitted *next;
    struct engine *engine;
    uint64_t number;
    unsigned kinds;            /* bit 1 << k: the batch has a record of kind k */
    struct store_batch *batch; /* only while waiting to be submitted again */
    size_t nreported;
    uint64_t reported[]; /* effects whose results are durable with it */
};

struct engine_timer {
    struct engine *engine;
    struct engine_timer *prev, *next;
    uint64_t timer;
    ev_id id;
};

/* Somebody who wants to know when what was appended before is durable. */
struct durable {
    struct durable *next;
    uint64_t batch; /* 0: not sealed yet */
    void (*done)(void *ctx);
    void *ctx;
};

struct engine {
    struct driven driven;
    struct driver *driver;
    struct ev_loop *loop;
    struct store *store;
    struct port *model, *local;
    struct run *run;
    struct outbox *outbox;
    struct rng rng;
    struct arena arena;
    struct run_row row;
    void (*on_event)(void *ctx, const struct event *e);
    void (*on_pause)(void *ctx, const char *why);
    void (*on_end)(void *ctx);
    struct str (*on_last)(void *ctx, struct store_batch *b);
    void (*on_execute)(void *ctx, bool begins);
    void *ctx;
    struct engine_timer *timers;
    struct reread *reread;
    struct seat *seat;
    struct store_batch *first;           /* what the first batch begins with */
    struct store_batch *batch;           /* being filled by seal */
    unsigned kinds;                      /* of the records in it */
    struct submitted *back, **back_tail; /* came back from a full disk */
    struct durable *durable, **durable_tail;
    size_t under_way;
    uint64_t *reported; /* effects whose results the run was told since the last batch */
    size_t nreported, reported_cap;
    ev_id disk_timer, row_timer;
    bool more, paused, interrupted, failed, ended;
    struct err err;
    uint64_t sealed, committed; /* numbers of batches */
    int64_t last_row_ms, last_now_ms;
    enum run_status last_status;
};

/* ---- flow/io.h ---- */

static int64_t io_now(void *ctx)
{
    struct engine *g = ctx;
    int64_t now = clock_wall_ms();
    if (now > g->last_now_ms)
        g->last_now_ms = now;
    return g->last_now_ms;
}

static uint64_t io_random(void *ctx)
{
    return rng_next(&((struct engine *)ctx)->rng);
}
static void io_append(void *ctx, const struct record *r)
{
    outbox_append(((struct engine *)ctx)->outbox, r);
}
static void io_effect(void *ctx, const struct effect *e);
static void io_emit(void *ctx, const struct event *e)
{
    outbox_event(((struct engine *)ctx)->outbox, e);
}

static void touch(struct engine *g)
{
    if (g->driver)
        driver_touch(g->driver, &g->driven);
}

static void execute(struct engine *g, bool begins)
{
    if (g->on_execute)
        g->on_execute(g->ctx, begins);
}

static void io_wake(void *ctx)
{
    struct engine *g = ctx;
    g->more = true;
    touch(g);
}

static void io_cancel(void *ctx, uint64_t effect)
{
    struct engine *g = ctx;
    if (outbox_cancel(g->outbox, effect)) {
        io_wake(g);
        return;
    }
    g->model->cancel(g->model, effect); /* one of them knows it; the other ignores it */
    g->local->cancel(g->local, effect);
}

static void timer_free(struct engine_timer *t)
{
    *(t->prev ? &t->prev->next : &t->engine->timers) = t->next;
    if (t->next)
        t->next->prev = t->prev;
    free(t);
}

static void timer_fired(void *ctx)
{
    struct engine_timer *t = ctx;
    struct engine *g = t->engine;
    uint64_t timer = t->timer;
    timer_free(t);
    execute(g, true);
    run_timer(g->run, timer);
    execute(g, false);
    touch(g);
}

static void io_timer(void *ctx, uint64_t timer, int64_t delay_ms)
{
    struct engine *g = ctx;
    if (!g->loop)
        return; /* only for looking: time does not pass */
    struct engine_timer *t = calloc(1, sizeof *t);
    if (!t)
        PANIC("out of memory");
    *t = (struct engine_timer){.engine = g, .next = g->timers, .timer = timer};
    if (t->next)
        t->next->prev = t;
    g->timers = t;
    t->id = ev_timer(g->loop, delay_ms, timer_fired, t);
}

static struct str io_life(void *ctx, enum effect_kind kind)
{
    const struct engine *g = ctx;
    const struct port *p = kind == EFFECT_MODEL ? g->model : g->local;
    return p && p->life ? p->life(p) : STR("");
}

static bool io_turn_ask(void *ctx, struct turn_holder *who)
{
    struct engine *g = ctx;
    return !g->seat || seat_ask(g->seat, who);
}

static void io_turn_leave(void *ctx)
{
    struct engine *g = ctx;
    uint64_t number = g->seat ? seat_leave(g->seat) : 0;
    if (number)
        outbox_leave(g->outbox, number);
}

static void turn_granted(void *ctx)
{
    struct engine *g = ctx;
    execute(g, true);
    run_turn(g->run);
    execute(g, false);
    touch(g);
}

static const struct flow_io io = {io_now,   io_random, io_append, io_effect,   io_cancel,    io_life,
                                  io_timer, io_emit,   io_wake,   io_turn_ask, io_turn_leave};

/* ---- what the outbox releases ---- */

/* The run records what came of it in this very turn; with that batch the result needs no longer be held for us. */
static void note_reported(struct engine *g, uint64_t id)
{
    if (g->nreported == g->reported_cap) {
        g->reported_cap = g->reported_cap ? 2 * g->reported_cap : 16;
        g->reported = realloc(g->reported, g->reported_cap * sizeof *g->reported);
        CHECK(g->reported);
    }
    g->reported[g->nreported++] = id;
}

static void effect_done(void *ctx, uint64_t id, bool ok, const struct val *result)
{
    struct engine *g = ctx;
    if (run_status(g->run) == RUN_RUNNING) {
        struct val clean = val_covered(&g->arena, result);
        execute(g, true);
        if (run_effect_done(g->run, id, ok, &clean))
            note_reported(g, id);
        execute(g, false);
    }
    io_wake(g);
}

static void loaded(void *ctx, uint64_t id, bool ok, const struct val *result)
{
    struct engine *g = ctx;
    if (run_status(g->run) == RUN_RUNNING)
        run_effect_done(g->run, id, ok, result);
    io_wake(g);
}

static void start_load(struct engine *g, const struct effect *e)
{
    struct str of = val_get_str(e->request, STR("of"), STR(""));
    reread_start(g->reread, e->id, g->store ? store_file(g->store) : NULL, g->row.id, of,
                 val_get_bool(e->request, STR("whole"), false));
}

bool engine_load_now(struct engine *g, struct store *store)
{
    return reread_now(g->reread, store);
}

static void io_effect(void *ctx, const struct effect *e)
{
    struct engine *g = ctx;
    if (!g->driver && e->kind == EFFECT_LOAD) /* nothing will be committed, and what it asks for has been long ago */
        start_load(g, e);
    else
        outbox_effect(g->outbox, e);
}

static void start_effect(void *ctx, const struct effect *e)
{
    struct engine *g = ctx;
    if (e->kind == EFFECT_LOAD) {
        start_load(g, e);
        return;
    }
    struct port *p = e->kind == EFFECT_MODEL ? g->model : g->local;
    struct val clean = val_covered(&g->arena, e->request); /* templates can put together what came in pieces */
    struct effect out = *e;
    out.request = &clean;
    p->start(p, &out, effect_done, g);
}

static void show_event(void *ctx, const struct event *e)
{
    struct engine *g = ctx;
    if (g->on_event)
        g->on_event(g->ctx, e);
}

static void effect_cancelled(void *ctx, uint64_t effect)
{
    struct engine *g = ctx;
    struct val_map m = val_map_new(&g->arena);
    VAL_MAP_SET(&m, "class", VAL_LIT("cancelled"));
    VAL_MAP_SET(&m, "message", VAL_LIT("cancelled"));
    struct val v = val_map_done(&m);
    effect_done(g, effect, false, &v);
}

static void turn_left(void *ctx, uint64_t number)
{
    seat_left(((struct engine *)ctx)->seat, number);
}

static const struct outbox_ops outbox_ops = {start_effect, show_event, effect_cancelled, turn_left};

/* ---- committing ---- */

static void kill_here(const char *const points[], unsigned kinds)
{
    for (unsigned k = RECORD_RUN; k <= RECORD_SIGNAL; k++)
        if ((kinds & 1u << k) && fault_hit(points[k]))
            raise(SIGKILL);
}

#define KILL_POINTS(side)                                                                                 \
    {                                                                                                     \
        [RECORD_RUN] = "engine.kill." side ".run", [RECORD_OPEN] = "engine.kill." side ".open",           \
        [RECORD_INTENT] = "engine.kill." side ".intent", [RECORD_RESULT] = "engine.kill." side ".result", \
        [RECORD_DONE] = "engine.kill." side ".done", [RECORD_WRITE] = "engine.kill." side ".write",       \
        [RECORD_RESUME] = "engine.kill." side ".resume", [RECORD_NOTE] = "engine.kill." side ".note",     \
        [RECORD_END] = "engine.kill." side ".end", [RECORD_SIGNAL] = "engine.kill." side ".signal",       \
    }
static const char *const kill_before[] = KILL_POINTS("before");
static const char *const kill_after[] = KILL_POINTS("after");

static void fail(struct engine *g, const struct err *err)
{
    if (g->failed)
        return;
    g->failed = true;
    g->err = *err;
    touch(g);
}

static void submit(struct engine *g, struct submitted *s, struct store_batch *batch);

static void tell_durable(struct engine *g, uint64_t batch)
{
    while (g->durable && g->durable->batch && g->durable->batch <= batch) {
        struct durable *d = g->durable;
        g->durable = d->next;
        if (!g->durable)
            g->durable_tail = &g->durable;
        d->done(d->ctx);
        free(d);
    }
}

void engine_when_durable(struct engine *g, void (*done)(void *ctx), void *ctx)
{
    struct durable *d = calloc(1, sizeof *d);
    if (!d)
        PANIC("out of memory");
    *d = (struct durable){.done = done, .ctx = ctx};
    *g->durable_tail = d;
    g->durable_tail = &d->next;
    io_wake(g);
}

/* Whoever asked since the last seal waits for this batch, or (nothing was appended) for the newest one. */
static void mark_durable(struct engine *g)
{
    for (struct durable *d = g->durable; d; d = d->next)
        if (!d->batch)
            d->batch = g->sealed;
    tell_durable(g, g->committed);
}

static void try_disk_again(void *ctx)
{
    struct engine *g = ctx;
    g->disk_timer = 0;
    struct submitted *list = g->back;
    g->back = NULL;
    g->back_tail = &g->back;
    while (list) {
        struct submitted *s = list;
        list = s->next;
        submit(g, s, s->batch);
    }
}

static void came_back(struct engine *g, struct submitted *s)
{
    s->batch = store_take_back(g->store);
    s->next = NULL;
    *g->back_tail = s;
    g->back_tail = &s->next;
    if (!g->paused && g->on_pause)
        g->on_pause(g->ctx, "the disk with the journal is full; the run goes on by itself when there is room");
    g->paused = true;
    if (!g->disk_timer)
        g->disk_timer = ev_timer(g->loop, RETRY_DISK_MS, try_disk_again, g);
}

static void committed(void *ctx, enum rc rc, const struct err *err)
{
    struct submitted *s = ctx;
    struct engine *g = s->engine;
    g->under_way--;
    if (rc == RC_DISK_FULL) {
        came_back(g, s);
        return;
    }
    uint64_t number = s->number;
    if (rc != RC_OK) {
        free(s);
        fail(g, err);
        return;
    }
    kill_here(kill_after, s->kinds);
    for (size_t i = 0; i < s->nreported; i++) {
        if (g->model->kept)
            g->model->kept(g->model, s->reported[i]);
        if (g->local->kept)
            g->local->kept(g->local, s->reported[i]);
    }
    free(s);
    g->committed = number;
    tell_durable(g, number);
    if (g->paused && g->back && !g->disk_timer)
        try_disk_again(g); /* what was sealed meanwhile */
    if (g->paused && !g->back) {
        g->paused = false;
        if (g->on_pause)
            g->on_pause(g->ctx, NULL);
    }
    outbox_committed(g->outbox, number);
    io_wake(g);
}

static void submit(struct engine *g, struct submitted *s, struct store_batch *batch)
{
    s->batch = NULL;
    g->under_way++;
    kill_here(kill_before, s->kinds);
    store_submit(g->store, batch, committed, s);
}

static void take_record(void *ctx, const struct record *r)
{
    struct engine *g = ctx;
    g->kinds |= 1u << r->kind;
    store_batch_record(g->batch, g->row.id, r);
}

static void write_row(struct engine *g, struct store_batch *batch)
{
    int64_t now = io_now(g);
    enum run_status status = run_status(g->run);
    struct run_totals t = run_totals(g->run);
    const struct val *error = run_error(g->run);
    struct run_row row = g->row;
    row.status = str_c(run_status_name(status));
    row.error = val_get_str(error, STR("message"), STR(""));
    if (row.error.n > 500)
        row.error.n = str_utf8_valid(str_n(row.error.p, 500));
    row.updated_ms = now;
    row.input_tokens = t.input_tokens + t.cache_read_tokens + t.cache_write_tokens;
    row.output_tokens = t.output_tokens;
    row.cost_usd = units_usd_sum(t.cost_usd);
    row.steps_done = t.steps_done;
    store_batch_run(batch, &row);
    g->last_row_ms = now;
    g->last_status = status;
}

static void row_is_due(void *ctx)
{
    struct engine *g = ctx;
    g->row_timer = 0;
    if (g->failed || g->paused)
        return;
    struct store_batch *batch = store_batch_new();
    write_row(g, batch);
    store_submit(g->store, batch, NULL, NULL);
}

/* The summary row is written with what changes it, but at most four times a second: a change that must wait is caught
 * up with by a timer, so that `ps` is right about a run in which nothing happens for long. The end is told at once. */
static void add_row(struct engine *g)
{
    int64_t wait = g->last_row_ms + ROW_EVERY_MS - io_now(g);
    if (run_status(g->run) != g->last_status || wait <= 0)
        write_row(g, g->batch);
    else if (!g->row_timer)
        g->row_timer = ev_timer(g->loop, wait, row_is_due, g);
}

static void seal(struct engine *g)
{
    g->batch = g->first ? g->first : store_batch_new();
    g->kinds = 0;
    uint64_t number = outbox_seal(g->outbox, take_record, g);
    if (!number) {
        if (!g->first)
            store_batch_free(g->batch);
        g->batch = NULL;
        mark_durable(g);
        outbox_release(g->outbox);
        return;
    }
    g->sealed = number;
    mark_durable(g);
    g->first = NULL;
    if (g->on_last && run_status(g->run) != RUN_RUNNING)
        g->row.service = g->on_last(g->ctx, g->batch);
    add_row(g);
    struct submitted *s = calloc(1, sizeof *s + g->nreported * sizeof *g->reported);
    if (!s)
        PANIC("out of memory");
    *s = (struct submitted){.engine = g, .number = number, .kinds = g->kinds, .nreported = g->nreported};
    if (g->nreported)
        memcpy(s->reported, g->reported, g->nreported * sizeof *g->reported);
    g->nreported = 0;
    struct store_batch *batch = g->batch;
    g->batch = NULL;
    if (g->paused) { /* behind those that came back */
        s->batch = batch;
        *g->back_tail = s;
        g->back_tail = &s->next;
    } else {
        submit(g, s, batch);
    }
}

static void turn(struct driven *d)
{
    struct engine *g = (struct engine *)((char *)d - offsetof(struct engine, driven));
    if (!g->failed) {
        if (g->more && !g->paused && g->under_way < BATCHES_UNDER_WAY) {
            g->more = false;
            execute(g, true);
            if (run_work(g->run, SLICE))
                io_wake(g);
            execute(g, false);
        }
        seal(g);
        if (g->arena.chunk)
            arena_done(&g->arena);
    }
    if (!g->ended && (g->failed || (run_status(g->run) != RUN_RUNNING && outbox_empty(g->outbox)))) {
        g->ended = true;
        g->on_end(g->ctx); /* may free the engine */
    }
}

/* ---- life ---- */

struct engine *engine_new(const struct engine_options *o)
{
    struct engine *g = calloc(1, sizeof *g);
    if (!g)
        PANIC("out of memory");
    g->driver = o->driver;
    g->driven.turn = turn;
    g->loop = o->driver ? driver_loop(o->driver) : NULL;
    g->store = o->driver ? driver_store(o->driver) : NULL;
    g->model = o->model;
    g->local = o->local;
    g->row = o->row;
    g->on_event = o->on_event;
    g->on_pause = o->on_pause;
    g->on_end = o->on_end;
    g->on_last = o->on_last;
    g->on_execute = o->on_execute;
    g->ctx = o->ctx;
    g->back_tail = &g->back;
    g->durable_tail = &g->durable;
    rng_seed(&g->rng, rng_entropy());
    g->outbox = outbox_new(&outbox_ops, g);
    g->reread = reread_new(g->loop, loaded, g);
    if (o->turns && o->run.workspace.n)
        g->seat = seat_new(o->turns, o->run.workspace, o->row.id, turn_granted, g);
    g->run = run_new(o->workflow, &o->run, &io, g);
    if (g->driver)
        driver_join(g->driver, &g->driven);
    return g;
}

void engine_free(struct engine *g)
{
    if (!g)
        return;
    CHECK(!g->under_way || g->failed);
    if (g->driver)
        driver_leave(g->driver, &g->driven);
    reread_free(g->reread);
    seat_free(g->seat);
    while (g->timers) {
        ev_cancel(g->loop, g->timers->id);
        timer_free(g->timers);
    }
    if (g->disk_timer)
        ev_cancel(g->loop, g->disk_timer);
    if (g->row_timer)
        ev_cancel(g->loop, g->row_timer);
    while (g->back) {
        struct submitted *s = g->back;
        g->back = s->next;
        store_batch_free(s->batch);
        free(s);
    }
    while (g->durable) {
        struct durable *d = g->durable;
        g->durable = d->next;
        free(d);
    }
    if (g->first)
        store_batch_free(g->first);
    run_free(g->run);
    free(g->reported);
    outbox_free(g->outbox);
    arena_done(&g->arena);
    free(g);
}

struct run *engine_run(struct engine *g)
{
    return g->run;
}
const struct err *engine_error(const struct engine *g)
{
    return g->failed ? &g->err : NULL;
}

void engine_begin_with(struct engine *g, struct store_batch *b)
{
    CHECK(!g->first);
    g->first = b;
}

void engine_start(struct engine *g)
{
    run_start(g->run);
    io_wake(g);
}

void engine_interrupt(struct engine *g)
{
    if (g->paused && g->interrupted) {
        struct err err;
        err_set(&err, RC_DISK_FULL, "stopped while the disk was full; what was not written yet will be done again");
        fail(g, &err);
        return;
    }
    if (run_status(g->run) != RUN_RUNNING)
        return;
    if (!g->interrupted)
        run_suspend(g->run);
    else
        run_abort(g->run);
    g->interrupted = true;
    io_wake(g);
}

void engine_cancel(struct engine *g)
{
    run_cancel(g->run);
    io_wake(g);
}

void engine_touch(struct engine *g)
{
    io_wake(g);
}
