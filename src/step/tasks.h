#pragma once
/* Groups of tasks: what claude_batch and parallel_claude share.
 *
 * Each task is a step of its own below the group, `GROUP/ID` or `GROUP/N`, so it is journaled, tried again and resumed
 * as any step. At most so many run at a time; a task that fails does not stop the others; the group fails when all
 * have. The plan (and a computed list) is pinned before the first task starts. */
#include "flow/frame.h"
#include "step/group.h"

struct task {
    struct str id, file; /* file: the task's, or empty */
    struct box *result;  /* of an ended task: what the step gave, or its error object; NULL while it runs */
    bool ok;
    int64_t took_ms;
};
struct tasks {
    struct task *v;
    size_t n, failed;
    const struct val *plan;    /* as pinned */
    const struct val *options; /* of the group: consolidate_results */
    struct group *group;
    void (*finish)(struct frame *f, const struct tasks *t); /* all have ended, some of them well: leads to step_ok */
    /* waiting for task_generator's files */
    bool listing;
    int64_t default_parallel;
};

/* `default_parallel`: at a time where nobody says; 0: all. */
void tasks_enter(struct frame *f, int64_t default_parallel, void (*finish)(struct frame *f, const struct tasks *t));
void tasks_child_done(struct frame *f, struct frame *child);
void tasks_free(void *state);
void tasks_check(const struct step_def *s, struct problems *ps);

/* Rows of a group's table. */
#define TASK_KEYS                                                                                                     \
    {"task_template", KEY_TASKS, .doc = "A task that is done for each item of `tasks`; reads it as `item`."},         \
        {"task_generator", KEY_TASKS,                                                                                 \
         .doc = "{type: file_list, pattern, batch_size}: items made of files, {files, file}, read as `task.files`."}, \
        GROUP_KEYS
