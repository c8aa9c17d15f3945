/* What calls cost: the table, its tiers, snapshots of models, and the user's own file. */
#include "llm/prices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct price_case {
    const char *provider, *model;
    struct usage usage;
    double usd; /* < 0: unknown */
};

static void check(const struct price_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct price_case *c = &cases[i];
        double usd = -1;
        bool known = price_of(str_c(c->provider), str_c(c->model), &c->usage, &usd);
        double gap = usd - c->usd;
        if (known != (c->usd >= 0) || (known && (gap > 1e-12 || gap < -1e-12)))
            fail_msg("case %zu (%s/%s): %s %.15g, want %.15g", i, c->provider, c->model, known ? "known" : "unknown",
                     usd, c->usd);
    }
}

static void test_table(void **state)
{
    (void)state;
    struct err err;
    static const struct price_case cases[] = {
        {"anthropic", "claude-opus-5-5", {.input = 11, .output = 7}, 0.000184},
        {"claude", "claude-opus-5-5", {.input = 11, .output = 7}, 0.000184},
        {"anthropic", "claude-opus-5", {.input = 1000000}, 5},
        {"anthropic", "claude-opus-5", {.output = 1000000}, 25},
        {"anthropic", "claude-opus-5", {.cache_read = 1000000}, 0.5},
        {"anthropic", "claude-opus-5", {.cache_write = 1000000}, 6.25},
        {"anthropic", "claude-opus-5", {.cache_write = 1000000, .cache_write_1h = 400000}, 0.6 * 6.25 + 0.4 * 10},
        {"anthropic", "claude-haiku-4-5-20251001", {.input = 1000000}, 1},
        {"anthropic", "claude-haiku-4-5@20251001", {.input = 1000000}, 1},
        {"anthropic", "claude-haiku-4-5-mini", {.input = 1}, -1},
        {"anthropic", "claude-haiku-4-5-2025", {.input = 1}, -1},
        {"anthropic", "claude", {.input = 1}, -1},
        {"anthropic", "", {.input = 1}, -1},
        {"gemini", "claude-opus-5", {.input = 1}, -1},
        {"other", "claude-opus-5", {.input = 1}, -1},
        {"anthropic", "claude-opus-5", {0}, 0},
        /* tiers: the whole prompt counts, cached or not, and the whole request is at its price */
        {"anthropic", "claude-haiku-5-5", {.input = 100000}, 0.01},
        {"anthropic", "claude-haiku-5-5", {.input = 100001}, 100001 * 0.5 / 1e6},
        {"anthropic", "claude-haiku-5-5", {.input = 1, .cache_read = 100000}, (0.5 + 100000 * 0.05) / 1e6},
        {"anthropic", "claude-haiku-5-5", {.input = 10, .output = 200000}, (10 * 0.1 + 200000 * 0.5) / 1e6},
        {"google", "gemini-2.5-pro", {.input = 200000, .output = 10}, (200000 * 1.25 + 100) / 1e6},
        {"gemini", "gemini-2.5-pro", {.input = 200001, .output = 10}, (200001 * 2.5 + 150) / 1e6},
        {"gemini", "gemini-2.5-flash-lite", {.input = 1000000, .cache_read = 1000000}, 0.11},
        {"openai", "gpt-6-sol-2026-09-01", {.input = 272000, .output = 10}, (272000 * 2 + 100) / 1e6},
        {"openai", "gpt-6-sol", {.input = 272001, .output = 10}, (272001 * 4 + 150) / 1e6},
        {"openai", "gpt-6", {.input = 1}, -1},
        /* a price that is not known matters only when it is needed */
        {"openai", "gpt-6-sol", {.input = 5, .cache_write = 5, .cache_write_1h = 5}, -1},
    };
    assert_int_equal(prices_load(NULL, &err), RC_OK);
    check(cases, sizeof cases / sizeof *cases);
}

static void load(const char *text, enum rc want, const char *message)
{
    char path[] = "/tmp/prices-XXXXXX";
    struct err err;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    enum rc rc = prices_load(path, &err);
    unlink(path);
    if (rc != want || (message && !strstr(err.msg, message)))
        fail_msg("%s: got %s (%s)", text, rc_name(rc), rc == RC_OK ? "" : err.msg);
}

static void test_file(void **state)
{
    (void)state;
    static const struct price_case cases[] = {
        {"openai", "qwen3", {.input = 1000000, .output = 1000000}, 0},
        {"openai", "qwen3", {.input = 1, .cache_read = 1}, -1},
        {"anthropic", "claude-opus-5-5", {.input = 1000000}, 3},
        {"anthropic", "claude-opus-5-5-20261101", {.input = 1000000}, 3},
        {"anthropic", "claude-opus-5", {.input = 1000000}, 5},
        {"gemini", "g", {.input = 100}, 100 / 1e6},
        {"gemini", "g", {.input = 101}, 202 / 1e6},
        {"gemini", "g", {.input = 201}, 603 / 1e6},
        {"gemini", "h", {.input = 201}, 402 / 1e6},
    };
    load("{\"openai/qwen3\": {\"input\": 0, \"output\": 0},"
         " \"claude/claude-opus-5-5\": {\"input\": 3, \"output\": 4.5},"
         " \"gemini/g\": {\"input\": 1, \"output\": 2, \"above\": [{\"prompt\": 100, \"input\": 2, \"output\": 3},"
         " {\"prompt\": 200, \"input\": 3, \"output\": 3}]},"
         " \"gemini/h\": {\"input\": 2, \"output\": 2, \"cache_read\": 1, \"cache_write\": 1, \"cache_write_1h\": 1}}",
         RC_OK, NULL);
    check(cases, sizeof cases / sizeof *cases);
}

/* A file that cannot be used is an error, and prices are unknown rather than wrong. */
static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } files[] = {
        {"", "line"},
        {"[]", "object"},
        {"{\"qwen\": {\"input\": 1, \"output\": 1}}", "provider/model"},
        {"{\"nobody/x\": {\"input\": 1, \"output\": 1}}", "provider/model"},
        {"{\"openai/\": {\"input\": 1, \"output\": 1}}", "provider/model"},
        {"{\"openai/x\": 1}", "object"},
        {"{\"openai/x\": {\"input\": 1}}", "needed"},
        {"{\"openai/x\": {\"input\": -1, \"output\": 1}}", "input"},
        {"{\"openai/x\": {\"input\": \"1\", \"output\": 1}}", "input"},
        {"{\"openai/x\": {\"input\": 1, \"output\": 1, \"inputs\": 1}}", "inputs"},
        {"{\"openai/x\": {\"input\": 1, \"output\": 1, \"above\": 1}}", "above"},
        {"{\"openai/x\": {\"input\": 1, \"output\": 1, \"above\": [{\"prompt\": 2, \"input\": 1, \"output\": 1},"
         "{\"prompt\": 2, \"input\": 1, \"output\": 1}]}}",
         "growing"},
        {"{\"openai/x\": {\"input\": 1, \"output\": 1, \"above\": [{\"input\": 1, \"output\": 1}]}}", "growing"},
    };
    static const struct price_case unknown = {"anthropic", "claude-opus-5", {.input = 1}, -1};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        load(files[i].text, RC_INVALID, i ? files[i].message : NULL);
        check(&unknown, 1);
    }
    struct err err;
    assert_int_equal(prices_load("/nonexistent/prices.json", &err), RC_IO);
    check(&unknown, 1);
    assert_int_equal(prices_load(NULL, &err), RC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
