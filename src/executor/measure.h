#pragma once
/* How much there is in a workspace. On a pool thread. */
#include "executor/tools.h"

/* Adds {bytes, files} to *m: of all regular files below the directory `below` of the root (empty: of all), version
 * control directories left out. Looks no further once it is more than `max`. RC_CANCELLED. */
enum rc workspace_measure(const struct beneath *root, struct str below, int64_t max, const atomic_bool *cancel,
                          struct arena *a, struct val_map *m, struct err *err) MUST_CHECK;
