/* A run: its records, its work queue, its beginning and its end. (The frames in its tree: frame.c.)
 *
 * DESIGN. Everything that happens to a frame is an entry in one queue: enter it, tell its parent that it has ended,
 * tell it that all below it has stopped. run_work() takes entries off one by one, so nothing recurses however long the
 * workflow is, and the owner decides how much is done before it commits. The four outside events (effect done, timer,
 * cancel, suspend) only change a frame and put it on the queue.
 *
 * A run in which only answers from outside can move anything (flow/wait.c) ends as waiting too, unless somebody is
 * there to give them (stay) or the time of a wait is about to be over.
 *
 * INVARIANTS (run_check): a frame with a pending effect or timer is in the matching map; an ended frame has no
 * children, no effect and no timer; the counts of sleeping, held and parked frames are those of the tree, and each
 * frame knows how many below it are busy.
 *
 * A run that has nothing queued, nothing in flight and nobody asleep cannot go on: with held frames it is waiting for a
 * person; while suspending it is interrupted; anything else is a bug and panics. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "flow/away.h"
#include "flow/limits.h"
#include "flow/shelf.h"

#include <math.h>
#include <stdio.h>

static const char *const status_names[] = {"running", "waiting", "succeeded", "failed", "cancelled", "interrupted"};
const char *run_status_name(enum run_status s)
{
    return status_names[s];
}
enum run_status run_status(const struct run *r)
{
    return r->status;
}
int64_t run_now(const struct run *r)
{
    return r->io->now_ms(r->io_ctx);
}

/* ---- records -------------------------------------------------------------------------------------------------------
 */

/* The journal is only worth what can be read back: json_parse() and the store have these bounds too. */
enum { RECORD_MAX = 256 << 20, ERROR_TEXT_MAX = 64 << 10 };

enum rc run_append_value(struct run *r, enum record_kind kind, struct str path, uint32_t attempt,
                         const struct val *data, struct err *err)
{
    if (val_depth(data) > JSON_LIMITS_DEFAULT.depth)
        return err_set(err, RC_LIMIT, "the value is nested too deeply to be recorded; expected less than %u levels",
                       JSON_LIMITS_DEFAULT.depth);
    buf_clear(&r->json);
    json_write(&r->json, data, JSON_COMPACT);
    if (r->json.overflow) {
        buf_done(&r->json);
        return err_set(err, RC_LIMIT, "the value is too large to be recorded; expected at most %d MB as JSON",
                       RECORD_MAX >> 20);
    }
    r->journal_bytes += (int64_t)(path.n + r->json.n);
    r->io->append(
        r->io_ctx,
        &(struct record){
            .kind = kind, .path = path, .attempt = attempt, .time_ms = run_now(r), .data = buf_str(&r->json)});
    return RC_OK;
}

void run_append(struct run *r, enum record_kind kind, struct str path, uint32_t attempt, const struct val *data)
{
    struct err err;
    if (run_append_value(r, kind, path, attempt, data, &err) != RC_OK)
        PANIC("a record of kind %d: %s", kind, err.msg);
}

static struct str cut(struct str s, size_t max)
{
    return s.n <= max ? s : str_n(s.p, str_utf8_valid(str_n(s.p, max)));
}

struct box *error_box(enum rc rc, struct str code, struct str message, int64_t attempts, struct str step)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    code = cut(code, 200);
    message = cut(message, ERROR_TEXT_MAX);
    VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(rc))));
    VAL_MAP_SET(&m, "code", val_str(code.n ? arena_str(&b->arena, code) : str_c(rc_name(rc))));
    VAL_MAP_SET(&m, "message", val_str(arena_str(&b->arena, message)));
    VAL_MAP_SET(&m, "attempts", val_int(attempts));
    VAL_MAP_SET(&m, "step", val_str(arena_str(&b->arena, step)));
    b->val = val_map_done(&m);
    return b;
}

/* ---- the queue -----------------------------------------------------------------------------------------------------
 */

void run_queue(struct frame *f, enum queued what)
{
    struct run *r = f->run;
    CHECK(f->queued == QUEUED_NO);
    f->queued = (uint8_t)what;
    f->qnext = NULL;
    bool was_empty = !r->qhead;
    *r->qtail = f;
    r->qtail = &f->qnext;
    if (was_empty)
        r->io->wake(r->io_ctx);
}

void run_over_limit(struct run *r, const char *code, struct str message)
{
    if (!r->error)
        r->error = error_box(RC_LIMIT, str_c(code), message, 1, STR(""));
    frame_cancel(r->root);
}

void run_timer(struct run *r, uint64_t timer)
{
    CHECK_OBJ(r, RUN_MAGIC);
    if (r->stopping) { /* no timeout strikes what is only waited for, and no retry begins */
        struct frame *late = map_get(&r->timers, run_id_key(&timer));
        if (late)
            frame_timer_clear(late);
        return;
    }
    if (timer == r->wall_timer && timer && r->status == RUN_RUNNING) {
        limits_wall(r);
        return;
    }
    struct frame *f = map_get(&r->timers, run_id_key(&timer));
    if (!f || r->status != RUN_RUNNING)
        return; /* cleared since */
    frame_timer_clear(f);
    if (f->status == FRAME_WAITING)
        frame_set_status(f, FRAME_RUNNING);
    struct account *before = account_charge(f->instance->account);
    f->ops->timer(f);
    account_charge(before);
    if (!r->qhead)
        r->io->wake(r->io_ctx);
}

/* Its steps end as those of a run that is over a limit: it can be resumed when whoever started it has ended. */
static void run_waits_in_vain(struct run *r)
{
    if (r->error || !workspace_in_vain(r))
        return;
    r->error = error_box(RC_CONFLICT, STR("waits_for_itself"),
                         arena_printf(&r->scratch,
                                      "%s, in a command that has started this run and waits for it: each would wait "
                                      "for the other. Give this run another workspace, or start it elsewhere",
                                      r->turn_holder.z),
                         1, STR(""));
    frame_cancel(r->root);
}

static bool run_is_quiet(const struct run *r)
{
    return !r->qhead && !r->effects.n && !r->sleeping && (r->turn != TURN_ASKED || r->stopping);
}

/* What moves it next is another run, which leaves the workspace. */
static bool run_waits_for_turn(const struct run *r)
{
    return !r->qhead && !r->effects.n && !r->sleeping && r->turn == TURN_ASKED && !r->stopping;
}

static void stop_as(struct run *r, enum run_status status);

enum { WORK_BYTES = 1 << 20 }; /* of records: what one slice makes is in memory until it is durable */

void run_turn(struct run *r)
{
    CHECK_OBJ(r, RUN_MAGIC);
    CHECK(r->turn == TURN_ASKED);
    r->turn = TURN_HAS;
    if (r->status == RUN_RUNNING && !r->qhead)
        r->io->wake(r->io_ctx);
}

bool run_work(struct run *r, unsigned max)
{
    CHECK_OBJ(r, RUN_MAGIC);
    limits_hold(r);
    int64_t enough = r->journal_bytes + WORK_BYTES;
    while (r->status == RUN_RUNNING && (r->qhead || workspace_grant(r) || flight_grant(r) || waits_match(r)) && max--) {
        limits_rest(r, false);
        struct frame *f = r->qhead;
        r->qhead = f->qnext;
        if (!r->qhead)
            r->qtail = &r->qhead;
        r->executing = f->path;
        steps_work(f);
        if (f->queued == QUEUED_MORE)
            max = 0; /* it takes as long as many others: let the owner look at the world in between */
        struct account *before = account_charge(f->instance->account);
        frame_turn(f);
        account_charge(before);
        r->executing = str_n("", 0);
        limits_hold(r);
        if (r->scratch.chunk)
            arena_done(&r->scratch);
        if (r->journal_bytes >= enough)
            max = 0;
    }
    if (r->status == RUN_RUNNING)
        run_waits_in_vain(r);
    if (r->status == RUN_RUNNING && !r->qhead && !r->stopping) {
        workspace_rest(r);
        flights_rest(r);
    }
    if (r->status == RUN_RUNNING && r->started && run_is_quiet(r)) {
        if (r->stopping)
            stop_as(r, RUN_INTERRUPTED);
        else if (waits_keep(r))
            limits_rest(r, true);
        else if (r->held || r->awaiting)
            stop_as(r, RUN_WAITING);
        else
            PANIC("run %.*s stands still", STR_ARG(r->id));
    }
    if (r->status == RUN_RUNNING && r->started && run_waits_for_turn(r))
        limits_rest(r, true);
    return r->status == RUN_RUNNING && r->qhead;
}

/* ---- effects, as events
 * ---------------------------------------------------------------------------------------------- */

bool run_effect_done(struct run *r, uint64_t effect, bool ok, const struct val *result)
{
    CHECK_OBJ(r, RUN_MAGIC);
    struct frame *f = frame_effect_ended(r, effect);
    r->executing = f->path;
    struct account *before = account_charge(f->instance->account);
    r->open_outcome = false;
    f->ops->effect_done(f, ok, result);
    account_charge(before);
    r->executing = str_n("", 0);
    if (r->scratch.chunk)
        arena_done(&r->scratch);
    if (!r->qhead)
        r->io->wake(r->io_ctx);
    return !r->open_outcome || fault_hit("effect.forgotten"); /* a seeded bug for the simulation to catch */
}

void run_cancel(struct run *r)
{
    if (r->status != RUN_RUNNING || r->cancelling)
        return;
    r->cancelling = true;
    frame_cancel(r->root);
}

/* From here on nothing is begun: no later life counts it as time that steps were worked on. */
static void note_stopping(struct run *r)
{
    struct val_map m = val_map_new(&r->scratch);
    VAL_MAP_SET(&m, "stopping", val_true);
    struct val data = val_map_done(&m);
    run_append(r, RECORD_NOTE, STR(""), 1, &data);
}

void run_suspend(struct run *r)
{
    if (!r->stopping && r->started && r->status == RUN_RUNNING)
        note_stopping(r);
    r->stopping = true;
    /* sleepers would keep the run alive for as long as their back-off: their timers find them parked */
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->timers, &i));) {
        struct frame *f = e->value;
        if (f->status == FRAME_WAITING)
            frame_set_status(f, FRAME_PARKED);
    }
    r->io->wake(r->io_ctx);
}

void run_abort(struct run *r)
{
    CHECK(r->stopping);
    r->aborting = true;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->effects, &i));) {
        struct frame *f = e->value;
        r->io->cancel(r->io_ctx, f->effect);
    }
}

/* ---- beginning and end
 * ----------------------------------------------------------------------------------------------- */

struct run *run_new(struct workflow *w, const struct run_options *o, const struct flow_io *io, void *io_ctx)
{
    struct arena a = {0};
    struct run *r = ARENA_NEW(&a, struct run);
    r->magic = RUN_MAGIC;
    r->workflow = workflow_ref(w);
    r->io = io;
    r->io_ctx = io_ctx;
    r->id = arena_str(&a, o->id);
    r->workflow_sha256 = arena_str(&a, o->workflow_sha256);
    r->workspace = arena_str(&a, o->workspace);
    r->output_dir = arena_str(&a, o->output_dir);
    r->workflow_dir = arena_str(&a, o->workflow_dir);
    r->inputs = box_new(o->inputs ? o->inputs : &val_empty_object);
    r->own = (struct instance){.workflow = w,
                               .inputs = r->inputs,
                               .defaults = w->defaults,
                               .max_depth = w->limits.max_depth,
                               .account = account_new(NULL),
                               .max_memory = w->limits.memory};
    r->env = box_new(o->env ? o->env : &val_empty_object);
    r->life_env = box_ref(r->env);
    r->given_limits = o->limits;
    r->force = o->force;
    r->mocked = o->mocked;
    r->inputs_found = o->inputs_found;
    r->waits.stay = o->stay;
    r->shelf_limit = o->shelf_bytes ? o->shelf_bytes : SHELF_BYTES;
    r->keep_bytes = r->shelf_limit == SIZE_MAX ? SIZE_MAX : o->keep_bytes ? o->keep_bytes : AWAY_KEEP;
    r->qtail = &r->qhead;
    buf_init(&r->json, RECORD_MAX);
    r->arena = a;
    return r;
}

static void free_tree(struct frame *f)
{
    /* deepest first, without recursion */
    while (f) {
        if (f->first) {
            f = f->first;
            continue;
        }
        struct frame *up = f->parent;
        f->effect = f->timer = 0;
        f->queued = QUEUED_NO;
        frame_free(f);
        f = up;
    }
}

void run_free(struct run *r)
{
    if (!r)
        return;
    CHECK_OBJ(r, RUN_MAGIC);
    map_done(&r->effects);
    map_done(&r->timers);
    free_tree(r->root);
    shelf_free(r);
    past_free_all(r);
    flights_free(r);
    called_free_all(r);
    waits_free(r);
    box_unref(r->inputs);
    box_unref(r->env);
    box_unref(r->life_env);
    box_unref(r->variables);
    box_unref(r->output);
    box_unref(r->error);
    box_unref(r->past_run);
    buf_done(&r->json);
    arena_done(&r->scratch);
    workflow_unref(r->workflow);
    account_close(r->own.account);
    r->magic = 0;
    struct arena a = r->arena;
    arena_done(&a);
}

/* A resumed run reads the environment that it began with; only what a new version lists besides is read now.
 * Bounds are no reading (run_bound). */
static void restore_env(struct run *r)
{
    struct val_map m = val_map_new(&r->scratch);
    val_map_merge(&m, &r->env->val);
    if (val_is(VAL_GET(&r->past_run->val, "env"), VAL_OBJECT))
        val_map_merge(&m, VAL_GET(&r->past_run->val, "env"));
    struct val v = val_map_done(&m);
    struct box *b = box_new(&v);
    box_unref(r->env);
    r->env = b;
}

static enum rc append_start(struct run *r, struct err *err)
{
    struct val_map m = val_map_new(&r->scratch);
    if (r->past_run) {
        restore_env(r);
        r->gap_ms = run_now(r) > r->last_ms ? run_now(r) - r->last_ms : 0;
        r->walking = true;
        VAL_MAP_SET(&m, "force", val_bool(r->force));
        struct val data = val_map_done(&m);
        run_append(r, RECORD_RESUME, STR(""), 1, &data);
        if (r->past_failed)
            r->resume_seq = UINT64_MAX; /* newer than everything folded */
        if (r->force)
            r->force_seq = UINT64_MAX;
        return RC_OK;
    }
    VAL_MAP_SET(&m, "run_id", val_str(r->id));
    VAL_MAP_SET(&m, "workflow", val_str(r->workflow->name));
    VAL_MAP_SET(&m, "workflow_sha256", val_str(r->workflow_sha256));
    VAL_MAP_SET(&m, "file", val_str(r->workflow->file));
    VAL_MAP_SET(&m, "inputs", r->inputs->val);
    if (r->env->val.obj.n)
        VAL_MAP_SET(&m, "env", r->env->val);
    VAL_MAP_SET(&m, "workspace", val_str(r->workspace));
    VAL_MAP_SET(&m, "output_dir", val_str(r->output_dir));
    VAL_MAP_SET(&m, "workflow_dir", val_str(r->workflow_dir));
    VAL_MAP_SET(&m, "started_ms", val_int(r->started_ms));
    VAL_MAP_SET(&m, "semantics", val_int(RECORD_SEMANTICS));
    struct val data = val_map_done(&m);
    return run_append_value(r, RECORD_RUN, STR(""), 1, &data, err);
}

static double number_in(struct run *r, const struct val *env, const char *name)
{
    struct err ignored;
    struct val v;
    struct str text = val_get_str(env, str_c(name), STR(""));
    bool good = text.n && json_parse(&r->scratch, text, &JSON_LIMITS_DEFAULT, &v, &ignored) == RC_OK;
    return good ? val_to_double(&v, 0) : 0;
}

double run_bound(struct run *r, const char *name)
{
    double n = number_in(r, &r->life_env->val, name);
    return n > 0 ? n : number_in(r, &r->env->val, name);
}

/* The variables that bound what the workflow does not. */
static const struct bound {
    const char *name;
    size_t at; /* in struct run_limits */
    int64_t unit;
} bounds[] = {{"PIPELINE_TIMEOUT", offsetof(struct run_limits, wall_ms), 1000},
              {"PIPELINE_MAX_STEPS", offsetof(struct run_limits, frames), 1},
              {"PIPELINE_MAX_DEPTH", offsetof(struct run_limits, max_depth), 1},
              {"PIPELINE_MAX_WORKERS", offsetof(struct run_limits, max_parallel), 1},
              {"PIPELINE_MAX_MEMORY_MB", offsetof(struct run_limits, memory), 1 << 20},
              {"PIPELINE_MEMORY_LIMIT", offsetof(struct run_limits, memory), 1 << 20}};

/* What this life was given goes before what was recorded, by whichever name. NULL: neither says. */
static const struct bound *bound_of(struct run *r, size_t at, double *ret)
{
    const struct val *env[] = {&r->life_env->val, &r->env->val};
    for (size_t e = 0; e < 2; e++)
        for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
            if (bounds[i].at == at && (*ret = number_in(r, env[e], bounds[i].name)) > 0)
                return &bounds[i];
    return NULL;
}

const char *run_bounded_by(struct run *r, size_t at)
{
    double n;
    const struct bound *b = *limits_at(&r->workflow->limits, at) ? NULL : bound_of(r, at, &n);
    return b ? b->name : NULL;
}

static void take_limits(struct run *r)
{
    r->limits = r->workflow->limits;
    r->budget = r->workflow->budget;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        int64_t *limit = limits_at(&r->limits, bounds[i].at);
        double n;
        const struct bound *b = *limit ? NULL : bound_of(r, bounds[i].at, &n);
        if (b)
            *limit = (int64_t)fmin(n * (double)b->unit, 1e15);
    }
    double usd = run_bound(r, "PIPELINE_MAX_COST");
    if (r->budget.usd < 0 && usd > 0)
        r->budget.usd = usd;
    r->own.max_depth = r->limits.max_depth;
    limits_take(r);
}

void run_start(struct run *r)
{
    CHECK_OBJ(r, RUN_MAGIC);
    CHECK(!r->started);
    r->started = true;
    r->started_ms = r->past_run ? val_get_int(&r->past_run->val, STR("started_ms"), run_now(r)) : run_now(r);
    struct err err;
    if (append_start(r, &err) != RC_OK) {
        r->status = RUN_FAILED;
        r->error = error_box(err.rc, STR("inputs"), str_c(err.msg), 1, STR(""));
        return;
    }
    take_limits(r);
    if (r->past_run)
        past_reopen(r); /* as the record just appended will be folded in the next life */
    r->root = frame_new(r, NULL, &list_ops, STR(""));
    struct list_state *l = ARENA_NEW(&r->root->arena, struct list_state);
    l->def = r->workflow->root;
    r->root->state = l;
    run_queue(r->root, QUEUED_ENTER);
    limits_begin(r);
}

bool run_conclude(struct run *r)
{
    if (!r->workflow->output || r->error || r->answered)
        return true;
    struct err err;
    struct val v;
    struct expr_scope scope = frame_scope(r->root, false);
    if (tmpl_tree_eval(r->workflow->output, &scope, &r->scratch, &v, &err) == RC_OK)
        r->output = box_new(&v);
    else if (r->wanted.n)
        return false;
    else
        r->error = error_box(err.rc, STR("output"), frame_message(r->root, &err), 1, STR(""));
    r->answered = true;
    return true;
}

static void output_failed(struct run *r, const struct err *err)
{
    box_unref(r->output);
    r->output = NULL;
    r->status = RUN_FAILED;
    r->error = error_box(err->rc, STR("output"), str_c(err->msg), 1, STR(""));
}

static void append_end(struct run *r)
{
    struct val_map m = val_map_new(&r->scratch);
    struct err err;
    VAL_MAP_SET(&m, "status", val_str(str_c(run_status_name(r->status))));
    if (r->error)
        VAL_MAP_SET(&m, "error", r->error->val);
    if (r->output)
        VAL_MAP_SET(&m, "output", r->output->val);
    struct val data = val_map_done(&m);
    if (run_append_value(r, RECORD_END, STR(""), 1, &data, &err) == RC_OK)
        return;
    output_failed(r, &err);
    append_end(r);
}

static const struct frame *find_held(const struct frame *f)
{
    if (f->status == FRAME_HELD)
        return f;
    for (const struct frame *c = f->first; c; c = c->next) {
        const struct frame *h = find_held(c);
        if (h)
            return h;
    }
    return NULL;
}

static void stop_as(struct run *r, enum run_status status)
{
    r->status = status;
    if (status == RUN_WAITING) {
        const struct frame *h = r->held ? find_held(r->root) : NULL;
        box_unref(r->error);
        r->error = h ? error_box(h->failing.rc, STR("held"), h->failing.message, h->attempt, h->path) : waits_error(r);
    }
    append_end(r);
}

void run_finish(struct run *r)
{
    struct frame *root = r->root;
    r->status = r->cancelling ? RUN_CANCELLED : root->ok && !r->error ? RUN_SUCCEEDED : RUN_FAILED;
    if (r->status == RUN_FAILED && !r->error)
        r->error = box_ref(root->result);
    if (r->status != RUN_SUCCEEDED) {
        box_unref(r->output);
        r->output = NULL;
    }
    append_end(r);
}

/* ---- looking at it
 * --------------------------------------------------------------------------------------------------- */

struct run_totals run_totals(const struct run *r)
{
    struct run_totals t = r->totals;
    t.in_flight = r->effects.n;
    t.held = r->held;
    t.awaiting = r->awaiting;
    return t;
}

struct val run_results(const struct run *r, struct arena *a)
{
    return r->root ? list_results(r->root, a) : val_empty_object;
}

const struct val *run_output(const struct run *r)
{
    return r->output ? &r->output->val : NULL;
}
const struct val *run_error(const struct run *r)
{
    return r->error ? &r->error->val : NULL;
}

struct tally {
    size_t sleeping, awaiting, held, parked, effects, timers;
};

static void check_frame(const struct run *r, const struct frame *f, struct tally *t)
{
    size_t busy = t->sleeping + t->awaiting + t->effects;
    CHECK(f->magic == FRAME_MAGIC && f->run == r);
    t->sleeping += f->status == FRAME_WAITING;
    t->awaiting += f->status == FRAME_AWAITING;
    t->held += f->status == FRAME_HELD;
    t->parked += f->status == FRAME_PARKED;
    if (f->effect) {
        t->effects++;
        CHECK(map_get(&r->effects, run_id_key(&f->effect)) == f);
    }
    if (f->timer) {
        t->timers++;
        CHECK(map_get(&r->timers, run_id_key(&f->timer)) == f);
    }
    if (f->status == FRAME_ENDED)
        CHECK(!f->first && !f->effect && !f->timer && f->result);
    size_t n = 0;
    for (const struct frame *c = f->first; c; c = c->next, n++) {
        CHECK(c->parent == f);
        check_frame(r, c, t);
    }
    CHECK(n == f->nchildren);
    CHECK(f->busy == t->sleeping + t->awaiting + t->effects - busy);
}

struct str run_executing(const struct run *r)
{
    return r->executing;
}

void run_check(const struct run *r)
{
    struct tally t = {0};
    if (r->root)
        check_frame(r, r->root, &t);
    CHECK(t.sleeping == r->sleeping && t.held == r->held && t.parked == r->parked);
    CHECK(t.awaiting == r->awaiting);
    CHECK(t.effects == r->effects.n && t.timers == r->timers.n);
    if (r->status != RUN_RUNNING)
        CHECK(!r->effects.n && !r->sleeping);
}
