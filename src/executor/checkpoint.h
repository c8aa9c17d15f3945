#pragma once
/* EXEC_CHECKPOINT: named states of a workflow that outlive its runs. On a pool thread.
 *
 *   STATE/checkpoints/WORKFLOW/NAME.json       the newest state of that name: {name, run, saved_ms, state, files?}
 *   STATE/checkpoints/WORKFLOW/objects/SHA256  contents of workspace files, each once
 *   STATE/checkpoints/WORKFLOW/.lock           held while one is saved or loaded, by the kernel's rules
 *   STATE/checkpoints/WORKFLOW/~session.json   variables of scope session, as one state
 *   STATE/checkpoints/.mock/WORKFLOW/…         the same of runs with made-up answers
 *
 * A state is replaced in one step, after the files that it names are there: whoever dies in between leaves the old one.
 * Contents that no state names any more are removed. */
#include "executor/tools.h"

/* `dir` is STATE/checkpoints; NULL: there is none. `call` is for its arena, root (the workspace), deadline and cancel
 * flag. RC_NOT_FOUND is no error of loading. */
enum rc exec_checkpoint(const struct val *req, const char *dir, struct tool_call *call, struct val *ret,
                        const char **code, struct err *err) MUST_CHECK;
