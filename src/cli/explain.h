#pragma once
/* In plain words: why a run failed, waits or stopped, and what to do about it. */
#include "cli/digest.h"
#include "cli/seen_run.h"

/* Several lines, without a newline at the end; empty when there is nothing to explain. In `a`. */
struct str explain_run(const struct seen_run *r, const struct digest *d, struct arena *a);
