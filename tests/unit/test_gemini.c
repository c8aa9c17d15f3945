/* The codec of the Gemini Developer API: requests field by field, replies cut and split at every byte. */
#include "reply_check.h"

/* ---- replies ---- */

static const char stream[] =
    "data: {'candidates':[{'content':{'parts':[{'text':'Let me see','thought':true}],'role':'model'},'index':0}],"
    "'usageMetadata':{'promptTokenCount':1000},'modelVersion':'gemini-3.5-flash','responseId':'resp_1'}\r\n\r\n"
    "data: {'candidates':[{'content':{'parts':[{'text':'Gr\xC3\xBC\xC3\x9F'}],'role':'model'},'index':0}]}\r\n\r\n"
    "data: {'candidates':[{'content':{'parts':[{'text':' Gott'}],'role':'model'},'index':0}]}\r\n\r\n"
    "data: {'candidates':[{'content':{'parts':[{'text':'!','thoughtSignature':'c2ln'}],'role':'model'},'index':0}]}"
    "\r\n\r\n"
    "data: {'candidates':[{'content':{'parts':[{'functionCall':{'name':'edit','args':{'path':'a.c',"
    "'n':12345678901234567890}},'thoughtSignature':'c2ln+/=='},{'functionCall':{'id':'own','name':'look'}}],"
    "'role':'model'},'index':0}]}\r\n\r\n"
    "data: {'candidates':[{'content':{'parts':[{'text':''}],'role':'model'},'finishReason':'STOP','index':0}],"
    "'usageMetadata':{'promptTokenCount':1000,'toolUsePromptTokenCount':10,'cachedContentTokenCount':400,"
    "'candidatesTokenCount':50,'thoughtsTokenCount':20,'totalTokenCount':1080},'modelVersion':'gemini-3.5-flash'}"
    "\r\n\r\n";

static void check_whole(const struct val *v)
{
    expect_text(v, "text", "Gr\xC3\xBC\xC3\x9F Gott!");
    expect_json(VAL_GET(v, "tool_calls"),
                "[{'id':'gemini_call_1','name':'edit','input':{'path':'a.c','n':12345678901234567890}},"
                "{'id':'own','name':'look','input':{}}]");
    expect_json(VAL_GET(v, "raw"),
                "{'parts':[{'text':'Let me see','thought':true},{'text':'Gr\xC3\xBC\xC3\x9F Gott'},{'text':'!',"
                "'thoughtSignature':'c2ln'},{'functionCall':{'name':'edit','args':{'path':'a.c',"
                "'n':12345678901234567890}},'thoughtSignature':'c2ln+/=='},{'functionCall':{'id':'own','name':'look'}},"
                "{'text':''}]}");
    expect_text(v, "stop_reason", "tool_use");
    expect_text(v, "model", "gemini-3.5-flash");
    expect_text(v, "provider", "gemini");
    expect_text(v, "request_id", "resp_1");
    expect_json(VAL_GET(v, "usage"),
                "{'input_tokens':610,'output_tokens':70,'cache_read_tokens':400,'cache_write_tokens':0}");
    expect_number(val_to_double(VAL_GET(v, "cost_usd"), 0), (610 * 1.5 + 70 * 9 + 400 * 0.15) / 1e6);
}

static void test_stream(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val v;
    struct feed f = {.provider = "gemini"};
    assert_true(feed_reply(&f, stream_of(&a, stream), &a, &v));
    check_whole(&v);
    arena_done(&a);
}

static void test_cuts_and_splits(void **state)
{
    (void)state;
    struct arena a = {0};
    struct str text = stream_of(&a, stream);
    /* the last LF only completes a line end that the CR before it has already made */
    check_cuts_and_splits("gemini", text, "\"totalTokenCount\":1080},\"modelVersion\":\"gemini-3.5-flash\"}\r\n\r");
    arena_done(&a);
}

static void test_one_body(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{'candidates':[{'content':{'parts':[{'text':'A'}]},'finishReason':'STOP'}],'usageMetadata':{"
        "'promptTokenCount':3,'candidatesTokenCount':1},'modelVersion':'m'}",
        "[{'candidates':[{'content':{'parts':[{'text':'A'}]}}]},\n{'candidates':[{'finishReason':'STOP'}],"
        "'usageMetadata':{'promptTokenCount':3,'candidatesTokenCount':1},'modelVersion':'m'}]",
    };
    for (size_t i = 0; i < 2; i++) {
        struct arena a = {0};
        struct val v;
        struct feed f = {.provider = "google"};
        struct str body = stream_of(&a, bodies[i]);
        assert_true(feed_reply(&f, body, &a, &v));
        expect_json(&v, "{'text':'A','raw':{'parts':[{'text':'A'}]},'tool_calls':[],'stop_reason':'end_turn','model':"
                        "'m','provider':'gemini','usage':{'input_tokens':3,'output_tokens':1,'cache_read_tokens':0,"
                        "'cache_write_tokens':0},'cost_usd':null}");
        for (size_t n = 0; n < body.n; n++) {
            assert_false(feed_reply(&f, str_n(body.p, n), &a, &v));
            expect_text(&v, "class", "network");
        }
        arena_done(&a);
    }
}

/* One frame, and the stop reason behind '=', or the class of the error. */
static void test_endings(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *outcome, *raw;
    } cases[] = {
        {"{'candidates':[{'content':{'parts':[{'text':'A'}]},'finishReason':'MAX_TOKENS'}]}", "=max_tokens",
         "{'parts':[{'text':'A'}]}"},
        {"{'candidates':[{'finishReason':'SAFETY'}]}", "=refusal", "{'parts':[]}"},
        {"{'candidates':[{'finishReason':'PROHIBITED_CONTENT'}]}", "=refusal", "{'parts':[]}"},
        {"{'candidates':[{'finishReason':'OTHER'}]}", "=other", "{'parts':[]}"},
        {"{'candidates':[{'content':{'parts':[{'text':'A'}]},'finishReason':'CONTINUATION','continuationToken':'dG9r'}"
         "]}",
         "=pause", "{'parts':[{'text':'A'}],'continuationToken':'dG9r'}"},
        {"{'candidates':[{'content':{'parts':[{'functionCall':{'name':'f'}}]},'finishReason':'MAX_TOKENS'}]}",
         "=max_tokens", "{'parts':[]}"},
        {"{'candidates':[{'content':{'parts':[{'functionCall':{'name':'f'}}]},'finishReason':'STOP'}]}", "=tool_use",
         NULL},
        {"{'candidates':[{'content':{'parts':[{'functionCall':{'name':'f','args':[1]}}]},'finishReason':'STOP'}]}",
         "bad_reply", NULL},
        {"{'candidates':[{'content':{'parts':[{'functionCall':{}}]},'finishReason':'STOP'}]}", "bad_reply", NULL},
        {"{'candidates':[{'content':{'parts':[1]},'finishReason':'STOP'}]}", "bad_reply", NULL},
        {"{'candidates':[{'finishReason':'MALFORMED_FUNCTION_CALL'}]}", "bad_reply", NULL},
        {"{'promptFeedback':{'blockReason':'SAFETY'}}", "refused", NULL},
        {"{'error':{'code':503,'message':'busy','status':'UNAVAILABLE'}}", "overloaded", NULL},
        {"{'error':{'message':'?'}}", "server", NULL},
        {"{}", "network", NULL},
        {"{'candidates':[]}", "network", NULL},
        {"{'candidates':", "bad_reply", NULL},
        {"null", "network", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v;
        struct feed f = {.provider = "gemini"};
        struct str text = arena_printf(&a, "data: %s\n\n", cases[i].frame);
        bool ok = feed_reply(&f, stream_of(&a, text.p), &a, &v);
        if (ok != (cases[i].outcome[0] == '='))
            fail_msg("case %zu: %s", i, json_text(&a, &v).p);
        expect_text(&v, ok ? "stop_reason" : "class", cases[i].outcome + ok);
        if (cases[i].raw)
            expect_json(VAL_GET(&v, "raw"), cases[i].raw);
        arena_done(&a);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct error_case cases[] = {
#define E(code, status, more) "{'error':{'code':" code ",'message':'m','status':'" status "'" more "}}"
#define RETRY(s)              "{'@type':'type.googleapis.com/google.rpc.RetryInfo','retryDelay':'" s "'}"
#define QUOTA(id)             "{'@type':'type.googleapis.com/google.rpc.QuotaFailure','violations':[{'quotaId':'" id "'}]}"
        {400, E("400", "INVALID_ARGUMENT", ""), NULL, NULL, "invalid_request", "INVALID_ARGUMENT", -1, false},
        {400, E("400", "FAILED_PRECONDITION", ""), NULL, NULL, "invalid_request", "FAILED_PRECONDITION", -1, false},
        {400,
         E("400", "INVALID_ARGUMENT",
           ",'details':[{'@type':'type.googleapis.com/google.rpc.ErrorInfo','reason':'API_KEY_INVALID'}]"),
         NULL, NULL, "auth", "INVALID_ARGUMENT", -1, false},
        {400,
         "{'error':{'code':400,'status':'INVALID_ARGUMENT','message':'The input token count (9) exceeds the maximum "
         "number of tokens allowed (8).'}}",
         NULL, NULL, "context_overflow", "INVALID_ARGUMENT", -1, false},
        {403, E("403", "PERMISSION_DENIED", ""), NULL, NULL, "auth", "PERMISSION_DENIED", -1, false},
        {404, E("404", "NOT_FOUND", ""), NULL, NULL, "not_found", "NOT_FOUND", -1, false},
        {429, E("429", "RESOURCE_EXHAUSTED", ""), NULL, NULL, "rate_limit", "RESOURCE_EXHAUSTED", -1, true},
        {429, E("429", "RESOURCE_EXHAUSTED", ",'details':[" QUOTA("PerMinute") "," RETRY("46s") "]"), NULL, NULL,
         "rate_limit", "RESOURCE_EXHAUSTED", 46000, true},
        {429, E("429", "RESOURCE_EXHAUSTED", ",'details':[" RETRY("0.0305s") "]"), "retry-after", "9", "rate_limit",
         "RESOURCE_EXHAUSTED", 31, true},
        {429, E("429", "RESOURCE_EXHAUSTED", ",'details':[" RETRY("soon") "]"), NULL, NULL, "rate_limit",
         "RESOURCE_EXHAUSTED", -1, true},
        {429, E("429", "RESOURCE_EXHAUSTED", ",'details':[" QUOTA("RequestsPerDayPerProject") "," RETRY("46s") "]"),
         NULL, NULL, "billing", "RESOURCE_EXHAUSTED", -1, false},
        {500, E("500", "INTERNAL", ""), NULL, NULL, "server", "INTERNAL", -1, true},
        {503, E("503", "UNAVAILABLE", ""), NULL, NULL, "overloaded", "UNAVAILABLE", -1, true},
        {504, E("504", "DEADLINE_EXCEEDED", ""), NULL, NULL, "timeout", "DEADLINE_EXCEEDED", -1, true},
        {500, "", NULL, NULL, "server", "http_500", -1, true},
    };
    check_errors("gemini", cases, sizeof cases / sizeof *cases);
}

/* ---- requests ---- */

static void test_request(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
    struct http_request req = build_request(
        "gemini",
        "{'model':'gemini-3.5-flash','system':'Be brief.','max_tokens':100,'temperature':0,'top_p':0.5,'top_k':40,"
        "'stop':['END'],'effort':'xhigh',"
        "'messages':[{'role':'user','content':[{'type':'text','text':'Hi'}]},"
        "{'role':'assistant','raw':{'parts':[{'text':'T','thought':true},{'functionCall':{'name':'f','args':{}},"
        "'thoughtSignature':'s'},{'functionCall':{'id':'own','name':'g','args':{}}},{'text':''},{'text':'',"
        "'thoughtSignature':'u'}]}},"
        "{'role':'user','content':[{'type':'tool_result','id':'gemini_call_1','name':'f','text':'out'},"
        "{'type':'tool_result','id':'own','name':'g','text':'bad','is_error':true}]},"
        "{'role':'user','content':'more'}],"
        "'tools':[{'name':'f','description':'d','input_schema':{'type':'object','properties':{'n':{'type':'integer',"
        "'multipleOf':2}},'$schema':'x'}}],'tool_choice':'none',"
        "'schema':{'type':'object','properties':{'k':{'const':'v'},'n':{'type':'integer','minimum':1}}},"
        "'extra':{'generationConfig':{'seed':1},'safetySettings':[]}}",
        "", "KEY", &a, &body, &warnings);
    expect_json(
        &body,
        "{'contents':[{'role':'user','parts':[{'text':'Hi'}]},"
        "{'role':'model','parts':[{'text':'T','thought':true},{'functionCall':{'name':'f','args':{}},"
        "'thoughtSignature':'s'},{'functionCall':{'id':'own','name':'g','args':{}}},{'text':'','thoughtSignature':'u'}"
        "]},"
        "{'role':'user','parts':[{'functionResponse':{'name':'f','response':{'output':'out'}}},"
        "{'functionResponse':{'id':'own','name':'g','response':{'error':'bad'}}},{'text':'more'}]}],"
        "'tools':[{'functionDeclarations':[{'name':'f','description':'d','parametersJsonSchema':{'type':'object',"
        "'properties':{'n':{'type':'integer','description':'{multipleOf: 2}'}}}}]}],"
        "'toolConfig':{'functionCallingConfig':{'mode':'NONE'}},"
        "'generationConfig':{'temperature':0,'topP':0.5,'topK':40,'maxOutputTokens':100,'stopSequences':['END'],"
        "'responseMimeType':'application/json','responseJsonSchema':{'type':'object','properties':{'k':{'description':"
        "'{const: \\'v\\'}','enum':['v']},'n':{'type':'integer','minimum':1}}},'thinkingConfig':{'thinkingLevel':"
        "'HIGH'},'seed':1},"
        "'systemInstruction':{'parts':[{'text':'Be brief.'}]},'safetySettings':[]}");
    assert_true(str_is(req.url, "https://generativelanguage.googleapis.com/v1beta/models/"
                                "gemini-3.5-flash:streamGenerateContent?alt=sse"));
    assert_true(str_is(header_of(&req, "x-goog-api-key"), "KEY"));
    assert_int_equal(warnings.n, 0);
    arena_done(&a);
}

static void test_second_generation(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
    build_request("gemini",
                  "{'model':'models/gemini-2.5-flash','effort':'low','messages':[{'role':'user','content':'Hi'}],"
                  "'schema':{'type':'object'},'tools':[{'name':'f','description':'d'}]}",
                  "", "", &a, &body, &warnings);
    assert_null(VAL_GET(&body, "generationConfig"));
    assert_non_null(VAL_GET(&body, "systemInstruction"));
    assert_int_equal(warnings.n, 1);
    arena_done(&a);
}

/* A model's name cannot leave its place in the address. */
static void test_hostile_model(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
    struct http_request req =
        build_request("gemini", "{'model':'../x?y#z%41 \xC3\xA9','messages':[{'role':'user','content':'Hi'}]}",
                      "http://h", "", &a, &body, &warnings);
    assert_true(str_is(req.url, "http://h/v1beta/models/..%2Fx%3Fy%23z%2541%20%C3%A9:streamGenerateContent?alt=sse"));
    arena_done(&a);
}

/* The paused messages at the end are not sent; the last one's token is. In the middle they are ordinary. */
static void test_continuation(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val body;
    struct val_list warnings;
#define PAUSED                                                                                                     \
    "{'role':'user','content':'Hi'},{'role':'assistant','raw':{'parts':[{'text':'A'}],'continuationToken':'t1'}}," \
    "{'role':'assistant','raw':{'parts':[{'text':'B'}],'continuationToken':'t2'}}"
    build_request("gemini", "{'model':'m','messages':[" PAUSED "]}", "", "", &a, &body, &warnings);
    expect_json(&body, "{'continuationToken':'t2','contents':[{'role':'user','parts':[{'text':'Hi'}]}]}");
    build_request("gemini",
                  "{'model':'m','messages':[" PAUSED ",{'role':'assistant','raw':{'parts':[{'text':'C'}]}},{'role':"
                  "'user','content':'and?'}]}",
                  "", "", &a, &body, &warnings);
    expect_json(&body,
                "{'contents':[{'role':'user','parts':[{'text':'Hi'}]},{'role':'model','parts':[{'text':'A'},{'text':"
                "'B'},{'text':'C'}]},{'role':'user','parts':[{'text':'and?'}]}]}");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_cuts_and_splits),
        cmocka_unit_test(test_one_body),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_second_generation),
        cmocka_unit_test(test_hostile_model),
        cmocka_unit_test(test_continuation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
