#pragma once
/* `codebase_context: true`: what is known about the project in the workspace, as the variable `codebase`.
 *
 * It is asked for before the step's templates are evaluated, as an effect below the step, and set where the step
 * stands, so that later steps of the list see it too. */
#include "flow/frame.h"

enum { CODEBASE_TAG = 0x636f6465 };

/* The row of a step type's table. */
#define CODEBASE_KEY                                                                                                \
    {                                                                                                               \
        "codebase_context", KEY_DATA, .choices = "boolean", .fallback = "false",                                    \
                                      .doc = "Whether `codebase` is set to what is known about the project in the " \
                                             "workspace: project_type, language, "                                  \
                                             "framework, structure, dependencies, git_info."                        \
    }

/* Reports a value that is no boolean; for `check` of the types. */
void codebase_check(const struct step_def *s, struct problems *ps);
bool codebase_wanted(const struct step_def *s);
/* True: it was asked for, and the type's enter() goes on when codebase_take() says so. */
bool codebase_ask(struct frame *f);
static inline bool codebase_is(const struct frame *child)
{
    return child->tag == CODEBASE_TAG;
}
/* False: the step has failed. */
bool codebase_take(struct frame *f, const struct frame *child);
/* Sets the variable to `context`; false: the step has failed. */
bool codebase_set(struct frame *f, const struct val *context);
