/* People in the simulated world: who approves, rejects and sends signals, to a living run or into the journal of one
 * that nobody carries on, early, late and twice. What was taken in is not lost, and taken once. Included behind
 * world.c. */
static struct wish *wish_of(struct world *w, struct str path, struct str name)
{
    struct wish *x = map_get(&w->wishes, path);
    if (!x) {
        x = ARENA_NEW(&w->arena, struct wish);
        snprintf(x->path, sizeof x->path, "%.*s", STR_ARG(path));
        snprintf(x->name, sizeof x->name, "%.*s", STR_ARG(name));
        x->next = w->first_wish;
        w->first_wish = x;
        map_put(&w->wishes, str_c(x->path), x);
    }
    return x;
}

static void plan_answer(struct world *w, const struct wish *x)
{
    if (x->done)
        return;
    struct pending_event *e = add_event(w, WORLD_ANSWER, (int64_t)choose(w, 3000));
    snprintf(e->path, sizeof e->path, "%s", x->path);
    if (choose(w, 8) == 0) { /* and once more */
        e = add_event(w, WORLD_ANSWER, (int64_t)choose(w, 6000));
        snprintf(e->path, sizeof e->path, "%s", x->path);
    }
}

static void note_wait(struct world *w, const struct event *e)
{
    struct str name = val_get_str(e->data, STR("signal"), STR("")), what = val_get_str(e->data, STR("for"), STR(""));
    bool never = str_starts(name, STR("never")) || str_is(val_get_str(e->data, STR("message"), STR("")), "never");
    if (!never && !str_is(what, "time"))
        plan_answer(w, wish_of(w, e->path, name));
}

static struct val signal_data(struct arena *a, const char *name)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "n", val_str(str_c(name)));
    return val_map_done(&m);
}

static struct val choice_of(struct arena *a, const char *path)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "choice", str_hash(str_c(path), 21) % 3 ? VAL_LIT("approve") : VAL_LIT("reject"));
    VAL_MAP_SET(&m, "by", VAL_LIT("sim"));
    return val_map_done(&m);
}

/* Somebody speaks to the living run. */
static void give_answer(struct world *w, struct wish *x)
{
    struct arena a = {0};
    struct err err;
    bool known = false;
    enum rc rc;
    if (x->name[0]) {
        struct val v = signal_data(&a, x->name), wrong = val_int(1);
        if (str_starts(str_c(x->name), STR("go_if")) && choose(w, 4) == 0 &&
            run_signal(w->run, str_c(x->name), &wrong, STR(""), STR(""), &known, &err) != RC_OK)
            w->answers[3]++;
        rc = run_signal(w->run, str_c(x->name), &v, str_c(x->path), STR("sim"), &known, &err);
        if (rc != RC_OK && rc != RC_BUSY)
            violate(w, "signal %s was refused: %s", x->name, err.msg);
        w->answers[known ? 2 : rc ? 3 : 0]++;
    } else {
        struct val v = choice_of(&a, x->path);
        rc = run_answer(w->run, str_c(x->path), &v, &err);
        if (rc != RC_OK && rc != RC_BUSY && rc != RC_NOT_FOUND)
            violate(w, "the answer at %s was refused: %s", x->path, err.msg);
        w->answers[rc ? 3 : 0]++;
    }
    arena_done(&a);
}

static bool on_disk(const struct world *w, enum record_kind kind, struct str path, uint32_t *attempt)
{
    *attempt = 0;
    for (size_t i = 0; i < w->ndisk; i++)
        if (w->disk[i].r.kind == kind && str_eq(w->disk[i].r.path, path) && w->disk[i].r.attempt > *attempt)
            *attempt = w->disk[i].r.attempt;
    return *attempt;
}

static void write_dead(struct world *w, const struct record *r)
{
    take(w, r);
    w->disk[w->ndisk - 1].batch = 0; /* durable at once */
    w->answers[1]++;
}

/* Somebody writes into the journal of a run that nobody carries on, as `treadle approve` and `signal` do. */
static void answer_dead(struct world *w, struct wish *x)
{
    struct arena a = {0};
    struct err err;
    struct val v, data;
    uint32_t intent, result, number;
    if (x->name[0]) {
        data = signal_data(&a, x->name);
        on_disk(w, RECORD_SIGNAL, STR(""), &number);
        CHECK(wait_signal_record(str_c(x->name), &data, str_c(x->path), STR("sim"), &a, &v, &err) == RC_OK);
        write_dead(w, &(struct record){.kind = RECORD_SIGNAL,
                                       .path = STR(""),
                                       .attempt = number + 1,
                                       .time_ms = w->now,
                                       .data = json_text(&a, &v)});
        x->done = true;
    } else if (on_disk(w, RECORD_INTENT, str_c(x->path), &intent) &&
               (!on_disk(w, RECORD_RESULT, str_c(x->path), &result) || result < intent)) {
        struct val_map m = val_map_new(&a), ok = val_map_new(&a);
        v = choice_of(&a, x->path);
        val_map_merge(&ok, &v);
        VAL_MAP_SET(&ok, "comment", VAL_LIT(""));
        VAL_MAP_SET(&ok, "data", val_null);
        VAL_MAP_SET(&m, "ok", val_map_done(&ok));
        data = val_map_done(&m);
        write_dead(w, &(struct record){.kind = RECORD_RESULT,
                                       .path = str_c(x->path),
                                       .attempt = intent,
                                       .time_ms = w->now,
                                       .data = json_text(&a, &data)});
        x->done = true;
    }
    arena_done(&a);
}

/* What a record that has become durable says about answers: they are not lost from now on, and taken once. */
static void note_answer(struct world *w, const struct record *r)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    bool result = r->kind == RECORD_RESULT && str_ends(r->path, STR("/wait:1"));
    if ((result || r->kind == RECORD_SIGNAL) && json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK) {
        struct wish *x = map_get(&w->wishes, result ? r->path : val_get_str(&v, STR("id"), STR("")));
        if (x && (!result || !x->name[0]))
            x->done = true;
        int64_t number = result ? val_get_int(&v, STR("signal"), 0) : 0;
        if (number && map_put(&w->taken, arena_printf(&w->arena, "%lld", (long long)number), w))
            violate(w, "signal %lld was taken twice, the second time at %.*s", (long long)number, STR_ARG(r->path));
    }
    arena_done(&a);
}

/* A new life: who did not get through tries again, or has written his answer meanwhile. Some come before anybody asks.
 */
static void plan_answers(struct world *w)
{
    for (size_t i = 0; i < w->workflow->nall && !w->ndisk; i++) {
        const struct step_def *d = w->workflow->all[i];
        struct str name = val_get_str(d->source, STR("signal"), STR(""));
        if (str_is(str_c(d->type->name), "wait_signal") && str_starts(name, STR("go")) && choose(w, 3) == 0)
            (void)wish_of(w, arena_printf(&w->arena, "early %.*s", STR_ARG(name)), name);
    }
    for (struct wish *x = w->first_wish; x; x = x->next) {
        if (!x->done && w->ndisk && choose(w, 3) == 0)
            answer_dead(w, x);
        if (x->name[0]) /* those who wait for a choice ask for it again */
            plan_answer(w, x);
    }
}
