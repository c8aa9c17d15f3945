#pragma once
/* Several prompt files at once: a pattern such as src/(any depth)/x.c, or a directory. On a pool thread.
 *
 * Looked for below each of the given directories, the first that has any match counts. Bounded in files, entries, depth
 * and bytes; links are not followed, hidden files and version control directories not entered. */
#include "base/arena.h"
#include "base/err.h"
#include "data/val.h"

/* Has the path characters of a pattern? */
bool read_is_pattern(struct str path);
/* `dirs`: ends with NULL. `beneath`: nothing outside of them, wherever `..`, an absolute path or links lead. -> {files:
 * [paths as found], text?: their texts with a line `=== PATH ===` before each}. RC_NOT_FOUND. */
enum rc read_many(struct str path, const char *const *dirs, bool beneath, bool list_only, struct str encoding,
                  struct arena *a, struct val *ret, struct err *err) MUST_CHECK;
