#pragma once
/* Sessions: which steps of a workflow speak in one. */
#include "flow/def.h"

/* The nearest step before `at` that speaks in a session, as seen from there; then, after `last`, the next one back.
 * NULL: there is none (more). */
const struct step_def *step_talk_before(const struct step_def *at, const struct step_def *last);
