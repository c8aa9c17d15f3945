#pragma once
/* Whole small files: read with a ceiling, replaced atomically. Thread-safe. */
#include "executor/beneath.h"

#include "base/sha256.h"

/* Reads `fd` from its position to the end into `a`. RC_LIMIT when there is more than `max`. */
enum rc file_slurp(int fd, size_t max, struct arena *a, struct str *ret, struct err *err) MUST_CHECK;

/* The content of the file at `p`, which must exist. RC_LIMIT, RC_IO. */
enum rc place_read(const struct place *p, size_t max, struct arena *a, struct str *ret, struct err *err) MUST_CHECK;

/* Puts a file with that content and mode at `p`, synced, in one step. `expect` is what is there now: its hash, or NULL
 * for nothing. If something else turns out to be there, nothing changes: RC_EXISTS. RC_DISK_FULL, RC_IO. */
enum rc place_replace(const struct place *p, struct arena *a, struct str content, mode_t mode,
                      const struct sha256 *expect, struct err *err) MUST_CHECK;
/* Puts it there whatever is there now (a regular file or nothing). */
enum rc place_put(const struct place *p, struct arena *a, struct str content, mode_t mode, struct err *err) MUST_CHECK;
/* Removes what a crash within place_replace() of the content with that hash may have left beside `p`. */
void place_sweep(const struct place *p, struct arena *a, struct str content_hex);
