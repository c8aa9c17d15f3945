/* Effects start at once: the barrier between a record and what follows it is the outbox's business, tested with it. */
#include "unit/rig.h"

#include "base/buf.h"
#include "data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

size_t rig_shelf_bytes, rig_keep_bytes;
struct run_limits rig_limits;
bool rig_hold_loads;
bool rig_others_write;

static bool repeats(enum record_kind k)
{
    return k == RECORD_RESUME || k == RECORD_NOTE || k == RECORD_WRITE || k == RECORD_END;
}

static void keep_record(struct rig *g, const struct record *r)
{
    struct arena scratch = {0};
    struct val v;
    struct err err;
    if (json_parse(&scratch, r->data, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        fail_msg("record %d of %.*s cannot be read back: %s", r->kind, STR_ARG(r->path), err.msg);
    arena_done(&scratch);
    for (const struct rig_record *o = g->records; o && !repeats(r->kind); o = o->next)
        if (o->r.kind == r->kind && o->r.attempt == r->attempt && str_eq(o->r.path, r->path)) {
            print_error("written twice: %d %u %.*s\n", r->kind, r->attempt, STR_ARG(r->path));
            g->twice++;
            return;
        }
    struct rig_record *n = ARENA_NEW(&g->arena, struct rig_record);
    n->r = *r;
    n->r.seq = ++g->seq;
    n->r.path = arena_str(&g->arena, r->path);
    n->r.data = arena_str(&g->arena, r->data);
    *g->records_end = n;
    g->records_end = &n->next;
    g->nrecords++;
}

/* The journal's memory is not the run's. */
static void io_append(void *ctx, const struct record *r)
{
    struct account *before = account_charge(NULL);
    keep_record(ctx, r);
    account_charge(before);
}

static int64_t io_now(void *ctx)
{
    return ((struct rig *)ctx)->now;
}
static uint64_t io_random(void *ctx)
{
    (void)ctx;
    return 0;
}
static void io_emit(void *ctx, const struct event *e)
{
    ((struct rig *)ctx)->events[e->kind]++;
}
static void io_wake(void *ctx)
{
    (void)ctx;
}

static void io_effect(void *ctx, const struct effect *e)
{
    struct rig *g = ctx;
    struct rig_effect *n = ARENA_NEW(&g->arena, struct rig_effect);
    n->e = *e;
    n->e.path = arena_str(&g->arena, e->path);
    n->e.key = arena_str(&g->arena, e->key);
    n->e.life = arena_str(&g->arena, e->life);
    n->next = g->effects;
    g->effects = n;
    bool apply = str_is(val_get_str(e->request, STR("phase"), STR("apply")), "apply");
    g->settled += str_is(val_get_str(e->request, STR("phase"), STR("")), "settle");
    g->asked += !e->adopt && !e->reach && e->kind != EFFECT_WORKSPACE && (e->kind != EFFECT_COMMAND || apply);
}

static void io_cancel(void *ctx, uint64_t id)
{
    for (struct rig_effect *e = ((struct rig *)ctx)->effects; e; e = e->next)
        e->cancelled |= e->e.id == id;
}

static void io_timer(void *ctx, uint64_t id, int64_t ms)
{
    struct rig *g = ctx;
    struct rig_timer *n = ARENA_NEW(&g->arena, struct rig_timer);
    *n = (struct rig_timer){.next = g->timers, .id = id, .at = g->now + ms};
    g->timers = n;
}

static struct str io_life(void *ctx, enum effect_kind kind)
{
    const struct rig *g = ctx;
    (void)kind;
    return g->nobody ? (struct str){0} : str_c(g->life ? g->life : "");
}

static bool io_turn_ask(void *ctx, struct turn_holder *who)
{
    struct rig *g = ctx;
    assert_false(g->turn_waits);
    snprintf(who->z, sizeof who->z, "run other is writing there");
    g->turn_waits = g->others_write;
    g->turns += !g->others_write;
    return !g->others_write;
}

static void io_turn_leave(void *ctx)
{
    struct rig *g = ctx;
    g->leaves += !g->turn_waits;
    g->turn_waits = false;
}

static const struct flow_io rig_io = {io_now,   io_random, io_append, io_effect,   io_cancel,    io_life,
                                      io_timer, io_emit,   io_wake,   io_turn_ask, io_turn_leave};

static struct workflow *load(const char *yaml)
{
    struct arena a = {0};
    struct problems ps = {.a = &a};
    struct workflow *w = workflow_load(str_c(yaml), STR("rig.yaml"), &ps);
    for (size_t i = 0; i < ps.n && !w; i++)
        print_error("%u:%u: %.*s\n", ps.v[i].line, ps.v[i].col, STR_ARG(ps.v[i].text));
    arena_done(&a);
    assert_non_null(w);
    return w;
}

static void make_run(struct rig *g)
{
    struct err err;
    g->run = run_new(g->workflow, &g->options, &rig_io, g);
    for (struct rig_record *r = g->records; r; r = r->next)
        if (run_recover(g->run, &r->r, &err) != RC_OK)
            fail_msg("recovery: %s", err.msg);
}

void rig_start(struct rig *g, const char *yaml)
{
    *g = (struct rig){.now = 1000000,
                      .holds_loads = rig_hold_loads,
                      .others_write = rig_others_write,
                      .options = {.id = STR("rig"),
                                  .workflow_sha256 = STR("0"),
                                  .shelf_bytes = rig_shelf_bytes,
                                  .keep_bytes = rig_keep_bytes,
                                  .limits = rig_limits}};
    g->records_end = &g->records;
    g->workflow = load(yaml);
    struct err err;
    struct val *inputs = ARENA_NEW(&g->arena, struct val);
    if (workflow_inputs(g->workflow, &val_empty_object, &g->arena, inputs, &err) != RC_OK)
        fail_msg("inputs: %s", err.msg);
    g->options.inputs = inputs;
    make_run(g);
    run_start(g->run);
    rig_work(g);
}

static void forge_line(struct rig *g, const char *line, size_t n)
{
    struct rig_record *r = ARENA_NEW(&g->arena, struct rig_record);
    int kind, used = 0;
    char path[256];
    if (sscanf(line, "%d %u %255s %n", &kind, &r->r.attempt, path, &used) != 3 || !used)
        fail_msg("a forged record is `%s`", line);
    r->r.kind = (enum record_kind)kind;
    r->r.seq = ++g->seq;
    r->r.time_ms = g->now;
    r->r.path = arena_str(&g->arena, str_c(strcmp(path, ".") == 0 ? "" : path));
    r->r.data = arena_str(&g->arena, str_n(line + used, n - (size_t)used));
    *g->records_end = r;
    g->records_end = &r->next;
    g->nrecords++;
}

bool rig_forge(struct rig *g, const char *yaml, const char *journal)
{
    *g = (struct rig){.now = 1000000,
                      .holds_loads = rig_hold_loads,
                      .options = {.id = STR("rig"),
                                  .workflow_sha256 = STR("0"),
                                  .shelf_bytes = rig_shelf_bytes,
                                  .keep_bytes = rig_keep_bytes,
                                  .limits = rig_limits}};
    g->records_end = &g->records;
    g->workflow = load(yaml);
    for (const char *end; *journal; journal = end + (*end == '\n')) {
        end = strchrnul(journal, '\n');
        forge_line(g, journal, (size_t)(end - journal));
    }
    struct err err;
    g->run = run_new(g->workflow, &g->options, &rig_io, g);
    for (struct rig_record *r = g->records; r; r = r->next)
        if (run_recover(g->run, &r->r, &err) != RC_OK)
            return false;
    run_start(g->run);
    rig_work(g);
    return true;
}

void rig_done(struct rig *g)
{
    size_t twice = g->twice;
    rig_shelf_bytes = rig_keep_bytes = 0;
    run_free(g->run);
    workflow_unref(g->workflow);
    arena_done(&g->arena);
    assert_int_equal(twice, 0);
}

static void drop_run(struct rig *g)
{
    run_free(g->run);
    g->effects = NULL;
    g->timers = NULL;
    g->turn_waits = false;
    g->others_write = rig_others_write;
    g->leaves = g->turns;
}

void rig_restart(struct rig *g, size_t keep, bool force)
{
    drop_run(g);
    g->records_end = &g->records;
    g->nrecords = 0;
    while (*g->records_end && g->nrecords < keep) {
        g->records_end = &(*g->records_end)->next;
        g->nrecords++;
    }
    *g->records_end = NULL;
    g->options.force = force;
    make_run(g);
    run_start(g->run);
    rig_work(g);
}

void rig_restart_with(struct rig *g, const char *yaml, const char *voided)
{
    struct err err;
    drop_run(g);
    workflow_unref(g->workflow);
    g->workflow = load(yaml);
    g->run = run_new(g->workflow, &g->options, &rig_io, g);
    if (voided)
        run_void(g->run, str_c(voided), UINT64_MAX, false);
    for (struct rig_record *r = g->records; r; r = r->next)
        assert_int_equal(run_recover(g->run, &r->r, &err), RC_OK);
    run_start(g->run);
    rig_work(g);
}

static void end_effect(struct rig *g, struct rig_effect *e, bool ok, const char *json);

static int by_path(const void *a, const void *b)
{
    const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;
    int order = str_cmp(x->path, y->path);
    return order ? order : (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

static enum rc read_records(void *ctx, enum record_kind kind, struct str path, bool below,
                            bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err)
{
    struct rig *g = ctx;
    (void)err;
    const struct record **found = calloc(g->nrecords + 1, sizeof *found);
    assert_non_null(found);
    size_t n = 0;
    for (const struct rig_record *r = g->records; r; r = r->next) {
        bool under = str_starts(r->r.path, path) && r->r.path.n > path.n + 1 && r->r.path.p[path.n] == '/' &&
                     str_find(str_from(r->r.path, path.n + 1), STR("/")) == SIZE_MAX;
        if (r->r.kind == kind && (below ? under : str_eq(r->r.path, path)))
            found[n++] = &r->r;
    }
    qsort(found, n, sizeof *found, by_path);
    for (size_t i = 0; i < n && cb(cb_ctx, found[i]); i++)
        ;
    free(found);
    return RC_OK;
}

/* What has left memory comes back at once, unless the test wants to see it asked for. */
static bool load_one(struct rig *g)
{
    struct rig_effect **at = &g->effects;
    while (*at && (*at)->e.kind != EFFECT_LOAD)
        at = &(*at)->next;
    struct rig_effect *e = *at;
    if (!e || g->holds_loads)
        return false;
    *at = e->next;
    struct arena a = {0};
    struct val v;
    struct err err;
    struct away_reader r = {g, read_records};
    bool whole = val_get_bool(e->e.request, STR("whole"), false);
    struct str of = val_get_str(e->e.request, STR("of"), STR(""));
    size_t n = strlen(g->loaded);
    snprintf(g->loaded + n, sizeof g->loaded - n, "%.*s%s ", STR_ARG(of), whole ? "!" : "");
    if (away_load(&r, of, whole, &a, &v, &err) != RC_OK)
        fail_msg("%s", err.msg);
    g->loads++;
    run_effect_done(g->run, e->e.id, true, &v);
    arena_done(&a);
    return true;
}

/* What the rig answers by itself, so that tests see a command as one effect: its snapshot, and what it or an attempt
 * changed, which is nothing. And whatever is asked about after a crash, unless somebody keeps it. */
static struct rig_effect *own_answer(const struct rig *g, bool *ok, const char **json)
{
    for (struct rig_effect *e = g->effects; e; e = e->next) {
        struct str phase = val_get_str(e->e.request, STR("phase"), STR(""));
        *ok = true;
        *json = NULL;
        if (e->e.adopt && !g->keeps)
            *ok = false, *json = "{\"class\": \"" EFFECT_UNKNOWN "\"}";
        else if (e->e.adopt || e->cancelled)
            continue;
        else if (e->e.kind == EFFECT_WORKSPACE)
            *json = "{\"restored\": 0}";
        else if (e->e.kind == EFFECT_COMMAND && str_is(phase, "prepare"))
            *json = "{\"plan\": {\"snapshot\": \"0\"}}";
        else if (e->e.kind == EFFECT_COMMAND && str_is(phase, "settle"))
            *json = "{\"outcome\": \"kept\"}";
        if (*json)
            return e;
    }
    return NULL;
}

void rig_work(struct rig *g)
{
    bool ok = true;
    const char *json = NULL;
    for (struct rig_effect *e = NULL;; e ? end_effect(g, e, ok, json) : (void)0) {
        e = NULL;
        while (run_work(g->run, 100))
            run_check(g->run);
        run_check(g->run);
        if (load_one(g))
            continue;
        e = own_answer(g, &ok, &json);
        if (!e)
            return;
    }
}

struct rig_effect *rig_effect(struct rig *g, const char *path)
{
    for (struct rig_effect *e = g->effects; e; e = e->next)
        if (str_is(e->e.path, path))
            return e;
    return NULL;
}

static void end_effect(struct rig *g, struct rig_effect *e, bool ok, const char *json)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    struct rig_effect **at = &g->effects;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (json_parse(&a, str_c(json), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        fail_msg("%s", err.msg);
    run_effect_done(g->run, e->e.id, ok, &v);
    arena_done(&a);
    rig_work(g);
}

static void answer(struct rig *g, const char *path, bool ok, const char *json)
{
    struct rig_effect *e = rig_effect(g, path);
    if (!e) {
        for (e = g->effects; e; e = e->next)
            print_error("pending: %.*s\n", STR_ARG(e->e.path));
        fail_msg("nothing is pending at %s", path);
        return;
    }
    end_effect(g, e, ok, json);
}

void rig_ok(struct rig *g, const char *path, const char *json)
{
    answer(g, path, true, json);
}

void rig_error(struct rig *g, const char *path, const char *json)
{
    answer(g, path, false, json);
}

void rig_turn(struct rig *g)
{
    assert_true(g->turn_waits);
    g->others_write = false;
    g->turn_waits = false;
    g->turns++;
    run_turn(g->run);
    rig_work(g);
}

void rig_stop(struct rig *g)
{
    for (struct rig_effect *e = g->effects; e;) {
        if (e->cancelled) {
            end_effect(g, e, false, "{\"class\": \"cancelled\"}");
            e = g->effects;
        } else {
            e = e->next;
        }
    }
}

void rig_pass(struct rig *g, int64_t ms)
{
    int64_t until = g->now + ms;
    for (;;) {
        struct rig_timer **first = NULL;
        for (struct rig_timer **t = &g->timers; *t; t = &(*t)->next)
            if ((*t)->at <= until &&
                (!first || (*t)->at < (*first)->at || ((*t)->at == (*first)->at && (*t)->id < (*first)->id)))
                first = t;
        if (!first)
            break;
        struct rig_timer *t = *first;
        *first = t->next;
        g->now = t->at > g->now ? t->at : g->now;
        run_timer(g->run, t->id);
        rig_work(g);
    }
    g->now = until;
}

size_t rig_count(const struct rig *g, enum record_kind kind, const char *path)
{
    size_t n = 0;
    for (const struct rig_record *r = g->records; r; r = r->next)
        n += r->r.kind == kind && str_is(r->r.path, path);
    return n;
}

const char *rig_data(const struct rig *g, enum record_kind kind, const char *path)
{
    const char *found = "";
    for (const struct rig_record *r = g->records; r; r = r->next)
        if (r->r.kind == kind && str_is(r->r.path, path))
            found = r->r.data.p;
    return found;
}

const char *rig_results(struct rig *g)
{
    struct val v = run_results(g->run, &g->arena);
    struct away_reader r = {g, read_records};
    struct err err;
    if (away_expand(&r, &v, &g->arena, &v, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return json_text(&g->arena, &v).p;
}

const char *rig_run_error(struct rig *g)
{
    return run_error(g->run) ? json_text(&g->arena, run_error(g->run)).p : "";
}

void rig_assert_status(struct rig *g, enum run_status s)
{
    if (run_status(g->run) != s)
        fail_msg("the run is %s, expected %s; %s", run_status_name(run_status(g->run)), run_status_name(s),
                 rig_run_error(g));
    assert_int_equal(g->twice, 0);
}
