/* What outlives runs, in files: kept results and their bounds, conversations, names that are no paths. */
#include "base/clock.h"
#include "executor/cache_file.h"
#include "executor/kept.h"
#include "executor/session_file.h"

#include "executor_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char dir[] = "/tmp/treadle-kept-XXXXXX";
static struct arena a;
static bool recording;

static int set_up(void **state)
{
    (void)state;
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    util_remove_tree(dir);
    arena_done(&a);
    return 0;
}

static enum rc cache(const char *request, struct val *ret)
{
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, str_c(request), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
    return exec_cache(&v, dir, recording, &a, ret, &err);
}

static const char *answer(const char *request)
{
    struct val v;
    assert_int_equal(cache(request, &v), RC_OK);
    return json_text(&a, &v).p;
}

static bool found(const char *workflow, const char *entry, int ttl_ms)
{
    const char *text = answer(arena_printf(&a,
                                           "{\"op\": \"find\", \"workflow\": \"%s\", \"entry\": \"%s\", "
                                           "\"ttl_ms\": %d}",
                                           workflow, entry, ttl_ms)
                                  .p);
    return strstr(text, "\"found\":true") != NULL;
}

static enum rc keep(const char *entry, size_t bytes, const char *more)
{
    char *text = arena_alloc(&a, bytes + 1);
    struct val v;
    memset(text, 'x', bytes);
    text[bytes] = 0;
    return cache(arena_printf(&a,
                              "{\"op\": \"keep\", \"workflow\": \"w\", \"entry\": \"%s\", \"ttl_ms\": 60000, "
                              "\"run\": \"r\", \"step\": \"s\", \"result\": {\"text\": \"%s\"}%s}",
                              entry, text, more)
                     .p,
                 &v);
}

static void test_keep_and_find(void **state)
{
    (void)state;
    assert_false(found("w", "e1", 60000));
    assert_int_equal(keep("e1", 3, ""), RC_OK);
    assert_true(found("w", "e1", 60000));
    assert_non_null(strstr(answer("{\"op\":\"find\",\"workflow\":\"w\",\"entry\":\"e1\",\"ttl_ms\":60000}"),
                           "\"run\":\"r\",\"result\":{\"text\":\"xxx\"}"));
    assert_false(found("w", "e2", 60000));
    assert_false(found("other", "e1", 60000));
}

/* How long an entry is good is for whoever asks to say. */
static void test_time_to_live(void **state)
{
    (void)state;
    struct val v;
    util_write(dir, "w/e1.json",
               arena_printf(&a, "{\"until_ms\":1,\"kept_ms\":%lld,\"result\":1}", (long long)clock_wall_ms() - 9000).p);
    assert_false(found("w", "e1", 8000));
    assert_true(found("w", "e1", 60000));
    assert_int_equal(cache("{\"op\": \"find\", \"workflow\": \"w\", \"entry\": \"e1\", \"ttl_ms\": 0}", &v),
                     RC_INVALID);
}

/* While a recording is made, only what has failed already may take what is kept. */
static void test_recording(void **state)
{
    (void)state;
    assert_int_equal(keep("e1", 3, ""), RC_OK);
    recording = true;
    assert_false(found("w", "e1", 60000));
    assert_non_null(strstr(answer("{\"op\": \"find\", \"workflow\": \"w\", \"entry\": \"e1\", \"ttl_ms\": 60000, "
                                  "\"last_resort\": true}"),
                           "\"found\":true"));
    recording = false;
}

/* What somebody has damaged is as good as not there. */
static void test_damaged(void **state)
{
    (void)state;
    assert_int_equal(keep("e1", 3, ""), RC_OK);
    util_write(dir, "w/e1.json", "{\"until_ms\": ");
    assert_false(found("w", "e1", 60000));
    util_write(dir, "w/.lock", "x");
    assert_int_equal(keep("e1", 3, ""), RC_OK);
    assert_true(found("w", "e1", 60000));
}

static void test_bounds(void **state)
{
    (void)state;
    char entry[20];
    assert_int_equal(keep("big", 300, ", \"max_bytes\": 200"), RC_LIMIT);
    for (int i = 0; i < 30; i++) {
        snprintf(entry, sizeof entry, "e%d", i);
        assert_int_equal(keep(entry, 1000, ", \"max_bytes\": 10000"), RC_OK);
    }
    assert_true(found("w", "e29", 60000));
    assert_false(found("w", "e0", 60000));
    size_t n = 0;
    for (int i = 0; i < 30; i++) {
        snprintf(entry, sizeof entry, "e%d", i);
        n += found("w", entry, 60000);
    }
    assert_in_range(n, 7, 9);
}

static void test_prune(void **state)
{
    (void)state;
    assert_int_equal(keep("e1", 3, ""), RC_OK);
    assert_int_equal(keep("e2", 3, ", \"ttl_ms\": 1"), RC_OK);
    util_write(dir, "w/e2.json", "{\"until_ms\":1,\"kept_ms\":0,\"result\":1}");
    util_write(dir, "w/e3.json", "who wrote this?");
    assert_int_equal(cache_prune(dir, 0, true).n, 2);
    assert_int_equal(cache_prune(dir, 0, false).n, 2);
    assert_int_equal(cache_prune(dir, 0, false).n, 0);
    assert_true(found("w", "e1", 60000));
    assert_int_equal(cache_prune(dir, INT64_MAX, false).n, 1);
    assert_false(found("w", "e1", 60000));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"a_B-9", "a_B-9"}, {".", "%2E"}, {"../x", "%2E%2E%2Fx"}, {"\xc3\xa9", "%C3%A9"}};
    struct str got;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(kept_name(&a, str_c(names[i][0]), "", &got));
        assert_string_equal(got.p, names[i][1]);
    }
    assert_false(kept_name(&a, STR(""), "", &got));
    assert_false(kept_name(&a, arena_printf(&a, "%077d", 1), "", &got));
}

static enum rc session_rc(const char *request, const char **ret_text)
{
    struct val v, ret;
    struct err err;
    const char *run_dir = arena_printf(&a, "%s/runs/r", dir).p;
    assert_int_equal(json_parse(&a, str_c(request), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
    enum rc rc = exec_session(&v, arena_printf(&a, "%s/sessions", dir).p, run_dir, &a, &ret, &err);
    *ret_text = rc == RC_OK ? json_text(&a, &ret).p : arena_str(&a, str_c(err.msg)).p;
    return rc;
}

static const char *session(const char *request)
{
    const char *text;
    assert_int_equal(session_rc(request, &text), RC_OK);
    return text;
}

/* bytes and hash of files with nothing, and with one exchange of one message */
#define NOTHING "0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""
#define ONE     "27,\"sha256\":\"469f84a88eac31b07c55a4d6c7e99475e4af86e1e3ef81216159fd8fb2c5fc7b\""
#define TWO     "27,\"sha256\":\"c2f16459418f8f6a1e639f7038d6cc817aec605e99c8e96430b3cbfb8e5f153f\""

/* A run's own conversation lies with the run, and is looked for first. */
static void test_own_sessions(void **state)
{
    (void)state;
    assert_string_equal(session("{\"op\":\"append\",\"name\":\"t\",\"key\":\"1\",\"messages\":[1]}"),
                        "{\"turns\":1,\"name\":\"t\",\"own\":false}");
    assert_string_equal(session("{\"op\":\"read\",\"name\":\"t\",\"own\":\"first\"}"),
                        "{\"turns\":1,\"name\":\"t\",\"own\":false,\"bytes\":" ONE ",\"messages\":[1]}");
    assert_string_equal(session("{\"op\":\"read\",\"name\":\"t\",\"own\":true}"),
                        "{\"turns\":0,\"name\":\"t\",\"own\":true,\"bytes\":" NOTHING ",\"messages\":[]}");
    assert_string_equal(session("{\"op\":\"append\",\"name\":\"t\",\"own\":true,\"key\":\"2\",\"messages\":[2]}"),
                        "{\"turns\":1,\"name\":\"t\",\"own\":true}");
    assert_string_equal(session("{\"op\":\"read\",\"name\":\"t\",\"own\":\"first\"}"),
                        "{\"turns\":1,\"name\":\"t\",\"own\":true,\"bytes\":" TWO ",\"messages\":[2]}");
    free(util_read(dir, "sessions/t.jsonl"));
    char *own = util_read(dir, "runs/r/sessions/t.jsonl");
    assert_non_null(own);
    free(own);
}

/* What was read once can be read again as it was, whatever was said since; or it is told that it cannot. */
static void test_session_again(void **state)
{
    (void)state;
    static const struct {
        const char *plan;
        enum rc rc;
        const char *want;
    } t[] = {{"{\"own\":false,\"bytes\":" ONE "}", RC_OK, "\"messages\":[1]"},
             {"{\"own\":false,\"bytes\":" NOTHING "}", RC_OK, "\"turns\":0"},
             {"{\"own\":true,\"bytes\":" NOTHING "}", RC_OK, "\"turns\":0"},
             {"{\"own\":false,\"bytes\":" TWO "}", RC_CONFLICT, "has been changed"},
             {"{\"own\":false,\"bytes\":1000,\"sha256\":\"\"}", RC_CONFLICT, "has been changed"},
             {"{\"own\":true,\"bytes\":" ONE "}", RC_NOT_FOUND, "is gone"},
             {"{}", RC_CONFLICT, "has been changed"}};
    session("{\"op\":\"append\",\"name\":\"t\",\"key\":\"1\",\"messages\":[1]}");
    session("{\"op\":\"append\",\"name\":\"t\",\"key\":\"2\",\"fresh\":true,\"messages\":[2]}");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        const char *text,
            *request = arena_printf(&a,
                                    "{\"op\":\"read\",\"name\":\"t\",\"own\":\"first\",\"phase\":\"again\","
                                    "\"plan\":%s}",
                                    t[i].plan)
                           .p;
        assert_int_equal(session_rc(request, &text), t[i].rc);
        assert_non_null(strstr(text, t[i].want));
    }
}

/* An exchange counts once, under whatever key, from the newest beginning on. */
static void test_session_counts(void **state)
{
    (void)state;
    static const struct {
        const char *key, *more;
        int64_t turns;
    } t[] = {{"1", "", 1}, {"r a/0", "", 2},          {"1", "", 2},     {"r \\u00e9\\\"x", "\"fresh\":true,", 1},
             {"4", "", 2}, {"r \\u00e9\\\"x", "", 2}, {"fresh", "", 3}, {"fresh", "", 3}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct str request = arena_printf(&a,
                                          "{\"op\":\"append\",\"name\":\"t\",\"key\":\"%s\",%s\"messages\":["
                                          "\"\\\"fresh\\\": true\"]}",
                                          t[i].key, t[i].more);
        const char *want = arena_printf(&a, "{\"turns\":%d,", (int)t[i].turns).p;
        assert_non_null(strstr(session(request.p), want));
    }
    assert_non_null(strstr(session("{\"op\":\"read\",\"name\":\"t\"}"), "{\"turns\":3,"));
}

/* A line that somebody has spoilt is told, not left out. */
static void test_session_spoilt(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"key\":\"2\",\"mess\n", "{\"key\":\"2\"}\n", "[]\n", "\n"};
    const char *text;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *name = arena_printf(&a, "sessions/%zu.jsonl", i).p;
        session(arena_printf(&a, "{\"op\":\"append\",\"name\":\"%zu\",\"key\":\"1\",\"messages\":[1]}", i).p);
        util_write(dir, name, arena_printf(&a, "{\"key\":\"1\",\"messages\":[1]}\n%s", lines[i]).p);
        assert_int_equal(session_rc(arena_printf(&a, "{\"op\":\"read\",\"name\":\"%zu\"}", i).p, &text), RC_CORRUPT);
        assert_non_null(strstr(text, "line 2 of"));
    }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_keep_and_find),  TEST(test_time_to_live),  TEST(test_damaged),
                                       TEST(test_recording),      TEST(test_bounds),        TEST(test_prune),
                                       TEST(test_names),          TEST(test_own_sessions),  TEST(test_session_again),
                                       TEST(test_session_counts), TEST(test_session_spoilt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
