/* The mock: through the real codecs of all providers, from canonical request to canonical reply. */
#include "exchange.h"

#include "base/clock.h"
#include "data/schema.h"
#include "llm/mock.h"
#include "llm/mock_fixture.h"

static const char *const providers[] = {"claude", "gemini", "openai"};
#define EACH_PROVIDER(p) for (size_t p = 0; p < sizeof providers / sizeof *providers; p++)

static struct transport *mock_of(struct ev_loop *l, const char *fixtures)
{
    struct arena a = {0};
    struct transport *t;
    struct err err;
    struct val v = fixtures ? json_of(&a, fixtures) : val_null;
    if (mock_new(l, fixtures ? &v : NULL, &t, &err) != RC_OK)
        fail_msg("%s", err.msg);
    arena_done(&a);
    return t;
}

/* One call; returns whether it succeeded, with the reply or the error in x->reply. */
static bool call(struct ev_loop *l, struct transport *t, const char *provider, const char *request,
                 const struct call_info *info, struct exchange_test *x)
{
    *x = (struct exchange_test){0};
    exchange_start(x, t, provider, request, info, 0);
    ev_run(l);
    assert_true(x->done);
    return x->ok;
}

#define ASK(text) "{'model':'opus','messages':[{'role':'user','content':'" text "'}]}"

static void test_bare(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct transport *t = mock_of(l, NULL);
    struct exchange_test x;
    EACH_PROVIDER(p)
    {
        assert_true(call(l, t, providers[p],
                         ASK("Say this:\\n\\n Gr\xC3\xBC\xC3\x9F Gott und \xF0\x9F\x98\x80 noch viel mehr als das \\n"),
                         NULL, &x));
        expect_text(&x.reply, "text", "Gr\xC3\xBC\xC3\x9F Gott und \xF0\x9F\x98\x80 noch viel mehr als das");
        expect_text(&x.reply, "provider", providers[p]);
        expect_text(&x.reply, "stop_reason", "end_turn");
        assert_true(x.chunks > 3);
        const struct val *usage = VAL_GET(&x.reply, "usage");
        assert_true(val_get_int(usage, STR("input_tokens"), 0) > 10);
        assert_true(val_get_int(usage, STR("output_tokens"), 0) > 5);
        exchange_end(&x);
    }
    /* with a schema: an instance, whether the codec could send the schema or had to ask for it in the prompt */
    static const char request[] =
        "{'model':'qwen','messages':[{'role':'user','content':'Hi'}],'schema':{'type':'object',"
        "'properties':{'score':{'type':'integer','minimum':5},'name':{'type':'string'}},"
        "'required':['score','name']}}";
    struct arena a = {0};
    struct val v = json_of(&a, request);
    EACH_PROVIDER(p)
    {
        struct call_info info = {.step = STR("s"),
                                 .provider = str_c(providers[p]),
                                 .turn = 1,
                                 .attempt = 1,
                                 .schema = VAL_GET(&v, "schema")};
        assert_true(call(l, t, providers[p], request, &info, &x));
        expect_text(&x.reply, "text", "{\"score\":5,\"name\":\"name\"}");
        exchange_end(&x);
        if (p == 0)
            continue;
        assert_true(call(l, t, providers[p], request, NULL, &x)); /* the schema is read off the wire */
        struct val answer = json_of(&a, val_get_str(&x.reply, STR("text"), STR("")).p);
        assert_true(val_is(VAL_GET(&answer, "score"), VAL_INT));
        exchange_end(&x);
    }
    arena_done(&a);
    t->ops->free(t);
    ev_loop_free(l);
}

static void test_replies(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x;
    struct transport *t = mock_of(
        l,
        "{'fixtures':["
        "{'match':{'text':'^fix (\\\\w+) in (\\\\S+)'},'reply':{'text':'on it: $1 $$1 $3','tool_calls':[{'name':'Edit',"
        "'input':{'file':'$2','n':1,'deep':[{'x':'$1$1'}]}},{'name':'Run','id':'own'}]}},"
        "{'match':{'text':'json'},'reply':{'json':{'a':[1,2.5],'b':'$0'}}},"
        "{'match':{'text':'long'},'reply':{'text':'cut','stop_reason':'max_tokens'}},"
        "{'match':{'text':'no'},'reply':{'text':'','stop_reason':'refusal','usage':{'input_tokens':7,"
        "'output_tokens':3,'cache_read_tokens':2}}},"
        "{'reply':{'text':'a price of $1 or $0'}}]}");
    EACH_PROVIDER(p)
    {
        assert_true(call(l, t, providers[p], ASK("please\\nfix"), NULL, &x));
        expect_text(&x.reply, "text", "a price of $1 or $0"); /* no captures: nothing to replace */
        exchange_end(&x);
        assert_true(call(l, t, providers[p], ASK("fix main in src/a.c"), NULL, &x));
        expect_text(&x.reply, "text", "on it: main $1 $3");
        expect_text(&x.reply, "stop_reason", "tool_use");
        const struct val *calls = VAL_GET(&x.reply, "tool_calls");
        expect_json(VAL_GET(val_at(calls, 0), "input"), "{'file':'src/a.c','n':1,'deep':[{'x':'mainmain'}]}");
        expect_text(val_at(calls, 0), "name", "Edit");
        assert_true(val_get_str(val_at(calls, 0), STR("id"), STR("")).n > 8);
        expect_json(val_at(calls, 1), "{'id':'own','name':'Run','input':{}}");
        exchange_end(&x);
        assert_true(call(l, t, providers[p], ASK("json"), NULL, &x));
        expect_text(&x.reply, "text", "{\"a\":[1,2.5],\"b\":\"json\"}");
        exchange_end(&x);
        assert_true(call(l, t, providers[p], ASK("long"), NULL, &x));
        expect_text(&x.reply, "stop_reason", "max_tokens");
        exchange_end(&x);
        assert_true(call(l, t, providers[p], ASK("no"), NULL, &x));
        expect_text(&x.reply, "stop_reason", "refusal");
        expect_json(VAL_GET(&x.reply, "usage"),
                    "{'input_tokens':7,'output_tokens':3,'cache_read_tokens':2,'cache_write_tokens':0}");
        exchange_end(&x);
    }
    t->ops->free(t);
    ev_loop_free(l);
}

/* A conversation with a tool: what the mock said is echoed, and the tool's result is the last message. */
static void test_conversation(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x, y;
    struct transport *t = mock_of(l, "{'fixtures':[{'match':{'text':'^start'},'reply':{'tool_calls':[{'name':'f'}]}},"
                                     "{'match':{'text':'result (.*)'},'reply':{'text':'got $1'}}],'default':'fail'}");
    EACH_PROVIDER(p)
    {
        assert_true(call(l, t, providers[p], ASK("start"), NULL, &x));
        struct str id = val_get_str(val_at(VAL_GET(&x.reply, "tool_calls"), 0), STR("id"), STR(""));
        struct str next = arena_printf(&x.a,
                                       "{'model':'opus','messages':[{'role':'user','content':'start'},{'role':"
                                       "'assistant','raw':%s},{'role':'user','content':[{'type':'tool_result','id':"
                                       "'%.*s','name':'f','text':'result 42'}]}]}",
                                       json_text(&x.a, VAL_GET(&x.reply, "raw")).p, STR_ARG(id));
        assert_true(call(l, t, providers[p], next.p, NULL, &y));
        expect_text(&y.reply, "text", "got 42");
        exchange_end(&x);
        exchange_end(&y);
    }
    t->ops->free(t);
    ev_loop_free(l);
}

static void test_matching(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x;
    struct transport *t =
        mock_of(l, "{'fixtures':["
                   "{'match':{'step':'review/*/fix','turn':2},'reply':{'text':'turn 2'}},"
                   "{'match':{'step':'review/*/fix','attempt':2},'reply':{'text':'attempt 2'}},"
                   "{'match':{'step':'review/*/fix','provider':'gemini'},'reply':{'text':'gemini'}},"
                   "{'match':{'step':'review/*/fix','provider':'anthropic'},'reply':{'text':'claude'},'times':2},"
                   "{'match':{'step':'review/**'},'reply':{'text':'review'}}],'default':'fail'}");
    static const struct {
        const char *provider, *step;
        unsigned turn, attempt;
        const char *text; /* NULL: no match */
    } calls[] = {
        {"claude", "review/3/fix", 2, 1, "turn 2"}, {"claude", "review/3/fix", 1, 2, "attempt 2"},
        {"gemini", "review/3/fix", 1, 1, "gemini"}, {"claude", "review/3/fix", 1, 1, "claude"},
        {"claude", "review/3/fix", 1, 1, "claude"}, {"claude", "review/3/fix", 1, 1, "review"},
        {"openai", "review/3/fix", 1, 1, "review"}, {"claude", "review/3/4/fix", 1, 1, "review"},
        {"claude", "reviews/3/fix", 1, 1, NULL},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct call_info info = {.step = str_c(calls[i].step),
                                 .provider = str_c(calls[i].provider),
                                 .turn = calls[i].turn,
                                 .attempt = calls[i].attempt};
        bool ok = call(l, t, calls[i].provider, ASK("x"), &info, &x);
        assert_int_equal(ok, calls[i].text != NULL);
        if (ok)
            expect_text(&x.reply, "text", calls[i].text);
        else
            expect_text(&x.reply, "message",
                        "no fixture matches step \"reviews/3/fix\", turn 1, attempt 1, provider claude, last message "
                        "\"x\"; nearest is fixtures[4] (1:331), where step is \"review/**\"");
        exchange_end(&x);
    }
    t->ops->free(t);
    ev_loop_free(l);
}

static void test_unmatched(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x;
    struct transport *t = mock_of(l, "{'fixtures':[{'match':{'step':'plan','text':'abc'},'times':1},{'match':{'step':"
                                     "'paln','provider':'gemini','turn':3}}],'default':'fail'}");
    struct call_info info = {.step = STR("plan"), .provider = STR("claude"), .turn = 1, .attempt = 1};
    EACH_PROVIDER(p)
    {
        assert_false(call(l, t, providers[p], ASK("xyz"), &info, &x));
        expect_text(&x.reply, "class", "invalid_request");
        assert_int_equal(val_get_int(&x.reply, STR("status"), 0), 400);
        assert_true(str_ends(val_get_str(&x.reply, STR("message"), STR("")), STR("where text is \"abc\"")));
        exchange_end(&x);
    }
    assert_true(call(l, t, "claude", ASK("abc"), &info, &x)); /* a match without a reply: the echo */
    expect_text(&x.reply, "text", "abc");
    exchange_end(&x);
    assert_false(call(l, t, "claude", ASK("abc"), &info, &x));
    assert_true(str_ends(val_get_str(&x.reply, STR("message"), STR("")), STR("where all 1 times are used up")));
    exchange_end(&x);
    t->ops->free(t);
    t = mock_of(l, "{'default':'fail'}");
    assert_false(call(l, t, "claude", ASK("abc"), &info, &x));
    assert_true(str_ends(val_get_str(&x.reply, STR("message"), STR("")), STR("; there are no fixtures")));
    exchange_end(&x);
    t->ops->free(t);
    ev_loop_free(l);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *error, *class;
        int64_t status, retry_after_ms;
    } cases[] = {
        {"{'status':529,'retry_after':1}", "overloaded", 529, 1000},
        {"{'status':429,'retry_after':'250ms'}", "rate_limit", 429, 250},
        {"{'status':429}", "rate_limit", 429, -1},
        {"{'status':401}", "auth", 401, -1},
        {"{'status':402}", "billing", 402, -1},
        {"{'status':404}", "not_found", 404, -1},
        {"{'status':413}", "context_overflow", 413, -1},
        {"{'status':400,'message':'prompt is too long: 9 tokens'}", "context_overflow", 400, -1},
        {"{'status':418,'code':'teapot','message':'m'}", "invalid_request", 418, -1},
        {"{'status':500}", "server", 500, -1},
        {"{'status':503}", "overloaded", 503, -1},
        {"{'status':504}", "timeout", 504, -1},
        {"{'network':'reset'}", "network", 0, -1},
        {"{'network':'refused'}", "network", 0, -1},
        {"{'network':'timeout'}", "timeout", 0, -1},
        {"{'cut_after':0}", "network", 0, -1},
        {"{'cut_after':150}", "network", 0, -1},
    };
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct transport *t = mock_of(l, arena_printf(&a, "{'fixtures':[{'error':%s,'times':3}]}", cases[i].error).p);
        EACH_PROVIDER(p)
        {
            assert_false(call(l, t, providers[p], ASK("Hello"), NULL, &x));
            expect_text(&x.reply, "class", cases[i].class);
            assert_int_equal(val_get_int(&x.reply, STR("status"), 0), cases[i].status);
            assert_int_equal(val_get_int(&x.reply, STR("retry_after_ms"), -1), cases[i].retry_after_ms);
            exchange_end(&x);
        }
        assert_true(call(l, t, "claude", ASK("Hello"), NULL, &x)); /* used up: better next time */
        exchange_end(&x);
        t->ops->free(t);
        arena_done(&a);
    }
    ev_loop_free(l);
}

/* A stream that a fixture cuts anywhere is never a whole reply, and one that it does not reach is. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x;
    EACH_PROVIDER(p)
    {
        bool ok = false;
        for (unsigned n = 0; !ok; n++) {
            struct arena a = {0};
            struct transport *t = mock_of(l, arena_printf(&a,
                                                          "{'fixtures':[{'reply':{'text':'Some text','tool_calls':"
                                                          "[{'name':'f','input':{'a':1}}]},'error':{'cut_after':%u}}]}",
                                                          n)
                                                 .p);
            ok = call(l, t, providers[p], ASK("x"), NULL, &x);
            assert_int_equal(x.rc, RC_NETWORK);
            assert_true(n < 20000);
            if (!ok)
                expect_text(&x.reply, "class", "network");
            else
                expect_text(&x.reply, "stop_reason", "tool_use");
            exchange_end(&x);
            t->ops->free(t);
            arena_done(&a);
        }
    }
    ev_loop_free(l);
}

struct until {
    struct ev_loop *loop;
    const bool *done;
};

static void look(void *ctx)
{
    const struct until *u = ctx;
    if (*u->done)
        ev_stop(u->loop);
    else
        ev_timer(u->loop, 1, look, ctx);
}

static void run_until(struct ev_loop *l, const bool *done)
{
    struct until u = {l, done};
    look(&u);
    ev_run(l);
}

/* Nothing here depends on how fast the machine is: what must not have ended yet would take ten minutes. */
static void test_time_and_cancel(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct transport *t = mock_of(l, "{'fixtures':[{'match':{'text':'slow'},'delay':'30ms'},{'match':{'text':'hang'},"
                                     "'error':{'network':'hang'}},{'match':{'text':'long'},'delay':600}]}");
    struct exchange_test slow = {0}, fast = {0}, hang = {0}, late = {0}, never = {0}, head = {.cancel_at_head = true},
                         data = {.cancel_at_data = true}, gone = {0}, left = {0};
    exchange_start(&gone, t, "claude", ASK("slow"), NULL, 0);
    exchange_start(&never, t, "claude", ASK("long"), NULL, 0);
    exchange_start(&head, t, "claude", ASK("fast"), NULL, 0);
    exchange_start(&data, t, "claude", ASK("fast"), NULL, 0);
    exchange_start(&fast, t, "claude", ASK("fast"), NULL, 0);
    t->ops->cancel(t, gone.id);
    t->ops->cancel(t, gone.id); /* again, and unknown ones: harmless */
    t->ops->cancel(t, 12345);
    run_until(l, &fast.done);
    assert_true(fast.ok && !never.done);
    t->ops->cancel(t, never.id);
    ev_run(l);
    assert_false(never.done || gone.done || gone.heads);
    assert_int_equal(head.heads, 1);
    assert_int_equal(data.chunks, 1);

    int64_t before = clock_mono_ms();
    exchange_start(&slow, t, "claude", ASK("slow"), NULL, 0);
    exchange_start(&hang, t, "claude", ASK("hang"), NULL, 20);
    exchange_start(&late, t, "claude", ASK("long"), NULL, 25);
    ev_run(l);
    assert_true(slow.done && slow.ok && hang.done && late.done);
    assert_true(clock_mono_ms() - before >= 29); /* a clock and a loop may round differently */
    expect_text(&hang.reply, "class", "timeout");
    expect_text(&late.reply, "class", "timeout");

    exchange_start(&left, t, "claude", ASK("slow"), NULL, 0);
    t->ops->free(t); /* with a call still waiting */
    ev_run(l);
    assert_false(left.done);
    struct exchange_test *all[] = {&slow, &fast, &hang, &late, &never, &head, &data, &gone, &left};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        exchange_end(all[i]);
    ev_loop_free(l);
}

/* The same calls in the same order give the same bytes. */
static void test_deterministic(void **state)
{
    (void)state;
    struct ev_loop *l = ev_loop_new();
    struct exchange_test x, y;
    static const char file[] = "{'fixtures':[{'reply':{'text':'t','tool_calls':[{'name':'f'},{'name':'g'}]}}]}";
    struct transport *one = mock_of(l, file), *two = mock_of(l, file);
    EACH_PROVIDER(p)
    {
        call(l, one, providers[p], ASK("x"), NULL, &x);
        call(l, two, providers[p], ASK("x"), NULL, &y);
        assert_true(val_eq(&x.reply, &y.reply));
        const struct val *calls = VAL_GET(&x.reply, "tool_calls");
        assert_false(val_eq(VAL_GET(val_at(calls, 0), "id"), VAL_GET(val_at(calls, 1), "id")));
        exchange_end(&x);
        exchange_end(&y);
    }
    one->ops->free(one);
    two->ops->free(two);
    ev_loop_free(l);
}

static void test_invalid_files(void **state)
{
    (void)state;
    static const struct {
        const char *file, *message;
    } cases[] = {
        {"[]", "1:1: the fixture file must be an object with some of: fixtures default"},
        {"{'fixture':[]}", "1:2: unknown key \"fixture\" in the fixture file; did you mean \"fixtures\"?"},
        {"{'fixtures':{}}", "1:13: \"fixtures\" must be a list, not object"},
        {"{'default':'echos'}", "did you mean \"echo\"?"},
        {"{'fixtures':[{}, {'match':{'tex':'a'}}]}",
         "1:28: fixtures[1]: unknown key \"tex\" in match; did you mean \"text\"?"},
        {"{'fixtures':[{'match':[]}]}", "1:23: fixtures[0]: match must be an object"},
        {"{'fixtures':[{'match':{'turn':0}}]}", "\"turn\" must be an integer from 1"},
        {"{'fixtures':[{'match':{'step':''}}]}", "\"step\" must be a text, and not empty"},
        {"{'fixtures':[{'match':{'text':'(a'}}]}", "1:31: fixtures[0]: \"text\" is no regular expression"},
        {"{'fixtures':[{'reply':'x'}]}", "reply must be an object with some of: text"},
        {"{'fixtures':[{'reply':{'text':1}}]}", "must be a text (quote it, or use \"json\"), not integer"},
        {"{'fixtures':[{'reply':{'text':'a','json':1}}]}", "\"text\" or \"json\", not both"},
        {"{'fixtures':[{'reply':{'stop_reason':'endturn'}}]}", "did you mean \"end_turn\"?"},
        {"{'fixtures':[{'reply':{'tool_calls':{}}}]}", "\"tool_calls\" must be a list"},
        {"{'fixtures':[{'reply':{'tool_calls':[{'input':{}}]}}]}", "needs a \"name\""},
        {"{'fixtures':[{'reply':{'tool_calls':[{'name':'f','input':'x'}]}}]}", "must be an object, not string"},
        {"{'fixtures':[{'reply':{'usage':{'input_tokens':-1}}}]}", "a count of tokens is wanted"},
        {"{'fixtures':[{'error':{}}]}", "an error needs one of: status, network, cut_after"},
        {"{'fixtures':[{'error':{'status':500,'cut_after':1}}]}", "an error needs one of"},
        {"{'fixtures':[{'error':{'status':200}}]}", "\"status\" must be an integer from 300 to 599"},
        {"{'fixtures':[{'error':{'network':'rest'}}]}", "did you mean \"reset\"?"},
        {"{'fixtures':[{'error':{'status':500},'reply':{}}]}", "has no use for a \"reply\""},
        {"{'fixtures':[{'delay':'50 parsecs'}]}", "1:23: fixtures[0]: \"delay\" must be seconds, or a duration"},
        {"{'fixtures':[{'delay':-1}]}", "\"delay\" must be seconds"},
        {"{'fixtures':[{'delay':'48h'}]}", "\"delay\" must be seconds"},
        {"{'fixtures':[{'delay':'1.2.3s'}]}", "\"delay\" must be seconds"},
        {"{'fixtures':[{'times':0}]}", "\"times\" must be an integer from 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val v = json_of(&a, cases[i].file);
        struct transport *t;
        struct err err;
        if (mock_new(NULL, &v, &t, &err) != RC_INVALID)
            fail_msg("accepted: %s", cases[i].file);
        if (!strstr(err.msg, cases[i].message))
            fail_msg("%s: got \"%s\", want \"%s\"", cases[i].file, err.msg, cases[i].message);
        arena_done(&a);
    }
}

static void test_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"", "", true},
        {"*", "abc", true},
        {"*", "a/b", false},
        {"**", "a/b/c", true},
        {"**", "", true},
        {"a/*/c", "a/b/c", true},
        {"a/*/c", "a/b/b/c", false},
        {"a/**/c", "a/b/b/c", true},
        {"a/**", "a", false},
        {"**/c", "a/b/c", true},
        {"**c", "a/c/b", false},
        {"*b*", "abc", true},
        {"*b*", "ac", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"?", "", false},
        {"**/x*/y", "a/x1/x2/y", true},
        {"**a*b", "xa/ab", true},
        {"**a*b", "ab/c", false},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (mock_glob(str_c(cases[i].pattern), str_c(cases[i].path)) != cases[i].matches)
            fail_msg("%s on %s", cases[i].pattern, cases[i].path);
    }
}

static void check_instance(const char *text, const char *instance, bool satisfies)
{
    struct arena a = {0};
    struct err err;
    struct val schema = json_of(&a, text), got = mock_instance(&a, &schema), want = json_of(&a, instance);
    if (!val_eq(&got, &want))
        fail_msg("%s: got %s, want %s", text, json_text(&a, &got).p, instance);
    if (satisfies && schema_check(&schema, &got, &a, &err) != RC_OK)
        fail_msg("%s: %s is no instance: %s", text, json_text(&a, &got).p, err.msg);
    arena_done(&a);
}

static void test_instances(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *instance;
    } cases[] = {
        {"{'type':'string'}", "'text'"},
        {"{'type':'integer'}", "1"},
        {"{'type':'number'}", "1"},
        {"{'type':'boolean'}", "true"},
        {"{'type':'null'}", "null"},
        {"{'type':['null','integer']}", "1"},
        {"{}", "'text'"},
        {"true", "'text'"},
        {"{'const':{'a':1}}", "{'a':1}"},
        {"{'enum':['x','y']}", "'x'"},
        {"{'type':'string','default':'d','examples':['e']}", "'d'"},
        {"{'type':'string','default':5,'examples':['e']}", "'e'"},
        {"{'type':'string','default':'too long','maxLength':3}", "'tex'"},
        {"{'type':'integer','examples':[99,7],'maximum':10}", "1"},
        {"{'type':'integer','minimum':5}", "5"},
        {"{'type':'integer','minimum':4.2}", "5"},
        {"{'type':'integer','exclusiveMinimum':5}", "6"},
        {"{'type':'integer','maximum':-3}", "-3"},
        {"{'type':'integer','exclusiveMaximum':1}", "0"},
        {"{'type':'integer','multipleOf':7}", "7"},
        {"{'type':'integer','minimum':10,'multipleOf':7}", "14"},
        {"{'type':'number','exclusiveMinimum':0,'exclusiveMaximum':1}", "0.5"},
        {"{'type':'number','minimum':0,'exclusiveMaximum':1}", "0.5"},
        {"{'type':'number','exclusiveMaximum':0}", "-1"},
        {"{'type':'number','maximum':0.5}", "0.5"},
        {"{'type':'string','minLength':8}", "'text....'"},
        {"{'type':'string','maxLength':0}", "''"},
        {"{'type':'string','format':'date-time'}", "'2026-01-01T00:00:00Z'"},
        {"{'type':'string','format':'email'}", "'user@example.com'"},
        {"{'type':'string','format':'unheard-of'}", "'text'"},
        {"{'type':'array','items':{'type':'integer'}}", "[1]"},
        {"{'type':'array','items':{'type':'integer'},'minItems':3,'uniqueItems':true}", "[1,2,3]"},
        {"{'type':'array','items':{'type':'string'},'minItems':2,'uniqueItems':true}", "['text','text 2']"},
        {"{'type':'array','items':{'enum':['a','b']},'minItems':2,'uniqueItems':true}", "['a','b']"},
        {"{'type':'array','items':{'type':'string'},'maxItems':0}", "[]"},
        {"{'type':'array','prefixItems':[{'type':'integer'},{'const':'x'}],'items':false}", "[1,'x']"},
        {"{'type':'object'}", "{}"},
        {"{'type':'object','properties':{'name':{'type':'string'},'n':{'type':'integer'}},'required':['name']}",
         "{'name':'name','n':1}"},
        {"{'type':'object','required':['x']}", "{'x':'x'}"},
        {"{'type':'object','additionalProperties':{'type':'integer'},'minProperties':2}", "{'key_1':1,'key_2':1}"},
        {"{'properties':{'a':{'type':'null'}}}", "{'a':null}"},
        {"{'anyOf':[{'type':'null'},{'type':'integer'}]}", "1"},
        {"{'oneOf':[{'type':'object','properties':{'k':{'const':'a'}},'required':['k']},{'type':'string'}]}",
         "{'k':'a'}"},
        {"{'allOf':[{'type':'object','properties':{'a':{'type':'integer'}},'required':['a']},{'properties':{'b':{'type'"
         ":"
         "'null'},'a':{'minimum':3}}}]}",
         "{'a':3,'b':null}"},
        {"{'$ref':'#/$defs/a','$defs':{'a':{'type':'array','items':{'$ref':'#/$defs/b~1~0'}},'b/~':{'const':2}}}",
         "[2]"},
        {"{'properties':{'x':{'$ref':'#/definitions/d','description':'y'}},'definitions':{'d':{'type':'boolean'}}}",
         "{'x':true}"},
        {"{'type':'string','pattern':'^[A-Z]{3}-\\\\d+$'}", "'AAA-0'"},
        {"{'type':'string','pattern':'^(?i)select '}", "'select '"},
        {"{'type':'string','pattern':'^(?i:a)(?P<n>b)(?<m>c)$'}", "'abc'"},
        {"{'type':'string','pattern':'^(foo|bar)x?[^a]+\\\\.(?:c|h)$'}", "'foob.c'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_instance(cases[i].schema, cases[i].instance, true);
    /* no instance, or none that the mock can find */
    check_instance("{'$ref':'#'}", "'text'", false);
    check_instance("{'$ref':'#/nowhere'}", "'text'", false);
    check_instance("{'$ref':'http://elsewhere/','type':'integer'}", "1", false);
    check_instance("{'type':'string','pattern':'^(?=x)'}", "'text'", false);
}

/* Recursive and enormous schemas come to an end, and soon. */
static void test_hostile_schemas(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{'type':'object','properties':{'a':{'$ref':'#'},'b':{'$ref':'#'},'c':{'$ref':'#'}},'required':['a','b','c']}",
        "{'type':'array','items':{'$ref':'#'},'minItems':1000}",
        "{'type':'array','minItems':1e300}",
        "{'type':'string','minLength':1e300}",
        "{'type':'object','minProperties':1e300}",
        "{'type':'integer','minimum':1e300}",
        "{'type':'number','minimum':5,'maximum':1,'multipleOf':1e-300}",
        "{'allOf':[{'$ref':'#'},{'$ref':'#'}]}",
        "{'anyOf':[{'$ref':'#'}]}",
        "{'type':'string','pattern':'((((a{999}){999}){999}){999})'}",
        "{'type':'string','pattern':'(a*)*b','minLength':9999}",
        "{'type':5,'properties':5,'required':5,'enum':5,'anyOf':5,'allOf':5,'items':5,'$ref':5,'pattern':5}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a = {0};
        struct val schema = json_of(&a, cases[i]);
        struct val got = mock_instance(&a, &schema);
        if (val_weight(&got) > (size_t)16 << 20)
            fail_msg("%s: %zu bytes", cases[i], val_weight(&got));
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_time_and_cancel),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_invalid_files),
        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_hostile_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
