#pragma once
/* The directories of a run, tried before anything is recorded or paid for. */
#include "flow/def.h"

/* Makes the workspace if it is missing. RC_IO, RC_INVALID or RC_NOT_FOUND when it cannot be used. */
enum rc places_workspace(struct str path, struct err *err) MUST_CHECK;
/* Where some step of the workflow, or of one that it calls, has an `output_to_file`: makes the directory if it is
 * missing, and tries to make a file in it. */
enum rc places_output(const struct workflow *w, struct str path, struct err *err) MUST_CHECK;
