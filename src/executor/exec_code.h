#pragma once
/* EXEC_CODE: hands a request to `treadle __code` (code/code.h) and takes its answer. */
#include "executor/beneath.h"
#include "executor/command.h"

#include "data/val.h"

/* Tells `treadle __code` where its grammars are. */
#define CODE_LIBRARY_ENV "TREADLE_LIBRARY"

/* Fills `spec` but for lock_fd and workspace_fd; its tier and places must be set; texts are in `a`. spec->cwd_fd is
 * open on RC_OK and then the caller's. RC_NOT_FOUND, RC_INVALID, RC_IO. */
enum rc request_code(const struct val *req, const struct beneath *workspace, const char *self, struct arena *a,
                     struct command_spec *spec, struct err *err) MUST_CHECK;
/* What it answered; an error when it could not. */
enum rc result_code(const struct command_outcome *o, struct arena *a, struct val *ret, struct err *err) MUST_CHECK;
