#pragma once
/* Reading the files of workflows that a workflow calls, for commands. */
#include "role/called.h"

/* For flow: `ctx` is a struct called_files. */
enum rc called_read(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                    struct workflow_text *ret, struct err *err) MUST_CHECK;
/* Path and directory of the workflow file that a command names. RC_IO. */
enum rc called_place(const char *file, struct arena *a, struct workflow_text *ret, struct err *err) MUST_CHECK;
