#pragma once
/* Recording what providers answered, and answering from such a recording without a network.
 *
 * A recording is JSON Lines: one object a call: {step, turn, attempt, provider, address, request_sha256, request,
 * status, headers, body | body_hex, outcome, message?}. `address` is the last segment of the URL's path; `request` the
 * request's body; `headers` those of the reply, as pairs; `body_hex` stands in for a body that is no UTF-8; `outcome`
 * is "ok" or the class of what the transport reported. Keys and authorisation headers are never written.
 *
 * Replay finds the entry by (step, turn, attempt); several with the same three answer in their order, the last one from
 * then on. It compares the request's body by its structure; a difference is RC_REPLAY, naming the step and the first
 * place where the bodies differ. */
#include "ev/loop.h"
#include "llm/transport.h"

/* Wraps `inner` (takes it over, also on failure) and appends every finished exchange to `path` (created 0600; locked,
 * so that one process records into it). A line is written whole, before the exchange's `done` is passed on; a line that
 * a crash cut short is removed first. A recording that can no longer be written is reported in the log once, and calls
 * go on. RC_IO, RC_BUSY. */
enum rc record_new(struct transport *inner, const char *path, struct transport **ret, struct err *err) MUST_CHECK;
/* Reads the recording's keys; entries are read again when they are asked for. RC_IO, RC_INVALID with the line. */
enum rc replay_new(struct ev_loop *l, const char *path, struct transport **ret, struct err *err) MUST_CHECK;
/* The last segment of a URL's path: the `address` of an entry. */
struct str replay_address(struct str url);
