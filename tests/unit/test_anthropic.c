/* The codec of the Anthropic Messages API: requests field by field, replies cut and split at every byte. */
#include "reply_check.h"

/* ---- replies ---- */

static const char stream[] =
    "event: message_start\n"
    "data: {'type':'message_start','message':{'id':'msg_1','type':'message','role':'assistant','model':"
    "'claude-opus-5-5','content':[],'stop_reason':null,'usage':{'input_tokens':11,'cache_creation_input_tokens':100,"
    "'cache_read_input_tokens':1000,'output_tokens':1}}}\n\n"
    "event: ping\ndata: {'type':'ping'}\n\n"
    "event: content_block_start\ndata: {'type':'content_block_start','index':0,'content_block':{'type':'thinking',"
    "'thinking':'','signature':''}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta',"
    "'thinking':'Let me see'}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':0,'delta':{'type':'signature_delta',"
    "'signature':'c2ln+/=='}}\n\n"
    "event: content_block_stop\ndata: {'type':'content_block_stop','index':0}\n\n"
    ": a comment\n\n"
    "event: content_block_start\ndata: {'type':'content_block_start','index':1,'content_block':{'type':'text','text':"
    "''}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':"
    "'Gr\xC3\xBC\xC3\x9F'}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':"
    "' Gott \\u00e9\\n'}}\n\n"
    "event: content_block_stop\ndata: {'type':'content_block_stop','index':1}\n\n"
    "event: content_block_start\ndata: {'type':'content_block_start','index':2,'content_block':{'type':'tool_use',"
    "'id':'toolu_1','name':'edit','input':{},'caller':{'type':'direct'}}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':2,'delta':{'type':'input_json_delta',"
    "'partial_json':''}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':2,'delta':{'type':'input_json_delta',"
    "'partial_json':'{\\'path\\':\\'a.c\\',\\'n\\':12345678901234567890,\\'x\\':1'}}\n\n"
    "event: content_block_delta\ndata: {'type':'content_block_delta','index':2,'delta':{'type':'input_json_delta',"
    "'partial_json':'.5}'}}\n\n"
    "event: content_block_stop\ndata: {'type':'content_block_stop','index':2}\n\n"
    "event: something_new\ndata: {'type':'something_new'}\n\n"
    "event: message_delta\ndata: {'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},"
    "'usage':{'output_tokens':70}}\n\n"
    "event: message_stop\ndata: {'type':'message_stop'}\n\n";

static void check_whole(const struct val *v)
{
    expect_text(v, "text", "Gr\xC3\xBC\xC3\x9F Gott \xC3\xA9\n");
    expect_json(VAL_GET(v, "tool_calls"),
                "[{'id':'toolu_1','name':'edit','input':{'path':'a.c','n':12345678901234567890,'x':1.5}}]");
    expect_json(VAL_GET(v, "raw"),
                "[{'type':'thinking','thinking':'Let me see','signature':'c2ln+/=='},{'type':'text','text':"
                "'Gr\xC3\xBC\xC3\x9F Gott \xC3\xA9\\n'},{'type':'tool_use','id':'toolu_1','name':'edit','input':"
                "{'path':'a.c','n':12345678901234567890,'x':1.5},'caller':{'type':'direct'}}]");
    expect_text(v, "stop_reason", "tool_use");
    expect_text(v, "model", "claude-opus-5-5");
    expect_text(v, "provider", "claude");
    expect_json(VAL_GET(v, "usage"),
                "{'input_tokens':11,'output_tokens':70,'cache_read_tokens':1000,'cache_write_tokens':100}");
    /* 11 * 4 + 70 * 20 + 1000 * 0.20 + 100 * 5, in millionths */
    expect_number(val_to_double(VAL_GET(v, "cost_usd"), 0), 0.002144);
}

static void test_stream(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct feed f = {.provider = "anthropic"};
    assert_true(feed_reply(&f, stream_of(&a, stream), &a, &v));
    check_whole(&v);
    /* what follows the end mark is ignored, in the same chunk too */
    struct str more = arena_printf(&a, "%sdata: {'type':'error'}\n\ndata: broken\n\n", stream);
    assert_true(feed_reply(&f, stream_of(&a, more.p), &a, &v));
    check_whole(&v);
    arena_done(&a);
}

static void test_cuts_and_splits(void **state)
{
    (void)state;
    struct arena a = {0};
    check_cuts_and_splits("anthropic", stream_of(&a, stream), "{\"type\":\"message_stop\"}\n\n");
    arena_done(&a);
}

static void test_one_body(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct http_header json = {STR("content-type"), STR("application/json")};
    struct feed f = {.provider = "claude", .headers = &json, .nheaders = 1};
    struct str body = stream_of(
        &a, "{'id':'msg_1','type':'message','model':'claude-opus-5-5','content':[{'type':'thinking','thinking':"
            "'Let me see','signature':'c2ln+/=='},{'type':'text','text':'Gr\xC3\xBC\xC3\x9F Gott \xC3\xA9\\n'},"
            "{'type':'tool_use','id':'toolu_1','name':'edit','input':{'path':'a.c','n':12345678901234567890,'x':1.5},"
            "'caller':{'type':'direct'}}],'stop_reason':'tool_use','usage':{'input_tokens':11,"
            "'cache_creation_input_tokens':100,'cache_read_input_tokens':1000,'output_tokens':70}}");
    assert_true(feed_reply(&f, body, &a, &v));
    check_whole(&v);
    for (size_t n = 0; n < body.n; n++) {
        struct arena b = {0};
        assert_false(feed_reply(&f, str_n(body.p, n), &b, &v));
        expect_text(&v, "class", "network");
        arena_done(&b);
    }
    arena_done(&a);
}

/* What the stream is changed to, and what must come of it: a class of error, or a stop reason behind '='. */
static void test_variations(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *outcome, *detail; /* code of the error, or the reply's tool calls */
    } cases[] = {
        {"'stop_reason':'tool_use'", "'stop_reason':'end_turn'", "=tool_use", NULL},
        {"'stop_reason':'tool_use'", "'stop_reason':'max_tokens'", "=max_tokens", "[]"},
        {"'stop_reason':'tool_use'", "'stop_reason':'refusal'", "=refusal", "[]"},
        {"'stop_reason':'tool_use'", "'stop_reason':'pause_turn'", "=pause", "[]"},
        {"'stop_reason':'tool_use'", "'stop_reason':'model_context_window_exceeded'", "=max_tokens", "[]"},
        {"'stop_reason':'tool_use'", "'stop_reason':'brand_new'", "=other", "[]"},
        {"'partial_json':'.5}'", "'partial_json':'.5'", "bad_reply", "bad_tool_input"},
        {"'type':'tool_use','id':'toolu_1'", "'type':'server_tool_use','id':'toolu_1'", "=end_turn", "[]"},
        {"'id':'toolu_1','name':'edit'", "'name':'edit'", "bad_reply", "bad_tool_call"},
        {"'index':1,'delta'", "'index':7,'delta'", "bad_reply", "bad_block"},
        {"'text':' Gott", "'text':Gott", "bad_reply", "malformed_event"},
        {"{'type':'something_new'}", "{'type':'error','error':{'type':'overloaded_error','message':'busy'}}",
         "overloaded", "overloaded_error"},
        {"{'type':'something_new'}", "{'type':'error','error':{'type':'rate_limit_error','message':'slow'}}",
         "rate_limit", "rate_limit_error"},
        {"{'type':'something_new'}", "{'type':'error','error':{'type':'api_error','message':'oops'}}", "server",
         "api_error"},
        {"{'type':'something_new'}", "{'type':'error'}", "server", "server"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v;
        size_t at = str_find(str_c(stream), str_c(cases[i].from));
        assert_true(at != SIZE_MAX);
        struct str text =
            arena_printf(&a, "%.*s%s%s", (int)at, stream, cases[i].to, stream + at + strlen(cases[i].from));
        struct feed f = {.provider = "anthropic"};
        bool ok = feed_reply(&f, stream_of(&a, text.p), &a, &v);
        if (ok != (cases[i].outcome[0] == '='))
            fail_msg("case %zu: %s", i, json_text(&a, &v).p);
        if (ok) {
            expect_text(&v, "stop_reason", cases[i].outcome + 1);
            if (cases[i].detail)
                expect_json(VAL_GET(&v, "tool_calls"), cases[i].detail);
        } else {
            expect_text(&v, "class", cases[i].outcome);
            expect_text(&v, "code", cases[i].detail);
        }
        arena_done(&a);
    }
}

/* Out of tokens in the middle of a call: the reply stays, the call goes, and it is not echoed either. */
static void test_unfinished_call_is_dropped(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct feed f = {.provider = "anthropic"};
    const char *text =
        "data: {'type':'message_start','message':{'model':'m','usage':{'input_tokens':1}}}\n\n"
        "data: {'type':'content_block_start','index':0,'content_block':{'type':'text','text':'A'}}\n\n"
        "data: {'type':'content_block_start','index':1,'content_block':{'type':'tool_use','id':'t','name':'f'}}\n\n"
        "data: {'type':'content_block_delta','index':1,'delta':{'type':'input_json_delta','partial_json':'{\\'a'}}\n\n"
        "data: {'type':'message_delta','delta':{'stop_reason':'max_tokens'},'usage':{'output_tokens':null}}\n\n"
        "data: {'type':'message_stop'}\n\n";
    assert_true(feed_reply(&f, stream_of(&a, text), &a, &v));
    expect_json(VAL_GET(&v, "raw"), "[{'type':'text','text':'A'}]");
    expect_json(VAL_GET(&v, "tool_calls"), "[]");
    expect_json(VAL_GET(&v, "cost_usd"), "null");
    assert_int_equal(VAL_GET(&v, "warnings")->arr.n, 1);
    arena_done(&a);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct error_case cases[] = {
#define E(type, more) "{'type':'error','error':{'type':'" type "','message':'m'" more "},'request_id':'req_9'}"
        {400, E("invalid_request_error", ""), NULL, NULL, "invalid_request", "invalid_request_error", -1, false},
        {400, "{'type':'error','error':{'type':'invalid_request_error','message':'prompt is too long: 9 > 8'}}", NULL,
         NULL, "context_overflow", "invalid_request_error", -1, false},
        {400, "{'error':{'type':'invalid_request_error','message':'Your credit balance is too low'}}", NULL, NULL,
         "billing", "invalid_request_error", -1, false},
        {401, E("authentication_error", ""), NULL, NULL, "auth", "authentication_error", -1, false},
        {402, E("billing_error", ""), NULL, NULL, "billing", "billing_error", -1, false},
        {403, E("permission_error", ""), NULL, NULL, "auth", "permission_error", -1, false},
        {404, E("not_found_error", ""), NULL, NULL, "not_found", "not_found_error", -1, false},
        {408, "", NULL, NULL, "timeout", "http_408", -1, true},
        {409, E("conflict_error", ""), NULL, NULL, "server", "conflict_error", -1, true},
        {413, E("request_too_large", ""), NULL, NULL, "context_overflow", "request_too_large", -1, false},
        {429, E("rate_limit_error", ""), "retry-after", "7", "rate_limit", "rate_limit_error", 7000, true},
        {429, E("rate_limit_error", ""), "Retry-After", "1.25", "rate_limit", "rate_limit_error", 1250, true},
        {429, E("rate_limit_error", ""), "retry-after-ms", "12.5", "rate_limit", "rate_limit_error", 13, true},
        {429, E("rate_limit_error", ""), "retry-after", "soon", "rate_limit", "rate_limit_error", -1, true},
        {429, E("rate_limit_error", ""), "retry-after", "99999999999", "rate_limit", "rate_limit_error", -1, true},
        {429, E("rate_limit_error", ",'details':{'error_code':'enforced_spend_limit_reached'}"), "retry-after", "7",
         "billing", "enforced_spend_limit_reached", -1, false},
        {429, E("rate_limit_error", ",'details':{'error_code':'contract_spend_limit_reached'}"), "x-should-retry",
         "true", "billing", "contract_spend_limit_reached", -1, false},
        {500, E("api_error", ""), NULL, NULL, "server", "api_error", -1, true},
        {500, E("api_error", ""), "x-should-retry", "false", "server", "api_error", -1, false},
        {400, E("invalid_request_error", ""), "x-should-retry", "true", "invalid_request", "invalid_request_error", -1,
         true},
        {502, "<html>Bad gateway</html>", NULL, NULL, "server", "http_502", -1, true},
        {503, E("api_error", ""), NULL, NULL, "overloaded", "api_error", -1, true},
        {504, E("timeout_error", ""), NULL, NULL, "timeout", "timeout_error", -1, true},
        {529, E("overloaded_error", ""), NULL, NULL, "overloaded", "overloaded_error", -1, true},
        {302, "", NULL, NULL, "invalid_request", "http_302", -1, false},
        {500, "{'error':'x'}", NULL, NULL, "server", "http_500", -1, true},
        {500, "[1]", NULL, NULL, "server", "http_500", -1, true},
#undef E
    };
    check_errors("anthropic", cases, sizeof cases / sizeof *cases);
}

/* What the transport said counts when there is nothing better. */
static void test_transport_errors(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum rc rc;
        const char *class;
    } cases[] = {
        {200, "data: {'type':'ping'}\n\n", RC_TIMEOUT, "timeout"},
        {200, "", RC_LIMIT, "limit"},
        {200, "", RC_REPLAY, "replay"},
        {200, "", RC_OK, "network"},
        {200, "<html>hello</html>\n\n", RC_OK, "network"},
        {429, "{'error'", RC_NETWORK, "rate_limit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v;
        struct feed f = {.provider = "anthropic", .status = cases[i].status, .rc = cases[i].rc};
        assert_false(feed_reply(&f, stream_of(&a, cases[i].body), &a, &v));
        expect_text(&v, "class", cases[i].class);
        arena_done(&a);
    }
    struct arena a = {0};
    struct val v;
    struct http_header html = {STR("content-type"), STR("text/html")};
    struct feed f = {.provider = "anthropic", .headers = &html, .nheaders = 1};
    assert_false(feed_reply(&f, STR("<html>Log in to the hotel's network</html>"), &a, &v));
    expect_text(&v, "class", "bad_reply");
    struct reply_parser *r = reply_new(provider_by_name(STR("claude")));
    struct err err = {.rc = RC_NETWORK, .msg = "no route to host"};
    assert_false(reply_finish(r, RC_NETWORK, &err, &a, &v));
    expect_json(&v, "{'class':'network','code':'network','message':'no route to host','retryable':true}");
    reply_free(r);
    arena_done(&a);
}

/* ---- bounds ---- */

static void test_bounds(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct err err = {0};
    struct reply_parser *r = reply_new(provider_by_name(STR("claude")));
    struct str filler = str_n(arena_alloc(&a, 1 << 20), 1 << 20);
    memset((char *)filler.p, 'x', filler.n);
    reply_head(r, 200, NULL, 0);
    reply_data(r, STR("data: \""));
    for (int i = 0; i < 20; i++)
        reply_data(r, filler);
    assert_false(reply_finish(r, RC_OK, &err, &a, &v));
    expect_text(&v, "class", "limit");
    reply_free(r);

    r = reply_new(provider_by_name(STR("claude"))); /* many small events */
    reply_head(r, 200, NULL, 0);
    for (int i = 0; i < 70; i++) {
        reply_data(r, STR(": "));
        reply_data(r, filler);
        reply_data(r, STR("\n"));
    }
    assert_false(reply_finish(r, RC_OK, &err, &a, &v));
    expect_text(&v, "class", "limit");
    reply_free(r);

    r = reply_new(provider_by_name(STR("claude"))); /* too many blocks */
    reply_head(r, 200, NULL, 0);
    for (int i = 0; i < 5000; i++)
        reply_data(r, arena_printf(&a,
                                   "data: {\"type\":\"content_block_start\",\"index\":%d,\"content_block\":{\"type\":"
                                   "\"text\"}}\n\n",
                                   i));
    assert_false(reply_finish(r, RC_OK, &err, &a, &v));
    expect_text(&v, "class", "limit");
    reply_free(r);

    r = reply_new(provider_by_name(STR("claude"))); /* an error's body is kept to a bounded part */
    reply_head(r, 500, NULL, 0);
    for (int i = 0; i < 70; i++)
        reply_data(r, filler);
    assert_false(reply_finish(r, RC_OK, &err, &a, &v));
    expect_text(&v, "class", "server");
    assert_true(val_get_str(&v, STR("message"), STR("")).n < 1000);
    reply_free(r);
    arena_done(&a);
}

/* White space in front of a body, or of a stream, is the same in one chunk or in several. */
static void test_leading_space(void **state)
{
    (void)state;
    static const char *const bodies[] = {" {'error':id}", "\n \n{'content':[],'stop_reason':'end_turn'}",
                                         " data: {'type':'message_stop'}\n\n", "\n\ndata: {'type':'message_stop'}\n\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct arena a = {0};
        struct val one, other;
        struct feed f = {.provider = "anthropic"};
        struct str body = stream_of(&a, bodies[i]);
        assert_int_equal(feed_reply(&f, body, &a, &one), i % 2);
        for (f.split = 1; f.split < body.n; f.split++) {
            feed_reply(&f, body, &a, &other);
            assert_true(val_eq(&one, &other));
        }
        arena_done(&a);
    }
}

static void test_text_so_far(void **state)
{
    (void)state;
    struct arena a = {0};
    struct reply_parser *r = reply_new(provider_by_name(STR("claude")));
    struct str text = stream_of(&a, stream);
    size_t at = str_find(text, STR("Gott"));
    reply_head(r, 200, NULL, 0);
    assert_int_equal(reply_text_so_far(r).n, 0);
    reply_data(r, str_n(text.p, at));
    assert_true(str_is(reply_text_so_far(r), "Gr\xC3\xBC\xC3\x9F"));
    reply_free(r);
    arena_done(&a);
}

/* ---- requests ---- */

static void test_request(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
    struct http_request req = build_request(
        "anthropic",
        "{'provider':'claude','model':'opus','system':'Be brief.','max_tokens':100,'stop':['END'],'effort':'low',"
        "'messages':[{'role':'user','content':[{'type':'text','text':'Hi'}]},"
        "{'role':'assistant','text':'x','raw':[{'type':'thinking','thinking':'','signature':'s'},{'type':'text','text':"
        "''},{'type':'tool_use','id':'t1','name':'f','input':{'n':1.50}},{'type':'new_block','x':null}]},"
        "{'role':'user','content':[{'type':'text','text':'and'},{'type':'tool_result','id':'t1','name':'f','text':"
        "'out','is_error':true},{'type':'tool_result','id':'t2','name':'f','text':''},{'type':'text','text':''}]},"
        "{'role':'user','content':[{'type':'text','text':'more'}]}],"
        "'tools':[{'name':'f','description':'d','input_schema':{'type':'object','properties':{'n':{'type':'number'}}}},"
        "{'name':'g','description':'e'}],'tool_choice':'none',"
        "'extra':{'metadata':{'user_id':'u'},'output_config':{'x':1}}}",
        "", "sk-ant-api-1", &a, &body, &warnings);
    expect_json(
        &body,
        "{'model':'claude-opus-5-5','max_tokens':100,'system':'Be brief.','output_config':{'effort':'low','x':1},"
        "'messages':[{'role':'user','content':[{'type':'text','text':'Hi'}]},"
        "{'role':'assistant','content':[{'type':'thinking','thinking':'','signature':'s'},{'type':'tool_use','id':'t1',"
        "'name':'f','input':{'n':1.5}},{'type':'new_block','x':null}]},"
        "{'role':'user','content':[{'type':'tool_result','tool_use_id':'t1','content':'out','is_error':true},"
        "{'type':'tool_result','tool_use_id':'t2','content':''},{'type':'text','text':'and'},{'type':'text','text':"
        "'more'}]}],"
        "'tools':[{'name':'f','description':'d','input_schema':{'type':'object','properties':{'n':{'type':'number'}}}},"
        "{'name':'g','description':'e','input_schema':{'type':'object','properties':{}}}],'tool_choice':{'type':"
        "'none'},'cache_control':{'type':'ephemeral'},'stop_sequences':['END'],'stream':true,'metadata':{'user_id':"
        "'u'}}");
    assert_true(str_is(req.method, "POST"));
    assert_true(str_is(req.url, "https://api.anthropic.com/v1/messages"));
    assert_true(str_is(header_of(&req, "anthropic-version"), "2026-10-21"));
    assert_true(str_is(header_of(&req, "x-api-key"), "sk-ant-api-1"));
    assert_null(header_of(&req, "authorization").p);
    assert_int_equal(warnings.n, 0);
    arena_done(&a);
}

/* A sampling parameter and a model: which version goes out, whether the parameter does. */
static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *model, *id, *version;
        bool sent;
        int64_t max_tokens;
        bool structured, effort;
    } cases[] = {
        {"haiku", "claude-haiku-5-5", "2026-10-21", false, 32000, true, true},
        {"sonnet", "claude-sonnet-5-5", "2026-10-21", false, 32000, true, true},
        {"sonnet[1m]", "claude-sonnet-5-5", "2026-10-21", false, 32000, true, true},
        {"claude-opus-5", "claude-opus-5", "2026-10-21", false, 32000, true, true},
        {"claude-opus-4-8", "claude-opus-4-8", "2026-10-21", false, 32000, true, true},
        {"claude-opus-4-7", "claude-opus-4-7", "2026-10-21", false, 32000, false, true},
        {"claude-opus-4-6", "claude-opus-4-6", "2023-06-01", true, 32000, false, true},
        {"claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001", "2023-06-01", true, 32000, true, false},
        {"claude-brandnew-7", "claude-brandnew-7", "2026-10-21", false, 32000, true, true},
        {"qwen3:30b", "qwen3:30b", "2023-06-01", true, 8192, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val body;
        struct val_list warnings;
        struct str text =
            arena_printf(&a,
                         "{'model':'%s','temperature':0.5,'effort':'high','messages':[{'role':'user',"
                         "'content':'Hi'}],'schema':{'type':'object','properties':{'a':{'type':'string'}},"
                         "'required':['a']}}",
                         cases[i].model);
        struct http_request req = build_request("claude", text.p, "http://127.0.0.1:4010/", "", &a, &body, &warnings);
        assert_true(str_is(req.url, "http://127.0.0.1:4010/v1/messages"));
        assert_null(header_of(&req, "x-api-key").p);
        expect_text(&body, "model", cases[i].id);
        assert_true(str_is(header_of(&req, "anthropic-version"), cases[i].version));
        assert_int_equal(VAL_GET(&body, "temperature") != NULL, cases[i].sent);
        assert_int_equal(val_get_int(&body, STR("max_tokens"), 0), cases[i].max_tokens);
        const struct val *config = VAL_GET(&body, "output_config");
        assert_int_equal(VAL_GET(config, "format") != NULL, cases[i].structured);
        assert_int_equal(VAL_GET(&body, "system") == NULL, cases[i].structured);
        assert_int_equal(VAL_GET(config, "effort") != NULL, cases[i].effort);
        assert_int_equal(warnings.n, !cases[i].sent + !cases[i].effort);
        arena_done(&a);
    }
}

static void test_keys(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body, v = json_of(&a, "{'model':'m','messages':[{'role':'user','content':'x'}]}");
    struct val_list warnings;
    struct http_request req = build_request("claude", "{'model':'m','messages':[{'role':'user','content':'x'}]}", "",
                                            "sk-ant-oat01-x", &a, &body, &warnings);
    assert_true(str_is(header_of(&req, "authorization"), "Bearer sk-ant-oat01-x"));
    assert_null(header_of(&req, "x-api-key").p);
    struct provider_config config = {.api_key = STR("key\r\nx-evil: 1")};
    struct err err;
    assert_int_equal(provider_by_name(STR("claude"))->build(&v, &config, &a, &req, NULL, &err), RC_INVALID);
    assert_null(strstr(err.msg, "evil"));
    arena_done(&a);
}

static void test_bad_requests(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "[]",
        "{'messages':[{'role':'user','content':'x'}]}",
        "{'model':'m'}",
        "{'model':'m','messages':[]}",
        "{'model':'m','messages':[{'role':'user','content':''}]}",
        "{'model':'m','messages':[{'role':'user'}]}",
        "{'model':'m','messages':[{'role':'robot','content':'x'}]}",
        "{'model':'m','messages':[{'role':'user','content':[{'type':'image'}]}]}",
        "{'model':'m','messages':[{'role':'user','content':[{'type':'tool_result','text':'x'}]}]}",
        "{'model':'m','messages':[{'role':'user','content':'x'}],'extra':[1]}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v = json_of(&a, cases[i]);
        struct provider_config config = {0};
        struct http_request req;
        struct err err;
        if (provider_by_name(STR("claude"))->build(&v, &config, &a, &req, NULL, &err) != RC_INVALID)
            fail_msg("accepted: %s", cases[i]);
        arena_done(&a);
    }
}

/* A schema, and what is sent of it; NULL: it goes into the prompt. */
static void test_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *sent;
    } cases[] = {
        {"{'type':'object','properties':{'n':{'type':'integer','minimum':1,'maximum':9,'description':'d'}},'required':"
         "['n'],'$schema':'x','additionalProperties':true}",
         "{'type':'object','properties':{'n':{'type':'integer','description':'d {minimum: 1, maximum: 9}'}},'required':"
         "['n'],'additionalProperties':false}"},
        {"{'type':'array','items':{'type':'object','properties':{'a':{'enum':['x']}}},'minItems':2}",
         "{'type':'array','items':{'type':'object','properties':{'a':{'enum':['x']}},'additionalProperties':false},"
         "'description':'{minItems: 2}'}"},
        {"{'oneOf':[{'type':'string'},{'$ref':'#/definitions/a'}],'definitions':{'a':{'type':'null'}}}",
         "{'anyOf':[{'type':'string'},{'$ref':'#/$defs/a'}],'$defs':{'a':{'type':'null'}}}"},
        {"{'type':'object'}", NULL},
        {"{'type':'object','properties':{'a':{}}}", NULL},
        {"{'type':'object','additionalProperties':{'type':'string'}}", NULL},
        {"{'type':'object','properties':{'a':{'$ref':'#'}}}", NULL},
        {"{'type':'object','properties':{'a':{'$ref':'#/$defs/t'}},'$defs':{'t':{'type':'object','properties':{'c':"
         "{'type':'array','items':{'$ref':'#/$defs/t'}}}}}}",
         NULL},
        {"{'allOf':[{'type':'object','properties':{'a':{'type':'null'}}},{'type':'object','properties':{'b':{'type':"
         "'null'}}}]}",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val body;
        struct val_list warnings;
        struct str text =
            arena_printf(&a, "{'model':'opus','system':'S','messages':[{'role':'user','content':'Hi'}],'schema':%s}",
                         cases[i].schema);
        build_request("claude", text.p, "", "", &a, &body, &warnings);
        const struct val *sent = VAL_GET(VAL_GET(VAL_GET(&body, "output_config"), "format"), "schema");
        struct str system = val_get_str(&body, STR("system"), STR(""));
        if (cases[i].sent) {
            expect_json(sent, cases[i].sent);
            assert_true(str_is(system, "S"));
        } else {
            assert_null(sent);
            assert_true(str_starts(system, STR("S\n\n")) && str_find(system, STR("{\"")) != SIZE_MAX);
        }
        arena_done(&a);
    }
}

/* A conversation that another provider began goes on by its text and calls. */
static void test_foreign_raw(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
    build_request("claude",
                  "{'model':'opus','messages':[{'role':'user','content':'Hi'},{'role':'assistant','raw':{'role':"
                  "'assistant','content':null},'text':'T','tool_calls':[{'id':'c','name':'f','input':{}}]},{'role':"
                  "'user','content':[{'type':'tool_result','id':'c','text':'r'}]}]}",
                  "", "", &a, &body, &warnings);
    expect_json(val_at(VAL_GET(&body, "messages"), 1),
                "{'role':'assistant','content':[{'type':'text','text':'T'},{'type':'tool_use','id':'c','name':'f',"
                "'input':{}}]}");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_cuts_and_splits),
        cmocka_unit_test(test_one_body),
        cmocka_unit_test(test_variations),
        cmocka_unit_test(test_unfinished_call_is_dropped),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_transport_errors),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_leading_space),
        cmocka_unit_test(test_text_so_far),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_foreign_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
