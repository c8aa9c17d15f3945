/* Recording exchanges and answering from the recording. */
#include "exchange.h"

#include "llm/mock.h"
#include "llm/replay.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK(text) "{'model':'claude-opus-5-5','messages':[{'role':'user','content':'" text "'}]}"

static char dir[] = "/tmp/replay-XXXXXX";
static char path[64];
static struct ev_loop *loop;

static int setup(void **state)
{
    (void)state;
    unlink(path);
    loop = ev_loop_new();
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    ev_loop_free(loop);
    return 0;
}

static struct transport *mock_of(const char *fixtures)
{
    struct arena a = {0};
    struct transport *t;
    struct err err;
    struct val v = json_of(&a, fixtures);
    assert_int_equal(mock_new(loop, &v, &t, &err), RC_OK);
    arena_done(&a);
    return t;
}

static struct transport *recorder_of(struct transport *inner)
{
    struct transport *t;
    struct err err;
    if (record_new(inner, path, &t, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return t;
}

static struct transport *replay_of(void)
{
    struct transport *t;
    struct err err;
    if (replay_new(loop, path, &t, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return t;
}

static struct str slurp(struct arena *a)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *p = arena_alloc(a, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    close(fd);
    return str_n(p, (size_t)st.st_size);
}

static void spew(struct str s, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0 && write(fd, s.p, s.n) == (ssize_t)s.n);
    close(fd);
}

static bool call(struct transport *t, const char *provider, const char *request, const char *step, unsigned turn,
                 struct exchange_test *x)
{
    struct call_info info = {.step = str_c(step), .provider = str_c(provider), .turn = turn, .attempt = 1};
    *x = (struct exchange_test){0};
    exchange_start(x, t, provider, request, &info, 0);
    ev_run(loop);
    assert_true(x->done);
    return x->ok;
}

static const char fixtures[] = "{'fixtures':[{'match':{'text':'tool'},'reply':{'tool_calls':[{'name':'f','input':{'a':"
                               "1.5}}]}},{'match':{'text':'busy'},'error':{'status':529,'retry_after':2}},{'match':"
                               "{'text':'reset'},'error':{'network':'reset'}},{'match':{'text':'cut'},'error':"
                               "{'cut_after':300}}],'default':'echo'}";

static const struct {
    const char *provider, *request, *step;
    unsigned turn;
} calls[] = {
    {"claude", ASK("Gr\xC3\xBC\xC3\x9F Gott"), "a", 1},
    {"gemini", ASK("Hello"), "a/2/b", 1},
    {"openai", ASK("Hello"), "c", 1},
    {"claude", ASK("tool"), "a", 2},
    {"openai", ASK("tool"), "c", 2},
    {"gemini", ASK("tool"), "d", 1},
    {"claude", ASK("busy"), "e", 1},
    {"claude", ASK("reset"), "f", 1},
    {"claude", ASK("cut"), "g", 1},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Whatever came of a call in the recording comes of it again, in any order, and the recorder changed nothing. */
static void test_round_trip(void **state)
{
    (void)state;
    struct exchange_test plain[CALLS], recorded, replayed;
    struct transport *mock = mock_of(fixtures), *recorder = recorder_of(mock_of(fixtures));
    for (size_t i = 0; i < CALLS; i++) {
        call(mock, calls[i].provider, calls[i].request, calls[i].step, calls[i].turn, &plain[i]);
        call(recorder, calls[i].provider, calls[i].request, calls[i].step, calls[i].turn, &recorded);
        assert_true(val_eq(&plain[i].reply, &recorded.reply));
        exchange_end(&recorded);
    }
    recorder->ops->free(recorder);
    struct transport *replay = replay_of();
    for (size_t i = CALLS; i-- > 0;) {
        call(replay, calls[i].provider, calls[i].request, calls[i].step, calls[i].turn, &replayed);
        assert_int_equal(replayed.ok, plain[i].ok);
        if (!val_eq(&plain[i].reply, &replayed.reply))
            fail_msg("call %zu: %s\nnot %s", i, json_text(&replayed.a, &replayed.reply).p,
                     json_text(&replayed.a, &plain[i].reply).p);
        exchange_end(&replayed);
        exchange_end(&plain[i]);
    }
    replay->ops->free(replay);
    mock->ops->free(mock);
}

static void test_file(void **state)
{
    (void)state;
    struct exchange_test x;
    struct arena a = {0};
    struct stat st;
    spew(STR(""), 0); /* a file that is there already, and readable by others */
    chmod(path, 0644);
    struct transport *t = recorder_of(mock_of("{}"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    call(t, "claude", ASK("Hi"), "a/b", 3, &x);
    exchange_end(&x);
    struct str text = slurp(&a); /* while the recorder is still at work: the line is there */
    assert_true(str_find(text, STR("secret-key")) == SIZE_MAX);
    assert_true(str_find(text, STR("x-api-key")) == SIZE_MAX);
    assert_true(str_ends(text, STR("}\n")));
    struct val v = json_of(&a, text.p);
    expect_text(&v, "step", "a/b");
    expect_text(&v, "provider", "claude");
    expect_text(&v, "address", "messages");
    expect_text(&v, "outcome", "ok");
    assert_int_equal(val_get_int(&v, STR("turn"), 0), 3);
    assert_int_equal(val_get_int(&v, STR("attempt"), 0), 1);
    assert_int_equal(val_get_int(&v, STR("status"), 0), 200);
    assert_int_equal(val_get_str(&v, STR("request_sha256"), STR("")).n, 64);
    expect_text(VAL_GET(&v, "request"), "model", "claude-opus-5-5");
    assert_true(str_starts(val_get_str(&v, STR("body"), STR("")), STR("event: message_start")));
    struct transport *second;
    struct err err;
    assert_int_equal(record_new(mock_of("{}"), path, &second, &err), RC_BUSY);
    t->ops->free(t);
    t = recorder_of(mock_of("{}")); /* goes on where the first one ended */
    call(t, "claude", ASK("Hi"), "z", 1, &x);
    exchange_end(&x);
    t->ops->free(t);
    assert_true(str_starts(slurp(&a), text));
    t = replay_of();
    assert_true(call(t, "claude", ASK("Hi"), "a/b", 3, &x));
    exchange_end(&x);
    assert_true(call(t, "claude", ASK("Hi"), "z", 1, &x));
    exchange_end(&x);
    t->ops->free(t);
    arena_done(&a);
}

static void test_cannot_record(void **state)
{
    (void)state;
    struct transport *t;
    struct err err;
    assert_int_equal(record_new(mock_of("{}"), "/nonexistent/x", &t, &err), RC_IO);
    assert_int_equal(record_new(mock_of("{}"), dir, &t, &err), RC_IO);
    assert_int_equal(record_new(mock_of("{}"), "/dev/null", &t, &err), RC_IO);
    assert_int_equal(replay_new(loop, "/nonexistent/x", &t, &err), RC_IO);
}

static void stop(void *ctx)
{
    (void)ctx;
    ev_stop(loop);
}

static void test_cancelled_is_not_recorded(void **state)
{
    (void)state;
    struct exchange_test x = {.cancel_at_data = true}, y = {0}, z = {0};
    struct transport *t = recorder_of(mock_of("{'fixtures':[{'match':{'text':'slow'},'delay':60}]}"));
    struct arena a = {0};
    exchange_start(&x, t, "claude", ASK("Hi"), NULL, 0);
    exchange_start(&y, t, "claude", ASK("slow"), NULL, 0);
    exchange_start(&z, t, "claude", ASK("slow"), NULL, 0);
    t->ops->cancel(t, y.id);
    ev_timer(loop, 5, stop, NULL);
    ev_run(loop);
    assert_int_equal(x.chunks, 1);
    assert_int_equal(slurp(&a).n, 0);
    t->ops->free(t);
    exchange_end(&x);
    exchange_end(&y);
    exchange_end(&z);
    arena_done(&a);
}

static void test_differences(void **state)
{
    (void)state;
    static const struct {
        const char *provider, *request, *step;
        unsigned turn;
        const char *message; /* NULL: it is the same */
    } asked[] = {
        {"claude",
         "{'model':'claude-opus-5-5','messages':[{'content':[{'text':'Hello there','type':'text'}],'role':"
         "'user'}]}",
         "a", 1, NULL},
        {"claude", ASK("Hello World"), "a", 1,
         "step a, turn 1: the request differs from the recording at messages[0].content[0].text: was \"Hello there\", "
         "is \"Hello World\""},
        {"claude", "{'model':'claude-opus-5-5','system':'S','messages':[{'role':'user','content':'Hello there'}]}", "a",
         1, "at system: was nothing, is \"S\""},
        {"claude", "{'model':'claude-opus-5-5','max_tokens':7,'messages':[{'role':'user','content':'Hello there'}]}",
         "a", 1, "at max_tokens: was 32000, is 7"},
        {"claude",
         "{'model':'claude-opus-5-5','messages':[{'role':'user','content':'Hello there'},{'role':'assistant','text':"
         "'A'}]}",
         "a", 1, "at messages[1]: was nothing, is an object"},
        {"openai", ASK("Hello there"), "a", 1, "recorded was a call of messages, now it is completions"},
        {"claude", ASK("Hello there"), "b", 1, "the recording has no call of step b, turn 1, attempt 1"},
        {"claude", ASK("Hello there"), "a", 2, "the recording has no call of step a, turn 2, attempt 1"},
        {"gemini", "{'model':'gemini-x','messages':[{'role':'user','content':'Hello there'}]}", "g", 1, NULL},
        {"gemini", "{'model':'gemini-y','messages':[{'role':'user','content':'Hello there'}]}", "g", 1,
         "recorded was a call of gemini-x:streamGenerateContent, now it is gemini-y:streamGenerateContent"},
    };
    struct exchange_test x;
    struct transport *t = recorder_of(mock_of("{}"));
    call(t, "claude", ASK("Hello there"), "a", 1, &x);
    exchange_end(&x);
    call(t, "gemini", "{'model':'gemini-x','messages':[{'role':'user','content':'Hello there'}]}", "g", 1, &x);
    exchange_end(&x);
    t->ops->free(t);
    t = replay_of();
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        bool ok = call(t, asked[i].provider, asked[i].request, asked[i].step, asked[i].turn, &x);
        assert_int_equal(ok, asked[i].message == NULL);
        if (!ok) {
            expect_text(&x.reply, "class", "replay");
            struct str message = val_get_str(&x.reply, STR("message"), STR(""));
            if (str_find(message, str_c(asked[i].message)) == SIZE_MAX)
                fail_msg("case %zu: got \"%s\"", i, message.p);
        }
        exchange_end(&x);
    }
    t->ops->free(t);
}

/* The same call made several times: answered in the order of the recording. */
static void test_repeated(void **state)
{
    (void)state;
    struct exchange_test x;
    struct transport *t =
        recorder_of(mock_of("{'fixtures':[{'reply':{'text':'1'},'times':1},{'reply':{'text':'2'}}]}"));
    for (int i = 0; i < 2; i++) {
        call(t, "claude", ASK("x"), "a", 1, &x);
        exchange_end(&x);
    }
    t->ops->free(t);
    t = replay_of();
    for (int i = 0; i < 3; i++) {
        assert_true(call(t, "claude", ASK("x"), "a", 1, &x));
        expect_text(&x.reply, "text", i ? "2" : "1");
        exchange_end(&x);
    }
    struct exchange_test gone = {0}, left = {0};
    struct call_info info = {.step = STR("a"), .provider = STR("claude"), .turn = 1, .attempt = 1};
    exchange_start(&gone, t, "claude", ASK("x"), &info, 0);
    t->ops->cancel(t, gone.id);
    exchange_start(&left, t, "claude", ASK("x"), &info, 0);
    t->ops->free(t);
    ev_run(loop);
    assert_false(gone.done || left.done);
    exchange_end(&gone);
    exchange_end(&left);
}

/* A recording cut at any byte: what was written whole replays, nothing else, and recording goes on behind it. */
static void test_torn(void **state)
{
    (void)state;
    struct exchange_test x;
    struct arena a = {0};
    struct transport *t = recorder_of(mock_of("{}"));
    call(t, "claude", ASK("one"), "a", 1, &x);
    exchange_end(&x);
    size_t first = slurp(&a).n;
    call(t, "claude", ASK("two"), "b", 1, &x);
    exchange_end(&x);
    t->ops->free(t);
    struct str text = slurp(&a);
    for (size_t n = first; n < text.n; n++) {
        spew(str_n(text.p, n), O_TRUNC);
        t = replay_of();
        assert_true(call(t, "claude", ASK("one"), "a", 1, &x));
        exchange_end(&x);
        assert_false(call(t, "claude", ASK("two"), "b", 1, &x));
        exchange_end(&x);
        t->ops->free(t);
        if (n % 100 != 1)
            continue;
        t = recorder_of(mock_of("{}"));
        call(t, "claude", ASK("two"), "b", 1, &x);
        exchange_end(&x);
        t->ops->free(t);
        struct str again = slurp(&a);
        assert_true(str_eq(again, text));
    }
    arena_done(&a);
}

static void test_bad_recordings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"x\n", "line 1"},
        {"{\"step\":\"a\",\"turn\":1,\"attempt\":1}\n\n", "line 2"},
        {"{\"step\":\"a\",\"turn\":1}\n", "no step, turn and attempt"},
        {"[]\n", "no step, turn and attempt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct transport *t;
        struct err err;
        spew(str_c(cases[i].text), O_TRUNC);
        assert_int_equal(replay_new(loop, path, &t, &err), RC_INVALID);
        if (!strstr(err.msg, cases[i].message))
            fail_msg("%s", err.msg);
    }
    /* entries of the wrong shape are no reason to crash */
    struct exchange_test x;
    spew(STR("{\"step\":\"a\",\"turn\":1,\"attempt\":1,\"request\":5,\"headers\":[1,[2],[\"a\",3]],\"status\":\"x\"}\n"
             "{\"step\":\"b\",\"turn\":1,\"attempt\":1}\n"),
         O_TRUNC);
    struct transport *t = replay_of();
    assert_false(call(t, "claude", ASK("x"), "a", 1, &x));
    exchange_end(&x);
    assert_false(call(t, "claude", ASK("x"), "b", 1, &x));
    exchange_end(&x);
    t->ops->free(t);
}

/* A body that is no text survives as hexadecimal digits. */
static uint64_t raw_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                          const struct http_sink *sink, void *ctx);
static void raw_cancel(struct transport *t, uint64_t id)
{
    (void)t, (void)id;
}
static void raw_free(struct transport *t)
{
    (void)t;
}
static const struct transport_ops raw_ops = {raw_start, raw_cancel, raw_free};
static struct transport raw = {&raw_ops};
static const struct http_sink *raw_sink;
static void *raw_ctx;

static void raw_answer(void *ctx)
{
    (void)ctx;
    struct http_header headers[] = {{STR("Set-Cookie"), STR("session=secret")}, {STR("X-Request-Id"), STR("r1")}};
    raw_sink->head(raw_ctx, 200, headers, 2);
    raw_sink->data(raw_ctx, str_n("data: \xFF\x00\x10\n\n", 11));
    raw_sink->done(raw_ctx, RC_OK, NULL);
}
static uint64_t raw_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                          const struct http_sink *sink, void *ctx)
{
    (void)t, (void)req, (void)info;
    raw_sink = sink;
    raw_ctx = ctx;
    return ev_timer(loop, 0, raw_answer, NULL);
}

static void test_binary_body(void **state)
{
    (void)state;
    struct exchange_test x, y;
    struct arena a = {0};
    struct transport *t = recorder_of(&raw);
    call(t, "claude", ASK("x"), "a", 1, &x);
    t->ops->free(t);
    struct str text = slurp(&a);
    assert_true(str_find(text, STR("\"646174613a20ff00100a0a\"")) != SIZE_MAX);
    assert_true(str_find(text, STR("secret")) == SIZE_MAX);
    t = replay_of();
    call(t, "claude", ASK("x"), "a", 1, &y);
    assert_true(val_eq(&x.reply, &y.reply));
    expect_text(&y.reply, "request_id", "r1");
    t->ops->free(t);
    exchange_end(&x);
    exchange_end(&y);
    arena_done(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),  TEST(test_file),     TEST(test_cannot_record), TEST(test_cancelled_is_not_recorded),
        TEST(test_differences), TEST(test_repeated), TEST(test_torn),          TEST(test_bad_recordings),
        TEST(test_binary_body),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/recording.jsonl", dir);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(dir);
    return failed;
}
