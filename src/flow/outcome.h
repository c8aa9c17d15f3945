#pragma once
/* What becomes of a good result beside steps.NAME: the keys output_to_global and clear_vars, which any step may have,
 * and which session is the newest. */
#include "flow/frame.h"

/* The variables of the run that the step's end sets beside those of its type: an object in the frame's arena; NULL:
 * none. `result` is whole. */
const struct val *outcome_variables(struct frame *f, const struct val *result);
