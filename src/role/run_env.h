#pragma once
/* Variables of Treadle's own environment that say what runs do where their workflows say nothing: models, limits.
 *
 * Read when a run begins, by `treadle run` and by the service alike, and recorded with it: a run that goes on
 * elsewhere, or under another environment, goes on as it began. None of them is a secret. */
#include "data/val.h"

/* The i-th name, NULL past the end. */
const char *run_env_name(size_t i);
/* Adds those that are set. `begins`: the run does; else only what an operator may bound later lives by. */
void run_env_add(struct val_map *m, struct arena *a, bool begins);
