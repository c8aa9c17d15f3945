/* The executor process: an executor (executor/executor.h) for each run, behind one keeper.
 *
 * A run's site is made when its first call comes, from the directories sent with it, and freed when the run is
 * forgotten. Before anything happens in it, what an executor that died may have left there must be dead: the site is
 * asked again and again, by a timer, so that other runs' commands and results do not wait for that.
 *
 * The variables that commands may be given (`secrets`) come in a sealed memory file: no other role has them, and /proc
 * shows them of none.
 *
 *   PROVING ──all dead──▶ ready: an executor       PROVING ──too long──▶ the calls that wait for it are refused */
#include "base/clock.h"
#include "base/map.h"
#include "base/panic.h"
#include "executor/executor.h"
#include "executor/tier.h"
#include "role/keeper.h"
#include "role/roles.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PROVE_DEAD_MS = 5000, PROVE_EVERY_MS = 5 };

struct state {
    struct role *role;
    struct keeper *keeper;
    enum sandbox_tier tier;
    struct str offered; /* secrets that runs of workflows which were sent may have */
    struct map sites;   /* run -> site */
};

/* A call that waits for its site, or that is refused on the next turn. */
struct waiting {
    struct waiting *next;
    struct state *state;
    const struct keeper_call *call; /* lives until it ends */
    struct err err;
    port_done *done;
    void *ctx;
};

struct site { /* where one run acts */
    struct state *state;
    char *run;
    struct executor *executor; /* NULL: it is not ready */
    struct waiting *first, **last;
    int64_t until_ms;
    ev_id timer;
};

static const char *directory(const struct val *where, struct str key, struct arena *a)
{
    struct str s = val_get_str(where, key, STR(""));
    return s.n ? arena_cstr(a, s) : NULL;
}

/* RC_BUSY: something of an earlier life may still be alive there. */
static enum rc open_site(struct site *p, const struct val *where, struct err *err)
{
    struct arena a = {0};
    const char *run_dir = directory(where, STR("run_dir"), &a);
    const struct val *names = VAL_GET(where, "secrets");
    size_t nsecrets = val_is(names, VAL_ARRAY) ? names->arr.n : 0;
    struct str *secrets = arena_calloc(&a, nsecrets + 1, sizeof *secrets);
    for (size_t i = 0; i < nsecrets; i++)
        secrets[i] = val_is(&names->arr.v[i], VAL_STR) ? names->arr.v[i].s : STR("");
    enum rc rc =
        run_dir ? executor_prove_dead(run_dir, 0, err) : err_set(err, RC_INVALID, "a call without the run's directory");
    if (rc == RC_OK)
        rc = executor_new(&(struct executor_options){.loop = p->state->role->loop,
                                                     .run_dir = run_dir,
                                                     .tier = p->state->tier,
                                                     .workspace = directory(where, STR("workspace"), &a),
                                                     .output_dir = directory(where, STR("output_dir"), &a),
                                                     .workflow_dir = directory(where, STR("workflow_dir"), &a),
                                                     .not_here = true,
                                                     .confined = val_get_bool(where, STR("confined"), true),
                                                     .sessions_dir = directory(where, STR("sessions_dir"), &a),
                                                     .cache_dir = directory(where, STR("cache_dir"), &a),
                                                     .secrets = secrets,
                                                     .nsecrets = nsecrets,
                                                     .offered = p->state->offered,
                                                     .state_dir = directory(where, STR("state_dir"), &a),
                                                     .checkpoints_dir = directory(where, STR("checkpoints_dir"), &a)},
                          &p->executor, err);
    arena_done(&a);
    return rc;
}

static void refuse(void *ctx)
{
    struct waiting *w = ctx;
    struct member m[] = {{.key = STR("class"), .val = val_str(str_c(rc_name(w->err.rc)))},
                         {.key = STR("message"), .val = val_str(str_c(w->err.msg))}};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = m, .n = 2}};
    w->done(w->ctx, w->call->id, false, &v);
    free(w);
}

static void refuse_soon(struct waiting *w, const struct err *err)
{
    w->err = *err;
    ev_timer(w->state->role->loop, 0, refuse, w);
}

static void start(struct site *p, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    executor_start(p->executor, c->id, port_exec_kind(c->kind), c->request, done, done_ctx);
}

static struct waiting *take_waiting(struct site *p)
{
    struct waiting *w = p->first;
    if (w)
        p->first = w->next;
    if (!p->first)
        p->last = &p->first;
    return w;
}

static void site_free(struct site *p)
{
    ev_cancel(p->state->role->loop, p->timer);
    executor_free(p->executor);
    for (struct waiting *w; (w = take_waiting(p));)
        free(w);
    free(p->run);
    free(p);
}

static void try_site(void *ctx)
{
    struct site *p = ctx;
    struct err err = {0};
    p->timer = 0;
    enum rc rc = p->first ? open_site(p, p->first->call->where, &err) : RC_BUSY; /* else the next call tries */
    if (rc == RC_BUSY && p->first && clock_mono_ms() < p->until_ms) {
        p->timer = ev_timer(p->state->role->loop, PROVE_EVERY_MS, try_site, p);
        return;
    }
    for (struct waiting *w; (w = take_waiting(p));) {
        if (rc != RC_OK) {
            refuse_soon(w, &err);
            continue;
        }
        start(p, w->call, w->done, w->ctx);
        free(w);
    }
}

static void op_start(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    struct state *s = ctx;
    struct site *p = map_get(&s->sites, c->run);
    if (!p) {
        p = calloc(1, sizeof *p);
        CHECK(p);
        *p = (struct site){.state = s, .run = strndup(c->run.p, c->run.n), .last = &p->first};
        CHECK(p->run);
        map_put(&s->sites, str_c(p->run), p);
    }
    if (p->executor) {
        start(p, c, done, done_ctx);
        return;
    }
    struct waiting *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct waiting){.state = s, .call = c, .done = done, .ctx = done_ctx};
    *p->last = w;
    p->last = &w->next;
    if (p->timer)
        return;
    p->until_ms = clock_mono_ms() + PROVE_DEAD_MS;
    try_site(p);
}

static void cancel_waiting(struct site *p, const struct keeper_call *c)
{
    struct err err;
    for (struct waiting **at = &p->first; *at; at = &(*at)->next) {
        struct waiting *w = *at;
        if (w->call != c)
            continue;
        *at = w->next;
        if (!*at)
            p->last = at;
        err_set(&err, RC_CANCELLED, "cancelled");
        refuse_soon(w, &err);
        return;
    }
}

static void op_cancel(void *ctx, const struct keeper_call *c)
{
    struct site *p = map_get(&((struct state *)ctx)->sites, c->run);
    if (p && p->executor)
        executor_cancel(p->executor, c->id);
    else if (p)
        cancel_waiting(p, c);
}

static void op_forget(void *ctx, struct str run)
{
    struct site *p = map_del(&((struct state *)ctx)->sites, run);
    if (p)
        site_free(p);
}

static const struct keeper_ops keeper_ops = {port_is_exec, op_start, op_cancel, op_forget};

static enum rc begin(struct role *r, struct err *err)
{
    struct state *s = calloc(1, sizeof *s);
    CHECK(s);
    s->role = r;
    r->state = s;
    const char *tier = role_option(r, "sandbox"), *offered = role_option(r, "secrets");
    enum rc rc = role_variables(r, err);
    s->offered = str_c(offered ? offered : "");
    if (rc == RC_OK && tier)
        rc = tier_parse(tier, &s->tier, err);
    if (rc != RC_OK)
        return rc;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* nor does anybody look for them in its memory */
    s->keeper = keeper_new(r->loop, &keeper_ops, s);
    return RC_OK;
}

static void peer(struct role *r, struct str name, int fd)
{
    (void)name; /* only the engine is linked with it */
    keeper_link(((struct state *)r->state)->keeper, fd);
}

static void stop(struct role *r)
{
    role_end(r, 0);
}

static void end(struct role *r)
{
    struct state *s = r->state;
    if (!s)
        return;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&s->sites, &i));)
        site_free(e->value);
    map_done(&s->sites);
    keeper_free(s->keeper);
    free(s);
}

const struct role_def role_executor = {.name = "executor", .begin = begin, .peer = peer, .stop = stop, .end = end};
