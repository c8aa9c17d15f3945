#pragma once
/* The workspace of a forked run: as it was before the step from which it goes on. */
#include "cli/home.h"
#include "data/val.h"

struct fork_workspace {
    const struct home_run *source; /* the run that is forked; nobody carries it on */
    const struct home_run *part;   /* the new one, in the making */
    struct str was, now;           /* their workspaces, absolute; the same, or another */
    struct str step;               /* where the new one goes on, */
    const struct val *voids;       /* and all steps that are done anew: names */
    bool keep_files;               /* leave the files as they are */
};
/* Copies what is recorded of the steps that are kept, and takes back what the others changed:
 *   in the same workspace, there, if each of these paths is as the source left it (RC_CONFLICT: one is not; nothing has
 *   been changed);
 *   in another that is missing or empty, by filling it;
 *   in any other, nothing.
 * Says on standard error what was done. `a` is for scratch. */
enum rc fork_workspace_make(const struct fork_workspace *f, struct arena *a, struct err *err) MUST_CHECK;
