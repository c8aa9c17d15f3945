#pragma once
/* Answers that a run waits for, given from another process: what `treadle approve`, `reject` and `signal` share.
 *
 * A living owner is asked through its control socket. Without one the journal is taken over for the moment of writing,
 * by the same rules (flow/wait.h). Either way the answer is durable when these return EXIT_OK. They print what became
 * of it, and return the exit code. */
#include "data/val.h"

/* `step` is the path of the step that asks, or a unique ending of it. `answer`: {choice, by, comment?, data?}. */
int answer_approval(const char *run, const char *step, const struct val *answer);
int answer_signal(const char *run, const char *name, const struct val *data, const char *id, const char *by);
/* Who answers: `given`, or the user's name. */
const char *answer_by(const char *given);
/* The value of --data and the like; `text` NULL: null. False: reported. */
bool answer_data(const char *text, const char *what, struct arena *a, struct val *ret);
