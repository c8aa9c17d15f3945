#pragma once
/* A call that is answered as a whole, in runs whose answers are made up: nothing is read, made or executed for it.
 *
 * Whether it is, is decided at its start and pinned with its plan, so a run that is carried on otherwise than it began
 * (resume --live) keeps what it has decided. */
#include "flow/frame.h"

/* What is wrong with `mock_response` as written. */
void call_mock_check(const struct step_def *s, struct problems *ps);
/* What answers the call, for its plan: {response?} or {error: {message, code?}}, each with delay_ms?; NULL: nothing
 * does. False: the step has failed. */
bool call_mock_read(struct frame *f, const struct val **ret);
/* Goes on with `answer` when it is time for it. */
void call_mock_begin(struct frame *f, const struct val *mock, void (*answer)(struct frame *f));
bool call_mock_is(const struct frame *child);
/* What the response is as a result: all of it, or the outputs that the step names. False: it lacks one, and the step
 * has failed. */
bool call_mock_result(struct frame *f, const struct val *mock, const struct val *outputs, struct val *ret);
