#pragma once
/* A journal told as a tree of steps: what each did, how long it took, what it cost, and why it stopped.
 *
 * Records go in one by one, in order; the digest may be looked at after any of them, so it serves ended runs and living
 * ones alike. Times are the records' (wall clock, ms). Everything lives in the digest. */
#include "base/map.h"
#include "data/record.h"
#include "data/val.h"
#include "flow/def.h"

enum node_status {
    NODE_OPEN,     /* begun and not ended */
    NODE_RETRYING, /* an attempt failed, another is due */
    NODE_HELD,     /* waits for a person */
    NODE_WAITING,  /* for an answer, a signal, a time */
    NODE_OK,
    NODE_SKIPPED,
    NODE_CONTINUED, /* failed, and the workflow says that it goes on */
    NODE_FAILED,
    NODE_VOID /* its results no longer count; not begun again yet */
};

struct digest_node {
    struct digest_node *parent, *first, *last, *next;
    struct str path; /* without attempt numbers */
    struct str name; /* its last part */
    enum node_status status;
    bool cached;       /* its result is that of an earlier run */
    bool at_limit;     /* a loop that ended because of max_iterations */
    bool effect;       /* a call, command or file access below a step, not a step itself */
    bool restorable;   /* a command without a network, whose changes to the workspace can be taken back */
    uint32_t attempts; /* since it was last begun anew; 0: not known yet */
    uint32_t last_attempt, void_attempts;
    uint32_t generation, list_number, listed_in; /* which attempt's children are listed */
    uint32_t again, before; /* how often its group has started it (again:N in paths), and its attempts before that */
    int64_t started_ms, ended_ms; /* ended: 0 while open */
    struct str label;             /* effects: "turn 3", "$ make test", "Edit a.c" */
    struct str error_class, error_code, message, error_step;
    struct str turn_wait; /* why it has no turn in the workspace yet, in life turn_life */
    unsigned turn_life;
    int64_t input_tokens, output_tokens, calls; /* of itself and all below it, void attempts included except a
                                                   fork's */
    double cost_usd;
    bool cost_unknown;
    size_t total, ok, failed, running; /* children */
    int64_t items;                     /* of a loop over a list, begun or not; else 0 */
    bool dropped;                      /* a fork begins it anew, and has not paid for what it was */
    bool trouble;                      /* it, or something below it, is not simply done */
    /* Lines that were given to its children, of them to those in trouble, and that were not; for whoever prints. */
    size_t told, told_trouble, left_out;
    const struct val *result; /* of the workflow's own steps; NULL: none. Parts may be away (flow/away.h) */
    const struct val *wait;   /* what it waits, or waited, for (flow/wait.h); NULL: it is no wait */
    const struct val *answer; /* what came of it; NULL: nothing yet */
    struct str record_path;   /* of a wait: its path as records have it */
    uint32_t record_attempt;
};

struct digest {
    struct arena arena;
    struct map nodes; /* path -> struct digest_node */
    struct digest_node *root;
    struct str workflow, workflow_sha256, file, workspace, output_dir, mode, forked_from;
    struct val inputs;
    struct str status; /* of the last end; empty when there was none since the last start */
    const struct val *error, *output;
    int64_t started_ms, resumed_ms, last_ms; /* resumed: the last time */
    size_t records, resumes;
    unsigned lives;          /* that began with a resume */
    int64_t inherited_calls; /* of a forked run: what its source had done and paid for */
    double inherited_usd;
    uint64_t last_seq;
    bool begun;       /* there is a start */
    bool just_forked; /* the next resume is the fork's own start */
};

struct digest *digest_new(void);
void digest_free(struct digest *d);
/* RC_CORRUPT names the record. */
enum rc digest_add(struct digest *d, const struct record *r, struct err *err) MUST_CHECK;
/* Fills total, ok, failed, running and trouble of every node; call it before looking at them. */
void digest_count(struct digest *d);
/* "done", "failed", … as people and --json read it; `run` is the run's status (seen_run.h), which tells what became of
 * open nodes. */
const char *digest_status(const struct digest_node *n, const char *run);
/* The type of the step with this name in the workflow, where that is certain; else empty. `w` may be NULL. */
struct str digest_type(const struct digest_node *n, const struct workflow *w);
/* Why a step that goes on waits for its turn in the workspace; empty: it does not wait for other runs. */
struct str digest_turn_wait(const struct digest *d, const struct digest_node *n);
/* Does it wait, and is everything above it open, so that an answer counts? */
bool digest_waits(const struct digest_node *n);
/* The node after `n` at or below `top`, parents first, in the order of their beginning; NULL after the last. */
const struct digest_node *digest_next(const struct digest_node *n, const struct digest_node *top);
/* The deepest node at or below `n` that is held (or failed) and has no such node below it; NULL. What is below a step
 * that went on all the same does not count. */
const struct digest_node *digest_find(const struct digest_node *n, enum node_status status);
