#pragma once
/* Members of a step that run beside one another: starting them, at most so many at a time, and starting them again by a
 * restart policy.
 *
 * The group lives in the step's arena. The owner says through `ops` what a member's segment and frame are; it calls
 * group_child_done() for each ended child and is told through the return value what to do. A member that is started
 * again is a new frame. Each restart is recorded, so that a resumed run goes on with its count. */
#include "flow/frame.h"
#include "flow/restart.h"

struct group;

/* What a member's frame is, and so what path it has when it is started for the third time. */
enum group_kind {
    GROUP_OF_LISTS,      /* BRANCH~3 */
    GROUP_OF_ITERATIONS, /* N~3: lists, called by their number from 0 */
    GROUP_OF_STEPS       /* again:3/TASK, for TASK~3 is the third attempt of one that is started once */
};

struct group_ops {
    enum group_kind kind;
    /* Makes the frame of member `i`, with `tag` i, below `segment`. */
    struct frame *(*start)(struct frame *f, size_t i, const char *segment);
    /* The name of member `i` as a segment of paths. */
    const char *(*segment)(struct frame *f, size_t i);
    /* Members `first` to `last` are started again: the results of those that had one do not count any more. */
    void (*forget)(struct frame *f, size_t first, size_t last);
    /* NULL, or whether member `i` ended well in an earlier life and needs no frame to say so. */
    bool (*passed)(const struct frame *f, size_t i);
};

struct group_plan {
    size_t n;             /* members */
    int64_t max_parallel; /* at least 1 */
    bool restarts;        /* whether `policy` is in force */
    struct restart_policy policy;
};

enum group_event {
    GROUP_OK,     /* the member has ended well */
    GROUP_FAILED, /* it has failed and stays so: read the child */
    GROUP_AGAIN,  /* it is, or will be, started again; or the child was no member */
    GROUP_GAVE_UP /* it failed once too often: the step has failed */
};

/* Reads what the journal knows about restarts. NULL: the step has failed. */
struct group *group_new(struct frame *f, const struct group_plan *plan, const struct group_ops *ops);
/* Starts members as far as there is room. Call it at the beginning and after each group_child_done(). */
void group_start(struct group *g);
enum group_event group_child_done(struct group *g, struct frame *child);
/* Or is it an effect of the group's own? */
bool group_is_member(const struct group *g, const struct frame *child);
/* No member is started any more, but for those that had ended in an earlier life; what runs is stopped. */
void group_leave(struct group *g);
/* Every member has ended (or, after group_leave(), none runs), and none is to be started again. */
bool group_done(const struct group *g);
/* How many members have ended well, and how many failed. */
void group_count(const struct group *g, size_t *ret_ok, size_t *ret_failed);
/* Reads `strategy` and `restart` of an evaluated configuration; `restarts` is false when neither is given. False: the
 * step has failed. */
bool group_policy(struct frame *f, const struct val *config, struct group_plan *plan);
/* The plan as pinned, and back. */
struct val group_plan_val(struct arena *a, const struct group_plan *plan);
void group_plan_read(const struct val *v, struct group_plan *plan);
/* Rows for the table of keys of a type with a group. */
#define GROUP_KEYS                                                                                                 \
    {"strategy", KEY_ENUM, .choices = "one_for_one|one_for_all|rest_for_one", .fallback = "one_for_one",           \
     .doc = "Which are started again when one fails: that one; all, those that had ended too; that one and those " \
            "after it. Given this or `restart`, what fails is started again."},                                    \
    {                                                                                                              \
        "restart", KEY_OBJECT, .choices = "restart", .fallback = "{intensity: 1, period: 5s}",                     \
                               .doc = "How often: more than `intensity` restarts within `period` fail the step."   \
    }
