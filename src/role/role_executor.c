/* The executor process: an executor (executor/executor.h) for each run, behind one keeper.
 *
 * A run's executor is made when its first call comes, from the directories sent with it, and freed when the run is
 * forgotten. */
#include "base/map.h"
#include "base/panic.h"
#include "executor/executor.h"
#include "executor/tier.h"
#include "role/keeper.h"
#include "role/roles.h"

#include <stdlib.h>
#include <unistd.h>

enum { PROVE_DEAD_MS = 2000 };

struct site { /* where one run acts */
    char *run;
    struct executor *executor;
};

struct state {
    struct role *role;
    struct keeper *keeper;
    enum sandbox_tier tier;
    struct map sites; /* run -> site */
};

static const char *directory(const struct val *where, struct str key, struct arena *a)
{
    struct str s = val_get_str(where, key, STR(""));
    return s.n ? arena_cstr(a, s) : NULL;
}

static enum rc make_site(struct state *s, struct str run, const struct val *where, struct site **ret, struct err *err)
{
    struct arena a = {0};
    const char *run_dir = directory(where, STR("run_dir"), &a);
    struct executor *x = NULL;
    enum rc rc = run_dir ? executor_prove_dead(run_dir, PROVE_DEAD_MS, err)
                         : err_set(err, RC_INVALID, "a call without the run's directory");
    if (rc == RC_OK)
        rc = executor_new(&(struct executor_options){.loop = s->role->loop,
                                                     .run_dir = run_dir,
                                                     .tier = s->tier,
                                                     .workspace = directory(where, STR("workspace"), &a),
                                                     .output_dir = directory(where, STR("output_dir"), &a),
                                                     .workflow_dir = directory(where, STR("workflow_dir"), &a),
                                                     .sessions_dir = directory(where, STR("sessions_dir"), &a),
                                                     .cache_dir = directory(where, STR("cache_dir"), &a),
                                                     .state_dir = directory(where, STR("state_dir"), &a),
                                                     .checkpoints_dir = directory(where, STR("checkpoints_dir"), &a)},
                          &x, err);
    arena_done(&a);
    if (rc != RC_OK)
        return rc;
    struct site *p = calloc(1, sizeof *p + run.n + 1);
    CHECK(p);
    p->run = (char *)(p + 1);
    memcpy(p->run, run.p, run.n);
    p->executor = x;
    map_put(&s->sites, str_n(p->run, run.n), p);
    *ret = p;
    return RC_OK;
}

struct refusal {
    struct state *state;
    uint64_t id;
    struct err err;
    port_done *done;
    void *ctx;
};

static void refuse(void *ctx)
{
    struct refusal *f = ctx;
    struct member m[] = {{.key = STR("class"), .val = val_str(str_c(rc_name(f->err.rc)))},
                         {.key = STR("message"), .val = val_str(str_c(f->err.msg))}};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = m, .n = 2}};
    f->done(f->ctx, f->id, false, &v);
    free(f);
}

static void op_start(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    struct state *s = ctx;
    struct site *p = map_get(&s->sites, c->run);
    struct err err;
    if (p || make_site(s, c->run, c->where, &p, &err) == RC_OK) {
        executor_start(p->executor, c->id, port_exec_kind(c->kind), c->request, done, done_ctx);
        return;
    }
    struct refusal *f = calloc(1, sizeof *f);
    CHECK(f);
    *f = (struct refusal){s, c->id, err, done, done_ctx};
    ev_timer(s->role->loop, 0, refuse, f);
}

static void op_cancel(void *ctx, const struct keeper_call *c)
{
    struct site *p = map_get(&((struct state *)ctx)->sites, c->run);
    if (p)
        executor_cancel(p->executor, c->id);
}

static void op_forget(void *ctx, struct str run)
{
    struct site *p = map_del(&((struct state *)ctx)->sites, run);
    if (!p)
        return;
    executor_free(p->executor);
    free(p);
}

static const struct keeper_ops keeper_ops = {port_is_exec, op_start, op_cancel, op_forget};

static enum rc begin(struct role *r, struct err *err)
{
    struct state *s = calloc(1, sizeof *s);
    CHECK(s);
    s->role = r;
    r->state = s;
    const char *tier = role_option(r, "sandbox");
    enum rc rc = tier ? tier_parse(tier, &s->tier, err) : RC_OK;
    if (rc != RC_OK)
        return rc;
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
    for (size_t i = 0; (e = map_next(&s->sites, &i));) {
        struct site *p = e->value;
        executor_free(p->executor);
        free(p);
    }
    map_done(&s->sites);
    keeper_free(s->keeper);
    free(s);
}

const struct role_def role_executor = {.name = "executor", .begin = begin, .peer = peer, .stop = stop, .end = end};
