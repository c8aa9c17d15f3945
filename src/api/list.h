#pragma once
/* GET /v1/runs: a page of the runs, the newest first. */
#include "data/val.h"
#include "store/store.h"

/* `query` is what stands behind the `?`: limit, status, before. {runs: [{run_id, workflow, status, …}], next?} in `a`.
 * RC_INVALID: the query is wrong. */
enum rc list_runs(struct store *s, struct str query, struct arena *a, struct val *ret, struct err *err) MUST_CHECK;
