#pragma once
/* Recording what providers answered, and answering from such a recording without a network.
 *
 * A recording is JSON Lines: one object a call: {step, turn, attempt, provider, request_sha256, request, status,
 * headers, body, outcome}. Keys and authorisation headers are never written. Replay finds the entry by (step, turn,
 * attempt) and compares the request's body; a difference is RC_REPLAY, naming the step and the first place where the
 * bodies differ. */
#include "ev/loop.h"
#include "llm/transport.h"

/* Wraps `inner` (takes it over) and appends every finished exchange to `path` (created 0600). */
enum rc record_new(struct transport *inner, const char *path, struct transport **ret, struct err *err) MUST_CHECK;
enum rc replay_new(struct ev_loop *l, const char *path, struct transport **ret, struct err *err) MUST_CHECK;
