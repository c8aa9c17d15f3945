/* Those who carry out effects in the simulated world, and what they know.
 *
 * There are two of them (models, and everything else), each with a life of its own, in some worlds the engine's. What
 * the engine sends them arrives at once or a moment later, or, when the engine dies meanwhile, perhaps never. An
 * outcome that the engine was told is kept until it says that it is recorded, and all is forgotten when the run ends in
 * order: as role/keeper.c does. One who is asked about an effect of his own life that he does not know says that it
 * never began; the world remembers what began, and knows whether that is true. Included behind world.c. */
static size_t who(enum effect_kind kind)
{
    return kind == EFFECT_MODEL ? 0 : 1;
}

static void drop_event(struct world *w, size_t i)
{
    box_unref(w->events[i].request);
    box_unref(w->events[i].outcome);
    w->events[i] = w->events[--w->nevents];
}

static struct str life_text(const struct world *w, size_t of, char room[24])
{
    snprintf(room, 24, "life%llu", (unsigned long long)w->lives[of]);
    return str_c(room);
}

static struct str life_of(void *ctx, enum effect_kind kind)
{
    struct world *w = ctx;
    char room[24];
    size_t of = who(kind);
    if (w->alone)
        return STR("");
    if (w->now < w->absent_until[of])
        return (struct str){0};
    return arena_str(&w->arena, life_text(w, of, room));
}

/* Whoever is there when the event happens, is it the one that the engine named? */
static bool is_named(const struct world *w, const struct pending_event *p)
{
    char room[24];
    return str_is(life_text(w, who(p->effect), room), p->life);
}

/* ---- what the engine asks for ---- */

static void check_history(struct world *w, const struct pending_event *p);

static struct pending_event *orphan_of(struct world *w, const struct effect *e)
{
    for (size_t i = 0; i < w->nevents; i++)
        if (w->events[i].orphan && w->events[i].attempt == e->attempt && str_is(e->path, w->events[i].path))
            return &w->events[i];
    return NULL;
}

/* A message arrives in a moment, or as soon as somebody is there. */
static struct pending_event *send(struct world *w, const struct effect *e, int64_t delay)
{
    int64_t absent = w->absent_until[who(e->kind)] - w->now;
    struct pending_event *p = add_event(w, WORLD_EFFECT, (absent > 0 ? absent : 0) + delay);
    p->id = e->id;
    p->effect = e->kind;
    p->attempt = e->attempt;
    snprintf(p->path, sizeof p->path, "%.*s", STR_ARG(e->path));
    snprintf(p->life, sizeof p->life, "%.*s", STR_ARG(e->life));
    return p;
}

/* It goes on, or has ended meanwhile and was kept; or nobody knows. */
static void adopt_effect(struct world *w, const struct effect *e)
{
    if (!intent_durable(w, e->path, e->attempt))
        violate(w, "%.*s attempt %u was asked about without an intent", STR_ARG(e->path), e->attempt);
    struct pending_event *p = orphan_of(w, e);
    if (p) {
        w->adopted++;
        p->orphan = false;
        p->at = (p->at > w->now ? p->at : w->now) + (int64_t)choose(w, 3);
        p->id = e->id;
        return;
    }
    send(w, e, (int64_t)choose(w, 3))->unknown = true;
}

static struct str begun_key(struct world *w, const struct pending_event *p)
{
    return arena_printf(&w->arena, "%s %u", p->path, p->attempt);
}

/* Whoever carries it out has it now. */
static void arrive(struct world *w, struct pending_event *p)
{
    p->under_way = false;
    if (w->run && is_apply(p)) {
        check_turn(w, p);
        check_directory(w, p);
    }
    if (is_apply(p)) {
        struct str path = str_c(p->path);
        struct deed *d = deed_of(w, path);
        check_handlers(w, path);
        if (!intent_durable(w, path, p->attempt))
            violate(w, "%s attempt %u started before its intent was durable", d->path, p->attempt);
        files_begin(w, p);
        known_begins(w, p);
        if (p->effect == EFFECT_MODEL)
            check_history(w, p);
        if (d->committed)
            violate(w, "%s was executed again after its result was durable", d->path);
        if (d->started - d->finished - d->lost)
            violate(w, "%s was started while it was running", d->path);
        d->started++;
        w->kinds[p->effect].begun++;
        uint64_t *life = ARENA_NEW(&w->arena, uint64_t);
        *life = w->lives[who(p->effect)];
        map_put(&w->begun, begun_key(w, p), life);
    }
    p->at = w->now + (hangs(p->effect, str_c(p->path)) ? 10000000 : (int64_t)choose(w, 200));
}

static void start_effect(void *ctx, const struct effect *e)
{
    struct world *w = ctx;
    struct pending_event *p;
    if (e->kind == EFFECT_LOAD) { /* not recorded, and told as soon as it is read */
        p = add_event(w, WORLD_EFFECT, (int64_t)choose(w, 20));
        p->id = e->id;
        p->effect = e->kind;
        p->request = box_new(e->request);
        w->cover[COVER_LOADS].ran++;
        w->kinds[EFFECT_LOAD].begun++;
    } else if (e->reach) {
        send(w, e, 0)->reach = true;
        w->reached++;
    } else if (e->adopt) {
        adopt_effect(w, e);
    } else {
        bool later = choose(w, 4) == 0 || w->absent_until[who(e->kind)] > w->now;
        p = send(w, e, later ? (int64_t)choose(w, 20) : 0);
        p->request = box_new(e->request);
        p->under_way = later || (p->life[0] && !is_named(w, p));
        if (!p->under_way)
            arrive(w, p);
    }
}

/* ---- what comes of it ---- */

/* The last of the event: nothing more will be known of it. */
static void tell_class(struct world *w, size_t i, const char *class)
{
    struct arena a = {0};
    struct val v = text_of(&a, "class", class);
    uint64_t id = w->events[i].id;
    drop_event(w, i);
    run_effect_done(w->run, id, false, &v);
    arena_done(&a);
}

static void tell_never(struct world *w, size_t i)
{
    deed_of(w, str_c(w->events[i].path))->never = w->life;
    w->never++;
    tell_class(w, i, EFFECT_NEVER);
}

/* The answer to the question about an effect that is not known here. */
static void tell_unknown(struct world *w, size_t i)
{
    struct pending_event *p = &w->events[i];
    const uint64_t *life = map_get(&w->begun, begun_key(w, p));
    if (p->cancelled) {
        tell_class(w, i, "cancelled");
    } else if (!is_named(w, p)) {
        tell_class(w, i, EFFECT_UNKNOWN);
    } else {
        if (life && *life == w->lives[who(p->effect)])
            violate(w, "%s attempt %u has begun, and the engine believes that it has not", p->path, p->attempt);
        tell_never(w, i);
    }
}

static void load_ends(struct world *w, size_t i)
{
    struct pending_event p = w->events[i];
    struct away_reader r = world_reader(w);
    struct arena a = {0};
    struct val v;
    struct err err;
    if (p.cancelled) {
        tell_class(w, i, "cancelled");
        return;
    }
    struct str of = arena_str(&a, val_get_str(&p.request->val, STR("of"), STR("")));
    bool whole = val_get_bool(&p.request->val, STR("whole"), false);
    drop_event(w, i);
    if (away_load(&r, of, whole, &a, &v, &err) != RC_OK)
        violate(w, "what has left memory cannot be read back: %s", err.msg);
    else
        run_effect_done(w->run, p.id, true, &v);
    arena_done(&a);
}

/* The engine is told, and the outcome kept until it says that it has been recorded. */
static void tell_outcome(struct world *w, size_t i)
{
    struct pending_event *p = &w->events[i];
    uint64_t id = p->id;
    struct box *outcome = box_ref(p->outcome);
    p->told = true;
    bool recorded = run_effect_done(w->run, id, p->ok, &outcome->val);
    w->opened |= !recorded;
    for (i = 0; recorded && i < w->nevents; i++) /* they may have moved */
        if (w->events[i].told && w->events[i].id == id && !w->events[i].kept_with)
            w->events[i].kept_with = w->batch + 1;
    box_unref(outcome);
}

static void forget_durable(struct world *w, uint64_t batch)
{
    for (size_t i = w->nevents; i-- > 0;)
        if (w->events[i].told && w->events[i].kept_with && w->events[i].kept_with <= batch)
            drop_event(w, i);
}

/* It dies on the way, together with whoever carries it out: before, in or after the deed. */
static void effect_dies(struct world *w, const struct pending_event *p)
{
    struct arena a = {0};
    bool ok, apply = is_apply(p);
    if (choose(w, 2) == 0)
        (void)effect_result(w, p, &a, &ok);
    else if (apply && writes(p) && !p->cancelled)
        files_change(w, p, false);
    if (apply)
        deed_of(w, str_c(p->path))->lost++;
    w->kinds[p->effect].lost += apply;
    arena_done(&a);
}

static void effect_ends(struct world *w, size_t i)
{
    struct pending_event p = w->events[i];
    struct arena a = {0};
    struct deed *d = deed_of(w, str_c(p.path));
    bool apply = is_apply(&p), ok = false;
    /* Sometimes what carries this one out dies, and the one who started it lives on and says so. */
    bool dies = apply && w->crashes && !p.cancelled && choose(w, 20) == 0;
    struct val v = text_of(&a, "class", "interrupted");
    if (dies) {
        effect_dies(w, &p);
        w->interrupted++;
    } else {
        v = effect_result(w, &p, &a, &ok);
        d->finished += apply;
        w->kinds[p.effect].ended += apply && ok;
    }
    if (apply && ok && !d->due) {
        d->due = w->batch + 1;
        d->next_due = w->due;
        w->due = d;
    }
    w->events[i].outcome = box_new(&v);
    w->events[i].ok = ok;
    arena_done(&a);
    if (apply) {
        tell_outcome(w, i);
        return;
    }
    struct box *outcome = box_ref(w->events[i].outcome);
    drop_event(w, i);
    run_effect_done(w->run, p.id, ok, &outcome->val);
    box_unref(outcome);
}

static void effect_fires(struct world *w, size_t i)
{
    struct pending_event *p = &w->events[i];
    if (p->effect == EFFECT_LOAD) {
        load_ends(w, i);
    } else if (p->lost) {
        w->interrupted++;
        tell_class(w, i, "interrupted");
    } else if (p->unknown) {
        tell_unknown(w, i);
    } else if (p->reach && p->cancelled) {
        tell_class(w, i, "cancelled");
    } else if (p->reach) {
        uint64_t id = p->id;
        drop_event(w, i);
        run_effect_done(w->run, id, true, &val_null);
    } else if (p->under_way && p->life[0] && !is_named(w, p)) {
        tell_never(w, i);
    } else if (p->under_way) {
        arrive(w, p);
    } else if (p->outcome) {
        tell_outcome(w, i);
    } else {
        effect_ends(w, i);
    }
}

/* ---- deaths ---- */

/* Whoever carried it out is gone; the engine is not, and will be told of what it waits for. */
static void lose_effect(struct world *w, size_t i)
{
    struct pending_event *p = &w->events[i];
    if (p->effect == EFFECT_LOAD || p->reach || p->lost)
        return;
    if (!p->unknown && !p->under_way && !p->outcome)
        effect_dies(w, p);
    if (p->told || p->orphan) {
        drop_event(w, i);
        return;
    }
    p->lost = true;
    p->at = w->now;
}

static void executor_may_die(struct world *w)
{
    if (!w->crashes || w->alone || choose(w, 300))
        return;
    size_t of = (size_t)choose(w, 2);
    if (w->absent_until[of] > w->now)
        return;
    for (size_t i = w->nevents; i-- > 0;)
        if (w->events[i].kind == WORLD_EFFECT && who(w->events[i].effect) == of)
            lose_effect(w, i);
    w->lives[of]++;
    w->absent_until[of] = w->now + (int64_t)choose(w, 300);
    w->deaths++;
}

/* The run's life ends in order: nobody keeps anything for it any more, unless it was only suspended. */
static void leave_in_order(struct world *w)
{
    enum run_status status = run_status(w->run);
    bool kept = status == RUN_INTERRUPTED || status == RUN_RUNNING || !outbox_empty(w->outbox);
    for (size_t i = w->nevents; i-- > 0;) {
        struct pending_event *p = &w->events[i];
        if (p->told && kept) {
            p->told = false;
            p->orphan = true;
            p->kept_with = 0;
        } else if (p->orphan && !kept) {
            if (!p->outcome)
                effect_dies(w, p);
            drop_event(w, i);
        }
    }
}

/* The engine dies, and with it everything, or some, or nobody. What was on its way may have arrived. */
static void leave_orphan(struct world *w, size_t i, bool dies)
{
    struct pending_event *p = &w->events[i];
    bool gone = p->kind != WORLD_EFFECT || p->effect == EFFECT_LOAD || p->unknown || p->reach || p->lost;
    if (!gone && p->under_way) {
        gone = dies || !is_apply(p) || (p->life[0] && !is_named(w, p)) || choose(w, 2);
        if (!gone)
            arrive(w, p);
    } else if (!gone && !p->outcome && (dies || !is_apply(p))) {
        effect_dies(w, p);
        gone = true;
    }
    if (gone || (dies && p->outcome)) {
        drop_event(w, i);
        return;
    }
    p->orphan = true;
    p->told = false;
    p->kept_with = 0;
}
