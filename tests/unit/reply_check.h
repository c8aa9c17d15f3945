#pragma once
/* Feeding canned replies to a provider's parser, whole and in pieces, for the tests of the codecs. */
#include "base/buf.h"
#include "data/json.h"
#include "llm/provider.h"
#include "llm/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

/* JSON written with ' for ", so that it can stand in a C string. */
static inline struct val json_of(struct arena *a, const char *text)
{
    char *copy = arena_cstr(a, str_c(text));
    struct val v = val_null;
    struct err err;
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    if (json_parse(a, str_c(copy), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        fail_msg("%s: %s", err.msg, copy);
    return v;
}

/* The same for a stream: ' for ", lines ended with LF. In `a`. */
static inline struct str stream_of(struct arena *a, const char *text)
{
    char *copy = arena_cstr(a, str_c(text));
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return str_c(copy);
}

static inline void expect_number(double got, double want)
{
    double gap = got - want;
    if (!(gap < 1e-12 && gap > -1e-12))
        fail_msg("got %.15g, want %.15g", got, want);
}

struct feed {
    const char *provider;
    int status; /* 0: 200 */
    const struct http_header *headers;
    size_t nheaders;
    size_t split; /* bytes of the first chunk; 0: all in one; SIZE_MAX: byte by byte */
    enum rc rc;   /* what the transport says at the end */
};

/* True and the reply, or false and the error. */
static inline bool feed_reply(const struct feed *f, struct str body, struct arena *a, struct val *ret)
{
    struct err err = {.rc = f->rc, .msg = "the connection broke"};
    struct http_header plain = {STR("Content-Type"), STR("text/event-stream; charset=utf-8")};
    struct reply_parser *r = reply_new(provider_by_name(str_c(f->provider)));
    reply_head(r, f->status ? f->status : 200, f->headers ? f->headers : &plain, f->headers ? f->nheaders : 1);
    if (f->split == SIZE_MAX) {
        for (size_t i = 0; i < body.n; i++)
            reply_data(r, str_n(body.p + i, 1));
    } else if (f->split && f->split < body.n) {
        reply_data(r, str_n(body.p, f->split));
        reply_data(r, str_from(body, f->split));
    } else if (body.n) {
        reply_data(r, body);
    }
    bool ok = reply_finish(r, f->rc, &err, a, ret);
    reply_free(r);
    return ok;
}

static inline void expect_json(const struct val *got, const char *want)
{
    struct arena a = {0};
    struct val v = json_of(&a, want);
    if (!got || !val_eq(got, &v))
        fail_msg("got  %s\nwant %s", got ? json_text(&a, got).p : "nothing", json_text(&a, &v).p);
    arena_done(&a);
}

static inline void expect_text(const struct val *object, const char *key, const char *want)
{
    struct str got = val_get_str(object, str_c(key), STR("(none)"));
    if (!str_is(got, want))
        fail_msg("%s: got \"%.*s\", want \"%s\"", key, STR_ARG(got), want);
}

/* A reply that was cut after any number of bytes is a network error, or the whole reply if its end mark was there; a
 * reply that came in two pieces, or byte by byte, is the same reply. `end`: the last bytes that must have arrived. */
static inline void check_cuts_and_splits(const char *provider, struct str body, const char *end)
{
    struct arena a = {0};
    struct val whole, other;
    size_t mark = str_find(body, str_c(end)) + strlen(end);
    struct feed f = {.provider = provider};
    assert_true(feed_reply(&f, body, &a, &whole));
    for (size_t n = 0; n < body.n; n++) {
        for (int broken = 0; broken < 2; broken++) {
            struct arena b = {0};
            f = (struct feed){.provider = provider, .rc = broken ? RC_NETWORK : RC_OK};
            bool ok = feed_reply(&f, str_n(body.p, n), &b, &other);
            if (ok != (n >= mark))
                fail_msg("%s cut after %zu of %zu bytes is taken for %s", provider, n, body.n, ok ? "whole" : "broken");
            if (ok)
                assert_true(val_eq(&whole, &other));
            else
                expect_text(&other, "class", "network");
            arena_done(&b);
        }
    }
    for (size_t n = 1; n <= body.n; n++) {
        struct arena b = {0};
        f = (struct feed){.provider = provider, .split = n < body.n ? n : SIZE_MAX};
        assert_true(feed_reply(&f, body, &b, &other));
        if (!val_eq(&whole, &other))
            fail_msg("%s split after %zu bytes is another reply: %s", provider, n, json_text(&b, &other).p);
        arena_done(&b);
    }
    arena_done(&a);
}

/* Builds a request out of a canonical one; fails the test if that fails. */
static inline struct http_request build_request(const char *provider, const char *request, const char *base,
                                                const char *key, struct arena *a, struct val *ret_body,
                                                struct val_list *warnings)
{
    struct val v = json_of(a, request);
    struct provider_config config = {str_c(base), str_c(key)};
    struct http_request req;
    struct err err;
    *warnings = val_list_new(a);
    if (provider_by_name(str_c(provider))->build(&v, &config, a, &req, warnings, &err) != RC_OK)
        fail_msg("%s", err.msg);
    if (json_parse(a, req.body, &JSON_LIMITS_DEFAULT, ret_body, &err) != RC_OK)
        fail_msg("%s", err.msg);
    return req;
}

static inline struct str header_of(const struct http_request *req, const char *name)
{
    for (size_t i = 0; i < req->nheaders; i++) {
        if (str_is(req->headers[i].name, name))
            return req->headers[i].value;
    }
    return (struct str){0};
}

/* One error: what the server answered, and what it must become. */
struct error_case {
    int status;
    const char *body;
    const char *header, *value; /* of the reply, or NULL */
    const char *class, *code;
    int64_t retry_after_ms; /* -1: absent */
    bool retryable;
};

static inline void check_errors(const char *provider, const struct error_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct error_case *c = &cases[i];
        struct arena a = {0};
        struct val v;
        struct http_header headers[] = {{STR("content-type"), STR("application/json")},
                                        {STR("x-request-id"), STR("req_1")},
                                        {str_c(c->header), str_c(c->value)}};
        struct feed f = {.provider = provider, .status = c->status, .headers = headers, .nheaders = c->header ? 3 : 2};
        assert_false(feed_reply(&f, stream_of(&a, c->body), &a, &v));
        bool good = str_is(val_get_str(&v, STR("class"), STR("")), c->class) &&
                    str_is(val_get_str(&v, STR("code"), STR("")), c->code) &&
                    val_get_int(&v, STR("retry_after_ms"), -1) == c->retry_after_ms &&
                    val_get_bool(&v, STR("retryable"), !c->retryable) == c->retryable &&
                    val_get_int(&v, STR("status"), 0) == (c->status >= 300 ? c->status : 0) &&
                    val_get_str(&v, STR("message"), STR("")).n > 0;
        if (!good)
            fail_msg("%s case %zu (%d %s): got %s", provider, i, c->status, c->body, json_text(&a, &v).p);
        arena_done(&a);
    }
}
