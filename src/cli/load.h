#pragma once
/* Loading a workflow for a command, with the workflows that it calls: reads them, prints their problems. */
#include "cli/called.h"

/* EXIT_OK and *ret (one reference), or EXIT_USAGE with everything said on standard error. Warnings are shown when
 * `warn`. What is read besides goes to `files`, whose arena is set. */
int load_workflow(const char *path, bool warn, struct called_files *files, struct workflow **ret);
/* The same for a text at hand, as a run is pinned to it: `files` holds what it calls. */
int load_workflow_text(struct str text, const char *file, bool warn, struct called_files *files, struct workflow **ret);
/* Whether the workflow's file, or one that it extends, includes or calls, says something else by now than what `old`
 * and `pinned` hold; false also where it cannot be read. *ret (a reference) is what it says now, NULL where that has
 * mistakes. Prints nothing. */
bool load_changed(const char *path, const struct workflow *old, const struct called_files *pinned,
                  struct called_files *files, struct workflow **ret);
/* Looks for the prompt files that the workflow and those that it calls name: beside it (`dir`), in the current
 * directory, in the workspace. One that is not there is an error (EXIT_USAGE, all are told), or a warning where some
 * step may make it before. */
int check_files(const struct workflow *w, struct str dir, struct str workspace, bool warn);
/* The directory part of the path of a file, absolute or not. */
struct str directory_of(struct str file);
