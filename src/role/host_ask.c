/* Requests about runs: cancel, resume, approve, signal, and how the service stands.
 *
 * A request that changes something is answered when the change is durable: the answer waits for the batch that holds
 * it. Whatever a client sends is checked here as hostile: sizes by the gateway, types and names here. */
#include "role/host_ask.h"

#include "base/clock.h"
#include "base/panic.h"
#include "data/val_cover.h"
#include "flow/wait.h"
#include "http/server.h"

#include <stdlib.h>

/* ---- answers ---- */

static struct asked *asked_new(struct host *h, host_answer *answer, void *ctx)
{
    struct asked *q = calloc(1, sizeof *q);
    CHECK(q);
    q->host = h;
    q->answer = answer;
    q->ctx = ctx;
    return q;
}

void asked_reply(struct asked *q)
{
    q->answer(q->ctx, q->status, &q->body);
    arena_done(&q->arena);
    free(q);
}

void asked_problem(struct asked *q, int status, struct str detail, const struct val *errors)
{
    struct val_map m = val_map_new(&q->arena);
    VAL_MAP_SET(&m, "type", VAL_LIT("about:blank"));
    VAL_MAP_SET(&m, "title", val_str(str_c(http_reason(status))));
    VAL_MAP_SET(&m, "status", val_int(status));
    VAL_MAP_SET(&m, "detail", val_str(arena_str(&q->arena, detail)));
    if (errors)
        VAL_MAP_SET(&m, "errors", *errors);
    q->status = status;
    q->body = val_map_done(&m);
}

void asked_refuse(struct asked *q, int status, const char *detail)
{
    asked_problem(q, status, str_c(detail), NULL);
    asked_reply(q);
}

int asked_status(enum rc rc)
{
    switch (rc) {
    case RC_NOT_FOUND:
        return 404;
    case RC_BUSY:
    case RC_TIMEOUT:
    case RC_LIMIT:
        return 409;
    case RC_SCHEMA:
    case RC_INVALID:
    case RC_USAGE:
    case RC_EXPRESSION:
        return 422;
    default:
        return 503;
    }
}

void asked_durable(void *ctx, enum rc rc, const struct err *err)
{
    struct asked *q = ctx;
    struct host *h = q->host;
    if (rc == RC_DISK_FULL) {
        store_batch_free(store_take_back(h->o.store));
        asked_problem(q, 503, STR("the disk with the journal is full; nothing was changed; try again later"), NULL);
    } else if (rc != RC_OK) {
        asked_problem(q, 503, str_c(err->msg), NULL);
        if (!h->failed) {
            h->failed = true;
            h->o.failed(h->o.ctx, err);
        }
    }
    asked_reply(q);
}

void asked_accepted(struct asked *q, int status, const char *id, const char *run_status)
{
    struct val_map m = val_map_new(&q->arena);
    VAL_MAP_SET(&m, "run_id", val_str(arena_str(&q->arena, str_c(id))));
    VAL_MAP_SET(&m, "status", val_str(str_c(run_status)));
    q->status = status;
    q->body = val_map_done(&m);
}

/* ---- requests about one run ---- */

/* What a run was asked, until it is answered. */
struct wish {
    struct asked *q;
    struct hosted *run; /* not used before it was found again by its id */
    struct val request; /* in the arena of `q` */
    int64_t until_ms;
};

/* What the engine appends in this turn is handed to the store at its end; batches become durable in order, so an empty
 * one behind it says when. */
static void submit_barrier(void *ctx)
{
    struct asked *q = ctx;
    store_submit(q->host->o.store, store_batch_new(), asked_durable, q);
}

static void answer_when_durable(struct asked *q, const char *id, const char *status)
{
    asked_accepted(q, 202, id, status);
    ev_timer(q->host->o.loop, 0, submit_barrier, q);
}

struct resuming {
    struct asked *q;
    const char *id; /* in the arena of `q` */
    int64_t charges;
    bool force, ended; /* ended: it was none of ours */
};

/* Carries it on, if nobody does yet, whatever the number of places: somebody wants something of it now. */
static enum rc wake(struct hosted *r, struct err *err)
{
    if (r->carried)
        return RC_OK;
    struct host *h = r->host;
    if (h->draining || !h->begun)
        return err_set(err, RC_BUSY, "the service is stopping or not ready yet; try again");
    if (r->state == HOSTED_QUARANTINED)
        return err_set(err, RC_BUSY, "the run was put aside; resume it with force first");
    bool queued = r->state == HOSTED_QUEUED;
    if (queued) {
        host_unqueue(r);
        r->state = HOSTED_WAITING;
    }
    enum rc rc = host_load(r, err);
    if (rc != RC_OK) {
        if (queued)
            host_queue(r);
        return rc;
    }
    run_stay(engine_run(r->carried->engine), STAY_FOR_ANSWERS); /* not to be unloaded again before it was asked */
    host_start(r);
    return RC_OK;
}

static void asked_enough(struct hosted *r)
{
    if (!r || !r->carried)
        return;
    run_stay(engine_run(r->carried->engine), STAY_NO);
    engine_touch(r->carried->engine);
}

static void do_cancel(struct asked *q, struct hosted *r)
{
    struct err err;
    if (wake(r, &err) != RC_OK) {
        asked_refuse(q, asked_status(err.rc), err.msg);
        return;
    }
    engine_cancel(r->carried->engine);
    asked_enough(r);
    answer_when_durable(q, r->id, "cancelled");
}

/* Only now is it queued: what a client was refused must not happen. Whoever wanted something else of it meanwhile has
 * carried it on already. */
static void on_resumable(void *ctx, enum rc rc, const struct err *err)
{
    struct resuming *s = ctx;
    struct hosted *r = host_find(s->q->host, str_c(s->id));
    if (r && r->resuming && (r->state == HOSTED_WAITING || r->state == HOSTED_QUARANTINED)) {
        r->resuming = false;
        r->force = s->force;
        r->suspect = s->charges > 0;
        r->charges = rc == RC_OK ? 0 : s->charges;
        if (rc == RC_OK)
            host_queue(r);
        else if (s->ended)
            host_forget(r);
    }
    asked_durable(s->q, rc, err);
    free(s);
}

/* Of a run that failed, was put aside, or waits; `known`: it is one of ours that has not ended. */
static void do_resume(struct asked *q, struct str id, struct hosted *known, const struct val *request)
{
    struct host *h = q->host;
    struct run_row row;
    struct err err;
    bool force = val_get_bool(request, STR("force"), false);
    if (store_run(h->o.store, id, &q->arena, &row, &err) != RC_OK) {
        asked_refuse(q, 404, "there is no such run");
        return;
    }
    if (known && (known->state == HOSTED_RUNNING || known->state == HOSTED_QUEUED || known->resuming)) {
        asked_refuse(q, 409, "the run is being carried on already");
        return;
    }
    if (str_is(row.status, "succeeded")) {
        asked_refuse(q, 409, "the run has succeeded; there is nothing to go on with");
        return;
    }
    if (known && known->state == HOSTED_QUARANTINED && !force) {
        asked_refuse(q, 409, "the run was put aside because the engine died while executing it; resume it with force");
        return;
    }
    struct hosted *r = known ? known : host_add_row(h, &row);
    struct resuming *s = calloc(1, sizeof *s);
    CHECK(s);
    *s = (struct resuming){q, arena_cstr(&q->arena, str_c(r->id)), r->charges, force, !known};
    r->resuming = true;
    r->charges = 0;
    row.status = STR("queued");
    row.error = STR("");
    row.updated_ms = clock_wall_ms();
    row.service = host_service_text(r, &q->arena);
    struct store_batch *b = store_batch_new();
    store_batch_run(b, &row);
    asked_accepted(q, 202, r->id, "queued");
    store_submit(h->o.store, b, on_resumable, s);
}

struct search {
    struct str name;
    struct arena *a;
    struct str path;
    size_t n;
};

static void find_wait(void *ctx, const struct run_wait *w)
{
    struct search *s = ctx;
    bool ends = w->step.n > s->name.n && str_ends(w->step, s->name) && w->step.p[w->step.n - s->name.n - 1] == '/';
    if (!str_is(val_get_str(w->wait, STR("for"), STR("")), "approval") || (!ends && !str_eq(w->step, s->name)))
        return;
    s->n++;
    s->path = arena_str(s->a, w->path);
}

static void end_wish(struct wish *w, enum rc rc, const struct err *err)
{
    asked_enough(w->run);
    if (rc == RC_OK)
        answer_when_durable(w->q, w->run->id, "running");
    else
        asked_refuse(w->q, asked_status(rc), err->msg);
    free(w);
}

/* A run that was just loaded needs some turns until it waits again. */
static void try_approve(void *ctx)
{
    struct wish *w = ctx;
    struct host *h = w->q->host;
    struct err err;
    struct str id = val_get_str(&w->request, STR("run"), STR(""));
    w->run = host_find(h, id);
    struct search s = {.name = val_get_str(&w->request, STR("step"), STR("")), .a = &w->q->arena};
    if (!w->run || !w->run->carried) {
        end_wish(w, err_set(&err, RC_NOT_FOUND, "the run waits for no approval"), &err);
        return;
    }
    struct run *run = engine_run(w->run->carried->engine);
    run_each_wait(run, find_wait, &s);
    if (s.n == 1) {
        struct val_map m = val_map_new(&w->q->arena);
        static const char *const keys[] = {"choice", "by", "comment", "data"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (val_get(&w->request, str_c(keys[i])))
                val_map_set(&m, str_c(keys[i]), *val_get(&w->request, str_c(keys[i])));
        struct val answer = val_map_done(&m);
        enum rc rc = run_answer(run, s.path, &answer, &err);
        end_wish(w, rc, &err);
        return;
    }
    if (s.n > 1)
        end_wish(w, err_set(&err, RC_INVALID, "`%.*s` may be several that wait; give the whole path", STR_ARG(s.name)),
                 &err);
    else if (clock_mono_ms() >= w->until_ms || run_status(run) != RUN_RUNNING)
        end_wish(w, err_set(&err, RC_NOT_FOUND, "nothing waits for an approval at `%.*s`", STR_ARG(s.name)), &err);
    else
        ev_timer(h->o.loop, 5, try_approve, w);
}

static void do_approve(struct asked *q, struct hosted *r, const struct val *request)
{
    struct err err;
    if (wake(r, &err) != RC_OK) {
        asked_refuse(q, asked_status(err.rc), err.msg);
        return;
    }
    struct wish *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct wish){.q = q, .request = val_copy(&q->arena, request), .until_ms = clock_mono_ms() + 2000};
    ev_timer(q->host->o.loop, 0, try_approve, w);
}

static void do_signal(struct asked *q, struct hosted *r, const struct val *request)
{
    struct err err;
    bool known = false;
    const struct val *data = VAL_GET(request, "data");
    enum rc rc = wake(r, &err);
    if (rc == RC_OK) {
        rc = run_signal(engine_run(r->carried->engine), val_get_str(request, STR("name"), STR("")),
                        data ? data : &val_null, val_get_str(request, STR("id"), STR("")),
                        val_get_str(request, STR("by"), STR("")), &known, &err);
        asked_enough(r);
    }
    if (rc == RC_OK)
        answer_when_durable(q, r->id, "running");
    else
        asked_refuse(q, asked_status(rc), err.msg);
}

/* ---- the service ---- */

static void do_state(struct asked *q)
{
    struct host *h = q->host;
    size_t n[HOSTED_QUARANTINED + 1] = {0};
    static const char *const names[] = {"queued", "running", "waiting", "ended", "quarantined"};
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&h->runs, &i));)
        n[((const struct hosted *)e->value)->state]++;
    struct val_map m = val_map_new(&q->arena), runs = val_map_new(&q->arena);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i != HOSTED_ENDED)
            val_map_set(&runs, str_c(names[i]), val_int((int64_t)n[i]));
    bool ready = h->begun && !h->draining && !h->failed && remote_linked(h->egress) && remote_linked(h->executor);
    VAL_MAP_SET(&m, "ready", val_bool(ready));
    VAL_MAP_SET(&m, "runs", val_map_done(&runs));
    VAL_MAP_SET(&m, "calls_in_flight", val_int((int64_t)remote_in_flight(h->egress)));
    VAL_MAP_SET(&m, "commands_in_flight", val_int((int64_t)remote_in_flight(h->executor)));
    q->status = ready ? 200 : 503;
    q->body = val_map_done(&m);
    asked_reply(q);
}

/* A run that ends or begins to wait in these very turns is asked a moment later. */
struct again {
    struct host *host;
    struct arena arena;
    struct val request;
    host_answer *answer;
    void *ctx;
};

static void ask_again(void *ctx)
{
    struct again *g = ctx;
    host_ask(g->host, &g->request, g->answer, g->ctx);
    arena_done(&g->arena);
    free(g);
}

static bool between_lives(const struct hosted *r)
{
    return r && r->carried && run_status(engine_run(r->carried->engine)) != RUN_RUNNING;
}

void host_ask(struct host *h, const struct val *request, host_answer *answer, void *ctx)
{
    if (between_lives(host_find(h, val_get_str(request, STR("run"), STR("")))) && !h->failed) {
        struct again *g = calloc(1, sizeof *g);
        CHECK(g);
        *g = (struct again){.host = h, .answer = answer, .ctx = ctx};
        g->request = val_copy(&g->arena, request);
        ev_timer(h->o.loop, 5, ask_again, g);
        return;
    }
    struct asked *q = asked_new(h, answer, ctx);
    struct str what = val_get_str(request, STR("do"), STR("")), id = val_get_str(request, STR("run"), STR(""));
    struct hosted *r = host_find(h, id);
    struct val clean;
    if (!str_is(what, "start")) { /* of which the workflow's text is told where, and nothing is changed in it */
        clean = val_covered(&q->arena, request);
        request = &clean;
    }
    if (str_is(what, "state")) {
        do_state(q);
    } else if (h->failed || h->draining) {
        asked_refuse(q, 503, "the service is stopping; try again later");
    } else if (str_is(what, "start")) {
        asked_start(q, request);
    } else if (str_is(what, "resume")) {
        do_resume(q, id, r, request);
    } else if (!r) {
        struct run_row row;
        struct err err;
        if (store_run(h->o.store, id, &q->arena, &row, &err) == RC_OK)
            asked_refuse(q, 409, "the run has ended");
        else
            asked_refuse(q, 404, "there is no such run");
    } else if (str_is(what, "cancel")) {
        do_cancel(q, r);
    } else if (str_is(what, "approve")) {
        do_approve(q, r, request);
    } else if (str_is(what, "signal")) {
        do_signal(q, r, request);
    } else {
        asked_refuse(q, 400, "unknown request");
    }
}
