#pragma once
/* A model provider's wire format: canonical request to HTTP request, HTTP reply to canonical reply. Pure: no I/O here.
 *
 * Canonical request (a value tree; made by the agent loop, see agent/):
 *   { provider, model, system?: text,
 *     messages: [ {role: "user", content: [ {type:"text", text} | {type:"tool_result", id, name, text, is_error} ]},
 *                 {role: "assistant", raw: <what `raw` of an earlier reply held>, text} ],
 *     tools?: [ {name, description, input_schema} ], tool_choice?: "auto"|"none",
 *     max_tokens?, temperature?, top_p?, top_k?, stop?: [text], effort?, schema?: JSON Schema of the answer,
 *     extra?: object merged into the body }
 * Canonical reply:
 *   { text, raw: the assistant's content exactly as received (echoed back verbatim in the next request),
 *     tool_calls: [ {id, name, input} ], stop_reason: end_turn|max_tokens|tool_use|stop_sequence|refusal|pause|other,
 *     model, provider, request_id?, warnings?: [text],
 *     usage: {input_tokens, output_tokens, cache_read_tokens, cache_write_tokens}, cost_usd: number or null }
 * input_tokens never includes cached ones (cache_read/cache_write are apart), whatever the provider's own convention.
 * Error reply, as an effect's error: { class: name from err.def, code, message, status?, retry_after_ms?, request_id?,
 * retryable: bool } (`retryable` is the class's own default unless the provider said otherwise: x-should-retry).
 *
 * stop_reason "pause": the model is not done. Send the same request again with this reply's message behind it; the next
 * reply goes on where this one stopped. An assistant message whose `raw` is another provider's goes out as its `text`
 * and, when given, `tool_calls: [{id, name, input}]`.
 *
 * Calls always stream (SSE); a reply that came as one JSON body is understood too. */
#include "base/buf.h"
#include "data/val.h"
#include "llm/transport.h"

struct provider_config { /* from the environment; owned by egress */
    struct str base_url; /* without a trailing slash */
    struct str api_key;
};

struct reply_parser; /* one HTTP reply in progress; made by the provider, owned by an arena plus heap buffers */

struct provider {
    const char *name;      /* "anthropic", "gemini", "openai" */
    const char *mock_name; /* "claude", "gemini", "openai": as in fixtures and results */
    const char *key_env, *base_env, *default_base;
    bool key_required; /* but see provider_needs_key() */
    /* Fills *ret; its text lives in `a`. Warnings (a dropped temperature) are appended to `warnings`. */
    enum rc (*build)(const struct val *request, const struct provider_config *config, struct arena *a,
                     struct http_request *ret, struct val_list *warnings, struct err *err);
    /* Assembles the canonical reply out of one SSE event (name may be empty) or a whole JSON body. See reply.h. */
    const struct reply_ops *reply;
};

/* By canonical name or mock name ("anthropic", "claude", "gemini", "google", "openai"); NULL when unknown. */
const struct provider *provider_by_name(struct str name);
/* Whether calls to that base address (empty: the default one) cannot do without a key. */
bool provider_needs_key(const struct provider *p, struct str base_url);

/* Feeding a reply. All text is copied. */
struct reply_parser *reply_new(const struct provider *p);
void reply_head(struct reply_parser *r, int status, const struct http_header *headers, size_t n);
void reply_data(struct reply_parser *r, struct str chunk);
/* The text so far of the answer, for live views; borrowed. */
struct str reply_text_so_far(const struct reply_parser *r);
/* After the transport's done. Returns true and the canonical reply in *ret, or false and the error object in *ret.
 * Never takes a cut stream for a whole one: without the provider's own end mark it is {class: "network"}. `rc`/`err`:
 * what the transport said. Lives in `a`. */
bool reply_finish(struct reply_parser *r, enum rc rc, const struct err *err, struct arena *a, struct val *ret);
void reply_free(struct reply_parser *r);
