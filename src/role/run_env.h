#pragma once
/* Variables of Treadle's own environment that say what runs do where their workflows say nothing: models, limits.
 *
 * Read when a run begins, by `treadle run` and by the service alike, and recorded with it. The models stay those of
 * that moment: a run that goes on elsewhere, or under another environment, asks whom it asked before. The bounds are of
 * whoever pays and waits: each life that somebody starts, by `treadle resume` or as a service, reads them again, what
 * is set counts in it, higher or lower, and what is not set stays as it was recorded. None of them raises what a
 * workflow says itself, and none is a secret. */
#include "data/val.h"

/* The i-th name, NULL past the end. */
const char *run_env_name(size_t i);
/* Adds those that are set. `begins`: the run does; else only the bounds. */
void run_env_add(struct val_map *m, struct arena *a, bool begins);
