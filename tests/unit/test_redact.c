/* What counts as a secret in a text, and what does not. */
#include "base/keyprint.h"
#include "data/json.h"
#include "data/val_cover.h"
#include "executor/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
    const char *text, *after; /* NULL: as it was */
} cases[] = {
    {"", NULL},
    {"nothing of it", NULL},
    {"hunter", NULL},
    {"hunter2 ok", "[secret PW]"},
    {"<hunter2 ok><hunter2 ok>", "<[secret PW]><[secret PW]>"},
    {"hunter2%20ok", "[secret PW]"},
    {"hunter2+ok", "[secret PW]"},
    {"68756e74657232206f6b", "[secret PW]"},
    {"68756E74657232206F6B", "[secret PW]"},
    {"aHVudGVyMiBvaw==", "[secret PW]w=="}, /* what the next byte could change is left */
    {"eGh1bnRlcjIgb2s=", "eG[secret PW]s="},
    {"eHhodW50ZXIyIG9r", "eHh[secret PW]"},
    {"a \"quote\"\nb", "[secret Q]"},
    {"a \\\"quote\\\"\\nb", "[secret Q]"},
    {"short", NULL},
    /* at the cut of a capture, and only there */
    {"abc hunter2\n[... 12 bytes left out ...]\ner2 ok def", "abc [secret]\n[... 12 bytes left out ...]\n[secret] def"},
    {"abc hunter2\n[... 12 bytes", NULL},
};

static void test_texts(void **state)
{
    struct redactor r = {.first = NULL};
    struct arena a = {0};
    (void)state;
    redact_add(&r, STR("PW"), STR("hunter2 ok"));
    redact_add(&r, STR("PW"), STR("hunter2 ok"));
    redact_add(&r, STR("Q"), STR("a \"quote\"\nb"));
    redact_add(&r, STR("S"), STR("short"));
    redact_add(&r, STR("NONE"), str_n(NULL, 0));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str got = redact_text(&r, &a, str_c(cases[i].text));
        const char *want = cases[i].after ? cases[i].after : cases[i].text;
        if (!str_is(got, want))
            print_message("%s -> %.*s, not %s\n", cases[i].text, STR_ARG(got), want);
        assert_true(str_is(got, want));
    }
    arena_done(&a);
    redact_done(&r);
}

static void test_values(void **state)
{
    struct redactor r = {.first = NULL};
    struct arena a = {0};
    struct err err;
    struct val v, got;
    (void)state;
    assert_int_equal(json_parse(&a, STR("{\"a\":[1,\"x topsecret\",{\"topsecret\":null}],\"b\":true}"),
                                &(struct json_limits){.depth = 9, .max_size = 1000}, &v, &err),
                     RC_OK);
    got = redact(&r, &a, &v);
    assert_true(val_eq(&got, &v));
    redact_add(&r, STR("K"), STR("topsecret"));
    got = redact(&r, &a, &v);
    assert_string_equal(json_text(&a, &got).p, "{\"a\":[1,\"x [secret K]\",{\"[secret K]\":null}],\"b\":true}");
    arena_done(&a);
    redact_done(&r);
}

/* Keys that are known by their fingerprints go with the secrets, and alone. */
static void test_keys(void **state)
{
    struct redactor r = {.first = NULL};
    struct keyprints p;
    struct arena a = {0};
    (void)state;
    keyprints_begin(&p);
    assert_true(keyprints_add(&p, "KEY", STR("0123456789abcdef0123")));
    keyprints_use(&p);
    struct member m = {.key = STR("0123456789abcdef0123"), .val = VAL_LIT("topsecret 0123456789abcdef0123.")};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = &m, .n = 1}}, got = redact(&r, &a, &v);
    assert_string_equal(json_text(&a, &got).p, "{\"[secret KEY]\":\"topsecret [secret KEY].\"}");
    redact_add(&r, STR("K"), STR("topsecret"));
    got = redact(&r, &a, &v);
    assert_string_equal(json_text(&a, &got).p, "{\"[secret KEY]\":\"[secret K] [secret KEY].\"}");
    /* in a JSON text that is one behind a backslash is no beginning of a key */
    struct str json = STR("{\"a\":\"\\u0001 0123456789abcdef0123\",\"b\":1}");
    assert_string_equal(json_covered(&a, json).p, "{\"a\":\"\\u0001 [secret KEY]\",\"b\":1}");
    json = STR("{\"a\":\"\\u0123456789abcdef0123\"}");
    assert_string_equal(json_covered(&a, json).p, "{\"a\":\"\xc4\xa3"
                                                  "456789abcdef0123\"}");
    keyprints_use(&(struct keyprints){.n = 0});
    arena_done(&a);
    redact_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
