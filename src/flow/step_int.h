#pragma once
/* What the files of a step being executed share: step.c (attempts, children, resuming), step_time.c (how long they may
 * take) and step_end.c (how they end). */
#include "flow/cache.h"
#include "flow/run_int.h"

/* What to do again when what an evaluation needed has been fetched. */
enum phase { PHASE_CONDITION, PHASE_FILES, PHASE_CACHE, PHASE_ENTER, PHASE_CHILD, PHASE_OK };

/* Of the step's own children, beside those of its type. */
enum { TAG_OUTPUT = SIZE_MAX - 1, TAG_HANDLER = SIZE_MAX - 2, TAG_SIZE = SIZE_MAX - 3 };

/* Before the attempt's own state, which types keep in frame->type_state. */
struct step_state {
    struct val config;
    const struct val *pinned; /* in this life, for this attempt: the type may be entered again; or NULL */
    bool has_config, waiting, finishing, ending; /* ending: well, when its children have stopped */
    struct box *ok;                              /* result waiting for the output file, or for children to stop */
    struct box *failure;                         /* error object, once the step has failed for good */
    struct val partial;
    const struct val *sets; /* variables that its good end sets, or NULL */
    bool sets_local;
    const struct val *also; /* those of the run that the step's own keys name, or NULL */
    struct hole_files files;
    struct cache_use cache;
    enum phase phase;
    bool fetching;
    unsigned measured;         /* bounds that what it left in the workspace keeps */
    bool parting;              /* its attempt has failed, and its type was told */
    struct frame *overdue;     /* its time is over, and what fetches for what it has yielded so far */
    struct frame *child;       /* PHASE_CHILD: whose end is being looked at, when that must be done again */
    struct spending spent;     /* on calls below, in all attempts and lives */
    int64_t limit_ms, warn_ms; /* of the attempt: its time, and when people are told; 0: none */
    bool warned;
    int64_t due_ms;  /* when its timer goes off */
    bool gap_open;   /* an earlier life began the attempt: work between the two is not counted yet */
    bool rests;      /* its time stands still; then it has so much left: */
    int64_t left_ms; /* and run->rested_ms was: */
    int64_t rested_ms;
};

static inline struct step_state *step_state_of(struct frame *f)
{
    return f->state;
}

/* step_time.c */
/* The attempt begins. One that was begun in an earlier life has the time that is left of it. */
void step_time_begin(struct frame *f);
/* The timer has gone off. */
void step_time_passed(struct frame *f);
/* The attempt has taken too long. Once more after something was fetched. */
void step_time_over(struct frame *f);

/* step_end.c */
/* Records and ends the step; takes the reference. `flag` ("skipped", "continued") says that it is no result of the
 * type's. False: the result cannot be recorded, and the step goes on. */
bool step_end_well(struct frame *f, struct box *result, const char *flag, struct err *err);
/* The type has succeeded: s->ok is checked and written, then the step ends. Once more after something was fetched. */
void step_take_ok(struct frame *f);
/* files_bound.c: asks how much it has left in the workspace; false: there is nothing to ask, or no more. And the end of
 * that child, TAG_SIZE. */
bool files_measure(struct frame *f);
void step_measured(struct frame *f, const struct frame *c);
/* Everything below has stopped: try again or give up. */
void step_attempt_failed(struct frame *f);
/* True when the step had failed already in an earlier life, and its handler has begun. */
bool step_resume_handler(struct frame *f);
/* The ends of the children TAG_OUTPUT and TAG_HANDLER, and of those that cache_is(). */
void step_output_written(struct frame *f, const struct frame *c);
void step_cache_ended(struct frame *f, struct frame *c);
void step_handler_ended(struct frame *f, const struct frame *c);
