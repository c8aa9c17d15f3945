#pragma once
/* `treadle run --dry-run`: walks a workflow with made-up answers and says what it would do; nothing is done. */
#include "cli/session.h"

/* Of the session: workflow, inputs, directories, fixtures, json, quiet. No journal, call, command or file comes of it;
 * prompt files are read. The plan goes to standard output. EXIT_OK, or EXIT_RUN_FAILED where the walk ended in a
 * failure. */
int dry_run(struct session *s);
