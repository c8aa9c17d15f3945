#pragma once
/* What is left out of the result of a called workflow, and what is put beside an error of it.
 *
 * Both are made of what the step's `config` says (flow/load_call_config.c has its keys); all values lie in the frame's
 * arena. */
#include "flow/frame.h"

/* `result` without what prune_results (`how`) says; `by_steps`: it is all steps by name. */
struct val pruned_result(struct frame *f, const struct val *how, const struct val *result, bool by_steps);
/* What `beside` (an object, or NULL) is with `error_context` of the named fields (NULL: all): with what inputs which
 * workflow was called, and what of its steps there was. */
const struct val *with_error_context(struct frame *f, const struct val *fields, const struct val *beside,
                                     struct str workflow, const struct val *inputs, const struct val *results);
