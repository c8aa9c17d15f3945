/* claude_robust: a question that gets some answer even where the model gives none.
 *
 *   calls, each tried again as retry_config says ─▶ answer
 *                        │ used up
 *                        ▼
 *   fallback_action: fail │ skip │ a made-up answer with `degraded` │ one more, simpler question │ an earlier answer
 *
 * What a person stopped, or what money ran out for, is no matter of robustness: it fails as everywhere.
 *
 * Earlier answers are kept for a month with the workflow's other results (executor/cache_file.h), by the steps whose
 * fallback they are. Keeping one is worth nothing to the step itself, so where that fails the step goes on. */
#include "step/model.h"

#include "base/sha256.h"
#include "data/json.h"

enum { MAX_RETRIES = 3, SIMPLE_MAX = 1000, TAG_KEEP = 3 * PROMPT_TAG, TAG_FIND };

static const int64_t KEPT_MS = (int64_t)30 * 24 * 3600 * 1000;

#define FALLBACKS \
    "fail, skip, simplified_prompt, cached_response, graceful_degradation, emergency_response or mock_response"

static const struct fallback {
    const char *name;
    enum { FALL_FAIL, FALL_SKIP, FALL_SIMPLER, FALL_CACHED, FALL_TEXT } kind;
    const char *text; /* FALL_TEXT: what the made-up answer says */
} fallbacks[] = {
    {"fail", FALL_FAIL, NULL},
    {"skip", FALL_SKIP, NULL},
    {"simplified_prompt", FALL_SIMPLER, NULL},
    {"cached_response", FALL_CACHED, NULL},
    {"use_cached_response", FALL_CACHED, NULL},
    {"graceful_degradation", FALL_TEXT, "This step could not get an answer and goes on with a reduced one."},
    {"emergency_response", FALL_TEXT, "EMERGENCY RESPONSE: this step could not get an answer and needs attention."},
    {"mock_response", FALL_TEXT, "Mock response: this step could not get an answer."},
};

struct robust {
    const struct fallback *fallback;
    struct str backoff;
    struct retry_policy policy;
    int64_t started_ms;
    struct val errors; /* of the first conversation, once it has failed */
    struct failure original;
    bool falling;             /* the simpler question is being asked */
    const struct val *result; /* while it is being kept for later */
    struct agent_options simpler;
};

static const struct fallback *fallback_find(struct str name)
{
    if (!name.n)
        return &fallbacks[0];
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (str_is(name, fallbacks[i].name))
            return &fallbacks[i];
    return NULL;
}

static bool prepare(struct frame *f, struct model_state *s)
{
    struct robust *r = ARENA_NEW(&f->arena, struct robust);
    struct val_map m = val_map_new(&f->arena);
    struct str action;
    s->own = r;
    r->started_ms = frame_scope(f, true).now_ms;
    VAL_MAP_SET(&m, "max_retries", val_int(MAX_RETRIES));
    val_map_merge(&m, VAL_GET(s->config, "retry_config"));
    struct val *block = ARENA_NEW(&f->arena, struct val);
    *block = val_map_done(&m);
    if (!frame_text(f, block, "fallback_action", STR(""), &action) ||
        !frame_text(f, block, "backoff_strategy", STR("exponential"), &r->backoff) ||
        !model_read_retry(f, block, &r->policy))
        return false;
    r->policy.jitter = false;
    r->fallback = fallback_find(action);
    if (!r->fallback) {
        step_failf(f, RC_INVALID, "unknown fallback_action `%.*s`; expected " FALLBACKS,
                   STR_ARG(str_n(action.p, action.n < 60 ? action.n : 60)));
        return false;
    }
    if (!f->def->retry.set || VAL_GET(f->def->source, "retry_config"))
        s->options.retry = &r->policy;
    return true;
}

/* ---- what came of it ---- */

static struct val metadata(struct frame *f, const struct robust *r, const struct val *errors, bool recovered)
{
    struct val_map m = val_map_new(&f->arena);
    int64_t took = frame_scope(f, true).now_ms - r->started_ms;
    VAL_MAP_SET(&m, "attempt_number", val_int((int64_t)errors->arr.n + (recovered ? 1 : 0)));
    VAL_MAP_SET(&m, "total_attempts", val_int(r->policy.max_attempts));
    VAL_MAP_SET(&m, "execution_time_ms", val_int(took > 0 ? took : 0));
    VAL_MAP_SET(&m, "error_history", *errors);
    VAL_MAP_SET(&m, "retry_strategy_used", val_str(r->backoff));
    VAL_MAP_SET(&m, "recovery_successful", val_bool(recovered));
    return val_map_done(&m);
}

static struct val no_usage(struct arena *a)
{
    static const char *const names[] = {"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"};
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        val_map_set(&m, str_c(names[i]), val_int(0));
    return val_map_done(&m);
}

static void degrade(struct frame *f, const struct robust *r, struct val_map *m)
{
    VAL_MAP_SET(m, "degraded", val_true);
    VAL_MAP_SET(m, "degraded_mode", val_true);
    VAL_MAP_SET(m, "original_error", val_str(r->original.message));
    VAL_MAP_SET(m, "fallback_type", val_str(str_c(r->fallback->name)));
    VAL_MAP_SET(m, "robustness_metadata", metadata(f, r, &r->errors, false));
}

static void make_up(struct frame *f, struct model_state *s, const struct robust *r)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "text",
                val_str(arena_printf(a, "%s\n\nError: %.*s\nStep: %.*s", r->fallback->text,
                                     STR_ARG(r->original.message), STR_ARG(f->def->name))));
    VAL_MAP_SET(&m, "model", val_str(s->options.model));
    VAL_MAP_SET(&m, "provider", val_str(s->options.provider));
    VAL_MAP_SET(&m, "stop_reason", VAL_LIT("fallback"));
    VAL_MAP_SET(&m, "turns", val_int(0));
    VAL_MAP_SET(&m, "usage", no_usage(a));
    VAL_MAP_SET(&m, "cost_usd", val_double(0));
    degrade(f, r, &m);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void skip(struct frame *f, const struct robust *r)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "skipped", val_true);
    VAL_MAP_SET(&m, "reason", val_str(arena_printf(&f->arena, "no answer: %.*s", STR_ARG(r->original.message))));
    VAL_MAP_SET(&m, "robustness_metadata", metadata(f, r, &r->errors, false));
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void ask_simpler(struct frame *f, struct model_state *s, struct robust *r)
{
    static const struct retry_policy once = {.set = true, .max_attempts = 1};
    struct str asked = str_n(s->asked.p, s->asked.n < SIMPLE_MAX ? s->asked.n : SIMPLE_MAX);
    asked.n = str_utf8_valid(asked);
    r->falling = true;
    r->simpler = s->options;
    r->simpler.prefix = "fallback/";
    r->simpler.tools = NULL;
    r->simpler.max_turns = 1;
    r->simpler.retry = &once;
    r->simpler.fallback_model = STR("");
    s->agent = agent_new(f, &r->simpler);
    agent_start(f, s->agent, arena_printf(&f->arena, "Give a brief, simple answer to this:\n\n%.*s", STR_ARG(asked)));
}

/* ---- earlier answers ---- */

/* The newest answer to the same prompt, whichever step of the workflow asked. */
static void cache_effect(struct frame *f, const char *segment, size_t tag, const char *op, struct val_map *m)
{
    const struct model_state *s = model_of(f);
    struct arena *a = &f->arena;
    struct val_map key = val_map_new(a);
    VAL_MAP_SET(&key, "prompt", val_str(s->asked));
    VAL_MAP_SET(&key, "system", val_str(s->options.system));
    if (s->options.schema)
        VAL_MAP_SET(&key, "schema", *s->options.schema);
    struct val v = val_map_done(&key);
    struct sha256 h = sha256_of(json_canonical(a, &v));
    struct sha256_hex x = sha256_hex(&h);
    struct val *request = ARENA_NEW(a, struct val);
    VAL_MAP_SET(m, "op", val_str(str_c(op)));
    VAL_MAP_SET(m, "workflow", val_str(frame_workflow(f)));
    VAL_MAP_SET(m, "entry", val_str(arena_str(a, str_c(x.z))));
    VAL_MAP_SET(m, "ttl_ms", val_int(KEPT_MS));
    *request = val_map_done(m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){.kind = EFFECT_CACHE,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = tag == TAG_KEEP ? "keep the answer" : "an earlier answer"});
}

static void keep(struct frame *f, struct robust *r, const struct val *result)
{
    struct val_map m = val_map_new(&f->arena);
    r->result = result;
    VAL_MAP_SET(&m, "run", val_str(frame_run(f)));
    VAL_MAP_SET(&m, "step", val_str(f->path));
    VAL_MAP_SET(&m, "result", *result);
    cache_effect(f, "answer:keep", TAG_KEEP, "keep", &m);
}

static void find_earlier(struct frame *f)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "last_resort", val_true);
    cache_effect(f, "answer:find", TAG_FIND, "find", &m);
}

static void take_earlier(struct frame *f, struct robust *r, const struct val *found)
{
    const struct val *newest = VAL_GET(found, "result");
    if (!val_is(newest, VAL_OBJECT)) {
        struct failure why = r->original;
        why.message =
            arena_printf(&f->arena, "%.*s; no earlier answer to the same prompt is known", STR_ARG(why.message));
        step_fail(f, &why);
        return;
    }
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, newest);
    VAL_MAP_SET(&m, "cached_response", val_true);
    VAL_MAP_SET(&m, "usage", no_usage(&f->arena));
    VAL_MAP_SET(&m, "cost_usd", val_double(0));
    degrade(f, r, &m);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void child_done(struct frame *f, struct frame *child)
{
    struct robust *r = model_of(f)->own;
    if (child->tag != TAG_KEEP && child->tag != TAG_FIND) {
        model_child_done(f, child);
    } else if (child_ok(child)) {
        if (child->tag == TAG_KEEP)
            step_ok(f, r->result);
        else
            take_earlier(f, r, child_result(child));
    } else {
        struct failure why = child_failure(child);
        if (child->tag == TAG_FIND || why.rc == RC_CANCELLED || why.rc == RC_INTERRUPTED) {
            step_fail(f, &why);
            return;
        }
        frame_event(f, EVENT_NOTE, arena_printf(&f->arena, "the answer is not kept: %.*s", STR_ARG(why.message)).p,
                    NULL);
        step_ok(f, r->result);
    }
}

static struct val all_errors(struct frame *f, const struct agent *g, const struct failure *why)
{
    struct val calls = agent_errors(g);
    struct val_list l = val_list_new(&f->arena);
    for (size_t i = 0; i < calls.arr.n; i++)
        val_list_push(&l, calls.arr.v[i]);
    if (!calls.arr.n || !str_eq(val_get_str(&calls.arr.v[calls.arr.n - 1], STR("error"), STR("")), why->message)) {
        struct val_map m = val_map_new(&f->arena); /* the calls succeeded, what was said did not do */
        VAL_MAP_SET(&m, "attempt", val_int((int64_t)calls.arr.n + 1));
        VAL_MAP_SET(&m, "error", val_str(arena_str(&f->arena, why->message)));
        VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(why->rc))));
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

static void failed(struct frame *f, struct model_state *s, const struct failure *why)
{
    struct robust *r = s->own;
    if (r->falling) {
        struct failure both = r->original;
        both.message = arena_printf(&f->arena, "%.*s; the simpler question failed too: %.*s", STR_ARG(both.message),
                                    STR_ARG(why->message));
        step_fail(f, &both);
        return;
    }
    if (why->rc == RC_BUDGET || why->rc == RC_CANCELLED || why->rc == RC_INTERRUPTED || why->rc == RC_REPLAY ||
        r->fallback->kind == FALL_FAIL) {
        step_fail(f, why);
        return;
    }
    r->original = *why;
    r->original.message = arena_str(&f->arena, why->message);
    r->original.code = arena_str(&f->arena, why->code);
    r->errors = all_errors(f, s->agent, why);
    frame_event(f, EVENT_NOTE, arena_printf(&f->arena, "no answer; falling back to %s", r->fallback->name).p, NULL);
    switch (r->fallback->kind) {
    case FALL_SKIP:
        skip(f, r);
        break;
    case FALL_SIMPLER:
        ask_simpler(f, s, r);
        break;
    case FALL_CACHED:
        find_earlier(f);
        break;
    default:
        make_up(f, s, r);
    }
}

static void answered(struct frame *f, struct model_state *s, const struct val *result)
{
    struct robust *r = s->own;
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, result);
    if (r->falling) {
        degrade(f, r, &m);
    } else {
        struct val errors = agent_errors(s->agent);
        VAL_MAP_SET(&m, "robustness_metadata", metadata(f, r, &errors, true));
    }
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = val_map_done(&m);
    if (r->fallback->kind == FALL_CACHED)
        keep(f, r, v);
    else
        step_ok(f, v);
}

static const struct model_kind kind = {
    .preset = "production", .prepare = prepare, .answered = answered, .failed = failed};

static void enter(struct frame *f)
{
    model_enter(f, &kind);
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *block = VAL_GET(s->source, "retry_config"), *action = VAL_GET(block, "fallback_action");
    model_check(s, ps);
    model_check_retry(block, ps);
    if (val_is(action, VAL_STR) && str_find(action->s, STR("{{")) == SIZE_MAX && !fallback_find(action->s))
        problem_add(ps, false, action->line, action->col, "unknown fallback_action `%.*s`; expected " FALLBACKS,
                    (int)(action->s.n < 60 ? action->s.n : 60), action->s.p);
}

static const struct step_key keys[] = {
    CLAUDE_KEYS,
    PRESET_KEY("production"),
    {"retry_config", KEY_OBJECT, .choices = "model_retry",
     .doc = "{max_retries (3), backoff_strategy: exponential | linear | fixed, base_delay_ms (1000), retry_conditions: "
            "[classes of errors], fallback_action}."},
    {0}};

const struct step_type step_claude_robust = {
    .name = "claude_robust",
    .doc = "Asks Claude, tries again, and falls back to something else where no answer comes.",
    .keys = keys,
    .provider = "claude",
    .result_doc = MODEL_RESULT "|degraded_mode|original_error|fallback_type|cached_response|robustness_metadata",
    .check = check,
    .enter = enter,
    .makes_key = true,
    .child_done = child_done};
