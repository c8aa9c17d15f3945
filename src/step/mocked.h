#pragma once
/* The keys `mock_response` and `mock_error`: what a step that asks the outside gets where answers are made up.
 *
 * They, or what a call around says of the step (`mock_responses`, `mock_delays`), travel in the effect's request as
 * `mock`: {response?, delay_ms?} or {error: {message, …}, delay_ms?}. Only what makes answers up
 * (llm/mock.h, role/port_mock.h, the plan of --dry-run) looks at it; a provider and a shell never see it. */
#include "flow/step.h"

#define MOCKED_KEYS                                                                                         \
    {"mock_response", KEY_ANY,                                                                              \
     .doc = "With --mock, the answer where no fixture has one: text, or a value, which is given as JSON."}, \
    {                                                                                                       \
        "mock_error", KEY_ANY,                                                                              \
            .choices = "error",                                                                             \
            .doc = "With --mock, the failure instead: a message, or {message, status, code} of a model's "  \
                   "provider, {message, exit_code} of a command."                                           \
    }

/* What is wrong with them as written. */
void mocked_check(const struct step_def *s, struct problems *ps);
/* Of a step's evaluated configuration: the request's `mock`, or NULL; in the frame's arena. False: the step has failed.
 */
bool mocked_read(struct frame *f, const struct val *config, const struct val **ret);
