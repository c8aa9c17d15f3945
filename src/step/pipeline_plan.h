#pragma once
/* The plan of a call: what a pipeline step's configuration comes to, as it is pinned with the run, and as frame_call()
 * takes it. Values lie in the frame's arena. */
#include "flow/frame.h"

/* Computes the plan and pins it; NULL: the step has failed, or is called again once what it reads has come. `w`: NULL
 * where it is not known; `mock`: what answers the call (pipeline_mock.h), or NULL. */
const struct val *pipeline_plan(struct frame *f, const struct workflow *w, const struct val *mock);
/* What is pinned, but for the workflow and its directory; borrows from it. */
struct call_plan pipeline_call_plan(const struct val *plan);
