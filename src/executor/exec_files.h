#pragma once
/* EXEC_READ and EXEC_OUTPUT: the files of a workflow's author and the run's results. On a pool thread. */
#include "executor/beneath.h"

#include "data/val.h"

struct exec_places {
    const char *workflow_dir, *stored_dir; /* absolute, or NULL */
    const struct beneath *workspace;
    bool not_here; /* the current directory is nobody's who asks */
    bool confined; /* nothing but what lies beneath workflow_dir or the workspace, whoever names it and how */
};
/* Error codes that say more than the class go to *code. */
enum rc exec_read(const struct val *req, const struct exec_places *places, struct arena *a, struct val *ret,
                  const char **code, struct err *err) MUST_CHECK;
enum rc exec_output(const struct val *req, const struct beneath *output, struct arena *a, struct val *ret,
                    const char **code, struct err *err) MUST_CHECK;
