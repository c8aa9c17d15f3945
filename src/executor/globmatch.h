#pragma once
/* Glob patterns over relative paths: `*`, `?`, `[a-z]`, `[!a]`, a double star for any number of directories, `{a,b}`.
 *
 * A star does not cross `/` and does match a leading dot. Matching takes time proportional to pattern times path. */
#include "base/arena.h"
#include "base/err.h"

struct glob;
/* RC_INVALID: an unclosed bracket or brace, or more than 256 alternatives. The pattern is copied. */
enum rc glob_compile(struct arena *a, struct str pattern, const struct glob **ret, struct err *err) MUST_CHECK;
bool glob_match(const struct glob *g, struct str path);
/* True when something below directory `path` could match (so that others need not be entered). */
bool glob_may_enter(const struct glob *g, struct str path);
