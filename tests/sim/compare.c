/* When two trials of one workflow are the same: they end alike, with the same results, whatever crashed and in whatever
 * order what is parallel was done. Times and numbers of attempts are left out; of an error, its class and code count.
 *
 * One thing is a matter of time, and promised to nobody. Where a failure stops all that runs beside it (iterations of a
 * loop with break_on_error, chunks of a stream, branches of a parallel with fail: fast, steps of a graph), the one that
 * came first is the step's own, and its class decides what follows: whether it is tried again, what a handler reads. So
 * trials may differ, but for this reason only: in the same attempt of the same group it was another member that failed
 * first, with another class or code, and in neither trial had the first one of the other ended well. That is looked for
 * in the two journals when the trials differ, and nothing else excuses it; how often is counted. Included by
 * test_sim.c. */
struct outcome {
    uint64_t seed; /* with which it comes about again */
    struct workflow *workflow;
    enum run_status status;
    struct str results; /* canonical; what is left of them when times are left out */
    struct sha256 journal;
    uint64_t events, frames, records;
};

static uint64_t excused;

/* How long something took, and when a sleep ended, differs from life to life. */
static bool is_timing(struct str key)
{
    return str_is(key, "until") || str_is(key, "robustness_metadata") || str_is(key, "execution_time_ms") ||
           str_is(key, "performance_statistics") || str_is(key, "processed_at");
}

/* generate_known.c: which of them made it, and whether an interruption came, is a matter of time. */
static struct val bare_known(struct arena *a, struct str name, const struct val *v)
{
    struct val_map m = val_map_new(a);
    if (str_is(name, "same"))
        VAL_MAP_SET(&m, "text", val_str(val_get_str(v, STR("text"), STR(""))));
    return val_map_done(&m);
}

/* Messages say how often it was tried. */
static struct val bare_error(struct arena *a, const struct val *v)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "class", val_str(val_get_str(v, STR("class"), STR(""))));
    VAL_MAP_SET(&m, "code", val_str(val_get_str(v, STR("code"), STR(""))));
    return val_map_done(&m);
}

static struct val blanked(struct arena *a, const struct val *v)
{
    if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, blanked(a, &v->arr.v[i]));
        return val_list_done(&l);
    }
    if (v->type != VAL_OBJECT)
        return *v;
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *e = &v->obj.m[i];
        bool error = str_is(e->key, "error") || str_is(e->key, "why"); /* error_output */
        bool known = str_is(e->key, "same") || str_is(e->key, "frail");
        val_map_set(&m, e->key,
                    is_timing(e->key) ? val_true
                    : error           ? bare_error(a, &e->val)
                    : known           ? bare_known(a, e->key, &e->val)
                                      : blanked(a, &e->val));
    }
    return val_map_done(&m);
}

static void look(struct world *w, struct arena *a, struct outcome *o)
{
    struct val v = run_results(w->run, a);
    struct away_reader r = world_reader(w);
    struct err err;
    if (away_expand(&r, &v, a, &v, &err) != RC_OK)
        snprintf(w->violation, sizeof w->violation, "the results cannot be read back: %.400s", err.msg);
    v = blanked(a, &v);
    *o = (struct outcome){.seed = w->seed,
                          .workflow = w->workflow,
                          .status = run_status(w->run),
                          .results = run_status(w->run) == RUN_SUCCEEDED ? json_canonical(a, &v) : STR("-"),
                          .journal = world_journal(w),
                          .events = w->steps,
                          .records = w->ndisk,
                          .frames = (uint64_t)run_totals(w->run).frames};
}

static void show_journal(const struct world *w)
{
    const char *below = getenv("TREADLE_SIM_JOURNAL");
    for (size_t i = 0; below && i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        if (r->kind == RECORD_RESUME || str_starts(r->path, str_c(below)))
            printf("%llu at %lld: kind %d of %.*s, attempt %u: %.*s\n", (unsigned long long)r->seq,
                   (long long)r->time_ms, (int)r->kind, STR_ARG(r->path), r->attempt,
                   (int)(r->data.n < 200 ? r->data.n : 200), r->data.p);
    }
}

static bool complain(uint64_t seed, const char *what, const char *detail)
{
    printf("seed %llu: %s%s%s\n", (unsigned long long)seed, what, detail[0] ? ": " : "", detail);
    return false;
}

/* ---- which failure came first ---- */

struct first_failure {
    struct str group, member; /* the path below which members run, and the segment of the one that failed first */
    struct str class, code;
};

/* The list in which the step is written, or NULL. */
static const struct val *list_written(const struct val *in, struct str name)
{
    const struct val *found = NULL;
    for (size_t i = 0; in->type == VAL_OBJECT && !found && i < in->obj.n; i++)
        found = list_written(&in->obj.m[i].val, name);
    for (size_t i = 0; in->type == VAL_ARRAY && !found && i < in->arr.n; i++) {
        const struct val *one = &in->arr.v[i];
        found = str_eq(val_get_str(one, STR("name"), STR("")), name) ? in : list_written(one, name);
    }
    return found;
}

/* Do those below `group` run side by side, and does the first failure end them all? As they are written: of workflows
 * whose step has a type that is known late nothing is loaded before. */
static bool ends_with_the_first(const struct workflow *w, struct str group, struct str member)
{
    struct str rest;
    const struct val *list = list_written(w->source, plain_segment(member));
    bool graph = false;
    for (size_t i = 0; list && i < list->arr.n; i++)
        graph |= VAL_GET(&list->arr.v[i], "depends_on") != NULL;
    if (list)
        return graph;
    const struct val *step = step_written(w->source, plain_segment(last_segment(group, &rest)));
    struct str type = val_get_str(step, STR("type"), STR(""));
    if (!step || VAL_GET(step, "strategy"))
        return false;
    if (str_is(type, "for_loop"))
        return val_get_bool(step, STR("parallel"), false) && val_get_bool(step, STR("break_on_error"), true);
    if (str_is(type, "file_ops"))
        return str_eq(val_get_str(step, STR("operation"), STR("")), STR("stream_process"));
    return str_is(type, "parallel") && !VAL_GET(step, "fail");
}

struct ends {         /* of the members of such groups */
    struct map first; /* group -> first_failure */
    struct map well;  /* path -> itself */
    struct arena a;
};

static void ends_read(struct ends *e, const struct world *w)
{
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        struct val v;
        struct err err;
        if (r->kind != RECORD_DONE || json_parse(&e->a, r->data, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
            continue;
        const struct val *error = VAL_GET(&v, "error");
        struct first_failure *f = ARENA_NEW(&e->a, struct first_failure);
        f->member = last_segment(arena_str(&e->a, r->path), &f->group);
        f->class = val_get_str(error, STR("class"), STR(""));
        f->code = val_get_str(error, STR("code"), STR(""));
        if (!error)
            map_put(&e->well, arena_str(&e->a, r->path), f);
        else if (ends_with_the_first(w->workflow, f->group, f->member) && !map_get(&e->first, f->group))
            map_put(&e->first, f->group, f);
    }
}

static void ends_done(struct ends *e)
{
    map_done(&e->first);
    map_done(&e->well);
    arena_done(&e->a);
}

static bool ended_well(struct ends *e, const struct first_failure *f)
{
    return map_get(&e->well, arena_printf(&e->a, "%.*s/%.*s", STR_ARG(f->group), STR_ARG(f->member))) != NULL;
}

/* Did another member of some group fail first, for another reason? */
static bool another_came_first(const struct world *one, const struct world *other)
{
    struct ends x = {0}, y = {0};
    bool found = false;
    ends_read(&x, one);
    ends_read(&y, other);
    struct map_entry *e;
    for (size_t i = 0; !found && (e = map_next(&x.first, &i));) {
        const struct first_failure *f = e->value, *g = map_get(&y.first, e->key);
        found = g && !str_eq(f->member, g->member) && !(str_eq(f->class, g->class) && str_eq(f->code, g->code)) &&
                !ended_well(&x, g) && !ended_well(&y, f);
        if (found)
            printf("  (below %.*s first %.*s failed: %.*s; then first %.*s: %.*s)\n", STR_ARG(f->group),
                   STR_ARG(f->member), STR_ARG(f->class), STR_ARG(g->member), STR_ARG(g->class));
    }
    ends_done(&x);
    ends_done(&y);
    return found;
}

static void begin(struct world *w, uint64_t seed, struct workflow *wf, struct arena *a);
static bool finish(struct world *w);

static bool is_excused(const struct world *w, const struct outcome *want)
{
    struct arena a = {0};
    struct world other;
    begin(&other, want->seed, want->workflow, &a);
    bool yes = finish(&other) && another_came_first(&other, w);
    world_done(&other);
    arena_done(&a);
    excused += yes;
    return yes;
}

static bool compare(uint64_t seed, const struct world *w, const struct outcome *want, const struct outcome *got)
{
    if (w->violation[0])
        return complain(seed, "violation", w->violation);
    bool same = str_eq(want->results, got->results);
    if ((want->status == got->status && same) || is_excused(w, want))
        return true;
    if (want->status != got->status)
        return complain(seed, "ended differently", run_status_name(got->status));
    size_t at = 0;
    while (at < want->results.n && at < got->results.n && want->results.p[at] == got->results.p[at])
        at++;
    at = at > 100 ? at - 100 : 0;
    printf("want …%.200s\ngot  …%.200s\n", str_from(want->results, at).p, str_from(got->results, at).p);
    return complain(seed, "the results differ", "");
}
