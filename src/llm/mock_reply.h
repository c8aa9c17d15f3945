#pragma once
/* The mock's two ends of the wire: reading what a provider's codec sent, and writing what that provider would answer.
 */
#include "base/buf.h"
#include "data/val.h"
#include "llm/prices.h"
#include "llm/provider.h"
#include "llm/transport.h"

/* What a request on the wire says, whatever the provider. */
struct mock_request {
    const struct provider *provider;
    struct str model, last_message;
    const struct val *schema; /* of the wanted answer, or NULL */
    int64_t prompt_tokens;    /* guessed: four bytes each */
};
/* RC_INVALID when the URL or the body belong to no provider that we know. In `a`. */
enum rc mock_request_read(const struct http_request *req, struct arena *a, struct mock_request *ret,
                          struct err *err) MUST_CHECK;

struct mock_answer {
    struct str id, model, text;
    struct val tool_calls;  /* array of {id, name, input} */
    struct str stop_reason; /* canonical */
    struct usage usage;
};
/* The reply as a stream of server-sent events. */
void mock_write_reply(const struct provider *p, const struct mock_answer *x, struct arena *a, struct buf *out);
/* The body of an error with that HTTP status. `code` empty: the provider's usual word for the status. */
void mock_write_error(const struct provider *p, int status, struct str code, struct str message, struct arena *a,
                      struct buf *out);
