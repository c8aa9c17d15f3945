#pragma once
/* Deleting a run's directory, and nothing else. */
#include "cli/home.h"

/* RC_BUSY when somebody carries the run on, or something that it started still lives; the message names the process.
 * RC_EXISTS when files that are none of ours are left in the directory. */
enum rc remove_run(const struct home_run *r, struct err *err) MUST_CHECK;
/* Directories beside the runs that no run uses: begun and never finished, an hour ago or longer. Counts them, and
 * deletes them unless `dry`. */
size_t remove_leftovers(bool dry);
/* After runs were removed: forgets the workspaces in which no other has worked. */
void remove_seeds(void);
