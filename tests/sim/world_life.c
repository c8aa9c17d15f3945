/* The engine's side of the simulated world: the vtable through which it sees it, and its lives one after another, event
 * by event. Included behind the other files of the world. */
/* ---- events for people ---- */

static void count_event(void *ctx, const struct event *e)
{
    struct world *w = ctx;
    const struct step_type *t = step_type_find(e->type);
    size_t i = 0;
    while (t && step_type_at(i) != t)
        i++;
    struct coverage *c = &w->cover[t ? i : COVER_EFFECTS];
    switch (e->kind) {
    case EVENT_STARTED:
        c->ran++;
        break;
    case EVENT_FINISHED:
        c->ok++;
        c->continued += str_is(e->detail, "continued");
        break;
    case EVENT_FAILED:
        c->failed++;
        break;
    case EVENT_SKIPPED:
        c->skipped++;
        break;
    case EVENT_RETRY:
        c->retried++;
        break;
    case EVENT_WAIT:
        note_wait(w, e);
        break;
    case EVENT_HELD:
        c->held++;
        if (map_get(&w->deeds, e->path) && deed_of(w, e->path)->never == w->life)
            violate(w, "%.*s is held though it is known not to have begun", STR_ARG(e->path));
        break;
    default:
        break;
    }
}

static void effect_cancelled(void *ctx, uint64_t effect)
{
    struct world *w = ctx;
    struct arena a = {0};
    struct val v = text_of(&a, "class", "cancelled");
    run_effect_done(w->run, effect, false, &v);
    arena_done(&a);
}

static const struct outbox_ops outbox_ops = {start_effect, count_event, effect_cancelled, turn_left};

/* ---- flow/io.h ---- */

static int64_t io_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}
static uint64_t io_random(void *ctx)
{
    return rng_next(&((struct world *)ctx)->rng);
}
static void io_append(void *ctx, const struct record *r)
{
    outbox_append(((struct world *)ctx)->outbox, r);
}
static void io_effect(void *ctx, const struct effect *e)
{
    outbox_effect(((struct world *)ctx)->outbox, e);
}
static void io_emit(void *ctx, const struct event *e)
{
    outbox_event(((struct world *)ctx)->outbox, e);
}
static void io_wake(void *ctx)
{
    ((struct world *)ctx)->woken = true;
}
static void io_timer(void *ctx, uint64_t timer, int64_t ms)
{
    add_event(ctx, WORLD_TIMER, ms)->id = timer;
}

static void io_cancel(void *ctx, uint64_t effect)
{
    struct world *w = ctx;
    w->cover[COVER_CANCELS].cancelled++;
    if (outbox_cancel(w->outbox, effect)) {
        w->woken = true;
        return;
    }
    for (size_t i = 0; i < w->nevents; i++)
        if (w->events[i].kind == WORLD_EFFECT && w->events[i].id == effect && !w->events[i].orphan &&
            !w->events[i].told)
            w->events[i].cancelled = true, w->events[i].at = w->now + (int64_t)choose(w, 100);
}

static const struct flow_io io = {io_now,   io_random, io_append, io_effect,   io_cancel,    life_of,
                                  io_timer, io_emit,   io_wake,   io_turn_ask, io_turn_leave};

/* ---- the life of a world ---- */

void world_init(struct world *w, uint64_t seed, struct workflow *workflow, unsigned failure_percent)
{
    *w = (struct world){.seed = seed, .workflow = workflow, .now = 1000000, .failure_percent = failure_percent};
    w->alone = seed % 4 == 3;
    rng_seed(&w->choices, seed);
    rng_seed(&w->rng, seed ^ 0x5555);
    /* Most keep nothing for later readers, so that everything must be fetched. Whether answers are made up is a matter
     * of the workflow here, so that it is the same with every seed of a world. */
    w->options = (struct run_options){.id = STR("sim"),
                                      .workflow_sha256 = STR("0"),
                                      .shelf_bytes = seed % 3 ? 1 : 0,
                                      .keep_bytes = seed % 5 ? 1 : 0,
                                      .mocked = workflow->nall % 2};
}

static void drop_run(struct world *w)
{
    run_free(w->run);
    outbox_free(w->outbox);
    w->run = NULL;
    w->outbox = NULL;
}

void world_done(struct world *w)
{
    drop_run(w);
    box_unref(w->same_kept);
    while (w->nevents)
        drop_event(w, w->nevents - 1);
    free(w->events);
    map_done(&w->begun);
    free(w->disk);
    map_done(&w->once);
    map_done(&w->deeds);
    map_done(&w->attempts);
    map_done(&w->files);
    map_done(&w->sessions);
    map_done(&w->wishes);
    map_done(&w->taken);
    arena_done(&w->arena);
}

static void voided(void *ctx, struct str path, bool forked)
{
    (void)forked;
    violate(ctx, "unexpected void of %.*s", STR_ARG(path));
}

/* Where a run waits for money somebody raises its budget. */
static void start_run(struct world *w)
{
    struct budget own = w->workflow->budget;
    if (w->raised)
        w->workflow->budget = (struct budget){.usd = -1, .tokens = -1};
    run_start(w->run);
    w->workflow->budget = own;
}

void world_start(struct world *w, bool force)
{
    if (w->run) {
        const struct val *error = run_status(w->run) == RUN_WAITING ? run_error(w->run) : NULL;
        w->raised += str_is(val_get_str(error, STR("class"), STR("")), "budget");
        leave_in_order(w);
        drop_run(w);
    }
    for (size_t i = w->nevents; i-- > 0;) /* timers of the life before go; effects have ended, were lost, or go on */
        if (!w->events[i].orphan)
            drop_event(w, i);
    w->life++;
    w->outbox = outbox_new(&outbox_ops, w);
    w->turn_asked = w->turn_has = w->turn_leaving = false;
    w->batch = w->durable = 0; /* the outbox counts from the start of a life */
    w->options.force = force;
    w->options.stay = choose(w, 2) ? STAY_FOR_ANSWERS : STAY_NO;
    plan_answers(w);
    w->run = run_new(w->workflow, &w->options, &io, w);
    struct err err;
    for (size_t i = 0; i < w->ndisk; i++) {
        w->disk[i].batch = 0;
        if (w->disk[i].r.kind == RECORD_RESUME && run_resume_voids(&w->disk[i].r, voided, w, &err) != RC_OK)
            violate(w, "%s", err.msg);
        if (run_recover(w->run, &w->disk[i].r, &err) != RC_OK)
            violate(w, "recovery: %s", err.msg);
    }
    start_run(w);
    w->woken = true;
}

/* Retries want their time even when nothing else happens. */
static size_t next_event(struct world *w)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->nevents; i++) {
        const struct pending_event *e = &w->events[i], *b = best == SIZE_MAX ? e : &w->events[best];
        if (e->orphan || e->told)
            continue;
        if (best == SIZE_MAX || e->at < b->at || (e->at == b->at && e->order < b->order))
            best = i;
    }
    return best;
}

int64_t world_idle_ms(struct world *w)
{
    return w->woken || next_event(w) == SIZE_MAX ? 0 : w->events[next_event(w)].at - w->now;
}

static void seal(struct world *w)
{
    uint64_t batch = outbox_seal(w->outbox, take, w);
    if (batch) {
        w->batch = batch;
        /* durable in order: not before the one before */
        int64_t delay = (int64_t)choose(w, 30);
        for (size_t i = 0; i < w->nevents; i++)
            if (w->events[i].kind == WORLD_COMMIT && w->events[i].at > w->now + delay)
                delay = w->events[i].at - w->now;
        add_event(w, WORLD_COMMIT, delay)->id = batch;
    } else {
        outbox_release(w->outbox);
    }
}

static void fire(struct world *w)
{
    executor_may_die(w);
    size_t i = next_event(w);
    struct pending_event e = w->events[i];
    if (e.at > w->now)
        w->now = e.at;
    if (e.kind == WORLD_EFFECT) {
        effect_fires(w, i);
        return;
    }
    w->events[i] = w->events[--w->nevents];
    if (e.kind == WORLD_COMMIT) {
        made_durable(w, e.id);
        outbox_committed(w->outbox, e.id);
    } else if (e.kind == WORLD_TIMER) {
        run_timer(w->run, e.id);
    } else if (e.kind == WORLD_TURN) {
        turn_comes(w);
    } else if (run_status(w->run) == RUN_RUNNING) {
        give_answer(w, map_get(&w->wishes, str_c(e.path)));
    }
}

bool world_step(struct world *w)
{
    w->steps++;
    if (w->woken) {
        w->woken = false;
        if (run_work(w->run, 1 + (unsigned)choose(w, 8)))
            w->woken = true;
    } else if (next_event(w) != SIZE_MAX) {
        fire(w);
    } else if (run_status(w->run) == RUN_RUNNING) {
        violate(w, "the run is stuck: nothing will ever happen");
    }
    seal(w);
    run_check(w->run);
    if (w->violation[0])
        return false;
    return run_status(w->run) == RUN_RUNNING || !outbox_empty(w->outbox);
}

struct sha256 world_journal(const struct world *w)
{
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        buf_printf(&b, "%d %u %lld ", r->kind, r->attempt, (long long)r->time_ms);
        buf_add(&b, r->path);
        buf_addc(&b, ' ');
        buf_add(&b, r->data);
        buf_addc(&b, '\n');
    }
    struct sha256 h = sha256_of(buf_str(&b));
    buf_done(&b);
    return h;
}
