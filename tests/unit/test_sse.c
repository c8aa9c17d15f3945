/* The parser of server-sent events: whatever the line ends and chunk boundaries, the same events. */
#include "llm/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum rc collect(void *ctx, struct str name, struct str data, struct err *err)
{
    struct buf *b = ctx;
    (void)err;
    buf_printf(b, "[%.*s|%.*s]", STR_ARG(name), STR_ARG(data));
    return RC_OK;
}

static const struct {
    const char *stream, *events;
    bool unfinished;
} cases[] = {
    {"", "", false},
    {"data: a\n\n", "[|a]", false},
    {"data:a\n\n", "[|a]", false},
    {"data:  a\n\n", "[| a]", false},
    {"event: x\ndata: a\n\n", "[x|a]", false},
    {"event:x\ndata:a\ndata:b\n\n", "[x|a\nb]", false},
    {"data: a\n\ndata: b\n\n", "[|a][|b]", false},
    {"event: x\ndata: a\n\ndata: b\n\n", "[x|a][|b]", false},
    {": comment\n\ndata: a\n: more\n\n", "[|a]", false},
    {"data\n\n", "[|]", false},
    {"data:\n\n", "[|]", false},
    {"data:\ndata:\n\n", "[|\n]", false},
    {"event: x\n\n", "", false},
    {"id: 1\nretry: 5\nother: x\ndata: a\n\n", "[|a]", false},
    {"\xEF\xBB\xBF"
     "data: a\n\n",
     "[|a]", false},
    {"\xEF\xBB"
     "data: a\n\ndata: b\n\n",
     "[|b]", false},
    {"data: \xEF\xBB\xBF\n\n", "[|\xEF\xBB\xBF]", false},
    {"data: a\r\rdata: b\r\r", "[|a][|b]", false},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[|a][|b]", false},
    {"data: a\r\n\n", "[|a]", false},
    {"data: a\n\r\n", "[|a]", false},
    {"data: a\n\r", "[|a]", false},
    {"\n\n\ndata: a\n\n\n", "[|a]", false},
    {"data: a", "", true},
    {"data: a\n", "", true},
    {"data: a\r\n", "", true},
    {"data: a\n\nda", "[|a]", true},
    {"datum: a\n\n", "", false},
    {"data : a\n\n", "", false},
};

static void check(const char *stream, size_t split, const char *events, bool unfinished)
{
    struct sse s;
    struct buf got;
    struct err err;
    struct str all = str_c(stream);
    sse_init(&s, 1000);
    buf_init(&got, 10000);
    if (split == SIZE_MAX) {
        for (size_t i = 0; i < all.n; i++)
            assert_int_equal(sse_feed(&s, str_n(all.p + i, 1), collect, &got, &err), RC_OK);
    } else {
        assert_int_equal(sse_feed(&s, str_n(all.p, split), collect, &got, &err), RC_OK);
        assert_int_equal(sse_feed(&s, str_from(all, split), collect, &got, &err), RC_OK);
    }
    if (!str_is(buf_str(&got), events))
        fail_msg("\"%s\" split at %zu: got %s, want %s", stream, split, buf_str(&got).p, events);
    assert_int_equal(sse_unfinished(&s), unfinished);
    buf_done(&got);
    sse_done(&s);
}

static void test_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t split = 0; split <= strlen(cases[i].stream); split++)
            check(cases[i].stream, split, cases[i].events, cases[i].unfinished);
        check(cases[i].stream, SIZE_MAX, cases[i].events, cases[i].unfinished);
    }
}

/* A line, or an event of many lines, beyond the limit is refused however it arrives. */
static void test_limits(void **state)
{
    (void)state;
    char line[64];
    for (int many = 0; many < 2; many++) {
        for (size_t chunk = 1; chunk < sizeof line; chunk++) {
            struct sse s;
            struct err err;
            struct buf got;
            sse_init(&s, 40);
            buf_init(&got, 1000);
            enum rc rc = RC_OK;
            for (size_t i = 0; i < sizeof line; i++)
                line[i] = many && i % 8 == 7 ? '\n' : "data: xy"[many ? i % 8 : 7];
            for (int round = 0; round < 4 && rc == RC_OK; round++)
                for (size_t i = 0; i < sizeof line && rc == RC_OK; i += chunk)
                    rc = sse_feed(&s, str_n(line + i, i + chunk > sizeof line ? sizeof line - i : chunk), collect, &got,
                                  &err);
            assert_int_equal(rc, RC_LIMIT);
            assert_int_equal(got.n, 0);
            buf_done(&got);
            sse_done(&s);
        }
    }
}

static enum rc refuse(void *ctx, struct str name, struct str data, struct err *err)
{
    (void)name, (void)data;
    ++*(int *)ctx;
    return err_set(err, RC_BAD_REPLY, "no");
}

static void test_stops_at_an_error(void **state)
{
    (void)state;
    struct sse s;
    struct err err;
    int count = 0;
    sse_init(&s, 1000);
    assert_int_equal(sse_feed(&s, STR("data: a\n\ndata: b\n\n"), refuse, &count, &err), RC_BAD_REPLY);
    assert_int_equal(count, 1);
    sse_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_stops_at_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
