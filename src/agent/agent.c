/* The conversation of one model step.
 *
 *   turn:1 ─▶ answer? ──────────────────────────────▶ schema? ─▶ step_ok
 *               │ tool calls                             │ no: the errors go back, at most twice
 *               ▼                                        ▼
 *             turn:1/tool:1 ─▶ turn:1/tool:2 … ─▶ turn:2 ─▶ …
 *
 * The messages are rebuilt from the journal by walking the same path: an ended turn or tool call answers at once. What
 * the assistant said is sent back exactly as it was received (`raw`). Tools run one after another in the order asked,
 * for a later one may depend on what an earlier one wrote. A tool that the step does not allow is refused to the
 * model's face; the model may then do without. */
#include "agent/agent.h"

#include "agent/prompt.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "data/schema.h"
#include "data/tool_schemas.h"
#include "flow/units.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_REPAIRS = 2, MAX_TOOL_CALLS = 128, LABEL_MAX = 60 };

struct agent {
    const struct agent_options *o;
    struct val_list messages; /* the history first */
    size_t nhistory;
    struct sha256_hex hash; /* of the first `nhashed` of them: each with the hash of those before it */
    size_t nhashed;
    struct str model;       /* asked now: the step's, or its fallback */
    struct val_list errors; /* of calls that failed, whether or not they succeeded in the end */
    struct val tools;       /* definitions, or null */
    int64_t turn, repairs;
    const struct val *reply; /* of the turn under way, in the frame's arena */
    size_t tool, ntools;     /* next tool call of it */
    struct val_list results; /* of its tool calls */
    struct str so_far;       /* text of an answer that the model paused in */
    int64_t input, output, cache_read, cache_write;
    double cost;
    bool cost_unknown;
    struct val_list calls; /* of functions, {name, arguments} */
};

static struct val text_block(struct arena *a, struct str text)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "type", VAL_LIT("text"));
    VAL_MAP_SET(&m, "text", val_str(text));
    return val_map_done(&m);
}

static void say(struct frame *f, struct agent *g, struct val content)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "role", VAL_LIT("user"));
    VAL_MAP_SET(&m, "content", content);
    val_list_push(&g->messages, val_map_done(&m));
}

static void say_text(struct frame *f, struct agent *g, struct str text)
{
    struct val_list blocks = val_list_new(&f->arena);
    val_list_push(&blocks, text_block(&f->arena, text));
    say(f, g, val_list_done(&blocks));
}

static struct val tool_definitions(struct arena *a, const struct val *names, const struct val *functions)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; val_at(names, i); i++) {
        struct str text = val_is(val_at(names, i), VAL_STR) ? tool_schemas_get(val_at(names, i)->s) : str_n("", 0);
        struct val v;
        struct err err;
        if (text.n && json_parse(a, text, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK)
            val_list_push(&l, v);
    }
    for (size_t i = 0; val_at(functions, i); i++)
        val_list_push(&l, *val_at(functions, i));
    return l.n ? val_list_done(&l) : val_null;
}

struct agent *agent_new(struct frame *f, const struct agent_options *o)
{
    struct agent *g = ARENA_NEW(&f->arena, struct agent);
    g->o = o;
    g->model = o->model;
    g->messages = val_list_new(&f->arena);
    g->errors = val_list_new(&f->arena);
    for (size_t i = 0; val_at(o->history, i); i++, g->nhistory++)
        val_list_push(&g->messages, *val_at(o->history, i));
    if (g->nhistory && o->history_sha256.n == sizeof g->hash.z - 1) {
        memcpy(g->hash.z, o->history_sha256.p, o->history_sha256.n);
        g->nhashed = g->nhistory;
    }
    g->tools = tool_definitions(&f->arena, o->tools, o->functions);
    return g;
}

struct val agent_errors(const struct agent *g)
{
    return (struct val){.type = VAL_ARRAY, .arr = {g->errors.v, g->errors.n}};
}

struct val agent_messages(const struct agent *g)
{
    return (struct val){.type = VAL_ARRAY, .arr = {g->messages.v + g->nhistory, g->messages.n - g->nhistory}};
}

/* ---- ends ---- */

static void give_up(struct frame *f, struct agent *g, const struct failure *why)
{
    if (g->o->failed)
        g->o->failed(f, why);
    else
        step_fail(f, why);
}

__attribute__((format(printf, 4, 5))) static void give_upf(struct frame *f, struct agent *g, enum rc rc,
                                                           const char *fmt, ...)
{
    struct err why;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&why, rc, fmt, ap);
    va_end(ap);
    give_up(f, g, FAILURE(rc, str_c(why.msg)));
}

static void succeed(struct frame *f, struct agent *g, const struct val *result)
{
    if (g->o->answered)
        g->o->answered(f, result);
    else
        step_ok(f, result);
}

/* ---- turns ---- */

static enum on_interrupt after_crash(const struct frame *f, enum on_interrupt fallback)
{
    return f->def->on_interrupt == ON_INTERRUPT_DEFAULT ? fallback : f->def->on_interrupt;
}

struct str agent_plain_path(struct arena *a, struct str path)
{
    struct str again = STR("again:");
    if (str_find(path, STR("~")) == SIZE_MAX && str_find(path, again) == SIZE_MAX)
        return path;
    char *to = arena_alloc(a, path.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        if ((!n || to[n - 1] == '/') && str_starts(str_from(path, i), again)) {
            while (i + 1 < path.n && path.p[i] != '/')
                i++;
            continue;
        }
        if (path.p[i] == '~')
            while (i < path.n && path.p[i] != '/')
                i++;
        if (i < path.n)
            to[n++] = path.p[i];
    }
    return str_n(to, n);
}

static struct val *build_request(struct frame *f, const struct agent *g)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, g->o->params);
    VAL_MAP_SET(&m, "provider", val_str(g->o->provider));
    VAL_MAP_SET(&m, "model", val_str(g->model));
    if (g->o->system.n)
        VAL_MAP_SET(&m, "system", val_str(g->o->system));
    /* The list goes on growing while requests keep their part of it: members already pushed never move for readers,
     * because a list that outgrows its room is copied, not freed. */
    VAL_MAP_SET(&m, "messages", ((struct val){.type = VAL_ARRAY, .arr = {g->messages.v, g->messages.n}}));
    if (g->tools.type != VAL_NULL)
        VAL_MAP_SET(&m, "tools", g->tools);
    if (g->o->schema)
        VAL_MAP_SET(&m, "schema", *g->o->schema);
    if (g->o->mock)
        VAL_MAP_SET(&m, "mock", *g->o->mock);
    VAL_MAP_SET(&m, "step", val_str(agent_plain_path(a, f->path)));
    VAL_MAP_SET(&m, "turn", val_int(g->turn));
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    return request;
}

/* What was said, told by a hash: what has been hashed once is not hashed again. */
static struct str hash_messages(struct frame *f, struct agent *g)
{
    for (; g->nhashed < g->messages.n; g->nhashed++) {
        struct sha256_stream *s = sha256_new();
        sha256_add(s, str_c(g->hash.z));
        sha256_add(s, json_canonical(frame_scratch(f), &g->messages.v[g->nhashed]));
        struct sha256 h = sha256_end(s);
        g->hash = sha256_hex(&h);
    }
    return arena_str(&f->arena, str_c(g->hash.z));
}

static bool asks_fallback(const struct agent *g)
{
    return g->o->fallback_model.n && str_eq(g->model, g->o->fallback_model);
}

/* Where another model is there to step in, an overload is its turn, not time to wait. */
static const struct retry_policy *call_policy(struct frame *f, const struct agent *g)
{
    const struct retry_policy *p = g->o->retry ? g->o->retry : &retry_default_model;
    if (!g->o->fallback_model.n || asks_fallback(g))
        return p;
    struct retry_policy *own = ARENA_NEW(&f->arena, struct retry_policy);
    *own = *p;
    for (int rc = 0; rc < RC_COUNT; rc++) /* "the default set" has no bits to take one from */
        if (rc != RC_OVERLOADED && retry_would(p, (enum rc)rc))
            own->on |= 1ull << rc;
    own->on &= ~(1ull << RC_OVERLOADED);
    if (!own->on)
        own->max_attempts = 1;
    return own;
}

/* What the call of a turn is called in the journal. */
static const char *turn_segment(struct frame *f, const struct agent *g, int64_t turn, bool fallback)
{
    return arena_printf(&f->arena, "%sturn:%lld%s", g->o->prefix ? g->o->prefix : "", (long long)turn,
                        fallback ? ":fallback" : "")
        .p;
}

/* Where the fallback model has answered this turn, its answer counts and is gone on with, also when a failed run is
 * resumed: the model before it is not asked again, whose tool calls would find the results of the other's. */
static void call_model(struct frame *f, struct agent *g)
{
    bool fallback = asks_fallback(g);
    frame_effect(
        f, turn_segment(f, g, g->turn, fallback), 0,
        &(struct effect_plan){
            .kind = EFFECT_MODEL,
            .request = build_request(f, g),
            .grown = hash_messages(f, g),
            .retry = call_policy(f, g),
            .on_interrupt = after_crash(f, ON_INTERRUPT_RETRY),
            .timeout_ms = g->o->call_timeout_ms,
            .settled = !fallback && frame_recorded(f, turn_segment(f, g, g->turn, true)),
            .label =
                arena_printf(&f->arena, "turn %lld%s", (long long)g->turn, fallback ? " (fallback model)" : "").p});
}

static void next_turn(struct frame *f, struct agent *g)
{
    if (g->turn >= g->o->max_turns) {
        give_up(f, g,
                &(struct failure){.rc = RC_LIMIT,
                                  .code = STR("max_turns"),
                                  .message = arena_printf(&f->arena, "no answer after %lld turns; raise max_turns",
                                                          (long long)g->o->max_turns),
                                  .final = true});
        return;
    }
    /* A call that an earlier life began is not asked about again: its answer may be in the journal, and paid. */
    if (!frame_past_begun(f, turn_segment(f, g, g->turn + 1, asks_fallback(g))) && !frame_budget(f))
        return;
    const struct budget *b = &f->def->budget;
    if (g->turn && ((b->usd >= 0 && g->cost >= b->usd) || (b->tokens >= 0 && g->input + g->output >= b->tokens))) {
        give_upf(f, g, RC_BUDGET, "the step's budget is spent after %lld turns (%s, %lld tokens)", (long long)g->turn,
                 units_usd(g->cost).z, (long long)(g->input + g->output));
        return;
    }
    g->turn++;
    call_model(f, g);
}

void agent_start(struct frame *f, struct agent *g, struct str prompt)
{
    say_text(f, g, prompt);
    next_turn(f, g);
}

/* ---- tools ---- */

static bool allowed(const struct agent *g, struct str name)
{
    for (size_t i = 0; val_at(g->o->tools, i); i++)
        if (val_is(val_at(g->o->tools, i), VAL_STR) && str_eq(val_at(g->o->tools, i)->s, name))
            return tool_schemas_get(name).n > 0;
    return false;
}

static void tool_result(struct frame *f, struct agent *g, struct str text, bool is_error)
{
    const struct val *call = val_at(VAL_GET(g->reply, "tool_calls"), g->tool);
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "type", VAL_LIT("tool_result"));
    VAL_MAP_SET(&m, "id", val_str(val_get_str(call, STR("id"), STR(""))));
    VAL_MAP_SET(&m, "name", val_str(val_get_str(call, STR("name"), STR(""))));
    VAL_MAP_SET(&m, "text", val_str(arena_str(&f->arena, text)));
    VAL_MAP_SET(&m, "is_error", val_bool(is_error));
    val_list_push(&g->results, val_map_done(&m));
    g->tool++;
}

static const char *tool_label(struct frame *f, struct str name, const struct val *input)
{
    static const char *const telling[] = {"file_path", "command", "pattern", "path"};
    struct str what = {0};
    for (size_t i = 0; i < sizeof telling / sizeof *telling && !what.n; i++)
        what = val_get_str(input, str_c(telling[i]), STR(""));
    if (what.n > LABEL_MAX)
        what.n = LABEL_MAX;
    what.n = str_utf8_valid(what);
    return arena_printf(&f->arena, "%.*s %.*s", STR_ARG(name), STR_ARG(what)).p;
}

static void start_tool(struct frame *f, struct agent *g, const struct val *call)
{
    struct arena *a = &f->arena;
    struct str name = val_get_str(call, STR("name"), STR(""));
    const struct val *input = VAL_GET(call, "input");
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "tool", val_str(name));
    VAL_MAP_SET(&m, "input", val_is(input, VAL_OBJECT) ? *input : val_empty_object);
    if (g->o->cwd.n)
        VAL_MAP_SET(&m, "cwd", val_str(g->o->cwd));
    bool writes = str_is(name, "Write") || str_is(name, "Edit"), bash = str_is(name, "Bash");
    if (bash && g->o->network)
        VAL_MAP_SET(&m, "network", *g->o->network);
    struct val *request = ARENA_NEW(a, struct val);
    struct effect_plan plan = {.kind = EFFECT_TOOL,
                               .request = request,
                               .on_interrupt = after_crash(f, ON_INTERRUPT_RETRY),
                               .two_phase = writes,
                               .label = tool_label(f, name, input)};
    if (bash)
        frame_command(f, g->o->network, false, &plan, &m);
    *request = val_map_done(&m);
    char segment[64];
    snprintf(segment, sizeof segment, "%sturn:%lld/tool:%zu", g->o->prefix ? g->o->prefix : "", (long long)g->turn,
             g->tool + 1);
    frame_effect(f, segment, 1, &plan);
}

static void tool_turn(struct frame *f, void *ctx)
{
    struct agent *g = ctx;
    start_tool(f, g, val_at(VAL_GET(g->reply, "tool_calls"), g->tool));
}

static void next_tool(struct frame *f, struct agent *g)
{
    while (g->tool < g->ntools) {
        const struct val *call = val_at(VAL_GET(g->reply, "tool_calls"), g->tool);
        struct str name = val_get_str(call, STR("name"), STR(""));
        if (allowed(g, name)) {
            if (str_is(name, "Write") || str_is(name, "Edit") || str_is(name, "Bash"))
                frame_workspace(f, tool_turn, g);
            else
                start_tool(f, g, call);
            return;
        }
        tool_result(
            f, g,
            arena_printf(&f->arena, "There is no tool `%.*s` here. Use only the tools you were given.", STR_ARG(name)),
            true);
    }
    say(f, g, val_list_done(&g->results));
    next_turn(f, g);
}

static void tool_done(struct frame *f, struct agent *g, struct frame *child)
{
    if (!child_ok(child)) {
        struct failure why = child_failure(child);
        give_up(f, g, &why);
        return;
    }
    const struct val *r = child_result(child);
    tool_result(f, g, val_get_str(r, STR("text"), STR("")), val_get_bool(r, STR("is_error"), false));
    next_tool(f, g);
}

/* ---- answers ---- */

static void add_usage(struct agent *g, const struct val *reply)
{
    const struct val *u = VAL_GET(reply, "usage"), *cost = VAL_GET(reply, "cost_usd");
    g->input += usage_tokens(u, STR("input_tokens"));
    g->output += usage_tokens(u, STR("output_tokens"));
    g->cache_read += usage_tokens(u, STR("cache_read_tokens"));
    g->cache_write += usage_tokens(u, STR("cache_write_tokens"));
    if (val_is_number(cost))
        g->cost += val_to_double(cost, 0);
    else
        g->cost_unknown = true;
}

static struct val usage_value(struct arena *a, const struct agent *g)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "input_tokens", val_int(g->input));
    VAL_MAP_SET(&m, "output_tokens", val_int(g->output));
    VAL_MAP_SET(&m, "cache_read_tokens", val_int(g->cache_read));
    VAL_MAP_SET(&m, "cache_write_tokens", val_int(g->cache_write));
    return val_map_done(&m);
}

void agent_count(struct agent *g, const struct val *reply)
{
    add_usage(g, reply);
}

/* Models like to put JSON into a fenced block, whatever they were told. */
static struct str without_fence(struct str text)
{
    text = str_trim(text);
    if (!str_starts(text, STR("```")) || !str_ends(text, STR("```")) || text.n < 7)
        return text;
    size_t line = str_find(text, STR("\n"));
    if (line == SIZE_MAX || line + 3 > text.n - 3)
        return text;
    return str_trim(str_n(text.p + line + 1, text.n - 3 - line - 1));
}

/* True when the answer fits the schema (data in *ret), or there is none (*ret null). */
static bool fits_schema(struct frame *f, const struct agent *g, struct str text, struct val *ret, struct err *err)
{
    *ret = val_null;
    if (!g->o->schema)
        return true;
    if (json_parse(&f->arena, without_fence(text), &JSON_DATA, ret, err) != RC_OK) {
        err_wrap(err, "the answer is no JSON");
        return false;
    }
    return schema_check(g->o->schema, ret, &f->arena, err) == RC_OK;
}

/* What a paused model said before belongs to its answer. */
static struct str whole_text(struct frame *f, const struct agent *g)
{
    struct str text = val_get_str(g->reply, STR("text"), STR(""));
    return g->so_far.n ? arena_printf(&f->arena, "%.*s%.*s", STR_ARG(g->so_far), STR_ARG(text)) : text;
}

/* `violations`: what does not fit of an answer that is kept all the same, or NULL. */
static void end_with(struct frame *f, struct agent *g, struct str text, const struct val *data, const char *violations)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "text", val_str(text));
    if (data)
        VAL_MAP_SET(&m, "data", *data);
    if (g->calls.n)
        VAL_MAP_SET(&m, "function_calls", val_list_done(&g->calls));
    VAL_MAP_SET(&m, "model", val_str(val_get_str(g->reply, STR("model"), g->model)));
    VAL_MAP_SET(&m, "provider", val_str(val_get_str(g->reply, STR("provider"), g->o->provider)));
    VAL_MAP_SET(&m, "stop_reason", val_str(val_get_str(g->reply, STR("stop_reason"), STR("other"))));
    VAL_MAP_SET(&m, "turns", val_int(g->turn));
    VAL_MAP_SET(&m, "usage", usage_value(a, g));
    VAL_MAP_SET(&m, "cost_usd", g->cost_unknown ? val_null : val_double(units_usd_sum(g->cost)));
    if (violations) {
        struct val_list lines = val_list_new(a);
        for (struct str rest = str_c(violations); rest.n;) {
            size_t n = str_find(rest, STR("\n"));
            val_list_push(&lines, val_str(arena_str(a, str_n(rest.p, n < rest.n ? n : rest.n))));
            rest = n < rest.n ? str_from(rest, n + 1) : STR("");
        }
        VAL_MAP_SET(&m, "violations", val_list_done(&lines));
    }
    struct val result = val_map_done(&m);
    succeed(f, g, &result);
}

static void ask_again(struct frame *f, struct agent *g, const char *what, const char *errors)
{
    g->so_far = str_n("", 0);
    say_text(f, g,
             arena_printf(&f->arena,
                          "That does not fit the wanted JSON Schema:\n%s\n\nAnswer again with the corrected %s.",
                          errors, what));
    next_turn(f, g);
}

static void answer(struct frame *f, struct agent *g)
{
    struct str text = whole_text(f, g);
    struct val data;
    struct err err;
    if (fits_schema(f, g, text, &data, &err)) {
        end_with(f, g, text, g->o->schema ? &data : NULL, NULL);
    } else if (err.rc != RC_INVALID && err.rc != RC_SCHEMA) {
        give_up(f, g, FAILURE(err.rc, str_c(err.msg)));
    } else if (g->repairs < MAX_REPAIRS && !(g->o->loose && g->turn >= g->o->max_turns)) {
        g->repairs++;
        ask_again(f, g, "JSON only", err.msg);
    } else if (g->o->loose) {
        end_with(f, g, text, data.type == VAL_NULL ? NULL : &data, err.msg);
    } else {
        give_upf(f, g, RC_SCHEMA, "the answer does not match output_schema after %d corrections: %s", MAX_REPAIRS,
                 err.msg);
    }
}

/* ---- functions ---- */

/* A function has no body here: that the model calls it, and with what, is the answer. */

static const struct val *function_of(const struct agent *g, struct str name)
{
    for (size_t i = 0; val_at(g->o->functions, i); i++)
        if (str_eq(val_get_str(val_at(g->o->functions, i), STR("name"), STR("")), name))
            return val_at(g->o->functions, i);
    return NULL;
}

static bool only_functions(const struct agent *g)
{
    const struct val *calls = VAL_GET(g->reply, "tool_calls");
    for (size_t i = 0; i < g->ntools; i++)
        if (!function_of(g, val_get_str(val_at(calls, i), STR("name"), STR(""))))
            return false;
    return g->ntools > 0;
}

/* Arguments that do not fit go back to the model like any answer that does not fit. False: it was asked again. */
static bool functions_fit(struct frame *f, struct agent *g)
{
    const struct val *calls = VAL_GET(g->reply, "tool_calls");
    bool good = true;
    g->results = val_list_new(&f->arena);
    for (g->tool = 0; g->tool < g->ntools;) {
        const struct val *call = val_at(calls, g->tool), *input = VAL_GET(call, "input");
        const struct val *fn = function_of(g, val_get_str(call, STR("name"), STR("")));
        struct err err;
        bool fits =
            schema_check(VAL_GET(fn, "input_schema"), input ? input : &val_empty_object, &f->arena, &err) == RC_OK;
        good &= fits;
        tool_result(f, g, fits ? STR("noted") : arena_printf(&f->arena, "The arguments do not fit:\n%s", err.msg),
                    !fits);
    }
    if (good || g->repairs >= MAX_REPAIRS || g->turn >= g->o->max_turns)
        return true;
    g->repairs++;
    say(f, g, val_list_done(&g->results));
    next_turn(f, g);
    return false;
}

static void functions_called(struct frame *f, struct agent *g)
{
    struct arena *a = &f->arena;
    const struct val *calls = VAL_GET(g->reply, "tool_calls"), *first = NULL;
    if (!functions_fit(f, g))
        return;
    g->calls = val_list_new(a);
    for (size_t i = 0; i < g->ntools; i++) {
        const struct val *input = VAL_GET(val_at(calls, i), "input");
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "name", val_str(val_get_str(val_at(calls, i), STR("name"), STR(""))));
        VAL_MAP_SET(&m, "arguments", input ? *input : val_empty_object);
        val_list_push(&g->calls, val_map_done(&m));
        first = first ? first : input;
    }
    end_with(f, g, whole_text(f, g), first, NULL);
}

static void keep_reply(struct frame *f, struct agent *g, const struct val *reply)
{
    struct arena *a = &f->arena;
    struct val *kept = ARENA_NEW(a, struct val);
    *kept = val_copy(a, reply);
    g->reply = kept;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "role", VAL_LIT("assistant"));
    VAL_MAP_SET(&m, "raw", VAL_GET(kept, "raw") ? *VAL_GET(kept, "raw") : val_null);
    VAL_MAP_SET(&m, "text", val_str(val_get_str(kept, STR("text"), STR(""))));
    if (VAL_GET(kept, "tool_calls"))
        VAL_MAP_SET(&m, "tool_calls", *VAL_GET(kept, "tool_calls"));
    val_list_push(&g->messages, val_map_done(&m));
}

/* The call failed: another model may do. */
static void turn_failed(struct frame *f, struct agent *g, struct frame *child)
{
    struct failure why = child_failure(child);
    bool overloaded = why.rc == RC_OVERLOADED || why.rc == RC_RATE_LIMIT;
    if (overloaded && g->o->fallback_model.n && !asks_fallback(g)) {
        g->model = g->o->fallback_model;
        call_model(f, g);
        return;
    }
    give_up(f, g, &why);
}

static void turn_done(struct frame *f, struct agent *g, struct frame *child)
{
    struct val errors = effect_errors(child);
    for (size_t i = 0; i < errors.arr.n; i++)
        val_list_push(&g->errors, val_copy(&f->arena, &errors.arr.v[i]));
    if (!child_ok(child)) {
        turn_failed(f, g, child);
        return;
    }
    keep_reply(f, g, child_result(child));
    add_usage(g, g->reply);
    const struct val *calls = VAL_GET(g->reply, "tool_calls");
    struct str stop = val_get_str(g->reply, STR("stop_reason"), STR(""));
    g->tool = 0;
    g->ntools = val_is(calls, VAL_ARRAY) ? calls->arr.n : 0;
    if (str_is(stop, "refusal")) {
        give_up(f, g,
                &(struct failure){.rc = RC_REFUSED,
                                  .message = STR("the model refused to answer (stop_reason: refusal)"),
                                  .final = true});
    } else if (g->ntools > MAX_TOOL_CALLS) {
        give_upf(f, g, RC_LIMIT, "the model asked for %zu tool calls at once; at most %d are carried out", g->ntools,
                 MAX_TOOL_CALLS);
    } else if (only_functions(g)) {
        functions_called(f, g);
    } else if (g->ntools) {
        g->results = val_list_new(&f->arena);
        g->so_far = str_n("", 0);
        next_tool(f, g);
    } else if (str_is(stop, "pause")) {
        g->so_far = whole_text(f, g);
        next_turn(f, g);
    } else {
        answer(f, g);
    }
}

void agent_child(struct frame *f, struct agent *g, struct frame *child)
{
    CHECK(child->tag < PROMPT_TAG);
    if (child->tag == 0)
        turn_done(f, g, child);
    else
        tool_done(f, g, child);
}
