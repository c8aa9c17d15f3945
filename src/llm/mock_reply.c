/* Replies in the words of each provider, as streams of events with text and tool input in several pieces, so that what
 * a codec assembles in a real run is assembled in a mock run too.
 *
 * Events are printed from patterns whose holes are JSON texts (which have no NUL bytes: they are escaped). */
#include "llm/mock_reply.h"

#include "data/json.h"

#include <inttypes.h>

enum { PIECES = 6, PIECE_MIN = 8 };

static const char *quoted(struct arena *a, struct str s)
{
    struct val v = val_str(s);
    return json_text(a, &v).p;
}

/* The next piece of `rest`, not cut inside a character; false at the end. */
static bool next_piece(struct str *rest, size_t size, struct str *piece)
{
    if (rest->n == 0)
        return false;
    size_t n = rest->n < size ? rest->n : size;
    while (n < rest->n && ((unsigned char)rest->p[n] & 0xC0) == 0x80)
        n++;
    *piece = str_n(rest->p, n);
    *rest = str_from(*rest, n);
    return true;
}
static size_t piece_size(struct str s)
{
    return s.n / PIECES > PIECE_MIN ? s.n / PIECES + 1 : PIECE_MIN;
}

static const char *wire_word(struct str canonical, size_t provider)
{
    static const char *const words[][4] = {
        {"end_turn", "end_turn", "STOP", "stop"},           {"max_tokens", "max_tokens", "MAX_TOKENS", "length"},
        {"tool_use", "tool_use", "STOP", "tool_calls"},     {"stop_sequence", "stop_sequence", "STOP", "stop"},
        {"refusal", "refusal", "SAFETY", "content_filter"}, {"pause", "pause_turn", "CONTINUATION", "stop"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_is(canonical, words[i][0]))
            return words[i][1 + provider];
    }
    return provider == 1 ? "OTHER" : "other";
}

/* ---- Anthropic ---- */

static void anthropic_block(struct buf *out, struct arena *a, size_t index, const char *start, const char *delta_type,
                            const char *delta_key, struct str text)
{
    struct str piece;
    size_t size = piece_size(text);
    buf_printf(out,
               "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%zu,"
               "\"content_block\":%s}\n\n",
               index, start);
    while (next_piece(&text, size, &piece)) {
        buf_printf(out,
                   "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%zu,"
                   "\"delta\":{\"type\":\"%s\",\"%s\":%s}}\n\n",
                   index, delta_type, delta_key, quoted(a, piece));
    }
    buf_printf(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%zu}\n\n", index);
}

static void write_anthropic(const struct mock_answer *x, struct arena *a, struct buf *out)
{
    size_t index = 0;
    buf_printf(out,
               "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":%s,\"type\":\"message\","
               "\"role\":\"assistant\",\"model\":%s,\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
               "\"usage\":{\"input_tokens\":%" PRId64 ",\"cache_creation_input_tokens\":%" PRId64
               ",\"cache_read_input_tokens\":%" PRId64 ",\"output_tokens\":1}}}\n\n"
               "event: ping\ndata: {\"type\":\"ping\"}\n\n",
               quoted(a, x->id), quoted(a, x->model), x->usage.input, x->usage.cache_write, x->usage.cache_read);
    if (x->text.n || x->tool_calls.arr.n == 0)
        anthropic_block(out, a, index++, "{\"type\":\"text\",\"text\":\"\"}", "text_delta", "text", x->text);
    for (size_t i = 0; i < x->tool_calls.arr.n; i++) {
        const struct val *c = &x->tool_calls.arr.v[i];
        struct str start = arena_printf(a, "{\"type\":\"tool_use\",\"id\":%s,\"name\":%s,\"input\":{}}",
                                        quoted(a, VAL_GET(c, "id")->s), quoted(a, VAL_GET(c, "name")->s));
        anthropic_block(out, a, index++, start.p, "input_json_delta", "partial_json",
                        json_text(a, VAL_GET(c, "input")));
    }
    buf_printf(out,
               "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
               "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%" PRId64 "}}\n\n"
               "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
               wire_word(x->stop_reason, 0), x->usage.output);
}

/* ---- Gemini ---- */

static void gemini_frame(const struct mock_answer *x, struct arena *a, struct buf *out, const char *part)
{
    buf_printf(out,
               "data: {\"candidates\":[{\"content\":{\"parts\":[%s],\"role\":\"model\"},\"index\":0}],"
               "\"modelVersion\":%s,\"responseId\":%s}\n\n",
               part, quoted(a, x->model), quoted(a, x->id));
}

static void write_gemini(const struct mock_answer *x, struct arena *a, struct buf *out)
{
    struct str rest = x->text, piece;
    size_t size = piece_size(rest);
    while (next_piece(&rest, size, &piece))
        gemini_frame(x, a, out, arena_printf(a, "{\"text\":%s}", quoted(a, piece)).p);
    for (size_t i = 0; i < x->tool_calls.arr.n; i++) {
        const struct val *c = &x->tool_calls.arr.v[i];
        struct str part = arena_printf(
            a, "{\"functionCall\":{\"id\":%s,\"name\":%s,\"args\":%s},\"thoughtSignature\":\"bW9jaw==\"}",
            quoted(a, VAL_GET(c, "id")->s), quoted(a, VAL_GET(c, "name")->s), json_text(a, VAL_GET(c, "input")).p);
        gemini_frame(x, a, out, part.p);
    }
    const char *token = str_is(x->stop_reason, "pause") ? ",\"continuationToken\":\"bW9jaw==\"" : "";
    int64_t prompt = x->usage.input + x->usage.cache_read;
    buf_printf(out,
               "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},"
               "\"finishReason\":\"%s\"%s,\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":%" PRId64
               ",\"cachedContentTokenCount\":%" PRId64 ",\"candidatesTokenCount\":%" PRId64
               ",\"totalTokenCount\":%" PRId64 "},\"modelVersion\":%s,\"responseId\":%s}\n\n",
               wire_word(x->stop_reason, 1), token, prompt, x->usage.cache_read, x->usage.output,
               prompt + x->usage.output, quoted(a, x->model), quoted(a, x->id));
}

/* ---- OpenAI ---- */

static void openai_chunk(const struct mock_answer *x, struct arena *a, struct buf *out, const char *delta,
                         const char *finish)
{
    buf_printf(out,
               "data: {\"id\":%s,\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":%s,\"choices\":"
               "[{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}],\"usage\":null}\n\n",
               quoted(a, x->id), quoted(a, x->model), delta, finish);
}

static void openai_call(const struct mock_answer *x, struct arena *a, struct buf *out, size_t index,
                        const struct val *call)
{
    struct str rest = json_text(a, VAL_GET(call, "input")), piece;
    size_t size = piece_size(rest);
    struct str head = arena_printf(a,
                                   "{\"tool_calls\":[{\"index\":%zu,\"id\":%s,\"type\":\"function\",\"function\":"
                                   "{\"name\":%s,\"arguments\":\"\"}}]}",
                                   index, quoted(a, VAL_GET(call, "id")->s), quoted(a, VAL_GET(call, "name")->s));
    openai_chunk(x, a, out, head.p, "null");
    while (next_piece(&rest, size, &piece)) {
        struct str more = arena_printf(a, "{\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":%s}}]}", index,
                                       quoted(a, piece));
        openai_chunk(x, a, out, more.p, "null");
    }
}

static void write_openai(const struct mock_answer *x, struct arena *a, struct buf *out)
{
    struct str rest = x->text, piece;
    size_t size = piece_size(rest);
    openai_chunk(x, a, out, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
    while (next_piece(&rest, size, &piece))
        openai_chunk(x, a, out, arena_printf(a, "{\"content\":%s}", quoted(a, piece)).p, "null");
    for (size_t i = 0; i < x->tool_calls.arr.n; i++)
        openai_call(x, a, out, i, &x->tool_calls.arr.v[i]);
    openai_chunk(x, a, out, "{}", arena_printf(a, "\"%s\"", wire_word(x->stop_reason, 2)).p);
    int64_t prompt = x->usage.input + x->usage.cache_read + x->usage.cache_write;
    buf_printf(out,
               "data: {\"id\":%s,\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":%s,\"choices\":[],"
               "\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
               ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRId64 ",\"cache_write_tokens\":%" PRId64
               "}}}\n\ndata: [DONE]\n\n",
               quoted(a, x->id), quoted(a, x->model), prompt, x->usage.output, prompt + x->usage.output,
               x->usage.cache_read, x->usage.cache_write);
}

/* ---- by provider ---- */

static size_t provider_number(const struct provider *p)
{
    return str_is(str_c(p->name), "anthropic") ? 0 : str_is(str_c(p->name), "gemini") ? 1 : 2;
}

void mock_write_reply(const struct provider *p, const struct mock_answer *x, struct arena *a, struct buf *out)
{
    static void (*const writers[])(const struct mock_answer *, struct arena *,
                                   struct buf *) = {write_anthropic, write_gemini, write_openai};
    writers[provider_number(p)](x, a, out);
}

/* The usual words for a status: Anthropic's, Gemini's, OpenAI's. */
static const struct {
    int status;
    const char *word[3];
} error_words[] = {
    {400, {"invalid_request_error", "INVALID_ARGUMENT", "invalid_request_error"}},
    {401, {"authentication_error", "UNAUTHENTICATED", "invalid_api_key"}},
    {402, {"billing_error", "FAILED_PRECONDITION", "billing_not_active"}},
    {403, {"permission_error", "PERMISSION_DENIED", "permission_error"}},
    {404, {"not_found_error", "NOT_FOUND", "model_not_found"}},
    {413, {"request_too_large", "INVALID_ARGUMENT", "invalid_request_error"}},
    {429, {"rate_limit_error", "RESOURCE_EXHAUSTED", "rate_limit_exceeded"}},
    {500, {"api_error", "INTERNAL", "server_error"}},
    {503, {"api_error", "UNAVAILABLE", "server_error"}},
    {504, {"timeout_error", "DEADLINE_EXCEEDED", "server_error"}},
    {529, {"overloaded_error", "UNAVAILABLE", "overloaded_error"}},
};

void mock_write_error(const struct provider *p, int status, struct str code, struct str message, struct arena *a,
                      struct buf *out)
{
    size_t number = provider_number(p);
    const char *word = status >= 500 ? error_words[7].word[number] : error_words[0].word[number];
    for (size_t i = 0; i < sizeof error_words / sizeof *error_words; i++) {
        if (error_words[i].status == status)
            word = error_words[i].word[number];
    }
    const char *code_text = quoted(a, code.n ? code : str_c(word)), *text = quoted(a, message);
    if (number == 0)
        buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":%s,\"message\":%s},\"request_id\":\"req_mock\"}",
                   code_text, text);
    else if (number == 1)
        buf_printf(out, "{\"error\":{\"code\":%d,\"message\":%s,\"status\":%s}}", status, text, code_text);
    else
        buf_printf(out, "{\"error\":{\"message\":%s,\"type\":%s,\"param\":null,\"code\":%s}}", text, code_text,
                   code_text);
}
