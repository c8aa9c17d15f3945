/* Replies of the Gemini Developer API.
 *
 * Every frame of the stream is a small response with some more parts; the frame with a finishReason is the end mark, as
 * is a frame that says the prompt was blocked. Usage is a running total. Neighbouring parts that are nothing but text
 * are joined, others are kept as they came: signatures are bound to them.
 *
 * No finish reason says "tool call": function calls come with STOP. One that comes with anything else is not to be
 * run. */
#include "llm/reply.h"

#include "llm/gemini.h"

static void take_usage(struct reply_parser *r, const struct val *u)
{
    if (!val_is(u, VAL_OBJECT))
        return;
    int64_t prompt = reply_count(u, STR("promptTokenCount"), 0) + reply_count(u, STR("toolUsePromptTokenCount"), 0);
    int64_t cached = reply_count(u, STR("cachedContentTokenCount"), 0);
    cached = cached < prompt ? cached : prompt;
    r->usage = (struct usage){
        .input = prompt - cached,
        .cache_read = cached,
        .output = reply_count(u, STR("candidatesTokenCount"), 0) + reply_count(u, STR("thoughtsTokenCount"), 0),
    };
}

/* {text} or {text, thought: true}: may be joined with its like. Returns 0 for other parts. */
static int plain_text(const struct val *part)
{
    if (!val_is(VAL_GET(part, "text"), VAL_STR))
        return 0;
    if (part->obj.n == 1)
        return 1;
    return part->obj.n == 2 && val_is(VAL_GET(part, "thought"), VAL_BOOL) ? 2 + VAL_GET(part, "thought")->b : 0;
}

static void take_part(struct reply_parser *r, const struct val *part)
{
    if (!val_is(part, VAL_OBJECT)) {
        reply_fail(r, RC_BAD_REPLY, STR("bad_part"), "a part of the reply is no object");
        return;
    }
    struct str text = val_get_str(part, STR("text"), (struct str){0});
    bool thought = val_get_bool(part, STR("thought"), false);
    struct reply_part *last = r->nparts ? &r->part[r->nparts - 1] : NULL;
    int kind = plain_text(part);
    if (!last || !kind || plain_text(&last->start) != kind)
        last = reply_part_add(r, (int64_t)r->nparts, part);
    if (!last)
        return;
    if (kind)
        buf_add(&last->text, text);
    if (!thought)
        reply_text_add(r, NULL, text);
    if (last->text.overflow)
        reply_fail(r, RC_LIMIT, STR("too_large"), "a part of the reply is too large");
}

static void event(struct reply_parser *r, struct str name, const struct val *data)
{
    (void)name;
    if (val_is(VAL_GET(data, "error"), VAL_OBJECT)) {
        gemini_reply.error(r, 0, data);
        return;
    }
    const struct val *candidate = val_at(VAL_GET(data, "candidates"), 0);
    const struct val *parts = VAL_GET(VAL_GET(candidate, "content"), "parts");
    for (size_t i = 0; val_is(parts, VAL_ARRAY) && i < parts->arr.n; i++)
        take_part(r, &parts->arr.v[i]);
    take_usage(r, VAL_GET(data, "usageMetadata"));
    reply_keep(r, &r->model, VAL_GET(data, "modelVersion"));
    if (r->request_id.n == 0)
        reply_keep(r, &r->request_id, VAL_GET(data, "responseId"));
    reply_keep(r, &r->token, VAL_GET(candidate, "continuationToken"));
    reply_keep(r, &r->stop, VAL_GET(candidate, "finishReason"));
    reply_keep(r, &r->blocked, VAL_GET(VAL_GET(data, "promptFeedback"), "blockReason"));
    r->whole = r->stop.n || r->blocked.n;
}

static void body(struct reply_parser *r, const struct val *data)
{
    if (!val_is(data, VAL_ARRAY)) /* without alt=sse a stream is one list */
        event(r, (struct str){0}, data);
    for (size_t i = 0; data->type == VAL_ARRAY && i < data->arr.n && !r->whole; i++)
        event(r, (struct str){0}, &data->arr.v[i]);
    if (!r->whole)
        reply_fail(r, RC_BAD_REPLY, STR("no_finish_reason"), "the reply has no finish reason");
}

/* ---- errors ---- */

static const struct reply_error_word words[] = {
    {"INVALID_ARGUMENT", RC_INVALID_REQUEST, false},
    {"FAILED_PRECONDITION", RC_INVALID_REQUEST, false},
    {"OUT_OF_RANGE", RC_INVALID_REQUEST, false},
    {"UNAUTHENTICATED", RC_AUTH, false},
    {"PERMISSION_DENIED", RC_AUTH, false},
    {"NOT_FOUND", RC_NOT_FOUND, false},
    {"RESOURCE_EXHAUSTED", RC_RATE_LIMIT, false},
    {"INTERNAL", RC_SERVER, false},
    {"UNAVAILABLE", RC_OVERLOADED, false},
    {"DEADLINE_EXCEEDED", RC_TIMEOUT, false},
    {NULL, RC_OK, false},
};

/* The detail of that type ("RetryInfo"), or NULL. */
static const struct val *detail(const struct val *e, const char *type, size_t nth)
{
    const struct val *list = VAL_GET(e, "details");
    for (size_t i = 0; val_is(list, VAL_ARRAY) && i < list->arr.n; i++) {
        struct str name = val_get_str(&list->arr.v[i], STR("@type"), (struct str){0});
        if (str_ends(name, str_c(type)) && nth-- == 0)
            return &list->arr.v[i];
    }
    return NULL;
}

/* A day's quota is as spent as money: no wait that a run could afford brings it back. */
static bool daily_quota(const struct val *e)
{
    const struct val *list = VAL_GET(detail(e, "QuotaFailure", 0), "violations");
    for (size_t i = 0; val_is(list, VAL_ARRAY) && i < list->arr.n; i++) {
        if (str_find(val_get_str(&list->arr.v[i], STR("quotaId"), (struct str){0}), STR("PerDay")) != SIZE_MAX)
            return true;
    }
    return false;
}

static void error(struct reply_parser *r, int status, const struct val *data)
{
    const struct val *e = VAL_GET(data, "error");
    struct str word = val_get_str(e, STR("status"), (struct str){0});
    struct str message = val_get_str(e, STR("message"), (struct str){0});
    enum rc rc = reply_error_class(status ? status : (int)reply_count(e, STR("code"), 0), word, words);
    if (rc == RC_RATE_LIMIT && daily_quota(e))
        rc = RC_BILLING;
    else if (rc == RC_INVALID_REQUEST && reply_says_too_long(message))
        rc = RC_CONTEXT;
    else if (str_is(val_get_str(detail(e, "ErrorInfo", 0), STR("reason"), (struct str){0}), "API_KEY_INVALID"))
        rc = RC_AUTH;
    reply_fail_status(r, rc, status, word, message);
    struct str delay = val_get_str(detail(e, "RetryInfo", 0), STR("retryDelay"), (struct str){0});
    if (str_ends(delay, STR("s")))
        r->failure.retry_after_ms = reply_decimal_ms(str_n(delay.p, delay.n - 1), 1000);
}

/* ---- the result ---- */

static const char *stop_reason(struct str stop)
{
    static const struct {
        const char *theirs, *ours;
    } reasons[] = {
        {"STOP", "end_turn"},
        {"MAX_TOKENS", "max_tokens"},
        {"CONTINUATION", "pause"},
        {"SAFETY", "refusal"},
        {"RECITATION", "refusal"},
        {"BLOCKLIST", "refusal"},
        {"PROHIBITED_CONTENT", "refusal"},
        {"SPII", "refusal"},
        {"IMAGE_SAFETY", "refusal"},
        {"IMAGE_PROHIBITED_CONTENT", "refusal"},
        {"IMAGE_RECITATION", "refusal"},
        {"FUNCTION_CALL", "end_turn"}, /* not the API's own word; some imitations use it */
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (str_is(stop, reasons[i].theirs))
            return reasons[i].ours;
    }
    return "other";
}

static struct val part_whole(struct reply_part *p, struct arena *a)
{
    struct val start = val_copy(a, &p->start);
    if (!plain_text(&p->start))
        return start;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, &start);
    VAL_MAP_SET(&m, "text", val_str(arena_str(a, buf_str(&p->text))));
    return val_map_done(&m);
}

static bool take_call(struct reply_result *ret, const struct val *call)
{
    struct arena *a = ret->tool_calls.a;
    const struct val *name = VAL_GET(call, "name"), *args = VAL_GET(call, "args");
    struct str id = val_get_str(call, STR("id"), (struct str){0});
    if (!val_is(name, VAL_STR) || name->s.n == 0 || (args && args->type != VAL_OBJECT && args->type != VAL_NULL))
        return false;
    if (id.n == 0)
        id = arena_printf(a, "gemini_call_%zu", ret->tool_calls.n + 1);
    reply_tool_call(ret, id, name->s, val_is(args, VAL_OBJECT) ? *args : val_empty_object);
    return true;
}

static void finish(struct reply_parser *r, struct arena *a, struct reply_result *ret)
{
    if (str_is(r->stop, "MALFORMED_FUNCTION_CALL") || str_is(r->stop, "UNEXPECTED_TOOL_CALL")) {
        reply_fail(r, RC_BAD_REPLY, r->stop, "the model made a call that the provider could not understand (%.*s)",
                   STR_ARG(r->stop));
        return;
    }
    if (r->stop.n == 0) {
        reply_fail(r, RC_REFUSED, r->blocked, "the prompt was blocked (%.*s)", STR_ARG(r->blocked));
        return;
    }
    ret->stop_reason = stop_reason(r->stop);
    bool complete = str_is(str_c(ret->stop_reason), "end_turn");
    struct val_list parts = val_list_new(a);
    for (size_t i = 0; i < r->nparts; i++) {
        struct val part = part_whole(&r->part[i], a);
        const struct val *call = VAL_GET(&part, "functionCall");
        if (call && !complete && !str_is(str_c(ret->stop_reason), "pause")) {
            reply_warn(r, "a tool call was dropped (%s)", ret->stop_reason);
            continue;
        }
        val_list_push(&parts, part);
        if (call && !take_call(ret, call)) {
            reply_fail(r, RC_BAD_REPLY, STR("bad_tool_call"), "a function call lacks a name or has no object of args");
            return;
        }
    }
    if (complete && ret->tool_calls.n)
        ret->stop_reason = "tool_use";
    struct val_map raw = val_map_new(a);
    VAL_MAP_SET(&raw, "parts", val_list_done(&parts));
    if (str_is(str_c(ret->stop_reason), "pause"))
        VAL_MAP_SET(&raw, "continuationToken", val_str(arena_str(a, r->token)));
    ret->raw = val_map_done(&raw);
}

const struct reply_ops gemini_reply = {.event = event, .body = body, .error = error, .finish = finish};
