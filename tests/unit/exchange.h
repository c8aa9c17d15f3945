#pragma once
/* One call through a transport, from the canonical request to the canonical reply, for the tests of transports. */
#include "reply_check.h"

#include "ev/loop.h"
#include "llm/transport.h"

struct exchange_test {
    struct ev_loop *loop;
    struct reply_parser *parser;
    struct arena a;
    struct val reply;
    bool ok, done, inside_start, cancel_at_head, cancel_at_data;
    int heads, chunks;
    enum rc rc;
    struct transport *transport;
    uint64_t id;
};

static inline void exchange_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
    struct exchange_test *x = ctx;
    assert_false(x->inside_start);
    assert_false(x->done);
    assert_int_equal(x->heads++, 0);
    assert_int_equal(x->chunks, 0);
    reply_head(x->parser, status, headers, n);
    if (x->cancel_at_head)
        x->transport->ops->cancel(x->transport, x->id);
}
static inline void exchange_data(void *ctx, struct str chunk)
{
    struct exchange_test *x = ctx;
    assert_false(x->inside_start || x->done || x->cancel_at_head);
    assert_int_equal(x->heads, 1);
    assert_false(x->cancel_at_data && x->chunks);
    x->chunks++;
    reply_data(x->parser, chunk);
    if (x->cancel_at_data)
        x->transport->ops->cancel(x->transport, x->id);
}
static inline void exchange_done(void *ctx, enum rc rc, const struct err *err)
{
    struct exchange_test *x = ctx;
    assert_false(x->inside_start || x->done || x->cancel_at_head || x->cancel_at_data);
    assert_int_equal(rc != RC_OK, err != NULL);
    x->done = true;
    x->rc = rc;
    x->ok = reply_finish(x->parser, rc, err, &x->a, &x->reply);
}

static const struct http_sink exchange_sink = {exchange_head, exchange_data, exchange_done};

/* Starts a call; the request is canonical, with ' for ". The loop is the caller's to run. */
static inline void exchange_start(struct exchange_test *x, struct transport *t, const char *provider,
                                  const char *request, const struct call_info *info, int64_t timeout_ms)
{
    struct val body;
    struct val_list warnings;
    x->parser = reply_new(provider_by_name(str_c(provider)));
    x->transport = t;
    struct http_request req = build_request(provider, request, "", "secret-key", &x->a, &body, &warnings);
    req.timeout_ms = timeout_ms;
    struct call_info plain = {.step = STR("step"), .provider = str_c(provider), .turn = 1, .attempt = 1};
    x->inside_start = true;
    x->id = t->ops->start(t, &req, info ? info : &plain, &exchange_sink, x);
    x->inside_start = false;
    assert_true(x->id != 0);
}

static inline void exchange_end(struct exchange_test *x)
{
    reply_free(x->parser);
    arena_done(&x->a);
    *x = (struct exchange_test){0};
}
