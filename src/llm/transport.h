#pragma once
/* How a provider's HTTP request gets its HTTP reply: the seam between the wire codecs and the network.
 *
 * Implementations: `http/fetch` (the network, libcurl), `llm/mock` (made-up replies), `llm/replay` (recorded ones).
 * `llm/replay` also has a recorder that wraps another transport. All callbacks come from the event loop, never from
 * inside start(); `done` comes exactly once and last, unless cancel() was called, after which nothing comes. */
#include "base/err.h"

struct http_header {
    struct str name, value;
};
struct http_request {
    struct str method, url; /* "POST", absolute */
    const struct http_header *headers;
    size_t nheaders;
    struct str body;
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t timeout_ms;         /* whole exchange; 0: 600 s */
    int64_t idle_timeout_ms;    /* without a byte; 0: 120 s */
    size_t max_reply;           /* bytes of reply body; 0: 64 MiB. More is RC_LIMIT */
};
/* What a mock or a recording matches on. */
struct call_info {
    struct str step;          /* frame path without turn and attempt: "review/3/fix" */
    struct str provider;      /* "claude", "gemini", "openai" or the name before the slash of a model */
    struct str last_message;  /* text of the last message (tool results included) */
    const struct val *schema; /* of the wanted answer, or NULL */
    const struct val *mock;   /* what the caller wants to be told where answers are made up: {response} or {error:
                               * {message, status, code}}, or NULL */
    unsigned turn, attempt;
};
struct http_sink {
    /* Status line and headers. Called once before data. Borrowed for the call. */
    void (*head)(void *ctx, int status, const struct http_header *headers, size_t n);
    void (*data)(void *ctx, struct str chunk);
    /* RC_OK: the reply ended as HTTP says it should. Otherwise RC_NETWORK, RC_TIMEOUT, RC_LIMIT, RC_REPLAY. */
    void (*done)(void *ctx, enum rc rc, const struct err *err);
};

struct transport;
struct transport_ops {
    /* Copies what it needs of the request. Returns an id for cancel, never 0. */
    uint64_t (*start)(struct transport *t, const struct http_request *req, const struct call_info *info,
                      const struct http_sink *sink, void *ctx);
    void (*cancel)(struct transport *t, uint64_t id);
    void (*free)(struct transport *t);
};
/* First member of every implementation. */
struct transport {
    const struct transport_ops *ops;
};
