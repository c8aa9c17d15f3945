#pragma once
/* A workflow that is being executed: the run's own, or one that a step calls.
 *
 * Every frame belongs to one; it says what `inputs` means, which defaults hold, and in which file templates stand. The
 * run owns its own; that of a called workflow belongs to the list frame that executes it, and to nothing that outlives
 * that frame. */
#include "flow/frame.h"

enum { DEPTH_DEFAULT = 10, DEPTH_MAX = 100 };

struct instance {
    struct instance *parent; /* NULL: the run's own */
    struct workflow *workflow;
    struct box *inputs;
    const struct val *defaults; /* the workflow's, over its caller's where it inherits them */
    struct str dir;             /* of its file; empty: the run's */
    struct str root;            /* its workspace: a directory of the run's, by its path there; empty: all of that */
    struct frame *step;         /* the step that calls it */
    unsigned depth;             /* 0: the run's own */
    int64_t max_depth;          /* of it and what it calls; 0: not said */
    int64_t steps, max_steps;   /* entered in it and what it calls; at most (0: any number) */
    struct account *account;    /* of the memory of its frames and results, and of what it calls; own, if limited */
    int64_t max_memory;         /* 0: any amount */
    int64_t warn_memory;        /* with so much people are told, once; 0: never */
    int64_t step_ms;            /* of an attempt at a step of it; 0: any time */
    enum over_bound over;       /* what follows where it takes longer */
    bool memory_ends_run;       /* having too much ends the run */
    bool functions;             /* those that its callers declare are known */
    const struct val *begins;   /* variables besides its own, or NULL */
    const struct val *mocks;    /* {responses?, delays?}: of its steps, where answers are made up; or NULL */
    const struct val *marks;    /* of its memory (flow/memory_mark.h), or NULL; told: bits of those that were told */
    unsigned told;
    const struct val *clears; /* names of steps after which is cleared, or NULL (flow/memory_mark.h) */
    int64_t max_files;        /* bytes of files in its workspace; 0: not said */
    const struct val *seen;   /* {include?, exclude?}: which of its caller's variables are; NULL: all */
};

/* Counts a step about to be entered. False: it is one too many for a workflow around it, whose step has failed. */
bool instance_count_step(struct frame *f);
/* May the frame, which is about to be entered or to go on, take more memory? False: a workflow around it has too much;
 * the step that calls it (or the run) has failed. */
bool instance_has_memory(struct frame *f);
/* With the end of a frame its number of steps is recorded, where a limit asks for it; and counted again in a later
 * life, in which what is below the frame is not entered. */
void instance_record_steps(const struct frame *f, struct val_map *m);
void instance_add_steps(struct frame *f, int64_t n);
void instance_recall_steps(struct frame *f, const struct val *record);
/* Is a variable of that name not to be looked for in what is around the workflow? */
bool instance_hides(const struct instance *i, struct str name);
void instance_done(struct instance *i);
