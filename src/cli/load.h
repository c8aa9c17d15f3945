#pragma once
/* Loading a workflow for a command, with the workflows that it calls: reads them, prints their problems. */
#include "cli/called.h"

/* EXIT_OK and *ret (one reference), or EXIT_USAGE with everything said on standard error. Warnings are shown when
 * `warn`. What is read besides goes to `files`, whose arena is set. */
int load_workflow(const char *path, bool warn, struct called_files *files, struct workflow **ret);
/* The same for a text at hand, as a run is pinned to it: `files` holds what it calls. */
int load_workflow_text(struct str text, const char *file, bool warn, struct called_files *files, struct workflow **ret);
