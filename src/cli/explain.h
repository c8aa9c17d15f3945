#pragma once
/* In plain words: why a run failed, waits or stopped, and what to do about it. */
#include "cli/digest.h"
#include "cli/seen_run.h"

/* Several lines, without a newline at the end; empty when there is nothing to explain. `w` is the run's workflow, or
 * NULL where it cannot be loaded. In `a`. */
struct str explain_run(const struct seen_run *r, const struct digest *d, const struct workflow *w, struct arena *a);
/* Why a journal cannot be read, without the database's own words, which help nobody. */
const char *explain_problem(const char *problem);
