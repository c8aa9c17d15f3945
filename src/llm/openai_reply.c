/* Replies of OpenAI's chat completions and of their imitations.
 *
 * Text and tool calls arrive in deltas of the one choice that was asked for; `data: [DONE]` is the end mark (a finish
 * reason is none: the usage comes behind it). A tool call is found by its `index`; servers that leave it out start a
 * new call with each new id. The raw message is built anew from what is understood, so a streamed and a whole reply
 * give the same one, and nothing that servers add for their clients (reasoning_content, annotations) is sent back. */
#include "llm/reply.h"

#include "data/json.h"
#include "llm/openai.h"

static void take_usage(struct reply_parser *r, const struct val *u)
{
    if (!val_is(u, VAL_OBJECT))
        return;
    const struct val *details = VAL_GET(u, "prompt_tokens_details");
    int64_t prompt = reply_count(u, STR("prompt_tokens"), 0);
    int64_t read = reply_count(details, STR("cached_tokens"), 0);
    int64_t write = reply_count(details, STR("cache_write_tokens"), 0);
    read = read < prompt ? read : prompt;
    write = write < prompt - read ? write : prompt - read;
    r->usage = (struct usage){
        .input = prompt - read - write,
        .cache_read = read,
        .cache_write = write,
        .output = reply_count(u, STR("completion_tokens"), 0),
    };
}

/* ---- tool calls ---- */

static struct reply_part *call_of(struct reply_parser *r, const struct val *delta)
{
    struct str id = val_get_str(delta, STR("id"), (struct str){0});
    int64_t index = val_get_int(delta, STR("index"), -1);
    struct reply_part *last = r->nparts ? &r->part[r->nparts - 1] : NULL;
    if (index < 0 && last && (id.n == 0 || str_eq(id, last->id)))
        return last;
    struct reply_part *p = index < 0 ? NULL : reply_part_find(r, index);
    if (p && id.n && p->id.n && !str_eq(id, p->id)) /* a second call under the same index */
        p = NULL;
    return p ? p : reply_part_add(r, index < 0 ? (int64_t)r->nparts : index, &val_null);
}

static void take_call(struct reply_parser *r, const struct val *delta)
{
    struct reply_part *p = call_of(r, delta);
    if (!p)
        return;
    p->tool = true;
    const struct val *function = VAL_GET(delta, "function"), *arguments = VAL_GET(function, "arguments");
    if (p->id.n == 0)
        reply_keep(r, &p->id, VAL_GET(delta, "id"));
    if (p->name.n == 0)
        reply_keep(r, &p->name, VAL_GET(function, "name"));
    if (val_is(arguments, VAL_STR))
        buf_add(&p->text, arguments->s);
    else if (val_is(arguments, VAL_OBJECT)) /* some servers send the value itself */
        p->start = val_copy(&r->a, arguments);
    if (p->text.overflow)
        reply_fail(r, RC_LIMIT, STR("too_large"), "a tool call's arguments are too large");
}

static void take_message(struct reply_parser *r, const struct val *m)
{
    reply_text_add(r, NULL, val_get_str(m, STR("content"), (struct str){0}));
    buf_add(&r->refusal, val_get_str(m, STR("refusal"), (struct str){0}));
    const struct val *calls = VAL_GET(m, "tool_calls");
    for (size_t i = 0; val_is(calls, VAL_ARRAY) && i < calls->arr.n; i++)
        take_call(r, &calls->arr.v[i]);
}

static bool take_head(struct reply_parser *r, const struct val *data)
{
    const struct val *e = VAL_GET(data, "error");
    if (e && val_truthy(e)) {
        openai_reply.error(r, 0, data);
        return false;
    }
    reply_keep(r, &r->model, VAL_GET(data, "model"));
    if (r->request_id.n == 0)
        reply_keep(r, &r->request_id, VAL_GET(data, "id"));
    take_usage(r, VAL_GET(data, "usage"));
    return true;
}

static const struct val *first_choice(const struct val *data)
{
    const struct val *choices = VAL_GET(data, "choices");
    for (size_t i = 0; val_is(choices, VAL_ARRAY) && i < choices->arr.n; i++) {
        if (val_get_int(&choices->arr.v[i], STR("index"), 0) == 0)
            return &choices->arr.v[i];
    }
    return NULL;
}

static void event(struct reply_parser *r, struct str name, const struct val *data)
{
    (void)name;
    if (!take_head(r, data))
        return;
    const struct val *choice = first_choice(data);
    take_message(r, VAL_GET(choice, "delta"));
    reply_keep(r, &r->stop, VAL_GET(choice, "finish_reason"));
}

static void body(struct reply_parser *r, const struct val *data)
{
    if (!take_head(r, data))
        return;
    const struct val *choice = first_choice(data), *m = VAL_GET(choice, "message");
    if (!val_is(m, VAL_OBJECT)) {
        reply_fail(r, RC_BAD_REPLY, STR("no_message"), "the reply has no message");
        return;
    }
    take_message(r, m);
    reply_keep(r, &r->stop, VAL_GET(choice, "finish_reason"));
    if (r->stop.n == 0)
        r->stop = STR("stop");
    r->whole = true;
}

/* ---- errors ---- */

static const struct reply_error_word words[] = {
    {"insufficient_quota", RC_BILLING, true},
    {"billing_hard_limit_reached", RC_BILLING, true},
    {"billing_not_active", RC_BILLING, true},
    {"context_length_exceeded", RC_CONTEXT, true},
    {"exceed_context_size_error", RC_CONTEXT, true},
    {"content_filter", RC_REFUSED, true},
    {"content_policy_violation", RC_REFUSED, true},
    {"model_not_found", RC_NOT_FOUND, true},
    {"invalid_api_key", RC_AUTH, true},
    {"rate_limit_exceeded", RC_RATE_LIMIT, false},
    {"rate_limit_error", RC_RATE_LIMIT, false},
    {"invalid_request_error", RC_INVALID_REQUEST, false},
    {"authentication_error", RC_AUTH, false},
    {"overloaded_error", RC_OVERLOADED, false},
    {"server_error", RC_SERVER, false},
    {NULL, RC_OK, false},
};

static bool is_known(struct str word)
{
    for (const struct reply_error_word *w = words; w->word; w++) {
        if (str_is(word, w->word))
            return true;
    }
    return false;
}

static void error(struct reply_parser *r, int status, const struct val *data)
{
    const struct val *e = VAL_GET(data, "error");
    struct str code = val_get_str(e, STR("code"), (struct str){0});
    struct str type = val_get_str(e, STR("type"), (struct str){0});
    struct str message = val_get_str(e, STR("message"), val_is(e, VAL_STR) ? e->s : (struct str){0});
    if (message.n == 0)
        message = val_get_str(data, STR("message"), (struct str){0});
    struct str word = code.n && (is_known(code) || !is_known(type)) ? code : type;
    int number = (int)reply_count(e, STR("code"), 0); /* OpenRouter and vLLM put the HTTP status there */
    int known = status ? status : number >= 400 && number < 600 ? number : 0;
    enum rc rc = reply_error_class(known, word, words);
    if (rc == RC_INVALID_REQUEST && reply_says_too_long(message))
        rc = RC_CONTEXT;
    reply_fail_status(r, rc, status, word, message);
}

/* ---- the result ---- */

static const char *stop_reason(const struct reply_parser *r, size_t calls)
{
    if (str_is(r->stop, "content_filter") || r->refusal.n)
        return "refusal";
    if (str_is(r->stop, "length"))
        return "max_tokens";
    if (calls)
        return "tool_use";
    return str_is(r->stop, "stop") || str_is(r->stop, "tool_calls") ? "end_turn" : "other";
}

static struct val raw_call(struct arena *a, struct str id, struct str name, struct str arguments)
{
    struct val_map f = val_map_new(a), m = val_map_new(a);
    VAL_MAP_SET(&f, "name", val_str(name));
    VAL_MAP_SET(&f, "arguments", val_str(arguments));
    VAL_MAP_SET(&m, "id", val_str(id));
    VAL_MAP_SET(&m, "type", VAL_LIT("function"));
    VAL_MAP_SET(&m, "function", val_map_done(&f));
    return val_map_done(&m);
}

static bool finish_call(struct reply_parser *r, size_t i, struct arena *a, struct reply_result *ret,
                        struct val_list *raw)
{
    struct reply_part *p = &r->part[i];
    struct str arguments = arena_str(a, buf_str(&p->text));
    struct val input = val_copy(a, &p->start);
    if (input.type == VAL_OBJECT)
        arguments = json_text(a, &input);
    else if (!reply_input(a, arguments, &input))
        return false;
    if (p->name.n == 0)
        return false;
    struct str name = arena_str(a, p->name);
    struct str id = p->id.n ? arena_str(a, p->id) : arena_printf(a, "call_%zu", i + 1);
    val_list_push(raw, raw_call(a, id, name, arguments));
    reply_tool_call(ret, id, name, input);
    return true;
}

static void finish(struct reply_parser *r, struct arena *a, struct reply_result *ret)
{
    struct val_list calls = val_list_new(a);
    bool cut = str_is(r->stop, "length") || str_is(r->stop, "content_filter");
    for (size_t i = 0; i < r->nparts; i++) {
        if (cut) { /* not to be run, so not to be echoed either: it would want a result */
            reply_warn(r, "a tool call was dropped (%.*s)", STR_ARG(r->stop));
        } else if (!finish_call(r, i, a, ret, &calls)) {
            reply_fail(r, RC_BAD_REPLY, STR("bad_tool_call"),
                       "tool call %zu lacks a name, or its arguments are no JSON object", i);
            return;
        }
    }
    if (r->stop.n == 0) {
        reply_fail(r, RC_NETWORK, STR("cut"), "the reply ended without a finish reason");
        return;
    }
    ret->stop_reason = stop_reason(r, ret->tool_calls.n);
    struct val_map raw = val_map_new(a);
    VAL_MAP_SET(&raw, "role", VAL_LIT("assistant"));
    struct str text = arena_str(a, buf_str(&r->text));
    VAL_MAP_SET(&raw, "content", text.n || !(calls.n || r->refusal.n) ? val_str(text) : val_null);
    if (r->refusal.n)
        VAL_MAP_SET(&raw, "refusal", val_str(arena_str(a, buf_str(&r->refusal))));
    if (calls.n)
        VAL_MAP_SET(&raw, "tool_calls", val_list_done(&calls));
    ret->raw = val_map_done(&raw);
}

const struct reply_ops openai_reply = {
    .end_data = "[DONE]", .event = event, .body = body, .error = error, .finish = finish};
