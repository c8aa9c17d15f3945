#pragma once
/* Loading a workflow file for a command: reads it, prints its problems. */
#include "flow/def.h"

/* EXIT_OK and *ret (one reference), or EXIT_USAGE with everything said on standard error. Warnings are shown when
 * `warn`. */
int load_workflow(const char *path, bool warn, struct workflow **ret);
/* The same for text at hand (a pinned workflow). */
int load_workflow_text(struct str text, const char *file, bool warn, struct workflow **ret);
