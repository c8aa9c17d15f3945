#pragma once
/* What a journal says about a run as a whole: with which workflow, inputs and directories it began, in which mode it
 * was last carried on, and how it stands. For whoever goes on with it, copies it, or shows it. */
#include "data/val.h"
#include "flow/run.h"
#include "store/store.h"

struct history {
    bool started;               /* it has a RECORD_RUN; else only what `accepted` says (a service's, not begun yet) */
    struct str file;            /* the workflow file as given */
    struct str path;            /* absolute, of the file that was pinned last; empty: not known */
    struct str workflow_sha256; /* pinned now */
    struct val inputs;
    struct str workspace, output_dir, workflow_dir;
    int64_t created_ms;
    struct str status;         /* of the newest end, or "running" when there is none since the last start */
    const struct val *session; /* {mode, fixtures?, replay?} of the newest life, or NULL */
    bool was_live;             /* real models may have been asked in some life */
    const struct val *files;   /* of workflows that it calls, as role/called.h writes them; NULL: none */
    uint64_t records;
};

/* One pass over the records; everything in `ret` lives in `a`. RC_CORRUPT when neither a start nor an acceptance is
 * there. */
enum rc history_read(struct store *s, struct str run, struct arena *a, struct history *ret, struct err *err) MUST_CHECK;
/* Before run_start(): feeds the run all records of its earlier lives. `voids`: paths that no longer count, besides
 * those that the journal says. RC_CORRUPT, RC_VERSION. */
enum rc history_feed(struct store *s, struct str id, struct run *run, const struct str *voids, size_t nvoids,
                     struct err *err) MUST_CHECK;
