#pragma once
/* What a journal says about the run in it: for commands that go on with it, copy it, or show it. */
#include "cli/session.h"
#include "store/store.h"

struct past_run {
    struct str workflow_text, workflow_sha256, file;
    struct str path;         /* of the file that the text was read from, absolute; empty: not known */
    struct str status;       /* of the newest end, or "running" when there is none since the last start */
    const struct val *files; /* see cli/called.h; NULL: it calls none */
    bool ended_well;
    uint64_t records;
};

/* Reads the journal open in s->store. Fills `p` and, in `s`: inputs, workspace, output_dir, workflow_dir,
 * workflow_sha256, created_ms, files (pinned) and the mode of its last session. Text lives in s->arena. RC_CORRUPT when
 * there is no start in it. */
enum rc past_run_load(struct past_run *p, struct session *s, struct err *err) MUST_CHECK;
/* The steps of the workflow's own list that a change from `old` to `new` makes void (the first that differs, and all
 * behind it), into s->voids; also updates s->workflow_sha256. */
void past_run_differences(struct session *s, const struct workflow *old, const struct workflow *new);
/* Do they say the same, in themselves and in the files of workflows that they call? */
bool past_run_same_step(const struct step_def *a, const struct step_def *b);
/* The same for "from this step on". RC_NOT_FOUND names the steps. */
enum rc past_run_void_from(struct session *s, const struct workflow *w, struct str step, struct err *err) MUST_CHECK;
