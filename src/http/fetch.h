#pragma once
/* HTTP client: libcurl multi on the event loop, sharded, as a `struct transport`.
 *
 * libcurl is loaded with dlopen at the first start(), so programs that never call out do not pay for it. HTTP/1.1 only;
 * http:// and https:// only; no redirects, no cookies, no proxies from the environment except HTTPS_PROXY/NO_PROXY. A
 * host name is resolved once (off the loop) and kept for 60 s. Concurrency is the caller's to bound.
 *
 * A request is sent at most once: libcurl's own second try on a fresh connection is suppressed, so every sending is one
 * that the caller knows of. Header names reach head() in lower case; interim (1xx) replies and trailers are dropped. A
 * request that cannot be made (no URL, a line break in a header) ends with RC_INVALID. Error texts name scheme, host
 * and port, never a path, query or header. For the idle timeout a header line counts when it is whole. free() not from
 * inside a callback. */
#include "ev/loop.h"
#include "llm/transport.h"

struct fetch_options {
    unsigned shards;     /* CURLM count, at most 64; 0: 32 */
    const char *ca_file; /* NULL: the system's */
};
/* Never fails: a missing libcurl is reported by each request (RC_NETWORK, says what to install). */
struct transport *fetch_new(struct ev_loop *l, const struct fetch_options *o);
