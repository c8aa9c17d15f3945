/* One effect: something outside the engine, tried until it succeeds or its retries are used up.
 *
 *   enter ─┬─ the journal has the result ────────────────────────────────▶ end
 *          │      without what lies elsewhere (plan.apart): again ──▶ as it was: end │ changed or gone: HELD
 *          ├─ it has an intent without result: adopt ──▶ who carries it out knows: its result, as if nothing had been
 *          │      never began ──▶ start
 *          │      unknown: look at on_interrupt
 *          │      retry ──▶ start        hold ──▶ HELD        fail ──▶ end
 *          │      two-phase (Write, Edit): settle ──▶ done: end │ again: start │ changed: HELD
 *          │      restores (commands): settle takes back what it changed, then on_interrupt or on_restored decides
 *          └─ nothing ──▶ start
 *   start ─▶ [prepare] ─▶ [reach] ─▶ INTENT ─▶ effect ─▶ RESULT ─┬─▶ end
 *                ▲                                               └─ retryable ─▶ WAITING ─┐
 *                └────────────────────────────────────────────────────────────────────────┘
 *
 * The intent is appended before the effect is asked for, and io.h promises that it is durable before the effect starts.
 * The result is appended before anything is derived from it. A cancelled effect leaves its intent without a result:
 * after a crash it cannot be told from an interrupted one, and is treated as one. When not the engine but whoever
 * carries the effect out has died, the effect ends as `interrupted`, and the same is done as after a crash.
 *
 * An intent names the life of the process that is to carry it out, and no other process will. So when that process
 * lives on and does not know the effect, it never began. That is believed only of an intent which no end of the run
 * follows: at an end the process is told to forget the run, and then it knows no better. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "flow/limits.h"

#include <stdio.h>

enum { ERROR_KEPT = 1000 }; /* bytes of each message in effect_errors() */
enum { ADOPT_MS = 1000 };   /* in which whoever carries out effects says what became of one */
enum phase { PHASE_APPLY, PHASE_PREPARE, PHASE_SETTLE, PHASE_REACH, PHASE_AGAIN };

struct effect_state {
    struct effect_plan plan;
    struct val request;  /* of the phase under way */
    struct val prepared; /* plan from prepare, recorded in the intent; PHASE_AGAIN: the result as it was recorded */
    enum phase phase;
    bool adopting, forced;
    bool stopped;           /* not interrupted: the run itself stopped the attempt, and knows that it is dead */
    bool late;              /* stopped because it took longer than plan.timeout_ms */
    int64_t asked_ms;       /* when the attempt under way began */
    struct val_list errors; /* of failed attempts, as effect_errors() gives them */
    struct str life;        /* that the intent of the attempt under way names and that may be believed; or empty */
    char key[33];
};

static struct effect_state *state_of(struct frame *f)
{
    return f->state;
}

static struct val with_phase(struct frame *f, const char *phase, const struct val *plan)
{
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, state_of(f)->plan.request);
    VAL_MAP_SET(&m, "phase", val_str(str_c(phase)));
    VAL_MAP_SET(&m, "frame", val_str(f->path));
    VAL_MAP_SET(&m, "attempt", val_int(f->attempt));
    if (plan)
        VAL_MAP_SET(&m, "plan", *plan);
    if (state_of(f)->forced && strcmp(phase, "settle") == 0)
        VAL_MAP_SET(&m, "force", val_true);
    return isolate_located(f, state_of(f)->plan.kind, val_map_done(&m));
}

/* One that is adopted has been under way since its intent; if it has ended meanwhile, there is time to say so. */
static int64_t time_left(const struct frame *f)
{
    const struct effect_state *s = f->state;
    if (!s->adopting)
        return s->plan.timeout_ms;
    int64_t took = run_now(f->run) - s->asked_ms, left = s->plan.timeout_ms - (took > 0 ? took : 0);
    return left > ADOPT_MS ? left : ADOPT_MS;
}

static void ask(struct frame *f)
{
    struct run *r = f->run;
    struct effect_state *s = state_of(f);
    frame_effect_begins(f);
    s->late = false;
    if (s->plan.timeout_ms && s->phase == PHASE_APPLY)
        frame_timer_set(f, time_left(f));
    r->io->effect(r->io_ctx, &(struct effect){.id = f->effect,
                                              .kind = s->plan.kind,
                                              .path = f->path,
                                              .attempt = f->attempt,
                                              .adopt = s->adopting,
                                              .reach = s->phase == PHASE_REACH,
                                              .key = str_c(s->key),
                                              .life = s->phase == PHASE_APPLY ? s->life : STR(""),
                                              .request = &s->request});
}

static void set_key(struct frame *f)
{
    struct str text = arena_printf(&f->run->scratch, "%.*s\n%.*s", STR_ARG(f->run->id), STR_ARG(f->path));
    struct sha256 h = sha256_of(text);
    struct sha256_hex x = sha256_hex(&h);
    memcpy(state_of(f)->key, x.z, 32);
}

static void record_intent(struct frame *f)
{
    struct effect_state *s = state_of(f);
    struct run *r = f->run;
    struct val_map m = val_map_new(&r->scratch), asked = val_map_new(&r->scratch);
    val_map_merge(&asked, s->plan.request);
    if (s->plan.grown.n)
        VAL_MAP_SET(&asked, "messages", val_str(s->plan.grown));
    struct val hashed = val_map_done(&asked);
    struct str text = json_canonical(&r->scratch, &hashed);
    struct sha256 h = sha256_of(text);
    struct sha256_hex x = sha256_hex(&h);
    VAL_MAP_SET(&m, "request_sha256", val_str(str_c(x.z)));
    VAL_MAP_SET(&m, "key", val_str(str_c(s->key)));
    if (s->life.n)
        VAL_MAP_SET(&m, "life", val_str(s->life));
    if (s->plan.label)
        VAL_MAP_SET(&m, "label", val_str(str_c(s->plan.label)));
    if (s->prepared.type != VAL_NULL)
        VAL_MAP_SET(&m, "plan", s->prepared);
    struct val data = val_map_done(&m);
    s->asked_ms = run_now(r);
    run_append(r, RECORD_INTENT, f->path, f->attempt, &data);
}

static bool prints(const struct effect_plan *p)
{
    return p->kind == EFFECT_COMMAND ||
           (p->kind == EFFECT_TOOL && str_is(val_get_str(p->request, STR("tool"), STR("")), "Bash"));
}

/* What limits.output counts, of an outcome: what a command printed, kept or not, and what went into an output file. */
static int64_t output_of(const struct frame *f, const struct val *result)
{
    static const char *const texts[] = {"stdout", "stderr", "text"};
    const struct effect_state *s = f->state;
    int64_t n = s->phase != PHASE_APPLY         ? 0
                : s->plan.kind == EFFECT_OUTPUT ? val_get_int(result, STR("bytes"), 0)
                : prints(&s->plan)              ? val_get_int(result, STR("output_bytes"), -1)
                                                : 0;
    for (size_t i = 0; n < 0 && i < sizeof texts / sizeof *texts; i++)
        n -= (int64_t)val_get_str(result, str_c(texts[i]), STR("")).n;
    return n < 0 ? -1 - n : n;
}

/* A command is stopped when it prints more than is left. */
static struct val with_output_left(struct frame *f, struct val request)
{
    int64_t left = limits_output_left(f->run);
    if (left == INT64_MAX || !prints(&state_of(f)->plan))
        return request;
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, &request);
    VAL_MAP_SET(&m, "output_left", val_int(left));
    return val_map_done(&m);
}

static struct val apply_request(struct frame *f)
{
    struct effect_state *s = state_of(f);
    if (s->plan.two_phase)
        return with_output_left(f, with_phase(f, "apply", &s->prepared));
    struct val request = *s->plan.request;
    if (s->plan.kind == EFFECT_WORKSPACE && f->run->force) {
        struct val_map m = val_map_new(&f->arena);
        val_map_merge(&m, s->plan.request);
        VAL_MAP_SET(&m, "force", val_true);
        request = val_map_done(&m);
    }
    return isolate_located(f, s->plan.kind, with_output_left(f, request));
}

static void apply(struct frame *f)
{
    struct effect_state *s = state_of(f);
    struct run *r = f->run;
    if (r->stopping) {
        frame_park(f);
        return;
    }
    struct str life = r->io->life ? r->io->life(r->io_ctx, s->plan.kind) : STR("");
    if (!life.p) { /* whoever comes is named by the intent, so it is not written before */
        s->phase = PHASE_REACH;
        s->request = val_empty_object;
        ask(f);
        return;
    }
    if (!str_eq(s->life, life))
        s->life = arena_str(&f->arena, life);
    s->phase = PHASE_APPLY;
    s->request = apply_request(f);
    record_intent(f);
    frame_event(f, EVENT_CALL, s->plan.label, NULL);
    ask(f);
}

static void start(struct frame *f)
{
    struct effect_state *s = state_of(f);
    if (f->run->stopping) {
        frame_park(f);
        return;
    }
    if (!s->plan.two_phase) {
        apply(f);
        return;
    }
    s->phase = PHASE_PREPARE;
    s->request = with_phase(f, "prepare", NULL);
    ask(f);
}

static struct val without(struct arena *a, const struct val *v, struct str member)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++)
        if (!str_eq(v->obj.m[i].key, member))
            val_map_set(&m, v->obj.m[i].key, v->obj.m[i].val);
    return val_map_done(&m);
}

static enum rc record_result(struct frame *f, bool ok, const struct val *result, int64_t retry_ms, struct err *err)
{
    const char *apart = state_of(f)->plan.apart;
    if (fault_hit("effect.unrecorded")) /* a seeded bug for the simulation to catch */
        return RC_OK;
    f->run->open_outcome = false;
    struct val_map m = val_map_new(&f->run->scratch);
    if (ok)
        VAL_MAP_SET(&m, "ok", apart ? without(&f->run->scratch, result, str_c(apart)) : *result);
    else
        VAL_MAP_SET(&m, "error", *result);
    if (retry_ms >= 0)
        VAL_MAP_SET(&m, "retry_ms", val_int(retry_ms));
    int64_t output = output_of(f, result);
    if (output > 0)
        VAL_MAP_SET(&m, "output", val_int(output));
    struct val data = val_map_done(&m);
    enum rc rc = run_append_value(f->run, RECORD_RESULT, f->path, f->attempt, &data, err);
    f->run->output_bytes += rc == RC_OK && output < INT64_MAX / 2 - f->run->output_bytes ? output : 0;
    return rc;
}

static struct box *box_of_error(struct frame *f, const struct val *error)
{
    enum rc rc = rc_from_name(val_get_str(error, STR("class"), STR("internal")));
    return error_box(rc == RC_COUNT ? RC_INTERNAL : rc, val_get_str(error, STR("code"), STR("")),
                     val_get_str(error, STR("message"), STR("no message")), f->attempt, f->path);
}

/* What else stands in the error object is for people, and left out when it is too much. */
static void record_error(struct frame *f, const struct val *error, int64_t retry_ms)
{
    struct err err;
    if (record_result(f, false, error, retry_ms, &err) == RC_OK)
        return;
    struct box *small = box_of_error(f, error);
    if (record_result(f, false, &small->val, retry_ms, &err) != RC_OK)
        PANIC("the error of %.*s: %s", STR_ARG(f->path), err.msg);
    box_unref(small);
}

static void end_error(struct frame *f, const struct val *error)
{
    frame_end(f, false, box_of_error(f, error));
}

/* A result that cannot be recorded does not count: after a crash nobody would know it. */
static void end_ok(struct frame *f, const struct val *result)
{
    struct err err;
    if (record_result(f, true, result, -1, &err) == RC_OK) {
        frame_end(f, true, box_new(result));
        return;
    }
    struct box *e = error_box(err.rc, STR(""), str_c(err.msg), f->attempt, f->path);
    record_error(f, &e->val, -1);
    frame_end(f, false, e);
}

int64_t usage_tokens(const struct val *usage, struct str key)
{
    int64_t n = val_get_int(usage, key, 0);
    return n > 0 && n < (int64_t)1 << 40 ? n : 0;
}

void run_count_usage(struct run *r, const struct val *result)
{
    const struct val *u = VAL_GET(result, "usage");
    if (!val_is(u, VAL_OBJECT))
        return;
    struct run_totals *t = &r->totals;
    t->calls++;
    t->input_tokens += usage_tokens(u, STR("input_tokens"));
    t->output_tokens += usage_tokens(u, STR("output_tokens"));
    t->cache_read_tokens += usage_tokens(u, STR("cache_read_tokens"));
    t->cache_write_tokens += usage_tokens(u, STR("cache_write_tokens"));
    const struct val *cost = VAL_GET(result, "cost_usd");
    if (val_is_number(cost))
        t->cost_usd += val_to_double(cost, 0);
    else
        t->cost_unknown = true;
}

void spending_add(struct spending *s, const struct val *result)
{
    const struct val *u = VAL_GET(result, "usage"), *cost = VAL_GET(result, "cost_usd");
    if (!val_is(u, VAL_OBJECT))
        return;
    s->tokens += usage_tokens(u, STR("input_tokens")) + usage_tokens(u, STR("output_tokens"));
    if (val_is_number(cost))
        s->usd += val_to_double(cost, 0);
}

static void hold_changed(struct frame *f, struct str path)
{
    frame_hold(f, arena_printf(&f->run->scratch,
                               "%.*s, which this was changing when Treadle stopped, has been changed by somebody "
                               "else since; look at it, then resume with --force to do it again",
                               (int)(path.n < 300 ? path.n : 300), path.p)
                      .p);
}

static void decide(struct frame *f, enum on_interrupt policy, const char *held);

/* A command: what it had changed is taken back now, or it is known that it cannot be. */
static void restored(struct frame *f, const struct val *result)
{
    struct effect_state *s = state_of(f);
    struct str outcome = val_get_str(result, STR("outcome"), STR("changed"));
    if (s->forced || (s->stopped && !str_is(outcome, "changed")))
        decide(f, ON_INTERRUPT_RETRY, NULL);
    else if (str_is(outcome, "again"))
        decide(f, val_get_bool(result, STR("offline"), false) ? s->plan.on_restored : s->plan.on_interrupt,
               "it was running when Treadle stopped; the workspace is as it was before, but what else it may have "
               "done is not known; look, then resume with --force to run it again (on_interrupt: retry in the "
               "workflow does so by itself)");
    else if (str_is(outcome, "kept"))
        decide(f, s->plan.on_interrupt,
               "it was running when Treadle stopped and may have done part of its work; look, then resume with "
               "--force to run it again (on_interrupt: retry in the workflow does so by itself)");
    else
        hold_changed(f, val_get_str(result, STR("path"), STR("a file")));
}

static void settled(struct frame *f, const struct val *result)
{
    struct str outcome = val_get_str(result, STR("outcome"), STR("changed"));
    const struct val *own = VAL_GET(result, "result");
    if (state_of(f)->plan.restores) {
        restored(f, result);
        return;
    }
    if (str_is(outcome, "done") && own) {
        end_ok(f, own);
    } else if (str_is(outcome, "done")) {
        struct val_map m = val_map_new(&f->run->scratch);
        VAL_MAP_SET(&m, "text", val_str(val_get_str(result, STR("text"), STR("The file has been written."))));
        VAL_MAP_SET(&m, "is_error", val_false);
        struct val v = val_map_done(&m);
        end_ok(f, &v);
    } else if (str_is(outcome, "again")) {
        f->attempt++;
        start(f);
    } else {
        hold_changed(f, val_get_str(result, STR("path"), STR("a file")));
    }
}

/* What lies elsewhere has come again, or cannot be had as it was: then a person decides what the step is to go on with.
 */
static void come_again(struct frame *f, bool ok, const struct val *result)
{
    struct effect_state *s = state_of(f);
    struct str member = str_c(s->plan.apart), message = val_get_str(result, STR("message"), STR("it is gone"));
    const struct val *v = ok ? val_get(result, member) : NULL;
    message.n = message.n < 400 ? message.n : 400;
    message.n = str_utf8_valid(message);
    if (v) {
        struct val_map m = val_map_new(&f->run->scratch);
        val_map_merge(&m, &s->prepared);
        val_map_set(&m, member, fault_hit("effect.elsewhere") ? val_empty_array : *v); /* a seeded bug, as above */
        struct val whole = val_map_done(&m);
        frame_end(f, true, box_new(&whole));
    } else if (s->forced) {
        frame_event(f, EVENT_NOTE,
                    arena_printf(&f->run->scratch, "%.*s; going on with what is there now", STR_ARG(message)).p, NULL);
        s->prepared = val_null;
        f->attempt++;
        start(f);
    } else {
        frame_hold(f,
                   arena_printf(&f->run->scratch,
                                "%.*s; put back what was there and resume, or resume with --force to go on with what "
                                "is there now",
                                STR_ARG(message))
                       .p);
    }
}

/* The newest are kept: a call that fails for days must not grow for days. */
static void note_error(struct frame *f, int64_t attempt, const struct val *error, int64_t took_ms)
{
    struct effect_state *s = state_of(f);
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    struct str message = val_get_str(error, STR("message"), STR(""));
    message = str_n(message.p, message.n < ERROR_KEPT ? message.n : ERROR_KEPT);
    message.n = str_utf8_valid(message);
    VAL_MAP_SET(&m, "attempt", val_int(attempt));
    VAL_MAP_SET(&m, "error", val_str(arena_str(a, message)));
    VAL_MAP_SET(&m, "class", val_str(arena_str(a, val_get_str(error, STR("class"), STR("internal")))));
    VAL_MAP_SET(&m, "execution_time_ms", val_int(took_ms > 0 ? took_ms : 0));
    if (s->errors.n == EFFECT_ERRORS_MAX) {
        memmove(s->errors.v, s->errors.v + 1, (EFFECT_ERRORS_MAX - 1) * sizeof *s->errors.v);
        s->errors.n--;
    }
    val_list_push(&s->errors, val_map_done(&m));
}

struct val effect_errors(const struct frame *f)
{
    const struct effect_state *s = f->state;
    return (struct val){.type = VAL_ARRAY, .arr = {s->errors.v, s->errors.n}};
}

static void failed(struct frame *f, const struct val *error)
{
    struct effect_state *s = state_of(f);
    note_error(f, f->attempt, error, run_now(f->run) - s->asked_ms);
    enum rc rc = rc_from_name(val_get_str(error, STR("class"), STR("internal")));
    f->failures++;
    int64_t wait = retry_delay(s->plan.retry, f->failures, rc == RC_COUNT ? RC_INTERNAL : rc,
                               val_get_int(error, STR("retry_after_ms"), 0), f->run->io->random(f->run->io_ctx));
    if (!val_get_bool(error, STR("retryable"), true) && s->plan.retry && !s->plan.retry->on)
        wait = -1; /* the other side says that trying again is useless */
    record_error(f, error, wait);
    if (wait < 0) {
        end_error(f, error);
        return;
    }
    struct str text = arena_printf(&f->run->scratch, "%.*s; next attempt in %.1f s",
                                   STR_ARG(val_get_str(error, STR("message"), STR(""))), (double)wait / 1000);
    frame_event(f, EVENT_RETRY, text.p, NULL);
    f->attempt++;
    frame_sleep(f, wait);
}

static void interrupted(struct frame *f, bool forced);

/* The answers that only an adopted effect, or one whose executor died, can get. True: it was one of them. */
static bool not_an_outcome(struct frame *f, struct str class)
{
    struct effect_state *s = state_of(f);
    bool adopting = s->adopting;
    s->adopting = false;
    if ((adopting && str_is(class, "cancelled")) || /* stopped before the crash, and known to be dead */
        (s->phase == PHASE_APPLY && str_is(class, EFFECT_NEVER))) {
        f->attempt++;
        start(f);
    } else if ((adopting && str_is(class, EFFECT_UNKNOWN)) ||
               (str_is(class, "interrupted") && s->phase == PHASE_APPLY)) {
        interrupted(f, f->past && f->past->intent_attempt == f->attempt && f->past->intent_seq < f->run->force_seq);
    } else if (str_is(class, "interrupted")) {
        ask(f); /* looking changes nothing */
    } else {
        return false;
    }
    return true;
}

static struct val too_late(struct frame *f)
{
    struct val_map m = val_map_new(&f->arena);
    double seconds = (double)state_of(f)->plan.timeout_ms / 1000;
    VAL_MAP_SET(&m, "class", VAL_LIT("timeout"));
    VAL_MAP_SET(&m, "code", VAL_LIT("timeout"));
    VAL_MAP_SET(&m, "message",
                val_str(arena_printf(&f->arena, "no answer within %g s (timeout of one call)", seconds)));
    return val_map_done(&m);
}

static void effect_done(struct frame *f, bool ok, const struct val *result)
{
    struct effect_state *s = state_of(f);
    struct val late;
    f->run->open_outcome = s->phase == PHASE_APPLY;
    frame_timer_clear(f);
    if (!ok && s->late && f->status == FRAME_RUNNING && !f->run->aborting) {
        late = too_late(f);
        result = &late;
    }
    struct str class = ok ? STR("") : val_get_str(result, STR("class"), STR(""));
    bool cancelled = str_is(class, "cancelled");
    if (f->status == FRAME_DRAINING || (cancelled && f->run->aborting)) {
        if (f->run->aborting) {
            frame_park(f);
            return;
        }
        struct err err;
        if (s->phase == PHASE_APPLY && ok) { /* it came in time after all: paid for, so kept */
            run_count_usage(f->run, result);
            steps_count_usage(f, result);
            if (record_result(f, ok, result, -1, &err) != RC_OK)
                frame_event(f, EVENT_NOTE, err.msg, NULL);
        } else if (s->phase == PHASE_APPLY && cancelled && (!s->plan.two_phase || s->plan.restores) && !s->adopting) {
            /* stopped by us, and known to be dead: no crash, so nobody need be asked before it is done again */
            if (record_result(f, false, result, -1, &err) != RC_OK)
                frame_event(f, EVENT_NOTE, err.msg, NULL);
        }
        frame_end(f, false, error_box(RC_CANCELLED, STR(""), STR("cancelled"), f->attempt, f->path));
        return;
    }
    bool adopted = s->adopting, flooded = !ok && VAL_GET(result, "output_bytes");
    if (!ok && !flooded && not_an_outcome(f, class))
        return;
    if (adopted)
        steps_count_gap(f->parent);
    s->adopting = false;
    if (!ok && s->plan.kind == EFFECT_WORKSPACE && str_is(val_get_str(result, STR("code"), STR("")), "changed")) {
        struct str what = val_get_str(result, STR("message"), STR(""));
        bool merge = str_is(val_get_str(s->plan.request, STR("action"), STR("")), "merge");
        frame_hold(f, arena_printf(&f->run->scratch,
                                   "%s: %.*s; look at it, then resume with --force to leave such files as they are and "
                                   "go on",
                                   merge ? "what was changed in the copy cannot be taken over"
                                         : "what an earlier attempt changed cannot be taken back",
                                   (int)(what.n < 400 ? what.n : 400), what.p)
                          .p);
        return;
    }
    if (s->phase == PHASE_AGAIN) {
        come_again(f, ok, result);
    } else if (!ok) {
        failed(f, result);
    } else if (s->phase == PHASE_PREPARE) {
        const struct val *plan = VAL_GET(result, "plan");
        if (plan) {
            s->prepared = val_copy(&f->arena, plan);
            apply(f);
        } else { /* the call cannot work: that is its result */
            record_intent(f);
            end_ok(f, result);
        }
    } else if (s->phase == PHASE_REACH) {
        apply(f);
    } else if (s->phase == PHASE_SETTLE) {
        settled(f, result);
    } else {
        run_count_usage(f->run, result);
        steps_count_usage(f, result);
        frame_unpriced(f, result);
        end_ok(f, result);
    }
}

/* It may have happened, in whole or in part, and nobody knows. */
static void interrupted(struct frame *f, bool forced)
{
    struct effect_state *s = state_of(f);
    s->forced = forced;
    if (s->plan.two_phase && (!forced || s->plan.restores) && s->prepared.type != VAL_NULL) {
        s->phase = PHASE_SETTLE;
        s->request = with_phase(f, "settle", &s->prepared);
        ask(f);
        return;
    }
    decide(f, forced ? ON_INTERRUPT_RETRY : s->plan.on_interrupt,
           "it was running when Treadle stopped and may have done part of its work; look, then resume with --force to "
           "run it again (on_interrupt: retry in the workflow does so by itself)");
}

/* What becomes of an effect that was interrupted; `held` says why it is held, if it is. */
static void decide(struct frame *f, enum on_interrupt policy, const char *held)
{
    struct run *r = f->run;
    switch (policy) {
    case ON_INTERRUPT_FAIL: {
        struct val_map m = val_map_new(&r->scratch);
        VAL_MAP_SET(&m, "class", VAL_LIT("interrupted"));
        VAL_MAP_SET(&m, "message", VAL_LIT("Treadle stopped while this ran; on_interrupt is `fail`"));
        struct val e = val_map_done(&m);
        record_error(f, &e, -1);
        end_error(f, &e);
        break;
    }
    case ON_INTERRUPT_HOLD:
        frame_hold(f, held);
        break;
    default:
        f->attempt++;
        start(f);
    }
}

/* The journal has the result but for what lies elsewhere. */
static void ask_again(struct frame *f, const struct past *p, const struct val *recorded)
{
    struct effect_state *s = state_of(f);
    if (f->run->stopping) {
        frame_park(f);
        return;
    }
    s->prepared = val_copy(&f->arena, recorded);
    s->forced = p->result_seq < f->run->force_seq;
    s->phase = PHASE_AGAIN;
    s->request = with_phase(f, "again", &s->prepared);
    ask(f);
}

/* What the journal has, in the order of what happened last. */
static void resume(struct frame *f, const struct past *p)
{
    struct effect_state *s = state_of(f);
    struct run *r = f->run;
    f->attempt = p->last_attempt;
    f->failures = p->failures;
    for (size_t i = 0; i < p->nerrors; i++)
        note_error(f, p->errors[i].attempt, VAL_GET(&p->errors[i].box->val, "error"), p->errors[i].took_ms);
    if (p->result && p->result_attempt == p->last_attempt) {
        const struct val *ok = VAL_GET(&p->result->val, "ok"), *error = VAL_GET(&p->result->val, "error");
        if (ok && s->plan.apart && !val_get(ok, str_c(s->plan.apart))) {
            ask_again(f, p, ok);
            return;
        }
        if (ok) {
            frame_end(f, true, box_new(ok));
            return;
        }
        int64_t wait = val_get_int(&p->result->val, STR("retry_ms"), -1);
        bool reopened = past_cancelled(p) || (!s->plan.settled && p->result_seq < r->resume_seq && p->failures == 0);
        if (wait < 0 && !reopened) {
            end_error(f, error);
            return;
        }
        if (past_cancelled(p) && s->plan.restores && p->intent && VAL_GET(&p->intent->val, "plan")) {
            s->prepared = val_copy(&f->arena, VAL_GET(&p->intent->val, "plan"));
            s->stopped = true; /* but what it had changed is still there */
            interrupted(f, false);
            return;
        }
        f->attempt++;
        int64_t left = reopened ? 0 : past_wait_left(p, wait, run_now(r));
        if (left > 0)
            frame_sleep(f, left);
        else
            start(f);
        return;
    }
    /* an intent without a result */
    if (r->stopping) {
        frame_park(f);
        return;
    }
    if (VAL_GET(&p->intent->val, "plan"))
        s->prepared = val_copy(&f->arena, VAL_GET(&p->intent->val, "plan"));
    s->phase = PHASE_APPLY;
    s->request = apply_request(f);
    if (p->intent_seq > r->end_seq || fault_hit("recover.believe")) /* a seeded bug for the simulation to catch */
        s->life = arena_str(&f->arena, val_get_str(&p->intent->val, STR("life"), STR("")));
    s->adopting = true;
    s->asked_ms = p->intent_ms;
    ask(f);
}

static void enter(struct frame *f)
{
    if (state_of(f)->key[0] == 0)
        set_key(f);
    const struct past *p = f->past;
    if (p && p->last_attempt && (p->intent || p->result))
        resume(f, p);
    else
        start(f);
}

/* The end of a wait between attempts, or of the time that one attempt has. */
static void timer(struct frame *f)
{
    if (!f->effect) {
        start(f);
        return;
    }
    state_of(f)->late = true;
    f->run->io->cancel(f->run->io_ctx, f->effect);
}

static void no_child(struct frame *f, struct frame *c)
{
    (void)c;
    PANIC("effect %.*s has no children", STR_ARG(f->path));
}

const struct frame_ops effect_ops = {.kind = "effect",
                                     .room = sizeof(struct frame) + sizeof(struct effect_state) + ROOM_FOR_TEXTS,
                                     .enter = enter,
                                     .child_done = no_child,
                                     .effect_done = effect_done,
                                     .timer = timer};

bool effect_had_retries(const struct frame *f)
{
    return f->ops == &effect_ops && ((const struct effect_state *)f->state)->plan.retry;
}

struct frame *frame_effect(struct frame *parent, const char *segment, size_t tag, const struct effect_plan *plan)
{
    struct run *r = parent->run;
    struct frame *f = frame_new(r, parent, &effect_ops, path_join(&r->scratch, parent->base, segment));
    f->tag = tag;
    struct effect_state *s = ARENA_NEW(&f->arena, struct effect_state);
    s->plan = *plan;
    s->errors = val_list_new(&f->arena);
    CHECK(plan->on_interrupt != ON_INTERRUPT_DEFAULT && (!plan->restores || plan->on_restored));
    f->state = s;
    run_queue(f, QUEUED_ENTER);
    return f;
}
