/* Replies of the Anthropic Messages API.
 *
 * A streamed reply is a list of blocks that grow by deltas; message_delta brings the stop reason and totals of the
 * usage, message_stop is the end mark. Unknown events, deltas and blocks are tolerated; unknown blocks are kept for the
 * echo. A tool's input arrives as pieces of JSON text, which are parsed at the end: a reply that ran out of tokens in
 * the middle of a call is then still a reply, without that call. */
#include "llm/reply.h"

#include "llm/anthropic.h"

static void take_usage(struct reply_parser *r, const struct val *u)
{
    struct usage *to = &r->usage;
    to->input = reply_count(u, STR("input_tokens"), to->input);
    to->output = reply_count(u, STR("output_tokens"), to->output);
    to->cache_read = reply_count(u, STR("cache_read_input_tokens"), to->cache_read);
    to->cache_write = reply_count(u, STR("cache_creation_input_tokens"), to->cache_write);
    const struct val *by_age = VAL_GET(u, "cache_creation");
    int64_t hour = reply_count(by_age, STR("ephemeral_1h_input_tokens"), to->cache_write_1h);
    to->cache_write_1h = hour <= to->cache_write ? hour : to->cache_write;
}

static void take_message(struct reply_parser *r, const struct val *m)
{
    reply_keep(r, &r->model, VAL_GET(m, "model"));
    reply_keep(r, &r->stop, VAL_GET(m, "stop_reason"));
    take_usage(r, VAL_GET(m, "usage"));
}

/* ---- events ---- */

static bool part_is(const struct reply_part *p, const char *type)
{
    return str_is(val_get_str(&p->start, STR("type"), (struct str){0}), type);
}

static void block_start(struct reply_parser *r, int64_t index, const struct val *block)
{
    if (!val_is(block, VAL_OBJECT) || reply_part_find(r, index)) {
        reply_fail(r, RC_BAD_REPLY, STR("bad_block"), "block %lld begins twice or without content", (long long)index);
        return;
    }
    struct reply_part *p = reply_part_add(r, index, block);
    if (!p)
        return;
    p->open = true;
    if (part_is(p, "text"))
        reply_text_add(r, &p->text, val_get_str(block, STR("text"), (struct str){0}));
    else if (part_is(p, "thinking"))
        buf_add(&p->text, val_get_str(block, STR("thinking"), (struct str){0}));
}

static void block_delta(struct reply_parser *r, int64_t index, const struct val *delta)
{
    struct reply_part *p = reply_part_find(r, index);
    struct str type = val_get_str(delta, STR("type"), (struct str){0});
    if (!p || !p->open) {
        reply_fail(r, RC_BAD_REPLY, STR("bad_block"), "a piece of block %lld, which is not open", (long long)index);
        return;
    }
    if (str_is(type, "text_delta")) {
        reply_text_add(r, &p->text, val_get_str(delta, STR("text"), (struct str){0}));
    } else if (str_is(type, "input_json_delta")) {
        buf_add(&p->text, val_get_str(delta, STR("partial_json"), (struct str){0}));
    } else if (str_is(type, "thinking_delta")) {
        buf_add(&p->text, val_get_str(delta, STR("thinking"), (struct str){0}));
    } else if (str_is(type, "signature_delta")) {
        buf_add(&p->signature, val_get_str(delta, STR("signature"), (struct str){0}));
    } else if (str_is(type, "citations_delta") && VAL_GET(delta, "citation")) {
        val_list_push(&p->notes, val_copy(&r->a, VAL_GET(delta, "citation")));
    }
    if (p->text.overflow || p->signature.overflow)
        reply_fail(r, RC_LIMIT, STR("too_large"), "block %lld of the reply is too large", (long long)index);
}

static void event(struct reply_parser *r, struct str name, const struct val *data)
{
    struct str type = val_get_str(data, STR("type"), name);
    int64_t index = val_get_int(data, STR("index"), -1);
    if (str_is(type, "content_block_delta")) {
        block_delta(r, index, VAL_GET(data, "delta"));
    } else if (str_is(type, "content_block_start")) {
        block_start(r, index, VAL_GET(data, "content_block"));
    } else if (str_is(type, "content_block_stop")) {
        struct reply_part *p = reply_part_find(r, index);
        if (p)
            p->open = false;
    } else if (str_is(type, "message_start")) {
        take_message(r, VAL_GET(data, "message"));
    } else if (str_is(type, "message_delta")) {
        reply_keep(r, &r->stop, VAL_GET(VAL_GET(data, "delta"), "stop_reason"));
        take_usage(r, VAL_GET(data, "usage"));
    } else if (str_is(type, "message_stop")) {
        r->whole = true;
    } else if (str_is(type, "error")) {
        anthropic_reply.error(r, 0, data);
    }
}

static void body(struct reply_parser *r, const struct val *data)
{
    const struct val *content = VAL_GET(data, "content");
    if (val_is(VAL_GET(data, "error"), VAL_OBJECT)) {
        anthropic_reply.error(r, 0, data);
        return;
    }
    if (!val_is(content, VAL_ARRAY) || !val_is(VAL_GET(data, "stop_reason"), VAL_STR)) {
        reply_fail(r, RC_BAD_REPLY, STR("no_message"), "the reply is no message with content and a stop reason");
        return;
    }
    for (size_t i = 0; i < content->arr.n; i++) {
        struct reply_part *p = reply_part_add(r, (int64_t)i, &content->arr.v[i]);
        if (!p)
            return;
        if (part_is(p, "text"))
            reply_text_add(r, NULL, val_get_str(&p->start, STR("text"), (struct str){0}));
    }
    take_message(r, data);
    r->whole = true;
}

/* ---- errors ---- */

static const struct reply_error_word words[] = {
    {"invalid_request_error", RC_INVALID_REQUEST, false},
    {"authentication_error", RC_AUTH, false},
    {"billing_error", RC_BILLING, true},
    {"permission_error", RC_AUTH, false},
    {"not_found_error", RC_NOT_FOUND, false},
    {"request_too_large", RC_CONTEXT, true},
    {"rate_limit_error", RC_RATE_LIMIT, false},
    {"timeout_error", RC_TIMEOUT, false},
    {"overloaded_error", RC_OVERLOADED, true},
    {"api_error", RC_SERVER, false},
    {NULL, RC_OK, false},
};

static void error(struct reply_parser *r, int status, const struct val *data)
{
    const struct val *e = VAL_GET(data, "error");
    struct str type = val_get_str(e, STR("type"), (struct str){0});
    struct str message = val_get_str(e, STR("message"), (struct str){0});
    struct str detail = val_get_str(VAL_GET(e, "details"), STR("error_code"), (struct str){0});
    enum rc rc = reply_error_class(status, type, words);
    if (str_is(detail, "enforced_spend_limit_reached") || str_is(detail, "contract_spend_limit_reached"))
        rc = RC_BILLING;
    else if (rc == RC_INVALID_REQUEST && reply_says_too_long(message))
        rc = RC_CONTEXT;
    else if (rc == RC_INVALID_REQUEST && str_find(message, STR("credit balance")) != SIZE_MAX)
        rc = RC_BILLING;
    if (r->request_id.n == 0)
        reply_keep(r, &r->request_id, VAL_GET(data, "request_id"));
    reply_fail_status(r, rc, status, detail.n ? detail : type, message);
}

/* ---- the result ---- */

/* The block as the API would have sent it in one piece. False: its tool input is no JSON object. */
static bool block_whole(struct reply_part *p, struct arena *a, struct val *ret)
{
    struct val_map m = val_map_new(a);
    struct val start = val_copy(a, &p->start);
    val_map_merge(&m, &start);
    if (part_is(p, "text") && p->text.n) {
        VAL_MAP_SET(&m, "text", val_str(arena_str(a, buf_str(&p->text))));
    } else if (part_is(p, "thinking") && p->text.n) {
        VAL_MAP_SET(&m, "thinking", val_str(arena_str(a, buf_str(&p->text))));
    } else if (p->text.n) {
        struct val input;
        if (!reply_input(a, buf_str(&p->text), &input))
            return false;
        VAL_MAP_SET(&m, "input", input);
    }
    if (p->signature.n)
        VAL_MAP_SET(&m, "signature", val_str(arena_str(a, buf_str(&p->signature))));
    if (p->notes.n) {
        struct val_list notes = p->notes;
        struct val list = val_list_done(&notes);
        VAL_MAP_SET(&m, "citations", val_copy(a, &list));
    }
    *ret = val_map_done(&m);
    return true;
}

static const char *stop_reason(struct str stop)
{
    static const struct {
        const char *theirs, *ours;
    } reasons[] = {
        {"end_turn", "end_turn"},
        {"max_tokens", "max_tokens"},
        {"tool_use", "tool_use"},
        {"stop_sequence", "stop_sequence"},
        {"refusal", "refusal"},
        {"pause_turn", "pause"},
        {"model_context_window_exceeded", "max_tokens"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (str_is(stop, reasons[i].theirs))
            return reasons[i].ours;
    }
    return "other";
}

static bool take_call(struct reply_result *ret, const struct val *block)
{
    const struct val *id = VAL_GET(block, "id"), *name = VAL_GET(block, "name"), *input = VAL_GET(block, "input");
    if (!val_is(id, VAL_STR) || id->s.n == 0 || !val_is(name, VAL_STR) || name->s.n == 0 || !val_is(input, VAL_OBJECT))
        return false;
    reply_tool_call(ret, id->s, name->s, *input);
    return true;
}

static void finish(struct reply_parser *r, struct arena *a, struct reply_result *ret)
{
    struct val_list raw = val_list_new(a);
    ret->stop_reason = stop_reason(r->stop);
    struct str why = str_c(ret->stop_reason);
    bool complete = str_is(why, "tool_use") || str_is(why, "end_turn");
    for (size_t i = 0; i < r->nparts; i++) {
        struct reply_part *p = &r->part[i];
        struct val block;
        bool call = part_is(p, "tool_use");
        if (!block_whole(p, a, &block)) {
            if (complete) {
                reply_fail(r, RC_BAD_REPLY, STR("bad_tool_input"), "the input of tool call %zu is no JSON object", i);
                return;
            }
            reply_warn(r, "an unfinished tool call was dropped (%s)", ret->stop_reason);
            continue;
        }
        if (call && !complete) { /* never to be run, so it must not be echoed either: it would want a result */
            reply_warn(r, "a tool call was dropped (%s)", ret->stop_reason);
            continue;
        }
        val_list_push(&raw, block);
        if (call && !take_call(ret, &block)) {
            reply_fail(r, RC_BAD_REPLY, STR("bad_tool_call"), "tool call %zu lacks an id, a name or an input", i);
            return;
        }
    }
    ret->raw = val_list_done(&raw);
    if (complete)
        ret->stop_reason = ret->tool_calls.n ? "tool_use" : "end_turn";
}

const struct reply_ops anthropic_reply = {.event = event, .body = body, .error = error, .finish = finish};
