#pragma once
/* A world in memory for the engine: a clock, a disk, models, commands and files, all driven by one seed.
 *
 * One call of world_step() fires exactly one event and then checks the invariants; a violation is reported through
 * world->violation (text) and ends the trial. The same seed gives the same events, and so the same journal. */
#include "base/rng.h"
#include "flow/away.h"
#include "flow/outbox.h"
#include "flow/run.h"

#include "base/buf.h"
#include "base/map.h"

/* What stands in sub.yaml: it calls itself as often as it is told. */
#define WORLD_WORKFLOW                                                                            \
    "workflow:\n  name: sub\n  inputs: {n: {type: integer, required: true}}\n"                    \
    "  variables: {seen: \"{{ inputs.n }}\"}\n  output: {seen: \"{{ state.seen }}\"}\n  steps:\n" \
    "    - {name: ask, type: gemini, prompt: hello, on_error: continue}\n"                        \
    "    - {name: more, type: set_variable, variables: {seen: \"{{ state.seen * 10 }}\"}}\n"      \
    "    - name: down\n      type: pipeline\n      pipeline_file: sub.yaml\n"                     \
    "      condition: inputs.n > 0\n      inputs: {n: \"{{ inputs.n - 1 }}\"}\n"

struct world_record {
    struct record r;
    uint64_t batch;
};

/* What the outside saw of one frame's effect. */
struct deed {
    char path[200];
    unsigned started, finished, lost; /* lost: in flight at a crash */
    bool committed;                   /* its result is durable */
    uint64_t never; /* the life of the engine that was told that it had not begun, and that has no other intent yet */
    unsigned failures; /* planned ones */
    uint64_t due;      /* the batch that must hold its result; 0: none */
    struct deed *next_due;
};

/* What the durable records say about the attempts at one step. */
struct attempts {
    struct str path;
    unsigned current;
    bool ended, handled;
};

/* Somebody who will answer a wait, however often he must try: until it is durable. */
struct wish {
    char path[200]; /* of the wait; of a signal that comes before anybody waits: anything */
    char name[100]; /* of the signal; empty: an approval */
    bool done;
    struct wish *next;
};

enum world_event { WORLD_COMMIT, WORLD_EFFECT, WORLD_TIMER, WORLD_ANSWER, WORLD_TURN };

struct pending_event {
    enum world_event kind;
    int64_t at;
    uint64_t order, id; /* batch, effect or timer */
    char path[200];
    enum effect_kind effect;
    uint32_t attempt;
    bool cancelled, unknown;       /* unknown: the answer to an adoption that found nothing */
    bool orphan;                   /* its engine died, and nobody has adopted it yet */
    bool under_way;                /* sent, or to be sent, and not there yet */
    bool reach;                    /* it ends when somebody is there */
    bool lost;                     /* whoever had it is dead, and the engine will be told so */
    bool told;                     /* the engine knows the outcome; it is kept until it is recorded, */
    uint64_t kept_with;            /* with this batch; 0: it is not to be */
    bool ok;                       /* is the outcome a result? */
    char life[24];                 /* that the engine named */
    struct box *request, *outcome; /* outcome: of one that has ended already */
};

/* Rows of the table of what was seen: step types by their place in steps.def, then these. */
enum { COVER_LOADS = 60, COVER_LIVES, COVER_CANCELS, COVER_EFFECTS, COVER_ROWS };

struct coverage {
    uint64_t ran, ok, failed, retried, skipped, held, resumed, cancelled, continued;
};

struct world {
    uint64_t seed;
    struct rng rng, choices; /* choices: what the environment does; rng: what the engine draws */
    int64_t now;
    uint64_t order;
    struct workflow *workflow;
    struct run *run;
    struct outbox *outbox;
    bool woken;
    struct pending_event *events;
    size_t nevents, cap;
    /* disk */
    struct world_record *disk; /* in order; durable up to `durable` batches */
    size_t ndisk, disk_cap;
    uint64_t batch, durable;
    struct map once; /* kind path attempt -> 1, of durable records */
    uint64_t seq;
    /* outside */
    struct map deeds;                  /* path -> struct deed */
    struct map attempts;               /* path -> struct attempts */
    struct deed *due;                  /* those whose result the engine was told and has not made durable yet */
    struct map files;                  /* path -> struct file */
    struct workspace_model *workspace; /* files.c */
    struct map sessions;               /* name -> int64_t: exchanges; and "name: key" -> anything */
    uint64_t read_again, went_on;      /* sessions: by a later life; calls that had a history */
    struct map wishes;                 /* path -> struct wish */
    struct wish *first_wish;
    struct map taken;      /* number of a signal that a durable result has taken */
    struct box *same_kept; /* world_known.c: by this run, in the cache; or NULL */
    uint64_t same_made, same_found, frail,
        raised;          /* frail: failed for an interruption; raised: budgets that were met */
    uint64_t answers[4]; /* given to a living run, to a dead one, again, refused */
    /* those who carry out effects: models, and everything else */
    bool alone;              /* they die with the engine */
    uint64_t lives[2];       /* which life each is in */
    int64_t absent_until[2]; /* nobody is there before */
    struct map begun;        /* "path attempt" -> the life in which it began */
    uint64_t never, reached, deaths;
    /* other runs in the workspace */
    bool turn_asked, turn_has, turn_leaving; /* has: until what it left it with is durable */
    uint64_t turn_number, turns, turns_waited;
    unsigned long_turns; /* of the others */
    uint64_t rests;      /* steps whose time stood still */
    bool opened;         /* an outcome was told just now and is not to be recorded: a good moment to die */
    uint64_t life;       /* of the engine */
    unsigned failure_percent, crashes, adopted, interrupted;
    uint64_t kept, lost; /* batches under way at a crash: those that turned out durable, and those that did not */
    uint64_t steps;
    char violation[512];
    struct arena arena;
    struct coverage cover[COVER_ROWS];
    struct kind_seen {
        uint64_t begun, ended, lost; /* lost: they had begun when whoever carried them out died */
    } kinds[EFFECT_LOAD + 1];        /* by effect_kind */
    struct run_options options;
};

void world_init(struct world *w, uint64_t seed, struct workflow *workflow, unsigned failure_percent);
void world_done(struct world *w);
/* Starts (or, after a crash, resumes) a run on what the disk holds. */
void world_start(struct world *w, bool force);
/* One event; false when the run has ended and all is durable, or a violation was found. */
bool world_step(struct world *w);
/* How long nothing will happen, in virtual milliseconds. */
int64_t world_idle_ms(struct world *w);
/* The engine dies: whatever is not durable may or may not be; the run is gone. Those who carry out effects die with it,
 * or, one by one, go on and can be asked for what became of them. */
void world_crash(struct world *w);
/* What is durable. */
struct away_reader world_reader(struct world *w);
/* The same with just the first `n` records in the journal, the last of them not durable before; it may stand in the
 * middle of a batch, which no real crash leaves in two. */
void world_cut(struct world *w, size_t n);
/* SHA-256 of the journal. */
struct sha256 world_journal(const struct world *w);
