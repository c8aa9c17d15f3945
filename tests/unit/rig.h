#pragma once
/* The engine on a bench: one run whose journal, effects and clock lie in memory, moved by hand.
 *
 * Nothing happens by itself: a test answers effects by their path, lets time pass, and restarts the run on as much of
 * its journal as a crash would have left. Include rig.c. */
#include "flow/away.h"
#include "flow/run.h"

#define WORKFLOW(steps) "workflow:\n  name: w\n  steps:\n" steps
#define ALL             SIZE_MAX /* of the journal: what a restart keeps */

struct rig_record {
    struct record r;
    struct rig_record *next;
};
struct rig_effect {
    struct rig_effect *next;
    struct effect e; /* request: borrowed from the run */
    bool cancelled;
};
struct rig_timer {
    struct rig_timer *next;
    uint64_t id;
    int64_t at;
};
struct rig {
    struct arena arena; /* texts of the journal; lives as long as the rig */
    struct workflow *workflow;
    struct run_options options;
    struct run *run;
    struct rig_record *records, **records_end;
    size_t nrecords, twice; /* twice: records that a journal would have ignored */
    struct rig_effect *effects;
    struct rig_timer *timers;
    int64_t now;
    char loaded[1000]; /* what has come back, one after another; with all that is in it: "!" behind it */
    bool holds_loads;  /* what has left memory is not brought back by itself */
    unsigned loads;
    uint64_t seq;
    unsigned asked, events[16]; /* effects asked for in all; events by kind */
    bool keeps;             /* whoever carries out effects outlives the engine: adopted ones are the test's to answer */
    const char *life;       /* of whoever carries out effects; NULL: it dies with the engine */
    bool nobody;            /* is there now; whoever waits for somebody is the test's to answer */
    bool others_write;      /* in the run's workspace: it gets no turn there until rig_turn() */
    bool turn_waits;        /* it has asked for one */
    unsigned turns, leaves; /* that it was given, and left */
    unsigned settled;       /* commands asked about what they had changed */
};

extern size_t rig_shelf_bytes, rig_keep_bytes; /* run_options of the runs that are started; reset by rig_done */
extern struct run_limits rig_limits;           /* run_options.limits of those */
extern bool rig_hold_loads;                    /* rig.holds_loads of those */
extern bool rig_others_write;                  /* rig.others_write of their lives when they begin */
/* Loads a workflow (which must be valid) and starts a run of it. */
void rig_start(struct rig *g, const char *yaml);
void rig_done(struct rig *g);
/* Begins with a journal that somebody else wrote: lines of "KIND ATTEMPT PATH DATA", PATH `.` for the run's own.
 * False when recovery refuses it. */
bool rig_forge(struct rig *g, const char *yaml, const char *journal);
/* The process dies and the run is resumed on the first `keep` records. */
void rig_restart(struct rig *g, size_t keep, bool force);
/* Under another workflow, with the records of `voided` (a step of the run's own list, or NULL) not counting. */
void rig_restart_with(struct rig *g, const char *yaml, const char *voided);
/* Until nothing is queued. */
void rig_work(struct rig *g);
/* The pending effect at `path`, or NULL. */
struct rig_effect *rig_effect(struct rig *g, const char *path);
/* Ends it with a result, or an error object, given as JSON; then works. */
void rig_ok(struct rig *g, const char *path, const char *json);
void rig_error(struct rig *g, const char *path, const char *json);
/* The run has the turn that it waits for. */
void rig_turn(struct rig *g);
/* Ends every effect that was asked to stop. */
void rig_stop(struct rig *g);
/* Time passes, timers go off in their order, work is done after each. */
void rig_pass(struct rig *g, int64_t ms);
/* Records of a kind at a path. */
size_t rig_count(const struct rig *g, enum record_kind kind, const char *path);
/* The newest data of them as JSON text, or "". */
const char *rig_data(const struct rig *g, enum record_kind kind, const char *path);
/* {step: result} of the run, and its error, as JSON. */
const char *rig_results(struct rig *g);
const char *rig_run_error(struct rig *g);
/* The run has that status, and what it appended can be read back and was written once. */
void rig_assert_status(struct rig *g, enum run_status s);
