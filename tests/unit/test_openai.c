/* The codec of OpenAI's chat completions: requests field by field, replies cut and split at every byte. */
#include "reply_check.h"

/* ---- replies ---- */

#define CHUNK(delta, finish)                                                                                    \
    "data: {'id':'chatcmpl-1','object':'chat.completion.chunk','created':1,'model':'gpt-5.6-luna','choices':[{" \
    "'index':0,'delta':" delta ",'logprobs':null,'finish_reason':" finish "}],'usage':null}\n\n"

static const char stream[] = CHUNK("{'role':'assistant','content':'','refusal':null}",
                                   "null") CHUNK("{'content':'Gr\xC3\xBC\xC3\x9F'}", "null")
    CHUNK("{'content':' Gott'}", "null") CHUNK("{'reasoning_content':'hm'}", "null") CHUNK(
        "{'tool_calls':[{'index':0,'id':'call_1','type':'function','function':{'name':'edit','arguments':''}}]}",
        "null") CHUNK("{'tool_calls':[{'index':0,'function':{'arguments':'{\\'path\\': \\'a.c\\','}}]}", "null")
        CHUNK("{'tool_calls':[{'index':1,'id':'call_2','type':'function','function':{'name':'look','arguments':''}}]}",
              "null")
            CHUNK("{'tool_calls':[{'index':0,'function':{'arguments':'\\'n\\':12345678901234567890}'}}]}", "null")
                CHUNK("{}", "'tool_calls'") "data: "
                                            "{'id':'chatcmpl-1','object':'chat.completion.chunk','created':1,'model':'"
                                            "gpt-5.6-luna','choices':[],"
                                            "'usage':{'prompt_tokens':1000,'completion_tokens':70,'total_tokens':1070,'"
                                            "prompt_tokens_details':{"
                                            "'cached_tokens':400,'cache_write_tokens':100},'completion_tokens_details':"
                                            "{'reasoning_tokens':20}}}\n\n"
                                            "data: [DONE]\n\n";

static void check_whole(const struct val *v)
{
    expect_text(v, "text", "Gr\xC3\xBC\xC3\x9F Gott");
    expect_json(VAL_GET(v, "tool_calls"),
                "[{'id':'call_1','name':'edit','input':{'path':'a.c','n':12345678901234567890}},"
                "{'id':'call_2','name':'look','input':{}}]");
    expect_json(
        VAL_GET(v, "raw"),
        "{'role':'assistant','content':'Gr\xC3\xBC\xC3\x9F Gott','tool_calls':[{'id':'call_1','type':'function',"
        "'function':{'name':'edit','arguments':'{\\'path\\': \\'a.c\\',\\'n\\':12345678901234567890}'}},"
        "{'id':'call_2','type':'function','function':{'name':'look','arguments':''}}]}");
    expect_text(v, "stop_reason", "tool_use");
    expect_text(v, "model", "gpt-5.6-luna");
    expect_text(v, "provider", "openai");
    expect_json(VAL_GET(v, "usage"),
                "{'input_tokens':500,'output_tokens':70,'cache_read_tokens':400,'cache_write_tokens':100}");
    expect_number(val_to_double(VAL_GET(v, "cost_usd"), 0), (500 * 0.2 + 70 * 1.2 + 400 * 0.02 + 100 * 0.25) / 1e6);
}

static void test_stream(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct feed f = {.provider = "openai"};
    assert_true(feed_reply(&f, stream_of(&a, stream), &a, &v));
    check_whole(&v);
    arena_done(&a);
}

static void test_cuts_and_splits(void **state)
{
    (void)state;
    struct arena a = {0};
    check_cuts_and_splits("openai", stream_of(&a, stream), "data: [DONE]\n\n");
    arena_done(&a);
}

static void test_one_body(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct feed f = {.provider = "openai"};
    struct str body = stream_of(
        &a, "{'id':'chatcmpl-1','object':'chat.completion','created':1,'model':'gpt-5.6-luna','choices':[{'index':0,"
            "'message':{'role':'assistant','content':'Gr\xC3\xBC\xC3\x9F Gott','refusal':null,'annotations':[],"
            "'tool_calls':[{'id':'call_1','type':'function','function':{'name':'edit','arguments':'{\\'path\\': "
            "\\'a.c\\',\\'n\\':12345678901234567890}'}},{'id':'call_2','type':'function','function':{'name':'look',"
            "'arguments':''}}]},'finish_reason':'tool_calls'}],'error':null,'usage':{'prompt_tokens':1000,"
            "'completion_tokens':70,'prompt_tokens_details':{'cached_tokens':400,'cache_write_tokens':100}}}");
    assert_true(feed_reply(&f, body, &a, &v));
    check_whole(&v);
    for (size_t n = 0; n < body.n; n++) {
        assert_false(feed_reply(&f, str_n(body.p, n), &a, &v));
        expect_text(&v, "class", "network");
    }
    arena_done(&a);
}

/* Frames before the end mark, and the stop reason behind '=', or the class of the error. */
static void test_endings(void **state)
{
    (void)state;
#define CALL(rest, finish) CHUNK("{'tool_calls':[{" rest "}]}", finish)
    static const struct {
        const char *frames, *outcome, *calls, *text;
    } cases[] = {
        {CHUNK("{'content':'A'}", "'stop'"), "=end_turn", "[]", "A"},
        {CHUNK("{'content':'A'}", "'length'"), "=max_tokens", "[]", "A"},
        {CHUNK("{'content':'A'}", "'content_filter'"), "=refusal", "[]", "A"},
        {CHUNK("{'content':'A'}", "'brand_new'"), "=other", "[]", "A"},
        {CHUNK("{'refusal':'I will'}", "null") CHUNK("{'refusal':' not'}", "'stop'"), "=refusal", "[]", "I will not"},
        {CHUNK("{'content':'A'}", "null"), "network", NULL, NULL},
        {"", "network", NULL, NULL},
        {CALL("'index':0,'id':'a','function':{'name':'f','arguments':'{\\'a'}", "'length'"), "=max_tokens", "[]", ""},
        {CALL("'index':0,'id':'a','function':{'name':'f','arguments':'{\\'a'}", "'tool_calls'"), "bad_reply", NULL,
         NULL},
        {CALL("'index':0,'id':'a','function':{'arguments':'{}'}", "'stop'"), "bad_reply", NULL, NULL},
        {CALL("'index':0,'id':'a','function':{'name':'f','arguments':'[]'}", "'stop'"), "bad_reply", NULL, NULL},
        /* imitations: no index, no id, the same index twice, arguments that are no text, "stop" with calls */
        {CALL("'id':'a','function':{'name':'f','arguments':'{\\'x\\':'}", "null")
             CALL("'function':{'arguments':'1}'}", "null") CALL("'id':'b','function':{'name':'g'}", "'stop'"),
         "=tool_use", "[{'id':'a','name':'f','input':{'x':1}},{'id':'b','name':'g','input':{}}]", ""},
        {CALL("'index':0,'function':{'name':'f','arguments':'{}'}", "'stop'"), "=tool_use",
         "[{'id':'call_1','name':'f','input':{}}]", ""},
        {CALL("'index':0,'id':'a','function':{'name':'f','arguments':'{}'}", "null")
             CALL("'index':0,'id':'b','function':{'name':'g','arguments':'{}'}", "'stop'"),
         "=tool_use", "[{'id':'a','name':'f','input':{}},{'id':'b','name':'g','input':{}}]", ""},
        {CALL("'index':0,'id':'a','function':{'name':'f','arguments':{'x':1}}", "'stop'"), "=tool_use",
         "[{'id':'a','name':'f','input':{'x':1}}]", ""},
        {CHUNK("null", "'stop'"), "=end_turn", "[]", ""},
        {"data: {'error':{'message':'m','type':'server_error','code':null}}\n\n", "server", NULL, NULL},
        {"data: {'error':{'message':'m','code':429}}\n\n", "rate_limit", NULL, NULL},
        {"data: {'error':{'message':'m','code':'insufficient_quota'}}\n\n", "billing", NULL, NULL},
        {"data: {'error':'out of memory'}\n\n", "server", NULL, NULL},
        {"data: {'choices'\n\n", "bad_reply", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v;
        struct feed f = {.provider = "openai"};
        struct str text = arena_printf(&a, "%sdata: [DONE]\n\n", cases[i].frames);
        bool ok = feed_reply(&f, stream_of(&a, text.p), &a, &v);
        if (ok != (cases[i].outcome[0] == '='))
            fail_msg("case %zu: %s", i, json_text(&a, &v).p);
        expect_text(&v, ok ? "stop_reason" : "class", cases[i].outcome + ok);
        if (ok) {
            expect_json(VAL_GET(&v, "tool_calls"), cases[i].calls);
            expect_text(&v, "text", cases[i].text);
            /* what is echoed has a call for each that must be answered, and no other */
            const struct val *raw = VAL_GET(VAL_GET(&v, "raw"), "tool_calls");
            assert_int_equal(raw ? raw->arr.n : 0, VAL_GET(&v, "tool_calls")->arr.n);
        }
        arena_done(&a);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct error_case cases[] = {
#define E(type, code) "{'error':{'message':'m','type':'" type "','param':null,'code':" code "}}"
        {400, E("invalid_request_error", "null"), NULL, NULL, "invalid_request", "invalid_request_error", -1, false},
        {400, E("invalid_request_error", "'context_length_exceeded'"), NULL, NULL, "context_overflow",
         "context_length_exceeded", -1, false},
        {400,
         "{'error':{'message':'This model\xE2\x80\x99s maximum context length is 8 tokens','type':'BadRequestError',"
         "'code':400}}",
         NULL, NULL, "context_overflow", "BadRequestError", -1, false},
        {400, E("invalid_request_error", "'content_policy_violation'"), NULL, NULL, "refused",
         "content_policy_violation", -1, false},
        {401, E("invalid_request_error", "'invalid_api_key'"), NULL, NULL, "auth", "invalid_api_key", -1, false},
        {404, E("invalid_request_error", "'model_not_found'"), NULL, NULL, "not_found", "model_not_found", -1, false},
        {429, E("rate_limit_error", "'rate_limit_exceeded'"), "retry-after", "2", "rate_limit", "rate_limit_exceeded",
         2000, true},
        {429, E("insufficient_quota", "'insufficient_quota'"), "retry-after", "2", "billing", "insufficient_quota", -1,
         false},
        {429, E("requests", "'billing_hard_limit_reached'"), NULL, NULL, "billing", "billing_hard_limit_reached", -1,
         false},
        {429, E("tokens", "'rate_limit_exceeded'"), "retry-after-ms", "250", "rate_limit", "rate_limit_exceeded", 250,
         true},
        {500, E("server_error", "null"), NULL, NULL, "server", "server_error", -1, true},
        {500, E("server_error", "null"), "x-should-retry", "false", "server", "server_error", -1, false},
        {503, E("server_error", "null"), "retry-after", "1", "overloaded", "server_error", 1000, true},
        {500, "{'error':'model requires more system memory'}", NULL, NULL, "server", "http_500", -1, true},
        {422, "{'message':'bad'}", NULL, NULL, "invalid_request", "http_422", -1, false},
        {200, "{'error':{'message':'m','type':'server_error'}}", NULL, NULL, "server", "server_error", -1, true},
    };
    check_errors("openai", cases, sizeof cases / sizeof *cases);
}

/* The date of a Retry-After is compared with the server's own clock. */
static void test_retry_after_date(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct http_header headers[] = {{STR("Date"), STR("Sun, 28 Feb 2027 23:59:30 GMT")},
                                    {STR("Retry-After"), STR("Mon, 01 Mar 2027 00:00:45 GMT")}};
    struct feed f = {.provider = "openai", .status = 429, .headers = headers, .nheaders = 2};
    assert_false(feed_reply(&f, STR(""), &a, &v));
    assert_int_equal(val_get_int(&v, STR("retry_after_ms"), -1), 75000);
    headers[1].value = STR("Sun, 28 Feb 2027 23:59:29 GMT");
    assert_false(feed_reply(&f, STR(""), &a, &v));
    assert_null(VAL_GET(&v, "retry_after_ms"));
    static const struct {
        const char *text;
        int64_t ms;
    } dates[] = {
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
        {"Tue, 29 Feb 2000 12:00:00 GMT", 951825600000},
        {"Fri, 31 Dec 2100 23:59:59 GMT", 4133980799000},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nox 1994 08:49:37 GMT", -1},
        {"Sun, 06 anF 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"1994-11-06T08:49:37Z", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++)
        assert_int_equal(reply_http_date(str_c(dates[i].text)), dates[i].ms);
    arena_done(&a);
}

/* ---- requests ---- */

static const char conversation[] =
    "'system':'Be brief.','max_tokens':100,'temperature':0.5,'top_k':40,'stop':['END'],"
    "'messages':[{'role':'user','content':[{'type':'text','text':'Hi'}]},"
    "{'role':'assistant','raw':{'role':'assistant','content':null,'tool_calls':[{'id':'c1','type':'function',"
    "'function':{'name':'f','arguments':'{\\'a\\': 1}'}}]}},"
    "{'role':'user','content':[{'type':'tool_result','id':'c1','name':'f','text':'out','is_error':true},{'type':'text',"
    "'text':'a'},{'type':'text','text':'b'}]},"
    "{'role':'assistant','raw':{'parts':[]},'text':'T','tool_calls':[{'id':'c2','name':'g','input':{'x':1}}]},"
    "{'role':'user','content':[{'type':'tool_result','id':'c2','name':'g','text':'r'}]}],"
    "'tools':[{'name':'f','description':'d'}],'tool_choice':'none'";

#define MESSAGES                                                                                                       \
    "'messages':[{'role':'system','content':'Be brief.'},{'role':'user','content':'Hi'},{'role':'assistant',"          \
    "'content':null,'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{\\'a\\': 1}'}}]}," \
    "{'role':'tool','tool_call_id':'c1','content':'out'},{'role':'user','content':[{'type':'text','text':'a'},"        \
    "{'type':'text','text':'b'}]},{'role':'assistant','content':'T','tool_calls':[{'id':'c2','type':'function',"       \
    "'function':{'name':'g','arguments':'{\\'x\\':1}'}}]},{'role':'tool','tool_call_id':'c2','content':'r'}],"         \
    "'tools':[{'type':'function','function':{'name':'f','description':'d','parameters':{'type':'object','properties'"  \
    ":{}}}}],'tool_choice':'none','stop':['END'],'stream':true,'stream_options':{'include_usage':true}"

static void test_request(void **state)
{
    (void)state;
    static const struct {
        const char *model, *more, *base, *url, *key, *body;
        size_t warnings;
    } cases[] = {
        {"gpt-4.1", "", "", "https://api.openai.com/v1/chat/completions", "K",
         "{'model':'gpt-4.1'," MESSAGES ",'max_completion_tokens':100,'temperature':0.5}", 1},
        {"gpt-5.6-sol", ",'effort':'low'", "https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions",
         "K", "{'model':'gpt-5.6-sol'," MESSAGES ",'max_completion_tokens':100,'reasoning_effort':'low'}", 2},
        {"gpt-5.6-sol", ",'effort':'none'", "", "https://api.openai.com/v1/chat/completions", "K",
         "{'model':'gpt-5.6-sol'," MESSAGES ",'max_completion_tokens':100,'reasoning_effort':'none','temperature':0.5}",
         1},
        {"qwen3", "", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions", "",
         "{'model':'qwen3'," MESSAGES ",'max_tokens':100,'temperature':0.5,'top_k':40}", 0},
        {"o3", "", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions", "",
         "{'model':'o3'," MESSAGES ",'max_tokens':100,'temperature':0.5,'top_k':40}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val body;
        struct val_list warnings;
        struct str text = arena_printf(&a, "{'model':'%s',%s%s}", cases[i].model, conversation, cases[i].more);
        struct http_request req = build_request("openai", text.p, cases[i].base, cases[i].key, &a, &body, &warnings);
        expect_json(&body, cases[i].body);
        assert_true(str_is(req.url, cases[i].url));
        if (*cases[i].key)
            assert_true(str_is(header_of(&req, "authorization"), "Bearer K"));
        else
            assert_null(header_of(&req, "authorization").p);
        assert_int_equal(warnings.n, cases[i].warnings);
        arena_done(&a);
    }
}

static void test_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *sent;
        bool strict;
    } cases[] = {
        {"{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],'$schema':'x'}",
         "{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],'additionalProperties':false}", true},
        {"{'type':'object','properties':{'a':{'type':'string'}}}",
         "{'type':'object','properties':{'a':{'type':'string'}}}", false},
        {"{'type':'object','additionalProperties':{'type':'string'}}",
         "{'type':'object','additionalProperties':{'type':'string'}}", false},
        {"{'type':'object','properties':{'a':{'oneOf':[{'type':'null'}]}},'required':['a']}",
         "{'type':'object','properties':{'a':{'oneOf':[{'type':'null'}]}},'required':['a']}", false},
        {"{'type':'array','items':{'type':'string'}}", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val body;
        struct val_list warnings;
        struct str text =
            arena_printf(&a, "{'model':'m','messages':[{'role':'user','content':'Hi'}],'schema':%s}", cases[i].schema);
        build_request("openai", text.p, "", "", &a, &body, &warnings);
        const struct val *format = VAL_GET(VAL_GET(&body, "response_format"), "json_schema");
        if (cases[i].sent) {
            expect_json(VAL_GET(format, "schema"), cases[i].sent);
            assert_int_equal(val_get_bool(format, STR("strict"), !cases[i].strict), cases[i].strict);
        } else {
            assert_null(format);
            expect_text(val_at(VAL_GET(&body, "messages"), 0), "role", "system");
        }
        arena_done(&a);
    }
}

static void test_keys_needed(void **state)
{
    (void)state;
    const struct provider *openai = provider_by_name(STR("openai")), *claude = provider_by_name(STR("anthropic"));
    assert_true(provider_needs_key(openai, STR("")));
    assert_true(provider_needs_key(openai, STR("https://api.openai.com/v1/")));
    assert_false(provider_needs_key(openai, STR("http://127.0.0.1:8080/v1")));
    assert_true(provider_needs_key(claude, STR("http://127.0.0.1:8080")));
    assert_null(provider_by_name(STR("qwen")));
    assert_null(provider_by_name(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),  cmocka_unit_test(test_cuts_and_splits), cmocka_unit_test(test_one_body),
        cmocka_unit_test(test_endings), cmocka_unit_test(test_errors),          cmocka_unit_test(test_retry_after_date),
        cmocka_unit_test(test_request), cmocka_unit_test(test_schemas),         cmocka_unit_test(test_keys_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
