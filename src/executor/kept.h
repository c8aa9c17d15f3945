#pragma once
/* Directories of what a workflow keeps beyond its runs: DIR/WORKFLOW, with a lock that the kernel drops with its
 * holder. */
#include "executor/beneath.h"

/* A name as a file's: all but letters, digits, `-` and `_` is written as %XX. False: it is empty or too long. */
enum { KEPT_NAME_MAX = 76 /* bytes, as given */ };
bool kept_name(struct arena *a, struct str name, const char *suffix, struct str *ret);

/* Opens (and makes) the workflow's directory in `dir`. RC_INVALID: `dir` is NULL, or the workflow has no name. */
enum rc kept_open(struct beneath *home, struct arena *a, const char *dir, struct str workflow,
                  struct err *err) MUST_CHECK;
/* Takes the lock of an open directory; *ret is for close(). `over` (or NULL) says that nobody waits any more. RC_BUSY
 * after ten seconds. */
enum rc kept_lock(const struct beneath *home, bool (*over)(void *ctx), void *ctx, int *ret, struct err *err) MUST_CHECK;
