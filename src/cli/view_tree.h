#pragma once
/* The steps under way, as far as events tell: what a progress view shows, plain or live.
 *
 * Only what is active is kept, so a run of a million steps takes no more room than those that run at once. Times are
 * monotonic milliseconds of whoever feeds it. One thread; everything lives until the next view_tree_event(). */
#include "base/map.h"
#include "flow/io.h"

struct view_step {
    struct view_step *parent, *first, *last, *prev, *next;
    char *path;      /* without attempt numbers */
    struct str name; /* what of it is not the parent's */
    char type[32], label[96], trouble[160];
    int64_t started_ms, retry_ms; /* retry: when the next attempt begins; 0: none is awaited */
    size_t calls;                 /* of it and below; 0: it did nothing outside */
    /* of steps with numbered iterations */
    int64_t next_index, total; /* one more than the highest begun; -1: unknown */
    size_t running, peak;      /* steps active right below it; the most that ever were */
    size_t failed;             /* steps failed right below it */
    size_t told;               /* lines that a view has given to what is below it */
};

struct view_tree {
    struct map steps;     /* path -> struct view_step */
    struct view_step top; /* not a step: its children are the workflow's own */
    size_t active;
    struct view_step *gone; /* the step that the last event ended */
};

struct view_fact {          /* what an event means for the steps */
    struct view_step *step; /* it is about; NULL for the run itself, or one that nobody heard begin */
    int64_t took_ms;        /* finished and failed: how long; -1: unknown */
    bool top;               /* a step of the workflow's own list */
};

void view_tree_init(struct view_tree *t);
void view_tree_done(struct view_tree *t);
struct view_fact view_tree_event(struct view_tree *t, const struct event *e, int64_t now_ms);
/* The step after `s` in the order of the tree (parents first), or NULL; begin with &t->top. */
struct view_step *view_tree_next(const struct view_step *s);
/* How many parents `s` has; 0 for the workflow's own. */
unsigned view_tree_depth(const struct view_step *s);
/* Iterations that have begun and are no longer active. */
int64_t view_tree_items_done(const struct view_step *s);
/* "1.2k in, 300 out, $0.0031" of a model step's result; empty for others. */
struct str view_usage(const struct val *result, char *out, size_t size);
