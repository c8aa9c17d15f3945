#pragma once
/* One execution of a workflow: the pure engine's front door, for role/engine and the simulation.
 *
 * A run is driven by its owner: records of an earlier life go in through run_recover(), then run_start(), then events
 * as they come; whenever the io vtable's wake() was called, run_work() does a bounded slice. The run never blocks,
 * reads no clock but io->now_ms, and after every call its status says whether it has ended. Everything it decides is
 * appended to the journal first. One thread. */
#include "flow/def.h"
#include "flow/io.h"

struct run;

enum run_status {
    RUN_RUNNING,
    RUN_WAITING, /* nothing can go on without a person, a signal or money */
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_CANCELLED,
    RUN_INTERRUPTED /* suspended; resume goes on */
};
const char *run_status_name(enum run_status s);

struct run_options {
    struct str id;
    const struct val *inputs; /* checked against the workflow's declarations; copied */
    /* Object of the variables listed in workflow.env, and of those that say what runs do by default; copied. Of a run
     * that goes on those count that it began with, but for bounds, where this life's go before (run_bound). */
    const struct val *env;
    struct str workflow_sha256, workspace, output_dir, workflow_dir; /* recorded; copied */
    bool inputs_found; /* whoever gave the inputs may not name files anywhere by them: a service's client */
    bool force;        /* when resuming: do again what is held */
    bool mocked;       /* answers are made up while it is carried on */
    /* What makes the run stay, rather than end as RUN_WAITING, while nothing but answers can move it. */
    enum run_stay { STAY_NO, STAY_FOR_APPROVALS, STAY_FOR_ANSWERS } stay;
    /* Of whoever carries the run on; 0: none. Where the workflow says more, or nothing, these count (flow/limits.h). */
    struct run_limits limits;
    size_t shelf_bytes; /* loops' iterations that are kept in memory for their readers; 0: SHELF_BYTES, SIZE_MAX: all
                         * (flow/shelf.h) */
    size_t keep_bytes;  /* of a step's result that stay in memory in any case; 0: AWAY_KEEP (flow/away.h) */
};

/* Takes a reference of `w`. `io` and `io_ctx` must outlive the run. */
struct run *run_new(struct workflow *w, const struct run_options *o, const struct flow_io *io, void *io_ctx);
void run_free(struct run *r);

/* Before run_start, in order of seq, every record of the journal (RECORD_RUN included). RC_CORRUPT, RC_VERSION. */
enum rc run_recover(struct run *r, const struct record *rec, struct err *err) MUST_CHECK;
/* Before run_recover: records under `path` (that step and what is below it) older than `seq` do not count. For the
 * paths that a RECORD_RESUME made void; see run_resume_voids. What they cost counts all the same, except where they are
 * another run's, from which this one was `forked`. */
void run_void(struct run *r, struct str path, uint64_t seq, bool forked);
/* Calls `cb` for each path that the RECORD_RESUME makes void. */
enum rc run_resume_voids(const struct record *resume, void (*cb)(void *ctx, struct str path, bool forked), void *ctx,
                         struct err *err) MUST_CHECK;

/* First start, or going on after recovery (then a RECORD_RESUME is appended). */
void run_start(struct run *r);
/* Does at most `max` transitions, and no more once a MiB has been appended; true when there is more to do. */
bool run_work(struct run *r, unsigned max);
/* `result` is the canonical result, or with !ok the error object {class, code, message, …}; borrowed. False: the
 * outcome is not recorded, so the next life will ask again what became of the effect, and whoever holds it must not
 * forget it.
 */
bool run_effect_done(struct run *r, uint64_t effect, bool ok, const struct val *result);
void run_timer(struct run *r, uint64_t timer);
/* The turn in the workspace that it has asked for (io.turn_ask) is its. */
void run_turn(struct run *r);

/* Somebody answers the approval at `path` (of the wait itself): {choice, by?, comment?, data?}. RC_NOT_FOUND: nothing
 * waits there; RC_INVALID: no such choice; RC_TIMEOUT; RC_BUSY: the run is stopping. The answer counts when what it
 * appended is durable. */
enum rc run_answer(struct run *r, struct str path, const struct val *answer, struct err *err) MUST_CHECK;
/* A signal arrives: the first frame that began to wait for its name (and whose schema it fits) takes it, else it is
 * kept for one that will. With an `id` it counts once, however often it is sent (*ret_known: it was there).
 * RC_NOT_FOUND: no step can ever wait for it; RC_SCHEMA: those who wait refuse it, with paths; RC_LIMIT: too many are
 * kept; RC_BUSY. */
enum rc run_signal(struct run *r, struct str name, const struct val *data, struct str id, struct str by,
                   bool *ret_known, struct err *err) MUST_CHECK;
/* What it waits for from outside, in the order in which the waits began: approvals and signals. */
struct run_wait {
    struct str path, step;  /* of the wait itself, and of its step; borrowed */
    const struct val *wait; /* flow/wait.h; borrowed */
    int64_t since_ms;
};
void run_each_wait(const struct run *r, void (*cb)(void *ctx, const struct run_wait *w), void *ctx);
/* Changes what run_new() was told. */
void run_stay(struct run *r, enum run_stay stay);

/* Ends the run as cancelled once everything in flight has stopped. */
void run_cancel(struct run *r);
/* Starts nothing new; when what is in flight has ended, the status becomes RUN_INTERRUPTED. */
void run_suspend(struct run *r);
/* After run_suspend: also stops what is in flight, without recording an outcome (it counts as interrupted by a crash).
 */
void run_abort(struct run *r);

enum run_status run_status(const struct run *r);
struct run_totals {
    int64_t input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, calls, steps_done, frames;
    double cost_usd;
    bool cost_unknown; /* some model had no known price */
    size_t in_flight, held, awaiting;
};
struct run_totals run_totals(const struct run *r);
/* {step: result} of the workflow's own list, as far as it got; built in `a`. What has left memory is marked `away`: see
 * away_expand(). */
struct val run_results(const struct run *r, struct arena *a);
/* The run's answer once succeeded (workflow.output); null otherwise. Borrowed. */
const struct val *run_output(const struct run *r);
/* Why it failed or waits: {class, code, message, step}; NULL when it did not. Borrowed. */
const struct val *run_error(const struct run *r);
/* The path of the frame whose turn it is: for a post-mortem, while run_work() and its like are on the stack. Borrowed.
 */
struct str run_executing(const struct run *r);
/* A CHECK of every invariant of the frame tree; for the simulation. */
void run_check(const struct run *r);
