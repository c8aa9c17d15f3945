/* What a request on the wire asks, read back from each provider's form: for fixtures, echoes and schemas.
 *
 * The provider is known from the address. The last message is everything behind the last assistant message, tool
 * results included, joined with newlines. */
#include "llm/mock_reply.h"

#include "data/json.h"

enum { MAX_MESSAGE = 16 << 20 };

static void add(struct buf *b, struct str s)
{
    if (b->n && s.n)
        buf_addc(b, '\n');
    buf_add(b, s);
}

/* Anthropic's and OpenAI's content: a text, or a list of blocks, which may be tool results with content again. */
static void add_content(struct buf *b, const struct val *content, unsigned depth)
{
    if (val_is(content, VAL_STR))
        add(b, content->s);
    for (size_t i = 0; depth && val_is(content, VAL_ARRAY) && i < content->arr.n; i++) {
        const struct val *block = &content->arr.v[i];
        add(b, val_get_str(block, STR("text"), (struct str){0}));
        add_content(b, VAL_GET(block, "content"), depth - 1);
    }
}

static void add_parts(struct buf *b, const struct val *parts, struct arena *a)
{
    for (size_t i = 0; val_is(parts, VAL_ARRAY) && i < parts->arr.n; i++) {
        const struct val *part = &parts->arr.v[i];
        const struct val *response = VAL_GET(VAL_GET(part, "functionResponse"), "response");
        add(b, val_get_str(part, STR("text"), (struct str){0}));
        if (!response)
            continue;
        struct str output = val_get_str(response, STR("output"), val_get_str(response, STR("error"), (struct str){0}));
        add(b, output.n ? output : json_text(a, response));
    }
}

static struct str last_message(const struct val *messages, struct arena *a)
{
    size_t n = val_is(messages, VAL_ARRAY) ? messages->arr.n : 0, first = n;
    while (first) {
        struct str role = val_get_str(&messages->arr.v[first - 1], STR("role"), STR("user"));
        if (!str_is(role, "user") && !str_is(role, "tool"))
            break;
        first--;
    }
    struct buf b;
    buf_init(&b, MAX_MESSAGE);
    for (size_t i = first; i < n; i++) {
        add_content(&b, VAL_GET(&messages->arr.v[i], "content"), 3);
        add_parts(&b, VAL_GET(&messages->arr.v[i], "parts"), a);
    }
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    return text;
}

/* The model of ".../models/NAME:streamGenerateContent?alt=sse". */
static struct str gemini_model(struct str url)
{
    size_t at = str_find(url, STR("/models/"));
    struct str name = at == SIZE_MAX ? (struct str){0} : str_from(url, at + 8);
    size_t colon = str_find(name, STR(":"));
    name.n = colon == SIZE_MAX ? name.n : colon;
    return name;
}

enum rc mock_request_read(const struct http_request *req, struct arena *a, struct mock_request *ret, struct err *err)
{
    struct val body;
    struct str path = req->url;
    size_t query = str_find(path, STR("?"));
    path.n = query == SIZE_MAX ? path.n : query;
    *ret = (struct mock_request){.prompt_tokens = (int64_t)(req->body.n / 4) + 1};
    enum rc rc = json_parse(a, req->body, &JSON_LIMITS_DEFAULT, &body, err);
    if (rc != RC_OK)
        return err_wrap(err, "the request's body");
    const struct val *messages = VAL_GET(&body, "messages");
    ret->model = val_get_str(&body, STR("model"), (struct str){0});
    if (str_ends(path, STR("enerateContent"))) {
        ret->provider = provider_by_name(STR("gemini"));
        ret->model = gemini_model(path);
        ret->schema = VAL_GET(VAL_GET(&body, "generationConfig"), "responseJsonSchema");
        messages = VAL_GET(&body, "contents");
    } else if (str_ends(path, STR("/chat/completions"))) {
        ret->provider = provider_by_name(STR("openai"));
        ret->schema = VAL_GET(VAL_GET(VAL_GET(&body, "response_format"), "json_schema"), "schema");
    } else if (str_ends(path, STR("/messages"))) {
        ret->provider = provider_by_name(STR("anthropic"));
        ret->schema = VAL_GET(VAL_GET(VAL_GET(&body, "output_config"), "format"), "schema");
    } else {
        return err_set(err, RC_INVALID, "the mock knows no provider with the address %.*s", STR_ARG(req->url));
    }
    ret->last_message = last_message(messages, a);
    return RC_OK;
}
