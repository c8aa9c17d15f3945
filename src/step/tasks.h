#pragma once
/* Groups of tasks: what claude_batch and parallel_claude share.
 *
 * Each task is a step of its own below the group, `GROUP/ID` or `GROUP/N`, so it is journaled, tried again and resumed
 * as any step. At most so many run at a time; a task that fails does not stop the others; the group fails when all
 * have. The plan (with a computed list, and what its tasks are called) is pinned before the first task starts.
 *
 * What tasks yield leaves memory when they end, so a group takes as much as is under way; its result says where the
 * rest is. The text that puts all of it together has a size of its own. */
#include "base/buf.h"
#include "flow/frame.h"
#include "step/group.h"

struct task {
    struct str id, file; /* file: the task's, or empty */
    struct box *result;  /* of an ended task: what is in memory of what the step gave (child_rest()), or its error
                          * object; NULL while it runs */
    bool ok;
    int64_t took_ms;
};
struct tasks {
    struct task *v;
    size_t n, failed;
    const struct val *plan;    /* as pinned, or as it will be but for `ids` */
    const struct val *options; /* of the group: consolidate_results */
    struct group *group;
    /* All have ended, some of them well: leads to step_ok, or to being called once more. */
    void (*finish)(struct frame *f, struct tasks *t);
    struct buf text; /* what tasks_text() has put together so far */
    size_t told;     /* tasks that were asked for theirs; twice as many where those that went well come first */
    bool full;       /* no more answers go into it */
    bool by_id;      /* results go by the tasks' ids */
    bool listing;    /* waiting for task_generator's files */
    int64_t default_parallel;
    /* What computed tasks are called: by this template, or (NULL) by their items. The first `named` have their ids. */
    const struct tmpl *id;
    struct val *ids;        /* NULL: the plan has them */
    size_t named, fetching; /* fetching: the newest id, counted from 1, for which something had to be fetched */
};

/* `default_parallel`: at a time where nobody says; 0: all. `by_id`: results go by the tasks' ids: of those that data
 * calls the same, the later ones get a number. */
void tasks_enter(struct frame *f, int64_t default_parallel, bool by_id,
                 void (*finish)(struct frame *f, struct tasks *t));
void tasks_child_done(struct frame *f, struct frame *child);
void tasks_again(struct frame *f);
void tasks_free(void *state);
void tasks_check(const struct step_def *s, struct problems *ps);

enum { TASKS_TEXT_MAX = 16 << 20 }; /* bytes of answers in a text of all tasks */
/* Puts a text of all tasks together in t->text, which the caller begins when it has no ceiling yet: in order, or first
 * those that went well; `head` writes what comes before a task's answer, or error. From the first answer on that has no
 * room there are notes in place of them. False: not yet, `finish` is called once more (or the step has failed). */
bool tasks_text(struct frame *f, struct tasks *t, bool well_first, void (*head)(struct buf *b, const struct task *t));

/* Rows of a group's table. */
#define TASK_KEYS                                                                                                     \
    {"task_template", KEY_TASKS, .choices = "map",                                                                    \
     .doc = "A task that is done for each item of `tasks`; reads it as `item`."},                                     \
        {"task_generator", KEY_TASKS, .choices = "task_generator",                                                    \
         .doc = "{type: file_list, pattern, batch_size}: items made of files, {files, file}, read as `task.files`."}, \
        GROUP_KEYS
