#pragma once
/* What is said of a run to those who asked for it: the one object of `--json`, of the HTTP interface and of the
 * service's journal. Built in `a`; it borrows from the run. */
#include "flow/run.h"

/* {run_id, status, results, output?, error?, usage} */
struct val outcome_of(const struct run *run, struct str id, struct arena *a);
/* {calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd} */
struct val outcome_usage(const struct run *run, struct arena *a);
