/* Admission and the lives of runs.
 *
 * Whenever a place may have become free, admission takes from the queue (host_queue.c) while there is room. One
 * run is loaded in a turn of the loop, so that recovering many long journals never makes the process miss a heartbeat.
 *
 * A run that waits for somebody is unloaded. What it waits for is in its journal; only the earliest time at which it
 * must be looked at again is kept.
 *
 * Suspects, runs that were charged with a crash, are carried on one at a time and only when all others have been: if
 * the process dies again, it is clear of which. The third charge puts a run aside. */
#include "role/host_int.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/keyprint.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "flow/away.h"
#include "role/outcome.h"
#include "role/run_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RUNNING_MAX = 200, SUSPECT_GAP_MS = 500, DUE_AT_ONCE = 1 };

/* ---- the table of runs ---- */

static char *copy(struct str s)
{
    char *z = calloc(1, s.n + 1);
    CHECK(z);
    if (s.n)
        memcpy(z, s.p, s.n);
    return z;
}

struct hosted *host_find(const struct host *h, struct str id)
{
    return map_get(&h->runs, id);
}

struct hosted *host_add(struct host *h, struct str id, struct str group, struct str idem, int64_t priority)
{
    struct hosted *r = calloc(1, sizeof *r);
    CHECK(r);
    *r = (struct hosted){.host = h, .order = ++h->order, .priority = priority, .id = copy(id), .group = copy(group)};
    r->state = HOSTED_WAITING;
    if (idem.n) {
        r->idem = copy(idem);
        map_put(&h->idems, str_c(r->idem), r);
    }
    map_put(&h->runs, str_c(r->id), r);
    return r;
}

void host_forget(struct hosted *r)
{
    CHECK(!r->carried);
    if (r->state == HOSTED_QUEUED)
        host_unqueue(r);
    map_del(&r->host->runs, str_c(r->id));
    if (r->idem && map_get(&r->host->idems, str_c(r->idem)) == r)
        map_del(&r->host->idems, str_c(r->idem));
    free(r->id);
    free(r->group);
    free(r->idem);
    free(r);
}

/* ---- rows ---- */

struct str host_service_text(const struct hosted *r, struct arena *a)
{
    struct val_map m = val_map_new(a);
    if (r->idem)
        VAL_MAP_SET(&m, "idem", val_str(str_c(r->idem)));
    if (r->asked[0])
        VAL_MAP_SET(&m, "asked", val_str(str_c(r->asked)));
    VAL_MAP_SET(&m, "group", val_str(str_c(r->group)));
    VAL_MAP_SET(&m, "priority", val_int(r->priority));
    VAL_MAP_SET(&m, "charges", val_int(r->charges));
    if (r->due_ms)
        VAL_MAP_SET(&m, "due_ms", val_int(r->due_ms));
    if (r->outcome[0])
        VAL_MAP_SET(&m, "outcome", val_str(str_c(r->outcome)));
    struct val v = val_map_done(&m);
    return json_text(a, &v);
}

static void on_written(void *ctx, enum rc rc, const struct err *err)
{
    struct host *h = ctx;
    if (rc != RC_OK && rc != RC_DISK_FULL && !h->failed) {
        h->failed = true;
        h->o.failed(h->o.ctx, err);
    } else if (rc == RC_DISK_FULL) {
        store_batch_free(store_take_back(h->o.store)); /* rows are written again with what changes next */
    }
}

static void write_status(struct hosted *r, const char *status, struct str error)
{
    struct host *h = r->host;
    struct arena a = {0};
    struct run_row row;
    struct err err;
    if (store_run(h->o.store, str_c(r->id), &a, &row, &err) == RC_OK) {
        row.status = str_c(status);
        row.error = error;
        row.updated_ms = clock_wall_ms();
        row.service = host_service_text(r, &a);
        struct store_batch *b = store_batch_new();
        store_batch_run(b, &row);
        store_submit(h->o.store, b, on_written, h);
    }
    arena_done(&a);
}

/* ---- carrying a run on ---- */

static struct val where_of(struct hosted *r, struct arena *a)
{
    const struct history *y = &r->carried->history;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "run_dir", val_str(arena_printf(a, "%s/runs/%s", r->host->o.home, r->id)));
    VAL_MAP_SET(&m, "workspace", val_str(y->workspace));
    VAL_MAP_SET(&m, "output_dir", val_str(y->output_dir));
    VAL_MAP_SET(&m, "workflow_dir", val_str(y->workflow_dir));
    size_t n;
    const struct str *secrets = called_secrets(r->carried->workflow, a, &n);
    struct val_list names = val_list_new(a);
    for (size_t i = 0; i < n; i++)
        val_list_push(&names, val_str(secrets[i]));
    VAL_MAP_SET(&m, "secrets", val_list_done(&names));
    VAL_MAP_SET(&m, "confined", val_bool(str_is(r->carried->files.root_path, HOST_REQUEST_PATH)));
    VAL_MAP_SET(&m, "state_dir", val_str(str_c(r->host->o.home)));
    VAL_MAP_SET(&m, "sessions_dir", /* what scripted models say must not mix with real conversations */
                val_str(arena_printf(a, "%s/sessions%s", r->host->o.home, r->host->o.mock ? "/mock" : "")));
    VAL_MAP_SET(&m, "cache_dir",
                val_str(arena_printf(a, "%s/cache%s", r->host->o.home, r->host->o.mock ? "/.mock" : "")));
    VAL_MAP_SET(&m, "checkpoints_dir",
                val_str(arena_printf(a, "%s/checkpoints%s", r->host->o.home, r->host->o.mock ? "/.mock" : "")));
    return val_map_done(&m);
}

static void take_min_due(void *ctx, const struct run_wait *w)
{
    int64_t *due = ctx, until = val_get_int(w->wait, STR("until_ms"), 0);
    if (until && (!*due || until < *due))
        *due = until;
}

static void arm_due(const struct hosted *r);
static void host_unload(struct hosted *r, bool forget);

/* With the end goes the outcome, as it is told from now on without carrying the run on again: a blob, named by the row.
 */
static struct str on_last(void *ctx, struct store_batch *b)
{
    struct hosted *r = ctx;
    struct carried *c = r->carried;
    const struct run *run = engine_run(c->engine);
    struct arena a = {0};
    struct val answer = outcome_of(run, str_c(r->id), &a), refs = away_places(&a, &answer);
    if (refs.type != VAL_NULL) { /* what has left memory is put in its place when the outcome is told */
        struct val_map m = val_map_new(&a);
        val_map_merge(&m, &answer);
        VAL_MAP_SET(&m, "refs", refs);
        answer = val_map_done(&m);
    }
    struct str text = json_text(&a, &answer);
    r->due_ms = 0;
    if (run_status(run) == RUN_WAITING)
        run_each_wait(run, take_min_due, &r->due_ms);
    r->outcome[0] = 0;
    if (text.n < STORE_DATA_MAX) {
        struct sha256 x = sha256_of(text);
        struct sha256_hex hex = sha256_hex(&x);
        memcpy(r->outcome, hex.z, sizeof r->outcome);
        store_batch_blob(b, text);
    }
    arena_done(&a);
    return host_service_text(r, &c->arena);
}

static void on_execute(void *ctx, bool begins)
{
    struct hosted *r = ctx;
    struct host *h = r->host;
    if (h->o.executing)
        h->o.executing(h->o.ctx, str_c(begins ? r->id : ""), begins ? engine_run(r->carried->engine) : NULL);
}

static void on_end(void *ctx)
{
    struct hosted *r = ctx;
    struct host *h = r->host;
    struct engine *g = r->carried->engine;
    if (engine_error(g)) {
        if (!h->failed) {
            h->failed = true;
            h->o.failed(h->o.ctx, engine_error(g));
        }
        return;
    }
    enum run_status status = run_status(engine_run(g));
    if (status == RUN_WAITING || status == RUN_INTERRUPTED) {
        host_unload(r, status == RUN_WAITING);
        r->state = HOSTED_WAITING;
        r->suspect = false;
        arm_due(r);
    } else {
        host_unload(r, true);
        host_forget(r);
    }
    host_admit_soon(h);
}

/* Said once for all of them, for it is the same disk. */
static void on_pause(void *ctx, const char *why)
{
    struct hosted *r = ctx;
    struct host *h = r->host;
    bool others = false;
    for (const struct carried *c = h->carried; c; c = c->next)
        others |= c != r->carried && c->paused;
    r->carried->paused = why != NULL;
    if (others)
        return;
    if (why)
        log_line(LOG_ERROR, "%s: %s; make room", store_file(h->o.store), why);
    else
        log_line(LOG_INFO, "%s has room again: runs go on", store_file(h->o.store));
}

static void host_unload(struct hosted *r, bool forget)
{
    struct carried *c = r->carried;
    if (!c)
        return;
    if (!fault_hit("host.unfreed")) /* a seeded bug for the parked campaign to catch */
        engine_free(c->engine);
    remote_port_free(c->model, forget);
    remote_port_free(c->local, forget);
    workflow_unref(c->workflow);
    arena_done(&c->arena);
    *(c->prev ? &c->prev->next : &r->host->carried) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c);
    r->carried = NULL;
    r->host->ncarried--;
    host_recount(r);
}

static enum rc read_pinned(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                           struct workflow_text *ret, struct err *err)
{
    (void)a;
    return called_find(ctx, from, name, stored, ret, err);
}

static enum rc load_workflow(struct carried *c, struct store *s, struct err *err)
{
    struct workflow_text t = {.file = c->history.file, .dir = c->history.workflow_dir};
    struct problems ps = {.a = &c->arena};
    c->files.a = &c->arena;
    enum rc rc = called_from(&c->files, c->history.files, s, err);
    if (rc == RC_OK)
        rc = store_blob(s, c->history.workflow_sha256, &c->arena, &t.text, err);
    if (rc != RC_OK)
        return rc;
    t.path = c->files.root_path;
    c->workflow = workflow_load_with(&t, &(struct workflow_reader){.read = read_pinned, .ctx = &c->files}, &ps);
    if (c->workflow)
        return RC_OK;
    const struct problem *first = ps.n ? &ps.v[0] : &(struct problem){.text = STR("no reason was given")};
    return err_set(err, RC_VERSION, "the pinned workflow cannot be loaded any more: %u:%u: %.*s", first->line,
                   first->col, STR_ARG(first->text));
}

enum rc host_load(struct hosted *r, struct err *err)
{
    struct host *h = r->host;
    struct carried *c = calloc(1, sizeof *c);
    CHECK(c && !r->carried);
    r->carried = c;
    c->hosted = r;
    c->next = h->carried;
    if (c->next)
        c->next->prev = c;
    h->carried = c;
    h->ncarried++;
    host_recount(r);
    struct str id = str_c(r->id);
    enum rc rc = history_read(h->o.store, id, &c->arena, &c->history, err);
    if (rc == RC_OK)
        rc = load_workflow(c, h->o.store, err);
    if (rc != RC_OK) {
        host_unload(r, false);
        return rc;
    }
    struct val where = where_of(r, &c->arena);
    struct val_map settings = val_map_new(&c->arena);
    run_env_add(&settings, &c->arena, !c->history.started);
    c->env = val_map_done(&settings);
    c->model = remote_port(h->egress, id, &where);
    c->local = remote_port(h->executor, id, &where);
    c->engine = engine_new(&(struct engine_options){.driver = h->driver,
                                                    .model = c->model,
                                                    .local = c->local,
                                                    .turns = h->turns,
                                                    .workflow = c->workflow,
                                                    .run = {.id = id,
                                                            .inputs = &c->history.inputs,
                                                            .env = &c->env,
                                                            .workflow_sha256 = c->history.workflow_sha256,
                                                            .workspace = c->history.workspace,
                                                            .output_dir = c->history.output_dir,
                                                            .workflow_dir = c->history.workflow_dir,
                                                            .inputs_found = true,
                                                            .force = r->force,
                                                            .mocked = h->o.mock,
                                                            .limits = h->o.limits},
                                                    .row = {.id = id,
                                                            .workflow = c->workflow->name,
                                                            .workspace = c->history.workspace,
                                                            .file = c->history.file,
                                                            .created_ms = c->history.created_ms},
                                                    .on_pause = on_pause,
                                                    .on_end = on_end,
                                                    .on_last = on_last,
                                                    .on_execute = on_execute,
                                                    .ctx = r});
    if (c->history.started)
        rc = history_feed(h->o.store, id, engine_run(c->engine), NULL, 0, err);
    if (rc != RC_OK)
        host_unload(r, false);
    return rc;
}

void host_start(struct hosted *r)
{
    r->state = HOSTED_RUNNING;
    r->force = false;
    r->due_ms = 0;
    engine_start(r->carried->engine);
}

/* A run that cannot be carried on is not tried again and again. */
static void give_up(struct hosted *r, const struct err *err)
{
    log_line(LOG_ERROR, "run %s cannot be carried on: %s", r->id, err->msg);
    r->state = HOSTED_QUARANTINED;
    write_status(r, "quarantined", str_c(err->msg));
}

static void carry_on(struct hosted *r)
{
    struct host *h = r->host;
    struct err err;
    host_unqueue(r);
    r->state = HOSTED_RUNNING;
    if (h->o.executing)
        h->o.executing(h->o.ctx, str_c(r->id), NULL);
    if (host_load(r, &err) == RC_OK)
        host_start(r);
    else
        give_up(r, &err);
    if (h->o.executing)
        h->o.executing(h->o.ctx, STR(""), NULL);
}

/* ---- admission ---- */

static bool any_suspect_running(const struct host *h)
{
    for (const struct carried *c = h->carried; c; c = c->next)
        if (c->hosted->suspect)
            return true;
    return false;
}

/* Survived for a while: acquitted, as far as the next suspect is concerned. */
static void next_suspect(void *ctx)
{
    struct host *h = ctx;
    h->suspect_timer = 0;
    for (struct carried *c = h->carried; c; c = c->next)
        c->hosted->suspect = false;
    host_admit_soon(h);
}

static void admit(void *ctx)
{
    struct host *h = ctx;
    h->admit_timer = 0;
    if (h->draining || h->failed || !h->begun || h->ncarried >= h->o.max_running)
        return;
    struct hosted *r = host_next(h);
    if (!r || (r->suspect && any_suspect_running(h)))
        return;
    bool suspect = r->suspect;
    carry_on(r);
    if (suspect && !h->suspect_timer)
        h->suspect_timer = ev_timer(h->o.loop, SUSPECT_GAP_MS, next_suspect, h);
    host_admit_soon(h); /* the next one in the next turn */
}

/* Admission looks at the queue soon. */
void host_admit_soon(struct host *h)
{
    if (!h->admit_timer)
        h->admit_timer = ev_timer(h->o.loop, 0, admit, h);
}

/* ---- times at which waiting runs want to be looked at ---- */

static void due(void *ctx);

/* Of one that waits. */
static void arm_due(const struct hosted *r)
{
    struct host *h = r->host;
    int64_t now = clock_wall_ms();
    if (!r->due_ms || h->draining || (h->due_timer && h->due_at <= r->due_ms))
        return;
    ev_cancel(h->o.loop, h->due_timer);
    h->due_at = r->due_ms;
    h->due_timer = ev_timer(h->o.loop, r->due_ms > now ? r->due_ms - now : 0, due, h);
}

static void due(void *ctx)
{
    struct host *h = ctx;
    int64_t now = clock_wall_ms();
    struct map_entry *e;
    h->due_timer = 0;
    for (size_t i = 0; (e = map_next(&h->runs, &i));) {
        struct hosted *r = e->value;
        if (r->state != HOSTED_WAITING || !r->due_ms)
            continue;
        if (r->due_ms <= now)
            host_queue(r);
        else
            arm_due(r);
    }
}

/* ---- life ---- */

struct hosted *host_add_row(struct host *h, const struct run_row *row)
{
    struct arena a = {0};
    struct val v = val_empty_object;
    struct err err;
    if (row->service.n && json_parse(&a, row->service, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        v = val_empty_object;
    struct hosted *r = host_add(h, row->id, val_get_str(&v, STR("group"), row->workflow),
                                val_get_str(&v, STR("idem"), STR("")), val_get_int(&v, STR("priority"), 0));
    snprintf(r->asked, sizeof r->asked, "%.*s", STR_ARG(val_get_str(&v, STR("asked"), STR(""))));
    r->charges = val_get_int(&v, STR("charges"), 0);
    r->suspect = r->charges > 0;
    r->due_ms = val_get_int(&v, STR("due_ms"), 0);
    arena_done(&a);
    return r;
}

static bool take_row(void *ctx, const struct run_row *row)
{
    struct hosted *r = host_add_row(ctx, row);
    if (str_is(row->status, "quarantined"))
        r->state = HOSTED_QUARANTINED;
    if (!str_is(row->status, "waiting") || fault_hit("host.reload")) /* and another one */
        r->due_ms = r->state == HOSTED_QUARANTINED ? 0 : DUE_AT_ONCE;
    return true;
}

/* Does a run go on, of which egress or the executor holds something? Of one that waits in good order nothing is needed
 * any more; neither of one that has ended. */
static bool is_wanted(void *ctx, struct str run)
{
    const struct hosted *r = host_find(ctx, run);
    return r && (r->state != HOSTED_WAITING || r->due_ms == DUE_AT_ONCE);
}

enum rc host_new(const struct host_options *o, struct host **ret, struct err *err)
{
    struct host *h = calloc(1, sizeof *h);
    CHECK(h);
    h->o = *o;
    if (!h->o.max_running)
        h->o.max_running = RUNNING_MAX;
    h->driver = driver_new(o->loop, o->store);
    h->egress = remote_new(o->loop, is_wanted, h);
    h->executor = remote_new(o->loop, is_wanted, h);
    enum rc rc = turns_new(o->loop, o->home, NULL, &h->turns, err);
    if (rc == RC_OK)
        rc = store_each_open_run(o->store, take_row, h, err);
    if (rc != RC_OK) {
        host_free(h);
        return rc;
    }
    *ret = h;
    return RC_OK;
}

void host_free(struct host *h)
{
    if (!h)
        return;
    struct map_entry *e;
    ev_cancel(h->o.loop, h->admit_timer);
    ev_cancel(h->o.loop, h->due_timer);
    ev_cancel(h->o.loop, h->suspect_timer);
    while (h->carried)
        host_unload(h->carried->hosted, false);
    for (size_t i = 0; (e = map_next(&h->runs, &i));) {
        struct hosted *r = e->value;
        free(r->id);
        free(r->group);
        free(r->idem);
        free(r);
    }
    host_queue_done(h);
    map_done(&h->runs);
    map_done(&h->idems);
    turns_free(h->turns);
    remote_free(h->egress);
    remote_free(h->executor);
    driver_free(h->driver);
    free(h);
}

struct remote *host_egress(struct host *h)
{
    return h->egress;
}
struct remote *host_executor(struct host *h)
{
    return h->executor;
}

static void note(struct host *h, struct str run, struct val *v, struct arena *a)
{
    struct store_batch *b = store_batch_new();
    store_batch_record(
        b, run,
        &(struct record){
            .kind = RECORD_NOTE, .attempt = 1, .path = STR(""), .time_ms = clock_wall_ms(), .data = json_text(a, v)});
    store_submit(h->o.store, b, on_written, h);
}

void host_obituary(struct host *h, struct str run, struct str step, struct str how, struct str words, bool charged)
{
    struct hosted *r = run.n ? host_find(h, run) : NULL;
    if (!r)
        return;
    struct arena a = {0};
    struct val_map m = val_map_new(&a), o = val_map_new(&a);
    words = keyprints_cover(&a, words);
    words.n = str_utf8_valid(words);
    VAL_MAP_SET(&m, "how", val_str(how));
    VAL_MAP_SET(&m, "executing", val_str(step));
    VAL_MAP_SET(&m, "stderr", val_str(words));
    VAL_MAP_SET(&m, "charged", val_bool(charged));
    VAL_MAP_SET(&o, "obituary", val_map_done(&m));
    struct val v = val_map_done(&o);
    note(h, run, &v, &a);
    if (charged) {
        bool queued = r->state == HOSTED_QUEUED;
        if (queued) /* its place among the others is another now */
            host_unqueue(r);
        r->state = queued ? HOSTED_WAITING : r->state;
        r->charges++;
        r->suspect = true;
        if (r->charges >= CHARGES_MAX && r->state != HOSTED_QUARANTINED) {
            r->state = HOSTED_QUARANTINED;
            r->due_ms = 0;
            struct str why = arena_printf(&a, "put aside: the engine died %lld times while executing it, last: %.*s",
                                          (long long)r->charges, STR_ARG(how));
            log_line(LOG_ERROR, "run %s: %.*s", r->id, STR_ARG(why));
            write_status(r, "quarantined", why);
        } else {
            write_status(r, "running", str_n("", 0));
            if (queued)
                host_queue(r);
        }
    }
    arena_done(&a);
}

void host_begin(struct host *h)
{
    h->begun = true;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&h->runs, &i));) {
        struct hosted *r = e->value;
        if (r->state == HOSTED_WAITING && r->due_ms == DUE_AT_ONCE)
            host_queue(r);
        else if (r->state == HOSTED_WAITING)
            arm_due(r);
    }
    host_admit_soon(h);
}

static void check_idle(void *ctx)
{
    struct host *h = ctx;
    if (!h->carried)
        h->idle(h->o.ctx);
    else
        ev_timer(h->o.loop, 20, check_idle, h);
}

void host_drain(struct host *h, void (*idle)(void *ctx))
{
    for (struct carried *c = h->carried; c; c = c->next)
        engine_interrupt(c->engine);
    if (h->draining)
        return;
    h->draining = true;
    h->idle = idle;
    ev_timer(h->o.loop, 0, check_idle, h);
}
