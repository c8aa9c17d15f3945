#pragma once
/* What a run, or one of its steps, changed in its workspace, from what was recorded of it (executor/undo_log.h). */
#include "cli/digest.h"
#include "cli/home.h"
#include "executor/undo_log.h"

/* An effect of which it is not known for certain what it changed. */
struct uncertain {
    struct str path, why; /* of the effect, without attempt numbers */
    bool seen;            /* what differed when it had ended is among the changes */
};
struct run_changes {
    struct snapshots s;
    bool open; /* something was recorded */
    struct undo_net net;
    struct uncertain *uncertain;
    size_t nuncertain, cap;
};
/* Of the run, or of what is at or below `step` (a path as `treadle show` has it; empty: all). Text lives in `a`. The
 * run may be going on. */
enum rc run_changes_read(const struct home_run *h, struct str step, struct arena *a, struct run_changes *ret,
                         struct err *err) MUST_CHECK;
void run_changes_done(struct run_changes *c);
/* A frame's path without attempt numbers. */
struct str run_changes_path(struct arena *a, struct str frame);
