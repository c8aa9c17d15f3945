#pragma once
/* A transport that makes replies up: `--mock`, and fixtures (docs/testing.md).
 *
 * It answers below the wire codecs: it reads the provider's HTTP request and writes the provider's HTTP reply (SSE), so
 * requests are built and replies parsed as in real runs. A fixture list is matched in order; `times` bounds how often
 * an entry answers; `$1` in a reply is a capture of `text` (`$$` a dollar; without `text` nothing is replaced); delays,
 * error statuses, resets and cut streams are possible. Without a match: `echo` (the prompt's last line), `schema` (an
 * instance of the wanted schema, else echo) or `fail` (HTTP 400, which names the nearest fixture). The time limits of
 * the request hold for delays and for `network: hang`. Turns and attempts count from 1. */
#include "data/val.h"
#include "ev/loop.h"
#include "llm/transport.h"

/* `fixtures`: the parsed file, or NULL for bare --mock. Copies it. RC_INVALID names the entry and what is wrong. */
enum rc mock_new(struct ev_loop *l, const struct val *fixtures, struct transport **ret, struct err *err) MUST_CHECK;
/* An instance that satisfies the JSON Schema (documented subset), deterministic. In `a`. */
struct val mock_instance(struct arena *a, const struct val *schema);
