#pragma once
/* Replies in the three wire formats, whole or as server-sent events. Part of fake_provider.c. */
#include "base/panic.h"
#include "script.h"

/* The bytes after the head, and where each may pause. */
struct pieces {
    struct buf bytes;
    size_t *ends;
    size_t n, cap;
    bool chunked, malformed;
    struct buf json; /* the event being written */
};

static void pieces_end(struct pieces *p)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->ends = realloc(p->ends, p->cap * sizeof *p->ends);
        CHECK(p->ends);
    }
    p->ends[p->n++] = p->bytes.n;
}

static void pieces_done(struct pieces *p)
{
    buf_done(&p->bytes);
    buf_done(&p->json);
    free(p->ends);
}

/* Sends p->json as one event; `name` may be NULL. */
static void emit(struct pieces *p, const char *name)
{
    if (p->malformed && p->json.n)
        p->json.n--; /* its closing brace */
    size_t size = p->json.n + 8 + (name ? strlen(name) + 8 : 0);
    buf_printf(&p->bytes, "%zx\r\n", size);
    if (name)
        buf_printf(&p->bytes, "event: %s\n", name);
    buf_addz(&p->bytes, "data: ");
    buf_add(&p->bytes, buf_str(&p->json));
    buf_addz(&p->bytes, "\n\n\r\n");
    pieces_end(p);
    buf_clear(&p->json);
}

/* The next `max` bytes of text or a little less, never half a character. */
static struct str take(struct str *text, size_t max)
{
    if (!text->n)
        return *text;
    size_t n = text->n < max ? text->n : max;
    while (n && n < text->n && ((unsigned char)text->p[n] & 0xc0) == 0x80)
        n--;
    if (!n)
        for (n = 1; n < text->n && ((unsigned char)text->p[n] & 0xc0) == 0x80;)
            n++;
    struct str part = str_n(text->p, n);
    *text = str_from(*text, n);
    return part;
}

static size_t tool_count(const struct answer *an)
{
    return val_is(an->tool_calls, VAL_ARRAY) ? an->tool_calls->arr.n : 0;
}

static struct str tool_id(struct arena *a, const struct answer *an, size_t i, const struct call *c, uint64_t seq)
{
    static const char *const prefix[PROVIDERS] = {"toolu_", "fc_", "call_"};
    struct str id = val_get_str(&an->tool_calls->arr.v[i], STR("id"), STR(""));
    return id.n ? id : arena_printf(a, "%s%llu_%zu", prefix[c->provider], (unsigned long long)seq, i);
}

static const struct val *tool_input(const struct answer *an, size_t i)
{
    const struct val *input = VAL_GET(&an->tool_calls->arr.v[i], "input");
    return input ? input : &val_empty_object;
}

static struct str tool_name(const struct answer *an, size_t i)
{
    return val_get_str(&an->tool_calls->arr.v[i], STR("name"), STR("tool"));
}

/* In the provider's own words. */
static struct str stop_word(const struct call *c, const struct answer *an)
{
    static const struct {
        const char *reason, *word[PROVIDERS];
    } words[] = {
        {"end_turn", {"end_turn", "STOP", "stop"}},
        {"tool_use", {"tool_use", "STOP", "tool_calls"}},
        {"max_tokens", {"max_tokens", "MAX_TOKENS", "length"}},
        {"stop_sequence", {"stop_sequence", "STOP", "stop"}},
        {"refusal", {"refusal", "SAFETY", "content_filter"}},
    };
    struct str reason = an->stop_reason.n ? an->stop_reason : tool_count(an) ? STR("tool_use") : STR("end_turn");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(reason, words[i].reason))
            return str_c(words[i].word[c->provider]);
    return reason;
}

static void put_error(struct buf *out, const struct call *c, int64_t status, struct str type, struct str message)
{
    if (c->provider == ANTHROPIC) {
        buf_addz(out, "{\"type\":\"error\",\"error\":{\"type\":");
        json_write_str(out, type);
        buf_addz(out, ",\"message\":");
        json_write_str(out, message);
        buf_addz(out, "},\"request_id\":\"req_fake\"}");
    } else if (c->provider == GEMINI) {
        buf_printf(out, "{\"error\":{\"code\":%lld,\"message\":", (long long)status);
        json_write_str(out, message);
        buf_addz(out, ",\"status\":");
        json_write_str(out, type);
        buf_addz(out, "}}");
    } else {
        buf_addz(out, "{\"error\":{\"message\":");
        json_write_str(out, message);
        buf_addz(out, ",\"type\":");
        json_write_str(out, type);
        buf_addz(out, ",\"param\":null,\"code\":null}}");
    }
}

static struct str error_type(enum provider_kind p, int64_t status)
{
    static const struct {
        int64_t status;
        const char *type[PROVIDERS];
    } types[] = {
        {400, {"invalid_request_error", "INVALID_ARGUMENT", "invalid_request_error"}},
        {401, {"authentication_error", "UNAUTHENTICATED", "invalid_request_error"}},
        {402, {"billing_error", "FAILED_PRECONDITION", "insufficient_quota"}},
        {403, {"permission_error", "PERMISSION_DENIED", "invalid_request_error"}},
        {404, {"not_found_error", "NOT_FOUND", "invalid_request_error"}},
        {413, {"request_too_large", "INVALID_ARGUMENT", "invalid_request_error"}},
        {429, {"rate_limit_error", "RESOURCE_EXHAUSTED", "rate_limit_error"}},
        {500, {"api_error", "INTERNAL", "server_error"}},
        {503, {"api_error", "UNAVAILABLE", "server_error"}},
        {504, {"timeout_error", "DEADLINE_EXCEEDED", "server_error"}},
        {529, {"overloaded_error", "UNAVAILABLE", "server_error"}},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].status == status)
            return str_c(types[i].type[p]);
    return str_c(types[status < 500 ? 0 : 7].type[p]);
}

static void put_stream_error(struct pieces *p, const struct call *c, const struct answer *an)
{
    put_error(&p->json, c, val_get_int(an->stream_error, STR("status"), 500),
              val_get_str(an->stream_error, STR("type"), error_type(c->provider, 500)),
              val_get_str(an->stream_error, STR("message"), STR("scripted")));
    emit(p, c->provider == ANTHROPIC ? "error" : NULL);
}

/* ---- Anthropic ---- */

static void anthropic_usage(struct buf *out, const struct answer *an, int64_t output)
{
    buf_printf(out,
               "{\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,\"cache_read_input_tokens\":%lld,"
               "\"output_tokens\":%lld}",
               (long long)an->input_tokens, (long long)an->cache_write, (long long)an->cache_read, (long long)output);
}

static void anthropic_head(struct buf *out, const struct call *c, uint64_t seq)
{
    buf_printf(out,
               "{\"id\":\"msg_%llu\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", (unsigned long long)seq);
    json_write_str(out, c->model);
}

static void anthropic_tool(struct buf *out, struct arena *a, const struct call *c, const struct answer *an, size_t i,
                           uint64_t seq, const struct val *input)
{
    buf_addz(out, "{\"type\":\"tool_use\",\"id\":");
    json_write_str(out, tool_id(a, an, i, c, seq));
    buf_addz(out, ",\"name\":");
    json_write_str(out, tool_name(an, i));
    buf_addz(out, ",\"input\":");
    json_write(out, input, JSON_COMPACT);
    buf_addc(out, '}');
}

static void anthropic_json(struct arena *a, struct buf *out, const struct call *c, const struct answer *an,
                           uint64_t seq)
{
    anthropic_head(out, c, seq);
    buf_addz(out, ",\"content\":[");
    if (an->text.n) {
        buf_addz(out, "{\"type\":\"text\",\"text\":");
        json_write_str(out, an->text);
        buf_addc(out, '}');
    }
    for (size_t i = 0; i < tool_count(an); i++) {
        if (i || an->text.n)
            buf_addc(out, ',');
        anthropic_tool(out, a, c, an, i, seq, tool_input(an, i));
    }
    buf_addz(out, "],\"stop_reason\":");
    json_write_str(out, stop_word(c, an));
    buf_addz(out, ",\"stop_sequence\":null,\"usage\":");
    anthropic_usage(out, an, an->output_tokens);
    buf_addc(out, '}');
}

/* Events of one content block: what starts it, its deltas (`kind`/`field` name them), its end. */
static void anthropic_deltas(struct pieces *p, size_t index, const char *kind, const char *field, struct str text,
                             size_t chunk)
{
    while (text.n) {
        buf_printf(&p->json,
                   "{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":{\"type\":\"%s\",\"%s\":", index, kind,
                   field);
        json_write_str(&p->json, take(&text, chunk));
        buf_addz(&p->json, "}}");
        emit(p, "content_block_delta");
    }
}

static void anthropic_stream(struct arena *a, struct pieces *p, const struct call *c, const struct answer *an,
                             uint64_t seq)
{
    size_t index = 0;
    buf_addz(&p->json, "{\"type\":\"message_start\",\"message\":");
    anthropic_head(&p->json, c, seq);
    buf_addz(&p->json, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    anthropic_usage(&p->json, an, 1);
    buf_addz(&p->json, "}}");
    emit(p, "message_start");
    for (size_t i = 0; i < tool_count(an) + (an->text.n ? 1 : 0); i++, index++) {
        bool is_text = an->text.n && i == 0;
        size_t tool = an->text.n ? i - 1 : i;
        buf_printf(&p->json, "{\"type\":\"content_block_start\",\"index\":%zu,\"content_block\":", index);
        if (is_text)
            buf_addz(&p->json, "{\"type\":\"text\",\"text\":\"\"}");
        else
            anthropic_tool(&p->json, a, c, an, tool, seq, &val_empty_object);
        buf_addc(&p->json, '}');
        emit(p, "content_block_start");
        if (is_text)
            anthropic_deltas(p, index, "text_delta", "text", an->text, an->chunk);
        else
            anthropic_deltas(p, index, "input_json_delta", "partial_json", json_text(a, tool_input(an, tool)),
                             an->chunk);
        if (an->stream_error) {
            put_stream_error(p, c, an);
            return;
        }
        buf_printf(&p->json, "{\"type\":\"content_block_stop\",\"index\":%zu}", index);
        emit(p, "content_block_stop");
    }
    buf_addz(&p->json, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
    json_write_str(&p->json, stop_word(c, an));
    buf_addz(&p->json, ",\"stop_sequence\":null},\"usage\":");
    anthropic_usage(&p->json, an, an->output_tokens);
    buf_addc(&p->json, '}');
    emit(p, "message_delta");
    buf_addz(&p->json, "{\"type\":\"message_stop\"}");
    emit(p, "message_stop");
}

/* ---- Gemini ---- */

/* One GenerateContentResponse: some text or a tool call (or neither), and perhaps the end. */
static void gemini_json(struct arena *a, struct buf *out, const struct call *c, const struct answer *an, uint64_t seq,
                        struct str text, size_t first_tool, size_t tools, bool last)
{
    buf_addz(out, "{\"candidates\":[{\"index\":0,\"content\":{\"role\":\"model\",\"parts\":[");
    if (text.n) {
        buf_addz(out, "{\"text\":");
        json_write_str(out, text);
        buf_addc(out, '}');
    }
    for (size_t i = first_tool; i < first_tool + tools; i++) {
        buf_addz(out, i > first_tool || text.n ? ",{\"functionCall\":{\"id\":" : "{\"functionCall\":{\"id\":");
        json_write_str(out, tool_id(a, an, i, c, seq));
        buf_addz(out, ",\"name\":");
        json_write_str(out, tool_name(an, i));
        buf_addz(out, ",\"args\":");
        json_write(out, tool_input(an, i), JSON_COMPACT);
        buf_printf(out, "}%s}", i == 0 ? ",\"thoughtSignature\":\"c2ln\"" : "");
    }
    buf_addz(out, "]}");
    if (last) {
        buf_addz(out, ",\"finishReason\":");
        json_write_str(out, stop_word(c, an));
    }
    int64_t prompt = an->input_tokens + an->cache_read;
    buf_printf(out,
               "}],\"usageMetadata\":{\"promptTokenCount\":%lld,\"candidatesTokenCount\":%lld,"
               "\"cachedContentTokenCount\":%lld,\"totalTokenCount\":%lld},\"responseId\":\"r%llu\",\"modelVersion\":",
               (long long)prompt, (long long)an->output_tokens, (long long)an->cache_read,
               (long long)(prompt + an->output_tokens), (unsigned long long)seq);
    json_write_str(out, c->model);
    buf_addc(out, '}');
}

static void gemini_stream(struct arena *a, struct pieces *p, const struct call *c, const struct answer *an,
                          uint64_t seq)
{
    struct str text = an->text;
    bool more;
    do {
        struct str part = take(&text, an->chunk);
        more = text.n || tool_count(an) || an->stream_error;
        gemini_json(a, &p->json, c, an, seq, part, 0, 0, !more);
        emit(p, NULL);
    } while (text.n);
    if (an->stream_error)
        put_stream_error(p, c, an);
    else if (more) {
        gemini_json(a, &p->json, c, an, seq, STR(""), 0, tool_count(an), true);
        emit(p, NULL);
    }
}

/* ---- OpenAI ---- */

static void openai_head(struct buf *out, const struct call *c, const char *object, uint64_t seq)
{
    buf_printf(out,
               "{\"id\":\"chatcmpl-%llu\",\"object\":\"%s\",\"created\":1700000000,\"model\":", (unsigned long long)seq,
               object);
    json_write_str(out, c->model);
    buf_addz(out, ",\"choices\":[");
}

static void openai_usage(struct buf *out, const struct answer *an)
{
    int64_t prompt = an->input_tokens + an->cache_read;
    buf_printf(out,
               "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
               (long long)prompt, (long long)an->output_tokens, (long long)(prompt + an->output_tokens),
               (long long)an->cache_read);
}

static void openai_tools(struct arena *a, struct buf *out, const struct call *c, const struct answer *an, uint64_t seq,
                         bool indexed)
{
    buf_addz(out, "\"tool_calls\":[");
    for (size_t i = 0; i < tool_count(an); i++) {
        buf_addz(out, i ? ",{" : "{");
        if (indexed)
            buf_printf(out, "\"index\":%zu,", i);
        buf_addz(out, "\"id\":");
        json_write_str(out, tool_id(a, an, i, c, seq));
        buf_addz(out, ",\"type\":\"function\",\"function\":{\"name\":");
        json_write_str(out, tool_name(an, i));
        buf_addz(out, ",\"arguments\":");
        json_write_str(out, json_text(a, tool_input(an, i)));
        buf_addz(out, "}}");
    }
    buf_addc(out, ']');
}

static void openai_json(struct arena *a, struct buf *out, const struct call *c, const struct answer *an, uint64_t seq)
{
    openai_head(out, c, "chat.completion", seq);
    for (int64_t i = 0; i < c->choices; i++) {
        buf_printf(out, "%s{\"index\":%lld,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "",
                   (long long)i);
        if (an->text.n || !tool_count(an))
            json_write_str(out, an->text);
        else
            buf_addz(out, "null");
        buf_addz(out, ",\"refusal\":null");
        if (tool_count(an)) {
            buf_addc(out, ',');
            openai_tools(a, out, c, an, seq, false);
        }
        buf_addz(out, "},\"logprobs\":null,\"finish_reason\":");
        json_write_str(out, stop_word(c, an));
        buf_addc(out, '}');
    }
    buf_addz(out, "],");
    openai_usage(out, an);
    buf_addc(out, '}');
}

/* One chunk event: `delta` is the inside of the delta object, already in p->json's form. */
static void openai_chunk(struct pieces *p, const struct call *c, uint64_t seq, int64_t choice, struct str delta,
                         struct str finish)
{
    openai_head(&p->json, c, "chat.completion.chunk", seq);
    buf_printf(&p->json, "{\"index\":%lld,\"delta\":{", (long long)choice);
    buf_add(&p->json, delta);
    buf_addz(&p->json, "},\"logprobs\":null,\"finish_reason\":");
    if (finish.n)
        json_write_str(&p->json, finish);
    else
        buf_addz(&p->json, "null");
    buf_addz(&p->json, c->include_usage ? "}],\"usage\":null}" : "}]}");
    emit(p, NULL);
}

static void openai_stream(struct arena *a, struct pieces *p, const struct call *c, const struct answer *an,
                          uint64_t seq)
{
    struct buf delta;
    buf_init(&delta, (size_t)64 << 20);
    for (int64_t i = 0; i < c->choices; i++) {
        openai_chunk(p, c, seq, i, STR("\"role\":\"assistant\",\"content\":\"\""), STR(""));
        for (struct str text = an->text; text.n;) {
            buf_clear(&delta);
            buf_addz(&delta, "\"content\":");
            json_write_str(&delta, take(&text, an->chunk));
            openai_chunk(p, c, seq, i, buf_str(&delta), STR(""));
        }
        if (an->stream_error)
            break;
        if (tool_count(an)) {
            buf_clear(&delta);
            openai_tools(a, &delta, c, an, seq, true);
            openai_chunk(p, c, seq, i, buf_str(&delta), STR(""));
        }
        openai_chunk(p, c, seq, i, STR(""), stop_word(c, an));
    }
    buf_done(&delta);
    if (an->stream_error) {
        put_stream_error(p, c, an);
        return;
    }
    if (c->include_usage) {
        openai_head(&p->json, c, "chat.completion.chunk", seq);
        buf_addz(&p->json, "],");
        openai_usage(&p->json, an);
        buf_addc(&p->json, '}');
        emit(p, NULL);
    }
    buf_addz(&p->json, p->malformed ? "[DONE]}" : "[DONE]");
    emit(p, NULL);
}

/* ---- all ---- */

/* The reply's body, framed as HTTP wants it, in `p` (to be freed with pieces_done). Returns its content type. */
static const char *wire_body(struct arena *a, struct pieces *p, const struct call *c, const struct answer *an,
                             uint64_t seq)
{
    static const size_t max = (size_t)256 << 20;
    *p = (struct pieces){.malformed = an->malformed};
    buf_init(&p->bytes, max);
    buf_init(&p->json, max);
    bool plain = an->body.p || an->status != 200;
    if (c->stream && !plain && !c->json_array) {
        p->chunked = true;
        if (c->provider == ANTHROPIC)
            anthropic_stream(a, p, c, an, seq);
        else if (c->provider == GEMINI)
            gemini_stream(a, p, c, an, seq);
        else
            openai_stream(a, p, c, an, seq);
        buf_addz(&p->bytes, "0\r\n\r\n");
        p->ends[p->n - 1] = p->bytes.n;
        return "text/event-stream; charset=utf-8";
    }
    if (an->body.p)
        buf_add(&p->bytes, an->body);
    else if (an->status != 200 && c->provider == GEMINI && an->retry_after >= 0)
        buf_printf(
            &p->bytes,
            "{\"error\":{\"code\":%lld,\"message\":\"scripted error\",\"status\":\"%.*s\",\"details\":[{\"@type\":"
            "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"%gs\"}]}}",
            (long long)an->status, STR_ARG(error_type(GEMINI, an->status)), an->retry_after);
    else if (an->status != 200)
        put_error(&p->bytes, c, an->status, error_type(c->provider, an->status), STR("scripted error"));
    else if (c->provider == ANTHROPIC)
        anthropic_json(a, &p->bytes, c, an, seq);
    else if (c->provider == OPENAI)
        openai_json(a, &p->bytes, c, an, seq);
    else {
        buf_addz(&p->bytes, c->json_array ? "[" : "");
        gemini_json(a, &p->bytes, c, an, seq, an->text, 0, tool_count(an), true);
        buf_addz(&p->bytes, c->json_array ? "]" : "");
    }
    if (p->malformed && p->bytes.n)
        p->bytes.n--;
    pieces_end(p);
    return "application/json";
}
