/* Replies of providers: any bytes, however they arrive, become a canonical reply or an error object of the right shape,
 * the same one for every chunk size; and what a good reply holds can be sent back.
 *
 * The first byte chooses provider, status and chunk size; the rest is the body. */
#include "base/panic.h"
#include "data/json.h"
#include "llm/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(const struct provider *p, int status, struct str body, size_t chunk, struct arena *a, struct val *ret)
{
    struct err err = {.rc = RC_OK};
    struct http_header headers[] = {{STR("retry-after"), body}, {STR("date"), body}};
    struct reply_parser *r = reply_new(p);
    reply_head(r, status, headers, body.n < 40 ? 2 : 0);
    while (body.n) {
        size_t n = chunk < body.n ? chunk : body.n;
        reply_data(r, str_n(body.p, n));
        body = str_from(body, n);
    }
    bool ok = reply_finish(r, RC_OK, &err, a, ret);
    reply_free(r);
    return ok;
}

static void check_reply(const struct val *v)
{
    CHECK(val_is(VAL_GET(v, "text"), VAL_STR));
    CHECK(val_is(VAL_GET(v, "model"), VAL_STR));
    CHECK(val_is(VAL_GET(v, "stop_reason"), VAL_STR));
    const struct val *calls = VAL_GET(v, "tool_calls"), *usage = VAL_GET(v, "usage");
    CHECK(val_is(calls, VAL_ARRAY));
    for (size_t i = 0; i < calls->arr.n; i++) {
        CHECK(val_get_str(&calls->arr.v[i], STR("id"), STR("")).n > 0);
        CHECK(val_get_str(&calls->arr.v[i], STR("name"), STR("")).n > 0);
        CHECK(val_is(VAL_GET(&calls->arr.v[i], "input"), VAL_OBJECT));
    }
    CHECK(val_get_int(usage, STR("input_tokens"), -1) >= 0 && val_get_int(usage, STR("output_tokens"), -1) >= 0);
    CHECK(val_get_int(usage, STR("cache_read_tokens"), -1) >= 0);
}

static void check_error(const struct val *v)
{
    enum rc rc = rc_from_name(val_get_str(v, STR("class"), STR("")));
    CHECK(rc != RC_COUNT && rc != RC_OK);
    CHECK(val_get_str(v, STR("message"), STR("")).n > 0);
    CHECK(val_get_str(v, STR("code"), STR("")).n > 0);
    CHECK(val_is(VAL_GET(v, "retryable"), VAL_BOOL));
}

/* The reply as the next request's history. */
static void echo(const struct provider *p, const struct val *reply, struct arena *a)
{
    struct val_map assistant = val_map_new(a), user = val_map_new(a), request = val_map_new(a);
    struct val_list messages = val_list_new(a);
    VAL_MAP_SET(&user, "role", VAL_LIT("user"));
    VAL_MAP_SET(&user, "content", VAL_LIT("go on"));
    VAL_MAP_SET(&assistant, "role", VAL_LIT("assistant"));
    VAL_MAP_SET(&assistant, "raw", *VAL_GET(reply, "raw"));
    val_list_push(&messages, val_map_done(&assistant));
    val_list_push(&messages, val_map_done(&user));
    VAL_MAP_SET(&request, "model", VAL_LIT("m"));
    VAL_MAP_SET(&request, "messages", val_list_done(&messages));
    struct val v = val_map_done(&request), body;
    struct provider_config config = {0};
    struct http_request req;
    struct err err;
    CHECK(p->build(&v, &config, a, &req, NULL, &err) == RC_OK);
    CHECK(json_parse(a, req.body, &JSON_LIMITS_DEFAULT, &body, &err) == RC_OK || err.rc == RC_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"anthropic", "gemini", "openai"};
    static const int statuses[] = {200, 200, 400, 429, 500, 200};
    if (size < 1 || size > (size_t)1 << 20)
        return 0;
    const struct provider *p = provider_by_name(str_c(names[data[0] % 3]));
    int status = statuses[data[0] / 3 % 6];
    struct str body = str_n((const char *)data + 1, size - 1);
    struct arena a = {0};
    struct val whole, pieces;
    bool ok = parse(p, status, body, SIZE_MAX, &a, &whole);
    CHECK(ok == parse(p, status, body, (size_t)data[0] / 18 + 1, &a, &pieces));
    CHECK(val_eq(&whole, &pieces) || body.n < 40); /* a Retry-After date is read against the clock */
    if (ok) {
        check_reply(&whole);
        echo(p, &whole, &a);
    } else {
        check_error(&whole);
    }
    arena_done(&a);
    return 0;
}
