#pragma once
/* What a plain (unquoted, untagged) YAML scalar means: the core schema of YAML 1.2. */
#include "base/err.h"
#include "data/val.h"

/* null ~ true false, integers (decimal, 0o17, 0x1F; of any size), floats; everything else is text, borrowed from
 * `text`. RC_INVALID, with the reason and no position in `err`, for .inf, .nan and floats that no double can hold. */
enum rc yaml_scalar(struct arena *a, struct str text, struct val *ret, struct err *err) MUST_CHECK;
