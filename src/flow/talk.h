#pragma once
/* Sessions: which steps of a workflow speak in one. */
#include "flow/def.h"

/* Does the step itself speak in one? */
bool step_talks(const struct step_def *s);
/* The nearest step before `at` that speaks in a session or has steps inside that do, as seen from there; then, after
 * `last`, the next one back. NULL: there is none (more). */
const struct step_def *step_talk_before(const struct step_def *at, const struct step_def *last);
/* Does some step of a loop around `at` speak in one? Then an earlier iteration may have begun it. */
bool step_talk_around(const struct step_def *at);
